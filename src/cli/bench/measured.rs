//! One run, measured by the client and by the service.
//!
//! Knows no rounds.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::backends::Backends;
use super::drive::Offered;
use super::outcome::share;
use super::stolen::Stolen;
use super::timeline::Timeline;
use crate::base::{DropReason, IngressId, Nanos, Priority};
use crate::config::{BatchRule, Policy};
use crate::load::{ClassReport, Latencies, Report};
use crate::stats::{ClassField, Counters, Field};

/// The control run's name.
pub(in crate::cli) const HIGH_ALONE: &str = "high alone";
/// Points of a percentile curve: a tenth of a nine each, from the fastest to 99.99 %.
const CURVE_POINTS: u32 = 41;

/// Who is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::cli) enum Subject {
    /// The control run: High by itself, at its own rate.
    HighAlone,
    /// All classes under this policy.
    Policy(Policy),
    /// All classes under the policy of the setting, with batches of this rule.
    Batches(BatchRule),
    /// A server that is not ours, by its place among the targets.
    Target(usize),
}

/// One run that is to be made.
#[derive(Clone, Debug)]
pub(super) struct Run {
    pub(super) subject: Subject,
    pub(super) label: String,
    pub(super) load: f64,
    pub(super) rate: f64,
    pub(super) round: u32,
}

/// One class in one run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(in crate::cli) struct ClassMeasured {
    pub(in crate::cli) class: String,
    pub(in crate::cli) budget_us: f64,
    /// Requests that were due, whether or not the generator could send them.
    pub(in crate::cli) due: u64,
    pub(in crate::cli) answered: u64,
    /// Answers that the client had within the budget, counted from the intended send time.
    pub(in crate::cli) on_time: u64,
    pub(in crate::cli) on_time_share: f64,
    pub(in crate::cli) p50_us: f64,
    pub(in crate::cli) p99_us: f64,
    pub(in crate::cli) p999_us: f64,
    /// The latency at each of [`nines`]; ends where there are too few answers to tell.
    pub(in crate::cli) curve_us: Vec<f64>,
    pub(in crate::cli) kernel_dropped: u64,
    pub(in crate::cli) drops: BTreeMap<String, u64>,
}

/// One run, measured by the client and by the service.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(in crate::cli) struct Measured {
    pub(in crate::cli) load: f64,
    pub(in crate::cli) round: u32,
    pub(in crate::cli) subject: String,
    pub(in crate::cli) offered: f64,
    pub(in crate::cli) classes: Vec<ClassMeasured>,
    /// Kernel time spent on packets that finished on time, as a share of all kernel time; none for targets.
    pub(in crate::cli) useful: Option<f64>,
    /// Packets that were started after their deadline; none for targets.
    pub(in crate::cli) started_expired: Option<u64>,
    pub(in crate::cli) stolen: Stolen,
    /// Why it does not count.
    pub(in crate::cli) void: Option<String>,
    pub(in crate::cli) timeline: Timeline,
    /// Who ran what; none for targets, and in files of version 2.
    #[serde(default)]
    pub(in crate::cli) backends: Option<Backends>,
}

/// What our own service says of a run.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    /// Of each worker.
    pub(super) figures: Vec<Counters>,
    /// Where the figures of each class stand.
    pub(super) places: Vec<(IngressId, Priority)>,
    pub(super) backends: Backends,
}

impl Measured {
    /// A run of which more than `limit` was taken away is void.
    pub(super) fn new(run: &Run, offered: Offered, limit: f64, seen: Option<&Seen>) -> Self {
        let class_sum = |seen: &Seen, field| -> u64 {
            let of = |w: &Counters| Priority::ALL.map(|p| w.class(p, field)).iter().sum::<u64>();
            seen.figures.iter().map(of).sum()
        };
        let useful = |seen: &Seen| {
            let of = |field| class_sum(seen, field);
            share(of(ClassField::KernelTimeUseful), of(ClassField::KernelTime))
        };
        Self {
            load: run.load,
            round: run.round,
            subject: run.label.clone(),
            offered: offered.report.offered_rate,
            classes: classes(&offered.report, seen),
            useful: seen.map(useful),
            started_expired: seen.map(|s| class_sum(s, ClassField::StartedExpired)),
            stolen: offered.stolen,
            void: offered.stolen.fault(limit),
            timeline: offered.timeline,
            backends: seen.map(|s| s.backends.clone()),
        }
    }

    pub(in crate::cli) fn class(&self, name: &str) -> Option<&ClassMeasured> {
        self.classes.iter().find(|c| c.class == name)
    }

    pub(in crate::cli) fn high(&self) -> Option<&ClassMeasured> {
        self.classes.first()
    }
}

fn classes(report: &Report, seen: Option<&Seen>) -> Vec<ClassMeasured> {
    let us = |n: Nanos| n.as_secs_f64() * 1e6;
    let one = |(i, c): (usize, &ClassReport)| {
        let cell_sum = |f: &dyn Fn(&crate::stats::Cell<&crate::stats::CellWords>) -> u64| -> u64 {
            let Some((seen, (id, p))) = seen.and_then(|s| Some((s, *s.places.get(i)?))) else {
                return 0;
            };
            seen.figures.iter().map(|w| f(&w.view(id, p))).sum()
        };
        let drops =
            DropReason::ALL.iter().map(|r| (r.label().to_owned(), cell_sum(&|c| c.dropped(*r))));
        let mut drops: BTreeMap<String, u64> = drops.filter(|(_, n)| *n > 0).collect();
        let refused = c.refusals().map(|(r, n)| (r.label().to_owned(), n));
        drops.extend(refused.filter(|_| seen.is_none()));
        ClassMeasured {
            class: c.name.clone(),
            budget_us: us(c.budget),
            due: c.due,
            answered: c.answered,
            on_time: c.on_time,
            on_time_share: share(c.on_time, c.due),
            p50_us: us(c.corrected.at(0.5)),
            p99_us: us(c.corrected.at(0.99)),
            p999_us: us(c.corrected.at(0.999)),
            curve_us: curve(&c.corrected).into_iter().map(us).collect(),
            kernel_dropped: cell_sum(&|c| c.get(Field::KernelDropped)),
            drops,
        }
    };
    report.classes.iter().enumerate().map(one).collect()
}

/// The places of a percentile curve, in nines: 1 is 90 %, 2 is 99 %.
pub(in crate::cli) fn nines() -> impl Iterator<Item = f64> {
    (0..CURVE_POINTS).map(|i| f64::from(i) / 10.0)
}

#[expect(clippy::cast_precision_loss, reason = "its logarithm decides how many nines there are")]
fn curve(latencies: &Latencies) -> Vec<Nanos> {
    let known = (latencies.count() as f64).log10();
    nines().take_while(|n| *n <= known).map(|n| latencies.at(1.0 - 10_f64.powf(-n))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn curves_end_where_too_little_is_known() {
        let mut l = Latencies::new();
        assert!(curve(&l).is_empty());
        for us in 1..=100 {
            l.record(Nanos::from_micros(us));
        }
        let curve = curve(&l);
        assert_eq!(curve.len(), 21, "two nines of a hundred answers");
        assert!(curve[10].get().abs_diff(90_000) < 100 && curve[20].get().abs_diff(99_000) < 100);
    }
}
