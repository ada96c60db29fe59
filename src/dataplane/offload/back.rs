//! What comes back from a device: results into their slots, verdicts, and the order of flows.

use super::super::options::Order;
use super::super::reorder::Finished;
use super::super::worker::{Origin, Worker};
use super::Back;
use super::form::list_of;
use crate::base::limits::KERNEL_BATCH_MAX;
use crate::base::{DropReason, Instant, Nanos, PerPriority};
use crate::kernel::accel::{Ended, Staged};
use crate::kernel::{Row, RowStatus};
use crate::packet::{Packet, PacketFlags};
use crate::sched::{Key, roundtrip};
use crate::stats::WorkerField;

/// Those behind a packet that is away go on without it so long before their own deadline, or an eighth of their budget, so that
/// they still make it.
const GO_ON_BEFORE: Nanos = Nanos::from_micros(100);

impl Worker {
    /// How many results may still be taken in before something is to be sent.
    #[must_use]
    pub const fn room_for_results(&self) -> usize {
        self.out.room()
    }

    /// Packets that are with devices, and results that wait for those.
    #[must_use]
    pub const fn elsewhere(&self) -> (usize, usize) {
        (self.offload.away, self.offload.order.waits())
    }

    /// A batch is back from device `d`. Not between [`super::super::Output::Run`] and its end: what is running came earlier.
    pub fn on_back(&mut self, now: Instant, d: usize, back: Back) {
        debug_assert!(self.rows.is_empty(), "a batch came back in the middle of a run");
        let Back { staged, ended, began, finished } = back;
        let t = usize::try_from(staged.tag).unwrap_or(usize::MAX);
        let Some(trip) = self.offload.devices.get_mut(d).and_then(|d| d.trips.get_mut(t)) else {
            return;
        };
        let mut packets = std::mem::take(&mut trip.packets);
        let (kernel, sent) = (trip.kernel, trip.sent);
        if let Some(ticket) = trip.ticket.take() {
            let took = finished.since(began);
            let transfer = ticket.settle(now, took, ended);
            self.counters.add_worker(WorkerField::GpuTime, took.get());
            self.counters.add_worker(WorkerField::GpuTransfer, transfer.get());
        }
        let mut row = 0;
        for away in &packets {
            let result = (ended == Ended::Run).then_some((&*staged, row));
            self.take_in_result(now, *away, result);
            row += usize::from(away.0.count);
        }
        self.offload.away -= packets.len();
        packets.clear();
        let device = &mut self.offload.devices[d];
        // Of one that was given up nothing is awaited any more, and no time is learnt.
        if ended == Ended::Run && row > 0 {
            let trip = roundtrip::Trip { sent, began, ended: finished, back: now };
            device.times.record(kernel, row, &trip);
        }
        device.trips[t].packets = packets;
        device.trips[t].staged = Some(staged);
        device.note_end(now, ended);
        self.note_what_is_queued();
        self.release(now);
        self.weigh(now);
    }

    /// Time has passed: what waits long enough goes on, and devices are looked at anew.
    pub fn handle_offload(&mut self, now: Instant) {
        if self.offload.away > 0 {
            self.give_up_what_is_silent(now);
        }
        self.release(now);
        self.weigh(now);
    }

    /// What a device has had for longer than it may is lost: its packets are run here, or dropped. Its place on the device stays
    /// taken until it comes back.
    fn give_up_what_is_silent(&mut self, now: Instant) {
        for d in 0..self.offload.devices.len() {
            for t in 0..super::TRIPS_PER_DEVICE {
                let device = &mut self.offload.devices[d];
                let trip = &mut device.trips[t];
                if !trip.is_awaited() || now.since(trip.sent) < device.give_up {
                    continue;
                }
                let mut packets = std::mem::take(&mut trip.packets);
                // Its breaker counts it as failed, with its estimate.
                trip.ticket = None;
                device.note_end(now, Ended::Lost);
                packets.iter().for_each(|away| self.take_in_result(now, *away, None));
                self.offload.away -= packets.len();
                packets.clear();
                self.offload.devices[d].trips[t].packets = packets;
            }
        }
    }

