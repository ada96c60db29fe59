//! `punctual load`: offers load to a service and judges its answers.
//!
//! Knows no sockets and no statistics: it reads the command line, runs the generator and prints its report.

mod args;
mod arrivals;
mod class;
mod page;
mod print;
mod units;

pub use args::LoadArgs;
pub(super) use arrivals::{ArrivalsArg, arrivals, matching};
pub(super) use units::{duration, rate};

use std::fs::File;
use std::io::{self, BufWriter, IsTerminal as _, Write as _};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Context as _;
use indicatif::{ProgressBar, ProgressStyle};

use crate::base::{Nanos, WallTime};
use crate::load::{self, Generator, LoadError, Plan, Probe, Progress, Report};
use crate::sys::clock::{MonotonicClock, wall_now};
use args::NoPlan;

/// Wrong command line.
const USAGE: u8 = 2;
/// A stated goal was missed.
const GOAL_MISSED: u8 = 3;
/// How long a closed port may take to say so once a run is over.
const PROBE_PATIENCE: Nanos = Nanos::from_millis(200);

/// Runs the command. The code is 0, 2 for a plan that cannot be run, or 3 where the generator itself was late beyond what
/// its result can bear.
///
/// # Errors
/// What went wrong while running, or that it was stopped early: exit code 1.
pub fn run(args: &LoadArgs) -> anyhow::Result<ExitCode> {
    let plan = match args.plan() {
        Ok(plan) => plan,
        Err(NoPlan::Usage(fault)) => {
            say(&format!("error: {fault}"));
            return Ok(ExitCode::from(USAGE));
        }
        Err(NoPlan::File(fault)) => anyhow::bail!(fault),
    };
    if args.hdr.is_some() && args.hdr == args.report {
        say("error: --hdr and --report name the same file");
        return Ok(ExitCode::from(USAGE));
    }
    if let Some(core) = args.core {
        crate::sys::affinity::pin_current(core)?;
    }
    // Opened before the run, so that a path that cannot be written to costs no run.
    let outputs = Outputs::open(args)?;
    let started = wall_now();
    let report = offer(&plan, args.progress)?;
    // Standard output first: a disk that is full then costs the files alone.
    print(&report, args.json)?;
    outputs.write(&report, started)?;
    if let Some(closed) = closed_port(&plan, &report) {
        return Err(LoadError::NobodyListens(closed).into());
    }
    if report.classes.iter().all(|c| c.is_silent() || c.sent == 0)
        && let Some(class) = report.classes.iter().find(|c| c.is_silent())
    {
        anyhow::bail!("no answer came from {} (--match none where none is to come)", class.to);
    }
    if report.interrupted {
        anyhow::bail!("stopped early: what is shown is what was measured until then");
    }
    let missed = missed_goals(&report, args.max_lateness);
    for goal in &missed {
        say(&format!("goal missed: {goal}"));
    }
    Ok(if missed.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(GOAL_MISSED) })
}

/// Why the result does not stand: the generator's own faults, not the service's.
fn missed_goals(report: &Report, max_lateness: Option<Nanos>) -> Vec<String> {
    let mut missed = Vec::new();
    let generator = &report.generator;
    if report.gave_up {
        let (offered, asked) = (report.offered_rate, report.rate);
        missed.push(format!(
            "{asked:.0} packets/s were asked for, and {offered:.0} could be offered"
        ));
    } else if generator.is_too_late() {
        let (share, allowed) = (generator.late_share(), generator.late_share_max);
        missed.push(format!(
            "{} of the packets left more than {} after their time; {} may (--max-late)",
            print::percent(share),
            generator.late_after,
            print::percent(allowed)
        ));
    }
    let worst = generator.lateness.max();
    if let Some(limit) = max_lateness.filter(|limit| worst > *limit) {
        let worst = print::time(worst);
        missed.push(format!(
            "a packet left {worst} after its time; {limit} are allowed (--max-lateness)"
        ));
    }
    missed
}

/// The files that a run leaves.
struct Outputs {
    hdr: Option<File>,
    page: Option<File>,
}

impl Outputs {
    fn open(args: &LoadArgs) -> anyhow::Result<Self> {
        let open = |path: &Option<PathBuf>| path.as_deref().map(create).transpose();
        Ok(Self { hdr: open(&args.hdr)?, page: open(&args.report)? })
    }

