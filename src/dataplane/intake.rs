//! From a received train to queued packets: parse, classify, admit, copy. Every datagram is counted once, whatever happens.
//!
//! Knows no sockets: what was received is an argument.

use super::egress::Route;
use super::options::{Framing, Mode, Order, SocketRole};
use super::outlet::{Account, Booking};
use super::own::Beware;
use super::worker::{Origin, Worker};
use crate::base::limits::KERNELS_MAX;
use crate::base::{DropReason, EgressId, IngressId, Instant, KernelId, Nanos, Priority};
use crate::classify::{Class, Input};
use crate::io::{Received, Stamp};
use crate::packet::framed::{self, Header, Kind};
use crate::packet::{Packet, PacketFlags};
use crate::sched::admission::Candidate;
use crate::sched::estimate;
use crate::stats::{ClassField, Field, WorkerField};

/// What is the same for all datagrams of one train.
#[derive(Clone, Copy, Debug)]
struct Train {
    ingress: IngressId,
    /// The class under which datagrams are counted that are dropped before they have one.
    fallback: Priority,
    /// The way back to the sender.
    route: Route,
    released: Instant,
    tos: u8,
    framing: Framing,
    /// The sender may not be answered.
    banned: bool,
}

/// What a datagram asks for.
#[derive(Clone, Copy, Debug)]
struct Request {
    class: Class,
    kernel: KernelId,
    flags: PacketFlags,
    flow: u32,
}

/// A request with what follows from it, reckoned once for all datagrams of a train that are alike: raw ones of one length.
#[derive(Clone, Copy, Debug)]
struct Ready {
    request: Request,
    len: usize,
    bucket: u16,
    candidate: Candidate,
}

/// Datagrams of one train and class that arrived, and those that were admitted, not yet among the figures.
#[derive(Clone, Copy, Debug)]
struct Tally {
    priority: Priority,
    arrived: u64,
    admitted: u64,
}

/// What is to be done with a datagram.
enum Parsed {
    Request(Request),
    Ping,
}

impl Worker {
    /// Takes in what one receive has brought.
    pub fn handle_rx(&mut self, now: Instant, received: &Received<'_>) {
        self.counters.add_worker(WorkerField::Receives, 1);
        match self.sockets[received.socket.index()].role {
            SocketRole::Listen { ingress, class } => {
                self.handle_requests(now, ingress, class, received);
            }
            SocketRole::Upstream { egress, session } => {
                self.handle_answers(now, egress, session, received);
            }
            SocketRole::Send => {}
        }
    }

    fn handle_requests(
        &mut self,
        now: Instant,
        id: IngressId,
        class: Option<Priority>,
        received: &Received<'_>,
    ) {
        let ingress = &self.ingresses[id.index()];
        let train = Train {
            ingress: id,
            fallback: class.unwrap_or_else(|| ingress.fallback()),
            route: self.reply_route(received.socket, received.peer, received.local),
            released: received.stamp.instant(),
            tos: received.tos,
            framing: ingress.framing,
            banned: self.banned(id, received),
        };
        self.rooms.read(train.fallback, now);
        let mut ready = None;
        let mut tally = Tally { priority: train.fallback, arrived: 0, admitted: 0 };
        for datagram in received.datagrams() {
            if let Err(reason) = self.prepare(&train, datagram, received.truncated, &mut ready) {
                self.reject(now, &train, train.fallback, datagram, reason);
                continue;
            }
            match &ready {
                Some(ready) => self.handle_request(now, &train, ready, datagram, &mut tally),
                None => self.pong(now, &train, datagram),
            }
        }
        self.count(&train, &mut tally);
        self.count_stamps(&train, received);
    }

    fn count_stamps(&mut self, train: &Train, received: &Received<'_>) {
        let field = match received.stamp {
            Stamp::Kernel(_) => return,
            Stamp::Missing(_) => Field::StampMissing,
            Stamp::Anomaly(_) => Field::ClockAnomaly,
        };
        let count = received.datagrams().count() as u64;
        self.counters.cell(train.ingress, train.fallback).add(field, count);
    }

