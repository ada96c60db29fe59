//! Every piece of a packet's way by itself, beside what `benches/edf.rs` has: admission, guard, flow order, slab, joining,
//! sessions, plan, counters, kernels, controller.
//!
//! `cargo bench --bench pieces`. Time differs from machine to machine; `scripts/instructions` has the count that does not.

use std::hint::black_box;
use std::net::SocketAddr;

use criterion::{BatchSize, BenchmarkId, Criterion, Throughput};
use punctual::base::{IngressId, Instant, KernelId, Nanos, PerPriority, Priority, SocketId};
use punctual::classify::{Classifier, Classify, Input, Options};
use punctual::dataplane::egress::{Egress, Route};
use punctual::dataplane::sessions::{self, Client, Sessions, WayBack};
use punctual::io::Part;
use punctual::kernel::{Batch, KernelSpec, Registry, Row, RowStatus};
use punctual::packet::framed::{Header, Kind, turn_into};
use punctual::packet::{BufPool, Packet, PacketFlags};
use punctual::sched::admission::{self, Admission, Admitted, Candidate, Dispatch};
use punctual::sched::flow::FlowTable;
use punctual::sched::{
    GuardInputs, GuardWindow, InterArrival, PlanCell, ServiceEstimate, WorkerPlan,
};
use punctual::stats::{Board, Counters, Field, Layout};
use punctual::sys::clock::MonotonicClock;
use zerocopy::IntoBytes as _;

fn budgets() -> PerPriority<Nanos> {
    PerPriority::from_fn(Priority::default_budget)
}

fn at(us: u64) -> Instant {
    Instant::ZERO + Nanos::from_micros(us)
}

fn peer(i: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 20_000 + i))
}

/// Gates G0 to G2, the queue, G3, at a constant depth of the queue.
fn admission(c: &mut Criterion) {
    let mut g = c.benchmark_group("admission");
    for depth in [0_u64, 16, 256] {
        g.bench_function(BenchmarkId::new("admit_push_dispatch", depth), |b| {
            let estimate = ServiceEstimate::new(&budgets(), 1);
            let mut gates = Admission::new(admission::Options::default(), estimate, &budgets());
            gates.set_quota(PerPriority::new([512; 4]), 2_048);
            let mut pool = BufPool::new(1_024, 64);
            let mut now = 1_000_000;
            let mut offer = |gates: &mut Admission, now: u64| {
                let (priority, released) = (Priority::Low, at(now));
                let deadline = released + priority.default_budget();
                let service = Nanos::new(50);
                let candidate = Candidate {
                    priority,
                    released,
                    deadline,
                    queued_by: deadline,
                    service,
                    bucket: 0,
                    bound: true,
                };
                let admitted = gates.admit(released, &candidate).expect("there is room");
                let packet = Packet {
                    slot: pool.insert(&[7; 64]).expect("there is room"),
                    ingress: IngressId(0),
                    kernel: KernelId(0),
                    priority,
                    flags: PacketFlags {
                        probe: admitted != Admitted::Expected,
                        ..PacketFlags::default()
                    },
                    released,
                    deadline,
                    service,
                    bucket: 0,
                    len: 64,
                    count: 1,
                };
                gates.push(packet, &candidate);
                pool.release(packet.slot);
            };
            (0..depth).for_each(|i| offer(&mut gates, now - depth + i));
            b.iter(|| {
                now += 1;
                offer(&mut gates, now);
                let Dispatch::Run(packet) = gates.dispatch(at(now)) else { panic!("it is early") };
                black_box(*packet)
            });
        });
    }
    g.finish();
}

fn small(c: &mut Criterion) {
    let mut g = c.benchmark_group("pieces");
    let inputs = GuardInputs {
        serves_high: true,
        high_depth: 0,
        released: at(100),
        deadline: at(10_100),
        service: Nanos::from_micros(10),
        high_interarrival: Some(Nanos::from_micros(5)),
    };
    let window = GuardWindow { window: Nanos::from_micros(80), require_expected_high: true };
    g.bench_function("guard_may_enter", |b| {
        b.iter(|| black_box(window).may_enter(black_box(at(110)), black_box(&inputs)));
    });
    let mut gaps = InterArrival::new();
    let mut now = 0;
    g.bench_function("guard_inter_arrival", |b| {
        b.iter(|| {
            now += 5;
            gaps.record(black_box(at(now)));
            black_box(gaps.expected(at(now + 1)))
        });
    });
    let mut flows = FlowTable::new(4_096);
    let mut hash = 1_u64;
    g.bench_function("flow_enter_leave", |b| {
        b.iter(|| {
            hash = hash.wrapping_mul(0x9e37_79b9_7f4a_7c15);
            let (key, note) = flows.enter(black_box(hash >> 20), Priority::High, at(1));
            flows.leave(note);
            black_box(key)
        });
    });
    for len in [64, 1_400] {
        let mut pool = BufPool::new(4_096, 2_048);
        let bytes = vec![7; len];
        g.bench_function(BenchmarkId::new("slab_insert_release", len), |b| {
            b.iter(|| {
                let slot = pool.insert(black_box(&bytes)).expect("there is room");
                pool.release(black_box(slot));
            });
        });
    }
    let mut request = Header::request(7).as_bytes().to_vec();
    request.resize(64, 0);
    g.bench_function("header_parse_and_answer", |b| {
        b.iter(|| {
            request[5] = Kind::Request as u8;
            let kind = Header::parse(black_box(&request)).map(|(_, k)| k);
            turn_into(&mut request, Kind::Answer, 0);
            black_box(kind)
        });
    });
    let workload = Classifier::new(&Options::new(Classify::Workload(
        punctual::classify::workload::Mode::Seed,
    )));
    g.bench_function("classify_workload", |b| {
        b.iter(|| workload.classify(black_box(&Input { tos: 0, header: None, len: 64 })));
    });
    g.finish();
}

