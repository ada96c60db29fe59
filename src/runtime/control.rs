//! The control thread: every interval it reads the workers' figures, steps the controller, publishes the plans, and looks
//! whether all workers still turn.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::watchdog::{Notice, Watch};
use crate::base::{Clock as _, DropReason, IngressId, Instant, Nanos, PerPriority, Priority};
use crate::dataplane::Shared;
use crate::sched::controller::{self, ClassObservation, Controller, Plan};
use crate::stats::{ClassField, Counters, Layout};
use crate::sys::clock::MonotonicClock;

/// How long workers have to show fresh figures before they are read.
const SHOW_TIME: Nanos = Nanos::from_millis(1);
/// How often the control thread looks at heartbeats and at whether it is to stop.
const LOOK_EVERY: Nanos = Nanos::from_millis(20);

/// What the control thread shares with whoever asks.
#[derive(Debug)]
pub(super) struct ControlState {
    pub(super) stop: AtomicBool,
    /// Workers that are stalled now.
    pub(super) stalled: Mutex<Vec<bool>>,
    pub(super) plan: Mutex<Plan>,
    /// Other limits, to be put in force with the next plan.
    pub(super) retune: Mutex<Option<controller::Options>>,
}

impl ControlState {
    pub(super) fn new(workers: usize, plan: Plan) -> Self {
        Self {
            stop: AtomicBool::new(false),
            stalled: Mutex::new(vec![false; workers]),
            plan: Mutex::new(plan),
            retune: Mutex::new(None),
        }
    }
}

/// Sums that only grow, of one class on one worker: what an observation takes deltas of.
#[derive(Clone, Copy, Debug, Default)]
struct Totals {
    samples: u64,
    arrivals: u64,
    admitted: u64,
    wasted: u64,
}

/// The control thread's own state.
#[derive(Debug)]
pub(super) struct Control {
    controller: Controller,
    workers: Vec<Arc<Shared>>,
    state: Arc<ControlState>,
    watches: Vec<Watch>,
    last: Vec<PerPriority<Totals>>,
    figures: Counters,
}

impl Control {
    pub(super) fn new(
        controller: Controller,
        workers: Vec<Arc<Shared>>,
        state: Arc<ControlState>,
        layout: Layout,
        stall: Nanos,
    ) -> Self {
        Self {
            watches: vec![Watch::new(stall); workers.len()],
            last: vec![PerPriority::default(); workers.len()],
            figures: Counters::new(layout),
            controller,
            workers,
            state,
        }
    }

    /// Runs until told to stop.
    pub(super) fn run(mut self, clock: &MonotonicClock) {
        // The workers have just measured their kernels: the first packets are met by quotas from that, not from a guess.
        self.step(clock.now());
        while !self.state.stop.load(Ordering::Relaxed) {
            let now = clock.now();
            self.watch(now);
            if now >= self.controller.due() {
                for worker in &self.workers {
                    worker.board.ask();
                }
                pause(SHOW_TIME);
                self.step(clock.now());
            }
            let until_due = self.controller.due().since(clock.now());
            pause(until_due.min(LOOK_EVERY).max(SHOW_TIME));
        }
    }

    fn step(&mut self, now: Instant) {
        if let Some(options) =
            self.state.retune.lock().unwrap_or_else(PoisonError::into_inner).take()
        {
            self.controller.retune(options);
        }
        let observation: Vec<_> = (0..self.workers.len()).map(|w| self.observe(w)).collect();
        let plan = self.controller.step(now, &observation);
        for (worker, plan) in self.workers.iter().zip(&plan.workers) {
            worker.plan.publish(plan);
        }
        self.state.plan.lock().unwrap_or_else(PoisonError::into_inner).clone_from(plan);
    }

    fn observe(&mut self, w: usize) -> PerPriority<ClassObservation> {
        // A write under way ends within a microsecond; if it does not, the last complete figures serve once more.
        for _ in 0..100 {
            if self.workers[w].board.try_read(self.figures.words_mut()).is_some() {
                break;
            }
            std::hint::spin_loop();
        }
        let figures = &self.figures;
        PerPriority::from_fn(|p| {
            let total = totals(figures, p);
            let last = std::mem::replace(&mut self.last[w][p], total);
            ClassObservation {
                ema: Nanos::new(figures.class(p, ClassField::ServiceEma)),
                samples: total.samples.saturating_sub(last.samples),
                depth: u32::try_from(figures.class(p, ClassField::Depth)).unwrap_or(u32::MAX),
                arrivals: total.arrivals.saturating_sub(last.arrivals),
                admitted: total.admitted.saturating_sub(last.admitted),
                wasted: total.wasted.saturating_sub(last.wasted),
            }
        })
    }

    fn watch(&mut self, now: Instant) {
        for (w, (watch, worker)) in self.watches.iter_mut().zip(&self.workers).enumerate() {
            let beat = worker.heartbeat.load(Ordering::Relaxed);
            if beat == 0 {
                // It has not turned yet: its kernels are being warmed up.
                continue;
            }
            let beat = Instant::from_nanos(beat);
            match watch.look(now, beat) {
                Some(Notice::Stalled { since }) => {
                    tracing::warn!(
                        worker = w,
                        for_ms = now.since(since).as_micros() / 1_000,
                        "worker stalled"
                    );
                }
                Some(Notice::Recovered { after }) => {
                    tracing::info!(
                        worker = w,
                        after_ms = after.as_micros() / 1_000,
                        "worker turns again"
                    );
                }
                None => continue,
            }
            self.state.stalled.lock().unwrap_or_else(PoisonError::into_inner)[w] =
                watch.is_stalled();
        }
    }
}

fn totals(figures: &Counters, priority: Priority) -> Totals {
    let wasted = |i: usize| {
        let id = IngressId(u16::try_from(i).unwrap_or(u16::MAX));
        let cell = figures.view(id, priority);
        cell.dropped(DropReason::Evicted) + cell.dropped(DropReason::LateAtDispatch)
    };
    Totals {
        samples: figures.class(priority, ClassField::Samples),
        arrivals: figures.class(priority, ClassField::Arrivals),
        admitted: figures.class(priority, ClassField::Admitted),
        wasted: (0..figures.layout().ingresses()).map(wasted).sum(),
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the control thread is one of the two places that wait by the clock"
)]
pub(super) fn pause(span: Nanos) {
    std::thread::sleep(span.to_std());
}
