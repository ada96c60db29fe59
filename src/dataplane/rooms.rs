//! Which classes are read without restraint, and which only now and then.
//!
//! Knows no sockets. A class below High is *starving* when its packets have been refused for two of its budgets and none
//! was run: the classes above it take everything. Then whatever is read of it is read only to be dropped, which costs
//! about half a microsecond a packet, and at ten times saturation that would be a fifth of the core. So a starving class is
//! looked at with about one per cent of the time, until one of its packets is run again.

use crate::base::limits::IO_BATCH_ROOM;
use crate::base::token_bucket::TokenBucket;
use crate::base::{Instant, Nanos, PerPriority, Priority};

/// Time between two looks at a starving class: one per cent of the time at 0.6 µs each.
const LOOK_EVERY: Nanos = Nanos::from_micros(60);
/// Looks saved up.
const LOOKS_MAX: u32 = 16;
/// Datagrams of a train that cost as much as one look: most of a look is the system call's part.
const TRAIN_PER_LOOK: usize = 8;
/// Nobody is starving sooner than this.
const PATIENCE_MIN: Nanos = Nanos::from_millis(20);

/// See the module.
#[derive(Debug)]
pub(super) struct Rooms {
    /// Since when packets of a class have been refused and none was run.
    refused_since: PerPriority<Option<Instant>>,
    patience: PerPriority<Nanos>,
    looks: TokenBucket,
}

impl Rooms {
    pub(super) fn new(budgets: &PerPriority<Nanos>) -> Self {
        Self {
            refused_since: PerPriority::default(),
            patience: PerPriority::from_fn(|p| budgets[p].saturating_mul(2).max(PATIENCE_MIN)),
            looks: TokenBucket::new(LOOK_EVERY, LOOKS_MAX, Instant::ZERO),
        }
    }

    /// How many messages of that class may be read now.
    #[inline]
    pub(super) fn of(&mut self, class: Priority, now: Instant) -> u32 {
        if self.starves(class, now) {
            self.looks.available(now).min(IO_BATCH_ROOM)
        } else {
            IO_BATCH_ROOM
        }
    }

    #[inline]
    fn starves(&self, class: Priority, now: Instant) -> bool {
        // High is always read: nothing is above it, and its budget is shorter than what a full buffer holds.
        class != Priority::High
            && self.refused_since[class]
                .is_some_and(|since| now.since(since) >= self.patience[class])
    }

    /// A message of that many datagrams was read.
    #[inline]
    pub(super) fn read(&mut self, class: Priority, datagrams: usize, now: Instant) {
        if self.starves(class, now) {
            let looks = 1 + datagrams / TRAIN_PER_LOOK;
            self.looks.take_up_to(u32::try_from(looks).unwrap_or(u32::MAX), now);
        }
    }

    /// A packet of that class was dropped at the gates.
    #[inline]
    pub(super) fn refused(&mut self, class: Priority, now: Instant) {
        self.refused_since[class].get_or_insert(now);
    }

    /// A packet of that class is run.
    #[inline]
    pub(super) fn served(&mut self, class: Priority) {
        self.refused_since[class] = None;
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
        let mut rooms = Rooms::new(&PerPriority::from_fn(Priority::default_budget));
        let medium = Priority::Medium;
        rooms.refused(medium, at(100));
        assert_eq!(rooms.of(medium, at(119)), IO_BATCH_ROOM);
        assert_eq!(rooms.of(medium, at(120)), LOOKS_MAX);
        rooms.read(medium, 100, at(120));
        assert_eq!(rooms.of(medium, at(120)), LOOKS_MAX - 13);
        rooms.read(medium, 100, at(120));
        assert_eq!(rooms.of(medium, at(120)), 0);
        assert_eq!(rooms.of(medium, at(121)), 16);
        rooms.served(medium);
        assert_eq!(rooms.of(medium, at(121)), IO_BATCH_ROOM);
    }

    #[test]
    fn high_never_starves() {
        let mut rooms = Rooms::new(&PerPriority::from_fn(Priority::default_budget));
        rooms.refused(Priority::High, at(0));
        assert_eq!(rooms.of(Priority::High, at(10_000)), IO_BATCH_ROOM);
    }
}
