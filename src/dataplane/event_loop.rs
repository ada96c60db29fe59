//! The loop that drives a worker: receive, run, send, rest. One turn is a bounded amount of work.
//!
//! Knows no threads: whoever owns one calls [`EventLoop::run`]; the simulator calls [`EventLoop::turn`].

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};

use crossbeam_utils::CachePadded;

mod rest;
mod show;
mod warm_up;

use super::chunks::Run;
use super::offload::{Back, DeviceOptions, Errand, Port};
use super::worker::{Output, Worker};
use crate::base::limits::PARK_MAX;
use crate::base::{Clock, Ema, Instant, KernelId, Nanos};
use crate::io::{Driver, SendFailure};
use crate::kernel::Kernels;
use crate::kernel::accel::Ended;
use crate::sched::batch::Batches;
use crate::sched::{PlanCell, WorkerPlan};
use crate::stats::{Board, WorkerField};

/// How a worker rests when there is nothing to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Idle {
    /// Never: it looks again at once. Lowest latency, one core always busy.
    Spin,
    /// Looks again for a while, then sleeps until something arrives. Keeps looking while traffic is brisk.
    Adaptive {
        /// For how long it looks. Range 0 to 10 ms, default 50 µs.
        spin: Nanos,
    },
    /// Sleeps at once.
    Park,
}

/// How often the worker is told that time has passed, while it turns.
const TICK: Nanos = Nanos::from_millis(5);

/// What a worker shares with the control thread. Each field is written by one side only and has its own cache line.
#[derive(Debug)]
pub struct Shared {
    /// Its figures.
    pub board: Board,
    /// Its plan.
    pub plan: PlanCell,
    /// The clock at its last turn, nanoseconds. Written by the worker.
    pub heartbeat: CachePadded<AtomicU64>,
    /// Until when it may drain, nanoseconds; `u64::MAX`: go on serving. Written by the control side.
    pub stop_at: CachePadded<AtomicU64>,
}

impl Shared {
    /// For a worker whose counters have `words` words and whose first plan is `plan`.
    #[must_use]
    pub fn new(words: usize, plan: &WorkerPlan) -> Self {
        Self {
            board: Board::new(words),
            plan: PlanCell::new(plan),
            heartbeat: CachePadded::new(AtomicU64::new(0)),
            stop_at: CachePadded::new(AtomicU64::new(u64::MAX)),
        }
    }
}

/// A worker with its clock, its driver and its kernels.
#[derive(Debug)]
pub struct EventLoop<'a, C, D> {
    clock: &'a C,
    driver: D,
    worker: Worker,
    kernels: Kernels,
    shared: &'a Shared,
    idle: Idle,
    failed: Vec<SendFailure>,
    asked: u64,
    dirty: bool,
    /// What turns have spent, besides their kernels, on packets that have not left yet.
    carried: Nanos,
    /// From when on there has been nothing to do.
    idle_from: Option<Instant>,
    last_arrival: Instant,
    gap: Ema,
    timeout_at: Instant,
    finished: bool,
    /// The ways to the worker's devices.
    ports: Vec<Box<dyn Port>>,
    /// What a port did not take: lost.
    refused: Vec<(usize, Errand)>,
}

impl<'a, C: Clock, D: Driver> EventLoop<'a, C, D> {
    /// A loop that has not turned yet.
    #[must_use]
    pub fn new(
        clock: &'a C,
        driver: D,
        worker: Worker,
        kernels: Kernels,
        shared: &'a Shared,
        idle: Idle,
    ) -> Self {
        let now = clock.now();
        Self {
            clock,
            driver,
            worker,
            kernels,
            shared,
            idle,
            failed: Vec::with_capacity(crate::base::limits::EGRESS_PENDING_MAX),
            asked: 0,
            dirty: true,
            carried: Nanos::ZERO,
            idle_from: None,
            last_arrival: now,
            gap: Ema::new(PARK_MAX),
            timeout_at: now,
            finished: false,
            ports: Vec::new(),
            refused: Vec::new(),
        }
    }

    /// The same with devices that take part of the worker's bursts, each with the way to it.
    #[must_use]
    pub fn with_devices(mut self, devices: Vec<(DeviceOptions, Box<dyn Port>)>) -> Self {
        let (options, ports): (Vec<_>, Vec<_>) = devices.into_iter().unzip();
        self.worker.attach(&options);
        self.refused.reserve(ports.len() * super::offload::TRIPS_PER_DEVICE);
        self.ports = ports;
        self
    }

    /// The same, by what batches were measured to cost.
    #[must_use]
    pub fn with_batches(mut self, batches: Batches) -> Self {
        self.worker.set_batches(batches);
        self
    }

