//! A queue a server, jobs dealt at random: d-FCFS, what receive-side scaling gives a service without stealing.
//!
//! Knows no sizes. IX and Arrakis as described in G. Prekas, M. Kogias, E. Bugnion, "`ZygOS`", SOSP 2017.

use std::collections::VecDeque;

use rand_xoshiro::Xoshiro256PlusPlus;
use rand_xoshiro::rand_core::{RngCore as _, SeedableRng as _};

use crate::base::Instant;
use crate::sim::queueing::{Drops, Job, Policy, Slice};

/// See the module.
#[derive(Debug)]
pub struct Partitioned {
    queues: Vec<VecDeque<Job>>,
    waiting: usize,
    rng: Xoshiro256PlusPlus,
}

impl Partitioned {
    /// Queues for that many servers; `seed` deals the jobs.
    #[must_use]
    pub fn new(servers: usize, seed: u64) -> Self {
        let rng = Xoshiro256PlusPlus::seed_from_u64(seed);
        Self { queues: vec![VecDeque::new(); servers.max(1)], waiting: 0, rng }
    }
}

impl Policy for Partitioned {
    fn arrive(&mut self, _: Instant, job: Job, _: &mut Drops) {
        let most = self.queues.len() as u64;
        // The bias of the remainder is below 2^-50 for any number of servers.
        let server = usize::try_from(self.rng.next_u64() % most).unwrap_or(0);
        if let Some(queue) = self.queues.get_mut(server) {
            queue.push_back(job);
            self.waiting += 1;
        }
    }

    fn next(
        &mut self,
        _: Instant,
        server: usize,
        paused: Option<Job>,
        _: &mut Drops,
    ) -> Option<Slice> {
        let job = paused.or_else(|| {
            let job = self.queues.get_mut(server)?.pop_front()?;
            self.waiting -= 1;
            Some(job)
        })?;
        Some(Slice::whole(job))
    }

    fn waiting(&self) -> usize {
        self.waiting
    }
}
