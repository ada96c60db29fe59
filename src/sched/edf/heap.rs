//! Entries that arrive in any order: a 4-ary heap of packed keys over a slab, so that sifting moves 16 bytes and no item.

use super::key::{self, NONE, deadline};

const ARITY: usize = 4;
const CACHE_LINE: usize = 64;

const _: () = assert!(ARITY * size_of::<u128>() == CACHE_LINE, "four siblings fill one line");

/// The place of the smallest key where deadlines are equal.
#[cold]
fn tie(siblings: &[u128]) -> usize {
    let smallest = siblings.iter().enumerate().min_by_key(|(_, key)| **key);
    smallest.map_or(0, |(i, _)| i)
}

/// What a heap key stands for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Held<T> {
    pub(super) service: u64,
    pub(super) count: u32,
    pub(super) item: T,
}

/// A bounded heap. Keys carry their slab number in the lowest 16 bits.
///
/// The four children of a node share a cache line: the root stands `pad` places into the memory, so that they start on
/// one. Places past the last key hold [`NONE`], so that a node has four children or none.
#[derive(Debug)]
pub(super) struct Heap<T> {
    memory: Vec<u128>,
    pad: usize,
    len: usize,
    slab: Vec<Held<T>>,
    free: Vec<u16>,
}

impl<T: Copy> Heap<T> {
    pub(super) fn new(capacity: usize) -> Self {
        let memory = vec![NONE; capacity + 2 * ARITY];
        let offset = memory.as_ptr().addr() % CACHE_LINE / size_of::<u128>();
        // The first child is one place after the root.
        let pad = (2 * ARITY - 1 - offset) % ARITY;
        Self {
            memory,
            pad,
            len: 0,
            slab: Vec::with_capacity(capacity),
            free: Vec::with_capacity(capacity),
        }
    }

    #[inline]
    pub(super) const fn len(&self) -> usize {
        self.len
    }

    /// The smallest key, or [`NONE`].
    #[inline]
    pub(super) fn top(&self) -> u128 {
        self.memory[self.pad]
    }

    /// All keys, in heap order.
    pub(super) fn keys(&self) -> &[u128] {
        &self.memory[self.pad..][..self.len]
    }

    /// What a key of this heap stands for.
    #[inline]
    pub(super) fn held(&self, key: u128) -> &Held<T> {
        &self.slab[key::slab_of(key)]
    }

    /// Puts an entry in. The caller knows that there is room.
    #[inline]
    pub(super) fn push(&mut self, key: u128, held: Held<T>) {
        let slot = if let Some(slot) = self.free.pop() {
            self.slab[usize::from(slot)] = held;
            u128::from(slot)
        } else {
            self.slab.push(held);
            (self.slab.len() - 1) as u128
        };
        self.len += 1;
        self.sift_up(self.len - 1, key | slot);
    }

    #[inline]
    pub(super) fn pop(&mut self) -> Option<(u128, Held<T>)> {
        if self.len == 0 {
            return None;
        }
        let top = self.top();
        self.take_at(0);
        Some((top, self.release(top)))
    }

    /// Takes out the entry with this key (slab number left out). A linear search, then one sift.
    pub(super) fn remove(&mut self, key: u128) -> Option<Held<T>> {
        let at = self.keys().iter().position(|k| key::without_slab(*k) == key)?;
        let found = self.keys()[at];
        self.take_at(at);
        Some(self.release(found))
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
        self.len -= 1;
        let last = std::mem::replace(&mut self.memory[self.pad + self.len], NONE);
        if at < self.len {
            // The last key nearly always belongs near the bottom: go there without comparing against it, then up.
            let bottom = self.sink_hole(at);
            // From inside the heap it may belong above the gap as well, hence up to the root.
            self.sift_up(bottom, last);
        }
    }

    /// Moves the smallest child up, level by level, and returns where the hole ends.
    #[inline]
    fn sink_hole(&mut self, mut hole: usize) -> usize {
        let len = self.len;
        let keys = &mut self.memory[self.pad..];
        loop {
            let first = hole * ARITY + 1;
            if first >= len {
                return hole;
            }
            let Some([a, b, c, d]) = keys.get(first..first + ARITY) else { return hole };
            // A tournament of two rounds, which compiles to conditional moves (the outcome is a coin toss to a predictor),
            // on the deadlines alone: half the numbers to move, and the next level waits for the outcome only.
            let [a, b, c, d] = [deadline(*a), deadline(*b), deadline(*c), deadline(*d)];
            let (left, l) = if b < a { (1, b) } else { (0, a) };
            let (right, r) = if d < c { (3, d) } else { (2, c) };
            let best = if r < l { right } else { left };
            let best = if (a == b) | (c == d) | (l == r) {
                tie(&keys[first..first + ARITY])
            } else {
                best
            };
            keys[hole] = keys[first + best];
            hole = first + best;
        }
    }

    /// Puts `key` into the hole or above it.
    #[inline]
    fn sift_up(&mut self, mut hole: usize, key: u128) {
        let keys = &mut self.memory[self.pad..];
        while hole > 0 {
            let parent = (hole - 1) / ARITY;
            if keys[parent] <= key {
                break;
            }
            keys[hole] = keys[parent];
            hole = parent;
        }
        keys[hole] = key;
    }

    /// Panics when a parent is larger than its child, or a slab slot is used twice or lost.
    pub(super) fn check_invariants(&self) {
        let places = &self.memory[self.pad..];
        for (i, key) in places[..self.len].iter().enumerate().skip(1) {
            assert!(places[(i - 1) / ARITY] <= *key, "heap order");
        }
        let keys = self.keys();
        assert_eq!(self.top(), keys.iter().copied().min().unwrap_or(NONE), "top");
        let beyond = &places[self.len..];
        assert!(beyond.iter().all(|k| *k == NONE), "nothing past the last key");
        assert!(beyond.len() >= ARITY, "the last node has four places for children");
        assert_eq!(keys.len() + self.free.len(), self.slab.len(), "slots in use and free");
        let mut seen = vec![false; self.slab.len()];
        let used = keys.iter().map(|k| key::slab_of(*k));
        for slot in used.chain(self.free.iter().map(|s| usize::from(*s))) {
            assert!(!std::mem::replace(&mut seen[slot], true), "slot {slot} twice");
        }
    }
}
