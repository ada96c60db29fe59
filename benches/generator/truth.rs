//! Whether the figures are true: services whose delays are known.

use std::net::SocketAddr;

use punctual::base::Nanos;
use punctual::load::{self, Arrivals, Framing, Generator, Latencies, Matching, Plan, Report};
use punctual::sys::affinity::pin_current;
use punctual::sys::clock::MonotonicClock;

use super::SENDER_CORE;
use super::quartiles::quartiles;
use super::service::{after, beside_delayed, stalling};

const QUANTILES: [f64; 5] = [0.01, 0.5, 0.9, 0.99, 0.999];
const DELAYS: [u64; 3] = [1, 5, 20];

fn offer(to: SocketAddr, change: impl FnOnce(&mut Plan) + Send) -> Report {
    std::thread::scope(|s| {
        let run = s.spawn(|| {
            pin_current(SENDER_CORE).unwrap();
            let mut plan = Plan::single("known", to);
            plan.duration = Nanos::from_secs(2);
            plan.framing = Framing::Raw;
            plan.matching = Matching::Echo;
            plan.spin = true;
            plan.gso = false;
            change(&mut plan);
            let driver = load::open(&plan).unwrap();
            Generator::new(plan, driver, MonotonicClock).unwrap().run(|_| ()).unwrap()
        });
        run.join().unwrap()
    })
}

/// Within 2 % and 50 us.
fn is_near(measured: f64, known: f64) -> bool {
    (measured - known).abs() <= known * 0.02 + 50.0
}

fn micros(latencies: &Latencies, quantile: f64) -> f64 {
    latencies.at(quantile).get() as f64 / 1e3
}

/// Delays of 1, 5 and 20 ms, taking turns. Held against what the service itself measured of its delay, since nothing on a
/// shared machine is exact; how far that was from the nominal one is printed beside it.
pub(crate) fn delays(rounds: usize) -> bool {
    let mut kept = true;
    println!("a service with exact delays, 2,500 packets/s, {rounds} rounds, medians in us");
    println!("  delay  quantile   nominal   service  corrected       raw");
    // Service, corrected, raw of each round, by delay and quantile.
    let mut all = vec![vec![[const { Vec::new() }; 3]; QUANTILES.len()]; DELAYS.len()];
    let mut rates = Vec::new();
    for _ in 0..rounds {
        for (ms, quantiles) in DELAYS.iter().zip(&mut all) {
            let (service, report) = beside_delayed(after(Nanos::from_millis(*ms)), |to| {
                offer(to, |plan| plan.rate = 2_500.0)
            });
            let class = &report.classes[0];
            for (q, values) in QUANTILES.iter().zip(quantiles) {
                for (l, values) in [&service, &class.corrected, &class.raw].iter().zip(values) {
                    values.push(micros(l, *q));
                }
            }
            rates.push((report.offered_rate / report.rate - 1.0).abs());
        }
    }
    for (ms, quantiles) in DELAYS.iter().zip(all) {
        for (q, values) in QUANTILES.iter().zip(quantiles) {
            let [service, corrected, raw] = values.map(|v| quartiles(v)[1]);
            let near = is_near(corrected, service) && is_near(raw, service);
            kept &= near;
            println!(
                "  {ms:>2} ms  {q:>8}  {:>8}  {service:>8.1}  {corrected:>9.1}  {raw:>8.1}{}",
                ms * 1_000,
                if near { "" } else { "  MISSED: 2 % + 50 us" }
            );
        }
    }
    let worst = rates.into_iter().fold(0.0, f64::max);
    println!("  offered rate: at most {:.3} % off (0.5 % may)", worst * 100.0);
    kept && worst <= 0.005
}

/// A stall of 200 ms a second, with a window and in an open loop.
pub(crate) fn stall() -> bool {
    println!("a service that stands still for 200 ms of every second, 2,000 packets/s, 3 s");
    let mut shown = Vec::new();
    for window in [Some(4), None] {
        let (_, report) = beside_delayed(stalling, |to| {
            offer(to, |plan| {
                plan.rate = 2_000.0;
                plan.duration = Nanos::from_secs(3);
                plan.arrivals = Arrivals::Uniform;
                plan.window = window;
            })
        });
        let class = &report.classes[0];
        let at = |l: &Latencies| [0.5, 0.99].map(|q| micros(l, q) / 1e3);
        let ([c50, c99], [r50, r99]) = (at(&class.corrected), at(&class.raw));
        let name = window.map_or("open loop".to_owned(), |n| format!("window {n}"));
        println!(
            "  {name:<10} corrected p50 {c50:.3} ms p99 {c99:.3} ms, raw p50 {r50:.3} ms p99 {r99:.3} ms"
        );
        shown.push((c99, r99));
    }
    // The closed loop's raw figure hides the stall; every corrected figure shows it.
    shown.iter().all(|(corrected, _)| *corrected > 150.0) && shown[0].1 < 20.0
}
