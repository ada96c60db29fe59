//! One offered load: streams of jobs merged in the order of their times, with costs that may drift.
//!
//! Knows no queue. A flood is a second stream; a changed machine is a drift.

use rand_distr::Distribution as _;
use rand_xoshiro::Xoshiro256PlusPlus;
use rand_xoshiro::rand_core::SeedableRng as _;

use super::service::{nanos, ns};
use super::{ArrivalTimes, Arrivals, Workload};
use crate::base::{Instant, Nanos};

/// One job that arrives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Offer {
    /// When.
    pub at: Instant,
    /// Its kind's place in the workload.
    pub kind: usize,
    /// What it takes.
    pub service: Nanos,
}

/// From a time on, service takes `factor` times as long.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Drift {
    /// From then on.
    pub at: Instant,
    /// How much longer.
    pub factor: f64,
}

/// One stream of jobs.
#[derive(Clone, Debug, PartialEq)]
pub struct Stream {
    /// When its jobs arrive.
    pub arrivals: Arrivals,
    /// How many a second.
    pub rate_per_s: f64,
    /// All jobs are of this kind; `None`: of all kinds, by their shares.
    pub only: Option<usize>,
}

#[derive(Clone, Debug)]
struct Running {
    times: ArrivalTimes,
    next: Instant,
    only: Option<usize>,
    rng: Xoshiro256PlusPlus,
}

/// The jobs of a run, in the order of their times, without end.
#[derive(Clone, Debug)]
pub struct Offered {
    workload: Workload,
    /// Upper ends of the kinds' parts of [0, 1).
    upper: Vec<f64>,
    streams: Vec<Running>,
    drift: Option<Drift>,
}

impl Offered {
    /// A Poisson stream of all kinds that keeps `servers` of them busy `load` of the time.
    #[must_use]
    pub fn poisson(workload: &Workload, load: f64, servers: u32, seed: u64) -> Self {
        let rate_per_s = workload.rate_per_s(load, servers);
        Self::new(workload, &[Stream { arrivals: Arrivals::Poisson, rate_per_s, only: None }], seed)
    }

    /// The given streams.
    #[must_use]
    pub fn new(workload: &Workload, streams: &[Stream], seed: u64) -> Self {
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed);
        let mut upper = 0.0;
        let mut uppers: Vec<f64> = (0..workload.kinds.len())
            .map(|kind| {
                upper += workload.share(kind);
                upper
            })
            .collect();
        // Rounding must not leave a gap below 1 that belongs to nobody.
        if let Some(last) = uppers.last_mut() {
            *last = f64::INFINITY;
        }
        let mut start = |s: &Stream| {
            // Streams must not share draws: each takes a stretch of 2^128 of the generator's own for itself.
            let times = rng.clone();
            rng.jump();
            let jobs = rng.clone();
            rng.jump();
            let mut times = ArrivalTimes::new(s.arrivals.clone(), s.rate_per_s, times);
            let next = times.next_at();
            Running { times, next, only: s.only, rng: jobs }
        };
        let streams = streams.iter().map(&mut start).collect();
        Self { workload: workload.clone(), upper: uppers, streams, drift: None }
    }

    /// The same jobs with costs that drift.
    #[must_use]
    pub const fn drifting(mut self, drift: Drift) -> Self {
        self.drift = Some(drift);
        self
    }

    /// What is offered.
    #[must_use]
    pub const fn workload(&self) -> &Workload {
        &self.workload
    }
}

impl Iterator for Offered {
    type Item = Offer;

    /// The next job; `None` when no stream has one left.
    #[inline]
    fn next(&mut self) -> Option<Offer> {
        let stream = self.streams.iter_mut().min_by_key(|s| s.next)?;
        let at = stream.next;
        if at == Instant::MAX {
            return None;
        }
        stream.next = stream.times.next_at();
        let kind = stream.only.unwrap_or_else(|| {
            let x: f64 = if self.upper.len() > 1 {
                rand_distr::StandardUniform.sample(&mut stream.rng)
            } else {
                0.0
            };
            self.upper.iter().position(|u| x < *u).unwrap_or(0)
        });
        let mut service = self.workload.kinds.get(kind)?.service.draw(&mut stream.rng);
        if let Some(drift) = self.drift.filter(|d| at >= d.at) {
            service = nanos(ns(service) * drift.factor);
        }
        Some(Offer { at, kind, service })
    }
}
