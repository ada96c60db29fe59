//! The set-up of a benchmark: who answers on one core, a generator on another, nothing in between but the kernel.
//!
//! Knows no order of runs and no statistics.

use std::net::SocketAddr;

use anyhow::{Context as _, ensure};

use super::args::{Asked, BenchArgs};
use super::backends::Backends;
use super::bare::{self, Bare};
use super::described::Described;
use super::drive::{Offered, Seat, Under, drive};
use super::measured::{HIGH_ALONE, Measured, Run, Seen, Subject};
use super::setting::{Setting, Stream};
use super::stolen::LATE_AFTER;
use crate::base::{IngressId, Nanos, Priority};
use crate::cli::options::service_options;
use crate::config::{BatchRule, Cores, Io, Policy};
use crate::load::{Arrivals, Class, Framing, Matching, Plan, Sizes};
use crate::runtime::Service;
use crate::stats::Counters;
use crate::sys::affinity;

/// Flows a class.
const FLOWS: u16 = 2;
/// The service's one worker, by the name of its thread.
pub(in crate::cli) const WORKER: &str = "punctual-w0";
/// No thread of ours has this name: a foreign server's threads are not watched.
const NOBODY: &str = "";
/// Whoever answers less than this share of what was offered had no want of work; a generator that sent less than this share
/// of what it was to send is at its own end.
pub(super) const KEPT_UP: f64 = 0.9;

/// What is asked of servers that are not ours.
#[derive(Clone, Debug)]
struct Foreign {
    targets: Vec<(String, SocketAddr)>,
    matching: Matching,
    budget: Nanos,
    size: usize,
}

/// What somebody completes in a second.
#[derive(Clone, Copy, Debug)]
pub(super) struct Completed {
    pub(super) rate: f64,
    /// Not too much of the time was taken away.
    pub(super) sound: bool,
    /// More was offered than was completed: that is all there is.
    pub(super) full: bool,
    /// No more could be offered.
    pub(super) limited: bool,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Lab {
    setting: Setting,
    described: Described,
    foreign: Foreign,
    subjects: Vec<Subject>,
    /// Of the runs; saturation is looked for with Poisson's.
    arrivals: Arrivals,
    duration: Nanos,
    stolen_limit: f64,
}

impl Lab {
    pub(super) fn new(args: &BenchArgs, setting: Setting) -> anyhow::Result<Self> {
        let allowed =
            affinity::allowed_cores().context("cannot read which cores this process may use")?;
        let cores = cores(args, &allowed, setting.settings.level.helpers)?;
        let mut setting = setting;
        setting.settings.workers.cores = Cores::List(vec![cores[0]]);
        let ours = args.target.is_empty();
        let described = Described {
            service_core: cores[0],
            generator_core: cores[1],
            service: setting.service.filter(|_| ours),
            mix: if ours { setting.streams.iter().map(|s| s.share).collect() } else { vec![1.0] },
            driver: if ours { driver(&setting)? } else { String::new() },
            seconds: args.duration().as_secs_f64(),
            seed: args.seed,
            targets: args.target.iter().map(|(name, to)| named(name, *to)).collect(),
            work: if ours { setting.work() } else { Vec::new() },
            config: setting.config.clone(),
            budgets: setting.streams.iter().filter(|_| ours).map(|s| s.budget).collect(),
            policy: ours.then(|| setting.settings.controller.policy.word().to_owned()),
            batches: (!args.batches.is_empty()).then(|| batches_of(setting.settings.level.batch)),
            arrivals: args.arrivals.as_ref().and_then(Asked::said),
        };
        let foreign = Foreign {
            targets: args.target.clone(),
            matching: args.matching,
            budget: args.budget,
            size: args.size(),
        };
        let stolen_limit = args.max_stolen / 100.0;
        let subjects = subjects(args, &setting);
        let arrivals = args.arrivals.as_ref().map_or(Arrivals::Poisson, |a| a.0.clone());
        let duration = args.duration();
        Ok(Self { setting, described, foreign, subjects, arrivals, duration, stolen_limit })
    }

    pub(super) fn cores(&self) -> [usize; 2] {
        [self.described.service_core, self.described.generator_core]
    }

    pub(super) fn describe(&self) -> Described {
        self.described.clone()
    }

    /// Who takes turns. High alone comes first: it is the measure of what this machine allows.
    pub(super) fn subjects(&self) -> &[Subject] {
        &self.subjects
    }

    /// Seconds that a packet takes in its kernel, on average.
    pub(super) const fn cost(&self) -> f64 {
        self.setting.cost
    }

    /// Kernels whose batches are measured at each start.
    pub(super) fn measured_at_start(&self) -> usize {
        let kernels = self.setting.settings.kernels.iter();
        if self.described.is_ours() { kernels.filter(|(_, k)| k.is_measured()).count() } else { 0 }
    }

