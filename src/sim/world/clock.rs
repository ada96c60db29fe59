//! A worker's virtual clock: it stands still until time is spent on it.
//!
//! Knows no events. Stalls are part of it: whatever a worker was doing when one begins, its time jumps over it, as when a
//! machine takes the core away. So is the core's pace: what is spent while it is slow takes longer.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use crate::base::{Clock, Instant, Nanos};
use crate::sim::workload::{nanos, ns};

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
    /// From when on things take how many times as long, in the order of their times.
    pace: Box<[(Instant, f64)]>,
    /// Which of those holds.
    pacing: AtomicUsize,
}

impl VirtualClock {
    /// A clock that shows `start`. Stalls come in the order of their times.
    #[must_use]
    pub fn new(start: Instant, stalls: Vec<Stall>) -> Self {
        Self::paced(start, stalls, Vec::new())
    }

    /// The same for a core whose `pace` changes: from each of these times on, ascending, what is spent takes so many times as long. The
    /// first holds from the beginning.
    #[must_use]
    pub fn paced(start: Instant, stalls: Vec<Stall>, pace: Vec<(Instant, f64)>) -> Self {
        Self(Arc::new(Line {
            now: AtomicU64::new(start.as_nanos()),
            stalls: stalls.into_boxed_slice(),
            next: AtomicUsize::new(0),
            pace: pace.into_boxed_slice(),
            pacing: AtomicUsize::new(0),
        }))
    }

    /// Something takes `span`, and whatever stalls begin meanwhile take their time too.
    pub fn spend(&self, span: Nanos) {
        let mut now = self.now() + self.stretched(span);
        while let Some(stall) = self.next_stall(now) {
            now = now + stall.lasts;
        }
        self.set(now);
    }

    /// What is spent now, as long as it takes at the pace of now.
    fn stretched(&self, span: Nanos) -> Nanos {
        let Line { pace, pacing, .. } = &*self.0;
        if pace.is_empty() {
            return span;
        }
        let mut at = pacing.load(Ordering::Relaxed);
        while pace.get(at + 1).is_some_and(|(from, _)| *from <= self.now()) {
            at += 1;
        }
        pacing.store(at, Ordering::Relaxed);
        nanos(ns(span) * pace[at].1)
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

    #[test]
    fn a_slow_core_takes_longer_for_the_same() {
        let pace = vec![(at(100), 2.0), (at(200), 1.5)];
        let clock = VirtualClock::paced(Instant::ZERO, Vec::new(), pace);
        clock.spend(Nanos::from_micros(10));
        assert_eq!(clock.now(), at(20), "the first pace holds from the beginning");
        clock.rest_until(at(199));
        assert_eq!(clock.now(), at(199), "rest takes no longer");
        clock.spend(Nanos::from_micros(2));
        assert_eq!(clock.now(), at(203), "the pace is that of the beginning");
        clock.spend(Nanos::from_micros(2));
        assert_eq!(clock.now(), at(206));
    }

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
