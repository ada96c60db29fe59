//! Latency at a tenth of saturation: bare loops that spin or block against the product that spins or adapts.
//!
//! One contestant at a time, all in turn, several rounds; an open-loop Poisson generator on the other core. Beside it the
//! gaps that an idle spinning thread sees on each core: what the machine itself takes away.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use punctual::base::{Clock as _, Nanos, Priority};
use punctual::dataplane::Idle;
use punctual::io::{PollDriver, SocketSpec, UringDriver};
use punctual::load::{Class, Framing, Generator, Matching, Plan, Sizes};
use punctual::sys::affinity::pin_current;
use punctual::sys::socket::{UdpOptions, open_connected};

use super::client::LEN;
use super::mmsg::Mmsg;
use super::product::{CLOCK, MAX_DATAGRAM, Product, spec};
use super::quartiles::quartiles;
use super::ring::Ring;
use super::socket;

/// Short, so that a spell in which the machine takes time away spoils one round of many.
const RUN: Nanos = Nanos::from_millis(150);
const PROBE: Nanos = Nanos::from_millis(50);
const QUANTILES: [f64; 3] = [0.5, 0.99, 0.999];
const FLOWS: u16 = 64;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Mmsg { waits: bool },
    Ring { waits: bool },
    Mio { adaptive: bool },
    Uring { adaptive: bool },
}

const CONTESTANTS: [(&str, Kind); 8] = [
    ("bare mmsg spin", Kind::Mmsg { waits: false }),
    ("product mio spin", Kind::Mio { adaptive: false }),
    ("bare uring spin", Kind::Ring { waits: false }),
    ("product uring spin", Kind::Uring { adaptive: false }),
    ("bare mmsg blocking", Kind::Mmsg { waits: true }),
    ("product mio adaptive", Kind::Mio { adaptive: true }),
    ("bare uring blocking", Kind::Ring { waits: true }),
    ("product uring adaptive", Kind::Uring { adaptive: true }),
];
/// Product, bare: spinning against spinning; the default against both.
const PAIRS: [(usize, usize); 6] = [(1, 0), (3, 2), (5, 0), (7, 2), (5, 4), (7, 6)];

/// Gaps of an idle thread on one core: how long it looked, over 100 µs, over 250 µs.
#[derive(Clone, Copy, Default)]
struct Noise {
    looked: Nanos,
    over_100: u32,
    over_250: u32,
}

/// All rounds: microseconds at each quantile of each contestant.
pub(crate) struct Latency {
    rate: f64,
    rounds: Vec<[[f64; 3]; CONTESTANTS.len()]>,
    lost: [u64; CONTESTANTS.len()],
    noise: [Noise; 2],
}

pub(crate) fn contest(rate: f64, rounds: usize) -> Latency {
    let mut all = Latency {
        rate,
        rounds: Vec::new(),
        lost: [0; CONTESTANTS.len()],
        noise: [Noise::default(); 2],
    };
    for _ in 0..rounds {
        for (core, noise) in all.noise.iter_mut().enumerate() {
            probe(core, noise);
        }
        let mut round = [[0.0; 3]; CONTESTANTS.len()];
        for (i, (_, kind)) in CONTESTANTS.iter().enumerate() {
            let (quantiles, lost) = measure(*kind, rate);
            round[i] = quantiles;
            all.lost[i] += lost;
        }
        all.rounds.push(round);
    }
    all
}

fn probe(core: usize, noise: &mut Noise) {
    std::thread::scope(|s| {
        s.spawn(|| {
            let _ = pin_current(core);
            let start = CLOCK.now();
            let mut last = start;
            while last.since(start) < PROBE {
                let now = CLOCK.now();
                let gap = now.since(last).as_micros();
                noise.over_100 += u32::from(gap > 100);
                noise.over_250 += u32::from(gap > 250);
                last = now;
            }
            noise.looked += last.since(start);
        });
    });
}

/// One contestant's quantiles in microseconds, and how many requests were never answered.
fn measure(kind: Kind, rate: f64) -> ([f64; 3], u64) {
    let stop = Arc::new(AtomicBool::new(false));
    let (tell, address) = std::sync::mpsc::channel();
    std::thread::scope(|s| {
        let seen = Arc::clone(&stop);
        s.spawn(move || serve(kind, &seen, &tell));
        let to = address.recv().unwrap();
        // A thread of its own: a pinned main thread would hand its mask down to the next server.
        let load = s.spawn(move || {
            let _ = pin_current(1);
            generate(to, rate)
        });
        let report = load.join().unwrap();
        stop.store(true, Ordering::Relaxed);
        // Whoever sleeps in the kernel is woken to see it.
        let _ = std::net::UdpSocket::bind("127.0.0.1:0").unwrap().send_to(&[7; LEN], to);
        report
    })
}

