//! `punctual sim --compare`: which cells are run, and the progress meanwhile.
//!
//! Knows no policy: `sim::queueing` has them all.

use std::io::{IsTerminal as _, Write as _};

use indicatif::{ProgressBar, ProgressStyle};

use super::print;
use crate::base::Nanos;
use crate::sim::queueing::compare::{self, Cell, Pattern, Setup};
use crate::sim::queueing::optimum;
use crate::sim::workload::{Workload, by_name, names};

/// What a comparison is told.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct CompareArgs {
    /// Workloads: exp, det, lognormal, high-bimodal, extreme-bimodal, rocksdb, tpcc, mb995, mb50, trimodal, classes
    #[arg(
        long,
        value_delimiter = ',',
        value_name = "NAME,NAME",
        default_value = "exp,high-bimodal,extreme-bimodal,rocksdb,tpcc,classes"
    )]
    workload: Vec<String>,
    /// Loads, in multiples of what the servers can do: said for both ways to simulate.
    #[arg(skip)]
    pub(super) load: Vec<f64>,
    /// Only these policies; by default all
    #[arg(long, value_delimiter = ',', value_name = "NAME,NAME")]
    policies: Option<Vec<String>>,
    /// How jobs arrive: poisson, bursts, day, flood
    #[arg(long, value_name = "NAME", default_value = "poisson", value_parser = pattern)]
    arrivals: Pattern,
    /// Servers
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=1024))]
    servers: u16,
    /// Jobs a cell
    #[arg(long, default_value_t = 40_000, value_parser = clap::value_parser!(u32).range(100..))]
    jobs: u32,
    /// How long a job runs before the policy is asked again, where it may be asked
    #[arg(long, default_value = "5us", value_name = "TIME", value_parser = crate::cli::load::duration)]
    slice: Nanos,
    /// What that costs
    #[arg(long, default_value = "100ns", value_name = "TIME", value_parser = crate::cli::load::duration)]
    check: Nanos,
    /// Instead: that many samples of 100 jobs each, beside the exact optimum of each, interruptions free; on one server
    #[arg(long, value_name = "SAMPLES", requires = "compare", conflicts_with_all = ["markdown", "jobs"],
        value_parser = clap::value_parser!(u32).range(1..=10_000))]
    oracle: Option<u32>,
    /// Decides every draw: said for both ways to simulate.
    #[arg(skip)]
    pub(super) seed: u64,
    /// Print Markdown: the page in docs/
    #[arg(long, conflicts_with = "json")]
    markdown: bool,
}

fn pattern(name: &str) -> Result<Pattern, String> {
    match name {
        "poisson" => Ok(Pattern::Poisson),
        "bursts" => Ok(Pattern::Bursts),
        "day" => Ok(Pattern::Day),
        "flood" => Ok(Pattern::Flood),
        _ => Err("arrivals are poisson, bursts, day or flood".to_owned()),
    }
}

/// Why there is no table.
pub(super) enum Fault {
    /// The command line asks for what does not exist.
    Usage(String),
    /// It could not be written.
    Output(std::io::Error),
}

/// What is not known, what is, and what may have been meant.
fn unknown(what: &str, name: &str, known: &[&'static str]) -> Fault {
    let nearest = known.iter().min_by_key(|k| strsim::damerau_levenshtein(k, name));
    let nearest = nearest.map_or(String::new(), |n| format!(" (did you mean {n}?)"));
    Fault::Usage(format!("no {what} is called {name}{nearest}; there are {}", known.join(", ")))
}

impl CompareArgs {
    fn setup(&self) -> Setup {
        Setup {
            servers: usize::from(self.servers),
            jobs: self.jobs as usize,
            slice: self.slice,
            check: self.check,
            pattern: self.arrivals,
            seed: self.seed,
        }
    }

    fn workloads(&self) -> Result<Vec<Workload>, Fault> {
        let find = |name: &String| by_name(name).ok_or_else(|| unknown("workload", name, names()));
        self.workload.iter().map(find).collect()
    }

    fn policies(&self, of: &Workload) -> Result<Vec<&'static str>, Fault> {
        let all = compare::names(of, &self.setup());
        let Some(wanted) = &self.policies else { return Ok(all) };
        let find = |name: &String| {
            let found = all.iter().find(|n| *n == name).copied();
            found.ok_or_else(|| unknown("policy", name, &all))
        };
        wanted.iter().map(find).collect()
    }
}

/// Runs all cells and prints them.
pub(super) fn run(args: &CompareArgs, json: bool) -> Result<(), Fault> {
    if !args.load.iter().all(|x| x.is_finite() && *x > 0.0 && *x <= 100.0) {
        return Err(Fault::Usage(
            "--load takes numbers above 0 and up to 100, such as 0.9,2,5".into(),
        ));
    }
    let workloads = args.workloads()?;
    let Some(first) = workloads.first() else {
        return Err(Fault::Usage("--workload takes one or more names".into()));
    };
    let policies = args.policies(first)?;
    let setup = args.setup();
    if let Some(samples) = args.oracle {
        return beside_optimum(args, (&workloads, &policies), samples as usize, json);
    }
    let bar = progress(workloads.len() * policies.len() * args.load.len());
    let mut cells: Vec<Cell> = Vec::new();
    for w in &workloads {
        for load in &args.load {
            for policy in &policies {
                bar.set_message(format!("{} at {load} x: {policy}", w.name));
                cells.extend(compare::cell(w, *load, policy, &setup));
                bar.inc(1);
            }
        }
    }
    bar.finish_and_clear();
    let mut out = std::io::stdout().lock();
    if json {
        let object = serde_json::json!({ "version": 1, "seed": args.seed, "cells": cells });
        writeln!(out, "{object}").map_err(Fault::Output)
    } else if args.markdown {
        print::markdown(&cells, &mut out).map_err(Fault::Output)
    } else {
        print::table(&cells, &mut out).map_err(Fault::Output)
    }
}

/// Every policy's count as a share of the exact optimum.
fn beside_optimum(
    args: &CompareArgs,
    (workloads, policies): (&[Workload], &[&'static str]),
    samples: usize,
    json: bool,
) -> Result<(), Fault> {
    if args.servers != 1 {
        return Err(Fault::Usage("--oracle knows the optimum of one server alone".into()));
    }
    let (taken, left_out): (Vec<&Workload>, Vec<&Workload>) =
        workloads.iter().partition(|w| optimum::counts(w));
    let left_out: Vec<&str> = left_out.iter().map(|w| w.name).collect();
    let setup = args.setup();
    let bar = progress(taken.len() * args.load.len() * (samples + policies.len()));
    let mut rows = Vec::new();
    for w in taken {
        for load in &args.load {
            bar.set_message(format!("{} at {load} x", w.name));
            rows.extend(optimum::row((w, *load), policies, (&setup, samples), || bar.inc(1)));
        }
    }
    bar.finish_and_clear();
    let mut out = std::io::stdout().lock();
    if json {
        let object = serde_json::json!({
            "version": 1, "seed": args.seed, "rows": rows, "left_out": left_out
        });
        writeln!(out, "{object}").map_err(Fault::Output)
    } else {
        print::optimum(&rows, &left_out, &mut out).map_err(Fault::Output)
    }
}

/// A bar for that many steps, where somebody watches.
pub(super) fn progress(cells: usize) -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new(cells as u64);
    if let Ok(style) = ProgressStyle::with_template("{bar:30} {pos}/{len}  {msg}  ({eta} left)") {
        bar.set_style(style);
    }
    bar
}
