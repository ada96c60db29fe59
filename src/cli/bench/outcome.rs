//! What was measured, as one value: the table and the JSON are made from it.

use serde::Serialize;

use super::lab::Described;
use super::noise::Noise;
use crate::base::{DropReason, IngressId, Nanos, Priority};
use crate::config::Policy;
use crate::load::Report;
use crate::stats::{ClassField, Counters, Field};

/// The JSON's version.
const VERSION: u32 = 1;
/// How far High may stay behind its own control run, in points.
const HIGH_SLACK: f64 = 0.01;
/// The least share of kernel time that must go into packets that finish on time.
const USEFUL_MIN: f64 = 0.95;

/// Who is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Subject {
    /// The control run: High by itself, at its own rate.
    HighAlone,
    /// All classes under this policy.
    Policy(Policy),
}

impl Subject {
    pub(super) const fn label(self) -> &'static str {
        match self {
            Self::HighAlone => "high alone",
            Self::Policy(policy) => policy.word(),
        }
    }
}

/// One run that is to be made.
#[derive(Clone, Copy, Debug)]
pub(super) struct Run {
    pub(super) subject: Subject,
    pub(super) load: f64,
    pub(super) rate: f64,
    pub(super) round: u32,
}

/// One class in one run.
#[derive(Clone, Debug, Serialize)]
pub(super) struct ClassMeasured {
    pub(super) class: &'static str,
    /// Requests that were due, whether or not the generator could send them.
    pub(super) due: u64,
    pub(super) answered: u64,
    /// Answers that the client had within the budget, counted from the intended send time.
    pub(super) on_time: u64,
    pub(super) on_time_share: f64,
    pub(super) p50_us: f64,
    pub(super) p99_us: f64,
    pub(super) p999_us: f64,
    pub(super) kernel_dropped: u64,
    pub(super) drops: Vec<(&'static str, u64)>,
}

/// One run, measured by the client and by the service.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Measured {
    pub(super) load: f64,
    pub(super) round: u32,
    pub(super) subject: &'static str,
    #[serde(skip)]
    pub(super) who: Subject,
    pub(super) offered: f64,
    pub(super) classes: Vec<ClassMeasured>,
    /// Kernel time spent on packets that finished on time, as a share of all kernel time.
    pub(super) useful: f64,
    /// Packets that were started after their deadline.
    pub(super) started_expired: u64,
    /// Share of requests that left more than 1 ms late: the generator's own fault.
    pub(super) sent_late: f64,
}

impl Measured {
    pub(super) fn new(run: Run, report: &Report, figures: &[Counters]) -> Self {
        let sum = |f: &dyn Fn(&Counters) -> u64| -> u64 { figures.iter().map(f).sum() };
        let class_sum = |field| sum(&|w| Priority::ALL.map(|p| w.class(p, field)).iter().sum());
        Self {
            load: run.load,
            round: run.round,
            subject: run.subject.label(),
            who: run.subject,
            offered: report.offered_rate,
            classes: classes(report, figures),
            useful: share(
                class_sum(ClassField::KernelTimeUseful),
                class_sum(ClassField::KernelTime),
            ),
            started_expired: class_sum(ClassField::StartedExpired),
            sent_late: report.generator.late_share(),
        }
    }

    pub(super) fn high(&self) -> Option<&ClassMeasured> {
        self.classes.first()
    }
}

fn classes(report: &Report, figures: &[Counters]) -> Vec<ClassMeasured> {
    let us = |n: Nanos| n.as_secs_f64() * 1e6;
    let one = |(i, c): (usize, &crate::load::ClassReport)| {
        let priority = Priority::ALL[i];
        let id = IngressId(u16::try_from(i).unwrap_or(u16::MAX));
        let cell_sum = |f: &dyn Fn(&crate::stats::Cell<&crate::stats::CellWords>) -> u64| -> u64 {
            figures.iter().map(|w| f(&w.view(id, priority))).sum()
        };
        let drops = DropReason::ALL.iter().map(|r| (r.label(), cell_sum(&|c| c.dropped(*r))));
        ClassMeasured {
            class: priority.label(),
            due: c.due,
            answered: c.answered,
            on_time: c.on_time,
            on_time_share: share(c.on_time, c.due),
            p50_us: us(c.corrected.at(0.5)),
            p99_us: us(c.corrected.at(0.99)),
            p999_us: us(c.corrected.at(0.999)),
            kernel_dropped: cell_sum(&|c| c.get(Field::KernelDropped)),
            drops: drops.filter(|(_, n)| *n > 0).collect(),
        }
    };
    report.classes.iter().enumerate().map(one).collect()
}

