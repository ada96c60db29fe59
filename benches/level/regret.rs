//! What is chosen beside what would have been best, over kernels, batches, slacks and loads: all times are measured ones.
//!
//! The chooser sees only the models: calibrated at a few sizes and corrected by some batches of other sizes. The judge sees what
//! each batch takes (the median of the rounds).

use std::collections::BTreeSet;

use punctual::base::Nanos;
use punctual::kernel::sample::payload_len;
use punctual::level::choose::{Mode, Options};
use punctual::level::{Backend, Choice, Leveller, Offer, elements};

use crate::cycles::Judge;
use crate::truth::{Form, Measured};

/// Batches that are judged.
pub(crate) const ROWS: [u32; 12] = [1, 2, 3, 5, 7, 8, 11, 12, 15, 20, 32, 48];
/// Time to the deadline by what the fastest form takes: too little for any, little, some, plenty.
const SLACKS: [f64; 4] = [0.7, 1.3, 2.5, 8.0];
/// What waits before it, by what the fastest form takes: nothing; a batch before the fastest form alone; half a batch before all.
const LOADS: [(f64, f64); 3] = [(0.0, 0.0), (1.0, 0.0), (0.5, 0.5)];
/// The goals: mean, and worst.
const MEAN: f64 = 0.05;
const WORST: f64 = 0.20;
pub(crate) fn backend(form: &Form) -> Backend {
    let found = Backend::CORES.into_iter().find(|b| b.simd() == Some(form.simd));
    found.expect("a form of the cores")
}

fn nanos(ns: f64) -> Nanos {
    Nanos::new(ns.round() as u64)
}

/// What became of the points of one kernel.
#[derive(Default)]
struct Sum {
    points: usize,
    /// Where some form was in time.
    kept: usize,
    /// Where none was, and something was run all the same.
    in_vain: usize,
    regret: f64,
    worst: (f64, String),
    missed: Vec<String>,
    /// Batches of which some point is missed or costs twice the mean that is allowed: they are measured again.
    doubtful: BTreeSet<u32>,
    by_form: [usize; 3],
    /// The same points by the seed's table of sizes: sum of regrets, and how many are late for nothing.
    seed: (f64, usize),
}

impl Sum {
    /// The seed's mean regret where it is in time, and its misses, in words.
    fn seed(&self) -> String {
        let (regret, missed) = self.seed;
        format!("{:.1} %, {missed}", 100.0 * regret / (self.kept - missed).max(1) as f64)
    }
}

/// Judges all and prints a row a kernel; whether the goals were reached.
pub(crate) fn table(judge: &Judge, all: &mut [Measured]) -> bool {
    println!(
        "\n| kernel | points | in time for some form | scalar, avx2, avx512 | mean regret | worst | missed | seed's table: mean, missed |"
    );
    println!("|---|---|---|---|---|---|---|---|");
    let mut whole = Sum::default();
    for measured in all.iter_mut().filter(|m| m.forms.len() > 1) {
        let doubtful = judged(measured).doubtful;
        doubtful.into_iter().for_each(|rows| measured.measure_again(judge, rows));
        let sum = judged(measured);
        println!(
            "| {} | {} | {} | {:?} | {:.2} % | {:.1} % | {} | {} |",
            measured.work.name,
            sum.points,
            sum.kept,
            sum.by_form,
            100.0 * sum.regret / sum.kept as f64,
            100.0 * sum.worst.0,
            sum.missed.len(),
            sum.seed()
        );
        whole.seed.0 += sum.seed.0;
        whole.seed.1 += sum.seed.1;
        whole.points += sum.points;
        whole.kept += sum.kept;
        whole.in_vain += sum.in_vain;
        whole.regret += sum.regret;
        whole.missed.extend(sum.missed);
        if sum.worst.0 > whole.worst.0 {
            whole.worst = sum.worst;
        }
    }
    whole.missed.iter().for_each(|m| println!("missed: {m}"));
    println!("\nrun where no form was in time: {} of {}", whole.in_vain, whole.points - whole.kept);
    println!("\nby the seed's table of sizes: {} of {}", whole.seed(), whole.kept);
    let mean = whole.regret / whole.kept as f64;
    let reached = mean <= MEAN && whole.worst.0 <= WORST && whole.missed.is_empty();
    println!(
        "\nregret over {} points: mean {:.2} % (goal {:.0}), worst {:.1} % (goal {:.0}; {}), missed {} (goal 0){}",
        whole.points,
        100.0 * mean,
        100.0 * MEAN,
        100.0 * whole.worst.0,
        100.0 * WORST,
        whole.worst.1,
        whole.missed.len(),
        if reached { "" } else { ": MISSED" }
    );
    reached && whole.points >= 200
}

