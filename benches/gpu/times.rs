//! Times in microseconds, and what is said of many.

use std::time::Instant;

/// Microseconds of a run.
pub(crate) fn time(run: impl FnOnce()) -> f64 {
    let start = Instant::now();
    run();
    start.elapsed().as_secs_f64() * 1e6
}

/// Times, sorted.
pub(crate) struct Times(Vec<f64>);

impl Times {
    /// Of `n` runs, after one that is not counted.
    pub(crate) fn of(n: usize, mut run: impl FnMut()) -> Self {
        run();
        Self::from((0..n).map(|_| time(&mut run)).collect())
    }

    /// Of times that were taken.
    pub(crate) fn from(mut all: Vec<f64>) -> Self {
        all.sort_by(f64::total_cmp);
        Self(all)
    }

    /// The time that so many of a hundred do not exceed.
    pub(crate) fn percentile(&self, p: f64) -> f64 {
        let at = (self.0.len() as f64 * p / 100.0).ceil() as usize;
        self.0[at.clamp(1, self.0.len()) - 1]
    }

    pub(crate) fn median(&self) -> f64 {
        self.percentile(50.0)
    }

    /// Median, 99th and 99.9th percentile.
    pub(crate) fn said(&self) -> String {
        let [a, b, c] = [50.0, 99.0, 99.9].map(|p| self.percentile(p));
        format!("{a:>9.1} {b:>9.1} {c:>9.1}")
    }
}