    /// Whether the thread that turns it is held to a core: shown with the figures.
    pub fn note_pinned(&mut self, pinned: bool) {
        self.worker.counters_mut().set_worker(WorkerField::Pinned, u64::from(pinned));
    }

    /// The worker, to be looked at.
    #[must_use]
    pub const fn worker(&self) -> &Worker {
        &self.worker
    }

    /// The driver.
    pub const fn driver_mut(&mut self) -> &mut D {
        &mut self.driver
    }

    /// Turns until the worker was told to stop and has nothing left, or its time for draining is over.
    ///
    /// # Errors
    /// When the driver can no longer work.
    pub fn run(&mut self) -> io::Result<()> {
        while !self.finished {
            self.turn()?;
        }
        Ok(())
    }

    /// Whether the loop has ended.
    #[must_use]
    pub const fn finished(&self) -> bool {
        self.finished
    }

    /// One turn: take what has arrived, run for about a slice, send, rest if there is nothing to do.
    ///
    /// The answer is until when another turn would find nothing to do unless something arrives, where the loop stays awake
    /// for that: whoever holds the clock may let the time pass. `None`: turn again at once.
    ///
    /// # Errors
    /// When the driver can no longer work.
    pub fn turn(&mut self) -> io::Result<Option<Instant>> {
        let began = self.clock.now();
        self.end_of_idling(began);
        self.shared.heartbeat.store(began.as_nanos(), Ordering::Relaxed);
        self.follow_plan(began);
        if self.stop_if_told(began) {
            return Ok(None);
        }
        let (handled, refused) = (self.worker.handled(), self.worker.refused());
        let mut in_kernels = Nanos::ZERO;
        self.take_back(began)?;
        let arrived = self.receive(began)?;
        self.hand_over();
        // Looking takes time even where nothing is found, and the core may be taken away meanwhile: what is queued is judged
        // by the time that it is.
        let work_waits = arrived > 0 || !self.worker.is_idle();
        let mut now = if work_waits { self.clock.now() } else { began };
        let look_again_at = now + self.worker.slice();
        let wait = loop {
            now = self.relieve(now);
            match self.worker.poll_output(now) {
                Output::Run(kernel) => {
                    let started = now;
                    let paused;
                    (now, paused) = self.run_kernel(kernel, started);
                    in_kernels += now.since(started);
                    if paused || now >= look_again_at {
                        // What is due to leave does not wait for what the next turn reads.
                        if self.worker.sends_now(now) {
                            now = self.transmit()?;
                        }
                        break None;
                    }
                }
                Output::Transmit => now = self.transmit()?,
                Output::Wait(until) => break Some(until),
                Output::Look => break None,
            }
        };
        let worked = arrived > 0 || in_kernels > Nanos::ZERO;
        let idle = !worked && self.worker.handled() == handled;
        self.account((began, now), (handled, refused), in_kernels, worked);
        let awake_until = match wait {
            Some(until) => {
                // A look that found nothing to do belongs to what follows it.
                self.idle_from = Some(if idle { began } else { now });
                self.rest(now, until, arrived > 0)?
            }
            None => None,
        };
        self.show_if_asked(now);
        Ok(awake_until)
    }

    fn end_of_idling(&mut self, now: Instant) {
        if let Some(from) = self.idle_from.take() {
            let idled = now.since(from).get();
            self.worker.counters_mut().add_worker(WorkerField::IdleTime, idled);
        }
    }

    fn follow_plan(&mut self, now: Instant) {
        if self.shared.plan.generation() != self.worker.plan_generation()
            && let Some(plan) = self.shared.plan.read(self.worker.plan_generation())
        {
            self.worker.set_plan(plan);
            self.dirty = true;
        }
        if now >= self.timeout_at {
            self.timeout_at = now + TICK;
            self.worker.handle_timeout(now);
        }
    }

    /// Draining: intake is closed, what is queued is run and what was forwarded is answered until the bound.
    fn stop_if_told(&mut self, now: Instant) -> bool {
        let stop_at = self.shared.stop_at.load(Ordering::Relaxed);
        if stop_at == u64::MAX {
            return false;
        }
        self.worker.close_intake();
        let busy = !self.worker.is_idle() || self.worker.awaits_answers(now);
        if busy && now.as_nanos() < stop_at {
            return false;
        }
        self.worker.abandon(now);
        // Refusals of what was abandoned; nobody waits for more than this one try.
        let _ = self.transmit();
        self.publish(now);
        self.finished = true;
        true
    }

