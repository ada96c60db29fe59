//! Strict priority: a queue a class, the most urgent class first, FIFO within it, expired jobs dropped at their turn.
//!
//! Knows no sizes. DSCP-style queueing as in RFC 2475; expiry is granted to it, or it would serve only the hopeless.

use std::collections::VecDeque;

use super::first_live;
use crate::base::{Instant, PerPriority, Priority};
use crate::sim::queueing::{Drops, Gone, Job, Policy, Slice};

/// See the module.
#[derive(Debug)]
pub struct Strict {
    capacity: usize,
    queues: PerPriority<VecDeque<Job>>,
}

impl Strict {
    /// Queues of `capacity` jobs each; the tail is dropped.
    #[must_use]
    pub fn new(capacity: usize) -> Self {
        Self { capacity, queues: PerPriority::from_fn(|_| VecDeque::new()) }
    }
}

impl Policy for Strict {
    fn arrive(&mut self, _: Instant, job: Job, drops: &mut Drops) {
        let queue = &mut self.queues[job.priority];
        if queue.len() < self.capacity {
            queue.push_back(job);
        } else {
            drops.push((job, Gone::Full));
        }
    }

    fn next(
        &mut self,
        now: Instant,
        _: usize,
        paused: Option<Job>,
        drops: &mut Drops,
    ) -> Option<Slice> {
        let first =
            || Priority::ALL.iter().find_map(|p| first_live(&mut self.queues[*p], now, drops));
        paused.or_else(first).map(Slice::whole)
    }

    fn waiting(&self) -> usize {
        self.queues.iter().map(|(_, q)| q.len()).sum()
    }
}
