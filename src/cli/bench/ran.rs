//! Who ran what, as rows for people: the table in the terminal and the one on the page.
//!
//! Knows no measurement.

use std::collections::{BTreeMap, BTreeSet};

use super::backends::{Backends, Choice, Gpu};
use super::measured::Measured;
use super::outcome::Outcome;
use super::spread::Spread;

/// Who runs, in the order of their rows.
const ALL: [&str; 3] = ["cpu", "helper", "gpu"];
/// Of a batch that nobody was to serve.
const NOBODY: &str = "none";

/// Whether there is more to say than that the worker's core did its busy work.
pub(super) fn is_worth_showing(outcome: &Outcome) -> bool {
    let known = || outcome.runs.iter().filter_map(|r| r.backends.as_ref());
    let beside = |b: &Backends| b.gpu.is_some() || b.ran.iter().any(|r| r.backend != ALL[0]);
    known().next().is_some() && (outcome.lab.service.is_none() || known().any(beside))
}

/// The columns; those of a GPU only where there was one.
pub(super) fn header(outcome: &Outcome) -> Vec<String> {
    let mut header =
        vec!["load", super::print::who(outcome), "run by", "rows", "share", "rows a batch"];
    if has_gpu(outcome) {
        header.extend(["chosen because", "breaker", "of its time, transfer"]);
    }
    header.into_iter().map(str::to_owned).collect()
}

fn has_gpu(outcome: &Outcome) -> bool {
    outcome.runs.iter().any(|r| r.backends.as_ref().is_some_and(|b| b.gpu.is_some()))
}

/// One row a load, subject and backend.
pub(super) fn rows(outcome: &Outcome) -> Vec<Vec<String>> {
    let mut all = Vec::new();
    for load in outcome.loads() {
        for subject in outcome.subjects() {
            let rounds = outcome.rounds(load, &subject);
            let seen: Vec<&Backends> = rounds.iter().filter_map(|r| r.backends.as_ref()).collect();
            for backend in ALL {
                let Some(mut row) = row(outcome, &seen, backend) else { continue };
                let head = || vec![format!("{load}x"), subject.clone()];
                let columns = row.len();
                let mut whole = head();
                whole.append(&mut row);
                all.push(whole);
                for mut of in of_kernels(&seen, backend) {
                    of.resize(columns, "-".to_owned());
                    all.push(head().into_iter().chain(of).collect());
                }
            }
        }
    }
    all
}

fn row(outcome: &Outcome, seen: &[&Backends], backend: &str) -> Option<Vec<String>> {
    let gpu: Vec<&Gpu> = seen.iter().filter_map(|b| b.gpu.as_ref()).collect();
    let sum = |f: fn(&super::backends::Ran) -> u64| -> u64 {
        seen.iter().filter_map(|b| b.by(backend)).map(f).sum()
    };
    let (rows, batches) = (sum(|r| r.rows), sum(|r| r.batches));
    let is_gpu = backend == ALL[2] && !gpu.is_empty();
    // Of a GPU that ran nothing is shown why, where anything could have gone there.
    let reasons = reasons(seen, backend);
    if rows == 0 && !(is_gpu && reasons.is_some()) {
        return None;
    }
    let who = match gpu.first() {
        Some(gpu) if is_gpu => format!("gpu: {}", short(&gpu.device)),
        _ if backend == ALL[0] => format!("cpu: {}", outcome.lab.forms().join(", ")),
        _ => backend.to_owned(),
    };
    let mean = if batches == 0 { "-".to_owned() } else { format!("{:.1}", ratio(rows, batches)) };
    let share = format!("{:.1} %", share(seen, backend).median * 100.0);
    let mut row = vec![who, rows.to_string(), share, mean];
    if has_gpu(outcome) {
        row.push(reasons.unwrap_or_else(|| "-".to_owned()));
        row.extend(if is_gpu {
            [breaker(&gpu), transfer(&gpu)]
        } else {
            ["-", "-"].map(str::to_owned)
        });
    }
    Some(row)
}

