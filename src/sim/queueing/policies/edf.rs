//! Earliest deadline first, not preemptive, behind one of several gates.
//!
//! C. L. Liu, J. W. Layland, JACM 20 (1973) for the order. The gates: expiry only; a predicted miss behind the work that is
//! due earlier (here, `ghOSt`'s `schedulers/edf`, Mooncake); seed 002's sentence taken literally, which charges all
//! queued work at one moving average a priority; and none at all, but whoever has not finished by its deadline stops there:
//! the best of those that know no sizes, where sizes are exponential and all jobs alike (P. P. Bhattacharya, A. Ephremides,
//! "Optimal scheduling with strict deadlines", IEEE Trans. Automatic Control 34, 1989).

use super::list::{Item, List, Running};
use crate::base::{Instant, Nanos};
use crate::sim::queueing::{Drops, Estimates, Gone, Job, Policy, Slice};

/// What decides whether a job is let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gate {
    /// Nothing: only what has expired is dropped, at its turn.
    Expiry,
    /// The work due before it.
    Prefix,
    /// All queued work (seed 002, literally).
    Total,
    /// Nothing either, and what is not done by its deadline is given up there, also while it runs.
    UpToDeadline,
}

/// See the module.
#[derive(Debug)]
pub struct Edf {
    gate: Gate,
    estimates: Estimates,
    queue: List,
    running: Running,
}

impl Edf {
    /// EDF for that many servers.
    #[must_use]
    pub fn new(gate: Gate, estimates: Estimates, servers: usize) -> Self {
        Self { gate, estimates, queue: List::default(), running: Running::new(servers) }
    }

    fn fits(&self, now: Instant, job: &Job) -> bool {
        let before = |i: &&Item| self.gate == Gate::Total || i.job.deadline <= job.deadline;
        let queued = self.queue.items().iter().filter(before);
        let work = queued.fold(self.running.held(now), |sum, i| sum + i.left);
        let wait = Nanos::new(work.get() / self.running.servers());
        now + wait + self.estimates.whole(job) <= job.deadline
    }
}

impl Policy for Edf {
    fn arrive(&mut self, now: Instant, job: Job, drops: &mut Drops) {
        if matches!(self.gate, Gate::Prefix | Gate::Total) && !self.fits(now, &job) {
            drops.push((job, Gone::PredictedMiss));
            return;
        }
        let left = self.estimates.whole(&job);
        self.queue.insert(Item { job, left });
    }

    fn next(
        &mut self,
        now: Instant,
        server: usize,
        paused: Option<Job>,
        drops: &mut Drops,
    ) -> Option<Slice> {
        match paused {
            Some(job) if self.gate != Gate::UpToDeadline => return Some(Slice::whole(job)),
            Some(job) => drops.push((job, Gone::Abandoned)),
            None => {}
        }
        self.running.clear(server);
        loop {
            let Item { job, .. } = self.queue.pop_first()?;
            let service = self.estimates.whole(&job);
            let hopeless = match self.gate {
                Gate::Expiry | Gate::UpToDeadline => now >= job.deadline,
                Gate::Prefix | Gate::Total => now + service > job.deadline,
            };
            if hopeless {
                let expired = matches!(self.gate, Gate::Expiry | Gate::UpToDeadline);
                let why = if expired { Gone::Expired } else { Gone::Abandoned };
                drops.push((job, why));
                continue;
            }
            self.running.set(server, now, Item { job, left: service }, Nanos::MAX);
            let at_most = match self.gate {
                Gate::UpToDeadline => job.deadline.since(now),
                _ => Nanos::MAX,
            };
            return Some(Slice { job, at_most });
        }
    }

    fn finished(&mut self, now: Instant, _: usize, job: &Job, took: Nanos) {
        self.estimates.record(now, job, took);
    }

    fn waiting(&self) -> usize {
        self.queue.len()
    }
}
