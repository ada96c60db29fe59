//! What repairs took that lacked other shards than the last one: matrices of a few masks, changed in turn.
//!
//! Knows no payload and works nothing out.

use std::mem::swap;

use super::field::Matrix;

/// So many masks beside the present one. A code of 10 + 2 has 10 where one data shard is lost, by far the most frequent; a matrix has
/// 2 KiB, of which a repair reads as many lines as shards are lost.
const MASKS: usize = 15;

/// One mask's.
#[derive(Debug)]
struct One {
    mask: Option<u32>,
    repair: Box<Matrix>,
}

#[derive(Debug)]
pub(super) struct Kept {
    all: [One; MASKS],
    /// Whose place the next new one takes.
    next: usize,
}

impl Kept {
    pub(super) fn new() -> Self {
        let none = |_| One { mask: None, repair: Box::new(Matrix::none()) };
        Self { all: std::array::from_fn(none), next: 0 }
    }

    /// Keeps what is present. True: in its place is now what was kept for `mask`; false: something of another mask, to be written
    /// over. Nothing is copied: places are exchanged.
    pub(super) fn exchange(
        &mut self,
        mask: u32,
        repair: &mut Box<Matrix>,
        present: &mut Option<u32>,
    ) -> bool {
        let found = self.all.iter().position(|one| one.mask == Some(mask));
        let one = &mut self.all[found.unwrap_or(self.next)];
        swap(&mut one.repair, repair);
        swap(&mut one.mask, present);
        if found.is_none() {
            self.next = (self.next + 1) % MASKS;
        }
        found.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_masks_are_found_again_and_older_ones_are_not() {
        let mut kept = Kept::new();
        let (mut repair, mut present) = (Box::new(Matrix::none()), None);
        let masks = 1..=u32::try_from(MASKS).unwrap() + 3;
        let mut ask = |mask: u32| {
            let found = present == Some(mask) || kept.exchange(mask, &mut repair, &mut present);
            assert!(!found || repair.rows == mask as usize, "what is found is that mask's");
            (repair.rows, present) = (mask as usize, Some(mask));
            found
        };
        for mask in masks.clone() {
            assert!(!ask(mask), "{mask} is new");
        }
        for _ in 0..3 {
            // 16 in all: 15 beside the present one.
            for mask in masks.clone().skip(2) {
                assert!(ask(mask), "{mask} was kept");
            }
        }
        assert!(!ask(1) && !ask(2), "what was long ago is written over");
    }
}
