//! Online Moore-Hodgson: deadline order; whenever the jobs let in no longer all fit, what has least value for its time goes.
//!
//! J. M. Moore, "An n job, one machine sequencing algorithm for minimizing the number of late jobs", Management Science 15
//! (1968), here run again at each arrival and weighted by value. Sizes as told; sliced where a slice is given, so that an
//! earlier deadline waits for a slice and not for a job. The textbook form: no margins, no reserves; what the product adds
//! to it is in `overload.rs`.

use super::list::{Item, List, Running, walk};
use crate::base::{Instant, Nanos};
use crate::sim::queueing::{Drops, Estimates, Gone, Job, Policy, Slice};

/// See the module.
#[derive(Debug)]
pub struct MooreHodgson {
    estimates: Estimates,
    slice: Nanos,
    queue: List,
    running: Running,
}

impl MooreHodgson {
    /// For that many servers; jobs run at most `slice` at a time ([`Nanos::MAX`]: to their end).
    #[must_use]
    pub fn new(estimates: Estimates, slice: Nanos, servers: usize) -> Self {
        Self { estimates, slice, queue: List::default(), running: Running::new(servers) }
    }

    /// The last place that the first late job leaves for a victim: its own, or that before it where it already runs.
    fn first_late(&self, now: Instant) -> Option<usize> {
        let (mut late, mut last) = (None, None);
        walk(now, &self.queue, &self.running, |step| {
            last = step.at.or(last);
            if step.done > step.item.job.deadline {
                late = last;
            }
            late.is_none()
        });
        late
    }

    fn make_fit(&mut self, now: Instant, newest: u64, drops: &mut Drops) {
        while let Some(late) = self.first_late(now) {
            let standing = self.queue.items().iter().take(late + 1).enumerate();
            let Some((at, _)) = standing.min_by_key(|(_, i)| i.density()) else { return };
            let Item { job, .. } = self.queue.remove(at);
            let why = if job.id == newest { Gone::PredictedMiss } else { Gone::Evicted };
            drops.push((job, why));
        }
    }
}

impl Policy for MooreHodgson {
    fn arrive(&mut self, now: Instant, job: Job, drops: &mut Drops) {
        let left = self.estimates.whole(&job);
        self.queue.insert(Item { job, left });
        self.make_fit(now, job.id, drops);
    }

    fn next(
        &mut self,
        now: Instant,
        server: usize,
        paused: Option<Job>,
        drops: &mut Drops,
    ) -> Option<Slice> {
        self.running.clear(server);
        if let Some(job) = paused {
            let left = self.estimates.left(&job);
            self.queue.insert(Item { job, left });
        }
        loop {
            let Item { job, left } = self.queue.pop_first()?;
            if now + left > job.deadline {
                drops.push((job, Gone::Abandoned));
                continue;
            }
            self.running.set(server, now, Item { job, left }, self.slice);
            return Some(Slice { job, at_most: self.slice });
        }
    }

    fn finished(&mut self, now: Instant, _: usize, job: &Job, took: Nanos) {
        self.estimates.record(now, job, took);
    }

    fn waiting(&self) -> usize {
        self.queue.len()
    }
}