    /// The name of a subject in the result.
    pub(super) fn label(&self, subject: Subject) -> String {
        match subject {
            Subject::HighAlone => HIGH_ALONE.to_owned(),
            Subject::Policy(policy) => policy.word().to_owned(),
            Subject::Batches(rule) => batches_of(rule),
            Subject::Target(i) => self.foreign.targets[i].0.clone(),
        }
    }

    /// What the service completes in a second when it is never without work and drops nothing by choice.
    pub(super) fn service_capacity(&self, rate: f64, time: Nanos) -> anyhow::Result<Completed> {
        let service = self.start(Subject::Policy(Policy::Fifo))?;
        let to = self.addresses(&service);
        let plan = self.plan(&to, rate, time, &self.setting.streams);
        let offered = self.drive(&plan, Under::Service(&service), WORKER)?;
        service.stop(Nanos::ZERO);
        self.completed(&offered, rate, "the service")
    }

    /// The same of the yardstick.
    pub(super) fn bare_capacity(&self, rate: f64, time: Nanos) -> anyhow::Result<Completed> {
        let settings = &self.setting.settings;
        let kernels = settings.ingress.iter().map(|i| i.kernel).collect();
        let bare = Bare::start(
            self.described.service_core,
            (&settings.kernels, kernels),
            self.setting.framed(),
            settings.workers.realtime,
        )?;
        let streams = &self.setting.streams;
        let mut plan = self.plan(&vec![bare.address(); streams.len()], rate, time, streams);
        for (class, stream) in plan.classes.iter_mut().zip(streams) {
            class.kernel = stream.ingress.0;
        }
        let offered = self.drive(&plan, Under::Bare(&bare), bare::THREAD)?;
        self.completed(&offered, rate, "the bare loop")
    }

    fn completed(&self, offered: &Offered, asked: f64, who: &str) -> anyhow::Result<Completed> {
        let report = &offered.report;
        let rate = offered.served.filter(|r| *r > 0.0).unwrap_or(report.answered_rate);
        ensure!(rate > 0.0, "{}", silent(offered, who, self.stolen_limit));
        let limited = report.offered_rate < KEPT_UP * asked;
        // A generator at its end sends everything late, and that is no fault of the machine's.
        let mut stolen = offered.stolen;
        stolen.generator *= f64::from(u8::from(!limited));
        let sound = stolen.fault(self.stolen_limit).is_none();
        Ok(Completed { rate, sound, full: rate < KEPT_UP * report.offered_rate, limited })
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

    /// Packets a second that the generator is to send in `run`.
    pub(super) fn planned(&self, run: &Run) -> f64 {
        let first = || {
            let mix = &self.described.mix;
            mix.first().map_or(1.0, |m| m / mix.iter().sum::<f64>())
        };
        if run.subject == Subject::HighAlone { run.rate * first() } else { run.rate }
    }

    /// Packets a second that were due in a run, where their number is drawn and not given.
    #[expect(
        clippy::cast_precision_loss,
        reason = "a rate is compared with nine tenths of another"
    )]
    pub(super) fn drawn(&self, measured: &Measured) -> Option<f64> {
        let due: u64 = measured.classes.iter().map(|c| c.due).sum();
        matches!(self.arrivals, Arrivals::Bursts(_)).then(|| due as f64 / self.described.seconds)
    }

    /// One run: a fresh service, the load, its figures.
    pub(super) fn run(&self, run: &Run) -> anyhow::Result<Measured> {
        let streams = &self.setting.streams;
        let streams = match run.subject {
            Subject::HighAlone => &streams[..1],
            Subject::Policy(_) | Subject::Batches(_) => &streams[..],
            Subject::Target(i) => {
                let mut plan = self.target_plan(i, run.rate, self.duration);
                plan.arrivals = self.arrivals.clone();
                plan.check()?;
                let offered = self.drive(&plan, Under::Foreign, NOBODY)?;
                return Ok(Measured::new(run, offered, self.stolen_limit, None));
            }
        };
        let service = self.start(run.subject)?;
        let to = self.addresses(&service);
        let mut plan = self.plan(&to, self.planned(run), self.duration, streams);
        plan.arrivals = self.arrivals.clone();
        let offered = self.drive(&plan, Under::Service(&service), WORKER)?;
        let gpu = service.gpu();
        let stopped = service.stop(Nanos::from_millis(200));
        ensure!(stopped.faults.is_empty(), "{}", stopped.faults.join("; "));
        check_law(&stopped.figures)?;
        let kernels: Vec<String> =
            self.setting.settings.kernels.iter().map(|(name, _)| name.to_owned()).collect();
        let seen = Seen {
            backends: Backends::of(&stopped.figures, &kernels, gpu.as_ref()),
            figures: stopped.figures,
            places: streams.iter().map(|s| (s.ingress, s.priority)).collect(),
        };
        Ok(Measured::new(run, offered, self.stolen_limit, Some(&seen)))
    }

