//! The 100 ms feedback (seed 002): from what the workers measured to the limits they work under.
//!
//! Knows no thread and no cell: [`Controller::step`] is given the time and an observation, and answers with a plan.

use crate::base::limits::WORKERS_MAX;
use crate::base::{Instant, Nanos, PerPriority, Priority};

use super::guard;
use super::plan::WorkerPlan;
use super::quota::{self, Layout};

/// What a controller is set to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// How many workers there are, 1 to 1,024.
    pub workers: usize,
    /// The time between two steps. Default 100 ms.
    pub interval: Nanos,
    /// The safety factor of quotas in thousandths. Default 900.
    pub safety_per_mille: u32,
    /// By which part of its own budget, in thousandths, a packet beyond the count of its class must be done; 0: none goes beyond. Default 1,000.
    pub fill_per_mille: u16,
    /// Who serves what.
    pub layout: Layout,
    /// The budget of each class.
    pub budgets: PerPriority<Nanos>,
    /// Each class's average before anything was measured.
    pub initial: PerPriority<Nanos>,
    /// The longest guard window. Default 80 µs.
    pub guard_max: Nanos,
    /// Whether plans follow what is measured (default). If not, the first plan stays.
    pub adaptive: bool,
    /// Whether a class whose admitted packets mostly come to nothing has its quota halved, tick by tick (default).
    /// Beyond seed 002; High is exempt, and only the symmetric layout has it.
    pub pressure: bool,
}

impl Options {
    /// The defaults for that many workers.
    #[must_use]
    pub fn new(workers: usize) -> Self {
        Self {
            workers,
            interval: Nanos::from_millis(100),
            safety_per_mille: quota::SAFETY_PER_MILLE,
            fill_per_mille: quota::FILL_PER_MILLE,
            layout: Layout::default(),
            budgets: PerPriority::from_fn(Priority::default_budget),
            initial: super::estimate::INITIAL,
            guard_max: guard::WINDOW_MAX,
            adaptive: true,
            pressure: true,
        }
    }
}

/// What one worker saw of one class.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ClassObservation {
    /// The worker's average of measured service.
    pub ema: Nanos,
    /// How many were measured since the last step: the weight of `ema`.
    pub samples: u64,
    /// How many are queued now.
    pub depth: u32,
    /// How many came since the last step.
    pub arrivals: u64,
    /// How many of them were admitted.
    pub admitted: u64,
    /// How many were admitted and then dropped all the same, evicted or late at dispatch.
    pub wasted: u64,
}

/// What all workers saw, in their order.
pub type Observation = [PerPriority<ClassObservation>];

/// The limits of all workers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// One entry a worker, all of one generation.
    pub workers: Vec<WorkerPlan>,
    /// The averages that it was computed from.
    pub ema: PerPriority<Nanos>,
    /// Counts the plans that differ; the first is 1.
    pub generation: u64,
    /// When it was computed.
    pub at: Instant,
}

/// The feedback loop's state: the plan in force and each class's pressure.
#[derive(Clone, Debug)]
pub struct Controller {
    options: Options,
    plan: Plan,
    /// How often each quota is halved, for each worker.
    halvings: Vec<PerPriority<u8>>,
}

/// No quota is above 2^9, so nine halvings reach the floor of one.
const HALVINGS_MAX: u8 = 9;

/// Averages are taken for at most this, 13 days: sums over all workers then fit 128 bits whatever the weights.
const EMA_MAX: Nanos = Nanos::new(1 << 50);

impl Controller {
    /// A controller with a first plan, made from the initial averages.
    ///
    /// # Panics
    /// When the number of workers is 0 or above the limit: a config checks it first.
    #[must_use]
    pub fn new(options: Options, now: Instant) -> Self {
        assert!((1..=WORKERS_MAX).contains(&options.workers), "1 to {WORKERS_MAX} workers");
        let plan = Plan {
            workers: vec![WorkerPlan::default(); options.workers],
            ema: options.initial,
            generation: 0,
            at: now,
        };
        let halvings = vec![PerPriority::default(); options.workers];
        let mut controller = Self { options, plan, halvings };
        controller.replan();
        controller
    }

    /// The plan in force.
    #[must_use]
    pub const fn plan(&self) -> &Plan {
        &self.plan
    }

    /// What it was set to.
    #[must_use]
    pub const fn options(&self) -> &Options {
        &self.options
    }

