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
    /// shorter, in one call, whose own cost is paid once. What that is shows in a batch of two whole runs, where that was measured.
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
        let first = self.one_run_ps(self.run);
        let both = self.points.iter().find(|p| u64::from(p.rows) == 2 * u64::from(self.run));
        let further = both.map_or(first, |p| (p.ps - first).min(first));
        let whole = u64::from(rows / self.run - 1).saturating_mul(further);
        // What the last, shorter run saves against a call of its own shows in one row more than a run, where that was measured.
        let alone = self.one_run_ps(1);
        let one_more = self.points.iter().find(|p| p.rows == self.run + 1);
        let call = one_more.map_or(first - further, |p| alone.saturating_sub(p.ps - first));
        let rest = self.one_run_ps(rows % self.run).saturating_sub(call).min(further);
        first.saturating_add(whole).saturating_add(rest)
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

/// The sizes to measure for a kernel of which one run is worth `run` rows, a row more, and two runs, of batches up to `rows_max`.
#[must_use]
pub fn sizes(run: u32, rows_max: u32) -> Vec<u32> {
    let most = run.clamp(1, rows_max.max(1));
    let twice = (2 * u64::from(most) <= u64::from(rows_max)).then_some(most.saturating_mul(2));
    let one_more = twice.filter(|_| most > 1).map(|_| most + 1);
    let below = SIZES.into_iter().filter(|rows| *rows < most);
    below.chain([most]).chain(one_more).chain(twice).collect()
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
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn model(points: &[(u32, u64)]) -> CostModel {
        let points = points.iter().map(|&(rows, ns)| Point { rows, ps: ns * 1_000 }).collect();
        CostModel::new(points).expect("a model")
    }

    #[test]
    fn it_goes_straight_between_points_and_steeply_past_them() {
        let m = model(&[(1, 100), (2, 120), (4, 200), (8, 500)]);
        let at = |rows| m.predict(rows).get();
        assert_eq!([0, 1, 2, 3, 4, 6, 8].map(at), [0, 100, 120, 160, 200, 350, 500]);
        // 75 ns a row between the last two, 62.5 in the mean.
        assert_eq!(at(16), 500 + 8 * 75);
        // A flat end does not make further rows free.
        assert_eq!(model(&[(1, 400), (2, 400)]).predict(4).get(), 800);
        assert_eq!(model(&[(4, 100)]).predict(1).get(), 100);
        assert_eq!(model(&[(4, 100)]).predict(8).get(), 200);
    }

    #[test]
    fn what_is_more_than_a_run_is_several_runs() {
        let m = model(&[(1, 50), (8, 64), (9, 110), (16, 130)]).in_runs_of(16);
        let at = |rows| m.predict(rows).get();
        assert_eq!([16, 17, 24, 25, 32, 33, 160].map(at), [130, 180, 194, 240, 260, 310, 1_300]);
        // Of the 50 that one row takes 20 are the call's own: a second run of 16 takes 110.
        let m = model(&[(1, 50), (16, 130), (32, 240)]).in_runs_of(16);
        let at = |rows| m.predict(rows).get();
        assert_eq!([16, 17, 32, 33, 48].map(at), [130, 160, 240, 270, 350]);
        // A row more than a run takes 45 of its 50.
        let m = model(&[(1, 50), (8, 64), (16, 130), (17, 175), (32, 240)]).in_runs_of(16);
        let at = |rows| m.predict(rows).get();
        assert_eq!([16, 17, 24, 31, 32, 33].map(at), [130, 175, 189, 240, 240, 285]);
        let same = model(&[(1, 50), (8, 64)]);
        assert_eq!(same.clone().in_runs_of(12), same, "12 was not measured");
    }

    #[test]
    fn a_batch_that_seems_cheaper_than_a_smaller_one_costs_the_same() {
        let m = model(&[(1, 100), (2, 90), (3, 300)]);
        assert_eq!([1, 2, 3].map(|rows| m.predict(rows).get()), [100, 100, 300]);
    }

    #[test]
    fn sizes_end_with_the_largest_run() {
        assert_eq!(sizes(12, 64), [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 13, 24]);
        assert_eq!(sizes(1, 64), [1, 2]);
        assert_eq!(sizes(40, 64), [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 16, 24, 32, 40]);
        assert_eq!(sizes(64, 64), SIZES);
        assert_eq!(sizes(64, 20).last(), Some(&20));
    }

    #[test]
    fn points_that_are_no_model_are_refused_with_the_reason() {
        let point = |rows, ps| Point { rows, ps };
        let refused = |points: Vec<Point>| CostModel::new(points).expect_err("no model");
        assert_eq!(refused(vec![]), PointsError::None);
        assert_eq!(refused(vec![point(0, 1)]), PointsError::Order(0));
        assert_eq!(refused(vec![point(2, 1), point(2, 2)]), PointsError::Order(2));
        assert_eq!(refused(vec![point(1, 0)]), PointsError::Zero(1));
        assert_eq!(refused((1..=65).map(|n| point(n, 1)).collect()), PointsError::TooMany);
    }

    #[test]
    fn golden_values_of_the_correction() {
        let mut m = model(&[(1, 1_000), (2, 2_000)]);
        m.observe(1, Nanos::new(2_000));
        // (7 * 1 + 2) / 8
        assert_eq!((m.ratios_per_mille()[0], m.predict(1).get()), (1_125, 1_125));
        m.observe(2, Nanos::new(2_000));
        // (7 * 1.125 + 1) / 8 = 1.109375
        assert_eq!(m.predict(2).get(), 2_219);
        // A pause of 10 s counts as four times.
        m.observe(1, Nanos::from_secs(10));
        assert_eq!(m.predict(1).get(), 1_471);
        assert!(m.predict_high(1) > m.predict(1));
    }

    #[test]
    fn a_core_that_became_slow_does_not_make_its_other_forms_look_cheap() {
        let (mut wide, mut narrow) = (model(&[(1, 1_000)]), model(&[(1, 1_200)]));
        for _ in 0..20 {
            wide.observe(1, Nanos::new(1_600));
            narrow.follow(&wide);
        }
        assert!(narrow.predict(1) > wide.predict(1), "{} {}", narrow.predict(1), wide.predict(1));
        assert!(narrow.predict_high(1) > wide.predict_high(1));
        assert!(narrow.predict_low(1) > wide.predict_low(1));
        assert_eq!(narrow.measured_ps(1), 1_200_000, "what was measured stays");
    }

    #[test]
    fn it_follows_a_machine_that_became_twice_as_slow_and_back() {
        let mut m = model(&[(1, 1_000), (8, 8_000)]);
        for ns in [2_000, 1_000] {
            for _ in 0..40 {
                m.observe(1, Nanos::new(ns));
            }
            assert!(m.predict(1).get().abs_diff(ns) <= ns / 100, "{} of {ns}", m.predict(1));
            assert!(m.predict(8).get().abs_diff(8 * ns) <= 8 * ns / 100);
        }
    }

    #[test]
    fn a_bad_day_s_time_is_exceeded_and_a_good_day_s_undercut_once_in_a_hundred_times() {
        let mut m = model(&[(1, 10_000)]);
        // 1.0 to 1.5 times, in an order that is as good as random.
        let seen = |i: u64| 10_000 + i.wrapping_mul(0x9e37_79b9_7f4a_7c15) % 5_000;
        let (mut above, mut below) = (0, 0);
        for i in 0..40_000 {
            let took = Nanos::new(seen(i));
            above += u32::from(i >= 20_000 && took > m.predict_high(1));
            below += u32::from(i >= 20_000 && took < m.predict_low(1));
            m.observe(1, took);
        }
        assert!((100..=400).contains(&above), "{above} of 20000");
        assert!((100..=400).contains(&below), "{below} of 20000");
    }

    #[test]
    fn where_a_device_with_a_fixed_cost_begins_to_pay() {
        let cores = CostModel::linear(Nanos::ZERO, 1_550_000, 4_096);
        let device = CostModel::linear(Nanos::from_micros(60), 30_000, 4_096);
        // 60 us / (1.55 - 0.03) us = 39.5 rows.
        assert_eq!(cores.crossover(&device, 4_096), Some(40));
        assert_eq!(cores.crossover(&device, 39), None);
        assert_eq!(device.crossover(&cores, 4_096), None);
        // With eight cores a row costs an eighth.
        let eight = CostModel::linear(Nanos::ZERO, 1_550_000 / 8, 4_096);
        assert_eq!(eight.crossover(&device, 4_096), Some(367));
    }

    proptest! {
        #[test]
        fn more_rows_never_cost_less(
            points in proptest::collection::vec((1u32..200, 1u64..u64::MAX), 1..20),
            seen in proptest::collection::vec((1u32..300, any::<u64>()), 0..20),
            rows in 0u32..100_000,
            in_runs: bool,
        ) {
            let mut all: Vec<Point> = points.iter().map(|&(rows, ps)| Point { rows, ps }).collect();
            all.sort_by_key(|p| p.rows);
            all.dedup_by_key(|p| p.rows);
            let run = all[all.len() / 2].rows;
            let mut m = CostModel::new(all).unwrap();
            if in_runs {
                m = m.in_runs_of(run);
            }
            for (rows, ns) in seen {
                m.observe(rows, Nanos::new(ns));
            }
            for rows in [rows % 300, rows] {
                prop_assert!(m.predict(rows) <= m.predict(rows + 1));
                prop_assert!(m.predict_high(rows) <= m.predict_high(rows + 1));
                prop_assert!(m.predict(rows) <= m.predict_high(rows));
                prop_assert!(m.predict_low(rows) <= m.predict_low(rows + 1));
                prop_assert!(m.predict_low(rows) <= m.predict(rows));
            }
        }

        #[test]
        fn the_largest_that_fits_fits_and_the_next_does_not(
            ns in 1u64..10_000, per in 1u64..1_000, time in 0u64..1_000_000, most in 0u32..5_000,
        ) {
            let m = CostModel::linear(Nanos::new(ns), per * 1_000, 64);
            let rows = m.largest_within(Nanos::new(time), most);
            prop_assert!(rows <= most);
            prop_assert!(rows == 0 || m.predict_high(rows).get() <= time);
            prop_assert!(rows == most || m.predict_high(rows + 1).get() > time);
        }
    }
}
