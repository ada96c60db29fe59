//! The io_uring driver: multishot receives into lent buffers, sends in batches, one entry into the kernel for both.
//!
//! The kernel touches our memory only inside our own entries (deferred task work): no other thread runs for the ring.

#![expect(unsafe_code, reason = "the ring works on raw memory and raw message headers")]

mod buffers;
mod inflow;
#[cfg(test)]
mod tests;

use std::fmt;
use std::io;
use std::os::fd::{AsFd, AsRawFd, RawFd};

use io_uring::types::{CancelBuilder, Fixed, SubmitArgs, Timespec};
use io_uring::{EnterFlags, IoUring, opcode, squeue};

use self::buffers::BufferRing;
use self::inflow::{Inflow, Listening, PAYLOAD_AT};
use super::arrivals::Arrivals;
use super::driver::{Driver, ReceiveReport, Received, SendFailure, SocketSpec, TxBatch};
use super::inbox::Inbox;
use super::inbox::empty_header;
use super::outgoing::{Outgoing, Owner, Sending, datagrams_of, error_of, is_train, parts_of};
use super::poll::TRAIN_MAX;
use crate::base::limits::{IO_BATCH_MAX, IO_BATCH_ROOM};
use crate::base::{Instant, Nanos, SocketId};
use crate::sys::message::{ADDRESS_LEN, RECEIVE_CONTROL_LEN};

/// Submissions that fit before the kernel is entered: a batch of sends, and an arming or a cancel for every socket.
const SUBMISSIONS: u32 = 256;
/// Buffers of a packet's size, and buffers of a train's size (4 MiB in all).
const SMALL_BUFFERS: u16 = 256;
const LARGE_BUFFERS: u16 = 64;
const SMALL_MAX: usize = 4_096;
const GROUP: u16 = 0;
/// How often in a row the kernel may take none of our submissions before the ring is given up.
const STALLS_MAX: u32 = 1_000;
/// Fewer completions than this, and an entry has left no deferred work behind.
const WORK_A_TURN: usize = 20;
const SLEEP_MAX: Nanos = Nanos::from_secs(3_600);

const RECEIVE: u64 = 1 << 32;
const SEND: u64 = 2 << 32;
const CANCEL: u64 = 3 << 32;

/// A [`Driver`] over io_uring. It may be made on one thread and moved to another, and belongs to the thread that first
/// calls one of the driver's methods: the kernel answers EEXIST to any other.
pub struct UringDriver {
    // The order matters: the ring goes first, then the memory that it refers to.
    ring: IoUring,
    inflow: Inflow,
    /// How long the address and the control messages before each payload may be; the kernel reads it when arming.
    layout: Box<libc::msghdr>,
    outgoing: Outgoing,
    /// For each header of `outgoing`: the errno it was refused with, or zero.
    refused: Box<[i32]>,
    arrivals: Arrivals,
    /// How many completions the last entry brought.
    /// For sockets that are read sparingly.
    inbox: Inbox,
    /// The longest payload that is taken.
    payload: usize,
    brought: usize,
    started: bool,
    /// An entry failed while submissions referred to a sender's memory: the ring must not be entered any more.
    broken: bool,
}

// SAFETY: `layout` holds null pointers only; everything else is `Send` on its own. The ring is bound to a thread by the
// kernel, which refuses another with an error, not by anything in this value.
unsafe impl Send for UringDriver {}

impl fmt::Debug for UringDriver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UringDriver")
            .field("inflow", &self.inflow)
            .field("started", &self.started)
            .finish_non_exhaustive()
    }
}

