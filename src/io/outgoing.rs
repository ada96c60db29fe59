//! The memory that sends are described in, and the slow path for trains that a device refuses.
//!
//! Knows nothing of which call sends the headers: sendmmsg or the ring.

#![expect(unsafe_code, reason = "sendmmsg works on raw message headers")]

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr;

use super::driver::{Part, SendError, SendFailure, TxBatch, TxMessage};
use super::inbox::{empty_header, empty_iovec};
use crate::base::limits::{GSO_SEGMENTS_MAX, IO_BATCH_MAX};
use crate::sys::message::{RawAddress, SendControl};

/// Iovecs of one batch of headers. A message may have as many pieces as the kernel takes (`UIO_MAXIOV`, 1,024).
const IOVECS: usize = 1_024;
const _: () = assert!(IOVECS >= GSO_SEGMENTS_MAX, "the longest train fits an empty batch");

/// Headers for up to [`IO_BATCH_MAX`] sends, filled and sent in turns.
pub(super) struct Outgoing {
    headers: Box<[libc::mmsghdr]>,
    iovecs: Box<[libc::iovec]>,
    addresses: Box<[RawAddress]>,
    controls: Box<[SendControl]>,
    /// The message that each header came from.
    owners: Box<[Owner]>,
    /// Where its iovecs begin.
    first_iovec: Box<[usize]>,
    filled: usize,
    iovecs_used: usize,
}

// SAFETY: pointers into the sender's memory are only followed inside `send`, whose caller promises that they are valid;
// all others point into the boxes of the same value, which move with it.
unsafe impl Send for Outgoing {}

impl std::fmt::Debug for Outgoing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Outgoing").field("filled", &self.filled).finish_non_exhaustive()
    }
}

/// A send in its simplest form. The address is null on a connected socket.
#[derive(Clone, Copy, Debug)]
pub(super) struct Plain {
    pub(super) bytes: *const u8,
    pub(super) len: u32,
    pub(super) address: *const libc::sockaddr,
    pub(super) address_len: libc::socklen_t,
}

/// Whose header it is.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Owner {
    /// Its place in the batch.
    pub(super) message: u32,
    /// Over how many headers a train was spread that must be sent singly; zero when one header is the whole message.
    pub(super) singles: u32,
}

/// One call of `transmit`.
#[derive(Debug)]
pub(super) struct Sending<'a> {
    pub(super) memory: &'a [u8],
    pub(super) batch: &'a TxBatch,
    failed: &'a mut Vec<SendFailure>,
    /// Where this call's failures begin.
    since: usize,
}

impl<'a> Sending<'a> {
    pub(super) const fn new(
        memory: &'a [u8],
        batch: &'a TxBatch,
        failed: &'a mut Vec<SendFailure>,
    ) -> Self {
        let since = failed.len();
        Self { memory, batch, failed, since }
    }

    pub(super) fn message(&self, owner: Owner) -> &'a TxMessage {
        &self.batch.messages[owner.message as usize]
    }

    /// Notes that one header failed.
    pub(super) fn record(&mut self, owner: Owner, error: SendError) {
        let message = owner.message;
        match self.failed[self.since..].last_mut() {
            Some(last) if last.message == message => {
                last.departed = last.departed.saturating_sub(1);
            }
            _ => {
                let departed = owner.singles.saturating_sub(1);
                self.failed.push(SendFailure { message, error, departed });
            }
        }
    }

    /// Deals with a header that the kernel refused: a train that may yet leave as single datagrams is sent so, once.
    /// Says whether the socket can send no trains.
    #[cold]
    pub(super) fn on_refusal(&mut self, socket: BorrowedFd<'_>, owner: Owner, errno: i32) -> bool {
        let message = self.message(owner);
        let parts = parts_of(self.batch, message);
        if owner.singles > 0 || !is_train(message, parts) || !refused_as_train(errno) {
            self.record(owner, error_of(errno));
            return false;
        }
        let (departed, error) = send_singly(socket, self.memory, message, parts);
        if let Some(error) = error {
            self.failed.push(SendFailure { message: owner.message, error, departed });
        }
        departed > 0 && ends_trains(errno, message.segment)
    }

    /// Puts this call's failures into the order of the batch.
    pub(super) fn finish(self) {
        self.failed[self.since..].sort_unstable_by_key(|f| f.message);
    }
}

impl Outgoing {
    pub(super) fn new() -> Self {
        Self {
            headers: vec![empty_header(); IO_BATCH_MAX].into_boxed_slice(),
            iovecs: vec![empty_iovec(); IOVECS].into_boxed_slice(),
            addresses: vec![RawAddress::default(); IO_BATCH_MAX].into_boxed_slice(),
            controls: vec![SendControl::default(); IO_BATCH_MAX].into_boxed_slice(),
            owners: vec![Owner::default(); IO_BATCH_MAX].into_boxed_slice(),
            first_iovec: vec![0; IO_BATCH_MAX].into_boxed_slice(),
            filled: 0,
            iovecs_used: 0,
        }
    }

