//! The histograms of a run second by second, for its log.
//!
//! Knows no clock: everything is counted where it was due. All memory is taken at construction, so that a run records into
//! it without allocating; a long run has longer intervals instead of more memory.

use crate::base::Nanos;
use crate::load::latencies::Latencies;

/// The shortest interval, of which others are whole multiples.
const SECOND: Nanos = Nanos::from_secs(1);
/// The most histograms: some 220 MiB. With one class they are 341 intervals, with three 146.
const HISTOGRAMS_MAX: u64 = 1_024;

/// One class in one interval.
#[derive(Clone, Debug, Default)]
pub(in crate::load) struct Pair {
    /// Latency from the intended send time.
    pub(in crate::load) corrected: Latencies,
    /// Latency from the actual send time.
    pub(in crate::load) raw: Latencies,
}

/// All intervals.
#[derive(Clone, Debug)]
pub struct Seconds {
    length: Nanos,
    classes: usize,
    /// Those of each interval together.
    pairs: Vec<Pair>,
    /// The generator's lateness, by interval.
    lateness: Vec<Latencies>,
}

impl Seconds {
    pub(in crate::load) fn new(duration: Nanos, classes: usize) -> Self {
        let most = (HISTOGRAMS_MAX / (2 * classes as u64 + 1)).max(1);
        let seconds = duration.get().div_ceil(SECOND.get()).max(1);
        let length = SECOND.saturating_mul(seconds.div_ceil(most));
        let count = usize::try_from(duration.get().div_ceil(length.get())).unwrap_or(1).max(1);
        Self {
            length,
            classes,
            pairs: vec![Pair::default(); count * classes],
            lateness: vec![Latencies::default(); count],
        }
    }

    /// The interval in which `at`, counted from the start, lies; the last one takes what is beyond.
    #[inline]
    pub(in crate::load) fn number_of(&self, at: Nanos) -> u32 {
        let last = self.lateness.len() - 1;
        let number = usize::try_from(at.get() / self.length.get()).unwrap_or(last).min(last);
        u32::try_from(number).unwrap_or(u32::MAX)
    }

    #[inline]
    pub(in crate::load) fn pair(&mut self, number: u32, class: u16) -> &mut Pair {
        &mut self.pairs[number as usize * self.classes + usize::from(class)]
    }

    #[inline]
    pub(in crate::load) fn lateness(&mut self, number: u32) -> &mut Latencies {
        &mut self.lateness[number as usize]
    }

    /// The length of an interval.
    pub(in crate::load) const fn length(&self) -> Nanos {
        self.length
    }

    /// Interval by interval: the classes, and the generator's lateness.
    pub(in crate::load) fn iter(&self) -> impl Iterator<Item = (&[Pair], &Latencies)> {
        self.pairs.chunks(self.classes.max(1)).zip(&self.lateness)
    }

    pub(super) fn merge(&mut self, other: &Self) {
        for (mine, theirs) in self.pairs.iter_mut().zip(&other.pairs) {
            mine.corrected.merge(&theirs.corrected);
            mine.raw.merge(&theirs.raw);
        }
        for (mine, theirs) in self.lateness.iter_mut().zip(&other.lateness) {
            mine.merge(theirs);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_run_has_longer_intervals_and_no_more_memory() {
        let s = Seconds::new(Nanos::from_millis(2_500), 2);
        assert_eq!((s.length(), s.iter().count()), (SECOND, 3));
        let number = |ms| s.number_of(Nanos::from_millis(ms));
        assert_eq!([0, 999, 1_000, 2_499, 9_000].map(number), [0, 0, 1, 2, 2]);
        let long = Seconds::new(Nanos::from_secs(3_600), 60);
        assert_eq!((long.length(), long.iter().count()), (Nanos::from_secs(450), 8));
        let (pairs, _) = long.iter().last().unwrap();
        assert_eq!(pairs.len(), 60);
    }
}
