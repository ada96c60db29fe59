//! What a policy believes that jobs will take.
//!
//! Knows no order. The learned ones are the product's own [`ServiceEstimate`], fed with what jobs did take.

use super::Job;
use crate::base::{Instant, KernelId, Nanos, PerPriority};
use crate::sched::ServiceEstimate;
use crate::sched::estimate::bucket;
use crate::sim::workload::Kind;

/// How much is known of a job's size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sizes {
    /// All: an oracle tells it.
    Exact,
    /// What jobs of its kind took, learned: a kind is a kernel and a bucket of sizes.
    Kind,
    /// What jobs of its priority took, learned: seed 002.
    Class,
}

/// Beliefs, and how they are formed.
#[derive(Clone, Debug)]
pub struct Estimates {
    sizes: Sizes,
    learned: ServiceEstimate,
    /// The mean absolute deviation from the estimate, in 1/256 ns, by kind: how far to trust it.
    deviation: Vec<u64>,
}

impl Estimates {
    /// Beliefs about these kinds. Learned ones start as the product's do: with each kind run a few times beforehand.
    #[must_use]
    pub fn new(sizes: Sizes, kinds: &[Kind]) -> Self {
        let longest = |p| {
            let of = kinds.iter().filter(|k| k.priority == p).map(|k| k.budget);
            of.max().unwrap_or(Nanos::from_secs(1))
        };
        let mut learned = ServiceEstimate::new(&PerPriority::from_fn(longest), kinds.len());
        for (i, kind) in kinds.iter().enumerate() {
            let mean = super::super::workload::nanos(kind.service.mean_ns());
            learned.record_many(Instant::ZERO, of_kind(i), kind.priority, mean, 40);
        }
        Self { sizes, learned, deviation: vec![0; kinds.len()] }
    }

    /// How much is known.
    #[must_use]
    pub const fn sizes(&self) -> Sizes {
        self.sizes
    }

    /// What the whole job is expected to take.
    #[must_use]
    #[inline]
    pub fn whole(&self, job: &Job) -> Nanos {
        match self.sizes {
            Sizes::Exact => job.service,
            Sizes::Kind => self.learned.predict(of_kind(job.kind), job.priority),
            Sizes::Class => self.learned.ema(job.priority),
        }
    }

    /// What is left of it: never nothing while it runs. What has passed its estimate is expected to go on for as long as
    /// such jobs deviate on average (all there is to say of an exponential one, and little of one that is always the same).
    #[must_use]
    #[inline]
    pub fn left(&self, job: &Job) -> Nanos {
        if self.sizes == Sizes::Exact {
            return job.left;
        }
        let whole = self.whole(job);
        let least = self.deviation(job).max(Nanos::new(whole.get() / 64));
        whole.saturating_sub(job.done()).max(least.min(whole))
    }

    /// How far such jobs deviate from their estimate, on average.
    #[must_use]
    #[inline]
    pub fn deviation(&self, job: &Job) -> Nanos {
        match self.sizes {
            Sizes::Exact => Nanos::ZERO,
            _ => Nanos::new(self.deviation.get(job.kind).map_or(0, |d| d >> 8)),
        }
    }

    /// Takes in what a job did take.
    #[inline]
    pub fn record(&mut self, now: Instant, job: &Job, took: Nanos) {
        if self.sizes == Sizes::Exact {
            return;
        }
        let expected = self.whole(job);
        if let Some(d) = self.deviation.get_mut(job.kind) {
            let off = took.get().abs_diff(expected.get()).min(1 << 40) << 8;
            *d = *d - (*d >> 5) + (off >> 5);
        }
        self.learned.record(now, of_kind(job.kind), job.priority, took);
    }
}

fn of_kind(kind: usize) -> u16 {
    bucket(KernelId(u16::try_from(kind).unwrap_or(u16::MAX)), 0)
}
