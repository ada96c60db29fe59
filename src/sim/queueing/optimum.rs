//! Policies beside the exact optimum: samples short enough for it, each begun on idle servers.
//!
//! Knows no output format. One run has all samples, far apart: what a policy learns it keeps, what it has waiting it does not.

use serde::Serialize;

use super::compare::{Setup, offered, policies};
use super::{Costs, Engine};
use crate::base::{Instant, Nanos};
use crate::sim::oracle::{PREEMPTIVE_MAX, fluid, preemptive};
use crate::sim::workload::{Offer, Workload};

/// Samples before the first that counts: a policy learns what its kinds take.
const LEARNING: usize = 20;

/// What one policy kept.
#[derive(Clone, Debug, Serialize)]
pub struct Kept {
    /// Its name.
    pub policy: &'static str,
    /// Jobs on time, by all jobs.
    pub on_time: f64,
    /// Jobs on time, by what the optimum has on time.
    pub of_optimum: f64,
    /// The same in the sample in which it is least.
    pub worst: f64,
}

/// One workload at one load.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// The workload's name.
    pub workload: &'static str,
    /// Times what the server can do.
    pub load: f64,
    /// Samples that count, of so many jobs each.
    pub samples: usize,
    /// See [`Row::samples`].
    pub jobs: usize,
    /// The most jobs that any schedule has on time, interruptions free (`sim::oracle::preemptive`), by all jobs.
    pub optimum: f64,
    /// The bound for a run without end (`sim::oracle::fluid`).
    pub fluid: f64,
    /// By policy.
    pub policies: Vec<Kept>,
}

/// Whether the optimum of that workload is one of counts: all jobs are worth the same.
#[must_use]
pub fn counts(w: &Workload) -> bool {
    w.kinds.iter().all(|kind| kind.value == w.kinds[0].value)
}

