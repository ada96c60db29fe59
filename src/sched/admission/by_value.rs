//! [`Policy::Value`](super::Policy::Value): when the queue is left for the line of promises, when it is taken up again, and who
//! is let in meanwhile.
//!
//! While everything surely fits, the rings of the queue are all that is needed: deadline order is then the best order, and
//! costs far less. The first candidate that does not surely fit takes all that waits over into the line; once nobody waits in
//! the line, the next is queued again.

use super::worth::{Found, Worth};
use super::{Admission, Admitted, Candidate, Policy};
use crate::base::{DropReason, Instant, Nanos, PerPriority, Priority};
use crate::sched::estimate::RISE_MAX;

impl Admission {
    /// No candidate that takes longer is let in without a close look. None at all where that look always has to be taken.
    pub(super) fn at_once(policy: Policy) -> Nanos {
        match policy {
            Policy::Edf | Policy::Value => Nanos::MAX,
            Policy::EdfExpiry | Policy::Fifo => Nanos::ZERO,
        }
    }

    /// The gates of [`Policy::Value`].
    pub(super) fn promise(&mut self, now: Instant, c: &Candidate) -> Result<Admitted, DropReason> {
        self.demand.add(c.priority, c.service, 1);
        let blocks =
            self.worth.as_ref().is_some_and(|w| w.blocks(c, self.longest_wait_for(c.bucket)));
        self.would_block = blocks;
        if blocks {
            // Never an audit: others would wait for its end, and a helper may yet take it.
            return self.probe_by_value(now, c, DropReason::PredictedMiss);
        }
        // Who is weighed before being refused costs those who could be served in that time.
        let vain = self.looks.see(c.bucket);
        if self.is_calm() || vain && self.go_by_deadline() {
            if self.fits(now, c) {
                return Ok(Admitted::Expected);
            }
            if self.wants_relief() {
                return Err(DropReason::PredictedMiss);
            }
            if vain || self.nothing_to_weigh(c) {
                return self.by_deadline(now, c);
            }
            self.go_by_value();
        }
        let found = self.found(now, c, 1);
        if self.wants_relief() && !self.surely_fits_in_line(now, c, &found) {
            return Err(DropReason::PredictedMiss);
        }
        match self.worth.as_mut().map(|w| w.promise(now, c, &found)) {
            Some(Err(reason)) => self.probe_by_value(now, c, reason),
            _ => Ok(Admitted::Expected),
        }
    }

    /// Whether all that waits is like the candidate, and what it takes is known: whoever is refused, as many are in time. Where
    /// packets take a microsecond, weighing each costs as much as serving it.
    pub(super) fn nothing_to_weigh(&self, c: &Candidate) -> bool {
        self.batches.any() && self.batches.all_like(c.bucket, c.priority, self.queue.len())
    }

    /// All that waits in line is queued again, in its order, if the queue has room: the line counts trains, and the queue their datagrams.
    /// Not before all that were given up have been asked for.
    #[cold]
    fn go_by_deadline(&mut self) -> bool {
        let Self { queue, worth: Some(worth), .. } = self else { return false };
        if worth.has_gone() || worth.len() > queue.capacity() {
            return false;
        }
        while let Some((packet, by, service)) = worth.pop_queued() {
            let count = u32::from(packet.count);
            let pushed = queue.push_many(packet.priority, by, service, count, packet);
            debug_assert!(pushed.is_ok(), "there is room for all of them");
        }
        self.is_calm()
    }

    /// Refused for that reason, unless a probe or an audit is due.
    fn probe_by_value(
        &mut self,
        now: Instant,
        c: &Candidate,
        reason: DropReason,
    ) -> Result<Admitted, DropReason> {
        if !self.probes[c.priority].try_take(now) {
            let may_be = reason == DropReason::PredictedMiss && !self.would_block;
            let audited = may_be && self.audit(now, c);
            return if audited { Ok(Admitted::Audit) } else { Err(reason) };
        }
        if self.is_calm() {
            self.go_by_value();
        }
        let found = self.found(now, c, 1);
        let Some(worth) = &mut self.worth else { return Err(reason) };
        worth.probe(now, c, &found)?;
        self.probed += 1;
        Ok(Admitted::Probe)
    }

    /// Whether so many alike surely fit in the line.
    pub(super) fn admits_all_by_value(&mut self, now: Instant, c: &Candidate, count: u32) -> bool {
        let found = self.found(now, c, count);
        let fits = self.worth.as_mut().is_some_and(|w| w.admits_all(now, c, &found, count));
        if fits {
            self.demand.add(c.priority, c.service, count);
        }
        fits
    }

    pub(super) fn found(&self, now: Instant, c: &Candidate, count: u32) -> Found {
        let full = self.depth(c.priority) + count > self.quota[c.priority];
        let beyond = if full { self.beyond(now, c, count) } else { None };
        Found {
            allowed: self.allowed(now, c),
            yields: self.demand.yields(c.priority),
            full,
            beyond: beyond.unwrap_or(Nanos::ZERO),
        }
    }

    /// Whether the queue is in use: it is again once nobody waits in the line.
    pub(super) fn is_calm(&mut self) -> bool {
        if self.by_value && self.worth.as_ref().is_none_or(|w| w.len() == 0) {
            self.by_value = false;
            self.moves += 1;
            self.in_order = true;
            self.at_once = self.worth.as_ref().map_or(Nanos::MAX, |w| w.patience());
            self.settle_ways();
        }
        !self.by_value
    }

    /// Not everything surely fits: all that waits is from now on weighed.
    #[cold]
    pub(super) fn go_by_value(&mut self) {
        let Self { queue, worth, demand, by_value, in_order, at_once, .. } = self;
        let Some(worth) = worth else { return };
        while let Some(entry) = queue.pop() {
            let yields = demand.yields(entry.key.priority);
            worth.restore(entry.key.deadline, entry.service, entry.item, yields);
        }
        *by_value = true;
        *in_order = false;
        *at_once = Nanos::ZERO;
        self.moves += 1;
        self.settle_ways();
    }

    /// Time has passed.
    pub(super) fn tick_by_value(&mut self, now: Instant, arrived: &PerPriority<u64>) {
        let Self { worth: Some(worth), queue, looks, estimate, each, .. } = self else { return };
        looks.tick(now, arrived, |bucket| estimate.predict(bucket, Priority::Low) + *each);
        worth.tick(now, arrived, |p| queue.newest(p));
        if !self.by_value {
            self.at_once = worth.patience();
            self.settle_ways();
        }
    }

    /// How far estimates are to be trusted is learnt from packets, not from warming up: those runs are longer.
    #[inline(never)]
    pub(super) fn learn(&mut self, bucket: u16, priority: Priority, each: Nanos) {
        let in_batch = self.expected.map(|each| each + self.each);
        let expected = in_batch.unwrap_or_else(|| self.predict(bucket, priority));
        let took = (each + self.each).min(expected.saturating_mul(RISE_MAX));
        if let Some(worth) = &mut self.worth {
            worth.record(bucket, took, expected);
        }
    }
}

/// The line, made only where it is used.
pub(super) fn line(options: &super::Options, buckets: usize) -> Option<Box<Worth>> {
    (options.policy == Policy::Value).then(|| Box::new(Worth::new(options, buckets)))
}
