//! What it costs a worker to hand part of its queue to a device and to take the results back, and what waking the device's
//! owner costs. `sched/admission/relief.rs` has its least gain from here.
//!
//! `cargo bench --bench offload`. Packets of 64 bytes; the queue holds 512; criterion's figures are for a whole batch.

use std::hint::black_box;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant as Wall};

use criterion::{BenchmarkId, Criterion};
use punctual::base::{
    EgressId, IngressId, Instant, KernelId, Nanos, PerPriority, Priority, SocketId, WorkerId,
};
use punctual::classify::{self, Classify};
use punctual::dataplane::offload::{Back, DeviceOptions};
use punctual::dataplane::{
    EgressOptions, Framing, Ingress, KernelOptions, Late, Mode, Options, Order, Output, Own,
    SocketOptions, SocketRole, Worker,
};
use punctual::io::{Received, Stamp};
use punctual::kernel::accel::Ended;
use punctual::sched::{WorkerPlan, admission};

const QUEUED: u16 = 512;

fn options(order: Order) -> Options {
    Options {
        id: WorkerId(0),
        ingresses: vec![Ingress {
            name: "raw".into(),
            framing: Framing::Raw,
            kernel: KernelId(0),
            egress: EgressId(0),
            order,
            serve_empty: false,
            classify: classify::Options::new(Classify::Fixed(Priority::Low)),
        }],
        counted: 1,
        egresses: vec![EgressOptions {
            mode: Mode::Reply { amplification_per_mille: 1_000, low_source_ports: false },
            late: Late::Drop,
        }],
        sockets: vec![SocketOptions {
            role: SocketRole::Listen { ingress: IngressId(0), class: Some(Priority::Low) },
            gso: true,
        }],
        kernels: vec![KernelOptions { batch_max: 1, grows: false, pauses: false }],
        budgets: PerPriority::from_fn(Priority::default_budget),
        ema_weight: 8,
        admission: admission::Options {
            policy: admission::Policy::Edf,
            ..admission::Options::default()
        },
        max_datagram: 2_048,
        hold: Nanos::from_millis(1),
        slots: 4_096,
        guard: false,
        guard_requires_expected_high: true,
        serves_high: true,
        secret: 1,
    }
}

fn worker(order: Order, rows_max: usize, now: Instant) -> Worker {
    let mut worker = Worker::new(&options(order), &Own::default());
    worker.set_plan(WorkerPlan {
        quota: PerPriority::new([512; 4]),
        total: 2_048,
        fill: PerPriority::default(),
        guard: PerPriority::default(),
        slice: Nanos::from_micros(50),
        generation: 1,
    });
    worker.attach(&[DeviceOptions { rows_max, runs: vec![true], gate: None, give_up: Nanos::MAX }]);
    (0..64).for_each(|_| worker.record_warm_up(now, KernelId(0), 64, Nanos::from_micros(20)));
    worker
}

fn fill(worker: &mut Worker, now: Instant, flows: u16) {
    while worker.admission().queue().len() < usize::from(QUEUED) {
        let flow = u16::try_from(worker.admission().queue().len()).unwrap_or(0) % flows;
        let bytes = [7; 64];
        let received = Received {
            socket: SocketId(0),
            peer: SocketAddr::from(([127, 0, 0, 1], 20_000 + flow)),
            local: None,
            tos: 0,
            stamp: Stamp::Kernel(now),
            segment: 0,
            truncated: false,
            bytes: &bytes,
        };
        worker.handle_rx(now, &received);
    }
}

/// Runs and sends all that is left, so that the next round begins as this one did.
fn settle(worker: &mut Worker, mut now: Instant) -> Instant {
    loop {
        match worker.poll_output(now) {
            Output::Run(_) => {
                let mut batch = worker.batch();
                (0..batch.len()).for_each(|i| batch.finish(i, 64));
                now = now + Nanos::from_micros(20);
                worker.on_done(now, Nanos::from_micros(20));
            }
            Output::Transmit => {
                let sends = worker.tx().1.messages.len();
                worker.on_transmitted(now, sends, &[]);
            }
            Output::Wait(_) | Output::Look => return now + Nanos::from_millis(1),
        }
    }
}

/// Rounds of a batch that leaves and comes back: the time of each half.
fn rounds(order: Order, rows_max: usize, flows: u16, count: u64) -> (Duration, Duration) {
    let mut now = Instant::from_nanos(1_000_000_000);
    let mut worker = worker(order, rows_max, now);
    let (mut there, mut back) = (Duration::ZERO, Duration::ZERO);
    for _ in 0..count {
        fill(&mut worker, now, flows);
        let began = Wall::now();
        assert!(worker.form(now));
        let (d, mut errand) = worker.next_errand().expect("a batch was formed");
        there += began.elapsed();
        assert_eq!(errand.staged.len(), rows_max);
        let (_, rows) = errand.staged.parts();
        rows.iter_mut().for_each(|r| r.status = punctual::kernel::RowStatus::Done);
        let staged = errand.staged;
        let done = now + Nanos::from_micros(20 * rows_max as u64);
        let home = Back { staged, ended: Ended::Run, began: now, finished: done };
        let began = Wall::now();
        worker.on_back(done, d, home);
        back += began.elapsed();
        now = settle(&mut worker, done);
    }
    (there, back)
}

fn there_and_back(c: &mut Criterion) {
    for (name, order, flows) in [
        ("unordered", Order::None, 64),
        ("of_512_flows", Order::Flow, 512),
        ("of_one_flow", Order::Flow, 1),
    ] {
        let mut g = c.benchmark_group(format!("offload_{name}"));
        for rows in [1, 16, 64] {
            g.bench_function(BenchmarkId::new("there", rows), |b| {
                b.iter_custom(|n| rounds(order, rows, flows, n).0);
            });
            g.bench_function(BenchmarkId::new("back", rows), |b| {
                b.iter_custom(|n| rounds(order, rows, flows, n).1);
            });
        }
        g.finish();
    }
}

/// Waking a thread that sleeps, and one that does not.
fn waking(c: &mut Criterion) {
    let stop = Arc::new(AtomicBool::new(false));
    let told = Arc::clone(&stop);
    let sleeper = std::thread::spawn(move || {
        while !told.load(Ordering::Relaxed) {
            std::thread::park();
        }
    });
    let awake = std::thread::current();
    let mut g = c.benchmark_group("offload_waking");
    g.bench_function("awake", |b| b.iter(|| black_box(&awake).unpark()));
    g.bench_function("asleep", |b| {
        b.iter_custom(|n| {
            let mut all = Duration::ZERO;
            for _ in 0..n {
                std::thread::sleep(Duration::from_micros(200));
                let began = Wall::now();
                sleeper.thread().unpark();
                all += began.elapsed();
            }
            all
        });
    });
    g.finish();
    stop.store(true, Ordering::Relaxed);
    sleeper.thread().unpark();
    let _ = sleeper.join();
}

fn main() {
    let mut c = Criterion::default()
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1))
        .configure_from_args();
    there_and_back(&mut c);
    waking(&mut c);
    c.final_summary();
}
