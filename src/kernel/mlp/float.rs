//! A perceptron in 32-bit floats at the level that was chosen.
//!
//! Knows no payload: rows of numbers in, rows of numbers out.

use super::form::Form;
use super::panels::Panels;
use super::scalar::{self, Rows};
use super::weights::{Layer, Model};
use crate::kernel::simd::Level;

/// A network in 32-bit floats.
#[derive(Clone, Debug)]
pub(super) struct FloatNet {
    form: Form<Layer, Panels>,
    stride: usize,
}

impl FloatNet {
    pub(super) fn new(model: &Model, level: Level) -> Self {
        let form = Form::new(level, model.layers().to_vec(), Panels::new);
        let stride = form.stride(model.width(), Panels::padded);
        Self { form, stride }
    }

    /// Numbers between the starts of two rows.
    pub(super) const fn stride(&self) -> usize {
        self.stride
    }

    /// Runs `rows` rows of `x`; `y` is scratch of the same size. The result lies in the one that is returned.
    pub(super) fn run<'a>(&self, rows: usize, x: &'a mut [f32], y: &'a mut [f32]) -> &'a [f32] {
        let rows = Rows { count: rows, stride: self.stride };
        match &self.form {
            Form::Scalar(layers) => alternate(layers, x, y, |layer, stand, x, y| {
                scalar::layer(layer, stand.relu, rows, x, y);
            }),
            #[cfg(target_arch = "x86_64")]
            Form::Avx2(simd, layers) => alternate(layers, x, y, |layer, stand, x, y| {
                avx2(*simd, layer, stand.relu, rows, x, y);
            }),
            #[cfg(target_arch = "x86_64")]
            Form::Avx512(simd, layers) => alternate(layers, x, y, |layer, stand, x, y| {
                avx512(*simd, layer, stand.relu, rows, x, y);
            }),
        }
    }
}

/// Where a layer stands.
#[derive(Clone, Copy)]
pub(super) struct Stand {
    /// Negative inputs have become 0: it is not the first.
    pub(super) risen: bool,
    /// Negative results become 0: it is not the last.
    pub(super) relu: bool,
}

/// Layer by layer from one buffer into the other.
pub(super) fn alternate<'a, L>(
    layers: &[L],
    mut x: &'a mut [f32],
    mut y: &'a mut [f32],
    mut run: impl FnMut(&L, Stand, &[f32], &mut [f32]),
) -> &'a [f32] {
    for (i, layer) in layers.iter().enumerate() {
        run(layer, Stand { risen: i > 0, relu: i + 1 < layers.len() }, x, y);
        std::mem::swap(&mut x, &mut y);
    }
    x
}

#[cfg(target_arch = "x86_64")]
fearless_simd::kernel!(
    fn avx2(simd: Avx2, layer: &Panels, relu: bool, rows: Rows, x: &[f32], y: &mut [f32]) {
        layer.run(simd, relu, rows, x, y);
    }
);

#[cfg(target_arch = "x86_64")]
fearless_simd::kernel!(
    fn avx512(simd: Avx512, layer: &Panels, relu: bool, rows: Rows, x: &[f32], y: &mut [f32]) {
        layer.run(simd, relu, rows, x, y);
    }
);
