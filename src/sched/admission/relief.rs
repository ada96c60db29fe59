//! Gate G4: which packets a device beside the worker's core takes off the end of the queue, or of the line of promises.
//!
//! Knows no device: what it costs is told by an [`Offer`]. A packet goes only if the device will have done it by the time
//! that this worker would begin with it, so that nothing is delayed that the worker could have finished.

use super::lone::Lone;
use super::worth::Found;
use super::{Admission, Admitted, Candidate, Policy};
use crate::base::limits::QUEUE_TOTAL_MAX;
use crate::base::{DropReason, Instant, KernelId, Nanos, Priority};
use crate::packet::Packet;
use crate::sched::edf::{Key, Visit};
use crate::sched::roundtrip::RoundTrip;

/// What a device takes is predicted with a fifth to spare (KERNELS, "Batch choice": 1.2).
const SPARE: u64 = 5;
/// What a batch must save the worker at least: about three times what it costs it. `cargo bench --bench offload`: waking the
/// device's owner 5 us,
const GAIN_MIN: Nanos = Nanos::from_micros(15);
/// a packet of a flow with order that is queued when the batch is back 17 ns,
const GAIN_PER_QUEUED: Nanos = Nanos::new(50);
/// a row there and back 0.15 to 0.3 us.
const GAIN_PER_ROW: Nanos = Nanos::new(600);
/// A batch of more than one row takes a device no longer than this: others wait for it, and whether it still turns.
const IN_DEVICE_MAX: Nanos = Nanos::from_millis(10);
/// So many entries are looked at for each row that the device takes.
const VISITS_PER_ROW: usize = 4;
/// So many that do not fit are passed over before the batch is taken for full.
const PASSED_OVER_MAX: usize = 8;
/// So many that nobody can finish in time are dropped at once.
const HOPELESS_MAX: usize = 16;

/// What a device offers now.
#[derive(Clone, Copy, Debug)]
pub struct Offer<'a> {
    /// The present.
    pub now: Instant,
    /// When it will have done what it was given before.
    pub free_at: Instant,
    /// What it takes.
    pub times: &'a RoundTrip,
    /// The most rows, packets and bytes of a batch.
    pub rows_max: usize,
    /// The most packets.
    pub packets_max: usize,
    /// The most bytes.
    pub bytes_max: usize,
}

impl Offer<'_> {
    /// From now until the rows are back, with the spare; endless where that is longer than a batch may be.
    pub(super) fn takes(&self, kernel: KernelId, load: &Load) -> Nanos {
        let in_device = self.times.in_device(kernel, load.rows, load.own);
        if load.packets > 1 && in_device > IN_DEVICE_MAX {
            return Nanos::MAX;
        }
        let way = self.times.fixed() + in_device;
        self.free_at.since(self.now) + way + Nanos::new(way.get() / SPARE)
    }

    pub(super) const fn holds(&self, load: &Load) -> bool {
        load.rows <= self.rows_max
            && load.packets <= self.packets_max
            && load.bytes <= self.bytes_max
    }
}

/// What has been chosen.
#[derive(Clone, Copy, Debug)]
pub struct Load {
    /// Datagrams.
    pub rows: usize,
    packets: usize,
    bytes: usize,
    /// What it would cost the worker.
    pub own: Nanos,
    /// The earliest deadline among them.
    pub due: Instant,
}

impl Default for Load {
    fn default() -> Self {
        Self::NONE
    }
}

impl Load {
    pub(super) const NONE: Self =
        Self { rows: 0, packets: 0, bytes: 0, own: Nanos::ZERO, due: Instant::MAX };

    pub(super) fn with(&self, packet: &Packet, service: Nanos, bytes: usize) -> Self {
        let due = if packet.priority.enforces_deadline() { packet.deadline } else { Instant::MAX };
        Self {
            rows: self.rows + usize::from(packet.count),
            packets: self.packets + 1,
            bytes: self.bytes + bytes,
            own: self.own + service,
            due: self.due.min(due),
        }
    }
}

/// What is to leave the queue.
#[derive(Debug, Default)]
pub(super) struct Relief {
    chosen: Vec<Key>,
    /// One that was never queued.
    pub(super) lone: Option<Lone>,
    pub(super) load: Load,
    /// With their own deadlines, which the order of their flows may have moved.
    hopeless: Vec<(Key, Instant)>,
}

