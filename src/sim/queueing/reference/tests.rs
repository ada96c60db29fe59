//! Each check holds, and the formulas give the figures that are written elsewhere.

use super::waits::{erlang_c, pollaczek_khinchine_us};
use super::*;
use crate::sim::oracle::blind_exponential;

const SEED: u64 = 1;

fn hold(checks: Vec<Check>) {
    for finding in checks.iter().map(|check| check.run(SEED)) {
        assert!(finding.holds, "{finding:?}");
    }
}

#[test]
fn waits_are_those_of_pollaczek_khinchine_and_erlang() {
    hold(waits::all());
}

#[test]
fn expiry_has_its_closed_forms() {
    hold(expiry::all());
}

#[test]
fn persephones_first_figure() {
    hold(papers::all());
}

#[test]
fn nobody_is_sure_of_more_than_the_adversary_leaves() {
    hold(adversary::all());
}

#[test]
fn commitments_cost_at_most_a_tenth_at_long_budgets() {
    hold(commitment::all());
}

#[test]
fn the_product_keeps_its_share_of_the_bounds() {
    hold(product::all());
}

#[test]
fn the_formulas_give_the_figures_of_the_books() {
    let near = |got: f64, written: f64| {
        assert!((got / written - 1.0).abs() < 1e-3, "{got} and not {written}")
    };
    near(pollaczek_khinchine_us("exp", 0.8), 40.0);
    near(pollaczek_khinchine_us("det", 0.9), 45.0);
    near(pollaczek_khinchine_us("high-bimodal", 0.5), 49.510);
    near(pollaczek_khinchine_us("tpcc", 0.9), 212.75);
    near(erlang_c(2, 0.8), 1.777_8);
    near(erlang_c(16, 0.9), 0.369_59);
    near(erlang_c(64, 0.9), 0.048_54);
    for (load, written) in [(0.9, 0.900_43), (2.0, 0.249_99), (5.0, 0.040_00)] {
        near(expiry::on_time_with_expiry(load, 10.0), written);
    }
    for (load, written) in [(0.9, 0.945_0), (1.0, 0.909_1), (2.0, 0.499_99), (5.0, 0.2)] {
        near(blind_exponential(load, 10.0), written);
    }
}

#[test]
fn a_limit_is_kept_up_to_itself_and_no_further() {
    for (limit, inside, outside) in [
        (Limit::Part(0.1), 1.9, 1.7),
        (Limit::By(0.1), 2.05, 2.15),
        (Limit::AtLeast, 2.0, 1.99),
        (Limit::AtMost, 2.0, 2.01),
    ] {
        assert!(limit.holds(2.0, inside), "{limit:?} {inside}");
        assert!(!limit.holds(2.0, outside), "{limit:?} {outside}");
    }
    assert!(!Limit::Part(0.1).holds(2.0, f64::NAN), "what is no number is no finding");
}
