//! The exponential moving average of seed 002, in the seed's integer form and in the form that is kept.

use super::time::Nanos;

/// Seed 002's recurrence, `max(1, (7·prev + obs) / 8)`, saturating. The documented behaviour; [`Ema`] stays within 8 ns of it.
#[must_use]
pub const fn ema(prev_ns: u64, observed_ns: u64) -> u64 {
    let next = prev_ns.saturating_mul(7).saturating_add(observed_ns) / 8;
    if next == 0 { 1 } else { next }
}

/// A moving average held as nanoseconds × 256.
///
/// The integer form sticks up to 7 ns below a rising input, because the division throws the remainder away each time;
/// eight fractional bits keep it: `e += (obs << 5) − (e >> 3)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ema {
    scaled: u64,
    shift: u8,
}

/// The weight of the past where the config names none: 8, seed 002's.
pub const WEIGHT_DEFAULT: u32 = 8;

/// The largest observation that is taken whole: 2^50 ns, 13 days. Larger ones are cut, so that the shift cannot overflow.
const OBSERVED_NS_MAX: u64 = 1 << 50;

impl Ema {
    /// An average that starts at `initial`, of weight [`WEIGHT_DEFAULT`].
    #[must_use]
    pub const fn new(initial: Nanos) -> Self {
        Self::with_weight(initial, WEIGHT_DEFAULT)
    }

    /// An average in which an observation counts for one part in `weight`: a power of two from 2 to 64; others are
    /// rounded down to one.
    #[must_use]
    pub const fn with_weight(initial: Nanos, weight: u32) -> Self {
        let mut shift = 1;
        while shift < 6 && (2 << shift) <= weight {
            shift += 1;
        }
        Self { scaled: cut(initial.get()) << 8, shift }
    }

    /// Takes in one observation.
    #[inline]
    pub const fn record(&mut self, observed: Nanos) {
        self.scaled =
            self.scaled - (self.scaled >> self.shift) + ((cut(observed.get()) << 8) >> self.shift);
    }

    /// The average, at least 1 ns.
    #[must_use]
    #[inline]
    pub const fn get(self) -> Nanos {
        let ns = self.scaled >> 8;
        Nanos::new(if ns == 0 { 1 } else { ns })
    }
}

const fn cut(ns: u64) -> u64 {
    if ns > OBSERVED_NS_MAX { OBSERVED_NS_MAX } else { ns }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn golden_values_of_the_seed() {
        assert_eq!(ema(100_000, 100_000), 100_000);
        assert_eq!(ema(100_000, 20_000), 90_000);
        assert_eq!(ema(0, 0), 1);
        assert_eq!(ema(8, 1), 7);
        assert_eq!(ema(u64::MAX, u64::MAX), u64::MAX / 8);
    }

    #[test]
    fn fixed_point_has_no_dead_band() {
        let mut e = Ema::new(Nanos::new(100));
        for _ in 0..200 {
            e.record(Nanos::new(107));
        }
        assert_eq!(e.get(), Nanos::new(107));
    }

    #[test]
    fn the_weight_says_how_much_one_observation_counts() {
        for weight in [2, 4, 8, 16, 32, 64] {
            let mut e = Ema::with_weight(Nanos::new(6_400), weight);
            e.record(Nanos::ZERO);
            assert_eq!(e.get().get(), 6_400 - 6_400 / u64::from(weight), "weight {weight}");
        }
    }

    proptest! {
        #[test]
        fn stays_within_8_ns_of_the_seed(start in 1u64..1_000_000_000,
                                         obs in proptest::collection::vec(0u64..1_000_000_000, 1..64)) {
            let mut kept = Ema::new(Nanos::new(start));
            let mut seed = start;
            for o in obs {
                kept.record(Nanos::new(o));
                seed = ema(seed, o);
                prop_assert!(kept.get().get().abs_diff(seed) <= 8);
            }
        }

        #[test]
        fn never_leaves_the_range_of_its_inputs(start in 1u64..u64::MAX, obs in any::<u64>()) {
            let mut e = Ema::new(Nanos::new(start));
            let lo = cut(start).min(cut(obs));
            let hi = cut(start).max(cut(obs));
            e.record(Nanos::new(obs));
            prop_assert!(e.get().get() + 1 >= lo && e.get().get() <= hi.max(1));
        }
    }
}
