//! The load: a few flows that send one window of datagrams and take the answers in, at the server's pace.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::AsRawFd as _;

use punctual::sys::socket::{UdpOptions, open_connected};

use super::echo::empty_header;

/// How the window is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shape {
    pub(crate) name: &'static str,
    /// Source ports.
    pub(crate) flows: usize,
    /// Datagrams of one send.
    pub(crate) burst: usize,
}

pub(crate) const SINGLY: Shape = Shape { name: "singly", flows: 64, burst: 1 };
pub(crate) const BURSTS: Shape = Shape { name: "bursts", flows: 16, burst: 4 };
pub(crate) const TRAINS: Shape = Shape { name: "trains", flows: 1, burst: 64 };

/// Datagrams outstanding.
pub(crate) const WINDOW: usize = 512;
pub(crate) const LEN: usize = 64;

/// The flows towards one server.
pub(crate) struct Client {
    sockets: Vec<UdpSocket>,
    burst: usize,
    bytes: Vec<u8>,
}

impl Client {
    pub(crate) fn new(shape: Shape, to: SocketAddr) -> Self {
        let wish = UdpOptions {
            gro: shape.burst > 1,
            receive_buffer: Some(8 << 20),
            send_buffer: Some(8 << 20),
            ..UdpOptions::default()
        };
        let sockets = (0..shape.flows).map(|_| open_connected(to, &wish).unwrap().socket).collect();
        Self { sockets, burst: shape.burst, bytes: vec![7; LEN * shape.burst] }
    }

    /// Sends one window, the flows in turn.
    pub(crate) fn send(&self) {
        let mut piece = libc::iovec {
            iov_base: self.bytes.as_ptr().cast_mut().cast(),
            iov_len: self.bytes.len(),
        };
        let kind = (libc::UDP_SEGMENT as u64) << 32 | libc::SOL_UDP as u64;
        let mut control = [18_u64, kind, LEN as u64];
        let mut header = empty_header().msg_hdr;
        header.msg_iov = &raw mut piece;
        header.msg_iovlen = 1;
        if self.burst > 1 {
            header.msg_control = control.as_mut_ptr().cast();
            header.msg_controllen = 24;
        }
        for i in 0..WINDOW / self.burst {
            let socket = &self.sockets[i % self.sockets.len()];
            // SAFETY: the header points to locals and to bytes of this value.
            let sent = unsafe { libc::sendmsg(socket.as_raw_fd(), &raw const header, 0) };
            assert!(sent >= 0, "sendmsg: {}", io::Error::last_os_error());
        }
    }

    /// Takes in all answers that are there; how many bytes they have.
    pub(crate) fn drain(&self) -> usize {
        let mut buffer = vec![0; 65_536];
        let mut bytes = 0;
        for socket in &self.sockets {
            while let Ok(len) = socket.recv(&mut buffer) {
                bytes += len;
            }
        }
        bytes
    }
}
