//! Receive buffers that are lent to the kernel through a ring, and taken back when a datagram lies in them.
//!
//! Knows nothing of sockets.

use std::alloc::{Layout, alloc_zeroed, dealloc};
use std::io;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU16, Ordering};

use io_uring::Submitter;
use io_uring::types::BufRingEntry;

const PAGE: usize = 4_096;

/// Zeroed memory at a fixed address, aligned to a page: the kernel keeps pointers into it.
#[derive(Debug)]
struct Pages {
    start: NonNull<u8>,
    layout: Layout,
}

// SAFETY: it owns its memory, as a box does; nothing about it is bound to a thread.
unsafe impl Send for Pages {}

impl Pages {
    fn new(len: usize) -> io::Result<Self> {
        let layout = Layout::from_size_align(len.max(1), PAGE).map_err(io::Error::other)?;
        // SAFETY: the layout's size is not zero.
        let start = unsafe { alloc_zeroed(layout) };
        let start = NonNull::new(start).ok_or(io::ErrorKind::OutOfMemory)?;
        Ok(Self { start, layout })
    }
}

impl Drop for Pages {
    fn drop(&mut self) {
        // SAFETY: allocated in `new` with this layout.
        unsafe { dealloc(self.start.as_ptr(), self.layout) }
    }
}

/// A provided-buffer ring and its buffers.
#[derive(Debug)]
pub(super) struct BufferRing {
    entries: Pages,
    payloads: Pages,
    count: u16,
    /// What the kernel may fill of each buffer.
    len: u32,
    stride: usize,
    tail: u16,
    /// How many are lent, as far as completions have told.
    lent: u16,
}

impl BufferRing {
    /// `count` buffers (a power of two) of `len` bytes.
    pub(super) fn new(count: u16, len: usize) -> io::Result<Self> {
        debug_assert!(count.is_power_of_two(), "the ring's index is masked");
        // An odd number of cache lines, so that the buffers' headers do not share the same few cache sets.
        let stride = (len.div_ceil(64) | 1) * 64;
        Ok(Self {
            entries: Pages::new(usize::from(count) * size_of::<BufRingEntry>())?,
            payloads: Pages::new(usize::from(count) * stride)?,
            count,
            len: u32::try_from(len).map_err(io::Error::other)?,
            stride,
            tail: 0,
            lent: 0,
        })
    }

    /// Registers the ring as buffer group `group` and lends all buffers.
    pub(super) fn register(&mut self, submitter: &Submitter<'_>, group: u16) -> io::Result<()> {
        let address = self.entries.start.as_ptr().addr() as u64;
        // The kernel learns an address, and writes through it.
        self.entries.start.as_ptr().expose_provenance();
        self.payloads.start.as_ptr().expose_provenance();
        // SAFETY: `entries` holds `count` entries on a page boundary; the driver drops its ring before this value.
        unsafe { submitter.register_buf_ring_with_flags(address, self.count, group, 0) }?;
        for id in 0..self.count {
            self.lend(id);
        }
        self.publish();
        Ok(())
    }

    pub(super) const fn count(&self) -> u16 {
        self.count
    }

    /// Whether the kernel has any buffer left to fill.
    pub(super) const fn any_lent(&self) -> bool {
        self.lent > 0
    }

    /// Notes that the kernel has filled a buffer: it is ours until it is lent again.
    pub(super) const fn taken(&mut self) {
        self.lent = self.lent.saturating_sub(1);
    }

    /// Lends buffer `id` to the kernel, which sees it after the next [`BufferRing::publish`].
    #[inline]
    pub(super) fn lend(&mut self, id: u16) {
        let index = self.tail & (self.count - 1);
        let entry = self.entries.start.cast::<BufRingEntry>();
        // SAFETY: the index is below `count`, and there are as many entries.
        let entry = unsafe { entry.add(usize::from(index)) };
        // SAFETY: inside the allocation; the kernel reads entries only below the published tail. The tail itself lies in a
        // part of entry 0 that the setters leave alone.
        let entry = unsafe { &mut *entry.as_ptr() };
        entry.set_addr(self.at(id).as_ptr().addr() as u64);
        entry.set_len(self.len);
        entry.set_bid(id);
        self.tail = self.tail.wrapping_add(1);
        self.lent += 1;
    }

    /// Lets the kernel see what was lent.
    #[inline]
    pub(super) fn publish(&self) {
        // SAFETY: the start of a registered ring of entries.
        let tail = unsafe { BufRingEntry::tail(self.entries.start.cast().as_ptr()) };
        // SAFETY: aligned, inside `entries`, and only ever accessed atomically, by us and by the kernel.
        let tail = unsafe { AtomicU16::from_ptr(tail.cast_mut()) };
        // Release: the entries must be written before the kernel may read them.
        tail.store(self.tail, Ordering::Release);
    }

    /// The first `len` bytes of buffer `id`.
    ///
    /// # Safety
    /// The buffer is ours: a completion has named it, and it has not been lent since.
    #[inline]
    pub(super) unsafe fn bytes(&self, id: u16, len: usize) -> &[u8] {
        let len = len.min(self.len as usize);
        // SAFETY: inside the allocation, initialised (zeroed at first), and not written by the kernel while it is ours.
        unsafe { std::slice::from_raw_parts(self.at(id).as_ptr(), len) }
    }

    fn at(&self, id: u16) -> NonNull<u8> {
        let offset = usize::from(id.min(self.count - 1)) * self.stride;
        // SAFETY: `count` buffers of `stride` bytes were allocated.
        unsafe { self.payloads.start.add(offset) }
    }
}
