//! One cell of a comparison: a policy on a workload at a load, and what it came to beside the bound.
//!
//! Knows no output format.

use serde::Serialize;

use super::policies::{self, Named};
use super::{Costs, Engine, Gone, Outcome};
use crate::base::{Instant, Nanos};
use crate::sim::oracle::fluid;
use crate::sim::workload::{Arrivals, Offered, Stream, Workload, nanos};

/// How jobs arrive in a comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pattern {
    /// Poisson.
    Poisson,
    /// On and off, 10 : 1, for a hundred mean services each on average.
    Bursts,
    /// A sine from half to one and a half times the load, over a fifth of the run.
    Day,
    /// The last kind alone at four times the load more in the middle third of the run.
    Flood,
}

/// What all cells of a comparison share.
#[derive(Clone, Copy, Debug)]
pub struct Setup {
    /// Servers.
    pub servers: usize,
    /// Jobs a cell.
    pub jobs: usize,
    /// Of jobs that may be sliced.
    pub slice: Nanos,
    /// Of a look round at a slice's end.
    pub check: Nanos,
    /// Of the arrivals.
    pub pattern: Pattern,
    /// Decides every draw.
    pub seed: u64,
}

/// One kind's part of a cell.
#[derive(Clone, Debug, Serialize)]
pub struct KindCell {
    /// Its name.
    pub kind: &'static str,
    /// Share of its jobs on time.
    pub on_time: f64,
    /// Sojourn of its finished jobs, microseconds: median, 99th and 99.9th percentile.
    pub p50_us: f64,
    /// See [`KindCell::p50_us`].
    pub p99_us: f64,
    /// See [`KindCell::p50_us`].
    pub p999_us: f64,
}

/// One cell. Shares are of all jobs offered.
#[derive(Clone, Debug, Serialize)]
pub struct Cell {
    /// The workload's name.
    pub workload: &'static str,
    /// Times what the servers can do.
    pub load: f64,
    /// The policy's name.
    pub policy: &'static str,
    /// On time.
    pub on_time: f64,
    /// Value on time, by value offered.
    pub value: f64,
    /// The most value that any schedule can reach (`sim::oracle::fluid`).
    pub bound: f64,
    /// Finished late.
    pub late: f64,
    /// Dropped, by reason.
    pub dropped: std::collections::BTreeMap<&'static str, f64>,
    /// Of the work done, the share that ended on time.
    pub useful: f64,
    /// By kind.
    pub kinds: Vec<KindCell>,
    /// Of the refusals that were run all the same, the share that was on time in time that nobody else needed.
    pub wrongful: Option<f64>,
    /// Of the promises, the share that was broken.
    pub broken: Option<f64>,
}

/// The names of all policies, in the order of the tables.
#[must_use]
pub fn names(w: &Workload, setup: &Setup) -> Vec<&'static str> {
    policies(w, setup).into_iter().map(|(name, _)| name).collect()
}

pub(super) fn policies(w: &Workload, setup: &Setup) -> Vec<Named> {
    policies::all(w, setup.servers, setup.slice, setup.check)
}

/// Runs one cell; `None` when no policy has that name.
#[must_use]
pub fn cell(w: &Workload, load: f64, name: &str, setup: &Setup) -> Option<Cell> {
    let (policy, mut it) = policies(w, setup).into_iter().find(|(n, _)| *n == name)?;
    let costs = Costs { check: setup.check, switch: Nanos::ZERO };
    let engine = Engine { servers: setup.servers, costs, histograms: true, ..Engine::default() };
    let offers = offered(w, load, setup).take(setup.jobs);
    let outcome = engine.run(&w.kinds, offers, it.as_mut());
    Some(described(w, load, policy, &outcome))
}

#[expect(clippy::cast_precision_loss, reason = "2^53 jobs are never run")]
pub(super) fn offered(w: &Workload, load: f64, setup: &Setup) -> Offered {
    let servers = u32::try_from(setup.servers).unwrap_or(u32::MAX);
    let rate_per_s = w.rate_per_s(load, servers);
    let span_ns = setup.jobs as f64 / rate_per_s * 1e9;
    let at = |part: f64| Instant::ZERO + nanos(part * span_ns);
    let all = |arrivals| Stream { arrivals, rate_per_s, only: None };
    let streams = match setup.pattern {
        Pattern::Poisson => vec![all(Arrivals::Poisson)],
        Pattern::Bursts => {
            let span = nanos(100.0 * w.mean_ns());
            vec![all(Arrivals::OnOff { ratio: 10.0, on: span, off: span })]
        }
        Pattern::Day => {
            vec![all(Arrivals::Diurnal { low: 0.5, high: 1.5, period: nanos(span_ns / 5.0) })]
        }
        Pattern::Flood => {
            // The flood brings as many jobs again, so the run ends at the second third of the span.
            let steps = vec![(Instant::ZERO, 0.0), (at(0.2), 4.0), (at(0.4), 0.0)];
            let only = w.kinds.len().checked_sub(1);
            vec![
                all(Arrivals::Poisson),
                Stream { arrivals: Arrivals::Steps(steps), rate_per_s, only },
            ]
        }
    };
    Offered::new(w, &streams, setup.seed)
}

#[expect(clippy::cast_precision_loss, reason = "reports do not need the last digits")]
fn described(w: &Workload, load: f64, policy: &'static str, o: &Outcome) -> Cell {
    let us = |k: &super::KindOutcome, q: f64| k.sojourn.value_at_quantile(q) as f64 / 1e3;
    let kinds = w.kinds.iter().zip(&o.kinds).enumerate().map(|(i, (kind, k))| KindCell {
        kind: kind.name,
        on_time: o.kind_on_time(i),
        p50_us: us(k, 0.5),
        p99_us: us(k, 0.99),
        p999_us: us(k, 0.999),
    });
    let worth = |of: fn(&super::KindOutcome) -> u64| -> f64 {
        let each = w.kinds.iter().zip(&o.kinds);
        each.map(|(kind, k)| f64::from(kind.value) * of(k) as f64).sum()
    };
    let dropped = Gone::ALL.into_iter().map(|why| (why.label(), o.dropped_share(why)));
    Cell {
        workload: w.name,
        load,
        policy,
        on_time: o.on_time(),
        value: worth(|k| k.on_time) / worth(|k| k.offered).max(1.0),
        bound: fluid(w, load),
        late: o.late(),
        dropped: dropped.filter(|(_, share)| *share > 0.0).collect(),
        useful: o.useful_share(),
        kinds: kinds.collect(),
        wrongful: o.calibration.map(|c| c.wrongful_ratio()),
        broken: o.calibration.map(|c| c.broken_ratio()),
    }
}
