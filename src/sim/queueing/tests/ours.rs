//! What our overload policy must reach: shares of the bounds, honest predictions, a quick recovery.
//!
//! The set-up is BENCHMARKS': one server, deadlines ten times the kind's mean, a look round of 0.1 us after each chunk.

use super::policies::{Chunk, Overload, OverloadOptions};
use super::*;
use crate::sim::oracle::{blind, fluid};
use crate::sim::workload::{Arrivals, Drift, Stream};

const CHECK: Nanos = Nanos::new(100);

fn options(chunk: Nanos) -> OverloadOptions {
    OverloadOptions { chunk: Chunk::Fixed(chunk), check: CHECK, ..OverloadOptions::default() }
}

fn engine() -> Engine {
    Engine { costs: Costs { check: CHECK, switch: Nanos::ZERO }, ..Engine::default() }
}

fn ours(w: &Workload, sizes: Sizes, options: OverloadOptions) -> Overload {
    Overload::new(options, Estimates::new(sizes, &w.kinds), w.kinds.len(), 1)
}

fn run(w: &Workload, load: f64, sizes: Sizes, options: OverloadOptions, jobs: usize) -> Outcome {
    let offers = Offered::poisson(w, load, 1, 7).take(jobs);
    engine().run(&w.kinds, offers, &mut ours(w, sizes, options))
}

const FOUR: [&str; 4] = ["exp", "high-bimodal", "extreme-bimodal", "tpcc"];

#[test]
fn with_sizes_known_97_per_cent_of_the_bound() {
    for w in FOUR.map(workload) {
        for load in [0.9, 2.0, 5.0] {
            let got = run(&w, load, Sizes::Exact, options(Nanos::from_micros(5)), 150_000);
            let share = got.on_time() / fluid(&w, load);
            assert!(share >= 0.97, "{} at {load}: {share}", w.name);
        }
    }
}

/// Where a kind's size is always the same, learning it is knowing it.
#[test]
fn with_sizes_learned_97_per_cent_of_the_bound_where_kinds_tell_them() {
    for w in FOUR.map(workload).into_iter().skip(1) {
        for load in [0.9, 2.0, 5.0] {
            let got = run(&w, load, Sizes::Kind, options(Nanos::from_micros(5)), 150_000);
            let share = got.on_time() / fluid(&w, load);
            assert!(share >= 0.97, "{} at {load}: {share}", w.name);
        }
    }
}

#[test]
fn with_sizes_unknown_95_per_cent_of_the_blind_bound_in_overload() {
    let w = workload("exp");
    for load in [2.0, 5.0] {
        let got = run(&w, load, Sizes::Kind, options(Nanos::from_micros(25)), 200_000);
        let share = got.on_time() / blind(load);
        assert!(share >= 0.95, "{load}: {share}");
    }
}

/// Table "On-time fraction" of BENCHMARKS, column "sliced MH"; a run of this length is good to 0.003.
#[test]
fn every_row_of_the_table_is_met() {
    for (name, load, written) in [
        ("exp", 2.0, 0.799),
        ("exp", 5.0, 0.552),
        ("high-bimodal", 0.9, 0.990),
        ("high-bimodal", 2.0, 0.745_5),
        ("high-bimodal", 5.0, 0.595),
        ("extreme-bimodal", 0.9, 0.889),
        ("extreme-bimodal", 2.0, 0.876),
        ("extreme-bimodal", 5.0, 0.848),
        ("tpcc", 0.9, 0.996),
        ("tpcc", 2.0, 0.806),
        ("tpcc", 5.0, 0.522),
    ] {
        let w = workload(name);
        let got = run(&w, load, Sizes::Exact, options(Nanos::from_micros(5)), 200_000).on_time();
        assert!(got >= written - 0.003, "{name} at {load}: {got} and not {written}");
    }
}

#[test]
fn high_is_on_time_at_twice_the_load_with_means_alone() {
    let w = workload("classes");
    let got = run(&w, 2.0, Sizes::Kind, options(Nanos::from_micros(25)), 30_000);
    assert!(got.kind_on_time(0) >= 0.98, "High {}", got.kind_on_time(0));
    assert!(got.kind_on_time(1) >= 0.8, "Medium {}", got.kind_on_time(1));
}

