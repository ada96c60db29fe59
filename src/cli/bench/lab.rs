//! The set-up of a benchmark: who answers on one core, a generator on another, nothing in between but the kernel.
//!
//! Knows no order of runs and no statistics.

use std::fmt;
use std::net::SocketAddr;

use anyhow::{Context as _, ensure};
use serde::{Deserialize, Serialize};

use super::args::BenchArgs;
use super::bare::{self, Bare};
use super::drive::{Offered, Seat, Under, drive};
use super::outcome::{HIGH_ALONE, Measured, Run, Subject};
use super::stolen::LATE_AFTER;
use crate::base::{IngressId, Nanos, Priority};
use crate::cli::options::service_options;
use crate::config::{self, Cores, Io, Policy, Settings};
use crate::kernel::spin::ServiceTime;
use crate::kernel::{KernelSpec, Registry};
use crate::load::{Class, Framing, Matching, Plan, Sizes};
use crate::runtime::Service;
use crate::stats::Counters;
use crate::sys::affinity;

/// The config that a benchmark starts from.
const LAB: &str = include_str!("../../../configs/overload-lab.toml");
/// `SCHED_FIFO` priority of the workers with `--realtime`; the generator has the same on its own core.
const REALTIME_PRIORITY: u8 = 10;
/// The classes of the mix.
const CLASSES: [Priority; 3] = [Priority::High, Priority::Medium, Priority::Low];
/// Flows a class.
const FLOWS: u16 = 2;
/// The service's one worker, by the name of its thread.
pub(in crate::cli) const WORKER: &str = "punctual-w0";
/// No thread of ours has this name: a foreign server's threads are not watched.
const NOBODY: &str = "";

/// What a benchmark was run on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(in crate::cli) struct Described {
    pub(in crate::cli) service_core: usize,
    pub(in crate::cli) generator_core: usize,
    /// None for targets.
    #[serde(rename = "service_ns")]
    pub(in crate::cli) service: Option<Nanos>,
    pub(in crate::cli) mix: Vec<f64>,
    pub(in crate::cli) driver: String,
    pub(in crate::cli) seconds: f64,
    pub(in crate::cli) seed: u64,
    /// Servers that are not ours.
    pub(in crate::cli) targets: Vec<String>,
}

impl fmt::Display for Described {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(service) = self.service else {
            let (targets, s) = (self.targets.join(", "), self.seconds);
            return write!(f, "{targets}; {s} s a run, load on core {}", self.generator_core);
        };
        let mix: Vec<String> = self.mix.iter().map(f64::to_string).collect();
        write!(
            f,
            "High:Medium:Low = {} by packets, {} of busy work each, {} s a run; service on core {}, load on core {}, {}",
            mix.join(":"),
            service,
            self.seconds,
            self.service_core,
            self.generator_core,
            self.driver
        )
    }
}

/// What is asked of servers that are not ours.
#[derive(Clone, Debug)]
struct Foreign {
    targets: Vec<(String, SocketAddr)>,
    matching: Matching,
    budget: Nanos,
    size: usize,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Lab {
    settings: Settings,
    described: Described,
    foreign: Foreign,
    duration: Nanos,
    stolen_limit: f64,
}

impl Lab {
    pub(super) fn new(args: &BenchArgs) -> anyhow::Result<Self> {
        let allowed =
            affinity::allowed_cores().context("cannot read which cores this process may use")?;
        let cores = args.cores.clone().unwrap_or_else(|| allowed.iter().copied().take(2).collect());
        ensure!(
            cores.len() == 2,
            "a benchmark needs two cores, one for the service and one for the load"
        );
        let (settings, driver) = settings(args, cores[0])?;
        let ours = args.target.is_empty();
        let described = Described {
            service_core: cores[0],
            generator_core: cores[1],
            service: ours.then_some(args.service),
            mix: if ours { args.mix.clone() } else { vec![1.0] },
            driver: if ours { driver } else { String::new() },
            seconds: args.duration().as_secs_f64(),
            seed: args.seed,
            targets: args.target.iter().map(|(name, to)| named(name, *to)).collect(),
        };
        let foreign = Foreign {
            targets: args.target.clone(),
            matching: args.matching,
            budget: args.budget,
            size: args.size,
        };
        let stolen_limit = args.max_stolen / 100.0;
        Ok(Self { settings, described, foreign, duration: args.duration(), stolen_limit })
    }

