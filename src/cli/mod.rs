//! Floor 6: the command line, one file a subcommand.
//!
//! Knows no rule of its own: each command calls the rooms below.

pub mod bench;
pub mod calibrate;
pub mod check;
pub mod compare;
#[cfg(test)]
mod gpu_tests;
pub mod load;
mod options;
mod pages;
pub mod probe;
mod reload;
pub mod serve;
pub mod sim;

/// Exit codes, the same for every command.
pub mod exit {
    /// Done.
    pub const DONE: u8 = 0;
    /// Failed while running.
    pub const FAILED: u8 = 1;
    /// Wrong command line.
    pub const USAGE: u8 = 2;
    /// A stated goal or baseline was missed.
    pub const MISSED: u8 = 3;
    /// Wrong config: nothing was started.
    pub const WRONG_CONFIG: u8 = 78;
}

/// A seed that nobody can guess.
fn random_seed() -> u64 {
    use std::hash::{BuildHasher as _, Hasher as _};
    // The standard library keys its hash maps from the operating system's random source: one look at such a key.
    std::hash::RandomState::new().build_hasher().finish()
}

/// Logs to standard error: text for people on a terminal, JSON lines for collectors. `RUST_LOG` sets the level.
pub fn start_logging(for_people: bool) {
    use std::io::IsTerminal as _;
    use tracing_subscriber::EnvFilter;
    let filter = EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| EnvFilter::new(if for_people { "warn" } else { "info" }));
    let terminal = std::io::stderr().is_terminal();
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    // A second start (in tests) finds the first one's subscriber in place, which will do.
    let _ = if for_people || terminal {
        builder.with_target(false).with_ansi(terminal && color_wanted()).try_init()
    } else {
        builder.json().try_init()
    };
}

#[expect(clippy::disallowed_methods, reason = "NO_COLOR is a convention of the environment")]
fn color_wanted() -> bool {
    std::env::var("NO_COLOR").map_or(true, |v| v.is_empty())
}
