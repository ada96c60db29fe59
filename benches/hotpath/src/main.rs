//! The worker's way of a packet without kernel and driver, to be counted in instructions: see `scripts/instructions`.
//!
//! `hotpath SCENARIO PACKETS` takes that many packets through a worker, 64 at a time, and prints how many were answered.
//! Each phase is a function of its own that is never inlined, so that callgrind can tell them apart. The scenario `gates` is
//! the scheduler alone, without a worker around it: classify, admit, queue, dispatch. By `policy = "edf"`; with `-value` behind the
//! scenario's name by that policy.

use std::hint::black_box;
use std::net::SocketAddr;

use punctual::base::{
    EgressId, IngressId, Instant, KernelId, Nanos, PerPriority, Priority, SocketId, WorkerId,
};
use punctual::classify::{self, Classifier, Classify, Input};
use punctual::dataplane::{
    EgressOptions, Framing, Ingress, KernelOptions, Late, Mode, Options, Order, Output, Own,
    SocketOptions, SocketRole, Worker,
};
use punctual::io::{Received, Stamp};
use punctual::kernel::{Kernels, echo::Echo};
use punctual::packet::framed::Header;
use punctual::packet::{BufPool, Packet, PacketFlags, Slot};
use punctual::sched::admission::{Admission, Admitted, Candidate, Dispatch, Policy};
use punctual::sched::{ServiceEstimate, WorkerPlan, admission, estimate};
use punctual::stats::Field;
use zerocopy::IntoBytes as _;

const BATCH: usize = 64;
const LEN: usize = 64;
/// What a round of [`BATCH`] packets takes on the made-up clock: 3 µs a packet.
const ROUND: Nanos = Nanos::from_micros(192);

/// What the packets are like.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Scenario {
    /// Raw datagrams of 64 peers, one ingress and socket a class.
    Singly,
    /// Framed datagrams of 64 peers on one ingress, the class from the header, each flow in order.
    Framed,
    /// Raw trains of 64 from one peer.
    Trains,
}

