//! Bugs that tests put into a world, to see that a law catches each kind.

use std::ops::Range;

use super::device::Helper;
use crate::base::{PerPriority, Priority};
use crate::dataplane::offload::Back;
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
    /// Sends leave the last first, and so do the datagrams of each.
    LastFirst,
    /// A result comes back from a helper with the next row's bytes.
    RowsShifted,
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

/// The helpers of a world, with the bug.
pub(super) fn helpers(planted: Option<Planted>, mut helpers: Vec<Helper>) -> Vec<Helper> {
    helpers.iter_mut().for_each(|helper| helper.planted = planted);
    helpers
}

/// What a helper brings back.
pub(super) fn back(planted: Option<Planted>, back: &mut Back) {
    if planted == Some(Planted::RowsShifted) {
        let (_, rows) = back.staged.parts();
        if rows.len() > 1 {
            rows.rotate_left(1);
        }
    }
}

/// In which order messages leave, or the parts of one.
pub(super) fn order(planted: Option<Planted>, order: Range<usize>) -> Vec<usize> {
    if planted == Some(Planted::LastFirst) { order.rev().collect() } else { order.collect() }
}
