//! `punctual bench`: starts the service and loads on this machine, finds saturation, and shows what overload does to it:
//! first-in-first-out, deadline order that drops only what has expired, and ours, on the same kernel and the same load.
//!
//! Knows no scheduling: it is a user of the service and of the generator.

mod lab;
mod noise;
mod outcome;
mod print;

use std::io::{IsTerminal as _, Write as _};

use indicatif::{ProgressBar, ProgressStyle};

use super::exit;
use crate::base::Nanos;
use crate::config::Policy;
use lab::Lab;
use noise::Noise;
use outcome::{Outcome, Run, Subject};

/// What `bench` is told.
#[derive(Clone, Debug, clap::Args)]
pub struct BenchArgs {
    /// Half a minute: 0.8 and 2 times saturation, FIFO beside ours
    #[arg(long)]
    quick: bool,
    /// Loads, in multiples of saturation
    #[arg(long, value_delimiter = ',', value_name = "X,X")]
    loads: Option<Vec<f64>>,
    /// Policies beside each other: fifo, edf-expiry, edf
    #[arg(long, value_delimiter = ',', value_name = "NAME,NAME", value_parser = policy)]
    policies: Option<Vec<Policy>>,
    /// How long each run sends
    #[arg(long, value_name = "TIME", value_parser = super::load::duration)]
    duration: Option<Nanos>,
    /// Rounds; policies take turns within each, and medians are shown
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=99))]
    rounds: u32,
    /// What a packet costs: busy work of that time
    #[arg(long, default_value = "20us", value_name = "TIME", value_parser = super::load::duration)]
    service: Nanos,
    /// High : Medium : Low, by packets
    #[arg(long, value_delimiter = ',', default_value = "1,2,7", value_name = "H,M,L")]
    mix: Vec<f64>,
    /// The driver: auto, uring, mio
    #[arg(long, default_value = "auto", value_parser = ["auto", "uring", "mio"])]
    io: String,
    /// Cores of the service and of the generator; by default the first two that this process may use
    #[arg(long, value_delimiter = ',', value_name = "A,B")]
    cores: Option<Vec<usize>>,
    /// Real-time priority for the service and the generator (needs CAP_SYS_NICE): less of the machine's noise in the result
    #[arg(long)]
    realtime: bool,
    /// Decides every draw
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Exit with 3 unless ours keeps High on time as if it were alone (minus one point) and wastes at most 5 % of its work
    #[arg(long)]
    check: bool,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

fn policy(name: &str) -> Result<Policy, String> {
    match name {
        "fifo" => Ok(Policy::Fifo),
        "edf-expiry" => Ok(Policy::EdfExpiry),
        "edf" => Ok(Policy::Edf),
        _ => Err("the policies are fifo, edf-expiry and edf".to_owned()),
    }
}

impl BenchArgs {
    fn loads(&self) -> Vec<f64> {
        let default = if self.quick { vec![0.8, 2.0] } else { vec![0.5, 0.8, 1.0, 2.0, 5.0] };
        self.loads.clone().unwrap_or(default)
    }

    fn policies(&self) -> Vec<Policy> {
        let quick = vec![Policy::Fifo, Policy::Edf];
        let full = vec![Policy::Fifo, Policy::EdfExpiry, Policy::Edf];
        self.policies.clone().unwrap_or(if self.quick { quick } else { full })
    }

    fn duration(&self) -> Nanos {
        self.duration.unwrap_or_else(|| Nanos::from_secs(if self.quick { 2 } else { 5 }))
    }

    fn fault(&self) -> Option<&'static str> {
        let positive = |x: &f64| x.is_finite() && *x > 0.0;
        if self.mix.len() != 3 || !self.mix.iter().all(positive) {
            return Some("--mix takes three numbers above 0, such as 1,2,7");
        }
        if self.loads().is_empty() || !self.loads().iter().all(|x| positive(x) && *x <= 100.0) {
            return Some("--loads takes numbers above 0 and up to 100, such as 0.8,2,5");
        }
        if self.policies().is_empty() {
            return Some("--policies takes one or more of fifo, edf-expiry, edf");
        }
        None
    }
}

/// Runs the command; the answer is the exit code.
#[must_use]
pub fn run(args: &BenchArgs) -> u8 {
    if let Some(fault) = args.fault() {
        tracing::error!("{fault}");
        return exit::USAGE;
    }
    match bench(args) {
        Ok(code) => code,
        Err(error) => {
            tracing::error!("{error:#}");
            exit::FAILED
        }
    }
}

fn bench(args: &BenchArgs) -> anyhow::Result<u8> {
    let lab = Lab::new(args)?;
    let bar = progress_bar(args, &lab);
    bar.set_message("looking for stolen time on each core");
    let mut noise = Noise::probe(lab.cores())?;
    bar.set_message("finding saturation");
    let saturation = lab.saturation()?;
    bar.inc(1);
    let mut runs = Vec::new();
    for load in args.loads() {
        for round in 0..args.rounds {
            for subject in subjects(args) {
                let rate = load * saturation;
                bar.set_message(format!("{load} x saturation, {}", subject.label()));
                runs.push(lab.run(Run { subject, load, rate, round })?);
                bar.inc(1);
            }
        }
    }
    noise.add(Noise::probe(lab.cores())?);
    bar.finish_and_clear();
    let outcome = Outcome::new(lab.describe(), saturation, noise, runs);
    let mut out = std::io::stdout().lock();
    // A reader that went away does not change what was measured.
    let _ = if args.json {
        writeln!(out, "{}", serde_json::to_string(&outcome)?)
    } else {
        print::table(&outcome, &mut out)
    };
    Ok(if args.check && !outcome.goals_met() { exit::MISSED } else { exit::DONE })
}

/// Who takes turns: High alone first, as the measure of what this machine allows.
fn subjects(args: &BenchArgs) -> Vec<Subject> {
    let mut all = vec![Subject::HighAlone];
    all.extend(args.policies().into_iter().map(Subject::Policy));
    all
}

fn progress_bar(args: &BenchArgs, lab: &Lab) -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let runs = args.loads().len() * subjects(args).len() * args.rounds as usize + 1;
    let bar = ProgressBar::new(runs as u64);
    let style = ProgressStyle::with_template("{bar:30} {pos}/{len}  {msg}  ({eta} left)");
    if let Ok(style) = style {
        bar.set_style(style);
    }
    bar.println(lab.describe().to_string());
    bar.enable_steady_tick(std::time::Duration::from_millis(200));
    bar
}
