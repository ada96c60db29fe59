//! What every test needs: sockets, a driver, and collecting what arrives.

use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::Duration;

use punctual::base::{Clock, Instant, Nanos, SocketId};
use punctual::io::{
    Driver, PollDriver, Received, SendFailure, SocketSpec, Stamp, TxBatch, TxMessage,
};
use punctual::sys::clock::MonotonicClock;
use punctual::sys::socket::{Opened, UdpOptions, open};

/// The longest datagram of most tests.
pub(crate) const MAX: usize = 2_048;
/// How long a test waits for what must come.
const PATIENCE: Nanos = Nanos::from_secs(5);

pub(crate) fn mio(_name: &str) -> Option<impl Fn(Vec<SocketSpec>) -> PollDriver> {
    Some(|sockets| PollDriver::new(sockets, MAX).unwrap())
}

/// Everything on, as an ingress on a wildcard address has it.
pub(crate) const FULL: UdpOptions = UdpOptions {
    reuse_port: false,
    wants_local: true,
    timestamps: true,
    tos: true,
    gro: false,
    receive_buffer: Some(4 << 20),
    send_buffer: Some(4 << 20),
};

pub(crate) fn spec(opened: Opened, options: &UdpOptions) -> SocketSpec {
    SocketSpec {
        socket: opened.socket,
        wants_local: options.wants_local,
        gro: opened.gro,
        gso: opened.gso,
    }
}

/// A socket for a driver, and where it is.
pub(crate) fn bound(address: &str, options: &UdpOptions) -> (SocketSpec, SocketAddr) {
    let opened = open(address.parse().unwrap(), options).unwrap();
    let at = opened.socket.local_addr().unwrap();
    (spec(opened, options), at)
}

/// A plain blocking socket of the outside world.
pub(crate) fn outside(address: &str) -> UdpSocket {
    let socket = UdpSocket::bind(address).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    socket
}

pub(crate) fn read(socket: &UdpSocket) -> (Vec<u8>, SocketAddr) {
    let mut buffer = vec![0; 65_536];
    let (len, from) = socket.recv_from(&mut buffer).unwrap();
    (buffer[..len].to_vec(), from)
}

/// A [`Received`] that owns its bytes.
#[derive(Clone, Debug)]
pub(crate) struct Taken {
    pub(crate) socket: usize,
    pub(crate) peer: SocketAddr,
    pub(crate) local: Option<IpAddr>,
    pub(crate) tos: u8,
    pub(crate) stamp: Stamp,
    pub(crate) segment: usize,
    pub(crate) truncated: bool,
    pub(crate) bytes: Vec<u8>,
    pub(crate) datagrams: Vec<Vec<u8>>,
}

impl From<Received<'_>> for Taken {
    fn from(r: Received<'_>) -> Self {
        Self {
            socket: r.socket.index(),
            peer: r.peer,
            local: r.local,
            tos: r.tos,
            stamp: r.stamp,
            segment: r.segment,
            truncated: r.truncated,
            bytes: r.bytes.to_vec(),
            datagrams: r.datagrams().map(<[u8]>::to_vec).collect(),
        }
    }
}

pub(crate) fn now() -> Instant {
    MonotonicClock.now()
}

/// One receive call.
pub(crate) fn once(driver: &mut impl Driver, room: &[u32]) -> Vec<Taken> {
    let mut taken = Vec::new();
    driver.receive(now(), room, &mut |r| taken.push(r.into())).unwrap();
    taken
}

/// Receives until `want` datagrams (trains counted by their segments) have come.
pub(crate) fn collect(driver: &mut impl Driver, room: &[u32], want: usize) -> Vec<Taken> {
    let until = now() + PATIENCE;
    let mut taken = Vec::new();
    let mut count = 0;
    while count < want {
        assert!(now() < until, "{count} of {want} datagrams came");
        driver.wait(Nanos::from_millis(20)).unwrap();
        let got = once(driver, room);
        count += got.iter().map(|t| t.datagrams.len()).sum::<usize>();
        taken.extend(got);
    }
    assert_eq!(count, want, "no more than was sent");
    taken
}

/// Receives for a while, in which nothing may come.
pub(crate) fn expect_silence(driver: &mut impl Driver, room: &[u32]) {
    for _ in 0..3 {
        driver.wait(Nanos::from_millis(2)).unwrap();
        let got = once(driver, room);
        assert!(got.is_empty(), "{got:?}");
    }
}

/// A batch that is built piece by piece.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    pub(crate) memory: Vec<u8>,
    pub(crate) tx: TxBatch,
}

impl Batch {
    pub(crate) fn one(to: SocketAddr, bytes: &[u8]) -> Self {
        let mut batch = Self::default();
        batch.add(Some(to), None, 0, &[bytes]);
        batch
    }

    pub(crate) fn add(
        &mut self,
        to: Option<SocketAddr>,
        from: Option<IpAddr>,
        segment: u16,
        pieces: &[&[u8]],
    ) -> &mut TxMessage {
        let first = u32::try_from(self.tx.parts.len()).unwrap();
        for piece in pieces {
            // A gap before each piece: parts are scattered in the sender's slab.
            self.memory.extend([0xee; 7]);
            let start = u32::try_from(self.memory.len()).unwrap();
            self.memory.extend_from_slice(piece);
            let len = u32::try_from(piece.len()).unwrap();
            self.tx.parts.push(punctual::io::Part { start, len });
        }
        let end = u32::try_from(self.tx.parts.len()).unwrap();
        let socket = SocketId(0);
        self.tx.messages.push(TxMessage { socket, to, from, segment, parts: first..end });
        self.tx.messages.last_mut().unwrap()
    }

    pub(crate) fn send(&self, driver: &mut impl Driver) -> Vec<SendFailure> {
        let mut failed = Vec::new();
        driver.transmit(&self.memory, &self.tx, &mut failed).unwrap();
        failed
    }

    pub(crate) fn send_all(&self, driver: &mut impl Driver) {
        assert_eq!(self.send(driver), []);
    }
}

/// Echoes `taken` to whoever sent it, from the address that was asked.
pub(crate) fn echo(driver: &mut impl Driver, taken: &[Taken]) {
    let mut batch = Batch::default();
    for t in taken {
        batch.add(Some(t.peer), t.local, 0, &[&t.bytes]);
    }
    batch.send_all(driver);
}

pub(crate) fn is_would_block(e: &io::Error) -> bool {
    e.kind() == io::ErrorKind::WouldBlock
}