fn judged(measured: &Measured) -> Sum {
    let mut sum = Sum::default();
    for rows in ROWS {
        let truth: Vec<f64> = measured.forms.iter().map(|f| f.usual[rows as usize - 1]).collect();
        let fastest =
            (0..truth.len()).min_by(|a, b| truth[*a].total_cmp(&truth[*b])).expect("some");
        for slack in SLACKS {
            for (before_fastest, before_others) in LOADS {
                let unit = truth[fastest];
                let wait =
                    |i: usize| if i == fastest { before_fastest } else { before_others } * unit;
                let at = format!(
                    "{} rows {rows} slack {slack} load {before_fastest}",
                    measured.work.name
                );
                one(&mut sum, measured, rows, (&truth, slack * unit), &wait, at);
            }
        }
    }
    sum
}

fn one(
    sum: &mut Sum,
    measured: &Measured,
    rows: u32,
    (truth, slack): (&[f64], f64),
    wait: &dyn Fn(usize) -> f64,
    at: String,
) {
    let offer = |(i, form): (usize, &Form)| Offer {
        backend: backend(form),
        work: form.model_at(rows).predict(rows),
        work_high: form.model_at(rows).predict_high(rows),
        work_low: form.model_at(rows).predict_low(rows),
        transfer: Nanos::ZERO,
        wait: nanos(wait(i)),
        open: true,
    };
    let offers: Vec<Offer> = measured.forms.iter().enumerate().map(offer).collect();
    let choice = Leveller::default().choose(&offers, 0, nanos(slack));
    let in_time = |i: &usize| wait(*i) + truth[*i] <= slack;
    let best = (0..truth.len()).filter(in_time).map(|i| truth[i]).fold(f64::INFINITY, f64::min);
    sum.points += 1;
    let chosen = |choice| match choice {
        Choice::Run(backend, _) => offers.iter().position(|o| o.backend == backend),
        Choice::Late | Choice::Rejected => None,
    };
    if best == f64::INFINITY {
        sum.in_vain += usize::from(chosen(choice).is_some());
        return;
    }
    sum.kept += 1;
    let spec = &measured.work.spec;
    let size = elements(spec, rows, payload_len(spec, measured.work.wanted));
    let mut seed = Leveller::new(Options { mode: Mode::Seed, ..Options::default() });
    match chosen(seed.choose(&offers, size, nanos(slack))).filter(in_time) {
        None => sum.seed.1 += 1,
        Some(i) => sum.seed.0 += truth[i] / best - 1.0,
    }
    match chosen(choice).filter(in_time) {
        None => {
            sum.doubtful.insert(rows);
            sum.missed.push(format!("{at}: {choice:?}"));
        }
        Some(i) => {
            sum.by_form[offers[i].backend as usize] += 1;
            let regret = truth[i] / best - 1.0;
            sum.regret += regret;
            if regret > 2.0 * MEAN {
                sum.doubtful.insert(rows);
            }
            if regret > sum.worst.0 {
                sum.worst = (regret, at);
            }
        }
    }
}
