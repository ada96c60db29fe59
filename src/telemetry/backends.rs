//! The part of `/metrics` that says which backend ran what, why, and how the GPU's breaker stands.
//!
//! Every family is there on every service; without a GPU those of its breaker have no rows.

use std::fmt;

use prometheus_client::registry::Unit;

use super::prometheus::{Families, Worker};
use super::view::Snapshot;
use crate::base::{KernelId, Nanos};
use crate::level::breaker::State;
use crate::stats::{Counters, RunBy, WorkerField, batch_rows_max};

/// Why a batch goes to the GPU, or stays.
const REASONS: [(&str, &str, WorkerField); 10] = [
    ("gpu", "pays", WorkerField::ChosePays),
    ("gpu", "stays", WorkerField::ChoseStays),
    ("gpu", "table", WorkerField::ChoseTable),
    ("gpu", "trial", WorkerField::ChoseTrial),
    ("gpu", "only_in_time", WorkerField::ChoseInTime),
    ("cpu", "cheaper", WorkerField::KeptCheaper),
    ("cpu", "breaker", WorkerField::KeptBreaker),
    ("none", "breaker_reject", WorkerField::KeptRejected),
    ("cpu", "late", WorkerField::KeptLate),
    ("cpu", "queue", WorkerField::KeptQueue),
];

type Of = fn(&Counters) -> u64;

/// Batches run by each backend.
const BATCHES: [(&str, Of); 3] = [
    ("cpu", |c| c.worker(WorkerField::Runs)),
    ("helper", |c| helper(c, WorkerField::AwayBatches, WorkerField::GpuBatches)),
    ("gpu", |c| c.worker(WorkerField::GpuBatches)),
];

/// Their datagrams.
const ROWS: [(&str, Of); 3] = [
    ("cpu", |c| c.worker(WorkerField::OwnRows)),
    ("helper", |c| helper(c, WorkerField::AwayRows, WorkerField::GpuRows)),
    ("gpu", |c| c.worker(WorkerField::GpuRows)),
];

/// What went away, but not to the GPU.
fn helper(c: &Counters, all: WorkerField, gpu: WorkerField) -> u64 {
    c.worker(all).saturating_sub(c.worker(gpu))
}

pub(super) fn encode(
    snapshot: &Snapshot,
    workers: &[Worker<'_>],
    out: &mut Families<'_, '_>,
) -> fmt::Result {
    let by = |all: &'static [(&'static str, Of)]| {
        workers.iter().flat_map(move |(id, c)| {
            all.iter().map(move |(backend, of)| ([("worker", *id), ("backend", *backend)], of(c)))
        })
    };
    let help = "Batches run, by the worker itself, by a helper or by the GPU.";
    out.counter(("punctual_backend_dispatches", help), None, by(&BATCHES))?;
    let help = "Datagrams of these batches.";
    out.counter(("punctual_backend_rows", help), None, by(&ROWS))?;
    sizes(workers, out)?;
    kernels(snapshot, workers, out)?;
    let choices = workers.iter().flat_map(|(id, c)| {
        REASONS.map(|(backend, reason, field)| {
            ([("worker", *id), ("backend", backend), ("reason", reason)], c.worker(field))
        })
    });
    let help = "Batches that might have gone to the GPU, by what was chosen and why.";
    out.counter(("punctual_level_choices", help), None, choices)?;
    for (name, help, field) in [
        ("punctual_gpu_busy", "Time of the GPU on batches.", WorkerField::GpuTime),
        (
            "punctual_gpu_transfer",
            "Of a batch's time, what is spent on the way there and on the launch.",
            WorkerField::GpuTransfer,
        ),
    ] {
        let time = |(id, c): &Worker<'_>| {
            ([("worker", id.to_string())], Nanos::new(c.worker(field)).as_secs_f64())
        };
        out.counter((name, help), Some(&Unit::Seconds), workers.iter().map(time))?;
    }
    breaker(snapshot, out)
}

