//! What a service is told at start: all of it checked before.

use std::net::SocketAddr;
use std::sync::Arc;

use crate::base::{EgressId, KernelId, Nanos, PerPriority};
use crate::classify;
use crate::dataplane::{Framing, Idle, Ingress, Late, Order, sessions};
use crate::io::DriverKind;
use crate::kernel::Registry;
use crate::level::saved::Saved;
use crate::sched::{admission, batch, controller};

use super::threads::Cores;

/// How many sockets of one ingress a worker has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SocketsPerWorker {
    /// One for each class, told apart in the kernel by DSCP: a flood of one class then fills only its own buffer.
    Class,
    /// One for all.
    One,
}

/// An ingress.
#[derive(Clone, Debug)]
pub struct IngressPlan {
    /// Its name in reports.
    pub name: String,
    /// Where it listens; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Raw or framed.
    pub framing: Framing,
    /// What is run where the request names nothing else.
    pub kernel: KernelId,
    /// Which way results leave.
    pub egress: EgressId,
    /// Their order.
    pub order: Order,
    /// Whether an empty datagram is work.
    pub serve_empty: bool,
    /// Its rules.
    pub classify: classify::Options,
    /// Where classes share its port.
    pub sockets: SocketsPerWorker,
}

/// Where results go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EgressTarget {
    /// Back to the sender.
    Reply {
        /// The most bytes out for a thousand bytes in.
        amplification_per_mille: u32,
        /// Whether senders with a source port below 1024 are answered.
        low_source_ports: bool,
    },
    /// To a fixed address.
    Send {
        /// The address.
        to: SocketAddr,
    },
    /// To an upstream, with the way back.
    Forward {
        /// The upstream.
        to: SocketAddr,
        /// The table's bounds, for all workers together.
        sessions: sessions::Options,
    },
}

/// A way out.
#[derive(Clone, Debug)]
pub struct EgressPlan {
    /// Its name in reports.
    pub name: String,
    /// Where to.
    pub target: EgressTarget,
    /// Late results.
    pub late: Late,
}

/// Everything that a service is told.
#[derive(Clone, Debug)]
pub struct Options {
    /// The workers' cores.
    pub cores: Cores,
    /// Further cores that take part of a burst from all workers.
    pub helpers: usize,
    /// A device that takes part of bursts where that pays.
    pub gpu: Option<super::GpuPlan>,
    /// The driver; `None`: io_uring where this kernel allows it, else mio.
    pub driver: Option<DriverKind>,
    /// How workers rest.
    pub idle: Idle,
    /// `SCHED_FIFO` priority of the workers, 1 to 99; `None`: ordinary threads.
    pub realtime: Option<u8>,
    /// Whether memory is locked.
    pub lock_memory: bool,
    /// Receive buffer of each socket, bytes.
    pub receive_buffer: usize,
    /// The longest datagram that is taken.
    pub max_datagram: usize,
    /// The longest that an answer of a quick kernel waits for others to its peer.
    pub hold: Nanos,
    /// How long a stop may take to run what is queued.
    pub drain: Nanos,
    /// A worker that has not turned for this long is reported.
    pub stall: Nanos,
    /// Budgets by priority.
    pub budgets: PerPriority<Nanos>,
    /// Weight of the past in the averages of service time: a power of two from 2 to 64, default 8.
    pub ema_weight: u32,
    /// The gates.
    pub admission: admission::Options,
    /// The controller.
    pub controller: controller::Options,
    /// Whether Medium and Low wait within their guard windows.
    pub guard: bool,
    /// Whether they do so only while High is expected within the window.
    pub guard_requires_expected_high: bool,
    /// The kernels.
    pub kernels: Registry,
    /// Times of an earlier calibration of this machine: what they hold is not measured again.
    pub kept: Option<Arc<Saved>>,
    /// How batches are formed, and what a packet is expected to add to one.
    pub batch: batch::Mode,
    /// The ingresses.
    pub ingresses: Vec<IngressPlan>,
    /// The ways out.
    pub egresses: Vec<EgressPlan>,
    /// Decides all draws and keys the session tables.
    pub seed: u64,
}

impl IngressPlan {
    /// The ingress as the workers see it.
    #[must_use]
    pub fn for_worker(&self) -> Ingress {
        Ingress {
            name: self.name.clone(),
            framing: self.framing,
            kernel: self.kernel,
            egress: self.egress,
            order: self.order,
            serve_empty: self.serve_empty,
            classify: self.classify.clone(),
        }
    }
}
