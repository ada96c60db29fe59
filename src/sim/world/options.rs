//! What a world is made of: the service as `serve` would be told it, what is offered to it, what things cost, what goes wrong.
//!
//! Knows no file: whoever reads a plan fills this in.

use std::sync::Arc;

use crate::base::{KernelId, Nanos, PerPriority, Priority};
use crate::dataplane::{Idle, Ingress, Late};
use crate::sched::{admission, batch, controller};
use crate::sim::workload::{Arrivals, Service as Time, ns};

/// A way out, as far as a world has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// Back to the sender.
    Reply {
        /// The most bytes out for a thousand bytes in.
        amplification_per_mille: u32,
        /// Whether senders with a source port below 1024 are answered.
        low_source_ports: bool,
    },
    /// To a fixed address.
    Send,
}

/// What a kernel gains from company: a batch takes `shared` of its longest packet's time once, and of each packet's the rest.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Company {
    /// The most packets of a batch, 1 to 64.
    pub rows: usize,
    /// What is paid once a batch, as a share of what a packet takes alone. Range 0 to 1.
    pub shared: f64,
}

/// What every worker is told: the same things that `serve` tells its workers.
#[derive(Clone, Debug)]
pub struct Service {
    /// The ingresses; `true`: one socket a class, told apart by DSCP.
    pub ingresses: Vec<(Ingress, bool)>,
    /// The ways out, with what becomes of late results.
    pub egresses: Vec<(Way, Late)>,
    /// What a run of each kernel takes on a payload that says nothing: for the rounds before traffic.
    pub kernels: Vec<Nanos>,
    /// What each kernel gains from company, in the same order; none: nothing, and it runs one packet at a time.
    pub company: Vec<Option<Company>>,
    /// How batches are formed, and what a packet is expected to add to one.
    pub batch: batch::Mode,
    /// Further cores that take part of a burst, 0 to 1,023. Workers of a service share them; in a world only one worker
    /// may have some.
    pub helpers: usize,
    /// Budgets by priority.
    pub budgets: PerPriority<Nanos>,
    /// Weight of the past in the averages of service time.
    pub ema_weight: u32,
    /// The gates.
    pub admission: admission::Options,
    /// The controller; its number of workers is the world's.
    pub controller: controller::Options,
    /// Whether Medium and Low wait within their guard windows.
    pub guard: bool,
    /// Whether they do so only while High is expected within the window.
    pub guard_requires_expected_high: bool,
    /// How a worker rests.
    pub idle: Idle,
    /// The longest datagram that is taken.
    pub max_datagram: usize,
    /// The longest that an answer of a quick kernel waits for others to its peer.
    pub hold: Nanos,
    /// How long a stop may take to run what is queued.
    pub drain: Nanos,
}

/// What arrives at one ingress for one class.
#[derive(Clone, Debug, PartialEq)]
pub struct Stream {
    /// Its name in tables.
    pub name: String,
    /// Where: a place in [`Service::ingresses`].
    pub ingress: usize,
    /// What it asks for.
    pub priority: Priority,
    /// Datagrams a second, all workers together.
    pub rate_per_s: f64,
    /// When.
    pub arrivals: Arrivals,
    /// What they take: times with their weights.
    pub service: Vec<(f64, Time)>,
    /// What they take one after another, and again from the beginning, on each worker by itself; before `service`.
    pub recorded: Option<Arc<[Nanos]>>,
    /// Bytes of payload, at least [`super::tag::LEN`].
    pub size: usize,
    /// Flows on each worker, at least 1.
    pub flows: u32,
    /// The kernel that its ingress runs.
    pub kernel: KernelId,
    /// In a framed header: the budgets that requests ask for, by turns; empty: none.
    pub budgets: Vec<Nanos>,
}

impl Stream {
    /// What one of its datagrams takes on average, nanoseconds.
    #[must_use]
    pub fn mean_ns(&self) -> f64 {
        if let Some(times) = self.recorded.as_ref().filter(|times| !times.is_empty()) {
            #[expect(clippy::cast_precision_loss, reason = "a count in memory")]
            let count = times.len() as f64;
            return times.iter().map(|t| ns(*t)).sum::<f64>() / count;
        }
        let total: f64 = self.service.iter().map(|(w, _)| w).sum();
        self.service.iter().map(|(w, t)| w * t.mean_ns()).sum::<f64>() / total
    }
}

