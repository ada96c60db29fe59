//! Who ran what: a table, and how batches grow with the load.
//!
//! Knows what the figures mean; how a chart is drawn is `report/`'s.

use super::super::outcome::Outcome;
use super::super::ran;
use super::charts::{load_axis, over_loads};
use crate::report::{Axis, Chart, Line, Plot, Scale, Section, TableView};

/// The section, where the result says who ran what.
pub(super) fn section(outcome: &Outcome) -> Option<Section> {
    let known = outcome.runs.iter().any(|r| r.backends.is_some());
    known.then(|| Section {
        title: "Who ran it".to_owned(),
        text: ran::legend(outcome).join(". ") + ".",
        charts: charts(outcome),
        table: Some(TableView { header: ran::header(outcome), rows: ran::rows(outcome), words: 3 }),
    })
}

fn charts(outcome: &Outcome) -> Vec<Chart> {
    let mut charts = vec![chart(
        outcome,
        (
            "Rows a batch, on the cores",
            "What a run of a kernel has on average: more where more waits.",
        ),
        Axis::new("rows", Scale::Linear, |v| format!("{}", (v * 10.0).round() / 10.0)),
        |load, subject| ran::batch(&outcome.rounds(load, subject), "cpu"),
    )];
    for (backend, title) in [("helper", "Run by helpers"), ("gpu", "Run by the GPU")] {
        let ran = |b: &super::super::backends::Backends| b.by(backend).is_some();
        if !outcome.runs.iter().filter_map(|r| r.backends.as_ref()).any(ran) {
            continue;
        }
        let share = |load, subject: &str| {
            let rounds = outcome.rounds(load, subject);
            let seen: Vec<_> = rounds.iter().filter_map(|r| r.backends.as_ref()).collect();
            ran::share(&seen, backend)
        };
        let axis = Axis::new("share of all rows", Scale::Linear, |v| format!("{:.0} %", v * 100.0))
            .range(0.0, 1.02)
            .ticks(vec![0.0, 0.25, 0.5, 0.75, 1.0]);
        charts.push(chart(outcome, (title, "Of the datagrams that were run."), axis, share));
    }
    charts
}

fn chart(
    outcome: &Outcome,
    (title, note): (&str, &str),
    y: Axis,
    at: impl Fn(f64, &str) -> super::super::spread::Spread,
) -> Chart {
    let subjects = outcome.subjects();
    let line = |s: &String| over_loads(outcome, s, |load| at(load, s));
    let lines: Vec<Line> = subjects.iter().filter_map(line).collect();
    Chart {
        title: title.to_owned(),
        note: note.to_owned(),
        x: load_axis(outcome),
        y,
        rules: Vec::new(),
        plot: Plot::Lines(lines),
    }
}