    /// One packet of a batch; its rows begin at `first`.
    fn take_in_result(
        &mut self,
        now: Instant,
        (packet, queued_by): (Packet, Instant),
        result: Option<(&Staged, usize)>,
    ) {
        let ordered = self.is_ordered(&packet);
        let count = u64::from(packet.count);
        if packet.priority.enforces_deadline() && now > packet.deadline {
            self.counters.add_worker(WorkerField::AwayLate, count);
        }
        if ordered {
            let (list, seq) = self.list_of(&packet);
            if !self.offload.order.expects(list, seq) {
                return self.drop_packet(now, packet, DropReason::ReorderLate);
            }
        }
        let Some((staged, first)) = result else {
            self.counters.add_worker(WorkerField::AwayLost, count);
            return self.run_here(now, packet, queued_by);
        };
        self.copy_out(&packet, staged, first);
        if ordered {
            self.let_wait(now, packet, 0, Nanos::ZERO);
        } else {
            // The time of a device is not time of this worker.
            self.finish_apart(now, packet, 0, Nanos::ZERO);
        }
        self.rows.clear();
    }

    /// The device has lost it: this worker runs it, if there is time.
    fn run_here(&mut self, now: Instant, packet: Packet, queued_by: Instant) {
        let flags = PacketFlags { noted: false, ..packet.flags };
        self.origins[packet.slot.index()].seq |= Origin::RETRIED;
        self.offload.retried += 1;
        let again = Packet { flags, ..packet };
        if let Err(packet) = self.admission.requeue(now, again, queued_by) {
            self.drop_packet(now, packet, DropReason::KernelError);
        }
        if self.admission.has_evicted() {
            self.drop_evicted(now);
        }
    }

    /// Copies a packet's results into its slot, and makes their rows.
    fn copy_out(&mut self, packet: &Packet, staged: &Staged, first: usize) {
        let header = packet.header_len();
        let stride = usize::from(packet.len) - header;
        let start = self.pool.offset(packet.slot) + header;
        let slot = &mut self.pool.slot_mut(packet.slot)[header..];
        for i in 0..usize::from(packet.count) {
            let status = staged.rows()[first + i].status;
            let result = staged.bytes_of(first + i);
            let at = i * stride;
            if status == RowStatus::Done {
                slot[at..at + result.len()].copy_from_slice(result);
            }
            let (len, capacity) = (result.len(), result.len());
            self.rows.push(Row { start: start + at, len, capacity, status });
        }
    }

    /// A batch of this worker's own is done while something of some flow is away.
    #[cold]
    pub(in crate::dataplane) fn finish_all_in_order(&mut self, now: Instant, each: Nanos) {
        let mut first = 0;
        for i in 0..self.running.len() {
            let packet = self.running[i];
            self.finish_in_order(now, packet, first, each);
            first += usize::from(packet.count);
        }
        self.running.clear();
        self.rows.clear();
        self.release(now);
    }

    /// [`Worker::finish`], once more for all who are in no hurry: in its one other place it is a part of the loop.
    #[inline(never)]
    pub(in crate::dataplane) fn finish_apart(
        &mut self,
        now: Instant,
        packet: Packet,
        first: usize,
        kernel_time: Nanos,
    ) {
        self.finish(now, packet, first, kernel_time);
    }

    pub(in crate::dataplane) fn finish_in_order(
        &mut self,
        now: Instant,
        packet: Packet,
        first: usize,
        kernel_time: Nanos,
    ) {
        let retried = self.take_mark(&packet);
        if !self.is_ordered(&packet) {
            return self.finish_apart(now, packet, first, kernel_time);
        }
        let (list, seq) = self.list_of(&packet);
        if retried && !self.offload.order.expects(list, seq) {
            self.drop_packet(now, packet, DropReason::ReorderLate);
        } else if self.offload.order.must_wait(list, seq) {
            self.let_wait(now, packet, first, kernel_time);
        } else {
            self.finish_apart(now, packet, first, kernel_time);
        }
    }

