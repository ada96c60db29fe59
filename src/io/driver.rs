//! The trait that every driver meets, and what passes through it.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::ops::Range;

use crate::base::{Instant, Nanos, SocketId};

/// Which driver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DriverKind {
    /// io_uring: one wait for many sockets, multishot receive, batched sends.
    Uring,
    /// mio (epoll) with recvmmsg and sendmmsg.
    Mio,
}

impl DriverKind {
    /// The name in configs and logs.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Uring => "uring",
            Self::Mio => "mio",
        }
    }
}

impl fmt::Display for DriverKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.label())
    }
}

/// A socket that is handed to a driver. Its place in the list is its [`SocketId`].
#[derive(Debug)]
pub struct SocketSpec {
    /// Bound (and, for an upstream, connected); its socket options are already set.
    pub socket: UdpSocket,
    /// It was asked for the address each datagram was sent to (bound to a wildcard address).
    pub wants_local: bool,
    /// Its receive side may hand over trains (`UDP_GRO` is set).
    pub gro: bool,
    /// Its answers may be sent as trains (`UDP_SEGMENT`).
    pub gso: bool,
}

/// When a datagram was received. The stamps of one socket never run backwards. They may lie a little after the `now` that
/// [`Driver::receive`] was given: what arrived in between is taken too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stamp {
    /// The kernel's receive time, on the monotonic clock.
    Kernel(Instant),
    /// The kernel gave none: the time of reading.
    Missing(Instant),
    /// The kernel's stamp was unbelievable (the wall clock stepped): the time of reading.
    Anomaly(Instant),
}

impl Stamp {
    /// The time, wherever it came from.
    #[must_use]
    #[inline]
    pub const fn instant(self) -> Instant {
        match self {
            Self::Kernel(t) | Self::Missing(t) | Self::Anomaly(t) => t,
        }
    }
}

/// What was received: one datagram, or a train of datagrams from one peer.
#[derive(Debug)]
pub struct Received<'a> {
    /// By which socket.
    pub socket: SocketId,
    /// From whom.
    pub peer: SocketAddr,
    /// The address it was sent to, where the socket was asked for it.
    pub local: Option<IpAddr>,
    /// TOS byte or traffic class.
    pub tos: u8,
    /// When.
    pub stamp: Stamp,
    /// Zero: `bytes` is one datagram. Else every `segment` bytes are one, the last may be shorter.
    pub segment: usize,
    /// It was longer than the receive buffer; `bytes` is only its beginning.
    pub truncated: bool,
    /// The payload. May be empty: an empty datagram is legal UDP.
    pub bytes: &'a [u8],
}

impl<'a> Received<'a> {
    /// Each datagram of the train, in the order in which they were received.
    pub fn datagrams(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        let step = if self.segment == 0 { self.bytes.len().max(1) } else { self.segment };
        let empty: Option<&'a [u8]> = if self.bytes.is_empty() { Some(&[]) } else { None };
        self.bytes.chunks(step).chain(empty)
    }
}

/// What a call of [`Driver::receive`] did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReceiveReport {
    /// Messages handed over (a train counts once).
    pub messages: u32,
    /// Receives that had ended and were armed again.
    pub rearmed: u32,
    /// There may be more to take at once.
    pub more: bool,
    /// Receives that ended in a fault of their socket or of their route (such as ECONNREFUSED) and took nothing.
    pub faults: u32,
}

/// A piece of the sender's memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    /// First byte.
    pub start: u32,
    /// Length.
    pub len: u32,
}

/// One send: a datagram, or a train of datagrams to one peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TxMessage {
    /// By which socket.
    pub socket: SocketId,
    /// To whom; `None` on a connected socket.
    pub to: Option<SocketAddr>,
    /// From which of our addresses, where the socket is bound to a wildcard.
    pub from: Option<IpAddr>,
    /// Zero: one datagram (its parts are joined). Else a train: its parts, joined, are cut into datagrams of this length, of
    /// which only the last may be shorter. No part but the last ends within a datagram.
    pub segment: u16,
    /// Its pieces, in [`TxBatch::parts`].
    pub parts: Range<u32>,
}

/// Sends that are handed to the driver together, in order.
#[derive(Debug, Default)]
pub struct TxBatch {
    /// The sends.
    pub messages: Vec<TxMessage>,
    /// The pieces of all of them.
    pub parts: Vec<Part>,
}

impl TxBatch {
    /// Forgets all sends; keeps the memory.
    pub fn clear(&mut self) {
        self.messages.clear();
        self.parts.clear();
    }
}

/// Why a send did not leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SendError {
    /// The socket's send buffer or the device's queue is full (EAGAIN, ENOBUFS).
    QueueFull,
    /// The kernel refused it: this errno.
    Refused(i32),
}

/// A send that did not leave, or not as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SendFailure {
    /// Its place in [`TxBatch::messages`].
    pub message: u32,
    /// Why.
    pub error: SendError,
    /// How many of its datagrams did leave: zero, unless it is a train that had to be sent one by one.
    pub departed: u32,
}

/// What a worker's event loop needs from the operating system. Each worker owns one.
pub trait Driver {
    /// Takes what has arrived, without waiting, at most about [`crate::base::limits::IO_BATCH_MAX`] messages.
    ///
    /// `room[s]` is how many messages socket `s` may hand over now; 0 leaves its datagrams in the kernel, and
    /// [`crate::base::limits::IO_BATCH_ROOM`] or more takes what there is. A socket with less is read sparingly: it hands over
    /// at most that many and does not end a [`Driver::wait`]. Sockets are
    /// served in their order, so the most urgent come first in the list. Those beyond the end of `room` are always read without
    /// restraint, behind the others, in the order in which they spoke: there may be thousands (upstreams), and nobody looks at
    /// each of them in every turn.
    ///
    /// # Errors
    /// Only when the driver as a whole can no longer work; the fault of one datagram or socket is dealt with inside.
    fn receive(
        &mut self,
        now: Instant,
        room: &[u32],
        sink: &mut impl FnMut(Received<'_>),
    ) -> io::Result<ReceiveReport>;

    /// Sends every message of `batch`, whose parts lie in `memory`. `memory` is not referred to after the return.
    /// Messages that did not leave are put into `failed`, in order.
    ///
    /// # Errors
    /// Only when the driver as a whole can no longer work.
    fn transmit(
        &mut self,
        memory: &[u8],
        batch: &TxBatch,
        failed: &mut Vec<SendFailure>,
    ) -> io::Result<()>;

    /// Sleeps until something may be received on a socket whose last `room` was not 0, or `timeout` is over.
    ///
    /// # Errors
    /// Only when the driver as a whole can no longer work.
    fn wait(&mut self, timeout: Nanos) -> io::Result<()>;

    /// Datagrams that the kernel has dropped at socket `socket` since it was opened.
    fn kernel_drops(&mut self, socket: SocketId) -> u64;
}
