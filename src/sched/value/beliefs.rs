//! How far estimates are to be trusted, and what value for time they amount to: one small record a bucket.
//!
//! Knows no estimate itself: `sched::estimate` has it, and hands in what it had expected.

use crate::base::Nanos;

/// One bucket's record. Zero: nothing is known.
#[derive(Clone, Copy, Debug, Default)]
struct OfBucket {
    /// Mean absolute deviation from what was expected, nanoseconds x 256.
    deviation: u64,
    /// Slow mean of what it took, nanoseconds x 256.
    mean: u64,
    /// What densities are computed by, nanoseconds.
    reference: u64,
}

/// The longest time that is taken in, 18 minutes: the sums then fit.
const LONGEST_NS: u64 = 1 << 40;
/// The weight of the past in a deviation: 2^5.
const DEVIATION_SHIFT: u32 = 5;
/// The weight of the past in the slow mean: 2^6. An exponential time leaves it within 9 % of the truth (one sigma).
const MEAN_SHIFT: u32 = 6;

/// See the module.
#[derive(Clone, Debug)]
pub struct Beliefs {
    buckets: Box<[OfBucket]>,
}

impl Beliefs {
    /// For that many buckets. All memory is allocated here.
    #[must_use]
    pub fn new(buckets: usize) -> Self {
        Self { buckets: vec![OfBucket::default(); buckets].into() }
    }

    /// Takes in what work of that bucket took, and what it had been expected to take.
    pub fn record(&mut self, bucket: u16, took: Nanos, expected: Nanos) {
        let Some(b) = self.buckets.get_mut(usize::from(bucket)) else { return };
        let took = took.get().clamp(1, LONGEST_NS);
        let off = took.abs_diff(expected.get().min(LONGEST_NS)) << 8;
        b.deviation = b.deviation - (b.deviation >> DEVIATION_SHIFT) + (off >> DEVIATION_SHIFT);
        let took = took << 8;
        b.mean = match b.mean {
            0 => took,
            mean => mean - (mean >> MEAN_SHIFT) + (took >> MEAN_SHIFT),
        };
        let mean = (b.mean >> 8).max(1);
        // Small drifts must not make equals unequal: they would push each other out of the line.
        if mean > b.reference + b.reference / 2 || mean < b.reference - b.reference / 3 {
            b.reference = mean;
        }
    }

    /// How far work of that bucket deviates from what is expected of it, on average.
    #[must_use]
    pub fn deviation(&self, bucket: u16) -> Nanos {
        Nanos::new(self.buckets.get(usize::from(bucket)).map_or(0, |b| b.deviation >> 8))
    }

    /// Value for time. Work of one bucket and value has one density as long as its mean stays within a third or so; before the
    /// first measurement it is that of `expected`.
    #[must_use]
    pub fn density(&self, bucket: u16, value: u32, expected: Nanos) -> u64 {
        let reference = self.buckets.get(usize::from(bucket)).map_or(0, |b| b.reference);
        density(value, if reference == 0 { expected } else { Nanos::new(reference) })
    }
}

/// Value for time, in units that keep eight digits for any time up to a second.
pub(super) fn density(value: u32, time: Nanos) -> u64 {
    (u64::from(value) << 30) / time.get().max(1)
}
