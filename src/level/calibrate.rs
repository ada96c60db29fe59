//! Measures a backend: how long batches of a few sizes take, as the least of several tries in turns.
//!
//! Knows no clock of its own: it is an argument, and so is what is run.

use super::backend::Backend;
use super::cost::{CostModel, Point, sizes};
use crate::base::{Clock, Nanos};
use crate::kernel::KernelSpec;
use crate::kernel::sample::Sample;
use crate::kernel::simd::SimdChoice;

/// The largest batch that is measured.
pub const ROWS_MAX: u32 = 64;
const _: () =
    assert!(ROWS_MAX as usize == crate::base::limits::KERNEL_BATCH_MAX, "one number in two types");
/// How long one kernel on one backend may be measured.
pub const LIMIT: Nanos = Nanos::from_millis(50);
/// A try lasts at least so long, in as many runs as that takes: the clock itself costs some 25 ns.
const TRY: Nanos = Nanos::from_micros(20);
/// Tries of each size: what disturbs a try makes it longer, so the least of several is the machine's own. As many as the time
/// allows: on a shared machine a core may be slower for tens of milliseconds on end.
const TRIES: u32 = 100;
/// First runs of a size that takes less than a try.
const FIRST_RUNS: u64 = 5;
/// What warms up before a turn takes at most such a part of it.
const WARM_UP_PART: u64 = 8;
/// The most runs of a try.
const RUNS_MAX: u64 = 4_096;

/// One size, as far as it is known.
#[derive(Clone, Copy, Debug)]
struct Tried {
    rows: u32,
    /// Runs of a try.
    runs: u64,
    /// What one run alone took: nothing better is known before the first try.
    alone: Nanos,
    /// The least mean of a try, in picoseconds.
    least_ps: Option<u64>,
}

impl Tried {
    /// How long a try will last.
    fn lasts(&self) -> Nanos {
        self.alone.saturating_mul(self.runs)
    }

    fn point(&self) -> Point {
        let alone_ps = self.alone.get().saturating_mul(1_000);
        Point { rows: self.rows, ps: self.least_ps.unwrap_or(alone_ps).max(1) }
    }
}

/// The forms of a kernel that this machine has and that differ: each with what it runs, in words. Where two levels run the very
/// same, the narrower stands for both.
#[must_use]
pub fn forms(spec: &KernelSpec) -> Vec<(Backend, String)> {
    let mut all: Vec<(Backend, String)> = Vec::new();
    for backend in Backend::CORES {
        if let Some(level) = backend.simd().and_then(|choice| choice.resolve().ok()) {
            let runs_as = spec.runs_as(level);
            if all.iter().all(|(_, known)| *known != runs_as) {
                all.push((backend, runs_as));
            }
        }
    }
    all
}

/// One kernel on one backend of the cores, ready to be measured.
#[derive(Debug)]
pub struct Subject {
    sample: Sample,
    run: u32,
}

impl Subject {
    /// The kernel of `spec` on `backend`, with payloads of about `wanted` bytes; none where that is no backend of the cores.
    #[must_use]
    pub fn new(
        spec: &KernelSpec,
        backend: Backend,
        wanted: usize,
        clock: &impl Clock,
    ) -> Option<Self> {
        let simd: SimdChoice = backend.simd()?;
        let sample = Sample::new(spec, simd, wanted, ROWS_MAX as usize, clock);
        let run = u32::try_from(sample.batch_max()).ok()?.min(ROWS_MAX);
        Some(Self { sample, run })
    }

    /// What batches of `sizes` take, within about [`LIMIT`].
    pub fn points(&mut self, clock: &impl Clock, sizes: &[u32]) -> Vec<Point> {
        let sample = &mut self.sample;
        measure(clock, LIMIT, sizes, |rows| sample.run(rows as usize))
    }

    /// The sizes that its model is made of.
    #[must_use]
    pub fn sizes(&self) -> Vec<u32> {
        sizes(self.run, ROWS_MAX)
    }

    /// What one row took, the least of a few runs.
    pub fn alone(&mut self, clock: &impl Clock) -> Nanos {
        let mut run = |rows| self.run(rows);
        (0..5).map(|_| time(clock, 1, 1, &mut run)).min().unwrap_or(Nanos::MAX)
    }

    /// Runs the first `rows` payloads.
    pub fn run(&mut self, rows: u32) {
        self.sample.run(rows as usize);
    }

    /// The model that these times make.
    #[must_use]
    pub fn model_of(&self, points: Vec<Point>) -> Option<CostModel> {
        Some(CostModel::new(points).ok()?.in_runs_of(self.run))
    }
}

