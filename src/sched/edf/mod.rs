//! The queue: earliest deadline first over four priorities, bounded, with all its memory allocated at construction.
//!
//! Knows nothing of packets, quotas or time: an item is any `Copy` value, its deadline and service are given.
//!
//! With one constant budget a class, each class arrives sorted, so earliest-deadline-first is four rings and the minimum
//! over their heads: constant time, whatever the depth. What does not arrive sorted goes to a heap; the order is the same
//! total order of [`Key`] whichever way an entry took.

mod heap;
mod key;
mod ring;
#[cfg(test)]
mod tests;
mod walk;

pub use key::Key;
pub use walk::{InOrder, Visit};

use crate::base::{Instant, Nanos, PerPriority, Priority};
use heap::{Heap, Held};
use key::{NONE, SEQ_MAX};
use ring::{Cell, Ring};

/// The place of the heap among the heads.
const HEAP: usize = Priority::COUNT;
/// The longest service that is counted, 2^40 ns (18 minutes): sums over a full queue then fit 64 bits.
const SERVICE_NS_MAX: u64 = 1 << 40;

/// An entry as it was pushed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry<T> {
    /// Its place in the order.
    pub key: Key,
    /// What it is expected to cost, cut at 2^40 ns.
    pub service: Nanos,
    /// For how many it stands.
    pub count: u32,
    /// What was queued.
    pub item: T,
}

/// The queue holds as many entries as it may; here is the item back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full<T>(pub T);

/// How much of one class is queued, on both paths together.
#[derive(Clone, Copy, Debug, Default)]
struct Load {
    depth: u32,
    work: u64,
}

/// A bounded queue in the order of [`Key`].
#[derive(Debug)]
pub struct EdfQueue<T> {
    /// The first key of each ring and of the heap, [`NONE`] where empty: the minimum is found without touching them.
    heads: [u128; HEAP + 1],
    /// The place of the smallest head, and the smallest of the others: as long as the first place's head stays below it,
    /// nothing has to be compared.
    first: usize,
    rival: u128,
    len: usize,
    /// The service of all that is queued.
    work: u64,
    capacity: usize,
    next_seq: u64,
    loads: [Load; Priority::COUNT],
    rings: [Ring<T>; Priority::COUNT],
    heap: Heap<T>,
    /// The heap's keys in order, while a walk runs.
    sorted: Vec<u128>,
}

impl<T: Copy> EdfQueue<T> {
    /// A queue of at most `capacity` entries. Every ring and the heap can hold them all: about five times
    /// `capacity * (40 + size of T)` bytes, allocated here and never again.
    ///
    /// # Panics
    /// When `capacity` is 0 or above 65,536.
    #[must_use]
    pub fn new(capacity: usize) -> Self {
        assert!((1..=key::SLAB_MAX).contains(&capacity), "capacity is 1 to {}", key::SLAB_MAX);
        Self {
            heads: [NONE; HEAP + 1],
            first: 0,
            rival: NONE,
            len: 0,
            work: 0,
            capacity,
            next_seq: 0,
            loads: [Load::default(); Priority::COUNT],
            rings: std::array::from_fn(|_| Ring::new(capacity)),
            heap: Heap::new(capacity),
            sorted: Vec::with_capacity(capacity),
        }
    }

    /// The key that the next push with these would get: what admission asks [`EdfQueue::work_before`] with.
    #[must_use]
    #[inline]
    pub const fn next_key(&self, priority: Priority, deadline: Instant) -> Key {
        Key { deadline, priority, seq: self.next_seq }
    }

    /// Queues an item. Constant time when its key is not below its class's last, else logarithmic.
    ///
    /// # Errors
    /// [`Full`], with the item, when `capacity` entries are queued.
    #[inline]
    pub fn push(
        &mut self,
        priority: Priority,
        deadline: Instant,
        service: Nanos,
        item: T,
    ) -> Result<Key, Full<T>> {
        self.push_many(priority, deadline, service, 1, item)
    }

