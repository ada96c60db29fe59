//! Framed datagrams: what the header asks for, and who is told that it is refused.
//!
//! Knows no gate: an admitted request goes the way of a raw datagram (`entry`).

use super::flow_key::flow_key;
use super::intake::{Request, Run, Train};
use super::worker::{Origin, Worker};
use crate::base::limits::KERNELS_MAX;
use crate::base::{DropReason, Instant, KernelId, Nanos, Priority};
use crate::classify::Input;
use crate::packet::framed::{self, Header, Kind};
use crate::packet::{Packet, PacketFlags, Slot};
use crate::sched::admission::Candidate;
use crate::sched::flow::FlowNote;

/// What is to be done with a framed datagram.
enum Parsed {
    Request(Request),
    Ping,
}

impl Worker {
    pub(super) fn handle_framed(&mut self, now: Instant, train: &Train<'_>, datagram: &[u8]) {
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
