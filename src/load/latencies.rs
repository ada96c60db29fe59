//! A latency histogram of fixed memory: 1 ns to two minutes at three significant digits.
//!
//! Knows nothing of what is measured.

use hdrhistogram::Histogram;
use serde::{Serialize, Serializer};

use crate::base::Nanos;

/// Longest latency told apart, in nanoseconds: twice the longest budget. What is longer counts as this long.
const LONGEST: u64 = 120_000_000_000;
/// Significant digits.
const DIGITS: u8 = 3;

/// Recorded latencies. Recording does not allocate.
#[derive(Clone, Debug, PartialEq)]
pub struct Latencies(Histogram<u64>);

impl Default for Latencies {
    fn default() -> Self {
        Self::new()
    }
}

impl Latencies {
    /// An empty histogram; all its memory (about 220 KiB) is taken now.
    ///
    /// # Panics
    /// Never: the bounds are constants that the histogram accepts.
    #[must_use]
    pub fn new() -> Self {
        let made = Histogram::new_with_bounds(1, LONGEST, DIGITS);
        Self(made.expect("1 <= low, 2 low <= high, digits <= 5"))
    }

    /// Records one latency.
    #[inline]
    pub fn record(&mut self, latency: Nanos) {
        self.0.saturating_record(latency.get());
    }

    /// Records `times` equal latencies.
    #[inline]
    pub fn record_many(&mut self, latency: Nanos, times: u64) {
        self.0.saturating_record_n(latency.get(), times);
    }

    /// How many were recorded.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.0.len()
    }

    /// The latency that a share of `quantile` (0 to 1) did not exceed; zero when nothing was recorded.
    #[must_use]
    pub fn at(&self, quantile: f64) -> Nanos {
        Nanos::new(self.0.value_at_quantile(quantile).min(self.0.max()))
    }

    /// The longest latency, to three digits; zero when nothing was recorded.
    #[must_use]
    pub fn max(&self) -> Nanos {
        Nanos::new(self.0.max())
    }

    /// The mean, in nanoseconds.
    #[must_use]
    pub fn mean_ns(&self) -> f64 {
        self.0.mean()
    }

    /// Adds all that `other` has recorded.
    pub fn merge(&mut self, other: &Self) {
        // Both have the same bounds, so nothing can be out of range.
        let added = self.0.add(&other.0);
        debug_assert!(added.is_ok());
    }

    /// The percentile curve: each share of all, and the nanoseconds that it did not exceed. Five steps for every halving of
    /// what is still above, so that the far end is drawn as finely as the middle; below 200 points.
    #[must_use]
    pub fn curve(&self) -> Vec<(f64, u64)> {
        let mut curve: Vec<(f64, u64)> = Vec::new();
        for step in self.0.iter_quantiles(5) {
            let point = (step.quantile(), step.value_iterated_to().min(self.0.max()));
            if curve.last().is_none_or(|last| *last != point) {
                curve.push(point);
            }
        }
        curve
    }

    /// The histogram itself, in nanoseconds.
    #[must_use]
    pub const fn histogram(&self) -> &Histogram<u64> {
        &self.0
    }
}

#[derive(Serialize)]
struct Summary {
    count: u64,
    mean_ns: f64,
    p50_ns: u64,
    p90_ns: u64,
    p99_ns: u64,
    p999_ns: u64,
    max_ns: u64,
    curve: Vec<(f64, u64)>,
}

impl Serialize for Latencies {
    /// The summary: count, mean, p50, p90, p99, p99.9, maximum and curve, in nanoseconds.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let summary = Summary {
            count: self.count(),
            mean_ns: self.mean_ns(),
            p50_ns: self.at(0.5).get(),
            p90_ns: self.at(0.9).get(),
            p99_ns: self.at(0.99).get(),
            p999_ns: self.at(0.999).get(),
            max_ns: self.max().get(),
            curve: self.curve(),
        };
        summary.serialize(serializer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_within_a_thousandth_and_what_is_too_long_is_held_at_the_end() {
        let mut l = Latencies::new();
        assert_eq!((l.at(0.99), l.max()), (Nanos::ZERO, Nanos::ZERO));
        for us in 1..=1_000 {
            l.record(Nanos::from_micros(us));
        }
        for (q, want) in [(0.5, 500_000), (0.99, 990_000), (1.0, 1_000_000)] {
            assert!(l.at(q).get().abs_diff(want) <= want / 1_000, "{q}: {}", l.at(q));
        }
        l.record(Nanos::MAX);
        assert!(l.max() >= Nanos::from_secs(120) && l.count() == 1_001);
    }

    #[test]
    fn the_curve_rises_to_the_maximum_and_agrees_with_the_quantiles() {
        let mut l = Latencies::new();
        assert!(l.curve().is_empty());
        for us in 1..=10_000 {
            l.record_many(Nanos::from_micros(us), 3);
        }
        l.record(Nanos::from_millis(70));
        let curve = l.curve();
        assert!(curve.is_sorted() && (10..200).contains(&curve.len()), "{}", curve.len());
        assert_eq!(curve.last().map(|(_, ns)| *ns), Some(l.max().get()));
        for (quantile, ns) in curve {
            let at = l.at(quantile).get();
            assert!(at.abs_diff(ns) <= at / 500, "{quantile}: {ns} {at}");
        }
    }

    #[test]
    fn merging_is_recording_into_one() {
        let (mut a, mut b, mut both) = (Latencies::new(), Latencies::new(), Latencies::new());
        for ns in [5, 70_000, 1_234_567] {
            a.record(Nanos::new(ns));
            b.record(Nanos::new(ns * 3));
            both.record(Nanos::new(ns));
            both.record(Nanos::new(ns * 3));
        }
        a.merge(&b);
        assert_eq!(a, both);
    }
}
