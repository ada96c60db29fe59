//! The load generator's hot pieces without the kernel: `cargo bench --bench load`.
//!
//! A whole run against a driver in memory that answers at once, so that what is timed is one packet's way: drawn, written,
//! noted, answered, paired, recorded. Then the histogram by itself, and reading a capture.

use std::cell::Cell;
use std::hint::black_box;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use criterion::{BatchSize, Criterion, Throughput};
use punctual::base::{Clock, Instant, Nanos, SocketId};
use punctual::io::{Driver, ReceiveReport, Received, SendFailure, Stamp, TxBatch};
use punctual::load::{
    Arrivals, Bursts, Framing, Generator, Latencies, Matching, Plan, QueryType, Questions,
};
use punctual::packet::capture;

const PACKETS: u64 = 100_000;

struct Hand<'a>(&'a Cell<Instant>);

impl Clock for Hand<'_> {
    fn now(&self) -> Instant {
        self.0.get()
    }
}

/// Gives every send back, as it was, in the next receive.
struct Mirror<'a> {
    clock: &'a Cell<Instant>,
    bytes: Vec<u8>,
    /// Socket, segment and length of each message in `bytes`.
    messages: Vec<(SocketId, usize, usize)>,
    /// DNS: marks the answer as one.
    answers: bool,
}

impl Driver for Mirror<'_> {
    fn receive(
        &mut self,
        now: Instant,
        _room: &[u32],
        sink: &mut impl FnMut(Received<'_>),
    ) -> io::Result<ReceiveReport> {
        // Time must pass also where nothing is due.
        self.clock.set(now + Nanos::from_micros(1));
        let mut at = 0;
        for (socket, segment, len) in self.messages.drain(..) {
            let bytes = &self.bytes[at..at + len];
            at += len;
            let peer = SocketAddr::from((Ipv4Addr::LOCALHOST, 9));
            let stamp = Stamp::Kernel(now);
            sink(Received {
                socket,
                peer,
                local: None,
                tos: 0,
                stamp,
                segment,
                truncated: false,
                bytes,
            });
        }
        self.bytes.clear();
        Ok(ReceiveReport::default())
    }

    fn transmit(
        &mut self,
        memory: &[u8],
        batch: &TxBatch,
        _failed: &mut Vec<SendFailure>,
    ) -> io::Result<()> {
        for message in &batch.messages {
            let start = self.bytes.len();
            for part in &batch.parts[message.parts.start as usize..message.parts.end as usize] {
                let from = self.bytes.len();
                self.bytes.extend_from_slice(&memory[part.start as usize..][..part.len as usize]);
                if self.answers {
                    self.bytes[from + 2] |= 0x80;
                }
            }
            let len = self.bytes.len() - start;
            self.messages.push((message.socket, usize::from(message.segment), len));
        }
        self.clock.set(self.clock.get() + Nanos::from_micros(50));
        Ok(())
    }

    fn wait(&mut self, timeout: Nanos) -> io::Result<()> {
        self.clock.set(self.clock.get() + timeout);
        Ok(())
    }

    fn kernel_drops(&mut self, _: SocketId) -> u64 {
        0
    }
}

fn plan() -> Plan {
    let mut plan = Plan::single("a", "127.0.0.1:9".parse().unwrap());
    plan.rate = 5e6;
    plan.duration = Nanos::from_micros(PACKETS / 5);
    plan.framing = Framing::Raw;
    plan.matching = Matching::Echo;
    plan.spin = true;
    plan
}

fn plans() -> Vec<(&'static str, Plan)> {
    let with = |change: &dyn Fn(&mut Plan)| {
        let mut p = plan();
        change(&mut p);
        p
    };
    let id = Matching::Id { offset: 8, width: 2 };
    let questions = Arc::new(Questions::generated("example.test", QueryType::A).unwrap());
    vec![
        ("singly", with(&|p| p.gso = false)),
        ("trains", plan()),
        ("bursts of 64", with(&|p| p.burst = 64)),
        ("mmpp", with(&|p| p.arrivals = Arrivals::Bursts(Bursts::default()))),
        ("64 flows", with(&|p| p.flows = 64)),
        ("framed", with(&|p| (p.framing, p.matching) = (Framing::Framed, Matching::Auto))),
        ("by a 2-byte id", with(&|p| p.matching = id)),
        (
            "dns",
            with(&|p| (p.matching, p.questions) = (Matching::Dns, Some(Arc::clone(&questions)))),
        ),
    ]
}

fn packets(c: &mut Criterion) {
    let mut group = c.benchmark_group("a packet sent and answered");
    group.throughput(Throughput::Elements(PACKETS)).sample_size(20);
    for (name, plan) in plans() {
        group.bench_function(name, |b| {
            let clock = Cell::new(Instant::ZERO);
            let answers = plan.matching == Matching::Dns;
            let make = || {
                let mirror =
                    Mirror { clock: &clock, bytes: Vec::new(), messages: Vec::new(), answers };
                Generator::new(plan.clone(), mirror, Hand(&clock)).unwrap()
            };
            let run = |generator: &mut Generator<_, _>| {
                let report = generator.run(|_| ()).unwrap();
                assert_eq!(report.sum(|c| c.answered), report.sum(|c| c.sent));
            };
            b.iter_batched_ref(make, run, BatchSize::LargeInput);
        });
    }
    group.finish();
}

fn histogram(c: &mut Criterion) {
    let mut latencies = Latencies::new();
    let mut ns = 1_u64;
    c.bench_function("a latency recorded", |b| {
        b.iter(|| {
            ns = ns.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
            latencies.record(Nanos::new(20_000 + (ns >> 44)));
        });
    });
    c.bench_function("64 equal latencies recorded", |b| {
        b.iter(|| latencies.record_many(black_box(Nanos::from_micros(30)), 64));
    });
}

/// A capture of raw IP with that many datagrams.
fn captured(packets: u32) -> Vec<u8> {
    let mut file = 0xa1b2_c3d4_u32.to_le_bytes().to_vec();
    file.extend([2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0, 0, 101, 0, 0, 0]);
    let mut bytes = Vec::new();
    let builder = etherparse::PacketBuilder::ipv4([10, 0, 0, 1], [10, 0, 0, 2], 64);
    builder.udp(2_000, 53).write(&mut bytes, &[7; 64]).unwrap();
    for n in 0..packets {
        for word in [1, n, bytes.len() as u32, bytes.len() as u32] {
            file.extend(word.to_le_bytes());
        }
        file.extend(&bytes);
    }
    file
}

fn reading(c: &mut Criterion) {
    let file = captured(10_000);
    let mut group = c.benchmark_group("a capture read");
    group.throughput(Throughput::Elements(10_000));
    group.bench_function("pcap", |b| {
        b.iter(|| {
            capture::read(&file[..], |captured| {
                black_box(captured.len);
            })
            .unwrap()
        });
    });
    group.finish();
}

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    packets(&mut criterion);
    histogram(&mut criterion);
    reading(&mut criterion);
    criterion.final_summary();
}
