//! A worker over a driver in memory and a clock that is moved by hand.
#![allow(dead_code, unreachable_pub, reason = "each test file uses its part")]

use std::sync::atomic::{AtomicU64, Ordering};

use punctual::base::{
    Clock, DropReason, EgressId, IngressId, Instant, KernelId, Nanos, PerPriority, Priority,
    WorkerId,
};
use punctual::classify::{self, Classify};
use punctual::dataplane::{
    EgressOptions, EventLoop, Framing, Idle, Ingress, KernelOptions, Late, Mode, Options, Order,
    Own, Shared, SocketOptions, SocketRole, Worker,
};
use punctual::io::memory::{Incoming, MemoryDriver};
use punctual::kernel::{Batch, Kernel, Kernels};
use punctual::sched::{WorkerPlan, admission};
use punctual::stats::{Counters, Field};

/// A kernel whose cost is read from its payload (first four bytes, nanoseconds) and spent on the hand-moved clock.
#[derive(Debug)]
pub struct Costly(pub &'static HandClock);

/// A clock that is moved by hand.
#[derive(Debug)]
pub struct HandClock(AtomicU64);

impl HandClock {
    pub fn get(&self) -> Instant {
        Instant::from_nanos(self.0.load(Ordering::Relaxed))
    }

    pub fn pass(&self, span: Nanos) {
        self.0.fetch_add(span.get(), Ordering::Relaxed);
    }
}

impl Clock for HandClock {
    fn now(&self) -> Instant {
        self.get()
    }
}

impl Kernel for Costly {
    fn run(&mut self, batch: &mut Batch<'_>) {
        for i in 0..batch.len() {
            let cost = batch.payload(i).first_chunk().map_or(0, |b| u32::from_be_bytes(*b));
            match cost {
                PANIC => panic!("asked to"),
                FAIL => batch.fail(i),
                SHORT => batch.finish(i, 5),
                _ => {
                    self.0.pass(Nanos::new(u64::from(cost)));
                    let len = batch.payload(i).len();
                    batch.finish(i, len);
                }
            }
        }
    }

    fn batch_max(&self) -> usize {
        1
    }
}

/// A payload that [`Costly`] cannot work on.
pub const FAIL: u32 = 4_000_000_000;
/// A payload whose result is its first five bytes.
pub const SHORT: u32 = 3_999_999_999;
/// A payload on which it panics.
pub const PANIC: u32 = u32::MAX;

pub fn clock() -> &'static HandClock {
    Box::leak(Box::new(HandClock(AtomicU64::new(1_000_000_000))))
}

/// One raw ingress a class on sockets 0 to 3, answered to the sender.
pub fn options() -> Options {
    let ingress = |p: Priority| Ingress {
        name: p.label().into(),
        framing: Framing::Raw,
        kernel: KernelId(0),
        egress: EgressId(0),
        order: Order::Flow,
        serve_empty: false,
        classify: classify::Options::new(Classify::Fixed(p)),
    };
    let listen = |i: u16| SocketOptions {
        role: SocketRole::Listen { ingress: IngressId(i), class: Priority::from_wire(i as u8) },
        gso: true,
    };
    Options {
        id: WorkerId(0),
        ingresses: Priority::ALL.into_iter().map(ingress).collect(),
        counted: 4,
        egresses: vec![EgressOptions {
            mode: Mode::Reply { amplification_per_mille: 1_000, low_source_ports: false },
            late: Late::Drop,
        }],
        sockets: (0..4).map(listen).collect(),
        kernels: vec![KernelOptions { batch_max: 1, grows: false, pauses: false }],
        budgets: PerPriority::from_fn(Priority::default_budget),
        ema_weight: 8,
        admission: admission::Options::default(),
        max_datagram: 256,
        hold: Nanos::from_millis(1),
        slots: 4_096,
        guard: false,
        guard_requires_expected_high: true,
        serves_high: true,
        secret: 1,
    }
}

