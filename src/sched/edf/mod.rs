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
mod tail;
#[cfg(test)]
mod tests;
mod walk;

pub use key::Key;
pub use tail::FromTail;
pub use walk::{InOrder, Visit};

use crate::base::limits::PUT_BACK_MAX;
use crate::base::{Instant, Nanos, PerPriority, Priority};
use heap::{Heap, Held};
use key::NONE;
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

/// A bounded queue in the order of [`Key`].
#[derive(Debug)]
pub struct EdfQueue<T> {
    /// The deadline of each ring's head and of the heap's, [`u64::MAX`] where there is none: it nearly always decides.
    heads: [u64; Priority::COUNT + 1],
    /// The place of the smallest head among the rings and the heap, and the earliest deadline of the others: as long as the
    /// first place's head is due before it, nothing has to be compared.
    first: usize,
    rival: u64,
    len: usize,
    /// The service of all that is queued.
    work: u64,
    capacity: usize,
    next_seq: u64,
    /// How many of each class are queued, on both paths together.
    depths: [u32; Priority::COUNT],
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
            heads: [u64::MAX; Priority::COUNT + 1],
            first: 0,
            rival: u64::MAX,
            len: 0,
            work: 0,
            capacity,
            next_seq: PUT_BACK_MAX,
            depths: [0; Priority::COUNT],
            rings: std::array::from_fn(|_| Ring::new(capacity)),
            heap: Heap::new(capacity),
            sorted: Vec::with_capacity(capacity),
        }
    }

    /// The number that the next push gets.
    #[must_use]
    #[inline]
    pub const fn next_seq(&self) -> u64 {
        self.next_seq
    }

    /// What waits elsewhere in this queue's stead takes a number all the same: those of all that come rise.
    pub const fn skip_seq(&mut self) {
        self.next_seq += 1;
    }

    /// The key that the next push with these would get: what admission asks [`EdfQueue::work_before`] with.
    #[must_use]
    #[inline]
    pub const fn next_key(&self, priority: Priority, deadline: Instant) -> Key {
        Key { deadline, priority, seq: self.next_seq }
    }

    /// What of that class was last pushed in order, whether or not it is still queued.
    #[must_use]
    pub fn newest(&self, priority: Priority) -> Option<&T> {
        self.rings[priority.index()].newest()
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
        self.depths[class] += count;
        self.work += service;
        self.len += count as usize;
        self.next_seq += 1;
        let ring = &mut self.rings[class];
        if ring.takes(deadline.as_nanos()) {
            let was_empty = ring.len() == 0;
            ring.push(key.place(), service, count, item);
            if was_empty {
                self.head_fell(class, deadline.as_nanos());
            }
        } else {
            self.heap.push(key.pack(), Held { service, count, item });
            self.head_fell(HEAP, key::deadline(self.heap.top()));
        }
        Ok(key)
    }

    /// Queues again what was taken out, before all others of its class and deadline. `number`, below [`PUT_BACK_MAX`], tells
    /// it apart from whatever else was put back and is still queued. Logarithmic.
    ///
    /// # Errors
    /// [`Full`], with the item, when `capacity` entries are queued.
    pub fn put_back(&mut self, key: Key, service: Nanos, item: T) -> Result<(), Full<T>> {
        debug_assert!(key.seq < PUT_BACK_MAX, "numbers of pushes are above");
        if self.len == self.capacity {
            return Err(Full(item));
        }
        let service = service.get().min(SERVICE_NS_MAX);
        self.depths[key.priority.index()] += 1;
        self.work += service;
        self.len += 1;
        self.heap.push(key.pack(), Held { service, count: 1, item });
        self.head_fell(HEAP, key::deadline(self.heap.top()));
        Ok(())
    }

    /// Takes out the first entry.
    #[inline]
    pub fn pop(&mut self) -> Option<Entry<T>> {
        let class = self.first;
        let Some(ring) = self.rings.get_mut(class) else { return self.pop_heap() };
        let cell = ring.head()?;
        let (key, item) = (key_of(class, cell), cell.item);
        let (service, count) = ring.skip()?;
        self.left_ring(class, service, count);
        Some(Entry { key, service: Nanos::new(service), count, item })
    }

    /// Takes out the first entry if `judge` says anything of it: what it said, and what was queued. The item lies where it
    /// lay until something else is pushed, so that nothing is moved only to be looked at.
    #[inline]
    pub fn take_if<R>(&mut self, judge: impl FnOnce(&T) -> Option<R>) -> Option<(R, &T)> {
        let class = self.first;
        let Some(ring) = self.rings.get_mut(class) else { return self.take_heap_if(judge) };
        let at = ring.place_of_head()?;
        let said = judge(&ring.at(at).item)?;
        let (service, count) = ring.skip()?;
        self.left_ring(class, service, count);
        Some((said, &self.rings[class].at(at).item))
    }

    // Inlined, so that what the judge needs is not put into memory first.
    #[inline]
    fn take_heap_if<R>(&mut self, judge: impl FnOnce(&T) -> Option<R>) -> Option<(R, &T)> {
        let packed = self.heap.top();
        let said = judge(self.peek_item()?)?;
        self.pop_heap();
        Some((said, &self.heap.held(packed).item))
    }

    /// The head of that ring, which was the first, has been taken out.
    #[inline]
    fn left_ring(&mut self, class: usize, service: u64, count: u32) {
        self.leave(class, service, count);
        let next = self.rings[class].head().map_or(u64::MAX, |c| c.deadline);
        self.heads[class] = next;
        if next >= self.rival {
            self.compare_heads();
        }
    }

    /// Takes out the heap's first, which is the first of all.
    #[inline]
    fn pop_heap(&mut self) -> Option<Entry<T>> {
        let (packed, Held { service, count, item }) = self.heap.pop()?;
        let key = Key::unpack(packed);
        self.leave(key.priority.index(), service, count);
        let next = key::deadline(self.heap.top());
        self.heads[HEAP] = next;
        if next >= self.rival {
            self.compare_heads();
        }
        Some(Entry { key, service: Nanos::new(service), count, item })
    }

    /// What was queued with the first entry, which stays.
    #[must_use]
    #[inline]
    pub fn peek_item(&self) -> Option<&T> {
        if self.first == HEAP {
            (self.len > 0).then(|| &self.heap.held(self.heap.top()).item)
        } else {
            self.rings[self.first].head().map(|c| &c.item)
        }
    }

    /// The first entry, which stays.
    #[must_use]
    #[inline]
    pub fn peek(&self) -> Option<Entry<T>> {
        let (key, Held { service, count, item }) = if self.first == HEAP {
            let packed = self.heap.top();
            if packed == NONE {
                return None;
            }
            (Key::unpack(packed), *self.heap.held(packed))
        } else {
            let ring = &self.rings[self.first];
            let cell = ring.head()?;
            let held = Held { service: ring.service_of(0), count: cell.count, item: cell.item };
            (key_of(self.first, cell), held)
        };
        Some(Entry { key, service: Nanos::new(service), count, item })
    }

    /// The class of the first entry, in constant time and without touching it.
    #[must_use]
    #[inline]
    pub fn first_priority(&self) -> Option<Priority> {
        if self.len == 0 {
            None
        } else if self.first == HEAP {
            Some(Key::unpack(self.heap.top()).priority)
        } else {
            Some(Priority::ALL[self.first])
        }
    }

    /// The first entry's key.
    #[must_use]
    #[inline]
    pub fn peek_key(&self) -> Option<Key> {
        (self.len > 0).then(|| Key::unpack(self.head_of(self.first)))
    }

    /// Whether anything of a higher priority is queued.
    #[must_use]
    #[inline]
    pub fn any_above(&self, priority: Priority) -> bool {
        self.depth_above(priority.index()) != 0
    }

    /// Whether anything of a higher priority than the first entry's is queued behind it.
    #[must_use]
    #[inline]
    pub fn any_above_first(&self) -> bool {
        match self.first {
            HEAP => self.first_priority().is_some_and(|p| self.any_above(p)),
            class => self.depth_above(class) != 0,
        }
    }

    /// Not zero when anything of the classes before that one is queued.
    #[inline]
    const fn depth_above(&self, class: usize) -> u32 {
        let [high, medium, low, _] = self.depths;
        match class {
            0 => 0,
            1 => high,
            2 => high | medium,
            _ => high | medium | low,
        }
    }

    /// The first entry of one class. Constant time unless its entries came unsorted; then a scan of the heap.
    #[must_use]
    pub fn first_of(&self, priority: Priority) -> Option<Visit<'_, T>> {
        let class = priority.index();
        let ring = &self.rings[class];
        let sorted = self.head_of(class);
        let of_class = |k: &u128| Key::unpack(*k).priority == priority;
        let unsorted = self.heap.keys().iter().copied().filter(of_class).min().unwrap_or(NONE);
        if unsorted < sorted {
            let Held { service, item, .. } = self.heap.held(unsorted);
            return Some(Visit { key: Key::unpack(unsorted), service: Nanos::new(*service), item });
        }
        let cell = ring.head()?;
        let service = Nanos::new(ring.service_of(0));
        Some(Visit { key: key_of(class, cell), service, item: &cell.item })
    }

    /// Takes out the entry with this key, wherever it stands. `None` when it is not queued. A binary search and a move of
    /// the shorter side in its ring, or a scan of the heap.
    pub fn remove(&mut self, key: &Key) -> Option<Entry<T>> {
        let class = key.priority.index();
        let held = if let Some((cell, service)) = self.rings[class].remove(key.place()) {
            Held { service, count: cell.count, item: cell.item }
        } else {
            self.heap.remove(key.pack())?
        };
        let Held { service, count, item } = held;
        self.leave(class, service, count);
        self.heads = std::array::from_fn(|place| key::deadline(self.head_of(place)));
        self.compare_heads();
        Some(Entry { key: *key, service: Nanos::new(service), count, item })
    }

    /// The service of all entries that go before `key` or are it: what a packet with that key would wait for.
    /// Four binary searches, and a scan of the heap.
    #[must_use]
    pub fn work_before(&self, key: &Key) -> Nanos {
        self.work_before_among(key, Priority::COUNT)
    }

    /// The same, where only the first `classes` count.
    #[must_use]
    pub fn work_before_among(&self, key: &Key, classes: usize) -> Nanos {
        let rings = self.rings.iter().take(classes).enumerate();
        let in_rings: u64 =
            rings.filter_map(|(i, r)| Some(r.work_through(last_place(i, key)?))).sum();
        let through = key::last_of(key.pack());
        let counts = |k: &&u128| **k <= through && Key::unpack(**k).priority.index() < classes;
        let unsorted = self.heap.keys().iter().filter(counts);
        let in_heap: u64 = unsorted.map(|k| self.heap.held(*k).service).sum();
        Nanos::new(in_rings + in_heap)
    }

    /// What a packet with that key would wait for if each class went before all lower ones: all work of the classes above
    /// its own, and of its own what goes before it.
    #[must_use]
    pub fn work_above(&self, key: &Key) -> Nanos {
        let own = key.priority.index();
        let above = Priority::ALL.iter().take(own).map(|p| self.backlog_of(*p).get());
        let ring = self.rings[own].work_through(key.place());
        let through = key::last_of(key.pack());
        let alike = |k: &&u128| **k <= through && Key::unpack(**k).priority == key.priority;
        let unsorted = self.heap.keys().iter().filter(alike);
        let in_heap: u64 = unsorted.map(|k| self.heap.held(*k).service).sum();
        Nanos::new(above.sum::<u64>() + ring + in_heap)
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
        self.depths[priority.index()]
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

    /// The service of one class. Constant time unless some entries came unsorted; then a scan of the heap.
    #[must_use]
    pub fn backlog_of(&self, priority: Priority) -> Nanos {
        let of_class = |k: &&u128| Key::unpack(**k).priority == priority;
        let unsorted = self.heap.keys().iter().filter(of_class).map(|k| self.heap.held(*k).service);
        Nanos::new(self.rings[priority.index()].work() + unsorted.sum::<u64>())
    }

    /// How many entries took the slow path and are in the heap.
    #[must_use]
    pub fn unsorted(&self) -> usize {
        self.heap.len()
    }

    /// The first key at that place, or [`NONE`].
    #[inline]
    fn head_of(&self, place: usize) -> u128 {
        match self.rings.get(place) {
            Some(ring) => ring.head().map_or(NONE, |c| packed(place, c)),
            None => self.heap.top(),
        }
    }

    /// `place` has a head that is due at `deadline`, earlier than the one before it or at the same time.
    #[inline]
    fn head_fell(&mut self, place: usize, deadline: u64) {
        self.heads[place] = deadline;
        if place == self.first {
            return;
        }
        let first = self.heads[self.first];
        if deadline == first {
            self.compare_heads();
        } else if deadline < first {
            (self.first, self.rival) = (place, first);
        } else {
            self.rival = self.rival.min(deadline);
        }
    }

    /// Finds the smallest head and the deadline after it, without a branch that could be foretold wrongly. Of rings with
    /// equal deadlines the first has the higher priority and goes first.
    #[inline]
    fn compare_heads(&mut self) {
        let (mut first, mut least, mut rival) = (0, self.heads[0], u64::MAX);
        for place in 1..=HEAP {
            let head = self.heads[place];
            let smaller = head < least;
            rival = rival.min(if smaller { least } else { head });
            first = if smaller { place } else { first };
            least = if smaller { head } else { least };
        }
        (self.first, self.rival) = (first, rival);
        // What is in the heap may be of any class. And where nothing is due, nothing may be queued.
        if least == self.heads[HEAP] {
            self.compare_wholly();
        }
    }

    /// The same by whole keys.
    fn compare_wholly(&mut self) {
        if self.heads.iter().filter(|h| **h == self.heads[HEAP]).count() == 1 {
            return;
        }
        let by_key = |place: &usize| self.head_of(*place);
        self.first = (0..=HEAP).min_by_key(by_key).unwrap_or(0);
        let others = self.heads.iter().enumerate().filter(|(i, _)| *i != self.first);
        self.rival = others.map(|(_, h)| *h).min().unwrap_or(u64::MAX);
    }

    #[inline]
    fn leave(&mut self, class: usize, service: u64, count: u32) {
        self.depths[class] -= count;
        self.work -= service;
        self.len -= count as usize;
    }

    /// Holds every promise of the structure against the entries themselves. For tests: linear.
    ///
    /// # Panics
    /// When one does not hold.
    pub fn check_invariants(&self) {
        self.heap.check_invariants();
        let (mut depths, mut work) = ([0; Priority::COUNT], 0);
        for (class, ring) in self.rings.iter().enumerate() {
            ring.check_invariants();
            for (i, cell) in (0..ring.len()).filter_map(|i| Some((i, ring.get(i)?))) {
                depths[class] += cell.count;
                work += ring.service_of(i);
            }
        }
        for key in self.heap.keys() {
            let held = self.heap.held(*key);
            depths[Key::unpack(*key).priority.index()] += held.count;
            work += held.service;
        }
        assert_eq!((self.depths, self.work), (depths, work), "depth and work");
        let heads: Vec<u128> = (0..=HEAP).map(|place| self.head_of(place)).collect();
        let deadlines: Vec<u64> = heads.iter().map(|h| key::deadline(*h)).collect();
        assert_eq!(self.heads.as_slice(), deadlines, "deadlines of heads");
        let least = heads.iter().min().expect("there are heads");
        assert_eq!(heads[self.first], *least, "first head");
        let others = deadlines.iter().enumerate().filter(|(i, _)| *i != self.first);
        assert_eq!(others.map(|(_, h)| *h).min(), Some(self.rival), "rival");
        let total: usize = depths.iter().map(|d| *d as usize).sum();
        assert_eq!(self.len, total, "length");
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
