//! One class whose entries arrive in order: a ring that knows how much work stands before each of its entries.

use std::collections::VecDeque;

/// One entry. `through` is the running sum of service up to and including it, modulo 2^64: only differences count.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cell<T> {
    pub(super) key: u128,
    through: u64,
    pub(super) count: u32,
    pub(super) item: T,
}

/// A ring of entries with rising keys.
#[derive(Debug)]
pub(super) struct Ring<T> {
    cells: VecDeque<Cell<T>>,
    /// The running sum just before the head.
    base: u64,
    /// The running sum at the tail.
    top: u64,
    /// The tail's key, or that of the last tail: what a new key must not be below.
    tail: u128,
}

impl<T: Copy> Ring<T> {
    pub(super) fn new(capacity: usize) -> Self {
        Self { cells: VecDeque::with_capacity(capacity), base: 0, top: 0, tail: 0 }
    }

    /// Whether `key` may be appended.
    #[inline]
    pub(super) fn takes(&self, key: u128) -> bool {
        key >= self.tail || self.cells.is_empty()
    }

    /// Appends an entry. The caller asked [`Ring::takes`] and knows that there is room.
    #[inline]
    pub(super) fn push(&mut self, key: u128, service: u64, count: u32, item: T) {
        self.top = self.top.wrapping_add(service);
        self.tail = key;
        self.cells.push_back(Cell { key, through: self.top, count, item });
    }

    /// Takes out the first entry, with its service.
    #[inline]
    pub(super) fn pop(&mut self) -> Option<(Cell<T>, u64)> {
        let cell = self.cells.pop_front()?;
        let service = cell.through.wrapping_sub(self.base);
        self.base = cell.through;
        Some((cell, service))
    }

    /// The service of entry `index`, which is there: what its running sum adds to that of the entry before it.
    #[inline]
    pub(super) fn service_of(&self, index: usize) -> u64 {
        let before = if index == 0 { self.base } else { self.cells[index - 1].through };
        self.cells[index].through.wrapping_sub(before)
    }

    #[inline]
    pub(super) fn head(&self) -> Option<&Cell<T>> {
        self.cells.front()
    }

    #[inline]
    pub(super) fn get(&self, index: usize) -> Option<&Cell<T>> {
        self.cells.get(index)
    }

    #[inline]
    pub(super) fn len(&self) -> usize {
        self.cells.len()
    }

    /// How many entries have a key of at most `key`.
    #[inline]
    pub(super) fn count_through(&self, key: u128) -> usize {
        if key >= self.tail { self.len() } else { self.cells.partition_point(|c| c.key <= key) }
    }

    /// The service of all entries with a key of at most `key`. A binary search.
    #[inline]
    pub(super) fn work_through(&self, key: u128) -> u64 {
        match self.count_through(key) {
            0 => 0,
            n => self.cells[n - 1].through.wrapping_sub(self.base),
        }
    }

    /// Takes out the entry with exactly this key; the shorter side moves up.
    pub(super) fn remove(&mut self, key: u128) -> Option<(Cell<T>, u64)> {
        let at = self.cells.partition_point(|c| c.key < key);
        if self.cells.get(at)?.key != key {
            return None;
        }
        let service = self.service_of(at);
        let cell = self.cells.remove(at)?;
        if at < self.cells.len() / 2 {
            for earlier in self.cells.range_mut(..at) {
                earlier.through = earlier.through.wrapping_add(service);
            }
            self.base = self.base.wrapping_add(service);
        } else {
            for later in self.cells.range_mut(at..) {
                later.through = later.through.wrapping_sub(service);
            }
            self.top = self.top.wrapping_sub(service);
        }
        if let Some(tail) = self.cells.back() {
            self.tail = tail.key;
        }
        Some((cell, service))
    }

    /// Panics when keys fall or sums do not add up.
    pub(super) fn check_invariants(&self) {
        let mut sum = self.base;
        let mut last = 0;
        for cell in &self.cells {
            assert!(cell.key >= last, "a ring rises");
            let rest = self.top.wrapping_sub(cell.through);
            assert!(rest <= self.top.wrapping_sub(sum), "running sums rise");
            sum = cell.through;
            last = cell.key;
        }
        assert_eq!(sum, self.top, "running sum at the tail");
        assert!(self.cells.is_empty() || self.tail == last, "tail key");
    }
}
