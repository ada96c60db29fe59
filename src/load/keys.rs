//! Finds places of a ring by the key of what was put there: chains through fixed tables, nothing is allocated later.
//!
//! Knows nothing of requests.

const NONE: u32 = u32::MAX;

/// A multimap from keys to the places 0 to n - 1.
#[derive(Debug)]
pub(super) struct Keys {
    /// First place of each chain; a chain holds the places whose keys agree in their low bits.
    heads: Box<[u32]>,
    /// The place after each place.
    next: Box<[u32]>,
    /// The place before each place; nothing before the first of a chain.
    before: Box<[u32]>,
    /// The key at each place.
    keys: Box<[u32]>,
}

impl Keys {
    /// An empty map for `places` places, a power of two of at most 2^31.
    pub(super) fn new(places: usize) -> Self {
        debug_assert!(places.is_power_of_two());
        let table = |fill| vec![fill; places].into_boxed_slice();
        Self { heads: table(NONE), next: table(NONE), before: table(NONE), keys: table(0) }
    }

    /// Enters a place that is not in the map.
    #[inline]
    pub(super) fn insert(&mut self, place: usize, key: u32) {
        let chain = self.chain(key);
        let place_32 = u32::try_from(place).unwrap_or(NONE);
        let first = self.heads[chain];
        if first != NONE {
            self.before[first as usize] = place_32;
        }
        self.keys[place] = key;
        self.next[place] = first;
        self.before[place] = NONE;
        self.heads[chain] = place_32;
    }

    /// Takes out a place that is in the map.
    #[inline]
    pub(super) fn remove(&mut self, place: usize) {
        let (before, after) = (self.before[place], self.next[place]);
        if before == NONE {
            let chain = self.chain(self.keys[place]);
            self.heads[chain] = after;
        } else {
            self.next[before as usize] = after;
        }
        if after != NONE {
            self.before[after as usize] = before;
        }
    }

    /// The places that hold `key`, the last entered first.
    #[inline]
    pub(super) fn find(&self, key: u32) -> impl Iterator<Item = usize> {
        let mut at = self.heads[self.chain(key)];
        std::iter::from_fn(move || {
            while at != NONE {
                let place = at as usize;
                at = self.next[place];
                if self.keys[place] == key {
                    return Some(place);
                }
            }
            None
        })
    }

    #[inline]
    const fn chain(&self, key: u32) -> usize {
        key as usize & (self.heads.len() - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Against the plain list that it stands for. Few distinct keys, so that chains are long.
        #[test]
        fn behaves_like_a_list(ops in proptest::collection::vec((0..16_usize, 0..40_u32), 0..200)) {
            let mut map = Keys::new(16);
            let mut model: Vec<(usize, u32)> = Vec::new();
            for (place, key) in ops {
                if let Some(i) = model.iter().position(|(p, _)| *p == place) {
                    model.remove(i);
                    map.remove(place);
                } else {
                    model.push((place, key));
                    map.insert(place, key);
                }
                let found: Vec<_> = map.find(key).collect();
                let want: Vec<_> =
                    model.iter().rev().filter(|(_, s)| *s == key).map(|(p, _)| *p).collect();
                prop_assert_eq!(found, want);
            }
        }
    }
}
