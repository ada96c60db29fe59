//! Optima against every subset in every order; bounds against the closed forms and BENCHMARKS' figures.

use proptest::prelude::*;

use super::*;
use crate::base::{Instant, Nanos};
use crate::sim::workload::{Offered, by_name};

/// By dynamic programming over sets: the least end of each set done in time. All orders are covered.
fn brute(jobs: &[(u64, u64, u64)]) -> usize {
    let n = jobs.len();
    let mut end = vec![u64::MAX; 1 << n];
    end[0] = 0;
    let mut best = 0;
    for set in 0..1_usize << n {
        if end[set] == u64::MAX {
            continue;
        }
        best = best.max(set.count_ones() as usize);
        for (i, &(release, service, deadline)) in jobs.iter().enumerate() {
            let ends = end[set].max(release) + service;
            let with = set | 1 << i;
            if with != set && ends <= deadline && ends < end[with] {
                end[with] = ends;
            }
        }
    }
    best
}

fn at(ns: u64) -> Instant {
    Instant::from_nanos(ns)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn moore_hodgson_is_the_optimum(jobs in prop::collection::vec((1_u64..20, 1_u64..60), 0..=12)) {
        let ours: Vec<_> = jobs.iter().map(|(s, d)| (Nanos::new(*s), at(*d))).collect();
        let all: Vec<_> = jobs.iter().map(|(s, d)| (0, *s, *d)).collect();
        prop_assert_eq!(common_release(&ours), brute(&all));
    }

    #[test]
    fn kise_ibaraki_mine_is_the_optimum(
        gaps in prop::collection::vec((0_u64..12, 1_u64..20, 0_u64..6), 0..=12),
        budget in 1_u64..40,
    ) {
        // Deadlines rise with releases, by other amounts: agreeable, and not of one budget.
        let (mut release, mut deadline) = (0, budget);
        let jobs: Vec<_> = gaps.iter().map(|(gap, service, more)| {
            release += gap;
            deadline += more;
            (release, *service, deadline)
        }).collect();
        let ours: Vec<_> = jobs.iter().map(|(r, s, d)| (at(*r), Nanos::new(*s), at(*d))).collect();
        prop_assert_eq!(agreeable(&ours), Some(brute(&jobs)));
    }
}

/// Every subset, by the demand of every span: a set can be done if what is released and due within each span fits in it.
fn brute_preemptive(jobs: &[(u64, u64, u64)]) -> usize {
    let fits = |set: usize| {
        let of = || jobs.iter().enumerate().filter(|(i, _)| set >> i & 1 == 1).map(|(_, job)| job);
        of().all(|from| {
            of().filter(|to| to.2 > from.0 || to == &from).all(|to| {
                let demand: u64 =
                    of().filter(|job| job.0 >= from.0 && job.2 <= to.2).map(|job| job.1).sum();
                from.0 + demand <= to.2
            })
        })
    };
    let sets = 0..1_usize << jobs.len();
    sets.filter(|set| fits(*set)).map(|set| set.count_ones() as usize).max().unwrap_or(0)
}

fn timed(jobs: &[(u64, u64, u64)]) -> Vec<(Instant, Nanos, Instant)> {
    jobs.iter().map(|(r, s, d)| (at(*r), Nanos::new(*s), at(*d))).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn lawler_is_the_optimum_of_those_that_may_interrupt(
        jobs in prop::collection::vec((0_u64..40, 1_u64..12, 0_u64..24), 0..=12),
    ) {
        let jobs: Vec<_> = jobs.iter().map(|(r, s, slack)| (*r, *s, r + s + slack)).collect();
        prop_assert_eq!(preemptive(&timed(&jobs)), Some(brute_preemptive(&jobs)));
    }

    #[test]
    fn so_it_is_where_some_cannot_make_it_and_many_nest(
        jobs in prop::collection::vec((0_u64..12, 1_u64..9, 1_u64..30), 0..=10),
    ) {
        let jobs: Vec<_> = jobs.iter().map(|(r, s, budget)| (*r, *s, r + budget)).collect();
        let most = preemptive(&timed(&jobs)).unwrap();
        prop_assert_eq!(most, brute_preemptive(&jobs));
        prop_assert!(most >= brute(&jobs), "interrupting costs nothing");
    }
}

#[test]
fn a_long_job_is_interrupted_and_ends_in_time() {
    // The long one waits for two short ones and is done in what they leave.
    let jobs = timed(&[(0, 10, 16), (2, 3, 5), (8, 3, 11)]);
    assert_eq!(preemptive(&jobs), Some(3));
    assert_eq!(brute(&[(0, 10, 16), (2, 3, 5), (8, 3, 11)]), 2);
    assert_eq!(preemptive(&[]), Some(0));
    let many = vec![(at(0), Nanos::new(1), at(200)); PREEMPTIVE_MAX];
    assert_eq!(preemptive(&many), Some(PREEMPTIVE_MAX));
    let more = vec![(at(0), Nanos::new(1), at(200)); PREEMPTIVE_MAX + 1];
    assert_eq!(preemptive(&more), None);
}

#[test]
fn orders_that_do_not_agree_are_refused() {
    let job = |r, d| (at(r), Nanos::new(1), at(d));
    assert_eq!(agreeable(&[job(0, 9), job(1, 8)]), None);
}

#[test]
fn fluid_bounds_are_those_written_down() {
    // BENCHMARKS, section 4: loads by workloads.
    for (load, exp, high, tpcc, extreme) in [
        (1.2, 0.961, 0.916, 0.968, 0.999),
        (1.5, 0.899, 0.832, 0.933, 0.998),
        (2.0, 0.813, 0.747_5, 0.819, 0.997),
        (3.0, 0.695, 0.663, 0.660, 0.996),
        (5.0, 0.561_5, 0.596, 0.533, 0.995),
        (10.0, 0.412_5, 0.545_5, 0.334_5, 0.599_5),
    ] {
        let near = |name, expected: f64| {
            let got = fluid(&by_name(name).unwrap(), load);
            assert!((got - expected).abs() < 0.002, "{name} at {load}: {got} and not {expected}");
        };
        near("exp", exp);
        near("high-bimodal", high);
        near("tpcc", tpcc);
        near("extreme-bimodal", extreme);
        assert!((fluid_exponential(load) - exp).abs() < 0.001, "closed form at {load}");
    }
    assert_eq!(fluid_exponential(0.9), 1.0);
    assert_eq!(blind(2.0), 0.5);
}

#[test]
fn the_optimum_of_an_exponential_stream_is_near_the_fluid_bound() {
    // BENCHMARKS, section 5: .8112 at 2x, .5625 at 5x.
    let w = by_name("exp").unwrap();
    for (load, expected) in [(2.0, 0.811), (5.0, 0.562_5)] {
        let jobs: Vec<_> = Offered::poisson(&w, load, 1, 1)
            .take(60_000)
            .map(|o| (o.at, o.service, o.at + w.kinds[0].budget))
            .collect();
        let share = agreeable(&jobs).unwrap() as f64 / jobs.len() as f64;
        assert!((share - expected).abs() < 0.006, "{load}: {share}");
    }
}
