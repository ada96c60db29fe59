//! The most that could have been on time: what was offered, and the time that there was.
//!
//! Knows no queue: offers are counted, and what each would have taken is asked for at the end of a window.

use crate::base::{Instant, Nanos, PerPriority, Priority};

/// The length of a window. Long beside budgets, so that what one leaves over to the next does not count.
pub const WINDOW: Nanos = Nanos::from_secs(1);

/// What one window could have held.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Most {
    /// Packets, whatever they are worth.
    pub packets: u64,
    /// Value, by [`Options::values`](super::admission::Options::values).
    pub value: u64,
}

/// Packets offered that are alike.
#[derive(Clone, Copy, Debug)]
struct Offer {
    count: u64,
    service: u64,
    value: u64,
}

/// Counts what is offered. One worker's.
#[derive(Debug)]
pub struct Possible {
    /// By bucket and priority.
    offered: Box<[u64]>,
    sorted: Vec<Offer>,
    since: Instant,
}

impl Possible {
    /// For that many buckets of estimates. All memory is allocated here.
    #[must_use]
    pub fn new(buckets: usize) -> Self {
        let cells = buckets * Priority::COUNT;
        Self {
            offered: vec![0; cells].into(),
            sorted: Vec::with_capacity(cells),
            since: Instant::ZERO,
        }
    }

    /// So many packets of that bucket and priority asked to be served.
    #[inline]
    pub fn add(&mut self, bucket: u16, priority: Priority, count: u32) {
        let at = usize::from(bucket) * Priority::COUNT + priority.index();
        if let Some(cell) = self.offered.get_mut(at) {
            *cell += u64::from(count);
        }
    }

    /// Ends a window that has lasted long enough, where each packet would have taken `service` and been worth its class's value.
    pub fn tick(
        &mut self,
        now: Instant,
        values: &PerPriority<u32>,
        service: impl Fn(u16, Priority) -> Nanos,
    ) -> Option<Most> {
        let elapsed = now.since(self.since);
        if elapsed < WINDOW {
            return None;
        }
        self.since = now;
        self.sorted.clear();
        for (at, cell) in self.offered.iter_mut().enumerate().filter(|(_, cell)| **cell > 0) {
            let priority = Priority::ALL[at % Priority::COUNT];
            let bucket = u16::try_from(at / Priority::COUNT).unwrap_or(u16::MAX);
            self.sorted.push(Offer {
                count: std::mem::take(cell),
                service: service(bucket, priority).get().max(1),
                value: u64::from(values[priority]),
            });
        }
        Some(most_of(&mut self.sorted, elapsed))
    }
}

/// The knapsack of fluid, once by number and once by value: the best for its time first, until the time is used up.
fn most_of(offers: &mut [Offer], time: Nanos) -> Most {
    let fill = |offers: &[Offer], gain: fn(&Offer) -> u64| {
        let mut left = time.get();
        let mut sum = 0_u64;
        for offer in offers {
            let served = offer.count.min(left / offer.service);
            left -= served * offer.service;
            sum = sum.saturating_add(served.saturating_mul(gain(offer)));
        }
        sum
    };
    offers.sort_unstable_by_key(|o| o.service);
    let packets = fill(offers, |_| 1);
    offers.sort_unstable_by(|a, b| {
        let cross = |v: u64, s: u64| u128::from(v) * u128::from(s);
        cross(b.value, a.service).cmp(&cross(a.value, b.service))
    });
    Most { packets, value: fill(offers, |o| o.value) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const VALUES: PerPriority<u32> = PerPriority::new([1_000, 100, 10, 1]);

    fn us(n: u64) -> Nanos {
        Nanos::from_micros(n)
    }

    fn window(offers: &[(u16, Priority, u32, u64)], seconds: u64) -> Most {
        let mut possible = Possible::new(32);
        for (bucket, priority, count, _) in offers {
            possible.add(*bucket, *priority, *count);
        }
        let service = |bucket, priority| {
            offers.iter().find(|o| (o.0, o.1) == (bucket, priority)).map_or(us(1), |o| us(o.3))
        };
        possible.tick(Instant::ZERO + Nanos::from_secs(seconds), &VALUES, service).expect("over")
    }

    #[test]
    fn all_that_was_offered_where_it_fits() {
        let most = window(&[(3, Priority::High, 1_000, 100), (4, Priority::Low, 500, 200)], 1);
        assert_eq!(most, Most { packets: 1_500, value: 1_005_000 });
    }

    #[test]
    fn short_ones_first_by_number_and_worthy_ones_by_value() {
        // 2 s of work: one second holds 10,000 of 100 us, or 5,000 of High at 200 us.
        let most = window(&[(3, Priority::High, 5_000, 200), (4, Priority::Low, 10_000, 100)], 1);
        assert_eq!(most, Most { packets: 10_000, value: 5_000_000 });
    }

    #[test]
    fn one_class_of_two_sizes_is_the_fluid_bound() {
        // Nine of ten take 5 us, one takes 150 us; twice what fits: all short ones, and what is left of the second in long ones.
        let most =
            window(&[(2, Priority::Medium, 92_307, 5), (9, Priority::Medium, 10_257, 150)], 1);
        assert_eq!(most.packets, 92_307 + (1_000_000 - 92_307 * 5) / 150);
    }

    #[test]
    fn a_window_starts_anew_and_is_not_cut_short() {
        let mut possible = Possible::new(1);
        possible.add(0, Priority::High, 7);
        let at = |ms| Instant::ZERO + Nanos::from_millis(ms);
        assert_eq!(possible.tick(at(999), &VALUES, |_, _| us(1)), None);
        assert_eq!(possible.tick(at(1_000), &VALUES, |_, _| us(1)).map(|m| m.packets), Some(7));
        assert_eq!(possible.tick(at(2_000), &VALUES, |_, _| us(1)), Some(Most::default()));
        possible.add(9, Priority::High, 7);
        assert_eq!(possible.tick(at(3_000), &VALUES, |_, _| us(1)), Some(Most::default()));
    }

    proptest! {
        #[test]
        fn never_more_than_was_offered_nor_than_there_is_time_for(
            offers in proptest::collection::vec((0..32_u16, 0..4_u8, 1..100_000_u32), 0..40),
            each in 1..10_000_u64,
        ) {
            let mut possible = Possible::new(32);
            let mut count = 0;
            for (bucket, p, n) in offers {
                possible.add(bucket, Priority::from_wire(p).unwrap(), n);
                count += u64::from(n);
            }
            let most = possible.tick(Instant::ZERO + WINDOW, &VALUES, |_, _| Nanos::new(each)).unwrap();
            prop_assert!(most.packets <= count && most.packets * each <= WINDOW.get());
            prop_assert!(most.packets == count || (most.packets + 1) * each > WINDOW.get());
        }
    }
}
