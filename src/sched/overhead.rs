//! What a packet costs a worker besides its kernel: receive, schedule, send.
//!
//! Knows no loop: it is told what a turn spent and how many packets it handled. Averages are of all packets, not of turns: work
//! that waits takes what its packets take together. An average of turns would weigh one that handles a single packet, and
//! reads thirty only to refuse them, as much as one that serves twenty.
//!
//! What is read is read whether or not it is let in. So reading is no part of what a packet takes: it is a part of the time that
//! passes meanwhile, and what waits is done that much later. Where a share `r` of the time goes into reading, a packet of a
//! kernel's time `k`, with `s` besides, takes `(k + s) / (1 - r)` off the queue; here that is told without its `k`. With the worker never idle it
//! is all time by all packets, whatever is reading. While it is idle it is less: shared by those served alone, what was
//! read to be refused made each of them look dearer, and for that more were refused, while the worker had time for them.

use crate::base::{Instant, Nanos};

/// No turn counts for more than this for each packet that it handles or message that it reads: what is longer was stolen, not spent.
const EACH_MAX: u64 = 20_000;
/// The weight of the past: 2^6 turns. A turn that reads what it refuses costs ten times as much as the one before it, and what waits
/// is served in twenty or more of both kinds.
const SHIFT: u32 = 6;
/// Fractional bits of the sums.
const BITS: u32 = 16;
/// The most packets or messages of a turn that are counted: the sums fit.
const COUNT_MAX: u64 = 1 << 16;
/// The longest that is counted of one turn's kernels, 4.6 minutes: the sums fit.
const KERNELS_MAX: u64 = 1 << 38;

/// What a turn did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Turn {
    /// Time spent on reading, and on refusing what was read.
    pub read: Nanos,
    /// Messages that were read.
    pub messages: u64,
    /// Time spent in kernels.
    pub kernels: Nanos,
    /// Time spent besides these two.
    pub rest: Nanos,
    /// Packets that it was the end of.
    pub handled: u64,
}

/// Sums of turns, in 2^16ths where they are averages.
#[derive(Clone, Copy, Debug, Default)]
struct Sums {
    read: u64,
    rest: u64,
    kernels: u64,
    idle: u64,
    handled: u64,
}

/// See the module.
#[derive(Clone, Copy, Debug)]
pub(super) struct Overhead {
    sums: Sums,
    /// Of turns that were the end of nobody, since the last that was.
    since: Sums,
    /// When that was over.
    ended: Instant,
    each: Nanos,
}

impl Default for Overhead {
    fn default() -> Self {
        Self {
            sums: Sums::default(),
            since: Sums::default(),
            ended: Instant::ZERO,
            each: Nanos::new(1),
        }
    }
}

impl Overhead {
    /// A turn is over. One that handled nobody counts with the next that does.
    #[inline]
    pub(super) fn record(&mut self, ended: Instant, turn: &Turn) {
        let Turn { read, messages, kernels, rest, handled } = *turn;
        let handled = handled.min(COUNT_MAX);
        let most = |count: u64| count.min(COUNT_MAX) * EACH_MAX;
        let since = &mut self.since;
        since.read = (since.read + read.get().min(most(messages))).min(most(COUNT_MAX));
        since.kernels = (since.kernels + kernels.get().min(KERNELS_MAX)).min(KERNELS_MAX);
        if handled == 0 {
            return;
        }
        since.rest = rest.get().min(most(handled));
        since.handled = handled;
        // No more of it than of work: what a burst is read at is not known from a long sleep.
        let busy = since.read + since.rest + since.kernels;
        since.idle = ended.since(self.ended).get().saturating_sub(busy).min(busy);
        self.ended = ended;
        let Sums { read, rest, kernels, idle, handled } = std::mem::take(since);
        let sums = &mut self.sums;
        let follow = |sum: &mut u64, new: u64| *sum = *sum - (*sum >> SHIFT) + (new << BITS);
        follow(&mut sums.read, read);
        follow(&mut sums.rest, rest);
        follow(&mut sums.kernels, kernels);
        follow(&mut sums.idle, idle);
        follow(&mut sums.handled, handled);
        self.each = sums.each();
    }

    /// The average, 1 ns to 20 us.
    #[inline]
    pub(super) const fn each(&self) -> Nanos {
        self.each
    }
}

