//! What every batch really takes on every backend, beside what the model says that was calibrated at a few sizes.

use std::collections::BTreeMap;

use punctual::base::{Clock, Nanos};
use punctual::kernel::sample::Sample;
use punctual::kernel::simd::SimdChoice;
use punctual::level::calibrate::{Course, LIMIT};
use punctual::level::cost::sizes;
use punctual::level::{CostModel, Point};
use punctual::sys::clock::MonotonicClock;

use crate::cycles::Judge;
use crate::quartiles::quartiles;
use crate::works::Work;

/// The largest batch.
pub(crate) const ROWS_MAX: u32 = 64;
/// A turn is at least so long, in nanoseconds; half as long again comes before it and is not timed.
const TURN: u64 = 60_000;
/// Rounds of what is measured once more.
const AGAIN: usize = 101;
/// So many sizes are measured beside what is measured once more: each form has its turn at one.
const BESIDE: usize = 3;
/// So many rounds a calibration has.
const ROUNDS: usize = 100;

/// A backend with what it was taken to cost, and what it costs.
pub(crate) struct Form {
    pub(crate) simd: SimdChoice,
    pub(crate) model: CostModel,
    /// The same made by the machine's clock, as a service makes it, and not corrected.
    by_wall: CostModel,
    /// Nanoseconds of batches of 1, 2, … rows: the median of the rounds, the forms beside each other ([`paired`]).
    pub(crate) usual: Vec<f64>,
    /// The least of them.
    pub(crate) least: Vec<f64>,
    /// The least.
    step: Step,
    /// The model as it stood when batches of a size were measured again.
    later: BTreeMap<u32, CostModel>,
}

impl Form {
    /// What a service would have predicted by when batches of `rows` were measured last.
    pub(crate) fn model_at(&self, rows: u32) -> &CostModel {
        self.later.get(&rows).unwrap_or(&self.model)
    }
}

/// What a batch of `rows` takes by what one row less does.
#[derive(Clone, Copy)]
struct Step {
    ratio: f64,
    rows: usize,
}

pub(crate) struct Measured {
    pub(crate) work: Work,
    pub(crate) forms: Vec<Form>,
    samples: Vec<(SimdChoice, Sample)>,
}

impl Measured {
    pub(crate) fn of(judge: &Judge, work: Work, rounds: usize) -> Self {
        eprintln!("measuring {}", work.name);
        let mut said = Vec::new();
        let mut samples: Vec<(SimdChoice, Sample)> = Vec::new();
        for simd in SimdChoice::ALL.into_iter().skip(1) {
            let Ok(level) = simd.resolve() else {
                eprintln!("SKIPPED {}: this machine does not have it", simd.word());
                continue;
            };
            let runs_as = work.spec.runs_as(level);
            if said.contains(&runs_as) {
                continue;
            }
            said.push(runs_as);
            let rows = ROWS_MAX as usize;
            let sample = Sample::new(&work.spec, simd, work.wanted, rows, &MonotonicClock);
            samples.push((simd, sample));
        }
        let sizes: Vec<Vec<u32>> =
            samples.iter().map(|(_, s)| sizes(s.batch_max() as u32, ROWS_MAX)).collect();
        let (calibrated, times) = all_times(judge, &mut samples, &sizes, rounds);
        let model = |((_, sample), points): (&(SimdChoice, Sample), Vec<Point>)| {
            let model = CostModel::new(points).expect("a model");
            model.in_runs_of(sample.batch_max() as u32)
        };
        let [mut models, by_wall]: [Vec<CostModel>; 2] =
            calibrated.map(|points| samples.iter().zip(points).map(model).collect());
        let usual = all_paired(&times);
        let seen: Vec<u32> = unjudged().collect();
        correct(&mut models, &seen, |form, s| usual[form][seen[s] as usize - 1]);
        let named = samples.iter().map(|(simd, _)| *simd);
        let all = named.zip(models.into_iter().zip(by_wall)).zip(usual).zip(&times);
        let forms = all.map(|(((simd, (model, by_wall)), usual), times)| {
            let least = |t: &Vec<f64>| t.iter().copied().fold(f64::INFINITY, f64::min);
            let least = times.iter().map(least).collect();
            let (step, later) = (least_step(times), BTreeMap::new());
            Form { simd, model, by_wall, usual, least, step, later }
        });
        let forms: Vec<Form> = forms.collect();
        for (_, sample) in &mut samples {
            let most = sample.batch_max();
            sample.run(most);
            assert!(sample.all_done(most), "{}: a row was refused", work.name);
        }
        Self { work, forms, samples }
    }

