//! Whose work fits: the share of a worker's time that each class asks for, of late.
//!
//! Knows no queue: work is offered by [`Demand::add`], time passes by [`Demand::tick`].

use crate::base::{Instant, Nanos, PerPriority, Priority};

/// The share of a worker's time that the offered work of each class would have taken, of late. Offered, not admitted: where
/// even High is refused, nothing is left for the rest.
#[derive(Clone, Copy, Debug)]
pub(super) struct Demand {
    offered: PerPriority<u64>,
    /// How many of each class had come by the last tick.
    arrived: PerPriority<u64>,
    /// In 1,024ths.
    share: PerPriority<u32>,
    /// What those above each class leave it, in 1,024ths.
    left: PerPriority<u32>,
    /// How many classes fit: the work that these first ones offer together can be done. Those after them yield.
    fitting: usize,
    since: Instant,
}

impl Default for Demand {
    fn default() -> Self {
        Self {
            offered: PerPriority::default(),
            arrived: PerPriority::default(),
            share: PerPriority::default(),
            left: PerPriority::new([1_024; Priority::COUNT]),
            fitting: Priority::COUNT,
            since: Instant::ZERO,
        }
    }
}

/// How often shares are brought up to date.
const DEMAND_TICK: Nanos = Nanos::from_millis(5);
/// With less than this left (a tenth, in 1,024ths), nothing is: seed 002's factor of 0.9 between what is measured and what is
/// promised, because estimates do not see the time that the machine takes away.
const LEFT_MIN: u32 = 102;

impl Demand {
    #[inline]
    pub(super) fn add(&mut self, priority: Priority, service: Nanos, count: u32) {
        self.offered[priority] += service.get() * u64::from(count);
    }

    /// Work that was offered is not for this worker after all.
    pub(super) fn take_back(&mut self, priority: Priority, service: Nanos) {
        let offered = &mut self.offered[priority];
        *offered = offered.saturating_sub(service.get());
    }

    /// Time has passed, and so many have come since the start. Of what each was said to take, `to_refuse` goes into others that are
    /// refused, and is not asked for: else what is read only to be refused leaves less room, and more is refused for that, while
    /// there is time to serve it.
    pub(super) fn tick(
        &mut self,
        now: Instant,
        starving: &PerPriority<bool>,
        arrived: &PerPriority<u64>,
        to_refuse: Nanos,
    ) {
        let elapsed = now.since(self.since);
        if elapsed < DEMAND_TICK {
            return;
        }
        self.since = now;
        for (p, offered) in self.offered.iter_mut() {
            let came = arrived[p].saturating_sub(self.arrived[p]);
            let asked =
                std::mem::take(offered).saturating_sub(came.saturating_mul(to_refuse.get()));
            let share = asked.saturating_mul(1_024) / elapsed.get();
            let share = u32::try_from(share).unwrap_or(u32::MAX).min(1_024);
            let last = self.share[p];
            self.share[p] = if starving[p] { 1_024 } else { last - last / 4 + share / 4 };
        }
        self.arrived = *arrived;
        let mut left = 1_024_u32;
        let mut fitting = 0;
        for p in Priority::ALL {
            self.left[p] = if left < LEFT_MIN { 0 } else { left };
            left = left.saturating_sub(self.share[p]);
            // One that yielded must fit clearly, with a tenth to spare, before it yields no more.
            let least = if self.yields(p) { LEFT_MIN } else { 1 };
            fitting += usize::from(left >= least);
        }
        self.fitting = fitting;
    }

    /// How many classes fit, from the highest on.
    #[inline]
    pub(super) const fn fitting(&self) -> usize {
        self.fitting
    }

    /// Nobody yields until the next tick.
    pub(super) const fn let_all_fit(&mut self) {
        self.fitting = Priority::COUNT;
    }

    /// Whether that class goes behind all higher ones, because there is more work than time.
    #[inline]
    pub(super) const fn yields(&self, priority: Priority) -> bool {
        priority.index() >= self.fitting
    }

    /// The same or a little less, in fewer steps.
    #[inline]
    pub(super) fn surely_left_of(&self, span: Nanos, priority: Priority) -> Nanos {
        Nanos::new((span.get() >> 10) * u64::from(self.left[priority]))
    }

    /// What is left of `span` for that class beside the classes above it.
    #[inline]
    pub(super) fn left_of(&self, span: Nanos, priority: Priority) -> Nanos {
        Nanos::new(span.saturating_mul(u64::from(self.left[priority])).get() / 1_024)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// For so many ticks, each class offers that share of the time, in per cent.
    fn offer(demand: &mut Demand, from: u64, ticks: u64, shares: [u64; 4]) -> u64 {
        let end = from + ticks;
        for n in from + 1..=end {
            for (p, share) in Priority::ALL.into_iter().zip(shares) {
                demand.add(p, Nanos::new(DEMAND_TICK.get() * share / 100), 1);
            }
            let now = Instant::ZERO + DEMAND_TICK.saturating_mul(n);
            demand.tick(now, &PerPriority::default(), &PerPriority::default(), Nanos::ZERO);
        }
        end
    }

    #[test]
    fn the_first_class_that_does_not_fit_yields_and_all_below_it() {
        let mut demand = Demand::default();
        assert!(Priority::ALL.iter().all(|p| !demand.yields(*p)), "nothing is known yet");
        let at = offer(&mut demand, 0, 30, [20, 40, 140, 0]);
        assert_eq!(demand.fitting(), 2, "High and Medium fit together, Low does not");
        let at = offer(&mut demand, at, 30, [50, 100, 350, 0]);
        assert_eq!(demand.fitting(), 1);
        offer(&mut demand, at, 30, [100, 0, 0, 0]);
        assert_eq!(demand.fitting(), 0, "High alone goes in order of deadlines all the same");
    }

    #[test]
    fn a_class_that_yielded_must_fit_with_a_tenth_to_spare() {
        let mut demand = Demand::default();
        let at = offer(&mut demand, 0, 30, [20, 95, 0, 0]);
        assert!(demand.yields(Priority::Medium));
        let at = offer(&mut demand, at, 60, [20, 75, 0, 0]);
        assert!(demand.yields(Priority::Medium), "0.95 is not clearly less than all");
        let at = offer(&mut demand, at, 60, [20, 60, 0, 0]);
        assert!(!demand.yields(Priority::Medium));
        offer(&mut demand, at, 60, [20, 75, 0, 0]);
        assert!(!demand.yields(Priority::Medium), "0.95 does fit");
    }

    #[test]
    fn what_is_left_is_what_higher_classes_do_not_ask_for() {
        let mut demand = Demand::default();
        offer(&mut demand, 0, 60, [25, 70, 100, 0]);
        let of = |p| demand.left_of(Nanos::from_micros(1_000), p).get();
        assert_eq!(of(Priority::High), 1_000_000);
        assert!(of(Priority::Medium).abs_diff(750_000) < 10_000, "{}", of(Priority::Medium));
        assert_eq!(of(Priority::Low), 0, "less than a tenth is nothing");
    }
}