/// What a driver takes of a worker's time. Defaults as measured on loopback (BENCHMARKS, "the loopback limit is the send").
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Costs {
    /// A look for arrivals. Default 100 ns.
    pub look: Nanos,
    /// Each message received. Default 500 ns.
    pub receive: Nanos,
    /// A batch of sends. Default 300 ns.
    pub batch: Nanos,
    /// Each message sent. Default 1.5 µs.
    pub send: Nanos,
    /// Each datagram of a train beyond its first. Default 100 ns.
    pub segment: Nanos,
    /// From an arrival until a sleeping worker runs. Default 10 µs.
    pub wake: Nanos,
}

impl Default for Costs {
    fn default() -> Self {
        Self {
            look: Nanos::new(100),
            receive: Nanos::new(500),
            batch: Nanos::new(300),
            send: Nanos::new(1_500),
            segment: Nanos::new(100),
            wake: Nanos::from_micros(10),
        }
    }
}

impl Costs {
    /// What a lone datagram costs besides its kernel, nanoseconds.
    #[must_use]
    pub const fn each(&self) -> u64 {
        self.receive.get() + self.send.get()
    }
}

/// What lies between clients and sockets.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Link {
    /// From a client to the socket.
    pub delay: Nanos,
    /// On top of it, uniform up to this: datagrams overtake each other.
    pub jitter: Nanos,
    /// Share that is lost on the way.
    pub loss: f64,
    /// Share that arrives twice.
    pub duplicate: f64,
    /// Datagrams that a socket holds before it drops.
    pub socket_buffer: usize,
}

impl Default for Link {
    fn default() -> Self {
        Self {
            delay: Nanos::ZERO,
            jitter: Nanos::ZERO,
            loss: 0.0,
            duplicate: 0.0,
            socket_buffer: 1_024,
        }
    }
}

/// Something that begins again and again, at random, on each worker by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Every {
    /// Mean time from one begin to the next, at least 1 µs.
    pub every: Nanos,
    /// How long it lasts.
    pub lasts: Nanos,
}

/// What goes wrong. All of it off by default.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Faults {
    /// A worker loses its core.
    pub stall: Option<Every>,
    /// Kernels take this many times as long.
    pub slow: Option<(Every, f64)>,
    /// From a time on, for good: kernels take this many times as long. Not a fault but a changed machine.
    pub drift: Option<(Nanos, f64)>,
    /// From each of these times on, ascending: all that a worker does takes this many times as long, its kernels and its driver. A core
    /// whose clock changes. Before the first time as from it on; empty: 1.
    pub pace: Vec<(Nanos, f64)>,
    /// The wall clock steps: receive stamps are missing, or not to be believed.
    pub stamps: Option<Every>,
    /// No receive buffer is left: receives end and are armed again.
    pub buffers: Option<Every>,
    /// Send queues are full.
    pub sends: Option<Every>,
    /// A helper disappears with what it has. By turns: it is known at once, it stays silent, it hangs and goes on.
    pub device: Option<Every>,
    /// So many datagrams at once.
    pub bursts: Option<(Nanos, u32)>,
    /// Share of payloads that a kernel cannot work on.
    pub kernel: f64,
    /// Share of controller ticks that do not happen.
    pub missed_ticks: f64,
    /// Share of controller ticks that come late, and by how much at most.
    pub late_ticks: (f64, Nanos),
    /// Mean time between two reloads with other limits.
    pub reloads: Option<Nanos>,
}

/// A whole world.
#[derive(Clone, Debug)]
pub struct Options {
    /// Workers, 1 to 1,024.
    pub workers: usize,
    /// What they are told.
    pub service: Service,
    /// What is offered.
    pub streams: Vec<Stream>,
    /// What the driver takes.
    pub costs: Costs,
    /// The way to the sockets.
    pub link: Link,
    /// What goes wrong.
    pub faults: Faults,
    /// Datagrams that clients send at most, all workers together.
    pub packets: u64,
    /// For how long they send at most.
    pub duration: Nanos,
    /// Decides everything that is drawn.
    pub seed: u64,
    /// Loop turns between two looks at the laws.
    pub check_every: u32,
    /// Whether every event is kept, not only hashed.
    pub record: bool,
}

impl Options {
    /// Kernel time and driver time offered, by the time there is: 1 is saturation.
    #[must_use]
    pub fn load(&self) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "a cost and a count, far below 2^53")]
        let (each, workers) = (self.costs.each() as f64, self.workers as f64);
        self.streams.iter().map(|s| s.rate_per_s * (s.mean_ns() + each)).sum::<f64>()
            / 1e9
            / workers
    }
}
