//! What was measured, as one value: the table, the page, the JSON and comparisons are made from it.
//!
//! Knows no terminal and no file. A change of its shape is a new [`VERSION`].

use serde::{Deserialize, Serialize};

use super::bare::{self, Capacity};
use super::described::Described;
use super::measured::{ClassMeasured, HIGH_ALONE, Measured};
use super::noise::Noise;
use super::spread::{Spread, median};
use crate::config::Policy;

/// What kind of JSON this is.
pub(in crate::cli) const KIND: &str = "punctual bench";
/// The JSON's version.
pub(in crate::cli) const VERSION: u32 = 3;
/// The oldest that is read. Version 2 knew busy work only, and did not say who ran what.
pub(in crate::cli) const OLDEST: u32 = 2;
/// How far High may stay behind its own control run, in points.
const HIGH_SLACK: f64 = 0.01;
/// The least share of kernel time that must go into packets that finish on time.
const USEFUL_MIN: f64 = 0.95;

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
    /// No more could be offered, and the service had answered that: 1x is what the generator can do.
    #[serde(default)]
    pub(in crate::cli) generator_limited: bool,
    pub(in crate::cli) runs: Vec<Measured>,
}

/// How ours did at one load against its goals.
#[derive(Clone, Copy, Debug)]
pub(in crate::cli) struct Verdict {
    pub(in crate::cli) load: f64,
    pub(in crate::cli) high: f64,
    /// None where there is one class.
    pub(in crate::cli) alone: Option<f64>,
    pub(in crate::cli) useful: f64,
    pub(in crate::cli) started_expired: u64,
}

impl Verdict {
    pub(in crate::cli) fn high_kept(&self) -> bool {
        self.alone.is_none_or(|alone| self.high >= alone - HIGH_SLACK)
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

    /// Whom goals are for: the setting's own policy or batches, or in older files what was the default then.
    pub(in crate::cli) fn ours(&self) -> &str {
        let ran = |name: &str| self.runs.iter().map(|r| r.subject.as_str()).find(|s| *s == name);
        let said = self.lab.batches.as_deref().or(self.lab.policy.as_deref());
        let said = said.unwrap_or(Policy::OURS.word());
        ran(said).unwrap_or(Policy::Edf.word())
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
                alone: (!alone.is_empty()).then(|| high(&alone)),
                useful: median(ours.iter().filter_map(|r| r.useful)),
                started_expired: ours.iter().filter_map(|r| r.started_expired).sum(),
            })
        };
        self.loads().into_iter().filter_map(at).collect()
    }

    pub(in crate::cli) fn goals_met(&self) -> bool {
        let verdicts = self.verdicts();
        !verdicts.is_empty() && verdicts.iter().all(Verdict::met)
    }
}

#[expect(clippy::cast_precision_loss, reason = "shares are shown with one digit after the point")]
pub(super) fn share(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::bench::testing;

    #[test]
    fn a_verdict_needs_all_three_goals() {
        let good =
            Verdict { load: 2.0, high: 0.985, alone: Some(0.99), useful: 0.97, started_expired: 0 };
        assert!(good.met());
        assert!(!Verdict { high: 0.97, ..good }.met());
        assert!(Verdict { high: 0.97, alone: None, ..good }.met(), "it is by itself");
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
    fn what_is_written_is_read_back() {
        let outcome = testing::outcome(&[0.9, 0.8, 0.7]);
        let text = serde_json::to_string(&outcome).expect("it is written");
        assert_eq!(serde_json::from_str::<Outcome>(&text).expect("it is read"), outcome);
    }
}
