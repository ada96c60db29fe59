//! A driver over a virtual network: sockets with bounded buffers, sends that are judged as they leave, both at a cost.
//!
//! Knows no worker. It judges what it can see alone: that answers hold their requests' bytes, go to whoever asked, and leave
//! in each flow's order.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;

use super::clock::VirtualClock;
use super::course::Course;
use super::door::{Door, peer_of};
use super::law::{Breach, Law};
use super::log::{Deed, Log};
use super::options::Costs;
use super::source::Source;
use super::tag::Tag;
use super::tally::Tally;
use crate::base::limits::{IO_BATCH_MAX, IO_BATCH_ROOM};
use crate::base::{Clock as _, Instant, Nanos, SocketId};
use crate::io::{
    Driver, ReceiveReport, Received, SendError, SendFailure, Stamp, TxBatch, TxMessage,
};
use crate::packet::framed::{Header, Kind};

/// A datagram in a socket's buffer.
#[derive(Clone, Copy, Debug)]
struct Waiting {
    arrived: Instant,
    stream: u16,
    flow: u32,
    seq: u64,
    service: Nanos,
}

/// A socket.
#[derive(Debug, Default)]
pub(super) struct Socket {
    waiting: VecDeque<Waiting>,
    pub(super) dropped: u64,
    pub(super) handed: u64,
    /// What the worker last allowed it to hand over.
    room: u32,
    /// Its last stamp: they do not run backwards.
    stamped: Instant,
}

/// One flow of one stream.
#[derive(Clone, Copy, Debug, Default)]
struct Flow {
    arrived: u64,
    left: u64,
}

/// When this driver misbehaves.
#[derive(Debug, Default)]
pub(super) struct Mishaps {
    pub(super) stamps: Course,
    pub(super) buffers: Course,
    pub(super) sends: Course,
}

/// See the module.
#[derive(Debug)]
pub(super) struct VirtualDriver {
    pub(super) worker: usize,
    pub(super) clock: VirtualClock,
    pub(super) costs: Costs,
    pub(super) source: Source,
    pub(super) doors: Vec<Door>,
    /// The socket of each stream, where this worker serves it.
    pub(super) ways: Vec<Option<SocketId>>,
    pub(super) sockets: Vec<Socket>,
    /// Datagrams that a socket holds.
    pub(super) capacity: usize,
    flows: Vec<Vec<Flow>>,
    pub(super) mishaps: Mishaps,
    buffer: Vec<u8>,
    joined: Vec<u8>,
    pub(super) log: Log,
    pub(super) tally: Tally,
    pub(super) breach: Option<Breach>,
    /// Messages handed over and sends made: what the checks are spaced by.
    pub(super) done: u64,
    #[cfg(test)]
    pub(super) planted: Option<super::Planted>,
}

/// What a driver is made of.
#[derive(Debug)]
pub(super) struct Parts {
    pub(super) worker: usize,
    pub(super) clock: VirtualClock,
    pub(super) costs: Costs,
    pub(super) source: Source,
    pub(super) doors: Vec<Door>,
    pub(super) ways: Vec<Option<SocketId>>,
    pub(super) sockets: usize,
    pub(super) capacity: usize,
    pub(super) flows: Vec<u32>,
    pub(super) mishaps: Mishaps,
    pub(super) record: bool,
}

impl VirtualDriver {
    pub(super) fn new(parts: Parts) -> Self {
        let longest = parts.doors.iter().map(Door::len).max().unwrap_or(0);
        Self {
            worker: parts.worker,
            clock: parts.clock,
            costs: parts.costs,
            source: parts.source,
            tally: Tally::new(parts.doors.len()),
            doors: parts.doors,
            ways: parts.ways,
            sockets: (0..parts.sockets).map(|_| Socket::default()).collect(),
            capacity: parts.capacity,
            flows: parts.flows.iter().map(|n| vec![Flow::default(); *n as usize]).collect(),
            mishaps: parts.mishaps,
            buffer: vec![0; longest],
            joined: Vec::with_capacity(longest),
            log: Log::new(parts.record),
            breach: None,
            done: 0,
            #[cfg(test)]
            planted: None,
        }
    }

    /// Whether nothing waits in any socket and nothing more will come.
    pub(super) fn is_dry(&mut self) -> bool {
        self.source.peek().is_none() && self.sockets.iter().all(|s| s.waiting.is_empty())
    }

    /// Datagrams that wait in sockets.
    pub(super) fn waiting(&self) -> u64 {
        self.sockets.iter().map(|s| s.waiting.len() as u64).sum()
    }

