//! DARC: some servers only serve the shortest kinds, so that short jobs never wait behind long ones.
//!
//! Knows kinds and their mean sizes. H. M. Demoulin et al., "When idling is ideal: optimizing tail-latency for
//! heavy-tailed datacenter workloads with Persephone", SOSP 2021: a queue a kind, kinds in the order of their size; a free
//! server takes the head of the shortest kind that it may serve. Servers with a number below `reserved` are the shortest
//! kind's own; all others serve every kind. FIFO within a kind; no job is dropped unless `expiry`.

use std::collections::VecDeque;

use crate::base::{Instant, Nanos};
use crate::sim::queueing::{Drops, Gone, Job, Policy, Slice};
use crate::sim::workload::Kind;

/// See the module.
#[derive(Debug)]
pub struct Darc {
    reserved: usize,
    expiry: bool,
    /// Kinds by size, shortest first.
    by_size: Vec<usize>,
    means: Vec<Nanos>,
    queues: Vec<VecDeque<Job>>,
    waiting: usize,
}

impl Darc {
    /// DARC for these kinds with so many servers reserved for the shortest.
    #[must_use]
    pub fn new(kinds: &[Kind], reserved: usize, expiry: bool) -> Self {
        let mut by_size: Vec<usize> = (0..kinds.len()).collect();
        by_size.sort_by(|a, b| kinds[*a].service.mean_ns().total_cmp(&kinds[*b].service.mean_ns()));
        let mean = |k: &Kind| crate::sim::workload::nanos(k.service.mean_ns());
        Self {
            reserved,
            expiry,
            by_size,
            means: kinds.iter().map(mean).collect(),
            queues: vec![VecDeque::new(); kinds.len()],
            waiting: 0,
        }
    }
}

impl Policy for Darc {
    fn arrive(&mut self, _: Instant, job: Job, _: &mut Drops) {
        if let Some(queue) = self.queues.get_mut(job.kind) {
            queue.push_back(job);
            self.waiting += 1;
        }
    }

    fn next(
        &mut self,
        now: Instant,
        server: usize,
        paused: Option<Job>,
        drops: &mut Drops,
    ) -> Option<Slice> {
        if let Some(job) = paused {
            return Some(Slice::whole(job));
        }
        let served = if server < self.reserved { 1 } else { self.by_size.len() };
        for kind in self.by_size.iter().take(served) {
            while let Some(job) = self.queues[*kind].pop_front() {
                self.waiting -= 1;
                if self.expiry && now + self.means[*kind] > job.deadline {
                    drops.push((job, Gone::Expired));
                    continue;
                }
                return Some(Slice::whole(job));
            }
        }
        None
    }

    fn waiting(&self) -> usize {
        self.waiting
    }
}
