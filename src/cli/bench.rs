//! `punctual bench`: starts the service and loads on this machine, finds saturation, and shows what overload does to it:
//! every policy of ours on the same kernel and the same load, in turns; or servers that are not ours, side by side.
//!
//! Knows no scheduling: it is a user of the service and of the generator.

mod args;
mod backends;
mod bare;
mod baseline;
mod course;
mod described;
mod drive;
mod lab;
mod measured;
mod noise;
mod outcome;
mod page;
mod print;
mod progress;
mod ran;
mod saturation;
mod setting;
mod spread;
mod stolen;
#[cfg(test)]
pub(in crate::cli) mod testing;
mod timeline;
mod works;

pub use args::BenchArgs;
pub(super) use baseline::read as read_result;
pub(super) use described::Described;
#[cfg(test)]
pub(super) use described::Work;
pub(super) use drive::{Offered, Seat, Under, Worked, drive};
pub(super) use lab::WORKER;
pub(super) use measured::{ClassMeasured, HIGH_ALONE, Measured};
pub(super) use outcome::Outcome;
pub(super) use spread::{Spread, median};
pub(super) use stolen::LATE_AFTER;

use std::fs::File;
use std::io::Write as _;
use std::path::Path;

use anyhow::Context as _;

use super::compare::{self, Comparison};
use super::exit;
use baseline::Keep;
use course::Course;
use lab::Lab;
use noise::Noise;
use outcome::{KIND, Machine, VERSION};
use setting::{Setting, Wrong};

/// How often what looks worse is measured again.
const SECOND_LOOKS: usize = 2;

/// Runs the command; the answer is the exit code.
#[must_use]
pub fn run(args: &BenchArgs) -> u8 {
    if let Some(fault) = args.fault() {
        tracing::error!("{fault}");
        return exit::USAGE;
    }
    let read = |name: &Option<String>| name.as_deref().map(baseline::read).transpose();
    let (shown, before) = match (read(&args.show), read(&args.baseline)) {
        (Ok(shown), Ok(before)) => (shown, before),
        (Err(e), _) | (_, Err(e)) => {
            tracing::error!("{e}");
            return exit::USAGE;
        }
    };
    let done = match shown {
        Some(outcome) => show(args, &outcome, None),
        None => match Setting::new(args) {
            Ok(setting) => bench(args, setting, before.as_ref()),
            Err(Wrong::Config(text)) => {
                // With a terminal or without: a fault is read by whoever started it.
                let _ = std::io::stderr().write_all(text.as_bytes());
                return exit::WRONG_CONFIG;
            }
            Err(Wrong::Usage(text)) => {
                tracing::error!("{text}");
                return exit::USAGE;
            }
        },
    };
    done.unwrap_or_else(|error| {
        tracing::error!("{error:#}");
        exit::FAILED
    })
}

/// Measures, compares and shows.
fn bench(args: &BenchArgs, setting: Setting, before: Option<&Outcome>) -> anyhow::Result<u8> {
    let keep = args.save_baseline.as_deref().map(Keep::prepare).transpose();
    let keep = keep.context("cannot keep the result")?;
    if let Some(path) = &args.report {
        // Before the measurement, so that a path that cannot be written to costs none.
        File::options().append(true).create(true).open(path).with_context(|| cannot(path))?;
    }
    let lab = Lab::new(args, setting)?;
    if let Some(why) = before.and_then(|b| compare::other_lab(&b.lab, &lab.describe())) {
        tracing::error!("this cannot be compared with the baseline: {why}");
        return Ok(exit::USAGE);
    }
    let mut course = Course::new(args, &lab)?;
    course.say("looking for stolen time on each core");
    let mut noise = Noise::probe(lab.cores())?;
    let measured = course.saturation()?;
    let mut outcome = empty(args, &lab, measured);
    if let Some(before) = before {
        if let Some(rate) = comparable_rate(before, &course) {
            outcome.saturation = rate;
        }
        anyhow::ensure!(
            before.loads().iter().any(|x| args.loads().iter().any(|y| x.total_cmp(y).is_eq())),
            "the baseline was measured at {:?} times saturation: ask for some of these by --loads",
            before.loads()
        );
    }
    course.sweep(outcome.saturation)?;
    anyhow::ensure!(!course.is_empty(), course::STOPPED_EARLY);
    course.fill(&mut outcome);
    let comparison = match before {
        // Half a sweep is no ground for a verdict.
        Some(_) if course.stopped() => None,
        Some(before) => Some(second_look(args, before, &mut course, &mut outcome)?),
        None => None,
    };
    if !course.stopped() {
        course.say("looking for stolen time on each core");
        noise.add(Noise::probe(lab.cores())?);
    }
    course.end();
    outcome.noise = noise;
    outcome.stopped = course.stopped();
    if let Some(keep) = keep {
        let kept = keep.write(&outcome)?;
        if let Some(whole) = kept.left {
            let (whole, path) = (whole.display(), kept.path.display());
            tracing::warn!(
                "{whole} is left as it was: this sweep was stopped early, and is kept as {path}"
            );
        } else {
            tracing::warn!("kept as {}", kept.path.display());
        }
    }
    let code = show(args, &outcome, comparison.as_ref())?;
    if course.stopped() {
        tracing::error!("stopped early: what is shown is what was measured until then");
        return Ok(exit::FAILED);
    }
    Ok(code)
}