impl UringDriver {
    /// A driver for these sockets, which takes datagrams of up to `max_datagram` bytes; longer ones are cut and marked.
    ///
    /// # Errors
    /// When the kernel refuses a ring (EPERM and ENOSYS: forbidden or missing here), its registrations, or memory.
    pub fn new(sockets: Vec<SocketSpec>, max_datagram: usize) -> io::Result<Self> {
        let trains = sockets.iter().any(|s| s.gro);
        let payload = if trains { TRAIN_MAX } else { max_datagram };
        let count = if payload <= SMALL_MAX { SMALL_BUFFERS } else { LARGE_BUFFERS };
        let mut buffers = BufferRing::new(count, PAYLOAD_AT + payload)?;
        // Room for a completion of every buffer, every send, and an end and a cancel of every socket: nothing overflows.
        let sockets_u32 = u32::try_from(sockets.len()).map_err(io::Error::other)?;
        let completions = u32::from(count) + SUBMISSIONS + 4 * sockets_u32;
        let ring = new_ring(SUBMISSIONS, completions.next_power_of_two())?;
        let fds: Vec<RawFd> = sockets.iter().map(|s| s.socket.as_raw_fd()).collect();
        if !fds.is_empty() {
            ring.submitter().register_files(&fds)?;
        }
        buffers.register(&ring.submitter(), GROUP)?;
        let mut layout = Box::new(empty_header().msg_hdr);
        layout.msg_namelen = libc::socklen_t::try_from(ADDRESS_LEN).map_err(io::Error::other)?;
        layout.msg_controllen = RECEIVE_CONTROL_LEN;
        let arrivals = Arrivals::new(sockets.len(), max_datagram);
        let ports = sockets.into_iter().map(|s| (s.socket, s.gso)).collect();
        Ok(Self {
            ring,
            inflow: Inflow::new(ports, buffers),
            layout,
            outgoing: Outgoing::new(),
            refused: vec![0; IO_BATCH_MAX].into_boxed_slice(),
            inbox: Inbox::new(payload),
            payload,
            arrivals,
            brought: 0,
            started: false,
            broken: false,
        })
    }

    /// Binds the ring to the calling thread, on its first call.
    fn start(&mut self) -> io::Result<()> {
        if self.broken {
            return Err(io::Error::other("the ring has failed before"));
        }
        if !self.started {
            self.ring.submitter().register_enable_rings()?;
            self.started = true;
        }
        Ok(())
    }

    /// Puts one submission into the queue.
    ///
    /// # Safety
    /// What `entry` points to stays valid until the kernel has taken it, which is when the queue is next empty.
    unsafe fn submit(&mut self, entry: &squeue::Entry) -> io::Result<()> {
        // SAFETY: as promised by the caller.
        while unsafe { self.ring.submission().push(entry) }.is_err() {
            self.enter()?;
        }
        Ok(())
    }

    /// Enters the kernel until it has taken every submission; deferred work is run, and nothing is waited for.
    fn enter(&mut self) -> io::Result<()> {
        for _ in 0..STALLS_MAX {
            let queued = self.ring.submission().len();
            let count = u32::try_from(queued).unwrap_or(SUBMISSIONS);
            let flags = EnterFlags::GETEVENTS.bits();
            // SAFETY: no argument is passed; what the submissions point to is valid by the contract of `submit`.
            let outcome =
                unsafe { self.ring.submitter().enter::<libc::sigset_t>(count, 0, flags, None) };
            self.brought = self.harvest();
            match outcome {
                Ok(taken) if taken >= queued => return Ok(()),
                Ok(_) => {}
                Err(e) if is_passing(&e) => {}
                Err(e) => {
                    self.broken = true;
                    return Err(e);
                }
            }
        }
        self.broken = true;
        Err(io::Error::other("the kernel takes no more submissions"))
    }

    /// Takes in every completion that is there, and says how many there were.
    fn harvest(&mut self) -> usize {
        let mut count = 0;
        for completion in self.ring.completion() {
            count += 1;
            let data = completion.user_data();
            // The lower half is a socket or a header.
            let index = usize::try_from(data & 0xffff_ffff).unwrap_or(0);
            let result = completion.result();
            match data - (data & 0xffff_ffff) {
                RECEIVE => self.inflow.on_completion(index, result, completion.flags()),
                // Successes are not told.
                SEND if result < 0 => self.refused[index] = -result,
                // A cancel's own result says nothing: the receive's last completion does.
                _ => {}
            }
        }
        count
    }

