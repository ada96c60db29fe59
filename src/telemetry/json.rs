//! The `/stats` body: every figure, with the law of conservation spelled out.
//!
//! Knows no HTTP. Keys are only ever added; `version` changes when one changes its meaning or goes.

use serde::Serialize;

use super::backends;
use super::figures::{self, RollUp};
use super::table::{Table, micros};
use super::view::Snapshot;
use crate::base::{DropReason, Instant, KernelId, Nanos, Priority};
use crate::stats::{Cell, CellWords, ClassField, Counters, Field, RunBy, WorkerField, latency};

const LAW: &str = "received = replied + forwarded + dropped + in_flight";

#[derive(Serialize)]
struct Body<'a> {
    version: u32,
    program: &'static str,
    uptime_s: f64,
    conservation: Conservation,
    totals: Totals,
    ingresses: Table<&'a str, Table<&'static str, CellBody>>,
    workers: Vec<WorkerBody>,
}

#[derive(Serialize)]
struct Conservation {
    law: &'static str,
    holds: bool,
}

/// Sums over all ingresses and priorities. The roll-ups are of received packets: kernel drops are in none of them.
#[derive(Serialize)]
struct Totals {
    #[serde(flatten)]
    sums: Sums,
    ingress_drops: u64,
    edf_heap_drops: u64,
    edf_output_drops: u64,
}

#[derive(Default, Serialize)]
struct Sums {
    received: u64,
    replied: u64,
    forwarded: u64,
    /// By reason; a reason that is not there is zero.
    dropped: Table<&'static str, u64>,
    in_flight: u64,
    /// What the law does not account for: zero.
    unaccounted: i64,
    on_time: u64,
    late: u64,
    kernel_dropped: KernelDropped,
}

#[derive(Default, Serialize)]
struct KernelDropped {
    rx_kernel_overflow: u64,
}

#[derive(Serialize)]
struct CellBody {
    #[serde(flatten)]
    sums: Sums,
    latency: LatencyBody,
    stamp_missing: u64,
    clock_anomaly: u64,
}

/// Kernel receive to result. Quantiles are upper bounds that are powers of two; `null`: none, or longer than the last bound.
#[derive(Serialize)]
struct LatencyBody {
    count: u64,
    mean_us: Option<f64>,
    p50_us_max: Option<f64>,
    p99_us_max: Option<f64>,
    /// How many were longer than the last bound (2^20 us).
    unbounded: u64,
}

#[derive(Serialize)]
struct WorkerBody {
    worker: usize,
    /// It got its own core at the start.
    pinned: bool,
    plan_generation: u64,
    snapshot_age_us: f64,
    turns: u64,
    parks: u64,
    receives: u64,
    sends: u64,
    runs: u64,
    pauses: u64,
    rearms: u64,
    busy_us: f64,
    /// Time in kernels as a share of the service's uptime.
    busy_share: Option<f64>,
    idle_us: f64,
    overhead_ema_us: f64,
    gaps: Gaps,
    away: Away,
    /// Batches by who ran them; only those that ran any.
    backends: Table<&'static str, Batches>,
    last_window: LastWindow,
    priorities: Table<&'static str, ClassBody>,
}

/// What a backend ran. Sizes are powers of two: the next above.
#[derive(Serialize)]
struct Batches {
    batches: u64,
    rows: u64,
    rows_mean: Option<f64>,
    rows_p50_max: Option<u64>,
    rows_p99_max: Option<u64>,
    /// How many had one row, 2, up to 4, … 1,024, and more.
    sizes: Vec<u64>,
    /// By kernel; only those that it ran.
    kernels: Table<String, OfKernel>,
}

/// What of it was of one kernel.
#[derive(Serialize)]
struct OfKernel {
    batches: u64,
    rows: u64,
    rows_mean: Option<f64>,
}

