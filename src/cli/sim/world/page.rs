//! The result as a page: curves against load for each class, and every figure in a table.

use std::path::Path;

use super::table::{self, ClassRow, classes};
use super::{Done, Missed};
use crate::base::Priority;
use crate::config::plan::Plan;
use crate::report::{
    Axis, Chart, Fact, Line, Mood, Page, Plot, Remark, Scale, Section, TableView, Tone, short_time,
};

/// The page as HTML.
pub(super) fn render(
    path: Option<&Path>,
    plan: &Plan,
    all: &[Done],
    missed: &[Missed],
) -> anyhow::Result<String> {
    let name = path.map(|p| p.display().to_string()).unwrap_or_default();
    let seed = all.first().map_or(0, |d| d.outcome.seed);
    let page = Page {
        title: "The service under a virtual clock".to_owned(),
        subtitle: format!("plan {name}, config {}, seed {seed}", plan.config),
        facts: facts(all),
        remarks: remarks(all, missed),
        sections: vec![
            Section {
                title: "On time".to_owned(),
                text: "Answers that left by their deadline, by what was offered.".to_owned(),
                charts: charts(all, "on time", &percent_axis, ClassRow::on_time_share),
                table: None,
            },
            Section {
                title: "Latency".to_owned(),
                text: "From the socket to the answer, of what was answered.".to_owned(),
                charts: charts(all, "p99", &time_axis, p99),
                table: None,
            },
            Section {
                title: "Every figure".to_owned(),
                text: String::new(),
                charts: Vec::new(),
                table: Some(TableView {
                    header: table::header(),
                    rows: table::rows(all),
                    words: 4,
                }),
            },
        ],
        footer: vec![
            ("again".to_owned(), format!("punctual sim {name} --seed {seed}")),
            ("version".to_owned(), env!("CARGO_PKG_VERSION").to_owned()),
        ],
    };
    Ok(page.render()?)
}

#[expect(clippy::cast_precision_loss, reason = "a time on a chart")]
fn p99(row: &ClassRow) -> f64 {
    row.latency.value_at_quantile(0.99) as f64
}

fn percent_axis() -> Axis {
    Axis::new("on time", Scale::Linear, |x| format!("{:.0} %", x * 100.0)).range(0.0, 1.0)
}

fn time_axis() -> Axis {
    Axis::new("p99", Scale::Log, short_time)
}

fn facts(all: &[Done]) -> Vec<Fact> {
    let sum = |f: fn(&Done) -> u64| all.iter().map(f).sum::<u64>();
    let fact = |label: &str, value: u64, note: &str| Fact {
        label: label.to_owned(),
        value: value.to_string(),
        note: note.to_owned(),
    };
    vec![
        fact("Packets", sum(|d| d.outcome.offered()), "sent by clients, all runs"),
        fact("Events", sum(|d| d.outcome.events), "each in the run's hash"),
        fact("Looks at the laws", sum(|d| d.outcome.checks), "between turns"),
    ]
}

fn remarks(all: &[Done], missed: &[Missed]) -> Vec<Remark> {
    let breaches = all.iter().filter_map(|d| d.outcome.breach.as_ref());
    let mut remarks: Vec<Remark> =
        breaches.map(|b| Remark { mood: Mood::Bad, text: b.to_string() }).collect();
    if remarks.is_empty() {
        remarks.push(Remark { mood: Mood::Good, text: "All laws held.".to_owned() });
    }
    remarks.extend(missed.iter().map(|m| Remark {
        mood: Mood::Bad,
        text: format!(
            "{} under {} at {}x: {:.1} % on time of {:.1} % wanted",
            m.goal.priority,
            m.point.policy.word(),
            m.point.load,
            m.reached * 100.0,
            m.goal.on_time * 100.0
        ),
    }));
    remarks
}

/// One chart a class: a line for each policy and number of workers, against load.
fn charts(
    all: &[Done],
    what: &str,
    axis: &dyn Fn() -> Axis,
    value: fn(&ClassRow) -> f64,
) -> Vec<Chart> {
    let of_class = |p: Priority| {
        let lines = lines(all, p, value);
        let drawn = lines.iter().any(|l| !l.points.is_empty());
        drawn.then(|| Chart {
            title: format!("{p}: {what}"),
            note: String::new(),
            x: Axis::new("offered load", Scale::Log, |x| format!("{x}x")).ticks(loads(all)),
            y: axis(),
            rules: Vec::new(),
            plot: Plot::Lines(lines),
        })
    };
    Priority::ALL.into_iter().filter_map(of_class).collect()
}

fn loads(all: &[Done]) -> Vec<f64> {
    let mut loads: Vec<f64> = all.iter().map(|d| d.point.load).collect();
    loads.sort_by(f64::total_cmp);
    loads.dedup();
    loads
}

fn lines(all: &[Done], p: Priority, value: fn(&ClassRow) -> f64) -> Vec<Line> {
    let mut lines: Vec<Line> = Vec::new();
    for done in all {
        let label = format!("{}, {} workers", done.point.policy.word(), done.point.workers);
        let at = lines.iter().position(|l| l.label == label).unwrap_or_else(|| {
            let tone = Tone::Hue(lines.len());
            let (points, band) = (Vec::new(), Vec::new());
            lines.push(Line { label, tone, dashed: false, points, band, marks: true });
            lines.len() - 1
        });
        if let Some(row) = classes(done).iter().find(|r| r.priority == p && r.offered > 0) {
            lines[at].points.push((done.point.load, value(row)));
        }
    }
    for line in &mut lines {
        line.points.sort_by(|a, b| a.0.total_cmp(&b.0));
    }
    lines
}
