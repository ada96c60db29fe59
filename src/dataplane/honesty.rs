//! How well what was predicted and reached agrees with what was so, and with what was possible.
//!
//! Knows no gate: what was let in against its prediction is marked, and its end is counted here.

use super::worker::Worker;
use crate::base::{DropReason, IngressId, Instant, PerPriority, Priority};
use crate::packet::{Packet, PacketFlags};
use crate::sched::Ends;
use crate::stats::{ClassField, Field, WorkerField};

/// What had been on time at the end of the last window.
#[derive(Debug, Default)]
pub(super) struct Reached {
    on_time: PerPriority<u64>,
}

impl Worker {
    /// A packet that is predicted to be late at dispatch, where it is run all the same to see whether it is.
    #[cold]
    #[inline(never)]
    pub(super) fn audit(
        &mut self,
        start: Instant,
        packet: Packet,
        reason: DropReason,
    ) -> Option<Packet> {
        let audited = reason == DropReason::LateAtDispatch
            && packet.count == 1
            && !packet.flags.probe
            && start < packet.deadline
            && self.admission.audits_at_dispatch();
        audited.then(|| {
            self.counters.add_class(packet.priority, ClassField::Audits, 1);
            let flags = PacketFlags { probe: true, audit: true, unpredicted: true, ..packet.flags };
            Packet { flags, ..packet }
        })
    }

    /// One that was let in against its prediction is dropped.
    #[cold]
    #[inline(never)]
    pub(super) fn judge_unpromised_drop(&mut self, packet: &Packet, reason: DropReason) {
        if reason.is_late_after_admit() {
            self.counters.add_class(packet.priority, ClassField::UnpromisedLate, 1);
        }
    }

    /// How promises have ended by now decides what those to come leave free.
    pub(super) fn learn_margins(&mut self) {
        self.admission.learn_from(&PerPriority::from_fn(|p| Ends {
            admitted: self.counters.class(p, ClassField::Admitted),
            late: self.counters.late_after_admit(p),
        }));
        for p in Priority::ALL {
            self.counters.set_class(p, ClassField::Margin, self.admission.margin(p).get());
        }
    }

    /// Where a window is over: what it had on time, beside the most that it could have had.
    pub(super) fn compare_with_possible(&mut self, now: Instant) {
        let Some(most) = self.admission.most_possible(now) else { return };
        let values = self.admission.values();
        let (mut packets, mut value) = (0, 0_u64);
        for p in Priority::ALL {
            let by_now = self.on_time(p);
            let new = by_now - std::mem::replace(&mut self.reached.on_time[p], by_now);
            packets += new;
            value = value.saturating_add(new.saturating_mul(u64::from(values[p])));
        }
        for (field, figure) in [
            (WorkerField::Possible, most.packets),
            (WorkerField::OnTime, packets),
            (WorkerField::ValuePossible, most.value),
            (WorkerField::ValueOnTime, value),
        ] {
            self.counters.set_worker(field, figure);
        }
    }

    fn on_time(&self, priority: Priority) -> u64 {
        let ingresses = 0..self.counters.layout().ingresses();
        let of = |i| self.counters.view(IngressId(u16::try_from(i).unwrap_or(u16::MAX)), priority);
        ingresses.map(|i| of(i).get(Field::OnTime)).sum()
    }
}