    /// Lets every open socket listen, as long as there are buffers, and every closed one stop.
    fn arm(&mut self) -> io::Result<u32> {
        let mut rearmed = 0;
        for s in 0..self.inflow.ruled() {
            let port = &mut self.inflow.ports[s];
            match (port.listening, port.open) {
                (Listening::No, true) if self.inflow.buffers.any_lent() => {
                    rearmed += self.listen(s)?;
                }
                (Listening::Yes, false) => {
                    port.listening = Listening::Ending;
                    let tag = s as u64;
                    let entry =
                        opcode::AsyncCancel::new(RECEIVE | tag).build().user_data(CANCEL | tag);
                    // SAFETY: it points to nothing.
                    unsafe { self.submit(&entry) }?;
                }
                _ => {}
            }
        }
        // Not those that end meanwhile: one that fails at once would be armed without end.
        for _ in 0..self.inflow.quiet() {
            if !self.inflow.buffers.any_lent() {
                break;
            }
            let Some(s) = self.inflow.next_quiet() else { break };
            rearmed += self.listen(s)?;
        }
        Ok(rearmed)
    }

    /// Arms a socket's receive. Says whether one had ended there without being told to.
    fn listen(&mut self, s: usize) -> io::Result<u32> {
        let port = &mut self.inflow.ports[s];
        port.listening = Listening::Yes;
        let rearmed = u32::from(std::mem::take(&mut port.ended));
        let entry = opcode::RecvMsgMulti::new(fixed(s), &raw const *self.layout, GROUP)
            .build()
            .user_data(RECEIVE | s as u64);
        // SAFETY: `layout` lives as long as the driver; buffers come from the registered ring.
        unsafe { self.submit(&entry) }?;
        Ok(rearmed)
    }

    /// Whether an entry would do anything: something to submit, deferred work to run, or completions kept back.
    fn entry_is_due(&mut self) -> bool {
        let queue = self.ring.submission();
        // An entry runs a bounded amount of deferred work (20 pieces), and what it leaves is not flagged again.
        !queue.is_empty() || queue.taskrun() || queue.cq_overflow() || self.brought >= WORK_A_TURN
    }