/// The models of all, within about [`LIMIT`] each; measured in turns ([`Course`]).
pub fn models(clock: &impl Clock, subjects: &mut [Subject]) -> Vec<Option<CostModel>> {
    let sizes: Vec<Vec<u32>> = subjects.iter().map(Subject::sizes).collect();
    let mut run = |i: usize, rows| subjects[i].run(rows);
    let mut course = Course::begin(clock, LIMIT, &sizes, &mut run);
    while course.round(clock, &mut run) {}
    let points = course.points();
    subjects.iter().zip(points).map(|(s, points)| s.model_of(points)).collect()
}

/// The least time of `run(rows)` at each of `sizes`, which grow, within about `limit`. Sizes that do not fit into what is left
/// even once are not measured; the first always is.
pub fn measure(
    clock: &impl Clock,
    limit: Nanos,
    sizes: &[u32],
    mut run: impl FnMut(u32),
) -> Vec<Point> {
    let mut run = |_, rows| run(rows);
    let mut course = Course::begin(clock, limit, &[sizes.to_vec()], &mut run);
    while course.round(clock, &mut run) {}
    course.points().pop().unwrap_or_default()
}

/// Several that are measured in turns, so that a stretch in which the machine is slow meets all of them and not the whole of one:
/// in each round each has one try of each of its sizes. Each has a time of its own, and spends it evenly over the rounds: one that
/// takes long tries only the next few of its sizes in each. If it tried all, it would be at its end after the first rounds, and a slow stretch
/// there would be in its figures alone.
#[derive(Debug)]
pub struct Course {
    limit: Nanos,
    rounds: u32,
    all: Vec<Tries>,
}

/// One of them.
#[derive(Debug)]
struct Tries {
    sizes: Vec<Tried>,
    spent: Nanos,
    /// The size whose turn it is.
    next: usize,
}

impl Tries {
    /// The others have had the caches since its last turn, and a worker has been at it for a while: its largest batch is run once, where
    /// that takes little of a turn's time.
    fn warm_up(&mut self, clock: &impl Clock, limit: Nanos, run: &mut impl FnMut(u32)) {
        if let Some(largest) = self.sizes.last()
            && largest.alone <= Nanos::new(turn_of(limit).get() / WARM_UP_PART)
            && self.spent + largest.alone <= limit
        {
            self.spent += time(clock, largest.rows, 1, run);
        }
    }
}

impl Course {
    /// Runs each size of each a first time. `sizes` grow; `run(i, rows)` runs a batch of the `i`th.
    #[must_use]
    pub fn begin(
        clock: &impl Clock,
        limit: Nanos,
        sizes: &[Vec<u32>],
        run: &mut impl FnMut(usize, u32),
    ) -> Self {
        let first = |(i, sizes): (usize, &Vec<u32>)| {
            let mut run = |rows| run(i, rows);
            let (mut all, mut spent): (Vec<Tried>, Nanos) = (Vec::new(), Nanos::ZERO);
            for &rows in sizes {
                // Twice at least: the first run warms what the kernel reads.
                let twice = all.last().map_or(Nanos::ZERO, |t| guess(t, rows).saturating_mul(2));
                if spent + twice > limit {
                    break;
                }
                let (alone, times) = first_runs(clock, rows, &mut run);
                // What other work took of the core in between is not this one's: if it were, one pause could leave no time for tries.
                spent += alone.saturating_mul(times);
                all.push(Tried { rows, runs: runs_of_try(alone), alone, least_ps: None });
            }
            Tries { sizes: all, spent, next: 0 }
        };
        let all = sizes.iter().enumerate().map(first).collect();
        Self { limit, rounds: 0, all }
    }

    /// One more try of all that still have time. False: nobody has, or there were enough.
    pub fn round(&mut self, clock: &impl Clock, run: &mut impl FnMut(usize, u32)) -> bool {
        let Self { limit, rounds, all } = self;
        if *rounds == TRIES {
            return false;
        }
        *rounds += 1;
        let due = turn_of(*limit).saturating_mul(u64::from(*rounds));
        let mut left = false;
        for (i, one) in all.iter_mut().enumerate() {
            let count = one.sizes.len();
            one.warm_up(clock, *limit, &mut |rows| run(i, rows));
            for _ in 0..count {
                let Some(tried) = one.sizes.get_mut(one.next) else { break };
                let fits = one.spent + tried.lasts() <= *limit;
                left |= fits;
                if fits && one.spent > due {
                    break;
                }
                one.next = (one.next + 1) % count;
                if !fits {
                    continue;
                }
                let took = time(clock, tried.rows, tried.runs, &mut |rows| run(i, rows));
                one.spent += took;
                let mean_ps = took.get().saturating_mul(1_000) / tried.runs;
                tried.least_ps = Some(tried.least_ps.map_or(mean_ps, |least| least.min(mean_ps)));
                // The first runs may have been interrupted.
                tried.alone = tried.alone.min(Nanos::new(mean_ps.div_ceil(1_000)));
                tried.runs = runs_of_try(tried.alone);
            }
        }
        left
    }

