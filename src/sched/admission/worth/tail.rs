//! What leaves the line for a device beside the worker, and what comes back unrun.
//!
//! Knows no device. Places in the line are told as keys of the queue, so that whoever notes one need not know which of the two
//! is in use.

use super::{BEHIND, Candidate, Found, Worth};
use crate::base::{DropReason, Instant, Nanos, Priority};
use crate::packet::Packet;
use crate::sched::edf::{Key as Place, Visit};
use crate::sched::value::{Entry, Key};

/// The same place, as a key of the queue.
const fn place_of(key: &Key) -> Place {
    Place { deadline: key.by, priority: key.priority, seq: key.seq }
}

/// The same place, as a key of the line.
const fn key_of(place: &Place) -> Key {
    Key { by: place.deadline, priority: place.priority, seq: place.seq }
}

impl Worth {
    /// The work of all that is promised.
    pub(in crate::sched::admission) fn work(&self) -> Nanos {
        self.promises.work()
    }

    /// All that is promised, from the last to the first.
    pub(in crate::sched::admission) fn last_first(
        &self,
    ) -> impl Iterator<Item = Visit<'_, Packet>> {
        self.promises.last_first().filter_map(|e| self.visit(e))
    }

    /// All that is promised, in order.
    pub(in crate::sched::admission) fn in_line(&self) -> impl Iterator<Item = Visit<'_, Packet>> {
        self.promises.iter().filter_map(|e| self.visit(e))
    }

    fn visit(&self, e: &Entry<u16>) -> Option<Visit<'_, Packet>> {
        Some(Visit { key: place_of(&e.key), service: e.service, item: self.packet(e.item)? })
    }

    /// How often keys have changed their meaning: what was noted of places before is void.
    pub(in crate::sched::admission) const fn shifts(&self) -> u64 {
        self.shifts
    }

    /// Where the first of that priority stands.
    pub(in crate::sched::admission) fn first_place(&self, priority: Priority) -> Option<Place> {
        self.promises.first_of(priority).map(|e| place_of(&e.key))
    }

    /// Takes one out of the line: it, what it was expected to take, and the deadline that it was queued by.
    pub(in crate::sched::admission) fn take_out(
        &mut self,
        place: &Place,
    ) -> Option<(Packet, Nanos, Instant)> {
        let entry = self.promises.take_out(&key_of(place))?;
        let behind = self.packets.get(usize::from(entry.item))?.as_ref().is_some_and(|w| w.behind);
        let shift = BEHIND.saturating_mul(entry.key.priority.index() as u64);
        let by = if behind { entry.key.by.before(shift) } else { entry.key.by };
        Some((self.leave(entry.item)?, entry.service, by))
    }

    /// [`crate::sched::value::Promises::will_be_late`].
    pub(in crate::sched::admission) fn will_be_late(&self, now: Instant, place: &Place) -> bool {
        self.promises.will_be_late(now, &key_of(place))
    }

    /// Whether a newcomer is let in, and nobody gives way. May say no where it is.
    pub(in crate::sched::admission) fn surely_fits(
        &self,
        now: Instant,
        c: &Candidate,
        found: &Found,
    ) -> bool {
        let Some(at) = self.free.last().copied() else { return false };
        let entry = self.entry(c, found.yields, 1, at);
        !found.full && self.promises.surely_fits(now, &entry, found.terms(now, &entry).by)
    }

    /// A packet that had left asks for a place again, on the terms of any other.
    ///
    /// # Errors
    /// Says why it has none.
    pub(in crate::sched::admission) fn come_back(
        &mut self,
        now: Instant,
        c: &Candidate,
        found: &Found,
        packet: Packet,
    ) -> Result<(), DropReason> {
        let at = self.free.last().copied().ok_or(DropReason::QuotaTotal)?;
        self.admit(now, self.entry(c, found.yields, u32::from(packet.count), at), found)?;
        self.put(packet);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::{IngressId, KernelId};
    use crate::packet::{PacketFlags, Slot};
    use crate::sched::admission::Options;

    fn packet(due_us: u64) -> Packet {
        Packet {
            released: Instant::ZERO,
            deadline: Instant::ZERO + Nanos::from_micros(due_us),
            service: Nanos::from_micros(10),
            slot: Slot::FIRST,
            len: 64,
            count: 1,
            ingress: IngressId(0),
            kernel: KernelId(0),
            bucket: 0,
            priority: Priority::Low,
            flags: PacketFlags::default(),
        }
    }

    /// Where a class stands behind those that fit is a matter of the line: who comes back is queued by what it was queued by.
    #[test]
    fn what_stood_behind_leaves_with_the_deadline_that_it_was_queued_by() {
        let mut worth = Worth::new(&Options::default(), 4);
        let due = |p: &Packet| p.deadline + Nanos::from_micros(5);
        let (front, behind) = (packet(500), packet(400));
        worth.restore(due(&front), front.service, front, false);
        let before = worth.shifts();
        worth.restore(due(&behind), behind.service, behind, true);
        assert!(worth.shifts() > before, "from here on keys mean something else");
        let last = worth.last_first().next().unwrap().key;
        assert!(last.deadline > due(&front), "it stands behind what is due later");
        let (packet, service, by) = worth.take_out(&last).unwrap();
        assert_eq!((packet.deadline, service), (behind.deadline, behind.service));
        assert_eq!(by, due(&behind));
        assert_eq!((worth.len(), worth.work()), (1, front.service));
    }
}
