//! A snapshot made by hand, for the tests of every format.

use std::sync::Arc;

use super::view::{Names, Snapshot};
use crate::base::{DropReason, IngressId, Instant, KernelId, Nanos, Priority};
use crate::stats::{ClassField, Counters, Field, Layout, RunBy, WorkerField};

/// Two workers; `orders` has served High on both of them, `bulk "b"` has only lost packets to the kernel, `idle` nothing.
pub(super) fn snapshot() -> Snapshot {
    let names = Names {
        ingresses: vec!["orders".into(), "bulk \"b\"".into(), "idle".into()],
        kernels: vec!["crc32c".into()],
        version: "1.2.3",
    };
    let workers = vec![first_worker(), second_worker()];
    Snapshot::new(Arc::new(names), Instant::from_nanos(5_000_000), Nanos::from_secs(2), workers)
}

fn first_worker() -> Counters {
    let mut c = Counters::new(Layout::new(3).with_kernels(1));
    let mut orders = c.cell(IngressId(0), Priority::High);
    orders.add(Field::Received, 10);
    orders.add(Field::Replied, 4);
    orders.add(Field::Forwarded, 1);
    orders.add(Field::InFlight, 2);
    orders.add(Field::OnTime, 4);
    orders.add(Field::Late, 1);
    orders.drop(DropReason::PredictedMiss, 2);
    orders.drop(DropReason::LateAfterKernel, 1);
    for us in [3, 3, 3, 4, 900] {
        orders.latencies_of(Nanos::from_micros(us), 1);
    }
    c.cell(IngressId(1), Priority::BestEffort).add(Field::KernelDropped, 6);
    for (field, n) in [
        (ClassField::Depth, 2),
        (ClassField::Quota, 7),
        (ClassField::Samples, 5),
        (ClassField::Admitted, 20),
        (ClassField::Probes, 3),
        (ClassField::Audits, 4),
        (ClassField::AuditsInTime, 1),
        (ClassField::AuditedChoices, 12),
        // One was late, one was dropped for it, and one of the two was a probe.
        (ClassField::UnpromisedLate, 1),
        (ClassField::ServiceEma, 100_000),
        (ClassField::KernelTime, 400_000),
        (ClassField::KernelTimeUseful, 300_000),
        (ClassField::GuardWindow, 80_000),
        (ClassField::Margin, 30_000),
    ] {
        c.set_class(Priority::High, field, n);
    }
    for (field, n) in [
        (WorkerField::Turns, 1_000),
        (WorkerField::BusyTime, 500_000_000),
        (WorkerField::IdleTime, 250_000_000),
        (WorkerField::Pinned, 1),
        (WorkerField::PublishedAt, 4_000_000),
        (WorkerField::PlanGeneration, 9),
        (WorkerField::GapMax, 1_500),
        (WorkerField::AwayBatches, 3),
        (WorkerField::OwnRows, 70),
        (WorkerField::Possible, 10),
        (WorkerField::OnTime, 9),
        (WorkerField::ValuePossible, 4_000),
        (WorkerField::ValueOnTime, 3_000),
    ] {
        c.set_worker(field, n);
    }
    for rows in [3, 64, 3] {
        c.add_batch(RunBy::Worker, KernelId(0), rows);
    }
    c
}

fn second_worker() -> Counters {
    let mut c = Counters::new(Layout::new(3).with_kernels(1));
    let mut orders = c.cell(IngressId(0), Priority::High);
    orders.add(Field::Received, 3);
    orders.add(Field::Replied, 1);
    orders.add(Field::OnTime, 1);
    orders.add(Field::StampMissing, 1);
    orders.drop(DropReason::PredictedMiss, 1);
    orders.drop(DropReason::LateAtDispatch, 1);
    orders.latencies_of(Nanos::from_secs(3), 1);
    c
}
