//! One worker's state machine: datagrams in, verdicts and results out.
//!
//! Knows no sockets, no clock and no thread: time is an argument, input comes by `handle_*`, and what is to be done is
//! asked for by [`Worker::poll_output`] until it says [`Output::Wait`].

use super::door::Door;
use super::egress::{Egress, Route};
use super::offload::Offload;
use super::options::{Ingress, KernelOptions, Options, SocketOptions, SocketRole};
use super::outlet::{Account, Way};
use super::own::Beware;
use super::rooms::Rooms;
use super::sessions::Sessions;
use crate::base::limits::{IO_BATCH_ROOM, KERNEL_BATCH_MAX};
use crate::base::{
    DropReason, IngressId, Instant, KernelId, Nanos, PerPriority, Priority, SocketId, WorkerId,
};
use crate::classify::Classifier;
use crate::kernel::{Batch, Row};
use crate::packet::{BufPool, Packet};
use crate::sched::admission::{Admission, Policy};
use crate::sched::batch::Batches;
use crate::sched::flow::{FlowNote, FlowTable};
use crate::sched::guard::InterArrival;
use crate::sched::{ServiceEstimate, WorkerPlan, estimate};
use crate::stats::{ClassField, Counters, Field, Layout, WorkerField};

/// Flows of each priority that are told apart while their packets are queued.
const FLOWS: usize = 1_024;

/// How often estimates that nothing renews drift back.
const DECAY_EVERY: Nanos = Nanos::from_millis(50);

/// What is to be done next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Output {
    /// Run this kernel on [`Worker::batch`], then report by [`Worker::on_done`].
    Run(KernelId),
    /// Hand [`Worker::tx`] to the driver, then report by [`Worker::on_transmitted`].
    Transmit,
    /// Nothing until something arrives or, where a time is given, until then.
    Wait(Option<Instant>),
    /// Look at the sockets again, at once: answers wait for company that is likely to be there.
    Look,
}

/// Where a packet came from.
#[derive(Clone, Copy, Debug)]
pub(super) struct Origin {
    /// The way back to the sender.
    pub(super) route: Route,
    pub(super) note: Option<FlowNote>,
    /// The number of its push, by which packets of one flow keep their order while some of them are away; and the mark of one
    /// that a device has lost, [`Origin::RETRIED`], which needs no room of its own there.
    pub(super) seq: u64,
}

impl Origin {
    /// A device has lost it: this worker runs it, nobody else.
    pub(super) const RETRIED: u64 = 1 << 63;

    /// Whether a device has lost it.
    pub(super) const fn is_retried(&self) -> bool {
        self.seq & Self::RETRIED != 0
    }
}

/// One worker. See the module.
#[derive(Debug)]
pub struct Worker {
    id: WorkerId,
    pub(super) ingresses: Box<[Ingress]>,
    pub(super) classifiers: Box<[Classifier]>,
    pub(super) egresses: Box<[super::options::EgressOptions]>,
    pub(super) sessions: Box<[Option<Sessions>]>,
    pub(super) sockets: Box<[SocketOptions]>,
    pub(super) kernels: Box<[KernelOptions]>,
    pub(super) doors: Box<[Door]>,
    pub(super) ways: Box<[Way]>,
    pub(super) budgets: PerPriority<Nanos>,
    pub(super) max_datagram: usize,
    pub(super) beware: Beware,
    pub(super) pool: BufPool,
    pub(super) origins: Box<[Origin]>,
    pub(super) flows: FlowTable,
    pub(super) admission: Admission,
    pub(super) out: Egress<Account>,
    pub(super) counters: Counters,
    pub(super) plan: WorkerPlan,
    pub(super) high_gap: InterArrival,
    pub(super) rooms: Rooms,
    pub(super) guard: super::guard::Guard,
    pub(super) offload: Offload,
    pub(super) reached: super::honesty::Reached,
    pub(super) paused: super::chunks::Paused,
    room_table: Vec<u32>,
    intake_open: bool,
    pub(super) company: bool,
    pub(super) hold: super::sends::Hold,
    pub(super) running: Vec<Packet>,
    pub(super) rows: Vec<Row>,
    kernel_drops: Vec<u64>,
    decayed: Instant,
    pub(super) last_run: Nanos,
    pub(super) handled: u64,
    pub(super) refused: u64,
}