/// Answers joined into trains: to one peer, and to 64.
fn egress(c: &mut Criterion) {
    const RESULTS: u16 = 64;
    let mut g = c.benchmark_group("egress");
    g.throughput(Throughput::Elements(u64::from(RESULTS)));
    for peers in [1_u16, 64] {
        let mut egress: Egress<u32> = Egress::new();
        g.bench_function(BenchmarkId::new("join_batch_settle", peers), |b| {
            b.iter(|| {
                for i in 0..RESULTS {
                    let route = Route {
                        socket: SocketId(0),
                        to: Some(peer(i % peers)),
                        from: None,
                        gso: true,
                    };
                    let part = Part { start: u32::from(i) * 64, len: 64 };
                    let pushed = egress.push(at(1), &route, part, 1, u32::from(i));
                    assert!(pushed.is_ok(), "there is room");
                }
                black_box(egress.batch());
                egress.settle(&[], |account, _, _| {
                    black_box(account);
                });
            });
        });
    }
    g.finish();
}

fn forwarding(c: &mut Criterion) {
    let mut g = c.benchmark_group("sessions");
    for clients in [16_u16, 4_096] {
        let options = sessions::Options { sessions: 8_192, idle: Nanos::from_secs(60), answers: 1 };
        let mut table = Sessions::new(options, 1);
        let mut i = 0;
        g.bench_function(BenchmarkId::new("request_answer", clients), |b| {
            b.iter(|| {
                i = (i + 1) % clients;
                let client = Client { peer: peer(i), local: None, socket: SocketId(0) };
                let way_back = WayBack { client, ingress: IngressId(0), priority: Priority::High };
                let session = table.request(at(1), way_back).expect("there is room");
                black_box(table.answer(at(2), session))
            });
        });
    }
    g.finish();
}

/// What workers and the control thread tell each other.
fn shared(c: &mut Criterion) {
    let mut g = c.benchmark_group("shared");
    let plan = |generation| WorkerPlan { generation, ..WorkerPlan::default() };
    let cell = PlanCell::new(&plan(1));
    g.bench_function("plan_unchanged", |b| b.iter(|| cell.read(black_box(1))));
    g.bench_function("plan_read", |b| b.iter(|| cell.read(black_box(0))));
    let mut generation = 1;
    g.bench_function("plan_publish", |b| {
        b.iter(|| {
            generation += 1;
            cell.publish(&plan(generation));
        });
    });
    for ingresses in [1, 4, 16] {
        let layout = Layout::new(ingresses);
        let mut counters = Counters::new(layout);
        let board = Board::new(layout.words());
        g.bench_function(BenchmarkId::new("counters_publish", ingresses), |b| {
            b.iter(|| board.publish(black_box(counters.words())));
        });
        let mut copy = Counters::new(layout);
        g.bench_function(BenchmarkId::new("counters_read", ingresses), |b| {
            b.iter(|| board.try_read(black_box(copy.words_mut())));
        });
        g.bench_function(BenchmarkId::new("counters_of_a_packet", ingresses), |b| {
            b.iter(|| {
                let mut cell = counters.cell(IngressId(0), Priority::High);
                cell.add(Field::Received, 1);
                cell.add(Field::Replied, 1);
                cell.latencies_of(black_box(Nanos::from_micros(30)), 1);
            });
        });
    }
    g.finish();
}

fn kernels(c: &mut Criterion) {
    let mut g = c.benchmark_group("kernel");
    for (name, spec) in [("echo", KernelSpec::Echo), ("crc32c", KernelSpec::Crc32c)] {
        for len in [64, 1_400] {
            let mut all = Registry::new(vec![(name.to_owned(), spec.clone())])
                .instantiate(1, &MonotonicClock);
            let row = Row { start: 0, len, capacity: 2_048, status: RowStatus::Done };
            g.throughput(Throughput::Bytes(len as u64));
            g.bench_function(BenchmarkId::new(name, len), |b| {
                b.iter_batched_ref(
                    || (vec![7_u8; 2_048], [row]),
                    |(bytes, rows)| all.run(KernelId(0), &mut Batch::new(bytes, rows)),
                    BatchSize::SmallInput,
                );
            });
        }
    }
    g.finish();
}

fn main() {
    let mut c = Criterion::default().configure_from_args();
    admission(&mut c);
    small(&mut c);
    egress(&mut c);
    forwarding(&mut c);
    shared(&mut c);
    kernels(&mut c);
    c.final_summary();
}
