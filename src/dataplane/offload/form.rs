//! Forming a batch for a device: from the end of the queue into a copy, with every packet remembered.

use super::super::options::Order;
use super::super::reorder::{self, ListId};
use super::super::worker::{Origin, Worker};
use super::gate::{Ask, Verdict};
use super::{Device, DeviceOptions, Errand, Offload, capacity_of};
use crate::base::{DropReason, IngressId, Instant, KernelId, Nanos, Priority};
use crate::kernel::accel::Staged;
use crate::packet::framed::Header;
use crate::packet::{BufPool, Packet, PacketFlags, Slot};
use crate::sched::admission::{Offer, Policy};
use crate::stats::{RunBy, WorkerField};

/// A device whose gate kept a batch is asked again after this.
const KEPT_REST: Nanos = Nanos::from_micros(500);

impl Worker {
    /// Gives the worker devices that take part of its bursts. Only with the policies "value" and "edf": the others, which are there
    /// for comparison, have no predictions to act on.
    pub fn attach(&mut self, devices: &[DeviceOptions]) {
        let predicts = matches!(self.admission.policy(), Policy::Value | Policy::Edf);
        if !predicts || devices.is_empty() || self.pool.capacity() == 0 {
            return;
        }
        let kernels = self.kernels.len();
        self.offload = Offload::new(devices, kernels, self.pool.slot_len(), nothing());
        self.admission.prepare_relief();
        // Nobody is known to be of no use.
        self.admission.set_relief_from(Nanos::ZERO);
    }

    /// Whether so much is queued that a device may be of use: ask [`Worker::form`].
    #[inline]
    #[must_use]
    pub fn wants_relief(&self) -> bool {
        self.admission.wants_relief()
    }

    /// Forms one batch, if that is worth it; [`Worker::next_errand`] then hands it out. Devices behind a gate are asked first:
    /// what the gate keeps may go to a helper.
    pub fn form(&mut self, now: Instant) -> bool {
        let formed = [true, false]
            .into_iter()
            .any(|gated| self.offload.best(now, gated).is_some_and(|d| self.form_for(now, d)));
        if !formed {
            // Nothing could be taken: looking again is for the next turn, because a look costs as much as a cheap kernel.
            self.admission.set_relief_from(Nanos::MAX);
        }
        formed
    }

    fn form_for(&mut self, now: Instant, d: usize) -> bool {
        let Self { admission, offload, pool, kernels, origins, .. } = self;
        let device = &offload.devices[d];
        let offer = device.offer(now, offload.order.room());
        let slot_len = pool.slot_len();
        let kernel = admission.choose_relief(&offer, |p| {
            let may = !origins[p.slot.index()].is_retried();
            may.then(|| device.bytes_of(p, kernels, slot_len)).flatten()
        });
        let last = device.gate.is_none() || offload.devices.len() == 1;
        let kernel = kernel.filter(|kernel| self.passes_gate(now, d, *kernel));
        if let Some(kernel) = kernel {
            self.load(now, d, kernel);
        }
        // A helper may still be in time where the device behind the gate would not.
        while last && let Some(packet) = self.admission.next_hopeless(now) {
            self.leave_queue(&packet);
            self.drop_packet(now, packet, DropReason::LateBeforeOffload);
        }
        kernel.is_some()
    }

    /// Whether what was chosen may go to device `d`.
    fn passes_gate(&mut self, now: Instant, d: usize, kernel: KernelId) -> bool {
        let load = self.admission.relief_load();
        let before = self.admission.backlog().saturating_sub(load.own);
        let helped = self.offload.best(now, false).map(|h| {
            let helper = &self.offload.devices[h];
            let takes = helper.times.fixed() + helper.times.in_device(kernel, load.rows, load.own);
            helper.free_at.max(now) + takes
        });
        let device = &mut self.offload.devices[d];
        let Some(gate) = &mut device.gate else { return true };
        let ask = Ask {
            now,
            kernel,
            rows: load.rows,
            own: load.own,
            due: load.due,
            before,
            wait: device.free_at.since(now),
            way: device.times.fixed(),
            in_device: device.times.in_device(kernel, load.rows, load.own),
            helped,
        };
        let (verdict, counted) = gate.judge(&ask);
        self.counters.add_worker(counted, 1);
        match verdict {
            Verdict::Go => {
                self.counters.add_worker(WorkerField::GpuBatches, 1);
                self.counters.add_worker(WorkerField::GpuRows, load.rows as u64);
                return true;
            }
            // A look through the queue is not for every turn where nothing comes of it.
            Verdict::Stay => device.shunned_until = now + KEPT_REST,
            Verdict::Reject => {
                while let Some((packet, _)) = self.admission.next_relief() {
                    self.leave_queue(&packet);
                    self.drop_packet(now, packet, DropReason::BreakerReject);
                }
            }
        }
        false
    }

    /// A batch that is to be handed to the device with that number.
    pub fn next_errand(&mut self) -> Option<(usize, Errand)> {
        self.offload.ready.pop_front()
    }