/// What of a backend's work was of which kernel, a row each, where it ran several: of all rounds.
fn of_kernels(seen: &[&Backends], backend: &str) -> Vec<Vec<String>> {
    let mut sums: BTreeMap<&str, (u64, u64)> = BTreeMap::new();
    for of in seen.iter().filter_map(|b| b.by(backend)).flat_map(|r| &r.kernels) {
        let (rows, batches) = sums.entry(&of.kernel).or_default();
        (*rows, *batches) = (*rows + of.rows, *batches + of.batches);
    }
    if sums.len() < 2 {
        return Vec::new();
    }
    let all: u64 = seen.iter().map(|b| b.rows()).sum();
    let row = |(kernel, (rows, batches)): (&str, (u64, u64))| {
        let share = format!("{:.1} %", ratio(rows, all) * 100.0);
        vec![format!("- {kernel}"), rows.to_string(), share, format!("{:.1}", ratio(rows, batches))]
    };
    sums.into_iter().map(row).collect()
}

/// The part of all datagrams that a backend ran, over the rounds.
pub(super) fn share(seen: &[&Backends], backend: &str) -> Spread {
    let of = |b: &&Backends| {
        let rows = b.by(backend).map_or(0, |r| r.rows);
        if b.rows() == 0 { 0.0 } else { ratio(rows, b.rows()) }
    };
    Spread::of(seen.iter().map(of))
}

/// The mean size of the batches of a backend, over the rounds in which it ran any.
pub(super) fn batch(rounds: &[&Measured], backend: &str) -> Spread {
    let of = |r: &&Measured| {
        let ran = r.backends.as_ref()?.by(backend)?;
        (ran.batches > 0).then(|| ratio(ran.rows, ran.batches))
    };
    Spread::of(rounds.iter().filter_map(of))
}

/// A device's own name, without its driver's, which is as long as the rest of a row.
fn short(device: &str) -> &str {
    device.split(" (").next().unwrap_or(device)
}

/// `pays 300, only_in_time 5`: batches of all rounds, the most frequent first; none where there were none.
fn reasons(seen: &[&Backends], backend: &str) -> Option<String> {
    let mine = |c: &&Choice| c.backend == backend || backend == ALL[2] && c.backend == NOBODY;
    let mut counts: BTreeMap<&str, u64> = BTreeMap::new();
    for choice in seen.iter().flat_map(|b| &b.choices).filter(mine) {
        *counts.entry(&choice.reason).or_default() += choice.batches;
    }
    let mut counts: Vec<_> = counts.into_iter().collect();
    counts.sort_by_key(|(_, n)| std::cmp::Reverse(*n));
    let words: Vec<String> = counts.iter().map(|(reason, n)| format!("{reason} {n}")).collect();
    (!words.is_empty()).then(|| words.join(", "))
}

/// The state at the end of the last round, and how often it was opened in all.
fn breaker(gpu: &[&Gpu]) -> String {
    let state = gpu.last().map_or("-", |g| g.breaker.as_str());
    let opened: u64 = gpu.iter().filter_map(|g| g.entered.get("open")).sum();
    if opened == 0 { state.to_owned() } else { format!("{state}, opened {opened} times") }
}

fn transfer(gpu: &[&Gpu]) -> String {
    let sum = |f: fn(&Gpu) -> f64| -> f64 { gpu.iter().map(|g| f(g)).sum() };
    let (busy, transfer) = (sum(|g| g.busy_s), sum(|g| g.transfer_s));
    if busy > 0.0 { format!("{:.1} %", transfer / busy * 100.0) } else { "-".to_owned() }
}

#[expect(clippy::cast_precision_loss, reason = "shown with one digit after the point")]
fn ratio(part: u64, whole: u64) -> f64 {
    part as f64 / whole.max(1) as f64
}

