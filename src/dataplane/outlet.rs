//! From a finished packet to a counted answer: which way it leaves, what it may not do, and how its end is booked.
//!
//! Knows no sockets, only their numbers.

use std::net::{IpAddr, SocketAddr};

use super::egress::Route;
use super::options::{EgressOptions, Ingress, Late, Mode, Options};
use super::sessions::{Client, Sessions, WayBack};
use super::worker::Worker;
use crate::base::{DropReason, IngressId, Instant, Nanos, Priority, SocketId};
use crate::io::{Part, SendError};
use crate::kernel::{Row, RowStatus};
use crate::packet::framed::{self, Kind};
use crate::packet::{BufPool, Packet, PacketFlags, Slot};
use crate::stats::{ClassField, Counters, Field};

/// How a result is booked once it was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Booking {
    Replied,
    Forwarded,
    /// A refusal: its packet is already booked as dropped.
    None,
}

/// What has to be booked and freed when results have left. They lie in one slot and are alike in all that is counted.
#[derive(Clone, Copy, Debug)]
pub(super) struct Account {
    pub(super) released: Instant,
    pub(super) deadline: Instant,
    /// Of each.
    pub(super) kernel_time: Nanos,
    /// What is freed; `None`: another account frees it.
    pub(super) slot: Option<Slot>,
    pub(super) ingress: IngressId,
    pub(super) priority: Priority,
    pub(super) booking: Booking,
    pub(super) unpromised: Unpromised,
}

/// Whether a packet was let in although it was predicted to be late, and what its end is counted as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unpromised {
    No,
    Probe,
    Audit,
}

impl Unpromised {
    /// A packet that is pointed to would have to lie in memory.
    #[inline]
    const fn of(flags: PacketFlags) -> Self {
        match (flags.probe, flags.audit) {
            (false, _) => Self::No,
            (true, false) => Self::Probe,
            (true, true) => Self::Audit,
        }
    }
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

    /// So many results have left, and so many have met a fault. [`Outlet::book`] follows the last.
    #[inline]
    pub(super) fn settle(&mut self, account: &Account, left: u16, fault: Option<(SendError, u16)>) {
        if let Some(slot) = account.slot {
            self.pool.release(slot);
        }
        if let Some((fault, met)) = fault {
            self.book_fault(account, fault, u64::from(met));
        }
        if left == 0 {
            return;
        }
        match &mut self.alike {
            Some((first, count)) if first.counts_as(account) => *count += u64::from(left),
            _ => {
                self.book();
                self.alike = Some((*account, u64::from(left)));
            }
        }
    }

    #[cold]
    fn book_fault(&mut self, account: &Account, fault: SendError, count: u64) {
        if account.booking != Booking::None {
            let mut cell = self.counters.cell(account.ingress, account.priority);
            cell.sub(Field::InFlight, count);
            cell.drop(fault_reason(fault), count);
        }
    }

    /// Takes into the figures what has left.
    #[inline]
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
        if account.unpromised != Unpromised::No {
            self.judge_unpromised(&account, on_time, count);
        }
        if on_time {
            let useful = account.kernel_time.saturating_mul(count).get();
            self.counters.add_class(account.priority, ClassField::KernelTimeUseful, useful);
        }
    }

    /// One that was let in against its prediction has left: by its deadline or not, as every answer is judged.
    #[cold]
    #[inline(never)]
    fn judge_unpromised(&mut self, account: &Account, on_time: bool, count: u64) {
        let field = match (on_time, account.unpromised) {
            (false, _) => ClassField::UnpromisedLate,
            (true, Unpromised::Audit) => ClassField::AuditsInTime,
            (true, _) => return,
        };
        self.counters.add_class(account.priority, field, count);
    }
}

impl Account {
    /// What is booked for the results of `packet`.
    #[inline]
    pub(super) const fn of(packet: &Packet, booking: Booking, kernel_time: Nanos) -> Self {
        Self {
            released: packet.released,
            deadline: packet.deadline,
            kernel_time,
            slot: Some(packet.slot),
            ingress: packet.ingress,
            priority: packet.priority,
            booking,
            unpromised: Unpromised::of(packet.flags),
        }
    }

