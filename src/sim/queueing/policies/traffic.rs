//! What has been arriving of each kind, of late: how often, how tight, and what a long chunk would cost of it.
//!
//! Knows no queue. One small record a kind, constant work an arrival.

use super::list::Item;
use crate::base::{Instant, Nanos};
use crate::sim::workload::ns;

#[derive(Clone, Copy, Debug)]
struct OfKind {
    last: Instant,
    /// Mean distance of arrivals; 0: none was seen.
    gap_ns: f64,
    slack: Nanos,
    value: u32,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Traffic {
    kinds: Vec<OfKind>,
    now: Instant,
}

/// The weight of the past in the mean distance.
const WEIGHT: f64 = 64.0;
/// A kind that has been away for so many of its mean distances no longer counts.
const AWAY: f64 = 64.0;

impl Traffic {
    pub(super) fn new(kinds: usize) -> Self {
        let none = OfKind { last: Instant::ZERO, gap_ns: 0.0, slack: Nanos::MAX, value: 0 };
        Self { kinds: vec![none; kinds], now: Instant::ZERO }
    }

    /// A job of that kind arrived, with that slack.
    pub(super) fn arrived(&mut self, now: Instant, kind: usize, value: u32, slack: Nanos) {
        self.now = now;
        let Some(k) = self.kinds.get_mut(kind) else { return };
        let gap = ns(now.since(k.last));
        k.gap_ns =
            if k.gap_ns == 0.0 { gap.max(1.0) } else { k.gap_ns + (gap - k.gap_ns) / WEIGHT };
        k.last = now;
        k.slack = slack;
        k.value = value;
    }

    fn about(&self) -> impl Iterator<Item = &OfKind> {
        self.kinds.iter().filter(|k| k.gap_ns > 0.0 && ns(self.now.since(k.last)) < AWAY * k.gap_ns)
    }

    /// The least slack of what is about.
    pub(super) fn tightest(&self) -> Nanos {
        self.about().map(|k| k.slack).min().unwrap_or(Nanos::MAX)
    }

    /// Whether running this job in such chunks loses more value, of jobs that arrive meanwhile and cannot wait for the end of
    /// a chunk, than the job is worth.
    pub(super) fn blocks(&self, item: &Item, chunk: Nanos, servers: u64) -> bool {
        let chunk = chunk.min(item.left);
        // One of several servers comes free so much sooner.
        let held = Nanos::new(chunk.get() / servers);
        let lost = self.about().fold(0.0, |sum, k| {
            sum + f64::from(k.value) * ns(held.saturating_sub(k.slack)) / k.gap_ns
        });
        lost * ns(item.left) > f64::from(item.job.value) * ns(chunk)
    }
}
