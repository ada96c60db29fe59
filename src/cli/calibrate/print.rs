//! What was found, for people and for programs.

use std::io::{self, Write};

use comfy_table::{CellAlignment, Table, presets};
use serde_json::{Value, json};

use super::{Found, lacking};
use crate::base::Nanos;
use crate::cli::options::level_options;
use crate::config::Settings;
use crate::level::{Choice, Leveller, Offer, elements};

/// Batches that are printed.
const ROWS: [u32; 4] = [1, 8, 32, 64];

pub(super) fn all(
    found: &[Found],
    settings: &Settings,
    as_json: bool,
    cpu: &str,
    out: &mut impl Write,
) -> io::Result<()> {
    if as_json {
        writeln!(out, "{}", to_json(found, settings, cpu))
    } else {
        text(found, settings, cpu, out)
    }
}

/// The kernels' names, each once, in their order.
fn kernels(found: &[Found]) -> Vec<&str> {
    let mut names: Vec<&str> = found.iter().map(|f| f.pair.kernel.as_str()).collect();
    names.dedup();
    names
}

/// Where a batch of `rows` of that kernel would run with time enough, by the rules of the config.
fn chosen(found: &[Found], settings: &Settings, kernel: &str, rows: u32) -> Option<&'static str> {
    let of_it = || found.iter().filter(|f| f.pair.kernel == kernel);
    let offer = |f: &Found| Offer {
        backend: f.pair.backend,
        work: f.model.predict(rows),
        work_high: f.model.predict_high(rows),
        work_low: f.model.predict_low(rows),
        transfer: Nanos::ZERO,
        wait: Nanos::ZERO,
        open: true,
    };
    let offers: Vec<Offer> = of_it().map(offer).collect();
    let size = elements(&of_it().next()?.pair.spec, rows, of_it().next()?.pair.payload);
    let options = level_options(settings).choose;
    match Leveller::new(options).choose(&offers, size, Nanos::MAX) {
        Choice::Run(backend, _) => Some(backend.word()),
        Choice::Late | Choice::Rejected => None,
    }
}

#[expect(clippy::cast_precision_loss, reason = "printed to three digits")]
fn ns(f: &Found, rows: u32) -> f64 {
    f.model.measured_ps(rows) as f64 / 1e3
}

/// Nanoseconds that a row costs in a large batch.
fn ns_a_row(f: &Found) -> f64 {
    ns(f, 64) / 64.0
}

fn text(found: &[Found], settings: &Settings, cpu: &str, out: &mut impl Write) -> io::Result<()> {
    writeln!(out, "{cpu}, payloads in the cache, the least of several tries")?;
    for word in lacking() {
        writeln!(out, "{word}: this machine does not have it, SKIPPED")?;
    }
    let mut table = Table::new();
    table.load_preset(presets::NOTHING);
    let times = ROWS.map(|rows| format!("T({rows}) us"));
    let header = ["kernel".to_owned(), "payload".to_owned(), "backend".to_owned()].into_iter();
    let errors = ["ns a row", "worst error", "mean", "runs as"].map(str::to_owned);
    table.set_header(header.chain(times).chain(errors));
    for f in found {
        let head = [
            f.pair.kernel.clone(),
            format!("{} B", f.pair.payload),
            f.pair.backend.word().to_owned(),
        ];
        let times = ROWS.map(|rows| format!("{:.2}", ns(f, rows) / 1e3));
        let (worst, mean) = f.error.map_or_else(
            || ("kept".to_owned(), String::new()),
            |e| {
                let worst = format!("{:+.1} % at {}", 100.0 * e.worst, e.rows);
                (worst, format!("{:.1} %", 100.0 * e.mean))
            },
        );
        let tail = [format!("{:.1}", ns_a_row(f)), worst, mean, f.pair.runs_as.clone()];
        table.add_row(head.into_iter().chain(times).chain(tail));
    }
    for column in 3..=9 {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    writeln!(out, "{}", table.trim_fmt())?;
    for kernel in kernels(found) {
        if found.iter().filter(|f| f.pair.kernel == kernel).count() == 1 {
            writeln!(out, "{kernel}: has one form here, nothing to choose")?;
            continue;
        }
        let said = ROWS.map(|rows| {
            format!("{rows}: {}", chosen(found, settings, kernel, rows).unwrap_or("none"))
        });
        writeln!(out, "{kernel}: chosen by rows {}", said.join(", "))?;
    }
    out.flush()
}

fn to_json(found: &[Found], settings: &Settings, cpu: &str) -> Value {
    let pair = |f: &Found| {
        let error = f.error.map(|e| json!({ "worst": e.worst, "rows": e.rows, "mean": e.mean }));
        json!({
            "kernel": f.pair.kernel,
            "kind": f.pair.spec.kind(),
            "fingerprint": format!("{:016x}", f.pair.spec.fingerprint()),
            "payload": f.pair.payload,
            "backend": f.pair.backend.word(),
            "runs_as": f.pair.runs_as,
            "run_rows": f.model.run(),
            "ns": ROWS.map(|rows| json!({ "rows": rows, "ns": ns(f, rows) })),
            "ns_a_row": ns_a_row(f),
            "error": error,
        })
    };
    let choice = |kernel: &&str| {
        let rows = ROWS
            .map(|rows| json!({ "rows": rows, "backend": chosen(found, settings, kernel, rows) }));
        json!({ "kernel": kernel, "by_rows": rows })
    };
    json!({
        "version": 1,
        "cpu": cpu,
        "build": env!("CARGO_PKG_VERSION"),
        "lacking": lacking().collect::<Vec<_>>(),
        "pairs": found.iter().map(pair).collect::<Vec<_>>(),
        "chosen": kernels(found).iter().map(choice).collect::<Vec<_>>(),
    })
}
