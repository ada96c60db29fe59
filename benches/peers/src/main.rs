//! The service beside its peers: the same work, written on what engineers write such services on, in one run.
//!
//! `scripts/peers` builds all of it, runs it and keeps the tables in docs/benchmarks.md.

mod child;
mod client;
mod echo;
mod figures;
mod gate;
mod overload;
mod report;
mod servers;

use std::path::PathBuf;

use anyhow::Context as _;
use clap::{Parser, Subcommand};
use rustix::thread::{CpuSet, sched_setaffinity};

#[derive(Parser)]
#[command(about = "The service beside its peers")]
struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Serve, on one of the peers, until ended
    Serve(servers::ServeArgs),
    /// CPU time of an echoed datagram, ours beside every peer
    Echo(echo::EchoArgs),
    /// Who is on time under overload, ours beside every peer
    Overload(overload::OverloadArgs),
}

/// Who measures, and what.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Bench {
    /// The program `punctual`
    #[arg(long, default_value = "target/release/punctual")]
    pub(crate) punctual: PathBuf,
    /// The servers' core
    #[arg(long, default_value_t = 0)]
    pub(crate) core: usize,
    /// The load's core
    #[arg(long, default_value_t = 1)]
    pub(crate) load_core: usize,
    /// Write the table into this file, between the markers of its name
    #[arg(long, value_name = "FILE")]
    pub(crate) write: Option<PathBuf>,
    /// Print one JSON object in the place of the table
    #[arg(long)]
    pub(crate) json: bool,
}

impl Bench {
    /// Runs `start` on the servers' core, so that what it starts stays there, and comes back to the load's.
    pub(crate) fn on_server_core<T>(
        &self,
        start: impl FnOnce() -> anyhow::Result<T>,
    ) -> anyhow::Result<T> {
        pin(self.core)?;
        let started = start();
        pin(self.load_core)?;
        started
    }
}

/// Pins this thread, also to a core that an earlier pin had excluded.
fn pin(core: usize) -> anyhow::Result<()> {
    let mut cores = CpuSet::new();
    cores.set(core);
    sched_setaffinity(None, &cores).with_context(|| format!("core {core} cannot be had"))
}

fn main() -> anyhow::Result<()> {
    match Args::parse().command {
        Command::Serve(args) => servers::run(&args),
        Command::Echo(args) => echo::run(&args),
        Command::Overload(args) => overload::run(&args),
    }
}
