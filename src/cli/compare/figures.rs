//! The figures of a result, one value a round: as measured, and beside their control run of the same round.
//!
//! Knows no threshold. A machine is not the same on two days, and noise is not the same in two rounds: what is compared is
//! a figure's ratio (for shares: its distance) to a control that was measured in the same round. The control of what the
//! service completes is the bare loop; that of a policy is High alone, and of its work in overload first-in-first-out; that of
//! a target is the first target.

use std::collections::BTreeMap;

use super::rule::Kind;
use crate::cli::bench::{ClassMeasured, HIGH_ALONE, Measured, Outcome, median};
use crate::config::Policy;

/// The subject that work in overload stands beside.
const FIFO: &str = Policy::Fifo.word();
/// What a class and those above it had on time, in packets a second.
pub(super) const WORK: &str = "work on time";
/// A class that, with those above it, asks for more of the capacity than this has what is left of it.
const SPARED: f64 = 0.9;

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
    /// Overload gives this class up, or some of it.
    pub(super) given_up: bool,
    /// Every round that it was taken from is void: it says something of the machine, and of the service nothing.
    pub(super) void: bool,
    /// What a latency has until its deadline, in its own unit.
    pub(super) budget: Option<f64>,
    /// As measured, one value a round.
    pub(super) values: Vec<f64>,
    /// Relative to its control, one value a round; the values themselves where there is none.
    pub(super) relative: Vec<f64>,
}

