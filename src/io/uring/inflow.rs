//! The receive side of the ring: which sockets listen, what has arrived and waits to be handed over.
//!
//! Knows the completions' meaning, but enters no kernel itself.

use std::collections::VecDeque;
use std::net::UdpSocket;

use io_uring::cqueue;

use super::super::arrivals::RawMessage;
use super::buffers::BufferRing;
use crate::sys::meminfo::DropCounter;
use crate::sys::message::{ADDRESS_LEN, RECEIVE_CONTROL_LEN};

/// What the kernel writes before the payload: four words, the peer's address, the control messages.
const WORDS: usize = 16;
/// Where the payload begins.
pub(super) const PAYLOAD_AT: usize = WORDS + ADDRESS_LEN + RECEIVE_CONTROL_LEN;

const NONE: u16 = u16::MAX;

/// What a socket's multishot receive is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Listening {
    /// Nothing: not armed, or ended.
    No,
    /// Armed: each datagram gives a completion.
    Yes,
    /// A cancel is under way; the last completion has not come yet.
    Ending,
}

#[derive(Debug)]
pub(super) struct Port {
    pub(super) socket: UdpSocket,
    pub(super) gso: bool,
    pub(super) listening: Listening,
    /// Its last `room` was not zero.
    pub(super) open: bool,
    /// Its receive ended without being cancelled.
    pub(super) ended: bool,
    pub(super) drops: DropCounter,
    first: u16,
    last: u16,
}

/// The receive side of all sockets.
#[derive(Debug)]
pub(super) struct Inflow {
    pub(super) ports: Box<[Port]>,
    pub(super) buffers: BufferRing,
    /// For each buffer that waits to be handed over: the next one of its socket, and how much was written.
    next: Box<[u16]>,
    written: Box<[u32]>,
    waiting: usize,
    /// So many sockets, from the first on, have a `room` of their own. The others are known by these lists alone:
    ruled: usize,
    /// those whose receive is not armed,
    quiet: Vec<u16>,
    /// and those that have something waiting, in the order in which they got it.
    spoke: VecDeque<u16>,
    /// Faults that were told since the last report.
    pub(super) faults: u32,
}

impl Inflow {
    pub(super) fn new(sockets: Vec<(UdpSocket, bool)>, buffers: BufferRing) -> Self {
        let port = |(socket, gso)| Port {
            socket,
            gso,
            listening: Listening::No,
            open: true,
            ended: false,
            drops: DropCounter::default(),
            first: NONE,
            last: NONE,
        };
        let count = usize::from(buffers.count());
        let ports: Box<[Port]> = sockets.into_iter().map(port).collect();
        Self {
            ruled: ports.len(),
            quiet: Vec::with_capacity(ports.len()),
            spoke: VecDeque::with_capacity(ports.len()),
            ports,
            next: vec![NONE; count].into_boxed_slice(),
            written: vec![0; count].into_boxed_slice(),
            buffers,
            waiting: 0,
            faults: 0,
        }
    }

    /// How many sockets have a `room` of their own.
    pub(super) const fn ruled(&self) -> usize {
        self.ruled
    }

    /// So many have from now on.
    #[inline]
    pub(super) fn rule(&mut self, count: usize) {
        let count = count.min(self.ports.len());
        if count != self.ruled {
            self.rule_anew(count);
        }
    }

    #[cold]
    fn rule_anew(&mut self, count: usize) {
        self.ruled = count;
        self.quiet.clear();
        self.spoke.clear();
        // Who is read without restraint first is armed first.
        for s in (count..self.ports.len()).rev() {
            let port = &mut self.ports[s];
            port.open = true;
            let id = u16::try_from(s).unwrap_or(NONE);
            if port.listening == Listening::No {
                self.quiet.push(id);
            }
            if port.first != NONE {
                self.spoke.push_front(id);
            }
        }
    }

    /// How many receives without a `room` are not armed.
    pub(super) fn quiet(&self) -> usize {
        self.quiet.len()
    }

    /// One of them, which the caller arms.
    pub(super) fn next_quiet(&mut self) -> Option<usize> {
        self.quiet.pop().map(usize::from)
    }

    /// The socket without a `room` that has waited longest.
    #[inline]
    pub(super) fn next_spoke(&self) -> Option<usize> {
        self.spoke.front().copied().map(usize::from)
    }

    /// How many messages wait to be handed over.
    pub(super) const fn waiting(&self) -> usize {
        self.waiting
    }

