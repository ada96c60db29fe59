//! The overload policy: deadline order while the work fits, value order when it does not.
//!
//! Knows no packet, kernel or clock: an item is any small `Copy` value, what it will take and what it is worth are given, and
//! time is an argument. Nothing is allocated after construction, and every decision has a bound: see each method.
//!
//! Weighted online Moore-Hodgson (J. M. Moore, Management Science 15, 1968) decides what is *promised*: when a newcomer makes
//! somebody late, the least value for its time among those up to there goes, never of a higher priority than the
//! newcomer's. Around it stands what the textbook leaves out: promises allow for what estimates do not know; who
//! was refused waits as a spare, for time that comes free; who would be late in its place and is worth more for its time than
//! the head goes first. docs/policies.md has the figures.

mod beliefs;
mod block;
mod line;
mod pressure;
mod promises;
mod spares;
#[cfg(test)]
mod tests;

pub use beliefs::Beliefs;
pub use pressure::Pressure;
pub use promises::{Given, Options, Promises, Terms};

use crate::base::{Instant, Nanos, Priority};

/// Where an entry stands: deadline, then priority, then arrival.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key {
    /// What it is queued by: its deadline, or a later one where its flow's order asks for that.
    pub by: Instant,
    /// Its class.
    pub priority: Priority,
    /// Its number in the order of arrival.
    pub seq: u64,
}

/// What asks to be promised, and comes back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry<T> {
    /// Its place in line.
    pub key: Key,
    /// Its own deadline.
    pub deadline: Instant,
    /// What it is believed still to take.
    pub service: Nanos,
    /// How far such work deviates from that, on average. Counted up to 2^26 ns (67 ms).
    pub deviation: Nanos,
    /// Value for its time ([`Beliefs::density`]).
    pub density: u64,
    /// Its flow's order counts: it is not run before an earlier one of its priority, and does not wait in reserve.
    pub bound: bool,
    /// What it is.
    pub item: T,
}

/// The longest service that is counted: sums over a full line then fit 64 bits.
const SERVICE_NS_MAX: u64 = 1 << 40;
/// The longest deviation that is counted: sums of its squares over a full line then fit 64 bits.
const DEVIATION_NS_MAX: u64 = 1 << 26;
/// The most that may be promised at a time.
const CAPACITY_MAX: usize = 1 << 11;

const _: () = assert!(
    DEVIATION_NS_MAX.pow(2).checked_mul(CAPACITY_MAX as u64).is_some(),
    "the squared deviations of a full line and of what runs"
);
const _: () = assert!(CAPACITY_MAX >= crate::base::limits::QUEUE_TOTAL_MAX, "a worker's queue");

impl<T> Entry<T> {
    /// The square of its deviation, in square nanoseconds.
    fn variance(&self) -> u64 {
        self.deviation.get().min(DEVIATION_NS_MAX).pow(2)
    }

    /// Whether how much of it is done says nothing of when it will be: such work deviates by five eighths of what is left or more
    /// (exponential times by 0.74).
    fn is_unknown(&self) -> bool {
        const _: () = assert!(SERVICE_NS_MAX.checked_mul(8).is_some(), "the products");
        self.deviation > Nanos::ZERO
            && self.deviation.get().saturating_mul(8) >= self.service.get().saturating_mul(5)
    }

    /// Whether it could still make it if it were started now.
    fn is_viable(&self, now: Instant) -> bool {
        now + self.service <= self.deadline
    }

    /// Spares: the best has the most value for its time. Of equals it is the latest deadline, which is the least likely to be
    /// missed. Where all of them `fit` and it is not known what they take it is the earliest: earliest deadline first is then the best
    /// of all orders (P. P. Bhattacharya, A. Ephremides, IEEE Trans. Automatic Control 34, 1989).
    fn worth(&self, fit: bool) -> (u64, u64) {
        let by = self.deadline.as_nanos();
        (self.density, if fit && self.is_unknown() { u64::MAX - by } else { by })
    }
}
