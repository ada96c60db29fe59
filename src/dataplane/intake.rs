//! From a received train to queued packets: parse, classify, admit, copy. Every datagram is counted once, whatever happens.
//!
//! Knows no sockets: what was received is an argument.

use super::door::{Door, Listen};
use super::egress::{Route, SEGMENT_MAX};
use super::flow_key::flow_key;
use super::options::Framing;
use super::worker::{Origin, Worker};
use crate::base::limits::{GSO_BYTES_MAX, KERNELS_MAX};
use crate::base::{DropReason, Instant, KernelId, Nanos, Priority};
use crate::classify::{Class, Input};
use crate::io::{Received, Stamp};
use crate::kernel::RESULT_ALWAYS_FITS;
use crate::packet::framed::{self, Header, Kind};
use crate::packet::{Packet, PacketFlags, Slot};
use crate::sched::admission::{Admitted, Candidate};
use crate::sched::estimate;
use crate::sched::flow::FlowNote;
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
struct Request {
    class: Class,
    kernel: KernelId,
    flags: PacketFlags,
    flow: u32,
}

/// A request with what follows from it.
#[derive(Clone, Copy, Debug)]
struct Ready {
    request: Request,
    bucket: u16,
    candidate: Candidate,
}

/// Neighbours of a train that are alike: `count` datagrams of `len` bytes each, without a gap.
#[derive(Clone, Copy, Debug)]
struct Run<'a> {
    bytes: &'a [u8],
    len: usize,
    count: u32,
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

