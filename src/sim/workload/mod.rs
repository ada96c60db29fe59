//! What is offered: service times, arrivals, and the published workloads that others measure with.
//!
//! Knows no queue and no policy. Everything is drawn from a seed; the same seed offers the same load.

mod arrivals;
mod offered;
mod published;
mod service;

pub use arrivals::{ArrivalTimes, Arrivals};
pub use offered::{Drift, Offer, Offered, Stream};
pub use published::{by_name, names};
pub use service::Service;
pub(in crate::sim) use service::{nanos, ns};

use crate::base::{Nanos, Priority};

/// One kind of job: what tells it apart (class, kernel, size bucket) and what it is worth.
#[derive(Clone, Debug, PartialEq)]
pub struct Kind {
    /// Its name in tables.
    pub name: &'static str,
    /// Its part of all jobs. The parts of a mix need not sum to 1: only their ratios count.
    pub share: f64,
    /// How long one takes.
    pub service: Service,
    /// Its class.
    pub priority: Priority,
    /// From release to deadline.
    pub budget: Nanos,
    /// What one on time is worth.
    pub value: u32,
}

/// A mix of kinds.
#[derive(Clone, Debug, PartialEq)]
pub struct Workload {
    /// Its name on the command line.
    pub name: &'static str,
    /// What it is made of.
    pub kinds: Vec<Kind>,
}

impl Workload {
    /// The sum of all shares.
    fn total(&self) -> f64 {
        self.kinds.iter().map(|k| k.share).sum()
    }

    /// The mean over all jobs of `f` of their kind.
    fn mean_of(&self, f: impl Fn(&Kind) -> f64) -> f64 {
        self.kinds.iter().map(|k| k.share * f(k)).sum::<f64>() / self.total()
    }

    /// The mean service time, in nanoseconds.
    #[must_use]
    pub fn mean_ns(&self) -> f64 {
        self.mean_of(|k| k.service.mean_ns())
    }

    /// The mean square of the service time, in square nanoseconds.
    #[must_use]
    pub fn mean_square_ns2(&self) -> f64 {
        self.mean_of(|k| k.service.mean_square_ns2())
    }

    /// The squared coefficient of variation of the service time.
    #[must_use]
    pub fn scv(&self) -> f64 {
        self.mean_square_ns2() / self.mean_ns().powi(2) - 1.0
    }

    /// Jobs a second that keep `servers` of them busy `load` of the time.
    #[must_use]
    pub fn rate_per_s(&self, load: f64, servers: u32) -> f64 {
        load * f64::from(servers) * 1e9 / self.mean_ns()
    }

    /// The part of all jobs that are of that kind.
    #[must_use]
    pub fn share(&self, kind: usize) -> f64 {
        self.kinds.get(kind).map_or(0.0, |k| k.share / self.total())
    }

    /// The same workload, each job's budget `factor` times its kind's mean service.
    #[must_use]
    pub fn with_budgets(mut self, factor: f64) -> Self {
        for kind in &mut self.kinds {
            kind.budget = nanos(factor * kind.service.mean_ns());
        }
        self
    }

    /// The same workload, all jobs with one budget: deadlines in the order of arrival.
    #[must_use]
    pub fn with_common_budget(mut self, budget: Nanos) -> Self {
        for kind in &mut self.kinds {
            kind.budget = budget;
        }
        self
    }

    /// The same workload with every service time multiplied by `factor`.
    #[must_use]
    pub fn scaled(mut self, factor: f64) -> Self {
        for kind in &mut self.kinds {
            kind.service = kind.service.scaled(factor);
        }
        self
    }
}

#[cfg(test)]
mod tests;