    /// Hands over what waits, socket by socket, and lends the buffers again.
    fn hand_over(&mut self, sink: &mut impl FnMut(Received<'_>)) -> u32 {
        if self.inflow.waiting() == 0 {
            return 0;
        }
        self.arrivals.refresh();
        let mut count = 0;
        for s in 0..self.inflow.ruled() {
            while count < IO_BATCH_MAX
                && let Some(filled) = self.inflow.pop(s)
            {
                sink(self.arrivals.interpret(s, self.inflow.message(&filled)));
                self.inflow.give_back(filled);
                count += 1;
            }
        }
        while count < IO_BATCH_MAX
            && let Some(s) = self.inflow.next_spoke()
            && let Some(filled) = self.inflow.pop(s)
        {
            sink(self.arrivals.interpret(s, self.inflow.message(&filled)));
            self.inflow.give_back(filled);
            count += 1;
        }
        self.inflow.buffers.publish();
        u32::try_from(count).unwrap_or(u32::MAX)
    }

    /// Takes at most `room` messages from a socket that does not listen. A multishot receive takes all that waits, whatever
    /// the room, so a socket that is to be read sparingly is read by a call of its own.
    fn glance(&mut self, s: usize, room: u32, sink: &mut impl FnMut(Received<'_>)) -> u32 {
        let Self { inflow, inbox, payload, arrivals, .. } = self;
        let count = usize::try_from(room).unwrap_or(0);
        match inbox.fetch(inflow.ports[s].socket.as_fd(), count, *payload, false) {
            Ok(count) => {
                arrivals.refresh();
                (0..count).for_each(|i| sink(arrivals.interpret(s, inbox.take(i))));
                u32::try_from(count).unwrap_or(u32::MAX)
            }
            Err(e) => {
                // Nothing there, or a fault of the route that the call has just taken away: the next glance sees more.
                inflow.faults += u32::from(e.kind() != io::ErrorKind::WouldBlock);
                0
            }
        }
    }

    /// Describes one header, and sends what was described before when there is no room for it.
    fn describe(
        &mut self,
        sending: &mut Sending<'_>,
        owner: Owner,
        parts: &[super::Part],
        segment: u16,
    ) -> io::Result<()> {
        if !self.outgoing.has_room(parts.len()) {
            self.flush(sending)?;
        }
        self.outgoing.push(sending, owner, parts, segment);
        Ok(())
    }

    /// The submission of header `i`. MSG_DONTWAIT: a full socket is an error now, never a request that lives on and refers
    /// to the sender's memory.
    fn send_entry(&self, socket: usize, i: usize) -> squeue::Entry {
        let flags = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
        match self.outgoing.plain(i) {
            // Spares the kernel the reading of a header and of an iovec: 90 of 2,970 ns a packet.
            Some(plain) => opcode::Send::new(fixed(socket), plain.bytes, plain.len)
                .dest_addr(plain.address)
                .dest_addr_len(plain.address_len)
                .flags(flags)
                .build(),
            None => opcode::SendMsg::new(fixed(socket), self.outgoing.header(i))
                .flags(flags.cast_unsigned())
                .build(),
        }
    }

    /// Sends what is described, in one entry, and deals with what was refused.
    fn flush(&mut self, sending: &mut Sending<'_>) -> io::Result<()> {
        let filled = self.outgoing.filled();
        self.refused[..filled].fill(0);
        for i in 0..filled {
            let socket = sending.message(self.outgoing.owner(i)).socket.index();
            let entry = self
                .send_entry(socket, i)
                .flags(squeue::Flags::SKIP_SUCCESS)
                .user_data(SEND | i as u64);
            // SAFETY: the header and what it points to stay until this function returns, and it returns with an empty queue, or
            // with the ring marked as broken, after which nothing is submitted.
            unsafe { self.submit(&entry) }?;
        }
        self.enter()?;
        for i in 0..filled {
            if self.refused[i] != 0 {
                let owner = self.outgoing.owner(i);
                let port = &mut self.inflow.ports[sending.message(owner).socket.index()];
                if sending.on_refusal(port.socket.as_fd(), owner, self.refused[i]) {
                    port.gso = false;
                }
            }
        }
        self.outgoing.clear();
        Ok(())
    }
}

impl Driver for UringDriver {
    fn receive(
        &mut self,
        _now: Instant,
        room: &[u32],
        sink: &mut impl FnMut(Received<'_>),
    ) -> io::Result<ReceiveReport> {
        self.start()?;
        self.inflow.rule(room.len());
        for (port, room) in self.inflow.ports.iter_mut().zip(room) {
            port.open = *room >= IO_BATCH_ROOM;
        }
        self.harvest();
        let mut rearmed = self.arm()?;
        // What the last entry brought is handed over first; the next entry is transmit's or wait's, or, when there is nothing
        // to hand over, this one.
        if self.inflow.waiting() == 0 && self.entry_is_due() {
            self.enter()?;
        }
        let mut messages = self.hand_over(sink);
        for (s, room) in room.iter().enumerate() {
            if *room > 0 && *room < IO_BATCH_ROOM && s < self.inflow.ports.len() {
                messages += self.glance(s, *room, sink);
            }
        }
        // Receives that ended for want of buffers: now there are some.
        rearmed += self.arm()?;
        let more = self.inflow.waiting() > 0 || self.entry_is_due();
        let faults = std::mem::take(&mut self.inflow.faults);
        Ok(ReceiveReport { messages, rearmed, more, faults })
    }

    fn transmit(
        &mut self,
        memory: &[u8],
        batch: &TxBatch,
        failed: &mut Vec<SendFailure>,
    ) -> io::Result<()> {
        self.start()?;
        let mut sending = Sending::new(memory, batch, failed);
        self.outgoing.clear();
        for (message, m) in (0_u32..).zip(&batch.messages) {
            let parts = parts_of(batch, m);
            let whole = Owner { message, singles: 0 };
            let train = is_train(m, parts);
            if train && !self.inflow.ports[m.socket.index()].gso {
                let count = datagrams_of(parts, m.segment).count();
                let singles = u32::try_from(count).unwrap_or(u32::MAX);
                for part in datagrams_of(parts, m.segment) {
                    self.describe(&mut sending, Owner { message, singles }, &[part], 0)?;
                }
            } else if Outgoing::fits_alone(parts.len()) {
                let segment = if train { m.segment } else { 0 };
                self.describe(&mut sending, whole, parts, segment)?;
            } else {
                sending.record(whole, error_of(libc::EMSGSIZE));
            }
        }
        if self.outgoing.filled() > 0 {
            self.flush(&mut sending)?;
        }
        sending.finish();
        Ok(())
    }

    fn wait(&mut self, timeout: Nanos) -> io::Result<()> {
        self.start()?;
        self.harvest();
        if self.inflow.waiting() > 0 {
            return Ok(());
        }
        // A receive that ended in an entry of transmit's must listen again before we sleep.
        self.arm()?;
        if timeout == Nanos::ZERO {
            return if self.entry_is_due() { self.enter() } else { Ok(()) };
        }
        let limit = Timespec::from(timeout.min(SLEEP_MAX).to_std());
        let args = SubmitArgs::new().timespec(&limit);
        let outcome = self.ring.submitter().submit_with_args(1, &args);
        self.brought = self.harvest();
        match outcome {
            Ok(_) => {}
            Err(e) if e.raw_os_error() == Some(libc::ETIME) || is_passing(&e) => {}
            Err(e) => return Err(e),
        }
        // A sleep ends with the first that comes. What came while we woke up is to be judged with it, and not a turn later.
        if self.entry_is_due() { self.enter() } else { Ok(()) }
    }

    fn kernel_drops(&mut self, socket: SocketId) -> u64 {
        self.inflow.ports.get_mut(socket.index()).map_or(0, |p| p.drops.read(&p.socket))
    }
}

impl Drop for UringDriver {
    /// Lets go of the sockets, so that their ports are free when the last of them is closed: what a ring still holds when it
    /// is closed is freed by the kernel some 50 ms later, and a service that is started again at once would find its ports
    /// taken. Best effort: closing the ring ends everything all the same, and buffers are written only inside entries of
    /// the thread that just gave the ring up.
    fn drop(&mut self) {
        if self.started {
            drop(self.ring.submitter().register_sync_cancel(None, CancelBuilder::any()));
            // Receives end in deferred work, which only an entry runs: one for every bounded share of it.
            for _ in 0..=self.inflow.ports.len() / WORK_A_TURN {
                let flags = EnterFlags::GETEVENTS.bits();
                // SAFETY: nothing is submitted and no argument is passed.
                drop(unsafe { self.ring.submitter().enter::<libc::sigset_t>(0, 0, flags, None) });
            }
        }
        drop(self.ring.submitter().unregister_files());
    }
}

/// A ring with the flags that the driver relies on, not bound to a thread yet.
pub(super) fn new_ring(submissions: u32, completions: u32) -> io::Result<IoUring> {
    IoUring::builder()
        .setup_single_issuer()
        .setup_defer_taskrun()
        .setup_taskrun_flag()
        .setup_submit_all()
        .setup_r_disabled()
        .setup_cqsize(completions)
        .build(submissions)
}

fn fixed(socket: usize) -> Fixed {
    Fixed(u32::try_from(socket).unwrap_or(u32::MAX))
}

/// A signal, or a kernel that is short of memory or of room for completions for the moment.
fn is_passing(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EINTR | libc::EAGAIN | libc::EBUSY))
}