fn generate(to: SocketAddr, rate: f64) -> ([f64; 3], u64) {
    let mut plan = Plan::single("echo", to);
    plan.classes = vec![Class {
        size: Sizes::fixed(LEN),
        priority: Some(Priority::Low),
        ..plan.classes[0].clone()
    }];
    plan.rate = rate;
    plan.duration = RUN;
    plan.framing = Framing::Raw;
    plan.matching = Matching::Echo;
    plan.flows = FLOWS;
    plan.gso = false;
    plan.burst = 1;
    plan.spin = true;
    let wish =
        UdpOptions { timestamps: true, receive_buffer: Some(1 << 20), ..UdpOptions::default() };
    let specs = (0..plan.sockets())
        .map(|_| SocketSpec {
            socket: open_connected(to, &wish).unwrap().socket,
            wants_local: false,
            gro: false,
            gso: false,
        })
        .collect();
    let driver = PollDriver::new(specs, MAX_DATAGRAM).unwrap();
    let report = Generator::new(plan, driver, CLOCK).unwrap().run(|_| ()).unwrap();
    let class = &report.classes[0];
    let us = |q| class.corrected.at(q).get() as f64 / 1_000.0;
    (QUANTILES.map(us), class.lost())
}

fn serve(kind: Kind, stop: &AtomicBool, tell: &std::sync::mpsc::Sender<SocketAddr>) {
    pin_current(0).unwrap();
    let (socket, at) = socket();
    let go = || !stop.load(Ordering::Relaxed);
    let idle = |adaptive| {
        if adaptive { Idle::Adaptive { spin: Nanos::from_micros(50) } } else { Idle::Spin }
    };
    match kind {
        Kind::Mmsg { waits } => {
            socket.set_nonblocking(!waits).unwrap();
            let mut bare = Mmsg::new(socket);
            tell.send(at).unwrap();
            let flags = if waits { libc::MSG_WAITFORONE } else { libc::MSG_DONTWAIT };
            while go() {
                bare.turn(flags);
            }
        }
        Kind::Ring { waits } => {
            let mut bare = Ring::new(socket);
            tell.send(at).unwrap();
            while go() {
                let answered = bare.turn(u32::from(waits));
                // What was found is sent at once, not with the next arrival.
                if answered > 0 {
                    bare.flush();
                }
            }
        }
        Kind::Mio { adaptive } => {
            let driver = PollDriver::new(vec![spec(socket)], MAX_DATAGRAM).unwrap();
            let mut product = Product::new(driver, idle(adaptive), at.port());
            tell.send(at).unwrap();
            while go() {
                product.turns.turn().unwrap();
            }
        }
        Kind::Uring { adaptive } => {
            let driver = UringDriver::new(vec![spec(socket)], MAX_DATAGRAM).unwrap();
            let mut product = Product::new(driver, idle(adaptive), at.port());
            tell.send(at).unwrap();
            while go() {
                product.turns.turn().unwrap();
            }
        }
    }
}

impl Latency {
    fn at(&self, contestant: usize, quantile: usize) -> [f64; 3] {
        quartiles(self.rounds.iter().map(|r| r[contestant][quantile]))
    }

    fn ratio(&self, (product, bare): (usize, usize), quantile: usize) -> [f64; 3] {
        quartiles(self.rounds.iter().map(|r| r[product][quantile] / r[bare][quantile]))
    }

    pub(crate) fn text(&self, out: &mut String) {
        let rounds = self.rounds.len();
        let _ =
            writeln!(out, "latency at {:.0} packets/s, {rounds} rounds, microseconds", self.rate);
        for (i, (name, _)) in CONTESTANTS.iter().enumerate() {
            let [p50, p99, p999] = [0, 1, 2].map(|q| self.at(i, q)[1]);
            let lost = self.lost[i];
            let _ = writeln!(
                out,
                "  {name:<24} p50 {p50:7.1}  p99 {p99:8.1}  p99.9 {p999:9.1}  lost {lost}"
            );
        }
        for pair in PAIRS {
            let name = format!("{} / {}", CONTESTANTS[pair.0].0, CONTESTANTS[pair.1].0);
            let _ = write!(out, "  {name:<44}");
            for (label, q) in [("p50", 0), ("p99", 1)] {
                let [low, mid, high] = self.ratio(pair, q);
                let _ = write!(out, " {label} {mid:.2} ({low:.2} to {high:.2})");
            }
            out.push('\n');
        }
        for (core, n) in self.noise.iter().enumerate() {
            let _ = writeln!(
                out,
                "  noise, core {core}: {} gaps over 100 us, {} over 250 us in {} idle",
                n.over_100, n.over_250, n.looked
            );
        }
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        let contestants: Vec<_> = CONTESTANTS
            .iter()
            .enumerate()
            .map(|(i, (name, _))| {
                let [p50, p99, p999] = [0, 1, 2].map(|q| self.at(i, q));
                serde_json::json!({"name": name, "p50_us": p50, "p99_us": p99, "p99_9_us": p999})
            })
            .collect();
        let ratios: Vec<_> = PAIRS
            .iter()
            .map(|p| {
                serde_json::json!({
                    "product": CONTESTANTS[p.0].0, "bare": CONTESTANTS[p.1].0,
                    "p50": self.ratio(*p, 0), "p99": self.ratio(*p, 1),
                })
            })
            .collect();
        let noise: Vec<_> =
            self.noise.iter().map(|n| serde_json::json!([n.over_100, n.over_250])).collect();
        serde_json::json!({
            "rate": self.rate, "rounds": self.rounds.len(), "contestants": contestants,
            "ratios": ratios, "gaps_over_100_and_250_us": noise,
        })
    }
}