/// What was handed to devices beside the worker's core.
#[derive(Serialize)]
struct Away {
    batches: u64,
    rows: u64,
    /// Of the rows: lost by a device.
    lost: u64,
    /// Of the rows: back after their deadline.
    late: u64,
    /// Packets that their flows have gone on without.
    given_up: u64,
}

/// What was on time in the last second, beside the most that could have been by what was offered and what it takes.
#[derive(Serialize)]
struct LastWindow {
    on_time: u64,
    possible: u64,
    of_possible: Option<f64>,
    /// The same by value: what the default policy goes by.
    of_possible_value: Option<f64>,
}

#[derive(Serialize)]
struct Gaps {
    count: u64,
    max_us: f64,
}

#[derive(Serialize)]
struct ClassBody {
    depth: u64,
    quota: u64,
    guard_us: f64,
    margin_us: f64,
    ema_us: f64,
    arrivals: u64,
    admitted: u64,
    samples: u64,
    probes: u64,
    /// Run although they were predicted to be late.
    audits: u64,
    /// Drawn as well, and found to have been refused by choice.
    audited_choices: u64,
    /// Of both, those that were in time; `null`: none was drawn.
    wrongful_drop_ratio: Option<f64>,
    /// Of what was admitted, what was late all the same; `null`: nothing was admitted.
    late_after_admit_ratio: Option<f64>,
    guarded: u64,
    started_expired: u64,
    kernel_us: f64,
    /// The share of `kernel_us` spent on packets that finished on time; `null`: no time spent.
    useful_share: Option<f64>,
}

/// The snapshot as one JSON object. A priority in which nothing ever came in is left out.
///
/// # Errors
/// As `serde_json`; not to be expected, since every key is a string.
pub fn render(snapshot: &Snapshot) -> serde_json::Result<String> {
    let mut rolls = RollUp::default();
    let mut drops = [0u64; DropReason::COUNT];
    let mut sums = Sums::default();
    let mut holds = true;
    for (_, _, cell) in snapshot.cells() {
        rolls.add(&cell);
        sums.add(&cell, &mut drops);
        holds &= cell.unaccounted() == 0;
    }
    sums.dropped = non_zero(drops);
    let totals = Totals {
        sums,
        ingress_drops: rolls.ingress,
        edf_heap_drops: rolls.heap,
        edf_output_drops: rolls.output,
    };
    let worker = |(i, c)| worker_body(i, c, snapshot);
    serde_json::to_string(&Body {
        version: 1,
        program: snapshot.names().version,
        uptime_s: snapshot.uptime().as_secs_f64(),
        conservation: Conservation { law: LAW, holds },
        totals,
        ingresses: ingresses(snapshot),
        workers: snapshot.workers().iter().enumerate().map(worker).collect(),
    })
}

fn ingresses(snapshot: &Snapshot) -> Table<&str, Table<&'static str, CellBody>> {
    let ingress = |(id, name)| {
        let used = snapshot.cells_of(id).filter(|(_, cell)| figures::is_used(cell));
        (name, Table(used.map(|(p, cell)| (p.label(), CellBody::of(&cell))).collect()))
    };
    Table(snapshot.ingresses().map(ingress).collect())
}

impl Sums {
    /// Adds all figures but `dropped`, which is collected in `drops`.
    fn add(&mut self, cell: &Cell<&CellWords>, drops: &mut [u64; DropReason::COUNT]) {
        self.received += cell.get(Field::Received);
        self.replied += cell.get(Field::Replied);
        self.forwarded += cell.get(Field::Forwarded);
        self.in_flight += cell.get(Field::InFlight);
        let lost = i64::try_from(cell.unaccounted()).unwrap_or(i64::MAX);
        self.unaccounted = self.unaccounted.saturating_add(lost);
        self.on_time += cell.get(Field::OnTime);
        self.late += cell.get(Field::Late);
        self.kernel_dropped.rx_kernel_overflow += cell.get(Field::KernelDropped);
        for reason in DropReason::ALL {
            drops[reason.index()] += cell.dropped(*reason);
        }
    }
}

