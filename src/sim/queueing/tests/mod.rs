//! Counts that come out even, and what our own policy must reach. What theory and papers say is held in `reference`.

mod ours;

use super::policies::{Fifo, Order};
use super::*;
use crate::base::Instant;
use crate::sim::workload::{Offered, Workload, by_name};

pub(super) const SEED: u64 = 1;

pub(super) fn workload(name: &str) -> Workload {
    by_name(name).unwrap()
}

#[test]
fn every_job_is_in_one_count_whatever_the_policy() {
    for w in ["tpcc", "classes", "extreme-bimodal"].map(workload) {
        for servers in [1, 3] {
            for (name, mut policy) in policies::all(&w, servers, Nanos::from_micros(5), Nanos::ZERO)
            {
                let engine = Engine { servers, ..Engine::default() };
                let offers = Offered::poisson(&w, 3.0, servers as u32, SEED).take(3_000);
                let outcome = engine.run(&w.kinds, offers, policy.as_mut());
                assert_eq!(outcome.total(), 3_000);
                assert!(outcome.conserved(), "{name} on {}: {:?}", w.name, outcome.kinds);
            }
        }
    }
}

#[test]
fn a_seed_decides_a_run() {
    let w = workload("tpcc");
    let run = |seed| {
        let mut p = Fifo::new(Order::Last, true, 64);
        let o =
            Engine::default().run(&w.kinds, Offered::poisson(&w, 2.0, 1, seed).take(5_000), &mut p);
        (o.on_time(), o.useful, o.wait.mean_ns())
    };
    assert_eq!(run(3), run(3));
    assert_ne!(run(3), run(4));
}

#[test]
fn checks_and_switches_are_paid_for() {
    let w = workload("det");
    let job = |at, kind| crate::sim::workload::Offer {
        at: Instant::from_nanos(at),
        kind,
        service: Nanos::new(1_000),
    };
    let engine = Engine {
        costs: Costs { check: Nanos::new(10), switch: Nanos::new(100) },
        histograms: true,
        ..Engine::default()
    };
    let mut p = policies::Sharing::new(Nanos::new(500), false);
    let o = engine.run(&w.kinds, [job(0, 0), job(0, 0)].into_iter(), &mut p);
    // 500 check switch 500 check switch 500 (done) 500 (done).
    let expected = 2_000 + 2 * 110;
    assert!(o.kinds[0].sojourn.equivalent(o.kinds[0].sojourn.max(), expected));
}
