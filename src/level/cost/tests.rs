//! What a model says of batches, and how it follows what is seen.

use super::*;
use proptest::prelude::*;

fn model(points: &[(u32, u64)]) -> CostModel {
    let points = points.iter().map(|&(rows, ns)| Point { rows, ps: ns * 1_000 }).collect();
    CostModel::new(points).expect("a model")
}

#[test]
fn it_goes_straight_between_points_and_steeply_past_them() {
    let m = model(&[(1, 100), (2, 120), (4, 200), (8, 500)]);
    let at = |rows| m.predict(rows).get();
    assert_eq!([0, 1, 2, 3, 4, 6, 8].map(at), [0, 100, 120, 160, 200, 350, 500]);
    // 75 ns a row between the last two, 62.5 in the mean.
    assert_eq!(at(16), 500 + 8 * 75);
    // A flat end does not make further rows free.
    assert_eq!(model(&[(1, 400), (2, 400)]).predict(4).get(), 800);
    assert_eq!(model(&[(4, 100)]).predict(1).get(), 100);
    assert_eq!(model(&[(4, 100)]).predict(8).get(), 200);
}

#[test]
fn what_is_more_than_a_run_is_several_runs() {
    let m = model(&[(1, 50), (8, 64), (9, 110), (16, 130)]).in_runs_of(16);
    let at = |rows| m.predict(rows).get();
    assert_eq!([16, 17, 24, 25, 32, 33, 160].map(at), [130, 180, 194, 240, 260, 310, 1_300]);
    // Of the 50 that one row takes 20 are the call's own: a second run of 16 takes 110.
    let m = model(&[(1, 50), (16, 130), (32, 240)]).in_runs_of(16);
    let at = |rows| m.predict(rows).get();
    assert_eq!([16, 17, 32, 33, 48].map(at), [130, 160, 240, 270, 350]);
    // A row more than a run takes 45 of its 50.
    let m = model(&[(1, 50), (8, 64), (16, 130), (17, 175), (32, 240)]).in_runs_of(16);
    let at = |rows| m.predict(rows).get();
    assert_eq!([16, 17, 24, 31, 32, 33].map(at), [130, 175, 189, 240, 240, 285]);
    let same = model(&[(1, 50), (8, 64)]);
    assert_eq!(same.clone().in_runs_of(12), same, "12 was not measured");
}

#[test]
fn rows_that_lie_in_no_cache_cost_more_each() {
    let m = model(&[(1, 110), (2, 200), (4, 400), (5, 500), (8, 800), (16, 1_600), (64, 11_200)]);
    let m = m.in_runs_of(4);
    let at = |rows| m.predict(rows).get();
    assert_eq!([4, 8, 12, 16].map(at), [400, 800, 1_200, 1_600], "in the cache");
    assert_eq!([20, 40, 64].map(at), [2_400, 6_400, 11_200], "800 a run past it");
    assert_eq!([68, 164].map(at), [12_000, 31_200], "and on");
    // A row more than a run takes 100, so the call itself 10.
    assert_eq!([6, 17, 19, 65].map(at), [590, 1_700, 1_890, 11_300]);
}

#[test]
fn a_batch_that_seems_cheaper_than_a_smaller_one_costs_the_same() {
    let m = model(&[(1, 100), (2, 90), (3, 300)]);
    assert_eq!([1, 2, 3].map(|rows| m.predict(rows).get()), [100, 100, 300]);
}

#[test]
fn sizes_end_with_the_largest_run() {
    assert_eq!(sizes(12, 64), [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 13, 24, 48, 60]);
    assert_eq!(sizes(4, 64), [1, 2, 3, 4, 5, 8, 16, 32, 64]);
    assert_eq!(sizes(1, 64), [1, 2, 4, 8, 16, 32, 64]);
    assert_eq!(sizes(12, 24), [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 13, 24]);
    assert_eq!(sizes(40, 64), [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 16, 24, 32, 40]);
    assert_eq!(sizes(64, 64), SIZES);
    assert_eq!(sizes(64, 20).last(), Some(&20));
}

#[test]
fn points_that_are_no_model_are_refused_with_the_reason() {
    let point = |rows, ps| Point { rows, ps };
    let refused = |points: Vec<Point>| CostModel::new(points).expect_err("no model");
    assert_eq!(refused(vec![]), PointsError::None);
    assert_eq!(refused(vec![point(0, 1)]), PointsError::Order(0));
    assert_eq!(refused(vec![point(2, 1), point(2, 2)]), PointsError::Order(2));
    assert_eq!(refused(vec![point(1, 0)]), PointsError::Zero(1));
    assert_eq!(refused((1..=65).map(|n| point(n, 1)).collect()), PointsError::TooMany);
}

#[test]
fn golden_values_of_the_correction() {
    let mut m = model(&[(1, 1_000), (2, 2_000)]);
    m.observe(1, Nanos::new(2_000));
    // (7 * 1 + 2) / 8
    assert_eq!((m.ratios_per_mille()[0], m.predict(1).get()), (1_125, 1_125));
    m.observe(2, Nanos::new(2_000));
    // (7 * 1.125 + 1) / 8 = 1.109375
    assert_eq!(m.predict(2).get(), 2_219);
    // A pause of 10 s counts as four times.
    m.observe(1, Nanos::from_secs(10));
    assert_eq!(m.predict(1).get(), 1_471);
    assert!(m.predict_high(1) > m.predict(1));
}

