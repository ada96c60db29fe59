//! Gate G1: how much of a class may wait.
//!
//! By count, as seed 002 has it; and beyond that by time. The count is made from the mean of a class and its tightest budget, so
//! that where short and long work mix it is reached by short packets while there is time for all of them. What is beyond
//! it goes in where it is done, behind all that goes before it, by the part of its own budget that is left to such (`fill`), and
//! nobody gives way to it or is made late. So a flood gains nothing by it that anybody else could have had.

use super::{Admission, Candidate, Policy, Predictor};
use crate::base::limits::{QUEUE_TOTAL_MAX, QUOTA_MAX};
use crate::base::{DropReason, Instant, Nanos, PerPriority, Priority};

/// On what terms there is room for one more of a class.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Room {
    /// Its quota is not reached.
    Within,
    /// It is, but the packet may go beyond: that much work may stand before its end, and nobody gives way to it.
    Beyond(Nanos),
}

impl Admission {
    /// Puts a plan's quotas in force. They gate new packets only: what is queued stays queued.
    pub const fn set_quota(&mut self, quota: PerPriority<u32>, total: u32) {
        self.quota = quota;
        self.quota_total = total;
    }

    /// Puts in force by which part of its own budget, in thousandths, a packet beyond its class's quota must be done. 0, as
    /// before the first plan: none goes beyond.
    pub const fn set_fill(&mut self, fill: PerPriority<u16>) {
        self.fill = fill;
    }

    /// How many more packets the queue takes, where no quota counts.
    #[must_use]
    #[inline]
    pub fn capacity_left(&self) -> u32 {
        u32::try_from(QUEUE_TOTAL_MAX.saturating_sub(self.len())).unwrap_or(u32::MAX)
    }

    /// Whether so many more of a class are within its quota, and all classes together within theirs, as can be told at once.
    #[inline]
    pub(super) fn surely_within(&self, priority: Priority, count: u32) -> bool {
        self.queue.depth(priority) + count <= self.quota[priority]
            && self.queue.len() + count as usize <= self.quota_total as usize
    }

    /// On what terms there is room for the candidate, if there is any.
    pub(super) fn room(&self, now: Instant, candidate: &Candidate) -> Result<Room, DropReason> {
        let p = candidate.priority;
        if self.depth(p) < self.quota[p] {
            return if self.all_within() { Ok(Room::Within) } else { Err(DropReason::QuotaTotal) };
        }
        let beyond = self.beyond(now, candidate, 1);
        beyond.map(Room::Beyond).ok_or(DropReason::QuotaPriority)
    }

    /// Whether there is room for one more besides those that wait within the quotas of their classes: what is beyond one takes
    /// nothing of what is kept for the others.
    fn all_within(&self) -> bool {
        let within = |p: Priority| self.depth(p).min(self.quota[p]);
        Priority::ALL.into_iter().map(within).sum::<u32>() < self.quota_total
    }

    /// How much work may stand before the end of each of `count` that go beyond the quota of their class, if they may.
    pub(super) fn beyond(&self, now: Instant, candidate: &Candidate, count: u32) -> Option<Nanos> {
        let Candidate { priority, deadline, released, service, .. } = *candidate;
        // Deadlines alone do not tell what to give up: where there is more work than time, each long packet more is many short
        // ones less. By value that is weighed.
        let crowds = self.options.policy == Policy::Edf
            && self.demand.yields(priority)
            && service > self.estimate.ema(priority) + self.each;
        let fill = u64::from(self.fill[priority]);
        let may = fill > 0
            && self.quota[priority] > 0
            && self.depth(priority) + count <= QUOTA_MAX
            && self.options.predictor == Predictor::Prefix
            && !crowds;
        // Of its budget, and not of what is left of it: what has grown old on its way has less.
        let part = Nanos::new(deadline.since(released).saturating_mul(fill).get() / 1_000);
        may.then(|| part.saturating_sub(now.since(released)))
    }

    /// Whether there is room and time to spare.
    pub(super) fn fits(&self, now: Instant, candidate: &Candidate) -> bool {
        let most = match self.room(now, candidate) {
            Ok(Room::Within) => Nanos::MAX,
            Ok(Room::Beyond(most)) => most,
            Err(_) => return false,
        };
        self.queue.backlog() + candidate.service <= self.allowed(now, candidate).min(most)
    }
}
