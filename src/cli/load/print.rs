//! The report as people read it.

use std::fmt::Write as _;

use comfy_table::{CellAlignment, Table, presets};

use crate::base::Nanos;
use crate::load::{ClassReport, Latencies, Omitted, Progress, Report, Sends};

/// What else there is to say about a run, beside its figures.
pub(super) fn notes(report: &Report) -> Vec<String> {
    let mut notes = Vec::new();
    let generator = &report.generator;
    if generator.late > 0 {
        notes.push(format!(
            "{}the generator itself was late: {} of its packets left more than {} after their time, the worst {} after. \
             Latency is counted from the intended time and includes that.",
            if generator.is_too_late() { "this result does not stand: " } else { "" },
            percent(generator.late_share()),
            generator.late_after,
            time(generator.lateness.max())
        ));
    }
    if generator.held > 0 {
        notes.push(format!(
            "{} packets left late because as many as the window allows were waiting",
            generator.held
        ));
    }
    if report.gave_up {
        notes.push(format!(
            "the generator could not offer {:.0} packets/s and gave up the rest of the plan; {:.0} packets/s left",
            report.rate, report.offered_rate
        ));
    }
    if report.interrupted {
        notes.push("stopped before its time".to_owned());
    }
    if let Some(omitted) = &report.omitted {
        notes.extend(omitted_notes(omitted));
    }
    for class in &report.classes {
        notes.extend(class_notes(class).into_iter().map(|n| format!("{}: {n}", class.name)));
    }
    notes
}

fn omitted_notes(omitted: &Omitted) -> Vec<String> {
    let counts = [
        (omitted.answers, "datagrams of the capture answer others, and were left out"),
        (omitted.elsewhere, "datagrams of the capture go to other ports, and were left out"),
        (omitted.fragments, "fragments of the capture were left out"),
        (omitted.others, "packets of the capture are no UDP"),
        (omitted.cut_short, "datagrams were captured in part; the rest of each is zeros"),
        (omitted.shared, "sources of the capture share a local socket with another one (--flows)"),
    ];
    let told = counts.iter().filter(|(n, _)| *n > 0).map(|(n, what)| format!("{n} {what}"));
    let cut = omitted.cut_off.then(|| "the capture is cut off in the middle".to_owned());
    told.chain(cut).collect()
}

fn class_notes(c: &ClassReport) -> Vec<String> {
    let mut notes = Vec::new();
    if c.sent > 0 && c.answered + c.refused_total() == 0 && !c.one_way {
        notes.push(if c.unknown > 0 {
            "answers came, but none that belongs to a request: does the ingress speak the same framing (--framed, --raw)?"
                .to_owned()
        } else {
            format!("no answer came from {}", c.to)
        });
    } else if c.unknown > 0 {
        notes.push(format!("{} datagrams answered nothing that was waiting", c.unknown));
    }
    for (count, what) in [
        (c.unsent, "packets were not taken by this machine's own network stack"),
        (c.lost_to_window, "requests were given up because too many waited for an answer"),
        (c.duplicates, "requests were answered twice"),
        (c.ambiguous, "answers fitted several requests, and were given to one of them"),
        (c.receive_drops, "answers were dropped by the load generator's own receive buffers"),
        (c.marked_late, "answers were late by the service's own clock"),
    ] {
        if count > 0 {
            notes.push(format!("{count} {what}"));
        }
    }
    notes
}

/// The tables and the notes. `color` only marks the notes.
pub(super) fn text(report: &Report, color: bool) -> String {
    let mut out = String::new();
    let _ = writeln!(
        out,
        "offered {:.0} packets/s of {:.0} for {:.2} s ({}, seed {}), answered {:.0}/s",
        report.offered_rate,
        report.rate,
        report.seconds,
        report.arrivals,
        report.seed,
        report.answered_rate
    );
    let _ = writeln!(out, "{}", sending(report.gso, &report.sends));
    let _ = writeln!(out, "{}\n{}", counts(report), latencies(report));
    if !report.stretches.is_empty() {
        let _ = writeln!(out, "{}", stretches(report));
    }
    for class in &report.classes {
        for (reason, n) in class.refusals() {
            let _ = writeln!(out, "{} refused: {n} {reason}", class.name);
        }
        for (code, n) in class.rcode_counts() {
            let _ = writeln!(out, "{} answered: {n} {code}", class.name);
        }
    }
    for note in notes(report) {
        let (on, off) = if color { ("\x1b[33m", "\x1b[0m") } else { ("", "") };
        let _ = writeln!(out, "{on}note:{off} {note}");
    }
    out
}

/// By GSO or singly.
fn sending(gso: bool, sends: &Sends) -> String {
    match sends {
        Sends { trains: 0, sends, .. } => {
            let why = if gso { "no two of one flow and size were due together" } else { "GSO off" };
            format!("sent singly: {sends} sends ({why})")
        }
        Sends { sends, trains, in_trains } => format!(
            "sent by GSO: {in_trains} packets in {trains} trains, {} singly",
            sends - trains
        ),
    }
}

