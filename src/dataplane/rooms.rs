//! Which classes are read without restraint, and which only now and then.
//!
//! Knows no sockets. A class below High is *starving* when of late nearly all of its packets have been refused for want of
//! time: the classes above it take everything. Then whatever is read of it is read only to be dropped, which costs about
//! half a microsecond a packet, and at ten times saturation that would be a fifth of the core. So a worker that has other
//! work looks at its starving classes once in 4 ms, for one message each, until more of its packets are run again. What lies in
//! front of a full buffer has expired, so that such a look says little: every now and then the class is read without restraint for a
//! moment, to see. Where that finds nothing to run, which costs the classes above it a millisecond, the next time is twice as far off.

use crate::base::limits::IO_BATCH_ROOM;
use crate::base::token_bucket::TokenBucket;
use crate::base::{Instant, Nanos, PerPriority, Priority};

/// Time between two looks at starving classes while there is other work: one message, which may be a train.
const LOOK_EVERY: Nanos = Nanos::from_millis(4);
/// Messages taken from a starving class by a worker that has nothing else to do: read sparingly all the same, so that a
/// driver does not start and stop listening for every lull.
const IDLE_ROOM: u32 = 2;
/// A class starves when it has more than this many packets refused for each one that is run.
const REFUSED_PER_SERVED: u32 = 32;
/// The sums halve about every three ticks of this: a class is judged by its last 15 to 20 ms.
const TICK: Nanos = Nanos::from_millis(5);

/// A class that was read without restraint for nothing starves for at most so many ticks until the next time: 640 ms.
const HOLD_MAX: u32 = 128;

#[derive(Clone, Copy, Debug, Default)]
struct Lately {
    refused: u32,
    served: u32,
    starving: bool,
    /// It starves by itself, not because a class above it does.
    denied: bool,
    /// For so many ticks it does so whatever is seen.
    hold: u32,
    /// How many the next time.
    next_hold: u32,
}

impl Lately {
    /// Whether nearly all was refused of late.
    fn judge(&mut self) {
        let refused =
            self.refused > REFUSED_PER_SERVED.saturating_mul(self.served.saturating_add(1));
        match (self.denied, refused) {
            (false, true) => {
                self.denied = true;
                self.hold = self.next_hold;
                self.next_hold = (self.next_hold * 2).clamp(1, HOLD_MAX);
            }
            (false, false) => self.next_hold /= 2,
            (true, _) => {
                self.hold = self.hold.saturating_sub(1);
                // Most of what was looked at has been run: a worker that has time reads on, whatever was.
                let is_served = self.served > self.refused;
                self.denied = !is_served && (refused || self.hold > 0);
            }
        }
    }
}

/// See the module.
#[derive(Debug)]
pub(super) struct Rooms {
    lately: PerPriority<Lately>,
    ticked: Instant,
    looks: TokenBucket,
}

impl Default for Rooms {
    fn default() -> Self {
        Self {
            lately: PerPriority::default(),
            ticked: Instant::ZERO,
            looks: TokenBucket::new(LOOK_EVERY, 1, Instant::ZERO),
        }
    }
}

impl Rooms {
    /// How many messages of that class may be read now; `busy`: packets are queued.
    #[inline]
    pub(super) fn of(&mut self, class: Priority, busy: bool, now: Instant) -> u32 {
        match (self.lately[class].starving, busy) {
            (false, _) => IO_BATCH_ROOM,
            (true, false) => IDLE_ROOM,
            (true, true) => self.looks.available(now),
        }
    }

    /// A message of that class was read.
    #[inline]
    pub(super) fn read(&mut self, class: Priority, now: Instant) {
        if self.lately[class].starving {
            self.looks.take_up_to(1, now);
        }
    }

    /// So many packets of that class were dropped at the gates for want of time.
    #[inline]
    pub(super) fn refused(&mut self, class: Priority, count: u32) {
        let lately = &mut self.lately[class];
        lately.refused = lately.refused.saturating_add(count);
    }

    /// So many packets of that class are run.
    #[inline]
    pub(super) fn served(&mut self, class: Priority, count: u32) {
        let lately = &mut self.lately[class];
        lately.served = lately.served.saturating_add(count);
    }

    /// One that was counted as served has been put back.
    pub(super) fn put_back(&mut self, class: Priority) {
        let lately = &mut self.lately[class];
        lately.served = lately.served.saturating_sub(1);
    }

    /// When a starving class is to be looked at again: a worker must not sleep past it.
    #[inline]
    pub(super) fn next_look(&self, now: Instant) -> Option<Instant> {
        let starving = self.lately.iter().any(|(_, l)| l.starving);
        starving.then(|| now + LOOK_EVERY)
    }

