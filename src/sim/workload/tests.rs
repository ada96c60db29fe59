//! The draws have the means, squares and shares that the closed forms say, and a seed decides them.

use super::*;
use crate::base::Instant;

const SEED: u64 = 20;

fn near(got: f64, expected: f64, part: f64) -> bool {
    (got - expected).abs() <= part * expected.abs()
}

#[test]
fn published_means_and_variations() {
    // Means in ns: from BENCHMARKS, section 4.
    for (name, mean, scv) in [
        ("exp", 10_000.0, 1.0),
        ("det", 10_000.0, 0.0),
        ("high-bimodal", 50_500.0, 0.960_8),
        ("extreme-bimodal", 2_997.5, 138.1),
        ("rocksdb", 318_250.0, 0.990_6),
        ("tpcc", 19_068.0, 1.479),
        ("classes", 100_000.0, 1.0),
    ] {
        let w = by_name(name).unwrap();
        assert!(near(w.mean_ns(), mean, 1e-9), "{name}: {}", w.mean_ns());
        assert!((w.scv() - scv).abs() <= 0.001 * scv.max(1.0), "{name}: {}", w.scv());
    }
}

#[test]
fn draws_agree_with_the_closed_forms() {
    for name in names() {
        let w = by_name(name).unwrap();
        let n = 400_000;
        let (mut sum, mut square) = (0.0, 0.0);
        let mut of_kind = vec![0_u32; w.kinds.len()];
        for offer in Offered::poisson(&w, 0.5, 1, SEED).take(n) {
            let s = ns(offer.service);
            sum += s;
            square += s * s;
            of_kind[offer.kind] += 1;
        }
        let (mean, square) = (sum / n as f64, square / n as f64);
        // Rare long jobs carry most of the extreme mixes: three standard errors of their count.
        let part = 3.0 * (w.scv() / n as f64).sqrt() + 0.002;
        assert!(near(mean, w.mean_ns(), part), "{name}: mean {mean} and not {}", w.mean_ns());
        assert!(near(square, w.mean_square_ns2(), 0.08), "{name}: square {square}");
        for (kind, count) in of_kind.iter().enumerate() {
            let share = f64::from(*count) / n as f64;
            assert!((share - w.share(kind)).abs() < 0.003, "{name}: kind {kind} has {share}");
        }
    }
}

#[test]
fn captured_times_are_stretched_to_the_rate_and_repeated() {
    use rand_xoshiro::rand_core::SeedableRng as _;
    // Four in 8 us, and as much as the mean gap until the first comes again: a lap of 4 gaps of 8/3 us.
    let times: Vec<Nanos> = [7, 8, 9, 15].map(Nanos::from_micros).to_vec();
    let rng = rand_xoshiro::Xoshiro256PlusPlus::seed_from_u64(1);
    let mut drawn = ArrivalTimes::new(Arrivals::Captured(times.into()), 1_000.0, rng);
    let got: Vec<u64> = (0..9).map(|_| drawn.next_at().as_nanos() / 1_000).collect();
    // A thousand a second: a lap of four takes 4 ms, in which 8 us of the capture are 3 ms.
    assert_eq!(got, [0, 375, 750, 3_000, 4_000, 4_375, 4_750, 7_000, 8_000]);
}

#[test]
fn a_seed_decides_every_draw() {
    let w = by_name("tpcc").unwrap();
    let draw = |seed| Offered::poisson(&w, 2.0, 4, seed).take(1_000).collect::<Vec<_>>();
    assert_eq!(draw(1), draw(1));
    assert_ne!(draw(1), draw(2));
}

fn rate(arrivals: Arrivals, from: Instant, to: Instant) -> f64 {
    let w = by_name("det").unwrap();
    let stream = Stream { arrivals, rate_per_s: 1e6, only: None };
    let offered = Offered::new(&w, &[stream], SEED);
    let inside = |o: &Offer| o.at < to;
    let count = offered.take_while(inside).filter(|o| o.at >= from).count();
    count as f64 / to.since(from).as_secs_f64()
}

#[test]
fn shapes_keep_their_mean_rate() {
    let second = Instant::from_nanos(1_000_000_000);
    let on_off =
        Arrivals::OnOff { ratio: 10.0, on: Nanos::from_millis(1), off: Nanos::from_millis(1) };
    let day = Arrivals::Diurnal { low: 0.5, high: 1.5, period: Nanos::from_millis(100) };
    for (shape, part) in
        [(Arrivals::Poisson, 0.01), (Arrivals::Uniform, 1e-5), (on_off, 0.1), (day, 0.01)]
    {
        let got = rate(shape.clone(), Instant::ZERO, second);
        assert!(near(got, 1e6, part), "{shape:?}: {got}");
    }
}

#[test]
fn steps_step_and_a_flood_is_a_stream_of_one_kind() {
    let at = |ms: u64| Instant::from_nanos(ms * 1_000_000);
    let steps = Arrivals::Steps(vec![(at(0), 1.4), (at(100), 2.0), (at(200), 0.0)]);
    assert!(near(rate(steps.clone(), at(0), at(100)), 1.4e6, 0.01));
    assert!(near(rate(steps.clone(), at(100), at(200)), 2.0e6, 0.01));
    assert!(rate(steps, at(200), at(300)) < 1.0);

    let w = by_name("classes").unwrap();
    let flood = Arrivals::Steps(vec![(at(0), 0.0), (at(10), 1.0), (at(20), 0.0)]);
    let streams = [
        Stream { arrivals: Arrivals::Poisson, rate_per_s: 1e5, only: None },
        Stream { arrivals: flood, rate_per_s: 1e6, only: Some(2) },
    ];
    let all: Vec<Offer> = Offered::new(&w, &streams, SEED).take_while(|o| o.at < at(30)).collect();
    assert!(all.is_sorted_by_key(|o| o.at));
    let low = |from, to| {
        all.iter().filter(|o| o.kind == 2 && o.at >= at(from) && o.at < at(to)).count() as f64
    };
    assert!(near(low(10, 20), 10_500.0, 0.05), "{}", low(10, 20));
    assert!(low(0, 10) < 600.0 && low(20, 30) < 600.0);
}

#[test]
fn costs_drift_from_their_time_on() {
    let w = by_name("det").unwrap();
    let at = Instant::from_nanos(500_000);
    let offers = Offered::poisson(&w, 1.0, 1, SEED).drifting(Drift { at, factor: 2.0 });
    let all: Vec<Offer> = offers.take(100).collect();
    assert!(all.iter().any(|o| o.at < at) && all.iter().any(|o| o.at >= at));
    for o in all {
        let us = if o.at < at { 10 } else { 20 };
        assert_eq!(o.service, Nanos::from_micros(us));
    }
}
