//! The set-up of a benchmark: a service on one core, a generator on another, nothing in between but the kernel.

use std::fmt;
use std::net::SocketAddr;

use anyhow::{Context as _, ensure};
use serde::Serialize;

use super::BenchArgs;
use super::outcome::{Measured, Run, Subject};
use crate::base::{IngressId, Nanos, Priority};
use crate::cli::options::service_options;
use crate::config::{self, Cores, Io, Policy, Settings};
use crate::kernel::spin::ServiceTime;
use crate::kernel::{KernelSpec, Registry};
use crate::load::{self, Class, Framing, Generator, Matching, Plan, Report, Sizes};
use crate::runtime::Service;
use crate::stats::Counters;
use crate::sys::affinity;
use crate::sys::clock::MonotonicClock;

/// The config that a benchmark starts from.
const LAB: &str = include_str!("../../../configs/overload-lab.toml");
/// `SCHED_FIFO` priority of the workers with `--realtime`; the generator has the same on its own core.
const REALTIME_PRIORITY: u8 = 10;
/// The classes of the mix.
const CLASSES: [Priority; 3] = [Priority::High, Priority::Medium, Priority::Low];
/// Flows a class.
const FLOWS: u16 = 2;
/// How long saturation is looked for.
const SATURATION_RUN: Nanos = Nanos::from_millis(1_200);
/// What a packet costs besides its kernel, for the first guess at saturation.
const OVERHEAD_GUESS: Nanos = Nanos::from_micros(3);

/// What a benchmark was run on.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Described {
    pub(super) service_core: usize,
    pub(super) generator_core: usize,
    #[serde(rename = "service_ns")]
    pub(super) service: Nanos,
    pub(super) mix: Vec<f64>,
    pub(super) driver: String,
    pub(super) seconds: f64,
    pub(super) seed: u64,
}

impl fmt::Display for Described {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mix: Vec<String> = self.mix.iter().map(f64::to_string).collect();
        write!(
            f,
            "High:Medium:Low = {} by packets, {} of busy work each, {} s a run; service on core {}, load on core {}, {}",
            mix.join(":"),
            self.service,
            self.seconds,
            self.service_core,
            self.generator_core,
            self.driver
        )
    }
}

/// See the module.
#[derive(Debug)]
pub(super) struct Lab {
    settings: Settings,
    described: Described,
    duration: Nanos,
}

impl Lab {
    pub(super) fn new(args: &BenchArgs) -> anyhow::Result<Self> {
        let loaded = config::parse("overload-lab.toml", LAB)?;
        let mut settings = loaded.settings;
        let allowed =
            affinity::allowed_cores().context("cannot read which cores this process may use")?;
        let cores = args.cores.clone().unwrap_or_else(|| allowed.iter().copied().take(2).collect());
        ensure!(
            cores.len() == 2,
            "a benchmark needs two cores, one for the service and one for the load"
        );
        settings.workers.cores = Cores::List(vec![cores[0]]);
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
        let described = Described {
            service_core: cores[0],
            generator_core: cores[1],
            service: args.service,
            mix: args.mix.clone(),
            driver: driver.to_owned(),
            seconds: args.duration().as_secs_f64(),
            seed: args.seed,
        };
        Ok(Self { settings, described, duration: args.duration() })
    }

    pub(super) fn cores(&self) -> [usize; 2] {
        [self.described.service_core, self.described.generator_core]
    }

    pub(super) fn describe(&self) -> Described {
        self.described.clone()
    }

    /// Packets a second that the service completes when it is never without work and drops nothing by choice.
    pub(super) fn saturation(&self) -> anyhow::Result<f64> {
        let guess = 1.0 / (self.described.service + OVERHEAD_GUESS).as_secs_f64();
        let service = self.start(Policy::Fifo)?;
        let report = self.offer(&service, 1.5 * guess, SATURATION_RUN, &CLASSES)?;
        let answered = report.answered_rate;
        service.stop(Nanos::ZERO);
        ensure!(answered > 0.0, "the service answered nothing while saturation was looked for");
        Ok(answered)
    }

    /// One run: a fresh service, the load, its figures.
    pub(super) fn run(&self, run: Run) -> anyhow::Result<Measured> {
        let (policy, classes, share) = match run.subject {
            Subject::HighAlone => {
                let all: f64 = self.described.mix.iter().sum();
                (Policy::Edf, &CLASSES[..1], self.described.mix[0] / all)
            }
            Subject::Policy(policy) => (policy, &CLASSES[..], 1.0),
        };
        let service = self.start(policy)?;
        let report = self.offer(&service, run.rate * share, self.duration, classes)?;
        let stopped = service.stop(Nanos::from_millis(200));
        ensure!(stopped.faults.is_empty(), "{}", stopped.faults.join("; "));
        check_law(&stopped.figures)?;
        Ok(Measured::new(run, &report, &stopped.figures))
    }

    fn start(&self, policy: Policy) -> anyhow::Result<Service> {
        let mut settings = self.settings.clone();
        settings.controller.policy = policy;
        Ok(Service::start(service_options(&settings, self.described.seed))?)
    }

    fn offer(
        &self,
        service: &Service,
        rate: f64,
        duration: Nanos,
        classes: &[Priority],
    ) -> anyhow::Result<Report> {
        let plan = self.plan(service.addresses(), rate, duration, classes);
        let core = self.described.generator_core;
        let realtime = self.settings.workers.realtime > 0;
        let run = move || -> anyhow::Result<Report> {
            affinity::pin_current(core)?;
            if realtime {
                crate::sys::realtime::request_fifo(i32::from(REALTIME_PRIORITY))?;
            }
            let driver = load::open(&plan)?;
            Ok(Generator::new(plan, driver, MonotonicClock)?.run(|_| ())?)
        };
        std::thread::scope(|s| {
            let generator = std::thread::Builder::new()
                .name("punctual-load".to_owned())
                .spawn_scoped(s, run)?;
            generator.join().unwrap_or_else(|_panic| Err(anyhow::anyhow!("the generator panicked")))
        })
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
            ..Plan::single("high", to[0])
        }
    }
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
