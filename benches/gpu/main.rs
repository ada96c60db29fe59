//! What a GPU costs and is worth, on the machine that it is in: one run, one report.
//!
//! `cargo bench --features gpu --bench gpu`; `-- --quick` is a short run, `-- --allow-software` lets a software adapter stand in
//! (its figures say nothing of a GPU). Ends with 2 where there is no adapter, with 1 where a result is wrong.

mod faults;
mod mlp;
mod nets;
mod raw;
mod times;
mod trips;

use std::process::ExitCode;
use std::time::Instant;

use punctual::base::Nanos;
use punctual::kernel::gpu::Options;
use punctual::kernel::gpu::adapter::{self, Kind};

/// How thorough a run is.
#[derive(Clone, Copy)]
pub(crate) struct Pace {
    /// Round trips of a percentile.
    pub(crate) trips: usize,
    /// Runs of a median.
    pub(crate) runs: usize,
    /// The largest batch.
    pub(crate) rows_max: usize,
    /// The largest transfer, in bytes.
    pub(crate) transfer_max: usize,
}

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let asked = |name: &str| args.iter().any(|a| a == name);
    let allow_software = asked("--allow-software");
    let quick = asked("--quick");
    let pace = if quick {
        Pace { trips: 500, runs: 9, rows_max: 512, transfer_max: 1 << 20 }
    } else {
        Pace { trips: 10_000, runs: 41, rows_max: 65_532, transfer_max: 16 << 20 }
    };
    let start = Instant::now();
    let all = adapter::look();
    println!("looking for adapters: {:.1} ms", start.elapsed().as_secs_f64() * 1e3);
    for found in &all {
        println!("  {found}\n    features: {}", found.features.join(", "));
    }
    let Some(taken) = all.first().filter(|f| allow_software || f.kind != Kind::Software) else {
        println!("SKIPPED everything: no GPU here (--allow-software takes a software adapter)");
        return ExitCode::from(2);
    };
    println!("taken: {taken}");
    if taken.kind == Kind::Software {
        println!(
            "This is software: what follows shows that the program runs, and says nothing of a GPU."
        );
    }
    raw::report(taken, pace);
    let options = Options {
        allow_software,
        timed: true,
        rows_max: pace.rows_max,
        // The largest batches are for the table, not for a service.
        overdue: Nanos::from_secs(30),
        ..Options::default()
    };
    let right = mlp::report(options, pace);
    trips::report(options, pace);
    faults::report(options);
    println!(
        "\nNot measured: the same perceptron as a graph of the vendor's own interface, which is the ceiling."
    );
    if right { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
