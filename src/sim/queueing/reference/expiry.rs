//! What one server keeps on time where sizes are exponential and nobody knows them.

use super::super::policies::{Edf, Fifo, Gate, Order};
use super::super::{Estimates, Sizes};
use super::{Check, Limit, Sides, on_time, workload};
use crate::sim::oracle::blind_exponential;

/// Deadlines, in mean services.
const BUDGET: f64 = 10.0;

pub(super) fn all() -> Vec<Check> {
    let at_their_turn = [0.9, 2.0, 5.0].into_iter().map(expired_are_dropped);
    let stopped = [0.9, 1.0, 2.0, 5.0].into_iter().map(late_are_stopped);
    at_their_turn.chain(stopped).collect()
}

/// The share that ends by its deadline D when a job whose wait has reached D is dropped at its turn, by the density of the
/// virtual wait: an atom P0 at 0; below D it is P0 lambda e^(-(mu - lambda) x); nothing is let in above.
pub(super) fn on_time_with_expiry(load: f64, deadline: f64) -> f64 {
    let (lambda, mu) = (load, 1.0);
    let e = ((lambda - mu) * deadline).exp();
    let p0 = 1.0 / (1.0 + lambda * (e - 1.0) / (lambda - mu) + load * e);
    // P0 (1 - e^-D) + the integral over the wait x of its density times (1 - e^-(D - x)).
    let reach = lambda * ((e - 1.0) / (lambda - mu))
        - lambda * (-deadline * mu).exp() * ((lambda * deadline).exp() - 1.0) / lambda;
    p0 * (1.0 - (-deadline).exp() + reach)
}

fn expired_are_dropped(load: f64) -> Check {
    let about = ("virtual wait's density", "on time", Limit::By(0.005));
    Check::new(format!("M/M/1 at {load}: expired dropped"), about, move |seed| {
        let mut policy = Fifo::new(Order::First, true, usize::MAX);
        let found = on_time(&workload("exp"), load, 2_000_000, &mut policy, seed);
        Sides { expected: on_time_with_expiry(load, BUDGET), found }
    })
}

/// Nobody who knows no sizes keeps more.
fn late_are_stopped(load: f64) -> Check {
    let about = ("Bhattacharya, Ephremides 1989", "on time", Limit::By(0.003));
    Check::new(format!("M/M/1 at {load}: stopped when late"), about, move |seed| {
        let w = workload("exp");
        let mut policy = Edf::new(Gate::UpToDeadline, Estimates::new(Sizes::Kind, &w.kinds), 1);
        let found = on_time(&w, load, 1_000_000, &mut policy, seed);
        Sides { expected: blind_exponential(load, BUDGET), found }
    })
}
