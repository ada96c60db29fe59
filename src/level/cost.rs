//! What a batch costs by its rows: measured at a few sizes, never falling, and corrected by what is seen while it serves.
//!
//! Knows neither kernel nor backend: there is one model for each pair. Integers throughout, so that the same figures give the
//! same choice.

use crate::base::Nanos;

/// Sizes that are measured, as far as one run of the kernel takes them. Between two of them the model goes straight. Vectors
/// work on tiles of 4, 6, 8 and 12 rows, so that powers of two alone miss the steps by up to 40 % (`cargo bench --bench level --
/// --sizes` prints every size).
pub const SIZES: [u32; 15] = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 16, 24, 32, 64];
/// Most points of a model.
pub const POINTS_MAX: usize = 64;

/// One as a ratio: 16 fractional bits.
const ONE: u64 = 1 << 16;
/// An observation counts for at most so many times what was predicted, and for at least that part of it: one pause of the
/// machine must not make a backend look unusable.
const RATIO_MAX: u64 = 4 * ONE;
const RATIO_MIN: u64 = ONE / 4;
/// The margin rises by 99 of these steps when it was exceeded and falls by one when it was not: it comes to rest where one
/// observation in a hundred lies above it (Robbins and Monro, 1951).
const STEP: u64 = ONE >> 10;
const ABOVE: u64 = 99;
/// A batch's time varies by a few percent even on a quiet machine: where the margin starts.
const MARGIN_START: u64 = ONE + ONE / 16;
/// The widest margin.
const MARGIN_MAX: u64 = 4 * ONE;
/// The same downwards: what one batch in a hundred is faster than.
const FLOOR_START: u64 = ONE - ONE / 16;
/// The lowest of that.
const FLOOR_MIN: u64 = ONE / 4;

/// A measured batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Point {
    /// Its rows; at least 1.
    pub rows: u32,
    /// Its time in picoseconds: a checksum of 64 bytes takes 7 ns, of which rounding would take a tenth.
    pub ps: u64,
}

/// The points are no model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PointsError {
    /// There is none.
    #[error("no batch was measured")]
    None,
    /// More than [`POINTS_MAX`].
    #[error("more than {POINTS_MAX} batches")]
    TooMany,
    /// Sizes must grow from one point to the next, and begin above 0.
    #[error("sizes do not grow at the batch of {0} rows")]
    Order(u32),
    /// A batch that takes no time.
    #[error("the batch of {0} rows takes no time")]
    Zero(u32),
}

/// T(B) of one kernel on one backend.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CostModel {
    points: Vec<Point>,
    /// Rows of one run: more rows are several runs. 0: there is no such bound.
    run: u32,
    /// Seen by measured, the moving average.
    usual: u64,
    /// Seen by usual, exceeded once in a hundred times.
    margin: u64,
    /// Seen by usual, undercut once in a hundred times.
    floor: u64,
}

impl CostModel {
    /// A model of measured batches. A batch that seems to cost less than a smaller one is taken to cost the same: what costs
    /// less with more rows would make admission wait for company.
    ///
    /// # Errors
    /// The points are none, too many, not in order, or take no time.
    pub fn new(mut points: Vec<Point>) -> Result<Self, PointsError> {
        if points.is_empty() {
            return Err(PointsError::None);
        }
        if points.len() > POINTS_MAX {
            return Err(PointsError::TooMany);
        }
        let (mut rows, mut ps) = (0, 0);
        for point in &mut points {
            if point.rows <= rows {
                return Err(PointsError::Order(point.rows));
            }
            if point.ps == 0 {
                return Err(PointsError::Zero(point.rows));
            }
            rows = point.rows;
            ps = point.ps.max(ps);
            point.ps = ps;
        }
        Ok(Self { points, run: 0, usual: ONE, margin: MARGIN_START, floor: FLOOR_START })
    }

    /// A model that is not measured: `fixed` for any batch and `per_row` for each row of it, up to `rows_max`.
    ///
    /// # Panics
    /// Never: two points in order are a model.
    #[must_use]
    pub fn linear(fixed: Nanos, per_row_ps: u64, rows_max: u32) -> Self {
        let at = |rows: u32| {
            let rows_ps = per_row_ps.saturating_mul(u64::from(rows));
            Point { rows, ps: fixed.get().saturating_mul(1_000).saturating_add(rows_ps).max(1) }
        };
        let points = vec![at(1), at(rows_max.max(2))];
        Self { points, run: 0, usual: ONE, margin: MARGIN_START, floor: FLOOR_START }
    }

