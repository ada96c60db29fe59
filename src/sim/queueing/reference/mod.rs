//! What theory and papers say a queue does, beside what the engine does: why the tables of a comparison may be believed; and what the
//! product's policy keeps of the bounds.
//!
//! Knows no output. The tests hold each check; `punctual sim --reference` shows them with their figures.

mod adversary;
mod commitment;
mod expiry;
mod papers;
mod product;
mod waits;

use serde::Serialize;

use super::policies::{Fifo, Order};
use super::{Engine, Policy};
use crate::base::Instant;
use crate::sim::workload::{Offered, Workload, by_name};

/// How far what was found may be from what is expected.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Limit {
    /// By this part of it, either way.
    Part(f64),
    /// By so much, either way.
    By(f64),
    /// It may not be less.
    AtLeast,
    /// It may not be more.
    AtMost,
}

impl Limit {
    fn holds(self, expected: f64, found: f64) -> bool {
        match self {
            Self::Part(part) => (found / expected - 1.0).abs() <= part,
            Self::By(by) => (found - expected).abs() <= by,
            Self::AtLeast => found >= expected,
            Self::AtMost => found <= expected,
        }
    }
}

/// Both sides of a check.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Sides {
    expected: f64,
    found: f64,
}

/// One thing that is known from elsewhere.
pub struct Check {
    /// What is compared.
    pub what: String,
    /// Who says what it must be.
    pub source: &'static str,
    /// Of both figures.
    pub unit: &'static str,
    /// How far apart they may be.
    pub limit: Limit,
    sides: Box<dyn Fn(u64) -> Sides + Send + Sync>,
}

impl std::fmt::Debug for Check {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Check")
            .field("what", &self.what)
            .field("limit", &self.limit)
            .finish_non_exhaustive()
    }
}

impl Check {
    fn new(
        what: impl Into<String>,
        (source, unit, limit): (&'static str, &'static str, Limit),
        sides: impl Fn(u64) -> Sides + Send + Sync + 'static,
    ) -> Self {
        Self { what: what.into(), source, unit, limit, sides: Box::new(sides) }
    }

    /// Runs it; the seed decides every draw.
    #[must_use]
    pub fn run(&self, seed: u64) -> Finding {
        let Sides { expected, found } = (self.sides)(seed);
        Finding {
            what: self.what.clone(),
            source: self.source,
            unit: self.unit,
            expected,
            found,
            limit: self.limit,
            holds: self.limit.holds(expected, found),
        }
    }
}

/// What a check came to.
#[derive(Clone, Debug, Serialize)]
pub struct Finding {
    /// See [`Check::what`].
    pub what: String,
    /// See [`Check::source`].
    pub source: &'static str,
    /// See [`Check::unit`].
    pub unit: &'static str,
    /// What it must be.
    pub expected: f64,
    /// What the engine did.
    pub found: f64,
    /// See [`Check::limit`].
    pub limit: Limit,
    /// Whether they are near enough.
    pub holds: bool,
}

/// All of them, by subject.
#[must_use]
pub fn all() -> Vec<Check> {
    let subjects = [
        waits::all(),
        expiry::all(),
        papers::all(),
        adversary::all(),
        commitment::all(),
        product::all(),
    ];
    subjects.into_iter().flatten().collect()
}

/// A workload that is known to exist, by its name.
///
/// # Panics
/// When there is none of that name.
#[expect(clippy::unwrap_used, reason = "the names are written here, and the tests run every check")]
fn workload(name: &str) -> Workload {
    by_name(name).unwrap()
}

fn fifo() -> Fifo {
    Fifo::new(Order::First, false, usize::MAX)
}

/// The share on time of so many jobs on one server.
fn on_time(w: &Workload, load: f64, jobs: usize, policy: &mut dyn Policy, seed: u64) -> f64 {
    let offers = Offered::poisson(w, load, 1, seed).take(jobs);
    Engine::default().run(&w.kinds, offers, policy).on_time()
}

const fn after_ms(n: u64) -> Instant {
    Instant::from_nanos(n * 1_000_000)
}

#[cfg(test)]
mod tests;