/// What is to be done with a framed datagram.
enum Parsed {
    Request(Request),
    Ping,
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
    fn note_arrivals(&mut self, train: &Train<'_>, priority: Priority, count: u32) {
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
    fn reckon(&self, train: &Train<'_>, request: Request, len: usize) -> Ready {
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

    fn handle_framed(&mut self, now: Instant, train: &Train<'_>, datagram: &[u8]) {
        let request = match self.parse(train, datagram) {
            Ok(Parsed::Request(request)) => request,
            Ok(Parsed::Ping) => return self.pong(now, train, datagram),
            Err(reason) => return self.reject(now, train, train.door.fallback, datagram, reason),
        };
        let mut ready = self.reckon(train, request, datagram.len());
        let priority = ready.candidate.priority;
        self.note_arrivals(train, priority, 1);
        if train.banned {
            return self.reject(now, train, priority, datagram, DropReason::EgressNoRoute);
        }
        self.admission.possible.add(ready.bucket, priority, 1);
        let note = self.enter_flow(train, &request, &mut ready.candidate);
        let run = Run { bytes: datagram, len: datagram.len(), count: 1 };
        if let Err(reason) = self.admit_noted(now, train, &ready, run, note) {
            if let Some(note) = note {
                self.flows.leave(note);
            }
            self.reject(now, train, priority, datagram, reason);
        }
    }

    fn parse(&self, train: &Train<'_>, datagram: &[u8]) -> Result<Parsed, DropReason> {
        if train.received.truncated || datagram.len() > self.max_datagram {
            return Err(DropReason::RxTruncated);
        }
        let Ok((header, kind)) = Header::parse(datagram) else {
            return Err(DropReason::ParseError);
        };
        match kind {
            Kind::Request => {}
            Kind::Ping => return Ok(Parsed::Ping),
            // Never answered: that is how two services that trust each other would talk for ever.
            Kind::Answer | Kind::Refusal | Kind::Pong => return Err(DropReason::ParseError),
        }
        let flags = PacketFlags {
            framed: true,
            wants_refusal: header.wants_refusal(),
            ..PacketFlags::default()
        };
        let kernel = self.kernel(header.kernel.get(), train.door.kernel)?;
        let input = Input { tos: train.received.tos, header: Some(header), len: datagram.len() };
        let class = self.classifiers[train.door.ingress.index()].classify(&input)?;
        Ok(Parsed::Request(Request { class, kernel, flags, flow: header.flow.get() }))
    }

    fn kernel(&self, number: u16, own: KernelId) -> Result<KernelId, DropReason> {
        const _: () =
            assert!(KERNELS_MAX < u16::MAX as usize, "kernel numbers fit the header's field");
        match number.checked_sub(1) {
            None => Ok(own),
            Some(n) if usize::from(n) < self.kernels.len() => Ok(KernelId(n)),
            Some(_) => Err(DropReason::Unclassified),
        }
    }

    #[inline]
    fn admit(
        &mut self,
        now: Instant,
        train: &Train<'_>,
        ready: &Ready,
        run: Run<'_>,
    ) -> Result<(), DropReason> {
        self.admit_noted(now, train, ready, run, None)
    }

    /// The gates for one datagram, and its place in the queue.
    #[inline(always)]
    fn admit_noted(
        &mut self,
        now: Instant,
        train: &Train<'_>,
        ready: &Ready,
        run: Run<'_>,
        note: Option<FlowNote>,
    ) -> Result<(), DropReason> {
        let admitted = match self.admission.admit(now, &ready.candidate) {
            Ok(admitted) => self.queue_admitted(train, ready, run, admitted, note),
            Err(reason) => self.admit_relieved(now, train, (ready, run, note), reason),
        };
        // Also where the candidate is refused: what waits in reserve may have run out of time.
        if self.admission.has_evicted() {
            self.drop_evicted(now);
        }
        admitted
    }

    #[inline]
    fn queue_admitted(
        &mut self,
        train: &Train<'_>,
        ready: &Ready,
        run: Run<'_>,
        admitted: Admitted,
        note: Option<FlowNote>,
    ) -> Result<(), DropReason> {
        let counted = match admitted {
            Admitted::Expected => None,
            Admitted::Probe => Some(ClassField::Probes),
            Admitted::Audit => Some(ClassField::Audits),
        };
        if let Some(field) = counted {
            self.counters.add_class(ready.candidate.priority, field, 1);
        }
        self.queue_packet(train, ready, run, admitted, note)
    }

    /// A datagram was refused, for the time being where a device could be of use: what that takes makes room. Once none can take
    /// any more, the gates decide who is refused, or gives way. Bounded: a device takes two batches at most.
    #[cold]
    #[inline(never)]
    fn admit_relieved(
        &mut self,
        now: Instant,
        train: &Train<'_>,
        (ready, run, note): (&Ready, Run<'_>, Option<FlowNote>),
        reason: DropReason,
    ) -> Result<(), DropReason> {
        let may_help = reason.is_overload() && reason != DropReason::ExpiredOnArrival;
        if may_help
            && self.admission.would_block()
            && let Some(helper) = self.free_helper(now)
            && self.goes_elsewhere(now, helper, train, (ready, run, note))
        {
            return Ok(());
        }
        let mut verdict = Err(reason);
        while verdict.is_err() && may_help && self.wants_relief() {
            self.form(now);
            verdict = self.admission.admit_again(now, &ready.candidate);
        }
        self.queue_admitted(train, ready, run, verdict?, note)
    }

    /// Copies admitted datagrams into a slot, queues them as one packet and counts them.
    #[inline]
    fn queue_packet(
        &mut self,
        train: &Train<'_>,
        ready: &Ready,
        run: Run<'_>,
        admitted: Admitted,
        note: Option<FlowNote>,
    ) -> Result<(), DropReason> {
        let Some(slot) = self.pool.insert(run.bytes) else {
            self.admission.withdraw();
            return Err(DropReason::RxNoBuffer);
        };
        let packet = self.lie_in(slot, train, (ready, &run), admitted, note);
        self.admission.push(packet, &ready.candidate);
        self.take_in(train, ready, run.count);
        Ok(())
    }

    /// A datagram was refused because others would wait for it here: whether that helper takes it.
    fn goes_elsewhere(
        &mut self,
        now: Instant,
        helper: usize,
        train: &Train<'_>,
        (ready, run, note): (&Ready, Run<'_>, Option<FlowNote>),
    ) -> bool {
        let Some(slot) = self.pool.insert(run.bytes) else { return false };
        let packet = self.lie_in(slot, train, (ready, &run), Admitted::Expected, note);
        let taken = self.hand_over_alone(now, helper, &packet, ready.candidate.queued_by);
        if taken {
            self.take_in(train, ready, run.count);
        } else {
            self.pool.release(packet.slot);
        }
        taken
    }

    /// What lies in a slot now, and a note of where it came from.
    #[inline(always)]
    fn lie_in(
        &mut self,
        slot: Slot,
        train: &Train<'_>,
        (ready, run): (&Ready, &Run<'_>),
        admitted: Admitted,
        note: Option<FlowNote>,
    ) -> Packet {
        let Ready { request, bucket, candidate } = ready;
        let seq = self.admission.queue().next_seq();
        self.origins[slot.index()] = Origin { route: train.route(), note, seq };
        Packet {
            released: candidate.released,
            deadline: candidate.deadline,
            service: candidate.service,
            slot,
            len: u16::try_from(run.len).unwrap_or(u16::MAX),
            count: u16::try_from(run.count).unwrap_or(u16::MAX),
            ingress: train.door.ingress,
            kernel: request.kernel,
            bucket: *bucket,
            priority: candidate.priority,
            flags: PacketFlags {
                probe: admitted != Admitted::Expected,
                unpredicted: admitted != Admitted::Expected,
                audit: admitted == Admitted::Audit,
                noted: note.is_some(),
                bound: candidate.bound,
                ..request.flags
            },
        }
    }

    #[inline]
    fn take_in(&mut self, train: &Train<'_>, ready: &Ready, count: u32) {
        let (priority, count) = (ready.candidate.priority, u64::from(count));
        self.counters.add_class(priority, ClassField::Admitted, count);
        self.counters.cell(train.door.ingress, priority).take_in(count);
    }

    #[cold]
    pub(super) fn drop_evicted(&mut self, now: Instant) {
        while let Some((evicted, reason)) = self.admission.next_evicted() {
            self.leave_queue(&evicted);
            self.drop_packet(now, evicted, reason);
        }
    }

    /// Notes the packet's flow where its budget could let it overtake: with one budget for all, arrival order is deadline
    /// order.
    fn enter_flow(
        &mut self,
        train: &Train<'_>,
        request: &Request,
        candidate: &mut Candidate,
    ) -> Option<FlowNote> {
        if !train.door.ordered {
            return None;
        }
        let flow = flow_key(train.received.peer, train.received.socket, request.flow);
        let (queued_by, note) = self.flows.enter(flow, candidate.priority, candidate.deadline);
        candidate.queued_by = queued_by;
        Some(note)
    }

    /// Counts raw datagrams that are not taken in.
    fn refuse_run(
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

    /// Counts a framed datagram that is not taken in, and tells its sender where that was asked for.
    pub(super) fn reject(
        &mut self,
        now: Instant,
        train: &Train<'_>,
        priority: Priority,
        datagram: &[u8],
        reason: DropReason,
    ) {
        self.refuse_run(train, priority, reason, 1);
        let wants = !train.banned
            && Header::parse(datagram)
                .is_ok_and(|(h, kind)| kind == Kind::Request && h.wants_refusal());
        if !wants {
            return;
        }
        let Some(slot) = self.pool.insert(&datagram[..framed::LEN]) else { return };
        self.origins[slot.index()] = Origin { route: train.route(), note: None, seq: 0 };
        let packet = Packet {
            len: u16::try_from(datagram.len()).unwrap_or(u16::MAX),
            ..self.headed(train, priority, slot)
        };
        if !self.refuse(now, packet, reason) {
            self.pool.release(slot);
        }
    }

    /// A packet of a framed ingress that passes no gates.
    pub(super) fn headed(&self, train: &Train<'_>, priority: Priority, slot: Slot) -> Packet {
        Packet {
            released: train.released,
            deadline: train.released + self.budgets[priority],
            service: Nanos::ZERO,
            slot,
            len: 0,
            count: 1,
            ingress: train.door.ingress,
            kernel: KernelId(0),
            bucket: 0,
            priority,
            flags: PacketFlags { framed: true, ..PacketFlags::default() },
        }
    }
}
