//! The laws that a world holds its workers to, and how a breach is told.
//!
//! Knows not how they are checked.

use std::fmt;

use crate::base::Instant;

/// A law (ARCHITECTURE, "Laws").
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Law {
    /// What came in is answered, sent on, dropped under one reason, or in flight; and the world counted the same.
    Conservation,
    /// Nothing is run whose deadline has passed.
    NothingHopeless,
    /// No admitted packet of a higher priority gives way to a lower one.
    Priority,
    /// A flow's results leave in the order in which its packets came.
    FlowOrder,
    /// Queues, tables and pools keep within their bounds, and nothing in them leaks.
    Bounds,
    /// No class that a worker serves has a quota below 1 or above the most that there is.
    Quota,
    /// A plan reaches its worker whole, and plans come in their order.
    Plan,
    /// An answer holds its request's bytes and goes to whoever asked.
    Answers,
    /// Averages lie between the least and the most that was measured.
    Estimates,
    /// Nothing panics and no turn fails.
    Running,
}

/// A law was broken.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Breach {
    /// Which.
    pub law: Law,
    /// By which worker; the number of workers: by the control side.
    pub worker: usize,
    /// When, in virtual nanoseconds since the start.
    pub at_ns: u64,
    /// What was seen.
    pub what: String,
}

impl Breach {
    pub(super) fn new(law: Law, worker: usize, at: Instant, what: String) -> Self {
        Self { law, worker, at_ns: at.since(super::START).get(), what }
    }
}

impl fmt::Display for Breach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { law, worker, at_ns, what } = self;
        write!(f, "{law:?} broken by worker {worker} at {at_ns} ns: {what}")
    }
}