pub fn plan(quota: [u32; 4]) -> WorkerPlan {
    WorkerPlan {
        quota: PerPriority::new(quota),
        total: quota.iter().sum(),
        fill: PerPriority::default(),
        guard: PerPriority::default(),
        slice: Nanos::from_micros(50),
        generation: 7,
    }
}

/// A loop under test.
pub struct Rig {
    pub clock: &'static HandClock,
    pub turns: EventLoop<'static, HandClock, MemoryDriver>,
    pub shared: &'static Shared,
    pub ingresses: usize,
}

impl Rig {
    pub fn new(options: &Options, plan: &WorkerPlan) -> Self {
        Self::with(options, plan, |clock| vec![Box::new(Costly(clock))])
    }

    pub fn with(
        options: &Options,
        plan: &WorkerPlan,
        kernels: impl FnOnce(&'static HandClock) -> Vec<Box<dyn Kernel>>,
    ) -> Self {
        let clock = clock();
        let own = Own { addresses: vec![], listening: vec!["127.0.0.1:8080".parse().unwrap()] };
        let worker = Worker::new(options, &own);
        let shared: &'static Shared =
            Box::leak(Box::new(Shared::new(worker.counters().words().len(), plan)));
        let driver = MemoryDriver::new(options.sockets.len(), 1_000_000);
        let kernels = Kernels::new(kernels(clock));
        let turns = EventLoop::new(clock, driver, worker, kernels, shared, Idle::Spin);
        Self { clock, turns, shared, ingresses: options.counted }
    }

    pub fn now(&self) -> Instant {
        self.clock.get()
    }

    pub fn pass(&self, span: Nanos) {
        self.clock.pass(span);
    }

    /// A datagram of `cost` nanoseconds at that socket, now.
    pub fn send(&mut self, socket: u16, port: u16, cost: u32) {
        let now = self.now();
        self.arrive(Incoming::new(socket, port, now, payload(cost)));
    }

    pub fn arrive(&mut self, incoming: Incoming) {
        self.turns.driver_mut().arrive(incoming);
    }

    pub fn turn(&mut self) {
        self.turns.turn().unwrap();
    }

    /// Turns until nothing is waiting anywhere.
    pub fn settle(&mut self) {
        for _ in 0..1_000_000 {
            self.turn();
            if self.turns.worker().is_idle() && self.turns.driver_mut().pending() == 0 {
                return;
            }
        }
        panic!("never idle");
    }

    pub fn counters(&self) -> &Counters {
        self.turns.worker().counters()
    }

    pub fn get(&self, ingress: u16, priority: Priority, field: Field) -> u64 {
        self.counters().view(IngressId(ingress), priority).get(field)
    }

    pub fn dropped(&self, ingress: u16, priority: Priority, reason: DropReason) -> u64 {
        self.counters().view(IngressId(ingress), priority).dropped(reason)
    }

    /// Drops for that reason, wherever they were counted.
    pub fn drops(&self, reason: DropReason) -> u64 {
        (0..self.ingresses as u16)
            .flat_map(|i| Priority::ALL.map(|p| self.dropped(i, p, reason)))
            .sum()
    }

    /// Law 1, of every ingress and priority.
    pub fn check_law(&self) {
        for i in 0..self.ingresses as u16 {
            for p in Priority::ALL {
                let cell = self.counters().view(IngressId(i), p);
                assert_eq!(cell.unaccounted(), 0, "ingress {i}, {p}: {cell:?}");
            }
        }
    }
}

pub fn payload(cost: u32) -> Vec<u8> {
    let mut bytes = vec![0; 64];
    bytes[..4].copy_from_slice(&cost.to_be_bytes());
    bytes
}

/// Keeps the panics that tests ask for out of the output; all others are shown.
pub fn quiet_panics() {
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| {
        let shown = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if info.payload().downcast_ref::<&str>() != Some(&"asked to") {
                shown(info);
            }
        }));
    });
}
