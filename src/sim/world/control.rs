//! The control side under virtual time: the service's own observer and controller, asked when their time has come, and
//! late or not at all where the plan of faults says so.
//!
//! Knows no worker but by its board and its plan cell.

use rand_distr::Distribution as _;
use rand_xoshiro::Xoshiro256PlusPlus;
use rand_xoshiro::rand_core::SeedableRng as _;

use super::START;
use super::course::{Course, below, happens};
use super::law::{Breach, Law};
use super::options::{Every, Faults, Options};
use super::tag::mix;
use crate::base::limits::QUOTA_MAX;
use crate::base::{Instant, Nanos, Priority};
use crate::dataplane::{Observer, Shared};
use crate::sched::controller::{self, Controller};
use crate::sched::{WorkerPlan, quota};
use crate::stats::Layout;

/// How long workers have to show fresh figures, as in the service.
const SHOW_TIME: Nanos = Nanos::from_millis(1);
/// Plans of a worker that are remembered: it may not have seen the last ones yet.
const REMEMBERED: usize = 8;

#[derive(Clone, Copy, Debug)]
enum Next {
    Ask(Instant),
    Step(Instant),
}

/// See the module.
#[derive(Debug)]
pub(super) struct Control {
    controller: Controller,
    observer: Observer,
    next: Next,
    faults: Faults,
    reloads: Course,
    rng: Xoshiro256PlusPlus,
    /// What was published to each worker, the last last.
    pub(super) published: Vec<Vec<WorkerPlan>>,
    pub(super) breach: Option<Breach>,
    pub(super) steps: u64,
    #[cfg(test)]
    pub(super) planted: Option<super::Planted>,
}

impl Control {
    pub(super) fn new(options: &Options, layout: Layout) -> Self {
        let settings =
            controller::Options { workers: options.workers, ..options.service.controller.clone() };
        let controller = Controller::new(settings, START);
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(mix(options.seed, 0x6374_726c));
        let reloads = options.faults.reloads.map(|every| Every { every, lasts: Nanos::ZERO });
        let reloads = Course::draw(reloads, START, START + options.duration, &mut rng);
        Self {
            observer: Observer::new(options.workers, layout),
            published: controller.plan().workers.iter().map(|plan| vec![*plan]).collect(),
            next: Next::Step(START),
            controller,
            faults: options.faults.clone(),
            reloads,
            rng,
            breach: None,
            steps: 0,
            #[cfg(test)]
            planted: None,
        }
    }

    /// The first plan of each worker.
    pub(super) fn plans(&self) -> &[WorkerPlan] {
        &self.controller.plan().workers
    }

    /// When it has something to do.
    pub(super) const fn due(&self) -> Instant {
        match self.next {
            Next::Ask(at) | Next::Step(at) => at,
        }
    }

    /// Its time has come.
    pub(super) fn act(&mut self, shared: &[Shared]) {
        match self.next {
            Next::Ask(at) => {
                shared.iter().for_each(|s| s.board.ask());
                self.next = Next::Step(at + SHOW_TIME);
            }
            Next::Step(at) => {
                self.step(at, shared);
                self.next = Next::Ask(self.next_ask(at));
            }
        }
    }

    fn next_ask(&mut self, now: Instant) -> Instant {
        let interval = self.controller.options().interval;
        let mut at = self.controller.due().max(now);
        while happens(self.faults.missed_ticks, &mut self.rng) {
            at = at + interval;
        }
        let (share, most) = self.faults.late_ticks;
        if happens(share, &mut self.rng) { at + below(most, &mut self.rng) } else { at }
    }

    fn step(&mut self, now: Instant, shared: &[Shared]) {
        self.steps += 1;
        if self.reloads.take_begun(now).is_some() {
            let options = self.other_limits();
            self.controller.retune(options);
        }
        let seen = self.observer.observe(shared.iter());
        self.controller.step(now, seen);
        for (w, worker) in shared.iter().enumerate() {
            self.publish(now, w, worker);
        }
    }

    /// Limits as somebody might set them by a reload.
    fn other_limits(&mut self) -> controller::Options {
        let mut options = self.controller.options().clone();
        let x: f64 = rand_distr::StandardUniform.sample(&mut self.rng);
        let among = |x: f64| usize::from(x > 0.25) + usize::from(x > 0.5) + usize::from(x > 0.75);
        options.safety_per_mille = [100, 500, 900, 1_000][among(x)];
        // Each with each: the quarter of a quarter.
        options.fill_per_mille = [0, 500, 900, 1_000][among(4.0 * x % 1.0)];
        options.guard_max = below(Nanos::from_micros(160), &mut self.rng);
        options.pressure = happens(0.5, &mut self.rng);
        options
    }

    fn publish(&mut self, now: Instant, w: usize, worker: &Shared) {
        let plan = self.controller.plan().workers[w];
        let known = self.published[w].last().copied();
        if known.is_some_and(|k| k.generation == plan.generation) && known != Some(plan) {
            self.break_law(
                now,
                Law::Plan,
                format!("plan {} of worker {w} changed", plan.generation),
            );
        }
        if known.is_some_and(|k| k.generation > plan.generation) {
            self.break_law(now, Law::Plan, format!("plan {} came back", plan.generation));
        }
        #[cfg(test)]
        let plan = super::planted::plan(self.planted, plan, known);
        self.hold_quotas(now, w, &plan);
        worker.plan.publish(&plan);
        let seen = worker.plan.read(u64::MAX);
        if seen != Some(self.controller.plan().workers[w]) {
            self.break_law(now, Law::Plan, format!("worker {w} would read {seen:?}"));
        }
        if known != Some(plan) {
            let list = &mut self.published[w];
            if list.len() == REMEMBERED {
                list.remove(0);
            }
            list.push(plan);
        }
    }

    fn hold_quotas(&mut self, now: Instant, w: usize, plan: &WorkerPlan) {
        let controller::Options { layout, workers, .. } = *self.controller.options();
        for p in Priority::ALL {
            let least = u32::from(quota::eligible(layout, w, workers, p));
            let quota = plan.quota[p];
            if !(least..=QUOTA_MAX * least).contains(&quota) {
                self.break_law(
                    now,
                    Law::Quota,
                    format!("the quota of {p} on worker {w} is {quota}"),
                );
            }
        }
        let sum: u64 = plan.quota.as_array().iter().map(|q| u64::from(*q)).sum();
        if u64::from(plan.total) < sum.max(1) {
            let what = format!("worker {w} may hold {} packets, its classes {sum}", plan.total);
            self.break_law(now, Law::Quota, what);
        }
    }

    fn break_law(&mut self, now: Instant, law: Law, what: String) {
        let worker = self.published.len();
        self.breach.get_or_insert_with(|| Breach::new(law, worker, now, what));
    }
}
