//! The workloads that published schedulers were measured with, and our own of three classes.
//!
//! Parameters: Persephone (Demoulin et al., SOSP 2021; `maxdml/psp`, `scripts/…/schedules/{DISP2,SBIM2,ROCKSDB,TPCC}.yml`)
//! for the bimodal ones, `RocksDB` and TPC-C; Shinjuku (Kaffes et al., NSDI 2019; `client/dist.h`) for the shapes; Concord
//! (Iyer et al., SOSP 2023) for `mb995` and `mb50`. `classes` has the classes' budgets and service of seed 002's upstream; its
//! mix and its values are ours.

use super::{Kind, Service, Workload};
use crate::base::{Nanos, Priority};

/// Budgets where nothing else is said: this many times the kind's mean service.
const FACTOR: f64 = 10.0;

/// A share, and a time in tenths of a microsecond.
type Part = (&'static str, f64, u64);

/// Every name that [`by_name`] knows.
#[must_use]
pub const fn names() -> &'static [&'static str] {
    &[
        "exp",
        "det",
        "lognormal",
        "high-bimodal",
        "extreme-bimodal",
        "rocksdb",
        "tpcc",
        "mb995",
        "mb50",
        "trimodal",
        "classes",
    ]
}

/// The workload of that name, budgets ten times the mean service of each kind (`classes`: its own).
#[must_use]
pub fn by_name(name: &str) -> Option<Workload> {
    let ten = Nanos::from_micros(10);
    Some(match name {
        "exp" => single("exp", Service::Exponential(ten)),
        "det" => single("det", Service::Fixed(ten)),
        "lognormal" => single("lognormal", Service::Lognormal { mean: ten, sigma: 1.0 }),
        "high-bimodal" => fixed("high-bimodal", &[("short", 0.5, 10), ("long", 0.5, 1_000)]),
        "extreme-bimodal" => {
            fixed("extreme-bimodal", &[("short", 0.995, 5), ("long", 0.005, 5_000)])
        }
        "rocksdb" => fixed("rocksdb", &[("get", 0.5, 15), ("scan", 0.5, 6_350)]),
        "tpcc" => fixed(
            "tpcc",
            &[
                ("payment", 0.44, 57),
                ("order-status", 0.04, 60),
                ("new-order", 0.44, 200),
                ("delivery", 0.04, 880),
                ("stock-level", 0.04, 1_000),
            ],
        ),
        // Concord's names: a multimodal mix, 99.5 % (50 %) of it short.
        "mb995" => fixed("mb995", &[("short", 0.995, 5), ("long", 0.005, 5_000)]),
        "mb50" => fixed("mb50", &[("short", 0.5, 10), ("long", 0.5, 1_000)]),
        "trimodal" => fixed(
            "trimodal",
            &[("short", 1.0 / 3.0, 10), ("middle", 1.0 / 3.0, 100), ("long", 1.0 / 3.0, 1_000)],
        ),
        "classes" => classes(),
        _ => return None,
    })
}

fn single(name: &'static str, service: Service) -> Workload {
    let kind = Kind {
        name: "all",
        share: 1.0,
        service,
        priority: Priority::High,
        budget: Nanos::ZERO,
        value: 1,
    };
    Workload { name, kinds: vec![kind] }.with_budgets(FACTOR)
}

fn fixed(name: &'static str, parts: &[Part]) -> Workload {
    let kind = |&(name, share, tenths): &Part| Kind {
        name,
        share,
        service: Service::Fixed(Nanos::new(tenths * 100)),
        priority: Priority::High,
        budget: Nanos::ZERO,
        value: 1,
    };
    Workload { name, kinds: parts.iter().map(kind).collect() }.with_budgets(FACTOR)
}

/// High, Medium, Low: 20, 30, 50 % of jobs, 100 us exponential, budgets 1, 10, 100 ms, worth 100, 10, 1.
fn classes() -> Workload {
    let kind = |name, share, priority: Priority, value| Kind {
        name,
        share,
        service: Service::Exponential(Nanos::from_micros(100)),
        priority,
        budget: priority.default_budget(),
        value,
    };
    Workload {
        name: "classes",
        kinds: vec![
            kind("high", 0.2, Priority::High, 100),
            kind("medium", 0.3, Priority::Medium, 10),
            kind("low", 0.5, Priority::Low, 1),
        ],
    }
}
