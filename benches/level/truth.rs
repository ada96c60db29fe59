//! What every batch really takes on every backend, beside what the model says that was calibrated at a few sizes.

use std::collections::BTreeMap;

use punctual::base::{Clock as _, Nanos};
use punctual::kernel::sample::Sample;
use punctual::kernel::simd::SimdChoice;
use punctual::level::calibrate::{Course, LIMIT};
use punctual::level::cost::sizes;
use punctual::level::{CostModel, Point};
use punctual::sys::clock::MonotonicClock;

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
    /// Nanoseconds of batches of 1, 2, … rows: the median of the rounds, the forms beside each other ([`paired`]).
    pub(crate) usual: Vec<f64>,
    /// The least of them.
    pub(crate) least: Vec<f64>,
    step: f64,
    /// The model as it stood when batches of a size were measured again.
    later: BTreeMap<u32, CostModel>,
}

impl Form {
    /// What a service would have predicted by when batches of `rows` were measured last.
    pub(crate) fn model_at(&self, rows: u32) -> &CostModel {
        self.later.get(&rows).unwrap_or(&self.model)
    }
}

pub(crate) struct Measured {
    pub(crate) work: Work,
    pub(crate) forms: Vec<Form>,
    samples: Vec<(SimdChoice, Sample)>,
}

impl Measured {
    pub(crate) fn of(work: Work, rounds: usize) -> Self {
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
        let (points, times) = all_times(&mut samples, &sizes, rounds);
        let model = |((_, sample), points): (&(SimdChoice, Sample), Vec<Point>)| {
            let model = CostModel::new(points).expect("a model");
            model.in_runs_of(sample.batch_max() as u32)
        };
        let mut models: Vec<CostModel> = samples.iter().zip(points).map(model).collect();
        let usual = all_paired(&times);
        let seen: Vec<u32> = unjudged().collect();
        correct(&mut models, &seen, |form, s| usual[form][seen[s] as usize - 1]);
        let named = samples.iter().map(|(simd, _)| *simd);
        let all = named.zip(models).zip(usual).zip(&times);
        let forms = all.map(|(((simd, model), usual), times)| {
            let least = |t: &Vec<f64>| t.iter().copied().fold(f64::INFINITY, f64::min);
            let least = times.iter().map(least).collect();
            Form { simd, model, usual, least, step: least_step(times), later: BTreeMap::new() }
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
    pub(crate) fn measure_again(&mut self, rows: u32) {
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
                    let took = turn(sample, *size as usize, runs[i][s]);
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
fn turn(sample: &mut Sample, rows: usize, count: u64) -> f64 {
    (0..count.div_ceil(2)).for_each(|_| sample.run(rows));
    let start = MonotonicClock.now();
    (0..count).for_each(|_| sample.run(rows));
    MonotonicClock.now().since(start).get() as f64 / count as f64
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
    samples: &mut [(SimdChoice, Sample)],
    sizes: &[Vec<u32>],
    rounds: usize,
) -> (Vec<Vec<Point>>, Times) {
    let mut times = vec![vec![Vec::new(); ROWS_MAX as usize]; samples.len()];
    let mut runs = vec![vec![1_u64; ROWS_MAX as usize]; samples.len()];
    let clock = &MonotonicClock;
    let mut course = Course::begin(clock, LIMIT, sizes, &mut |i: usize, rows| {
        samples[i].1.run(rows as usize);
    });
    let (mut more, mut done) = (true, 0);
    for round in 0..=rounds {
        for (i, (_, sample)) in samples.iter_mut().enumerate() {
            // From another size on in each round: on a machine with others every round is interrupted once or twice, and if all
            // were alike that would meet the same sizes every time.
            for step in 0..ROWS_MAX as usize {
                let rows = (step + 29 * round) % ROWS_MAX as usize;
                let took = turn(sample, rows + 1, runs[i][rows]);
                if round == 0 {
                    runs[i][rows] = runs_of(took);
                } else {
                    times[i][rows].push(took);
                }
            }
        }
        // Over all rounds alike: if it were over before the last of them, a slow stretch till then would be in it alone.
        while more && done * (rounds + 1) < ROUNDS * (round + 1) {
            more = course.round(clock, &mut |i: usize, rows| samples[i].1.run(rows as usize));
            done += 1;
        }
    }
    (course.points(), times)
}

/// The model's error at a size, as a share of what it takes.
fn error(form: &Form, rows: u32) -> f64 {
    let truth = form.least[rows as usize - 1];
    form.model.measured_ps(rows) as f64 / 1e3 / truth - 1.0
}

/// The least of the medians of a batch's time by that of the batch before it in the same round: below 1 where more rows cost
/// less.
fn least_step(times: &[Vec<f64>]) -> f64 {
    let step = |pair: &[Vec<f64>]| quartiles(pair[1].iter().zip(&pair[0]).map(|(b, a)| b / a))[1];
    times.windows(2).map(step).fold(f64::INFINITY, f64::min)
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
    let (mut sum, mut count, mut worst_of_all, mut fell) = (0.0, 0.0, 0.0_f64, f64::INFINITY);
    for Measured { work, forms, .. } in all {
        for form in forms {
            let unseen: Vec<u32> = (1..=ROWS_MAX)
                .filter(|rows| form.model.points().iter().all(|p| p.rows != *rows))
                .collect();
            let errors: Vec<f64> = unseen.iter().map(|rows| error(form, *rows)).collect();
            let mean = errors.iter().map(|e| e.abs()).sum::<f64>() / errors.len() as f64;
            let (worst, rows) = errors.iter().zip(&unseen).fold((0.0_f64, 0), |w, (e, rows)| {
                if e.abs() > w.0.abs() { (*e, *rows) } else { w }
            });
            sum += mean;
            count += 1.0;
            worst_of_all = worst_of_all.max(worst.abs());
            fell = fell.min(form.step);
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
        "\nleast median of a batch's time by that of the batch before it: {fell:.3} (goal {:.2})",
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
    reached
}
