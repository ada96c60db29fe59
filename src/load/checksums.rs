//! Finds places of a ring by the checksum of what was put there: chains through fixed tables, nothing is allocated later.
//!
//! Knows nothing of requests.

const NONE: u32 = u32::MAX;

/// A multimap from checksums to the places 0 to n - 1.
#[derive(Debug)]
pub(super) struct Checksums {
    /// First place of each chain; a chain holds the places whose checksums agree in their low bits.
    heads: Box<[u32]>,
    /// The place after each place.
    next: Box<[u32]>,
    /// The checksum at each place.
    sums: Box<[u32]>,
}

impl Checksums {
    /// An empty map for `places` places, a power of two of at most 2^31.
    pub(super) fn new(places: usize) -> Self {
        debug_assert!(places.is_power_of_two());
        let table = |fill| vec![fill; places].into_boxed_slice();
        Self { heads: table(NONE), next: table(NONE), sums: table(0) }
    }

    /// Enters a place that is not in the map.
    #[inline]
    pub(super) fn insert(&mut self, place: usize, sum: u32) {
        let chain = self.chain(sum);
        self.sums[place] = sum;
        self.next[place] = self.heads[chain];
        self.heads[chain] = u32::try_from(place).unwrap_or(NONE);
    }

    /// Takes out a place that is in the map.
    #[inline]
    pub(super) fn remove(&mut self, place: usize) {
        let chain = self.chain(self.sums[place]);
        let after = self.next[place];
        let mut at = self.heads[chain];
        if at as usize == place {
            self.heads[chain] = after;
            return;
        }
        while at != NONE {
            let next = self.next[at as usize];
            if next as usize == place {
                self.next[at as usize] = after;
                return;
            }
            at = next;
        }
    }

    /// The places that hold `sum`, the last entered first.
    #[inline]
    pub(super) fn find(&self, sum: u32) -> impl Iterator<Item = usize> {
        let mut at = self.heads[self.chain(sum)];
        std::iter::from_fn(move || {
            while at != NONE {
                let place = at as usize;
                at = self.next[place];
                if self.sums[place] == sum {
                    return Some(place);
                }
            }
            None
        })
    }

    #[inline]
    const fn chain(&self, sum: u32) -> usize {
        sum as usize & (self.heads.len() - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Against the plain list that it stands for. Few distinct sums, so that chains are long.
        #[test]
        fn behaves_like_a_list(ops in proptest::collection::vec((0..16_usize, 0..40_u32), 0..200)) {
            let mut map = Checksums::new(16);
            let mut model: Vec<(usize, u32)> = Vec::new();
            for (place, sum) in ops {
                if let Some(i) = model.iter().position(|(p, _)| *p == place) {
                    model.remove(i);
                    map.remove(place);
                } else {
                    model.push((place, sum));
                    map.insert(place, sum);
                }
                let found: Vec<_> = map.find(sum).collect();
                let want: Vec<_> =
                    model.iter().rev().filter(|(_, s)| *s == sum).map(|(p, _)| *p).collect();
                prop_assert_eq!(found, want);
            }
        }
    }
}