fn non_zero(drops: [u64; DropReason::COUNT]) -> Table<&'static str, u64> {
    let labelled = DropReason::ALL.iter().map(|r| r.label()).zip(drops);
    Table(labelled.filter(|(_, n)| *n > 0).collect())
}

impl CellBody {
    fn of(cell: &Cell<&CellWords>) -> Self {
        let mut drops = [0; DropReason::COUNT];
        let mut sums = Sums::default();
        sums.add(cell, &mut drops);
        sums.dropped = non_zero(drops);
        Self {
            sums,
            latency: LatencyBody::of(cell),
            stamp_missing: cell.get(Field::StampMissing),
            clock_anomaly: cell.get(Field::ClockAnomaly),
        }
    }
}

impl LatencyBody {
    fn of(cell: &Cell<&CellWords>) -> Self {
        let cells = cell.latencies();
        let count = cells.iter().sum();
        let bound = |permille| figures::quantile(cells, permille).map(micros);
        Self {
            count,
            mean_us: figures::share(cell.get(Field::LatencySum), count).map(|ns| ns / 1e3),
            p50_us_max: bound(500),
            p99_us_max: bound(990),
            unbounded: cells[latency::CELLS - 1],
        }
    }
}

fn worker_body(worker: usize, c: &Counters, snapshot: &Snapshot) -> WorkerBody {
    let (now, uptime) = (snapshot.now(), snapshot.uptime());
    let kernels = &snapshot.names().kernels;
    let us = |field| micros(Nanos::new(c.worker(field)));
    let published = Instant::from_nanos(c.worker(WorkerField::PublishedAt));
    let class = |p: Priority| (p.label(), class_body(c, p));
    WorkerBody {
        worker,
        pinned: c.worker(WorkerField::Pinned) == 1,
        plan_generation: c.worker(WorkerField::PlanGeneration),
        snapshot_age_us: micros(now.since(published)),
        turns: c.worker(WorkerField::Turns),
        parks: c.worker(WorkerField::Parks),
        receives: c.worker(WorkerField::Receives),
        sends: c.worker(WorkerField::Sends),
        runs: c.worker(WorkerField::Runs),
        pauses: c.worker(WorkerField::Pauses),
        rearms: c.worker(WorkerField::Rearms),
        busy_us: us(WorkerField::BusyTime),
        busy_share: figures::share(c.worker(WorkerField::BusyTime), uptime.get()),
        idle_us: us(WorkerField::IdleTime),
        overhead_ema_us: us(WorkerField::OverheadEma),
        gaps: Gaps { count: c.worker(WorkerField::Gaps), max_us: us(WorkerField::GapMax) },
        away: Away {
            batches: c.worker(WorkerField::AwayBatches),
            rows: c.worker(WorkerField::AwayRows),
            lost: c.worker(WorkerField::AwayLost),
            late: c.worker(WorkerField::AwayLate),
            given_up: c.worker(WorkerField::GapsGivenUp),
        },
        backends: Table(RunBy::ALL.into_iter().filter_map(|by| batches(c, by, kernels)).collect()),
        last_window: LastWindow {
            on_time: c.worker(WorkerField::OnTime),
            possible: c.worker(WorkerField::Possible),
            of_possible: figures::share(
                c.worker(WorkerField::OnTime),
                c.worker(WorkerField::Possible),
            ),
            of_possible_value: figures::share(
                c.worker(WorkerField::ValueOnTime),
                c.worker(WorkerField::ValuePossible),
            ),
        },
        priorities: Table(Priority::ALL.into_iter().map(class).collect()),
    }
}

