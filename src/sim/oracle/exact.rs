//! Exact optima of the number of jobs on time, one server, not preemptive, in polynomial time.
//!
//! Know all jobs beforehand. Where release times and deadlines are in different orders the problem is hard (1 | r | sum U),
//! and only the bounds are left.

use crate::base::{Instant, Nanos};

/// The most jobs on time when all are there at the start: J. M. Moore, "An n job, one machine sequencing algorithm for
/// minimizing the number of late jobs", Management Science 15 (1968), in Hodgson's form. Each is (service, deadline).
#[must_use]
pub fn common_release(jobs: &[(Nanos, Instant)]) -> usize {
    let mut order: Vec<_> = jobs.to_vec();
    order.sort_by_key(|(_, deadline)| *deadline);
    let mut kept = std::collections::BinaryHeap::new();
    let mut end = Instant::ZERO;
    for (service, deadline) in order {
        kept.push(service);
        end = end + service;
        if end > deadline
            && let Some(longest) = kept.pop()
        {
            end = end.before(longest);
        }
    }
    kept.len()
}

/// The most jobs on time when whoever is released earlier is also due earlier (one budget for all): H. Kise, T. Ibaraki, H.
/// Mine, "A solvable case of the one-machine scheduling problem with ready and due times", Operations Research 26 (1978).
/// Each is (release, service, deadline). Work grows with the square of what is kept.
///
/// `None` when the orders do not agree.
#[must_use]
pub fn agreeable(jobs: &[(Instant, Nanos, Instant)]) -> Option<usize> {
    let mut order: Vec<_> = jobs.to_vec();
    order.sort_by_key(|(release, _, deadline)| (*release, *deadline));
    if !order.is_sorted_by_key(|(.., deadline)| *deadline) {
        return None;
    }
    // Kept jobs, and when each ends.
    let mut kept: Vec<(Instant, Nanos, Instant)> = Vec::new();
    for job in order {
        let before = kept.last().map_or(Instant::ZERO, |k| k.2);
        let end = before.max(job.0) + job.1;
        kept.push((job.0, job.1, end));
        if end > job.2 {
            drop_for_earliest_end(&mut kept);
        }
    }
    Some(kept.len())
}

/// Drops the job without which the rest ends earliest.
fn drop_for_earliest_end(kept: &mut Vec<(Instant, Nanos, Instant)>) {
    // How much later than now the jobs from each place on may start without the last one's end moving: what their gaps leave.
    let mut best: Option<(Instant, usize)> = None;
    // From the back: the end of the last if the job at `at` goes is that of running the rest from the end of its predecessor.
    // A job's idle gap before it stops what was won before from having effect behind.
    let mut reach = Nanos::MAX;
    let last = kept.last().map_or(Instant::ZERO, |k| k.2);
    for at in (0..kept.len()).rev() {
        let before = if at == 0 { Instant::ZERO } else { kept[at - 1].2 };
        let end = if at + 1 == kept.len() {
            before
        } else {
            // What follows could start as early as this, but no earlier than its own releases allow.
            let won = kept[at].2.since(before).min(reach);
            last.before(won)
        };
        // Equal ends: the later one goes, so that what is kept is released earlier.
        if best.is_none_or(|(least, _)| end < least) {
            best = Some((end, at));
        }
        let (release, service, ends) = kept[at];
        let starts = ends.before(service);
        reach = reach.min(starts.since(release));
    }
    let Some((_, at)) = best else { return };
    kept.remove(at);
    let mut now = if at == 0 { Instant::ZERO } else { kept[at - 1].2 };
    for k in kept.iter_mut().skip(at) {
        now = now.max(k.0) + k.1;
        k.2 = now;
    }
}
