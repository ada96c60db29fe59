//! From a datagram that was read to a place in the queue: the gates, the copy, and who gives way for it.
//!
//! Knows no bytes of a payload; how a datagram is read is `intake`'s.

use super::intake::{Ready, Run, Train};
use super::worker::{Origin, Worker};
use crate::base::{DropReason, Instant};
use crate::packet::{Packet, PacketFlags, Slot};
use crate::sched::admission::Admitted;
use crate::sched::flow::FlowNote;
use crate::stats::ClassField;

impl Worker {
    #[inline]
    pub(super) fn admit(
        &mut self,
        now: Instant,
        train: &Train<'_>,
        ready: &Ready,
        run: Run<'_>,
    ) -> Result<(), DropReason> {
        self.admit_noted(now, train, ready, run, None)
    }

    /// The gates for one datagram, and its place in the queue.
    #[inline(always)]
    pub(super) fn admit_noted(
        &mut self,
        now: Instant,
        train: &Train<'_>,
        ready: &Ready,
        run: Run<'_>,
        note: Option<FlowNote>,
    ) -> Result<(), DropReason> {
        let admitted = match self.admission.admit(now, &ready.candidate) {
            Ok(admitted) => self.queue_admitted(train, ready, run, admitted, note),
            Err(reason) => self.admit_relieved(now, train, (ready, run, note), reason),
        };
        // Also where the candidate is refused: what waits in reserve may have run out of time.
        if self.admission.has_evicted() {
            self.drop_evicted(now);
        }
        admitted
    }

    #[inline]
    fn queue_admitted(
        &mut self,
        train: &Train<'_>,
        ready: &Ready,
        run: Run<'_>,
        admitted: Admitted,
        note: Option<FlowNote>,
    ) -> Result<(), DropReason> {
        let counted = match admitted {
            Admitted::Expected => None,
            Admitted::Probe => Some(ClassField::Probes),
            Admitted::Audit => Some(ClassField::Audits),
        };
        if let Some(field) = counted {
            self.counters.add_class(ready.candidate.priority, field, 1);
        }
        self.queue_packet(train, ready, run, admitted, note)
    }

    /// A datagram was refused, for the time being where a device could be of use: what that takes makes room. Once none can take
    /// any more, the gates decide who is refused, or gives way. Bounded: a device takes two batches at most.
    #[cold]
    #[inline(never)]
    fn admit_relieved(
        &mut self,
        now: Instant,
        train: &Train<'_>,
        (ready, run, note): (&Ready, Run<'_>, Option<FlowNote>),
        reason: DropReason,
    ) -> Result<(), DropReason> {
        let may_help = reason.is_overload() && reason != DropReason::ExpiredOnArrival;
        if may_help
            && self.admission.would_block()
            && let Some(helper) = self.free_helper(now)
            && self.goes_elsewhere(now, helper, train, (ready, run, note))
        {
            return Ok(());
        }
        let mut verdict = Err(reason);
        while verdict.is_err() && may_help && self.wants_relief() {
            self.form(now);
            verdict = self.admission.admit_again(now, &ready.candidate);
        }
        self.queue_admitted(train, ready, run, verdict?, note)
    }

    /// Copies admitted datagrams into a slot, queues them as one packet and counts them.
    #[inline]
    pub(super) fn queue_packet(
        &mut self,
        train: &Train<'_>,
        ready: &Ready,
        run: Run<'_>,
        admitted: Admitted,
        note: Option<FlowNote>,
    ) -> Result<(), DropReason> {
        let Some(slot) = self.pool.insert(run.bytes) else {
            self.admission.withdraw();
            return Err(DropReason::RxNoBuffer);
        };
        let packet = self.lie_in(slot, train, (ready, &run), admitted, note);
        self.admission.push(packet, &ready.candidate);
        self.take_in(train, ready, run.count);
        Ok(())
    }

    /// A datagram was refused because others would wait for it here: whether that helper takes it.
    fn goes_elsewhere(
        &mut self,
        now: Instant,
        helper: usize,
        train: &Train<'_>,
        (ready, run, note): (&Ready, Run<'_>, Option<FlowNote>),
    ) -> bool {
        let Some(slot) = self.pool.insert(run.bytes) else { return false };
        let packet = self.lie_in(slot, train, (ready, &run), Admitted::Expected, note);
        let taken = self.hand_over_alone(now, helper, &packet, ready.candidate.queued_by);
        if taken {
            self.take_in(train, ready, run.count);
        } else {
            self.pool.release(packet.slot);
        }
        taken
    }

    /// What lies in a slot now, and a note of where it came from.
    #[inline(always)]
    fn lie_in(
        &mut self,
        slot: Slot,
        train: &Train<'_>,
        (ready, run): (&Ready, &Run<'_>),
        admitted: Admitted,
        note: Option<FlowNote>,
    ) -> Packet {
        let Ready { request, bucket, candidate } = ready;
        let seq = self.admission.queue().next_seq();
        self.origins[slot.index()] = Origin { route: train.route(), note, seq };
        Packet {
            released: candidate.released,
            deadline: candidate.deadline,
            service: candidate.service,
            slot,
            len: u16::try_from(run.len).unwrap_or(u16::MAX),
            count: u16::try_from(run.count).unwrap_or(u16::MAX),
            ingress: train.door.ingress,
            kernel: request.kernel,
            bucket: *bucket,
            priority: candidate.priority,
            flags: PacketFlags {
                probe: admitted != Admitted::Expected,
                unpredicted: admitted != Admitted::Expected,
                audit: admitted == Admitted::Audit,
                noted: note.is_some(),
                bound: candidate.bound,
                ..request.flags
            },
        }
    }

    #[inline]
    fn take_in(&mut self, train: &Train<'_>, ready: &Ready, count: u32) {
        let (priority, count) = (ready.candidate.priority, u64::from(count));
        self.counters.add_class(priority, ClassField::Admitted, count);
        self.counters.cell(train.door.ingress, priority).take_in(count);
    }

    #[cold]
    pub(super) fn drop_evicted(&mut self, now: Instant) {
        while let Some((evicted, reason)) = self.admission.next_evicted() {
            self.leave_queue(&evicted);
            self.drop_packet(now, evicted, reason);
        }
    }
}
