//! The `/plan` body: what the controller last decided.
//!
//! Knows no controller: whoever holds the plan fills [`PlanView`].

use serde::Serialize;
use serde_json::{Value, json};

use super::table::{Table, by_priority, micros};
use crate::base::{Instant, Nanos, PerPriority, Priority, WorkerId};
use crate::level::{Backend, CostModel, DeviceView, Point};

/// The controller's last plan, as far as it is shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlanView {
    /// Counts plans; 0: the plan that the service started with.
    pub generation: u64,
    /// When it was made.
    pub at: Instant,
    /// One entry a worker.
    pub workers: Vec<PlanWorker>,
    /// Service times that it was computed from.
    pub ema: PerPriority<Nanos>,
    /// Budgets that it was computed from.
    pub budgets: PerPriority<Nanos>,
    /// How classes are laid over workers: `"symmetric"` or `"tiered"`.
    pub layout: &'static str,
    /// Further cores that take part of bursts.
    pub helpers: usize,
    /// The GPU, where there is one.
    pub gpu: Option<DeviceView>,
    /// The kernels' names, in the order of their ids.
    pub kernels: Vec<String>,
    /// The vector instructions of the workers.
    pub simd: &'static str,
    /// What the config asks for in `kernels.simd`, as in [`Self::simd`] or `"auto"`.
    pub asked: &'static str,
    /// What batches of the kernels cost the workers, of those that were measured.
    pub measured: Vec<PlanMeasured>,
}

/// What batches of one kernel cost a worker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlanMeasured {
    /// The kernel's name.
    pub kernel: String,
    /// Bytes of the payloads that it was measured with.
    pub payload: usize,
    /// Whether the times were kept from an earlier calibration.
    pub kept: bool,
    /// The times of the form that the workers run.
    pub model: CostModel,
    /// Those of its other forms that were measured or kept.
    pub others: Vec<(Backend, CostModel)>,
}

/// Batches whose time is shown for every backend.
const SHOWN: [u32; 3] = [1, 8, 32];

/// Microseconds of these batches, by the model.
fn times(model: &CostModel) -> Value {
    SHOWN.into_iter().map(|rows| (rows.to_string(), json!(micros(model.predict(rows))))).collect()
}

/// Those of a device, by the batches that were measured there.
fn times_there(points: &[(usize, Nanos)]) -> Value {
    let point = |(rows, took): &(usize, Nanos)| {
        let rows = u32::try_from(*rows).unwrap_or(u32::MAX);
        Point { rows, ps: took.get().saturating_mul(1_000) }
    };
    CostModel::new(points.iter().map(point).collect()).map_or(Value::Null, |model| times(&model))
}

/// One worker's part of the plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlanWorker {
    /// The worker.
    pub worker: WorkerId,
    /// The core that it is pinned to; `None`: it is not.
    pub core: Option<usize>,
    /// Packets that it may hold queued, by class; 0: it does not serve the class.
    pub quota: PerPriority<u32>,
    /// Packets that it may hold queued, all classes together.
    pub total: u32,
    /// How long a packet of the class may wait for one of High.
    pub guard: PerPriority<Nanos>,
    /// The step in which that wait looks for packets.
    pub slice: Nanos,
}

type Row<T> = Table<&'static str, T>;

#[derive(Serialize)]
struct Body {
    version: u32,
    generation: u64,
    at_ns: u64,
    layout: &'static str,
    budget_us: Row<f64>,
    ema_us: Row<f64>,
    quota: Row<u64>,
    workers: Vec<WorkerBody>,
    backends: Vec<Value>,
}

#[derive(Serialize)]
struct WorkerBody {
    worker: u16,
    core: Option<usize>,
    quota: Row<u32>,
    total: u32,
    guard_us: Row<f64>,
    slice_us: f64,
}

impl From<&PlanWorker> for WorkerBody {
    fn from(w: &PlanWorker) -> Self {
        Self {
            worker: w.worker.0,
            core: w.core,
            quota: by_priority(&w.quota, |n| *n),
            total: w.total,
            guard_us: by_priority(&w.guard, |t| micros(*t)),
            slice_us: micros(w.slice),
        }
    }
}

/// The plan as one JSON object; `quota` beside the workers is the sum over them.
///
/// # Errors
/// As `serde_json`; not to be expected, since every key is a string.
pub fn render(plan: &PlanView) -> serde_json::Result<String> {
    let sum = |p: Priority| plan.workers.iter().map(|w| u64::from(w.quota[p])).sum::<u64>();
    serde_json::to_string(&Body {
        version: 1,
        generation: plan.generation,
        at_ns: plan.at.as_nanos(),
        layout: plan.layout,
        budget_us: by_priority(&plan.budgets, |t| micros(*t)),
        ema_us: by_priority(&plan.ema, |t| micros(*t)),
        quota: by_priority(&PerPriority::from_fn(sum), |n| *n),
        workers: plan.workers.iter().map(WorkerBody::from).collect(),
        backends: backends(plan),
    })
}

/// The forms of a kernel that were measured, the one in force first, and the one that takes least for a batch of eight.
fn forms(simd: &str, m: &PlanMeasured) -> Vec<Value> {
    let others = m.others.iter().map(|(backend, model)| (backend.word(), model));
    let all = || std::iter::once((simd, &m.model)).chain(others.clone());
    let least = all().map(|(_, model)| model.predict(SHOWN[1])).min();
    let form = |(i, (form, model)): (usize, (&str, &CostModel))| {
        let cheapest = Some(model.predict(SHOWN[1])) == least;
        json!({"form": form, "in_force": i == 0, "cheapest": cheapest, "t_us": times(model)})
    };
    all().enumerate().map(form).collect()
}