    /// Takes other limits: the next step puts them in force. The number of workers and the layout stay, because sockets
    /// are already dealt out by them.
    pub fn retune(&mut self, options: Options) {
        let Options { workers, layout, .. } = self.options;
        self.options = Options { workers, layout, ..options };
    }

    /// When the next step is due.
    #[must_use]
    pub fn due(&self) -> Instant {
        self.plan.at + self.options.interval
    }

    /// One turn of the loop. `seen` has one entry a worker; a missing one counts as nothing seen.
    /// The plan's generation rises only when some limit changed. Does not allocate.
    pub fn step(&mut self, now: Instant, seen: &Observation) -> &Plan {
        self.plan.at = now;
        if self.options.adaptive {
            for p in Priority::ALL {
                self.plan.ema[p] = self.merged(p, seen);
            }
            self.feel_pressure(seen);
            self.replan();
        }
        &self.plan
    }

    /// The workers' averages of one class, weighed by how much each measured. When none did, the plain mean of those who
    /// serve the class, so that their drift back is followed.
    fn merged(&self, p: Priority, seen: &Observation) -> Nanos {
        let Options { layout, workers, .. } = self.options;
        let mean = |weight: &dyn Fn(&ClassObservation) -> u64| {
            let mut sum = 0u128;
            let mut weights = 0u128;
            for (w, worker) in seen.iter().take(workers).enumerate() {
                let class = &worker[p];
                // An average of zero is an entry that nobody filled in.
                if quota::eligible(layout, w, workers, p) && class.ema > Nanos::ZERO {
                    let weight = u128::from(weight(class));
                    sum += weight * u128::from(class.ema.min(EMA_MAX).get());
                    weights += weight;
                }
            }
            sum.checked_div(weights).and_then(|ns| u64::try_from(ns).ok()).map(Nanos::new)
        };
        mean(&|c| c.samples).or_else(|| mean(&|_| 1)).unwrap_or(self.plan.ema[p])
    }

    /// More than half wasted: halve. Less than an eighth: double again, up to the target.
    fn feel_pressure(&mut self, seen: &Observation) {
        if !self.options.pressure || self.options.layout != Layout::Symmetric {
            return;
        }
        for (worker, levels) in seen.iter().zip(&mut self.halvings) {
            for (p, level) in levels.iter_mut().skip(1) {
                let ClassObservation { admitted, wasted, .. } = worker[p];
                if wasted.saturating_mul(2) > admitted {
                    *level = (*level + 1).min(HALVINGS_MAX);
                } else if wasted.saturating_mul(8) < admitted.max(1) {
                    *level = level.saturating_sub(1);
                }
            }
        }
    }

