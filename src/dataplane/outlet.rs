//! From a finished packet to a counted answer: which way it leaves, what it may not do, and how its end is booked.
//!
//! Knows no sockets, only their numbers.

use super::egress::Route;
use super::options::{EgressOptions, Framing, Late, Mode};
use super::sessions::{Client, Sessions, WayBack};
use super::worker::Worker;
use crate::base::{DropReason, IngressId, Instant, Nanos, Priority};
use crate::io::{Part, SendError};
use crate::kernel::{Row, RowStatus};
use crate::packet::framed::{self, Kind};
use crate::packet::{BufPool, Packet, Slot};
use crate::stats::{ClassField, Counters, Field};

/// How a result is booked once it was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Booking {
    Replied,
    Forwarded,
    /// A refusal: its packet is already booked as dropped.
    None,
}

/// What has to be booked and freed when a result has left.
#[derive(Clone, Copy, Debug)]
pub(super) struct Account {
    pub(super) slot: Slot,
    pub(super) ingress: IngressId,
    pub(super) priority: Priority,
    pub(super) booking: Booking,
    pub(super) released: Instant,
    pub(super) deadline: Instant,
    pub(super) kernel_time: Nanos,
}

/// Books results.
#[derive(Debug)]
pub(super) struct Outlet<'a> {
    pub(super) now: Instant,
    pub(super) pool: &'a mut BufPool,
    pub(super) counters: &'a mut Counters,
}

impl Outlet<'_> {
    /// A result has left, or met a fault.
    #[inline]
    pub(super) fn settle(&mut self, account: Account, fault: Option<SendError>) {
        self.pool.release(account.slot);
        let field = match account.booking {
            Booking::Replied => Field::Replied,
            Booking::Forwarded => Field::Forwarded,
            Booking::None => return,
        };
        let mut cell = self.counters.cell(account.ingress, account.priority);
        cell.sub(Field::InFlight, 1);
        if let Some(fault) = fault {
            cell.drop(fault_reason(fault), 1);
            return;
        }
        cell.add(field, 1);
        cell.latency(self.now.since(account.released));
        let on_time = self.now <= account.deadline || !account.priority.enforces_deadline();
        cell.add(if on_time { Field::OnTime } else { Field::Late }, 1);
        if on_time {
            let useful = account.kernel_time.get();
            self.counters.add_class(account.priority, ClassField::KernelTimeUseful, useful);
        }
    }
}

const fn fault_reason(fault: SendError) -> DropReason {
    match fault {
        SendError::QueueFull => DropReason::EgressQueueFull,
        SendError::Refused(_) => DropReason::EgressError,
    }
}

impl EgressOptions {
    /// The table of the way back, where this way out has one.
    pub(super) fn sessions(&self, secret: u64) -> Option<Sessions> {
        match self.mode {
            Mode::Forward { sessions, .. } => Some(Sessions::new(sessions, secret)),
            Mode::Reply { .. } | Mode::Send { .. } => None,
        }
    }
}

impl Worker {
    /// A packet has been run: its result goes out, or the packet is dropped (gate G5).
    #[inline]
    pub(super) fn finish(&mut self, now: Instant, packet: Packet, row: Row, kernel_time: Nanos) {
        if row.status == RowStatus::Failed {
            return self.drop_packet(now, packet, DropReason::KernelError);
        }
        let egress = self.ingresses[packet.ingress.index()].egress;
        let late = packet.priority.enforces_deadline() && now > packet.deadline;
        if late && self.egresses[egress.index()].late == Late::Drop {
            return self.drop_packet(now, packet, DropReason::LateAfterKernel);
        }
        let len = row.len + packet.header_len();
        let Some((route, booking)) = self.way_out(now, &packet, len) else {
            return self.drop_packet(now, packet, DropReason::EgressNoRoute);
        };
        if packet.flags.framed && booking == Booking::Replied {
            framed::turn_into(self.pool.slot_mut(packet.slot), Kind::Answer, u8::from(late));
        }
        let part = self.part(packet.slot, len);
        let account = Account {
            slot: packet.slot,
            ingress: packet.ingress,
            priority: packet.priority,
            booking,
            released: packet.released,
            deadline: packet.deadline,
            kernel_time,
        };
        if self.out.push(now, &route, part, account).is_err() {
            self.drop_packet(now, packet, DropReason::EgressQueueFull);
        }
    }