impl Sums {
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a mean to a part in 2^53; `as` saturates"
    )]
    fn each(&self) -> Nanos {
        let [read, rest, kernels, idle, handled] =
            [self.read, self.rest, self.kernels, self.idle, self.handled].map(|n| n as f64);
        let others = rest + kernels + idle;
        // (s + r k) / (1 - r), all in sums: r is `read` of all time, s `rest` and k `kernels` of those handled.
        let each = (rest * (others + read) + read * kernels) / (handled * others).max(1.0);
        Nanos::new((each as u64).clamp(1, EACH_MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A worker that is told what its turns do, one after another.
    #[derive(Default)]
    struct Worker {
        overhead: Overhead,
        now: u64,
    }

    impl Worker {
        /// Microseconds of reading, of kernels, of the rest and of rest, and how many it was the end of.
        fn turn(&mut self, (read, kernels, rest, idle): (u64, u64, u64, u64), handled: u64) {
            self.now += 1_000 * (read + kernels + rest + idle);
            let [read, kernels, rest] = [read, kernels, rest].map(Nanos::from_micros);
            let turn = Turn { read, messages: 1_000, kernels, rest, handled };
            self.overhead.record(Instant::from_nanos(self.now), &turn);
        }

        fn each(&self) -> u64 {
            self.overhead.each().get()
        }
    }

    #[test]
    fn it_is_an_average_of_packets_not_of_turns() {
        let mut worker = Worker::default();
        assert_eq!(worker.each(), 1);
        // In turn twenty packets at 1 us each, and one that takes 10 us: 30 us for 21 packets.
        for _ in 0..1_000 {
            worker.turn((0, 0, 20, 0), 20);
            worker.turn((0, 0, 10, 0), 1);
        }
        assert!(worker.each().abs_diff(30_000 / 21) < 20, "{}", worker.each());
    }

    #[test]
    fn of_a_worker_that_is_never_idle_it_is_all_time_by_all_packets() {
        let mut worker = Worker::default();
        // 30 us of reading, 40 of kernels, 10 of sending, for four packets: 20 us each, of which 10 are the kernel's. What was
        // read to be refused in turns of their own counts too.
        for _ in 0..1_000 {
            worker.turn((20, 0, 0, 0), 0);
            worker.turn((10, 40, 10, 0), 4);
        }
        assert!(worker.each().abs_diff(10_000) < 20, "{}", worker.each());
    }

    #[test]
    fn what_is_read_to_be_refused_makes_nobody_dearer_while_there_is_time() {
        let mut worker = Worker::default();
        // One of sixteen is served: a fifth of the time goes into reading, the rest has room.
        for _ in 0..1_000 {
            worker.turn((16, 2, 2, 60), 4);
        }
        // Of the idle time as much counts as of work: (0.5 + 0.4 x 0.5) / 0.6 us.
        assert!(worker.each().abs_diff(1_166) < 20, "{}", worker.each());
        // By those served alone it would be 4.5 us.
    }

    #[test]
    fn one_turn_that_was_stolen_or_only_read_hardly_counts() {
        let mut worker = Worker::default();
        (0..1_000).for_each(|_| worker.turn((0, 0, 2, 0), 1));
        assert!(worker.each().abs_diff(2_000) <= 1, "{}", worker.each());
        worker.turn((0, 0, 30_000, 0), 1);
        assert!(worker.each() < 2_300, "{}", worker.each());
        // A true change is followed within some hundred turns.
        (0..300).for_each(|_| worker.turn((0, 0, 5, 0), 1));
        assert!(worker.each() > 4_900, "{}", worker.each());
    }

    #[test]
    fn nothing_overflows_and_nothing_is_divided_by_nought() {
        let mut overhead = Overhead::default();
        let all =
            |read, kernels, rest, handled| Turn { read, messages: handled, kernels, rest, handled };
        let most = all(Nanos::MAX, Nanos::MAX, Nanos::MAX, u64::MAX);
        overhead.record(Instant::MAX, &Turn { handled: 0, ..most });
        assert_eq!(overhead.each(), Nanos::new(1));
        (0..10_000).for_each(|_| overhead.record(Instant::MAX, &most));
        assert_eq!(overhead.each(), Nanos::from_micros(20));
        let mut overhead = Overhead::default();
        let only_read = all(Nanos::MAX, Nanos::ZERO, Nanos::ZERO, u64::MAX);
        (0..10_000).for_each(|_| overhead.record(Instant::ZERO, &only_read));
        assert!(overhead.each() <= Nanos::from_micros(20));
        let nothing = all(Nanos::ZERO, Nanos::ZERO, Nanos::ZERO, 1);
        (0..10_000).for_each(|_| overhead.record(Instant::ZERO, &nothing));
        assert!(overhead.each() >= Nanos::new(1));
    }
}
