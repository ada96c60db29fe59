//! A small result for tests.

use super::bare::Capacity;
use super::described::Described;
use super::measured::{ClassMeasured, HIGH_ALONE, Measured};
use super::noise::Noise;
use super::outcome::{KIND, Machine, Outcome, VERSION};
use super::stolen::Stolen;
use super::timeline::Timeline;
use crate::base::Nanos;

/// A result at 2x with as many rounds as there are shares: High alone has 99 %, and `edf` has these.
pub(in crate::cli) fn outcome(high: &[f64]) -> Outcome {
    let run = |subject: &str, round: usize, share: f64| Measured {
        load: 2.0,
        round: round as u32,
        subject: subject.to_owned(),
        offered: 80_000.0,
        classes: vec![ClassMeasured {
            class: "high".to_owned(),
            budget_us: 1_000.0,
            due: 1_000,
            on_time_share: share,
            p50_us: 50.0,
            p99_us: 200.0,
            p999_us: 900.0,
            curve_us: vec![40.0, 45.0, 50.0],
            ..ClassMeasured::default()
        }],
        useful: Some(0.99),
        started_expired: Some(0),
        stolen: Stolen::default(),
        void: None,
        timeline: Timeline {
            at_ms: vec![100.0, 200.0],
            drops: [("predicted_miss".to_owned(), vec![5, 7])].into(),
        },
        backends: None,
    };
    let rounds = high.iter().enumerate();
    let runs = rounds.flat_map(|(i, share)| [run(HIGH_ALONE, i, 0.99), run("edf", i, *share)]);
    let capacity = |(i, _): (usize, &f64)| Capacity {
        round: i as u32,
        service: 40_000.0,
        bare: Some(42_000.0),
        sound: true,
    };
    Outcome {
        kind: KIND.to_owned(),
        version: VERSION,
        program: "0.0.0".to_owned(),
        started_unix_s: 1,
        command: vec!["bench".to_owned()],
        machine: Machine::default(),
        lab: Described {
            service_core: 0,
            generator_core: 1,
            service: Some(Nanos::from_micros(20)),
            mix: vec![1.0, 2.0, 7.0],
            driver: "uring".to_owned(),
            seconds: 1.0,
            seed: 1,
            targets: Vec::new(),
            work: Vec::new(),
            config: None,
            policy: None,
            batches: None,
            arrivals: None,
            budgets: Vec::new(),
        },
        saturation: 40_000.0,
        capacity: high.iter().enumerate().map(capacity).collect(),
        noise: Noise(Vec::new()),
        stolen_limit: 0.02,
        repeated: 0,
        stopped: false,
        generator_limited: false,
        runs: runs.collect(),
    }
}

/// A result of `value` at 2x, with what High, Medium and Low had on time in each round: the mix of 1 : 2 : 7, 8,000 packets
/// for each of the ten.
pub(in crate::cli) fn outcome_of_all(rounds: &[[f64; 3]]) -> Outcome {
    let mut outcome = outcome(&rounds.iter().map(|r| r[0]).collect::<Vec<_>>());
    let names = ["high", "medium", "low"];
    for run in outcome.runs.iter_mut().filter(|r| r.subject != HIGH_ALONE) {
        "value".clone_into(&mut run.subject);
        let shares = rounds[run.round as usize];
        let like = run.classes[0].clone();
        let class = |((name, part), share): ((&str, &f64), f64)| ClassMeasured {
            class: name.to_owned(),
            due: (part * 8_000.0) as u64,
            on_time: (part * 8_000.0 * share) as u64,
            on_time_share: share,
            ..like.clone()
        };
        run.classes = names.into_iter().zip(&outcome.lab.mix).zip(shares).map(class).collect();
    }
    outcome
}
