//! How many packets of each priority a worker may hold queued: from budgets and measured service to numbers.
//!
//! Knows nothing of what is queued now: quotas gate new admissions, they never drop what was admitted.

use crate::base::limits::QUOTA_MAX;
use crate::base::{Nanos, PerPriority, Priority};

/// Seed 002's safety factor, 0.9, in thousandths.
pub const SAFETY_PER_MILLE: u32 = 900;
/// A packet beyond the count of its class may be done by the whole of its own budget, in thousandths: that time is what is measured, and
/// what broken promises have taught is kept free of it (`margin`).
pub const FILL_PER_MILLE: u16 = 1_000;
/// Best effort's fixed cushion (seed 002), which no estimate changes.
pub const BEST_EFFORT_QUOTA: u32 = 128;

/// Seed 002's caps a worker in the tiered layout.
const HIGH_MAX: u32 = 64;
const MEDIUM_MAX: u32 = 160;
const LOW_MAX: u32 = 192;
/// The least total of the first worker, of those between, and of the last.
const TOTAL_MIN: [u32; 3] = [4, 16, 64];

/// How many packets of one class can be served within its budget: `clamp(round(safety × budget / ema), 1, 512)`,
/// in integers: for 0.9 exactly seed 002's `floor((9·budget + 5·ema) / (10·ema))`.
#[must_use]
pub fn target_capacity(budget: Nanos, ema: Nanos, safety_per_mille: u32) -> u32 {
    let ema = u128::from(ema.get().max(1));
    let exact =
        (2 * u128::from(safety_per_mille) * u128::from(budget.get()) + 1_000 * ema) / (2_000 * ema);
    u32::try_from(exact).unwrap_or(QUOTA_MAX).clamp(1, QUOTA_MAX)
}

/// Which worker serves which priorities.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Layout {
    /// Every worker serves all classes of its flows, each class up to its target.
    #[default]
    Symmetric,
    /// Seed 002: the first worker serves High, the last one everything, those between High and Medium. Two workers are a
    /// first and a last; one alone is a last.
    Tiered(Split),
}

/// How the tiered layout splits a class's target over workers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Split {
    /// Seed 002 to the letter: the last worker has one of Medium until the others are at their cap, and none of
    /// High when there are fewer than workers.
    Seed,
    /// Medium by shares, and at least one of each class wherever it is served.
    Shares {
        /// The share of all workers between the first and the last together.
        between: u32,
        /// The share of the last worker.
        last: u32,
    },
}

impl Default for Split {
    fn default() -> Self {
        Self::Shares { between: 1, last: 1 }
    }
}

/// What a worker is in the tiered layout.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Tier {
    First,
    Between,
    Last,
}

const fn tier(worker: usize, workers: usize) -> Tier {
    if worker + 1 >= workers {
        Tier::Last
    } else if worker == 0 {
        Tier::First
    } else {
        Tier::Between
    }
}

/// Whether `worker` (from 0) of `workers` serves that priority.
#[must_use]
pub const fn eligible(layout: Layout, worker: usize, workers: usize, priority: Priority) -> bool {
    match (layout, tier(worker, workers)) {
        (Layout::Symmetric, _) | (_, Tier::Last) => true,
        (_, Tier::First) => matches!(priority, Priority::High),
        (_, Tier::Between) => matches!(priority, Priority::High | Priority::Medium),
    }
}

/// What one worker may hold queued, in packets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Quotas {
    /// Of each class; 0 where the worker does not serve it.
    pub class: PerPriority<u32>,
    /// Of all classes together.
    pub total: u32,
}

/// The quotas of `worker` (from 0) of `workers`, for these targets.
#[must_use]
pub fn quotas(layout: Layout, worker: usize, workers: usize, targets: &PerPriority<u32>) -> Quotas {
    let class = PerPriority::from_fn(|p| match layout {
        _ if !eligible(layout, worker, workers, p) => 0,
        _ if p == Priority::BestEffort => BEST_EFFORT_QUOTA,
        Layout::Symmetric => targets[p].clamp(1, QUOTA_MAX),
        Layout::Tiered(split) => {
            let least = u32::from(split != Split::Seed);
            match p {
                Priority::High => high(worker, workers, targets[p]).max(least),
                Priority::Medium => medium(split, worker, workers, targets[p]).max(least),
                _ => targets[p].clamp(1, LOW_MAX),
            }
        }
    });
    let sum = class.as_array().iter().sum();
    let least = match layout {
        Layout::Symmetric => 1,
        Layout::Tiered(_) => TOTAL_MIN[tier(worker, workers) as usize],
    };
    Quotas { class, total: least.max(sum) }
}

