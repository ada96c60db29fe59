//! The reference in 32-bit floats: plain loops in the file's order, which the compiler turns into what every machine has.
//!
//! Knows no vector: the other forms are measured and tested against this one.

use super::weights::Layer;

/// How many rows there are, and how many numbers lie between the starts of two, going in and coming out.
#[derive(Clone, Copy)]
pub(super) struct Rows {
    pub(super) count: usize,
    pub(super) stride: usize,
}

/// `y = layer(x)` for each row of `x`.
// A function of its own: there `y` cannot overlap what is read, which the compiler must know to take four at once. Inlined,
// where rows lie in two buffers that change places, it took them one by one, 3.4 times as long.
#[inline(never)]
pub(super) fn layer(layer: &Layer, relu: bool, rows: Rows, x: &[f32], y: &mut [f32]) {
    let Rows { count, stride } = rows;
    for (x, y) in x.chunks_exact(stride).zip(y.chunks_exact_mut(stride)).take(count) {
        let y = &mut y[..layer.outputs];
        y.copy_from_slice(&layer.bias);
        for (x, weights) in x.iter().zip(layer.weights.chunks_exact(layer.outputs)) {
            for (y, w) in y.iter_mut().zip(weights) {
                *y += x * w;
            }
        }
        if relu {
            y.iter_mut().for_each(|y| *y = y.max(0.0));
        }
    }
}
