//! The queue's total order, as a readable key and as one number.

use crate::base::{Instant, Priority};

/// Where an entry stands: the earlier deadline first, then the higher priority, then whoever came first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key {
    /// The absolute deadline.
    pub deadline: Instant,
    /// The class.
    pub priority: Priority,
    /// The number of the push, counted by the queue. What arrives unsorted is told apart up to 2^46 - 1 (two years of a
    /// million pushes a second); after that, equal deadlines of one class keep their order only among those that arrived
    /// sorted.
    pub seq: u64,
}

/// The lowest bits of a packed key name the place of a heap entry in its slab.
const SLAB_BITS: u32 = 16;
const SLAB_MASK: u128 = (1 << SLAB_BITS) - 1;
const SEQ_BITS: u32 = 46;
const PRIORITY_SHIFT: u32 = SEQ_BITS + SLAB_BITS;

/// The largest `seq` that a packed key can tell.
const SEQ_MAX: u64 = (1 << SEQ_BITS) - 1;
/// The most entries that a slab number can tell apart.
pub(super) const SLAB_MAX: usize = 1 << SLAB_BITS;
/// No entry: above every packed key that a queue gives out.
pub(super) const NONE: u128 = u128::MAX;

const _: () = assert!(PRIORITY_SHIFT == 62, "64 bits of deadline, 2 of priority, 46 + 16 below");

impl Key {
    /// One number in the same order: deadline, priority, seq, then 16 bits of slab number, zero here.
    #[inline]
    pub(super) const fn pack(self) -> u128 {
        (self.deadline.as_nanos() as u128) << 64
            | (self.priority.index() as u128) << PRIORITY_SHIFT
            | (if self.seq < SEQ_MAX { self.seq } else { SEQ_MAX } as u128) << SLAB_BITS
    }

    /// Its place within its class.
    #[inline]
    pub(super) const fn place(self) -> (u64, u64) {
        (self.deadline.as_nanos(), self.seq)
    }

    /// The readable form of a packed key; its slab number is left out.
    #[inline]
    #[expect(clippy::cast_possible_truncation, reason = "the halves of 128 bits have 64 each")]
    pub(super) const fn unpack(packed: u128) -> Self {
        let low = packed as u64;
        Self {
            deadline: Instant::from_nanos((packed >> 64) as u64),
            priority: Priority::ALL[(low >> PRIORITY_SHIFT) as usize],
            seq: (low >> SLAB_BITS) & SEQ_MAX,
        }
    }
}

/// The half of a packed key that nearly always decides.
#[inline]
pub(super) const fn deadline(packed: u128) -> u64 {
    (packed >> 64) as u64
}

/// The same place in the order, after every entry with that key whatever its slab number.
#[inline]
pub(super) const fn last_of(packed: u128) -> u128 {
    packed | SLAB_MASK
}

/// A packed key without its slab number.
#[inline]
pub(super) const fn without_slab(packed: u128) -> u128 {
    packed & !SLAB_MASK
}

/// The slab number of a packed key.
#[inline]
pub(super) const fn slab_of(packed: u128) -> usize {
    (packed & SLAB_MASK) as usize
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn key() -> impl Strategy<Value = Key> {
        (0u64..4, 0u8..4, 0u64..4, any::<bool>()).prop_map(|(d, p, seq, far)| Key {
            deadline: Instant::from_nanos(if far { u64::MAX - d } else { d }),
            priority: Priority::from_wire(p).unwrap(),
            seq: if far { SEQ_MAX - seq } else { seq },
        })
    }

    proptest! {
        #[test]
        fn packing_keeps_the_order_and_loses_nothing(a in key(), b in key()) {
            prop_assert_eq!(a.cmp(&b), a.pack().cmp(&b.pack()));
            prop_assert_eq!(Key::unpack(a.pack()), a);
            prop_assert_eq!(Key::unpack(last_of(a.pack())), a);
            prop_assert_eq!(without_slab(last_of(a.pack())), a.pack());
        }
    }
}