    fn receive(&mut self, now: Instant) -> io::Result<u32> {
        let Self { driver, worker, .. } = self;
        let rooms = worker.take_rooms(now);
        let report = driver.receive(now, &rooms, &mut |r| worker.handle_rx(now, &r));
        worker.put_rooms(rooms);
        let report = report?;
        self.worker.note_found(report.messages);
        if report.rearmed > 0 {
            self.worker.counters_mut().add_worker(WorkerField::Rearms, u64::from(report.rearmed));
        }
        if report.messages > 0 {
            let gap = now.since(self.last_arrival).get() / u64::from(report.messages);
            self.gap.record(Nanos::new(gap).min(PARK_MAX));
            self.last_arrival = now;
        }
        Ok(report.messages)
    }

    /// What is back from devices.
    fn take_back(&mut self, now: Instant) -> io::Result<()> {
        if self.ports.is_empty() {
            return Ok(());
        }
        while let Some((d, Errand { staged, .. })) = self.refused.pop() {
            let lost = Back { staged, ended: Ended::Lost, began: now, finished: now };
            self.worker.on_back(now, d, lost);
        }
        for d in 0..self.ports.len() {
            while let Some(back) = self.ports[d].take() {
                if self.worker.room_for_results() < back.staged.len() {
                    self.transmit()?;
                }
                self.worker.on_back(now, d, back);
            }
        }
        self.worker.handle_offload(now);
        Ok(())
    }

    /// Before the worker judges what it runs next: a device may begin with what stands last. Says what time it is then, because
    /// handing over takes some, and what has no time left for it is not to be started.
    #[inline]
    fn relieve(&mut self, now: Instant) -> Instant {
        if !self.worker.wants_relief() {
            return now;
        }
        while self.worker.form(now) {}
        self.hand_over();
        self.clock.now()
    }

    /// What was formed goes on its way.
    #[inline]
    fn hand_over(&mut self) {
        while let Some((d, errand)) = self.worker.next_errand() {
            if let Err(errand) = self.ports[d].send(errand) {
                self.refused.push((d, errand));
            }
        }
    }

    /// Says when it was over, and whether it has paused.
    fn run_kernel(&mut self, kernel: KernelId, started: Instant) -> (Instant, bool) {
        if let Some(run) = self.worker.may_pause() {
            return self.run_chunk(kernel, started, &run);
        }
        let Self { kernels, worker, .. } = self;
        // A panic in a kernel is that batch's end, not the worker's.
        let run = catch_unwind(AssertUnwindSafe(|| kernels.run(kernel, &mut worker.batch())));
        let now = self.clock.now();
        match run {
            Ok(()) => self.worker.on_done(now, now.since(started)),
            Err(_) => self.worker.on_failed(now),
        }
        (now, false)
    }

    /// Runs it for a chunk, or to its end where that comes first.
    #[inline(never)]
    fn run_chunk(&mut self, kernel: KernelId, started: Instant, run: &Run) -> (Instant, bool) {
        let Self { kernels, worker, clock, .. } = self;
        let until = started + run.chunk;
        let mut pause = || clock.now() >= until;
        let ran = catch_unwind(AssertUnwindSafe(|| {
            kernels.run_until(kernel, &mut worker.batch(), run.places(), &mut pause)
        }));
        let now = self.clock.now();
        match ran {
            Ok(done) => (now, self.worker.on_part(now, now.since(started), done)),
            Err(_) => {
                self.worker.on_failed(now);
                (now, false)
            }
        }
    }

    fn transmit(&mut self) -> io::Result<Instant> {
        let (memory, batch) = self.worker.tx();
        let sends = batch.messages.len();
        self.failed.clear();
        if sends > 0 {
            self.driver.transmit(memory, batch, &mut self.failed)?;
        }
        let now = self.clock.now();
        self.worker.on_transmitted(now, sends, &self.failed);
        // There is room for results again.
        self.worker.release(now);
        Ok(now)
    }

    /// What this turn cost besides its kernels, shared by the packets that it handled.
    fn account(
        &mut self,
        (began, now): (Instant, Instant),
        before: (u64, u64),
        in_kernels: Nanos,
        worked: bool,
    ) {
        let counters = self.worker.counters_mut();
        counters.add_worker(WorkerField::Turns, 1);
        let handled = self.worker.handled() - before.0;
        let refused = self.worker.refused() - before.1;
        let spent = self.carried + now.since(began).saturating_sub(in_kernels);
        self.carried = Nanos::ZERO;
        if handled > 0 {
            self.worker.admission_mut().record_overhead(spent, handled, refused);
            self.dirty = true;
        } else if worked {
            // What was read and run has not left yet: it is shared by those that leave with it.
            self.carried = spent;
        }
    }
}
