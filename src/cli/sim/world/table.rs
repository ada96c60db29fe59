//! The table that people read.
//!
//! Knows no law: a breach prints itself.

use std::io::{self, Write};

use comfy_table::presets::UTF8_HORIZONTAL_ONLY;
use comfy_table::{CellAlignment, Table, TableComponent};
use hdrhistogram::Histogram;

use super::{Done, Many, Missed};
use crate::base::{DropReason, Priority};
use crate::config::plan::Plan;
use crate::sim::world::{Elsewhere, Options, Outcome};

/// What became of one class in one run.
#[derive(Debug)]
pub(in crate::cli::sim) struct ClassRow {
    pub(in crate::cli::sim) priority: Priority,
    pub(in crate::cli::sim) offered: u64,
    pub(in crate::cli::sim) on_time: u64,
    pub(in crate::cli::sim) late: u64,
    pub(in crate::cli::sim) lost: u64,
    pub(in crate::cli::sim) overflowed: u64,
    /// By reason, only those that happened.
    pub(in crate::cli::sim) dropped: Vec<(DropReason, u64)>,
    pub(in crate::cli::sim) latency: Histogram<u64>,
}

impl ClassRow {
    #[expect(clippy::cast_precision_loss, reason = "a share")]
    pub(in crate::cli::sim) fn on_time_share(&self) -> f64 {
        if self.offered == 0 { 1.0 } else { self.on_time as f64 / self.offered as f64 }
    }
}

/// Each class that was offered, streams of one class together.
pub(super) fn classes(done: &Done) -> Vec<ClassRow> {
    classes_of(&done.options, &done.outcome)
}

/// The same of a run that stands on no axis.
pub(in crate::cli::sim) fn classes_of(options: &Options, outcome: &Outcome) -> Vec<ClassRow> {
    let class = |p: Priority| {
        let streams = options.streams.iter().zip(&outcome.tally.streams);
        let mut own = streams.filter(|(s, _)| s.priority == p).map(|(_, t)| t);
        let first = own.next()?;
        let mut row = ClassRow {
            priority: p,
            offered: first.offered,
            on_time: first.on_time,
            late: first.late,
            lost: first.lost,
            overflowed: first.overflowed,
            dropped: Vec::new(),
            latency: first.latency.clone(),
        };
        for more in own {
            row.offered += more.offered;
            row.on_time += more.on_time;
            row.late += more.late;
            row.lost += more.lost;
            row.overflowed += more.overflowed;
            // The same bounds: cannot fail.
            let _ = row.latency.add(&more.latency);
        }
        let reasons = DropReason::ALL.iter().map(|r| (*r, outcome.dropped(p, *r)));
        row.dropped = reasons.filter(|(_, n)| *n > 0).collect();
        Some(row)
    };
    Priority::ALL.into_iter().filter_map(class).collect()
}

pub(in crate::cli::sim) fn plain() -> Table {
    let mut table = Table::new();
    table
        .load_preset(UTF8_HORIZONTAL_ONLY)
        .remove_style(TableComponent::HorizontalLines)
        .remove_style(TableComponent::MiddleIntersections);
    table
}

pub(in crate::cli::sim) fn to_the_right(table: &mut Table, from: usize) {
    for column in table.column_iter_mut().skip(from) {
        column.set_cell_alignment(CellAlignment::Right);
    }
}

#[expect(clippy::cast_precision_loss, reason = "for people")]
fn percent(part: u64, whole: u64) -> String {
    if whole == 0 { "-".into() } else { format!("{:.1} %", part as f64 * 100.0 / whole as f64) }
}

pub(super) fn time(us: u64) -> String {
    match us {
        0..1_000 => format!("{us}us"),
        1_000..1_000_000 => format!("{}.{}ms", us / 1_000, us / 100 % 10),
        _ => format!("{}.{}s", us / 1_000_000, us / 100_000 % 10),
    }
}

/// `p50 / p99 / p99.9` of what was answered.
pub(super) fn latencies(row: &ClassRow) -> String {
    if row.latency.is_empty() {
        return "-".into();
    }
    let at = |q: f64| time(row.latency.value_at_quantile(q));
    format!("{} / {} / {}", at(0.5), at(0.99), at(0.999))
}

/// The three reasons by which most were dropped.
fn reasons(row: &ClassRow) -> String {
    let mut all: Vec<(&str, u64)> = row.dropped.iter().map(|(r, n)| (r.label(), *n)).collect();
    all.push(("socket full", row.overflowed));
    all.push(("lost on the link", row.lost));
    all.retain(|(_, n)| *n > 0);
    all.sort_by_key(|(_, n)| std::cmp::Reverse(*n));
    let shown: Vec<_> =
        all.iter().take(3).map(|(r, n)| format!("{r} {}", percent(*n, row.offered))).collect();
    if shown.is_empty() { "-".into() } else { shown.join(", ") }
}

const HEADER: [&str; 9] = [
    "workers",
    "load",
    "policy",
    "class",
    "offered",
    "on time",
    "late",
    "p50 / p99 / p99.9",
    "dropped",
];

