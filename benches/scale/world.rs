//! What a simulated packet costs by the number of workers: the same world for each of them, all sizes in turn in each round.
//!
//! Each world has a process of its own, as `punctual sim` would give it: in one that has already freed a world, the allocator
//! no longer hands out pages that are zero by themselves, and writes to all of them.

use std::process::Command;
use std::time::Instant;

use super::quartiles::quartiles;
use punctual::base::{EgressId, KernelId, Nanos, PerPriority, Priority};
use punctual::classify::{self, Classify};
use punctual::dataplane::{Framing, Idle, Ingress, Late, Order};
use punctual::sched::{admission, batch, controller};
use punctual::sim::workload::{Arrivals, Service as Time};
use punctual::sim::world::{Costs, Faults, Link, Options, Service, Stream, Way, run as run_world};

const SIZES: [usize; 4] = [1, 16, 256, 1_024];
/// Packets that each worker has: at 0.8 of saturation 110 ms of its time, with a tick of the controller among them.
const PACKETS: u64 = 4_000;
/// But at least so many in a world: fewer would be over before there is anything to measure.
const LEAST: u64 = 256_000;
/// The argument that makes this program run one world.
pub(super) const ONE: &str = "one-world";
const SERVICE: Nanos = Nanos::from_micros(20);
const LOAD: f64 = 0.8;
/// High : Medium : Low, as in the overload lab.
const SHARES: [f64; 3] = [0.1, 0.2, 0.7];
/// What 1,024 workers may cost by one.
const GOAL: f64 = 1.3;

fn service() -> Service {
    let ingress = |p: Priority| Ingress {
        name: p.label().into(),
        framing: Framing::Raw,
        kernel: KernelId(0),
        egress: EgressId(0),
        order: Order::Flow,
        serve_empty: false,
        classify: classify::Options::new(Classify::Fixed(p)),
    };
    let back = Way::Reply { amplification_per_mille: 1_000, low_source_ports: false };
    Service {
        ingresses: SHARES.iter().zip(Priority::ALL).map(|(_, p)| (ingress(p), false)).collect(),
        egresses: vec![(back, Late::Drop)],
        kernels: vec![SERVICE],
        company: vec![],
        batch: batch::Mode::Cost,
        helpers: 0,
        budgets: PerPriority::from_fn(Priority::default_budget),
        ema_weight: 8,
        admission: admission::Options::default(),
        controller: controller::Options::new(1),
        guard: true,
        guard_requires_expected_high: true,
        idle: Idle::Adaptive { spin: Nanos::from_micros(50) },
        max_datagram: 2_048,
        hold: Nanos::from_millis(1),
        drain: Nanos::from_millis(100),
    }
}

fn world(workers: usize, packets: u64, seed: u64) -> Options {
    let costs = Costs::default();
    let capacity = 1e9 * workers as f64 / (SERVICE.get() + costs.each()) as f64;
    let stream = |(i, share): (usize, &f64)| Stream {
        name: Priority::ALL[i].label().into(),
        ingress: i,
        priority: Priority::ALL[i],
        rate_per_s: capacity * LOAD * share,
        arrivals: Arrivals::Poisson,
        service: vec![(1.0, Time::Fixed(SERVICE))],
        recorded: None,
        size: 64,
        flows: 16,
        kernel: KernelId(0),
        budgets: vec![],
    };
    Options {
        workers,
        service: service(),
        streams: SHARES.iter().enumerate().map(stream).collect(),
        costs,
        link: Link::default(),
        faults: Faults::default(),
        packets,
        duration: Nanos::from_secs(60),
        seed,
        check_every: 1_000,
        record: false,
    }
}

/// A world in a process of its own: what it took, in nanoseconds, and the most memory that the process had, in megabytes.
fn apart(workers: usize, packets: u64, seed: u64) -> (f64, f64) {
    let program = std::env::current_exe().expect("a program knows itself");
    let args = [workers as u64, packets, seed].map(|n| n.to_string());
    let out = Command::new(program).arg(ONE).args(args).output().expect("it can be started");
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    let said = String::from_utf8_lossy(&out.stdout).into_owned();
    let mut words = said.split_whitespace().map(|w| w.parse().expect("a number"));
    (words.next().expect("a time"), words.next().expect("a size"))
}

/// That process: `args` are the workers, the packets and the seed.
pub(super) fn one(args: &[String]) {
    let of = |i: usize| args[i].parse::<u64>().expect("a number");
    let packets = of(1);
    let started = Instant::now();
    let outcome = run_world(&world(of(0) as usize, packets, of(2))).expect("such a world exists");
    let took = started.elapsed().as_nanos();
    assert_eq!((outcome.breach.as_ref(), outcome.offered()), (None, packets));
    println!("{took} {}", peak_mb());
}

/// The most that this process had in memory.
fn peak_mb() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:"));
    let kb = line.and_then(|l| l.split_whitespace().next()?.parse::<f64>().ok());
    kb.map_or(f64::NAN, |kb| kb / 1_024.0)
}

#[derive(Default)]
struct Size {
    /// Nanoseconds a packet, everything by all packets: with the making of workers and the first touch of their memory.
    all: Vec<f64>,
    /// Of a further packet: what as many again take.
    further: Vec<f64>,
    mb: f64,
}

fn measure(rounds: usize) -> Vec<Size> {
    let mut sizes: Vec<Size> = SIZES.iter().map(|_| Size::default()).collect();
    for round in 0..rounds {
        for (size, workers) in sizes.iter_mut().zip(SIZES) {
            let packets = LEAST.max(PACKETS * workers as u64);
            let seed = 1 + round as u64;
            let (once, peak) = apart(workers, packets, seed);
            let (twice, _) = apart(workers, 2 * packets, seed);
            size.all.push(once / packets as f64);
            size.further.push((twice - once) / packets as f64);
            size.mb = size.mb.max(peak);
        }
    }
    sizes
}

/// Figures with their ratios to those of the same round with one worker: what slows both is not in a ratio.
fn columns(of: &[f64], one: &[f64]) -> (String, String, f64) {
    let [q1, ns, q3] = quartiles(of.iter().copied());
    let [r1, ratio, r3] = quartiles(of.iter().zip(one).map(|(a, b)| a / b));
    (format!("{ns:.0} ({q1:.0} to {q3:.0})"), format!("{ratio:.2} ({r1:.2} to {r3:.2})"), ratio)
}

/// Prints the table; says whether the goal was reached.
pub(super) fn run(rounds: usize) -> bool {
    println!(
        "a simulated packet, one thread, {LOAD} of saturation, {PACKETS} packets a worker, at least {LEAST}; {rounds} \
         interleaved rounds: median (quartiles); ratios to one worker in the same round"
    );
    println!(
        "workers   ns, set-up and all   ratio                 ns of a further one   ratio                 MB"
    );
    let sizes = measure(rounds);
    let mut last = 0.0;
    for (size, workers) in sizes.iter().zip(SIZES) {
        let (all, all_by, _) = columns(&size.all, &sizes[0].all);
        let (further, further_by, ratio) = columns(&size.further, &sizes[0].further);
        println!(
            "{workers:>7}   {all:<18}   {all_by:<19}   {further:<19}   {further_by:<19}   {:.0}",
            size.mb
        );
        last = ratio;
    }
    println!(
        "goal: a further packet with 1,024 workers at most {GOAL} of one with one: {}",
        if last <= GOAL { "reached" } else { "missed" }
    );
    last <= GOAL
}
