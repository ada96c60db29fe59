//! From a received train to requests: what each datagram asks for, and the gates for it (`entry`). Every datagram is counted once,
//! whatever happens.
//!
//! Knows no sockets: what was received is an argument.

use super::door::{Door, Listen};
use super::egress::{Route, SEGMENT_MAX};
use super::options::Framing;
use super::worker::Worker;
use crate::base::limits::GSO_BYTES_MAX;
use crate::base::{DropReason, Instant, KernelId, Priority};
use crate::classify::{Class, Input};
use crate::io::{Received, Stamp};
use crate::kernel::RESULT_ALWAYS_FITS;
use crate::packet::PacketFlags;
use crate::sched::admission::{Admitted, Candidate};
use crate::sched::estimate;
use crate::stats::{ClassField, Field, WorkerField};

/// What is the same for all datagrams of one train.
#[derive(Debug)]
pub(super) struct Train<'a> {
    pub(super) door: Listen,
    pub(super) received: &'a Received<'a>,
    pub(super) released: Instant,
    /// The sender may not be answered.
    pub(super) banned: bool,
}

/// What a datagram asks for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Request {
    pub(super) class: Class,
    pub(super) kernel: KernelId,
    pub(super) flags: PacketFlags,
    pub(super) flow: u32,
}

/// A request with what follows from it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ready {
    pub(super) request: Request,
    pub(super) bucket: u16,
    pub(super) candidate: Candidate,
}

/// Neighbours of a train that are alike: `count` datagrams of `len` bytes each, without a gap.
#[derive(Clone, Copy, Debug)]
pub(super) struct Run<'a> {
    pub(super) bytes: &'a [u8],
    pub(super) len: usize,
    pub(super) count: u32,
}

impl<'a> Run<'a> {
    /// `count` of them, from the `at`th.
    #[inline]
    const fn part(&self, at: u32, count: u32) -> Self {
        let (from, len) = (at as usize * self.len, count as usize * self.len);
        let (_, rest) = self.bytes.split_at(from);
        let (bytes, _) = rest.split_at(len);
        Self { bytes, len: self.len, count }
    }
}

impl Train<'_> {
    /// The way back to the sender.
    #[inline]
    pub(super) const fn route(&self) -> Route {
        let Received { socket, peer, local, .. } = *self.received;
        Route { socket, to: Some(peer), from: local, gso: self.door.gso }
    }
}

impl Worker {
    /// Takes in what one receive has brought.
    pub fn handle_rx(&mut self, now: Instant, received: &Received<'_>) {
        self.counters.add_worker(WorkerField::Receives, 1);
        match self.doors[received.socket.index()] {
            Door::Listen(door) => self.handle_requests(now, door, received),
            Door::Upstream { egress, session } => {
                self.handle_answers(now, egress, session, received);
            }
            Door::Closed => {}
        }
    }

    #[inline]
    fn handle_requests(&mut self, now: Instant, door: Listen, received: &Received<'_>) {
        let train = Train {
            released: received.stamp.instant(),
            banned: self.banned(&door, received),
            door,
            received,
        };
        self.rooms.read(door.fallback, now);
        match door.framing {
            Framing::Raw => self.handle_raw(now, &train),
            Framing::Framed => {
                for datagram in received.datagrams() {
                    self.handle_framed(now, &train, datagram);
                }
            }
        }
        self.count_stamps(&train);
    }

    #[inline]
    fn count_stamps(&mut self, train: &Train<'_>) {
        let field = match train.received.stamp {
            Stamp::Kernel(_) => return,
            Stamp::Missing(_) => Field::StampMissing,
            Stamp::Anomaly(_) => Field::ClockAnomaly,
        };
        let count = train.received.datagrams().count() as u64;
        self.counters.cell(train.door.ingress, train.door.fallback).add(field, count);
    }

    /// Whether answering this sender could make a loop, or would reach nobody.
    #[inline]
    fn banned(&self, door: &Listen, received: &Received<'_>) -> bool {
        self.beware.is_odd(&received.peer)
            && self.beware.bans(
                &received.peer,
                door.replies,
                door.low_source_ports,
                door.framing == Framing::Raw,
            )
    }

    /// Raw datagrams of one train differ in nothing but their bytes, and the last in its length.
    #[inline]
    fn handle_raw(&mut self, now: Instant, train: &Train<'_>) {
        let Received { bytes, segment, .. } = *train.received;
        if segment == 0 || segment >= bytes.len() {
            return self.handle_run(now, train, Run { bytes, len: bytes.len(), count: 1 });
        }
        let whole = bytes.len() / segment;
        let (alike, last) = bytes.split_at(whole * segment);
        let count = u32::try_from(whole).unwrap_or(u32::MAX);
        self.handle_run(now, train, Run { bytes: alike, len: segment, count });
        if !last.is_empty() {
            self.handle_run(now, train, Run { bytes: last, len: last.len(), count: 1 });
        }
    }

