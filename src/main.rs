//! The `punctual` program.

use std::io::{self, Write as _};
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
    /// Offer load to a service and judge its answers
    Load(Box<cli::load::LoadArgs>),
}

fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Load(args) => cli::load::run(*args),
    };
    result.unwrap_or_else(|fault| {
        // That nobody reads it changes nothing about the code.
        let _ = writeln!(io::stderr().lock(), "error: {fault:#}");
        ExitCode::FAILURE
    })
}