    pub(super) fn break_law(&mut self, law: Law, at: Instant, what: String) {
        let worker = self.worker;
        self.breach.get_or_insert_with(|| Breach::new(law, worker, at, what));
    }

    /// What reaches the sockets up to `now`.
    fn let_arrive(&mut self, now: Instant) {
        while self.source.peek().is_some_and(|at| at <= now) {
            self.arrive_next();
        }
    }

    /// The next datagram reaches its socket, which is named if it took it.
    fn arrive_next(&mut self) -> Option<SocketId> {
        let datagram = self.source.pop()?;
        let place = usize::from(datagram.stream);
        let flow = &mut self.flows[place][datagram.flow as usize];
        flow.arrived += 1;
        let seq = flow.arrived;
        let way = self.ways[place]?;
        let socket = &mut self.sockets[way.index()];
        if socket.waiting.len() >= self.capacity {
            socket.dropped += 1;
            self.tally.overflowed(place);
            self.log.note(datagram.at, Deed::Overflow, (datagram.stream, datagram.flow, seq));
            return None;
        }
        socket.waiting.push_back(Waiting {
            arrived: datagram.at,
            stream: datagram.stream,
            flow: datagram.flow,
            seq,
            service: datagram.service,
        });
        Some(way)
    }

    /// Lets time pass until `until`, or until something arrives that a worker which stays awake would see.
    pub(super) fn stay_awake(&mut self, until: Instant) {
        self.let_pass(until, 1);
    }

    /// Whether it ended before its time.
    fn let_pass(&mut self, until: Instant, room: u32) -> bool {
        let now = self.clock.now();
        if let Some(span) = self.mishaps.buffers.active(now) {
            // Nothing can be received, and nothing wakes.
            let end = self.mishaps.buffers.spans()[span].to.min(until);
            self.let_arrive(end);
            self.clock.rest_until(end);
            return false;
        }
        let sees = |s: &Socket| s.room >= room;
        if self.sockets.iter().any(|s| sees(s) && !s.waiting.is_empty()) {
            return true;
        }
        while let Some(at) = self.source.peek().filter(|at| *at <= until) {
            if let Some(way) = self.arrive_next()
                && sees(&self.sockets[way.index()])
            {
                self.clock.rest_until(at);
                return true;
            }
        }
        self.clock.rest_until(until);
        false
    }

