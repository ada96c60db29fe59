//! The exact optimum of the number of jobs on time on one server that may interrupt them: 1 | pmtn, r | sum U.
//!
//! Knows all jobs beforehand. Work grows with the fifth power of their number, which is why there is a bound on it.

use crate::base::{Instant, Nanos};

/// The most jobs that [`preemptive`] takes.
pub const PREEMPTIVE_MAX: usize = 100;

/// No set of that many can be done in time.
const NEVER: u64 = u64::MAX;

/// A job, its times in nanoseconds.
#[derive(Clone, Copy, Debug)]
struct Job {
    /// Place of its release time among all that there are.
    released: usize,
    service: u64,
    deadline: u64,
}

/// The most jobs on time when they may be interrupted at no cost: E. L. Lawler, "A dynamic programming algorithm for
/// preemptive scheduling of a single machine to minimize the number of late jobs", Annals of Operations Research 26 (1990).
/// P. Baptiste, Operations Research Letters 24 (1999), finds the same in O(n^4); at this size its bookkeeping gains nothing.
/// Each is (release, service, deadline).
///
/// `None` when there are more than [`PREEMPTIVE_MAX`].
#[must_use]
pub fn preemptive(jobs: &[(Instant, Nanos, Instant)]) -> Option<usize> {
    if jobs.len() > PREEMPTIVE_MAX {
        return None;
    }
    let mut releases: Vec<u64> = jobs.iter().map(|job| job.0.as_nanos()).collect();
    releases.sort_unstable();
    releases.dedup();
    let mut order: Vec<Job> = jobs
        .iter()
        .map(|(release, service, deadline)| Job {
            released: releases.partition_point(|r| *r < release.as_nanos()),
            service: service.get(),
            deadline: deadline.as_nanos(),
        })
        .collect();
    order.sort_by_key(|job| job.deadline);
    let mut table = Table::new(releases, jobs.len());
    for job in &order {
        table.add(*job);
    }
    Some(table.most())
}

/// What Lawler calls C and P. Jobs come in the order of their deadlines, so that a newcomer is served last: it gets the time
/// that the others leave from its release on.
struct Table {
    /// Distinct, rising.
    releases: Vec<u64>,
    /// `ends[r][n]`: the earliest end of `n` of the jobs so far that are released at `releases[r]` or later.
    ends: Vec<Vec<u64>>,
    /// `work[from][to][n]`: the least time that `n` of them, released in between and all done by `releases[to]`, take of the
    /// time from the newcomer's release on.
    work: Vec<Vec<Vec<u64>>>,
    /// How many of the jobs so far are released at each time.
    at: Vec<usize>,
}

impl Table {
    fn new(releases: Vec<u64>, jobs: usize) -> Self {
        let mut none = vec![NEVER; jobs + 1];
        none[0] = 0;
        let times = releases.len();
        Self {
            ends: vec![none.clone(); times],
            work: vec![vec![none; times]; times],
            at: vec![0; times],
            releases,
        }
    }

    fn most(&self) -> usize {
        let all = self.ends.first();
        all.and_then(|ends| ends.iter().rposition(|end| *end != NEVER)).unwrap_or(0)
    }

    /// How many of the jobs so far are released from one time on and before another.
    fn count(&self, from: usize, to: usize) -> usize {
        self.at[from..to].iter().sum()
    }

    /// The first release time at or after `end`.
    fn next_release(&self, end: u64) -> usize {
        self.releases.partition_point(|r| *r < end)
    }

    fn add(&mut self, job: Job) {
        self.fill_work(job.released);
        let mut ends = self.ends.clone();
        for (from, ends) in ends.iter_mut().enumerate().take(job.released + 1) {
            for n in 1..=self.count(from, self.at.len()) + 1 {
                let end = self.end_with(job, from, n);
                if end <= job.deadline {
                    ends[n] = ends[n].min(end);
                }
            }
        }
        self.ends = ends;
        self.at[job.released] += 1;
    }

    /// The earliest end of `n` jobs released at `from` or later, the newcomer among them.
    fn end_with(&self, job: Job, from: usize, n: usize) -> u64 {
        let release = self.releases[job.released];
        // It begins when the others have ended, or has the machine to itself.
        let others = self.ends[from][n - 1];
        let mut best = if others == NEVER { NEVER } else { others.max(release) + job.service };
        // The others' last busy stretch begins later than it is released: it uses what is idle before, and ends behind.
        for last in job.released + 1..self.releases.len() {
            let room = self.releases[last] - release;
            let before = &self.work[from][last];
            let most = self.count(last, self.at.len()).min(n - 1);
            for behind in (n - 1).saturating_sub(self.count(from, last)).max(1)..=most {
                let (end, used) = (self.ends[last][behind], before[n - 1 - behind]);
                if end != NEVER && used != NEVER {
                    best = best.min(end + (job.service + used).saturating_sub(room));
                }
            }
        }
        best
    }

    /// Fills `work` for a newcomer that is released at `own`, from the back: what is done after a busy stretch is known then.
    fn fill_work(&mut self, own: usize) {
        let times = self.releases.len();
        for from in (0..times).rev() {
            for to in (own + 1).max(from)..times {
                for n in 1..=self.count(from, to) {
                    self.work[from][to][n] = self.least_work(own, from, to, n);
                }
                let most = self.count(from, to);
                self.work[from][to][most + 1..].fill(NEVER);
            }
        }
    }

    fn least_work(&self, own: usize, from: usize, to: usize, n: usize) -> u64 {
        let begins = self.releases[from.max(own)];
        // Nothing that is released at `from` itself.
        let mut least = if from < to && from >= own { self.work[from + 1][to][n] } else { NEVER };
        for first in usize::from(from >= own)..=n {
            let end = self.ends[from][first].max(begins);
            if end > self.releases[to] {
                break;
            }
            let rest = self.work[self.next_release(end)][to][n - first];
            if rest != NEVER {
                least = least.min(end - begins + rest);
            }
        }
        least
    }
}
