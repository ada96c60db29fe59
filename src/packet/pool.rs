//! The worker's own slab of packet bytes: one allocation, fixed slots, last freed first used.
//!
//! Received bytes are copied in once (64 to 1,500 bytes, 5 to 20 ns) so that the driver's receive buffers go back at
//! once and stay hot in the cache, however long a packet waits in the queue.

/// The number of a slot in a [`BufPool`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slot(u32);

impl Slot {
    /// The first of any pool.
    pub const FIRST: Self = Self(0);

    /// The place in a table that runs beside the pool.
    #[must_use]
    #[inline]
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

/// A bounded pool of equal slots in one piece of memory.
#[derive(Debug)]
pub struct BufPool {
    bytes: Box<[u8]>,
    slot_len: usize,
    free: Vec<Slot>,
    #[cfg(debug_assertions)]
    taken: Vec<bool>,
}

impl BufPool {
    /// A pool of `slots` slots of `slot_len` bytes each, rounded up to whole cache lines.
    ///
    /// # Panics
    /// When the pool would not fit 32-bit slot numbers.
    #[must_use]
    pub fn new(slots: usize, slot_len: usize) -> Self {
        let count = u32::try_from(slots).expect("slot numbers are 32 bits");
        // An odd number of cache lines a slot: equal power-of-two strides would put the first line of every slot into
        // the same few cache sets.
        let lines = slot_len.div_ceil(64) | 1;
        let slot_len = lines * 64;
        Self {
            bytes: vec![0; slots * slot_len].into_boxed_slice(),
            slot_len,
            free: (0..count).rev().map(Slot).collect(),
            #[cfg(debug_assertions)]
            taken: vec![false; slots],
        }
    }

    /// Copies `bytes` into a free slot. `None` when no slot is free or they do not fit.
    ///
    /// # Panics
    /// In debug builds, when a slot is free and in use at once.
    #[inline]
    pub fn insert(&mut self, bytes: &[u8]) -> Option<Slot> {
        if bytes.len() > self.slot_len {
            return None;
        }
        let slot = self.free.pop()?;
        #[cfg(debug_assertions)]
        {
            assert!(!self.taken[slot.index()], "a free slot was in use");
            self.taken[slot.index()] = true;
        }
        let at = slot.index() * self.slot_len;
        self.bytes[at..at + bytes.len()].copy_from_slice(bytes);
        Some(slot)
    }

    /// Gives a slot back.
    ///
    /// # Panics
    /// In debug builds, when it is free already.
    #[inline]
    pub fn release(&mut self, slot: Slot) {
        #[cfg(debug_assertions)]
        {
            assert!(self.taken[slot.index()], "slot {} released twice", slot.index());
            self.taken[slot.index()] = false;
        }
        self.free.push(slot);
    }

    /// Where the slot starts in [`BufPool::bytes`].
    #[must_use]
    #[inline]
    pub const fn offset(&self, slot: Slot) -> usize {
        slot.index() * self.slot_len
    }

    /// The slot's whole memory.
    #[must_use]
    #[inline]
    pub fn slot(&self, slot: Slot) -> &[u8] {
        &self.bytes[self.offset(slot)..][..self.slot_len]
    }

    /// The slot's whole memory, to be changed.
    #[must_use]
    #[inline]
    pub fn slot_mut(&mut self, slot: Slot) -> &mut [u8] {
        let at = self.offset(slot);
        &mut self.bytes[at..][..self.slot_len]
    }

    /// All slots in one piece: what kernels work on and what drivers send from.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// All slots in one piece, to be changed.
    #[must_use]
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.bytes
    }

    /// The length of one slot.
    #[must_use]
    pub const fn slot_len(&self) -> usize {
        self.slot_len
    }

    /// How many slots there are.
    #[must_use]
    pub const fn capacity(&self) -> usize {
        self.bytes.len() / self.slot_len
    }

    /// How many slots are free.
    #[must_use]
    pub const fn available(&self) -> usize {
        self.free.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gives_every_slot_once_and_takes_it_back() {
        let mut pool = BufPool::new(3, 100);
        let slots: Vec<_> = (0..3).map(|i| pool.insert(&[i; 100]).unwrap()).collect();
        assert_eq!(pool.insert(b"x"), None);
        for (i, s) in slots.iter().enumerate() {
            assert!(pool.slot(*s)[..100].iter().all(|b| usize::from(*b) == i));
        }
        pool.release(slots[1]);
        assert_eq!(pool.available(), 1);
        assert_eq!(pool.insert(b"y"), Some(slots[1]));
    }

    #[test]
    fn refuses_what_does_not_fit() {
        let mut pool = BufPool::new(1, 64);
        assert_eq!(pool.insert(&[0; 65]), None);
        assert_eq!(pool.available(), 1);
    }

    #[test]
    #[should_panic(expected = "released twice")]
    #[cfg(debug_assertions)]
    fn a_double_release_is_caught() {
        let mut pool = BufPool::new(1, 64);
        let s = pool.insert(b"x").unwrap();
        pool.release(s);
        pool.release(s);
    }
}
