//! One queue in the order of arrival, or the reverse, with or without dropping what has expired.
//!
//! Knows no sizes. FIFO with a full queue's tail dropped is what a plain service does. Dropping what has expired is what
//! Triton's, Dynamo's and `HAProxy`'s queue timeouts do. LIFO under overload: "adaptive LIFO", B. Maurer, "Fail at scale",
//! ACM Queue 13(8), 2015.

use std::collections::VecDeque;

use crate::base::Instant;
use crate::sim::queueing::{Drops, Gone, Job, Policy, Slice};

/// Which end is served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// First come, first served.
    First,
    /// Last come, first served.
    Last,
}

/// See the module.
#[derive(Debug)]
pub struct Fifo {
    order: Order,
    /// Whether a job whose deadline has passed is dropped at its turn.
    expiry: bool,
    capacity: usize,
    queue: VecDeque<Job>,
}

impl Fifo {
    /// A queue of `capacity` jobs. When it is full, FIFO drops the new one and LIFO the oldest.
    #[must_use]
    pub const fn new(order: Order, expiry: bool, capacity: usize) -> Self {
        Self { order, expiry, capacity, queue: VecDeque::new() }
    }
}

impl Policy for Fifo {
    fn arrive(&mut self, _: Instant, job: Job, drops: &mut Drops) {
        if self.queue.len() < self.capacity {
            self.queue.push_back(job);
            return;
        }
        match self.order {
            Order::First => drops.push((job, Gone::Full)),
            Order::Last => {
                self.queue.push_back(job);
                drops.extend(self.queue.pop_front().map(|oldest| (oldest, Gone::Full)));
            }
        }
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
        loop {
            let job = match self.order {
                Order::First => self.queue.pop_front(),
                Order::Last => self.queue.pop_back(),
            }?;
            if self.expiry && now >= job.deadline {
                drops.push((job, Gone::Expired));
            } else {
                return Some(Slice::whole(job));
            }
        }
    }

    fn waiting(&self) -> usize {
        self.queue.len()
    }
}