/// Spills one packet of High to each worker but the first while there is one to spill; the first has the rest.
fn high(worker: usize, workers: usize, target: u32) -> u32 {
    let spilled = target.saturating_sub(1).min(count(workers - 1));
    if worker == 0 { (target - spilled).min(HIGH_MAX) } else { u32::from(count(worker) <= spilled) }
}

fn medium(split: Split, worker: usize, workers: usize, target: u32) -> u32 {
    let between = count(workers.saturating_sub(2));
    if between == 0 {
        return target.min(MEDIUM_MAX);
    }
    // Of the target, what those between have together.
    let theirs = match split {
        Split::Seed => target.saturating_sub(1),
        Split::Shares { between, last } => {
            let whole = u64::from(between) + u64::from(last);
            let part = u64::from(target) * u64::from(between) / whole.max(1);
            u32::try_from(part).unwrap_or(target).clamp(1, target.saturating_sub(1).max(1))
        }
    };
    let place = count(worker) - 1;
    let each = |i: u32| (theirs / between + u32::from(i < theirs % between)).min(MEDIUM_MAX);
    if place < between {
        return each(place);
    }
    // What the others cannot take because of their caps comes to the last one in the seed's split.
    let rest = match split {
        Split::Seed => target - (0..between).map(each).sum::<u32>(),
        Split::Shares { .. } => target - theirs.min(target),
    };
    rest.min(MEDIUM_MAX)
}

/// By which part of its own budget, in thousandths, a packet beyond its class's quota must be done; 0: none goes beyond.
///
/// The count is made from the mean of a class and its tightest budget. Where short and long work mix it refuses short packets
/// behind which there is time; what it is there to bound is time. A class that has no deadline has nothing to be bounded by but
/// the count, and the tiered layout has its counts from seed 002.
#[must_use]
pub fn fill(layout: Layout, priority: Priority, per_mille: u16) -> u16 {
    let bounded = layout == Layout::Symmetric && priority.enforces_deadline();
    per_mille.min(FILL_PER_MILLE) * u16::from(bounded)
}

