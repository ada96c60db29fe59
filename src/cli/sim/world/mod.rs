//! `punctual sim PLAN.toml`: the service itself under a virtual clock, point by point of what the plan sweeps.
//!
//! Knows no law and no figure: maps a plan to worlds, runs them, shows what came out.

pub(super) mod build;
mod json;
mod page;
mod step;
pub(super) mod table;

use std::io::{self, IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::Context as _;
use indicatif::{ProgressBar, ProgressStyle};

use super::exit;
use crate::base::limits::WORKERS_MAX;
use crate::config::Policy;
use crate::config::plan::{self, Goal, Plan};
use crate::sim::world::{self, Fleet, Options, Outcome};

/// Which world.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct WorldArgs {
    /// The plan: which config, what is offered, what goes wrong (examples in configs/sim/)
    #[arg(value_name = "PLAN.toml")]
    plan: Option<PathBuf>,
    /// Decides everything that is drawn: said for both ways to simulate.
    #[arg(skip)]
    pub(super) seed: u64,
    /// Run that many seeds from --seed on, and say whether all laws held
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    seeds: Option<u64>,
    /// In place of the plan's policies: value, edf, edf-expiry, fifo
    #[arg(long, value_name = "POLICY", value_delimiter = ',', value_parser = policy)]
    policy: Vec<Policy>,
    /// In place of the plan's workers
    #[arg(long, value_name = "N", value_delimiter = ',')]
    workers: Vec<usize>,
    /// In place of the plan's helpers; only beside one worker
    #[arg(long, value_name = "N", value_parser = helpers)]
    helpers: Option<usize>,
    /// In place of the config's controller.audit_one_in: 1 looks into every predicted miss
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(0..=1_000_000))]
    audit_one_in: Option<u32>,
    /// In place of the plan's loads: said for both ways to simulate.
    #[arg(skip)]
    pub(super) load: Vec<f64>,
    /// In place of the plan's packets
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    packets: Option<u64>,
    /// Threads for --seeds; as many as there are processors unless given
    #[arg(long, value_name = "N")]
    threads: Option<usize>,
    /// Loop turns between two looks at the laws; 1 looks after every turn
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    check_every: Option<u32>,
    /// Write every event of the run there: time, what, stream, flow, number
    #[arg(long, value_name = "FILE")]
    events: Option<PathBuf>,
    /// Run the plan on the real service too, over loopback and on two cores, and say how far the two are apart
    #[arg(long, conflicts_with_all = ["seeds", "events", "report", "packets", "workers", "helpers", "audit_one_in"])]
    live: bool,
    /// Rounds of --live; medians are shown
    #[arg(long, value_name = "N", default_value_t = 3, requires = "live", value_parser = clap::value_parser!(u32).range(1..=99))]
    rounds: u32,
    /// Draw the result as a page there
    #[arg(long, value_name = "FILE.html")]
    report: Option<PathBuf>,
}

fn helpers(text: &str) -> Result<usize, String> {
    let some = text.parse().ok().filter(|n| *n < WORKERS_MAX);
    some.ok_or_else(|| format!("allowed: 0 to {}", WORKERS_MAX - 1))
}

fn policy(word: &str) -> Result<Policy, String> {
    let found = Policy::ALL.iter().find(|p| p.word() == word).copied();
    let known: Vec<_> = Policy::ALL.iter().map(|p| p.word()).collect();
    found.ok_or_else(|| format!("allowed: {}", known.join(", ")))
}

/// Where in the plan's axes a run stands.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Point {
    pub(super) policy: Policy,
    pub(super) workers: usize,
    pub(super) load: f64,
}

/// A run of one seed and what it came to.
#[derive(Debug)]
struct Done {
    point: Point,
    options: Options,
    outcome: Outcome,
}

/// Many seeds of one point.
#[derive(Debug)]
struct Many {
    point: Point,
    fleet: Fleet,
    took: Duration,
}

/// Runs what was asked for; the answer is the exit code.
pub(super) fn run(args: &WorldArgs, json: bool) -> anyhow::Result<u8> {
    let Some(path) = &args.plan else {
        tracing::error!("which plan? `punctual sim PLAN.toml`; examples are in configs/sim/");
        return Ok(exit::USAGE);
    };
    let mut plan = match plan::load(path) {
        Ok(plan) => plan,
        Err(faults) => {
            io::stderr().write_all(faults.render(false).as_bytes())?;
            return Ok(exit::WRONG_CONFIG);
        }
    };
    if let Some(wrong) = overrule(args, &mut plan) {
        tracing::error!("{wrong}");
        return Ok(exit::USAGE);
    }
    if args.live {
        return super::live::run(&plan, args.seed, args.rounds, json);
    }
    match args.seeds {
        Some(seeds) => many(args, &plan, seeds, json),
        None => single(args, &plan, json),
    }
}

/// What the command line says goes before the plan.
fn overrule(args: &WorldArgs, plan: &mut Plan) -> Option<String> {
    if !args.policy.is_empty() {
        plan.policy.clone_from(&args.policy);
    }
    if !args.workers.is_empty() {
        plan.workers.clone_from(&args.workers);
    }
    if !args.load.is_empty() {
        plan.load.clone_from(&args.load);
    }
    plan.packets = args.packets.unwrap_or(plan.packets);
    plan.helpers = args.helpers.unwrap_or(plan.helpers);
    let controller = &mut plan.settings.controller;
    controller.audit_one_in = args.audit_one_in.unwrap_or(controller.audit_one_in);
    if args.seeds.is_some() && plan.step.is_some() {
        return Some("a plan with [step] is for one seed: leave --seeds out".into());
    }
    if args.seeds.is_some() && (args.events.is_some() || args.report.is_some()) {
        return Some("--events and --report are for one seed: leave --seeds out".into());
    }
    let good = |x: &f64| *x > 0.0 && *x <= 1_000.0;
    (!plan.load.iter().all(good)).then(|| "--load takes numbers above 0 up to 1000".into())
}

