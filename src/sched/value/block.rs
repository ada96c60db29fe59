//! A run of neighbours in the line, with what a walk has to know of them to pass them by.
//!
//! Knows no rule. Sums are exact; the latest start is a bound that may lie too low after removals, never too high.

use std::cmp::Reverse;

use super::{Entry, Key};
use crate::base::{Instant, Priority};

/// The most entries of a block.
pub(super) const BLOCK: usize = 64;

/// Which entry is worth least for its time: its density, then the newest, by its number of arrival.
pub(super) type Least = (u64, Reverse<u64>);

/// There is no such entry.
pub(super) const NONE: Least = (u64::MAX, Reverse(0));

/// Neighbours in the line.
#[derive(Clone, Debug)]
pub(super) struct Block<T> {
    /// Those before `head` have left; so that taking the first moves nothing.
    entries: Vec<Entry<T>>,
    head: usize,
    pub(super) work: u64,
    pub(super) variance: u64,
    /// The whole block is in time if its work begins by then, in nanoseconds; below zero: never. May lie too low.
    latest_start: i64,
    /// The least of each priority; [`NONE`] where there is none.
    least: [Least; Priority::COUNT],
}

impl<T: Copy> Block<T> {
    pub(super) fn new() -> Self {
        Self {
            entries: Vec::with_capacity(BLOCK),
            head: 0,
            work: 0,
            variance: 0,
            latest_start: i64::MAX,
            least: [NONE; Priority::COUNT],
        }
    }

    pub(super) fn entries(&self) -> &[Entry<T>] {
        self.entries.get(self.head..).unwrap_or(&[])
    }

    pub(super) const fn len(&self) -> usize {
        self.entries.len() - self.head
    }

    pub(super) const fn is_full(&self) -> bool {
        self.len() == BLOCK
    }

    pub(super) fn first(&self) -> Option<&Entry<T>> {
        self.entries.get(self.head)
    }

    pub(super) fn last_key(&self) -> Option<Key> {
        self.entries.last().map(|e| e.key)
    }

    /// The least of priorities between those two, both included.
    pub(super) fn least_among(&self, from: Priority, to: Priority) -> Least {
        let among = self.least.iter().take(to.index() + 1).skip(from.index());
        among.fold(NONE, |least, l| least.min(*l))
    }

    /// Where the entry of that number of arrival stands.
    pub(super) fn position(&self, seq: u64) -> Option<usize> {
        self.entries().iter().position(|e| e.key.seq == seq)
    }

    /// Whether there is one of that priority.
    pub(super) fn has(&self, priority: Priority) -> bool {
        self.least[priority.index()] != NONE
    }

    /// Whether all of it is certainly in time if its work begins then.
    pub(super) fn is_in_time(&self, start: Instant) -> bool {
        signed(start.as_nanos()) <= self.latest_start
    }

    /// Puts an entry in its place. There must be room.
    pub(super) fn insert(&mut self, entry: Entry<T>) {
        if self.entries.len() == BLOCK {
            self.entries.drain(..self.head);
            self.head = 0;
        }
        let at = self.head + self.entries().partition_point(|e| e.key < entry.key);
        let last = at == self.entries.len();
        self.entries.insert(at, entry);
        if last {
            self.add(&entry);
        } else {
            self.sum_up();
        }
    }

    /// Takes out the entry at that place.
    pub(super) fn remove(&mut self, at: usize) -> Option<Entry<T>> {
        let place = self.head + at;
        let entry = *self.entries.get(place)?;
        if at == 0 {
            self.head += 1;
            if self.head == self.entries.len() {
                self.clear();
                return Some(entry);
            }
            // What stands behind starts so much earlier. The least may have been this one's: then the bound lies too low.
            self.latest_start = self.latest_start.saturating_add(signed(entry.service.get()));
            self.work -= entry.service.get();
            self.variance -= entry.variance();
            if self.least[entry.key.priority.index()] == entry.least() {
                self.find_least();
            }
        } else {
            self.entries.remove(place);
            self.sum_up();
        }
        Some(entry)
    }

    /// Moves the second half to `into`, which is empty.
    pub(super) fn split(&mut self, into: &mut Self) {
        let half = self.head + self.len() / 2;
        into.clear();
        into.entries.extend_from_slice(self.entries.get(half..).unwrap_or(&[]));
        self.entries.truncate(half);
        self.sum_up();
        into.sum_up();
    }

    /// Takes over all of `from`, which stands behind it. There must be room.
    pub(super) fn append(&mut self, from: &mut Self) {
        self.entries.drain(..self.head);
        self.head = 0;
        self.entries.extend_from_slice(from.entries());
        from.clear();
        self.sum_up();
    }

    pub(super) fn clear(&mut self) {
        self.entries.clear();
        self.head = 0;
        self.sum_up();
    }

    fn add(&mut self, entry: &Entry<T>) {
        self.work += entry.service.get();
        self.variance += entry.variance();
        let latest = signed(entry.deadline.as_nanos()).saturating_sub(signed(self.work));
        self.latest_start = self.latest_start.min(latest);
        let least = &mut self.least[entry.key.priority.index()];
        *least = (*least).min(entry.least());
    }

    fn sum_up(&mut self) {
        self.work = 0;
        self.variance = 0;
        self.latest_start = i64::MAX;
        self.least = [NONE; Priority::COUNT];
        for at in self.head..self.entries.len() {
            let entry = self.entries[at];
            self.add(&entry);
        }
    }

    fn find_least(&mut self) {
        let mut least = [NONE; Priority::COUNT];
        for e in self.entries() {
            let of = &mut least[e.key.priority.index()];
            *of = (*of).min(e.least());
        }
        self.least = least;
    }

    /// What must hold after every change.
    #[cfg(test)]
    pub(super) fn check(&self) {
        let mut exact = Self::new();
        for e in self.entries() {
            exact.entries.push(*e);
            exact.add(e);
        }
        assert!(self.entries().is_sorted_by_key(|e| e.key), "order within a block");
        assert_eq!((self.work, self.variance), (exact.work, exact.variance), "a block's sums");
        assert_eq!(self.least, exact.least, "the least of a block");
        assert!(self.latest_start <= exact.latest_start, "a block's latest start lies too high");
        assert!(self.entries.len() <= BLOCK, "a block's room");
    }
}

impl<T> Entry<T> {
    pub(super) const fn least(&self) -> Least {
        (self.density, Reverse(self.key.seq))
    }
}

/// Times past 2^63 ns (292 years) are never reached.
fn signed(ns: u64) -> i64 {
    i64::try_from(ns).unwrap_or(i64::MAX)
}
