//! A perceptron's layers in 8-bit integers, as tiles of rows by vectors that stay in registers.
//!
//! Knows how bytes are laid out and not how they came about (`quant`), nor the instruction that multiplies them (`dot4`).

use fearless_simd::prelude::*;

use super::dot4::Dot4;
use super::lines::Lines;
use super::pack::place;
use super::quant::{ByteLayer, Scale};

/// Vectors to a panel.
const VECTORS: usize = 2;
/// The most rows of a tile: 8 sums, 2 weights, an input, ones and the product are 13 of 16 AVX2 registers.
const ROWS: usize = 4;
/// Inputs that one instruction sums.
pub(super) const FOUR: usize = 4;

/// A layer with its weights cut into panels of `VECTORS` vectors of outputs, four inputs of an output in a word.
#[derive(Clone, Debug)]
pub(super) struct BytePanels {
    inputs: usize,
    outputs: usize,
    width: usize,
    /// `[panel][four inputs][output within the panel]`, four bytes to a word as a row has them (`pack`); zeros where the layer
    /// has nothing.
    weights: Lines,
    scale: Vec<f32>,
    offset: Vec<f32>,
    bias: Vec<f32>,
}

/// Where a tile's rows are.
#[derive(Clone, Copy)]
pub(super) struct Rows<'a> {
    /// Bytes of all rows, `stride` words apart, four to a word.
    pub(super) x: &'a [i32],
    /// What they mean, by row.
    pub(super) scale: &'a [Scale],
    /// Words of `x`, and numbers of the result, between the starts of two rows.
    pub(super) stride: usize,
    /// Whether negative results become 0.
    pub(super) relu: bool,
}

impl BytePanels {
    /// Cuts `layer` for vectors of `lanes` words.
    pub(super) fn new(layer: &ByteLayer, lanes: usize) -> Self {
        let width = VECTORS * lanes;
        let count = layer.outputs.div_ceil(width);
        let fours = layer.inputs.div_ceil(FOUR);
        let mut lines = Lines::zeros(count * fours * width);
        let weights = lines.get_mut::<i32>();
        for (n, row) in layer.weights.chunks_exact(layer.inputs).enumerate() {
            for (k, w) in row.iter().enumerate() {
                let (four, byte) = place(k, layer.inputs, lanes);
                let word = i32::from(w.to_le_bytes()[0]) << (8 * byte);
                weights[(n / width * fours + four) * width + n % width] |= word;
            }
        }
        let padded = |from: &[f32]| {
            let mut all = from.to_vec();
            all.resize(count * width, 0.0);
            all
        };
        let (scale, offset, bias) =
            (padded(&layer.scale), padded(&layer.offset), padded(&layer.bias));
        let (inputs, outputs) = (layer.inputs, layer.outputs);
        Self { inputs, outputs, width, weights: lines, scale, offset, bias }
    }

    /// Outputs with those that only fill the last panel.
    pub(super) const fn padded(&self) -> usize {
        self.bias.len()
    }

    pub(super) const fn inputs(&self) -> usize {
        self.inputs
    }

    /// `y = layer(x)` for as many rows as there are scales.
    #[inline(always)]
    pub(super) fn run<S: Dot4>(&self, simd: S, rows: Rows<'_>, y: &mut [f32]) {
        let count = rows.scale.len();
        let tiles = count.div_ceil(ROWS);
        let mut done = 0;
        for tile in 0..tiles {
            let take = (count - done).div_ceil(tiles - tile);
            let y = &mut y[done * rows.stride..];
            let part = Rows {
                x: &rows.x[done * rows.stride..],
                scale: &rows.scale[done..done + take],
                ..rows
            };
            // Rows, panels side by side, and parts of a sum where one vector is left. AVX-512 has 32 registers: more sums side by
            // side, and fewer loads for each. Its sum is ready five cycles after it began, AVX2's after one.
            match (take, S::i32s::LEN) {
                (1, 16) => self.tiles::<S, 1, 4, 8>(simd, part, y),
                (1, _) => self.tiles::<S, 1, 4, 2>(simd, part, y),
                (2, 16) => self.tiles::<S, 2, 2, 4>(simd, part, y),
                (2, _) => self.tiles::<S, 2, 2, 1>(simd, part, y),
                (3, 16) => self.tiles::<S, 3, 2, 4>(simd, part, y),
                (3, _) => self.tiles::<S, 3, 1, 1>(simd, part, y),
                (_, 16) => self.tiles::<S, 4, 2, 4>(simd, part, y),
                (..) => self.tiles::<S, 4, 1, 1>(simd, part, y),
            }
            done += take;
        }
    }

    /// `R` rows, `P` panels at a time as far as they go, then singly, and what has only a first vector of outputs in `C` parts.
    #[inline(always)]
    fn tiles<S: Dot4, const R: usize, const P: usize, const C: usize>(
        &self,
        simd: S,
        rows: Rows<'_>,
        y: &mut [f32],
    ) {
        let size = self.inputs.div_ceil(FOUR) * self.width;
        let weights = self.weights.get::<i32>();
        // The last panel may be a half; it is left for the end.
        let whole = self.outputs.div_ceil(S::i32s::LEN) / VECTORS;
        let several = weights[..whole * size].chunks_exact(P * size);
        let rest = several.remainder();
        let mut at = 0;
        for panels in several {
            let panels = std::array::from_fn(|p| &panels[p * size..][..size]);
            self.tile::<S, R, P>(simd, rows, panels, at, y);
            at += P * self.width;
        }
        for panel in rest.chunks_exact(size) {
            self.tile::<S, R, 1>(simd, rows, [panel], at, y);
            at += self.width;
        }
        for panel in weights[whole * size..].chunks_exact(size) {
            self.half_tile::<S, R, C>(simd, rows, panel, at, y);
        }
    }

