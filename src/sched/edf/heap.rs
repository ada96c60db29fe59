//! Entries that arrive in any order: a 4-ary heap of packed keys over a slab, so that sifting moves 16 bytes and no item.

use super::key::{self, NONE};

const ARITY: usize = 4;

/// What a heap key stands for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Held<T> {
    pub(super) service: u64,
    pub(super) item: T,
}

/// A bounded heap. Keys carry their slab number in the lowest 16 bits.
#[derive(Debug)]
pub(super) struct Heap<T> {
    keys: Vec<u128>,
    slab: Vec<Held<T>>,
    free: Vec<u16>,
}

impl<T: Copy> Heap<T> {
    pub(super) fn new(capacity: usize) -> Self {
        Self {
            keys: Vec::with_capacity(capacity),
            slab: Vec::with_capacity(capacity),
            free: Vec::with_capacity(capacity),
        }
    }

    #[inline]
    pub(super) fn len(&self) -> usize {
        self.keys.len()
    }

    /// The smallest key, or [`NONE`].
    #[inline]
    pub(super) fn top(&self) -> u128 {
        self.keys.first().copied().unwrap_or(NONE)
    }

    /// All keys, in heap order.
    pub(super) fn keys(&self) -> &[u128] {
        &self.keys
    }

    /// What a key of this heap stands for.
    #[inline]
    pub(super) fn held(&self, key: u128) -> &Held<T> {
        &self.slab[key::slab_of(key)]
    }

    /// Puts an entry in. The caller knows that there is room.
    #[inline]
    pub(super) fn push(&mut self, key: u128, service: u64, item: T) {
        let held = Held { service, item };
        let slot = if let Some(slot) = self.free.pop() {
            self.slab[usize::from(slot)] = held;
            u128::from(slot)
        } else {
            self.slab.push(held);
            (self.slab.len() - 1) as u128
        };
        self.keys.push(key | slot);
        self.sift_up(self.keys.len() - 1, key | slot);
    }

    #[inline]
    pub(super) fn pop(&mut self) -> Option<(u128, Held<T>)> {
        let top = *self.keys.first()?;
        self.take_at(0);
        Some((top, self.release(top)))
    }

    /// Takes out the entry with this key (slab number left out). A linear search, then one sift.
    pub(super) fn remove(&mut self, key: u128) -> Option<Held<T>> {
        let at = self.keys.iter().position(|k| key::without_slab(*k) == key)?;
        let found = self.keys[at];
        self.take_at(at);
        Some(self.release(found))
    }

    /// The service of all entries with a key of at most `key`. A linear scan.
    pub(super) fn work_through(&self, key: u128) -> u64 {
        self.keys.iter().filter(|k| **k <= key).map(|k| self.held(*k).service).sum()
    }

    #[inline]
    fn release(&mut self, key: u128) -> Held<T> {
        let slot = key::slab_of(key);
        #[expect(clippy::cast_possible_truncation, reason = "a slab number has 16 bits")]
        self.free.push(slot as u16);
        self.slab[slot]
    }

    /// Closes the gap at `at` with the last key.
    #[inline]
    fn take_at(&mut self, at: usize) {
        let Some(last) = self.keys.pop() else { return };
        if at < self.keys.len() {
            // The last key nearly always belongs near the bottom: go there first without comparing against it, then up.
            let bottom = self.sink_hole(at);
            self.sift_up_to(bottom, last, at);
            self.lift_if_smaller(at, last);
        }
    }

    /// Moves the smallest child up, level by level, and returns where the hole ends.
    #[inline]
    fn sink_hole(&mut self, mut hole: usize) -> usize {
        let keys = self.keys.as_mut_slice();
        loop {
            let first = hole * ARITY + 1;
            let best = if let Some([a, b, c, d]) = keys.get(first..first + ARITY) {
                // A tournament of two rounds, which compiles to conditional moves: the outcome is a coin toss to a predictor.
                let (left, l) = if b < a { (first + 1, *b) } else { (first, *a) };
                let (right, r) = if d < c { (first + 3, *d) } else { (first + 2, *c) };
                if r < l { right } else { left }
            } else {
                let Some(rest) = keys.get(first..).filter(|rest| !rest.is_empty()) else {
                    return hole;
                };
                let mut best = 0;
                for (i, key) in rest.iter().enumerate() {
                    if *key < rest[best] {
                        best = i;
                    }
                }
                first + best
            };
            keys[hole] = keys[best];
            hole = best;
        }
    }

    #[inline]
    fn sift_up(&mut self, hole: usize, key: u128) {
        self.sift_up_to(hole, key, 0);
    }

    /// Puts `key` into the hole or above it, not above `root`.
    #[inline]
    fn sift_up_to(&mut self, mut hole: usize, key: u128, root: usize) {
        let keys = self.keys.as_mut_slice();
        while hole > root {
            let parent = (hole - 1) / ARITY;
            if keys[parent] <= key {
                break;
            }
            keys[hole] = keys[parent];
            hole = parent;
        }
        keys[hole] = key;
    }

    /// After a removal inside the heap, the key that filled the gap may belong above it.
    #[inline]
    fn lift_if_smaller(&mut self, at: usize, key: u128) {
        if at > 0 && self.keys[at] == key {
            self.sift_up(at, key);
        }
    }

    /// Panics when a parent is larger than its child, or a slab slot is used twice or lost.
    pub(super) fn check_invariants(&self) {
        for (i, key) in self.keys.iter().enumerate().skip(1) {
            assert!(self.keys[(i - 1) / ARITY] <= *key, "heap order");
        }
        assert_eq!(self.keys.len() + self.free.len(), self.slab.len(), "slots in use and free");
        let mut seen = vec![false; self.slab.len()];
        let used = self.keys.iter().map(|k| key::slab_of(*k));
        for slot in used.chain(self.free.iter().map(|s| usize::from(*s))) {
            assert!(!std::mem::replace(&mut seen[slot], true), "slot {slot} twice");
        }
    }
}
