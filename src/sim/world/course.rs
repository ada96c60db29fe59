//! When things go wrong: spans of time, drawn once from a seed.
//!
//! Knows not what goes wrong then.

use rand_distr::Distribution as _;
use rand_xoshiro::Xoshiro256PlusPlus;

use super::options::Every;
use crate::base::{Instant, Nanos};
use crate::sim::workload::{nanos, ns};

/// The most spans of one kind that a run has.
const SPANS_MAX: usize = 100_000;

/// One span.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) from: Instant,
    pub(super) to: Instant,
}

/// Spans in the order of their times, asked for at times that do not run backwards.
#[derive(Clone, Debug, Default)]
pub(super) struct Course {
    spans: Vec<Span>,
    next: usize,
}

impl Course {
    /// Spans that begin at random between `from` and `to`.
    pub(super) fn draw(
        every: Option<Every>,
        from: Instant,
        to: Instant,
        rng: &mut Xoshiro256PlusPlus,
    ) -> Self {
        let mut spans = Vec::new();
        let Some(Every { every, lasts }) = every else { return Self::default() };
        let mut at = from;
        while spans.len() < SPANS_MAX {
            let gap: f64 = rand_distr::Exp1.sample(rng);
            at = at + nanos(gap * ns(every));
            if at >= to {
                break;
            }
            spans.push(Span { from: at, to: at + lasts });
            at = at + lasts;
        }
        Self { spans, next: 0 }
    }

    /// Every span.
    pub(super) fn spans(&self) -> &[Span] {
        &self.spans
    }

    /// Whether `now` lies in one, and in which.
    #[inline]
    pub(super) fn active(&mut self, now: Instant) -> Option<usize> {
        while self.spans.get(self.next).is_some_and(|s| s.to <= now) {
            self.next += 1;
        }
        self.spans.get(self.next).filter(|s| s.from <= now).map(|_| self.next)
    }

    /// Takes the next one whose time has come.
    pub(super) fn take_begun(&mut self, now: Instant) -> Option<Span> {
        let span = *self.spans.get(self.next).filter(|s| s.from <= now)?;
        self.next += 1;
        Some(span)
    }

    /// When the next one begins that was not taken.
    pub(super) fn next_begin(&self) -> Instant {
        self.spans.get(self.next).map_or(Instant::MAX, |s| s.from)
    }
}

/// One draw: whether something of that share happens.
pub(super) fn happens(share: f64, rng: &mut Xoshiro256PlusPlus) -> bool {
    share > 0.0 && {
        let x: f64 = rand_distr::StandardUniform.sample(rng);
        x < share
    }
}

/// Uniform below `most`.
pub(super) fn below(most: Nanos, rng: &mut Xoshiro256PlusPlus) -> Nanos {
    if most == Nanos::ZERO {
        return Nanos::ZERO;
    }
    let x: f64 = rand_distr::StandardUniform.sample(rng);
    nanos(x * ns(most))
}
