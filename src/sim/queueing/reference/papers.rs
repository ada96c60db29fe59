//! What a paper's figure says, found again.
//!
//! H. M. Demoulin et al., "When idling is ideal", SOSP 2021, Figure 1: extreme bimodal on 16 workers, 99.9th percentile of
//! the slowdown at most 10. c-FCFS 2.1, time sharing (5 us; the figure's is ideal) 3.7, DARC 5.1 million requests a second.

use super::super::policies::{Darc, Partitioned, Sharing};
use super::super::{Outcome, Policy};
use super::{Check, Engine, Limit, Offered, Sides, after_ms, fifo, workload};
use crate::base::Nanos;

const SERVERS: u16 = 16;
const SOURCE: &str = "Demoulin et al. 2021, Figure 1";
const SLOWDOWN_MAX: f64 = 10.0;

/// Makes a policy; a seed decides what it draws.
type Make = fn(u64) -> Box<dyn Policy>;

pub(super) fn all() -> Vec<Check> {
    let near = Limit::Part(0.15);
    vec![
        figure("c-FCFS", (2.1, near), |_| Box::new(fifo())),
        figure("time sharing", (3.7, near), |_| {
            Box::new(Sharing::new(Nanos::from_micros(5), false))
        }),
        figure("DARC", (5.1, near), |_| {
            Box::new(Darc::new(&workload("extreme-bimodal").kinds, 3, false))
        }),
        figure("d-FCFS", (0.1, Limit::AtMost), |seed| {
            Box::new(Partitioned::new(SERVERS.into(), seed))
        }),
    ]
}

fn figure(name: &str, (expected, limit): (f64, Limit), make: Make) -> Check {
    let what = format!("{name} on {SERVERS}: most at a p99.9 slowdown of 10");
    Check::new(what, (SOURCE, "million/s", limit), move |seed| {
        let peak = f64::from(SERVERS) * 1e3 / workload("extreme-bimodal").mean_ns();
        Sides { expected, found: peak * capacity(|load| run(make(seed).as_mut(), load, seed)) }
    })
}

/// The greatest load, in steps of a hundredth, that keeps the slowdown, by bisection: slowdown grows with load.
fn capacity(run: impl Fn(f64) -> Outcome) -> f64 {
    let (mut low, mut high) = (0, 100);
    while high - low > 1 {
        let middle = u32::midpoint(low, high);
        let outcome = run(f64::from(middle) / 100.0);
        if outcome.slowdown.value_at_quantile(0.999) as f64 / 100.0 <= SLOWDOWN_MAX {
            low = middle;
        } else {
            high = middle;
        }
    }
    f64::from(low) / 100.0
}

fn run(policy: &mut dyn Policy, load: f64, seed: u64) -> Outcome {
    let w = workload("extreme-bimodal");
    let engine = Engine {
        servers: SERVERS.into(),
        histograms: true,
        warm_up: after_ms(10),
        ..Engine::default()
    };
    let offers = Offered::poisson(&w, load, SERVERS.into(), seed).take(1_500_000);
    engine.run(&w.kinds, offers, policy)
}
