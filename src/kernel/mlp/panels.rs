//! A perceptron's layers in 32-bit floats, as tiles of rows by vectors that stay in registers.
//!
//! Knows no instruction set: the same source is compiled for each level that `fearless_simd` has, and none of it is `unsafe`.

use fearless_simd::{Simd, prelude::*};

use super::lines::Lines;
use super::scalar::Rows;
use super::weights::Layer;

/// Vectors to a panel: two, so that six rows of accumulators, two weights and one input are the 15 of 16 AVX2 registers.
const VECTORS: usize = 2;
/// The most rows of a tile.
const ROWS: usize = 6;

/// A layer with its weights cut into panels of `VECTORS` vectors of outputs: within a panel a tile reads straight ahead.
#[derive(Clone, Debug)]
pub(super) struct Panels {
    inputs: usize,
    outputs: usize,
    /// Outputs to a panel.
    width: usize,
    /// `[panel][input][output within the panel]`, zeros where the layer has no output.
    weights: Lines,
    bias: Vec<f32>,
}

impl Panels {
    /// Cuts `layer` for vectors of `lanes` numbers.
    pub(super) fn new(layer: &Layer, lanes: usize) -> Self {
        let width = VECTORS * lanes;
        let count = layer.outputs.div_ceil(width);
        let mut lines = Lines::zeros(count * layer.inputs * width);
        let weights = lines.get_mut::<f32>();
        for (k, row) in layer.weights.chunks_exact(layer.outputs).enumerate() {
            for (n, w) in row.iter().enumerate() {
                weights[(n / width * layer.inputs + k) * width + n % width] = *w;
            }
        }
        let mut bias = layer.bias.clone();
        bias.resize(count * width, 0.0);
        Self { inputs: layer.inputs, outputs: layer.outputs, width, weights: lines, bias }
    }

    /// Outputs with those that only fill the last panel.
    pub(super) const fn padded(&self) -> usize {
        self.bias.len()
    }

    /// `y = layer(x)` for each row of `x`.
    ///
    /// Rows are shared out evenly among the fewest tiles, because a tile of few rows waits for its own sums: that is also
    /// what keeps the time from falling with more rows.
    #[inline(always)]
    pub(super) fn run<S: Simd>(&self, simd: S, relu: bool, rows: Rows, x: &[f32], y: &mut [f32]) {
        let Rows { count, stride } = rows;
        let tiles = count.div_ceil(ROWS);
        let mut done = 0;
        for tile in 0..tiles {
            let take = (count - done).div_ceil(tiles - tile);
            let x = &x[done * stride..];
            let y = &mut y[done * stride..];
            let floor = if relu { 0.0 } else { f32::MIN };
            let job = Job { floor, stride, at: 0 };
            // Rows, panels side by side, and parts of a sum where one panel or one vector is left: a sum is ready four cycles
            // after it began and two begin in one, so eight and more of them keep the machine busy, as far as registers go:
            // 16, or 32 with AVX-512.
            match (take, S::f32s::LEN) {
                (1, _) => self.tiles::<S, 1, 4, 4, 8>(simd, job, x, y),
                (2, 16) => self.tiles::<S, 2, 4, 4, 4>(simd, job, x, y),
                (2, _) => self.tiles::<S, 2, 2, 2, 4>(simd, job, x, y),
                (3, 16) => self.tiles::<S, 3, 2, 4, 4>(simd, job, x, y),
                (3, _) => self.tiles::<S, 3, 1, 1, 3>(simd, job, x, y),
                (4, 16) => self.tiles::<S, 4, 2, 2, 4>(simd, job, x, y),
                (4, _) => self.tiles::<S, 4, 1, 1, 2>(simd, job, x, y),
                (5, 16) => self.tiles::<S, 5, 1, 2, 4>(simd, job, x, y),
                (5, _) => self.tiles::<S, 5, 1, 1, 2>(simd, job, x, y),
                (_, 16) => self.tiles::<S, 6, 1, 2, 4>(simd, job, x, y),
                (..) => self.tiles::<S, 6, 1, 1, 2>(simd, job, x, y),
            }
            done += take;
        }
    }