    /// Queues an item that stands for `count` of them: it has one place in the order, and weighs as much as they do.
    ///
    /// # Errors
    /// [`Full`], with the item, when not so many more may be queued.
    #[inline]
    pub fn push_many(
        &mut self,
        priority: Priority,
        deadline: Instant,
        service: Nanos,
        count: u32,
        item: T,
    ) -> Result<Key, Full<T>> {
        if self.capacity - self.len < count as usize {
            return Err(Full(item));
        }
        let key = self.next_key(priority, deadline);
        let service = service.get().min(SERVICE_NS_MAX);
        let class = priority.index();
        let load = &mut self.loads[class];
        load.depth += count;
        load.work += service;
        self.work += service;
        self.len += count as usize;
        self.next_seq = (self.next_seq + 1).min(SEQ_MAX);
        let ring = &mut self.rings[class];
        if ring.takes(deadline.as_nanos()) {
            let was_empty = ring.len() == 0;
            ring.push(key.place(), service, count, item);
            if was_empty {
                self.head_fell(class, key.pack());
            }
        } else {
            self.heap.push(key.pack(), Held { service, count, item });
            self.head_fell(HEAP, self.heap.top());
        }
        Ok(key)
    }

    /// Takes out the first entry.
    #[inline]
    pub fn pop(&mut self) -> Option<Entry<T>> {
        self.pop_if(|_| true)
    }

    /// Takes out the first entry if it is `wanted`.
    #[inline]
    pub fn pop_if(&mut self, wanted: impl FnOnce(&T) -> bool) -> Option<Entry<T>> {
        if self.len == 0 || !wanted(self.peek_item()?) {
            return None;
        }
        let class = self.first;
        if class == HEAP {
            return self.pop_heap();
        }
        let (cell, service) = self.rings[class].pop()?;
        let key = key_of(class, &cell);
        self.rose(class);
        Some(self.leave(key, Held { service, count: cell.count, item: cell.item }))
    }

    fn pop_heap(&mut self) -> Option<Entry<T>> {
        let (packed, held) = self.heap.pop()?;
        self.head_rose(HEAP, self.heap.top());
        Some(self.leave(Key::unpack(packed), held))
    }

    /// What was queued with the first entry, which stays.
    #[must_use]
    #[inline]
    pub fn peek_item(&self) -> Option<&T> {
        if self.len == 0 {
            None
        } else if self.first == HEAP {
            Some(&self.heap.held(self.heads[HEAP]).item)
        } else {
            self.rings[self.first].head().map(|c| &c.item)
        }
    }

    /// The first entry, which stays.
    #[must_use]
    #[inline]
    pub fn peek(&self) -> Option<Entry<T>> {
        if self.len == 0 {
            return None;
        }
        let packed = self.heads[self.first];
        let Held { service, count, item } = if self.first == HEAP {
            *self.heap.held(packed)
        } else {
            let ring = &self.rings[self.first];
            let cell = ring.head()?;
            Held { service: ring.service_of(0), count: cell.count, item: cell.item }
        };
        Some(Entry { key: Key::unpack(packed), service: Nanos::new(service), count, item })
    }

    /// The class of the first entry, in constant time and without touching it.
    #[must_use]
    #[inline]
    pub const fn first_priority(&self) -> Option<Priority> {
        if self.len == 0 {
            None
        } else if self.first == HEAP {
            Some(Key::unpack(self.heads[HEAP]).priority)
        } else {
            Some(Priority::ALL[self.first])
        }
    }

    /// The first entry's key. Cheaper than [`EdfQueue::peek`]: touches no entry.
    #[must_use]
    #[inline]
    pub fn peek_key(&self) -> Option<Key> {
        (self.len > 0).then(|| Key::unpack(self.heads[self.first]))
    }