/// Why batches went to the GPU or stayed: who got them, the reason, and where they are counted.
pub fn choices() -> impl Iterator<Item = (&'static str, &'static str, WorkerField)> {
    REASONS.into_iter()
}

/// The datagrams of what `by` ran.
#[must_use]
pub fn rows(c: &Counters, by: RunBy) -> u64 {
    let (_, of) = ROWS[by as usize];
    of(c)
}

/// How large the batches are; a backend that has run none is left out.
fn sizes(workers: &[Worker<'_>], out: &mut Families<'_, '_>) -> fmt::Result {
    let help = "Datagrams of a batch.";
    let all = workers.iter().flat_map(|(id, c)| RunBy::ALL.map(|by| (*id, *c, by)));
    let ran = all.filter(|(_, c, by)| c.batches(*by).iter().any(|n| *n > 0));
    let histograms = ran.map(|(id, c, by)| {
        let bound = |i| batch_rows_max(i).map_or(f64::INFINITY, |n| n as f64);
        let buckets = c.batches(by).iter().enumerate().map(|(i, n)| (bound(i), *n)).collect();
        (
            [("worker", id.to_string()), ("backend", by.label().to_owned())],
            rows(c, by) as f64,
            buckets,
        )
    });
    out.histogram(("punctual_backend_batch", help), None, histograms)
}

/// Which kernels they were; one that a backend has not run is left out.
fn kernels(snapshot: &Snapshot, workers: &[Worker<'_>], out: &mut Families<'_, '_>) -> fmt::Result {
    let names = || (0..).map(KernelId).zip(&snapshot.names().kernels);
    let ran = |of: fn((u64, u64)) -> u64| {
        let each = workers.iter().flat_map(move |(id, c)| {
            let by = move |by: RunBy| names().map(move |(kernel, name)| (by, kernel, name));
            RunBy::ALL.into_iter().flat_map(by).map(move |(by, kernel, name)| {
                let labels = [("worker", *id), ("backend", by.label()), ("kernel", name.as_str())];
                (labels, c.ran(by, kernel))
            })
        });
        each.filter(|(_, (batches, _))| *batches > 0).map(move |(labels, ran)| (labels, of(ran)))
    };
    let help = "Batches run, by backend and kernel.";
    out.counter(("punctual_kernel_dispatches", help), None, ran(|(batches, _)| batches))?;
    let help = "Datagrams of these batches.";
    out.counter(("punctual_kernel_rows", help), None, ran(|(_, rows)| rows))
}

fn breaker(snapshot: &Snapshot, out: &mut Families<'_, '_>) -> fmt::Result {
    let gpu = || snapshot.gpu().into_iter();
    let states = gpu().flat_map(|gpu| {
        State::ALL.map(|s| ([("state", s.word())], i64::from(s == gpu.figures.state)))
    });
    out.gauge(("punctual_breaker_state", "1 for the state of the GPU's breaker."), None, states)?;
    let entered = gpu().flat_map(|gpu| {
        let states = State::ALL.into_iter().zip(gpu.entered);
        states.map(|(s, n)| ([("to", s.word())], n))
    });
    let help = "Times that the GPU's breaker entered each state.";
    out.counter(("punctual_breaker_transitions", help), None, entered)?;
    let window = gpu().flat_map(|gpu| {
        let figures = gpu.figures;
        [("used", figures.used), ("committed", figures.committed), ("limit", gpu.limit)]
            .map(|(of, time)| ([("of", of)], time.as_secs_f64()))
    });
    let help = "GPU time in the last minute, the same with what is promised, and its limit.";
    out.gauge(("punctual_breaker_window", help), Some(&Unit::Seconds), window)?;
    let depth = gpu().map(|gpu| ([("backend", "gpu")], i64::from(gpu.figures.in_flight)));
    out.gauge(("punctual_backend_depth", "Batches on their way to the GPU."), None, depth)
}