/// Everything.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Outcome {
    pub(super) version: u32,
    pub(super) lab: Described,
    /// Packets a second.
    pub(super) saturation: f64,
    pub(super) noise: Noise,
    pub(super) runs: Vec<Measured>,
}

/// How ours did at one load against its goals.
#[derive(Clone, Copy, Debug)]
pub(super) struct Verdict {
    pub(super) load: f64,
    pub(super) high: f64,
    pub(super) alone: f64,
    pub(super) useful: f64,
    pub(super) started_expired: u64,
}

impl Verdict {
    pub(super) fn high_kept(&self) -> bool {
        self.high >= self.alone - HIGH_SLACK
    }

    pub(super) fn work_useful(&self) -> bool {
        self.useful >= USEFUL_MIN
    }

    fn met(&self) -> bool {
        self.high_kept() && self.work_useful() && self.started_expired == 0
    }
}

impl Outcome {
    pub(super) fn new(lab: Described, saturation: f64, noise: Noise, runs: Vec<Measured>) -> Self {
        Self { version: VERSION, lab, saturation, noise, runs }
    }

    /// The loads, in the order in which they were run.
    pub(super) fn loads(&self) -> Vec<f64> {
        let mut loads: Vec<f64> = self.runs.iter().map(|r| r.load).collect();
        loads.dedup_by(|a, b| a.total_cmp(b).is_eq());
        loads
    }

    /// All rounds of one subject at one load.
    pub(super) fn rounds(&self, load: f64, who: Subject) -> Vec<&Measured> {
        self.runs.iter().filter(|r| r.who == who && r.load.total_cmp(&load).is_eq()).collect()
    }

    /// The subjects, in the order in which they took turns.
    pub(super) fn subjects(&self) -> Vec<Subject> {
        let mut subjects = Vec::new();
        for run in &self.runs {
            if !subjects.contains(&run.who) {
                subjects.push(run.who);
            }
        }
        subjects
    }

    /// Ours against its goals, at each load where it was run.
    pub(super) fn verdicts(&self) -> Vec<Verdict> {
        let at = |load: f64| {
            let ours = self.rounds(load, Subject::Policy(Policy::Edf));
            let alone = self.rounds(load, Subject::HighAlone);
            let high = |runs: &[&Measured]| {
                median(runs.iter().filter_map(|r| r.high()).map(|c| c.on_time_share))
            };
            (!ours.is_empty()).then(|| Verdict {
                load,
                high: high(&ours),
                alone: high(&alone),
                useful: median(ours.iter().map(|r| r.useful)),
                started_expired: ours.iter().map(|r| r.started_expired).sum(),
            })
        };
        self.loads().into_iter().filter_map(at).collect()
    }

    pub(super) fn goals_met(&self) -> bool {
        self.verdicts().iter().all(Verdict::met)
    }
}

/// The middle value; of two middle ones the lower. Zero when there is none.
pub(super) fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len().saturating_sub(1) / 2).copied().unwrap_or(0.0)
}

#[expect(clippy::cast_precision_loss, reason = "shares are shown with one digit after the point")]
fn share(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_a_value_that_was_measured() {
        assert!((median([3.0, 1.0, 2.0].into_iter()) - 2.0).abs() < 1e-12);
        assert!((median([4.0, 1.0].into_iter()) - 1.0).abs() < 1e-12);
        assert!(median(std::iter::empty()).abs() < 1e-12);
    }

    #[test]
    fn a_verdict_needs_all_three_goals() {
        let good =
            Verdict { load: 2.0, high: 0.985, alone: 0.99, useful: 0.97, started_expired: 0 };
        assert!(good.met());
        assert!(!Verdict { high: 0.97, ..good }.met());
        assert!(!Verdict { useful: 0.9, ..good }.met());
        assert!(!Verdict { started_expired: 1, ..good }.met());
    }
}