    /// `R` rows, `P` panels at a time as far as they go, then singly with each sum in `WHOLE` parts, or in `HALF` where only
    /// the first vector of a panel has outputs.
    #[inline(always)]
    fn tiles<S: Simd, const R: usize, const P: usize, const WHOLE: usize, const HALF: usize>(
        &self,
        simd: S,
        mut job: Job,
        x: &[f32],
        y: &mut [f32],
    ) {
        let size = self.inputs * self.width;
        let rows: [&[f32]; R] = std::array::from_fn(|r| &x[r * job.stride..][..self.inputs]);
        let weights = self.weights.get::<f32>();
        // The last panel may be a half; it is left for the end.
        let whole = self.outputs.div_ceil(S::f32s::LEN) / VECTORS;
        let several = weights[..whole * size].chunks_exact(P * size);
        let rest = several.remainder();
        for panels in several {
            let panels = std::array::from_fn(|p| &panels[p * size..][..size]);
            self.tile::<S, R, P, VECTORS, 1>(simd, job, rows, panels, y);
            job.at += P * self.width;
        }
        for panel in rest.chunks_exact(size) {
            self.tile::<S, R, 1, VECTORS, WHOLE>(simd, job, rows, [panel], y);
            job.at += self.width;
        }
        for panel in weights[whole * size..].chunks_exact(size) {
            self.tile::<S, R, 1, 1, HALF>(simd, job, rows, [panel], y);
        }
    }

    /// `R` rows by `P` panels of which `V` vectors count, each sum in `C` parts: part `c` has every `C`th input from `c` on.
    #[inline(always)]
    fn tile<S: Simd, const R: usize, const P: usize, const V: usize, const C: usize>(
        &self,
        simd: S,
        job: Job,
        rows: [&[f32]; R],
        panels: [&[f32]; P],
        y: &mut [f32],
    ) {
        let Job { floor, stride, at } = job;
        let lanes = S::f32s::LEN;
        let width = VECTORS * lanes;
        let first: [[S::f32s; V]; P] = std::array::from_fn(|p| {
            std::array::from_fn(|v| {
                S::f32s::from_slice(simd, &self.bias[at + p * width + v * lanes..][..lanes])
            })
        });
        let mut parts = [[[[S::f32s::splat(simd, 0.0); V]; P]; R]; C];
        parts[0] = [first; R];
        let mut weights = panels.map(|panel| panel.chunks_exact(C * width));
        let whole = rows[0].len() / C * C;
        let mut k = 0;
        while k < whole {
            for (p, panel) in weights.iter_mut().enumerate() {
                let Some(inputs) = panel.next() else { return };
                for (c, sums) in parts.iter_mut().enumerate() {
                    let w: [S::f32s; V] = std::array::from_fn(|v| {
                        S::f32s::from_slice(simd, &inputs[c * width + v * lanes..][..lanes])
                    });
                    for (r, row) in rows.iter().enumerate() {
                        let input = S::f32s::splat(simd, row[k + c]);
                        for v in 0..V {
                            sums[r][p][v] = w[v].mul_add(input, sums[r][p][v]);
                        }
                    }
                }
            }
            k += C;
        }
        for (p, panel) in weights.iter().enumerate() {
            for (w, k) in panel.remainder().chunks_exact(width).zip(whole..) {
                for (r, row) in rows.iter().enumerate() {
                    let input = S::f32s::splat(simd, row[k]);
                    for v in 0..V {
                        let w = S::f32s::from_slice(simd, &w[v * lanes..][..lanes]);
                        // Always the first part: with a number that varies none of them would stay in registers.
                        parts[0][r][p][v] = w.mul_add(input, parts[0][r][p][v]);
                    }
                }
            }
        }
        let floor = S::f32s::splat(simd, floor);
        for r in 0..R {
            for p in 0..P {
                for v in 0..V {
                    let mut sum = parts[0][r][p][v];
                    for part in &parts[1..] {
                        sum += part[r][p][v];
                    }
                    let to = r * stride + at + p * width + v * lanes;
                    sum.max(floor).store_slice(&mut y[to..to + lanes]);
                }
            }
        }
    }
}

/// What a tile does besides its sums.
#[derive(Clone, Copy)]
struct Job {
    /// What a sum is raised to: 0 behind a hidden layer.
    floor: f32,
    stride: usize,
    /// The output that the tile begins with.
    at: usize,
}
