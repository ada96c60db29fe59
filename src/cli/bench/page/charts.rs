//! The charts of the page: which lines they have, in which colours.
//!
//! Knows not how a chart is drawn.

use super::super::measured::{ClassMeasured, HIGH_ALONE, nines};
use super::super::outcome::Outcome;
use super::super::print;
use super::super::spread::Spread;
use super::{OVERLOAD, first_class, nearest};
use crate::base::DropReason;
use crate::config::Policy;
use crate::report::{
    Axis, Chart, Line, PERCENTILE_TICKS, Plot, Rule, Scale, Section, Stack, Tone, percentile,
    short_time,
};

/// Loads whose percentile curves are drawn side by side.
const CURVES: [f64; 4] = [0.5, 1.0, OVERLOAD, 5.0];

/// Each subject keeps its colour in all charts; the control is grey and dashed.
fn tone(outcome: &Outcome, subject: &str) -> (Tone, bool) {
    if subject == HIGH_ALONE {
        return (Tone::Control, true);
    }
    // Ours is always blue, first-in-first-out always orange, whoever else is there.
    let ours = outcome.ours();
    let other = if ours == Policy::Edf.word() { Policy::Value } else { Policy::Edf };
    let known = [ours, Policy::Fifo.word(), Policy::EdfExpiry.word(), other.word()];
    if outcome.lab.is_ours()
        && let Some(i) = known.iter().position(|k| *k == subject)
    {
        return (Tone::Hue(i), false);
    }
    let others: Vec<String> =
        outcome.subjects().into_iter().filter(|s| !known.contains(&s.as_str())).collect();
    let at = others.iter().filter(|s| *s != HIGH_ALONE).position(|s| s == subject).unwrap_or(0);
    let first = if outcome.lab.is_ours() { known.len() } else { 0 };
    (Tone::Hue(first + at), false)
}

pub(super) fn load_axis(outcome: &Outcome) -> Axis {
    let word = |v: f64| format!("{}x", (v * 100.0).round() / 100.0);
    Axis::new("load, in multiples of saturation", Scale::Log, word).ticks(apart(&outcome.loads()))
}

/// Loads whose words do not run into each other: 1x, and what is at least a third away from the one before.
fn apart(loads: &[f64]) -> Vec<f64> {
    const APART: f64 = 4.0 / 3.0;
    let near = |a: f64, b: f64| a < b * APART && b < a * APART;
    let one = loads.iter().copied().find(|l| (l - 1.0).abs() < 1e-9);
    let mut kept: Vec<f64> = Vec::new();
    for load in loads.iter().copied() {
        let is_one = one.is_some_and(|o| load.total_cmp(&o).is_eq());
        let crowded = kept.last().is_some_and(|k| near(*k, load))
            || one.is_some_and(|o| !is_one && near(o, load));
        if is_one || !crowded {
            kept.push(load);
        }
    }
    kept
}

/// A line over the loads.
pub(super) fn over_loads(
    outcome: &Outcome,
    subject: &str,
    at: impl Fn(f64) -> Spread,
) -> Option<Line> {
    let spreads: Vec<(f64, Spread)> =
        outcome.loads().into_iter().map(|l| (l, at(l))).filter(|(_, s)| s.rounds > 0).collect();
    let (tone, dashed) = tone(outcome, subject);
    (!spreads.is_empty()).then(|| Line {
        label: subject.to_owned(),
        tone,
        dashed,
        points: spreads.iter().map(|(l, s)| (*l, s.median)).collect(),
        band: spreads.iter().map(|(l, s)| (*l, s.q1, s.q3)).collect(),
        marks: true,
    })
}

