//! What a run came to: counts by kind, waits, percentiles, and how honest the predictions were.
//!
//! Knows no policy. Only jobs released after the warm-up are counted.

use hdrhistogram::Histogram;

use super::{Engine, Gone, Job};
use crate::base::{Instant, Nanos};
use crate::sim::workload::ns;

/// One kind's part.
#[derive(Clone, Debug)]
pub struct KindOutcome {
    /// Jobs that arrived.
    pub offered: u64,
    /// Finished by their deadline.
    pub on_time: u64,
    /// Finished after it.
    pub late: u64,
    /// Not finished, by reason ([`Gone`]).
    pub dropped: [u64; Gone::COUNT],
    /// Nanoseconds from arrival to end, finished jobs only. Empty unless [`Engine::histograms`].
    pub sojourn: Histogram<u64>,
}

/// The mean wait from arrival to first start.
#[derive(Clone, Copy, Debug, Default)]
pub struct WaitMean {
    sum_ns: f64,
    count: u64,
}

impl WaitMean {
    /// The mean, in nanoseconds; zero when nothing was started.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "2^53 jobs are never run")]
    pub fn mean_ns(&self) -> f64 {
        if self.count == 0 { 0.0 } else { self.sum_ns / self.count as f64 }
    }
}

/// How honest a policy's predictions were.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Calibration {
    /// Predicted misses that were run all the same, to see.
    pub checked: u64,
    /// Of those, how many were on time.
    pub wrongful: u64,
    /// Jobs promised to be on time.
    pub promised: u64,
    /// Promised, kept until their turn, and late: finished late, or given up at dispatch or while running.
    pub broken: u64,
}

impl Calibration {
    /// The share of predicted misses that would have been on time.
    #[must_use]
    pub fn wrongful_ratio(&self) -> f64 {
        ratio(self.wrongful, self.checked)
    }

    /// The share of promises that were broken.
    #[must_use]
    pub fn broken_ratio(&self) -> f64 {
        ratio(self.broken, self.promised)
    }
}

/// What a run came to.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// By kind.
    pub kinds: Vec<KindOutcome>,
    /// Waits of all that were started.
    pub wait: WaitMean,
    /// Work that ended on time, and all work that was done.
    pub useful: Nanos,
    /// See [`Outcome::useful`].
    pub done: Nanos,
    /// A hundred times sojourn by service, finished jobs. Empty unless [`Engine::histograms`].
    pub slowdown: Histogram<u64>,
    /// On time, by the step of their release, where steps were asked for: (offered, on time).
    pub steps: Vec<(u64, u64)>,
    /// Jobs that still waited when everything had ended: 0 unless a policy leaves servers idle.
    pub left_over: u64,
    /// Where the policy predicts.
    pub calibration: Option<Calibration>,
    warm_up: Instant,
    histograms: bool,
    step: Nanos,
}

#[expect(clippy::cast_precision_loss, reason = "2^53 jobs are never run")]
fn ratio(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

fn histogram() -> Histogram<u64> {
    // It grows as it needs to, so that recording never fails.
    Histogram::new(3).unwrap_or_else(|_| unreachable!("three digits are legal"))
}

impl Outcome {
    pub(super) fn new(kinds: usize, engine: &Engine) -> Self {
        let kind = || KindOutcome {
            offered: 0,
            on_time: 0,
            late: 0,
            dropped: [0; Gone::COUNT],
            sojourn: histogram(),
        };
        Self {
            kinds: (0..kinds).map(|_| kind()).collect(),
            wait: WaitMean::default(),
            useful: Nanos::ZERO,
            done: Nanos::ZERO,
            slowdown: histogram(),
            steps: Vec::new(),
            left_over: 0,
            calibration: None,
            warm_up: engine.warm_up,
            histograms: engine.histograms,
            step: engine.step,
        }
    }

    fn step_of(&mut self, job: &Job) -> Option<&mut (u64, u64)> {
        let step = self.step.get();
        if step == 0 {
            return None;
        }
        let n = usize::try_from(job.released.as_nanos() / step).ok()?;
        if n >= self.steps.len() {
            self.steps.resize(n + 1, (0, 0));
        }
        self.steps.get_mut(n)
    }

    pub(super) fn offered(&mut self, job: &Job) {
        if job.released >= self.warm_up {
            self.kinds[job.kind].offered += 1;
            if let Some(step) = self.step_of(job) {
                step.0 += 1;
            }
        }
    }

    pub(super) fn started(&mut self, now: Instant, job: &Job) {
        if job.released >= self.warm_up {
            self.wait.sum_ns += ns(now.since(job.released));
            self.wait.count += 1;
        }
    }

    pub(super) fn finished(&mut self, now: Instant, job: &Job) {
        if job.released < self.warm_up {
            return;
        }
        self.done += job.service;
        let in_time = now <= job.deadline;
        if in_time {
            self.useful += job.service;
            if let Some(step) = self.step_of(job) {
                step.1 += 1;
            }
        }
        let kind = &mut self.kinds[job.kind];
        if in_time {
            kind.on_time += 1;
        } else {
            kind.late += 1;
        }
        if self.histograms {
            let sojourn = now.since(job.released).get().max(1);
            let _ = kind.sojourn.record(sojourn);
            let slowdown = sojourn.saturating_mul(100) / job.service.get().max(1);
            let _ = self.slowdown.record(slowdown.max(1));
        }
    }

    pub(super) fn dropped(&mut self, job: &Job, why: Gone) {
        if job.released >= self.warm_up {
            self.kinds[job.kind].dropped[why as usize] += 1;
            self.done += job.done();
        }
    }

    /// All jobs that arrived.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.kinds.iter().map(|k| k.offered).sum()
    }

    /// The share of all jobs that was on time.
    #[must_use]
    pub fn on_time(&self) -> f64 {
        ratio(self.kinds.iter().map(|k| k.on_time).sum(), self.total())
    }

    /// The share of all jobs that was finished late.
    #[must_use]
    pub fn late(&self) -> f64 {
        ratio(self.kinds.iter().map(|k| k.late).sum(), self.total())
    }

    /// The share of all jobs that was dropped for that reason.
    #[must_use]
    pub fn dropped_share(&self, why: Gone) -> f64 {
        ratio(self.kinds.iter().map(|k| k.dropped[why as usize]).sum(), self.total())
    }

    /// The share of one kind's jobs that was on time.
    #[must_use]
    pub fn kind_on_time(&self, kind: usize) -> f64 {
        self.kinds.get(kind).map_or(0.0, |k| ratio(k.on_time, k.offered))
    }

    /// The share of the work done that ended on time.
    #[must_use]
    pub fn useful_share(&self) -> f64 {
        ratio(self.useful.get(), self.done.get())
    }

    /// Whether every job that arrived is in one of the counts.
    #[must_use]
    pub fn conserved(&self) -> bool {
        let ended: u64 =
            self.kinds.iter().map(|k| k.on_time + k.late + k.dropped.iter().sum::<u64>()).sum();
        ended + self.left_over == self.total() || self.warm_up > Instant::ZERO
    }
}
