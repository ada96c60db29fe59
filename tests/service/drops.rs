//! Every reason for a drop that can be provoked from outside, and by name those that cannot.

use std::collections::BTreeSet;

use punctual::base::DropReason;

use crate::rig::{Service, until};

mod doors;
mod lateness;
mod limits;
mod ways_out;

/// Held by tests of the worker over a driver in memory (`tests/worker.rs`): a send queue that the kernel finds full, and
/// a pool that runs out, are not to be had at will from outside.
const IN_MEMORY_ONLY: [&str; 2] = ["rx_no_buffer", "egress_queue_full"];
/// Come with offload.
const NOT_YET: [&str; 3] = ["late_before_offload", "breaker_reject", "reorder_late"];

/// Reasons that have been provoked.
pub(crate) type Seen = BTreeSet<&'static str>;

pub(crate) fn every_reason_that_can_be_provoked(io: &str) {
    let mut seen = Seen::new();
    doors::provoke_all(io, &mut seen);
    limits::provoke_all(io, &mut seen);
    lateness::provoke_all(io, &mut seen);
    ways_out::provoke_all(io, &mut seen);
    let all: Seen = DropReason::ALL.iter().map(|r| r.label()).collect();
    let out_of_reach: Seen = IN_MEMORY_ONLY.into_iter().chain(NOT_YET).collect();
    assert_eq!(seen, &all - &out_of_reach);
}

/// Acts until `count` (of drops) rises for that reason, since any one try may be foiled by a busy machine.
fn provoke(
    seen: &mut Seen,
    service: &Service,
    (ingress, priority, reason): (&str, &str, &'static str),
    mut act: impl FnMut(),
) {
    let count = || match reason {
        "rx_kernel_overflow" => service.stats().kernel_dropped(ingress, priority),
        _ => service.stats().dropped(ingress, priority, reason),
    };
    let before = count();
    until(reason, || {
        act();
        (service.settled().0.is_object() && count() > before).then_some(())
    });
    seen.insert(reason);
}
