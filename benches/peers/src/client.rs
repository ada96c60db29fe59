//! The load of the echo contest: flows that send one window and take its answers in.

use std::io::{self, ErrorKind};
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::AsRawFd as _;
use std::time::{Duration, Instant};

use punctual::sys::socket::{UdpOptions, open_connected};

/// What is not answered when nothing came for this long was lost.
const PATIENCE: Duration = Duration::from_millis(60);
/// Payload bytes.
pub(crate) const LEN: usize = 64;

/// How a window is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shape {
    pub(crate) name: &'static str,
    /// Source ports.
    pub(crate) flows: usize,
    /// Datagrams of one send.
    pub(crate) burst: usize,
}

pub(crate) const SHAPES: [Shape; 3] = [
    Shape { name: "singly", flows: 64, burst: 1 },
    Shape { name: "bursts", flows: 16, burst: 4 },
    Shape { name: "trains", flows: 1, burst: 64 },
];

/// The flows towards one server.
pub(crate) struct Client {
    sockets: Vec<UdpSocket>,
    burst: usize,
    bytes: Vec<u8>,
    buffer: Vec<u8>,
}

impl Client {
    pub(crate) fn new(shape: Shape, to: SocketAddr) -> io::Result<Self> {
        let wish = UdpOptions {
            gro: shape.burst > 1,
            receive_buffer: Some(4 << 20),
            send_buffer: Some(4 << 20),
            ..UdpOptions::default()
        };
        let sockets = (0..shape.flows).map(|_| Ok(open_connected(to, &wish)?.socket));
        Ok(Self {
            sockets: sockets.collect::<io::Result<_>>()?,
            burst: shape.burst,
            bytes: vec![7; LEN * shape.burst],
            buffer: vec![0; 65_536],
        })
    }

    /// Sends one window, the flows in turn.
    pub(crate) fn send(&self, window: usize) -> io::Result<()> {
        let mut piece = libc::iovec {
            iov_base: self.bytes.as_ptr().cast_mut().cast(),
            iov_len: self.bytes.len(),
        };
        let kind = (libc::UDP_SEGMENT as u64) << 32 | libc::SOL_UDP as u64;
        let mut control = [18_u64, kind, LEN as u64];
        // SAFETY: a header of zeros is one that asks for nothing.
        let mut header: libc::msghdr = unsafe { std::mem::zeroed() };
        header.msg_iov = &raw mut piece;
        header.msg_iovlen = 1;
        if self.burst > 1 {
            header.msg_control = control.as_mut_ptr().cast();
            header.msg_controllen = 24;
        }
        for i in 0..window / self.burst {
            let socket = &self.sockets[i % self.sockets.len()];
            // SAFETY: the header points to locals and to bytes of this value.
            let sent = unsafe { libc::sendmsg(socket.as_raw_fd(), &raw const header, 0) };
            if sent < 0 {
                return Err(io::Error::last_os_error());
            }
        }
        Ok(())
    }

    /// Takes in all answers that are there; how many datagrams they are.
    pub(crate) fn drain(&mut self) -> io::Result<usize> {
        (0..self.sockets.len()).map(|i| self.drain_one(i)).sum()
    }

    /// Takes in the answers to a window until there are all, or no more come; how many datagrams they are. Only the flow
    /// that is answered last is looked at until then: whoever reads while the server sends takes its time.
    pub(crate) fn answers(&mut self, window: usize) -> io::Result<usize> {
        let sends = window / self.burst;
        let last = (sends - 1) % self.sockets.len();
        let due = sends.div_ceil(self.sockets.len()) * self.burst;
        let mut answered = self.wait(due, |client| client.drain_one(last))?;
        answered += self.wait(window - answered, Self::drain)?;
        Ok(answered)
    }

    fn wait(
        &mut self,
        due: usize,
        mut look: impl FnMut(&mut Self) -> io::Result<usize>,
    ) -> io::Result<usize> {
        let mut answered = 0;
        let mut progress = Instant::now();
        while answered < due && progress.elapsed() < PATIENCE {
            let new = look(self)?;
            answered += new;
            if new > 0 {
                progress = Instant::now();
            }
        }
        Ok(answered)
    }

    fn drain_one(&mut self, flow: usize) -> io::Result<usize> {
        let mut bytes = 0;
        loop {
            match self.sockets[flow].recv(&mut self.buffer) {
                Ok(len) => bytes += len,
                Err(e) if e.kind() == ErrorKind::WouldBlock => return Ok(bytes / LEN),
                Err(e) => return Err(e),
            }
        }
    }
}
