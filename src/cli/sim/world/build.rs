//! From a plan and a point on its axes to a world, by way of the very options that `serve` would have.

use std::sync::Arc;

use super::Point;
use crate::base::{Instant, KernelId, Nanos};
use crate::cli::options::service_options;
use crate::config::Settings;
use crate::config::plan::{Plan, Shape, Times, Traffic};
use crate::kernel::KernelSpec;
use crate::kernel::spin::ServiceTime;
use crate::runtime::{EgressTarget, SocketsPerWorker};
use crate::sim::workload::{Arrivals, Service as Time};
use crate::sim::world::{Company, Options, Service, Stream, Way};

/// What a kernel takes that does not say: as traffic that names no time.
const QUICK: Nanos = Nanos::from_micros(1);

pub(in crate::cli::sim) fn options(plan: &Plan, point: Point, seed: u64) -> Options {
    let mut settings = plan.settings.clone();
    settings.controller.policy = point.policy;
    let service = service(&settings, plan, seed);
    let mut options = Options {
        workers: point.workers,
        streams: plan
            .traffic
            .iter()
            .map(|t| stream(&settings, t))
            .map(|s| stepped(s, plan, point))
            .collect(),
        service,
        costs: plan.costs,
        link: plan.link,
        faults: plan.faults.clone(),
        packets: plan.packets,
        duration: plan.duration,
        seed,
        check_every: 1,
        record: false,
    };
    // Rates are shares so far: their sum is made to be the load.
    let factor = point.load / options.load();
    for stream in &mut options.streams {
        stream.rate_per_s *= factor;
    }
    options
}

/// The stream with the plan's step: what it multiplies is the rate of the point.
fn stepped(stream: Stream, plan: &Plan, point: Point) -> Stream {
    let Some(step) = plan.step else { return stream };
    let at = Instant::ZERO + step.at;
    let arrivals = Arrivals::Steps(vec![(Instant::ZERO, 1.0), (at, step.load / point.load)]);
    Stream { arrivals, ..stream }
}

fn service(settings: &Settings, plan: &Plan, seed: u64) -> Service {
    let told = service_options(settings, seed);
    let way = |target: &EgressTarget| match *target {
        EgressTarget::Reply { amplification_per_mille, low_source_ports } => {
            Way::Reply { amplification_per_mille, low_source_ports }
        }
        // A plan whose config forwards is refused before.
        EgressTarget::Send { .. } | EgressTarget::Forward { .. } => Way::Send,
    };
    let kernels = 0..told.kernels.len();
    Service {
        ingresses: told
            .ingresses
            .iter()
            .map(|i| (i.for_worker(), i.sockets == SocketsPerWorker::Class))
            .collect(),
        egresses: told.egresses.iter().map(|e| (way(&e.target), e.late)).collect(),
        company: kernels.clone().map(|k| company(plan, k)).collect(),
        kernels: kernels.map(|k| plain_time(settings, plan, k)).collect(),
        batch: told.batch,
        helpers: plan.helpers,
        budgets: told.budgets,
        ema_weight: told.ema_weight,
        admission: told.admission,
        controller: told.controller,
        guard: told.guard,
        guard_requires_expected_high: told.guard_requires_expected_high,
        idle: told.idle,
        max_datagram: told.max_datagram,
        hold: told.hold,
        drain: told.drain,
    }
}

fn company(plan: &Plan, kernel: usize) -> Option<Company> {
    plan.batches.iter().find(|(id, _)| id.index() == kernel).map(|(_, company)| *company)
}

/// What the rounds before traffic take: the mean of what the plan sends to that kernel, or what the kernel says.
fn plain_time(settings: &Settings, plan: &Plan, kernel: usize) -> Nanos {
    let id = KernelId(u16::try_from(kernel).unwrap_or(u16::MAX));
    let sent = plan.traffic.iter().find(|t| settings.ingress[t.ingress].kernel == id);
    match (sent, settings.kernels.spec(id)) {
        (Some(traffic), _) => traffic.recorded.as_ref().map_or_else(
            || mean(traffic.time),
            |times| {
                let sum = times.iter().fold(Nanos::ZERO, |sum, t| sum + *t);
                Nanos::new(sum.get() / times.len().max(1) as u64)
            },
        ),
        (None, Some(KernelSpec::Spin(time))) => mean(*time),
        (None, _) => QUICK,
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a mean of times, at least 0; `as` saturates"
)]
fn mean(time: ServiceTime) -> Nanos {
    Nanos::new(mean_ns(time) as u64)
}

/// What such a kernel takes on average.
pub(in crate::cli::sim) fn mean_ns(time: ServiceTime) -> f64 {
    let parts = parts(time);
    let total: f64 = parts.iter().map(|(w, _)| w).sum();
    parts.iter().map(|(w, t)| w * t.mean_ns()).sum::<f64>() / total
}

fn parts(time: ServiceTime) -> Vec<(f64, Time)> {
    match time {
        ServiceTime::Constant(t) => vec![(1.0, Time::Fixed(t))],
        ServiceTime::Uniform(a, b) => vec![(1.0, Time::Uniform(a, b))],
        ServiceTime::Exponential(mean) => vec![(1.0, Time::Exponential(mean))],
        ServiceTime::Bimodal { short, long, share } => {
            vec![(1.0 - share, Time::Fixed(short)), (share, Time::Fixed(long))]
        }
        ServiceTime::Payload { .. } => vec![(1.0, Time::Fixed(QUICK))],
    }
}

fn arrivals(times: &Times) -> Arrivals {
    let (on, off) = (Nanos::from_millis(10), Nanos::from_millis(40));
    match times {
        Times::Shape(Shape::Poisson) => Arrivals::Poisson,
        Times::Shape(Shape::Uniform) => Arrivals::Uniform,
        Times::Shape(Shape::Bursts) => Arrivals::OnOff { ratio: 10.0, on, off },
        Times::Shape(Shape::Day) => {
            Arrivals::Diurnal { low: 0.2, high: 1.8, period: Nanos::from_secs(1) }
        }
        Times::Captured(times) => Arrivals::Captured(Arc::clone(times)),
    }
}

fn stream(settings: &Settings, traffic: &Traffic) -> Stream {
    let ingress = &settings.ingress[traffic.ingress];
    let name = if ingress.name == traffic.priority.label() {
        ingress.name.clone()
    } else {
        format!("{}/{}", ingress.name, traffic.priority)
    };
    Stream {
        name,
        ingress: traffic.ingress,
        priority: traffic.priority,
        rate_per_s: traffic.share,
        arrivals: arrivals(&traffic.arrivals),
        service: parts(traffic.time),
        recorded: traffic.recorded.clone(),
        size: traffic.size,
        flows: traffic.flows,
        kernel: ingress.kernel,
        budgets: traffic.budgets.clone(),
    }
}
