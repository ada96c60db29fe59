//! Bugs that tests put into a world, to see that a law catches each kind.

use std::ops::Range;

use crate::base::{PerPriority, Priority};
use crate::sched::WorkerPlan;

/// A bug.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Planted {
    /// A quota is reckoned below zero and wraps.
    QuotaWraps,
    /// The quotas of one plan come with the windows of another.
    PlanTorn,
    /// A datagram is taken from its buffer and forgotten.
    BufferLost,
    /// Sends leave the last first.
    LastFirst,
    /// Averages are made with another weight of the past than they should.
    WrongAverage,
}

/// What is published instead of `plan`.
pub(super) fn plan(
    planted: Option<Planted>,
    mut plan: WorkerPlan,
    known: Option<WorkerPlan>,
) -> WorkerPlan {
    match planted {
        Some(Planted::QuotaWraps) => {
            let low = &mut plan.quota[Priority::Low];
            *low = low.wrapping_sub(*low + 1);
            plan.total = u32::MAX;
        }
        Some(Planted::PlanTorn) => {
            if let Some(known) = known.filter(|k| k.generation != plan.generation) {
                plan.quota = PerPriority::from_fn(|p| known.quota[p]);
            }
        }
        _ => {}
    }
    plan
}

/// In which order messages leave.
pub(super) fn order(planted: Option<Planted>, order: Range<usize>) -> Vec<usize> {
    if planted == Some(Planted::LastFirst) { order.rev().collect() } else { order.collect() }
}
