//! The queue against the standard heap in the hold model: a queue of constant depth, one pop and one push a turn.
//!
//! The standard heaps carry bare keys and count nothing; ours carries an item and keeps depth and work per class.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::hint::black_box;

use criterion::{BenchmarkId, Criterion};
use punctual::base::{Instant, Nanos, PerPriority, Priority};
use punctual::classify::{Classifier, Classify, Input, Options};
use punctual::packet::framed::Header;
use punctual::sched::{EdfQueue, ServiceEstimate};

const DEPTHS: [usize; 3] = [64, 1_024, 65_536];

/// Draws a class and a budget without a branch that the predictor could learn.
struct Draw {
    state: u64,
    constant: bool,
}

impl Draw {
    const fn new(constant: bool) -> Self {
        Self { state: 0x9e37_79b9_7f4a_7c15, constant }
    }

    #[inline]
    fn next(&mut self) -> (Priority, u64) {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        let class = Priority::ALL[usize::try_from(self.state >> 62).unwrap_or(0)];
        let budget = class.default_budget().get();
        // Per packet: anything up to 2^28 ns.
        (class, if self.constant { budget } else { self.state & 0x0fff_ffff })
    }
}

trait Queue {
    fn push(&mut self, deadline: u64, class: Priority);
    fn pop(&mut self) -> u64;
}

struct Ours(EdfQueue<u32>);
impl Queue for Ours {
    #[inline]
    fn push(&mut self, deadline: u64, class: Priority) {
        let pushed = self.0.push(class, Instant::from_nanos(deadline), Nanos::new(50_000), 7);
        assert!(pushed.is_ok(), "the depth is constant");
    }
    #[inline]
    fn pop(&mut self) -> u64 {
        self.0.pop().map_or(0, |e| e.key.deadline.as_nanos())
    }
}

#[derive(Default)]
struct Tuples(BinaryHeap<Reverse<(u64, u8, u64)>>, u64);
impl Queue for Tuples {
    #[inline]
    fn push(&mut self, deadline: u64, class: Priority) {
        self.1 += 1;
        self.0.push(Reverse((deadline, class.wire_id(), self.1)));
    }
    #[inline]
    fn pop(&mut self) -> u64 {
        self.0.pop().map_or(0, |Reverse((deadline, ..))| deadline)
    }
}

#[derive(Default)]
struct Packed(BinaryHeap<Reverse<u128>>, u64);
impl Queue for Packed {
    #[inline]
    fn push(&mut self, deadline: u64, class: Priority) {
        self.1 += 1;
        let low = u64::from(class.wire_id()) << 62 | self.1;
        self.0.push(Reverse(u128::from(deadline) << 64 | u128::from(low)));
    }
    #[inline]
    fn pop(&mut self) -> u64 {
        self.0.pop().map_or(0, |Reverse(key)| u64::try_from(key >> 64).unwrap_or(0))
    }
}

fn hold(c: &mut Criterion, group: &str, constant: bool) {
    let mut g = c.benchmark_group(group);
    for depth in DEPTHS {
        g.bench_function(BenchmarkId::new("edf_queue", depth), |b| {
            turns(b, Ours(EdfQueue::new(depth)), depth, constant);
        });
        g.bench_function(BenchmarkId::new("std_packed_u128", depth), |b| {
            turns(b, Packed::default(), depth, constant);
        });
        g.bench_function(BenchmarkId::new("std_tuple", depth), |b| {
            turns(b, Tuples::default(), depth, constant);
        });
    }
    g.finish();
}

fn turns(b: &mut criterion::Bencher<'_>, mut queue: impl Queue, depth: usize, constant: bool) {
    let mut draw = Draw::new(constant);
    let mut now = 0;
    for _ in 0..depth {
        let (class, budget) = draw.next();
        queue.push(now + budget, class);
        now += 1_000;
    }
    // Past the start-up, so that the mix of classes is the steady one.
    for _ in 0..4 * depth {
        now = now.max(queue.pop());
        let (class, budget) = draw.next();
        queue.push(now + budget, class);
    }
    b.iter(|| {
        now = now.max(black_box(queue.pop()));
        let (class, budget) = draw.next();
        queue.push(now + budget, class);
    });
}

/// What else runs for every packet.
fn per_packet(c: &mut Criterion) {
    let mut g = c.benchmark_group("per_packet");
    for (name, classify) in [
        ("classify_fixed", Classify::Fixed(Priority::High)),
        ("classify_dscp", Classify::Dscp),
        ("classify_header", Classify::Header),
    ] {
        let classifier = Classifier::new(&Options::new(classify));
        let header = Header::request(1);
        g.bench_function(name, |b| {
            b.iter(|| {
                let input =
                    Input { tos: black_box(184), header: Some(black_box(&header)), len: 64 };
                black_box(classifier.classify(&input))
            });
        });
    }
    let budgets = PerPriority::from_fn(Priority::default_budget);
    let mut estimate = ServiceEstimate::new(&budgets, 4);
    g.bench_function("estimate_record_predict", |b| {
        b.iter(|| {
            let bucket = black_box(22);
            estimate.record(
                Instant::from_nanos(1),
                bucket,
                Priority::Low,
                black_box(Nanos::new(9_000)),
            );
            black_box(estimate.predict(bucket, Priority::Low))
        });
    });
    for depth in [64, 1_024] {
        let mut queue = EdfQueue::new(depth);
        let mut draw = Draw::new(true);
        for i in 0..depth as u64 {
            let (class, budget) = draw.next();
            let pushed =
                queue.push(class, Instant::from_nanos(i + budget), Nanos::new(9_000), 0u32);
            assert!(pushed.is_ok());
        }
        let key = queue.next_key(Priority::Medium, Instant::from_nanos(10_000_000));
        g.bench_function(BenchmarkId::new("work_before", depth), |b| {
            b.iter(|| black_box(queue.work_before(black_box(&key))));
        });
    }
    g.finish();
}

fn main() {
    let mut c = Criterion::default().configure_from_args();
    hold(&mut c, "constant_budgets", true);
    hold(&mut c, "per_packet_deadlines", false);
    per_packet(&mut c);
    c.final_summary();
}
