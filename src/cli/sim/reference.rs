//! `punctual sim --reference`: what theory and papers say, beside what the simulator does, with progress meanwhile.
//!
//! Knows no formula: `sim::queueing::reference` has them all.

use std::io::Write as _;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use comfy_table::presets::UTF8_BORDERS_ONLY;
use comfy_table::{CellAlignment, Table};
use indicatif::ProgressBar;

use crate::cli::exit;
use crate::sim::queueing::reference::{self, Finding, Limit};

/// Runs all checks and prints them; the answer is the exit code.
pub(super) fn run(seed: u64, json: bool) -> std::io::Result<u8> {
    let findings = find(seed);
    let held = findings.iter().all(|f| f.holds);
    let mut out = std::io::stdout().lock();
    if json {
        let object =
            serde_json::json!({ "version": 1, "seed": seed, "held": held, "checks": findings });
        writeln!(out, "{object}")?;
    } else {
        writeln!(out, "{}", table(&findings))?;
        let missed = findings.iter().filter(|f| !f.holds).count();
        writeln!(out, "{} checks, {missed} missed; seed {seed}", findings.len())?;
    }
    Ok(if held { exit::DONE } else { exit::MISSED })
}

/// All findings, in the order of the checks, over as many threads as there are processors.
fn find(seed: u64) -> Vec<Finding> {
    let checks = reference::all();
    let bar: ProgressBar = super::compare::progress(checks.len());
    let next = AtomicUsize::new(0);
    let found = Mutex::new(Vec::new());
    let work = || {
        loop {
            let n = next.fetch_add(1, Ordering::Relaxed);
            let Some(check) = checks.get(n) else { return };
            bar.set_message(check.what.clone());
            let finding = check.run(seed);
            found.lock().unwrap_or_else(PoisonError::into_inner).push((n, finding));
            bar.inc(1);
        }
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 1..threads {
            scope.spawn(work);
        }
        work();
    });
    bar.finish_and_clear();
    let mut found = found.into_inner().unwrap_or_else(PoisonError::into_inner);
    found.sort_by_key(|(n, _)| *n);
    found.into_iter().map(|(_, finding)| finding).collect()
}

fn table(findings: &[Finding]) -> Table {
    let mut table = Table::new();
    table
        .load_preset(UTF8_BORDERS_ONLY)
        .set_header(["what", "expected", "found", "unit", "apart", "allowed", "", "by"]);
    for f in findings {
        table.add_row([
            f.what.clone(),
            format!("{:.4}", f.expected),
            format!("{:.4}", f.found),
            f.unit.to_owned(),
            apart(f),
            allowed(f.limit),
            if f.holds { "holds" } else { "MISSED" }.to_owned(),
            f.source.to_owned(),
        ]);
    }
    for column in [1, 2, 4] {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table
}

fn apart(f: &Finding) -> String {
    match f.limit {
        Limit::By(_) => format!("{:+.4}", f.found - f.expected),
        Limit::Part(_) | Limit::AtLeast | Limit::AtMost => {
            format!("{:+.2} %", (f.found / f.expected - 1.0) * 100.0)
        }
    }
}

fn allowed(limit: Limit) -> String {
    match limit {
        Limit::Part(part) => format!("{} %", part * 100.0),
        Limit::By(by) => by.to_string(),
        Limit::AtLeast => "at least".to_owned(),
        Limit::AtMost => "at most".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missed_is_marked_and_both_sides_are_shown() {
        let finding = |limit, found, holds| Finding {
            what: "a wait".to_owned(),
            source: "a book",
            unit: "us",
            expected: 2.0,
            found,
            limit,
            holds,
        };
        let all = [finding(Limit::Part(0.01), 2.1, false), finding(Limit::By(0.5), 2.25, true)];
        let text = table(&all).to_string();
        let line =
            |word: &str| text.lines().find(|l| l.contains(word)).unwrap_or_default().to_owned();
        for shown in ["2.0000", "2.1000", "+5.00 %", "1 %", "MISSED", "a book"] {
            assert!(line("MISSED").contains(shown), "{shown}: {text}");
        }
        for shown in ["2.2500", "+0.2500", "0.5", "us"] {
            assert!(line("holds").contains(shown), "{shown}: {text}");
        }
    }
}