#[test]
fn a_core_that_became_slow_does_not_make_its_other_forms_look_cheap() {
    let (mut wide, mut narrow) = (model(&[(1, 1_000)]), model(&[(1, 1_200)]));
    for _ in 0..20 {
        wide.observe(1, Nanos::new(1_600));
        narrow.follow(&wide);
    }
    assert!(narrow.predict(1) > wide.predict(1), "{} {}", narrow.predict(1), wide.predict(1));
    assert!(narrow.predict_high(1) > wide.predict_high(1));
    assert!(narrow.predict_low(1) > wide.predict_low(1));
    assert_eq!(narrow.measured_ps(1), 1_200_000, "what was measured stays");
}

#[test]
fn a_form_that_did_not_run_takes_over_all_that_was_seen() {
    let mut ran = model(&[(1, 1_000), (8, 8_000)]);
    let fresh = ran.clone();
    // Batches that are now quick and now slow leave a bad day, a good day and the usual one all elsewhere than they began.
    for i in 0..400 {
        ran.observe(1, Nanos::new(if i % 10 == 0 { 2_000 } else { 700 + i % 7 }));
    }
    let days = |m: &CostModel| [m.predict_low(8), m.predict(8), m.predict_high(8)];
    for (seen, unseen) in days(&ran).into_iter().zip(days(&fresh)) {
        assert_ne!(seen, unseen, "or nothing is shown");
    }
    let mut other = fresh.clone();
    other.follow(&ran);
    assert_eq!(days(&other), days(&ran));
    let ratios = |m: &CostModel| days(m).map(|t| t.get() * 1_000 / m.predict(8).get());
    assert_ne!(ratios(&ran)[0], ratios(&fresh)[0], "a good day's share of the usual one moved too");
}

#[test]
fn it_follows_a_machine_that_became_twice_as_slow_and_back() {
    let mut m = model(&[(1, 1_000), (8, 8_000)]);
    for ns in [2_000, 1_000] {
        for _ in 0..40 {
            m.observe(1, Nanos::new(ns));
        }
        assert!(m.predict(1).get().abs_diff(ns) <= ns / 100, "{} of {ns}", m.predict(1));
        assert!(m.predict(8).get().abs_diff(8 * ns) <= 8 * ns / 100);
    }
}

#[test]
fn a_bad_day_s_time_is_exceeded_and_a_good_day_s_undercut_once_in_a_hundred_times() {
    let mut m = model(&[(1, 10_000)]);
    // 1.0 to 1.5 times, in an order that is as good as random.
    let seen = |i: u64| 10_000 + i.wrapping_mul(0x9e37_79b9_7f4a_7c15) % 5_000;
    let (mut above, mut below) = (0, 0);
    for i in 0..40_000 {
        let took = Nanos::new(seen(i));
        above += u32::from(i >= 20_000 && took > m.predict_high(1));
        below += u32::from(i >= 20_000 && took < m.predict_low(1));
        m.observe(1, took);
    }
    assert!((100..=400).contains(&above), "{above} of 20000");
    assert!((100..=400).contains(&below), "{below} of 20000");
}

#[test]
fn where_a_device_with_a_fixed_cost_begins_to_pay() {
    let cores = CostModel::linear(Nanos::ZERO, 1_550_000, 4_096);
    let device = CostModel::linear(Nanos::from_micros(60), 30_000, 4_096);
    // 60 us / (1.55 - 0.03) us = 39.5 rows.
    assert_eq!(cores.crossover(&device, 4_096), Some(40));
    assert_eq!(cores.crossover(&device, 39), None);
    assert_eq!(device.crossover(&cores, 4_096), None);
    // With eight cores a row costs an eighth.
    let eight = CostModel::linear(Nanos::ZERO, 1_550_000 / 8, 4_096);
    assert_eq!(eight.crossover(&device, 4_096), Some(367));
}

proptest! {
    #[test]
    fn more_rows_never_cost_less(
        points in proptest::collection::vec((1u32..200, 1u64..u64::MAX), 1..20),
        seen in proptest::collection::vec((1u32..300, any::<u64>()), 0..20),
        rows in 0u32..100_000,
        in_runs: bool,
    ) {
        let mut all: Vec<Point> = points.iter().map(|&(rows, ps)| Point { rows, ps }).collect();
        all.sort_by_key(|p| p.rows);
        all.dedup_by_key(|p| p.rows);
        let run = all[all.len() / 2].rows;
        let mut m = CostModel::new(all).unwrap();
        if in_runs {
            m = m.in_runs_of(run);
        }
        for (rows, ns) in seen {
            m.observe(rows, Nanos::new(ns));
        }
        for rows in [rows % 300, rows] {
            prop_assert!(m.predict(rows) <= m.predict(rows + 1));
            prop_assert!(m.predict_high(rows) <= m.predict_high(rows + 1));
            prop_assert!(m.predict(rows) <= m.predict_high(rows));
            prop_assert!(m.predict_low(rows) <= m.predict_low(rows + 1));
            prop_assert!(m.predict_low(rows) <= m.predict(rows));
        }
    }

    #[test]
    fn the_largest_that_fits_fits_and_the_next_does_not(
        ns in 1u64..10_000, per in 1u64..1_000, time in 0u64..1_000_000, most in 0u32..5_000,
    ) {
        let m = CostModel::linear(Nanos::new(ns), per * 1_000, 64);
        let rows = m.largest_within(Nanos::new(time), most);
        prop_assert!(rows <= most);
        prop_assert!(rows == 0 || m.predict_high(rows).get() <= time);
        prop_assert!(rows == most || m.predict_high(rows + 1).get() > time);
    }
}
