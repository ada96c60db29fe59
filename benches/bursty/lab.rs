//! A worker over arrivals that were drawn before, on the machine's clock with real kernels, or on a made-up clock where a batch
//! takes what the calibrated model says.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use punctual::base::{
    Clock, EgressId, IngressId, Instant, KernelId, Nanos, PerPriority, Priority, SocketId, WorkerId,
};
use punctual::classify::{self, Classify};
use punctual::dataplane::{
    EgressOptions, EventLoop, Framing, Idle, Ingress, KernelOptions, Late, Mode, Options, Order,
    Own, Shared, SocketOptions, SocketRole, Worker,
};
use punctual::io::{Driver, ReceiveReport, Received, SendFailure, Stamp, TxBatch};
use punctual::kernel::{Batch, Kernel, Kernels};
use punctual::level::CostModel;
use punctual::runtime::calibration::Measured;
use punctual::sched::admission::{self, Policy};
use punctual::sched::batch::{self, Batches};
use punctual::sched::controller::{self, ClassObservation, Controller};
use punctual::stats::{ClassField, Field};
use punctual::sys::clock::MonotonicClock;

pub(crate) const CLASS: Priority = Priority::High;
/// What a socket's buffer holds.
const BUFFER: u64 = 4_096;
/// On the made-up clock: a look at the socket, and each datagram in and out.
const LOOK: Nanos = Nanos::new(300);
const DATAGRAM: Nanos = Nanos::new(150);

/// A clock that stands until something takes time.
#[derive(Clone, Debug, Default)]
pub(crate) struct Virtual(Arc<AtomicU64>);

impl Virtual {
    fn pass(&self, time: Nanos) {
        self.0.fetch_add(time.get(), Ordering::Relaxed);
    }
}

impl Clock for Virtual {
    fn now(&self) -> Instant {
        Instant::from_nanos(self.0.load(Ordering::Relaxed))
    }
}

/// A kernel that takes what a model says.
#[derive(Debug)]
pub(crate) struct Modelled {
    pub(crate) model: CostModel,
    pub(crate) clock: Virtual,
    pub(crate) worth: usize,
}

impl Kernel for Modelled {
    fn run(&mut self, batch: &mut Batch<'_>) {
        self.clock.pass(self.model.predict(batch.len() as u32));
        (0..batch.len()).for_each(|i| batch.finish(i, 32));
    }

    fn batch_max(&self) -> usize {
        self.worth
    }
}

/// A socket at which datagrams arrive at drawn times.
struct Source {
    /// From the start on.
    times: Vec<Nanos>,
    start: Instant,
    next: usize,
    overflowed: u64,
    payload: Vec<u8>,
    made_up: Option<Virtual>,
    /// When something was last sent.
    sent: Instant,
}