/// Runs those policies over `samples` samples and finds each sample's optimum; `told` hears of each optimum and each policy.
/// `None`: its jobs are not worth the same, or there is more than one server.
#[must_use]
pub fn row(
    (w, load): (&Workload, f64),
    names: &[&'static str],
    (setup, samples): (&Setup, usize),
    mut told: impl FnMut(),
) -> Option<Row> {
    if !counts(w) || setup.servers != 1 {
        return None;
    }
    let drawn: Vec<Vec<Offer>> = (0..LEARNING + samples)
        .map(|n| {
            let seed = setup.seed.wrapping_add(n as u64);
            offered(w, load, &Setup { seed, jobs: PREEMPTIVE_MAX, ..*setup })
                .take(PREEMPTIVE_MAX)
                .collect()
        })
        .collect();
    let best: Vec<u64> = drawn[LEARNING..]
        .iter()
        .map(|sample| {
            told();
            optimum(w, sample)
        })
        .collect();
    let apart = drawn.iter().map(|sample| lasts(w, sample)).max().unwrap_or_default();
    let all = count(samples * PREEMPTIVE_MAX);
    let kept = names.iter().filter_map(|name| {
        told();
        let on_time = on_time(w, name, (setup, apart), &drawn)?;
        let each = on_time.iter().zip(&best).map(|(own, best)| ratio(*own, *best));
        let (own, most) = (on_time.iter().sum(), best.iter().sum());
        Some(Kept {
            policy: name,
            on_time: ratio(own, all),
            of_optimum: ratio(own, most),
            worst: each.fold(1.0, f64::min),
        })
    });
    Some(Row {
        workload: w.name,
        load,
        samples,
        jobs: PREEMPTIVE_MAX,
        policies: kept.collect(),
        optimum: ratio(best.iter().sum(), all),
        fluid: fluid(w, load),
    })
}

fn count(n: usize) -> u64 {
    u64::try_from(n).unwrap_or(u64::MAX)
}

#[expect(clippy::cast_precision_loss, reason = "2^53 jobs are never run")]
fn ratio(part: u64, whole: u64) -> f64 {
    if whole == 0 { 1.0 } else { part as f64 / whole as f64 }
}

fn optimum(w: &Workload, sample: &[Offer]) -> u64 {
    let job = |offer: &Offer| (offer.at, offer.service, offer.at + w.kinds[offer.kind].budget);
    let jobs: Vec<_> = sample.iter().map(job).collect();
    preemptive(&jobs).map_or(0, count)
}

/// How long after its start nothing of a sample can be left on a server that is never idle.
fn lasts(w: &Workload, sample: &[Offer]) -> Nanos {
    let work = sample.iter().fold(Nanos::ZERO, |sum, offer| sum + offer.service);
    let last = sample.last().map_or(Nanos::ZERO, |offer| offer.at.since(Instant::ZERO));
    let budget = w.kinds.iter().map(|kind| kind.budget).max().unwrap_or_default();
    // Looks round cost time as well: no more than the work itself.
    last + budget + work.saturating_mul(2)
}

/// Jobs on time in each sample that counts, samples `apart`; `None` where no policy has that name.
fn on_time(
    w: &Workload,
    name: &str,
    (setup, apart): (&Setup, Nanos),
    drawn: &[Vec<Offer>],
) -> Option<Vec<u64>> {
    let (_, mut policy) = policies(w, setup).into_iter().find(|(n, _)| *n == name)?;
    let costs = Costs { check: setup.check, switch: Nanos::ZERO };
    let engine = Engine { servers: setup.servers, costs, step: apart, ..Engine::default() };
    let offers = drawn.iter().enumerate().flat_map(|(n, sample)| {
        let later = apart.saturating_mul(count(n));
        sample.iter().map(move |offer| Offer { at: offer.at + later, ..*offer })
    });
    let outcome = engine.run(&w.kinds, offers, policy.as_mut());
    let mut steps: Vec<u64> = outcome.steps.iter().map(|(_, on_time)| *on_time).collect();
    steps.resize(drawn.len(), 0);
    Some(steps.split_off(LEARNING))
}

#[cfg(test)]
mod tests {
    use super::super::compare::Pattern;
    use super::*;
    use crate::sim::workload::by_name;

    fn setup() -> Setup {
        Setup {
            servers: 1,
            jobs: PREEMPTIVE_MAX,
            slice: Nanos::from_micros(5),
            check: Nanos::new(100),
            pattern: Pattern::Poisson,
            seed: 1,
        }
    }

    #[test]
    fn no_policy_beats_the_optimum_in_any_sample_and_ours_is_near_it() {
        let w = by_name("high-bimodal").unwrap();
        let names = ["product-exact", "mh-sliced", "edf-exact", "sharing", "lifo-expiry"];
        let drawn: Vec<Vec<Offer>> = (0..LEARNING + 6)
            .map(|n| {
                let of = Setup { seed: n as u64, ..setup() };
                offered(&w, 2.0, &of).take(PREEMPTIVE_MAX).collect()
            })
            .collect();
        let apart = drawn.iter().map(|sample| lasts(&w, sample)).max().unwrap();
        let best: Vec<u64> = drawn[LEARNING..].iter().map(|s| optimum(&w, s)).collect();
        for name in names {
            let own = on_time(&w, name, (&setup(), apart), &drawn).unwrap();
            assert_eq!(own.len(), best.len());
            for (own, best) in own.iter().zip(&best) {
                assert!(own <= best, "{name}: {own} of {best}");
            }
        }
        let row = row((&w, 2.0), &names, (&setup(), 6), || {}).unwrap();
        assert!(row.policies[0].of_optimum > 0.97, "{row:?}");
        assert!(row.policies[4].of_optimum < 0.7, "{row:?}");
        assert!((0.7..0.9).contains(&row.optimum), "{row:?}");
    }

    #[test]
    fn what_is_not_worth_the_same_has_no_optimum_of_counts() {
        let w = by_name("classes").unwrap();
        assert!(row((&w, 2.0), &["product"], (&setup(), 1), || {}).is_none());
        let two = Setup { servers: 2, ..setup() };
        let w = by_name("exp").unwrap();
        assert!(row((&w, 2.0), &["product"], (&two, 1), || {}).is_none());
    }
}
