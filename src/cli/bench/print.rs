//! The table that people read.

use std::io::{self, Write};

use comfy_table::presets::UTF8_HORIZONTAL_ONLY;
use comfy_table::{CellAlignment, Table, TableComponent};

use super::measured::ClassMeasured;
use super::outcome::Outcome;
use super::ran;
use super::spread::{Spread, median};

/// The columns; a class of the mix that a result has not is left out.
pub(super) fn header(outcome: &Outcome) -> Vec<String> {
    let mut header = vec!["load".to_owned(), who(outcome).to_owned()];
    for (i, class) in outcome.classes().iter().enumerate() {
        header.push(if i == 0 { format!("{} on time", title(class)) } else { title(class) });
    }
    let first = outcome.classes().first().map(|c| title(c)).unwrap_or_default();
    header.push(format!("{first} p50 / p99 / p99.9"));
    if outcome.lab.is_ours() {
        header.extend(["useful work".to_owned(), "started late".to_owned()]);
    }
    header.push("void".to_owned());
    header
}

/// What the rows are of.
pub(super) fn who(outcome: &Outcome) -> &'static str {
    let batches = || outcome.subjects().iter().any(|s| s.starts_with("batches "));
    match outcome.lab.is_ours() {
        false => "target",
        true if batches() => "who",
        true => "policy",
    }
}

/// `high` as it stands in a sentence's place.
pub(super) fn title(class: &str) -> String {
    let mut letters = class.chars();
    letters.next().map_or_else(String::new, |c| c.to_uppercase().chain(letters).collect())
}

/// One row a load and subject.
pub(super) fn rows(outcome: &Outcome) -> Vec<Vec<String>> {
    let mut rows = Vec::new();
    for load in outcome.loads() {
        for subject in outcome.subjects() {
            if !outcome.rounds(load, &subject).is_empty() {
                rows.push(row(outcome, load, &subject));
            }
        }
    }
    rows
}

fn row(outcome: &Outcome, load: f64, subject: &str) -> Vec<String> {
    let rounds = outcome.rounds(load, subject);
    let classes = outcome.classes();
    let mut row = vec![format!("{load}x"), subject.to_owned()];
    for class in &classes {
        row.push(shares(&outcome.spread(load, subject, class, |c| c.on_time_share)));
    }
    let first = |f: fn(&ClassMeasured) -> f64| {
        let class = classes.first().map_or("", String::as_str);
        time(outcome.spread(load, subject, class, f).median)
    };
    row.push(format!(
        "{} / {} / {}",
        first(|c| c.p50_us),
        first(|c| c.p99_us),
        first(|c| c.p999_us)
    ));
    if outcome.lab.is_ours() {
        let useful = median(rounds.iter().filter_map(|r| r.useful));
        let started: u64 = rounds.iter().filter_map(|r| r.started_expired).sum();
        row.extend([format!("{:.1} %", useful * 100.0), started.to_string()]);
    }
    row.push(void(outcome, load, subject));
    row
}

/// How many of the runs are void; all of them is marked, because then what is shown is noise.
fn void(outcome: &Outcome, load: f64, subject: &str) -> String {
    let of = |r: &&super::Measured| r.subject == subject && r.load.total_cmp(&load).is_eq();
    let (all, void) = (outcome.runs.iter().filter(of).count(), outcome.voids().filter(of).count());
    match void {
        0 => "-".to_owned(),
        _ if void == all => format!("all {all}!"),
        _ => format!("{void} of {all}"),
    }
}

/// The median, and the quartiles where they are not the same figure.
fn shares(spread: &Spread) -> String {
    if spread.rounds == 0 {
        return "-".to_owned();
    }
    let [middle, low, high] = [spread.median, spread.q1, spread.q3].map(|s| s * 100.0);
    if high - low < 0.1 {
        format!("{middle:.1} %")
    } else {
        format!("{middle:.1} % ({low:.1}-{high:.1})")
    }
}

/// A time in microseconds with its unit.
pub(super) fn time(us: f64) -> String {
    match us {
        _ if us < 1_000.0 => format!("{us:.0}us"),
        _ if us < 1e6 => format!("{:.1}ms", us / 1e3),
        _ => format!("{:.1}s", us / 1e6),
    }
}

/// Prints what was measured.
pub(super) fn table(outcome: &Outcome, out: &mut impl Write) -> io::Result<()> {
    writeln!(out, "{}", outcome.lab)?;
    writeln!(out, "{}", saturation(outcome))?;
    for line in noise(outcome) {
        writeln!(out, "{line}")?;
    }
    writeln!(out, "{}", drawn(header(outcome), rows(outcome), 2))?;
    for line in legend(outcome).into_iter().chain(verdicts(outcome)) {
        writeln!(out, "{line}")?;
    }
    if ran::is_worth_showing(outcome) {
        writeln!(out, "{}", drawn(ran::header(outcome), ran::rows(outcome), 3))?;
        for line in ran::legend(outcome) {
            writeln!(out, "{line}")?;
        }
    }
    Ok(())
}