/// Costs double in mid-run; sizes are what the estimator learns. One refusal in `check_one_in` is run all the same.
fn drifting(w: &Workload, chunk: u64, check_one_in: u64) -> Calibration {
    let jobs = 300_000;
    let half = jobs as f64 / 2.0 / w.rate_per_s(2.0, 1) * 1e9;
    let at = Instant::ZERO + crate::sim::workload::nanos(half);
    let offers = Offered::poisson(w, 2.0, 1, 7).drifting(Drift { at, factor: 2.0 });
    let options = OverloadOptions { check_one_in, ..options(Nanos::from_micros(chunk)) };
    let mut policy = ours(w, Sizes::Kind, options);
    engine().run(&w.kinds, offers.take(jobs), &mut policy).calibration.unwrap()
}

#[test]
fn predictions_stay_honest_while_costs_drift() {
    for (name, chunk) in [("high-bimodal", 5), ("tpcc", 25), ("extreme-bimodal", 5)] {
        let w = workload(name);
        let c = drifting(&w, chunk, 1_000);
        assert!(c.broken_ratio() <= 0.001, "{name}: {c:?} {}", c.broken_ratio());
        // Looked at ten times as often, so that there is something to see.
        let c = drifting(&w, chunk, if name == "extreme-bimodal" { 5 } else { 100 });
        assert!(c.wrongful_ratio() <= 0.01, "{name}: {c:?} {}", c.wrongful_ratio());
        assert!(c.checked >= 300, "{name}: {c:?}");
    }
}

/// From 1.4 to 2 times the load; goodput in steps of 1 ms, averaged over 200 steps in mid-run.
#[test]
fn a_step_is_over_within_five_milliseconds() {
    let w = workload("exp");
    let ms = |n| Instant::ZERO + Nanos::from_millis(n);
    let mut sums = [(0_u64, 0_u64); 20];
    for seed in 0..200 {
        let steps = Arrivals::Steps(vec![(ms(0), 1.4), (ms(10), 2.0)]);
        let rate_per_s = w.rate_per_s(1.0, 1);
        let stream = Stream { arrivals: steps, rate_per_s, only: None };
        let offers = Offered::new(&w, &[stream], seed).take_while(|o| o.at < ms(30));
        let engine = Engine { step: Nanos::from_millis(1), ..engine() };
        let mut policy = ours(&w, Sizes::Kind, options(Nanos::from_micros(25)));
        let got = engine.run(&w.kinds, offers, &mut policy);
        for (sum, step) in sums.iter_mut().zip(got.steps.iter().skip(10)) {
            sum.0 += step.0;
            sum.1 += step.1;
        }
    }
    let steady = sums[10..].iter().map(|s| s.1).sum::<u64>() as f64 / 10.0;
    for (n, step) in sums.iter().enumerate().skip(5) {
        let share = step.1 as f64 / steady;
        assert!((share - 1.0).abs() <= 0.05, "step {n} after the change: {share} of steady");
    }
}

/// The product's own policy (`sched::value`), set as `serve` would have it, with chunks that long.
fn product(w: &Workload, load: f64, sizes: Sizes, chunk: Nanos, jobs: usize) -> Outcome {
    let options = crate::sched::value::Options::default();
    let estimates = Estimates::new(sizes, &w.kinds);
    let mut policy = policies::Product::new(options, estimates, w.kinds.len(), chunk, CHECK);
    let offers = Offered::poisson(w, load, 1, 7).take(jobs);
    engine().run(&w.kinds, offers, &mut policy)
}

/// How much it keeps: `reference::product`.
#[test]
fn the_product_keeps_what_it_promises() {
    for w in FOUR.map(workload) {
        for load in [0.9, 2.0, 5.0] {
            // Kinds tell the size everywhere but in `exp`.
            let sizes = if w.name == "exp" { Sizes::Exact } else { Sizes::Kind };
            let got = product(&w, load, sizes, Nanos::from_micros(5), 30_000);
            assert!(got.conserved() && got.late() <= 0.001, "{} at {load}", w.name);
        }
    }
}

/// Also where kernels cannot be chunked, as the worker's cannot yet.
#[test]
fn the_product_keeps_high_on_time_at_twice_the_load() {
    let w = workload("classes");
    for chunk in [Nanos::from_micros(25), Nanos::MAX] {
        let got = product(&w, 2.0, Sizes::Kind, chunk, 60_000);
        assert!(got.kind_on_time(0) >= 0.98, "High {}", got.kind_on_time(0));
        assert!(got.kind_on_time(1) >= 0.8, "Medium {}", got.kind_on_time(1));
    }
}