    pub(super) fn cores(&self) -> [usize; 2] {
        [self.described.service_core, self.described.generator_core]
    }

    pub(super) fn describe(&self) -> Described {
        self.described.clone()
    }

    /// The name of a subject in the result.
    pub(super) fn label(&self, subject: Subject) -> String {
        match subject {
            Subject::HighAlone => HIGH_ALONE.to_owned(),
            Subject::Policy(policy) => policy.word().to_owned(),
            Subject::Target(i) => self.foreign.targets[i].0.clone(),
        }
    }

    /// What the service completes in a second when it is never without work and drops nothing by choice; whether it was
    /// measured without too much noise.
    pub(super) fn service_capacity(&self, rate: f64, time: Nanos) -> anyhow::Result<(f64, bool)> {
        let service = self.start(Policy::Fifo)?;
        let plan = self.plan(service.addresses(), rate, time, &CLASSES);
        let offered = self.drive(&plan, Under::Service(&service), WORKER)?;
        service.stop(Nanos::ZERO);
        self.capacity(&offered, "the service")
    }

    /// The same of the yardstick.
    pub(super) fn bare_capacity(&self, rate: f64, time: Nanos) -> anyhow::Result<(f64, bool)> {
        let priority = self.settings.workers.realtime;
        let bare = Bare::start(self.described.service_core, &self.settings.kernels, priority)?;
        let plan = self.plan(&[bare.address(); 3], rate, time, &CLASSES);
        let offered = self.drive(&plan, Under::Bare(&bare), bare::THREAD)?;
        self.capacity(&offered, "the bare loop")
    }

    fn capacity(&self, offered: &Offered, who: &str) -> anyhow::Result<(f64, bool)> {
        let served = offered.served.unwrap_or(offered.report.answered_rate);
        ensure!(served > 0.0, "{who} answered nothing while saturation was looked for");
        Ok((served, offered.stolen.fault(self.stolen_limit).is_none()))
    }

    /// Offers `rate` to a target for `time`: what left and what was answered in a second, and whether the generator kept up.
    pub(super) fn ask_target(
        &self,
        target: usize,
        rate: f64,
        time: Nanos,
    ) -> anyhow::Result<(f64, f64, bool)> {
        let plan = self.target_plan(target, rate, time);
        plan.check()?;
        let offered = self.drive(&plan, Under::Foreign, NOBODY)?;
        let report = &offered.report;
        let kept_up = !report.gave_up && report.generator.late_share() <= self.stolen_limit;
        Ok((report.offered_rate, report.answered_rate, kept_up))
    }

    pub(super) fn target(&self, i: usize) -> SocketAddr {
        self.foreign.targets[i].1
    }

    /// One run: a fresh service, the load, its figures.
    pub(super) fn run(&self, run: &Run) -> anyhow::Result<Measured> {
        let (policy, classes, share) = match run.subject {
            Subject::HighAlone => {
                let all: f64 = self.described.mix.iter().sum();
                (Policy::OURS, &CLASSES[..1], self.described.mix[0] / all)
            }
            Subject::Policy(policy) => (policy, &CLASSES[..], 1.0),
            Subject::Target(i) => {
                let plan = self.target_plan(i, run.rate, self.duration);
                plan.check()?;
                let offered = self.drive(&plan, Under::Foreign, NOBODY)?;
                return Ok(self.measured(run, offered, &[]));
            }
        };
        let service = self.start(policy)?;
        let plan = self.plan(service.addresses(), run.rate * share, self.duration, classes);
        let offered = self.drive(&plan, Under::Service(&service), WORKER)?;
        let stopped = service.stop(Nanos::from_millis(200));
        ensure!(stopped.faults.is_empty(), "{}", stopped.faults.join("; "));
        check_law(&stopped.figures)?;
        Ok(self.measured(run, offered, &stopped.figures))
    }

