//! The plain loop: recvmmsg, the work, sendmmsg; each datagram is a message of its own.

use std::io;
use std::net::UdpSocket;
use std::os::fd::AsRawFd as _;
use std::ptr;

use super::DATAGRAM;
use super::work::Work;

const BATCH: usize = 64;
/// An IPv4 address is all that this loop meets.
const NAME: usize = 16;

struct Messages {
    _payloads: Vec<[u8; DATAGRAM]>,
    _names: Vec<[u8; NAME]>,
    pieces: Vec<libc::iovec>,
    headers: Vec<libc::mmsghdr>,
}

impl Messages {
    fn new() -> Self {
        let mut payloads = vec![[0; DATAGRAM]; BATCH];
        let mut names = vec![[0; NAME]; BATCH];
        let mut pieces: Vec<_> = payloads
            .iter_mut()
            .map(|p| libc::iovec { iov_base: p.as_mut_ptr().cast(), iov_len: DATAGRAM })
            .collect();
        let headers = names.iter_mut().zip(&mut pieces).map(|(name, piece)| {
            // SAFETY: a header of zeros is one that asks for nothing.
            let mut header: libc::mmsghdr = unsafe { std::mem::zeroed() };
            header.msg_hdr.msg_name = name.as_mut_ptr().cast();
            header.msg_hdr.msg_iov = piece;
            header.msg_hdr.msg_iovlen = 1;
            header
        });
        let headers = headers.collect();
        Self { _payloads: payloads, _names: names, pieces, headers }
    }

    /// Takes what is there, at most [`BATCH`]; waits for the first where `flags` say so.
    fn receive(&mut self, socket: &UdpSocket, flags: libc::c_int) -> usize {
        for (header, piece) in self.headers.iter_mut().zip(&mut self.pieces) {
            header.msg_hdr.msg_namelen = NAME as u32;
            piece.iov_len = DATAGRAM;
        }
        let (fd, headers) = (socket.as_raw_fd(), self.headers.as_mut_ptr());
        // SAFETY: BATCH headers, each wired to memory of this value that no vector moves.
        let got = unsafe { libc::recvmmsg(fd, headers, BATCH as u32, flags, ptr::null_mut()) };
        usize::try_from(got).unwrap_or(0)
    }

    /// The payload of message `i`, which is from now on as long as what was received.
    fn payload(&mut self, i: usize) -> &mut [u8] {
        let len = self.headers[i].msg_len as usize;
        self.pieces[i].iov_len = len;
        // SAFETY: the kernel wrote that many bytes there, and nobody else looks at them now.
        unsafe { std::slice::from_raw_parts_mut(self.pieces[i].iov_base.cast(), len) }
    }

    fn send(&mut self, socket: &UdpSocket, range: std::ops::Range<usize>) -> io::Result<()> {
        let mut rest = &mut self.headers[range];
        while !rest.is_empty() {
            let (fd, count) = (socket.as_raw_fd(), rest.len() as u32);
            // SAFETY: as above.
            let sent = unsafe { libc::sendmmsg(fd, rest.as_mut_ptr(), count, 0) };
            let sent = usize::try_from(sent).map_err(|_| io::Error::last_os_error())?;
            rest = &mut rest[sent..];
        }
        Ok(())
    }
}

pub(crate) fn serve(sockets: Vec<UdpSocket>, mut work: Work) -> anyhow::Result<()> {
    for socket in &sockets {
        socket.set_nonblocking(false)?;
    }
    let mut messages = Messages::new();
    let mut polled: Vec<_> = sockets
        .iter()
        .map(|s| libc::pollfd { fd: s.as_raw_fd(), events: libc::POLLIN, revents: 0 })
        .collect();
    // One socket: the receive itself waits for the first datagram.
    let alone = sockets.len() == 1;
    let flags = if alone { libc::MSG_WAITFORONE } else { libc::MSG_DONTWAIT };
    loop {
        if !alone {
            // SAFETY: as many entries as the vector has.
            unsafe { libc::poll(polled.as_mut_ptr(), polled.len() as u64, -1) };
        }
        for socket in &sockets {
            let got = messages.receive(socket, flags);
            if !work.is_some() {
                (0..got).for_each(|i| _ = messages.payload(i));
                messages.send(socket, 0..got)?;
                continue;
            }
            // Work takes longer than a send: no answer waits for the work of the others.
            for i in 0..got {
                work.run(messages.payload(i));
                messages.send(socket, i..i + 1)?;
            }
        }
    }
}