    #[inline]
    fn handle_run(&mut self, now: Instant, train: &Train<'_>, run: Run<'_>) {
        let request = match self.read_raw(train, run.len) {
            Ok(request) => request,
            Err(reason) => return self.refuse_run(train, train.door.fallback, reason, run.count),
        };
        let ready = self.reckon(train, request, run.len);
        let priority = ready.candidate.priority;
        self.note_arrivals(train, priority, run.count);
        if train.banned {
            return self.refuse_run(train, priority, DropReason::EgressNoRoute, run.count);
        }
        self.admission.possible.add(ready.bucket, priority, run.count);
        if run.count == 1 {
            if let Err(reason) = self.admit(now, train, &ready, run) {
                self.refuse_run(train, priority, reason, 1);
            }
        } else {
            self.handle_neighbours(now, train, &ready, run);
        }
    }

    /// As many neighbours as can be one packet are admitted as one. Where that many do not fit, they are judged singly; once
    /// one of them is refused, nothing has changed for those behind it, which are all alike.
    fn handle_neighbours(&mut self, now: Instant, train: &Train<'_>, ready: &Ready, run: Run<'_>) {
        let most = self.side_by_side(train, ready, run.len);
        let mut at = 0;
        while at < run.count {
            let count = most.min(run.count - at);
            let charged = self.charged(ready, count);
            let together = charged.as_ref().unwrap_or(ready);
            if count > 1
                && self.admission.admits_all(now, &together.candidate, count)
                && self
                    .queue_packet(train, together, run.part(at, count), Admitted::Expected, None)
                    .is_ok()
            {
                at += count;
                continue;
            }
            for one in at..at + count {
                let alone = self.charged(ready, 1);
                if let Err(reason) =
                    self.admit(now, train, alone.as_ref().unwrap_or(ready), run.part(one, 1))
                {
                    let rest = run.count - one;
                    self.admission.note_refused(&ready.candidate, rest - 1);
                    return self.refuse_run(train, ready.candidate.priority, reason, rest);
                }
            }
            at += count;
        }
    }

    /// The same for `count` of them, by what has been queued meanwhile; none where nothing hangs on that.
    #[inline]
    fn charged(&self, ready: &Ready, count: u32) -> Option<Ready> {
        self.admission.batches.any().then(|| {
            let Candidate { bucket, priority, .. } = ready.candidate;
            let service = self.admission.charge(bucket, priority, count);
            Ready { candidate: Candidate { service, ..ready.candidate }, ..*ready }
        })
    }

    /// The most of them that may be one packet: they must fit a slot and a send, and be run within a slice.
    #[inline]
    fn side_by_side(&self, train: &Train<'_>, ready: &Ready, len: usize) -> u32 {
        if train.door.side_by_side == 1 || len < RESULT_ALWAYS_FITS || len > SEGMENT_MAX as usize {
            return 1;
        }
        let each = ready.candidate.service.saturating_sub(self.admission.overhead());
        let in_slice = match self.admission.batches.rows_of(ready.request.kernel) {
            Some(rows) => rows as u64,
            None => self.plan.slice.get() / each.get().max(1),
        };
        let in_slot = self.pool.slot_len().min(GSO_BYTES_MAX) / len;
        let most = u32::from(train.door.side_by_side);
        let bytes = u32::try_from(in_slot).unwrap_or(most);
        most.min(bytes).min(u32::try_from(in_slice).unwrap_or(most)).max(1)
    }

    #[inline]
    pub(super) fn note_arrivals(&mut self, train: &Train<'_>, priority: Priority, count: u32) {
        self.counters.add_class(priority, ClassField::Arrivals, u64::from(count));
        if priority == Priority::High {
            for _ in 0..count {
                self.high_gap.record(train.released);
            }
        }
    }

    /// What raw datagrams of that length ask for.
    #[inline]
    fn read_raw(&self, train: &Train<'_>, len: usize) -> Result<Request, DropReason> {
        if train.received.truncated || len > self.max_datagram {
            return Err(DropReason::RxTruncated);
        }
        if len == 0 && !train.door.serve_empty {
            return Err(DropReason::ParseError);
        }
        let input = Input { tos: train.received.tos, header: None, len };
        let class = self.classifiers[train.door.ingress.index()].classify(&input)?;
        Ok(Request { class, kernel: train.door.kernel, flags: PacketFlags::default(), flow: 0 })
    }

    #[inline]
    pub(super) fn reckon(&self, train: &Train<'_>, request: Request, len: usize) -> Ready {
        let Class { priority, budget } = request.class;
        let deadline = train.released + budget;
        let bucket = estimate::bucket(request.kernel, len);
        let candidate = Candidate {
            priority,
            released: train.released,
            deadline,
            queued_by: deadline,
            service: self.admission.charge(bucket, priority, 1),
            bucket,
            bound: train.door.ordered,
        };
        Ready { request, bucket, candidate }
    }

    /// Counts raw datagrams that are not taken in.
    pub(super) fn refuse_run(
        &mut self,
        train: &Train<'_>,
        priority: Priority,
        reason: DropReason,
        count: u32,
    ) {
        if reason.is_overload() {
            self.rooms.refused(priority, count);
            self.refused += u64::from(count);
        }
        let mut cell = self.counters.cell(train.door.ingress, priority);
        cell.add(Field::Received, u64::from(count));
        cell.drop(reason, u64::from(count));
    }
}