fn stretches(report: &Report) -> Table {
    let header = ["stretch", "rate", "sent", "answered", "on time", "", "p50", "p99", "raw p99"];
    let mut table = table(header);
    for s in &report.stretches {
        let (from, to) = (s.stretch.from, s.stretch.to);
        let steady = (from - to).abs() < 1e-9;
        table.add_row([
            s.stretch.length.to_string(),
            if steady { format!("{from:.0}") } else { format!("{from:.0}..{to:.0}") },
            s.sent.to_string(),
            s.answered.to_string(),
            s.on_time.to_string(),
            percent(if s.sent == 0 { 0.0 } else { per(s.on_time, per(s.sent, 1.0)) }),
            time(s.corrected.at(0.5)),
            time(s.corrected.at(0.99)),
            time(s.raw.at(0.99)),
        ]);
    }
    table
}

fn table<const N: usize>(header: [&str; N]) -> Table {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING).set_header(header);
    for (i, column) in table.column_iter_mut().enumerate() {
        let side = if i == 0 { CellAlignment::Left } else { CellAlignment::Right };
        column.set_cell_alignment(side);
    }
    table
}

fn counts(report: &Report) -> Table {
    let mut table =
        table(["class", "budget", "sent", "answered", "on time", "", "late", "refused", "lost"]);
    for c in &report.classes {
        table.add_row([
            c.name.clone(),
            c.budget.to_string(),
            c.sent.to_string(),
            c.answered.to_string(),
            c.on_time.to_string(),
            percent(c.on_time_share()),
            c.late().to_string(),
            c.refused_total().to_string(),
            c.lost().to_string(),
        ]);
    }
    table
}

fn latencies(report: &Report) -> Table {
    let mut table = table(["latency", "counted from", "p50", "p90", "p99", "p99.9", "max"]);
    let mut add = |name: &str, from: &str, l: &Latencies| {
        let at = |q| time(l.at(q));
        let row = [at(0.5), at(0.9), at(0.99), at(0.999), time(l.max())];
        let dashes = std::array::from_fn(|_| "-".to_owned());
        let row = if l.count() > 0 { row } else { dashes };
        table.add_row([name.to_owned(), from.to_owned()].into_iter().chain(row));
    };
    for c in &report.classes {
        add(&c.name, "intended send", &c.corrected);
        add("", "actual send", &c.raw);
    }
    add("(generator)", "own lateness", &report.generator.lateness);
    table
}

/// One line of progress; `before` is the last that was shown.
pub(super) fn progress(now: &Progress, before: Option<&Progress>) -> String {
    let (sent, answered, elapsed) =
        before.map_or((0, 0, Nanos::ZERO), |b| (b.sent, b.answered, b.elapsed));
    let seconds = now.elapsed.saturating_sub(elapsed).as_secs_f64().max(1e-9);
    format!(
        "{:5.1} s  sent {:.0}/s  answered {:.0}/s  on time {}  refused {}  waiting {}  sent late {}",
        now.elapsed.as_secs_f64(),
        per(now.sent - sent, seconds),
        per(now.answered - answered, seconds),
        percent(if now.sent == 0 { 0.0 } else { per(now.on_time, per(now.sent, 1.0)) }),
        now.refused,
        now.waiting,
        now.sent_late
    )
}

#[expect(clippy::cast_precision_loss, reason = "for reading only")]
fn per(count: u64, whole: f64) -> f64 {
    count as f64 / whole
}

/// `99.95 %`; never rounded up to 100.
pub(super) fn percent(share: f64) -> String {
    format!("{:.2} %", (share * 1e4).floor() / 1e2)
}

/// Four significant digits in the unit that suits.
pub(super) fn time(span: Nanos) -> String {
    let ns = span.as_secs_f64() * 1e9;
    let (value, unit) = match ns {
        _ if ns < 1e3 => (ns, "ns"),
        _ if ns < 1e6 => (ns / 1e3, "us"),
        _ if ns < 1e9 => (ns / 1e6, "ms"),
        _ => (ns / 1e9, "s"),
    };
    let digits = if value < 10.0 { 2 } else { usize::from(value < 100.0) };
    format!("{value:.digits$} {unit}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_short_and_never_flatter() {
        assert_eq!(percent(0.999_999), "99.99 %");
        assert_eq!(percent(1.0), "100.00 %");
        assert_eq!(time(Nanos::new(9_120)), "9.12 us");
        assert_eq!(time(Nanos::new(45_600_000)), "45.6 ms");
        assert_eq!(time(Nanos::from_secs(120)), "120 s");
    }

    #[test]
    fn progress_shows_the_rates_since_the_last_line() {
        let at = |s, n| Progress {
            elapsed: Nanos::from_secs(s),
            sent: n,
            answered: n / 2,
            on_time: n / 4,
            ..Progress::default()
        };
        let line = progress(&at(2, 30_000), Some(&at(1, 10_000)));
        assert!(line.contains("sent 20000/s") && line.contains("answered 10000/s"), "{line}");
        assert!(line.contains("on time 25.00 %"), "{line}");
    }
}
