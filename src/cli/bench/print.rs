//! The table that people read.

use std::io::{self, Write};

use comfy_table::presets::UTF8_HORIZONTAL_ONLY;
use comfy_table::{CellAlignment, Table};

use super::outcome::{Measured, Outcome, Subject, median};

const HEADER: [&str; 8] = [
    "load",
    "policy",
    "High on time",
    "Medium",
    "Low",
    "High p50 / p99 / p99.9",
    "useful work",
    "started late",
];

/// Prints what was measured.
pub(super) fn table(outcome: &Outcome, out: &mut impl Write) -> io::Result<()> {
    writeln!(out, "{}", outcome.lab)?;
    writeln!(out, "saturation: {:.0} packets/s", outcome.saturation)?;
    for core in &outcome.noise.0 {
        let watched = core.watched.as_secs_f64();
        writeln!(
            out,
            "noise on core {}: {} gaps over 250us in {watched:.1} s, {:.2} % of the time, the longest {:.1} ms",
            core.core,
            core.gaps,
            core.share() * 100.0,
            core.longest.as_secs_f64() * 1e3
        )?;
    }
    let mut table = Table::new();
    table.load_preset(UTF8_HORIZONTAL_ONLY).set_header(HEADER);
    for load in outcome.loads() {
        for who in outcome.subjects() {
            let rounds = outcome.rounds(load, who);
            if !rounds.is_empty() {
                table.add_row(row(load, who, &rounds));
            }
        }
    }
    for column in 2..HEADER.len() {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    writeln!(out, "{table}")?;
    writeln!(
        out,
        "on time: the client had the answer within its budget, counted from when the request was due"
    )?;
    writeln!(out, "useful work: kernel time spent on packets that finished on time")?;
    verdicts(outcome, out)
}

fn row(load: f64, who: Subject, rounds: &[&Measured]) -> Vec<String> {
    let class = |i: usize| {
        let shares =
            || rounds.iter().filter_map(move |r| r.classes.get(i)).map(|c| c.on_time_share * 100.0);
        if shares().next().is_none() { "-".to_owned() } else { spread(shares) }
    };
    let high = |f: fn(&super::outcome::ClassMeasured) -> f64| {
        median(rounds.iter().filter_map(|r| r.high()).map(f))
    };
    let latency = format!(
        "{} / {} / {}",
        time(high(|c| c.p50_us)),
        time(high(|c| c.p99_us)),
        time(high(|c| c.p999_us))
    );
    let started: u64 = rounds.iter().map(|r| r.started_expired).sum();
    vec![
        format!("{load}x"),
        who.label().to_owned(),
        class(0),
        class(1),
        class(2),
        latency,
        format!("{:.1} %", median(rounds.iter().map(|r| r.useful)) * 100.0),
        started.to_string(),
    ]
}

/// The median, and the range where there is more than one.
fn spread<I: Iterator<Item = f64>>(values: impl Fn() -> I) -> String {
    let middle = median(values());
    let (low, high) = values().fold((f64::MAX, f64::MIN), |(l, h), v| (l.min(v), h.max(v)));
    if high - low < 0.05 {
        format!("{middle:.1} %")
    } else {
        format!("{middle:.1} % ({low:.1}-{high:.1})")
    }
}

fn time(us: f64) -> String {
    match us {
        _ if us < 1_000.0 => format!("{us:.0}us"),
        _ if us < 1e6 => format!("{:.1}ms", us / 1e3),
        _ => format!("{:.1}s", us / 1e6),
    }
}

fn verdicts(outcome: &Outcome, out: &mut impl Write) -> io::Result<()> {
    for v in outcome.verdicts() {
        writeln!(
            out,
            "edf at {}x: High {:.1} % on time, alone {:.1} % ({}); useful work {:.1} % ({}); {} started late",
            v.load,
            v.high * 100.0,
            v.alone * 100.0,
            if v.high_kept() { "kept" } else { "more than a point behind" },
            v.useful * 100.0,
            if v.work_useful() { "95 % reached" } else { "below 95 %" },
            v.started_expired
        )?;
    }
    Ok(())
}
