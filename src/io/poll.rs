//! The mio driver: epoll for readiness, recvmmsg and sendmmsg for the work.
//!
//! Works wherever Linux does. Costs no allocation a turn: all memory is made at the start.

#![expect(unsafe_code, reason = "sending needs the promise that the sender's memory is there")]

use std::collections::VecDeque;
use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::time::Duration;

use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};
use rustix::event::{PollFd, PollFlags};
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
    timerfd_settime,
};

use super::arrivals::Arrivals;
use super::driver::{Driver, ReceiveReport, Received, SendFailure, SocketSpec, TxBatch};
use super::inbox::Inbox;
use super::outgoing::{
    Outgoing, Owner, Sending, datagrams_of, errno_of, error_of, is_train, parts_of,
};
use crate::base::limits::{EGRESS_PENDING_MAX, IO_BATCH_MAX};
use crate::base::{Clock, Instant, Nanos, SocketId};
use crate::sys::clock::MonotonicClock;
use crate::sys::meminfo::DropCounter;

/// The largest train that the kernel hands over.
pub(super) const TRAIN_MAX: usize = 65_536;
/// Socket faults that are taken away before a socket is left alone for this turn: each report clears one.
const FAULTS_A_TURN: u32 = 8;
/// The longest sleep: far beyond any use, far below what the kernel's clocks can hold.
const SLEEP_MAX: Nanos = Nanos::from_secs(3_600);

#[derive(Debug)]
struct Port {
    socket: UdpSocket,
    /// To whom it is connected, and who then is every sender.
    peer: Option<SocketAddr>,
    /// The longest payload that is taken.
    capacity: usize,
    /// It may send trains.
    gso: bool,
    /// epoll has told that it is readable, and it has not been found empty since.
    ready: bool,
    /// Its last `room` was not zero.
    open: bool,
    /// It is registered. A closed port that becomes readable is taken out, so that more datagrams do not wake us.
    watched: bool,
    drops: DropCounter,
}

/// A [`Driver`] over epoll.
#[derive(Debug)]
pub struct PollDriver {
    poll: Poll,
    events: Events,
    ports: Box<[Port]>,
    inbox: Inbox,
    outgoing: Outgoing,
    arrivals: Arrivals,
    /// The messages of a batch by socket: memory for `transmit`.
    order: Vec<(u16, u32)>,
    /// So many sockets, from the first on, have a `room` of their own. Of the others,
    ruled: usize,
    /// those that are readable, in the order in which that was told.
    spoke: VecDeque<usize>,
    /// Ends waits. epoll itself counts whole milliseconds, and adds the thread's timer slack (50 us) to them.
    timer: OwnedFd,
}

/// What a look at epoll has shown.
#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    any: bool,
    open: bool,
    timer: bool,
}

impl PollDriver {
    /// A driver for these sockets, which takes datagrams of up to `max_datagram` bytes; longer ones are cut and marked.
    ///
    /// # Errors
    /// When epoll or the timer cannot be set up (`EMFILE`, above all).
    pub fn new(sockets: Vec<SocketSpec>, max_datagram: usize) -> io::Result<Self> {
        let poll = Poll::new()?;
        let timer = timerfd_create(
            TimerfdClockId::Monotonic,
            TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC,
        )?;
        let timer_token = Token(sockets.len());
        poll.registry().register(
            &mut SourceFd(&timer.as_raw_fd()),
            timer_token,
            Interest::READABLE,
        )?;
        let ports: Box<[Port]> = sockets
            .into_iter()
            .map(|spec| Port {
                peer: spec.socket.peer_addr().ok(),
                socket: spec.socket,
                capacity: if spec.gro { TRAIN_MAX } else { max_datagram },
                gso: spec.gso,
                ready: false,
                open: true,
                watched: false,
                drops: DropCounter::default(),
            })
            .collect();
        let capacity = ports.iter().map(|p| p.capacity).max().unwrap_or(max_datagram);
        let mut driver = Self {
            events: Events::with_capacity(ports.len() + 1),
            inbox: Inbox::new(capacity),
            outgoing: Outgoing::new(),
            arrivals: Arrivals::new(ports.len(), max_datagram),
            order: Vec::with_capacity(EGRESS_PENDING_MAX),
            ruled: ports.len(),
            spoke: VecDeque::with_capacity(ports.len()),
            poll,
            ports,
            timer,
        };
        for s in 0..driver.ports.len() {
            driver.ports[s].socket.set_nonblocking(true)?;
            if !driver.is_alone() {
                driver.watch(s)?;
            }
        }
        Ok(driver)
    }

    fn watch(&mut self, s: usize) -> io::Result<()> {
        let port = &mut self.ports[s];
        let fd = port.socket.as_raw_fd();
        self.poll.registry().register(&mut SourceFd(&fd), Token(s), Interest::READABLE)?;
        port.watched = true;
        Ok(())
    }

    /// There is only one socket. It is not registered with epoll, which the kernel would ask about every packet that leaves
    /// by it (a tenth of what a send costs); a wait then asks poll(2).
    const fn is_alone(&self) -> bool {
        self.ports.len() == 1
    }