    fn measured(&self, run: &Run, offered: Offered, figures: &[Counters]) -> Measured {
        let void = offered.stolen.fault(self.stolen_limit);
        Measured::new(run, &offered.report, figures, (offered.stolen, void), offered.timeline)
    }

    fn start(&self, policy: Policy) -> anyhow::Result<Service> {
        let mut settings = self.settings.clone();
        settings.controller.policy = policy;
        Ok(Service::start(service_options(&settings, self.described.seed))?)
    }

    fn drive(&self, plan: &Plan, under: Under<'_>, thread: &str) -> anyhow::Result<Offered> {
        let priority = self.settings.workers.realtime;
        let seat = Seat { core: self.described.generator_core, priority };
        drive(plan, under, seat, (thread, self.described.service_core))
    }

    fn plan(&self, to: &[SocketAddr], rate: f64, duration: Nanos, classes: &[Priority]) -> Plan {
        let class = |(i, p): (usize, &Priority)| Class {
            name: p.label().to_owned(),
            to: to[i],
            share: self.described.mix[i],
            size: Sizes::fixed(64),
            priority: Some(*p),
            budget: Some(self.settings.classes[*p].budget),
            kernel: 0,
            dscp: None,
        };
        Plan {
            classes: classes.iter().enumerate().map(class).collect(),
            rate,
            duration,
            framing: Framing::Raw,
            matching: Matching::Echo,
            flows: FLOWS,
            seed: self.described.seed,
            spin: true,
            late_after: LATE_AFTER,
            ..Plan::single("high", to[0])
        }
    }

    fn target_plan(&self, target: usize, rate: f64, duration: Nanos) -> Plan {
        let mut plan = Plan::single("all", self.target(target));
        plan.classes[0].size = Sizes::fixed(self.foreign.size);
        plan.classes[0].budget = Some(self.foreign.budget);
        Plan {
            rate,
            duration,
            framing: Framing::Raw,
            matching: self.foreign.matching,
            flows: FLOWS,
            seed: self.described.seed,
            spin: true,
            late_after: LATE_AFTER,
            ..plan
        }
    }
}

fn named(name: &str, to: SocketAddr) -> String {
    let address = to.to_string();
    if name == address { address } else { format!("{name} ({address})") }
}

/// The service's settings, and the name of the driver that it will have.
fn settings(args: &BenchArgs, core: usize) -> anyhow::Result<(Settings, String)> {
    let mut settings = config::parse("overload-lab.toml", LAB)?.settings;
    settings.workers.cores = Cores::List(vec![core]);
    settings.workers.io = match args.io.as_str() {
        "uring" => Io::Uring,
        "mio" => Io::Mio,
        _ => Io::Auto,
    };
    settings.admin = None;
    for ingress in &mut settings.ingress {
        ingress.listen.set_port(0);
    }
    // Late results are sent: a plain service does so, and saturation is counted by answers.
    for egress in &mut settings.egress {
        egress.late = config::Late::Send;
    }
    settings.workers.realtime = u8::from(args.realtime) * REALTIME_PRIORITY;
    let work = KernelSpec::Spin(ServiceTime::Constant(args.service));
    settings.kernels = Registry::new(vec![("work".to_owned(), work)]);
    let choice = crate::io::capability::choose(None)?;
    let driver =
        if settings.workers.io == Io::Auto { choice.kind.label() } else { args.io.as_str() };
    Ok((settings, driver.to_owned()))
}

/// Law 1 after every run: a benchmark of a service that loses packets would measure nothing.
fn check_law(figures: &[Counters]) -> anyhow::Result<()> {
    for worker in figures {
        for i in 0..worker.layout().ingresses() {
            let id = IngressId(u16::try_from(i)?);
            for p in Priority::ALL {
                let cell = worker.view(id, p);
                ensure!(
                    cell.unaccounted() == 0,
                    "{} packets of {p} are unaccounted for",
                    cell.unaccounted()
                );
            }
        }
    }
    Ok(())
}