    /// Takes in a completion of socket `s`'s receive.
    #[inline]
    pub(super) fn on_completion(&mut self, s: usize, result: i32, flags: u32) {
        if !cqueue::more(flags) {
            // Whatever the result: an empty datagram, no buffer, an ICMP error, a full queue, a cancel.
            let port = &mut self.ports[s];
            port.ended = port.listening == Listening::Yes;
            port.listening = Listening::No;
            if s >= self.ruled {
                self.quiet.push(u16::try_from(s).unwrap_or(NONE));
            }
        }
        let buffer = cqueue::buffer_select(flags);
        if buffer.is_some() {
            self.buffers.taken();
        }
        match (u32::try_from(result), buffer) {
            (Ok(written), Some(id)) => self.keep(s, id, written),
            (Ok(_), None) => {}
            (Err(_), buffer) => {
                if let Some(id) = buffer {
                    self.buffers.lend(id);
                }
                if !matches!(-result, libc::ENOBUFS | libc::ECANCELED | libc::EAGAIN) {
                    self.faults += 1;
                }
            }
        }
    }

    fn keep(&mut self, s: usize, id: u16, written: u32) {
        let at = usize::from(id);
        self.written[at] = written;
        self.next[at] = NONE;
        let port = &mut self.ports[s];
        if port.first == NONE {
            port.first = id;
            if s >= self.ruled {
                self.spoke.push_back(u16::try_from(s).unwrap_or(NONE));
            }
        } else {
            self.next[usize::from(port.last)] = id;
        }
        port.last = id;
        self.waiting += 1;
    }

    /// The oldest buffer that waits for socket `s`.
    #[inline]
    pub(super) fn pop(&mut self, s: usize) -> Option<Filled> {
        let port = &mut self.ports[s];
        if port.first == NONE {
            return None;
        }
        let id = port.first;
        port.first = self.next[usize::from(id)];
        self.waiting -= 1;
        if port.first == NONE && s >= self.ruled {
            // It is the first of those: they are emptied one after another.
            self.spoke.pop_front();
        }
        Some(Filled { id, written: self.written[usize::from(id)] as usize })
    }

    /// The message in a buffer.
    #[inline]
    pub(super) fn message(&self, filled: &Filled) -> RawMessage<'_> {
        // SAFETY: a `Filled` exists only between the completion that named its buffer and `give_back`.
        let bytes = unsafe { self.buffers.bytes(filled.id, filled.written) };
        parse(bytes)
    }

    /// Lends a buffer to the kernel again; it sees it after the next publishing.
    #[inline]
    #[expect(clippy::needless_pass_by_value, reason = "the buffer is no longer ours to read")]
    pub(super) fn give_back(&mut self, filled: Filled) {
        self.buffers.lend(filled.id);
    }
}

/// A buffer that the kernel has filled and that is ours. Not `Copy`: it is given back once.
#[derive(Debug)]
pub(super) struct Filled {
    id: u16,
    written: usize,
}

/// Takes apart what a multishot recvmsg has written.
#[inline]
fn parse(bytes: &[u8]) -> RawMessage<'_> {
    let word = |i: usize| {
        bytes.get(i * 4..).and_then(|b| b.first_chunk()).map_or(0, |b| u32::from_ne_bytes(*b))
    };
    let piece = |at: usize, len: usize| {
        let end = (at + len).min(bytes.len());
        bytes.get(at..end).unwrap_or(&[])
    };
    let truncated = word(3) & libc::MSG_TRUNC.cast_unsigned() != 0;
    RawMessage {
        peer: piece(WORDS, (word(0) as usize).min(ADDRESS_LEN)),
        control: piece(WORDS + ADDRESS_LEN, (word(1) as usize).min(RECEIVE_CONTROL_LEN)),
        bytes: piece(PAYLOAD_AT, word(2) as usize),
        truncated,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_written_buffer_is_taken_apart() {
        let mut bytes = Vec::new();
        for word in [16_u32, 24, 3, libc::MSG_TRUNC.cast_unsigned()] {
            bytes.extend(word.to_ne_bytes());
        }
        bytes.resize(PAYLOAD_AT, 7);
        bytes.extend(b"abc");
        let got = parse(&bytes);
        assert_eq!((got.peer, got.control), (&[7; 16][..], &[7; 24][..]));
        assert_eq!((got.bytes, got.truncated), (&b"abc"[..], true));
        // The kernel may name the true length of a datagram that was cut.
        bytes[8] = 200;
        assert_eq!(parse(&bytes).bytes, b"abc");
        bytes.truncate(PAYLOAD_AT);
        assert!(parse(&bytes).bytes.is_empty());
    }

    proptest! {
        #[test]
        fn taking_apart_is_total(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = parse(&bytes);
        }
    }
}