    /// Sleeps until the only socket is readable, if it is open, or the timer goes off.
    fn wait_alone(&mut self) -> io::Result<()> {
        let port = &mut self.ports[0];
        let mut fds =
            [PollFd::new(&self.timer, PollFlags::IN), PollFd::new(&port.socket, PollFlags::IN)];
        let count = if port.open { 2 } else { 1 };
        match rustix::event::poll(&mut fds[..count], None) {
            // A signal: let the caller's loop see to it.
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(e) => return Err(e.into()),
        }
        port.ready |= port.open && !fds[1].revents().is_empty();
        Ok(())
    }

    /// Takes in which sockets may be read. Says whether more than one may.
    fn note_room(&mut self, room: &[u32]) -> io::Result<bool> {
        let alone = self.is_alone();
        if room.len().min(self.ports.len()) != self.ruled {
            self.rule(room.len().min(self.ports.len()))?;
        }
        let mut open = self.ports.len() - self.ruled;
        for (s, room) in room.iter().enumerate().take(self.ruled) {
            let port = &mut self.ports[s];
            port.open = *room > 0;
            if port.open {
                open += 1;
                if !port.watched && !alone {
                    // Registering tells at once when it is readable: no arrival is missed.
                    self.watch(s)?;
                }
            }
        }
        Ok(open > 1)
    }

    /// So many sockets have a `room` of their own from now on.
    #[cold]
    fn rule(&mut self, count: usize) -> io::Result<()> {
        self.ruled = count;
        self.spoke.clear();
        for s in count..self.ports.len() {
            let port = &mut self.ports[s];
            port.open = true;
            if port.ready {
                self.spoke.push_back(s);
            }
            if !port.watched && !self.is_alone() {
                self.watch(s)?;
            }
        }
        Ok(())
    }

    /// Asks epoll and remembers what it says.
    fn look(&mut self, timeout: Option<Duration>) -> io::Result<Seen> {
        match self.poll.poll(&mut self.events, timeout) {
            Ok(()) => {}
            // A signal: let the caller's loop see to it.
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {
                return Ok(Seen { any: false, ..Seen::default() });
            }
            Err(e) => return Err(e),
        }
        let mut seen = Seen::default();
        for event in &self.events {
            seen.any = true;
            let Some(port) = self.ports.get_mut(event.token().0) else {
                seen.timer = true;
                continue;
            };
            if !std::mem::replace(&mut port.ready, true) && event.token().0 >= self.ruled {
                self.spoke.push_back(event.token().0);
            }
            if port.open {
                seen.open = true;
            } else {
                let fd = port.socket.as_raw_fd();
                self.poll.registry().deregister(&mut SourceFd(&fd))?;
                port.watched = false;
            }
        }
        Ok(seen)
    }

    /// Reads socket `s` once. Says how many messages came.
    fn read(
        &mut self,
        s: usize,
        allowed: usize,
        report: &mut ReceiveReport,
        sink: &mut impl FnMut(Received<'_>),
    ) -> io::Result<usize> {
        let port = &mut self.ports[s];
        let mut faults = 0;
        let count = loop {
            match self.inbox.fetch(port.socket.as_fd(), allowed, port.capacity, port.peer.is_some())
            {
                Ok(count) => break count,
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => break 0,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) if is_fatal(&e) => return Err(e),
                Err(_) => faults += 1,
            }
            if faults >= FAULTS_A_TURN {
                break 0;
            }
        };
        port.ready = count == allowed || faults >= FAULTS_A_TURN;
        report.faults += faults;
        if count > 0 {
            let peer = port.peer;
            self.arrivals.refresh();
            for i in 0..count {
                let mut received = self.arrivals.interpret(s, self.inbox.take(i));
                received.peer = peer.unwrap_or(received.peer);
                sink(received);
            }
        }
        Ok(count)
    }

    /// Sends, in order, what the batch holds for socket `s`: these of its messages.
    fn transmit_socket(&mut self, s: usize, messages: &[(u16, u32)], sending: &mut Sending<'_>) {
        self.outgoing.clear();
        let batch = sending.batch;
        for (_, message) in messages {
            let message = *message;
            let m = &batch.messages[message as usize];
            let parts = parts_of(batch, m);
            let whole = Owner { message, singles: 0 };
            let train = is_train(m, parts);
            if train && !self.ports[s].gso {
                let count = datagrams_of(parts, m.segment).count();
                let singles = u32::try_from(count).unwrap_or(u32::MAX);
                for part in datagrams_of(parts, m.segment) {
                    self.make_room(s, 1, sending);
                    self.outgoing.push(sending, Owner { message, singles }, &[part], 0);
                }
            } else if Outgoing::fits_alone(parts.len()) {
                self.make_room(s, parts.len(), sending);
                let segment = if train { m.segment } else { 0 };
                self.outgoing.push(sending, whole, parts, segment);
            } else {
                sending.record(whole, error_of(libc::EMSGSIZE));
            }
        }
        self.flush(s, sending);
    }

