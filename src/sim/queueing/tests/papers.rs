//! What the papers' figures say, found again.

use super::policies::{Darc, Partitioned, Sharing};
use super::*;

/// The greatest load, in steps of a hundredth, at which the 99.9th percentile of the slowdown is at most `most`.
fn capacity(most: f64, run: impl Fn(f64) -> Outcome) -> f64 {
    let holds = |percent: u32| {
        let o = run(f64::from(percent) / 100.0);
        o.slowdown.value_at_quantile(0.999) as f64 / 100.0 <= most
    };
    // Bisection: slowdown grows with load.
    let (mut low, mut high) = (0, 100);
    while high - low > 1 {
        let middle = u32::midpoint(low, high);
        if holds(middle) {
            low = middle;
        } else {
            high = middle;
        }
    }
    f64::from(low) / 100.0
}

fn on_sixteen(policy: &mut dyn Policy, load: f64) -> Outcome {
    let w = workload("extreme-bimodal");
    let engine = Engine {
        servers: 16,
        histograms: true,
        warm_up: Instant::from_nanos(10_000_000),
        ..Engine::default()
    };
    engine.run(&w.kinds, Offered::poisson(&w, load, 16, SEED).take(1_500_000), policy)
}

/// H. M. Demoulin et al., "When idling is ideal", SOSP 2021, Figure 1: extreme bimodal on 16 workers, 99.9th percentile of
/// the slowdown at most 10. c-FCFS 2.1, time sharing (5 us, 1 us a switch in Shinjuku; the figure's is ideal) 3.7, DARC 5.1
/// million requests a second.
#[test]
fn persephones_first_figure() {
    let peak = 16.0 / 2.997_5;
    let central = peak
        * capacity(10.0, |load| on_sixteen(&mut Fifo::new(Order::First, false, usize::MAX), load));
    let sharing = peak
        * capacity(10.0, |load| on_sixteen(&mut Sharing::new(Nanos::from_micros(5), false), load));
    let w = workload("extreme-bimodal");
    let darc = peak * capacity(10.0, |load| on_sixteen(&mut Darc::new(&w.kinds, 3, false), load));
    let dealt = peak * capacity(10.0, |load| on_sixteen(&mut Partitioned::new(16, SEED), load));
    assert!(near(central, 2.1, 0.15), "c-FCFS {central}");
    assert!(near(sharing, 3.7, 0.15), "time sharing {sharing}");
    assert!(near(darc, 5.1, 0.15), "DARC {darc}");
    assert!(dealt < 0.1 && central < sharing && sharing < darc, "d-FCFS {dealt}");
}

/// Accepted work of EDF with a predicted-miss gate, by the best: at budgets of ten times the longest service what is lost to
/// the end of the horizon is at most a tenth (the commitment bound; J. Jang et al. call the factor eps / (1 + eps)).
#[test]
fn commitments_cost_at_most_a_tenth_at_long_budgets() {
    for name in ["det", "high-bimodal", "tpcc"] {
        let w = workload(name);
        let longest = w.kinds.iter().map(|k| k.service.mean_ns()).fold(0.0, f64::max);
        let w = w.with_common_budget(crate::sim::workload::nanos(10.0 * longest));
        for load in [0.9, 1.2, 2.0, 5.0] {
            let estimates = Estimates::new(Sizes::Exact, &w.kinds);
            let mut policy = Edf::new(Gate::Prefix, estimates, 1);
            let offers: Vec<_> = Offered::poisson(&w, load, 1, SEED).take(200_000).collect();
            let span = offers.last().unwrap().at.as_nanos() as f64;
            let o = Engine::default().run(&w.kinds, offers.into_iter(), &mut policy);
            // No schedule does more work than is offered, nor than there is time.
            let best = load.min(1.0) * span;
            let share = o.useful.get() as f64 / best;
            assert!(share >= 0.9, "{name} at {load}: {share}");
        }
    }
}