/// Compares, and measures again where something looks worse.
fn second_look(
    args: &BenchArgs,
    before: &Outcome,
    course: &mut Course<'_>,
    outcome: &mut Outcome,
) -> anyhow::Result<Comparison> {
    if let Some(why) = compare::unlike(before, outcome) {
        anyhow::bail!("this cannot be compared with the baseline: {why}");
    }
    let compare = |now: &Outcome| Comparison::new(before, now, args.rule.threshold());
    let mut comparison = compare(outcome);
    for _ in 0..SECOND_LOOKS {
        let worse: Vec<_> = comparison.rows.iter().filter(|r| r.is_regression()).collect();
        if worse.is_empty() {
            break;
        }
        let capacity = worse.iter().any(|r| r.is_capacity());
        let mut loads: Vec<f64> = worse.iter().filter_map(|r| r.load).collect();
        loads.dedup_by(|a, b| a.total_cmp(b).is_eq());
        course.again(&loads, capacity, outcome.saturation)?;
        course.fill(outcome);
        comparison = compare(outcome);
    }
    Ok(comparison)
}

/// What the baseline called 1x, as this machine is worth today: by the yardstick then and now.
fn comparable_rate(before: &Outcome, course: &Course<'_>) -> Option<f64> {
    let yardstick = |all: &[bare::Capacity]| {
        let known: Vec<f64> = bare::sound(all).iter().filter_map(|c| c.bare).collect();
        (!known.is_empty()).then(|| median(known))
    };
    match (yardstick(&before.capacity), yardstick(&course.capacity)) {
        (Some(then), Some(now)) if then > 0.0 => Some(before.saturation * now / then),
        // Without a yardstick: the very rates of the baseline.
        _ => Some(before.saturation),
    }
}

fn empty(args: &BenchArgs, lab: &Lab, saturation: f64) -> Outcome {
    Outcome {
        kind: KIND.to_owned(),
        version: VERSION,
        program: env!("CARGO_PKG_VERSION").to_owned(),
        started_unix_s: crate::sys::clock::wall_now().as_nanos() / 1_000_000_000,
        command: std::env::args().skip(1).collect(),
        machine: Machine::this(),
        lab: lab.describe(),
        saturation,
        capacity: Vec::new(),
        noise: Noise(Vec::new()),
        stolen_limit: args.max_stolen / 100.0,
        repeated: 0,
        stopped: false,
        generator_limited: false,
        runs: Vec::new(),
    }
}

fn show(
    args: &BenchArgs,
    outcome: &Outcome,
    comparison: Option<&Comparison>,
) -> anyhow::Result<u8> {
    if let Some(path) = &args.report {
        let html = page::of(outcome).render()?;
        std::fs::write(path, html).with_context(|| cannot(path))?;
    }
    let mut out = std::io::stdout().lock();
    // A reader that went away does not change what was measured.
    let _ = if args.json {
        let mut json = serde_json::to_value(outcome)?;
        if let Some(comparison) = comparison {
            json["comparison"] = serde_json::to_value(comparison)?;
        }
        writeln!(out, "{json}")
    } else {
        print::table(outcome, &mut out)
            .and_then(|()| comparison.map_or(Ok(()), |c| compare::table(c, &mut out)))
    };
    if args.check && !outcome.goals_met() {
        return Ok(exit::MISSED);
    }
    Ok(comparison.map_or(exit::DONE, |c| compare::code(c, &args.rule)))
}

fn cannot(path: &Path) -> String {
    format!("cannot write {}", path.display())
}
