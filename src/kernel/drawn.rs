//! Kernels whose weights, patterns and taps are drawn, as users of each would have them: what benches run.
//!
//! Knows no payload: [`sample`](super::sample) makes those. Every draw is the same in every run, so that results can be compared.

use std::sync::Arc;

use rand::{Rng as _, RngCore as _, SeedableRng as _};
use rand_xoshiro::Xoshiro256PlusPlus;

use super::matching::Patterns;
use super::mlp::weights::{Layer, Model, WeightsError};
use super::mlp::{self, Output, Precision};

/// Widths of the layers of a wide perceptron, the one that all figures are given for, and of a narrow one, that of
/// `configs/score.toml`.
pub const WIDE: [usize; 4] = [64, 256, 256, 8];
/// See [`WIDE`].
pub const NARROW: [usize; 4] = [16, 32, 16, 1];
/// Patterns of a large set.
pub const PATTERNS: usize = 1_000;
/// Taps of a filter.
pub const TAPS: usize = 64;
/// Data and parity shards of a group.
pub const SHARDS: (usize, usize) = (10, 2);

/// Bytes of a pattern.
const PATTERN_LEN: std::ops::RangeInclusive<usize> = 6..=15;
/// A tap is at most so large: no sum of [`TAPS`] products overflows.
const TAP_MAX: i16 = 900;
/// No seed of a payload (those are small): patterns of the same draw would be in it.
const SEED: u64 = 1_000_003;

/// A perceptron of these widths, features first.
///
/// # Errors
/// Widths that are none.
pub fn perceptron(widths: &[usize], precision: Precision) -> Result<mlp::Spec, WeightsError> {
    let mut draw = Xoshiro256PlusPlus::seed_from_u64(SEED);
    let mut layers = Vec::new();
    for (inputs, outputs) in widths.iter().copied().zip(widths.iter().copied().skip(1)) {
        // So large that numbers neither fade nor grow from layer to layer (He et al. 2015, uniform).
        let size = (6.0 / u16::try_from(inputs).map_or(f32::INFINITY, f32::from)).sqrt();
        let weights = (0..inputs * outputs).map(|_| draw.random_range(-size..=size)).collect();
        layers.push(Layer { inputs, outputs, weights, bias: vec![0.1; outputs] });
    }
    let (weights, model) = ("drawn".to_owned(), Arc::new(Model::new(layers)?));
    Ok(mlp::Spec { weights, model, precision, output: Output::Linear, tag: 0 })
}

/// A set of `count` patterns of 6 to 15 bytes.
///
/// # Errors
/// As [`Patterns::new`].
pub fn patterns(count: usize) -> Result<Patterns, String> {
    let mut draw = Xoshiro256PlusPlus::seed_from_u64(SEED);
    let mut pattern = |_| {
        let mut bytes = vec![0; draw.random_range(PATTERN_LEN)];
        draw.fill_bytes(&mut bytes);
        bytes
    };
    Patterns::new((0..count).map(&mut pattern).collect())
}

/// Taps of a filter.
#[must_use]
pub fn taps() -> Vec<i16> {
    let mut draw = Xoshiro256PlusPlus::seed_from_u64(SEED);
    (0..TAPS).map(|_| draw.random_range(-TAP_MAX..=TAP_MAX)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_are_the_same_each_time_and_spread() {
        let spec = perceptron(&WIDE, Precision::F32).expect("widths fit");
        assert_eq!(spec, perceptron(&WIDE, Precision::F32).expect("the same"));
        let weights = &spec.model.layers()[0].weights;
        let size = (6.0_f32 / 64.0).sqrt();
        let (least, most) =
            weights.iter().fold((0.0_f32, 0.0_f32), |(a, b), w| (a.min(*w), b.max(*w)));
        assert!((-size..=-0.99 * size).contains(&least), "{least}");
        assert!((0.99 * size..=size).contains(&most), "{most}");
        let mean = weights.iter().sum::<f32>() / 16_384.0;
        assert!(mean.abs() < 0.02 * size, "{mean}");
        let taps = taps();
        assert!(taps.iter().all(|t| t.abs() <= TAP_MAX) && taps.iter().any(|t| *t > 450));
        assert!(taps.iter().any(|t| *t < -450), "{taps:?}");
        assert!(patterns(PATTERNS).is_ok() && patterns(0).is_err());
    }
}
