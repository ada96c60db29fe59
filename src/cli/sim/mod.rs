//! `punctual sim`: scheduling under a virtual clock.
//!
//! Knows no scheduling: `crate::sim` has it.

mod compare;
mod live;
mod print;
mod reference;
mod world;

use super::exit;

/// The loads of a comparison where none are named.
const COMPARED: [f64; 3] = [0.9, 2.0, 5.0];

/// What `sim` is told.
#[derive(Clone, Debug, clap::Args)]
pub struct SimArgs {
    #[command(flatten)]
    world: world::WorldArgs,
    /// Instead of a plan: every policy on every workload, beside the most that any could reach
    #[arg(long, conflicts_with_all = ["plan", "seeds", "policy", "workers", "helpers", "audit_one_in", "packets", "events", "report"])]
    compare: bool,
    #[command(flatten)]
    comparison: compare::CompareArgs,
    /// Instead of a plan: what theory and papers say a queue does, beside what the simulator does
    #[arg(long, conflicts_with_all = ["plan", "seeds", "policy", "workers", "helpers", "audit_one_in", "packets", "events", "report", "compare", "load"])]
    reference: bool,
    /// Loads, 1 is saturation; the plan's, or 0.9,2,5 for a comparison, where none are named
    #[arg(long, value_name = "X,X", value_delimiter = ',')]
    load: Vec<f64>,
    /// Decides everything that is drawn; the same seed is the same run, to the last event
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// Runs the command; the answer is the exit code.
#[must_use]
pub fn run(args: &SimArgs) -> u8 {
    if args.reference {
        return done(reference::run(args.seed, args.json).map_err(anyhow::Error::from));
    }
    if args.compare { compare(args) } else { world(args) }
}

fn done(result: anyhow::Result<u8>) -> u8 {
    result.unwrap_or_else(|error| {
        tracing::error!("{error:#}");
        exit::FAILED
    })
}

fn world(args: &SimArgs) -> u8 {
    let mut told = args.world.clone();
    (told.load, told.seed) = (args.load.clone(), args.seed);
    done(world::run(&told, args.json))
}

fn compare(args: &SimArgs) -> u8 {
    let mut told = args.comparison.clone();
    told.load = if args.load.is_empty() { COMPARED.to_vec() } else { args.load.clone() };
    told.seed = args.seed;
    match compare::run(&told, args.json) {
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
