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
    /// `ends[r][n]`: the earliest end of `n` of the jobs so far that are released at `releases[r]` or later. It rises with `n`
    /// and is as long as there are such.
    ends: Vec<Vec<u64>>,
    /// `work[from][to][n]`: the least time that `n` of them, released in between and all done by `releases[to]`, take of the
    /// time from the newcomer's release on. As long as there are such.
    work: Vec<Vec<Vec<u64>>>,
}

impl Table {
    fn new(releases: Vec<u64>, jobs: usize) -> Self {
        let times = releases.len();
        let room = || Vec::with_capacity(jobs + 1);
        Self {
            ends: vec![vec![0]; times],
            work: (0..times).map(|_| (0..times).map(|_| room()).collect()).collect(),
            releases,
        }
    }

    fn most(&self) -> usize {
        self.ends.first().map_or(0, |ends| ends.len() - 1)
    }

    fn add(&mut self, job: Job) {
        self.fill_work(job.released);
        let mut ends = self.ends.clone();
        for (from, ends) in ends.iter_mut().enumerate().take(job.released + 1) {
            for n in 1..=self.ends[from].len() {
                let end = self.end_with(job, from, n);
                if end > job.deadline {
                    continue;
                }
                match ends.get_mut(n) {
                    Some(known) => *known = end.min(*known),
                    None => ends.push(end),
                }
            }
        }
        self.ends = ends;
    }

    /// The earliest end of `n` jobs released at `from` or later, the newcomer among them.
    fn end_with(&self, job: Job, from: usize, n: usize) -> u64 {
        let release = self.releases[job.released];
        // It begins when the others have ended, or has the machine to itself.
        let mut best = self.ends[from][n - 1].max(release) + job.service;
        // The others' last busy stretch begins later than it is released: it uses what is idle before, and ends behind.
        for last in job.released + 1..self.releases.len() {
            let room = self.releases[last] - release;
            let (before, behind) = (&self.work[from][last], &self.ends[last]);
            for (few, end) in
                behind.iter().enumerate().take(n).skip(n.saturating_sub(before.len()).max(1))
            {
                let used = before[n - 1 - few];
                best = best.min(end + (job.service + used).saturating_sub(room));
            }
        }
        best
    }

    /// Fills `work` for a newcomer that is released at `own`, from the back: what is done after a busy stretch is known then.
    fn fill_work(&mut self, own: usize) {
        let times = self.releases.len();
        for from in (0..times).rev() {
            let begins = self.releases[from.max(own)];
            // What a first stretch of so many takes, and from which release time on others may follow.
            let stretch = |end: &u64| {
                let end = *end.max(&begins);
                (end - begins, self.releases.partition_point(|r| *r < end))
            };
            let first: Vec<(u64, usize)> = self.ends[from].iter().map(stretch).collect();
            for to in (own + 1).max(from)..times {
                let mut least = std::mem::take(&mut self.work[from][to]);
                least.clear();
                least.push(0);
                // Nothing that is released at `from` itself.
                if from < to && from >= own {
                    least.clone_from(&self.work[from + 1][to]);
                }
                let nothing = usize::from(from >= own);
                for (few, (takes, next)) in first.iter().enumerate().skip(nothing) {
                    if *next > to {
                        break;
                    }
                    let rest = if *next == from { &[0][..] } else { &self.work[*next][to][..] };
                    least.resize(least.len().max(few + rest.len()), NEVER);
                    for (sum, rest) in least[few..].iter_mut().zip(rest) {
                        *sum = takes.saturating_add(*rest).min(*sum);
                    }
                }
                self.work[from][to] = least;
            }
        }
    }
}
