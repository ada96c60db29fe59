//! How long a job takes: a distribution with its mean and its mean square in closed form.
//!
//! Knows no workload. Where a closed form exists, tests of the engine can be exact.

use rand_distr::Distribution as _;
use rand_xoshiro::Xoshiro256PlusPlus;

use crate::base::Nanos;

/// A distribution of service times.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Service {
    /// Always the same.
    Fixed(Nanos),
    /// Uniform between two times.
    Uniform(Nanos, Nanos),
    /// Exponential with that mean.
    Exponential(Nanos),
    /// Lognormal: `mean`, and the standard deviation `sigma` of its logarithm.
    Lognormal {
        /// The mean of the service time itself.
        mean: Nanos,
        /// Of the logarithm. Range 0 to 5.
        sigma: f64,
    },
}

impl Service {
    /// One service time, at least 1 ns.
    #[inline]
    pub fn draw(&self, rng: &mut Xoshiro256PlusPlus) -> Nanos {
        match *self {
            Self::Fixed(t) => t.max(Nanos::new(1)),
            Self::Uniform(from, to) => {
                let x: f64 = rand_distr::StandardUniform.sample(rng);
                nanos(ns(from) + (ns(to) - ns(from)) * x)
            }
            Self::Exponential(mean) => {
                let e: f64 = rand_distr::Exp1.sample(rng);
                nanos(ns(mean) * e)
            }
            Self::Lognormal { mean, sigma } => {
                let z: f64 = rand_distr::StandardNormal.sample(rng);
                nanos(ns(mean) * (sigma * z - sigma * sigma / 2.0).exp())
            }
        }
    }

    /// Its mean, in nanoseconds.
    #[must_use]
    pub fn mean_ns(&self) -> f64 {
        match *self {
            Self::Fixed(t) | Self::Exponential(t) | Self::Lognormal { mean: t, .. } => ns(t),
            Self::Uniform(from, to) => f64::midpoint(ns(from), ns(to)),
        }
    }

    /// The mean of its square, in square nanoseconds.
    #[must_use]
    pub fn mean_square_ns2(&self) -> f64 {
        let mean = self.mean_ns();
        mean * mean
            + match *self {
                Self::Fixed(_) => 0.0,
                Self::Uniform(from, to) => (ns(to) - ns(from)).powi(2) / 12.0,
                Self::Exponential(_) => mean * mean,
                Self::Lognormal { sigma, .. } => mean * mean * ((sigma * sigma).exp() - 1.0),
            }
    }

    /// The same shape, `factor` times as long.
    #[must_use]
    pub fn scaled(self, factor: f64) -> Self {
        let by = |t: Nanos| nanos(ns(t) * factor);
        match self {
            Self::Fixed(t) => Self::Fixed(by(t)),
            Self::Uniform(from, to) => Self::Uniform(by(from), by(to)),
            Self::Exponential(mean) => Self::Exponential(by(mean)),
            Self::Lognormal { mean, sigma } => Self::Lognormal { mean: by(mean), sigma },
        }
    }
}

/// Nanoseconds as a real number.
#[expect(clippy::cast_precision_loss, reason = "2^53 ns are 104 days")]
pub(in crate::sim) const fn ns(t: Nanos) -> f64 {
    t.get() as f64
}

/// The nearest whole number of nanoseconds, at least 1.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "at least 1, and `as` saturates"
)]
pub(in crate::sim) fn nanos(ns: f64) -> Nanos {
    Nanos::new(ns.round().max(1.0) as u64)
}
