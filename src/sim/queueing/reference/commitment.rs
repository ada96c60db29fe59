//! Accepted work of earliest deadline first with a predicted-miss gate, by the best: at budgets of ten times the longest service what is
//! lost to the end of the horizon is at most a tenth (the commitment bound; J. Jang et al. call the factor eps / (1 + eps)).

use super::super::policies::{Edf, Gate};
use super::super::{Estimates, Sizes};
use super::{Check, Engine, Limit, Offered, Sides, workload};

/// Jobs a run.
const JOBS: usize = 200_000;

pub(super) fn all() -> Vec<Check> {
    let loads = |name: &'static str| [0.9, 1.2, 2.0, 5.0].map(|load| accepted(name, load));
    ["det", "high-bimodal", "tpcc"].into_iter().flat_map(loads).collect()
}

fn accepted(name: &'static str, load: f64) -> Check {
    let about = ("Jang et al., commitment", "of all work", Limit::AtLeast);
    Check::new(format!("{name} at {load}: accepted work"), about, move |seed| {
        let w = workload(name);
        let longest = w.kinds.iter().map(|k| k.service.mean_ns()).fold(0.0, f64::max);
        let w = w.with_common_budget(crate::sim::workload::nanos(10.0 * longest));
        let mut end = 0;
        let offers =
            Offered::poisson(&w, load, 1, seed).take(JOBS).inspect(|o| end = o.at.as_nanos());
        let mut policy = Edf::new(Gate::Prefix, Estimates::new(Sizes::Exact, &w.kinds), 1);
        let outcome = Engine::default().run(&w.kinds, offers, &mut policy);
        // No schedule does more work than is offered, nor than there is time.
        let most = load.min(1.0) * end as f64;
        Sides { expected: 0.9, found: outcome.useful.get() as f64 / most }
    })
}