impl Driver for Source {
    fn receive(
        &mut self,
        now: Instant,
        room: &[u32],
        sink: &mut impl FnMut(Received<'_>),
    ) -> io::Result<ReceiveReport> {
        let due = now.since(self.start);
        let waiting = self.times[self.next..].partition_point(|t| *t <= due) as u64;
        let over = waiting.saturating_sub(BUFFER);
        self.overflowed += over;
        self.next += over as usize;
        let mut messages = 0;
        while messages < room[0].min(64) && self.times.get(self.next).is_some_and(|t| *t <= due) {
            sink(Received {
                socket: SocketId(0),
                peer: SocketAddr::from(([127, 0, 0, 1], 40_000 + (self.next % 64) as u16)),
                local: None,
                tos: 0,
                stamp: Stamp::Kernel(self.start + self.times[self.next]),
                segment: 0,
                truncated: false,
                bytes: &self.payload,
            });
            self.next += 1;
            messages += 1;
        }
        if let Some(clock) = &self.made_up {
            clock.pass(LOOK + DATAGRAM.saturating_mul(u64::from(messages)));
        }
        Ok(ReceiveReport { messages, more: waiting > u64::from(messages), ..Default::default() })
    }

    fn transmit(&mut self, _: &[u8], b: &TxBatch, _: &mut Vec<SendFailure>) -> io::Result<()> {
        if let Some(clock) = &self.made_up {
            // Each datagram, in a train or not: a short budget leaves no time to gather trains, and is held to what a long one can do.
            clock.pass(DATAGRAM.saturating_mul(b.parts.len() as u64));
        }
        self.sent = self.made_up.as_ref().map_or_else(|| MonotonicClock.now(), Clock::now);
        Ok(())
    }

    fn wait(&mut self, _: Nanos) -> io::Result<()> {
        Ok(())
    }

    fn kernel_drops(&mut self, _: SocketId) -> u64 {
        self.overflowed
    }
}

fn options(kernel: KernelOptions, budget: Nanos, policy: Policy) -> Options {
    let mut budgets = PerPriority::from_fn(Priority::default_budget);
    budgets[CLASS] = budget;
    Options {
        id: WorkerId(0),
        ingresses: vec![Ingress {
            name: "score".into(),
            framing: Framing::Raw,
            kernel: KernelId(0),
            egress: EgressId(0),
            order: Order::Flow,
            serve_empty: false,
            classify: classify::Options {
                ingress_budget: Some(budget),
                ..classify::Options::new(Classify::Fixed(CLASS))
            },
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
        kernels: vec![kernel],
        budgets,
        ema_weight: 8,
        admission: admission::Options { policy, ..admission::Options::default() },
        max_datagram: 2_048,
        hold: Nanos::from_millis(1),
        slots: 4_096,
        guard: true,
        guard_requires_expected_high: true,
        serves_high: true,
        secret: 1,
    }
}

/// One variant.
#[derive(Clone, Copy)]
pub(crate) struct Variant {
    pub(crate) name: &'static str,
    pub(crate) mode: batch::Mode,
    pub(crate) policy: Policy,
}

/// What became of one run.
#[derive(Clone, Debug)]
pub(crate) struct Outcome {
    pub(crate) sent: u64,
    pub(crate) on_time: u64,
    pub(crate) late: u64,
    /// Rows of a run, on average.
    pub(crate) rows: f64,
    /// From the start to the last answer.
    pub(crate) took: Nanos,
}

impl Outcome {
    pub(crate) fn share(&self) -> f64 {
        self.on_time as f64 / self.sent.max(1) as f64
    }
}

/// Takes all of `times` through a worker.
pub(crate) fn run<C: Clock>(
    clock: &C,
    made_up: Option<Virtual>,
    kernels: Kernels,
    measured: &Measured,
    (variant, budget): (Variant, Nanos),
    times: Vec<Nanos>,
) -> Outcome {
    let kernel = KernelOptions::of(kernels.iter().next().expect("one"));
    let worker = Worker::new(&options(kernel, budget, variant.policy), &Own::default());
    let mut told = controller::Options::new(1);
    told.budgets[CLASS] = budget;
    let mut controller = Controller::new(told, clock.now());
    let words = worker.counters().words().len();
    let shared = Shared::new(words, &controller.plan().workers[0]);
    let (last, count) = (*times.last().expect("some"), times.len() as u64);
    let payload = {
        let spec = crate::spec();
        punctual::kernel::sample::payload(&spec, 0, 7)
    };
    let start = clock.now() + Nanos::from_millis(1);
    let (made_up_too, sent) = (made_up.clone(), start);
    let source =
        Source { times, start, next: 0, overflowed: 0, payload, made_up: made_up_too, sent };
    let mut turns = EventLoop::new(clock, source, worker, kernels, &shared, Idle::Spin);
    turns = turns.with_batches(Batches::new(variant.mode, vec![measured.shape()]));
    turns.note_measured(KernelId(0), measured.payload, measured.model.predict(1), 40);
    let mut samples = 0;
    let end = start + last + budget + Nanos::from_micros(100);
    while clock.now() < end {
        if clock.now() >= controller.due() || samples == 0 {
            let worker = turns.worker();
            let total = worker.counters().class(CLASS, ClassField::Samples);
            let seen = PerPriority::from_fn(|p| ClassObservation {
                ema: worker.admission().estimate.ema(p),
                samples: if p == CLASS { total - samples } else { 0 },
                ..ClassObservation::default()
            });
            samples = total.max(1);
            let plan = controller.step(clock.now(), &[seen]);
            shared.plan.publish(&plan.workers[0]);
        }
        let awake = turns.turn().expect("it goes on");
        if let (Some(made_up), Some(until)) = (&made_up, awake) {
            let source = turns.driver_mut();
            let next = source.times.get(source.next).map_or(end, |t| start + *t);
            made_up.pass(next.min(until).since(made_up.now()).max(Nanos::new(1)));
        }
    }
    let took = turns.driver_mut().sent.since(start);
    let counters = turns.worker().counters();
    let cell = counters.view(IngressId(0), CLASS);
    let runs = counters.worker(punctual::stats::WorkerField::Runs);
    let late = cell.dropped(punctual::base::DropReason::LateAfterKernel);
    Outcome {
        sent: count,
        on_time: cell.get(Field::Replied),
        late,
        rows: (cell.get(Field::Replied) + late) as f64 / runs.max(1) as f64,
        took,
    }
}
