//! One class whose entries arrive in order: a ring that knows how much work stands before each of its entries.
//!
//! Knows no other class: within one, the earlier deadline goes first, and of equal ones the earlier push.

/// One entry. `through` is the running sum of service up to and including it, modulo 2^64: only differences count.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cell<T> {
    pub(super) deadline: u64,
    pub(super) seq: u64,
    through: u64,
    pub(super) count: u32,
    pub(super) item: T,
}

impl<T> Cell<T> {
    /// Its place in the class's order.
    #[inline]
    pub(super) const fn place(&self) -> (u64, u64) {
        (self.deadline, self.seq)
    }
}

/// A ring of entries with rising places. Its memory is filled in the first round and written over in the next ones.
#[derive(Debug)]
pub(super) struct Ring<T> {
    cells: Vec<Cell<T>>,
    /// One less than its size, a power of two.
    mask: usize,
    head: usize,
    len: usize,
    /// The running sum just before the head.
    base: u64,
    /// The running sum at the tail.
    top: u64,
    /// The deadline of the tail, or of the last tail: what a new one must not be before.
    tail: u64,
    /// How disorderly the class's pushes have been of late; and while they are, the deadline of the last one, wherever it went.
    last: u64,
    disorder: u32,
}

/// A push that is due before the one before it counts for as many as this that are not, and itself.
const DISORDER_STEP: u32 = 4;
/// From here on the class is not taken for sorted.
const DISORDER_LIMIT: u32 = 32;

impl<T: Copy> Ring<T> {
    pub(super) fn new(capacity: usize) -> Self {
        let size = capacity.next_power_of_two();
        Self {
            cells: Vec::with_capacity(size),
            mask: size - 1,
            head: 0,
            len: 0,
            base: 0,
            top: 0,
            tail: 0,
            last: 0,
            disorder: 0,
        }
    }

    /// Whether an entry with that deadline is to be appended: places rise, because the number of a push does. The few that
    /// happen to come in order where most do not go with the rest: who cannot foretell the way pays for it each time.
    #[inline]
    pub(super) fn takes(&mut self, deadline: u64) -> bool {
        let in_order = deadline >= self.tail || self.len == 0;
        if in_order && self.disorder == 0 {
            return true;
        }
        self.note_disorder(deadline);
        in_order && self.disorder < DISORDER_LIMIT
    }

    #[inline]
    fn note_disorder(&mut self, deadline: u64) {
        let step = if deadline < self.last { DISORDER_STEP } else { 0 };
        self.disorder = (self.disorder + step).min(2 * DISORDER_LIMIT).saturating_sub(1);
        self.last = deadline;
    }

    /// Appends an entry. The caller asked [`Ring::takes`] and knows that there is room.
    #[inline]
    pub(super) fn push(&mut self, (deadline, seq): (u64, u64), service: u64, count: u32, item: T) {
        self.top = self.top.wrapping_add(service);
        self.tail = deadline;
        let through = self.top;
        let at = self.index(self.len);
        self.len += 1;
        // Written field by field into its place: a cell that is put together first is copied once more.
        if let Some(cell) = self.cells.get_mut(at) {
            cell.deadline = deadline;
            cell.seq = seq;
            cell.through = through;
            cell.count = count;
            cell.item = item;
        } else {
            self.grow(Cell { deadline, seq, through, count, item });
        }
    }

    /// What was last pushed, whether or not it is still queued.
    pub(super) fn newest(&self) -> Option<&T> {
        let last = self.index(self.len).wrapping_sub(1) & self.mask;
        self.cells.get(last).map(|c| &c.item)
    }

    /// In the first round the memory is filled.
    #[cold]
    fn grow(&mut self, cell: Cell<T>) {
        self.cells.push(cell);
    }

    /// Takes out the first entry: its service, and for how many it stood.
    #[inline]
    pub(super) fn skip(&mut self) -> Option<(u64, u32)> {
        let (through, count) = self.head().map(|c| (c.through, c.count))?;
        let service = through.wrapping_sub(self.base);
        self.base = through;
        self.head = (self.head + 1) & self.mask;
        self.len -= 1;
        Some((service, count))
    }

