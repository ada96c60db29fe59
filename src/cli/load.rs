//! `punctual load`: offers load to a service and judges its answers.
//!
//! Knows no sockets and no statistics: it reads the command line, runs the generator and prints its report.

mod class;
mod print;
mod units;

pub(super) use units::{duration, rate};

use std::fs::File;
use std::io::{self, BufWriter, IsTerminal as _, Write as _};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Context as _;
use clap::ValueEnum;
use indicatif::{ProgressBar, ProgressStyle};

use crate::base::{Nanos, Priority};
use crate::load::{
    self, Arrivals, FlowOrder, Framing, Generator, LoadError, Matching, Plan, Probe, Progress,
    Report, Sizes,
};
use crate::sys::clock::{MonotonicClock, wall_now};
use class::ClassSpec;

/// Wrong command line.
const USAGE: u8 = 2;
/// A stated goal was missed.
const GOAL_MISSED: u8 = 3;
/// How long a closed port may take to say so once a run is over.
const PROBE_PATIENCE: Nanos = Nanos::from_millis(200);

/// What `load` is told.
#[derive(Clone, Debug, clap::Args)]
pub struct LoadArgs {
    /// Send to this address, in one class
    #[arg(long, value_name = "ADDR", value_parser = class::address, conflicts_with = "class")]
    to: Option<SocketAddr>,
    /// A class of the mix: to=ADDR[,name=,share=,size=,budget=,priority=,kernel=]; may be repeated
    #[arg(long, value_name = "KEY=VALUE,...", value_parser = class::parse)]
    #[arg(required_unless_present = "to")]
    class: Vec<ClassSpec>,
    /// Packets a second, all classes together: 500, 20k, 1M
    #[arg(long, default_value = "10k", value_parser = units::rate, allow_negative_numbers = true)]
    rate: f64,
    /// For how long requests are sent
    #[arg(long, default_value = "10s", value_parser = units::duration)]
    duration: Nanos,
    /// How the send times are drawn
    #[arg(long, value_enum, default_value = "poisson")]
    arrivals: ArrivalsArg,
    /// Decides every draw
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Packets that share one send time, class, flow and size
    #[arg(long, value_name = "N", default_value_t = 1)]
    burst: u32,
    /// The priority asked for, of classes that name none: high, medium, low, best-effort
    #[arg(long, value_parser = class::priority)]
    priority: Option<Priority>,
    /// The budget asked for and judged by, of classes that name none [default: the priority's]
    #[arg(long, value_name = "TIME", value_parser = units::duration)]
    budget: Option<Nanos>,
    /// Payload bytes of classes that name none: 64, or 64..1400
    #[arg(long, default_value = "64", value_parser = units::sizes)]
    size: Sizes,
    /// Local sockets a class, each with its own port
    #[arg(long, value_name = "N", default_value_t = 1)]
    flows: u16,
    /// Which flow is next
    #[arg(long, value_enum, default_value = "round-robin")]
    flow_order: FlowOrderArg,
    /// Framed requests, framed answers only [default: framed requests, any kind of answer]
    #[arg(long, conflicts_with = "raw")]
    framed: bool,
    /// Requests without a header
    #[arg(long)]
    raw: bool,
    /// How the answers to raw requests are paired
    #[arg(long = "match", value_enum, requires = "raw")]
    matching: Option<MatchArg>,
    /// Do not ask to be told of drops
    #[arg(long)]
    no_refusals: bool,
    /// Send every packet by itself
    #[arg(long)]
    no_gso: bool,
    /// Pin the generator to this core
    #[arg(long, value_name = "N")]
    core: Option<usize>,
    /// Never sleep between sends
    #[arg(long)]
    spin: bool,
    /// From where on a packet of ours counts as sent late
    #[arg(long, value_name = "TIME", default_value = "1ms", value_parser = units::duration)]
    late_after: Nanos,
    /// Exit with 3 when any packet was sent later than this
    #[arg(long, value_name = "TIME", value_parser = units::duration)]
    max_lateness: Option<Nanos>,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    /// Write the latencies to a HdrHistogram log
    #[arg(long, value_name = "FILE")]
    hdr: Option<PathBuf>,
    /// Show progress even where standard error is no terminal
    #[arg(long)]
    progress: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum ArrivalsArg {
    /// Exponential gaps
    Poisson,
    /// Equal gaps
    Uniform,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum FlowOrderArg {
    /// One after the other
    RoundRobin,
    /// Drawn from the seed
    Random,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum MatchArg {
    /// By the length of the answer
    Auto,
    /// The answer is the payload
    Echo,
    /// The answer is the payload's CRC-32C
    Crc32c,
}

impl LoadArgs {
    fn plan(&self) -> Result<Plan, String> {
        let single = self.to.map(ClassSpec::single);
        let specs =
            if let Some(single) = &single { std::slice::from_ref(single) } else { &self.class };
        let classes = (1..)
            .zip(specs)
            .map(|(i, spec)| spec.complete(i, self.size, self.budget, self.priority));
        let plan = Plan {
            classes: classes.collect::<Result<_, _>>()?,
            rate: self.rate,
            duration: self.duration,
            arrivals: match self.arrivals {
                ArrivalsArg::Poisson => Arrivals::Poisson,
                ArrivalsArg::Uniform => Arrivals::Uniform,
            },
            burst: self.burst,
            seed: self.seed,
            framing: if self.raw { Framing::Raw } else { Framing::Framed },
            matching: self.matching(),
            wants_refusal: !self.no_refusals,
            flows: self.flows,
            flow_order: match self.flow_order {
                FlowOrderArg::RoundRobin => FlowOrder::RoundRobin,
                FlowOrderArg::Random => FlowOrder::Random,
            },
            gso: !self.no_gso,
            spin: self.spin,
            late_after: self.late_after,
        };
        plan.check().map_err(|e| e.to_string())?;
        Ok(plan)
    }

    const fn matching(&self) -> Matching {
        match self.matching {
            _ if self.framed => Matching::Header,
            None | Some(MatchArg::Auto) => Matching::Auto,
            Some(MatchArg::Echo) => Matching::Echo,
            Some(MatchArg::Crc32c) => Matching::Crc32c,
        }
    }
}

/// Runs the command. The code is 0, 2 for a plan that cannot be run, or 3 for a lateness beyond `--max-lateness`.
///
/// # Errors
/// What went wrong while running: exit code 1.
pub fn run(args: LoadArgs) -> anyhow::Result<ExitCode> {
    let plan = match args.plan() {
        Ok(plan) => plan,
        Err(fault) => {
            say(&format!("error: {fault}"));
            return Ok(ExitCode::from(USAGE));
        }
    };
    if let Some(core) = args.core {
        crate::sys::affinity::pin_current(core)?;
    }
    // Opened before the run, so that a path that cannot be written to costs no run.
    let hdr = args.hdr.as_deref().map(create).transpose()?;
    let started = wall_now();
    let report = offer(&plan, args.progress)?;
    if let Some(file) = hdr {
        let mut file = BufWriter::new(file);
        load::write_log(&report, started, &mut file)
            .and_then(|()| file.flush())
            .context("cannot write the HdrHistogram log")?;
    }
    print(&report, args.json)?;
    if let Some(closed) = closed_port(&plan, &report) {
        return Err(LoadError::NobodyListens(closed).into());
    }
    let worst = report.generator.lateness.max();
    Ok(match args.max_lateness {
        Some(limit) if worst > limit => {
            let worst = print::time(worst);
            say(&format!("goal missed: a packet left {worst} after its time; allowed are {limit}"));
            ExitCode::from(GOAL_MISSED)
        }
        _ => ExitCode::SUCCESS,
    })
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
    let silent =
        |c: &&load::ClassReport| c.sent > 0 && c.answered + c.refused_total() + c.unknown == 0;
    let targets: Vec<_> = report.classes.iter().filter(silent).map(|c| c.to).collect();
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
