//! A small queueing engine: jobs, servers and one policy that decides, for comparing policies with each other.
//!
//! Knows no packets and no sockets: `sim::world` runs the real worker; this runs the ideas, a hundred times as fast, so that
//! every idea can be tried on every workload before the best becomes the worker's.

pub mod compare;
mod engine;
mod estimates;
pub mod optimum;
mod outcome;
pub mod policies;
pub mod reference;

pub use engine::{Costs, Engine};
pub use estimates::{Estimates, Sizes};
pub use outcome::{Calibration, KindOutcome, Outcome, WaitMean};

use crate::base::{Instant, Nanos, Priority};

/// A job as the engine and the policies hand it about.
///
/// `service` and `left` are the truth. A policy that is not said to know sizes asks its [`Estimates`] instead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Job {
    /// Its number, in the order of arrival.
    pub id: u64,
    /// Its kind's place in the workload.
    pub kind: usize,
    /// Its class.
    pub priority: Priority,
    /// What it is worth on time.
    pub value: u32,
    /// When it arrived.
    pub released: Instant,
    /// When it must be done.
    pub deadline: Instant,
    /// What it takes in all.
    pub service: Nanos,
    /// What it still takes.
    pub left: Nanos,
}

impl Job {
    /// What it has been given so far.
    #[must_use]
    #[inline]
    pub const fn done(&self) -> Nanos {
        self.service.saturating_sub(self.left)
    }
}

/// Why a job was not finished.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(usize)]
pub enum Gone {
    /// The queue was full.
    Full,
    /// Its deadline had passed.
    Expired,
    /// It was predicted to miss its deadline.
    PredictedMiss,
    /// It gave way to what is worth more for its time.
    Evicted,
    /// Queue management dropped it, to keep waits short.
    Managed,
    /// It had been let in, and could no longer make it when its turn came or while it ran.
    Abandoned,
}

impl Gone {
    /// How many there are.
    pub const COUNT: usize = 6;
    /// All of them.
    pub const ALL: [Self; Self::COUNT] = [
        Self::Full,
        Self::Expired,
        Self::PredictedMiss,
        Self::Evicted,
        Self::Managed,
        Self::Abandoned,
    ];

    /// Its name in reports.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Expired => "expired",
            Self::PredictedMiss => "predicted_miss",
            Self::Evicted => "evicted",
            Self::Managed => "managed",
            Self::Abandoned => "abandoned",
        }
    }
}

/// Jobs that a policy gave up in one call; the engine empties it after each.
pub type Drops = Vec<(Job, Gone)>;

/// What a server is to do next.
#[derive(Clone, Copy, Debug)]
pub struct Slice {
    /// The job.
    pub job: Job,
    /// At most so long before the policy is asked again. [`Nanos::MAX`]: to its end.
    pub at_most: Nanos,
}

impl Slice {
    /// The job, to its end.
    #[must_use]
    pub const fn whole(job: Job) -> Self {
        Self { job, at_most: Nanos::MAX }
    }
}

/// Who waits, who runs, who is dropped. Each job handed to a policy comes back by [`Policy::next`] or among the drops.
pub trait Policy {
    /// A job arrived: keep it, or drop it (or others).
    fn arrive(&mut self, now: Instant, job: Job, drops: &mut Drops);

    /// A server is free. `paused` is what it was doing and has not finished: it is the policy's again.
    fn next(
        &mut self,
        now: Instant,
        server: usize,
        paused: Option<Job>,
        drops: &mut Drops,
    ) -> Option<Slice>;

    /// A job was finished; it was on its server for `took` in all. [`Policy::next`] follows.
    fn finished(&mut self, now: Instant, server: usize, job: &Job, took: Nanos) {
        let _ = (now, server, job, took);
    }

    /// Whether a job that just arrived is to interrupt a server at once, and which. Asked after each arrival.
    fn interrupts(&mut self, now: Instant) -> Option<usize> {
        let _ = now;
        None
    }

    /// How many jobs wait.
    fn waiting(&self) -> usize;

    /// How honest its predictions were, where it makes any.
    fn calibration(&self) -> Option<Calibration> {
        None
    }
}

#[cfg(test)]
mod tests;