    pub(super) const fn clear(&mut self) {
        self.filled = 0;
        self.iovecs_used = 0;
    }

    pub(super) const fn filled(&self) -> usize {
        self.filled
    }

    /// Whether a frame of so many pieces can still be taken in.
    pub(super) const fn has_room(&self, parts: usize) -> bool {
        self.filled < IO_BATCH_MAX && parts <= IOVECS - self.iovecs_used
    }

    /// Whether the kernel takes a frame of so many pieces at all.
    pub(super) const fn fits_alone(parts: usize) -> bool {
        parts <= IOVECS
    }

    /// The message behind header `i`.
    pub(super) fn owner(&self, i: usize) -> Owner {
        self.owners[i]
    }

    /// Header `i` as one piece of memory and an address, when it has no control messages and no more pieces.
    pub(super) fn plain(&self, i: usize) -> Option<Plain> {
        let h = &self.headers[i].msg_hdr;
        if h.msg_controllen != 0 || h.msg_iovlen != 1 {
            return None;
        }
        let iovec = self.iovecs.get(self.first_iovec[i])?;
        let len = u32::try_from(iovec.iov_len).ok()?;
        let bytes = iovec.iov_base.cast_const().cast();
        let address = h.msg_name.cast_const().cast();
        Some(Plain { bytes, len, address, address_len: h.msg_namelen })
    }

    /// Header `i`, for the ring. It stays where it is until the next `push` after a `clear`.
    pub(super) fn header(&self, i: usize) -> *const libc::msghdr {
        &raw const self.headers[i].msg_hdr
    }

    /// Describes one more send: these pieces of the owner's message, as a train when `segment` is not zero. There must be
    /// room.
    ///
    /// # Panics
    /// When a piece lies outside the sender's memory: the sender's fault.
    #[inline]
    pub(super) fn push(
        &mut self,
        sending: &Sending<'_>,
        owner: Owner,
        parts: &[Part],
        segment: u16,
    ) {
        let message = sending.message(owner);
        let i = self.filled;
        let iovecs = &mut self.iovecs[self.iovecs_used..][..parts.len()];
        // Pieces that lie one behind the other are one to the kernel, which walks each.
        let mut used = 0;
        let mut rest = parts;
        while let Some((first, after)) = rest.split_first() {
            let mut whole = *first;
            rest = after;
            while let Some((next, after)) = rest.split_first()
                && next.start == whole.start + whole.len
            {
                whole.len += next.len;
                rest = after;
            }
            let piece = piece(sending.memory, whole);
            // The kernel only reads what a send points to.
            iovecs[used].iov_base = piece.as_ptr().cast_mut().cast();
            iovecs[used].iov_len = piece.len();
            used += 1;
        }
        let control = &mut self.controls[i];
        let control_len = control.set(message.from, segment);
        let h = &mut self.headers[i].msg_hdr;
        h.msg_iov = iovecs.as_mut_ptr();
        h.msg_iovlen = used;
        name(h, &mut self.addresses[i], message.to);
        h.msg_control = control.as_mut_ptr().cast();
        h.msg_controllen = control_len;
        self.owners[i] = owner;
        self.first_iovec[i] = self.iovecs_used;
        self.filled += 1;
        self.iovecs_used += used;
    }

    /// Sends headers `from..` by one sendmmsg and says how many the kernel took.
    ///
    /// # Errors
    /// That of header `from`, of which nothing was sent.
    ///
    /// # Safety
    /// The memory that was given to each `push` since the last `clear` is still there.
    #[inline]
    pub(super) unsafe fn send(&mut self, socket: BorrowedFd<'_>, from: usize) -> io::Result<usize> {
        let headers = &mut self.headers[from..self.filled];
        let len = libc::c_uint::try_from(headers.len()).unwrap_or(0);
        // SAFETY: `headers` holds `len` headers; each points into the boxes of this value and, through its iovecs, into memory
        // that the caller promises to be there.
        let rc = unsafe {
            libc::sendmmsg(
                socket.as_raw_fd(),
                headers.as_mut_ptr(),
                len,
                libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL,
            )
        };
        usize::try_from(rc).map_err(|_negative| io::Error::last_os_error())
    }
}

fn piece(memory: &[u8], part: Part) -> &[u8] {
    &memory[part.start as usize..][..part.len as usize]
}

fn name(h: &mut libc::msghdr, raw: &mut RawAddress, to: Option<SocketAddr>) {
    match to {
        Some(to) => {
            h.msg_namelen = raw.set(to);
            h.msg_name = raw.as_mut_ptr().cast();
        }
        None => {
            h.msg_namelen = 0;
            h.msg_name = ptr::null_mut();
        }
    }
}

/// The pieces of a message.
pub(super) fn parts_of<'a>(batch: &'a TxBatch, message: &TxMessage) -> &'a [Part] {
    &batch.parts[message.parts.start as usize..message.parts.end as usize]
}