fn batches(c: &Counters, by: RunBy, kernels: &[String]) -> Option<(&'static str, Batches)> {
    let sizes = c.batches(by);
    let (batches, rows) = (sizes.iter().sum(), backends::rows(c, by));
    let of = |(kernel, name): (KernelId, &String)| {
        let (batches, rows) = c.ran(by, kernel);
        let of = OfKernel { batches, rows, rows_mean: figures::share(rows, batches) };
        (batches > 0).then(|| (name.clone(), of))
    };
    let body = Batches {
        batches,
        rows,
        rows_mean: figures::share(rows, batches),
        rows_p50_max: figures::batch_rows(sizes, 500),
        rows_p99_max: figures::batch_rows(sizes, 990),
        sizes: sizes.to_vec(),
        kernels: Table((0..).map(KernelId).zip(kernels).filter_map(of).collect()),
    };
    (batches > 0).then(|| (by.label(), body))
}

fn class_body(c: &Counters, p: Priority) -> ClassBody {
    let n = |field| c.class(p, field);
    let us = |field| micros(Nanos::new(n(field)));
    ClassBody {
        depth: n(ClassField::Depth),
        quota: n(ClassField::Quota),
        guard_us: us(ClassField::GuardWindow),
        margin_us: us(ClassField::Margin),
        ema_us: us(ClassField::ServiceEma),
        arrivals: n(ClassField::Arrivals),
        admitted: n(ClassField::Admitted),
        samples: n(ClassField::Samples),
        probes: n(ClassField::Probes),
        audits: n(ClassField::Audits),
        audited_choices: n(ClassField::AuditedChoices),
        wrongful_drop_ratio: figures::wrongful_drop_ratio(c, p),
        late_after_admit_ratio: figures::late_after_admit_ratio(c, p),
        guarded: n(ClassField::Guarded),
        started_expired: n(ClassField::StartedExpired),
        kernel_us: us(ClassField::KernelTime),
        useful_share: figures::share(n(ClassField::KernelTimeUseful), n(ClassField::KernelTime)),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::base::IngressId;
    use crate::stats::Layout;
    use crate::telemetry::testing;
    use crate::telemetry::view::Names;
    use serde_json::{Value, json};

    fn stats(snapshot: &Snapshot) -> Value {
        serde_json::from_str(&render(snapshot).unwrap()).unwrap()
    }

    #[test]
    fn cells_and_totals_are_golden() {
        let body = stats(&testing::snapshot());
        let high = json!({
            "received": 13, "replied": 5, "forwarded": 1,
            "dropped": {"predicted_miss": 3, "late_at_dispatch": 1, "late_after_kernel": 1},
            "in_flight": 2, "unaccounted": 0, "on_time": 5, "late": 1,
            "kernel_dropped": {"rx_kernel_overflow": 0},
            "latency": {"count": 6, "mean_us": 3_000_913.0 / 6.0, "p50_us_max": 4.0,
                        "p99_us_max": null, "unbounded": 1},
            "stamp_missing": 1, "clock_anomaly": 0,
        });
        assert_eq!(body["ingresses"]["orders"], json!({ "high": high }));
        assert_eq!(body["ingresses"]["idle"], json!({}));
        let bulk = &body["ingresses"]["bulk \"b\""]["best-effort"];
        assert_eq!((&bulk["received"], &bulk["dropped"]), (&json!(0), &json!({})));
        assert_eq!(bulk["kernel_dropped"], json!({"rx_kernel_overflow": 6}));
        assert_eq!(bulk["latency"]["mean_us"], Value::Null);
        let totals = json!({
            "received": 13, "replied": 5, "forwarded": 1,
            "dropped": {"predicted_miss": 3, "late_at_dispatch": 1, "late_after_kernel": 1},
            "in_flight": 2, "unaccounted": 0, "on_time": 5, "late": 1,
            "kernel_dropped": {"rx_kernel_overflow": 6},
            "ingress_drops": 3, "edf_heap_drops": 1, "edf_output_drops": 1,
        });
        assert_eq!(body["totals"], totals);
        assert_eq!(body["conservation"], json!({ "law": LAW, "holds": true }));
        assert_eq!((&body["version"], &body["program"]), (&json!(1), &json!("1.2.3")));
    }

    #[test]
    fn workers_are_golden() {
        let body = stats(&testing::snapshot());
        let idle = json!({
            "depth": 0, "quota": 0, "guard_us": 0.0, "margin_us": 0.0, "ema_us": 0.0, "arrivals": 0, "admitted": 0,
            "samples": 0, "probes": 0, "audits": 0, "audited_choices": 0, "wrongful_drop_ratio": null,
            "late_after_admit_ratio": null, "guarded": 0, "started_expired": 0, "kernel_us": 0.0,
            "useful_share": null,
        });
        let high = json!({
            "depth": 2, "quota": 7, "guard_us": 80.0, "margin_us": 30.0, "ema_us": 100.0, "arrivals": 0,
            "admitted": 20, "samples": 5, "probes": 3, "audits": 4, "audited_choices": 12, "wrongful_drop_ratio": 0.0625,
            "late_after_admit_ratio": 0.05, "guarded": 0, "started_expired": 0, "kernel_us": 400.0, "useful_share": 0.75,
        });
        let expected = json!({
            "worker": 0, "pinned": true, "plan_generation": 9, "snapshot_age_us": 1000.0, "turns": 1000,
            "parks": 0, "receives": 0, "sends": 0, "runs": 0, "pauses": 0, "rearms": 0,
            "busy_us": 500_000.0,
            "busy_share": 0.25, "idle_us": 250000.0, "overhead_ema_us": 0.0, "gaps": {"count": 0, "max_us": 1.5},
            "away": {"batches": 3, "rows": 0, "lost": 0, "late": 0, "given_up": 0},
            "backends": {"cpu": {"batches": 3, "rows": 70, "rows_mean": 70.0 / 3.0,
                                 "rows_p50_max": 4, "rows_p99_max": 64,
                                 "sizes": [0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 0, 0],
                                 "kernels": {"crc32c": {"batches": 3, "rows": 70, "rows_mean": 70.0 / 3.0}}}},
            "last_window": {"on_time": 9, "possible": 10, "of_possible": 0.9,
                            "of_possible_value": 0.75},
            "priorities": {"high": high, "medium": idle, "low": idle, "best-effort": idle},
        });
        assert_eq!(body["workers"][0], expected);
        assert_eq!(body["workers"].as_array().unwrap().len(), 2);
    }

    #[test]
    fn a_broken_law_is_said_aloud() {
        let mut c = Counters::new(Layout::new(1));
        c.cell(IngressId(0), Priority::Low).add(Field::Received, 3);
        c.cell(IngressId(0), Priority::Low).add(Field::Replied, 2);
        // The other way round in another class, so that the totals alone would look right.
        c.cell(IngressId(0), Priority::High).add(Field::Replied, 1);
        let names = Arc::new(Names { ingresses: vec!["a".into()], ..Names::default() });
        let body = stats(&Snapshot::new(names, Instant::ZERO, Nanos::ZERO, vec![c]));
        assert_eq!(body["conservation"]["holds"], json!(false));
        assert_eq!(body["totals"]["unaccounted"], json!(0));
        assert_eq!(body["ingresses"]["a"]["low"]["unaccounted"], json!(1));
        assert_eq!(body["workers"][0]["busy_share"], Value::Null);
    }

    #[test]
    fn keys_keep_their_order() {
        let text = render(&testing::snapshot()).unwrap();
        let at = |s: &str| text.find(s).unwrap();
        assert!(at("\"predicted_miss\"") < at("\"late_at_dispatch\""));
        assert!(at("\"orders\"") < at("\"bulk \\\"b\\\"\""));
        assert!(at("\"bulk \\\"b\\\"\"") < at("\"idle\""));
    }
}
