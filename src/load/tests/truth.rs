//! How true the times and the rate are.

use super::memory::Service;
use super::*;
use crate::base::Instant;

#[test]
fn a_stall_is_seen_from_the_intended_time_and_not_from_the_actual_one() {
    let mut p = plan();
    p.rate = 20_000.0;
    let (mut driver, clock) = Memory::new(echo());
    driver.stall_at = Some(Instant::ZERO + Nanos::from_millis(300));
    let report = run(p, driver, clock);
    let class = &report.classes[0];
    // A fifth of the packets was due while nothing moved; the worst of them waited for 200 ms.
    assert!(class.corrected.at(0.99) > Nanos::from_millis(150), "{}", class.corrected.at(0.99));
    assert!(class.corrected.at(0.75) < Nanos::from_millis(1));
    assert!(class.raw.at(0.99) < Nanos::from_millis(1), "{}", class.raw.at(0.99));
    assert!((0.15..0.25).contains(&report.generator.late_share()), "{:?}", report.generator.late);
    assert!(report.generator.lateness.max() > Nanos::from_millis(190));
    assert!((0.75..0.85).contains(&class.on_time_share()));
    assert_eq!(class.late(), class.answered - class.on_time);
}

#[test]
fn an_undisturbed_generator_is_punctual() {
    let (driver, clock) = Memory::new(echo());
    let report = run(plan(), driver, clock);
    assert_eq!(report.generator.late, 0);
    assert!(report.generator.lateness.at(0.99) < Nanos::from_micros(50));
    assert!((report.offered_rate / report.rate - 1.0).abs() < 0.05);
    assert!(!report.interrupted && !report.gave_up);
}

/// Answers of a service that stands still for the first 200 ms of every second, and then answers what has waited.
fn stalling(clock: &Shared) -> Service {
    let clock = clock.clone();
    Box::new(move |_, b| {
        let into = clock.now().as_nanos() % 1_000_000_000;
        let stalled = Nanos::new(200_000_000_u64.saturating_sub(into));
        vec![(stalled + FAST, b.to_vec())]
    })
}

#[test]
fn a_stalling_service_shows_in_the_corrected_latency_where_the_raw_one_hides_it() {
    let mut p = plan();
    (p.rate, p.duration, p.arrivals) = (2_000.0, Nanos::from_secs(5), Arrivals::Uniform);
    let run_with = |window| {
        let (mut driver, clock) = Memory::new(echo());
        driver.service = stalling(&clock);
        let mut p = p.clone();
        p.window = window;
        run(p, driver, clock)
    };
    // As a client with four connections: it asks no more while it waits, and its raw figures know nothing of what it did
    // not ask.
    let closed = run_with(Some(4));
    let c = &closed.classes[0];
    assert!(c.corrected.at(0.99) > Nanos::from_millis(180), "{}", c.corrected.at(0.99));
    assert!(c.raw.at(0.99) < Nanos::from_millis(1), "{}", c.raw.at(0.99));
    assert_eq!((c.sent, c.answered), (10_000, 10_000));
    // The service held them back, not the generator.
    assert!(closed.generator.held > 1_500 && closed.generator.late == 0, "{:?}", closed.generator);
    // In an open loop all are asked in time, and both figures show it.
    let open = run_with(None);
    let o = &open.classes[0];
    assert!(o.raw.at(0.99) > Nanos::from_millis(180) && open.generator.held == 0);
    for q in [0.5, 0.9, 0.99, 0.999] {
        let (a, b) = (c.corrected.at(q), o.corrected.at(q));
        assert!(a.get().abs_diff(b.get()) < 3_000_000, "{q}: {a} {b}");
    }
}

#[test]
fn exact_delays_are_measured_exactly_at_every_percentile() {
    for arrivals in [Arrivals::Poisson, Arrivals::Uniform, Arrivals::Bursts(Bursts::default())] {
        for ms in [1, 5, 20] {
            let delay = Nanos::from_millis(ms);
            let mut p = plan();
            p.arrivals = arrivals.clone();
            let (driver, clock) = Memory::new(move |_, b| vec![(delay, b.to_vec())]);
            let report = run(p, driver, clock);
            let c = &report.classes[0];
            for latencies in [&c.corrected, &c.raw] {
                for q in [0.0, 0.01, 0.5, 0.9, 0.99, 0.999, 0.9999, 1.0] {
                    let at = latencies.at(q).get();
                    let most = delay.get() / 1_000 + 50_000;
                    assert!(at.abs_diff(delay.get()) <= most, "{ms} ms at {q}: {at}");
                }
            }
        }
    }
}

#[test]

fn the_offered_rate_is_the_one_asked_for() {
    let second = Nanos::from_secs(1);
    let course = vec![
        Stretch { from: 2_000.0, to: 2_000.0, length: second },
        Stretch { from: 2_000.0, to: 30_000.0, length: second },
    ];
    for arrivals in [Arrivals::Poisson, Arrivals::Uniform, Arrivals::Bursts(Bursts::default())] {
        for stretches in [vec![], course.clone()] {
            for seed in [1, 2, 3] {
                let mut p = plan();
                (p.arrivals, p.seed) = (arrivals.clone(), seed);
                if !stretches.is_empty() {
                    p.follow(stretches.clone());
                }
                let (driver, clock) = Memory::new(echo());
                let report = run(p, driver, clock);
                let off = (report.offered_rate / report.rate - 1.0).abs();
                assert!(off < 0.001, "{:?} {off}", report.arrivals);
                let sent: u64 = report.stretches.iter().map(|s| s.sent).sum();
                assert!(stretches.is_empty() || sent == report.classes[0].sent);
                let due: u64 = report.timeline.of_class(0).iter().map(|i| i.due).sum();
                assert_eq!(due, report.classes[0].due);
            }
        }
    }
}
