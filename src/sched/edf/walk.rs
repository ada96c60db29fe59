//! The queue seen in order, nothing taken out.

use crate::base::{Nanos, Priority};

use super::HEAP;
use super::heap::Heap;
use super::key::{Key, NONE};
use super::packed;
use super::ring::Ring;

/// One entry on a walk. Its key is the handle that [`EdfQueue::remove`](super::EdfQueue::remove) takes.
#[derive(Clone, Copy, Debug)]
pub struct Visit<'a, T> {
    /// Its place in the order.
    pub key: Key,
    /// What it is expected to cost.
    pub service: Nanos,
    /// What was queued.
    pub item: &'a T,
}

/// A merge of the four rings and the sorted heap. One step is constant time; stop whenever enough was seen.
#[derive(Debug)]
pub struct InOrder<'a, T> {
    rings: &'a [Ring<T>; Priority::COUNT],
    heap: &'a Heap<T>,
    sorted: &'a [u128],
    /// The next entry of each ring, and of `sorted`.
    at: [usize; HEAP + 1],
    heads: [u128; HEAP + 1],
}

impl<'a, T: Copy> InOrder<'a, T> {
    pub(super) fn new(
        rings: &'a [Ring<T>; Priority::COUNT],
        heap: &'a Heap<T>,
        sorted: &'a [u128],
        from: [usize; Priority::COUNT],
    ) -> Self {
        let [a, b, c, d] = from;
        let mut walk = Self { rings, heap, sorted, at: [a, b, c, d, 0], heads: [NONE; HEAP + 1] };
        for source in 0..=HEAP {
            walk.heads[source] = walk.key_of(source);
        }
        walk
    }

    fn key_of(&self, source: usize) -> u128 {
        let at = self.at[source];
        let key = if source == HEAP {
            self.sorted.get(at).copied()
        } else {
            self.rings[source].get(at).map(|c| packed(source, c))
        };
        key.unwrap_or(NONE)
    }
}

impl<'a, T: Copy> Iterator for InOrder<'a, T> {
    type Item = Visit<'a, T>;

    fn next(&mut self) -> Option<Visit<'a, T>> {
        let mut source = 0;
        for i in 1..=HEAP {
            if self.heads[i] < self.heads[source] {
                source = i;
            }
        }
        let packed = self.heads[source];
        let (service, item) = if packed == NONE {
            return None;
        } else if source == HEAP {
            let held = self.heap.held(packed);
            (held.service, &held.item)
        } else {
            let cell = self.rings[source].get(self.at[source])?;
            (self.rings[source].service_of(self.at[source]), &cell.item)
        };
        self.at[source] += 1;
        self.heads[source] = self.key_of(source);
        Some(Visit { key: Key::unpack(packed), service: Nanos::new(service), item })
    }
}
