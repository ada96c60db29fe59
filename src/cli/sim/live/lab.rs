//! The real side: the plan's service on its core, the generator on another, the loopback device between them.
//!
//! Knows no world.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};

use anyhow::{Context as _, ensure};

use super::super::world::Point;
use super::costs::{Costs, Counted};
use crate::base::Nanos;
use crate::cli::bench::{LATE_AFTER, Offered, Seat, Under, WORKER, Worked, drive};
use crate::cli::options::service_options;
use crate::config::plan::{Plan, Shape, Times, Traffic};
use crate::config::{Classify, Cores, Framing, Late, Policy, Settings};
use crate::kernel::KernelSpec;
use crate::load::{self, Class, Matching, Report, Sizes};
use crate::runtime::Service;
use crate::sim::world::Faults;
use crate::stats::Counters;
use crate::sys::affinity;
use crate::sys::socket::{self, UdpOptions};

/// The share of a run's time that others may take: as in `bench`.
const STOLEN_MAX: f64 = 0.02;
/// How often a run is made that they took too much of.
const TRIES: u32 = 3;
/// For how long the service is kept saturated.
const SATURATED_FOR: Nanos = Nanos::from_secs(2);
/// More datagrams of the smallest kind than a socket of ours holds.
const FILL_MAX: usize = 2_000_000;

/// See the module.
#[derive(Debug)]
pub(super) struct Lab<'p> {
    plan: &'p Plan,
    /// The plan by which saturation is found: in the order of arrival, and late answers leave, so that sends are answers.
    saturating: Plan,
    cores: [usize; 2],
    kernel_ns: f64,
    seed: u64,
}

/// One live run.
#[derive(Debug)]
pub(super) struct Ran {
    pub(super) report: Report,
    /// Packets a second that it was offered.
    pub(super) rate: f64,
    /// What the service had done, step by step, while requests were sent.
    worked: Vec<Worked>,
    /// The service's own figures at the end.
    pub(super) figures: Counters,
    pub(super) again: u32,
    pub(super) void: bool,
}

impl<'p> Lab<'p> {
    pub(super) fn new(plan: &'p Plan, seed: u64) -> anyhow::Result<Self> {
        fits(plan)?;
        let core = match &plan.settings.workers.cores {
            Cores::List(cores) => cores.first().copied(),
            Cores::Auto => None,
        };
        let allowed =
            affinity::allowed_cores().context("cannot read which cores this process may use")?;
        let core = core.or_else(|| allowed.first().copied()).context("no core may be used")?;
        let other = allowed.iter().find(|c| **c != core).copied();
        let other = other.context("two cores are needed, one of them for the load")?;
        let mut saturating = plan.clone();
        saturating.policy = vec![Policy::Fifo];
        saturating.duration = SATURATED_FOR;
        saturating.settings.egress.iter_mut().for_each(|e| e.late = Late::Send);
        Ok(Self { plan, saturating, cores: [core, other], kernel_ns: mean_ns(plan), seed })
    }

    /// What a packet's kernel is to take on average, by the config.
    pub(super) const fn kernel_ns(&self) -> f64 {
        self.kernel_ns
    }

    pub(super) const fn saturating(&self) -> &Plan {
        &self.saturating
    }

    pub(super) fn driver(&self) -> String {
        format!("service on core {}, load on core {}", self.cores[0], self.cores[1])
    }

    /// Datagrams of the plan that one of the service's sockets holds: they are sent to one that nobody reads, and counted.
    pub(super) fn socket_buffer(&self) -> anyhow::Result<usize> {
        let asked = self.plan.settings.workers.receive_buffer;
        let receive_buffer = Some(asked);
        let options = UdpOptions { receive_buffer, timestamps: true, ..UdpOptions::default() };
        let to = socket::open(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), &options)?.socket;
        let from = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
        let size = self.plan.traffic.iter().map(|t| t.size).max().unwrap_or(0);
        let (payload, address) = (vec![0; size], to.local_addr()?);
        // A datagram of the kernel's own granularity is charged no less than this.
        let enough = (asked / 64).clamp(1, FILL_MAX);
        for _ in 0..enough {
            from.send_to(&payload, address)?;
        }
        let mut held = 0;
        let mut bytes = vec![0; size];
        while to.recv(&mut bytes).is_ok() {
            held += 1;
        }
        ensure!(held > 0, "a socket with a buffer of {asked} bytes holds nothing");
        Ok(held)
    }

    /// What the service counts when it is never without work.
    pub(super) fn saturate(&self, rate: f64, round: u32) -> anyhow::Result<Counted> {
        let ran = self.soundly(&self.saturating, Policy::Fifo, rate, round)?;
        let ends = ran.worked.first().zip(ran.worked.last());
        let (first, last) = ends.context("the service's figures were not read while it ran")?;
        let counted = Counted::between(first, last);
        ensure!(counted.sends > 0.0, "the service answered nothing while it was saturated");
        Ok(counted)
    }

    /// One run of a point at `rate` packets a second.
    pub(super) fn run(&self, point: Point, rate: f64, round: u32) -> anyhow::Result<Ran> {
        self.soundly(self.plan, point.policy, rate, round)
    }

    /// How the core's pace was in a run; nothing where that cannot be told, because classes take differently long.
    pub(super) fn pace(&self, ran: &Ran, costs: &Costs) -> Vec<(Nanos, f64)> {
        let alike = self.plan.traffic.windows(2).all(|t| t[0].time == t[1].time);
        if alike { costs.pace(&ran.worked, self.kernel_ns) } else { Vec::new() }
    }

    /// Makes a run that the machine took too much of again, as often as is allowed.
    fn soundly(&self, plan: &Plan, policy: Policy, rate: f64, round: u32) -> anyhow::Result<Ran> {
        let mut again = 0;
        loop {
            let (offered, figures) = self.offer(plan, policy, rate, round)?;
            let void = offered.stolen.fault(STOLEN_MAX).is_some();
            if !void || again + 1 == TRIES {
                let Offered { report, worked, .. } = offered;
                return Ok(Ran { report, rate, worked, figures, again, void });
            }
            again += 1;
        }
    }

    fn offer(
        &self,
        plan: &Plan,
        policy: Policy,
        rate: f64,
        round: u32,
    ) -> anyhow::Result<(Offered, Counters)> {
        let service = Service::start(service_options(&self.settings(plan, policy), self.seed))?;
        let load = generated(plan, service.addresses(), rate, self.seed + u64::from(round));
        load.check()?;
        let seat = Seat { core: self.cores[1], priority: 0 };
        let under = Under::Service(&service);
        let offered = drive(&load, under, seat, (WORKER, self.cores[0]))?;
        let mut stopped = service.stop(Nanos::from_millis(200));
        ensure!(stopped.faults.is_empty(), "{}", stopped.faults.join("; "));
        ensure!(!stopped.figures.is_empty(), "the service left no figures");
        Ok((offered, stopped.figures.swap_remove(0)))
    }

    fn settings(&self, plan: &Plan, policy: Policy) -> Settings {
        let mut settings = plan.settings.clone();
        settings.controller.policy = policy;
        settings.workers.cores = Cores::List(vec![self.cores[0]]);
        // The simulated service has none, and their core is the generator's here.
        settings.level.helpers = 0;
        settings.admin = None;
        settings.ingress.iter_mut().for_each(|i| i.listen.set_port(0));
        settings
    }
}

