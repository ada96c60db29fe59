//! `punctual compare`: what changed between two kept results of `bench`, and whether that is a regression.
//!
//! Knows no measurement: it reads two files.

mod comparison;
mod figures;
mod print;
mod rule;

pub(super) use comparison::{Comparison, other_lab, unlike};
pub(super) use print::table;

use std::io::Write as _;

use super::bench::read_result;
use super::exit;

/// When a difference counts.
#[derive(Clone, Debug, clap::Args)]
pub struct RuleArgs {
    /// A change of up to this share, in percent, is noise; for shares on time a fifth of it, in points
    #[arg(long, value_name = "PERCENT", default_value_t = 10.0)]
    pub(super) noise_threshold: f64,
    /// Exit with 3 when a figure of ours is worse beyond doubt, or when none could be judged
    #[arg(long)]
    pub(super) fail_on_regression: bool,
}

impl RuleArgs {
    pub(super) fn threshold(&self) -> f64 {
        self.noise_threshold / 100.0
    }

    /// What is wrong; `compares` tells whether there is something to compare with.
    pub(super) fn fault(&self, compares: bool) -> Option<&'static str> {
        if !(self.noise_threshold >= 0.0 && self.noise_threshold.is_finite()) {
            return Some("--noise-threshold takes a percentage of 0 or more");
        }
        if self.fail_on_regression && !compares {
            return Some("--fail-on-regression needs a --baseline to compare with");
        }
        None
    }
}

/// What `compare` is told.
#[derive(Clone, Debug, clap::Args)]
pub struct CompareArgs {
    /// The result before: a file, or the name of a baseline
    #[arg(value_name = "A.json")]
    before: String,
    /// The result now
    #[arg(value_name = "B.json")]
    now: String,
    #[command(flatten)]
    rule: RuleArgs,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// Runs the command; the answer is the exit code. Files that cannot be compared are a wrong command line.
#[must_use]
pub fn run(args: &CompareArgs) -> u8 {
    let fault = |text: String| {
        tracing::error!("{text}");
        exit::USAGE
    };
    if let Some(text) = args.rule.fault(true) {
        return fault(text.to_owned());
    }
    let (before, now) = match (read_result(&args.before), read_result(&args.now)) {
        (Ok(before), Ok(now)) => (before, now),
        (Err(e), _) | (_, Err(e)) => return fault(e.to_string()),
    };
    if let Some(why) = unlike(&before, &now) {
        return fault(format!("{} and {} cannot be compared: {why}", args.before, args.now));
    }
    let comparison = Comparison::new(&before, &now, args.rule.threshold());
    let mut out = std::io::stdout().lock();
    // A reader that went away does not change what was found.
    let _ = match serde_json::to_string(&comparison) {
        Ok(json) if args.json => writeln!(out, "{json}"),
        _ => table(&comparison, &mut out),
    };
    code(&comparison, &args.rule)
}

/// The exit code that a comparison asks for. A gate that nothing went through has not been passed.
pub(super) fn code(comparison: &Comparison, rule: &RuleArgs) -> u8 {
    let passed = comparison.regressions == 0 && comparison.is_judged();
    if rule.fail_on_regression && !passed { exit::MISSED } else { exit::DONE }
}