    /// Takes what was tallied into the figures.
    #[inline]
    fn count(&mut self, train: &Train, tally: &mut Tally) {
        let Tally { priority, arrived, admitted } = *tally;
        self.counters.add_class(priority, ClassField::Arrivals, arrived);
        self.counters.add_class(priority, ClassField::Admitted, admitted);
        let mut cell = self.counters.cell(train.ingress, priority);
        cell.add(Field::Received, admitted);
        cell.add(Field::InFlight, admitted);
        (tally.arrived, tally.admitted) = (0, 0);
    }

    /// Whether answering this sender could make a loop, or would reach nobody.
    fn banned(&self, id: IngressId, received: &Received<'_>) -> bool {
        let (ingress, peer) = (&self.ingresses[id.index()], &received.peer);
        if Beware::nobody(peer) || self.beware.ourselves(peer) {
            return true;
        }
        match self.egresses[ingress.egress.index()].mode {
            Mode::Reply { low_source_ports, .. } => {
                (peer.port() < 1_024 && !low_source_ports)
                    || (ingress.framing == Framing::Raw && self.beware.our_port(peer))
            }
            Mode::Send { .. } | Mode::Forward { .. } => false,
        }
    }

    /// Finds out what a datagram asks for. Raw datagrams of one train differ in nothing but their length: what was found
    /// for the one before serves again. `None` is left for a ping.
    #[inline]
    fn prepare(
        &self,
        train: &Train,
        datagram: &[u8],
        truncated: bool,
        ready: &mut Option<Ready>,
    ) -> Result<(), DropReason> {
        if train.framing == Framing::Raw && ready.is_some_and(|r| r.len == datagram.len()) {
            return Ok(());
        }
        *ready = match self.parse(train, datagram, truncated)? {
            Parsed::Request(request) => Some(self.reckon(train, request, datagram.len())),
            Parsed::Ping => None,
        };
        Ok(())
    }

    #[inline]
    fn reckon(&self, train: &Train, request: Request, len: usize) -> Ready {
        let Class { priority, budget } = request.class;
        let deadline = train.released + budget;
        let bucket = estimate::bucket(request.kernel, len);
        let candidate = Candidate {
            priority,
            released: train.released,
            deadline,
            queued_by: deadline,
            service: self.admission.predict(bucket, priority),
        };
        Ready { request, len, bucket, candidate }
    }

    #[inline]
    fn handle_request(
        &mut self,
        now: Instant,
        train: &Train,
        ready: &Ready,
        datagram: &[u8],
        tally: &mut Tally,
    ) {
        let priority = ready.candidate.priority;
        if tally.priority != priority {
            self.count(train, tally);
            tally.priority = priority;
        }
        tally.arrived += 1;
        if priority == Priority::High {
            self.high_gap.record(train.released);
        }
        if train.banned {
            return self.reject(now, train, priority, datagram, DropReason::EgressNoRoute);
        }
        match self.admit(now, train, ready, datagram) {
            Ok(()) => tally.admitted += 1,
            Err(reason) => self.reject(now, train, priority, datagram, reason),
        }
        if self.admission.has_evicted() {
            self.count(train, tally);
            self.drop_evicted(now);
        }
    }

    #[cold]
    fn drop_evicted(&mut self, now: Instant) {
        while let Some(evicted) = self.admission.next_evicted() {
            self.leave_queue(&evicted);
            self.drop_packet(now, evicted, DropReason::Evicted);
        }
    }

    #[inline]
    fn parse(&self, train: &Train, datagram: &[u8], truncated: bool) -> Result<Parsed, DropReason> {
        if truncated || datagram.len() > self.max_datagram {
            return Err(DropReason::RxTruncated);
        }
        let ingress = &self.ingresses[train.ingress.index()];
        if datagram.is_empty() && !ingress.serve_empty {
            return Err(DropReason::ParseError);
        }
        let mut flags = PacketFlags::default();
        let mut kernel = ingress.kernel;
        let mut flow = 0;
        let mut header = None;
        if train.framing == Framing::Framed {
            let Ok((parsed, kind)) = Header::parse(datagram) else {
                return Err(DropReason::ParseError);
            };
            match kind {
                Kind::Request => {}
                Kind::Ping => return Ok(Parsed::Ping),
                // Never answered: that is how two services that trust each other would talk for ever.
                Kind::Answer | Kind::Refusal | Kind::Pong => return Err(DropReason::ParseError),
            }
            flags.framed = true;
            flags.wants_refusal = parsed.wants_refusal();
            flow = parsed.flow.get();
            kernel = self.kernel(parsed.kernel.get(), kernel)?;
            header = Some(parsed);
        }
        let input = Input { tos: train.tos, header, len: datagram.len() };
        let class = self.classifiers[train.ingress.index()].classify(&input)?;
        Ok(Parsed::Request(Request { class, kernel, flags, flow }))
    }

