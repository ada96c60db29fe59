//! What a checked config says: every value is within its range, every name is resolved, every default is filled in.
//!
//! Made only by this folder's check; knows no file, no line and no other room's options.

use std::net::SocketAddr;
use std::sync::Arc;

use super::choice::choice;
use crate::base::limits::KERNEL_BATCH_MAX;
use crate::base::{EgressId, KernelId, Nanos, PerPriority, Priority};
use crate::kernel::Registry;
use crate::level::saved::Saved;

/// A whole checked config.
#[derive(Clone, Debug)]
pub struct Settings {
    /// `[workers]`.
    pub workers: Workers,
    /// `[priority.*]`.
    pub classes: PerPriority<Class>,
    /// `[controller]`.
    pub controller: Controller,
    /// `[guard]`.
    pub guard: Guard,
    /// `[[ingress]]`, in the order of their ids; 1 to 64.
    pub ingress: Vec<Ingress>,
    /// `[[egress]]`, in the order of their ids; where the file has none, one that replies. 1 to 64.
    pub egress: Vec<Egress>,
    /// `[kernel.*]` in the file's order, then the built-in ones that an ingress names.
    pub kernels: Registry,
    /// `[level]`.
    pub level: Level,
    /// `[gpu]`.
    pub gpu: Gpu,
    /// `admin.listen`; none: off. Always loopback.
    pub admin: Option<SocketAddr>,
}

/// How the worker threads run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Workers {
    /// Which cores; one pinned worker each.
    pub cores: Cores,
    /// Which driver.
    pub io: Io,
    /// What a worker does when there is nothing to do.
    pub idle: Idle,
    /// How long an adaptive worker spins before it sleeps; 0 to 10 ms, default 50 us.
    pub spin: Nanos,
    /// Which classes which worker serves.
    pub layout: Layout,
    /// The longest datagram taken, in bytes; 64 to 65,507, default 2,048.
    pub max_datagram: usize,
    /// Receive buffer of each socket, in bytes; 4 KiB to 1 GiB, default 1 MiB.
    pub receive_buffer: usize,
    /// The longest that an answer of a quick kernel waits for others to its peer; 0 to 10 ms, default 1 ms.
    pub hold: Nanos,
    /// `SCHED_FIFO` priority; 0 off, 1 to 99; default 0.
    pub realtime: u8,
    /// Whether memory is locked; default false.
    pub lock_memory: bool,
    /// How long the drain after SIGTERM may take; 0 to 60 s, default 2 s.
    pub drain: Nanos,
    /// How long a worker may be silent before the watchdog says so; 10 ms to 60 s, default 100 ms.
    pub stall: Nanos,
}

/// Which cores the workers are pinned to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cores {
    /// All that the process may use.
    Auto,
    /// These; distinct, at least one, each below 1,024.
    List(Vec<usize>),
}

choice! {
    /// Which driver moves the datagrams.
    pub enum Io {
        /// io_uring where this kernel allows it, else mio.
        Auto = "auto",
        /// io_uring, or no start.
        Uring = "uring",
        /// epoll through mio.
        Mio = "mio",
    }
}
choice! {
    /// What a worker does when nothing is due.
    pub enum Idle {
        /// Spins for a while, then sleeps.
        Adaptive = "adaptive",
        /// Spins.
        Spin = "spin",
        /// Sleeps.
        Park = "park",
    }
}
choice! {
    /// Which classes which worker serves.
    pub enum Layout {
        /// Every worker serves all classes of its flows.
        Symmetric = "symmetric",
        /// The first worker serves High alone, the last serves all (seed 002).
        Tiered = "tiered",
    }
}

/// What a priority means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Class {
    /// Relative deadline where no ingress or egress names another; 1 us to 60 s. Best effort ages by it.
    pub budget: Nanos,
    /// What a packet served on time is worth; at least 1.
    pub value: u32,
}

choice! {
    /// How service is predicted at admission.
    pub enum Predictor {
        /// By the queued work of earlier deadlines.
        Prefix = "prefix",
        /// By all queued work: the seed's rule, for comparison.
        SeedTotal = "seed_total",
        /// Not at all.
        Off = "off",
    }
}
choice! {
    /// Who gives way when not all can be served on time.
    pub enum Overload {
        /// The packet of lowest value for its service time.
        Value = "value",
        /// Nobody who was admitted.
        None = "none",
    }
}
choice! {
    /// In which order packets are served, and what is dropped.
    pub enum Policy {
        /// Deadline order while the work fits, value order when it does not.
        Value = "value",
        /// Earliest deadline first, with prediction.
        Edf = "edf",
        /// Earliest deadline first; only what has expired is dropped.
        EdfExpiry = "edf-expiry",
        /// Order of arrival; only what finds the queue full is dropped.
        Fifo = "fifo",
    }
}

impl Policy {
    /// The default: what all others are compared with.
    pub const OURS: Self = Self::Value;

    /// Whether it predicts what will be late: only then is there anything for helpers and devices to go by.
    #[must_use]
    pub const fn predicts(self) -> bool {
        matches!(self, Self::Value | Self::Edf)
    }
}

