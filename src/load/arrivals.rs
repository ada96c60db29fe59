//! How the intended send times are drawn, and how the rate changes with time.
//!
//! Knows no generator: these are the words in which a plan says it.

use std::sync::Arc;

use super::trace::Trace;
use crate::base::Nanos;

/// How the intended send times are drawn.
#[derive(Clone, Debug, PartialEq)]
pub enum Arrivals {
    /// Independent clients: a Poisson process, given how many packets the plan has. The number is exact, so that the
    /// offered rate does not depend on the seed; the gaps are exponential.
    Poisson,
    /// Equal gaps.
    Uniform,
    /// Poisson arrivals whose rate jumps between two values (MMPP): bursts.
    Bursts(Bursts),
    /// The times of a capture.
    Replay(Arc<Trace>),
}

impl Arrivals {
    /// The name in reports and on the command line.
    #[must_use]
    pub const fn label(&self) -> &'static str {
        match self {
            Self::Poisson => "poisson",
            Self::Uniform => "uniform",
            Self::Bursts(_) => "mmpp",
            Self::Replay(_) => "replay",
        }
    }

    /// The capture that is replayed.
    #[must_use]
    pub const fn trace(&self) -> Option<&Arc<Trace>> {
        match self {
            Self::Replay(trace) => Some(trace),
            _ => None,
        }
    }
}

/// A Markov-modulated Poisson process of two states. The mean rate is the plan's.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bursts {
    /// How many times the rate outside a burst the rate within it is; 1 to 10,000. Default 10.
    pub ratio: f64,
    /// Mean length of a burst; lengths are exponential. Default 10 ms.
    pub on: Nanos,
    /// Mean time between bursts. Default 40 ms.
    pub off: Nanos,
}

impl Default for Bursts {
    fn default() -> Self {
        Self { ratio: 10.0, on: Nanos::from_millis(10), off: Nanos::from_millis(40) }
    }
}

/// A part of a run with a rate of its own: a step, or a ramp when the ends differ.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Stretch {
    /// Packets a second at its beginning; 0 is a pause.
    pub from: f64,
    /// Packets a second at its end.
    pub to: f64,
    /// Its length.
    pub length: Nanos,
}

impl Stretch {
    /// The packets that it has.
    #[must_use]
    pub fn packets(&self) -> f64 {
        f64::midpoint(self.from, self.to) * self.length.as_secs_f64()
    }
}
