//! Gate G3: which packet is next, and whether it can still make it.
//!
//! Knows nothing of how packets came in: see the gates.

use super::{Admission, Policy};
use crate::base::{DropReason, Instant, Nanos, Priority};
use crate::packet::Packet;
use crate::sched::ServiceEstimate;
use crate::sched::batch::Batches;
use crate::sched::edf::{Key, Visit};

/// The part of its budget, as one over this, that a packet may spend behind packets of lower priorities that are due earlier.
/// The rest is for what no estimate sees: a core that is taken away, a kernel that takes longer.
const SHARE_FOR_LOWER: u64 = 4;

/// What stands at the head of the queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dispatch<'a> {
    /// This packet: run it.
    Run(&'a Packet),
    /// This packet, but only so many of its datagrams: the last of them would be late.
    Part(&'a Packet, u16),
    /// This packet, which can no longer make it: drop it under that reason and ask again.
    TooLate(&'a Packet, DropReason),
    /// Nothing.
    Empty,
}

impl Admission {
    /// Gate G3: takes the next packet out of the queue, and tells whether it can still make it when it is started at
    /// `start`. The next is the head, unless packets of higher priority go before it: see `Admission::overtakes`.
    #[inline]
    pub fn dispatch(&mut self, start: Instant) -> Dispatch<'_> {
        self.dispatch_if(start, |_| true)
    }

    /// The same, but only if what is to be taken is `wanted`; else nothing is.
    #[inline]
    pub fn dispatch_if(
        &mut self,
        start: Instant,
        wanted: impl FnOnce(&Packet) -> bool,
    ) -> Dispatch<'_> {
        if !self.plain {
            return self.dispatch_otherwise(start, wanted);
        }
        if let Some((key, packet)) = self.overtakes(start) {
            return if wanted(&packet) { self.take_out(start, &key) } else { Dispatch::Empty };
        }
        let Self { predicts, options, estimate, each, queue, .. } = self;
        let (predicts, policy, each) = (*predicts, options.policy, *each);
        let judge = Judge { predicts, policy, estimate, each };
        match queue.take_if(|p| wanted(p).then(|| judge.of(start, p))) {
            Some((verdict, packet)) => verdict.on(packet, DropReason::LateAtDispatch),
            None => Dispatch::Empty,
        }
    }

    /// The same by value, or where batches are known.
    #[inline(never)]
    fn dispatch_otherwise(
        &mut self,
        start: Instant,
        wanted: impl FnOnce(&Packet) -> bool,
    ) -> Dispatch<'_> {
        if self.by_value {
            return self.next_by_value(start, wanted);
        }
        if let Some((key, packet)) = self.overtakes(start) {
            return if wanted(&packet) { self.take_out(start, &key) } else { Dispatch::Empty };
        }
        if !self.queue.peek_item().is_some_and(wanted) {
            return Dispatch::Empty;
        }
        match self.queue.pop() {
            Some(first) => self.judged(start, first.item, DropReason::LateAtDispatch),
            None => Dispatch::Empty,
        }
    }

    /// The same for the first packet of High, wherever it stands.
    pub fn dispatch_high(&mut self, start: Instant) -> Dispatch<'_> {
        if let Some(worth) = self.worth.as_mut().filter(|_| self.by_value) {
            return match worth.take_first_of(Priority::High) {
                Some(packet) => self.judged(start, packet, DropReason::LateAtDispatch),
                None => self.dispatch(start),
            };
        }
        let key = self.queue.in_order().map(|e| e.key).find(|k| k.priority == Priority::High);
        match key {
            Some(key) => self.take_out(start, &key),
            None => self.dispatch(start),
        }
    }

    /// Takes out a packet from wherever it stands.
    #[inline(never)]
    fn take_out(&mut self, start: Instant, key: &Key) -> Dispatch<'_> {
        let Self { predicts, options, estimate, batches, each, queue, overtaking, .. } = self;
        let (predicts, policy, each) = (*predicts, options.policy, *each);
        let judge = Judge { predicts, policy, estimate, each };
        *overtaking = queue.remove(key).map(|e| e.item);
        let late = DropReason::LateAtDispatch;
        overtaking
            .as_ref()
            .map_or(Dispatch::Empty, |p| judge.of_batch(batches, start, p).on(p, late))
    }

    #[inline(never)]
    fn next_by_value(
        &mut self,
        start: Instant,
        wanted: impl FnOnce(&Packet) -> bool,
    ) -> Dispatch<'_> {
        let before = self.goes_before_head(start);
        let Some(worth) = &mut self.worth else { return Dispatch::Empty };
        let next = if let Some(class) = before {
            let is_wanted = worth.first_of(class).is_some_and(wanted);
            let first = if is_wanted { worth.take_first_of(class) } else { None };
            first.map(|p| (p, DropReason::LateAtDispatch))
        } else {
            worth.next(start, wanted)
        };
        match next {
            Some((packet, why)) => self.judged(start, packet, why),
            None => Dispatch::Empty,
        }
    }

    /// A head whose class does not fit lets all higher ones go first, as in [`Admission::first_in_value`]; one whose class does,
    /// those that have spent their share, as in [`Admission::squeezed`].
    fn goes_before_head(&self, start: Instant) -> Option<Priority> {
        let worth = self.worth.as_ref()?;
        let head = worth.first()?;
        let above = &Priority::ALL[..head.priority.index()];
        if !self.demand.yields(head.priority) {
            let own = head.service.saturating_mul(head.datagrams());
            let squeezed =
                |p: &Priority| worth.first_of(*p).is_some_and(|f| self.is_squeezed(start, own, f));
            return above.iter().copied().find(squeezed);
        }
        if !self.makes_it(start, head) {
            return None;
        }
        let (fit, rest) = above.split_at(self.demand.fitting().min(above.len()));
        let due = |p: &Priority| Some((worth.first_due(*p)?, *p));
        let of_those = fit.iter().filter_map(due).min().map(|(_, p)| p);
        of_those.or_else(|| rest.iter().copied().find(|p| worth.first_due(*p).is_some()))
    }

    /// What becomes of a packet that was taken out; why it is dropped if it is.
    #[inline(never)]
    fn judged(&mut self, start: Instant, packet: Packet, why: DropReason) -> Dispatch<'_> {
        let Self { predicts, options, estimate, batches, each, overtaking, .. } = self;
        let (predicts, policy, each) = (*predicts, options.policy, *each);
        let judge = Judge { predicts, policy, estimate, each };
        let packet = &*overtaking.insert(packet);
        judge.of_batch(batches, start, packet).on(packet, why)
    }

    /// The packet of a higher priority that goes before the head.
    #[inline]
    fn overtakes(&self, start: Instant) -> Option<(Key, Packet)> {
        if !self.overtaking_allowed || !self.queue.any_above_first() {
            return None;
        }
        self.first_above(start)
    }

    #[inline(never)]
    fn first_above(&self, start: Instant) -> Option<(Key, Packet)> {
        let head = self.queue.first_priority()?;
        let first = if self.demand.yields(head) {
            self.first_in_value(start, head)
        } else {
            self.squeezed(start, head)
        }?;
        Some((first.key, *first.item))
    }

    /// Deadline order is the best one while everything fits. A head whose class does not fit lets all higher ones go before
    /// it, unless it can only be dropped: those that fit among each other in the order of their deadlines.
    fn first_in_value(&self, start: Instant, head: Priority) -> Option<Visit<'_, Packet>> {
        let late = self.queue.peek_item().is_some_and(|p| !self.makes_it(start, p));
        if late {
            return None;
        }
        let (fit, rest) = Priority::ALL[..head.index()].split_at(self.demand.fitting());
        let of_those = fit.iter().filter_map(|p| self.queue.first_of(*p));
        of_those.min_by_key(|v| v.key).or_else(|| rest.iter().find_map(|p| self.queue.first_of(*p)))
    }

    /// Where all fits but for a moment: the first packet of a higher priority that has spent the share of its budget which
    /// is for lower ones, or would have behind the head. One that can no longer make it is taken too, to be dropped: as long
    /// as it stood in front, those of its class behind it, which still can, would wait with it.
    fn squeezed(&self, start: Instant, head: Priority) -> Option<Visit<'_, Packet>> {
        let own = self.queue.peek()?.service;
        let above = Priority::ALL[..head.index()].iter();
        above
            .filter_map(|p| self.queue.first_of(*p))
            .find(|first| self.is_squeezed(start, own, first.item))
    }

    /// Whether it has spent the share of its budget that is for lower priorities, or would behind `own` more of them.
    fn is_squeezed(&self, start: Instant, own: Nanos, packet: &Packet) -> bool {
        let Packet { released, deadline, bucket, priority, .. } = *packet;
        let for_lower = Nanos::new(deadline.since(released).get() / SHARE_FOR_LOWER);
        start + own + self.predict(bucket, priority) > released + for_lower
    }

    /// Whether a packet that is started now ends in time, as far as can be told.
    fn makes_it(&self, start: Instant, packet: &Packet) -> bool {
        !packet.priority.enforces_deadline()
            || start + self.predict(packet.bucket, packet.priority) <= packet.deadline
    }
}