/// How long a kernel that can pause runs at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Chunk {
    /// By what has been arriving.
    Auto,
    /// So long.
    Fixed(Nanos),
    /// To its end.
    Off,
}

/// How admission and its feedback work.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Controller {
    /// Time between two plans; 10 ms to 10 s, default 100 ms.
    pub interval: Nanos,
    /// Share of a budget that a quota may fill; above 0 up to 1, default 0.9.
    pub safety: f64,
    /// By which share of its own budget a packet beyond the count of its class must be done; 0 to 1, default 1; 0: none goes beyond.
    pub fill: f64,
    /// Weight of the past in the moving average: `ema = ((w - 1) * ema + x) / w`; 2, 4 … 64, default 8.
    pub ema_weight: u32,
    /// Default prefix.
    pub predictor: Predictor,
    /// Added to every prediction, beside what is learned of broken promises; 0 to 1 s, default 0.
    pub margin: Nanos,
    /// Whether one packet a class and interval is served in spite of its prediction; default true.
    pub probes: bool,
    /// One in so many predicted misses is looked into: run all the same and its end counted, unless refused by choice; 0: none; 0 to 1,000,000, default 1,000.
    pub audit_one_in: u32,
    /// How long a kernel that can pause runs before its worker looks at the sockets; 5 us to 10 ms, default auto.
    pub chunk: Chunk,
    /// Default value.
    pub overload: Overload,
    /// Default value.
    pub policy: Policy,
    /// How the Medium quota of a tiered layout is shared among the workers; 1 to 1,000 each, default 1 : 1.
    pub medium_split: [u32; 2],
}

/// The window in which a worker waits for High before it starts something longer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Guard {
    /// Default true.
    pub enabled: bool,
    /// The longest wait; 0 to 10 ms, default 80 us.
    pub max: Nanos,
    /// Whether to wait only when High is expected within the window; default true.
    pub require_expected_high: bool,
}

choice! {
    /// What an ingress reads the class from, in the file's words.
    pub enum ClassifyBy {
        /// The IP header's DSCP.
        Dscp = "dscp",
        /// The framed header.
        Header = "header",
        /// The workload (seed 001).
        Workload = "workload",
    }
}
choice! {
    /// How an ingress that classifies by DSCP receives.
    pub enum Sockets {
        /// One socket a class, to which the kernel steers.
        Class = "class",
        /// One socket for all classes.
        One = "one",
    }
}
choice! {
    /// What a datagram's payload is.
    pub enum Framing {
        /// The payload itself.
        Raw = "raw",
        /// A 32-byte header, then the payload.
        Framed = "framed",
    }
}
choice! {
    /// What order results leave in.
    pub enum Order {
        /// As received, for each flow.
        Flow = "flow",
        /// As finished.
        None = "none",
    }
}
choice! {
    /// What happens to datagrams without a payload.
    pub enum Empty {
        /// Dropped and counted.
        Drop = "drop",
        /// Served as any other.
        Serve = "serve",
    }
}

/// Where the class of a packet comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Classify {
    /// Always the ingress's own priority.
    Fixed,
    /// The IP header's DSCP.
    Dscp(Sockets),
    /// The framed header.
    Header,
    /// The workload (seed 001).
    Workload,
}

/// A place where packets come in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ingress {
    /// Unique among them.
    pub name: String,
    /// Where it listens; port 0 picks one.
    pub listen: SocketAddr,
    /// The class of every packet, or of those that classification leaves open.
    pub priority: Priority,
    /// Where the class comes from.
    pub classify: Classify,
    /// The most urgent class that a peer may ask for.
    pub highest: Priority,
    /// What the file says: the budget of every packet, or the longest one where classes differ.
    pub budget: Option<Nanos>,
    /// What is in force for each class: the tighter of this ingress's and its egress's.
    pub budgets: PerPriority<Nanos>,
    /// What a payload is.
    pub framing: Framing,
    /// What is run on it.
    pub kernel: KernelId,
    /// Where results go.
    pub egress: EgressId,
    /// What order they leave in.
    pub order: Order,
    /// What happens to empty datagrams.
    pub empty: Empty,
}

choice! {
    /// What happens to a result that is finished after its deadline.
    pub enum Late {
        /// Dropped and counted.
        Drop = "drop",
        /// Sent and counted.
        Send = "send",
    }
}
choice! {
    /// Whether requests from ports below 1,024 are answered: reflection loops live there.
    pub enum LowSourcePorts {
        /// Not answered.
        Drop = "drop",
        /// Answered.
        Allow = "allow",
    }
}
choice! {
    /// Where an egress sends, in the file's words.
    pub enum ModeWord {
        /// Back to the sender.
        Reply = "reply",
        /// To a fixed address.
        Send = "send",
        /// To a fixed address, with the way back for answers.
        Forward = "forward",
    }
}