    /// The service of all entries.
    pub(super) const fn work(&self) -> u64 {
        self.top.wrapping_sub(self.base)
    }

    #[inline]
    pub(super) fn head(&self) -> Option<&Cell<T>> {
        if self.len == 0 { None } else { self.cells.get(self.head) }
    }

    /// Where the head lies in memory.
    #[inline]
    pub(super) const fn place_of_head(&self) -> Option<usize> {
        if self.len == 0 { None } else { Some(self.head) }
    }

    /// What lies at a place that [`Ring::place_of_head`] gave.
    #[inline]
    pub(super) fn at(&self, place: usize) -> &Cell<T> {
        &self.cells[place]
    }

    #[inline]
    pub(super) fn get(&self, index: usize) -> Option<&Cell<T>> {
        if index < self.len { self.cells.get(self.index(index)) } else { None }
    }

    #[inline]
    pub(super) const fn len(&self) -> usize {
        self.len
    }

    /// The service of entry `index`, which is there: what its running sum adds to that of the entry before it.
    #[inline]
    pub(super) fn service_of(&self, index: usize) -> u64 {
        let before = if index == 0 { self.base } else { self.cells[self.index(index - 1)].through };
        self.cells[self.index(index)].through.wrapping_sub(before)
    }

    /// How many entries stand at `place` or before it.
    #[inline]
    pub(super) fn count_through(&self, place: (u64, u64)) -> usize {
        if place.0 > self.tail { self.len } else { self.partition(|c| c.place() <= place) }
    }

    /// The service of all entries at `place` or before it. A binary search.
    #[inline]
    pub(super) fn work_through(&self, place: (u64, u64)) -> u64 {
        match self.count_through(place) {
            0 => 0,
            n => self.cells[self.index(n - 1)].through.wrapping_sub(self.base),
        }
    }

    /// Takes out the entry at exactly this place; the shorter side moves up.
    pub(super) fn remove(&mut self, place: (u64, u64)) -> Option<(Cell<T>, u64)> {
        let at = self.partition(|c| c.place() < place);
        let cell = *self.get(at)?;
        if cell.place() != place {
            return None;
        }
        let service = self.service_of(at);
        if at < self.len / 2 {
            for i in (0..at).rev() {
                self.carry(i, i + 1, service);
            }
            self.base = self.base.wrapping_add(service);
            self.head = (self.head + 1) & self.mask;
        } else {
            for i in at..self.len - 1 {
                self.carry(i + 1, i, service.wrapping_neg());
            }
            self.top = self.top.wrapping_sub(service);
        }
        self.len -= 1;
        if let Some(last) = self.len.checked_sub(1).and_then(|n| self.get(n)) {
            self.tail = last.deadline;
        }
        Some((cell, service))
    }

    /// Moves an entry by one place and its running sum by `by`.
    fn carry(&mut self, from: usize, to: usize, by: u64) {
        let (from, to) = (self.index(from), self.index(to));
        let cell = self.cells[from];
        self.cells[to] = Cell { through: cell.through.wrapping_add(by), ..cell };
    }

    #[inline]
    const fn index(&self, nth: usize) -> usize {
        (self.head + nth) & self.mask
    }

    /// How many entries from the head on meet `holds`, which holds for the first ones only.
    #[inline]
    fn partition(&self, holds: impl Fn(&Cell<T>) -> bool) -> usize {
        let (mut from, mut size) = (0, self.len);
        while size > 0 {
            let half = size / 2;
            if holds(&self.cells[self.index(from + half)]) {
                from += half + 1;
                size -= half + 1;
            } else {
                size = half;
            }
        }
        from
    }

    /// Panics when places fall or sums do not add up.
    pub(super) fn check_invariants(&self) {
        let mut sum = self.base;
        let mut last = (0, 0);
        for cell in (0..self.len).filter_map(|i| self.get(i)) {
            assert!(cell.place() >= last, "a ring rises");
            let rest = self.top.wrapping_sub(cell.through);
            assert!(rest <= self.top.wrapping_sub(sum), "running sums rise");
            sum = cell.through;
            last = cell.place();
        }
        assert_eq!(sum, self.top, "running sum at the tail");
        assert!(self.len == 0 || self.tail == last.0, "tail");
    }
}