    /// Measures batches of `rows` rows once more, the forms in turns and three times as often: what so few rounds said of them is
    /// doubtful. What they take then stands in the place of what was found before. The machine may be faster or slower by now, and a
    /// service would have seen that: sizes beside it that are not judged are measured in the same rounds, and correct the model that this
    /// size is judged by.
    pub(crate) fn measure_again(&mut self, judge: &Judge, rows: u32) {
        let Self { forms, samples, .. } = self;
        let mut sizes = vec![rows];
        let mut beside: Vec<u32> = unjudged().collect();
        beside.sort_by_key(|size| size.abs_diff(rows));
        sizes.extend(&beside[..BESIDE]);
        let mut runs = vec![vec![1_u64; sizes.len()]; samples.len()];
        let mut times: Times = vec![vec![Vec::new(); sizes.len()]; samples.len()];
        for round in 0..=AGAIN {
            for (i, (_, sample)) in samples.iter_mut().enumerate() {
                for (s, size) in sizes.iter().enumerate() {
                    let took = turn(judge, sample, *size as usize, runs[i][s]);
                    if round == 0 {
                        runs[i][s] = runs_of(took);
                    } else {
                        times[i][s].push(took);
                    }
                }
            }
        }
        let usual = all_paired(&times);
        let mut models: Vec<CostModel> = forms.iter().map(|f| f.model.clone()).collect();
        for _ in 0..ROUNDS / BESIDE {
            correct(&mut models, &sizes[1..], |form, s| usual[form][s + 1]);
        }
        for ((form, usual), model) in forms.iter_mut().zip(usual).zip(models) {
            form.usual[rows as usize - 1] = usual[0];
            form.later.insert(rows, model);
        }
    }
}

/// Sizes that no choice is judged at.
fn unjudged() -> impl Iterator<Item = u32> {
    (1..=ROWS_MAX).filter(|rows| !crate::regret::ROWS.contains(rows))
}

/// What a batch usually takes by each form, of its times by round: in each round each form's time is held to the mean of all forms
/// (geometric), and what is kept is the median of these ratios, times the median of the means. A clock that is a third slower in some
/// rounds is so for all forms of the round: it does not decide which of them was in time.
fn paired(times: &[&[f64]]) -> Vec<f64> {
    let mean = |round: usize| {
        let logs: f64 = times.iter().map(|t| t[round].max(1e-3).ln()).sum();
        (logs / times.len() as f64).exp()
    };
    let means: Vec<f64> = (0..times[0].len()).map(mean).collect();
    let middle = quartiles(means.iter().copied())[1];
    let usual = |t: &&[f64]| middle * quartiles(t.iter().zip(&means).map(|(t, m)| t / m))[1];
    times.iter().map(usual).collect()
}

/// The same for all sizes: by form, then by rows.
fn all_paired(times: &Times) -> Vec<Vec<f64>> {
    let mut all = vec![Vec::new(); times.len()];
    for size in 0..times[0].len() {
        let of_size: Vec<&[f64]> = times.iter().map(|form| form[size].as_slice()).collect();
        for (form, usual) in all.iter_mut().zip(paired(&of_size)) {
            form.push(usual);
        }
    }
    all
}

/// Nanoseconds of a batch of `rows`, by `count` runs. The other forms have emptied the caches of what this one reads, and taught the
/// processor other jumps. One run does not make up for that, and what is wanted is a worker that has been at it for a while: half as
/// many runs come before.
fn turn(judge: &Judge, sample: &mut Sample, rows: usize, count: u64) -> f64 {
    (0..count.div_ceil(2)).for_each(|_| sample.run(rows));
    let start = judge.now();
    (0..count).for_each(|_| sample.run(rows));
    judge.now().since(start).get() as f64 / count as f64
}

