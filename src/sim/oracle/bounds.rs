//! Bounds on the share on time in the long run: who knows sizes, and who does not.
//!
//! Know only loads and distributions: no schedule of any kind does better, whatever the deadlines.

use rand_xoshiro::Xoshiro256PlusPlus;
use rand_xoshiro::rand_core::SeedableRng as _;

use crate::sim::workload::{Workload, ns};

/// Draws from each kind that is spread: the error is below 0.002.
const DRAWS: u32 = 100_000;

/// The most value a schedule can have on time, as a share of all offered: with sizes known, what is worth most for its time
/// is served first, until the time is used up. A knapsack of fluid: the last kind may be served in part.
#[must_use]
pub fn fluid(w: &Workload, load: f64) -> f64 {
    let mut pieces = Vec::new();
    for (i, kind) in w.kinds.iter().enumerate() {
        let share = w.share(i);
        let value = f64::from(kind.value);
        if kind.service.mean_square_ns2() <= kind.service.mean_ns().powi(2) * (1.0 + 1e-12) {
            pieces.push((share * value, share * kind.service.mean_ns()));
            continue;
        }
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(i as u64);
        let part = share / f64::from(DRAWS);
        pieces.extend((0..DRAWS).map(|_| {
            let service = ns(kind.service.draw(&mut rng));
            (part * value, part * service)
        }));
    }
    pieces.sort_by(|a, b| (b.0 / b.1).total_cmp(&(a.0 / a.1)));
    let all: f64 = pieces.iter().map(|p| p.0).sum();
    let mut time = w.mean_ns() / load;
    let mut served = 0.0;
    for (value, work) in pieces {
        if work >= time {
            return (served + value * time / work) / all;
        }
        time -= work;
        served += value;
    }
    1.0
}

/// The same for one exponential kind, in closed form: all jobs up to x means are served, where 1 - e^-x (1 + x) = 1 / load;
/// the share is 1 - e^-x.
#[must_use]
pub fn fluid_exponential(load: f64) -> f64 {
    if load <= 1.0 {
        return 1.0;
    }
    let (mut low, mut high) = (0.0_f64, 64.0_f64);
    for _ in 0..200 {
        let x = f64::midpoint(low, high);
        if 1.0 - (-x).exp() * (1.0 + x) < 1.0 / load { low = x } else { high = x }
    }
    1.0 - (-low).exp()
}

/// The most that can be on time when sizes are unknown and all jobs alike: the time there is, by the time that is asked for.
#[must_use]
pub const fn blind(load: f64) -> f64 {
    if load <= 1.0 { 1.0 } else { 1.0 / load }
}

/// The most that can be on time when sizes are unknown and exponential, all budgets alike and `budget` mean services long, on
/// one server: exactly what earliest deadline first reaches that gives up each job at its deadline, which is the best of all
/// that know no sizes (P. P. Bhattacharya, A. Ephremides, "Optimal scheduling with strict deadlines", IEEE Trans. Automatic
/// Control 34, 1989).
///
/// Its unfinished work is that of a dam of height `budget`: idle for p0 = (1 - load) / (1 - load e^(-(1 - load) budget)) of the
/// time; while it works it finishes one job a mean service, so (1 - p0) / load of the jobs are on time.
#[must_use]
pub fn blind_exponential(load: f64, budget: f64) -> f64 {
    let spare = 1.0 - load;
    // At a load of 1 both parts vanish: the limit is 1 / (1 + budget).
    let idle = if spare.abs() < 1e-9 {
        1.0 / (1.0 + budget)
    } else {
        spare / (1.0 - load * (-spare * budget).exp())
    };
    (1.0 - idle) / load
}
