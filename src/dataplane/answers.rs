//! What needs no queue: pings, and answers of upstreams on their way back to the clients.
//!
//! Knows no sockets: what was received is an argument.

use super::egress::Route;
use super::intake::Train;
use super::options::Mode;
use super::outlet::{Account, Booking};
use super::worker::{Origin, Worker};
use crate::base::{DropReason, EgressId, IngressId, Instant, KernelId, Nanos, Priority};
use crate::io::Received;
use crate::packet::framed::{self, Kind};
use crate::packet::{Packet, PacketFlags};
use crate::stats::Field;

impl Worker {
    /// A ping is answered at once, besides the queue.
    pub(super) fn pong(&mut self, now: Instant, train: &Train<'_>, datagram: &[u8]) {
        let door = &train.door;
        if train.banned
            || !door.replies
            || !self.may_answer(door.ingress, datagram.len(), datagram.len())
        {
            return self.reject(now, train, door.fallback, datagram, DropReason::EgressNoRoute);
        }
        let Some(slot) = self.pool.insert(datagram) else {
            return self.reject(now, train, door.fallback, datagram, DropReason::RxNoBuffer);
        };
        framed::turn_into(self.pool.slot_mut(slot), Kind::Pong, 0);
        self.origins[slot.index()] = Origin { route: train.route(), note: None, seq: 0 };
        let packet = self.headed(train, train.door.fallback, slot);
        self.send_at_once(now, packet, &train.route(), datagram.len(), Booking::Replied);
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
        self.counters.cell(packet.ingress, packet.priority).take_in(1);
        let account = Account::of(&packet, booking, Nanos::ZERO);
        let part = self.part(packet.slot, len);
        if self.out.push(self.leaves_by(now, &account), route, part, 1, account).is_err() {
            self.drop_packet(now, packet, DropReason::EgressQueueFull);
        }
    }

    /// Answers from an upstream go straight to their clients: the work is done, only the last step is left.
    pub(super) fn handle_answers(
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
        self.origins[slot.index()] = Origin { route, note: None, seq: 0 };
        let released = received.stamp.instant();
        let packet = Packet {
            released,
            deadline: released + self.budgets[priority],
            service: Nanos::ZERO,
            slot,
            len: 0,
            count: 1,
            ingress: counted_as,
            kernel: KernelId(0),
            bucket: 0,
            priority,
            flags: PacketFlags::default(),
        };
        self.send_at_once(now, packet, &route, datagram.len(), Booking::Forwarded);
    }
}
