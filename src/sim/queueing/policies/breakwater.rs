//! Breakwater's queue management: a new job is dropped while the oldest has waited too long.
//!
//! Knows no sizes. I. Cho et al., "Overload control for us-scale RPCs with Breakwater", OSDI 2020: the target delay is 0.4
//! of the objective, and the server drops at enqueue above twice that. Its credits need clients that obey, which the
//! clients of an open ingress do not.

use std::collections::VecDeque;

use super::first_live;
use crate::base::{Instant, Nanos};
use crate::sim::queueing::{Drops, Gone, Job, Policy, Slice};

/// See the module.
#[derive(Debug)]
pub struct Breakwater {
    most: Nanos,
    queue: VecDeque<Job>,
}

impl Breakwater {
    /// Managed for that objective (a budget).
    #[must_use]
    pub const fn new(objective: Nanos) -> Self {
        Self { most: Nanos::new(objective.get() / 5 * 4), queue: VecDeque::new() }
    }
}

impl Policy for Breakwater {
    fn arrive(&mut self, now: Instant, job: Job, drops: &mut Drops) {
        if self.queue.front().is_some_and(|oldest| now.since(oldest.released) > self.most) {
            drops.push((job, Gone::Managed));
        } else {
            self.queue.push_back(job);
        }
    }

    fn next(
        &mut self,
        now: Instant,
        _: usize,
        paused: Option<Job>,
        drops: &mut Drops,
    ) -> Option<Slice> {
        paused.or_else(|| first_live(&mut self.queue, now, drops)).map(Slice::whole)
    }

    fn waiting(&self) -> usize {
        self.queue.len()
    }
}
