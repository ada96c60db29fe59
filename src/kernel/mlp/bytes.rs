//! A perceptron in 8-bit integers at the level that was chosen.
//!
//! Knows no payload: rows of numbers in, rows of numbers out.

use super::byte_panels::{BytePanels, Rows};
use super::dot4::Dot4;
use super::float::{Stand, alternate};
use super::form::Form;
use super::pack::pack;
use super::quant::{ByteLayer, Scale, to_bytes};
use super::weights::Model;
use crate::base::limits::KERNEL_BATCH_MAX;
use crate::kernel::simd::Level;

/// A network in bytes, with the scratch that its rows need.
#[derive(Clone, Debug)]
pub(super) struct ByteNet {
    form: Form<ByteLayer, BytePanels>,
    stride: usize,
    words: Vec<i32>,
    scales: [Scale; KERNEL_BATCH_MAX],
}

impl ByteNet {
    pub(super) fn new(model: &Model, level: Level) -> Self {
        let layers = model.layers().iter().map(ByteLayer::new).collect();
        let form = Form::new(level, layers, BytePanels::new);
        let stride = form.stride(model.width(), BytePanels::padded);
        let words = vec![0; stride * KERNEL_BATCH_MAX];
        Self { form, stride, words, scales: [Scale::default(); KERNEL_BATCH_MAX] }
    }

    /// Numbers between the starts of two rows.
    pub(super) const fn stride(&self) -> usize {
        self.stride
    }

    /// Runs `rows` rows of `x`; `y` is scratch of the same size. The result lies in the one that is returned.
    pub(super) fn run<'a>(&mut self, rows: usize, x: &'a mut [f32], y: &'a mut [f32]) -> &'a [f32] {
        let stride = self.stride;
        let scales = &mut self.scales[..rows];
        let words = self.words.as_mut_slice();
        match &self.form {
            Form::Scalar(layers) => alternate(layers, x, y, |layer, stand, x, y| {
                let bytes = &mut bytemuck::cast_slice_mut::<i32, u8>(words)[..layer.inputs];
                for (x, y) in x.chunks_exact(stride).zip(y.chunks_exact_mut(stride)).take(rows) {
                    let scale = to_bytes(&x[..layer.inputs], bytes);
                    layer.run(stand.relu, scale, bytes, y);
                }
            }),
            #[cfg(target_arch = "x86_64")]
            Form::Avx2(simd, layers) => alternate(layers, x, y, |layer, stand, x, y| {
                avx2(*simd, layer, stand, Scratch { words, scales, stride }, x, y);
            }),
            #[cfg(target_arch = "x86_64")]
            Form::Avx512(simd, layers) => alternate(layers, x, y, |layer, stand, x, y| {
                avx512(*simd, layer, stand, Scratch { words, scales, stride }, x, y);
            }),
        }
    }
}

/// Where rows become bytes.
struct Scratch<'a> {
    words: &'a mut [i32],
    /// As many as there are rows.
    scales: &'a mut [Scale],
    stride: usize,
}

#[inline(always)]
fn layer<S: Dot4>(
    simd: S,
    layer: &BytePanels,
    stand: Stand,
    scratch: Scratch<'_>,
    x: &[f32],
    y: &mut [f32],
) {
    let Scratch { words, scales, stride } = scratch;
    for (r, scale) in scales.iter_mut().enumerate() {
        let words = &mut words[r * stride..][..stride];
        *scale = pack(simd, &x[r * stride..][..stride], layer.inputs(), stand.risen, words);
    }
    layer.run(simd, Rows { x: words, scale: scales, stride, relu: stand.relu }, y);
}

#[cfg(target_arch = "x86_64")]
fearless_simd::kernel!(
    fn avx2(
        simd: Avx2,
        panels: &BytePanels,
        stand: Stand,
        scratch: Scratch<'_>,
        x: &[f32],
        y: &mut [f32],
    ) {
        layer(simd, panels, stand, scratch, x, y);
    }
);

#[cfg(target_arch = "x86_64")]
fearless_simd::kernel!(
    fn avx512(
        simd: Avx512,
        panels: &BytePanels,
        stand: Stand,
        scratch: Scratch<'_>,
        x: &[f32],
        y: &mut [f32],
    ) {
        layer(simd, panels, stand, scratch, x, y);
    }
);
