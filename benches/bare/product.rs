//! The product's whole path on one socket: driver, classes, gates, queue, guard, kernel, counters, controller.

use std::net::UdpSocket;

use punctual::base::{
    Clock as _, DropReason, EgressId, IngressId, KernelId, PerPriority, Priority, WorkerId,
};
use punctual::classify::{self, Classify};
use punctual::dataplane::{
    EgressOptions, EventLoop, Framing, Idle, Ingress, KernelOptions, Late, Mode, Options, Order,
    Own, Shared, SocketOptions, SocketRole, Worker,
};
use punctual::io::{Driver, SocketSpec};
use punctual::kernel::{Kernels, echo::Echo};
use punctual::sched::controller::{self, ClassObservation, Controller};
use punctual::sched::{WorkerPlan, admission};
use punctual::stats::{ClassField, Field};
use punctual::sys::clock::MonotonicClock;

pub(crate) static CLOCK: MonotonicClock = MonotonicClock;
/// The class of all packets: its budget of 100 ms outlasts what the machine takes away, and its guard is in force.
const CLASS: Priority = Priority::Low;
pub(crate) const MAX_DATAGRAM: usize = 2_048;

/// A worker's loop with what the control thread would do for it.
pub(crate) struct Product<D> {
    pub(crate) turns: EventLoop<'static, MonotonicClock, D>,
    pub(crate) shared: &'static Shared,
    controller: Controller,
    samples: u64,
}

pub(crate) fn spec(socket: UdpSocket) -> SocketSpec {
    SocketSpec { socket, wants_local: false, gro: true, gso: true }
}

fn options() -> Options {
    Options {
        id: WorkerId(0),
        ingresses: vec![Ingress {
            name: "echo".into(),
            framing: Framing::Raw,
            kernel: KernelId(0),
            egress: EgressId(0),
            order: Order::Flow,
            serve_empty: false,
            classify: classify::Options::new(Classify::Fixed(CLASS)),
        }],
        counted: 1,
        egresses: vec![EgressOptions {
            mode: Mode::Reply { amplification_per_mille: 1_000, low_source_ports: false },
            late: Late::Drop,
        }],
        sockets: vec![SocketOptions {
            role: SocketRole::Listen { ingress: IngressId(0), class: Some(CLASS) },
            gso: true,
        }],
        kernels: vec![KernelOptions::of(&Echo)],
        budgets: PerPriority::from_fn(Priority::default_budget),
        ema_weight: 8,
        admission: admission::Options::default(),
        max_datagram: MAX_DATAGRAM,
        hold: punctual::base::Nanos::from_millis(1),
        slots: 4_096,
        guard: true,
        guard_requires_expected_high: true,
        serves_high: true,
        secret: 1,
    }
}

impl<D: Driver> Product<D> {
    pub(crate) fn new(driver: D, idle: Idle, port: u16) -> Self {
        let own = Own { addresses: vec![], listening: vec![([127, 0, 0, 1], port).into()] };
        let worker = Worker::new(&options(), &own);
        let controller = Controller::new(controller::Options::new(1), CLOCK.now());
        let plan: &WorkerPlan = &controller.plan().workers[0];
        let words = worker.counters().words().len();
        let shared: &'static Shared = Box::leak(Box::new(Shared::new(words, plan)));
        let kernels = Kernels::new(vec![Box::new(Echo)]);
        let mut turns = EventLoop::new(&CLOCK, driver, worker, kernels, shared, idle);
        turns.warm_up(64, 40);
        let mut product = Self { turns, shared, controller, samples: 0 };
        product.control();
        product
    }

    /// What the control thread does every 100 ms.
    pub(crate) fn control(&mut self) {
        let now = CLOCK.now();
        if self.samples > 0 && now < self.controller.due() {
            return;
        }
        let worker = self.turns.worker();
        let total = worker.counters().class(CLASS, ClassField::Samples);
        let seen = PerPriority::from_fn(|p| ClassObservation {
            ema: worker.admission().estimate.ema(p),
            samples: if p == CLASS { total - self.samples } else { 0 },
            ..ClassObservation::default()
        });
        self.samples = total;
        let plan = self.controller.step(now, &[seen]);
        if plan.generation != self.turns.worker().plan_generation() {
            self.shared.plan.publish(&plan.workers[0]);
        }
    }

    /// Datagrams answered, and datagrams dropped, since the start.
    pub(crate) fn figures(&self) -> (u64, u64) {
        let cell = self.turns.worker().counters().view(IngressId(0), CLASS);
        (cell.get(Field::Replied), cell.dropped_total())
    }

    /// Why datagrams were dropped, and how many.
    pub(crate) fn drops(&self) -> Vec<(&'static str, u64)> {
        let cell = self.turns.worker().counters().view(IngressId(0), CLASS);
        let all = DropReason::ALL.iter().map(|r| (r.label(), cell.dropped(*r)));
        all.filter(|(_, n)| *n > 0).collect()
    }
}