    /// The least of all tries.
    #[must_use]
    pub fn points(&self) -> Vec<Vec<Point>> {
        self.all.iter().map(|one| one.sizes.iter().map(Tried::point).collect()).collect()
    }
}

/// The least time of the first few runs of a size, and how many there were: twice at least, because the first warms what the kernel
/// reads, and five times where that is cheap, because one of two may be interrupted for many milliseconds on a machine with others.
fn first_runs(clock: &impl Clock, rows: u32, run: &mut impl FnMut(u32)) -> (Nanos, u64) {
    let mut least = time(clock, rows, 1, run);
    for times in 2.. {
        least = least.min(time(clock, rows, 1, run));
        if times == FIRST_RUNS || least > TRY {
            return (least, times);
        }
    }
    (least, FIRST_RUNS)
}

/// A turn's share of the time that there is.
fn turn_of(limit: Nanos) -> Nanos {
    Nanos::new(limit.get() / u64::from(TRIES))
}

/// How many runs make a try, where one takes `alone`.
fn runs_of_try(alone: Nanos) -> u64 {
    (TRY.get() / alone.get().max(1)).clamp(1, RUNS_MAX)
}

/// What a batch of `rows` takes if each row takes as long as those of a smaller one.
fn guess(smaller: &Tried, rows: u32) -> Nanos {
    Nanos::new(smaller.alone.get().saturating_mul(u64::from(rows)) / u64::from(smaller.rows.max(1)))
}

