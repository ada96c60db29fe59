//! A perceptron in 8-bit integers: how numbers become bytes, and the reference form.
//!
//! Knows no payload. Weights are signed bytes with a scale an output; a row's numbers are bytes from 0 to 127 with a scale and
//! an offset of that row. Seven bits, so that no form saturates: 2 * 127 * 127 fits 16 bits, and every form's sums are the same
//! integers. All float operations are single ones in a fixed order, so every form's results are the same bits.

use super::weights::Layer;

/// The largest byte of a row.
const TOP: f32 = 127.0;

/// A layer in bytes.
#[derive(Clone, Debug)]
pub(in crate::kernel) struct ByteLayer {
    pub(in crate::kernel) inputs: usize,
    pub(in crate::kernel) outputs: usize,
    /// By output, then by input.
    pub(in crate::kernel) weights: Vec<i8>,
    /// By output: what one step of a weight is worth.
    pub(in crate::kernel) scale: Vec<f32>,
    /// By output: what an offset of 1.0 in every input adds.
    pub(in crate::kernel) offset: Vec<f32>,
    pub(in crate::kernel) bias: Vec<f32>,
}

impl ByteLayer {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "rounded, and within -127 to 127 by its scale"
    )]
    pub(in crate::kernel) fn new(layer: &Layer) -> Self {
        let (inputs, outputs) = (layer.inputs, layer.outputs);
        let mut made = Self {
            inputs,
            outputs,
            weights: Vec::with_capacity(inputs * outputs),
            scale: Vec::with_capacity(outputs),
            offset: Vec::with_capacity(outputs),
            bias: layer.bias.clone(),
        };
        for n in 0..outputs {
            let column = || layer.weights.iter().skip(n).step_by(outputs);
            let largest = column().fold(0.0_f32, |m, w| m.max(w.abs()));
            let scale = largest / TOP;
            let byte = |w: &f32| if scale > 0.0 { (w / scale).round() as i8 } else { 0 };
            made.weights.extend(column().map(byte));
            let sum: i32 = made.weights[n * inputs..].iter().map(|w| i32::from(*w)).sum();
            made.scale.push(scale);
            made.offset.push(scale * to_float(sum));
        }
        made
    }

    /// `y = layer(x)` for one row in bytes.
    pub(super) fn run(&self, relu: bool, row: Scale, x: &[u8], y: &mut [f32]) {
        for (n, y) in y.iter_mut().enumerate().take(self.outputs) {
            let weights = &self.weights[n * self.inputs..][..self.inputs];
            let sum: i32 = x.iter().zip(weights).map(|(x, w)| i32::from(*x) * i32::from(*w)).sum();
            let value = to_float(sum) * (row.step * self.scale[n])
                + (row.lowest * self.offset[n] + self.bias[n]);
            *y = if relu && value < 0.0 { 0.0 } else { value };
        }
    }
}

/// The nearest float, as the vector conversions have it.
#[expect(clippy::cast_precision_loss, reason = "rounding to the nearest is what is wanted")]
const fn to_float(sum: i32) -> f32 {
    sum as f32
}

/// What a row's bytes mean: `number = lowest + step * byte`.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Scale {
    pub(super) lowest: f32,
    pub(super) step: f32,
}

impl Scale {
    /// That of a row with this range, and what differences from the lowest are multiplied by to be bytes.
    pub(super) fn of(lowest: f32, highest: f32) -> (Self, f32) {
        let width = highest - lowest;
        // A range too narrow to be divided by is as good as none.
        if width > 1e-30 {
            (Self { lowest, step: width / TOP }, TOP / width)
        } else {
            (Self { lowest, step: 0.0 }, 0.0)
        }
    }
}

/// Adding 2^23 leaves the nearest integer in the low bits: no conversion, no branch.
pub(super) const SHIFT: f32 = 8_388_608.0;

/// A row in bytes: `bytes` as long as `numbers`.
pub(super) fn to_bytes(numbers: &[f32], bytes: &mut [u8]) -> Scale {
    let (lowest, highest) = range(numbers);
    let (scale, inverse) = Scale::of(lowest, highest);
    for (byte, x) in bytes.iter_mut().zip(numbers) {
        *byte = ((x - lowest) * inverse + SHIFT).to_bits().to_le_bytes()[0];
    }
    scale
}

/// Smallest and largest, 0 among them: in lanes of its own each, because a single minimum is a chain that no vector shortens.
fn range(numbers: &[f32]) -> (f32, f32) {
    const LANES: usize = 16;
    let (mut low, mut high) = ([0.0_f32; LANES], [0.0_f32; LANES]);
    let (chunks, rest) = numbers.as_chunks::<LANES>();
    for chunk in chunks {
        for i in 0..LANES {
            low[i] = if chunk[i] < low[i] { chunk[i] } else { low[i] };
            high[i] = if chunk[i] > high[i] { chunk[i] } else { high[i] };
        }
    }
    let low = low.iter().fold(0.0_f32, |m, x| m.min(*x));
    let high = high.iter().fold(0.0_f32, |m, x| m.max(*x));
    range_with((low, high), rest)
}

/// Smallest and largest of a range and some numbers. A zero has no sign here, whichever of two was met first.
#[inline(always)]
pub(super) fn range_with(known: (f32, f32), numbers: &[f32]) -> (f32, f32) {
    let low = numbers.iter().fold(known.0, |m, x| m.min(*x));
    let high = numbers.iter().fold(known.1, |m, x| m.max(*x));
    (low + 0.0, high + 0.0)
}