    /// Whether nothing but the slot tells them apart.
    #[inline]
    fn counts_as(&self, other: &Self) -> bool {
        self.released == other.released
            && self.deadline == other.deadline
            && self.kernel_time == other.kernel_time
            && (self.ingress, self.priority, self.booking, self.unpromised)
                == (other.ingress, other.priority, other.booking, other.unpromised)
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
    /// A packet has been run, and these rows from `first` on are its results: they go out, or the packet is dropped (gate G5).
    #[inline(always)]
    pub(super) fn finish(
        &mut self,
        now: Instant,
        packet: Packet,
        first: usize,
        kernel_time: Nanos,
    ) {
        let way = self.ways[packet.ingress.index()];
        let late = packet.priority.enforces_deadline() && now > packet.deadline;
        let row = self.rows[first];
        // A result that does not exist is not late.
        if packet.count == 1 && row.status == RowStatus::Failed {
            return self.drop_packet(now, packet, DropReason::KernelError);
        }
        if late && way.late == Late::Drop {
            return self.drop_packet(now, packet, DropReason::LateAfterKernel);
        }
        if packet.count > 1 {
            return self.finish_neighbours(now, packet, first, kernel_time);
        }
        let len = row.len + packet.header_len();
        if way.replies {
            if !way.may_answer(usize::from(packet.len), len) {
                return self.drop_packet(now, packet, DropReason::EgressNoRoute);
            }
            if packet.flags.framed {
                let status = u8::from(late);
                framed::turn_into(self.pool.slot_mut(packet.slot), Kind::Answer, status);
            }
            self.reply(now, packet, len, kernel_time);
        } else {
            self.send_on(now, packet, len, kernel_time);
        }
    }

    #[inline]
    fn reply(&mut self, now: Instant, packet: Packet, len: usize, kernel_time: Nanos) {
        let account = Account::of(&packet, Booking::Replied, kernel_time);
        let part = self.part(packet.slot, len);
        let route = &self.origins[packet.slot.index()].route;
        let by = self.leaves_by(now, &account);
        if self.out.push(by, route, part, packet.count, account).is_err() {
            self.drop_packet(now, packet, DropReason::EgressQueueFull);
        }
    }

    fn send_on(&mut self, now: Instant, packet: Packet, len: usize, kernel_time: Nanos) {
        let Some(route) = self.way_on(now, &packet) else {
            return self.drop_packet(now, packet, DropReason::EgressNoRoute);
        };
        let account = Account::of(&packet, Booking::Forwarded, kernel_time);
        let (part, by) = (self.part(packet.slot, len), self.leaves_by(now, &account));
        if self.out.push(by, &route, part, 1, account).is_err() {
            self.drop_packet(now, packet, DropReason::EgressQueueFull);
        }
    }

    /// Neighbours whose results are alike too leave as one, moved together where they have become shorter.
    fn finish_neighbours(
        &mut self,
        now: Instant,
        packet: Packet,
        first: usize,
        kernel_time: Nanos,
    ) {
        let rows = &self.rows[first..][..usize::from(packet.count)];
        let Row { len, .. } = rows[0];
        // Without a way out in the middle: they nearly always are, and it takes fewer instructions.
        const { assert!(RowStatus::Done as usize == 0) };
        let differ = rows.iter().fold(0, |d, r| d | (r.len ^ len) | r.status as usize);
        let alike = len > 0 && differ == 0;
        let may_answer = self.ways[packet.ingress.index()].may_answer(usize::from(packet.len), len);
        if !alike || !may_answer {
            return self.finish_singly(now, packet, first, kernel_time);
        }
        let stride = usize::from(packet.len);
        if len != stride {
            let slot = self.pool.slot_mut(packet.slot);
            for i in 1..usize::from(packet.count) {
                slot.copy_within(i * stride..i * stride + len, i * len);
            }
        }
        self.reply(now, packet, len * usize::from(packet.count), kernel_time);
    }

    /// Neighbours whose results differ leave one by one, or are dropped one by one. The slot is freed with the first that
    /// leaves: all that wait are sent, and settled, together.
    #[cold]
    fn finish_singly(&mut self, now: Instant, packet: Packet, first: usize, kernel_time: Nanos) {
        let way = self.ways[packet.ingress.index()];
        let mut slot = Some(packet.slot);
        for i in 0..usize::from(packet.count) {
            let row = self.rows[first + i];
            let reason = if row.status == RowStatus::Failed {
                DropReason::KernelError
            } else if !way.may_answer(usize::from(packet.len), row.len) {
                DropReason::EgressNoRoute
            } else {
                let account =
                    Account { slot, ..Account::of(&packet, Booking::Replied, kernel_time) };
                let whole = self.part(packet.slot, row.len);
                let start = whole.start + u32::from(packet.len) * u32::try_from(i).unwrap_or(0);
                let route = &self.origins[packet.slot.index()].route;
                let by = self.leaves_by(now, &account);
                if self.out.push(by, route, Part { start, ..whole }, 1, account).is_ok() {
                    slot = None;
                    continue;
                }
                DropReason::EgressQueueFull
            };
            self.count_drop(&packet, 1, reason);
        }
        if let Some(slot) = slot {
            self.pool.release(slot);
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
        self.ways[ingress.index()].may_answer(len_in, len_out)
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
        let way = self.ways[packet.ingress.index()];
        let fits = way.may_answer(usize::from(packet.len), framed::LEN);
        if !way.replies || !fits || !packet.flags.framed {
            return false;
        }
        framed::turn_into(self.pool.slot_mut(packet.slot), Kind::Refusal, reason as u8);
        let account = Account::of(&packet, Booking::None, Nanos::ZERO);
        let part = self.part(packet.slot, framed::LEN);
        let route = &self.origins[packet.slot.index()].route;
        self.out.push(self.leaves_by(now, &account), route, part, 1, account).is_ok()
    }
}

/// What becomes of an ingress's results, gathered at construction.
#[derive(Clone, Copy, Debug)]
pub(super) struct Way {
    pub(super) late: Late,
    pub(super) replies: bool,
    /// The most bytes out for a thousand bytes in.
    per_mille: u32,
}

impl Way {
    /// Of each ingress.
    pub(super) fn all(options: &Options) -> Box<[Self]> {
        let of = |ingress: &Ingress| {
            let egress = options.egresses[ingress.egress.index()];
            let (replies, per_mille) = match egress.mode {
                Mode::Reply { amplification_per_mille, .. } => (true, amplification_per_mille),
                Mode::Send { .. } | Mode::Forward { .. } => (false, u32::MAX),
            };
            Self { late: egress.late, replies, per_mille }
        };
        options.ingresses.iter().map(of).collect()
    }

    #[inline]
    const fn may_answer(self, len_in: usize, len_out: usize) -> bool {
        !self.replies || len_out as u64 * 1_000 <= len_in as u64 * self.per_mille as u64
    }
}
