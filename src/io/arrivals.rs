//! From what the kernel wrote beside a message to a [`Received`]: the same for both drivers.
//!
//! Knows nothing of how the message was fetched.

use std::net::{Ipv4Addr, SocketAddr};

use super::driver::{Received, Stamp};
use crate::base::{Instant, SocketId};
use crate::sys::clock::ClockPair;
use crate::sys::message::{ReceivedControl, decode_address};
use crate::sys::stamp::StampMapper;

/// One message as the kernel left it.
#[derive(Clone, Copy, Debug)]
pub(super) struct RawMessage<'a> {
    pub(super) peer: &'a [u8],
    pub(super) control: &'a [u8],
    pub(super) bytes: &'a [u8],
    /// `MSG_TRUNC` was set.
    pub(super) truncated: bool,
}

/// The clock mapping of one driver and the last stamp of each of its sockets.
#[derive(Debug)]
pub(super) struct Arrivals {
    stamps: StampMapper,
    last: Box<[Instant]>,
    max_datagram: usize,
}

impl Arrivals {
    pub(super) fn new(sockets: usize, max_datagram: usize) -> Self {
        Self {
            stamps: StampMapper::new(ClockPair::read_tight()),
            last: vec![Instant::ZERO; sockets].into_boxed_slice(),
            max_datagram,
        }
    }

    /// Reads the clocks: after each fetching of messages, before the first of them is interpreted.
    #[inline]
    pub(super) fn refresh(&mut self) {
        self.stamps.refresh();
    }

    #[inline]
    pub(super) fn interpret<'a>(&mut self, socket: usize, raw: RawMessage<'a>) -> Received<'a> {
        let control = ReceivedControl::parse(raw.control);
        // Buffers for trains are larger than a datagram may be: what is too long is cut here, as in the small buffers.
        let too_long = control.segment == 0 && raw.bytes.len() > self.max_datagram;
        let len = if too_long { self.max_datagram } else { raw.bytes.len() };
        let none = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0));
        Received {
            socket: SocketId(u16::try_from(socket).unwrap_or(u16::MAX)),
            peer: decode_address(raw.peer).unwrap_or(none),
            local: control.local,
            tos: control.tos,
            stamp: self.stamp(socket, &control),
            segment: control.segment,
            truncated: raw.truncated || too_long,
            bytes: &raw.bytes[..len],
        }
    }

    /// Never before the last stamp of the same socket: the order of a flow is counted by it.
    fn stamp(&mut self, socket: usize, control: &ReceivedControl) -> Stamp {
        let last = &mut self.last[socket];
        let now = self.stamps.now();
        let stamp = match control.stamp {
            None => Stamp::Missing(now.max(*last)),
            Some(wall) => match self.stamps.map(wall) {
                Some(t) => Stamp::Kernel(t.max(*last)),
                None => Stamp::Anomaly(now.max(*last)),
            },
        };
        *last = stamp.instant();
        stamp
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::clock::wall_now;

    fn stamp_control(wall_ns: u64) -> Vec<u8> {
        let mut bytes = 32_usize.to_ne_bytes().to_vec();
        bytes.extend(libc::SOL_SOCKET.to_ne_bytes());
        bytes.extend(libc::SCM_TIMESTAMPNS.to_ne_bytes());
        bytes.extend((wall_ns / 1_000_000_000).to_ne_bytes());
        bytes.extend((wall_ns % 1_000_000_000).to_ne_bytes());
        bytes
    }

    fn raw<'a>(control: &'a [u8], bytes: &'a [u8]) -> RawMessage<'a> {
        RawMessage { peer: &[], control, bytes, truncated: false }
    }

    #[test]
    fn stamps_of_a_socket_never_run_backwards() {
        let mut a = Arrivals::new(2, 100);
        let wall = wall_now().as_nanos();
        a.refresh();
        let later = a.interpret(0, raw(&stamp_control(wall), b"")).stamp;
        let earlier = a.interpret(0, raw(&stamp_control(wall - 5_000_000), b"")).stamp;
        assert_eq!(earlier, later);
        let other = a.interpret(1, raw(&stamp_control(wall - 5_000_000), b"")).stamp;
        assert!(other.instant() < later.instant(), "another socket has its own order");
        let missing = a.interpret(1, raw(&[], b"")).stamp;
        assert!(matches!(missing, Stamp::Missing(t) if t >= later.instant()));
    }

    #[test]
    fn an_unbelievable_stamp_is_an_anomaly() {
        let mut a = Arrivals::new(1, 100);
        for wall in [0, 5_000_000_000, wall_now().as_nanos() * 2] {
            let got = a.interpret(0, raw(&stamp_control(wall), b"")).stamp;
            assert!(matches!(got, Stamp::Anomaly(_)), "{got:?}");
        }
    }

    #[test]
    fn a_datagram_that_is_too_long_is_cut_and_marked() {
        let mut a = Arrivals::new(1, 4);
        let got = a.interpret(0, raw(&[], b"abcd"));
        assert_eq!((got.bytes, got.truncated), (&b"abcd"[..], false));
        let got = a.interpret(0, raw(&[], b"abcde"));
        assert_eq!((got.bytes, got.truncated), (&b"abcd"[..], true));
    }
}