    fn hand_over(&mut self, s: usize, now: Instant, sink: &mut impl FnMut(Received<'_>)) {
        let socket = &mut self.sockets[s];
        let Some(waiting) = socket.waiting.pop_front() else { return };
        let Waiting { arrived, stream, flow, seq, service } = waiting;
        let believed = arrived.max(socket.stamped);
        let stamp = match self.mishaps.stamps.active(now) {
            None => Stamp::Kernel(believed),
            Some(n) if n.is_multiple_of(2) => Stamp::Missing(now.max(socket.stamped)),
            Some(_) => Stamp::Anomaly(now.max(socket.stamped)),
        };
        socket.stamped = stamp.instant();
        socket.handed += 1;
        let door = &self.doors[usize::from(stream)];
        let deadline = door.budget(seq).map_or(Instant::MAX, |b| stamp.instant() + b);
        let tag = Tag { service, stream, flow, seq, arrived, deadline };
        let len = door.write(&tag, &mut self.buffer);
        self.tally.handed(usize::from(stream));
        #[cfg(test)]
        if self.planted == Some(super::Planted::BufferLost) && seq == 100 {
            return;
        }
        self.log.note(now, Deed::Received, (stream, flow, seq));
        sink(Received {
            socket: SocketId(u16::try_from(s).unwrap_or(u16::MAX)),
            peer: peer_of(stream, flow),
            local: None,
            tos: door.tos,
            stamp,
            segment: 0,
            truncated: false,
            bytes: &self.buffer[..len],
        });
    }

    /// One datagram leaves.
    fn leave(&mut self, now: Instant, to: Option<SocketAddr>, datagram: &[u8]) {
        if let Ok((_, Kind::Refusal)) = Header::parse(datagram) {
            self.tally.refused();
            return;
        }
        let Some(tag) = Tag::of_datagram(datagram) else {
            let what = format!("an answer of {} bytes is no request's", datagram.len());
            return self.break_law(Law::Answers, now, what);
        };
        let Tag { stream, flow, seq, deadline, arrived, .. } = tag;
        if to.is_some_and(|to| to != peer_of(stream, flow)) {
            let what = format!("the answer to flow {flow} of stream {stream} went to {to:?}");
            self.break_law(Law::Answers, now, what);
        }
        let place = &mut self.flows[usize::from(stream)][flow as usize];
        let (last, came) = (place.left, place.arrived);
        place.left = seq.max(last);
        let overtaken = self.doors[usize::from(stream)].ordered && seq <= last;
        if overtaken || seq > came {
            let what = format!(
                "flow {flow} of stream {stream}: answer {seq} of {came} left after answer {last}"
            );
            self.break_law(Law::FlowOrder, now, what);
        }
        let on_time = now <= deadline;
        let deed = if on_time { Deed::OnTime } else { Deed::Late };
        self.log.note(now, deed, (stream, flow, seq));
        self.tally.answered(usize::from(stream), now.since(arrived), on_time, tag.service);
    }

    fn send(&mut self, memory: &[u8], batch: &TxBatch, message: &TxMessage) {
        let parts = &batch.parts[message.parts.start as usize..message.parts.end as usize];
        let mut joined = std::mem::take(&mut self.joined);
        let mut datagrams = 0;
        joined.clear();
        let order = 0..parts.len();
        #[cfg(test)]
        let order = super::planted::order(self.planted, order);
        for i in order {
            let part = parts[i];
            let bytes = &memory[part.start as usize..][..part.len as usize];
            let step = match message.segment {
                0 => bytes.len().max(1),
                segment => usize::from(segment),
            };
            // One datagram may be joined of parts; a train's parts end where datagrams do.
            if message.segment == 0 && parts.len() > 1 {
                joined.extend_from_slice(bytes);
                continue;
            }
            for datagram in bytes.chunks(step) {
                datagrams += 1;
                self.clock.spend(if datagrams == 1 { self.costs.send } else { self.costs.segment });
                self.leave(self.clock.now(), message.to, datagram);
            }
        }
        if datagrams == 0 {
            self.clock.spend(self.costs.send);
            self.leave(self.clock.now(), message.to, &joined);
        }
        self.joined = joined;
    }
}

impl Driver for VirtualDriver {
    fn receive(
        &mut self,
        now: Instant,
        room: &[u32],
        sink: &mut impl FnMut(Received<'_>),
    ) -> io::Result<ReceiveReport> {
        let mut report = ReceiveReport::default();
        self.let_arrive(now);
        let room = room.iter().copied().chain(std::iter::repeat(IO_BATCH_ROOM));
        for (socket, room) in self.sockets.iter_mut().zip(room) {
            socket.room = room;
        }
        self.clock.spend(self.costs.look);
        if self.mishaps.buffers.active(now).is_some() {
            report.rearmed = 1;
            return Ok(report);
        }
        for s in 0..self.sockets.len() {
            let left = IO_BATCH_MAX.saturating_sub(report.messages as usize);
            let socket = &self.sockets[s];
            let count = socket.waiting.len().min(socket.room as usize).min(left);
            for _ in 0..count {
                self.hand_over(s, now, sink);
                report.messages += 1;
            }
        }
        self.done += u64::from(report.messages);
        self.clock.spend(self.costs.receive.saturating_mul(u64::from(report.messages)));
        report.more = self.waiting() > 0;
        Ok(report)
    }

    fn transmit(
        &mut self,
        memory: &[u8],
        batch: &TxBatch,
        failed: &mut Vec<SendFailure>,
    ) -> io::Result<()> {
        self.clock.spend(self.costs.batch);
        let order = 0..batch.messages.len();
        #[cfg(test)]
        let order = super::planted::order(self.planted, order);
        for i in order {
            let message = &batch.messages[i];
            let now = self.clock.now();
            self.done += 1;
            if self.mishaps.sends.active(now).is_some() {
                let message = u32::try_from(i).unwrap_or(u32::MAX);
                failed.push(SendFailure { message, error: SendError::QueueFull, departed: 0 });
                self.tally.send_failed();
                self.log.note(now, Deed::SendFailed, (0, message, 0));
                continue;
            }
            self.send(memory, batch, message);
        }
        Ok(())
    }

    fn wait(&mut self, timeout: Nanos) -> io::Result<()> {
        let until = self.clock.now() + timeout;
        let woken = self.let_pass(until, IO_BATCH_ROOM);
        if woken {
            self.clock.spend(self.costs.wake);
        }
        Ok(())
    }

    fn kernel_drops(&mut self, socket: SocketId) -> u64 {
        self.sockets[socket.index()].dropped
    }
}
