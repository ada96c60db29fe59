//! From a finished packet to a counted answer: which way it leaves, what it may not do, and how its end is booked.
//!
//! Knows no sockets, only their numbers.

use std::net::{IpAddr, SocketAddr};

use super::egress::Route;
use super::options::{EgressOptions, Framing, Late, Mode};
use super::sessions::{Client, Sessions, WayBack};
use super::worker::Worker;
use crate::base::{DropReason, IngressId, Instant, Nanos, Priority, SocketId};
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

/// Books results. Neighbours that are alike in all that is counted (the rest of a train, above all) are counted at once.
#[derive(Debug)]
pub(super) struct Outlet<'a> {
    now: Instant,
    pool: &'a mut BufPool,
    counters: &'a mut Counters,
    /// The first of those that are alike and not yet booked, and how many they are.
    alike: Option<(Account, u64)>,
}

impl<'a> Outlet<'a> {
    pub(super) const fn new(
        now: Instant,
        pool: &'a mut BufPool,
        counters: &'a mut Counters,
    ) -> Self {
        Self { now, pool, counters, alike: None }
    }

    /// A result has left, or met a fault. [`Outlet::book`] follows the last.
    #[inline]
    pub(super) fn settle(&mut self, account: &Account, fault: Option<SendError>) {
        self.pool.release(account.slot);
        if let Some(fault) = fault {
            return self.book_fault(account, fault);
        }
        match &mut self.alike {
            Some((first, count)) if first.counts_as(account) => *count += 1,
            _ => {
                self.book();
                self.alike = Some((*account, 1));
            }
        }
    }

    #[cold]
    fn book_fault(&mut self, account: &Account, fault: SendError) {
        if account.booking != Booking::None {
            let mut cell = self.counters.cell(account.ingress, account.priority);
            cell.sub(Field::InFlight, 1);
            cell.drop(fault_reason(fault), 1);
        }
    }

    /// Takes into the figures what has left.
    pub(super) fn book(&mut self) {
        let Some((account, count)) = self.alike.take() else { return };
        let field = match account.booking {
            Booking::Replied => Field::Replied,
            Booking::Forwarded => Field::Forwarded,
            Booking::None => return,
        };
        let mut cell = self.counters.cell(account.ingress, account.priority);
        cell.sub(Field::InFlight, count);
        cell.add(field, count);
        cell.latencies_of(self.now.since(account.released), count);
        let on_time = self.now <= account.deadline || !account.priority.enforces_deadline();
        cell.add(if on_time { Field::OnTime } else { Field::Late }, count);
        if on_time {
            let useful = account.kernel_time.saturating_mul(count).get();
            self.counters.add_class(account.priority, ClassField::KernelTimeUseful, useful);
        }
    }
}

impl Account {
    /// Whether nothing but the slot tells them apart.
    #[inline]
    fn counts_as(&self, other: &Self) -> bool {
        self.released == other.released
            && self.deadline == other.deadline
            && self.kernel_time == other.kernel_time
            && (self.ingress, self.priority, self.booking)
                == (other.ingress, other.priority, other.booking)
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
        let booking = match self.egresses[egress.index()].mode {
            Mode::Reply { .. } => {
                if !self.may_answer(packet.ingress, packet.len as usize, len) {
                    return self.drop_packet(now, packet, DropReason::EgressNoRoute);
                }
                if packet.flags.framed {
                    let status = u8::from(late);
                    framed::turn_into(self.pool.slot_mut(packet.slot), Kind::Answer, status);
                }
                Booking::Replied
            }
            Mode::Send { .. } | Mode::Forward { .. } => Booking::Forwarded,
        };
        let account = Account {
            slot: packet.slot,
            ingress: packet.ingress,
            priority: packet.priority,
            booking,
            released: packet.released,
            deadline: packet.deadline,
            kernel_time,
        };
        let part = self.part(packet.slot, len);
        let pushed = if booking == Booking::Replied {
            let route = &self.origins[packet.slot.index()].route;
            self.out.push(now, route, part, account)
        } else {
            let Some(route) = self.way_on(now, &packet) else {
                return self.drop_packet(now, packet, DropReason::EgressNoRoute);
            };
            self.out.push(now, &route, part, account)
        };
        if pushed.is_err() {
            self.drop_packet(now, packet, DropReason::EgressQueueFull);
        }
    }

    /// By which socket a result is sent on, if there is one for it.
    fn way_on(&mut self, now: Instant, packet: &Packet) -> Option<Route> {
        let egress = self.ingresses[packet.ingress.index()].egress;
        let socket = match self.egresses[egress.index()].mode {
            Mode::Reply { .. } => return None,
            Mode::Send { socket } => socket,
            Mode::Forward { first_socket, .. } => {
                let Route { to, from, socket, .. } = self.origins[packet.slot.index()].route;
                let client = Client { peer: to?, local: from, socket };
                let way_back =
                    WayBack { client, ingress: packet.ingress, priority: packet.priority };
                let session = self.sessions[egress.index()].as_mut()?.request(now, way_back)?;
                SocketId(first_socket.0 + u16::try_from(session).ok()?)
            }
        };
        let gso = self.sockets[socket.index()].gso;
        Some(Route { socket, to: None, from: None, gso })
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

    #[inline]
    pub(super) fn reply_route(
        &self,
        socket: SocketId,
        peer: SocketAddr,
        from: Option<IpAddr>,
    ) -> Route {
        Route { socket, to: Some(peer), from, gso: self.sockets[socket.index()].gso }
    }

    #[inline]
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
        let route = &self.origins[packet.slot.index()].route;
        self.out.push(now, route, part, account).is_ok()
    }
}
