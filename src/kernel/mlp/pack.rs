//! How a row of numbers becomes words of four bytes, a vector at a time.
//!
//! Knows no layer. A word holds four inputs, and sums do not care which: here they lie a vector apart, so that packing them takes
//! shifts and no shuffle. Inputs are cut into blocks of four vectors; the rest is a block of shorter steps.

use fearless_simd::{Simd, prelude::*};

use super::byte_panels::FOUR;
use super::quant::{SHIFT, Scale, range_with};

/// Where input `k` of `inputs` lies for vectors of `lanes` words: its word, and its byte in it.
pub(super) const fn place(k: usize, inputs: usize, lanes: usize) -> (usize, usize) {
    let begin = k / (FOUR * lanes) * FOUR * lanes;
    let step = step(inputs - begin, lanes);
    let i = k - begin;
    (begin / FOUR + i % step, i / step)
}

/// Inputs between the bytes of a word in the block that `left` inputs begin.
const fn step(left: usize, lanes: usize) -> usize {
    if left < FOUR * lanes { left.div_ceil(FOUR) } else { lanes }
}

/// Packs the first `inputs` of `numbers` into `words`. Of what lies behind them up to a vector and two numbers are read, and up
/// to a vector of words behind the last one is written: it means nothing, and no weight but 0 meets it. `risen`: no number is
/// negative, so that the lowest is 0.
#[inline(always)]
pub(super) fn pack<S: Simd>(
    simd: S,
    numbers: &[f32],
    inputs: usize,
    risen: bool,
    words: &mut [i32],
) -> Scale {
    let lanes = S::f32s::LEN;
    let (lowest, highest) = if risen {
        (0.0, highest(simd, &numbers[..inputs]))
    } else {
        range(simd, &numbers[..inputs])
    };
    let (scale, inverse) = Scale::of(lowest, highest);
    let lowest = S::f32s::splat(simd, lowest);
    let mut begin = 0;
    while begin < inputs {
        let step = step(inputs - begin, lanes);
        let byte = |j: usize| -> S::i32s {
            let x = S::f32s::from_slice(simd, &numbers[begin + j * step..][..lanes]);
            let bits: S::i32s = ((x - lowest) * inverse + SHIFT).bitcast();
            bits & 0xff
        };
        let word = byte(0) | (byte(1) << 8) | (byte(2) << 16) | (byte(3) << 24);
        word.store_slice(&mut words[begin / FOUR..][..lanes]);
        begin += FOUR * lanes;
    }
    scale
}

/// Smallest and largest, 0 among them.
#[inline(always)]
fn range<S: Simd>(simd: S, numbers: &[f32]) -> (f32, f32) {
    let lanes = S::f32s::LEN;
    let zero = S::f32s::splat(simd, 0.0);
    let (mut low, mut high) = (zero, zero);
    let mut vectors = numbers.chunks_exact(lanes);
    for x in vectors.by_ref() {
        let x = S::f32s::from_slice(simd, x);
        low = x.min(low);
        high = x.max(high);
    }
    range_with((low.reduce_min(), high.reduce_max()), vectors.remainder())
}

/// The largest, or 0: in two turns, because a maximum waits for the one before it.
#[inline(always)]
fn highest<S: Simd>(simd: S, numbers: &[f32]) -> f32 {
    let lanes = S::f32s::LEN;
    let mut high = [S::f32s::splat(simd, 0.0); 2];
    let mut pairs = numbers.chunks_exact(2 * lanes);
    for pair in pairs.by_ref() {
        for (high, x) in high.iter_mut().zip(pair.chunks_exact(lanes)) {
            *high = S::f32s::from_slice(simd, x).max(*high);
        }
    }
    let mut last = pairs.remainder().chunks_exact(lanes);
    for x in last.by_ref() {
        high[0] = S::f32s::from_slice(simd, x).max(high[0]);
    }
    range_with((0.0, high[0].max(high[1]).reduce_max()), last.remainder()).1
}
