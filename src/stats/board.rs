//! A block of words that one thread writes and others read whole: a sequence lock over atomics.

#[cfg(punctual_loom)]
use loom::sync::atomic::{AtomicU64, Ordering, fence};
#[cfg(not(punctual_loom))]
use std::sync::atomic::{AtomicU64, Ordering, fence};

use crossbeam_utils::CachePadded;

/// One writer, any readers, never a torn read. The writer never waits; a reader tries again while a write is under way.
#[derive(Debug)]
pub struct Board {
    /// Odd while a write is under way.
    sequence: CachePadded<AtomicU64>,
    /// Raised by readers who want a fresh snapshot; its own line, so that asking does not disturb the words.
    asked: CachePadded<AtomicU64>,
    words: Box<[AtomicU64]>,
}

impl Board {
    /// A board of `len` words, all zero.
    #[must_use]
    pub fn new(len: usize) -> Self {
        Self {
            sequence: CachePadded::new(AtomicU64::new(0)),
            asked: CachePadded::new(AtomicU64::new(0)),
            words: (0..len).map(|_| AtomicU64::new(0)).collect(),
        }
    }

    /// Shows `words`. Only the owning thread calls this.
    pub fn publish(&self, words: &[u64]) {
        debug_assert_eq!(words.len(), self.words.len());
        let sequence = self.sequence.load(Ordering::Relaxed);
        self.sequence.store(sequence.wrapping_add(1), Ordering::Relaxed);
        // Readers that see any word of this write also see the odd sequence (or a later one).
        fence(Ordering::Release);
        for (to, from) in self.words.iter().zip(words) {
            to.store(*from, Ordering::Relaxed);
        }
        self.sequence.store(sequence.wrapping_add(2), Ordering::Release);
    }

    /// Copies the last complete snapshot into `out` and tells its number (0: nothing shown yet).
    /// `None` when a write was under way: try again.
    pub fn try_read(&self, out: &mut [u64]) -> Option<u64> {
        let before = self.sequence.load(Ordering::Acquire);
        if before & 1 == 1 {
            return None;
        }
        for (to, from) in out.iter_mut().zip(&self.words) {
            *to = from.load(Ordering::Relaxed);
        }
        fence(Ordering::Acquire);
        (self.sequence.load(Ordering::Relaxed) == before).then_some(before / 2)
    }

    /// The number of the last complete snapshot.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.sequence.load(Ordering::Acquire) / 2
    }

    /// Asks the writer for a fresh snapshot.
    pub fn ask(&self) {
        self.asked.fetch_add(1, Ordering::Relaxed);
    }

    /// How often a snapshot has been asked for: the writer shows one when this has changed.
    #[must_use]
    #[inline]
    pub fn asked(&self) -> u64 {
        self.asked.load(Ordering::Relaxed)
    }

    /// How many words there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.words.len()
    }

    /// Whether there is no word.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.words.is_empty()
    }
}

#[cfg(not(punctual_loom))]
#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn readers_never_see_two_writes_mixed() {
        let board = Board::new(64);
        std::thread::scope(|s| {
            s.spawn(|| (1..=20_000u64).for_each(|n| board.publish(&[n; 64])));
            let mut out = [0; 64];
            let mut last = 0;
            while last < 20_000 {
                if let Some(version) = board.try_read(&mut out) {
                    assert!(out.iter().all(|w| *w == out[0]), "torn: {out:?}");
                    assert!(version >= last);
                    last = version;
                }
            }
        });
    }
}
