//! Mean waits by Pollaczek-Khinchine and Erlang C, and the share on time of M/M/1 with expiry.

use super::*;
use crate::sim::oracle::blind_exponential;

fn mean_wait_us(w: &Workload, load: f64, servers: usize, jobs: usize) -> f64 {
    let mut policy = Fifo::new(Order::First, false, usize::MAX);
    let engine = Engine { servers, warm_up: Instant::from_nanos(5_000_000), ..Engine::default() };
    let offers = Offered::poisson(w, load, servers as u32, SEED).take(jobs);
    engine.run(&w.kinds, offers, &mut policy).wait.mean_ns() / 1e3
}

/// Wq = lambda E[S^2] / 2 (1 - rho).
fn pollaczek_khinchine(name: &str, load: f64, written_us: f64) {
    let w = workload(name);
    let lambda = load / w.mean_ns();
    let expected = lambda * w.mean_square_ns2() / (2.0 * (1.0 - load)) / 1e3;
    assert!(near(expected, written_us, 1e-3), "the formula gives {expected}");
    let got = mean_wait_us(&w, load, 1, 10_000_000);
    assert!(near(got, expected, 0.01), "{name} at {load}: {got} and not {expected}");
}

#[test]
fn pollaczek_khinchine_exponential() {
    pollaczek_khinchine("exp", 0.8, 40.0);
}

#[test]
fn pollaczek_khinchine_deterministic() {
    pollaczek_khinchine("det", 0.9, 45.0);
}

#[test]
fn pollaczek_khinchine_high_bimodal() {
    pollaczek_khinchine("high-bimodal", 0.5, 49.510);
}

#[test]
fn pollaczek_khinchine_tpcc() {
    pollaczek_khinchine("tpcc", 0.9, 212.75);
}

/// The mean wait of M/M/m, in mean services: C(m, a) / (m - a), by Erlang's recurrence.
fn erlang_c(servers: usize, load: f64) -> f64 {
    let a = load * servers as f64;
    let b = (1..=servers).fold(1.0, |b, n| a * b / (n as f64 + a * b));
    let c = b / (1.0 - load * (1.0 - b));
    c / (servers as f64 - a)
}

/// The wait hangs on the load so steeply (at 64 servers a thousandth of load is 2 % of wait) that most of a run's error is
/// that of the load it happened to draw. So the formula is taken at that load, a control variate, and the draw is checked
/// beside it.
fn check_erlang(servers: usize, load: f64, written: f64) {
    let expected = erlang_c(servers, load);
    assert!(near(expected, written, 1e-3), "the formula gives {expected}");
    let w = workload("exp");
    let (mut work, mut end) = (0.0, Instant::ZERO);
    let offers = Offered::poisson(&w, load, servers as u32, SEED).take(6_000_000).inspect(|o| {
        work += o.service.get() as f64;
        end = o.at;
    });
    let mut policy = Fifo::new(Order::First, false, usize::MAX);
    let engine = Engine { servers, ..Engine::default() };
    let got = engine.run(&w.kinds, offers, &mut policy).wait.mean_ns() / 1e4;
    let drawn = work / (end.as_nanos() as f64 * servers as f64);
    assert!(near(drawn, load, 0.002), "a load of {drawn} was drawn");
    let expected = erlang_c(servers, drawn);
    assert!(near(got, expected, 0.01), "M/M/{servers} at {drawn}: {got} and not {expected}");
}

#[test]
fn erlang_c_two_servers() {
    check_erlang(2, 0.8, 1.777_8);
}

#[test]
fn erlang_c_sixteen_servers() {
    check_erlang(16, 0.9, 0.369_59);
}

#[test]
fn erlang_c_sixty_four_servers() {
    check_erlang(64, 0.9, 0.048_54);
}

/// The share that ends by its deadline D when a job whose wait has reached D is dropped at its turn, by the density of the
/// virtual wait: an atom P0 at 0; below D it is P0 lambda e^(-(mu - lambda) x); nothing is let in above.
fn on_time_with_expiry(load: f64, deadline: f64) -> f64 {
    let (lambda, mu) = (load, 1.0);
    let e = ((lambda - mu) * deadline).exp();
    let p0 = 1.0 / (1.0 + lambda * (e - 1.0) / (lambda - mu) + load * e);
    // P0 (1 - e^-D) + the integral over the wait x of its density times (1 - e^-(D - x)).
    let reach = lambda * ((e - 1.0) / (lambda - mu))
        - lambda * (-deadline * mu).exp() * ((lambda * deadline).exp() - 1.0) / lambda;
    p0 * (1.0 - (-deadline).exp() + reach)
}

#[test]
fn expiry_has_its_closed_form() {
    let w = workload("exp");
    for (load, written) in [(0.9, 0.900_43), (2.0, 0.249_99), (5.0, 0.040_00)] {
        let expected = on_time_with_expiry(load, 10.0);
        assert!((expected - written).abs() < 1e-4, "the formula gives {expected} at {load}");
        let mut policy = Fifo::new(Order::First, true, usize::MAX);
        let offers = Offered::poisson(&w, load, 1, SEED).take(2_000_000);
        let got = Engine::default().run(&w.kinds, offers, &mut policy).on_time();
        assert!((got - expected).abs() < 0.005, "{load}: {got} and not {expected}");
    }
}

/// Nobody who knows no sizes keeps more: the goal of 95 % at 0.9 times the load lies past it.
#[test]
fn stopping_at_the_deadline_has_its_closed_form() {
    let w = workload("exp");
    for (load, written) in [(0.9, 0.945_0), (1.0, 0.909_1), (2.0, 0.499_99), (5.0, 0.2)] {
        let expected = blind_exponential(load, 10.0);
        assert!((expected - written).abs() < 1e-4, "the formula gives {expected} at {load}");
        let mut policy = Edf::new(Gate::UpToDeadline, Estimates::new(Sizes::Kind, &w.kinds), 1);
        let offers = Offered::poisson(&w, load, 1, SEED).take(1_000_000);
        let got = Engine::default().run(&w.kinds, offers, &mut policy).on_time();
        assert!((got - expected).abs() < 0.003, "{load}: {got} and not {expected}");
    }
}

#[test]
fn receive_side_scaling_has_the_tail_of_one_server() {
    // Sojourn of M/M/1 is exponential with mean 1 / (1 - rho): p99.9 is 6.908 of that.
    let w = workload("exp");
    let engine = Engine { servers: 8, histograms: true, ..Engine::default() };
    let mut policy = policies::Partitioned::new(8, SEED);
    let offers = Offered::poisson(&w, 0.8, 8, SEED).take(4_000_000);
    let outcome = engine.run(&w.kinds, offers, &mut policy);
    let got = outcome.kinds[0].sojourn.value_at_quantile(0.999) as f64 / 1e4;
    assert!(near(got, 6.908 / 0.2, 0.05), "{got}");
}