pub(super) fn on_time(outcome: &Outcome) -> Section {
    let share = || {
        Axis::new("on time", Scale::Linear, |v| format!("{:.0} %", v * 100.0))
            .range(0.0, 1.02)
            .ticks(vec![0.0, 0.25, 0.5, 0.75, 1.0])
    };
    let chart = |title: String, note: &str, lines: Vec<Line>| Chart {
        title,
        note: note.to_owned(),
        x: load_axis(outcome),
        y: share(),
        rules: Vec::new(),
        plot: Plot::Lines(lines),
    };
    let subjects = outcome.subjects();
    let of_class = |class: &String| {
        let line = |s: &String| {
            over_loads(outcome, s, |l| outcome.spread(l, s, class, |c| c.on_time_share))
        };
        let budget = budget(outcome, class);
        let title = format!("{}: on time within {}", print::title(class), short_time(budget));
        chart(title, "", subjects.iter().filter_map(line).collect())
    };
    let mut charts: Vec<Chart> = outcome.classes().iter().map(of_class).collect();
    if outcome.lab.is_ours() {
        let line = |s: &String| {
            let useful = |l| Spread::of(outcome.rounds(l, s).iter().filter_map(|r| r.useful));
            over_loads(outcome, s, useful)
        };
        let mut useful = chart(
            "Useful work".to_owned(),
            "Kernel time spent on packets that finished on time.",
            subjects.iter().filter_map(line).collect(),
        );
        useful.y = share();
        charts.push(useful);
    }
    Section {
        title: "On time against load".to_owned(),
        text: "A request is on time when its answer was there within the budget, counted from when the request was due. \
               Lines are medians of the rounds, bands their quartiles."
            .to_owned(),
        charts,
        table: None,
    }
}

fn budget(outcome: &Outcome, class: &str) -> f64 {
    outcome.runs.iter().filter_map(|r| r.class(class)).map(|c| c.budget_us).next().unwrap_or(0.0)
}

pub(super) fn curves(outcome: &Outcome) -> Section {
    let mut loads: Vec<f64> = CURVES.iter().filter_map(|l| nearest(outcome, *l)).collect();
    loads.dedup_by(|a, b| a.total_cmp(b).is_eq());
    let classes = outcome.classes();
    let first = first_class(outcome);
    let mut charts: Vec<Chart> = loads.iter().map(|l| curve(outcome, *l, &first)).collect();
    if let Some(load) = nearest(outcome, OVERLOAD) {
        charts.extend(classes.iter().skip(1).map(|class| curve(outcome, load, class)));
    }
    Section {
        title: "Latency by percentile".to_owned(),
        text: "Of the answers that came, counted from when the request was due: a point at 99 % says that 99 of 100 \
               answers took at most so long. What was dropped has no latency; it is not on time."
            .to_owned(),
        charts,
        table: None,
    }
}

fn curve(outcome: &Outcome, load: f64, class: &str) -> Chart {
    let line = |subject: &String| {
        let rounds = outcome.rounds(load, subject);
        let curves: Vec<&ClassMeasured> = rounds.iter().filter_map(|r| r.class(class)).collect();
        let at = |i: usize| Spread::of(curves.iter().filter_map(|c| c.curve_us.get(i)).copied());
        let points: Vec<(f64, f64)> = nines()
            .enumerate()
            .map(|(i, n)| (n, at(i)))
            .filter(|(_, s)| s.rounds > 0 && s.rounds == curves.len())
            .map(|(n, s)| (n, s.median))
            .collect();
        let (tone, dashed) = tone(outcome, subject);
        (points.len() > 1).then(|| Line {
            label: subject.clone(),
            tone,
            dashed,
            points,
            band: Vec::new(),
            marks: false,
        })
    };
    Chart {
        title: format!("{} at {load}x", print::title(class)),
        note: String::new(),
        x: Axis::new("percentile", Scale::Linear, percentile).ticks(PERCENTILE_TICKS.to_vec()),
        y: Axis::new("latency", Scale::Log, short_time),
        rules: vec![Rule { at: budget(outcome, class), label: "budget".to_owned() }],
        plot: Plot::Lines(outcome.subjects().iter().filter_map(line).collect()),
    }
}