    fn make_room(&mut self, s: usize, parts: usize, sending: &mut Sending<'_>) {
        if !self.outgoing.has_room(parts) {
            self.flush(s, sending);
            self.outgoing.clear();
        }
    }

    fn flush(&mut self, s: usize, sending: &mut Sending<'_>) {
        let port = &mut self.ports[s];
        let mut at = 0;
        while at < self.outgoing.filled() {
            // SAFETY: `sending` borrows the memory from which every header since the last `clear` was pushed.
            match unsafe { self.outgoing.send(port.socket.as_fd(), at) } {
                Ok(count) => at += count.max(1),
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => {
                    let owner = self.outgoing.owner(at);
                    if sending.on_refusal(port.socket.as_fd(), owner, errno_of(&e)) {
                        port.gso = false;
                    }
                    at += 1;
                }
            }
        }
    }

    /// Lets the timer go off after `timeout`, which is not zero. What an earlier wait has left of it is forgotten.
    fn arm(&self, timeout: Nanos) -> io::Result<()> {
        let zero = Timespec { tv_sec: 0, tv_nsec: 0 };
        let value = Timespec::try_from(timeout.to_std()).map_err(io::Error::other)?;
        let spec = Itimerspec { it_interval: zero, it_value: value };
        timerfd_settime(&self.timer, TimerfdTimerFlags::empty(), &spec)?;
        Ok(())
    }

    fn may_read(&self) -> bool {
        let one_by_one = if self.is_alone() { 1 } else { self.ruled };
        !self.spoke.is_empty() || self.ports[..one_by_one].iter().any(|p| p.open && p.ready)
    }
}

impl Driver for PollDriver {
    fn receive(
        &mut self,
        _now: Instant,
        room: &[u32],
        sink: &mut impl FnMut(Received<'_>),
    ) -> io::Result<ReceiveReport> {
        let mut report = ReceiveReport::default();
        let several = self.note_room(room)?;
        let mut looked = false;
        let mut left = IO_BATCH_MAX;
        let one_by_one = if self.is_alone() { 1 } else { self.ruled };
        for s in 0..one_by_one {
            let allowed = left.min(room.get(s).map_or(IO_BATCH_MAX, |r| *r as usize));
            if allowed == 0 {
                continue;
            }
            // One open socket is simply read. Among several, one question to epoll replaces a vain read of each.
            if several && !self.ports[s].ready {
                if !looked {
                    self.look(Some(Duration::ZERO))?;
                    looked = true;
                }
                if !self.ports[s].ready {
                    continue;
                }
            }
            left -= self.read(s, allowed, &mut report, sink)?;
        }
        if left > 0 && one_by_one < self.ports.len() && !looked {
            self.look(Some(Duration::ZERO))?;
        }
        for _ in 0..self.spoke.len() {
            if left == 0 {
                break;
            }
            let Some(s) = self.spoke.pop_front() else { break };
            left -= self.read(s, left, &mut report, sink)?;
            if self.ports[s].ready {
                self.spoke.push_back(s);
            }
        }
        report.messages = u32::try_from(IO_BATCH_MAX - left).unwrap_or(u32::MAX);
        report.more = self.may_read();
        Ok(report)
    }

    fn transmit(
        &mut self,
        memory: &[u8],
        batch: &TxBatch,
        failed: &mut Vec<SendFailure>,
    ) -> io::Result<()> {
        let mut sending = Sending::new(memory, batch, failed);
        let mut order = std::mem::take(&mut self.order);
        order.clear();
        order.extend((0_u32..).zip(&batch.messages).map(|(i, m)| (m.socket.0, i)));
        order.sort_unstable();
        for messages in order.chunk_by(|a, b| a.0 == b.0) {
            let s = usize::from(messages[0].0);
            if s < self.ports.len() {
                self.transmit_socket(s, messages, &mut sending);
            }
        }
        self.order = order;
        sending.finish();
        Ok(())
    }

    fn wait(&mut self, timeout: Nanos) -> io::Result<()> {
        if timeout == Nanos::ZERO || self.may_read() {
            return Ok(());
        }
        if self.is_alone() {
            self.arm(timeout.min(SLEEP_MAX))?;
            return self.wait_alone();
        }
        let deadline = MonotonicClock.now() + timeout.min(SLEEP_MAX);
        let mut left = timeout.min(SLEEP_MAX);
        loop {
            self.arm(left)?;
            let seen = self.look(None)?;
            if !seen.any || seen.open || seen.timer {
                return Ok(());
            }
            // Only closed sockets spoke, and none of them will again: sleep on.
            left = deadline.since(MonotonicClock.now());
            if left == Nanos::ZERO {
                return Ok(());
            }
        }
    }

    fn kernel_drops(&mut self, socket: SocketId) -> u64 {
        self.ports.get_mut(socket.index()).map_or(0, |p| p.drops.read(&p.socket))
    }
}

/// Whether an error means that the socket itself is unusable, rather than something that it was told by the network.
fn is_fatal(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EBADF | libc::ENOTSOCK | libc::EFAULT | libc::EINVAL))
}