/// Worker counts are at most 1,024 (`limits::WORKERS_MAX`).
fn count(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn targets(ema_us: [u64; 4]) -> PerPriority<u32> {
        PerPriority::from_fn(|p| {
            let ema = Nanos::from_micros(ema_us[p.index()]);
            target_capacity(p.default_budget(), ema, SAFETY_PER_MILLE)
        })
    }

    fn all(layout: Layout, workers: usize, ema_us: [u64; 4]) -> Vec<([u32; 4], u32)> {
        let targets = targets(ema_us);
        let one = |w| quotas(layout, w, workers, &targets);
        (0..workers).map(one).map(|q| (*q.class.as_array(), q.total)).collect()
    }

    #[test]
    fn golden_vectors_of_the_seeds_split() {
        let seed = |ema| all(Layout::Tiered(Split::Seed), 3, ema);
        assert_eq!(
            seed([100, 120, 200, 200]),
            [([7, 0, 0, 0], 7), ([1, 74, 0, 0], 75), ([1, 1, 192, 128], 322)]
        );
        assert_eq!(
            seed([50, 97, 97, 97]),
            [([16, 0, 0, 0], 16), ([1, 92, 0, 0], 93), ([1, 1, 192, 128], 322)]
        );
        assert_eq!(
            seed([600; 4]),
            [([1, 0, 0, 0], 4), ([1, 14, 0, 0], 16), ([0, 1, 150, 128], 279)]
        );
        assert_eq!(
            seed([1; 4]),
            [([64, 0, 0, 0], 64), ([1, 160, 0, 0], 161), ([1, 160, 192, 128], 481)]
        );
    }

    #[test]
    fn medium_is_split_by_shares() {
        let split = |between, last| Layout::Tiered(Split::Shares { between, last });
        let medium = |layout, ema| -> Vec<u32> {
            all(layout, 3, ema).iter().map(|(class, _)| class[1]).collect()
        };
        assert_eq!(medium(split(1, 1), [100, 120, 200, 200]), [0, 37, 38]);
        assert_eq!(medium(split(2, 1), [100, 120, 200, 200]), [0, 50, 25]);
        assert_eq!(medium(split(1, 0), [100, 120, 200, 200]), [0, 74, 1]);
        assert_eq!(medium(split(0, 0), [100, 120, 200, 200]), [0, 1, 74]);
        assert_eq!(medium(split(1, 1), [1; 4]), [0, 160, 160]);
        // A target of one: each is served all the same.
        assert_eq!(medium(split(1, 1), [100, 100_000, 200, 200]), [0, 1, 1]);
    }

    #[test]
    fn other_worker_counts() {
        let tiered = Layout::Tiered(Split::default());
        let init = [100, 120, 200, 200];
        assert_eq!(all(tiered, 1, init), [([9, 75, 192, 128], 404)]);
        assert_eq!(all(tiered, 2, init), [([8, 0, 0, 0], 8), ([1, 75, 192, 128], 396)]);
        assert_eq!(
            all(tiered, 5, init),
            [
                ([5, 0, 0, 0], 5),
                ([1, 13, 0, 0], 16),
                ([1, 12, 0, 0], 16),
                ([1, 12, 0, 0], 16),
                ([1, 38, 192, 128], 359)
            ]
        );
        assert_eq!(all(Layout::Symmetric, 2, init), [([9, 75, 450, 128], 662); 2]);
    }

    #[test]
    fn eligibility_follows_the_tiers() {
        let serves = |w, n| -> Vec<Priority> {
            let tiered = Layout::Tiered(Split::Seed);
            Priority::ALL.into_iter().filter(|p| eligible(tiered, w, n, *p)).collect()
        };
        assert_eq!(serves(0, 1), Priority::ALL);
        assert_eq!(serves(0, 2), [Priority::High]);
        assert_eq!(serves(1, 2), Priority::ALL);
        assert_eq!(serves(2, 4), [Priority::High, Priority::Medium]);
        assert_eq!(serves(3, 4), Priority::ALL);
        assert!(Priority::ALL.into_iter().all(|p| eligible(Layout::Symmetric, 0, 9, p)));
    }

    #[test]
    fn the_safety_factor_counts() {
        let cap = |safety| target_capacity(Nanos::from_millis(1), Nanos::from_micros(100), safety);
        assert_eq!((cap(900), cap(1_000), cap(500), cap(0)), (9, 10, 5, 1));
    }

    proptest! {
        #[test]
        fn the_target_is_the_seeds_formula(budget in 1..60_000_000_000u64, ema in 1..1u64 << 50) {
            let seed = ((9 * u128::from(budget) + 5 * u128::from(ema)) / (10 * u128::from(ema))).clamp(1, 512);
            let got = target_capacity(Nanos::new(budget), Nanos::new(ema), SAFETY_PER_MILLE);
            prop_assert_eq!(u128::from(got), seed);
        }

        #[test]
        fn the_target_never_leaves_its_range(budget in any::<u64>(), ema in any::<u64>(), safety in any::<u32>()) {
            let got = target_capacity(Nanos::new(budget), Nanos::new(ema), safety);
            prop_assert!((1..=512).contains(&got));
        }

        #[test]
        fn whoever_serves_a_class_has_a_quota_for_it(
            workers in 1..65usize,
            target in proptest::array::uniform4(1..=512u32),
            shares in proptest::option::of((0..10u32, 0..10u32)),
        ) {
            let layout = shares.map_or(Layout::Symmetric, |(between, last)| {
                Layout::Tiered(Split::Shares { between, last })
            });
            let target = PerPriority::new(target);
            for w in 0..workers {
                let q = quotas(layout, w, workers, &target);
                for p in Priority::ALL {
                    let served = eligible(layout, w, workers, p);
                    prop_assert!((u32::from(served)..=512 * u32::from(served)).contains(&q.class[p]));
                }
                prop_assert!(q.total >= q.class.as_array().iter().sum());
            }
        }

        #[test]
        fn a_split_hands_out_no_more_than_there_is(workers in 1..65usize, target in 1..=512u32) {
            let targets = PerPriority::new([target; 4]);
            for p in [Priority::High, Priority::Medium] {
                let sum = |split| -> u32 {
                    let of = |w| quotas(Layout::Tiered(split), w, workers, &targets).class[p];
                    (0..workers).map(of).sum()
                };
                prop_assert!(sum(Split::Seed) <= target);
                // The floor of one for each worker can come on top.
                prop_assert!(sum(Split::default()) <= target + count(workers));
            }
        }
    }
}