fn time(clock: &impl Clock, rows: u32, runs: u64, run: &mut impl FnMut(u32)) -> Nanos {
    let start = clock.now();
    for _ in 0..runs {
        run(rows);
    }
    clock.now().since(start)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Instant;
    use crate::level::cost::SIZES;
    use std::cell::Cell;

    /// Each run takes what `cost` says of its rows and of how many runs were before.
    fn measured(limit: Nanos, cost: impl Fn(u32, u64) -> u64) -> (Vec<Point>, Nanos) {
        let clock = Cell::new(Instant::ZERO);
        let mut count = 0;
        let points = measure(&clock, limit, &SIZES, |rows| {
            clock.set(clock.get() + Nanos::new(cost(rows, count)));
            count += 1;
        });
        (points, clock.get().since(Instant::ZERO))
    }

    #[test]
    fn what_disturbs_some_tries_is_not_in_the_figures() {
        let (points, took) = measured(LIMIT, |rows, count| {
            let pause = if count % 1_000 == 7 { 3_000_000 } else { 0 };
            500 + 100 * u64::from(rows) + pause
        });
        assert_eq!(points.len(), SIZES.len());
        for point in points {
            assert_eq!(point.ps, 1_000 * (500 + 100 * u64::from(point.rows)), "{}", point.rows);
        }
        assert!(took <= LIMIT + Nanos::from_millis(6), "{took}");
    }

    #[test]
    fn first_runs_that_are_interrupted_leave_no_trace() {
        // The second run of the third size is interrupted for longer than there is time in all.
        let second = 2 * FIRST_RUNS + 1;
        let (points, _) = measured(LIMIT, |rows, count| {
            let pause = if count == second { 80_000_000 } else { 0 };
            100 * u64::from(rows) + pause
        });
        assert_eq!(points.len(), SIZES.len());
        assert!(points.iter().all(|p| p.ps == 100_000 * u64::from(p.rows)), "{points:?}");
        // All first runs of a size are: the tries put it right.
        let (points, _) = measured(LIMIT, |rows, count| {
            let pause = if (10..15).contains(&count) { 4_000_000 } else { 0 };
            100 * u64::from(rows) + pause
        });
        assert!(points.iter().all(|p| p.ps == 100_000 * u64::from(p.rows)), "{points:?}");
    }

    #[test]
    fn a_first_run_that_is_slow_does_not_count() {
        let (points, _) = measured(LIMIT, |_, count| if count == 0 { 9_000_000 } else { 2_000 });
        assert!(points.iter().all(|p| p.ps == 2_000_000), "{points:?}");
    }

    #[test]
    fn what_does_not_fit_into_the_time_is_left_out() {
        let (points, took) = measured(LIMIT, |rows, _| 2_000_000 * u64::from(rows));
        assert_eq!(points.iter().map(|p| p.rows).collect::<Vec<_>>(), [1, 2, 3, 4]);
        assert!(took <= LIMIT, "{took}");
        let (points, _) = measured(LIMIT, |_, _| 4_000_000_000);
        assert_eq!(points, [Point { rows: 1, ps: 4_000_000_000_000 }]);
    }

    #[test]
    fn a_slow_stretch_meets_all_and_is_in_no_figure() {
        // One of two takes a third of the other. For 40 ms, which is nearly all that one of them has, the machine is 1.6 times
        // slower.
        let clock = Cell::new(Instant::ZERO);
        let slow = |now: Instant| (20..60).contains(&(now.as_nanos() / 1_000_000));
        let mut run = |i: usize, rows: u32| {
            let ns = [900, 300][i] * u64::from(rows);
            let ns = if slow(clock.get()) { ns * 8 / 5 } else { ns };
            clock.set(clock.get() + Nanos::new(ns));
        };
        let mut course = Course::begin(&clock, LIMIT, &[SIZES.to_vec(), SIZES.to_vec()], &mut run);
        while course.round(&clock, &mut run) {}
        for (points, each) in course.points().iter().zip([900, 300]) {
            let exact = |p: &Point| p.ps == 1_000 * each * u64::from(p.rows);
            assert!(points.len() == SIZES.len() && points.iter().all(exact), "{points:?}");
        }
        let took = clock.get().since(Instant::ZERO);
        assert!(took <= LIMIT.saturating_mul(2) + Nanos::from_millis(2), "{took}");
    }

    #[test]
    fn one_that_takes_long_spends_its_time_over_all_rounds() {
        // Both have tries for 80 ms and more between them; the first 55 ms are slow. All that the one of 200 us a row could do
        // in full rounds would be over by then.
        let clock = Cell::new(Instant::ZERO);
        let mut run = |i: usize, rows: u32| {
            let ns = [200_000, 300][i] * u64::from(rows);
            let slow = clock.get() < Instant::ZERO + Nanos::from_millis(55);
            clock.set(clock.get() + Nanos::new(if slow { ns * 8 / 5 } else { ns }));
        };
        let few = vec![1, 2, 3, 4, 5, 6];
        let mut course = Course::begin(&clock, LIMIT, &[few, SIZES.to_vec()], &mut run);
        while course.round(&clock, &mut run) {}
        for (points, each) in course.points().iter().zip([200_000, 300]) {
            let exact = |p: &Point| p.ps == 1_000 * each * u64::from(p.rows);
            assert!(points.iter().all(exact), "{points:?}");
        }
    }

    #[test]
    fn one_that_is_slow_takes_no_time_of_another() {
        let clock = Cell::new(Instant::ZERO);
        let mut count = [0; 2];
        let mut run = |i: usize, _| {
            count[i] += 1;
            clock.set(clock.get() + [Nanos::from_millis(15), Nanos::from_micros(19)][i]);
        };
        let mut course = Course::begin(&clock, LIMIT, &[vec![1], vec![1]], &mut run);
        while course.round(&clock, &mut run) {}
        assert_eq!(
            count,
            [3, 205],
            "as often as there is time; before each try once, and as often as there are tries"
        );
    }

    #[test]
    fn caches_that_others_have_had_are_in_no_figure() {
        // A row that was not run since the other had its turn takes twice as long.
        let clock = Cell::new(Instant::ZERO);
        let (mut last, mut warm) = (0, 0);
        let mut run = |i: usize, rows: u32| {
            let known = if i == last { warm } else { 0 };
            (last, warm) = (i, rows.max(known));
            let ns = 800 * u64::from(rows) + 800 * u64::from(rows.saturating_sub(known));
            clock.set(clock.get() + Nanos::new(ns));
        };
        let mut course = Course::begin(&clock, LIMIT, &[SIZES.to_vec(), SIZES.to_vec()], &mut run);
        while course.round(&clock, &mut run) {}
        for points in course.points() {
            let exact = |p: &Point| p.ps == 800_000 * u64::from(p.rows);
            assert!(points.len() == SIZES.len() && points.iter().all(exact), "{points:?}");
        }
    }

    #[test]
    fn a_clock_that_stands_gives_no_point_without_time() {
        let clock = Cell::new(Instant::ZERO);
        let points = measure(&clock, LIMIT, &[1, 2], |_| {});
        assert!(points.iter().all(|p| p.ps == 1), "{points:?}");
    }
}
