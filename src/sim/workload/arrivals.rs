//! When jobs arrive: a Poisson stream whose intensity is held, switched, stepped or swung.
//!
//! Knows no jobs. An intensity is a list of spans with a factor each; arrivals come of one unit exponential draw each, spent
//! along the spans, so every shape is exact and shares one piece of code.

use std::sync::Arc;

use rand_distr::Distribution as _;
use rand_xoshiro::Xoshiro256PlusPlus;

use super::service::{nanos, ns};
use crate::base::{Instant, Nanos};

/// The shape of an arrival process. Factors multiply the stream's rate.
#[derive(Clone, Debug, PartialEq)]
pub enum Arrivals {
    /// At a constant rate, without memory.
    Poisson,
    /// At equal distances.
    Uniform,
    /// Markov-modulated: on and off for exponential spans, `ratio` times as fast when on. The mean rate is the stream's.
    OnOff {
        /// Rate when on, by rate when off. At least 1; BENCHMARKS' bursts have 10.
        ratio: f64,
        /// Mean span on.
        on: Nanos,
        /// Mean span off.
        off: Nanos,
    },
    /// From each time on, that factor. The first entry's factor holds from the start.
    Steps(Vec<(Instant, f64)>),
    /// A day: a sine between two factors, low first, in 64 steps a period.
    Diurnal {
        /// The least factor.
        low: f64,
        /// The greatest.
        high: f64,
        /// How long a day is.
        period: Nanos,
    },
    /// At these times, in order, from the first one's on: stretched so that the mean rate is the stream's, and again from the
    /// beginning when they are over. At least two that differ.
    Captured(Arc<[Nanos]>),
}

/// The times of one stream.
#[derive(Clone, Debug)]
pub struct ArrivalTimes {
    shape: Arrivals,
    rate_per_ns: f64,
    /// The present, and the end of the present span.
    at_ns: f64,
    until_ns: f64,
    factor: f64,
    spans: usize,
    rng: Xoshiro256PlusPlus,
}

/// Steps in a day.
const DAY_STEPS: u16 = 64;

impl ArrivalTimes {
    /// Times of the given shape, `rate_per_s` on average (with factors of 1).
    #[must_use]
    pub fn new(shape: Arrivals, rate_per_s: f64, rng: Xoshiro256PlusPlus) -> Self {
        let mut times = Self {
            shape,
            rate_per_ns: rate_per_s / 1e9,
            at_ns: 0.0,
            until_ns: 0.0,
            factor: 1.0,
            spans: 0,
            rng,
        };
        if !matches!(times.shape, Arrivals::Captured(_)) {
            times.next_span();
        }
        times
    }

    /// The next arrival; [`Instant::MAX`] when the intensity has fallen to nothing for good.
    pub fn next_at(&mut self) -> Instant {
        if let Arrivals::Captured(times) = &self.shape {
            let at = captured(times, self.spans, self.rate_per_ns);
            self.spans += 1;
            return at;
        }
        let mut left: f64 = match self.shape {
            Arrivals::Uniform => 1.0,
            _ => rand_distr::Exp1.sample(&mut self.rng),
        };
        loop {
            let intensity = self.factor * self.rate_per_ns;
            let needs = left / intensity;
            if self.at_ns + needs <= self.until_ns {
                self.at_ns += needs;
                return Instant::ZERO + nanos(self.at_ns);
            }
            if self.until_ns.is_infinite() {
                return Instant::MAX;
            }
            left -= (self.until_ns - self.at_ns) * intensity;
            self.at_ns = self.until_ns;
            self.next_span();
        }
    }

    fn next_span(&mut self) {
        let n = self.spans;
        self.spans += 1;
        match &self.shape {
            Arrivals::Poisson | Arrivals::Uniform | Arrivals::Captured(_) => {
                self.until_ns = f64::INFINITY;
            }
            Arrivals::OnOff { ratio, on, off } => {
                let (on, off) = (ns(*on), ns(*off));
                let slow = (on + off) / (ratio * on + off);
                let is_on = n.is_multiple_of(2);
                let mean = if is_on { on } else { off };
                let e: f64 = rand_distr::Exp1.sample(&mut self.rng);
                self.factor = if is_on { ratio * slow } else { slow };
                self.until_ns = self.at_ns + e * mean;
            }
            Arrivals::Steps(steps) => {
                self.factor = steps.get(n).map_or(1.0, |s| s.1);
                self.until_ns =
                    steps.get(n + 1).map_or(f64::INFINITY, |s| ns(s.0.since(Instant::ZERO)));
            }
            Arrivals::Diurnal { low, high, period } => {
                let step = f64::from(u16::try_from(n % usize::from(DAY_STEPS)).unwrap_or(0));
                let angle = (step + 0.5) / f64::from(DAY_STEPS) * std::f64::consts::TAU;
                self.factor = low + (high - low) * (1.0 - angle.cos()) / 2.0;
                self.until_ns = self.at_ns + ns(*period) / f64::from(DAY_STEPS);
            }
        }
    }
}

/// The `n`-th of times that are repeated without end: between the last and the first again lies the mean gap.
#[expect(clippy::cast_precision_loss, reason = "counts and times of a capture, far below 2^53")]
fn captured(times: &[Nanos], n: usize, rate_per_ns: f64) -> Instant {
    let (Some(first), Some(last)) = (times.first(), times.last()) else { return Instant::MAX };
    let span = ns(last.saturating_sub(*first));
    let count = times.len() as f64;
    let lap = span * count / (count - 1.0);
    let into = ns(times[n % times.len()].saturating_sub(*first));
    let at = (n / times.len()) as f64 * lap + into;
    // So many come in a lap, and so many are to come in that time at the stream's rate.
    let stretch = count / lap / rate_per_ns;
    if stretch.is_finite() { Instant::ZERO + nanos(at * stretch) } else { Instant::MAX }
}
