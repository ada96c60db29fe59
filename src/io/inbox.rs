//! The memory that recvmmsg fills: headers, addresses, control messages and payloads of one batch, made once.
//!
//! Knows nothing of readiness.

#![expect(unsafe_code, reason = "recvmmsg works on raw message headers")]

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr;

use super::arrivals::RawMessage;
use crate::base::limits::IO_BATCH_MAX;
use crate::sys::message::{ADDRESS_LEN, RECEIVE_CONTROL_LEN, RawAddress, ReceiveControl};
use crate::sys::socklen;

/// Receive memory for [`IO_BATCH_MAX`] messages.
pub(super) struct Inbox {
    headers: Box<[libc::mmsghdr]>,
    iovecs: Box<[libc::iovec]>,
    addresses: Box<[RawAddress]>,
    controls: Box<[ReceiveControl]>,
    payloads: Box<[u8]>,
    stride: usize,
    /// What every iovec's length is at the moment.
    capacity: usize,
    /// The headers ask for the sender's address at the moment.
    named: bool,
}

// SAFETY: the raw pointers in `headers` and `iovecs` point only into the boxes of the same value, which move with it.
unsafe impl Send for Inbox {}

impl std::fmt::Debug for Inbox {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Inbox").field("stride", &self.stride).finish_non_exhaustive()
    }
}

impl Inbox {
    /// Room for payloads of up to `capacity_max` bytes each.
    pub(super) fn new(capacity_max: usize) -> Self {
        // An odd number of cache lines: power-of-two strides would put every payload's first line into the same cache sets.
        let stride = (capacity_max.div_ceil(64) | 1) * 64;
        let mut inbox = Self {
            headers: vec![empty_header(); IO_BATCH_MAX].into_boxed_slice(),
            iovecs: vec![empty_iovec(); IO_BATCH_MAX].into_boxed_slice(),
            addresses: vec![RawAddress::default(); IO_BATCH_MAX].into_boxed_slice(),
            controls: vec![ReceiveControl::default(); IO_BATCH_MAX].into_boxed_slice(),
            payloads: vec![0; IO_BATCH_MAX * stride].into_boxed_slice(),
            stride,
            capacity: capacity_max,
            named: true,
        };
        inbox.wire();
        inbox
    }

    /// Lets each header point to its own address, control, iovec and payload.
    fn wire(&mut self) {
        let payloads = self.payloads.chunks_exact_mut(self.stride);
        let parts = self.iovecs.iter_mut().zip(payloads);
        let names = self.addresses.iter_mut().zip(&mut self.controls);
        for ((header, (iovec, payload)), (address, control)) in
            self.headers.iter_mut().zip(parts).zip(names)
        {
            iovec.iov_base = payload.as_mut_ptr().cast();
            iovec.iov_len = self.capacity;
            let h = &mut header.msg_hdr;
            h.msg_name = address.as_mut_ptr().cast();
            h.msg_iov = iovec;
            h.msg_iovlen = 1;
            h.msg_control = control.as_mut_ptr().cast();
            restore(h);
        }
    }

    /// Fetches up to `count` messages of at most `capacity` bytes without waiting, and says how many came. Who sent them is
    /// told where it is not `known`, as it is on a connected socket: the kernel takes 60 ns to write it.
    ///
    /// # Errors
    /// The kernel's: `WouldBlock` when there is nothing.
    #[inline]
    pub(super) fn fetch(
        &mut self,
        socket: BorrowedFd<'_>,
        count: usize,
        capacity: usize,
        known: bool,
    ) -> io::Result<usize> {
        if self.named == known {
            self.name(!known);
        }
        let capacity = capacity.min(self.stride);
        if capacity != self.capacity {
            self.capacity = capacity;
            for iovec in &mut self.iovecs {
                iovec.iov_len = capacity;
            }
        }
        let headers = &mut self.headers[..count.min(IO_BATCH_MAX)];
        let len = libc::c_uint::try_from(headers.len()).unwrap_or(0);
        // SAFETY: `headers` holds `len` headers. Each points (see `wire`) to an address of ADDRESS_LEN bytes, a control buffer
        // of RECEIVE_CONTROL_LEN bytes and one iovec of `capacity` <= stride bytes, all of them boxes of this value that
        // nothing else refers to during the call. A null timeout is allowed.
        let rc = unsafe {
            libc::recvmmsg(
                socket.as_raw_fd(),
                headers.as_mut_ptr(),
                len,
                libc::MSG_DONTWAIT,
                ptr::null_mut(),
            )
        };
        usize::try_from(rc).map_err(|_negative| io::Error::last_os_error())
    }

    /// Lets the headers ask for addresses, or not.
    fn name(&mut self, named: bool) {
        self.named = named;
        for (header, address) in self.headers.iter_mut().zip(&mut self.addresses) {
            let h = &mut header.msg_hdr;
            h.msg_name = if named { address.as_mut_ptr().cast() } else { ptr::null_mut() };
            h.msg_namelen = if named { socklen::<RawAddress>() } else { 0 };
        }
    }

    /// Message `i` of the last fetch. Its header is made ready for the next fetch.
    #[inline]
    pub(super) fn take(&mut self, i: usize) -> RawMessage<'_> {
        let header = &mut self.headers[i];
        let len = usize::try_from(header.msg_len).unwrap_or(0).min(self.capacity);
        let h = &mut header.msg_hdr;
        let truncated = h.msg_flags & libc::MSG_TRUNC != 0;
        let peer = usize::try_from(h.msg_namelen).unwrap_or(0).min(ADDRESS_LEN);
        let control = h.msg_controllen.min(RECEIVE_CONTROL_LEN);
        restore(h);
        if !self.named {
            h.msg_namelen = 0;
        }
        RawMessage {
            peer: &self.addresses[i].bytes()[..peer],
            control: &self.controls[i].bytes()[..control],
            bytes: &self.payloads[i * self.stride..][..len],
            truncated,
        }
    }
}

/// Sets what the kernel overwrites with the lengths that it used.
#[inline]
fn restore(h: &mut libc::msghdr) {
    h.msg_namelen = socklen::<RawAddress>();
    h.msg_controllen = RECEIVE_CONTROL_LEN;
    h.msg_flags = 0;
}

/// A header that points nowhere.
pub(super) const fn empty_header() -> libc::mmsghdr {
    libc::mmsghdr {
        msg_hdr: libc::msghdr {
            msg_name: ptr::null_mut(),
            msg_namelen: 0,
            msg_iov: ptr::null_mut(),
            msg_iovlen: 0,
            msg_control: ptr::null_mut(),
            msg_controllen: 0,
            msg_flags: 0,
        },
        msg_len: 0,
    }
}

/// An iovec that points nowhere.
pub(super) const fn empty_iovec() -> libc::iovec {
    libc::iovec { iov_base: ptr::null_mut(), iov_len: 0 }
}
