//! The circuit breaker of a device: how much of its time a minute may be used, and when it is left alone (seed 000).
//!
//! Knows no device. Several threads call it: every word is an atomic of its own, nobody waits, and what is admitted never
//! exceeds the limit in whatever order they come.

mod minute;
mod state;

#[cfg(punctual_loom)]
use loom::sync::atomic::{AtomicU32, Ordering};
use std::sync::Arc;
#[cfg(not(punctual_loom))]
use std::sync::atomic::{AtomicU32, Ordering};

use crate::base::{Instant, Nanos};
use minute::Minute;
pub use state::State;
use state::StateCell;

/// Seconds over which a device's time is counted.
pub const WINDOW_S: u64 = 60;
/// So many failures one after another open the breaker.
pub const FAILURES_MAX: u32 = 5;
/// It stays open for this long at first, and twice as long after every probe that fails.
pub const HOLD_MIN: Nanos = Nanos::from_secs(1);
/// It never stays open for longer than this on account of probes.
pub const HOLD_MAX: Nanos = Nanos::from_secs(60);
/// A probe is let through once less than this part of the limit is used, in percent.
const PROBE_BELOW_PERCENT: u64 = 90;

/// What a breaker holds to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// Device time in any 60 s; default 100 s: with one device that can never be reached, see [`Options::can_trip`].
    pub limit: Nanos,
    /// Batches on their way at once; default 64.
    pub queue_depth_limit: u32,
}

impl Default for Options {
    fn default() -> Self {
        Self { limit: Nanos::from_secs(100), queue_depth_limit: 64 }
    }
}

impl Options {
    /// Whether so many devices can use that much time in a minute: each has 60 s of it.
    #[must_use]
    pub const fn can_trip(&self, devices: u64) -> bool {
        self.limit.get() < Nanos::from_secs(WINDOW_S).saturating_mul(devices).get()
    }
}

/// Why a batch is kept from the device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The breaker is open, or its one probe is on the way.
    Open,
    /// This batch would exceed the limit, which opened the breaker.
    Exceeded,
    /// This batch alone is more than the limit: no reason to open.
    TooLong,
    /// As many are on their way as may be.
    QueueFull,
}

/// How a batch came back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It ran.
    Done,
    /// The device failed.
    Failed,
}

/// What a breaker shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Figures {
    /// Closed, open, half open.
    pub state: State,
    /// Device time of the last 60 s.
    pub used: Nanos,
    /// The same and what is promised to batches on their way.
    pub committed: Nanos,
    /// Batches on their way.
    pub in_flight: u32,
}

/// One device's breaker.
#[derive(Debug)]
pub struct Breaker {
    options: Options,
    minute: Minute,
    state: StateCell,
    in_flight: AtomicU32,
    failures: AtomicU32,
}

impl Breaker {
    /// A closed breaker, of which nothing is used.
    #[must_use]
    pub fn new(options: Options) -> Self {
        Self {
            options,
            minute: Minute::new(),
            state: StateCell::new(),
            in_flight: AtomicU32::new(0),
            failures: AtomicU32::new(0),
        }
    }

    /// Whether a batch might be admitted now: for a choice among backends, before anything is reserved.
    #[must_use]
    pub fn is_open_to_work(&self, now: Instant) -> bool {
        let room = self.in_flight.load(Ordering::Relaxed) < self.options.queue_depth_limit;
        room && (self.state.is_closed() || self.may_probe(now))
    }

    /// Asks for a batch that is estimated to take `estimate` of the device.
    ///
    /// # Errors
    /// Why it is kept from it; nothing is reserved then.
    pub fn admit(self: &Arc<Self>, now: Instant, estimate: Nanos) -> Result<Permit, Refusal> {
        if estimate > self.options.limit {
            return Err(Refusal::TooLong);
        }
        if !self.state.is_closed() && !self.may_probe(now) {
            return Err(Refusal::Open);
        }
        if !self.enter() {
            return Err(Refusal::QueueFull);
        }
        if !self.minute.reserve(now, estimate, self.options.limit) {
            self.leave();
            self.state.open(now);
            return Err(Refusal::Exceeded);
        }
        let Some(probe) = self.pass(now) else {
            self.minute.release(estimate);
            self.leave();
            return Err(Refusal::Open);
        };
        Ok(Permit { breaker: Arc::clone(self), estimate, probe, since: now, settled: false })
    }

    /// Lets a batch pass, and says whether as the probe: since the first look another thread may have opened the breaker, or
    /// closed it.
    fn pass(&self, now: Instant) -> Option<bool> {
        if self.state.is_closed() {
            return Some(false);
        }
        if self.state.begin_probe(now) {
            return Some(true);
        }
        self.state.is_closed().then_some(false)
    }

    /// How often each state was entered, in the order of [`State::ALL`].
    #[must_use]
    pub fn entered(&self) -> [u64; 3] {
        self.state.entered()
    }

    /// What it holds to.
    #[must_use]
    pub const fn options(&self) -> Options {
        self.options
    }

    /// Figures as of `now`.
    #[must_use]
    pub fn figures(&self, now: Instant) -> Figures {
        Figures {
            state: self.state.get(),
            used: self.minute.used(now),
            committed: self.minute.committed(now),
            in_flight: self.in_flight.load(Ordering::Relaxed),
        }
    }

    fn may_probe(&self, now: Instant) -> bool {
        let below = u128::from(self.options.limit.get()) * u128::from(PROBE_BELOW_PERCENT);
        self.state.held_long_enough(now) && u128::from(self.minute.used(now).get()) * 100 < below
    }

    /// One more on its way, unless there are enough.
    fn enter(&self) -> bool {
        let more = |n: u32| (n < self.options.queue_depth_limit).then_some(n + 1);
        self.in_flight.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).is_ok()
    }

    fn leave(&self) {
        self.in_flight.fetch_sub(1, Ordering::Relaxed);
    }

    fn settle(&self, permit: &Permit, now: Instant, actual: Nanos, outcome: Outcome) {
        self.minute.settle(now, permit.estimate, actual);
        self.leave();
        let failed = outcome == Outcome::Failed;
        if permit.probe {
            self.failures.store(0, Ordering::Relaxed);
            self.state.end_probe(now, !failed);
        } else if !failed {
            self.failures.store(0, Ordering::Relaxed);
        } else if self.failures.fetch_add(1, Ordering::Relaxed) + 1 >= FAILURES_MAX {
            self.failures.store(0, Ordering::Relaxed);
            self.state.open(now);
        }
    }
}

/// The right to run one batch. Dropped without having been settled it counts as a batch that failed and took what was
/// estimated: nobody can tell what the device did with it.
#[derive(Debug)]
#[must_use = "what is reserved stays reserved until it is settled"]
pub struct Permit {
    breaker: Arc<Breaker>,
    estimate: Nanos,
    probe: bool,
    since: Instant,
    settled: bool,
}

impl Permit {
    /// Whether this batch decides if the breaker closes again.
    #[must_use]
    pub const fn is_probe(&self) -> bool {
        self.probe
    }

    /// The batch is back: it took `actual` of the device.
    pub fn settle(mut self, now: Instant, actual: Nanos, outcome: Outcome) {
        self.settled = true;
        self.breaker.settle(&self, now, actual, outcome);
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if !self.settled {
            self.breaker.settle(self, self.since, self.estimate, Outcome::Failed);
        }
    }
}

#[cfg(all(test, not(punctual_loom)))]
mod tests;
