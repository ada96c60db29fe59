//! When a batch is overdue, and what a device is good for then.
//!
//! Knows no device: it is told what was started and what came back, and when.

use crate::base::{Instant, Nanos};
use crate::kernel::accel::Health;

/// So many overdue in a row, and the device counts as lost.
const STRIKES_MAX: u32 = 2;

/// Watches the oldest batch in flight.
#[derive(Clone, Copy, Debug)]
pub(super) struct Watch {
    limit: Nanos,
    /// Since when the oldest one has had the device to itself; none in flight if none.
    since: Option<Instant>,
    /// How many time-outs the oldest one has used up.
    marks: u32,
    /// How many time-outs without a batch in time between them.
    strikes: u32,
}

impl Watch {
    /// A batch may take `limit`, counted from when the one before it was back.
    pub(super) const fn new(limit: Nanos) -> Self {
        Self { limit, since: None, marks: 0, strikes: 0 }
    }

    /// A batch was started.
    pub(super) fn started(&mut self, now: Instant) {
        self.since.get_or_insert(now);
    }

    /// The oldest one is back; `more` are in flight behind it.
    pub(super) const fn back(&mut self, now: Instant, more: bool) {
        if self.marks == 0 {
            self.strikes = 0;
        }
        self.marks = 0;
        self.since = if more { Some(now) } else { None };
    }

    /// Looks at the clock. At most one strike a look: a watcher that was itself kept off its core saw nothing.
    pub(super) fn look(&mut self, now: Instant) {
        if self.left(now) == Nanos::ZERO {
            self.marks += 1;
            self.strikes += 1;
        }
    }

    /// Until the oldest one's next time-out.
    pub(super) fn left(&self, now: Instant) -> Nanos {
        let allowed = self.limit.saturating_mul(u64::from(self.marks) + 1);
        self.since.map_or(Nanos::MAX, |since| allowed.saturating_sub(now.since(since)))
    }

    /// What follows.
    pub(super) const fn health(&self) -> Health {
        match (self.strikes, self.marks) {
            (STRIKES_MAX.., _) => Health::Down,
            (_, 0) => Health::Ready,
            _ => Health::Suspect,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Nanos = Nanos::from_millis(10);

    fn at(ms: u64) -> Instant {
        Instant::ZERO + Nanos::from_millis(ms)
    }

    #[test]
    fn one_that_comes_back_late_is_forgiven_and_a_second_in_a_row_is_not() {
        let mut watch = Watch::new(LIMIT);
        watch.started(at(0));
        watch.look(at(9));
        assert_eq!(watch.health(), Health::Ready);
        watch.look(at(10));
        assert_eq!(watch.health(), Health::Suspect);
        watch.back(at(15), false);
        assert_eq!(watch.health(), Health::Ready);
        watch.started(at(20));
        watch.look(at(31));
        assert_eq!(watch.health(), Health::Down);
    }

    #[test]
    fn one_in_time_wipes_the_slate() {
        let mut watch = Watch::new(LIMIT);
        for round in [0, 100, 200] {
            watch.started(at(round));
            watch.look(at(round + 10));
            assert_eq!(watch.health(), Health::Suspect, "{round}");
            watch.back(at(round + 11), false);
            watch.started(at(round + 20));
            watch.back(at(round + 21), false);
        }
    }

    #[test]
    fn one_that_hangs_is_two_strikes() {
        let mut watch = Watch::new(LIMIT);
        watch.started(at(0));
        watch.look(at(500));
        assert_eq!(watch.health(), Health::Suspect, "one strike a look");
        watch.look(at(500));
        assert_eq!(watch.health(), Health::Down);
    }

    #[test]
    fn those_behind_are_counted_from_when_their_turn_came() {
        let mut watch = Watch::new(LIMIT);
        watch.started(at(0));
        watch.started(at(0));
        watch.back(at(8), true);
        watch.look(at(17));
        assert_eq!((watch.health(), watch.left(at(17))), (Health::Ready, Nanos::from_millis(1)));
        watch.back(at(17), false);
        watch.look(at(10_000));
        assert_eq!((watch.health(), watch.left(at(17))), (Health::Ready, Nanos::MAX));
    }
}
