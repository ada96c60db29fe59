//! What was measured, as one value: the table, the page, the JSON and comparisons are made from it.
//!
//! Knows no terminal and no file. A change of its shape is a new [`VERSION`].

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::bare::{self, Capacity};
use super::lab::Described;
use super::noise::Noise;
use super::spread::{Spread, median};
use super::stolen::Stolen;
use super::timeline::Timeline;
use crate::base::{DropReason, IngressId, Nanos, Priority};
use crate::config::Policy;
use crate::load::{ClassReport, Latencies, Report};
use crate::stats::{ClassField, Counters, Field};

/// What kind of JSON this is.
pub(in crate::cli) const KIND: &str = "punctual bench";
/// The JSON's version.
pub(in crate::cli) const VERSION: u32 = 2;
/// The control run's name.
pub(in crate::cli) const HIGH_ALONE: &str = "high alone";
/// How far High may stay behind its own control run, in points.
const HIGH_SLACK: f64 = 0.01;
/// The least share of kernel time that must go into packets that finish on time.
const USEFUL_MIN: f64 = 0.95;
/// Points of a percentile curve: a tenth of a nine each, from the fastest to 99.99 %.
const CURVE_POINTS: u32 = 41;

/// Who is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::cli) enum Subject {
    /// The control run: High by itself, at its own rate.
    HighAlone,
    /// All classes under this policy.
    Policy(Policy),
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
}

impl Measured {
    pub(super) fn new(
        run: &Run,
        report: &Report,
        figures: &[Counters],
        taken: (Stolen, Option<String>),
        timeline: Timeline,
    ) -> Self {
        let sum = |f: &dyn Fn(&Counters) -> u64| -> u64 { figures.iter().map(f).sum() };
        let class_sum = |field| sum(&|w| Priority::ALL.map(|p| w.class(p, field)).iter().sum());
        let ours = !figures.is_empty();
        let useful =
            share(class_sum(ClassField::KernelTimeUseful), class_sum(ClassField::KernelTime));
        Self {
            load: run.load,
            round: run.round,
            subject: run.label.clone(),
            offered: report.offered_rate,
            classes: classes(report, figures),
            useful: ours.then_some(useful),
            started_expired: ours.then(|| class_sum(ClassField::StartedExpired)),
            stolen: taken.0,
            void: taken.1,
            timeline,
        }
    }

    pub(in crate::cli) fn class(&self, name: &str) -> Option<&ClassMeasured> {
        self.classes.iter().find(|c| c.class == name)
    }

    pub(in crate::cli) fn high(&self) -> Option<&ClassMeasured> {
        self.classes.first()
    }
}