    /// The earliest deadline of one class. Constant time unless its entries came unsorted; then a scan of the heap.
    #[must_use]
    pub fn earliest(&self, priority: Priority) -> Option<Instant> {
        let class = priority.index();
        let mut first = self.heads[class];
        if self.heap.len() > 0 {
            let of_class = |k: &&u128| Key::unpack(**k).priority == priority;
            let unsorted = self.heap.keys().iter().filter(of_class).copied().min();
            first = first.min(unsorted.unwrap_or(NONE));
        }
        (self.loads[class].depth > 0).then(|| Key::unpack(first).deadline)
    }

    /// Takes out the entry with this key, wherever it stands. `None` when it is not queued. A binary search and a move of
    /// the shorter side in its ring, or a scan of the heap.
    pub fn remove(&mut self, key: &Key) -> Option<Entry<T>> {
        let class = key.priority.index();
        if let Some((cell, service)) = self.rings[class].remove(key.place()) {
            self.rose(class);
            let held = Held { service, count: cell.count, item: cell.item };
            return Some(self.leave(*key, held));
        }
        let held = self.heap.remove(key.pack())?;
        self.head_rose(HEAP, self.heap.top());
        Some(self.leave(*key, held))
    }

    /// The service of all entries that go before `key` or are it: what a packet with that key would wait for.
    /// Four binary searches, and a scan of the heap.
    #[must_use]
    pub fn work_before(&self, key: &Key) -> Nanos {
        let rings = self.rings.iter().enumerate();
        let in_rings: u64 =
            rings.filter_map(|(i, r)| Some(r.work_through(last_place(i, key)?))).sum();
        let in_heap =
            if self.heap.len() == 0 { 0 } else { self.heap.work_through(key::last_of(key.pack())) };
        Nanos::new(in_rings + in_heap)
    }

