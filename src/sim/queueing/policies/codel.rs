//! `CoDel`: drops from the head while the wait stays above a target, ever more often.
//!
//! Knows no sizes and no deadlines beyond one budget. K. Nichols, V. Jacobson, "Controlling queue delay", ACM Queue 10(5),
//! 2012, and RFC 8289, whose pseudo-code this follows. Target and interval are scaled to the budget as RFC 8289, section
//! 4.3, scales them to the round trip: the interval is the budget, the target its twentieth. Expired jobs are dropped at
//! their turn, as in every policy here that can.

use std::collections::VecDeque;

use super::first_live;
use crate::base::{Instant, Nanos};
use crate::sim::queueing::{Drops, Gone, Job, Policy, Slice};
use crate::sim::workload::{nanos, ns};

/// See the module.
#[derive(Debug)]
pub struct CoDel {
    target: Nanos,
    interval: Nanos,
    queue: VecDeque<Job>,
    first_above: Option<Instant>,
    drop_next: Instant,
    count: u32,
    last_count: u32,
    dropping: bool,
}

impl CoDel {
    /// `CoDel` with that interval, and a twentieth of it as the target.
    #[must_use]
    pub fn new(interval: Nanos) -> Self {
        Self {
            target: Nanos::new((interval.get() / 20).max(1)),
            interval,
            queue: VecDeque::new(),
            first_above: None,
            drop_next: Instant::ZERO,
            count: 0,
            last_count: 0,
            dropping: false,
        }
    }

    /// RFC 8289's `dodequeue`: the head, and whether its wait has been above the target for an interval.
    fn take(&mut self, now: Instant, drops: &mut Drops) -> Option<(Job, bool)> {
        let Some(job) = first_live(&mut self.queue, now, drops) else {
            self.first_above = None;
            return None;
        };
        if now.since(job.released) < self.target || self.queue.is_empty() {
            self.first_above = None;
            return Some((job, false));
        }
        let above = *self.first_above.get_or_insert(now + self.interval);
        Some((job, now >= above))
    }

    fn control_law(&self, from: Instant) -> Instant {
        from + nanos(ns(self.interval) / f64::from(self.count.max(1)).sqrt())
    }
}

impl Policy for CoDel {
    fn arrive(&mut self, _: Instant, job: Job, _: &mut Drops) {
        self.queue.push_back(job);
    }

    fn next(
        &mut self,
        now: Instant,
        _: usize,
        paused: Option<Job>,
        drops: &mut Drops,
    ) -> Option<Slice> {
        if let Some(job) = paused {
            return Some(Slice::whole(job));
        }
        let Some((mut job, mut may_drop)) = self.take(now, drops) else {
            self.dropping = false;
            return None;
        };
        if self.dropping {
            if !may_drop {
                self.dropping = false;
            }
            while self.dropping && now >= self.drop_next {
                drops.push((job, Gone::Managed));
                self.count += 1;
                let Some(next) = self.take(now, drops) else {
                    self.dropping = false;
                    return None;
                };
                (job, may_drop) = next;
                if may_drop {
                    self.drop_next = self.control_law(self.drop_next);
                } else {
                    self.dropping = false;
                }
            }
        } else if may_drop {
            drops.push((job, Gone::Managed));
            self.dropping = true;
            // Where it was dropping not long ago, it goes on at the rate that it had found.
            let delta = self.count.saturating_sub(self.last_count);
            let recent = now.since(self.drop_next) < self.interval.saturating_mul(16);
            self.count = if delta > 1 && recent { delta } else { 1 };
            self.drop_next = self.control_law(now);
            self.last_count = self.count;
            (job, _) = self.take(now, drops)?;
        }
        Some(Slice::whole(job))
    }

    fn waiting(&self) -> usize {
        self.queue.len()
    }
}