    fn start(&self, subject: Subject) -> anyhow::Result<Service> {
        let mut settings = self.setting.settings.clone();
        match subject {
            Subject::Policy(policy) => settings.controller.policy = policy,
            Subject::Batches(rule) => settings.level.batch = rule,
            Subject::HighAlone | Subject::Target(_) => {}
        }
        Ok(Service::start(service_options(&settings, self.described.seed))?)
    }

    /// Where each class goes.
    fn addresses(&self, service: &Service) -> Vec<SocketAddr> {
        let all = service.addresses();
        self.setting.streams.iter().map(|s| all[s.ingress.index()]).collect()
    }

    fn drive(&self, plan: &Plan, under: Under<'_>, thread: &str) -> anyhow::Result<Offered> {
        plan.check()?;
        let priority = self.setting.settings.workers.realtime;
        let seat = Seat { core: self.described.generator_core, priority };
        drive(plan, under, seat, (thread, self.described.service_core))
    }

    fn plan(&self, to: &[SocketAddr], rate: f64, duration: Nanos, streams: &[Stream]) -> Plan {
        let class = |(s, to): (&Stream, &SocketAddr)| Class {
            name: s.name.clone(),
            to: *to,
            share: s.share,
            size: Sizes::fixed(s.size),
            priority: Some(s.priority),
            budget: Some(s.budget),
            kernel: 0,
            dscp: s.dscp,
        };
        let framed = self.setting.framed();
        Plan {
            classes: streams.iter().zip(to).map(class).collect(),
            rate,
            duration,
            framing: if framed { Framing::Framed } else { Framing::Raw },
            bodies: streams.iter().filter_map(|s| s.body.clone()).collect(),
            matching: if framed { Matching::Header } else { Matching::Echo },
            // What is dropped shows in the service's figures; to be told would cost it a send.
            wants_refusal: false,
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

/// The name of a batch rule in the result.
fn batches_of(rule: BatchRule) -> String {
    format!("batches {rule}")
}

/// Who takes turns: targets; or the policies, with the first class by itself where there are others.
fn subjects(args: &BenchArgs, setting: &Setting) -> Vec<Subject> {
    if !args.target.is_empty() {
        return (0..args.target.len()).map(Subject::Target).collect();
    }
    let alone = (setting.streams.len() > 1).then_some(Subject::HighAlone);
    let beside: Vec<Subject> = if args.batches.is_empty() {
        let policies = args.policies(setting.settings.controller.policy);
        policies.into_iter().map(Subject::Policy).collect()
    } else {
        args.batches.iter().copied().map(Subject::Batches).collect()
    };
    alone.into_iter().chain(beside).collect()
}

/// The cores of the service and of the generator, beside those of `helpers`.
fn cores(args: &BenchArgs, allowed: &[usize], helpers: usize) -> anyhow::Result<[usize; 2]> {
    let asked = args.cores.clone();
    let own = asked.unwrap_or_else(|| allowed.iter().copied().take(2).collect());
    let [service, generator] = own[..] else {
        anyhow::bail!("a benchmark needs two cores, one for the service and one for the load")
    };
    if helpers > 0 {
        let placed = affinity::with_helpers(allowed, Some(&[service]), helpers);
        let (_, theirs) = placed.map_err(|left| {
            anyhow::anyhow!("{helpers} helpers: {left} cores are left beside the service's")
        })?;
        ensure!(
            !theirs.contains(&generator) || args.cores.is_some(),
            "{helpers} helpers beside the service's core, and the load: that takes {} cores, and this process may use {}; \
             --cores {service},{generator} lets a helper share the load's core all the same",
            helpers + 2,
            allowed.len()
        );
    }
    Ok([service, generator])
}

/// The name of the driver that the service will have.
fn driver(setting: &Setting) -> anyhow::Result<String> {
    let io = setting.settings.workers.io;
    Ok(match io {
        Io::Auto => crate::io::capability::choose(None)?.kind.label().to_owned(),
        asked => asked.word().to_owned(),
    })
}

/// Why nothing was answered, as far as it is known.
fn silent(offered: &Offered, who: &str, limit: f64) -> String {
    let report = &offered.report;
    let why = offered.stolen.fault(limit).unwrap_or_else(|| {
        "nobody took its core away: do its kernels answer such payloads, and its egress to this sender?".to_owned()
    });
    format!(
        "{who} answered none of {} packets while saturation was looked for; {why}",
        report.sum(|c| c.sent)
    )
}

fn named(name: &str, to: SocketAddr) -> String {
    let address = to.to_string();
    if name == address { address } else { format!("{name} ({address})") }
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