pub(super) fn drops(outcome: &Outcome) -> Section {
    let mut charts = Vec::new();
    if let Some(load) = nearest(outcome, OVERLOAD) {
        let subjects = outcome.subjects().into_iter().filter(|s| s != HIGH_ALONE);
        charts.extend(subjects.filter_map(|s| dropped(outcome, load, &s)));
    }
    Section {
        title: "Drops by reason over time".to_owned(),
        text: "In the last round that counts. A service that keeps nothing waiting drops in the kernel's socket buffer \
               (rx_kernel_overflow), where it costs least."
            .to_owned(),
        charts,
        table: None,
    }
}

fn dropped(outcome: &Outcome, load: f64, subject: &str) -> Option<Chart> {
    let rounds = outcome.rounds(load, subject);
    let line = &rounds.last()?.timeline;
    if line.at_ms.len() < 2 {
        return None;
    }
    let starts = std::iter::once(0.0).chain(line.at_ms.iter().copied());
    let steps: Vec<f64> = starts.zip(&line.at_ms).map(|(a, b)| (b - a).max(1.0) / 1e3).collect();
    let stack = |(reason, counts): (&String, &Vec<u64>)| Stack {
        label: reason.clone(),
        tone: Tone::Hue(reason_tone(reason)),
        heights: counts.iter().zip(&steps).map(|(n, s)| per_second(*n, *s)).collect(),
    };
    let stacks: Vec<Stack> = line.drops.iter().map(stack).collect();
    if stacks.is_empty() {
        return None;
    }
    Some(Chart {
        title: format!("{subject} at {load}x"),
        note: String::new(),
        x: Axis::new("seconds since the run began", Scale::Linear, |s| {
            format!("{}", (s * 100.0).round() / 100.0)
        }),
        y: Axis::new("dropped packets/s", Scale::Linear, thousands),
        rules: Vec::new(),
        plot: Plot::Stacks(line.at_ms.iter().map(|ms| ms / 1e3).collect(), stacks),
    })
}

/// A reason has the same colour in every chart, and those that occur together are far apart.
fn reason_tone(reason: &str) -> usize {
    const OFTEN: [&str; 6] = [
        "rx_kernel_overflow",
        "predicted_miss",
        "quota_priority",
        "expired_on_arrival",
        "late_at_dispatch",
        "evicted",
    ];
    let often = OFTEN.iter().position(|r| *r == reason);
    let any = || DropReason::ALL.iter().position(|r| r.label() == reason).unwrap_or(0);
    often.unwrap_or_else(|| OFTEN.len() + any() % 2)
}

#[expect(clippy::cast_precision_loss, reason = "a rate in a chart")]
fn per_second(n: u64, seconds: f64) -> f64 {
    n as f64 / seconds
}

fn thousands(v: f64) -> String {
    if v < 1_000.0 { format!("{v:.0}") } else { format!("{}k", (v / 100.0).round() / 10.0) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::bench::testing;

    #[test]
    fn words_under_an_axis_keep_apart_and_1x_is_always_there() {
        assert_eq!(apart(&[0.1, 0.5, 0.8, 1.0, 1.2, 2.0]), [0.1, 0.5, 1.0, 2.0]);
        assert_eq!(apart(&[0.8, 0.9, 2.0]), [0.8, 2.0]);
    }

    #[test]
    fn ours_is_blue_whoever_else_is_there() {
        let outcome = testing::outcome(&[0.9]);
        assert_eq!(tone(&outcome, "edf"), (Tone::Hue(0), false));
        assert_eq!(tone(&outcome, HIGH_ALONE), (Tone::Control, true));
        assert_eq!(tone(&outcome, "value"), (Tone::Hue(3), false));
        assert_eq!(tone(&outcome, "another"), (Tone::Hue(4), false));
    }
}