/// What the words mean.
pub(super) fn legend(outcome: &Outcome) -> Vec<String> {
    let mut lines = vec![
        "run by: rows are datagrams, of all rounds that count; a share is of what was run, the median of the rounds".to_owned(),
    ];
    if has_gpu(outcome) {
        lines.push(
            "chosen because: batches that might have gone to the GPU, by who got them and why (docs/leveling.md)".to_owned(),
        );
        let all = outcome.runs.iter().filter_map(|r| r.backends.as_ref()?.gpu.as_ref());
        let devices: BTreeSet<&str> = all.map(|gpu| gpu.device.as_str()).collect();
        lines.extend(devices.iter().map(|device| format!("gpu: {device}")));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::super::backends::{OfKernel, Ran};
    use super::super::testing;
    use super::*;

    fn ran(all: &[(&str, u64, u64)]) -> Vec<Ran> {
        let one = |(backend, rows, batches): &(&str, u64, u64)| Ran {
            backend: (*backend).to_owned(),
            rows: *rows,
            batches: *batches,
            kernels: Vec::new(),
        };
        all.iter().map(one).collect()
    }

    #[test]
    fn a_row_says_who_ran_how_much_in_what_batches_and_why() {
        let mut outcome = testing::outcome(&[0.9, 0.8]);
        assert!(!is_worth_showing(&outcome) && rows(&outcome).is_empty(), "as in an older file");
        let choice = |backend: &str, reason: &str, batches| Choice {
            backend: backend.to_owned(),
            reason: reason.to_owned(),
            batches,
        };
        let gpu = Gpu {
            device: "a card (a driver of its own)".to_owned(),
            breaker: "half_open".to_owned(),
            entered: [("open".to_owned(), 2)].into(),
            busy_s: 2.0,
            transfer_s: 0.5,
        };
        for run in outcome.runs.iter_mut().filter(|r| r.subject == "edf") {
            let more = u64::from(run.round) * 20;
            run.backends = Some(Backends {
                ran: ran(&[("cpu", 60 - more, 30), ("gpu", 40 + more, 2)]),
                choices: vec![
                    choice("gpu", "pays", 3),
                    choice("gpu", "trial", 4),
                    choice("cpu", "late", 1),
                ],
                gpu: Some(gpu.clone()),
            });
        }
        assert!(is_worth_showing(&outcome));
        let shown = rows(&outcome);
        assert_eq!(shown.len(), 2, "High alone has no figures: {shown:?}");
        assert_eq!(shown[0], ["2x", "edf", "cpu: ", "100", "50.0 %", "1.7", "late 2", "-", "-"]);
        let there = ["2x", "edf", "gpu: a card", "100", "50.0 %", "25.0", "trial 8, pays 6"];
        assert_eq!(shown[1][..7], there);
        assert_eq!(shown[1][7..], ["half_open, opened 4 times", "25.0 %"]);
        assert_eq!(header(&outcome).len(), shown[0].len());
        assert_eq!(legend(&outcome).last().unwrap(), "gpu: a card (a driver of its own)");
        // A policy under which nothing goes to a GPU has no row of it; one that only refused it says why.
        for run in outcome.runs.iter_mut().filter(|r| r.subject == "edf") {
            let seen = run.backends.as_mut().unwrap();
            (seen.ran, seen.choices) = (ran(&[("cpu", 60, 30)]), Vec::new());
        }
        assert_eq!(rows(&outcome).len(), 1);
        for run in outcome.runs.iter_mut().filter(|r| r.subject == "edf") {
            run.backends.as_mut().unwrap().choices = vec![choice(NOBODY, "rejected", 2)];
        }
        assert_eq!(rows(&outcome)[1][3..7], ["0", "0.0 %", "-", "rejected 4"]);
    }

    #[test]
    fn several_kernels_have_a_row_each() {
        let mut outcome = testing::outcome(&[0.9, 0.8]);
        let of =
            |kernel: &str, rows, batches| OfKernel { kernel: kernel.to_owned(), rows, batches };
        let mut mine = ran(&[("cpu", 100, 30)]);
        mine[0].kernels = vec![of("short", 80, 20), of("long", 20, 10)];
        for run in outcome.runs.iter_mut().filter(|r| r.subject == "edf") {
            run.backends = Some(Backends { ran: mine.clone(), ..Backends::default() });
        }
        let shown = rows(&outcome);
        assert_eq!(shown.len(), 3, "{shown:?}");
        assert_eq!(shown[1], ["2x", "edf", "- long", "40", "20.0 %", "2.0"]);
        assert_eq!(shown[2], ["2x", "edf", "- short", "160", "80.0 %", "4.0"]);
        mine[0].kernels.pop();
        for run in outcome.runs.iter_mut().filter(|r| r.subject == "edf") {
            run.backends = Some(Backends { ran: mine.clone(), ..Backends::default() });
        }
        assert_eq!(rows(&outcome).len(), 1, "one alone is the row above");
    }

    #[test]
    fn without_a_gpu_there_are_no_columns_of_one() {
        let mut outcome = testing::outcome(&[0.9]);
        outcome.runs[1].backends =
            Some(Backends { ran: ran(&[("cpu", 7, 7)]), ..Backends::default() });
        assert!(!is_worth_showing(&outcome), "busy work on its own core is nothing new");
        outcome.lab.service = None;
        assert!(is_worth_showing(&outcome));
        assert_eq!(rows(&outcome)[0][3..], ["7", "100.0 %", "1.0"]);
        assert_eq!(header(&outcome).len(), 6);
    }
}