impl Figure {
    /// Whether it is held against a later result.
    pub(super) fn gates(&self) -> bool {
        self.gate && !(self.kind == Kind::Share && self.given_up)
    }

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

/// All figures of two results that are compared, with the same controls.
pub(super) fn of_both(before: &Outcome, now: &Outcome) -> [Vec<Figure>; 2] {
    let loads = before.loads();
    let common = || now.loads().into_iter().filter(|l| loads.contains(l));
    let fifo = |load: f64| {
        [before, now].iter().all(|o| o.ours() != FIFO && !o.rounds(load, FIFO).is_empty())
    };
    let fifo = common().all(fifo);
    [of(before, fifo), of(now, fifo)]
}

/// All figures of `outcome`. `fifo`: work in overload stands beside what first-in-first-out answered, else beside the bare loop.
fn of(outcome: &Outcome, fifo: bool) -> Vec<Figure> {
    let mut all = vec![saturation(outcome)];
    let subjects = outcome.subjects();
    let classes = outcome.classes();
    for load in outcome.loads() {
        for subject in &subjects {
            for class in &classes {
                for metric in METRICS {
                    all.extend(figure(outcome, (load, subject, class), metric));
                }
                all.extend(work(outcome, (load, subject, class), fifo));
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
        kind: if rounds.iter().all(|c| c.bare.is_some()) { Kind::Capacity } else { Kind::More },
        gate: true,
        given_up: false,
        void: rounds.iter().all(|c| !c.sound),
        budget: None,
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
    let latency = kind == Kind::Less;
    let of_class = outcome.runs.iter().find_map(|r| r.class(class)).filter(|_| latency);
    (!values.is_empty()).then(|| Figure {
        load: Some(load),
        subject: subject.to_owned(),
        class: class.to_owned(),
        metric,
        kind,
        gate,
        given_up: gives_up(outcome, (load, class)),
        void: is_void(outcome, load, subject),
        budget: of_class.map(|c| c.budget_us),
        values,
        relative,
    })
}

fn is_void(outcome: &Outcome, load: f64, subject: &str) -> bool {
    outcome.rounds(load, subject).iter().all(|r| r.void.is_some())
}

/// Whether `class` is one that overload takes from, by what was offered: never the first.
fn gives_up(outcome: &Outcome, (load, class): (f64, &str)) -> bool {
    let Some(place) = outcome.classes().iter().position(|c| c == class) else { return false };
    let mix = &outcome.lab.mix;
    let above: f64 = mix.iter().take(place + 1).sum();
    place > 0 && load * above / mix.iter().sum::<f64>() > SPARED
}

/// What the same load had answered in a second in each round by first-in-first-out, which is never without work and drops nothing
/// by choice: a run of the same minute, where the bare loop is of before all runs.
fn answered_by_fifo(outcome: &Outcome, load: f64) -> BTreeMap<u32, f64> {
    let answered = |r: &Measured| r.classes.iter().map(|c| c.answered).sum();
    let rate = |r: &Measured| per_second(answered(r), outcome.lab.seconds);
    outcome.rounds(load, FIFO).into_iter().map(|r| (r.round, rate(r))).collect()
}

/// What `class` and those above it had on time, where it is given up and the run is ours. A round without a control of its
/// own stands beside the median of all.
fn work(
    outcome: &Outcome,
    (load, subject, class): (f64, &str, &str),
    fifo: bool,
) -> Option<Figure> {
    let ours = outcome.lab.is_ours() && subject == outcome.ours();
    if !ours || !gives_up(outcome, (load, class)) {
        return None;
    }
    let control: BTreeMap<u32, f64> = if fifo {
        answered_by_fifo(outcome, load)
    } else {
        outcome.sound_capacity().iter().filter_map(|c| Some((c.round, c.bare?))).collect()
    };
    let usual = median(control.values().copied());
    let (mut values, mut relative) = (Vec::new(), Vec::new());
    for run in outcome.rounds(load, subject) {
        let Some(last) = run.classes.iter().position(|c| c.class == class) else { continue };
        let on_time: u64 = run.classes[..=last].iter().map(|c| c.on_time).sum();
        let rate = per_second(on_time, outcome.lab.seconds);
        let beside = control.get(&run.round).copied().unwrap_or(usual);
        values.push(rate);
        relative.push(if beside > 0.0 { rate / beside } else { rate });
    }
    (!values.is_empty()).then(|| Figure {
        load: Some(load),
        subject: subject.to_owned(),
        class: class.to_owned(),
        metric: WORK,
        kind: Kind::Capacity,
        gate: true,
        given_up: true,
        void: is_void(outcome, load, subject)
            || if fifo {
                is_void(outcome, load, FIFO)
            } else {
                outcome.sound_capacity().iter().all(|c| !c.sound)
            },
        budget: None,
        values,
        relative,
    })
}

#[expect(clippy::cast_precision_loss, reason = "a rate is shown without its last digits")]
fn per_second(count: u64, seconds: f64) -> f64 {
    if seconds > 0.0 { count as f64 / seconds } else { 0.0 }
}

fn beside_of(kind: Kind, value: f64, control: f64) -> f64 {
    match kind {
        Kind::Share => value - control,
        _ if control > 0.0 => value / control,
        _ => value,
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
    let alone = || outcome.runs.iter().any(|r| r.subject == HIGH_ALONE);
    let control = match outcome.lab.is_ours() {
        true => alone().then(|| HIGH_ALONE.to_owned())?,
        false => first_target(outcome)?,
    };
    (control != subject).then_some(control)
}

/// The target that was named first, by the way that `lab` writes it: `name (address)`.
fn first_target(outcome: &Outcome) -> Option<String> {
    let first = outcome.lab.targets.first()?;
    outcome.subjects().into_iter().find(|s| first == s || first.starts_with(&format!("{s} (")))
}

fn is_ours(outcome: &Outcome, subject: &str) -> bool {
    !outcome.lab.is_ours() || subject == outcome.ours()
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
        let all = of(&outcome, false);
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
        let all = of(&outcome, false);
        assert_eq!(find(&all, "edf", "on time").relative.len(), 2);
        assert_eq!(find(&all, HIGH_ALONE, "on time").relative.len(), 2);
    }

    #[test]
    fn who_has_what_the_others_leave_is_judged_by_the_work_of_the_run() {
        let mut outcome = testing::outcome_of_all(&[[0.99, 0.98, 0.27]; 3]);
        let gating = |o: &Outcome, class: &str, metric: &str| {
            of(o, false).iter().any(|f| {
                (f.subject.as_str(), f.class.as_str(), f.metric) == ("value", class, metric)
                    && f.gates()
            })
        };
        let asked = |o: &Outcome| {
            ["high", "medium", "low"].map(|c| (gating(o, c, "on time"), gating(o, c, WORK)))
        };
        let (share, work) = ((true, false), (false, true));
        // At 2x High and Medium ask for 0.6 of the capacity, at 5x for 1.5, at 0.8x all for 0.8.
        assert_eq!(asked(&outcome), [share, share, work]);
        outcome.runs.iter_mut().for_each(|r| r.load = 5.0);
        assert_eq!(asked(&outcome), [share, work, work]);
        outcome.runs.iter_mut().for_each(|r| r.load = 0.8);
        assert_eq!(asked(&outcome), [share, share, share]);
    }

    /// A machine that was slow while saturation was looked for, and was not any more when the runs were made.
    #[test]
    fn work_in_overload_stands_beside_the_run_next_to_it() {
        let with_fifo = |capacity: f64, bare: f64| {
            let mut outcome = testing::outcome_of_all(&[[0.99, 0.98, capacity]; 3]);
            for c in &mut outcome.capacity {
                c.bare = Some(bare);
            }
            for mut run in outcome.runs.clone() {
                if run.subject == "value" {
                    FIFO.clone_into(&mut run.subject);
                    run.classes.iter_mut().for_each(|class| class.answered = class.on_time);
                    outcome.runs.push(run);
                }
            }
            outcome
        };
        let (steady, drifted) = (with_fifo(0.30, 42_000.0), with_fifo(0.30, 34_000.0));
        let work = |all: &[Figure]| find(all, "value", WORK).relative.clone();
        let close = |a: &[f64], b: &[f64]| a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-9);
        let [a, b] = of_both(&steady, &drifted);
        assert!(close(&work(&a), &[1.0; 3]) && close(&work(&b), &[1.0; 3]), "{:?}", work(&b));
        // Where one of them has no such run, both stand beside the bare loop.
        let mut without = drifted;
        without.runs.retain(|r| r.subject != FIFO);
        let [a, b] = of_both(&steady, &without);
        assert!(work(&b)[0] > 1.2 * work(&a)[0], "{:?} {:?}", work(&a), work(&b));
    }
}