    /// `R` rows by the first vector of a panel, each sum in `C` parts: few sums would wait for themselves.
    #[inline(always)]
    fn half_tile<S: Dot4, const R: usize, const C: usize>(
        &self,
        simd: S,
        rows: Rows<'_>,
        panel: &[i32],
        at: usize,
        y: &mut [f32],
    ) {
        let lanes = S::i32s::LEN;
        let width = VECTORS * lanes;
        let fours = self.inputs.div_ceil(FOUR);
        let x: [&[i32]; R] = std::array::from_fn(|r| &rows.x[r * rows.stride..][..fours]);
        let mut parts = [[S::i32s::splat(simd, 0); R]; C];
        let several = panel.chunks_exact(C * width);
        let rest = several.remainder();
        let mut four = 0;
        for weights in several {
            for (c, sums) in parts.iter_mut().enumerate() {
                let w = S::i32s::from_slice(simd, &weights[c * width..][..lanes]);
                for (sum, x) in sums.iter_mut().zip(x) {
                    *sum = simd.dot4(*sum, S::i32s::splat(simd, x[four + c]), w);
                }
            }
            four += C;
        }
        for (weights, four) in rest.chunks_exact(width).zip(four..) {
            let w = S::i32s::from_slice(simd, &weights[..lanes]);
            for (sum, x) in parts[0].iter_mut().zip(x) {
                *sum = simd.dot4(*sum, S::i32s::splat(simd, x[four]), w);
            }
        }
        let sum = |r: usize| {
            let mut sum = parts[0][r];
            for part in &parts[1..] {
                sum += part[r];
            }
            S::f32s::float_from(sum)
        };
        self.finish::<S, R, 1, 1>(simd, rows, at, |r, _, _| sum(r), y);
    }

    #[inline(always)]
    fn tile<S: Dot4, const R: usize, const P: usize>(
        &self,
        simd: S,
        rows: Rows<'_>,
        panels: [&[i32]; P],
        at: usize,
        y: &mut [f32],
    ) {
        let lanes = S::i32s::LEN;
        let width = VECTORS * lanes;
        let fours = self.inputs.div_ceil(FOUR);
        let x: [&[i32]; R] = std::array::from_fn(|r| &rows.x[r * rows.stride..][..fours]);
        let mut sums = [[[S::i32s::splat(simd, 0); VECTORS]; P]; R];
        let mut weights = panels.map(|panel| panel.chunks_exact(width));
        #[expect(clippy::needless_range_loop, reason = "all rows take their word before the next")]
        for four in 0..fours {
            let inputs: [S::i32s; R] = std::array::from_fn(|r| S::i32s::splat(simd, x[r][four]));
            for (p, panel) in weights.iter_mut().enumerate() {
                let Some(w) = panel.next() else { return };
                let w: [S::i32s; VECTORS] =
                    std::array::from_fn(|v| S::i32s::from_slice(simd, &w[v * lanes..][..lanes]));
                for r in 0..R {
                    let before = sums[r][p];
                    sums[r][p] = std::array::from_fn(|v| simd.dot4(before[v], inputs[r], w[v]));
                }
            }
        }
        if R == 1 {
            let sum = |r: usize, p: usize, v: usize| S::f32s::float_from(sums[r][p][v]);
            return self.finish::<S, R, P, VECTORS>(simd, rows, at, sum, y);
        }
        // A copy, since what is walked by long loops lies in memory: sums would be stored after each product. A single row's
        // loops are short enough to be none.
        let sums = sums.map(|row| row.map(|panel| panel.map(S::f32s::float_from)));
        self.finish::<S, R, P, VECTORS>(simd, rows, at, |r, p, v| sums[r][p][v], y);
    }

    /// Makes numbers of a tile's sums, by the very operations of the reference.
    #[inline(always)]
    fn finish<S: Dot4, const R: usize, const P: usize, const V: usize>(
        &self,
        simd: S,
        rows: Rows<'_>,
        at: usize,
        sum: impl Fn(usize, usize, usize) -> S::f32s,
        y: &mut [f32],
    ) {
        let lanes = S::i32s::LEN;
        let floor = S::f32s::splat(simd, if rows.relu { 0.0 } else { f32::MIN });
        for p in 0..P {
            for v in 0..V {
                let n = at + (p * VECTORS + v) * lanes;
                let load = |from: &[f32]| S::f32s::from_slice(simd, &from[n..][..lanes]);
                let (scale, offset, bias) =
                    (load(&self.scale), load(&self.offset), load(&self.bias));
                for r in 0..R {
                    let of = rows.scale[r];
                    let rest = offset * of.lowest + bias;
                    let value = sum(r, p, v) * (scale * of.step) + rest;
                    value.max(floor).store_slice(&mut y[r * rows.stride + n..][..lanes]);
                }
            }
        }
    }
}