/// How many sockets have a room of their own: up to the last that is no upstream. There may be thousands of those, behind all others.
fn ruled(sockets: &[SocketOptions]) -> usize {
    let upstream = |s: &&SocketOptions| matches!(s.role, SocketRole::Upstream { .. });
    sockets.len() - sockets.iter().rev().take_while(upstream).count()
}

impl Worker {
    /// A worker, ready. All its memory is allocated here.
    #[must_use]
    pub fn new(options: &Options, own: &super::options::Own) -> Self {
        let Options { ingresses, egresses, sockets, .. } = options;
        let kernels = options.kernels.len();
        let estimate = ServiceEstimate::with_weight(&options.budgets, kernels, options.ema_weight);
        let nowhere = Origin {
            route: Route { socket: SocketId(0), to: None, from: None, gso: false },
            note: None,
            seq: 0,
        };
        let pool = BufPool::new(options.slots, options.max_datagram);
        Self {
            id: options.id,
            classifiers: ingresses.iter().map(|i| Classifier::new(&i.classify)).collect(),
            sessions: egresses.iter().map(|e| e.sessions(options.secret)).collect(),
            egresses: egresses.clone().into_boxed_slice(),
            origins: vec![nowhere; pool.capacity()].into_boxed_slice(),
            pool,
            flows: FlowTable::new(FLOWS),
            admission: {
                let mut gates = Admission::new(options.admission, estimate, &options.budgets);
                gates.set_pausing(options.kernels.iter().map(|k| k.pauses));
                gates
            },
            out: Egress::new(),
            counters: Counters::new(Layout::new(options.counted).with_kernels(kernels)),
            plan: WorkerPlan::default(),
            high_gap: InterArrival::default(),
            rooms: Rooms::default(),
            guard: super::guard::Guard::new(options),
            offload: Offload::none(),
            reached: super::honesty::Reached::default(),
            paused: super::chunks::Paused::new(),
            room_table: vec![0; ruled(sockets)],
            sockets: sockets.clone().into_boxed_slice(),
            kernels: options.kernels.clone().into_boxed_slice(),
            doors: Door::all(options),
            ways: Way::all(options),
            budgets: options.budgets,
            max_datagram: options.max_datagram,
            beware: Beware::new(own),
            ingresses: ingresses.clone().into_boxed_slice(),
            intake_open: true,
            company: false,
            hold: super::sends::Hold::new(options.hold),
            running: Vec::with_capacity(KERNEL_BATCH_MAX),
            rows: Vec::with_capacity(KERNEL_BATCH_MAX),
            kernel_drops: vec![0; sockets.len()],
            decayed: Instant::ZERO,
            last_run: Nanos::ZERO,
            handled: 0,
            refused: 0,
        }
    }

    /// Its number.
    #[must_use]
    pub const fn id(&self) -> WorkerId {
        self.id
    }

    /// Its figures.
    #[must_use]
    pub const fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Its figures, for what only the loop around it sees.
    pub const fn counters_mut(&mut self) -> &mut Counters {
        &mut self.counters
    }

    /// Its gates, to be looked at.
    #[must_use]
    pub const fn admission(&self) -> &Admission {
        &self.admission
    }

    /// Its gates, to be told what the loop around it measures.
    pub const fn admission_mut(&mut self) -> &mut Admission {
        &mut self.admission
    }

    /// The generation of the plan in force.
    #[must_use]
    pub const fn plan_generation(&self) -> u64 {
        self.plan.generation
    }

    /// Puts a plan in force.
    pub fn set_plan(&mut self, plan: WorkerPlan) {
        self.admission.set_quota(plan.quota, plan.total);
        self.admission.set_fill(plan.fill);
        self.admission.set_slice(plan.slice);
        for (p, quota) in plan.quota.iter() {
            self.counters.set_class(p, ClassField::Quota, u64::from(*quota));
            self.counters.set_class(p, ClassField::GuardWindow, plan.guard[p].get());
        }
        self.counters.set_worker(WorkerField::PlanGeneration, plan.generation);
        self.plan = plan;
    }

