//! What the gates make of batches whose cost is known.
//!
//! Knows no rule of its own: `sched::batch` has them. Where no kernel has a shape, nothing here is on a packet's way.

use super::{Admission, Candidate};
use crate::base::{Instant, Nanos, Priority};
use crate::sched::batch::Batches;

impl Admission {
    /// What each of `count` packets that are alike would add to the work that waits, until its result has left: by the batch that
    /// it would ride in, where that is known, else as [`Admission::predict`].
    #[must_use]
    #[inline]
    pub fn charge(&self, bucket: u16, priority: Priority, count: u32) -> Nanos {
        if self.batches.any() {
            return self.charge_in_batch(bucket, priority, count);
        }
        self.predict(bucket, priority)
    }

    #[inline(never)]
    pub(super) fn charge_in_batch(&self, bucket: u16, priority: Priority, count: u32) -> Nanos {
        let charge = self.batches.charge(bucket, priority, self.depth(priority), count);
        charge.map_or_else(|| self.predict(bucket, priority), |each| each + self.each)
    }

    /// Puts in force what batches cost.
    pub fn set_batches(&mut self, batches: Batches) {
        self.batches = batches;
        self.settle_ways();
    }

    /// The plan's slice is now this.
    pub fn set_slice(&mut self, slice: Nanos) {
        self.batches.set_slice(slice);
    }

    /// After any change of how packets are queued, and of what is known of batches.
    pub(super) fn settle_ways(&mut self) {
        let any = self.batches.any();
        self.plain = !self.by_value && !any;
        self.queued_plainly = self.in_order && !any;
        self.sure_up_to = if any { Nanos::ZERO } else { self.at_once };
    }

    /// How long the batch of a candidate may take beyond its own row: others that come behind it join it.
    #[inline]
    pub(super) fn company(&self, candidate: &Candidate) -> Nanos {
        if self.batches.any() { self.company_in_batch(candidate) } else { Nanos::ZERO }
    }

    #[inline(never)]
    pub(super) fn company_in_batch(&self, candidate: &Candidate) -> Nanos {
        let Candidate { bucket, priority, .. } = *candidate;
        self.batches.company(bucket, priority, self.depth(priority))
    }

    /// A batch was run, of which each packet was expected to cost that much in its kernel; none: it is not known.
    pub const fn expect(&mut self, expected: Option<Nanos>) {
        self.expected = expected;
    }

    /// `surely_fits`, where batches are known.
    pub(super) fn surely_fits_in_batches(&self, now: Instant, candidate: &Candidate) -> bool {
        self.batches.any()
            && candidate.service <= self.at_once
            && self.surely_within(candidate.priority, 1)
            && self.backlog_fits(now, candidate)
            && now < candidate.deadline
    }
}
