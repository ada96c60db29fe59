//! What of the machine's multiplications a perceptron uses: its own beside a loop that does nothing else, in the same rounds.
//!
//! The loop multiplies and adds in registers alone, twelve sums that do not wait for each other: a sum takes four cycles and two begin
//! in one, so eight would be enough.

use std::hint::black_box;

use fearless_simd::{Simd, prelude::*};
use punctual::kernel::mlp::Precision;
use punctual::kernel::simd::{Level, SimdChoice};

use crate::dense::{LARGE, model, ours, payloads, spec};
use crate::levels;
use crate::pairs::Side;
use crate::quartiles::quartiles;
use crate::work::Work;

const ROWS: [usize; 4] = [1, 4, 8, 32];
/// The share that is wanted from four rows on. One row reads every weight for a single product: it waits for the cache.
const GOAL: f64 = 0.8;
const CHAINS: usize = 12;
/// Of each chain, a run.
const STEPS: u32 = 4_000;

/// Runs the loop once.
struct Peak {
    level: Level,
    sum: f32,
}

impl Peak {
    /// Multiplications and additions of a run.
    fn flops(&self) -> f64 {
        let lanes = match self.level {
            Level::Scalar => 1,
            #[cfg(target_arch = "x86_64")]
            Level::Avx2(_) => 8,
            #[cfg(target_arch = "x86_64")]
            Level::Avx512(_) => 16,
        };
        f64::from(2 * STEPS) * (CHAINS * lanes) as f64
    }
}

impl Work for Peak {
    fn run(&mut self) {
        let (factor, plus) = black_box((0.999, 0.001));
        self.sum = black_box(match self.level {
            Level::Scalar => 0.0,
            #[cfg(target_arch = "x86_64")]
            Level::Avx2(token) => avx2(token, factor, plus),
            #[cfg(target_arch = "x86_64")]
            Level::Avx512(token) => avx512(token, factor, plus),
        });
    }

    fn answers(&self) -> Vec<Vec<u8>> {
        vec![self.sum.to_le_bytes().to_vec()]
    }
}

#[inline(always)]
fn chains<S: Simd>(simd: S, factor: f32, plus: f32) -> f32 {
    let mut sums = [S::f32s::splat(simd, 1.0); CHAINS];
    let (factor, plus) = (S::f32s::splat(simd, factor), S::f32s::splat(simd, plus));
    for _ in 0..STEPS {
        for sum in &mut sums {
            *sum = sum.mul_add(factor, plus);
        }
    }
    sums.into_iter().fold(0.0, |all, sum| all + sum.reduce_max())
}

#[cfg(target_arch = "x86_64")]
fearless_simd::kernel!(
    fn avx2(simd: Avx2, factor: f32, plus: f32) -> f32 {
        chains(simd, factor, plus)
    }
);

#[cfg(target_arch = "x86_64")]
fearless_simd::kernel!(
    fn avx512(simd: Avx512, factor: f32, plus: f32) -> f32 {
        chains(simd, factor, plus)
    }
);

/// Measures and prints; whether the shares are those that are wanted.
pub(crate) fn table(rounds: usize) -> bool {
    println!(
        "\nshare of the peak of multiply and add, mlp f32 64-256-256-8, {rounds} paired rounds: median (quartiles)"
    );
    println!("| level | peak, GFLOP/s | {} rows |", ROWS.map(|r| r.to_string()).join(" | "));
    println!("|---|---|{}", "---|".repeat(ROWS.len()));
    let mut reached = true;
    for simd in levels() {
        let Ok(level) = simd.resolve() else { continue };
        let (peak, shares) = measure(simd, level, rounds);
        let cell = |(rows, [low, middle, high]): (usize, [f64; 3])| {
            let short = rows >= 4 && middle < GOAL;
            reached &= !short;
            let missed = if short { " MISSED" } else { "" };
            format!("{middle:.2} ({low:.2}-{high:.2}){missed}")
        };
        let cells: Vec<String> = ROWS.into_iter().zip(shares).map(cell).collect();
        println!("| {} | {peak:.0} | {} |", simd.word(), cells.join(" | "));
    }
    reached
}

/// The median peak in GFLOP/s, and the quartiles of each batch's share of the peak of its round.
fn measure(simd: SimdChoice, level: Level, rounds: usize) -> (f64, Vec<[f64; 3]>) {
    let model = model(&LARGE);
    let spec = spec(&model, Precision::F32);
    let a_row: usize = LARGE.windows(2).map(|w| 2 * w[0] * w[1]).sum();
    let loop_ = Peak { level, sum: 0.0 };
    let flops = loop_.flops();
    let mut peak = Side::new("peak", loop_);
    let peak_turn = (peak.turn() / 4).max(1);
    let mut peaks = Vec::new();
    let mut all = Vec::new();
    for rows in ROWS {
        let mut side = Side::new(simd.word(), ours(&spec, simd, &payloads(&model, rows)));
        let turn = (side.turn() / 2).max(1);
        let mut shares = Vec::new();
        for _ in 0..rounds {
            // One before and one behind: what the clock does in between meets both.
            let before = flops / peak.time(peak_turn);
            let own = (a_row * rows) as f64 / side.time(turn);
            let behind = flops / peak.time(peak_turn);
            let most = f64::midpoint(before, behind);
            peaks.push(most);
            shares.push(own / most);
        }
        all.push(quartiles(shares));
    }
    (quartiles(peaks)[1], all)
}