impl Relief {
    /// See [`Admission::choose_relief`]. `from_tail`: what waits, the last first; all of it is so much work and so many packets.
    fn choose<'a>(
        &mut self,
        offer: &Offer<'_>,
        (backlog, waiting): (Nanos, usize),
        from_tail: impl Iterator<Item = Visit<'a, Packet>>,
        bytes_of: impl Fn(&Packet) -> Option<usize>,
    ) -> Option<KernelId> {
        self.chosen.clear();
        self.hopeless.clear();
        let mut load = Load::NONE;
        let mut kernel = None;
        let mut passed_over = 0;
        for entry in from_tail.take(VISITS_PER_ROW * offer.rows_max) {
            let packet = entry.item;
            if packet.flags.unpredicted || kernel.is_some_and(|k| k != packet.kernel) {
                continue;
            }
            let Some(bytes) = bytes_of(packet) else { continue };
            let with = load.with(packet, entry.service, bytes);
            let takes = offer.takes(packet.kernel, &with);
            if !offer.holds(&with) || takes > backlog.saturating_sub(with.own) {
                // Those before it may be smaller.
                passed_over += 1;
                if passed_over > PASSED_OVER_MAX {
                    break;
                }
                continue;
            }
            if offer.now + takes > with.due {
                // It stays for the worker. If it is late even alone, it may be so with everybody.
                let alone = offer.takes(packet.kernel, &Load::NONE.with(packet, entry.service, 0));
                if offer.now + alone > packet.deadline && self.hopeless.len() < HOPELESS_MAX {
                    self.hopeless.push((entry.key, packet.deadline));
                }
                continue;
            }
            load = with;
            kernel = Some(packet.kernel);
            self.chosen.push(entry.key);
        }
        let gain = GAIN_PER_QUEUED.saturating_mul(waiting as u64)
            + GAIN_PER_ROW.saturating_mul(load.rows as u64);
        if load.own < GAIN_MIN + gain {
            self.chosen.clear();
            return None;
        }
        self.load = load;
        kernel
    }
}

/// A packet that comes back, as it asks for its place.
const fn asks_again(packet: &Packet, (queued_by, service): (Instant, Nanos)) -> Candidate {
    Candidate {
        priority: packet.priority,
        released: packet.released,
        deadline: packet.deadline,
        queued_by,
        service,
        bucket: packet.bucket,
        bound: packet.flags.bound,
    }
}

impl Admission {
    /// Sets memory aside for [`Admission::choose_relief`].
    pub fn prepare_relief(&mut self) {
        self.relief.chosen.reserve(QUEUE_TOTAL_MAX);
        self.relief.hopeless.reserve(HOPELESS_MAX);
    }

    /// The least backlog at which a device that takes that long for anything could be of use.
    #[must_use]
    pub fn relief_from(times: &RoundTrip) -> Nanos {
        let way = times.fixed();
        way + Nanos::new(way.get() / SPARE) + GAIN_MIN
    }

    /// Chooses packets of one kernel from the end of the queue, or of the line of promises while that is in use, those that are due
    /// last first; [`Admission::next_relief`] then hands them out. `bytes_of` says what a packet takes of a batch; `None`: it
    /// cannot go there.
    ///
    /// `None`: nothing that is worth the way. Packets that neither the device nor this worker can finish in time are then to
    /// be had from [`Admission::next_hopeless`], either way.
    pub fn choose_relief(
        &mut self,
        offer: &Offer<'_>,
        bytes_of: impl Fn(&Packet) -> Option<usize>,
    ) -> Option<KernelId> {
        let (backlog, waiting) = (self.backlog(), self.len());
        let Self { queue, relief, worth, by_value, .. } = self;
        match worth.as_ref().filter(|_| *by_value) {
            Some(worth) => relief.choose(offer, (backlog, waiting), worth.last_first(), bytes_of),
            None => relief.choose(offer, (backlog, waiting), queue.from_tail(), bytes_of),
        }
    }

    /// What was chosen last, all together.
    #[must_use]
    pub const fn relief_load(&self) -> Load {
        self.relief.load
    }

    /// The work of all that waits.
    #[must_use]
    pub fn backlog(&self) -> Nanos {
        match &self.worth {
            Some(worth) if self.by_value => worth.work(),
            _ => self.queue.backlog(),
        }
    }

    /// Above so much work that waits a device could be of use.
    pub const fn set_relief_from(&mut self, backlog: Nanos) {
        self.relief_from = backlog;
    }

    /// Whether so much waits that a device may be of use. It is then offered the end of the queue before anybody is refused or
    /// gives way: the gates say no for the time being, and are asked again.
    #[inline]
    #[must_use]
    pub fn wants_relief(&self) -> bool {
        self.queue.backlog() > self.relief_from || self.by_value && self.line_wants_relief()
    }

    #[inline(never)]
    fn line_wants_relief(&self) -> bool {
        self.worth.as_ref().is_some_and(|w| w.work() > self.relief_from)
    }

