//! The plan of a simulation: which config, what is offered to it, what goes wrong, and which values are swept.
//!
//! Read and checked as a config is: every fault in one run, with its place and the nearest known key. Knows no run.

mod beside;
mod capture;
mod faults;
mod file;
mod recorded;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use toml::de::DeTable;

use super::choice::choice;
use super::fault::{Place, Report};
use super::{Egress, Faults, Loaded, Mode, Policy, Settings};
use crate::base::{KernelId, Nanos, Priority};
use crate::kernel::spin::ServiceTime;
use crate::sim::world;

/// A checked plan with the config that it names.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The config.
    pub settings: Settings,
    /// Its file's name, or that of the embedded one.
    pub config: String,
    /// Axis: workers.
    pub workers: Vec<usize>,
    /// Axis: offered work by what the workers can do; 1 is saturation.
    pub load: Vec<f64>,
    /// Axis: the policy.
    pub policy: Vec<Policy>,
    /// Datagrams sent at most, all workers together.
    pub packets: u64,
    /// Virtual time in which they are sent, at most.
    pub duration: Nanos,
    /// What is offered.
    pub traffic: Vec<Traffic>,
    /// Further cores that take part of a burst.
    pub helpers: usize,
    /// What kernels gain from company: by their place in the config.
    pub batches: Vec<(KernelId, world::Company)>,
    /// What the driver takes.
    pub costs: world::Costs,
    /// The way to the sockets.
    pub link: world::Link,
    /// What goes wrong.
    pub faults: world::Faults,
    /// When the load changes.
    pub step: Option<Step>,
    /// What must be reached.
    pub goals: Vec<Goal>,
}

choice! {
    /// When datagrams come.
    pub enum Shape {
        /// At random, at a constant rate.
        Poisson = "poisson",
        /// At equal distances.
        Uniform = "uniform",
        /// On and off, ten times as fast when on, 10 ms on and 40 ms off on average.
        Bursts = "bursts",
        /// From 0.2 to 1.8 times the rate and back, once a second.
        Day = "day",
    }
}

/// When the datagrams of a `[[traffic]]` come.
#[derive(Clone, Debug, PartialEq)]
pub enum Times {
    /// By a shape.
    Shape(Shape),
    /// As in a capture, since its first datagram, in order: stretched so that the mean rate is the plan's, and over again.
    Captured(Arc<[Nanos]>),
}

/// One `[[traffic]]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Traffic {
    /// The ingress's place in the config.
    pub ingress: usize,
    /// The class asked for.
    pub priority: Priority,
    /// Its part of all datagrams, by the sum of all shares.
    pub share: f64,
    /// When they come.
    pub arrivals: Times,
    /// What they take.
    pub time: ServiceTime,
    /// What they take one after another, over again; before `time`.
    pub recorded: Option<Arc<[Nanos]>>,
    /// Bytes of payload.
    pub size: usize,
    /// Flows on each worker.
    pub flows: u32,
    /// Budgets that framed requests ask for, by turns.
    pub budgets: Vec<Nanos>,
}

/// After a step the service is taken to have settled: one interval of the controller at its default, in which it has seen
/// the new load, and some more.
pub const SETTLED_AFTER: Nanos = Nanos::from_millis(200);

/// `[step]`: from a time on, another load, and how soon the service must have settled under it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Step {
    /// When, from the start.
    pub at: Nanos,
    /// The load from then on.
    pub load: f64,
    /// How near to what it settles at goodput must be, as a share of that.
    pub within: f64,
    /// How long after the step it must have come there for good; none: it is only shown.
    pub by: Option<Nanos>,
}

/// One `[[goal]]`: so much of a class must be on time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Goal {
    /// The class.
    pub priority: Priority,
    /// The least share on time.
    pub on_time: f64,
    /// Only at loads up to this.
    pub load_max: f64,
    /// Only under this policy.
    pub policy: Policy,
}

/// Reads and checks the plan at `path`, and the config that it names, beside it.
///
/// # Errors
/// Every fault in the plan; where it has none, every fault in its config.
pub fn load(path: &Path) -> Result<Plan, Faults> {
    let (name, text) = super::read(path)?;
    parse(&name, &text, path.parent().unwrap_or_else(|| Path::new("")))
}

/// Checks a plan's text; configs are looked for in `folder`.
///
/// # Errors
/// As [`load`].
pub fn parse(name: &str, text: &str, folder: &Path) -> Result<Plan, Faults> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let (document, syntax) = DeTable::parse_recoverable(text);
    let mut report = Report::default();
    super::report_syntax(text, &syntax, &mut report);
    if syntax.iter().any(|e| e.message() != "duplicate key") {
        return Err(Faults::new(report.finish(name, text).0, text.to_owned()));
    }
    let mut top = file::Top::read(document.get_ref(), &mut report);
    let config = config_of(&mut top, folder, &mut report);
    let plan = match &config {
        Ok(Some((config, loaded))) => top.check((config, folder), &loaded.settings, &mut report),
        _ => None,
    };
    let (faults, _) = report.finish(name, text);
    if !faults.is_empty() {
        return Err(Faults::new(faults, text.to_owned()));
    }
    match (config, plan) {
        (Err(faults), _) => Err(faults),
        (_, Some(plan)) => Ok(plan),
        _ => unreachable!("without a fault there is a config, and a plan"),
    }
}

/// The config that is named: none where it cannot be read, which was then said.
fn config_of(
    top: &mut file::Top<'_, '_>,
    folder: &Path,
    report: &mut Report,
) -> Result<Option<(String, Loaded)>, Faults> {
    let Some((named, place)) = top.config(report) else {
        let loaded = super::parse(super::EMBEDDED_NAME, super::embedded())?;
        return Ok(Some((super::EMBEDDED_NAME.to_owned(), loaded)));
    };
    let path: PathBuf = folder.join(&named);
    let (name, text) = match super::read(&path) {
        Ok(read) => read,
        Err(faults) => {
            let why = faults.list().first().map(|f| f.message.clone()).unwrap_or_default();
            report
                .fault(&place, format!("`config` {}: {why}", path.display()))
                .allowed("the path of a config file, from the plan's folder");
            return Ok(None);
        }
    };
    let loaded = super::parse_in(&name, &text, path.parent())?;
    for egress in &loaded.settings.egress {
        refuse_forward(egress, &place, report);
    }
    Ok(Some((name, loaded)))
}

fn refuse_forward(egress: &Egress, place: &Place, report: &mut Report) {
    if matches!(egress.mode, Mode::Forward { .. }) {
        let why = format!("`config` forwards by egress {:?}: a world has no upstream", egress.name);
        report.fault(place, why).allowed("egresses of mode \"reply\" or \"send\"");
    }
}
