//! The bare loops: one connected socket, headers that are made once, sendmmsg until time is over.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::AsRawFd as _;
use std::ptr;

use punctual::base::{Clock as _, Nanos};
use punctual::sys::clock::MonotonicClock;
use punctual::sys::socket::{UdpOptions, open_connected};

use super::echo::empty_header;

/// Headers of one call, as the product has them.
const SINGLES: usize = 64;
const TRAINS: usize = 8;
const SEGMENTS: usize = 64;
pub(crate) const LEN: usize = 64;
/// Messages and bytes of one receive call.
const INTAKE: usize = 64;
const TRAIN_MAX: usize = 65_536;

/// A sender, and what it receives with.
pub(crate) struct Bare {
    socket: UdpSocket,
    _bytes: Vec<u8>,
    _pieces: Vec<libc::iovec>,
    _controls: Vec<[u64; 3]>,
    headers: Vec<libc::mmsghdr>,
    /// Datagrams of one header.
    segments: usize,
    _intake: Vec<u8>,
    _intake_pieces: Vec<libc::iovec>,
    intake_headers: Vec<libc::mmsghdr>,
}

impl Bare {
    pub(crate) fn new(to: SocketAddr, gso: bool) -> Self {
        let wish = UdpOptions {
            gro: true,
            receive_buffer: Some(4 << 20),
            send_buffer: Some(4 << 20),
            ..UdpOptions::default()
        };
        let socket = open_connected(to, &wish).unwrap().socket;
        let (count, segments) = if gso { (TRAINS, SEGMENTS) } else { (SINGLES, 1) };
        let mut bytes = vec![7_u8; count * segments * LEN];
        let pieces: Vec<libc::iovec> = bytes
            .chunks_mut(segments * LEN)
            .map(|b| libc::iovec { iov_base: b.as_mut_ptr().cast(), iov_len: b.len() })
            .collect();
        let kind = (libc::UDP_SEGMENT as u64) << 32 | libc::SOL_UDP as u64;
        let controls = vec![[18_u64, kind, LEN as u64]; count];
        let header = |i: usize| {
            let mut header = empty_header();
            header.msg_hdr.msg_iov = pieces.as_ptr().wrapping_add(i).cast_mut();
            header.msg_hdr.msg_iovlen = 1;
            if gso {
                header.msg_hdr.msg_control = controls[i].as_ptr().cast_mut().cast();
                header.msg_hdr.msg_controllen = 24;
            }
            header
        };
        let headers = (0..count).map(header).collect();
        let mut intake = vec![0_u8; INTAKE * TRAIN_MAX];
        let intake_pieces: Vec<libc::iovec> = intake
            .chunks_mut(TRAIN_MAX)
            .map(|b| libc::iovec { iov_base: b.as_mut_ptr().cast(), iov_len: b.len() })
            .collect();
        let intake_header = |i: usize| {
            let mut header = empty_header();
            header.msg_hdr.msg_iov = intake_pieces.as_ptr().wrapping_add(i).cast_mut();
            header.msg_hdr.msg_iovlen = 1;
            header
        };
        Self {
            socket,
            _bytes: bytes,
            _controls: controls,
            headers,
            segments,
            _intake: intake,
            intake_headers: (0..INTAKE).map(intake_header).collect(),
            _pieces: pieces,
            _intake_pieces: intake_pieces,
        }
    }

    /// Sends for so long; packets a second. Answers are taken in and dropped where `takes` says so, else left to overflow.
    pub(crate) fn run(&mut self, time: Nanos, takes: bool) -> f64 {
        let start = MonotonicClock.now();
        let mut sent = 0_u64;
        loop {
            sent += self.send() * self.segments as u64;
            if takes {
                self.take();
            }
            let elapsed = MonotonicClock.now().since(start);
            if elapsed >= time {
                return sent as f64 / elapsed.as_secs_f64();
            }
        }
    }

    fn send(&mut self) -> u64 {
        let (fd, count) = (self.socket.as_raw_fd(), self.headers.len() as u32);
        let flags = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
        // SAFETY: `count` headers, each made in `new` to point into vectors of this value, which nothing moves.
        let sent = unsafe { libc::sendmmsg(fd, self.headers.as_mut_ptr(), count, flags) };
        u64::try_from(sent).unwrap_or_else(|_| {
            let error = io::Error::last_os_error();
            assert_eq!(error.kind(), io::ErrorKind::WouldBlock, "sendmmsg: {error}");
            0
        })
    }

    /// Takes what has come, as long as a call is full.
    fn take(&mut self) {
        let fd = self.socket.as_raw_fd();
        loop {
            let headers = self.intake_headers.as_mut_ptr();
            let flags = libc::MSG_DONTWAIT;
            // SAFETY: INTAKE headers, each made in `new` to point into vectors of this value; a null timeout is allowed.
            let got = unsafe { libc::recvmmsg(fd, headers, INTAKE as u32, flags, ptr::null_mut()) };
            if got < INTAKE as i32 {
                return;
            }
        }
    }
}