/// One row a point and class.
pub(super) fn rows(all: &[Done]) -> Vec<Vec<String>> {
    let row = |done: &Done, class: &ClassRow, first: bool| {
        let of_point = |text: String| if first { text } else { String::new() };
        vec![
            of_point(done.point.workers.to_string()),
            of_point(format!("{}x", done.point.load)),
            of_point(done.point.policy.word().to_owned()),
            class.priority.to_string(),
            class.offered.to_string(),
            percent(class.on_time, class.offered),
            percent(class.late, class.offered),
            latencies(class),
            reasons(class),
        ]
    };
    let each = |done: &Done| {
        let classes = classes(done);
        classes.iter().enumerate().map(|(i, c)| row(done, c, i == 0)).collect::<Vec<_>>()
    };
    all.iter().flat_map(each).collect()
}

pub(super) fn header() -> Vec<String> {
    HEADER.map(str::to_owned).to_vec()
}

/// Prints one seed's runs.
pub(super) fn single(
    plan: &Plan,
    all: &[Done],
    missed: &[Missed],
    out: &mut impl Write,
) -> io::Result<()> {
    let mut table = plain();
    table.set_header(HEADER);
    table.add_rows(rows(all));
    to_the_right(&mut table, 4);
    writeln!(out, "{table}")?;
    writeln!(
        out,
        "config {}; on time: the answer left by its deadline, counted from the socket; useful work: {}",
        plan.config,
        useful(all)
    )?;
    for done in all {
        writeln!(out, "{}", honesty(done))?;
        if let Some(line) = helped(done) {
            writeln!(out, "{line}")?;
        }
    }
    for done in all {
        if let Some(breach) = &done.outcome.breach {
            writeln!(out, "{} at {}x: {breach}", done.point.policy.word(), done.point.load)?;
        }
    }
    let seed = all.first().map_or(0, |d| d.outcome.seed);
    let looks: u64 = all.iter().map(|d| d.outcome.checks).sum();
    if all.iter().all(|d| d.outcome.breach.is_none()) {
        let hashes: Vec<_> = all.iter().map(|d| format!("{:016x}", d.outcome.hash)).collect();
        writeln!(out, "seed {seed}: all laws held at {looks} looks; run {}", hashes.join(" "))?;
    }
    for m in missed {
        writeln!(
            out,
            "goal missed: {} on time {:.1} % of {:.1} %, {} at {}x with {} workers",
            m.goal.priority,
            m.reached * 100.0,
            m.goal.on_time * 100.0,
            m.point.policy.word(),
            m.point.load,
            m.point.workers
        )?;
    }
    Ok(())
}

/// What the predictions of one run were worth.
fn honesty(done: &Done) -> String {
    let audited = done.outcome.audits();
    let wrongful = match audited.drawn() {
        0 => "no predicted miss audited".to_owned(),
        drawn => format!(
            "{:.2} % of {drawn} predicted misses looked into were wrong ({} run, {} of them in time; {} refused by choice)",
            audited.in_time as f64 * 100.0 / drawn as f64,
            audited.run,
            audited.in_time,
            audited.choices
        ),
    };
    format!(
        "{} at {}x: {wrongful}; {:.2} % of what was admitted was late",
        done.point.policy.word(),
        done.point.load,
        done.outcome.late_after_admit() * 100.0
    )
}

/// What helpers did in one run; nothing where there are none.
fn helped(done: &Done) -> Option<String> {
    let Elsewhere { batches, rows, lost, late } = done.outcome.elsewhere;
    (done.options.service.helpers > 0).then(|| {
        format!(
            "{} at {}x: helpers were given {rows} packets in {batches} batches, lost {lost} and had {late} late",
            done.point.policy.word(),
            done.point.load,
        )
    })
}

fn useful(all: &[Done]) -> String {
    let shares = all.iter().map(|d| format!("{:.1} %", d.outcome.useful_share() * 100.0));
    shares.collect::<Vec<_>>().join(", ")
}

/// Prints many seeds' runs.
pub(super) fn many(seed: u64, all: &[Many], out: &mut impl Write) -> io::Result<()> {
    let mut table = plain();
    table.set_header([
        "workers",
        "load",
        "policy",
        "seeds",
        "packets",
        "events",
        "looks at the laws",
        "broken",
        "time",
        "packets/s",
    ]);
    for m in all {
        let seconds = m.took.as_secs_f64();
        #[expect(clippy::cast_precision_loss, reason = "for people")]
        let rate = m.fleet.offered as f64 / seconds.max(1e-9);
        table.add_row([
            m.point.workers.to_string(),
            format!("{}x", m.point.load),
            m.point.policy.word().to_owned(),
            m.fleet.runs.to_string(),
            m.fleet.offered.to_string(),
            m.fleet.events.to_string(),
            m.fleet.checks.to_string(),
            m.fleet.broken.len().to_string(),
            format!("{seconds:.1} s"),
            format!("{rate:.0}"),
        ]);
    }
    to_the_right(&mut table, 3);
    writeln!(out, "{table}")?;
    for m in all {
        for (seed, breach) in &m.fleet.broken {
            writeln!(out, "seed {seed}, {} at {}x: {breach}", m.point.policy.word(), m.point.load)?;
        }
    }
    if all.iter().all(|m| m.fleet.broken.is_empty()) {
        writeln!(out, "all laws held, seeds from {seed} on")?;
    }
    Ok(())
}