    /// How many messages each socket may hand over now.
    ///
    /// Everything is read at once, so that verdicts are made while they can still help and kernel buffers stay short. The
    /// exception is a starving class (`dataplane/rooms.rs`): reading its packets only to drop them takes time from the classes
    /// above it, and a full socket buffer drops them for nothing.
    ///
    /// The table is handed out, because the driver fills the worker while it reads the table; [`Worker::put_rooms`] gives
    /// it back.
    pub fn take_rooms(&mut self, now: Instant) -> Vec<u32> {
        let mut table = std::mem::take(&mut self.room_table);
        let busy = !self.admission.is_empty();
        for (room, socket) in table.iter_mut().zip(&self.sockets) {
            *room = match socket.role {
                // Answers to what was forwarded come in until the end. So it is with those beyond the table.
                SocketRole::Upstream { .. } => IO_BATCH_ROOM,
                _ if !self.intake_open => 0,
                SocketRole::Send => 0,
                SocketRole::Listen { class: None, .. } => IO_BATCH_ROOM,
                SocketRole::Listen { class: Some(class), .. } => match self.admission.policy() {
                    Policy::Edf | Policy::Value => self.rooms.of(class, busy, now),
                    Policy::EdfExpiry | Policy::Fifo => {
                        self.admission.capacity_left().min(IO_BATCH_ROOM)
                    }
                },
            };
        }
        table
    }

    /// Gives the table of [`Worker::take_rooms`] back.
    pub fn put_rooms(&mut self, table: Vec<u32>) {
        self.room_table = table;
    }

    /// No more requests are taken from now on: what is queued is still run, and answers from upstreams are still passed on.
    pub const fn close_intake(&mut self) {
        self.intake_open = false;
    }

    /// How many slots hold no packet. All of them, when the worker is idle.
    #[must_use]
    pub const fn slots_free(&self) -> usize {
        self.pool.available()
    }

    /// Whether an upstream owes answers that a client still waits for. Looks at every session: for the time of a stop.
    #[must_use]
    pub fn awaits_answers(&self, now: Instant) -> bool {
        self.sessions.iter().flatten().any(|s| s.awaits(now))
    }