/// Whether a message is to go as a train: more than one datagram in it.
pub(super) fn is_train(message: &TxMessage, parts: &[Part]) -> bool {
    message.segment != 0
        && (parts.len() > 1 || parts.first().is_some_and(|p| p.len > u32::from(message.segment)))
}

/// The datagrams of a train, each as a piece of memory of its own.
pub(super) fn datagrams_of(parts: &[Part], segment: u16) -> impl Iterator<Item = Part> {
    let segment = u32::from(segment.max(1));
    parts.iter().flat_map(move |part| {
        let end = part.start + part.len;
        (part.start..end.max(part.start + 1))
            .step_by(segment as usize)
            .map(move |start| Part { start, len: segment.min(end - start) })
    })
}

/// Sends the datagrams of a train one by one. Says how many left, and the first error.
fn send_singly(
    socket: BorrowedFd<'_>,
    memory: &[u8],
    message: &TxMessage,
    parts: &[Part],
) -> (u32, Option<SendError>) {
    let mut departed = 0;
    let mut first = None;
    for part in datagrams_of(parts, message.segment) {
        match send_one(socket, piece(memory, part), message.to, message.from) {
            Ok(()) => departed += 1,
            Err(e) => first = first.or_else(|| Some(error_of(errno_of(&e)))),
        }
    }
    (departed, first)
}

fn send_one(
    socket: BorrowedFd<'_>,
    bytes: &[u8],
    to: Option<SocketAddr>,
    from: Option<IpAddr>,
) -> io::Result<()> {
    let mut address = RawAddress::default();
    let mut control = SendControl::default();
    let mut iovec =
        libc::iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: bytes.len() };
    let mut h = empty_header().msg_hdr;
    h.msg_iov = &raw mut iovec;
    h.msg_iovlen = 1;
    name(&mut h, &mut address, to);
    h.msg_controllen = control.set(from, 0);
    h.msg_control = control.as_mut_ptr().cast();
    let flags = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
    loop {
        // SAFETY: everything that `h` points to is a local or a borrowed slice that outlives the call.
        if unsafe { libc::sendmsg(socket.as_raw_fd(), &raw const h, flags) } >= 0 {
            return Ok(());
        }
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
}

/// Whether the same datagrams may yet leave one by one: the device cannot segment (EIO), or the train does not fit the
/// route (EINVAL, EMSGSIZE).
fn refused_as_train(errno: i32) -> bool {
    matches!(errno, libc::EIO | libc::EINVAL | libc::EMSGSIZE)
}

/// Segments up to here fit every route that IPv6 may take, so that a refusal speaks of the socket, not of one peer's path.
const SEGMENT_FITS_ANY_ROUTE: u16 = 1_232;

/// Whether a train that was refused with `errno`, but whose datagrams left one by one, tells that this socket can send no
/// trains at all. A train of longer segments may only have met a short MTU: one peer must not be able to switch
/// coalescing off for all.
fn ends_trains(errno: i32, segment: u16) -> bool {
    errno == libc::EIO || segment <= SEGMENT_FITS_ANY_ROUTE
}

/// The errno of a system call that failed.
pub(super) fn errno_of(error: &io::Error) -> i32 {
    error.raw_os_error().unwrap_or(libc::EIO)
}

/// The cause of an errno.
pub(super) fn error_of(errno: i32) -> SendError {
    match errno {
        libc::EAGAIN | libc::ENOBUFS => SendError::QueueFull,
        other => SendError::Refused(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn full_queues_are_told_from_refusals() {
        assert_eq!(error_of(libc::EAGAIN), SendError::QueueFull);
        assert_eq!(error_of(libc::ENOBUFS), SendError::QueueFull);
        assert_eq!(error_of(libc::EPERM), SendError::Refused(libc::EPERM));
    }

    #[test]
    fn only_a_fault_of_the_device_or_of_short_segments_ends_trains() {
        assert!(ends_trains(libc::EIO, 1_400) && ends_trains(libc::EINVAL, 1_200));
        assert!(!ends_trains(libc::EINVAL, 1_400) && !ends_trains(libc::EMSGSIZE, 9_000));
        assert!(!refused_as_train(libc::EAGAIN) && !refused_as_train(libc::ECONNREFUSED));
    }

    #[test]
    fn failures_of_one_train_sent_singly_are_one_entry() {
        let batch = TxBatch::default();
        let earlier = SendFailure { message: 3, error: SendError::QueueFull, departed: 0 };
        let mut failed = vec![earlier];
        let mut sending = Sending::new(&[], &batch, &mut failed);
        sending.record(Owner { message: 4, singles: 0 }, SendError::Refused(2));
        sending.record(Owner { message: 3, singles: 5 }, SendError::QueueFull);
        sending.record(Owner { message: 3, singles: 5 }, SendError::Refused(1));
        sending.finish();
        assert_eq!(
            failed,
            [
                earlier,
                SendFailure { message: 3, error: SendError::QueueFull, departed: 3 },
                SendFailure { message: 4, error: SendError::Refused(2), departed: 0 },
            ]
        );
    }
}