    /// Which way a result of `len` bytes leaves, if there is a permitted one.
    #[inline]
    fn way_out(&mut self, now: Instant, packet: &Packet, len: usize) -> Option<(Route, Booking)> {
        let origin = self.origins[packet.slot.index()];
        let egress = self.ingresses[packet.ingress.index()].egress;
        match self.egresses[egress.index()].mode {
            Mode::Reply { .. } => self
                .may_answer(packet.ingress, packet.len as usize, len)
                .then(|| (self.reply_route(&origin), Booking::Replied)),
            Mode::Send { socket } => {
                let gso = self.sockets[socket.index()].gso;
                Some((Route { socket, to: None, from: None, gso }, Booking::Forwarded))
            }
            Mode::Forward { first_socket, .. } => {
                let client =
                    Client { peer: origin.peer, local: origin.local, socket: origin.socket };
                let way_back =
                    WayBack { client, ingress: packet.ingress, priority: packet.priority };
                let session = self.sessions[egress.index()].as_mut()?.request(now, way_back)?;
                let socket = crate::base::SocketId(first_socket.0 + u16::try_from(session).ok()?);
                let gso = self.sockets[socket.index()].gso;
                Some((Route { socket, to: None, from: None, gso }, Booking::Forwarded))
            }
        }
    }

    /// Bytes out never exceed bytes in by more than was allowed: the sender's address may be forged.
    #[inline]
    pub(super) fn may_answer(&self, ingress: IngressId, len_in: usize, len_out: usize) -> bool {
        match self.egresses[self.ingresses[ingress.index()].egress.index()].mode {
            Mode::Reply { amplification_per_mille, .. } => {
                len_out as u64 * 1_000 <= len_in as u64 * u64::from(amplification_per_mille)
            }
            Mode::Send { .. } | Mode::Forward { .. } => true,
        }
    }

    pub(super) fn reply_route(&self, origin: &super::worker::Origin) -> Route {
        Route {
            socket: origin.socket,
            to: Some(origin.peer),
            from: origin.local,
            gso: self.sockets[origin.socket.index()].gso,
        }
    }

    pub(super) fn part(&self, slot: Slot, len: usize) -> Part {
        let as_u32 = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        Part { start: as_u32(self.pool.offset(slot)), len: as_u32(len) }
    }

    /// Tells the sender of a dropped packet, whose header lies in its slot. `false`: it cannot be told, the slot is still
    /// the caller's. A refusal is 32 bytes, never more than its request was.
    pub(super) fn refuse(&mut self, now: Instant, packet: Packet, reason: DropReason) -> bool {
        let ingress = &self.ingresses[packet.ingress.index()];
        let replies = matches!(self.egresses[ingress.egress.index()].mode, Mode::Reply { .. });
        let fits = self.may_answer(packet.ingress, packet.len as usize, framed::LEN);
        if !replies || !fits || ingress.framing != Framing::Framed {
            return false;
        }
        framed::turn_into(self.pool.slot_mut(packet.slot), Kind::Refusal, reason as u8);
        let route = self.reply_route(&self.origins[packet.slot.index()]);
        let part = self.part(packet.slot, framed::LEN);
        let account = Account {
            slot: packet.slot,
            ingress: packet.ingress,
            priority: packet.priority,
            booking: Booking::None,
            released: packet.released,
            deadline: packet.deadline,
            kernel_time: Nanos::ZERO,
        };
        self.out.push(now, &route, part, account).is_ok()
    }
}