    /// Whether nothing is queued, nothing is away, and nothing waits to be sent.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.admission.is_empty() && self.out.is_empty() && self.offload.is_idle()
    }

    /// Packets received, answered or dropped since the start: what a loop turn's cost is shared by.
    #[must_use]
    pub const fn handled(&self) -> u64 {
        self.handled
    }

    /// Packets that were read and not let in since the start, for want of time or room.
    #[must_use]
    pub const fn refused(&self) -> u64 {
        self.refused
    }

    /// Time has passed: estimates that nothing renews drift back.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.rooms.tick(now);
        let arrived = PerPriority::from_fn(|p| self.counters.class(p, ClassField::Arrivals));
        self.admission.tick(now, &self.rooms.starving(), &arrived);
        self.learn_margins();
        self.compare_with_possible(now);
        if now.since(self.decayed) >= DECAY_EVERY {
            self.decayed = now;
            self.admission.estimate.decay(now);
            self.admission.batches.settle();
        }
    }

    /// What is to be done next. Ask again after doing it, until it says [`Output::Wait`].
    pub fn poll_output(&mut self, now: Instant) -> Output {
        if self.sends_now(now) {
            return Output::Transmit;
        }
        let waits = !self.out.is_empty();
        if let Some(until) = self.hold_for_high(now) {
            return if waits { Output::Transmit } else { Output::Wait(Some(until)) };
        }
        match self.next_batch(now) {
            Some(kernel) => Output::Run(kernel),
            None if self.out.is_empty() => Output::Wait(self.next_look(now)),
            None if self.company => Output::Look,
            None => Output::Transmit,
        }
    }

    /// When there may be something to do although nothing arrives.
    fn next_look(&self, now: Instant) -> Option<Instant> {
        let looks = self.rooms.next_look(now).into_iter().chain(self.offload.next_look(now));
        looks.min()
    }

    /// The guard: a Medium or Low packet at the head lets High go first if High is expected soon enough.
    fn hold_for_high(&mut self, now: Instant) -> Option<Instant> {
        let head = self.admission.first_priority()?;
        if !matches!(head, Priority::Medium | Priority::Low) {
            return None;
        }
        let Self { guard, admission, plan, high_gap, .. } = self;
        let (until, entered) = guard.hold(now, head, admission, plan, high_gap)?;
        if entered {
            self.counters.add_class(head, ClassField::Guarded, 1);
        }
        Some(until)
    }

    /// The packets to be run now.
    pub fn batch(&mut self) -> Batch<'_> {
        Batch::new(self.pool.bytes_mut(), &mut self.rows)
    }

    /// Counts a drop of a packet that holds a slot, tells the sender where it asked to be told, and frees the slot.
    pub(super) fn drop_packet(&mut self, now: Instant, packet: Packet, reason: DropReason) {
        self.count_drop(&packet, packet.count, reason);
        if self.offload.retried() > 0 {
            self.forget(&packet);
        }
        if packet.flags.place != 0 {
            self.give_up(&packet);
        }
        if !(packet.flags.wants_refusal && self.refuse(now, packet, reason)) {
            self.pool.release(packet.slot);
        }
    }

    /// Counts a drop of so many of the packet's datagrams.
    pub(super) fn count_drop(&mut self, packet: &Packet, count: u16, reason: DropReason) {
        if packet.flags.probe {
            self.judge_unpromised_drop(packet, reason);
        }
        let count = u64::from(count);
        self.handled += count;
        let mut cell = self.counters.cell(packet.ingress, packet.priority);
        cell.drop(reason, count);
        cell.sub(Field::InFlight, count);
    }

    /// A packet has left the queue: its flow's note is taken back.
    #[inline]
    pub(super) fn leave_queue(&mut self, packet: &Packet) {
        self.guard.release(packet.slot);
        if packet.flags.noted
            && let Some(note) = self.origins[packet.slot.index()].note
        {
            self.flows.leave(note);
        }
    }

    /// For how long it runs before it is worth a look at what has arrived.
    #[must_use]
    pub const fn slice(&self) -> Nanos {
        self.plan.slice
    }

    /// How many sockets have a room of their own; all behind them are upstreams.
    #[must_use]
    pub const fn ruled_count(&self) -> usize {
        self.room_table.len()
    }

    /// What a socket is for.
    #[must_use]
    pub const fn role(&self, socket: SocketId) -> SocketRole {
        self.sockets[socket.index()].role
    }

    /// The class of an ingress where no rule says otherwise.
    #[must_use]
    pub fn default_priority(&self, ingress: IngressId) -> Priority {
        self.ingresses[ingress.index()].fallback()
    }

    /// How batches are formed and predicted, by what those of each kernel were measured to cost.
    pub fn set_batches(&mut self, batches: Batches) {
        self.admission.set_batches(batches);
        self.admission.set_slice(self.plan.slice);
    }

    /// A kernel was run before traffic: what it cost is noted for the classes whose packets may be run through it.
    pub fn record_warm_up(&mut self, now: Instant, kernel: KernelId, len: usize, elapsed: Nanos) {
        let bucket = estimate::bucket(kernel, len);
        let Self { ingresses, admission, counters, .. } = self;
        let in_full_batch = admission.batches.in_full_batch(bucket).unwrap_or(elapsed);
        let times = (elapsed, in_full_batch);
        for ingress in ingresses.iter().filter(|i| i.kernel == kernel) {
            for priority in Priority::ALL {
                if ingress.is_mixed() || priority == ingress.fallback() {
                    admission.estimate.record_two(now, (bucket, priority), times, 1);
                    counters.add_class(priority, ClassField::Samples, 1);
                }
            }
        }
    }

    /// The kernel has dropped `drops` datagrams at that socket by now: how many of them are new.
    pub fn new_kernel_drops(&mut self, socket: SocketId, drops: u64) -> u64 {
        let seen = &mut self.kernel_drops[socket.index()];
        let new = drops.saturating_sub(*seen);
        *seen = drops.max(*seen);
        new
    }

    /// Brings the gauges among its figures up to date.
    pub fn refresh_gauges(&mut self) {
        let Self { admission, counters, offload, .. } = self;
        for p in Priority::ALL {
            let estimate = &admission.estimate;
            counters.set_class(p, ClassField::AuditedChoices, admission.audited_choices(p));
            counters.set_class(p, ClassField::Depth, u64::from(admission.depth(p)));
            counters.set_class(p, ClassField::ServiceEma, estimate.ema(p).get());
            counters.set_class(p, ClassField::ServiceMin, estimate.least(p).map_or(0, Nanos::get));
        }
        counters.set_worker(WorkerField::OverheadEma, admission.overhead().get());
        counters.set_worker(WorkerField::GapsGivenUp, offload.order.given_up());
    }

    /// The time for draining is over: everything that is left is dropped and counted.
    pub fn abandon(&mut self, now: Instant) {
        while let Some(packet) = self.admission.pop_any() {
            self.leave_queue(&packet);
            self.drop_packet(now, packet, DropReason::Shutdown);
        }
        self.abandon_offload(now);
    }
}
