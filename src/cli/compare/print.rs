//! The comparison as people read it: what gates and what changed, each with its spread.
//!
//! Knows no rule.

use std::io::{self, Write};

use comfy_table::presets::UTF8_HORIZONTAL_ONLY;
use comfy_table::{CellAlignment, Table, TableComponent};

use super::comparison::{Comparison, Row};
use super::rule::Verdict;
use crate::cli::bench::Spread;
use crate::report::short_time;

const HEADER: [&str; 8] =
    ["load", "policy", "class", "figure", "before (quartiles)", "now (quartiles)", "change", ""];

/// Prints the comparison.
pub(in crate::cli) fn table(comparison: &Comparison, out: &mut impl Write) -> io::Result<()> {
    let mut table = Table::new();
    table
        .load_preset(UTF8_HORIZONTAL_ONLY)
        .remove_style(TableComponent::HorizontalLines)
        .remove_style(TableComponent::MiddleIntersections)
        .set_header(HEADER);
    let shown = |r: &&Row| r.gate || r.verdict != Verdict::Same;
    for row in comparison.rows.iter().filter(shown) {
        table.add_row(cells(row));
    }
    for column in 4..7 {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    writeln!(out, "{table}")?;
    for note in &comparison.notes {
        writeln!(out, "note: {note}")?;
    }
    let threshold = comparison.threshold * 100.0;
    writeln!(
        out,
        "change: of the figure beside its control of the same round; counted beyond {threshold} % ({} points on time) \
         and only when at least 95 of 100 pairs of rounds agree; * gates",
        threshold * 0.2
    )?;
    let (compared, unsure) = (
        comparison.rows.iter().filter(|r| r.gate).count(),
        comparison.rows.iter().filter(|r| r.gate && r.verdict == Verdict::Unsure).count(),
    );
    writeln!(
        out,
        "{} of {compared} figures that gate are worse; {unsure} unsure",
        comparison.regressions
    )
}

fn cells(row: &Row) -> [String; 8] {
    let word = row.verdict.word();
    [
        row.load.map_or_else(|| "-".to_owned(), |l| format!("{l}x")),
        row.subject.clone(),
        row.class.clone(),
        row.metric.to_owned(),
        spread(row, &row.before),
        spread(row, &row.now),
        change(row),
        if row.gate { format!("{word} *") } else { word.to_owned() },
    ]
}

fn change(row: &Row) -> String {
    let percent = row.change * 100.0;
    let unit = if row.points { "points" } else { "%" };
    format!("{percent:+.1} {unit}")
}

fn spread(row: &Row, spread: &Spread) -> String {
    let value = |v: f64| match (row.points, row.load) {
        (true, _) => format!("{:.1} %", v * 100.0),
        (false, _) if row.is_capacity() => format!("{v:.0}"),
        (false, None) => format!("{v:.0}"),
        (false, Some(_)) => short_time(v),
    };
    format!("{} ({} – {})", value(spread.median), value(spread.q1), value(spread.q3))
}
