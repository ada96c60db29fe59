//! `punctual sim`: scheduling under a virtual clock.
//!
//! Knows no scheduling: `crate::sim` has it.

mod compare;
mod print;

use super::exit;

/// What `sim` is told.
#[derive(Clone, Debug, clap::Args)]
pub struct SimArgs {
    /// Every policy on every workload, beside the most that any could reach
    #[arg(long, required = true)]
    compare: bool,
    #[command(flatten)]
    comparison: compare::CompareArgs,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// Runs the command; the answer is the exit code.
#[must_use]
pub fn run(args: &SimArgs) -> u8 {
    match compare::run(&args.comparison, args.json) {
        Ok(()) => exit::DONE,
        Err(compare::Fault::Usage(fault)) => {
            tracing::error!("{fault}");
            exit::USAGE
        }
        Err(compare::Fault::Output(error)) => {
            tracing::error!("{error}");
            exit::FAILED
        }
    }
}
