//! What a packet is once it is ours: a small descriptor, a slot for its bytes, and views of its headers.
//!
//! Knows nothing of sockets and queues.

pub mod capture;
pub mod dscp;
pub mod framed;
mod pool;

pub use dscp::Dscp;
pub use pool::{BufPool, Slot};

use crate::base::{IngressId, Instant, KernelId, Nanos, Priority};

/// A packet that was received: a `Copy` descriptor; its bytes lie in its [`Slot`] of the worker's [`BufPool`].
///
/// It stands for one datagram, or for several neighbours of one train that are alike in all but their bytes: one peer, one
/// class, one deadline, one length. They lie side by side in one slot, are queued, run and sent as one, and are counted
/// each: a train then costs about as much as a datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packet {
    /// When the kernel received it (release time).
    pub released: Instant,
    /// `released` + budget.
    pub deadline: Instant,
    /// What each datagram is expected to cost from dispatch to result.
    pub service: Nanos,
    /// Where its bytes are. Owned: every packet is released into the pool exactly once.
    pub slot: Slot,
    /// Bytes of each datagram (header included where the ingress is framed).
    pub len: u16,
    /// How many datagrams it stands for, at least one.
    pub count: u16,
    /// The ingress that it came in by.
    pub ingress: IngressId,
    /// What is to be run on it.
    pub kernel: KernelId,
    /// The number of its latency/estimate bucket: kernel × size.
    pub bucket: u16,
    /// Its class.
    pub priority: Priority,
    /// Marks that change how it is treated.
    pub flags: PacketFlags,
}

const _: () = assert!(size_of::<Packet>() <= 48, "a queue's entry is moved four times");

impl Packet {
    /// Bytes before the payload.
    #[must_use]
    #[inline]
    pub const fn header_len(&self) -> usize {
        if self.flags.framed { framed::LEN } else { 0 }
    }

    /// How many datagrams it stands for, in the width of the counters.
    #[must_use]
    #[inline]
    pub fn datagrams(&self) -> u64 {
        u64::from(self.count)
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
    /// And that is to see whether it ends in time.
    pub audit: bool,
    /// Its flow is noted until it leaves the queue.
    pub noted: bool,
    /// Its flow's order counts.
    pub bound: bool,
    /// Its bucket's average does not decide whether it can make it: a probe, or what has been begun and is judged by what is
    /// left of it ([`Packet::service`]).
    pub unpredicted: bool,
    /// Begun and paused: its kernel keeps what it has come to in that place, counted from 1. 0: not begun.
    pub place: u8,
}