    /// Takes the next of the chosen packets out of the queue, in the queue's order, with the deadline that it was queued by.
    pub fn next_relief(&mut self) -> Option<(Packet, Instant)> {
        let (packet, service, queued_by) = match self.relief.lone.take() {
            Some(Lone { packet, queued_by }) => (packet, packet.service, queued_by),
            None => {
                let place = self.relief.chosen.pop()?;
                self.take_from(place)?
            }
        };
        // What was offered is not offered to this worker alone.
        self.demand.take_back(packet.priority, service);
        Some((packet, queued_by))
    }

    /// Takes out what stands at that place.
    fn take_from(&mut self, place: Key) -> Option<(Packet, Nanos, Instant)> {
        if let Some(worth) = self.worth.as_mut().filter(|_| self.by_value) {
            return worth.take_out(&place);
        }
        self.queue.remove(&place).map(|e| (e.item, e.service, e.key.deadline))
    }

    /// Takes the next packet out of the queue that the worker cannot finish in time either, as far as can be told.
    pub fn next_hopeless(&mut self, now: Instant) -> Option<Packet> {
        while let Some((place, deadline)) = self.relief.hopeless.pop() {
            let too_late = match self.worth.as_ref().filter(|_| self.by_value) {
                Some(worth) => worth.will_be_late(now, &place),
                None => now + self.work_before(&place) > deadline,
            };
            if too_late {
                return self.take_from(place).map(|(packet, ..)| packet);
            }
        }
        None
    }

    /// Tells of everything that is queued or promised, in order.
    pub fn each_queued(&mut self, mut see: impl FnMut(Key, &Packet)) {
        match self.worth.as_ref().filter(|_| self.by_value) {
            Some(worth) => worth.in_line().for_each(|v| see(v.key, v.item)),
            None => self.queue.in_order().for_each(|v| see(v.key, v.item)),
        }
    }

    /// Where the first of that class stands that is queued or promised.
    #[must_use]
    pub fn first_place(&self, priority: Priority) -> Option<Key> {
        match &self.worth {
            Some(worth) if self.by_value => worth.first_place(priority),
            _ => self.queue.first_of(priority).map(|v| v.key),
        }
    }

    /// How often what waits was given other places, or places of another kind: what was noted of places before is void.
    #[must_use]
    pub fn moves(&self) -> u64 {
        self.moves + self.worth.as_ref().map_or(0, |w| w.shifts())
    }

    /// Queues a packet again that a device has lost, if it can still make it: by the same deadline as before, so that it does
    /// not overtake what of its flow came earlier. Where promises are made it has to be given a new one, as any other; who gives way
    /// to it is then to be had from [`Admission::next_evicted`].
    ///
    /// # Errors
    /// Gives it back.
    pub fn requeue(
        &mut self,
        now: Instant,
        packet: Packet,
        queued_by: Instant,
    ) -> Result<(), Packet> {
        let each = self.predict(packet.bucket, packet.priority);
        let service = each.saturating_mul(packet.datagrams());
        let Packet { priority, count, .. } = packet;
        if priority.enforces_deadline() && now + service > packet.deadline {
            return Err(packet);
        }
        if self.options.policy == Policy::Value && !self.is_queued_again(now, &packet, service) {
            return self.promise_again(now, packet, (queued_by, each));
        }
        let pushed = self.queue.push_many(priority, queued_by, service, u32::from(count), packet);
        pushed.map(|_| ()).map_err(|full| full.0)
    }

    /// Under [`Policy::Value`]: whether a packet that comes back goes into the queue, since everything surely fits with it.
    fn is_queued_again(&mut self, now: Instant, packet: &Packet, service: Nanos) -> bool {
        let c = asks_again(packet, (packet.deadline, service));
        self.is_calm() && (self.fits(now, &c) || self.nothing_to_weigh(&c))
    }

    fn promise_again(
        &mut self,
        now: Instant,
        packet: Packet,
        (queued_by, each): (Instant, Nanos),
    ) -> Result<(), Packet> {
        if self.is_calm() {
            self.go_by_value();
        }
        let c = asks_again(&packet, (queued_by, each));
        let found = self.found(now, &c, u32::from(packet.count));
        let worth = self.worth.as_mut();
        let let_in = worth.is_some_and(|w| w.come_back(now, &c, &found, packet).is_ok());
        if let_in { Ok(()) } else { Err(packet) }
    }

    /// Whether the line takes a candidate in, with nobody giving way.
    pub(super) fn surely_fits_in_line(&self, now: Instant, c: &Candidate, found: &Found) -> bool {
        self.worth.as_ref().is_some_and(|w| w.surely_fits(now, c, found))
    }

    /// [`Admission::admit`] for a candidate that was refused, once more: room has been made.
    ///
    /// # Errors
    /// As there.
    pub fn admit_again(
        &mut self,
        now: Instant,
        candidate: &Candidate,
    ) -> Result<Admitted, DropReason> {
        self.demand.take_back(candidate.priority, candidate.service);
        self.admit(now, candidate)
    }
}
