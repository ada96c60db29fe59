//! The whole path against bare loops on the same socket, with the same options, on the same core.
//!
//! `cargo bench --bench bare -- [--quick] [--json] [--scenario NAME] [--no-latency]`
//!
//! The server runs on one core, the load on another. They take turns: a window of datagrams is sent, then the server
//! answers all of it while its own thread's CPU time is counted, then the answers are taken in. So the server is always
//! saturated while it is measured, the generator is never the bottleneck, and time that other processes take does not
//! count. Contestants alternate every few milliseconds; each round gives one ratio, and the median of the rounds is
//! reported with its quartiles.

#![expect(unsafe_code, reason = "bare loops work on raw message headers")]
#![expect(clippy::print_stdout, reason = "a program of its own")]
#![expect(
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_sign_loss,
    clippy::unwrap_used,
    reason = "constants of the kernel's headers, and a bench that ends where it fails"
)]
#![expect(clippy::disallowed_methods, reason = "threads of its own")]

mod client;
mod echo;
mod latency;
mod mmsg;
mod product;
#[path = "../common/quartiles.rs"]
mod quartiles;
mod report;
mod ring;

use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicU64, Ordering};

use punctual::dataplane::Idle;
use punctual::io::{Driver, PollDriver, UringDriver};
use punctual::sys::affinity::pin_current;
use punctual::sys::socket::{UdpOptions, open};
use rustix::time::{ClockId, clock_gettime};

use client::{Client, Shape, WINDOW};
use mmsg::Mmsg;
use product::{MAX_DATAGRAM, Product, spec};
use report::{Contest, Outcome};
use ring::Ring;

/// Windows that one contestant answers before the next has its turn.
const SLOT: usize = 4;

/// What is asked on the command line.
struct Args {
    quick: bool,
    json: bool,
    latency: bool,
    scenario: Option<String>,
}

/// Something that answers what has come to its socket.
trait Server {
    /// Answers until `window` more datagrams are dealt with; how many of them were dropped.
    fn answer(&mut self, window: u64) -> u64;
    /// Between two measurements.
    fn between(&mut self) {}
    /// Why datagrams were dropped since the start, and how many.
    fn drops(&self) -> Vec<(&'static str, u64)> {
        Vec::new()
    }
}

impl Server for Mmsg {
    fn answer(&mut self, window: u64) -> u64 {
        let mut left = window;
        while left > 0 {
            left -= self.turn(libc::MSG_DONTWAIT);
        }
        0
    }
}

impl Server for Ring {
    fn answer(&mut self, window: u64) -> u64 {
        let mut left = window;
        while left > 0 {
            left -= self.turn(0);
        }
        self.flush();
        0
    }
}

impl<D: Driver> Server for Product<D> {
    fn answer(&mut self, window: u64) -> u64 {
        let (replied, dropped) = self.figures();
        let until = replied + dropped + window;
        loop {
            self.turns.turn().unwrap();
            let (replied, now_dropped) = self.figures();
            if replied + now_dropped >= until {
                return now_dropped - dropped;
            }
        }
    }

    fn between(&mut self) {
        self.control();
    }

    fn drops(&self) -> Vec<(&'static str, u64)> {
        self.drops()
    }
}

/// The socket that every contestant serves, as an ingress of the product has it.
pub(crate) fn socket() -> (UdpSocket, SocketAddr) {
    let wish = UdpOptions {
        timestamps: true,
        gro: true,
        receive_buffer: Some(8 << 20),
        ..UdpOptions::default()
    };
    let opened = open(([127, 0, 0, 1], 0).into(), &wish).unwrap();
    let at = opened.socket.local_addr().unwrap();
    (opened.socket, at)
}

pub(crate) const NAMES: [&str; 4] = ["bare mmsg", "bare uring", "product mio", "product uring"];

fn servers() -> (Vec<Box<dyn Server>>, Vec<SocketAddr>) {
    let (sockets, addresses): (Vec<_>, Vec<SocketAddr>) = NAMES.iter().map(|_| socket()).unzip();
    let [a, b, c, d] = <[UdpSocket; 4]>::try_from(sockets).unwrap();
    let mio = PollDriver::new(vec![spec(c)], MAX_DATAGRAM).unwrap();
    let uring = UringDriver::new(vec![spec(d)], MAX_DATAGRAM).unwrap();
    let all: Vec<Box<dyn Server>> = vec![
        Box::new(Mmsg::new(a)),
        Box::new(Ring::new(b)),
        Box::new(Product::new(mio, Idle::Spin, addresses[2].port())),
        Box::new(Product::new(uring, Idle::Spin, addresses[3].port())),
    ];
    (all, addresses)
}