#[inline(never)]
fn phase_intake(worker: &mut Worker, now: Instant, received: &[Received<'_>]) {
    for r in received {
        worker.handle_rx(now, r);
    }
}

#[inline(never)]
fn phase_dispatch(worker: &mut Worker, now: Instant) -> Output {
    worker.poll_output(now)
}

#[inline(never)]
fn phase_kernel(worker: &mut Worker, kernels: &mut Kernels, kernel: KernelId) {
    kernels.run(kernel, &mut worker.batch());
}

#[inline(never)]
fn phase_done(worker: &mut Worker, now: Instant, elapsed: Nanos) {
    worker.on_done(now, elapsed);
}

#[inline(never)]
fn phase_send(worker: &mut Worker, now: Instant) {
    let (memory, batch) = worker.tx();
    let sends = black_box(batch).messages.len();
    black_box(memory);
    worker.on_transmitted(now, sends, &[]);
}

/// The scheduler alone.
struct Gates {
    classifiers: [Classifier; 4],
    admission: Admission,
    slot: Slot,
}

impl Gates {
    fn new(now: Instant, policy: Policy) -> Self {
        let budgets = PerPriority::from_fn(Priority::default_budget);
        let mut gates = Self {
            classifiers: Priority::ALL
                .map(|p| Classifier::new(&classify::Options::new(Classify::Fixed(p)))),
            admission: Admission::new(
                admission::Options { policy, ..admission::Options::default() },
                ServiceEstimate::new(&budgets, 1),
                &budgets,
            ),
            slot: BufPool::new(1, LEN).insert(&[]).unwrap_or_else(|| unreachable!()),
        };
        gates.admission.set_quota(plan().quota, plan().total);
        let bucket = estimate::bucket(KernelId(0), LEN);
        for _ in 0..40 {
            gates.admission.estimate.record(now, bucket, Priority::Low, Nanos::new(40));
        }
        gates
    }

    /// Classify, predict, admit, queue.
    #[inline]
    fn take_in(&mut self, now: Instant, released: Instant, door: usize, len: usize) {
        let input = Input { tos: 0, header: None, len };
        let Ok(class) = self.classifiers[door].classify(&input) else { return };
        let (kernel, priority) = (KernelId(0), class.priority);
        let bucket = estimate::bucket(kernel, len);
        let service = self.admission.predict(bucket, priority);
        let deadline = released + class.budget;
        let candidate = Candidate {
            priority,
            released,
            deadline,
            queued_by: deadline,
            service,
            bucket,
            bound: true,
        };
        let Ok(admitted) = self.admission.admit(now, &candidate) else { return };
        let packet = Packet {
            released,
            deadline,
            service,
            slot: self.slot,
            len: 64,
            count: 1,
            ingress: IngressId(0),
            kernel,
            bucket,
            priority,
            flags: PacketFlags { probe: admitted != Admitted::Expected, ..PacketFlags::default() },
        };
        self.admission.push(packet, &candidate);
    }
}

#[inline(never)]
fn phase_queue(gates: &mut Gates, now: Instant, arrived: &[(Instant, usize, usize)]) {
    for (released, door, len) in arrived {
        gates.take_in(now, *released, *door, *len);
    }
}

#[inline(never)]
fn phase_unqueue(gates: &mut Gates, now: Instant) -> u64 {
    let mut run = 0;
    while let Dispatch::Run(packet) = gates.admission.dispatch(now) {
        run += black_box(packet).datagrams();
    }
    run
}

fn run_gates(packets: usize, policy: Policy) -> u64 {
    let mut now = Instant::from_nanos(1_000_000_000);
    let mut gates = Gates::new(now, policy);
    let mut run = 0;
    for _ in 0..packets.div_ceil(BATCH) {
        now = now + ROUND;
        let released = now.before(Nanos::from_micros(5));
        let arrived: Vec<_> = (0..BATCH).map(|i| (released, i % 4, LEN)).collect();
        phase_queue(&mut gates, now, &arrived);
        run += phase_unqueue(&mut gates, now);
    }
    run
}

fn options(scenario: Scenario) -> Options {
    let ingress = |framing, classify| Ingress {
        name: "i".into(),
        framing,
        kernel: KernelId(0),
        egress: EgressId(0),
        order: Order::Flow,
        serve_empty: false,
        classify: classify::Options::new(classify),
    };
    let ingresses: Vec<_> = match scenario {
        Scenario::Framed => vec![ingress(Framing::Framed, Classify::Header)],
        _ => Priority::ALL.map(|p| ingress(Framing::Raw, Classify::Fixed(p))).into(),
    };
    let socket = |i: usize| SocketOptions {
        role: SocketRole::Listen {
            ingress: IngressId(u16::try_from(i).unwrap_or(0)),
            class: (scenario != Scenario::Framed).then(|| Priority::ALL[i]),
        },
        gso: true,
    };
    Options {
        id: WorkerId(0),
        counted: ingresses.len(),
        sockets: (0..ingresses.len()).map(socket).collect(),
        ingresses,
        egresses: vec![EgressOptions {
            mode: Mode::Reply { amplification_per_mille: 1_000, low_source_ports: false },
            late: Late::Drop,
        }],
        kernels: vec![KernelOptions::of(&Echo)],
        budgets: PerPriority::from_fn(Priority::default_budget),
        ema_weight: 8,
        admission: admission::Options::default(),
        max_datagram: 2_048,
        hold: Nanos::from_millis(1),
        slots: 4_096,
        guard: true,
        guard_requires_expected_high: true,
        serves_high: true,
        secret: 1,
    }
}

fn plan() -> WorkerPlan {
    WorkerPlan {
        quota: PerPriority::new([512; 4]),
        total: 2_048,
        fill: PerPriority::default(),
        guard: PerPriority::new([Nanos::ZERO, Nanos::new(40), Nanos::new(40), Nanos::ZERO]),
        slice: Nanos::from_micros(5),
        generation: 1,
    }
}

/// The payloads of one round, each with the socket and the peer that it comes by.
fn payloads(scenario: Scenario) -> Vec<(u16, SocketAddr, usize, Vec<u8>)> {
    let peer = |i: u16| SocketAddr::from(([127, 0, 0, 1], 20_000 + i));
    if scenario == Scenario::Trains {
        return vec![(2, peer(0), LEN, vec![7; LEN * BATCH])];
    }
    let one = |i: u16| {
        let class = Priority::ALL[usize::from(i % 4)];
        if scenario == Scenario::Singly {
            return (i % 4, peer(i), 0, vec![7; LEN]);
        }
        let mut header = Header::request(u64::from(i));
        header.status = class.wire_id();
        header.flow = u32::from(i).into();
        let mut bytes = header.as_bytes().to_vec();
        bytes.resize(LEN, 7);
        (0, peer(i), 0, bytes)
    };
    (0..64).map(one).collect()
}

fn run(scenario: Scenario, packets: usize, policy: Policy) -> u64 {
    let mut options = options(scenario);
    options.admission.policy = policy;
    let mut worker = Worker::new(&options, &Own::default());
    worker.set_plan(plan());
    let mut kernels = Kernels::new(vec![Box::new(Echo)]);
    let payloads = payloads(scenario);
    let mut now = Instant::from_nanos(1_000_000_000);
    // As before traffic: the first packets are not judged by a guess.
    for _ in 0..40 {
        worker.record_warm_up(now, KernelId(0), LEN, Nanos::new(40));
    }
    for _ in 0..packets.div_ceil(BATCH) {
        now = now + ROUND;
        let stamp = Stamp::Kernel(now.before(Nanos::from_micros(5)));
        let batch: Vec<Received<'_>> = payloads
            .iter()
            .map(|(socket, peer, segment, bytes)| Received {
                socket: SocketId(*socket),
                peer: *peer,
                local: None,
                tos: 0,
                stamp,
                segment: *segment,
                truncated: false,
                bytes,
            })
            .collect();
        phase_intake(&mut worker, now, &batch);
        settle(&mut worker, &mut kernels, now);
    }
    (0..worker.counters().layout().ingresses())
        .flat_map(|i| Priority::ALL.map(|p| (i, p)))
        .map(|(i, p)| {
            let id = IngressId(u16::try_from(i).unwrap_or(0));
            worker.counters().view(id, p).get(Field::Replied)
        })
        .sum()
}

/// Does what the worker asks for until it asks for nothing.
fn settle(worker: &mut Worker, kernels: &mut Kernels, mut now: Instant) {
    loop {
        match phase_dispatch(worker, now) {
            Output::Run(kernel) => {
                phase_kernel(worker, kernels, kernel);
                let elapsed = Nanos::from_micros(1);
                now = now + elapsed;
                phase_done(worker, now, elapsed);
            }
            Output::Transmit => phase_send(worker, now),
            Output::Wait(None) | Output::Look => return,
            Output::Wait(Some(until)) => now = until,
        }
    }
}

#[expect(clippy::print_stdout, reason = "a program of its own")]
fn main() {
    let args: Vec<String> = std::env::args().collect();
    let name = args.get(1).map_or("singly", String::as_str);
    let (name, policy) = match name.strip_suffix("-value") {
        Some(name) => (name, Policy::Value),
        None => (name, Policy::Edf),
    };
    let scenario = match Some(name) {
        Some("framed") => Scenario::Framed,
        Some("trains") => Scenario::Trains,
        _ => Scenario::Singly,
    };
    let packets = args.get(2).and_then(|n| n.parse().ok()).unwrap_or(6_400);
    if name == "gates" {
        println!("{}", run_gates(packets, policy));
        return;
    }
    println!("{}", run(scenario, packets, policy));
}
