//! The generator's rate beside the bare loops'.

use std::net::SocketAddr;

use punctual::base::Nanos;
use punctual::load::{self, Framing, Generator, Matching, Plan, RATE_MAX, Report, Sizes};
use punctual::sys::affinity::pin_current;
use punctual::sys::clock::MonotonicClock;

use super::SENDER_CORE;
use super::bare::{Bare, LEN};
use super::quartiles::quartiles;
use super::service::{Echo, beside_echo};

const TIME: Nanos = Nanos::from_millis(300);
const GOAL: f64 = 0.9;

struct Scenario {
    name: &'static str,
    echo: Echo,
    gso: bool,
    burst: u32,
    /// Held against the goal.
    counts: bool,
}

const fn scenario(name: &'static str, echo: Echo, gso: bool, burst: u32, counts: bool) -> Scenario {
    Scenario { name, echo, gso, burst, counts }
}

/// What a bare loop that only sends has no part in is the intake: an answer that comes by itself costs a fifth of a send,
/// whoever takes it, so where answers come singly that is shown, beside a bare loop that takes them too, and not judged.
const SCENARIOS: [Scenario; 5] = [
    scenario("singly, answered in trains", Echo::Gathers, false, 1, true),
    scenario("singly, answered singly", Echo::Plain, false, 1, false),
    scenario("GSO, bursts of 64", Echo::Plain, true, 64, true),
    scenario("GSO, each drawn by itself", Echo::Plain, true, 1, false),
    scenario("GSO, bursts of 64, to an echo with GRO", Echo::Trains, true, 64, false),
];

/// Runs all scenarios, or that of `row` (from 1); whether those that count keep the goal.
pub(crate) fn contest(rounds: usize, row: Option<usize>) -> bool {
    let mut kept = true;
    println!(
        "generator against bare loops that only send, {LEN} bytes, {rounds} rounds, medians (quartiles)"
    );
    assert!(row.is_none_or(|row| (1..=SCENARIOS.len()).contains(&row)), "rows are 1 to 5");
    let chosen = |i: &usize| row.is_none_or(|row| *i == row);
    for scenario in (1..).zip(&SCENARIOS).filter(|(i, _)| chosen(i)).map(|(_, s)| s) {
        let measured: Vec<_> = (0..rounds).map(|_| round(scenario)).collect();
        kept &= print(scenario, &measured);
    }
    kept
}

/// Packets a second: bare, bare that takes answers in, and the generator with its report.
fn round(scenario: &Scenario) -> (f64, f64, Report) {
    beside_echo(scenario.echo, |to| {
        // Each on a thread of its own, so that none inherits what another has left.
        let on_core = |run: &(dyn Fn() -> f64 + Sync)| {
            std::thread::scope(|s| {
                let run = s.spawn(|| {
                    pin_current(SENDER_CORE).unwrap();
                    run()
                });
                run.join().unwrap()
            })
        };
        let bare = on_core(&|| Bare::new(to, scenario.gso).run(TIME, false));
        let generator = std::thread::scope(|s| {
            let run = s.spawn(|| {
                pin_current(SENDER_CORE).unwrap();
                generate(scenario, to, bare)
            });
            run.join().unwrap()
        });
        let taking = on_core(&|| Bare::new(to, scenario.gso).run(TIME, true));
        (bare, taking, generator)
    })
}

/// As much as it can: twice what the bare loop could.
fn generate(scenario: &Scenario, to: SocketAddr, bare: f64) -> Report {
    let mut plan = Plan::single("echo", to);
    plan.classes[0].size = Sizes::fixed(LEN);
    plan.rate = (2.0 * bare).min(RATE_MAX);
    plan.duration = TIME;
    plan.framing = Framing::Raw;
    plan.matching = Matching::Echo;
    plan.gso = scenario.gso;
    plan.burst = scenario.burst;
    plan.spin = true;
    let driver = load::open(&plan).unwrap();
    Generator::new(plan, driver, MonotonicClock).unwrap().run(|_| ()).unwrap()
}

fn print(scenario: &Scenario, measured: &[(f64, f64, Report)]) -> bool {
    let of = |f: &dyn Fn(&(f64, f64, Report)) -> f64| quartiles(measured.iter().map(f));
    let [_, bare, _] = of(&|m| m.0);
    let [_, taking, _] = of(&|m| m.1);
    let [_, ours, _] = of(&|m| m.2.offered_rate);
    println!("{}:", scenario.name);
    println!(
        "  bare {:.0} k/s, bare with intake {:.0} k/s, generator {:.0} k/s",
        bare / 1e3,
        taking / 1e3,
        ours / 1e3
    );
    let [low, mid, high] = of(&|m| m.2.offered_rate / m.0);
    let goal = if scenario.counts {
        if mid >= GOAL { " (kept: 0.9)" } else { " (MISSED: 0.9)" }
    } else {
        ""
    };
    println!("  generator / bare              {mid:.3} ({low:.3} to {high:.3}){goal}");
    let [low, mid_taking, high] = of(&|m| m.2.offered_rate / m.1);
    println!("  generator / bare with intake  {mid_taking:.3} ({low:.3} to {high:.3})");
    let sum = |f: fn(&load::ClassReport) -> u64| measured.iter().map(|m| m.2.sum(f)).sum::<u64>();
    println!(
        "  answers recorded {} of {} sent, dropped by its own buffers {}, sends refused {}",
        sum(|c| c.answered),
        sum(|c| c.sent),
        sum(|c| c.receive_drops),
        sum(|c| c.unsent)
    );
    !scenario.counts || mid >= GOAL
}