fn classes(report: &Report, figures: &[Counters]) -> Vec<ClassMeasured> {
    let us = |n: Nanos| n.as_secs_f64() * 1e6;
    let one = |(i, c): (usize, &ClassReport)| {
        let priority = Priority::ALL.get(i).copied().unwrap_or(Priority::BestEffort);
        let id = IngressId(u16::try_from(i).unwrap_or(u16::MAX));
        let cell_sum = |f: &dyn Fn(&crate::stats::Cell<&crate::stats::CellWords>) -> u64| -> u64 {
            figures.iter().map(|w| f(&w.view(id, priority))).sum()
        };
        let drops =
            DropReason::ALL.iter().map(|r| (r.label().to_owned(), cell_sum(&|c| c.dropped(*r))));
        let mut drops: BTreeMap<String, u64> = drops.filter(|(_, n)| *n > 0).collect();
        drops.extend(
            c.refusals().filter(|_| figures.is_empty()).map(|(r, n)| (r.label().to_owned(), n)),
        );
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

/// The machine that a result was measured on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::cli) struct Machine {
    pub(in crate::cli) processor: String,
    pub(in crate::cli) cores: usize,
    pub(in crate::cli) linux: String,
}

impl Machine {
    /// This one; what it does not tell is empty.
    pub(super) fn this() -> Self {
        let read = |path| std::fs::read_to_string(path).unwrap_or_default();
        Self {
            processor: crate::sys::machine::cpu_model().unwrap_or_default(),
            cores: crate::sys::affinity::allowed_cores().map_or(0, |c| c.len()),
            linux: read("/proc/sys/kernel/osrelease").trim().to_owned(),
        }
    }
}

/// Everything.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(in crate::cli) struct Outcome {
    pub(in crate::cli) kind: String,
    pub(in crate::cli) version: u32,
    /// The version of the program that measured.
    pub(in crate::cli) program: String,
    /// When, in seconds since 1970.
    pub(in crate::cli) started_unix_s: u64,
    /// What was asked for.
    pub(in crate::cli) command: Vec<String>,
    pub(in crate::cli) machine: Machine,
    pub(in crate::cli) lab: Described,
    /// Packets a second that are called 1x.
    pub(in crate::cli) saturation: f64,
    pub(in crate::cli) capacity: Vec<Capacity>,
    pub(in crate::cli) noise: Noise,
    /// More stolen time than this share makes a run void.
    pub(in crate::cli) stolen_limit: f64,
    /// Runs that were made again because they were void.
    pub(in crate::cli) repeated: u32,
    /// Somebody ended the sweep before it was whole. Files from before this was written were whole.
    #[serde(default)]
    pub(in crate::cli) stopped: bool,
    pub(in crate::cli) runs: Vec<Measured>,
}

/// How ours did at one load against its goals.
#[derive(Clone, Copy, Debug)]
pub(in crate::cli) struct Verdict {
    pub(in crate::cli) load: f64,
    pub(in crate::cli) high: f64,
    pub(in crate::cli) alone: f64,
    pub(in crate::cli) useful: f64,
    pub(in crate::cli) started_expired: u64,
}

impl Verdict {
    pub(in crate::cli) fn high_kept(&self) -> bool {
        self.high >= self.alone - HIGH_SLACK
    }

    pub(in crate::cli) fn work_useful(&self) -> bool {
        self.useful >= USEFUL_MIN
    }

    pub(in crate::cli) fn met(&self) -> bool {
        self.high_kept() && self.work_useful() && self.started_expired == 0
    }
}

impl Outcome {
    /// The loads, ascending.
    pub(in crate::cli) fn loads(&self) -> Vec<f64> {
        let mut loads: Vec<f64> = self.runs.iter().map(|r| r.load).collect();
        loads.sort_by(f64::total_cmp);
        loads.dedup_by(|a, b| a.total_cmp(b).is_eq());
        loads
    }

    /// The rounds of one subject at one load that count. When all of them are void, all: better a marked figure than none.
    pub(in crate::cli) fn rounds(&self, load: f64, subject: &str) -> Vec<&Measured> {
        let all: Vec<&Measured> = self
            .runs
            .iter()
            .filter(|r| r.subject == subject && r.load.total_cmp(&load).is_eq())
            .collect();
        let sound: Vec<&Measured> = all.iter().copied().filter(|r| r.void.is_none()).collect();
        if sound.is_empty() { all } else { sound }
    }

    /// The subjects, in the order in which they first took their turns.
    pub(in crate::cli) fn subjects(&self) -> Vec<String> {
        let mut subjects: Vec<String> = Vec::new();
        for run in &self.runs {
            if !subjects.contains(&run.subject) {
                subjects.push(run.subject.clone());
            }
        }
        subjects
    }

    /// The classes of the mix, in its order.
    pub(in crate::cli) fn classes(&self) -> Vec<String> {
        let widest = self.runs.iter().max_by_key(|r| r.classes.len());
        widest.map(|r| r.classes.iter().map(|c| c.class.clone()).collect()).unwrap_or_default()
    }

    /// Runs that do not count.
    pub(in crate::cli) fn voids(&self) -> impl Iterator<Item = &Measured> {
        self.runs.iter().filter(|r| r.void.is_some())
    }