/// A table whose first `words` columns are words, and the others figures.
fn drawn(header: Vec<String>, rows: Vec<Vec<String>>, words: usize) -> Table {
    let columns = header.len();
    let mut table = Table::new();
    table
        .load_preset(UTF8_HORIZONTAL_ONLY)
        .remove_style(TableComponent::HorizontalLines)
        .remove_style(TableComponent::MiddleIntersections)
        .set_header(header);
    for row in rows {
        table.add_row(row);
    }
    for column in words..columns {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table
}

/// What counts as 1x, and how far the service is from the plainest one.
pub(super) fn saturation(outcome: &Outcome) -> String {
    let beside = outcome.capacity_ratio().map_or_else(String::new, |r| {
        format!(", {:.2} of a bare loop ({:.2}-{:.2})", r.median, r.q1, r.q3)
    });
    let limit = if outcome.generator_limited {
        "; the service answered all that one core could offer: it can do more"
    } else {
        ""
    };
    format!("saturation: {:.0} packets/s{beside}{limit}", outcome.saturation)
}

/// What the machine took while nobody worked, and the runs that it spoiled.
pub(super) fn noise(outcome: &Outcome) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for core in &outcome.noise.0 {
        lines.push(format!(
            "noise on core {}: {} gaps over 250us in {:.1} s, {:.2} % of the time, the longest {:.1} ms",
            core.core,
            core.gaps,
            core.watched.as_secs_f64(),
            core.share() * 100.0,
            core.longest.as_secs_f64() * 1e3
        ));
    }
    lines.push(voids(outcome));
    lines
}

/// How many runs are void, and what came of that.
pub(super) fn voids(outcome: &Outcome) -> String {
    let pairs = outcome.capacity.iter();
    let (void, all) = (
        outcome.voids().count() + pairs.clone().filter(|c| !c.sound).count(),
        outcome.runs.len() + pairs.len(),
    );
    let limit = outcome.stolen_limit * 100.0;
    if void == 0 {
        return format!("void runs: none of {all} lost more than {limit} % of its time");
    }
    let repeated = outcome.repeated;
    format!(
        "void runs: {void} of {all} lost more than {limit} % of their time; {repeated} were made again"
    )
}

/// What the words mean.
pub(super) fn legend(outcome: &Outcome) -> Vec<String> {
    let mut lines = vec![
        "on time: the client had the answer within its budget, counted from when the request was due; medians and \
         quartiles of the rounds"
            .to_owned(),
    ];
    if outcome.lab.is_ours() {
        lines.push("useful work: kernel time spent on packets that finished on time".to_owned());
    }
    lines
}

fn verdicts(outcome: &Outcome) -> Vec<String> {
    let first = outcome.classes().first().map(|c| title(c)).unwrap_or_default();
    let line = |v: super::outcome::Verdict| {
        format!(
            "{} at {}x: {first} {:.1} % on time{}; useful work {:.1} % ({}); {} started late",
            outcome.ours(),
            v.load,
            v.high * 100.0,
            v.alone.map_or_else(String::new, |alone| {
                let kept = if v.high_kept() { "kept" } else { "more than a point behind" };
                format!(", alone {:.1} % ({kept})", alone * 100.0)
            }),
            v.useful * 100.0,
            if v.work_useful() { "95 % reached" } else { "below 95 %" },
            v.started_expired
        )
    };
    outcome.verdicts().into_iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::super::testing;
    use super::*;

    #[test]
    fn the_table_says_everything_and_marks_what_is_void() {
        let mut outcome = testing::outcome(&[0.9, 0.95, 0.99]);
        let text = |o: &Outcome| {
            let mut bytes = Vec::new();
            table(o, &mut bytes).expect("memory takes it");
            String::from_utf8(bytes).expect("UTF-8")
        };
        let plain = text(&outcome);
        for part in [
            "95.0 % (92.5-97.0)",
            "50us / 200us / 900us",
            "none of 9 lost more than 2 %",
            "0.95 of a bare loop",
            "edf at 2x: High 95.0 % on time, alone 99.0 % (more than a point behind)",
        ] {
            assert!(plain.contains(part), "{part} is missing in\n{plain}");
        }
        outcome.runs[1].void = Some("noise".to_owned());
        assert!(text(&outcome).contains("1 of 3"), "{}", text(&outcome));
        outcome.runs.iter_mut().for_each(|r| r.void = Some("noise".to_owned()));
        assert!(text(&outcome).contains("all 3!"), "{}", text(&outcome));
    }
}
