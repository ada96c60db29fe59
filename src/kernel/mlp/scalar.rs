//! The reference in 32-bit floats: plain loops in the file's order, which the compiler turns into what every machine has.
//!
//! Knows no vector: the other forms are measured and tested against this one.

use super::weights::Layer;

/// `y = layer(x)` for each row of `x`; rows lie `stride` numbers apart in both.
pub(super) fn layer(
    layer: &Layer,
    relu: bool,
    rows: usize,
    stride: usize,
    x: &[f32],
    y: &mut [f32],
) {
    for (x, y) in x.chunks_exact(stride).zip(y.chunks_exact_mut(stride)).take(rows) {
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
