//! Answers that came one after another and are counted in the same places: summed up here, and written there once.
//!
//! Knows no requests and no histograms.

use crate::base::Nanos;

/// Where an answer is counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) class: u16,
    pub(super) interval: u16,
    pub(super) stretch: u8,
    /// Of the log's intervals; 0 where there is no log.
    pub(super) second: u32,
}

/// Equal latencies one after another: those of a train mostly are.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Run {
    pub(super) latency: Nanos,
    pub(super) count: u64,
}

impl Run {
    /// One more latency; the run that it ends.
    #[inline]
    pub(super) fn add(&mut self, latency: Nanos) -> Option<Self> {
        if self.latency == latency {
            self.count += 1;
            return None;
        }
        let ended = std::mem::replace(self, Self { latency, count: 1 });
        (ended.count > 0).then_some(ended)
    }

    /// The run so far, which ends with it.
    pub(super) fn end(&mut self) -> Option<Self> {
        let ended = std::mem::take(self);
        (ended.count > 0).then_some(ended)
    }
}

/// What is written to a class, an interval and a stretch.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Sums {
    pub(super) answered: u64,
    pub(super) on_time: u64,
    pub(super) total: Nanos,
    pub(super) longest: Nanos,
}

impl Sums {
    /// Adds answers within or past `budget`.
    #[inline]
    pub(super) fn add(&mut self, run: Run, budget: Nanos) {
        self.answered += run.count;
        self.on_time += if run.latency <= budget { run.count } else { 0 };
        self.total += run.latency.saturating_mul(run.count);
        self.longest = self.longest.max(run.latency);
    }
}
