//! What a packet is once it is ours: a small descriptor, a slot for its bytes, and views of its headers.
//!
//! Knows nothing of sockets and queues.

pub mod dscp;
pub mod framed;
mod pool;

pub use dscp::Dscp;
pub use pool::{BufPool, Slot};

use crate::base::{IngressId, Instant, KernelId, Nanos, Priority};

/// A packet that was received: a `Copy` descriptor; its bytes lie in its [`Slot`] of the worker's [`BufPool`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packet {
    /// Where its bytes are. Owned: every packet is released into the pool exactly once.
    pub slot: Slot,
    /// The ingress that it came in by.
    pub ingress: IngressId,
    /// What is to be run on it.
    pub kernel: KernelId,
    /// Its class.
    pub priority: Priority,
    /// Marks that change how it is treated.
    pub flags: PacketFlags,
    /// When the kernel received it (release time).
    pub released: Instant,
    /// `released` + budget.
    pub deadline: Instant,
    /// What it is expected to cost from dispatch to result.
    pub service: Nanos,
    /// The number of its latency/estimate bucket: kernel × size.
    pub bucket: u16,
    /// Bytes in its slot that are its own (header included where the ingress is framed).
    pub len: u32,
}

impl Packet {
    /// Bytes before the payload.
    #[must_use]
    #[inline]
    pub const fn header_len(&self) -> usize {
        if self.flags.framed { framed::LEN } else { 0 }
    }

    /// What is left until its deadline once it has been run, or zero.
    #[must_use]
    pub const fn slack(&self, now: Instant) -> Nanos {
        self.deadline.since(now).saturating_sub(self.service)
    }
}

/// Marks on a packet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PacketFlags {
    /// Framed: the first 32 bytes are the header.
    pub framed: bool,
    /// The sender asked to be told when it is not answered.
    pub wants_refusal: bool,
    /// Admitted as a probe: predictions do not drop it, only an expired deadline does.
    pub probe: bool,
}