/// Where results go.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Mode {
    /// Back to the sender.
    Reply {
        /// The most bytes answered for a byte received; above 0 up to 100, default 1.
        amplification: f64,
        /// Default drop.
        low_source_ports: LowSourcePorts,
    },
    /// To a fixed address.
    Send {
        /// The address.
        to: SocketAddr,
    },
    /// To a fixed address, and answers back to the sender.
    Forward {
        /// The address.
        to: SocketAddr,
        /// The most senders with answers pending; 1 to 60,000, default 1,024.
        sessions: u32,
        /// A session without traffic ends after this; 1 s to 1 h, default 30 s.
        idle_timeout: Nanos,
        /// Answers expected to each request; 0 unknown, at most 1,000, default 0.
        answers: u32,
    },
}

/// A way out.
#[derive(Clone, Debug, PartialEq)]
pub struct Egress {
    /// Unique among them.
    pub name: String,
    /// Where results go.
    pub mode: Mode,
    /// What happens to late ones.
    pub late: Late,
    /// The longest budget that a packet on this way has.
    pub budget: Option<Nanos>,
}

choice! {
    /// What serves a batch that the breaker keeps from the device.
    pub enum Fallback {
        /// SIMD where it pays, else scalar.
        Cpu = "cpu",
        /// SIMD.
        Simd = "simd",
        /// Scalar.
        Scalar = "scalar",
        /// Nothing: it is refused.
        Reject = "reject",
    }
}

choice! {
    /// What backends are chosen by.
    pub enum LevelMode {
        /// What batches were measured to cost.
        Measured = "measured",
        /// Seed 000's table of sizes, for comparison.
        Seed = "seed",
        /// A device wherever it is in time, whether it pays or not: to try one out.
        Trial = "trial",
    }
}

/// How batches are formed, and what a packet is expected to add to one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BatchRule {
    /// By what batches were measured to cost.
    Cost,
    /// The same batches, but each packet is charged a batch of its own.
    Single,
    /// By the moving average of what packets did cost.
    Average,
    /// Up to so many rows whatever the slice, each charged its part of a full batch; 1 to 64.
    Rows(u8),
}

impl std::fmt::Display for BatchRule {
    /// As the config has it, without quotation marks.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Cost => f.write_str("cost"),
            Self::Single => f.write_str("single"),
            Self::Average => f.write_str("average"),
            Self::Rows(rows) => write!(f, "{rows}"),
        }
    }
}

impl std::str::FromStr for BatchRule {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "cost" => Ok(Self::Cost),
            "single" => Ok(Self::Single),
            "average" => Ok(Self::Average),
            _ => match text.parse() {
                Ok(rows) if (1..=Self::ROWS_MAX).contains(&rows) => Ok(Self::Rows(rows)),
                _ => Err(format!("`{text}` is none of {}", Self::ALLOWED)),
            },
        }
    }
}

impl BatchRule {
    /// The most rows of a batch.
    pub(crate) const ROWS_MAX: u8 = 64;
    /// What may be asked for.
    pub(crate) const ALLOWED: &'static str = "cost, single, average, or 1 to 64 rows";
}

const _: () = assert!(BatchRule::ROWS_MAX as usize == KERNEL_BATCH_MAX, "one number in two types");

/// Times of an earlier `punctual calibrate --save`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Calibration {
    /// The file, as the config has it.
    pub file: String,
    /// The times; none where they are of another processor or version, or "off".
    pub kept: Option<Arc<Saved>>,
}

/// When work is offloaded (seed 000), which but for `helpers`, `batch` and `calibration` takes effect with offload backends.
#[derive(Clone, Debug, PartialEq)]
pub struct Level {
    /// Further cores that take part of a burst from all workers; 0 to 1,023, default 0.
    pub helpers: usize,
    /// Default cost.
    pub batch: BatchRule,
    /// Default none: everything is measured at start.
    pub calibration: Option<Calibration>,
    /// Default measured.
    pub mode: LevelMode,
    /// What is saved must exceed the transfer this many times; above 0, default 5.
    pub transfer_rule: f64,
    /// The part of its cost that work must gain to go to a device; 0 to 0.9, default 0.2.
    pub hysteresis: f64,
    /// With fewer batches waiting nothing spills to another backend; 1 to 65,536, default 10.
    pub spill_threshold: u32,
    /// The most batches that wait for one backend; 1 to 65,536, default 50.
    pub max_depth: u32,
    /// GPU-seconds a minute; above 0, default 100.
    pub gpu_cost_limit: f64,
    /// Batches queued; 1 to 65,536, default 64.
    pub queue_depth_limit: u32,
    /// Default cpu.
    pub fallback: Fallback,
}

/// A GPU that takes part of bursts. Needs a program built with the feature `gpu`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gpu {
    /// Default no.
    pub enabled: bool,
    /// Whether an adapter that is software will do; default no.
    pub allow_software: bool,
    /// A batch that takes longer is overdue: 1 ms to 10 s, default 100 ms.
    pub time_out: Nanos,
    /// Batches in flight: 1 to 8, default 3.
    pub slots: usize,
    /// The most rows of a batch: 4 to 65,532, default 1,024.
    pub rows: usize,
}