    /// The same for a kernel of which one run is worth no more than `rows`: larger batches are several runs, the last of them
    /// shorter, in one call, whose own cost is paid once. What that is shows in batches of several whole runs, where they were measured;
    /// so does what many rows cost that no longer lie in a cache.
    /// `rows` must have been measured, or nothing changes.
    #[must_use]
    pub fn in_runs_of(self, rows: u32) -> Self {
        let run = if self.points.iter().any(|p| p.rows == rows) { rows } else { 0 };
        Self { run, ..self }
    }

    /// Rows of one run; 0 where there is no such bound.
    #[must_use]
    pub const fn run(&self) -> u32 {
        self.run
    }

    /// What was measured.
    #[must_use]
    pub fn points(&self) -> &[Point] {
        &self.points
    }

    /// The largest batch that was measured.
    #[must_use]
    pub fn rows_max(&self) -> u32 {
        self.points.last().map_or(0, |p| p.rows)
    }

    /// As it was measured, before any correction, in picoseconds: straight between two points; past the largest run in runs; where
    /// there is no such bound, past the last point as steep as the mean row or as between the last two, whichever is more.
    #[must_use]
    pub fn measured_ps(&self, rows: u32) -> u64 {
        if self.run == 0 || rows <= self.run {
            return self.one_run_ps(rows);
        }
        let runs = rows / self.run;
        let whole = self.whole_runs_ps(runs);
        let further = self.whole_runs_ps(runs.saturating_add(1)) - whole;
        // What the last, shorter run saves against a call of its own shows in one row more than a run, where that was measured.
        let (alone, first) = (self.one_run_ps(1), self.one_run_ps(self.run));
        let one_more = self.points.iter().find(|p| p.rows == self.run + 1);
        let call = one_more.map_or_else(
            || first.saturating_sub(self.whole_runs_ps(2) - first),
            |p| alone.saturating_sub(p.ps - first),
        );
        let rest = self.one_run_ps(rows % self.run).saturating_sub(call).min(further);
        whole.saturating_add(rest)
    }

    /// So many whole runs in one call, at least 1: straight between those that were measured, and on as steeply as between the last
    /// two of them; where one alone was, each as long as that.
    fn whole_runs_ps(&self, runs: u32) -> u64 {
        let whole = |p: &&Point| p.rows.is_multiple_of(self.run);
        let mut below = Point { rows: 0, ps: 0 };
        let mut before = below;
        let rows = runs.saturating_mul(self.run);
        for point in self.points.iter().filter(whole) {
            if point.rows >= rows {
                return between(below, *point, rows);
            }
            (before, below) = (below, *point);
        }
        let rise = u128::from(below.ps - before.ps) * u128::from(rows - below.rows);
        let width = u128::from((below.rows - before.rows).max(1));
        below.ps.saturating_add(narrow(rise / width))
    }

    fn one_run_ps(&self, rows: u32) -> u64 {
        if rows == 0 {
            return 0;
        }
        let after = self.points.partition_point(|p| p.rows < rows);
        match (after.checked_sub(1).and_then(|i| self.points.get(i)), self.points.get(after)) {
            (Some(a), Some(b)) => between(*a, *b, rows),
            (None, Some(first)) => first.ps,
            (Some(last), None) => self.beyond(*last, rows),
            (None, None) => 0,
        }
    }

    fn beyond(&self, last: Point, rows: u32) -> u64 {
        let more = u128::from(rows - last.rows);
        let mean = u128::from(last.ps) * more / u128::from(last.rows);
        let before = self.points.len().checked_sub(2).map(|i| self.points[i]);
        let steep = before
            .map_or(0, |b| u128::from(last.ps - b.ps) * more / u128::from(last.rows - b.rows));
        narrow(u128::from(last.ps) + mean.max(steep))
    }

    /// How long a batch of so many rows takes, by what was seen last. Never less for more rows.
    #[must_use]
    pub fn predict(&self, rows: u32) -> Nanos {
        scaled(self.measured_ps(rows), self.usual)
    }

    /// The same on a bad day: one batch in a hundred takes longer. What a promise is made by.
    #[must_use]
    pub fn predict_high(&self, rows: u32) -> Nanos {
        scaled(self.measured_ps(rows), self.usual * self.margin / ONE)
    }

