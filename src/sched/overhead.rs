//! What a packet costs a worker besides its kernel: receive, schedule, send.
//!
//! Knows no loop: it is told what a turn spent and how many packets it handled. The average is of all packets, not of turns: work
//! that waits takes what its packets take together. An average of turns would weigh one that handles a single packet, and
//! reads thirty only to refuse them, as much as one that serves twenty.

use crate::base::Nanos;

/// No turn counts for more than this a packet: what is longer was stolen, not spent.
const EACH_MAX: u64 = 20_000;
/// The weight of the past: 2^6 turns. A turn that reads what it refuses costs ten times as much as the one before it, and what waits
/// is served in twenty or more of both kinds.
const SHIFT: u32 = 6;
/// Fractional bits of the sums.
const BITS: u32 = 16;
/// Reading and refusing a packet takes no less than one part in so many of what serving it does, besides its kernel.
const REFUSAL: u64 = 4;
/// The most packets of a turn that are counted: the products fit.
const HANDLED_MAX: u64 = 1 << 16;

/// See the module.
#[derive(Clone, Copy, Debug)]
pub(super) struct Overhead {
    spent: u64,
    handled: u64,
    refused: u64,
    each: Nanos,
    to_refuse: Nanos,
}

impl Default for Overhead {
    fn default() -> Self {
        Self { spent: 0, handled: 0, refused: 0, each: Nanos::new(1), to_refuse: Nanos::ZERO }
    }
}

impl Overhead {
    /// A turn spent so long besides its kernels, on so many packets, and on reading so many that it refused. A turn that handled none
    /// says nothing.
    #[inline]
    pub(super) const fn record(&mut self, spent: Nanos, handled: u64, refused: u64) {
        if handled == 0 {
            return;
        }
        let handled = if handled < HANDLED_MAX { handled } else { HANDLED_MAX };
        let most = handled * EACH_MAX;
        let spent = if spent.get() < most { spent.get() } else { most };
        self.spent = self.spent - (self.spent >> SHIFT) + (spent << BITS);
        self.handled = self.handled - (self.handled >> SHIFT) + (handled << BITS);
        let refused = if refused < HANDLED_MAX { refused } else { HANDLED_MAX };
        self.refused = self.refused - (self.refused >> SHIFT) + (refused << BITS);
        let each = self.spent / self.handled;
        let were_all_served = self.spent / (self.handled + self.refused / REFUSAL);
        self.each = Nanos::new(if each == 0 { 1 } else { each });
        self.to_refuse = Nanos::new(each - were_all_served);
    }

    /// The average, 1 ns to 20 us.
    #[inline]
    pub(super) const fn each(&self) -> Nanos {
        self.each
    }

    /// What of it goes into packets that are refused, at the least. That is spent for each that is served while they come, and would
    /// not be if they were served.
    #[inline]
    pub(super) const fn for_refused(&self) -> Nanos {
        self.to_refuse
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_an_average_of_packets_not_of_turns() {
        let mut overhead = Overhead::default();
        assert_eq!(overhead.each(), Nanos::new(1));
        // In turn twenty packets at 1 us each, and one that takes 10 us: 30 us for 21 packets.
        for _ in 0..1_000 {
            overhead.record(Nanos::from_micros(20), 20, 0);
            overhead.record(Nanos::from_micros(10), 1, 0);
        }
        assert!(overhead.each().get().abs_diff(30_000 / 21) < 20, "{:?}", overhead.each());
    }

    #[test]
    fn one_turn_that_was_stolen_or_only_read_hardly_counts() {
        let mut overhead = Overhead::default();
        (0..1_000).for_each(|_| overhead.record(Nanos::from_micros(2), 1, 0));
        assert!(overhead.each().get().abs_diff(2_000) <= 1, "{:?}", overhead.each());
        overhead.record(Nanos::from_millis(30), 1, 0);
        assert!(overhead.each() < Nanos::new(2_300), "{:?}", overhead.each());
        // A true change is followed within some hundred turns.
        (0..300).for_each(|_| overhead.record(Nanos::from_micros(5), 1, 0));
        assert!(overhead.each() > Nanos::new(4_900), "{:?}", overhead.each());
    }

    #[test]
    fn what_goes_into_those_that_are_refused_is_known() {
        let mut overhead = Overhead::default();
        (0..1_000).for_each(|_| overhead.record(Nanos::from_micros(10), 10, 0));
        assert!(overhead.each().get().abs_diff(1_000) < 2, "{:?}", overhead.each());
        assert_eq!(overhead.for_refused(), Nanos::ZERO);
        // Thirty refused at a quarter of a microsecond each.
        (0..1_000).for_each(|_| overhead.record(Nanos::new(17_500), 10, 30));
        let (each, refused) = (overhead.each().get(), overhead.for_refused().get());
        assert!(each.abs_diff(1_750) < 5 && refused.abs_diff(750) < 5, "{each} {refused}");
        // Once none is refused it is forgotten.
        (0..1_000).for_each(|_| overhead.record(Nanos::from_micros(10), 10, 0));
        assert!(overhead.for_refused() < Nanos::new(2), "{:?}", overhead.for_refused());
    }

    #[test]
    fn nothing_overflows_and_nothing_is_divided_by_nought() {
        let mut overhead = Overhead::default();
        overhead.record(Nanos::MAX, 0, 0);
        assert_eq!(overhead.each(), Nanos::new(1));
        (0..10_000).for_each(|_| overhead.record(Nanos::MAX, u64::MAX, u64::MAX));
        assert_eq!(overhead.each(), Nanos::from_micros(20));
        (0..10_000).for_each(|_| overhead.record(Nanos::ZERO, 1, 0));
        assert!(overhead.each() >= Nanos::new(1));
    }
}