    /// Which classes starve.
    pub(super) fn starving(&self) -> PerPriority<bool> {
        PerPriority::from_fn(|p| self.lately[p].starving)
    }

    /// Time has passed: classes are judged anew.
    pub(super) fn tick(&mut self, now: Instant) {
        if now.since(self.ticked) < TICK {
            return;
        }
        self.ticked = now;
        let mut above = false;
        for (class, l) in self.lately.iter_mut() {
            // High is always read: nothing is above it, and its budget is shorter than what a full buffer holds.
            if class != Priority::High {
                l.judge();
                l.starving = above || l.denied;
            }
            // What a class above is denied is not for those below it.
            above |= l.starving;
            l.refused -= l.refused / 4;
            l.served -= l.served / 4;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Instant {
        Instant::ZERO + Nanos::from_millis(ms)
    }

    #[test]
    fn a_starving_class_is_looked_at_now_and_then_and_read_again_once_it_is_served() {
        let mut rooms = Rooms::default();
        let medium = Priority::Medium;
        (0..200).for_each(|_| rooms.refused(medium, 1));
        rooms.served(medium, 1);
        assert_eq!(rooms.of(medium, true, at(100)), IO_BATCH_ROOM);
        rooms.tick(at(100));
        assert_eq!(rooms.of(medium, true, at(100)), 1);
        rooms.read(medium, at(100));
        assert_eq!(rooms.of(medium, true, at(100)), 0);
        assert_eq!(rooms.of(medium, false, at(100)), IDLE_ROOM);
        assert_eq!(rooms.of(medium, true, at(104)), 1);
        (0..10).for_each(|_| rooms.served(medium, 1));
        rooms.tick(at(105));
        assert_eq!(rooms.of(medium, true, at(105)), IO_BATCH_ROOM);
    }

    /// What is read without restraint and refused all the same is so less and less often.
    #[test]
    fn a_class_that_is_read_for_nothing_is_left_alone_for_longer_each_time() {
        let mut rooms = Rooms::default();
        let low = Priority::Low;
        let mut opened = Vec::new();
        let ticks = 1_000;
        for n in 1..=ticks {
            let room = rooms.of(low, true, at(5 * n));
            let read = if room == IO_BATCH_ROOM { 2_000 } else { 1 };
            if room == IO_BATCH_ROOM {
                opened.push(n);
            }
            rooms.refused(low, read);
            // A probe in 100 ms is run: that alone opens nothing.
            rooms.served(low, u32::from(n.is_multiple_of(20)));
            rooms.tick(at(5 * n));
        }
        let gaps: Vec<u64> = opened.windows(2).map(|w| w[1] - w[0]).collect();
        // Refusals are forgotten in some 15 ticks; from the sixth time on it is the hold that counts.
        assert!(gaps.iter().take(4).all(|g| *g < 20), "{gaps:?}");
        assert!(gaps.ends_with(&[u64::from(HOLD_MAX) + 1; 3]), "{gaps:?}");
        // Once there is time for it, it is read at once: most of what is looked at is run.
        (0..40).for_each(|n| {
            rooms.served(low, 3);
            rooms.tick(at(5 * (ticks + n)));
        });
        assert_eq!(rooms.of(low, true, at(5 * (ticks + 40))), IO_BATCH_ROOM);
        // And after a while without any, as if nothing had been.
        (0..20).for_each(|n| rooms.tick(at(5 * (ticks + 41 + n))));
        assert_eq!(rooms.lately[low].next_hold, 0);
    }

    #[test]
    fn below_a_starving_class_all_starve() {
        let mut rooms = Rooms::default();
        (0..200).for_each(|_| rooms.refused(Priority::Medium, 1));
        (0..200).for_each(|_| rooms.served(Priority::Low, 1));
        rooms.tick(at(100));
        assert_eq!(*rooms.starving().as_array(), [false, true, true, true]);
    }

    #[test]
    fn high_never_starves_and_a_class_that_is_partly_served_does_not() {
        let mut rooms = Rooms::default();
        (0..9_000).for_each(|_| rooms.refused(Priority::High, 1));
        (0..300).for_each(|_| rooms.refused(Priority::Low, 1));
        (0..10).for_each(|_| rooms.served(Priority::Low, 1));
        rooms.tick(at(100));
        assert_eq!(rooms.of(Priority::High, true, at(100)), IO_BATCH_ROOM);
        assert_eq!(rooms.of(Priority::Low, true, at(100)), IO_BATCH_ROOM);
    }
}