    /// A figure of one class over the rounds that count.
    pub(in crate::cli) fn spread(
        &self,
        load: f64,
        subject: &str,
        class: &str,
        figure: impl Fn(&ClassMeasured) -> f64,
    ) -> Spread {
        Spread::of(self.rounds(load, subject).iter().filter_map(|r| r.class(class)).map(figure))
    }

    /// What the service and the yardstick reached, in the rounds that were not disturbed; in all when all were.
    pub(in crate::cli) fn sound_capacity(&self) -> Vec<Capacity> {
        bare::sound(&self.capacity)
    }

    /// What the service reached, as a share of the yardstick; none without one.
    pub(in crate::cli) fn capacity_ratio(&self) -> Option<Spread> {
        let ratios: Vec<f64> =
            self.sound_capacity().iter().filter_map(|c| Some(c.service / c.bare?)).collect();
        (!ratios.is_empty()).then(|| Spread::of(ratios))
    }

    /// The policy that goals are for: the default one, or in older files what was the default then.
    pub(in crate::cli) fn ours(&self) -> &'static str {
        let ours = Policy::OURS.word();
        let ran = self.runs.iter().any(|r| r.subject == ours);
        if ran { ours } else { Policy::Edf.word() }
    }

    /// Ours against its goals, at each load where it was run.
    pub(in crate::cli) fn verdicts(&self) -> Vec<Verdict> {
        let at = |load: f64| {
            let ours = self.rounds(load, self.ours());
            let alone = self.rounds(load, HIGH_ALONE);
            let high = |runs: &[&Measured]| {
                median(runs.iter().filter_map(|r| r.high()).map(|c| c.on_time_share))
            };
            (!ours.is_empty()).then(|| Verdict {
                load,
                high: high(&ours),
                alone: high(&alone),
                useful: median(ours.iter().filter_map(|r| r.useful)),
                started_expired: ours.iter().filter_map(|r| r.started_expired).sum(),
            })
        };
        self.loads().into_iter().filter_map(at).collect()
    }

    pub(in crate::cli) fn goals_met(&self) -> bool {
        self.verdicts().iter().all(Verdict::met)
    }
}

#[expect(clippy::cast_precision_loss, reason = "shares are shown with one digit after the point")]
fn share(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::bench::testing;

    #[test]
    fn a_verdict_needs_all_three_goals() {
        let good =
            Verdict { load: 2.0, high: 0.985, alone: 0.99, useful: 0.97, started_expired: 0 };
        assert!(good.met());
        assert!(!Verdict { high: 0.97, ..good }.met());
        assert!(!Verdict { useful: 0.9, ..good }.met());
        assert!(!Verdict { started_expired: 1, ..good }.met());
    }

    #[test]
    fn void_rounds_count_only_where_there_are_no_others() {
        let mut outcome = testing::outcome(&[0.9, 0.2, 0.8]);
        let share = |o: &Outcome| o.spread(2.0, "edf", "high", |c| c.on_time_share);
        assert_eq!(share(&outcome).rounds, 3);
        for run in outcome.runs.iter_mut().filter(|r| r.subject == "edf") {
            run.void = (run.round == 1).then(|| "noise".to_owned());
        }
        let sound = share(&outcome);
        assert_eq!((sound.rounds, outcome.voids().count()), (2, 1));
        assert!((sound.median - 0.85).abs() < 1e-12);
        outcome.runs.iter_mut().for_each(|r| r.void = Some("noise".to_owned()));
        assert_eq!(share(&outcome).rounds, 3);
    }

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

    #[test]
    fn what_is_written_is_read_back() {
        let outcome = testing::outcome(&[0.9, 0.8, 0.7]);
        let text = serde_json::to_string(&outcome).expect("it is written");
        assert_eq!(serde_json::from_str::<Outcome>(&text).expect("it is read"), outcome);
    }
}
