//! How much sooner than its deadline a packet must be expected to end: learned from how often promises are broken.
//!
//! Knows no packet: it is told how many were admitted and how many of a class ended late, and how long the class's budget is. What
//! estimates do not see (a turn that reads more than most, a neighbour on the core) makes late what was promised with nothing to
//! spare. So the margin of a class follows the quantile that promises may miss (H. Robbins, S. Monro, Annals of Mathematical
//! Statistics 22, 1951): up by a step for each that was late, down by a 2,048th of a step for each that was admitted. It comes to
//! rest where one in 2,048 is late, half of the share that is aimed at, and at nothing where none is.
//!
//! A budget of a packet's own may be far shorter than its class's: of what is learned it leaves no more than an eighth of its own.

use crate::base::{Nanos, PerPriority, Priority};

/// So many in time take back what one late packet added.
const IN_TIME_PER_LATE: u64 = 2_048;
/// A step is such a part of the class's budget.
const STEPS_PER_BUDGET: u64 = 64;
/// And the margin never more than such a part of it.
const MOST_OF_BUDGET: u64 = 8;

/// See the module.
#[derive(Clone, Copy, Debug)]
pub(super) struct Margin {
    least: Nanos,
    learned: PerPriority<u64>,
    budget: PerPriority<Nanos>,
    seen: PerPriority<Ends>,
}

/// How promises of a class have ended, since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ends {
    /// Let in, in the belief that they would be in time.
    pub admitted: u64,
    /// Late all the same.
    pub late: u64,
}

impl Margin {
    /// At least `least`, at most that and an eighth of the class's budget.
    pub(super) fn new(least: Nanos, budgets: &PerPriority<Nanos>) -> Self {
        Self {
            least,
            learned: PerPriority::from_fn(|_| 0),
            budget: *budgets,
            seen: PerPriority::from_fn(|_| Ends::default()),
        }
    }

    /// What is known by now. Sums never fall.
    pub(super) fn learn(&mut self, ends: &PerPriority<Ends>) {
        for p in Priority::ALL.into_iter().filter(|p| p.enforces_deadline()) {
            let (now, before) = (ends[p], self.seen[p]);
            let step = self.step(p);
            let up = now.late.saturating_sub(before.late).saturating_mul(step);
            let down = now.admitted.saturating_sub(before.admitted).saturating_mul(step)
                / IN_TIME_PER_LATE;
            let most = (self.budget[p].get() / MOST_OF_BUDGET).saturating_mul(FINE);
            self.learned[p] = self.learned[p].saturating_add(up).saturating_sub(down).min(most);
            self.seen[p] = now;
        }
    }

    /// What a packet of that class must leave free, if its budget is its class's.
    pub(super) fn of(&self, priority: Priority) -> Nanos {
        self.least + Nanos::new(self.learned[priority] / FINE)
    }

    /// What one of that budget must leave free.
    pub(super) fn within(&self, priority: Priority, budget: Nanos) -> Nanos {
        let most = budget.get() / MOST_OF_BUDGET;
        self.least + Nanos::new((self.learned[priority] / FINE).min(most))
    }

    fn step(&self, p: Priority) -> u64 {
        (self.budget[p].get() / STEPS_PER_BUDGET).saturating_mul(FINE)
    }
}

/// Parts of a nanosecond: what one packet takes back of a short budget is less than one.
const FINE: u64 = 1 << 10;

#[cfg(test)]
mod tests {
    use super::*;
    use rand_xoshiro::Xoshiro256PlusPlus;
    use rand_xoshiro::rand_core::{RngCore, SeedableRng};

    const HIGH: Priority = Priority::High;

    fn margin(least: Nanos) -> Margin {
        let budgets = PerPriority::new([1, 10, 100, 200].map(Nanos::from_millis));
        Margin::new(least, &budgets)
    }

    fn ended(admitted: u64, late: u64) -> PerPriority<Ends> {
        PerPriority::from_fn(|_| Ends { admitted, late })
    }

    #[test]
    fn it_comes_to_rest_where_few_enough_are_late() {
        let mut m = margin(Nanos::ZERO);
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(1);
        let (mut admitted, mut late, mut late_at_first) = (0, 0, 0);
        for turn in 0..20_000 {
            for _ in 0..100 {
                // What estimates do not see: nothing mostly, and up to 100 us in one packet of fifty.
                let r = rng.next_u64();
                let unseen = if r.is_multiple_of(50) { (r >> 32) % 100_000 } else { 0 };
                admitted += 1;
                late += u64::from(unseen > m.of(HIGH).get());
            }
            m.learn(&ended(admitted, late));
            if turn == 4_000 {
                late_at_first = late;
            }
        }
        // One in 2,048 is 781 of what followed; without a margin it would be one in fifty, 32,000.
        let then = late - late_at_first;
        assert!((600..1_000).contains(&then), "{then}");
    }

    #[test]
    fn nothing_is_kept_free_where_nobody_is_late_and_never_more_than_an_eighth_of_a_budget() {
        let mut m = margin(Nanos::from_micros(3));
        m.learn(&ended(1_000_000, 0));
        assert_eq!(m.of(HIGH), Nanos::from_micros(3));
        m.learn(&ended(2_000_000, 1_000_000));
        assert_eq!(m.of(HIGH), Nanos::from_micros(3 + 125));
        assert_eq!(m.of(Priority::Medium), Nanos::from_micros(3 + 1_250));
        assert_eq!(m.of(Priority::BestEffort), Nanos::from_micros(3), "no deadline, no promise");
        let of_its_own = m.within(Priority::Medium, Nanos::from_micros(800));
        assert_eq!(
            of_its_own,
            Nanos::from_micros(3 + 100),
            "a shorter budget is not used up by it"
        );
        assert_eq!(m.within(HIGH, Nanos::from_secs(1)), m.of(HIGH));
        // Eight steps, each taken back by 2,048 that are in time.
        m.learn(&ended(2_000_000 + 8 * 2_048, 1_000_000));
        assert_eq!(m.of(HIGH), Nanos::from_micros(3));
    }

    #[test]
    fn nothing_overflows() {
        let mut m = margin(Nanos::from_secs(1));
        m.budget = PerPriority::new([Nanos::from_secs(60); Priority::COUNT]);
        m.learn(&ended(u64::MAX, u64::MAX));
        m.learn(&ended(0, 0));
        assert!(m.of(Priority::Low) <= Nanos::from_secs(1) + Nanos::from_millis(7_500));
    }
}
