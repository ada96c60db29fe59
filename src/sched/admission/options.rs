//! How the gates are set.

use crate::base::{Nanos, PerPriority, Priority};

/// What is dropped, and in which order the rest is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Policy {
    /// Earliest deadline first behind all gates.
    Edf,
    /// Deadline order while the work fits, value order when it does not, by what each kernel and size takes.
    Value,
    /// Earliest deadline first; drops only what has already expired. For comparison: it collapses under overload.
    EdfExpiry,
    /// In order of arrival; drops only what does not fit the queue. For comparison: what a plain service does.
    Fifo,
}

/// Which queued work is charged to a candidate (gate G2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Predictor {
    /// The work that will be run before it.
    Prefix,
    /// All queued work, as seed 002's text can be read. For comparison.
    SeedTotal,
    /// None: no prediction at admission, only at dispatch.
    Off,
}

/// What happens when a candidate does not fit behind work of less value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overload {
    /// The queued packets of lowest value density give way (weighted Moore-Hodgson, online).
    Value,
    /// The candidate is dropped.
    None,
}

/// How the gates are set.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Options {
    /// Order and drops.
    pub policy: Policy,
    /// Gate G2.
    pub predictor: Predictor,
    /// Added to every prediction; more is learned of broken promises. Range 0 to 1 s, default 0.
    pub margin: Nanos,
    /// Victim choice.
    pub overload: Overload,
    /// What an answer of each priority is worth. Default 1000, 100, 10, 1.
    pub values: PerPriority<u32>,
    /// Time between two probes of a class; `None`: no probes. Default one control interval, 100 ms.
    pub probe_interval: Option<Nanos>,
    /// One in so many predicted misses is looked into: let in all the same, unless it was refused by choice. 0: none; default 1,000.
    pub audit_one_in: u32,
    /// How long a kernel that can pause runs before the worker looks at its sockets. Default [`super::Chunk::Auto`].
    pub chunk: super::Chunk,
}

impl Options {
    /// By value there is but one way to choose who gives way, and one prediction.
    pub(super) fn in_force(self) -> Self {
        match self.policy {
            Policy::Value => {
                Self { overload: Overload::Value, predictor: Predictor::Prefix, ..self }
            }
            _ => self,
        }
    }
}

impl Default for Options {
    fn default() -> Self {
        Self {
            policy: Policy::Value,
            predictor: Predictor::Prefix,
            margin: Nanos::ZERO,
            overload: Overload::Value,
            values: PerPriority::new([1_000, 100, 10, 1]),
            probe_interval: Some(Nanos::from_millis(100)),
            audit_one_in: 1_000,
            chunk: super::Chunk::Auto,
        }
    }
}

/// Twice the budget of the class above, but no more than a quarter of its own: a packet that is delayed by as much as the
/// class above may be is still due later than a fresh packet of that class.
pub(super) fn cushions(options: &Options, budgets: &PerPriority<Nanos>) -> PerPriority<Nanos> {
    PerPriority::from_fn(|p| match p {
        Priority::High | Priority::BestEffort => Nanos::ZERO,
        _ if options.overload == Overload::None => Nanos::ZERO,
        _ => {
            let above = budgets[Priority::ALL[p.index() - 1]];
            above.saturating_mul(2).min(Nanos::new(budgets[p].get() / 4))
        }
    })
}
