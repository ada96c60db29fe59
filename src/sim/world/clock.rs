//! A worker's virtual clock: it stands still until time is spent on it.
//!
//! Knows no events. Stalls are part of it: whatever a worker was doing when one begins, its time jumps over it, as when a
//! machine takes the core away.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use crate::base::{Clock, Instant, Nanos};

/// A span of time that a worker loses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stall {
    /// When it begins.
    pub at: Instant,
    /// For how long.
    pub lasts: Nanos,
}

/// The clock of one worker. Clones show the same time; only the thread that runs the worker moves it.
#[derive(Clone, Debug)]
pub struct VirtualClock(Arc<Line>);

#[derive(Debug)]
struct Line {
    now: AtomicU64,
    /// In the order of their times.
    stalls: Box<[Stall]>,
    next: AtomicUsize,
}

impl VirtualClock {
    /// A clock that shows `start`. Stalls come in the order of their times.
    #[must_use]
    pub fn new(start: Instant, stalls: Vec<Stall>) -> Self {
        Self(Arc::new(Line {
            now: AtomicU64::new(start.as_nanos()),
            stalls: stalls.into_boxed_slice(),
            next: AtomicUsize::new(0),
        }))
    }

    /// Something takes `span`, and whatever stalls begin meanwhile take their time too.
    pub fn spend(&self, span: Nanos) {
        let mut now = self.now() + span;
        while let Some(stall) = self.next_stall(now) {
            now = now + stall.lasts;
        }
        self.set(now);
    }

    /// The same for what is too short to be interrupted: a stall that would begin meanwhile begins behind it.
    pub fn pass(&self, span: Nanos) {
        self.set(self.now() + span);
    }

    /// Nothing happens until `until`; a stall on the way only counts for what of it lies behind that.
    pub fn rest_until(&self, until: Instant) {
        let mut now = self.now().max(until);
        while let Some(stall) = self.next_stall(now) {
            now = now.max(stall.at + stall.lasts);
        }
        self.set(now);
    }

    fn next_stall(&self, by: Instant) -> Option<Stall> {
        let next = self.0.next.load(Ordering::Relaxed);
        let stall = self.0.stalls.get(next).filter(|s| s.at <= by)?;
        self.0.next.store(next + 1, Ordering::Relaxed);
        Some(*stall)
    }

    fn set(&self, now: Instant) {
        self.0.now.store(now.as_nanos(), Ordering::Relaxed);
    }
}

impl Clock for VirtualClock {
    #[inline]
    fn now(&self) -> Instant {
        Instant::from_nanos(self.0.now.load(Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(us: u64) -> Instant {
        Instant::ZERO + Nanos::from_micros(us)
    }

    #[test]
    fn work_is_stretched_by_a_stall_and_rest_is_not() {
        let stall = |us, lasts| Stall { at: at(us), lasts: Nanos::from_micros(lasts) };
        let clock =
            VirtualClock::new(Instant::ZERO, vec![stall(10, 100), stall(115, 5), stall(300, 50)]);
        clock.spend(Nanos::from_micros(8));
        assert_eq!(clock.now(), at(8));
        // Two stalls, of which the first makes the second one's time come.
        clock.spend(Nanos::from_micros(12));
        assert_eq!(clock.now(), at(125));
        let behind = VirtualClock::new(Instant::ZERO, vec![stall(1, 100)]);
        behind.pass(Nanos::from_micros(2));
        assert_eq!(behind.now(), at(2));
        behind.spend(Nanos::from_micros(1));
        assert_eq!(behind.now(), at(103));
        clock.rest_until(at(400));
        assert_eq!(clock.now(), at(400));
        clock.rest_until(at(5));
        assert_eq!(clock.now(), at(400), "time does not run backwards");
    }
}
