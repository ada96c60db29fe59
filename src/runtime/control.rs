//! The control thread: every interval it reads the workers' figures, steps the controller, publishes the plans, and looks
//! whether all workers still turn.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::devices::Pulse;
use super::watchdog::{Notice, Watch};
use crate::base::{Clock as _, Instant, Nanos};
use crate::dataplane::{Observer, Shared};
use crate::sched::controller::{self, Controller, Plan};
use crate::stats::Layout;
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

/// The control thread's own state.
#[derive(Debug)]
pub(super) struct Control {
    controller: Controller,
    workers: Vec<Arc<Shared>>,
    state: Arc<ControlState>,
    watches: Vec<Watch>,
    /// The owners of devices.
    pulses: Vec<(Arc<Pulse>, Watch)>,
    observer: Observer,
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
            pulses: Vec::new(),
            observer: Observer::new(workers.len(), layout),
            controller,
            workers,
            state,
        }
    }

    /// The same, which also looks whether the owners of devices turn.
    pub(super) fn with_devices(
        mut self,
        pulses: impl Iterator<Item = Arc<Pulse>>,
        stall: Nanos,
    ) -> Self {
        self.pulses = pulses.map(|p| (p, Watch::new(stall))).collect();
        self
    }

    /// Runs until told to stop.
    pub(super) fn run(mut self, clock: &MonotonicClock) {
        // The workers have just measured their kernels: the first packets are met by quotas from that, not from a guess.
        self.step(clock.now());
        while !self.state.stop.load(Ordering::Relaxed) {
            let now = clock.now();
            self.watch(now);
            self.watch_devices(now);
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
        let Self { controller, observer, workers, state, .. } = self;
        tick(controller, observer, workers, &state.plan, now);
    }

    fn watch_devices(&mut self, now: Instant) {
        for (h, (pulse, watch)) in self.pulses.iter_mut().enumerate() {
            let Some(beat) = pulse.last() else { continue };
            match watch.look(now, beat) {
                Some(Notice::Stalled { since }) => {
                    let for_ms = now.since(since).as_micros() / 1_000;
                    tracing::warn!(helper = h, for_ms, "helper stalled");
                }
                Some(Notice::Recovered { after }) => {
                    let after_ms = after.as_micros() / 1_000;
                    tracing::info!(helper = h, after_ms, "helper turns again");
                }
                None => {}
            }
        }
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

/// What is done once an interval, when the workers have shown their figures: they are read, the controller steps, its plans are
/// published, and a copy is left for whoever asks. By itself, so that `benches/scale/` can time it for any number of workers.
pub fn tick(
    controller: &mut Controller,
    observer: &mut Observer,
    workers: &[Arc<Shared>],
    shown: &Mutex<Plan>,
    now: Instant,
) {
    let plan = controller.step(now, observer.observe(workers.iter().map(|w| &**w)));
    for (worker, plan) in workers.iter().zip(&plan.workers) {
        worker.plan.publish(plan);
    }
    shown.lock().unwrap_or_else(PoisonError::into_inner).clone_from(plan);
}

#[expect(
    clippy::disallowed_methods,
    reason = "the control thread is one of the two places that wait by the clock"
)]
pub(super) fn pause(span: Nanos) {
    std::thread::sleep(span.to_std());
}
