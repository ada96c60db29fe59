//! The tables of a comparison: one for people, one for the docs.

use std::io::{self, Write};

use comfy_table::Table;
use comfy_table::presets::UTF8_HORIZONTAL_ONLY;

use crate::sim::queueing::compare::Cell;
use crate::sim::queueing::optimum::Row;

const HEADER: [&str; 10] = [
    "workload",
    "load",
    "policy",
    "on time",
    "of bound",
    "late",
    "dropped",
    "useful work",
    "p50 / p99 / p99.9 of each kind",
    "wrongful / broken",
];

/// The policy that a service would run.
const OURS: &str = "product";

fn percent(share: f64) -> String {
    format!("{:.1}", share * 100.0)
}

/// Value for the workload's kinds apart where there are several classes, else one number.
fn on_time(cell: &Cell) -> String {
    if cell.workload == "classes" {
        let each: Vec<String> = cell.kinds.iter().map(|k| percent(k.on_time)).collect();
        return each.join(" / ");
    }
    percent(cell.on_time)
}

/// Everything, one row a cell.
pub(super) fn table(cells: &[Cell], out: &mut impl Write) -> io::Result<()> {
    let mut table = Table::new();
    table.load_preset(UTF8_HORIZONTAL_ONLY).set_header(HEADER);
    for c in cells {
        let dropped = c.dropped.iter().map(|(why, share)| format!("{why} {}", percent(*share)));
        let times = c
            .kinds
            .iter()
            .map(|k| format!("{} {:.0} / {:.0} / {:.0} us", k.kind, k.p50_us, k.p99_us, k.p999_us));
        let honest = match (c.wrongful, c.broken) {
            (Some(wrongful), Some(broken)) => {
                format!("{:.2} / {:.3}", wrongful * 100.0, broken * 100.0)
            }
            _ => "-".to_owned(),
        };
        table.add_row([
            c.workload.to_owned(),
            format!("{}x", c.load),
            c.policy.to_owned(),
            on_time(c),
            percent(c.value / c.bound),
            percent(c.late),
            dropped.collect::<Vec<_>>().join("\n"),
            percent(c.useful),
            times.collect::<Vec<_>>().join("\n"),
            honest,
        ]);
    }
    writeln!(out, "{table}")?;
    writeln!(
        out,
        "shares in per cent of all jobs; of bound: value on time, by the most that any schedule can reach with sizes known"
    )
}

/// Every policy beside the exact optimum of short samples.
pub(super) fn optimum(rows: &[Row], left_out: &[&str], out: &mut impl Write) -> io::Result<()> {
    let mut table = Table::new();
    table.load_preset(UTF8_HORIZONTAL_ONLY).set_header([
        "workload",
        "load",
        "policy",
        "on time",
        "of optimum",
        "worst sample",
    ]);
    for row in rows {
        let (load, points) = (format!("{}x", row.load), (row.fluid - row.optimum) * 100.0);
        table.add_row([
            row.workload.to_owned(),
            load.clone(),
            format!("the optimum (the bound without end: {}, {points:+.1})", percent(row.fluid)),
            percent(row.optimum),
            percent(1.0),
            String::new(),
        ]);
        for kept in &row.policies {
            table.add_row([
                row.workload.to_owned(),
                load.clone(),
                kept.policy.to_owned(),
                percent(kept.on_time),
                percent(kept.of_optimum),
                percent(kept.worst),
            ]);
        }
    }
    writeln!(out, "{table}")?;
    if let Some(row) = rows.first() {
        let (samples, jobs) = (row.samples, row.jobs);
        writeln!(
            out,
            "{samples} samples of {jobs} jobs, each begun on an idle server; per cent of all jobs, and of what an optimal \
             schedule that interrupts at no cost has on time"
        )?;
    }
    if !left_out.is_empty() {
        let names = left_out.join(", ");
        writeln!(out, "left out, because its jobs are not worth the same: {names}")?;
    }
    Ok(())
}

/// Shares on time, a table a workload: policies by loads. Marks the best that knows no more than ours, and says where ours
/// is not it.
pub(super) fn markdown(cells: &[Cell], out: &mut impl Write) -> io::Result<()> {
    let mut workloads: Vec<&str> = cells.iter().map(|c| c.workload).collect();
    workloads.dedup();
    let mut lost = Vec::new();
    for w in workloads {
        let of: Vec<&Cell> = cells.iter().filter(|c| c.workload == w).collect();
        one(w, &of, &mut lost, out)?;
    }
    if !cells.iter().any(|c| c.policy == OURS) {
        return Ok(());
    }
    if lost.is_empty() {
        return writeln!(out, "`{OURS}` is beaten by no policy that knows no more than it does.");
    }
    writeln!(
        out,
        "Where `{OURS}` is beaten by more than half a point by a policy that knows no more:\n"
    )?;
    for line in lost {
        writeln!(out, "- {line}")?;
    }
    Ok(())
}

fn one(w: &str, cells: &[&Cell], lost: &mut Vec<String>, out: &mut impl Write) -> io::Result<()> {
    let mut loads: Vec<f64> = cells.iter().map(|c| c.load).collect();
    loads.dedup();
    let mut policies: Vec<&str> = Vec::new();
    for c in cells {
        if !policies.contains(&c.policy) {
            policies.push(c.policy);
        }
    }
    let at = |policy: &str, load: f64| {
        cells.iter().find(|c| c.policy == policy && c.load.total_cmp(&load).is_eq()).copied()
    };
    let head: Vec<String> = loads.iter().map(|l| format!("{l}x")).collect();
    writeln!(out, "## {w}\n\n| policy | {} |", head.join(" | "))?;
    writeln!(out, "|---|{}", "---|".repeat(loads.len()))?;
    let bound = loads.iter().filter_map(|l| cells.iter().find(|c| c.load.total_cmp(l).is_eq()));
    let bound: Vec<String> = bound.map(|c| percent(c.bound)).collect();
    writeln!(out, "| *bound, sizes known* | {} |", bound.join(" | "))?;
    for policy in policies {
        let row = loads.iter().map(|l| at(policy, *l).map_or_else(|| "-".to_owned(), on_time));
        writeln!(out, "| {policy} | {} |", row.collect::<Vec<_>>().join(" | "))?;
        for load in &loads {
            let pair = (at(policy, *load), at(OURS, *load));
            if let (Some(other), Some(ours)) = pair
                && !policy.contains("exact")
                && !policy.contains("ours")
                && !policy.contains(OURS)
                && policy != "mh-sliced"
                && other.value > ours.value + 0.005
            {
                lost.push(format!(
                    "{w} at {load}x: {policy} {} and {OURS} {}",
                    on_time(other),
                    on_time(ours)
                ));
            }
        }
    }
    writeln!(out)
}