/// What is offered to the real service: the plan's traffic in the generator's words.
fn generated(plan: &Plan, to: &[SocketAddr], rate: f64, seed: u64) -> load::Plan {
    let class = |t: &Traffic| Class {
        name: t.priority.label().to_owned(),
        to: to[t.ingress],
        share: t.share,
        size: Sizes::fixed(t.size),
        priority: Some(t.priority),
        budget: Some(plan.settings.ingress[t.ingress].budgets[t.priority]),
        kernel: 0,
        dscp: None,
    };
    let first = plan.traffic.first().map_or(to[0], |t| to[t.ingress]);
    let flows = plan.traffic.first().map_or(1, |t| t.flows);
    load::Plan {
        classes: plan.traffic.iter().map(class).collect(),
        rate,
        duration: plan.duration,
        framing: load::Framing::Raw,
        matching: Matching::Echo,
        flows: u16::try_from(flows).unwrap_or(u16::MAX),
        flow_order: load::FlowOrder::Random,
        // A world's sockets know no trains.
        gso: false,
        seed,
        spin: true,
        late_after: LATE_AFTER,
        ..load::Plan::single("high", first)
    }
}

fn mean_ns(plan: &Plan) -> f64 {
    let shares: f64 = plan.traffic.iter().map(|t| t.share).sum();
    let each = |t: &Traffic| t.share * super::build::mean_ns(t.time);
    plan.traffic.iter().map(each).sum::<f64>() / shares
}

/// Whether the real service can be given this: only what both sides can do in the same way.
fn fits(plan: &Plan) -> anyhow::Result<()> {
    ensure!(plan.workers == [1], "it takes workers = 1: there is one core for the service");
    ensure!(plan.faults == Faults::default(), "[faults] cannot be made on a real machine");
    ensure!(
        plan.helpers == 0 && plan.batches.is_empty(),
        "`helpers` and [[batch]] are not for --live: it takes one core and one packet a run"
    );
    ensure!(plan.step.is_none(), "[step] is not for --live: a point has one load");
    let link = &plan.link;
    let clean = link.loss <= 0.0 && link.duplicate <= 0.0;
    ensure!(
        clean && link.delay == Nanos::ZERO && link.jitter == Nanos::ZERO,
        "[link] is the loopback device: no delay, jitter, loss or duplicates"
    );
    let flows = plan.traffic.first().map_or(1, |t| t.flows);
    for traffic in &plan.traffic {
        let ingress = &plan.settings.ingress[traffic.ingress];
        let name = &ingress.name;
        ensure!(
            ingress.framing == Framing::Raw && ingress.classify == Classify::Fixed,
            "ingress {name:?} must take raw datagrams of one class"
        );
        ensure!(ingress.listen.ip().is_loopback(), "ingress {name:?} must listen on loopback");
        let own = match plan.settings.kernels.spec(ingress.kernel) {
            Some(KernelSpec::Spin(time)) => Some(*time),
            _ => None,
        };
        ensure!(
            own == Some(traffic.time) && traffic.recorded.is_none(),
            "ingress {name:?} must run a `spin` kernel, and the plan may give it no other time"
        );
        ensure!(
            traffic.arrivals == Times::Shape(Shape::Poisson),
            "it takes arrivals = \"poisson\""
        );
        ensure!(traffic.flows == flows, "all traffic must have the same number of flows");
    }
    Ok(())
}
