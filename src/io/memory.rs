//! A driver without an operating system: what arrives is put in by hand, what is sent is kept to be looked at.
//!
//! For tests of everything above the drivers, and for worlds that are simulated.

use std::collections::VecDeque;
use std::io;
use std::net::{IpAddr, SocketAddr};

use super::driver::{
    Driver, Part, ReceiveReport, Received, SendError, SendFailure, Stamp, TxBatch,
};
use super::outgoing::{datagrams_of, is_train, parts_of};
use crate::base::limits::{IO_BATCH_MAX, IO_BATCH_ROOM};
use crate::base::{Instant, Nanos, SocketId};

/// A datagram, or a train, that waits to be received.
#[derive(Clone, Debug)]
pub struct Incoming {
    /// At which socket.
    pub socket: SocketId,
    /// From whom.
    pub peer: SocketAddr,
    /// To which of our addresses.
    pub local: Option<IpAddr>,
    /// TOS byte.
    pub tos: u8,
    /// When the kernel received it.
    pub stamp: Stamp,
    /// As in [`Received`].
    pub segment: usize,
    /// As in [`Received`].
    pub truncated: bool,
    /// The payload.
    pub bytes: Vec<u8>,
}

impl Incoming {
    /// A plain datagram from a client on loopback.
    #[must_use]
    pub fn new(socket: u16, port: u16, at: Instant, bytes: Vec<u8>) -> Self {
        Self {
            socket: SocketId(socket),
            peer: SocketAddr::from(([127, 0, 0, 1], port)),
            local: None,
            tos: 0,
            stamp: Stamp::Kernel(at),
            segment: 0,
            truncated: false,
            bytes,
        }
    }
}

impl Incoming {
    /// As a driver hands it over.
    #[must_use]
    pub fn received(&self) -> Received<'_> {
        Received {
            socket: self.socket,
            peer: self.peer,
            local: self.local,
            tos: self.tos,
            stamp: self.stamp,
            segment: self.segment,
            truncated: self.truncated,
            bytes: &self.bytes,
        }
    }
}

/// A datagram that was sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sent {
    /// By which socket.
    pub socket: SocketId,
    /// To whom; `None`: the socket was connected.
    pub to: Option<SocketAddr>,
    /// The payload.
    pub bytes: Vec<u8>,
}

/// See the module. Each socket's waiting datagrams are bounded, as in a kernel.
#[derive(Debug)]
pub struct MemoryDriver {
    waiting: Vec<VecDeque<Incoming>>,
    dropped: Vec<u64>,
    capacity: usize,
    /// Everything that was sent, in order.
    pub sent: Vec<Sent>,
    /// Faults for the next messages, first first; `None`: that one leaves.
    pub faults: VecDeque<Option<SendError>>,
    /// Waits that were asked for.
    pub waits: u64,
}

impl MemoryDriver {
    /// With that many sockets, each of which holds at most `capacity` datagrams or trains.
    #[must_use]
    pub fn new(sockets: usize, capacity: usize) -> Self {
        Self {
            waiting: vec![VecDeque::new(); sockets],
            dropped: vec![0; sockets],
            capacity,
            sent: Vec::new(),
            faults: VecDeque::new(),
            waits: 0,
        }
    }

    /// Something arrives; a full socket drops it.
    pub fn arrive(&mut self, incoming: Incoming) {
        let at = incoming.socket.index();
        if self.waiting[at].len() < self.capacity {
            self.waiting[at].push_back(incoming);
        } else {
            self.dropped[at] += 1;
        }
    }

    /// How many datagrams or trains have not been received yet.
    #[must_use]
    pub fn pending(&self) -> usize {
        self.waiting.iter().map(VecDeque::len).sum()
    }
}

impl Driver for MemoryDriver {
    fn receive(
        &mut self,
        _now: Instant,
        room: &[u32],
        sink: &mut impl FnMut(Received<'_>),
    ) -> io::Result<ReceiveReport> {
        let mut report = ReceiveReport::default();
        let room = room.iter().copied().chain(std::iter::repeat(IO_BATCH_ROOM));
        for (queue, room) in self.waiting.iter_mut().zip(room) {
            let left = IO_BATCH_MAX.saturating_sub(report.messages as usize);
            for incoming in queue.drain(..queue.len().min(room as usize).min(left)) {
                report.messages += 1;
                sink(incoming.received());
            }
        }
        report.more = self.pending() > 0;
        Ok(report)
    }

    fn transmit(
        &mut self,
        memory: &[u8],
        batch: &TxBatch,
        failed: &mut Vec<SendFailure>,
    ) -> io::Result<()> {
        for (i, message) in (0..).zip(&batch.messages) {
            if let Some(error) = self.faults.pop_front().flatten() {
                failed.push(SendFailure { message: i, error, departed: 0 });
                continue;
            }
            let parts = parts_of(batch, message);
            let mut keep = |bytes: Vec<u8>| {
                self.sent.push(Sent { socket: message.socket, to: message.to, bytes });
            };
            let bytes_of =
                |part: &Part| memory[part.start as usize..][..part.len as usize].to_vec();
            if is_train(message, parts) {
                datagrams_of(parts, message.segment).for_each(|p| keep(bytes_of(&p)));
            } else {
                keep(parts.iter().flat_map(bytes_of).collect());
            }
        }
        Ok(())
    }

    fn wait(&mut self, _timeout: Nanos) -> io::Result<()> {
        self.waits += 1;
        Ok(())
    }

    fn kernel_drops(&mut self, socket: SocketId) -> u64 {
        self.dropped[socket.index()]
    }
}