    fn kernel(&self, number: u16, own: KernelId) -> Result<KernelId, DropReason> {
        const _: () =
            assert!(KERNELS_MAX < u16::MAX as usize, "kernel numbers fit the header's field");
        match number.checked_sub(1) {
            None => Ok(own),
            Some(n) if usize::from(n) < self.kernel_batch_max.len() => Ok(KernelId(n)),
            Some(_) => Err(DropReason::Unclassified),
        }
    }

    #[inline]
    fn admit(
        &mut self,
        now: Instant,
        train: &Train,
        ready: &Ready,
        datagram: &[u8],
    ) -> Result<(), DropReason> {
        let mut candidate = ready.candidate;
        let note = self.enter_flow(train, &ready.request, &mut candidate);
        let verdict = self.admission.admit(now, &candidate);
        let slot = verdict.and_then(|probe| {
            self.pool.insert(datagram).map(|slot| (slot, probe)).ok_or(DropReason::RxNoBuffer)
        });
        let (slot, probe) = slot.inspect_err(|_| {
            if let Some(note) = note {
                self.flows.leave(note);
            }
        })?;
        if probe {
            self.counters.add_class(candidate.priority, ClassField::Probes, 1);
        }
        let packet = Packet {
            slot,
            ingress: train.ingress,
            kernel: ready.request.kernel,
            priority: candidate.priority,
            flags: PacketFlags { probe, ..ready.request.flags },
            released: candidate.released,
            deadline: candidate.deadline,
            service: candidate.service,
            bucket: ready.bucket,
            len: u32::try_from(datagram.len()).unwrap_or(u32::MAX),
        };
        self.origins[slot.index()] = Origin { route: train.route, note };
        self.admission.push(packet, &candidate);
        Ok(())
    }

    /// Notes the packet's flow where its budget could let it overtake: with one budget for all, arrival order is deadline
    /// order.
    #[inline]
    fn enter_flow(
        &mut self,
        train: &Train,
        request: &Request,
        candidate: &mut Candidate,
    ) -> Option<crate::sched::flow::FlowNote> {
        let ordered = self.ingresses[train.ingress.index()].order == Order::Flow;
        if train.framing == Framing::Raw || !ordered {
            return None;
        }
        let flow = flow_hash(train, request.flow);
        let (queued_by, note) = self.flows.enter(flow, candidate.priority, candidate.deadline);
        candidate.queued_by = queued_by;
        Some(note)
    }

    /// Counts a datagram that is not taken in, and tells its sender where that was asked for.
    fn reject(
        &mut self,
        now: Instant,
        train: &Train,
        priority: Priority,
        datagram: &[u8],
        reason: DropReason,
    ) {
        if reason.is_overload() {
            self.rooms.refused(priority);
        }
        let mut cell = self.counters.cell(train.ingress, priority);
        cell.add(Field::Received, 1);
        cell.drop(reason, 1);
        let wants = train.framing == Framing::Framed
            && !train.banned
            && Header::parse(datagram)
                .is_ok_and(|(h, kind)| kind == Kind::Request && h.wants_refusal());
        if !wants {
            return;
        }
        let Some(slot) = self.pool.insert(&datagram[..framed::LEN]) else { return };
        self.origins[slot.index()] = Origin { route: train.route, note: None };
        let packet = Packet {
            len: u32::try_from(datagram.len()).unwrap_or(u32::MAX),
            ..self.headed(train, priority, slot)
        };
        if !self.refuse(now, packet, reason) {
            self.pool.release(slot);
        }
    }

