//! The queue seen from its end: what would be served last comes first. Nothing is taken out.

use crate::base::{Nanos, Priority};

use super::heap::Heap;
use super::key::{Key, NONE};
use super::ring::Ring;
use super::walk::Visit;
use super::{EdfQueue, HEAP, packed};

/// A merge of the ends of the four rings and of the sorted heap. One step is constant time.
#[derive(Debug)]
pub struct FromTail<'a, T> {
    rings: &'a [Ring<T>; Priority::COUNT],
    heap: &'a Heap<T>,
    sorted: &'a [u128],
    /// How many of each ring, and of `sorted`, have not been seen.
    left: [usize; HEAP + 1],
}

impl<T: Copy> EdfQueue<T> {
    /// Every entry from the last to the first. The heap's part is sorted first, in memory set aside for it.
    pub fn from_tail(&mut self) -> FromTail<'_, T> {
        self.sorted.clear();
        self.sorted.extend_from_slice(self.heap.keys());
        self.sorted.sort_unstable();
        let mut left = [self.sorted.len(); HEAP + 1];
        for (left, ring) in left.iter_mut().zip(&self.rings) {
            *left = ring.len();
        }
        FromTail { rings: &self.rings, heap: &self.heap, sorted: &self.sorted, left }
    }
}

impl<T: Copy> FromTail<'_, T> {
    /// The last key of that source that has not been seen.
    fn key_of(&self, source: usize) -> Option<u128> {
        let at = self.left[source].checked_sub(1)?;
        if source == HEAP {
            self.sorted.get(at).copied()
        } else {
            self.rings[source].get(at).map(|c| packed(source, c))
        }
    }
}

impl<'a, T: Copy> Iterator for FromTail<'a, T> {
    type Item = Visit<'a, T>;

    fn next(&mut self) -> Option<Visit<'a, T>> {
        let keys = (0..=HEAP).filter_map(|source| Some((self.key_of(source)?, source)));
        let (key, source) = keys.max()?;
        debug_assert!(key != NONE);
        self.left[source] -= 1;
        let at = self.left[source];
        let (service, item) = if source == HEAP {
            let held = self.heap.held(key);
            (held.service, &held.item)
        } else {
            (self.rings[source].service_of(at), &self.rings[source].get(at)?.item)
        };
        Some(Visit { key: Key::unpack(key), service: Nanos::new(service), item })
    }
}
