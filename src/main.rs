//! The `punctual` program.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use punctual::cli;

/// A deadline-aware UDP ingress: answers on time, or not at all
#[derive(Debug, Parser)]
#[command(version, about)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the ingress service
    Serve(cli::serve::ServeArgs),
    /// Say what is wrong with a config file, without starting anything
    Check(cli::check::CheckArgs),
    /// Say which vector instructions this machine has and what the kernels run on
    Probe(cli::probe::ProbeArgs),
    /// Measure what batches cost on each backend of this machine, and which one is chosen
    Calibrate(cli::calibrate::CalibrateArgs),
    /// Start the service and load it on this machine: what overload does to it, in one table
    Bench(Box<cli::bench::BenchArgs>),
    /// Say what changed between two kept results of `bench`
    Compare(cli::compare::CompareArgs),
    /// Offer load to a service and judge its answers
    Load(Box<cli::load::LoadArgs>),
    /// Run the service, or policies of the field, under a virtual clock
    Sim(Box<cli::sim::SimArgs>),
}

fn main() -> ExitCode {
    let command = Cli::parse().command;
    cli::start_logging(!matches!(command, Command::Serve(_)));
    match command {
        Command::Serve(args) => cli::serve::run(&args).into(),
        Command::Check(args) => cli::check::run(&args).into(),
        Command::Probe(args) => cli::probe::run(&args).into(),
        Command::Calibrate(args) => cli::calibrate::run(&args).into(),
        Command::Bench(args) => cli::bench::run(&args).into(),
        Command::Compare(args) => cli::compare::run(&args).into(),
        Command::Sim(args) => cli::sim::run(&args).into(),
        Command::Load(args) => match cli::load::run(&args) {
            Ok(code) => code,
            Err(error) => {
                tracing::error!("{error:#}");
                cli::exit::FAILED.into()
            }
        },
    }
}