    /// Every entry in order, without taking any out. The heap's part is sorted first, in memory set aside for it.
    pub fn in_order(&mut self) -> InOrder<'_, T> {
        self.sorted.clear();
        self.sorted.extend_from_slice(self.heap.keys());
        self.sorted.sort_unstable();
        InOrder::new(&self.rings, &self.heap, &self.sorted, [0; Priority::COUNT])
    }

    /// Every entry that goes after `key`, in order.
    pub fn in_order_after(&mut self, key: &Key) -> InOrder<'_, T> {
        let through = key::last_of(key.pack());
        self.sorted.clear();
        self.sorted.extend(self.heap.keys().iter().copied().filter(|k| *k > through));
        self.sorted.sort_unstable();
        let from = std::array::from_fn(|i| {
            last_place(i, key).map_or(0, |place| self.rings[i].count_through(place))
        });
        InOrder::new(&self.rings, &self.heap, &self.sorted, from)
    }

    /// How many are queued: every entry for as many as it stands.
    #[must_use]
    #[inline]
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Whether nothing is queued.
    #[must_use]
    #[inline]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The most that may be queued.
    #[must_use]
    pub const fn capacity(&self) -> usize {
        self.capacity
    }

    /// How many of one class are queued.
    #[must_use]
    #[inline]
    pub const fn depth(&self, priority: Priority) -> u32 {
        self.loads[priority.index()].depth
    }

    /// How many of each class are queued.
    #[must_use]
    pub fn depths(&self) -> PerPriority<u32> {
        PerPriority::from_fn(|p| self.depth(p))
    }

    /// The service of all that is queued.
    #[must_use]
    #[inline]
    pub const fn backlog(&self) -> Nanos {
        Nanos::new(self.work)
    }

    /// The service of one class.
    #[must_use]
    #[inline]
    pub const fn backlog_of(&self, priority: Priority) -> Nanos {
        Nanos::new(self.loads[priority.index()].work)
    }

    /// How many entries took the slow path and are in the heap.
    #[must_use]
    pub fn unsorted(&self) -> usize {
        self.heap.len()
    }

    /// `place` has a smaller head than before.
    #[inline]
    fn head_fell(&mut self, place: usize, head: u128) {
        self.heads[place] = head;
        if place == self.first {
            return;
        }
        let first = self.heads[self.first];
        if head < first {
            (self.first, self.rival) = (place, first);
        } else {
            self.rival = self.rival.min(head);
        }
    }

    /// An entry has left that ring.
    #[inline]
    fn rose(&mut self, class: usize) {
        let head = self.rings[class].head().map_or(NONE, |c| packed(class, c));
        self.head_rose(class, head);
    }

    /// `place` has a larger head than before.
    #[inline]
    fn head_rose(&mut self, place: usize, head: u128) {
        self.heads[place] = head;
        if place != self.first || head > self.rival {
            self.compare_heads();
        }
    }

    /// Finds the smallest head and the one after it.
    fn compare_heads(&mut self) {
        let (mut first, mut least, mut rival) = (0, self.heads[0], NONE);
        for (i, head) in self.heads.iter().enumerate().skip(1) {
            let smaller = *head < least;
            rival = if smaller { least } else { rival.min(*head) };
            first = if smaller { i } else { first };
            least = if smaller { *head } else { least };
        }
        (self.first, self.rival) = (first, rival);
    }

    #[inline]
    fn leave(&mut self, key: Key, held: Held<T>) -> Entry<T> {
        let Held { service, count, item } = held;
        let load = &mut self.loads[key.priority.index()];
        load.depth -= count;
        load.work -= service;
        self.work -= service;
        self.len -= count as usize;
        Entry { key, service: Nanos::new(service), count, item }
    }

    /// Holds every promise of the structure against the entries themselves. For tests: linear.
    ///
    /// # Panics
    /// When one does not hold.
    pub fn check_invariants(&self) {
        self.heap.check_invariants();
        let mut loads = [Load::default(); Priority::COUNT];
        for (class, ring) in self.rings.iter().enumerate() {
            ring.check_invariants();
            let head = ring.head().map_or(NONE, |c| packed(class, c));
            assert_eq!(self.heads[class], head, "head of {class}");
            for (i, cell) in (0..ring.len()).filter_map(|i| Some((i, ring.get(i)?))) {
                loads[class].depth += cell.count;
                loads[class].work += ring.service_of(i);
            }
        }
        assert_eq!(self.heads[HEAP], self.heap.top(), "head of the heap");
        for key in self.heap.keys() {
            let load = &mut loads[Key::unpack(*key).priority.index()];
            load.depth += self.heap.held(*key).count;
            load.work += self.heap.held(*key).service;
        }
        for (kept, counted) in self.loads.iter().zip(&loads) {
            assert_eq!((kept.depth, kept.work), (counted.depth, counted.work), "depth and work");
        }
        let least = *self.heads.iter().min().expect("there are heads");
        assert_eq!(self.heads[self.first], least, "first head");
        let others = self.heads.iter().enumerate().filter(|(i, _)| *i != self.first);
        assert_eq!(others.map(|(_, h)| *h).min(), Some(self.rival), "rival");
        let total: usize = loads.iter().map(|l| l.depth as usize).sum();
        assert_eq!(self.len, total, "length");
        assert_eq!(self.work, loads.iter().map(|l| l.work).sum::<u64>(), "work");
        assert!(self.len <= self.capacity, "bound");
    }
}

/// The key of an entry of that class's ring.
#[inline]
const fn key_of<T>(class: usize, cell: &Cell<T>) -> Key {
    let deadline = Instant::from_nanos(cell.deadline);
    Key { deadline, priority: Priority::ALL[class], seq: cell.seq }
}

#[inline]
const fn packed<T>(class: usize, cell: &Cell<T>) -> u128 {
    key_of(class, cell).pack()
}

/// The last place in that class's ring which does not go after `key`, if there can be one.
#[inline]
const fn last_place(class: usize, key: &Key) -> Option<(u64, u64)> {
    let own = key.priority.index();
    let deadline = key.deadline.as_nanos();
    if class < own {
        Some((deadline, u64::MAX))
    } else if class == own {
        Some((deadline, key.seq))
    } else {
        // Equal deadlines of a lower class go after it.
        match deadline.checked_sub(1) {
            Some(before) => Some((before, u64::MAX)),
            None => None,
        }
    }
}
