//! Log2 latency cells: cheap enough for every packet, exact enough for a scrape.

use crate::base::Nanos;

/// Upper bounds are 1, 2, 4 … 2^20 µs (about 1 s); the last cell holds what is longer.
pub const CELLS: usize = 22;

/// The cell that `latency` falls into: the smallest `i` with latency ≤ 2^i µs.
#[must_use]
#[inline]
pub const fn cell(latency: Nanos) -> usize {
    let us = latency.get().div_ceil(1_000);
    let i = if us <= 1 { 0 } else { (u64::BITS - (us - 1).leading_zeros()) as usize };
    if i < CELLS { i } else { CELLS - 1 }
}

/// The upper bound of cell `i`; `None` for the last, which has none.
#[must_use]
pub const fn upper_bound(i: usize) -> Option<Nanos> {
    if i + 1 < CELLS { Some(Nanos::from_micros(1 << i)) } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_latency_lies_at_or_below_its_bound_and_above_the_one_before() {
        for ns in [
            0,
            1,
            999,
            1_000,
            1_001,
            2_000,
            2_001,
            1_000_000,
            1_048_576_000,
            1_048_576_001,
            u64::MAX / 2,
        ] {
            let i = cell(Nanos::new(ns));
            if let Some(bound) = upper_bound(i) {
                assert!(ns <= bound.get(), "{ns} in cell {i}");
            }
            if i > 0 {
                assert!(ns > upper_bound(i - 1).unwrap().get(), "{ns} in cell {i}");
            }
        }
    }
}