fn cpu_ns() -> u64 {
    let t = clock_gettime(ClockId::ThreadCPUTime);
    t.tv_sec as u64 * 1_000_000_000 + t.tv_nsec as u64
}

/// What both threads look at: even, the client's turn; odd, the server's.
struct Stage(AtomicU64);

impl Stage {
    fn wait(&self, at: u64) {
        let mut looks = 0_u32;
        while self.0.load(Ordering::Acquire) != at {
            looks += 1;
            // Others need these cores too.
            if looks.is_multiple_of(20_000) {
                std::thread::yield_now()
            } else {
                std::hint::spin_loop()
            }
        }
    }

    fn next(&self, at: u64) {
        self.0.store(at + 1, Ordering::Release);
    }
}

/// One scenario: for each round and contestant the server's CPU time a datagram, nanoseconds.
fn contest(shape: Shape, rounds: usize, slots: usize) -> Contest {
    let (tell, addresses) = std::sync::mpsc::channel();
    let stage = Stage(AtomicU64::new(0));
    std::thread::scope(|s| {
        let stage = &stage;
        let server = s.spawn(move || {
            pin_current(0).unwrap();
            let (mut all, at) = servers();
            tell.send(at).unwrap();
            let mut outcome = Contest::new(shape.name);
            let mut step = 1;
            // The first round warms up and is forgotten.
            for round in 0..=rounds {
                let mut spent = [0_u64; NAMES.len()];
                for _ in 0..slots {
                    for (server, spent) in all.iter_mut().zip(&mut spent) {
                        server.between();
                        for _ in 0..SLOT {
                            stage.wait(step);
                            let before = cpu_ns();
                            outcome.dropped += server.answer(WINDOW as u64);
                            *spent += cpu_ns() - before;
                            stage.next(step);
                            step += 2;
                        }
                    }
                }
                let packets = (slots * SLOT * WINDOW) as f64;
                if round > 0 {
                    outcome.rounds.push(spent.map(|ns| ns as f64 / packets));
                }
            }
            outcome.reasons = all.iter().flat_map(|s| s.drops()).collect();
            outcome
        });
        // A thread of its own: a pinned main thread would hand its mask down to the next server.
        s.spawn(move || {
            let _ = pin_current(1);
            let clients: Vec<Client> =
                addresses.recv().unwrap().iter().map(|to| Client::new(shape, *to)).collect();
            let mut step = 0;
            for _ in 0..(rounds + 1) * slots {
                for client in &clients {
                    for _ in 0..SLOT {
                        stage.wait(step);
                        client.drain();
                        client.send();
                        stage.next(step);
                        step += 2;
                    }
                }
            }
        });
        server.join().unwrap()
    })
}

fn main() {
    let args = args();
    let (rounds, slots) = if args.quick { (7, 4) } else { (21, 12) };
    let mut outcome = Outcome::default();
    for shape in [client::SINGLY, client::BURSTS, client::TRAINS] {
        if args.scenario.as_deref().is_none_or(|s| s == shape.name) {
            let slots = slots * shape.burst.min(8);
            outcome.contests.push(contest(shape, rounds, slots));
        }
    }
    if args.latency {
        let rate = 0.1 * outcome.contests.first().map_or(280_000.0, Contest::saturation);
        outcome.latency = Some(latency::contest(rate, if args.quick { 12 } else { 40 }));
    }
    println!("{}", if args.json { outcome.json() } else { outcome.text() });
}

fn args() -> Args {
    let mut args = Args { quick: false, json: false, latency: true, scenario: None };
    let mut given = std::env::args().skip(1);
    while let Some(arg) = given.next() {
        match arg.as_str() {
            "--quick" => args.quick = true,
            "--json" => args.json = true,
            "--no-latency" => args.latency = false,
            "--scenario" => args.scenario = given.next(),
            _ => {}
        }
    }
    args
}
