//! What a worker is told at construction: its ingresses, ways out, sockets and bounds. All checked before.

use std::net::{IpAddr, SocketAddr};

use super::sessions;
use crate::base::{
    EgressId, IngressId, KernelId, Nanos, PerPriority, Priority, SocketId, WorkerId,
};
use crate::classify::{self, Classify};
use crate::kernel::Kernel;
use crate::sched::admission;

/// What stands at the start of a datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// The datagram is the payload.
    Raw,
    /// The 32-byte header comes first.
    Framed,
}

/// Which order results keep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Results of one flow and priority leave in the order in which its packets came.
    Flow,
    /// None.
    None,
}

/// An ingress as the workers see it.
#[derive(Clone, Debug)]
pub struct Ingress {
    /// Its name in reports.
    pub name: String,
    /// Raw or framed.
    pub framing: Framing,
    /// What is run where the request names nothing else.
    pub kernel: KernelId,
    /// Which way results leave.
    pub egress: EgressId,
    /// Their order.
    pub order: Order,
    /// Whether an empty datagram is work; else it is a parse error.
    pub serve_empty: bool,
    /// Its rules.
    pub classify: classify::Options,
}

impl Ingress {
    /// The class under which datagrams are counted that are dropped before they have one.
    #[must_use]
    pub fn fallback(&self) -> Priority {
        match self.classify.classify {
            Classify::Fixed(priority) => priority,
            _ => self.classify.default.unwrap_or(Priority::BestEffort),
        }
    }

    /// Whether its packets may be of more than one class.
    #[must_use]
    pub const fn is_mixed(&self) -> bool {
        !matches!(self.classify.classify, Classify::Fixed(_))
    }
}

/// What becomes of a result that is finished after its deadline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Late {
    /// Dropped, counted as `late_after_kernel`.
    Drop,
    /// Sent all the same, counted as late.
    Send,
}

/// Where results go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Back to the sender.
    Reply {
        /// The most bytes out for a thousand bytes in. Default 1000.
        amplification_per_mille: u32,
        /// Whether senders with a source port below 1024 are answered: such ports belong to services, which might answer back.
        low_source_ports: bool,
    },
    /// To a fixed address, by this connected socket.
    Send {
        /// The socket.
        socket: SocketId,
    },
    /// To an upstream, with the way back for its answers.
    Forward {
        /// The first of the connected sockets, one a session, numbered without gaps.
        first_socket: SocketId,
        /// The table's bounds.
        sessions: sessions::Options,
        /// The entry under which answers are counted (they are packets that this service receives).
        answers: IngressId,
    },
}

/// A way out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EgressOptions {
    /// Where to.
    pub mode: Mode,
    /// Late results.
    pub late: Late,
}

/// What a worker must know of a kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KernelOptions {
    /// The most rows that it takes at once.
    pub batch_max: usize,
    /// Whether its results may be longer than their payloads ([`Kernel::grows`]).
    pub grows: bool,
    /// Whether it can pause ([`Kernel::pauses`]).
    pub pauses: bool,
}

impl KernelOptions {
    /// As that kernel says.
    #[must_use]
    pub fn of(kernel: &dyn Kernel) -> Self {
        Self { batch_max: kernel.batch_max(), grows: kernel.grows(), pauses: kernel.pauses() }
    }
}

/// What a socket of a worker is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SocketRole {
    /// Requests come in by it.
    Listen {
        /// Of this ingress.
        ingress: IngressId,
        /// All of them of this class; `None`: mixed.
        class: Option<Priority>,
    },
    /// Results leave by it; what comes in by it is left in the kernel.
    Send,
    /// Requests leave by it and answers come in.
    Upstream {
        /// The way out that it belongs to.
        egress: EgressId,
        /// Its place in the session table.
        session: u32,
    },
}

/// A socket of a worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SocketOptions {
    /// What it is for.
    pub role: SocketRole,
    /// Whether it sends trains.
    pub gso: bool,
}

/// Who we are: what must never be answered.
#[derive(Clone, Debug, Default)]
pub struct Own {
    /// Our addresses.
    pub addresses: Vec<IpAddr>,
    /// Where we listen.
    pub listening: Vec<SocketAddr>,
}

/// Everything a worker is told.
#[derive(Clone, Debug)]
pub struct Options {
    /// Its number.
    pub id: WorkerId,
    /// All ingresses; forward ways out have one more each, for answers, at the end.
    pub ingresses: Vec<Ingress>,
    /// How many entries the counters have: ingresses and answers.
    pub counted: usize,
    /// All ways out.
    pub egresses: Vec<EgressOptions>,
    /// Its sockets, in the order of the driver's list.
    pub sockets: Vec<SocketOptions>,
    /// What the kernels take, in the order of their ids.
    pub kernels: Vec<KernelOptions>,
    /// Budgets by priority.
    pub budgets: PerPriority<Nanos>,
    /// Weight of the past in the averages of service time: a power of two from 2 to 64, default 8.
    pub ema_weight: u32,
    /// The gates.
    pub admission: admission::Options,
    /// The longest datagram that is taken.
    pub max_datagram: usize,
    /// The longest that an answer of a quick kernel waits for others to its peer, default 1 ms.
    pub hold: Nanos,
    /// How many packets it can hold at once, queued or finished.
    pub slots: usize,
    /// Whether Medium and Low wait within their guard windows.
    pub guard: bool,
    /// Whether they do so only while High is expected within the window.
    pub guard_requires_expected_high: bool,
    /// Whether this worker serves High at all.
    pub serves_high: bool,
    /// Keys the session tables' hashes.
    pub secret: u64,
}