    fn write(self, report: &Report, started: WallTime) -> anyhow::Result<()> {
        if let Some(file) = self.hdr {
            let mut file = BufWriter::new(file);
            load::write_log(report, started, &mut file)
                .and_then(|()| file.flush())
                .context("cannot write the HdrHistogram log")?;
        }
        if let Some(mut file) = self.page {
            let words: Vec<String> = std::env::args().skip(1).collect();
            let html = page::of(report, &format!("punctual {}", words.join(" "))).render()?;
            file.write_all(html.as_bytes()).context("cannot write the page")?;
        }
        Ok(())
    }
}

fn create(path: &Path) -> anyhow::Result<File> {
    File::create(path).with_context(|| format!("cannot write {}", path.display()))
}

/// Runs the plan against real sockets. SIGINT and SIGTERM end it early; a second one ends the program.
fn offer(plan: &Plan, always_tell: bool) -> anyhow::Result<Report> {
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
        // In this order: the first signal finds the flag unset, sets it, and only the second one ends the program.
        signal_hook::flag::register_conditional_shutdown(signal, 128 + signal, Arc::clone(&stop))?;
        signal_hook::flag::register(signal, Arc::clone(&stop))?;
    }
    let driver = load::open(plan).context("cannot open the sockets")?;
    let mut teller = Teller::new(plan, always_tell);
    let mut watch = Watch { plan, probe: None, closed: None };
    let mut generator =
        Generator::new(plan.clone(), driver, MonotonicClock)?.stop_when(Arc::clone(&stop));
    let report = generator.run(|progress| {
        teller.tell(progress);
        if watch.is_closed(progress) {
            stop.store(true, Ordering::Relaxed);
        }
    });
    teller.end();
    match watch.closed {
        Some(to) => Err(LoadError::NobodyListens(to).into()),
        None => Ok(report?),
    }
}

/// Asks a wholly silent service whether it is there at all.
struct Watch<'a> {
    plan: &'a Plan,
    probe: Option<Probe>,
    closed: Option<SocketAddr>,
}

impl Watch<'_> {
    fn is_closed(&mut self, progress: &Progress) -> bool {
        if !progress.is_silent() {
            return false;
        }
        if self.probe.is_none() {
            let targets: Vec<_> = self.plan.classes.iter().map(|c| c.to).collect();
            self.probe = Probe::send(self.plan, &targets).ok();
        }
        self.closed = self.probe.as_ref().and_then(Probe::closed);
        self.closed.is_some()
    }
}

/// The target of a class that got no answer at all, if its port is closed.
fn closed_port(plan: &Plan, report: &Report) -> Option<SocketAddr> {
    let targets: Vec<_> = report.classes.iter().filter(|c| c.is_silent()).map(|c| c.to).collect();
    Probe::send(plan, &targets).ok()?.wait_closed(PROBE_PATIENCE)
}

/// Shows progress on standard error.
struct Teller {
    bar: Option<ProgressBar>,
    lines: bool,
    before: Option<Progress>,
}

impl Teller {
    fn new(plan: &Plan, always: bool) -> Self {
        let terminal = io::stderr().is_terminal();
        let bar = terminal.then(|| {
            let style = ProgressStyle::with_template("{wide_msg}");
            let bar = ProgressBar::new(plan.duration.get());
            style.map_or_else(|_| bar.clone(), |s| bar.clone().with_style(s))
        });
        Self { bar, lines: always && !terminal, before: None }
    }

    fn tell(&mut self, progress: &Progress) {
        if let Some(bar) = &self.bar {
            bar.set_message(print::progress(progress, self.before.as_ref()));
            bar.tick();
        } else if self.lines {
            say(&print::progress(progress, self.before.as_ref()));
        }
        self.before = Some(*progress);
    }

    fn end(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

fn print(report: &Report, json: bool) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    let text = if json {
        for note in print::notes(report) {
            say(&format!("note: {note}"));
        }
        serde_json::to_string(report)? + "\n"
    } else {
        print::text(report, out.is_terminal() && color_wanted())
    };
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        // A reader that went away (`load | head`) wants no more: that is no failure of the run.
        Err(e) if e.kind() != io::ErrorKind::BrokenPipe => Err(e.into()),
        _ => Ok(()),
    }
}

fn color_wanted() -> bool {
    std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty())
}

/// A line to standard error. That nobody reads it is no fault.
fn say(line: &str) {
    let _ = writeln!(io::stderr().lock(), "{line}");
}

#[cfg(test)]
mod tests;