    /// A ping is answered at once, besides the queue.
    fn pong(&mut self, now: Instant, train: &Train, datagram: &[u8]) {
        let replies = matches!(
            self.egresses[self.ingresses[train.ingress.index()].egress.index()].mode,
            Mode::Reply { .. }
        );
        if train.banned
            || !replies
            || !self.may_answer(train.ingress, datagram.len(), datagram.len())
        {
            return self.reject(now, train, train.fallback, datagram, DropReason::EgressNoRoute);
        }
        let Some(slot) = self.pool.insert(datagram) else {
            return self.reject(now, train, train.fallback, datagram, DropReason::RxNoBuffer);
        };
        framed::turn_into(self.pool.slot_mut(slot), Kind::Pong, 0);
        self.origins[slot.index()] = Origin { route: train.route, note: None };
        let packet = self.headed(train, train.fallback, slot);
        self.send_at_once(now, packet, &train.route, datagram.len(), Booking::Replied);
    }

    fn headed(&self, train: &Train, priority: Priority, slot: crate::packet::Slot) -> Packet {
        Packet {
            slot,
            ingress: train.ingress,
            kernel: KernelId(0),
            priority,
            flags: PacketFlags { framed: true, ..PacketFlags::default() },
            released: train.released,
            deadline: train.released + self.budgets[priority],
            service: Nanos::ZERO,
            bucket: 0,
            len: 0,
        }
    }

    /// Books a packet as received and puts it straight into the send queue.
    fn send_at_once(
        &mut self,
        now: Instant,
        packet: Packet,
        route: &Route,
        len: usize,
        booking: Booking,
    ) {
        let mut cell = self.counters.cell(packet.ingress, packet.priority);
        cell.add(Field::Received, 1);
        cell.add(Field::InFlight, 1);
        let account = Account {
            slot: packet.slot,
            ingress: packet.ingress,
            priority: packet.priority,
            booking,
            released: packet.released,
            deadline: packet.deadline,
            kernel_time: Nanos::ZERO,
        };
        let part = self.part(packet.slot, len);
        if self.out.push(now, route, part, account).is_err() {
            self.drop_packet(now, packet, DropReason::EgressQueueFull);
        }
    }

    /// Answers from an upstream go straight to their clients: the work is done, only the last step is left.
    fn handle_answers(
        &mut self,
        now: Instant,
        egress: EgressId,
        session: u32,
        received: &Received<'_>,
    ) {
        let Mode::Forward { answers, .. } = self.egresses[egress.index()].mode else { return };
        for datagram in received.datagrams() {
            self.handle_answer(now, answers, (egress, session), received, datagram);
        }
    }

    fn handle_answer(
        &mut self,
        now: Instant,
        counted_as: IngressId,
        (egress, session): (EgressId, u32),
        received: &Received<'_>,
        datagram: &[u8],
    ) {
        let way_back = self.sessions[egress.index()].as_mut().and_then(|s| s.answer(now, session));
        let priority = way_back.map_or(Priority::BestEffort, |w| w.priority);
        let slot = match way_back {
            None => Err(DropReason::EgressNoRoute),
            Some(_) if received.truncated || datagram.len() > self.max_datagram => {
                Err(DropReason::RxTruncated)
            }
            Some(w) => self.pool.insert(datagram).map(|s| (s, w)).ok_or(DropReason::RxNoBuffer),
        };
        let (slot, way_back) = match slot {
            Ok(both) => both,
            Err(reason) => {
                let mut cell = self.counters.cell(counted_as, priority);
                cell.add(Field::Received, 1);
                return cell.drop(reason, 1);
            }
        };
        let client = way_back.client;
        let route = self.reply_route(client.socket, client.peer, client.local);
        self.origins[slot.index()] = Origin { route, note: None };
        let released = received.stamp.instant();
        let packet = Packet {
            slot,
            ingress: counted_as,
            kernel: KernelId(0),
            priority,
            flags: PacketFlags::default(),
            released,
            deadline: released + self.budgets[priority],
            service: Nanos::ZERO,
            bucket: 0,
            len: 0,
        };
        self.send_at_once(now, packet, &route, datagram.len(), Booking::Forwarded);
    }
}

/// Mixes what tells flows apart. Not for tables that outsiders could fill: a clash only costs the chance to overtake.
fn flow_hash(train: &Train, flow: u32) -> u64 {
    use std::hash::{Hash as _, Hasher as _};
    let mut hasher = std::hash::DefaultHasher::new();
    (train.route.to, train.route.socket, flow).hash(&mut hasher);
    hasher.finish()
}