    /// Takes back the mark of a packet that a device had lost, if it has it.
    fn take_mark(&mut self, packet: &Packet) -> bool {
        let origin = &mut self.origins[packet.slot.index()];
        let retried = origin.is_retried();
        origin.seq &= !Origin::RETRIED;
        self.offload.retried -= usize::from(retried);
        retried
    }

    /// Its result waits for those before it, until just before it would itself be late.
    fn let_wait(&mut self, now: Instant, packet: Packet, first: usize, kernel_time: Nanos) {
        let until = if packet.priority.enforces_deadline() {
            let eighth = Nanos::new(packet.deadline.since(packet.released).get() / 8);
            packet.deadline.before(GO_ON_BEFORE.min(eighth))
        } else {
            now + self.budgets[packet.priority]
        };
        let (list, seq) = self.list_of(&packet);
        let rows = &self.rows[first..][..usize::from(packet.count)];
        if !self.offload.order.wait(list, seq, (packet, rows, kernel_time), until) {
            self.drop_packet(now, packet, DropReason::ReorderLate);
        }
    }

    /// Results that came back wait for packets of their flows that came before and are still queued here.
    fn note_what_is_queued(&mut self) {
        if self.offload.order.waits() == 0 {
            return;
        }
        if std::mem::replace(&mut self.offload.noted_at, self.admission.moves())
            != self.admission.moves()
        {
            self.offload.order.forget_places();
        }
        let Self { admission, offload, ingresses, origins, pool, .. } = self;
        admission.each_queued(|place, packet| {
            if ingresses[packet.ingress.index()].order == Order::Flow {
                let (list, seq) = list_of(origins, pool, packet);
                offload.order.is_queued(list, seq, place);
            }
        });
    }

    /// Lets results go on for which nothing is left to wait for, as far as there is room for them.
    #[inline]
    pub(in crate::dataplane) fn release(&mut self, now: Instant) {
        if self.offload.order.waits() > 0 {
            self.release_all(now);
        }
    }

    #[inline(never)]
    fn release_all(&mut self, now: Instant) {
        // What waits may have been given other places meanwhile.
        if self.offload.noted_at != self.admission.moves() {
            self.note_what_is_queued();
        }
        let heads = PerPriority::from_fn(|p| self.admission.first_place(p));
        let mut cursor = 0;
        while self.out.room() > KERNEL_BATCH_MAX {
            let passed = |key: &Key| heads[key.priority].is_none_or(|h| h > *key);
            let Some(finished) = self.offload.order.next_ready(now, &mut cursor, passed) else {
                return;
            };
            self.finish_waiting(now, &finished);
        }
    }

    fn finish_waiting(&mut self, now: Instant, finished: &Finished) {
        let packet = finished.packet;
        let header = packet.header_len();
        let start = self.pool.offset(packet.slot) + header;
        let len = usize::from(packet.len) - header;
        self.rows.clear();
        self.rows.extend(finished.rows(start, len, len));
        self.finish_apart(now, packet, 0, finished.kernel_time);
        self.rows.clear();
    }

    /// A packet comes to its end without a result while some are queued that a device had lost.
    #[cold]
    pub(in crate::dataplane) fn forget(&mut self, packet: &Packet) {
        if self.take_mark(packet) {
            self.is_over(packet);
        }
    }

    fn is_over(&mut self, packet: &Packet) {
        if self.is_ordered(packet) {
            let (list, seq) = self.list_of(packet);
            self.offload.order.is_over(list, seq);
        }
    }

    /// The time for draining is over: what is elsewhere, and what waits for it, is dropped and counted.
    pub(in crate::dataplane) fn abandon_offload(&mut self, now: Instant) {
        while let Some(finished) = self.offload.order.take_any() {
            self.drop_packet(now, finished.packet, DropReason::Shutdown);
        }
        for d in 0..self.offload.devices.len() {
            for t in 0..super::TRIPS_PER_DEVICE {
                let mut packets = std::mem::take(&mut self.offload.devices[d].trips[t].packets);
                self.offload.away -= packets.len();
                for (packet, _) in packets.drain(..) {
                    self.is_over(&packet);
                    self.drop_packet(now, packet, DropReason::Shutdown);
                }
                self.offload.devices[d].trips[t].packets = packets;
            }
        }
    }
}