/// Gate G3, beside the queue that the packet is taken out of.
struct Judge<'a> {
    predicts: bool,
    policy: Policy,
    estimate: &'a ServiceEstimate,
    each: Nanos,
}

/// What becomes of a packet that has left the queue and would be started now.
#[derive(Clone, Copy)]
enum Verdict {
    Run,
    Part(u16),
    TooLate,
}

impl Verdict {
    #[inline]
    const fn on(self, packet: &Packet, late: DropReason) -> Dispatch<'_> {
        match self {
            Self::Run => Dispatch::Run(packet),
            Self::Part(in_time) => Dispatch::Part(packet, in_time),
            Self::TooLate => Dispatch::TooLate(packet, late),
        }
    }
}

impl Judge<'_> {
    #[inline]
    fn of(&self, start: Instant, packet: &Packet) -> Verdict {
        if !packet.priority.enforces_deadline() {
            return Verdict::Run;
        }
        let each = if self.predicts && !packet.flags.unpredicted {
            self.estimate.predict(packet.bucket, packet.priority) + self.each
        } else if packet.flags.place != 0 && !packet.flags.probe {
            // What is left of it, as was believed when it paused.
            packet.service
        } else if self.policy == Policy::Fifo {
            return Verdict::Run;
        } else {
            // A hair more than nothing: what is due now is late.
            Nanos::new(1)
        };
        let slack = packet.deadline.since(start);
        if each.saturating_mul(packet.datagrams()) <= slack {
            return Verdict::Run;
        }
        match u16::try_from(slack.get() / each.get().max(1)).unwrap_or(u16::MAX) {
            0 => Verdict::TooLate,
            in_time => Verdict::Part(in_time),
        }
    }

    /// The same where batches may be known. Apart, so that nothing of them is left where none is: 25 instructions a packet.
    fn of_batch(&self, batches: &Batches, start: Instant, packet: &Packet) -> Verdict {
        let by_batch = self.predicts
            && packet.priority.enforces_deadline()
            && !packet.flags.unpredicted
            && batches.has(packet.bucket);
        if by_batch { self.in_batch(batches, start, packet) } else { self.of(start, packet) }
    }

    /// By what its rows take together.
    #[inline(never)]
    fn in_batch(&self, batches: &Batches, start: Instant, packet: &Packet) -> Verdict {
        let slack = packet.deadline.since(start);
        let ends = |rows: u16| {
            let in_kernel = batches.whole(packet.bucket, usize::from(rows));
            in_kernel.unwrap_or(Nanos::ZERO) + self.each.saturating_mul(u64::from(rows))
        };
        if ends(packet.count) <= slack {
            return Verdict::Run;
        }
        let in_time = (1..packet.count).rev().find(|rows| ends(*rows) <= slack);
        in_time.map_or(Verdict::TooLate, Verdict::Part)
    }
}
