//! The bare loop that an engineer would write by hand: recvmmsg, answers in place, sendmmsg.
//!
//! No queue, no deadline, no counters. Neighbours of one peer and size leave as one train.

use std::io;
use std::net::UdpSocket;
use std::os::fd::AsRawFd as _;
use std::ptr;

use super::echo::{BATCH, Grouping, Heads, NAME, PAYLOAD, segment_of};

/// Room for the stamp and the segment size, as the product has it.
const CONTROL: usize = 160;

/// One socket and the memory of one batch.
pub(crate) struct Mmsg {
    socket: UdpSocket,
    payloads: Vec<u8>,
    names: Vec<[u8; NAME]>,
    controls: Vec<[u64; CONTROL / 8]>,
    received: Vec<libc::mmsghdr>,
    pieces: Vec<libc::iovec>,
    heads: Heads,
    grouping: Grouping,
}

impl Mmsg {
    pub(crate) fn new(socket: UdpSocket) -> Self {
        let mut bare = Self {
            socket,
            payloads: vec![0; BATCH * PAYLOAD],
            names: vec![[0; NAME]; BATCH],
            controls: vec![[0; CONTROL / 8]; BATCH],
            received: Vec::with_capacity(BATCH),
            pieces: Vec::with_capacity(BATCH),
            heads: Heads::new(),
            grouping: Grouping::default(),
        };
        for i in 0..BATCH {
            let base = bare.payloads[i * PAYLOAD..].as_mut_ptr();
            bare.pieces.push(libc::iovec { iov_base: base.cast(), iov_len: PAYLOAD - 64 });
        }
        for i in 0..BATCH {
            let mut header = super::echo::empty_header();
            header.msg_hdr.msg_name = bare.names[i].as_mut_ptr().cast();
            header.msg_hdr.msg_control = bare.controls[i].as_mut_ptr().cast();
            header.msg_hdr.msg_iov = &raw mut bare.pieces[i];
            header.msg_hdr.msg_iovlen = 1;
            bare.received.push(header);
        }
        bare
    }

    /// Receives one batch and answers it; how many datagrams that were. `flags` tells whether it waits for the first.
    pub(crate) fn turn(&mut self, flags: i32) -> u64 {
        for header in &mut self.received {
            header.msg_hdr.msg_namelen = NAME as u32;
            header.msg_hdr.msg_controllen = CONTROL;
        }
        let fd = self.socket.as_raw_fd();
        let count = BATCH as u32;
        let headers = self.received.as_mut_ptr();
        // SAFETY: BATCH headers, each wired in `new` to its own memory, which no vector moves.
        let got = unsafe { libc::recvmmsg(fd, headers, count, flags, ptr::null_mut()) };
        let Ok(got) = usize::try_from(got) else { return 0 };
        self.heads.clear();
        self.grouping.clear();
        let mut answered = 0;
        for i in 0..got {
            let header = &self.received[i];
            let len = header.msg_len as usize;
            let control = self.controls[i].as_ptr().cast();
            // SAFETY: the kernel wrote that many bytes of this message's own control memory.
            let control =
                unsafe { std::slice::from_raw_parts(control, header.msg_hdr.msg_controllen) };
            let segment = segment_of(control);
            let start = self.payloads[i * PAYLOAD..].as_mut_ptr();
            answered +=
                self.grouping.add(&mut self.heads, &mut self.names[i], (start, len), segment);
        }
        self.send();
        answered
    }

    fn send(&mut self) {
        let mut at = 0;
        let headers = self.heads.finish();
        while at < headers.len() {
            let rest = &mut headers[at..];
            let count = u32::try_from(rest.len()).unwrap_or(0);
            let fd = self.socket.as_raw_fd();
            // SAFETY: each header points to memory of this value that stays until the call returns.
            let sent = unsafe { libc::sendmmsg(fd, rest.as_mut_ptr(), count, libc::MSG_DONTWAIT) };
            at += usize::try_from(sent)
                .unwrap_or_else(|_| panic!("sendmmsg: {}", io::Error::last_os_error()));
        }
    }
}
