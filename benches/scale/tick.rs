//! How long one tick of the controller takes for 1,024 workers: the control thread's own code, over real boards and plan cells.
//!
//! A second thread stands for the workers. Before each tick it publishes fresh figures on every board, so that they lie in
//! another core's cache, as they would; after it, it reads every plan cell, so that each publication has to take the lines back.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant as Real;

use punctual::base::{IngressId, Instant, Nanos, Priority};
use punctual::dataplane::{Observer, Shared};
use punctual::runtime::tick;
use punctual::sched::controller::{Controller, Options};
use punctual::stats::{ClassField, Counters, Field, Layout};

const WORKERS: usize = 1_024;
const INGRESSES: usize = 3;
const TICKS: u64 = 300;
const GOAL_US: f64 = 1_000.0;

struct Bench {
    workers: Vec<Arc<Shared>>,
    /// Rounds that were asked for, and those that the workers have done.
    asked: AtomicU64,
    done: AtomicU64,
    stop: AtomicBool,
    /// Whether averages move so much that every plan changes with every tick.
    restless: bool,
}

impl Bench {
    /// What the workers do: show their figures and read their plans.
    fn work(&self) {
        let mut figures = Counters::new(Layout::new(INGRESSES));
        let mut generations = vec![0; WORKERS];
        while !self.stop.load(Ordering::Relaxed) {
            let asked = self.asked.load(Ordering::Acquire);
            if asked == self.done.load(Ordering::Relaxed) {
                std::thread::yield_now();
                continue;
            }
            for (w, worker) in self.workers.iter().enumerate() {
                if let Some(plan) = worker.plan.read(generations[w]) {
                    generations[w] = plan.generation;
                }
                self.move_on(&mut figures, asked);
                worker.board.publish(figures.words());
            }
            self.done.store(asked, Ordering::Release);
        }
    }

    fn move_on(&self, figures: &mut Counters, tick: u64) {
        let moves = if self.restless && tick.is_multiple_of(2) { 2 } else { 1 };
        for p in Priority::ALL {
            for field in [ClassField::Arrivals, ClassField::Admitted, ClassField::Samples] {
                figures.add_class(p, field, 4);
            }
            let ema = Nanos::from_micros(100 * moves);
            figures.set_class(p, ClassField::ServiceEma, ema.get());
            for i in 0..INGRESSES {
                figures.cell(IngressId(i as u16), p).add(Field::Received, 4);
            }
        }
    }
}

/// Microseconds of each tick, and how many plans there were.
fn ticks(restless: bool) -> (Vec<f64>, u64) {
    let layout = Layout::new(INGRESSES);
    let options = Options::new(WORKERS);
    let mut controller = Controller::new(options, Instant::ZERO);
    let mut observer = Observer::new(WORKERS, layout);
    let plans = controller.plan().workers.iter();
    let workers = plans.map(|p| Arc::new(Shared::new(layout.words(), p))).collect();
    let bench = Bench {
        workers,
        asked: AtomicU64::new(0),
        done: AtomicU64::new(0),
        stop: AtomicBool::new(false),
        restless,
    };
    let shown = Mutex::new(controller.plan().clone());
    let mut took = Vec::new();
    std::thread::scope(|scope| {
        scope.spawn(|| bench.work());
        for n in 1..=TICKS {
            bench.asked.store(n, Ordering::Release);
            while bench.done.load(Ordering::Acquire) != n {
                std::thread::yield_now();
            }
            let now = Instant::ZERO + Nanos::from_millis(100 * n);
            let started = Real::now();
            bench.workers.iter().for_each(|w| w.board.ask());
            tick(&mut controller, &mut observer, &bench.workers, &shown, now);
            took.push(started.elapsed().as_nanos() as f64 / 1e3);
        }
        bench.stop.store(true, Ordering::Relaxed);
    });
    (took, controller.plan().generation)
}

/// Prints both kinds of tick; says whether the goal was reached.
pub(super) fn run() -> bool {
    println!(
        "one tick of the controller, {WORKERS} workers, {INGRESSES} ingresses, {TICKS} ticks: ask, read, step, publish, show"
    );
    let mut worst = 0.0_f64;
    for restless in [false, true] {
        let (took, plans) = ticks(restless);
        let mut sorted = took.clone();
        sorted.sort_by(f64::total_cmp);
        let [q1, median, q3] = super::quartiles::quartiles(took.iter().copied());
        let p99 = sorted[(sorted.len() - 1) * 99 / 100];
        let what = if restless { "every plan changes" } else { "no plan changes" };
        println!(
            "{what:>20}: {median:.0} us ({q1:.0} to {q3:.0}), 99 % {p99:.0} us; {plans} plans"
        );
        worst = worst.max(median);
    }
    println!("goal: below {GOAL_US:.0} us: {}", if worst < GOAL_US { "reached" } else { "missed" });
    worst < GOAL_US
}