    /// Moves what was chosen into a free batch of device `d`.
    pub(super) fn load(&mut self, now: Instant, d: usize, kernel: KernelId) {
        let Some(t) = self.offload.devices[d].trips.iter().position(|t| t.staged.is_some()) else {
            return;
        };
        let trip = &mut self.offload.devices[d].trips[t];
        let Some(mut staged) = trip.staged.take() else { return };
        let mut packets = std::mem::take(&mut trip.packets);
        staged.clear();
        staged.tag = t as u64;
        let mut own = Nanos::ZERO;
        while let Some((packet, queued_by)) = self.admission.next_relief() {
            self.leave_queue(&packet);
            self.rooms.served(packet.priority, u32::from(packet.count));
            own += packet.service.saturating_mul(packet.datagrams());
            let slot_len = self.pool.slot_len();
            copy_in(
                &mut staged,
                &self.pool,
                &packet,
                capacity_of(&packet, &self.kernels, slot_len),
            );
            if self.is_ordered(&packet) {
                let (list, seq) = self.list_of(&packet);
                self.offload.order.goes(list, seq);
            }
            packets.push((packet, queued_by));
        }
        self.offload.away += packets.len();
        self.counters.add_worker(WorkerField::AwayBatches, 1);
        self.counters.add_worker(WorkerField::AwayRows, staged.len() as u64);
        let device = &mut self.offload.devices[d];
        let by = if device.gate.is_some() { RunBy::Gpu } else { RunBy::Helper };
        self.counters.add_batch(by, kernel, staged.len() as u64);
        device.depart(now, (t, kernel), (staged.len(), own), packets);
        self.offload.ready.push_back((d, Errand { kernel, staged }));
        self.weigh(now);
    }

    /// Looks anew which devices could take something.
    pub(super) fn weigh(&mut self, now: Instant) {
        self.admission.set_relief_from(self.offload.worth(now));
    }

    /// Whether that packet's flow keeps its order.
    pub(super) fn is_ordered(&self, packet: &Packet) -> bool {
        self.ingresses[packet.ingress.index()].order == Order::Flow
    }

    /// Where the packet's flow is noted while something of it is away, and its place in the order in which packets came.
    pub(super) fn list_of(&self, packet: &Packet) -> (ListId, u64) {
        list_of(&self.origins, &self.pool, packet)
    }
}

/// [`Worker::list_of`].
pub(super) fn list_of(origins: &[Origin], pool: &BufPool, packet: &Packet) -> (ListId, u64) {
    let origin = &origins[packet.slot.index()];
    let mut flow = Mix::default();
    if let Some(to) = origin.route.to {
        match to.ip() {
            std::net::IpAddr::V4(ip) => flow.add(u64::from(ip.to_bits())),
            std::net::IpAddr::V6(ip) => halves(ip.to_bits()).into_iter().for_each(|h| flow.add(h)),
        }
        flow.add(u64::from(to.port()));
    }
    flow.add(u64::from(origin.route.socket.0));
    if packet.flags.framed {
        // Not yet turned into an answer: that is done when it leaves.
        let id = Header::parse(pool.slot(packet.slot)).map_or(0, |(h, _)| h.flow.get());
        flow.add(u64::from(id));
    }
    (reorder::list_of(flow.0 >> 32, packet.priority), origin.seq & !Origin::RETRIED)
}

impl Device {
    /// What it offers, where the results of so many packets more can be kept in order.
    pub(super) const fn offer(&self, now: Instant, room: usize) -> Offer<'_> {
        Offer {
            now,
            free_at: self.free_at,
            times: &self.times,
            rows_max: self.rows_max,
            packets_max: room,
            bytes_max: self.bytes_max,
        }
    }

    fn depart(
        &mut self,
        now: Instant,
        (t, kernel): (usize, KernelId),
        (rows, own): (usize, Nanos),
        packets: Vec<(Packet, Instant)>,
    ) {
        self.free_at = self.free_at.max(now) + self.times.in_device(kernel, rows, own);
        let ticket = self.gate.as_mut().and_then(|gate| gate.ticket.take());
        let trip = &mut self.trips[t];
        trip.ticket = ticket;
        trip.packets = packets;
        trip.kernel = kernel;
        trip.sent = now;
        trip.due = self.free_at + self.times.fixed();
    }
}

/// Copies the payloads of a packet's datagrams, each with room for its result.
fn copy_in(staged: &mut Staged, pool: &BufPool, packet: &Packet, capacity: usize) {
    let header = packet.header_len();
    let len = usize::from(packet.len) - header;
    let bytes = &pool.slot(packet.slot)[header..];
    for i in 0..usize::from(packet.count) {
        let pushed = staged.push(&bytes[i * len..][..len], capacity);
        debug_assert!(pushed, "the choice of packets keeps to the room of a batch");
    }
}

/// Mixes what tells flows apart. Who makes flows meet only lets their own results wait for each other.
#[derive(Default)]
struct Mix(u64);

impl Mix {
    const fn add(&mut self, part: u64) {
        // The multiplier of splitmix64's first step.
        self.0 = (self.0.rotate_left(29) ^ part).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    }
}

#[expect(clippy::cast_possible_truncation, reason = "the halves of 128 bits have 64 each")]
const fn halves(bits: u128) -> [u64; 2] {
    [(bits >> 64) as u64, bits as u64]
}

/// A packet that stands for none: what memory is filled with.
fn nothing() -> Packet {
    Packet {
        released: Instant::ZERO,
        deadline: Instant::ZERO,
        service: Nanos::ZERO,
        slot: Slot::FIRST,
        len: 0,
        count: 0,
        ingress: IngressId(0),
        kernel: KernelId(0),
        bucket: 0,
        priority: Priority::High,
        flags: PacketFlags::default(),
    }
}
