//! The loop that drives a worker: receive, run, send, rest. One turn is a bounded amount of work.
//!
//! Knows no threads: whoever owns one calls [`EventLoop::run`]; the simulator calls [`EventLoop::turn`].

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};

use crossbeam_utils::CachePadded;

use super::chunks::Run;
use super::offload::{Back, DeviceOptions, Errand, Port};
use super::worker::{Output, Worker};
use crate::base::limits::PARK_MAX;
use crate::base::{Clock, Ema, Instant, KernelId, Nanos, SocketId};
use crate::io::{Driver, SendFailure};
use crate::kernel::accel::Ended;
use crate::kernel::{Batch, Kernels, Row, RowStatus};
use crate::sched::batch::Batches;
use crate::sched::{PlanCell, WorkerPlan};
use crate::stats::{Board, Field, WorkerField};

use super::options::SocketRole;

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

/// Traffic with shorter gaps than this (20,000 packets a second) keeps an adaptive worker awake between packets.
const BRISK_GAP: Nanos = Nanos::from_micros(50);
/// How many average gaps it then stays awake: a Poisson gap is longer once in 3,000 times.
const BRISK_GAPS: u64 = 8;
/// Shorter waits than this are spun: a sleep costs 20 to 50 µs.
const SPIN_BELOW: Nanos = Nanos::from_micros(100);
/// How often the worker is told that time has passed, while it turns.
const TICK: Nanos = Nanos::from_millis(5);
/// A kernel that takes longer is warmed up by fewer runs.
const WARM_UP_MAX: Nanos = Nanos::from_millis(20);
/// Two looks at the clock with nothing between them that are further apart than this: time was stolen from the worker.
const NOISE_GAP: Nanos = Nanos::from_micros(100);

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

    /// A payload of `len` bytes was measured to take that kernel so long before the start: counts as much as a warm-up.
    pub fn note_measured(&mut self, kernel: KernelId, len: usize, took: Nanos, rounds: usize) {
        let now = self.clock.now();
        (0..rounds).for_each(|_| self.worker.record_warm_up(now, kernel, len, took));
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

    /// Runs each kernel on a payload of `len` zero bytes a few times and notes what it costs, so that the first packets are
    /// not judged by a guess. At most `rounds` runs and about 20 ms a kernel.
    pub fn warm_up(&mut self, len: usize, rounds: usize) {
        self.warm_up_those(len, rounds, |_| true);
    }

    /// The same for those kernels only.
    pub fn warm_up_those(&mut self, len: usize, rounds: usize, those: impl Fn(KernelId) -> bool) {
        let mut bytes = vec![0; len + 64];
        for k in 0..self.kernels.len() {
            let kernel = KernelId(u16::try_from(k).unwrap_or(u16::MAX));
            if !those(kernel) {
                continue;
            }
            let until = self.clock.now() + WARM_UP_MAX;
            for _ in 0..rounds {
                let mut row =
                    [Row { start: 0, len, capacity: bytes.len(), status: RowStatus::Failed }];
                let started = self.clock.now();
                self.kernels.run(kernel, &mut Batch::new(&mut bytes, &mut row));
                let now = self.clock.now();
                self.worker.record_warm_up(now, kernel, len, now.since(started));
                if now >= until {
                    break;
                }
            }
        }
        self.publish(self.clock.now());
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

    /// Sleeps, or stays awake until the time that it answers with.
    fn rest(
        &mut self,
        now: Instant,
        until: Option<Instant>,
        arrived: bool,
    ) -> io::Result<Option<Instant>> {
        let most = until.map_or(PARK_MAX, |u| u.since(now).min(PARK_MAX));
        if self.stays_awake(now, most) {
            std::hint::spin_loop();
            if !arrived {
                self.watch_for_gap(now);
            }
            return Ok(Some(now + most));
        }
        if self.dirty {
            self.publish(now);
        }
        self.worker.counters_mut().add_worker(WorkerField::Parks, 1);
        self.driver.wait(most)?;
        Ok(None)
    }

    fn stays_awake(&self, now: Instant, most: Nanos) -> bool {
        if most < SPIN_BELOW {
            return true;
        }
        match self.idle {
            Idle::Spin => true,
            Idle::Park => false,
            Idle::Adaptive { spin } => {
                let gap = self.gap.get();
                let brisk =
                    if gap <= BRISK_GAP { gap.saturating_mul(BRISK_GAPS) } else { Nanos::ZERO };
                now.since(self.last_arrival) < spin.max(brisk)
            }
        }
    }

    /// While nothing happens, a second look at the clock shows whether the machine took time away.
    fn watch_for_gap(&mut self, now: Instant) {
        let gap = self.clock.now().since(now);
        if gap >= NOISE_GAP {
            let counters = self.worker.counters_mut();
            counters.add_worker(WorkerField::Gaps, 1);
            let longest = counters.worker(WorkerField::GapMax).max(gap.get());
            counters.set_worker(WorkerField::GapMax, longest);
        }
    }

    fn show_if_asked(&mut self, now: Instant) {
        let asked = self.shared.board.asked();
        if asked != self.asked {
            self.asked = asked;
            self.publish(now);
        }
    }

    /// Brings the gauges up to date and shows everything.
    fn publish(&mut self, now: Instant) {
        self.count_kernel_drops();
        self.worker.refresh_gauges();
        self.worker.counters_mut().set_worker(WorkerField::PublishedAt, now.as_nanos());
        self.shared.board.publish(self.worker.counters().words());
        self.dirty = false;
    }

    fn count_kernel_drops(&mut self) {
        for place in 0..self.worker.ruled_count() {
            let socket = SocketId(u16::try_from(place).unwrap_or(u16::MAX));
            let (ingress, priority) = match self.worker.role(socket) {
                SocketRole::Listen { ingress, class } => (ingress, class),
                SocketRole::Upstream { .. } | SocketRole::Send => continue,
            };
            let drops = self.driver.kernel_drops(socket);
            let new = self.worker.new_kernel_drops(socket, drops);
            let priority = priority.unwrap_or_else(|| self.worker.default_priority(ingress));
            self.worker.counters_mut().cell(ingress, priority).add(Field::KernelDropped, new);
        }
    }
}
