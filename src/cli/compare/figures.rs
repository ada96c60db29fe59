//! The figures of a result, one value a round: as measured, and beside their control run of the same round.
//!
//! Knows no threshold. A machine is not the same on two days, and noise is not the same in two rounds: what is compared is
//! a figure's ratio (for shares: its distance) to a control that was measured in the same round. The control of what the
//! service completes is the bare loop; that of a policy is High alone; that of a target is the first target.

use std::collections::BTreeMap;

use super::rule::Kind;
use crate::cli::bench::{ClassMeasured, HIGH_ALONE, Measured, Outcome};

/// One figure over the rounds of a result.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Figure {
    /// The load in multiples of saturation; none for saturation itself.
    pub(super) load: Option<f64>,
    pub(super) subject: String,
    pub(super) class: String,
    pub(super) metric: &'static str,
    pub(super) kind: Kind,
    /// A change of it is a regression: it is a figure of ours, or of a target.
    pub(super) gate: bool,
    /// As measured, one value a round.
    pub(super) values: Vec<f64>,
    /// Relative to its control, one value a round; the values themselves where there is none.
    pub(super) relative: Vec<f64>,
}

impl Figure {
    /// Whether it is the same figure of another result.
    pub(super) fn is(&self, other: &Self) -> bool {
        let load = |f: &Self| f.load.map(f64::to_bits);
        load(self) == load(other)
            && (&self.subject, &self.class, self.metric)
                == (&other.subject, &other.class, other.metric)
    }
}

/// Name, kind, how it is read, whether it gates.
type Metric = (&'static str, Kind, fn(&ClassMeasured) -> f64, bool);

/// The deep tail is shown and does not gate: a round holds too few packets to tell it from noise.
const METRICS: [Metric; 4] = [
    ("on time", Kind::Share, |c| c.on_time_share, true),
    ("p50", Kind::Less, |c| c.p50_us, true),
    ("p99", Kind::Less, |c| c.p99_us, true),
    ("p99.9", Kind::Less, |c| c.p999_us, false),
];

/// All figures of `outcome`.
pub(super) fn of(outcome: &Outcome) -> Vec<Figure> {
    let mut all = vec![saturation(outcome)];
    let subjects = outcome.subjects();
    let classes = outcome.classes();
    for load in outcome.loads() {
        for subject in &subjects {
            for class in &classes {
                for metric in METRICS {
                    all.extend(figure(outcome, (load, subject, class), metric));
                }
            }
        }
    }
    all
}

fn saturation(outcome: &Outcome) -> Figure {
    let rounds = outcome.sound_capacity();
    Figure {
        load: None,
        subject: "saturation".to_owned(),
        class: "all".to_owned(),
        metric: "packets/s",
        kind: Kind::More,
        gate: true,
        values: rounds.iter().map(|c| c.service).collect(),
        relative: rounds
            .iter()
            .map(|c| c.bare.map_or(c.service, |bare| c.service / bare))
            .collect(),
    }
}

fn figure(
    outcome: &Outcome,
    (load, subject, class): (f64, &str, &str),
    (metric, kind, read, gates): Metric,
) -> Option<Figure> {
    // Latencies of Medium and Low follow from what is dropped; their share on time says it all.
    let first = outcome.classes().first().is_some_and(|c| c == class);
    if kind == Kind::Less && !first {
        return None;
    }
    let rounds = outcome.rounds(load, subject);
    let control = control_of(outcome, subject).map(|name| by_round(outcome, load, &name));
    let (mut values, mut relative) = (Vec::new(), Vec::new());
    for run in rounds {
        let Some(value) = run.class(class).map(read) else { continue };
        let beside = control.as_ref().and_then(|c| c.get(&run.round)?.class(class).map(read));
        match (&control, beside) {
            // The control has no such class, or this is a control itself.
            (None, _) => relative.push(value),
            (Some(_), None) if !has_class(outcome, subject, class) => relative.push(value),
            // Its control run of that round is void.
            (Some(_), None) => continue,
            (Some(_), Some(beside)) => relative.push(beside_of(kind, value, beside)),
        }
        values.push(value);
    }
    let gate = gates && is_ours(outcome, subject);
    (!values.is_empty()).then(|| Figure {
        load: Some(load),
        subject: subject.to_owned(),
        class: class.to_owned(),
        metric,
        kind,
        gate,
        values,
        relative,
    })
}

fn beside_of(kind: Kind, value: f64, control: f64) -> f64 {
    match kind {
        Kind::Share => value - control,
        Kind::Less | Kind::More if control > 0.0 => value / control,
        Kind::Less | Kind::More => value,
    }
}

/// The runs of one subject that count, by their round.
fn by_round<'a>(outcome: &'a Outcome, load: f64, subject: &str) -> BTreeMap<u32, &'a Measured> {
    outcome.rounds(load, subject).into_iter().map(|r| (r.round, r)).collect()
}

/// Whether the control of `subject` measures `class` at all.
fn has_class(outcome: &Outcome, subject: &str, class: &str) -> bool {
    let Some(control) = control_of(outcome, subject) else { return false };
    outcome.runs.iter().any(|r| r.subject == control && r.class(class).is_some())
}

fn control_of(outcome: &Outcome, subject: &str) -> Option<String> {
    let control = match outcome.lab.service {
        Some(_) => HIGH_ALONE.to_owned(),
        None => first_target(outcome)?,
    };
    (control != subject).then_some(control)
}

/// The target that was named first, by the way that `lab` writes it: `name (address)`.
fn first_target(outcome: &Outcome) -> Option<String> {
    let first = outcome.lab.targets.first()?;
    outcome.subjects().into_iter().find(|s| first == s || first.starts_with(&format!("{s} (")))
}

fn is_ours(outcome: &Outcome, subject: &str) -> bool {
    outcome.lab.service.is_none() || subject == outcome.ours()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::bench::testing;

    fn find<'a>(all: &'a [Figure], subject: &str, metric: &str) -> &'a Figure {
        all.iter().find(|f| f.subject == subject && f.metric == metric).expect("it is there")
    }

    #[test]
    fn figures_stand_beside_their_control_of_the_same_round() {
        let mut outcome = testing::outcome(&[0.9, 0.8, 0.7]);
        for run in outcome.runs.iter_mut().filter(|r| r.subject == HIGH_ALONE) {
            run.classes[0].on_time_share = 0.9 + f64::from(run.round) / 100.0;
        }
        let all = of(&outcome);
        let close = |a: &[f64], b: &[f64]| a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-9);
        let ours = find(&all, "edf", "on time");
        assert!(close(&ours.values, &[0.9, 0.8, 0.7]) && ours.gate);
        assert!(close(&ours.relative, &[0.0, -0.11, -0.22]), "{:?}", ours.relative);
        let saturation = find(&all, "saturation", "packets/s");
        assert!(close(&saturation.relative, &[40.0 / 42.0; 3]));
        assert!(close(&find(&all, "edf", "p99").relative, &[1.0; 3]));
        assert!(!find(&all, HIGH_ALONE, "p99").gate && !find(&all, "edf", "p99.9").gate);
    }

    #[test]
    fn a_round_whose_control_is_void_is_not_compared() {
        let mut outcome = testing::outcome(&[0.9, 0.8, 0.7]);
        for run in outcome.runs.iter_mut().filter(|r| r.subject == HIGH_ALONE && r.round == 1) {
            run.void = Some("noise".to_owned());
        }
        let all = of(&outcome);
        assert_eq!(find(&all, "edf", "on time").relative.len(), 2);
        assert_eq!(find(&all, HIGH_ALONE, "on time").relative.len(), 2);
    }
}