pub(super) fn points(plan: &Plan) -> Vec<Point> {
    let mut points = Vec::new();
    for &workers in &plan.workers {
        for &load in &plan.load {
            points.extend(plan.policy.iter().map(|&policy| Point { policy, workers, load }));
        }
    }
    points
}

fn options(args: &WorldArgs, plan: &Plan, point: Point) -> Options {
    let mut options = build::options(plan, point, args.seed);
    options.check_every =
        args.check_every.unwrap_or(if cfg!(debug_assertions) { 1 } else { 1_000 });
    // How a step was taken is read from the events.
    options.record = args.events.is_some() || plan.step.is_some();
    options
}

fn bar(steps: u64) -> ProgressBar {
    if !io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new(steps);
    if let Ok(style) =
        ProgressStyle::with_template("{bar:30} {pos}/{len}  {msg}  {elapsed}, {eta} left")
    {
        bar.set_style(style);
    }
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}

fn single(args: &WorldArgs, plan: &Plan, json: bool) -> anyhow::Result<u8> {
    let points = points(plan);
    let bar = bar(points.len() as u64);
    let mut all = Vec::new();
    for point in points {
        bar.set_message(format!("{} x{} at {}x", point.policy.word(), point.workers, point.load));
        let options = options(args, plan, point);
        let outcome = world::run(&options).with_context(|| place(args))?;
        all.push(Done { point, options, outcome });
        bar.inc(1);
    }
    bar.finish_and_clear();
    if let Some(path) = &args.events {
        write_events(path, &all).with_context(|| format!("cannot write {}", path.display()))?;
    }
    let missed = missed(plan, &all);
    let steps = step::of(plan, &all);
    if let Some(path) = &args.report {
        let page = page::render(args.plan.as_deref(), plan, &all, &missed)?;
        std::fs::write(path, page).with_context(|| format!("cannot write {}", path.display()))?;
    }
    let mut out = io::stdout().lock();
    if json {
        json::single(plan, &all, &missed, &steps, &mut out)?;
    } else {
        table::single(plan, &all, &missed, &mut out)?;
        step::show(&steps, &mut out)?;
    }
    Ok(if all.iter().any(|d| d.outcome.breach.is_some()) {
        exit::FAILED
    } else if missed.is_empty() && steps.iter().all(step::Taken::in_time) {
        exit::DONE
    } else {
        exit::MISSED
    })
}

fn place(args: &WorldArgs) -> String {
    let path = args.plan.as_deref().unwrap_or_else(|| Path::new("the plan"));
    format!("{} makes no world", path.display())
}

fn many(args: &WorldArgs, plan: &Plan, seeds: u64, json: bool) -> anyhow::Result<u8> {
    let points = points(plan);
    let bar = bar(seeds * points.len() as u64);
    let threads = args
        .threads
        .or_else(|| std::thread::available_parallelism().ok().map(usize::from))
        .unwrap_or(1);
    let mut all = Vec::new();
    for point in points {
        bar.set_message(format!("{} x{} at {}x", point.policy.word(), point.workers, point.load));
        let done = AtomicU64::new(0);
        let told = |_| {
            // The bar takes a lock: not for each of many thousand short runs.
            let n = done.fetch_add(1, Ordering::Relaxed) + 1;
            if n.is_multiple_of(16) || n == seeds {
                bar.inc(if n.is_multiple_of(16) { 16 } else { n % 16 });
            }
        };
        let options = options(args, plan, point);
        let started = stopwatch();
        let fleet =
            world::run_seeds(&options, seeds, threads, &told).with_context(|| place(args))?;
        all.push(Many { point, fleet, took: started.elapsed() });
    }
    bar.finish_and_clear();
    let mut out = io::stdout().lock();
    if json {
        json::many(plan, args.seed, &all, &mut out)?;
    } else {
        table::many(args.seed, &all, &mut out)?;
    }
    let held = all.iter().all(|m| m.fleet.broken.is_empty());
    Ok(if held { exit::DONE } else { exit::FAILED })
}

/// How long real time passes, for the summary alone.
#[expect(clippy::disallowed_methods, reason = "what is simulated never sees it")]
fn stopwatch() -> std::time::Instant {
    std::time::Instant::now()
}

fn write_events(path: &Path, all: &[Done]) -> io::Result<()> {
    let mut file = io::BufWriter::new(std::fs::File::create(path)?);
    writeln!(file, "point\tworker\tat_ns\tevent\tstream\tflow\tnumber")?;
    for (p, done) in all.iter().enumerate() {
        for (w, events) in done.outcome.kept.iter().enumerate() {
            for event in events {
                writeln!(file, "{p}\t{w}\t{event}")?;
            }
        }
    }
    file.flush()
}

/// A goal that a run did not reach.
#[derive(Clone, Copy, Debug)]
struct Missed {
    point: Point,
    goal: Goal,
    reached: f64,
}

fn missed(plan: &Plan, all: &[Done]) -> Vec<Missed> {
    let mut missed = Vec::new();
    for done in all {
        for goal in &plan.goals {
            let Point { policy, load, .. } = done.point;
            let classes = table::classes(done);
            let class = classes.iter().find(|c| c.priority == goal.priority);
            let reached = class.map_or(0.0, table::ClassRow::on_time_share);
            if policy == goal.policy && load <= goal.load_max && reached < goal.on_time {
                missed.push(Missed { point: done.point, goal: *goal, reached });
            }
        }
    }
    missed
}