/// What batches may run on beside the workers' cores, and what was measured of it.
fn backends(plan: &PlanView) -> Vec<Value> {
    let own = |m: &PlanMeasured| {
        json!({
            "kernel": m.kernel, "payload": m.payload, "kept": m.kept,
            "t_us": times(&m.model), "forms": forms(plan.simd, m),
        })
    };
    let own: Vec<Value> = plan.measured.iter().map(own).collect();
    let count = plan.workers.len();
    let why = match plan.asked {
        "auto" => "the widest of this machine".to_owned(),
        asked => format!("kernels.simd = \"{asked}\""),
    };
    let mut all = vec![json!({
        "backend": "cpu", "count": count, "simd": plan.simd, "why": why, "model": own,
    })];
    if plan.helpers > 0 {
        all.push(json!({"backend": "helper", "count": plan.helpers}));
    }
    if let Some(gpu) = &plan.gpu {
        let point = |(rows, took): &(usize, Nanos)| json!({"rows": rows, "us": micros(*took)});
        let models =
            plan.kernels.iter().zip(&gpu.measured).filter(|(_, points)| !points.is_empty());
        let models = models.map(|(kernel, points)| {
            let all: Vec<Value> = points.iter().map(point).collect();
            json!({"kernel": kernel, "t_us": times_there(points), "points": all})
        });
        all.push(json!({
            "backend": "gpu",
            "count": 1,
            "device": gpu.name,
            "breaker": {
                "state": gpu.figures.state.word(),
                "used_s": gpu.figures.used.as_secs_f64(),
                "committed_s": gpu.figures.committed.as_secs_f64(),
                "limit_s": gpu.limit.as_secs_f64(),
                "in_flight": gpu.figures.in_flight,
            },
            "model": models.collect::<Vec<_>>(),
        }));
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn worker(worker: u16, core: Option<usize>, quota: [u32; 4]) -> PlanWorker {
        PlanWorker {
            worker: WorkerId(worker),
            core,
            quota: PerPriority::new(quota),
            total: quota.iter().sum(),
            guard: PerPriority::new([0, 80, 80, 0].map(Nanos::from_micros)),
            slice: Nanos::from_micros(50),
        }
    }

    #[test]
    fn the_plan_is_shown_whole() {
        let plan = PlanView {
            generation: 7,
            at: Instant::from_nanos(1_000),
            workers: vec![worker(0, Some(2), [7, 0, 0, 0]), worker(1, None, [1, 74, 0, 0])],
            ema: PerPriority::new([100_500, 120_000, 200_000, 200_000].map(Nanos::new)),
            budgets: PerPriority::from_fn(Priority::default_budget),
            layout: "tiered",
            helpers: 2,
            gpu: None,
            kernels: Vec::new(),
            simd: "avx2",
            asked: "auto",
            measured: vec![PlanMeasured {
                kernel: "k".to_owned(),
                payload: 64,
                kept: true,
                model: CostModel::linear(Nanos::from_micros(2), 500_000, 64),
                others: vec![(
                    Backend::Scalar,
                    CostModel::linear(Nanos::from_micros(1), 4_000_000, 64),
                )],
            }],
        };
        let body: Value = serde_json::from_str(&render(&plan).unwrap()).unwrap();
        let guard = json!({"high": 0.0, "medium": 80.0, "low": 80.0, "best-effort": 0.0});
        let expected = json!({
            "version": 1, "generation": 7, "at_ns": 1000, "layout": "tiered",
            "backends": [
                {"backend": "cpu", "count": 2, "simd": "avx2",
                 "why": "the widest of this machine", "model": [
                    {"kernel": "k", "payload": 64, "kept": true,
                     "t_us": {"1": 2.5, "8": 6.0, "32": 18.0},
                     "forms": [
                        {"form": "avx2", "in_force": true, "cheapest": true,
                         "t_us": {"1": 2.5, "8": 6.0, "32": 18.0}},
                        {"form": "scalar", "in_force": false, "cheapest": false,
                         "t_us": {"1": 5.0, "8": 33.0, "32": 129.0}},
                     ]},
                ]},
                {"backend": "helper", "count": 2},
            ],
            "budget_us": {"high": 1e3, "medium": 1e4, "low": 1e5, "best-effort": 2e5},
            "ema_us": {"high": 100.5, "medium": 120.0, "low": 200.0, "best-effort": 200.0},
            "quota": {"high": 8, "medium": 74, "low": 0, "best-effort": 0},
            "workers": [
                {"worker": 0, "core": 2, "total": 7, "guard_us": guard, "slice_us": 50.0,
                 "quota": {"high": 7, "medium": 0, "low": 0, "best-effort": 0}},
                {"worker": 1, "core": null, "total": 75, "guard_us": guard, "slice_us": 50.0,
                 "quota": {"high": 1, "medium": 74, "low": 0, "best-effort": 0}},
            ],
        });
        assert_eq!(body, expected);
        let forced = PlanView { asked: "avx2", ..plan };
        let body: Value = serde_json::from_str(&render(&forced).unwrap()).unwrap();
        assert_eq!(body["backends"][0]["why"], "kernels.simd = \"avx2\"");
    }
}
