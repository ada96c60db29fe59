//! Processor sharing with a quantum: one queue, each job runs a quantum and goes to the tail.
//!
//! Knows no sizes. K. Kaffes et al., "Shinjuku", NSDI 2019 (quantum 5 us, about 1 us a switch); R. Iyer et al., "Concord",
//! SOSP 2023, makes the switch a tenth of that. Jobs that have expired are dropped at their turn if `expiry`.

use std::collections::VecDeque;

use crate::base::{Instant, Nanos};
use crate::sim::queueing::{Drops, Gone, Job, Policy, Slice};

/// See the module.
#[derive(Debug)]
pub struct Sharing {
    quantum: Nanos,
    expiry: bool,
    queue: VecDeque<Job>,
}

impl Sharing {
    /// Sharing with that quantum.
    #[must_use]
    pub const fn new(quantum: Nanos, expiry: bool) -> Self {
        Self { quantum, expiry, queue: VecDeque::new() }
    }
}

impl Policy for Sharing {
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
        self.queue.extend(paused);
        loop {
            let job = self.queue.pop_front()?;
            if self.expiry && now >= job.deadline {
                let why = if job.left < job.service { Gone::Abandoned } else { Gone::Expired };
                drops.push((job, why));
                continue;
            }
            return Some(Slice { job, at_most: self.quantum });
        }
    }

    fn waiting(&self) -> usize {
        self.queue.len()
    }
}
