//! The bare loop over io_uring: multishot receives into a ring of buffers, answers in place, one entry a turn.
//!
//! Single issuer and deferred task work, as the product's driver has it. A buffer is lent again after the entry that
//! sent from it.

use std::net::UdpSocket;
use std::os::fd::AsRawFd as _;
use std::sync::atomic::{AtomicU16, Ordering};

use io_uring::types::{BufRingEntry, Fixed};
use io_uring::{EnterFlags, IoUring, cqueue, opcode, squeue};

use super::echo::{BATCH, Grouping, Heads, NAME, PAYLOAD, segment_of};

/// As many as the product has for trains.
const BUFFERS: u16 = 64;
const CONTROL: usize = 160;
/// Four words, the name, the control messages.
const PAYLOAD_AT: usize = 16 + 32 + CONTROL;
const STRIDE: usize = PAYLOAD + 256 + 64;
const RECEIVE: u64 = 1;

/// One socket, one ring.
pub(crate) struct Ring {
    ring: IoUring,
    _socket: UdpSocket,
    entries: *mut BufRingEntry,
    memory: Vec<u8>,
    layout: Box<libc::msghdr>,
    tail: u16,
    lent_out: Vec<u16>,
    heads: Heads,
    grouping: Grouping,
    armed: bool,
}

impl Ring {
    pub(crate) fn new(socket: UdpSocket) -> Self {
        let ring = IoUring::builder()
            .setup_single_issuer()
            .setup_defer_taskrun()
            .setup_submit_all()
            .setup_cqsize(512)
            .build(256)
            .unwrap();
        ring.submitter().register_files(&[socket.as_raw_fd()]).unwrap();
        let len = usize::from(BUFFERS) * size_of::<BufRingEntry>();
        let pages = std::alloc::Layout::from_size_align(len, 4_096).unwrap();
        // SAFETY: not of size zero. Never freed: the bench ends soon after.
        let entries = unsafe { std::alloc::alloc_zeroed(pages) };
        // SAFETY: a page-aligned table of BUFFERS entries that is never freed.
        unsafe {
            ring.submitter().register_buf_ring_with_flags(entries.addr() as u64, BUFFERS, 0, 0)
        }
        .unwrap();
        entries.expose_provenance();
        let mut layout = Box::new(super::echo::empty_header().msg_hdr);
        layout.msg_namelen = 32;
        layout.msg_controllen = CONTROL;
        let mut bare = Self {
            ring,
            _socket: socket,
            entries: entries.cast(),
            memory: vec![0; usize::from(BUFFERS) * STRIDE],
            layout,
            tail: 0,
            lent_out: (0..BUFFERS).collect(),
            heads: Heads::new(),
            grouping: Grouping::default(),
            armed: false,
        };
        bare.memory.as_mut_ptr().expose_provenance();
        bare.lend();
        bare
    }

    /// Gives back every buffer that was sent from.
    fn lend(&mut self) {
        for id in self.lent_out.drain(..) {
            let place = usize::from(self.tail & (BUFFERS - 1));
            // SAFETY: below BUFFERS, and the kernel reads entries below the published tail only.
            let entry = unsafe { &mut *self.entries.add(place) };
            let at = self.memory[usize::from(id) * STRIDE..].as_ptr();
            entry.set_addr(at.addr() as u64);
            entry.set_len((PAYLOAD_AT + 65_536) as u32);
            entry.set_bid(id);
            self.tail = self.tail.wrapping_add(1);
        }
        // SAFETY: the start of the registered table.
        let tail = unsafe { BufRingEntry::tail(self.entries) };
        // SAFETY: aligned and inside the table; only accessed atomically.
        let tail = unsafe { AtomicU16::from_ptr(tail.cast_mut()) };
        tail.store(self.tail, Ordering::Release);
    }

    /// Sends the last batch's answers and takes what came meanwhile, in one entry; how many datagrams left. `want` is how
    /// many completions it waits for.
    pub(crate) fn turn(&mut self, want: u32) -> u64 {
        self.turn_with(want, |_| ())
    }

    /// A turn with some work on each message before it is answered.
    pub(crate) fn turn_with(&mut self, want: u32, mut work: impl FnMut(&mut [u8])) -> u64 {
        if !self.armed {
            self.armed = true;
            let entry = opcode::RecvMsgMulti::new(Fixed(0), &raw const *self.layout, 0)
                .build()
                .user_data(RECEIVE);
            // SAFETY: `layout` lives as long as the ring.
            unsafe { self.ring.submission().push(&entry) }.unwrap();
        }
        self.enter(want);
        self.lend();
        self.heads.clear();
        self.grouping.clear();
        let mut answered = 0;
        for completion in self.ring.completion() {
            assert_eq!(completion.user_data(), RECEIVE, "a send failed: {}", completion.result());
            self.armed &= cqueue::more(completion.flags());
            let (Some(id), Ok(written)) =
                (cqueue::buffer_select(completion.flags()), usize::try_from(completion.result()))
            else {
                continue;
            };
            self.lent_out.push(id);
            let buffer = &mut self.memory[usize::from(id) * STRIDE..][..written];
            let control_len = u32::from_ne_bytes(*buffer[4..].first_chunk().unwrap()) as usize;
            let (head, payload) = buffer.split_at_mut(PAYLOAD_AT);
            let segment = segment_of(&head[48..48 + control_len]);
            let (name, _) = head[16..].split_first_chunk_mut::<NAME>().unwrap();
            work(payload);
            let piece = (payload.as_mut_ptr(), payload.len());
            answered += self.grouping.add(&mut self.heads, name, piece, segment);
            if self.lent_out.len() == BATCH {
                break;
            }
        }
        for header in self.heads.finish() {
            let entry = opcode::SendMsg::new(Fixed(0), &raw const header.msg_hdr)
                .flags(libc::MSG_DONTWAIT as u32)
                .build()
                .flags(squeue::Flags::SKIP_SUCCESS)
                .user_data(0);
            // SAFETY: the headers and what they point to stay until the next entry has returned.
            unsafe { self.ring.submission().push(&entry) }.unwrap();
        }
        answered
    }

    /// Sends what the last turn has left.
    pub(crate) fn flush(&mut self) {
        if !self.ring.submission().is_empty() {
            self.enter(0);
            self.lend();
        }
    }

    fn enter(&mut self, want: u32) {
        let queued = self.ring.submission().len() as u32;
        let flags = EnterFlags::GETEVENTS.bits();
        // SAFETY: no argument; submissions point to memory that stays (see above).
        let taken =
            unsafe { self.ring.submitter().enter::<libc::sigset_t>(queued, want, flags, None) };
        assert_eq!(taken.unwrap_or(0), queued as usize, "the kernel takes all");
    }
}