/// How many runs of that time are a turn.
fn runs_of(took: f64) -> u64 {
    (TURN / (took as u64).max(1)).clamp(1, 4_096)
}

/// What a service would see: batches of `sizes`, which are not judged, of one form after another; the others follow the one that
/// ran. It sees what they usually take, as the judge does: a slow stretch would be in the one and not in the other.
fn correct(models: &mut [CostModel], sizes: &[u32], took: impl Fn(usize, usize) -> f64) {
    for (s, rows) in sizes.iter().enumerate() {
        let ran = s % models.len();
        models[ran].observe(*rows, Nanos::new(took(ran, s).round() as u64));
        let seen = models[ran].clone();
        models.iter_mut().for_each(|m| m.follow(&seen));
    }
}

/// By backend, rows and round: nanoseconds.
type Times = Vec<Vec<Vec<f64>>>;

/// What calibration finds, and what batches take. All backends in turn are a round, all sizes of each one after the other, since
/// what came just before is what a batch's caches and predictors are warm for: with the backends in turn at each size, two
/// rows of the narrow perceptron took longer than three. The calibration's own rounds are spread among them, so that both see the same machine.
fn all_times(
    judge: &Judge,
    samples: &mut [(SimdChoice, Sample)],
    sizes: &[Vec<u32>],
    rounds: usize,
) -> ([Vec<Vec<Point>>; 2], Times) {
    let mut times = vec![vec![Vec::new(); ROWS_MAX as usize]; samples.len()];
    let mut runs = vec![vec![1_u64; ROWS_MAX as usize]; samples.len()];
    let mut by_judge = Calibration::begin(judge, samples, sizes);
    let mut by_wall = Calibration::begin(&MonotonicClock, samples, sizes);
    for round in 0..=rounds {
        for (i, (_, sample)) in samples.iter_mut().enumerate() {
            // From another size on in each round: on a machine with others every round is interrupted once or twice, and if all
            // were alike that would meet the same sizes every time.
            for step in 0..ROWS_MAX as usize {
                let rows = (step + 29 * round) % ROWS_MAX as usize;
                let took = turn(judge, sample, rows + 1, runs[i][rows]);
                if round == 0 {
                    runs[i][rows] = runs_of(took);
                } else {
                    times[i][rows].push(took);
                }
            }
        }
        let share = (round + 1) as f64 / (rounds + 1) as f64;
        by_judge.go_on(judge, samples, share);
        by_wall.go_on(&MonotonicClock, samples, share);
    }
    ([by_judge.course.points(), by_wall.course.points()], times)
}

/// A calibration whose rounds lie between those of the judge.
struct Calibration {
    course: Course,
    done: usize,
    more: bool,
}

impl Calibration {
    fn begin(clock: &impl Clock, samples: &mut [(SimdChoice, Sample)], sizes: &[Vec<u32>]) -> Self {
        let mut run = |i: usize, rows| samples[i].1.run(rows as usize);
        Self { course: Course::begin(clock, LIMIT, sizes, &mut run), done: 0, more: true }
    }

    /// Over all rounds alike: if it were over before the last of them, a slow stretch till then would be in it alone.
    fn go_on(&mut self, clock: &impl Clock, samples: &mut [(SimdChoice, Sample)], share: f64) {
        let mut run = |i: usize, rows| samples[i].1.run(rows as usize);
        while self.more && (self.done as f64) < ROUNDS as f64 * share {
            self.more = self.course.round(clock, &mut run);
            self.done += 1;
        }
    }
}

/// A model's error at a size, as a share of what it takes.
fn error(model: &CostModel, least: &[f64], rows: u32) -> f64 {
    model.measured_ps(rows) as f64 / 1e3 / least[rows as usize - 1] - 1.0
}

/// The same for all `sizes` of a model that was made at another speed of the machine: a service's correction takes one factor for all
/// of them, the usual one.
fn errors_but_for_scale(model: &CostModel, least: &[f64], sizes: &[u32]) -> Vec<f64> {
    let all: Vec<f64> = sizes.iter().map(|rows| 1.0 + error(model, least, *rows)).collect();
    let scale = quartiles(all.iter().copied())[1];
    all.into_iter().map(|ratio| ratio / scale - 1.0).collect()
}

