//! Gates G1 and G2 of [`Policy::Edf`](super::Policy::Edf): whether there is room, and time.
//!
//! Knows nothing of who gives way: see `eviction`. The work behind a packet's deadline is never charged to it: charging all queued
//! work, as seed 002's sentence can be read, drops two of three High packets at load 1 (SEMANTICS, "Admission").

use super::room::Room;
use super::{Admission, Admitted, Candidate, Overload, Predictor};
use crate::base::{DropReason, Instant, Nanos, Priority};
use crate::sched::edf::Key;

impl Admission {
    /// The gates of [`Policy::Edf`].
    pub(super) fn by_deadline(
        &mut self,
        now: Instant,
        candidate: &Candidate,
    ) -> Result<Admitted, DropReason> {
        match self.gates(now, candidate) {
            Ok(()) => Ok(Admitted::Expected),
            Err(reason) if self.wants_relief() => Err(reason),
            Err(reason) if self.probe(now, candidate.priority) => {
                debug_assert!(reason != DropReason::ExpiredOnArrival);
                Ok(Admitted::Probe)
            }
            Err(DropReason::PredictedMiss) if self.audit(now, candidate) => Ok(Admitted::Audit),
            Err(reason) => Err(reason),
        }
    }

    fn gates(&mut self, now: Instant, candidate: &Candidate) -> Result<(), DropReason> {
        match self.room(now, candidate)? {
            Room::Beyond(most) => self.narrow_room(now, candidate, most),
            Room::Within if self.backlog_fits(now, candidate) => Ok(()),
            Room::Within => self.narrow_gates(now, candidate),
        }
    }

    /// Beyond the quota of its class: it must fit into that much time, with nobody giving way.
    fn narrow_room(
        &mut self,
        now: Instant,
        candidate: &Candidate,
        most: Nanos,
    ) -> Result<(), DropReason> {
        let most = most.min(self.allowed(now, candidate));
        let fits = |work: Nanos| work + candidate.service <= most;
        if fits(self.queue.backlog()) {
            return Ok(());
        }
        let in_time = fits(self.work_before(&self.key(candidate)));
        if in_time && self.harmless(now, candidate).is_ok() {
            return Ok(());
        }
        Err(DropReason::QuotaPriority)
    }

    /// As in `surely_fits`.
    pub(super) fn backlog_fits(&self, now: Instant, candidate: &Candidate) -> bool {
        self.queue.backlog() + candidate.service <= self.allowed(now, candidate)
    }

    /// The gates that have to look into the queue.
    fn narrow_gates(&mut self, now: Instant, candidate: &Candidate) -> Result<(), DropReason> {
        if !candidate.priority.enforces_deadline() {
            return self.harmless(now, candidate);
        }
        let before = match self.options.predictor {
            Predictor::Off => return Ok(()),
            Predictor::SeedTotal => self.queue.backlog(),
            Predictor::Prefix => self.work_before(&self.key(candidate)),
        };
        let work = before + candidate.service;
        let allowed = self.allowed(now, candidate);
        if work <= allowed {
            return self.harmless(now, candidate);
        }
        // Whoever would be harmed by the candidate now would be so after an eviction too.
        let may_evict = self.options.overload == Overload::Value
            && self.options.predictor == Predictor::Prefix
            && self.harmless(now, candidate).is_ok();
        // A device is asked first.
        if may_evict && !self.wants_relief() && self.evict(work.saturating_sub(allowed), candidate)
        {
            return Ok(());
        }
        Err(DropReason::PredictedMiss)
    }

    /// How much work, its own included, may stand before the end of this candidate.
    ///
    /// Up to its deadline, less the margin. And what is worth less must leave room for what is worth more: while a candidate
    /// waits, packets of higher priorities keep coming and go before it, so its time is cut to the share that they leave; and
    /// it must be done a cushion before its deadline, so that it is out of the way before it would compete, as the earlier
    /// deadline, with fresh packets of the class above.
    #[inline]
    pub(super) fn allowed(&self, now: Instant, candidate: &Candidate) -> Nanos {
        let budget = candidate.deadline.since(candidate.released);
        self.allowed_with(self.margin.within(candidate.priority, budget), now, candidate)
    }

    /// The same with that margin.
    #[inline]
    pub(super) fn allowed_with(&self, margin: Nanos, now: Instant, candidate: &Candidate) -> Nanos {
        let slack = candidate.deadline.since(now).saturating_sub(self.company(candidate));
        let budget = candidate.deadline.since(candidate.released);
        let whole = slack.saturating_sub(margin);
        if self.options.overload == Overload::None || candidate.priority == Priority::High {
            return whole;
        }
        // A budget of the packet's own may be far shorter than its class's: no cushion takes more than a quarter of it.
        let quarter = Nanos::new(budget.get() / 4);
        let early = slack.saturating_sub(self.cushion[candidate.priority].min(quarter));
        whole.min(self.demand.left_of(early, candidate.priority))
    }

    pub(super) fn key(&self, candidate: &Candidate) -> Key {
        self.queue.next_key(candidate.priority, candidate.queued_by)
    }

    /// The work that goes before `key`: among classes that fit together in order of deadlines; all work of higher classes
    /// where the candidate's own yields.
    pub(super) fn work_before(&self, key: &Key) -> Nanos {
        if self.demand.yields(key.priority) {
            self.queue.work_above(key)
        } else {
            self.queue.work_before_among(key, self.demand.fitting())
        }
    }

    /// Law 2: a candidate must not make queued packets of a higher priority late. Those of its own and of lower
    /// priorities are left to the gate at dispatch. A class that yields goes behind them in any case.
    fn harmless(&mut self, now: Instant, candidate: &Candidate) -> Result<(), DropReason> {
        if self.options.overload == Overload::None
            || self.demand.yields(candidate.priority)
            || !self.queue.any_above(candidate.priority)
        {
            return Ok(());
        }
        // Whoever stands behind the candidate has a later deadline: if all work fits before the candidate's, nobody is harmed.
        let all_done = now + self.queue.backlog() + candidate.service;
        if all_done <= candidate.queued_by {
            return Ok(());
        }
        let key = self.key(candidate);
        let mut finish = now + self.work_before(&key);
        let fitting = self.demand.fitting();
        let ahead = self.queue.in_order_after(&key);
        for entry in ahead.filter(|e| e.key.priority.index() < fitting) {
            finish = finish + entry.service;
            let higher = entry.key.priority < candidate.priority;
            let deadline = entry.item.deadline;
            if higher && finish <= deadline && finish + candidate.service > deadline {
                return Err(DropReason::PredictedMiss);
            }
        }
        Ok(())
    }

    pub(super) fn probe(&mut self, now: Instant, priority: Priority) -> bool {
        let granted =
            self.queue.len() < self.queue.capacity() && self.probes[priority].try_take(now);
        self.probed += u64::from(granted);
        granted
    }
}
