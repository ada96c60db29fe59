//! Mean waits and tails of queues that serve in the order of arrival.

use super::super::policies::Partitioned;
use super::{Check, Engine, Limit, Offered, Sides, after_ms, fifo, workload};

/// A hundredth, as the published comparisons of simulators with theory ask.
const CLOSE: Limit = Limit::Part(0.01);

pub(super) fn all() -> Vec<Check> {
    let one = [("exp", 0.8), ("det", 0.9), ("high-bimodal", 0.5), ("tpcc", 0.9)];
    let many = [(2, 0.8), (16, 0.9), (64, 0.9)];
    let waits = one.into_iter().map(|(name, load)| pollaczek_khinchine(name, load));
    waits
        .chain(many.into_iter().map(|(servers, load)| erlang(servers, load)))
        .chain([tail()])
        .collect()
}

/// Wq = lambda E[S^2] / 2 (1 - rho).
pub(super) fn pollaczek_khinchine_us(name: &str, load: f64) -> f64 {
    let w = workload(name);
    let lambda = load / w.mean_ns();
    lambda * w.mean_square_ns2() / (2.0 * (1.0 - load)) / 1e3
}

fn pollaczek_khinchine(name: &'static str, load: f64) -> Check {
    let about = ("Pollaczek, Khinchine", "us", CLOSE);
    Check::new(format!("M/G/1 {name} at {load}: mean wait"), about, move |seed| {
        let w = workload(name);
        let engine = Engine { warm_up: after_ms(5), ..Engine::default() };
        let offers = Offered::poisson(&w, load, 1, seed).take(10_000_000);
        let found = engine.run(&w.kinds, offers, &mut fifo()).wait.mean_ns() / 1e3;
        Sides { expected: pollaczek_khinchine_us(name, load), found }
    })
}

/// The mean wait of M/M/m, in mean services: C(m, a) / (m - a), by Erlang's recurrence.
pub(super) fn erlang_c(servers: u32, load: f64) -> f64 {
    let a = load * f64::from(servers);
    let b = (1..=servers).fold(1.0, |b, n| a * b / (f64::from(n) + a * b));
    let c = b / (1.0 - load * (1.0 - b));
    c / (f64::from(servers) - a)
}

/// The wait hangs on the load so steeply (at 64 servers a thousandth of load is 2 % of wait) that most of a run's error is
/// that of the load it happened to draw. So the formula is taken at that load, a control variate.
fn erlang(servers: u32, load: f64) -> Check {
    let about = ("Erlang C", "services", CLOSE);
    Check::new(format!("M/M/{servers} at {load}: mean wait"), about, move |seed| {
        let w = workload("exp");
        let (mut work, mut end) = (0, 0);
        // At many servers a run of 6 million is off by up to 3 %: waits are rare, and come together.
        let jobs = if servers < 16 { 6_000_000 } else { 24_000_000 };
        let offers = Offered::poisson(&w, load, servers, seed).take(jobs).inspect(|o| {
            work += o.service.get();
            end = o.at.as_nanos();
        });
        let engine = Engine { servers: servers as usize, ..Engine::default() };
        let found = engine.run(&w.kinds, offers, &mut fifo()).wait.mean_ns() / w.mean_ns();
        let drawn = work as f64 / (end as f64 * f64::from(servers));
        Sides { expected: erlang_c(servers, drawn), found }
    })
}

/// Sojourn of M/M/1 is exponential with mean 1 / (1 - rho): the 99.9th percentile is ln 1000 of that.
fn tail() -> Check {
    let about = ("exponential sojourn", "services", Limit::Part(0.05));
    Check::new("8 times M/M/1 at 0.8: p99.9 of the sojourn", about, |seed| {
        let w = workload("exp");
        let engine = Engine { servers: 8, histograms: true, ..Engine::default() };
        let offers = Offered::poisson(&w, 0.8, 8, seed).take(4_000_000);
        let outcome = engine.run(&w.kinds, offers, &mut Partitioned::new(8, seed));
        let found = outcome.kinds[0].sojourn.value_at_quantile(0.999) as f64 / w.mean_ns();
        Sides { expected: 1000_f64.ln() / 0.2, found }
    })
}