    fn replan(&mut self) {
        let Options {
            layout, workers, budgets, safety_per_mille, fill_per_mille, guard_max, ..
        } = &self.options;
        let ema = &self.plan.ema;
        let targets =
            PerPriority::from_fn(|p| quota::target_capacity(budgets[p], ema[p], *safety_per_mille));
        let guards = PerPriority::from_fn(|p| guard::window(p, ema[p], budgets[p], *guard_max));
        let whole_fill = PerPriority::from_fn(|p| quota::fill(*layout, p, *fill_per_mille));
        let slice = guard::slice(ema);
        let next = self.plan.generation + 1;
        let mut changed = false;
        for (w, (plan, halvings)) in
            self.plan.workers.iter_mut().zip(&mut self.halvings).enumerate()
        {
            let mut quotas = quota::quotas(*layout, w, *workers, &targets);
            let mut fill = whole_fill;
            for (p, level) in halvings.iter_mut() {
                let whole = quotas.class[p];
                if *level > 0 && whole > 0 {
                    // Halvings below one packet would only delay the way back.
                    *level = (*level).min(u8::try_from(whole.ilog2()).unwrap_or(HALVINGS_MAX));
                    quotas.class[p] = whole >> *level;
                    quotas.total -= whole - quotas.class[p];
                    fill[p] >>= *level;
                }
            }
            let made = WorkerPlan {
                quota: quotas.class,
                total: quotas.total,
                fill,
                guard: PerPriority::from_fn(|p| {
                    if quotas.class[p] > 0 { guards[p] } else { Nanos::ZERO }
                }),
                slice,
                generation: plan.generation,
            };
            changed |= made != *plan;
            *plan = made;
        }
        if changed {
            self.plan.generation = next;
            for plan in &mut self.plan.workers {
                plan.generation = next;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::quota::Split;
    use super::*;
    use proptest::prelude::*;

    fn at(ms: u64) -> Instant {
        Instant::ZERO + Nanos::from_millis(ms)
    }

    fn seen(ema_us: [u64; 4], samples: u64) -> PerPriority<ClassObservation> {
        PerPriority::from_fn(|p| ClassObservation {
            ema: Nanos::from_micros(ema_us[p.index()]),
            samples,
            ..ClassObservation::default()
        })
    }

    fn seed() -> Controller {
        let layout = Layout::Tiered(Split::Seed);
        Controller::new(Options { layout, ..Options::new(3) }, Instant::ZERO)
    }

    fn quotas(plan: &Plan) -> Vec<([u32; 4], u32)> {
        plan.workers.iter().map(|w| (*w.quota.as_array(), w.total)).collect()
    }

    #[test]
    fn golden_plans_of_the_seed() {
        let mut c = seed();
        let init = [([7, 0, 0, 0], 7), ([1, 74, 0, 0], 75), ([1, 1, 192, 128], 322)];
        assert_eq!(quotas(c.plan()), init);
        assert_eq!(quotas(c.step(at(100), &[seen([100, 120, 200, 200], 9); 3])), init);
        assert_eq!(
            quotas(c.step(at(200), &[seen([50, 97, 97, 97], 9); 3])),
            [([16, 0, 0, 0], 16), ([1, 92, 0, 0], 93), ([1, 1, 192, 128], 322)]
        );
        assert_eq!(
            quotas(c.step(at(300), &[seen([600; 4], 9); 3])),
            [([1, 0, 0, 0], 4), ([1, 14, 0, 0], 16), ([0, 1, 150, 128], 279)]
        );
        let fast = c.step(at(400), &[seen([1; 4], 9); 3]);
        assert_eq!(
            quotas(fast),
            [([64, 0, 0, 0], 64), ([1, 160, 0, 0], 161), ([1, 160, 192, 128], 481)]
        );
        let us = |us: [u64; 4]| PerPriority::new(us.map(Nanos::from_micros));
        assert_eq!(fast.workers[2].slice, Nanos::from_micros(5));
        assert_eq!(fast.workers[2].guard, us([0, 2, 2, 0]));
        assert_eq!(fast.workers[1].guard, us([0, 2, 0, 0]));
        assert_eq!(fast.workers[0].guard, us([0; 4]));
    }

    #[test]
    fn averages_are_merged_by_what_each_measured() {
        let mut c = Controller::new(Options::new(2), Instant::ZERO);
        let both = [seen([10; 4], 300), seen([50; 4], 100)];
        assert_eq!(c.step(at(100), &both).ema, PerPriority::new([Nanos::from_micros(20); 4]));
        let idle = [seen([10; 4], 0), seen([50; 4], 0)];
        assert_eq!(c.step(at(200), &idle).ema, PerPriority::new([Nanos::from_micros(30); 4]));
        assert_eq!(c.step(at(300), &[]).ema, PerPriority::new([Nanos::from_micros(30); 4]));
        // Nobody but the last worker serves Low: what the others hold of it is their initial value, not a measurement.
        let mut c = seed();
        let ema = c.step(at(100), &[seen([9; 4], 0), seen([8; 4], 0), seen([7; 4], 0)]).ema;
        assert_eq!(*ema.as_array(), [8_000, 7_500, 7_000, 7_000].map(Nanos::new));
    }

    #[test]
    fn the_generation_rises_only_with_a_change() {
        let mut c = seed();
        assert_eq!((c.plan().generation, c.due()), (1, at(100)));
        assert_eq!(c.step(at(100), &[seen([100, 120, 200, 200], 9); 3]).generation, 1);
        let changed = c.step(at(200), &[seen([50; 4], 9); 3]);
        assert_eq!(changed.generation, 2);
        assert!(changed.workers.iter().all(|w| w.generation == 2));
        assert_eq!(c.due(), at(300));
    }

    #[test]
    fn without_adaptation_the_first_plan_stays() {
        let options = Options { adaptive: false, ..Options::new(2) };
        let mut c = Controller::new(options, Instant::ZERO);
        let first = c.plan().clone();
        let after = c.step(at(100), &[seen([1; 4], 9); 2]).clone();
        assert_eq!((first.workers, first.generation), (after.workers, after.generation));
    }

    fn wasting(wasted: u64) -> [PerPriority<ClassObservation>; 1] {
        let mut one = seen([100, 120, 200, 200], 100);
        for (_, class) in one.iter_mut() {
            class.admitted = 80;
            class.wasted = wasted;
        }
        [one]
    }

    #[test]
    fn pressure_halves_what_is_wasted_and_gives_it_back() {
        let mut c = Controller::new(Options::new(1), Instant::ZERO);
        assert_eq!(quotas(c.plan()), [([9, 75, 450, 128], 662)]);
        assert_eq!(quotas(c.step(at(0), &wasting(41))), [([9, 37, 225, 64], 335)]);
        assert_eq!(quotas(c.step(at(0), &wasting(40))), [([9, 37, 225, 64], 335)], "neither");
        assert_eq!(quotas(c.step(at(0), &wasting(10))), [([9, 37, 225, 64], 335)], "neither");
        assert_eq!(quotas(c.step(at(0), &wasting(41))), [([9, 18, 112, 32], 171)]);
        for _ in 0..20 {
            c.step(at(0), &wasting(80));
        }
        assert_eq!(quotas(c.plan()), [([9, 1, 1, 1], 12)], "never below one");
        assert_eq!(quotas(c.step(at(0), &wasting(9))), [([9, 2, 3, 2], 16)]);
        for _ in 0..20 {
            c.step(at(0), &wasting(0));
        }
        assert_eq!(quotas(c.plan()), [([9, 75, 450, 128], 662)]);
    }

    #[test]
    fn the_part_of_a_budget_beyond_the_count_goes_with_the_quota() {
        let fills = |c: &Controller| *c.plan().workers[0].fill.as_array();
        let mut c = Controller::new(Options::new(1), Instant::ZERO);
        assert_eq!(fills(&c), [1_000, 1_000, 1_000, 0], "no time bounds what has no deadline");
        c.step(at(0), &wasting(41));
        assert_eq!(fills(&c), [1_000, 500, 500, 0]);
        c.retune(Options { fill_per_mille: 500, ..Options::new(1) });
        c.step(at(0), &wasting(0));
        assert_eq!(fills(&c), [500, 500, 500, 0]);
        assert_eq!(fills(&seed()), [0; 4], "seed 002's counts are hard");
    }

    #[test]
    fn pressure_can_be_switched_off_and_is_not_in_the_seeds_layout() {
        let off = Options { pressure: false, ..Options::new(1) };
        let tiered = Options { layout: Layout::Tiered(Split::Seed), ..Options::new(1) };
        for options in [off, tiered] {
            let mut c = Controller::new(options, Instant::ZERO);
            let first = quotas(c.plan());
            assert_eq!(quotas(c.step(at(0), &wasting(80))), first);
        }
    }

    proptest! {
        #[test]
        fn every_plan_serves_every_class_somewhere_and_within_bounds(
            workers in 1..9usize,
            tiered in any::<bool>(),
            steps in proptest::collection::vec(
                proptest::array::uniform4((any::<u64>(), any::<u64>(), any::<u64>(), any::<u64>())), 1..20),
        ) {
            let layout = if tiered { Layout::Tiered(Split::default()) } else { Layout::Symmetric };
            let mut c = Controller::new(Options { layout, ..Options::new(workers) }, Instant::ZERO);
            for step in steps {
                let one = PerPriority::new(step.map(|(ema, samples, admitted, wasted)| ClassObservation {
                    ema: Nanos::new(ema), samples, depth: 0, arrivals: admitted, admitted, wasted,
                }));
                let plan = c.step(at(0), &vec![one; workers]);
                for (w, worker) in plan.workers.iter().enumerate() {
                    for p in Priority::ALL {
                        let served = u32::from(quota::eligible(layout, w, workers, p));
                        prop_assert!((served..=512 * served).contains(&worker.quota[p]));
                        prop_assert!(worker.guard[p] <= guard::WINDOW_MAX);
                    }
                    prop_assert!(worker.total >= worker.quota.as_array().iter().sum());
                    prop_assert!((guard::SLICE_MIN..=guard::SLICE_MAX).contains(&worker.slice));
                }
            }
        }
    }
}