/// The least of the medians of a batch's time by that of the batch before it in the same round: below 1 where more rows cost
/// less.
fn least_step(times: &[Vec<f64>]) -> Step {
    let step = |pair: &[Vec<f64>]| quartiles(pair[1].iter().zip(&pair[0]).map(|(b, a)| b / a))[1];
    let steps = times.windows(2).map(step).zip(2..);
    let (ratio, rows) = steps.min_by(|a, b| a.0.total_cmp(&b.0)).expect("two sizes");
    Step { ratio, rows }
}

/// What remains of the machine's noise in the least of many medians.
const NOISE: f64 = 0.05;
/// The goals: worst and mean error at sizes that calibration did not see.
const WORST: f64 = 0.15;
const MEAN: f64 = 0.03;

pub(crate) fn table(all: &[Measured], sizes: bool) -> bool {
    println!(
        "\n| kernel | backend | T(1) | T(8) | T(32) | T(64) | ns a row | worst error (rows) | mean |"
    );
    println!("|---|---|---|---|---|---|---|---|---|");
    let (mut sum, mut count, mut worst_of_all) = (0.0, 0.0, 0.0_f64);
    let (mut fell, mut where_fell) = (f64::INFINITY, String::new());
    let (mut served_worst, mut served_mean) = (0.0_f64, 0.0);
    for Measured { work, forms, .. } in all {
        for form in forms {
            let unseen: Vec<u32> = (1..=ROWS_MAX)
                .filter(|rows| form.model.points().iter().all(|p| p.rows != *rows))
                .collect();
            let of = |rows: &u32| error(&form.model, &form.least, *rows);
            let errors: Vec<f64> = unseen.iter().map(of).collect();
            let mean_of = |all: &[f64]| all.iter().map(|e| e.abs()).sum::<f64>() / all.len() as f64;
            let mean = mean_of(&errors);
            let served = errors_but_for_scale(&form.by_wall, &form.least, &unseen);
            served_worst = served.iter().fold(served_worst, |w: f64, e| w.max(e.abs()));
            served_mean += mean_of(&served);
            let (worst, rows) = errors.iter().zip(&unseen).fold((0.0_f64, 0), |w, (e, rows)| {
                if e.abs() > w.0.abs() { (*e, *rows) } else { w }
            });
            sum += mean;
            count += 1.0;
            worst_of_all = worst_of_all.max(worst.abs());
            if form.step.ratio < fell {
                fell = form.step.ratio;
                where_fell = format!("{} {}, {} rows", work.name, form.simd.word(), form.step.rows);
            }
            let t = |rows: usize| format!("{:.0}", form.least[rows - 1]);
            println!(
                "| {} | {} | {} | {} | {} | {} | {:.1} | {:+.1} % ({rows}) | {:.1} % |",
                work.name,
                form.simd.word(),
                t(1),
                t(8),
                t(32),
                t(64),
                form.least[63] / 64.0,
                100.0 * worst,
                100.0 * mean
            );
            if sizes {
                let all: Vec<String> = form.least.iter().map(|t| format!("{t:.0}")).collect();
                println!("SIZES {} {}: {}", work.name, form.simd.word(), all.join(" "));
            }
        }
    }
    let mean = sum / count;
    let reached = worst_of_all <= WORST && mean <= MEAN && fell >= 1.0 - NOISE;
    println!(
        "\nleast median of a batch's time by that of the batch before it: {fell:.3} (goal {:.2}; {where_fell})",
        1.0 - NOISE
    );
    println!(
        "\nmodel error at sizes not calibrated: worst {:.1} % (goal {:.0}), mean {:.1} % (goal {:.0}){}",
        100.0 * worst_of_all,
        100.0 * WORST,
        100.0 * mean,
        100.0 * MEAN,
        if reached { "" } else { ": MISSED" }
    );
    println!(
        "\nthe same of models made by the machine's clock, but for one factor each: worst {:.1} %, mean {:.1} %",
        100.0 * served_worst,
        100.0 * served_mean / count
    );
    reached
}