    /// The same on a good day: one batch in a hundred takes less. What cannot be done by this is given up.
    #[must_use]
    pub fn predict_low(&self, rows: u32) -> Nanos {
        scaled(self.measured_ps(rows), self.usual * self.floor / ONE)
    }

    /// The largest batch that takes at most `time` on a bad day, up to `rows_max`; 0 where not even one row does.
    #[must_use]
    pub fn largest_within(&self, time: Nanos, rows_max: u32) -> u32 {
        // Costs never fall, so halving finds it.
        let (mut fits, mut too_many) = (0, rows_max.saturating_add(1));
        while too_many - fits > 1 {
            let middle = fits + (too_many - fits) / 2;
            if self.predict_high(middle) <= time {
                fits = middle;
            } else {
                too_many = middle;
            }
        }
        fits
    }

    /// From how many rows on, up to `rows_max`, a batch costs less on `other` than here; none where it never does.
    #[must_use]
    pub fn crossover(&self, other: &Self, rows_max: u32) -> Option<u32> {
        let cheaper = |rows: &u32| other.predict(*rows) < self.predict(*rows);
        (1..=rows_max).rev().take_while(cheaper).last()
    }

    /// Takes in how long a batch of `rows` really took: `s := (7 s + seen / measured) / 8`.
    pub fn observe(&mut self, rows: u32, took: Nanos) {
        let measured = self.measured_ps(rows);
        if measured == 0 {
            return;
        }
        let seen = u128::from(took.get()) * 1_000 * u128::from(ONE) / u128::from(measured);
        let seen = narrow(seen).clamp(RATIO_MIN, RATIO_MAX);
        self.margin = if seen > self.usual * self.margin / ONE {
            (self.margin + ABOVE * STEP).min(MARGIN_MAX)
        } else {
            (self.margin - STEP).max(ONE)
        };
        self.floor = if seen < self.usual * self.floor / ONE {
            self.floor.saturating_sub(ABOVE * STEP).max(FLOOR_MIN)
        } else {
            (self.floor + STEP).min(ONE)
        };
        self.usual = (7 * self.usual + seen) / 8;
    }

    /// Takes over what was seen of another form of the same kernel on the same core: what slows a core slows all its forms, and only
    /// the one that runs is seen. If each were corrected by its own runs alone, a pause in one would make the others look cheap.
    pub const fn follow(&mut self, seen: &Self) {
        self.usual = seen.usual;
        self.margin = seen.margin;
        self.floor = seen.floor;
    }

    /// In thousandths: seen by measured as is usual, and on a bad day.
    #[must_use]
    pub const fn ratios_per_mille(&self) -> [u64; 2] {
        [self.usual * 1_000 / ONE, self.usual * self.margin / ONE * 1_000 / ONE]
    }
}

/// The sizes to measure for a kernel of which one run is worth `run` rows, of batches up to `rows_max`: those of one run, a row more,
/// and 2, 4, 8, … runs as far as they go, the most of them last: many rows lie in no cache and cost more each.
#[must_use]
pub fn sizes(run: u32, rows_max: u32) -> Vec<u32> {
    let most = run.clamp(1, rows_max.max(1));
    let runs = rows_max / most;
    let several =
        (1..32).map(|n| 1 << n).take_while(|n| *n < runs).chain((runs > 1).then_some(runs));
    let one_more = (most > 1 && runs > 1).then_some(most + 1);
    let below = SIZES.into_iter().filter(|rows| *rows < most);
    below.chain([most]).chain(one_more).chain(several.map(|n| n * most)).collect()
}

/// On the straight line from `a` to `b`; `a.rows < rows <= b.rows`.
fn between(a: Point, b: Point, rows: u32) -> u64 {
    let rise = u128::from(b.ps - a.ps) * u128::from(rows - a.rows) / u128::from(b.rows - a.rows);
    narrow(u128::from(a.ps) + rise)
}

/// Whole nanoseconds, rounded up: what is promised is kept.
fn scaled(ps: u64, ratio: u64) -> Nanos {
    let scaled = u128::from(ps) * u128::from(ratio) / u128::from(ONE);
    Nanos::new(narrow(scaled.div_ceil(1_000)))
}

fn narrow(n: u128) -> u64 {
    u64::try_from(n).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
