//! What a datagram costs the real service, from the service's own figures.
//!
//! Knows no socket. A worker that is never without work spends its time on kernels, on looks, on what it receives and on what it
//! sends. Two such runs that receive differently many for each answer are two equations; the costs of a message received and
//! of a message sent are the unknowns. Whatever the worker's own code takes is in them, since a world's worker takes no time
//! of its own.
//!
//! A core's clock changes. So all costs are those of a core that takes as long for a kernel's run as the config says: what was
//! measured is taken by how much longer the runs took meanwhile. The world's core then has the pace of the live run's
//! ([`Costs::pace`]), by all that the worker did and not by its kernels alone: messages go through memory and another core's
//! caches, and what they cost changes from one run to the next where kernels do not.

use crate::base::Nanos;
use crate::cli::bench::{Worked, median};
use crate::sim::world;

/// What a worker did in a span of time.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Counted {
    pub(super) span_ns: f64,
    pub(super) busy_ns: f64,
    pub(super) idle_ns: f64,
    pub(super) runs: f64,
    pub(super) receives: f64,
    pub(super) sends: f64,
    pub(super) turns: f64,
}

impl Counted {
    /// Between two readings.
    #[expect(clippy::cast_precision_loss, reason = "counts of a few seconds")]
    pub(super) fn between(first: &Worked, last: &Worked) -> Self {
        let of = |f: fn(&Worked) -> u64| f(last).saturating_sub(f(first)) as f64;
        Self {
            span_ns: of(|w| w.published_ns),
            busy_ns: of(|w| w.busy_ns),
            idle_ns: of(|w| w.idle_ns),
            runs: of(|w| w.runs),
            receives: of(|w| w.receives),
            sends: of(|w| w.sends),
            turns: of(|w| w.turns),
        }
    }

    /// How many times as long a kernel's run took as the config asks for.
    fn pace(&self, kernel_ns: f64) -> f64 {
        self.busy_ns / self.runs / kernel_ns
    }

    /// What looks, batches and the further datagrams of a train take by the plan. Each kernel's run is one answer: `spin` takes
    /// one at a time, and nothing arrives in trains.
    fn fixed(&self, plan: &world::Costs) -> f64 {
        let joined = (self.runs - self.sends).max(0.0);
        // The looks of a worker without work are part of its idling.
        let looks = self.turns.min(self.receives + self.runs);
        looks * ns(plan.look) + self.sends * ns(plan.batch) + joined * ns(plan.segment)
    }

    /// What is left for messages.
    fn for_messages(&self, plan: &world::Costs, kernel_ns: f64) -> f64 {
        let others = self.span_ns - self.busy_ns - self.idle_ns;
        others / self.pace(kernel_ns) - self.fixed(plan)
    }
}

/// Fewer runs than this in a step say little of the core's pace in it.
const RUNS_MIN: f64 = 50.0;

/// What was found.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Costs {
    /// Answers a second of the first run: what counts as 1x.
    pub(super) saturation: f64,
    /// How many times as long a kernel's run took as its config asks for.
    pub(super) pace: f64,
    /// For the world, at a pace of 1.
    pub(super) driver: world::Costs,
}

impl Costs {
    /// From a run with few datagrams received for each answer and one with many. `kernel_ns`: what the config asks for.
    pub(super) fn solve(few: &Counted, many: &Counted, plan: world::Costs, kernel_ns: f64) -> Self {
        let (a, b) = (few.for_messages(&plan, kernel_ns), many.for_messages(&plan, kernel_ns));
        let determinant = few.receives * many.sends - many.receives * few.sends;
        let receive = (a * many.sends - b * few.sends) / determinant;
        // A machine that was disturbed may give nonsense: nothing costs less than nothing, and no more than there was time.
        let receive = receive.clamp(0.0, a / few.receives);
        let send = (a - receive * few.receives) / few.sends;
        Self {
            saturation: few.runs * 1e9 / few.span_ns,
            pace: few.pace(kernel_ns),
            driver: world::Costs { receive: nanos(receive), send: nanos(send), ..plan },
        }
    }

    /// The core's pace in a run, step by step: how many times as long all that was done took as it does by these costs. What a
    /// worker without work looks and sleeps does not count. `worked`: readings; too few runs in a step say nothing.
    pub(super) fn pace(&self, worked: &[Worked], kernel_ns: f64) -> Vec<(Nanos, f64)> {
        let d = &self.driver;
        let step = |pair: &[Worked]| {
            let did = Counted::between(&pair[0], &pair[1]);
            let messages = did.receives * ns(d.receive) + did.sends * ns(d.send);
            let takes = did.runs * kernel_ns + messages + did.fixed(d);
            (did.runs >= RUNS_MIN).then(|| (pair[0].at, (did.span_ns - did.idle_ns) / takes))
        };
        worked.windows(2).filter_map(step).collect()
    }

    /// The middle of several measurements, each figure by itself.
    pub(super) fn middle(all: &[Self]) -> Self {
        let of = |f: fn(&Self) -> f64| median(all.iter().map(f));
        let rest = all.first().map_or_else(world::Costs::default, |c| c.driver);
        Self {
            saturation: of(|c| c.saturation),
            pace: of(|c| c.pace),
            driver: world::Costs {
                receive: nanos(of(|c| ns(c.driver.receive))),
                send: nanos(of(|c| ns(c.driver.send))),
                ..rest
            },
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "a cost, far below 2^53")]
fn ns(n: Nanos) -> f64 {
    n.get() as f64
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a cost, at least 0; `as` saturates"
)]
fn nanos(ns: f64) -> Nanos {
    Nanos::new(ns.round() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A worker of 22 us kernels, 700 ns a message received, 2.1 us a message sent, one look a turn; every fifth answer leaves
    /// in the train of the one before.
    fn counted(receives: f64, sends: f64, pace: f64) -> Counted {
        let plan = world::Costs::default();
        let runs = sends * 1.25;
        let busy_ns = runs * 20_000.0 * pace;
        let others = receives * 700.0
            + sends * (2_100.0 + ns(plan.batch))
            + (runs - sends) * ns(plan.segment)
            + sends * ns(plan.look);
        let span_ns = busy_ns + others * pace;
        Counted { span_ns, busy_ns, idle_ns: 0.0, runs, receives, sends, turns: sends }
    }

    #[test]
    fn two_overloads_tell_receiving_from_sending() {
        // The core was slower in the second run.
        let (few, many) = (counted(60_000.0, 40_000.0, 1.1), counted(150_000.0, 38_000.0, 1.3));
        let found = Costs::solve(&few, &many, world::Costs::default(), 20_000.0);
        assert_eq!(found.driver.receive, Nanos::new(700));
        assert_eq!(found.driver.send, Nanos::new(2_100));
        assert_eq!(found.driver.look, world::Costs::default().look);
        assert!((found.pace - 1.1).abs() < 1e-9);
        let each_send = 1.1 * (1.25 * 20_000.0 + 2_100.0 + 400.0 + 0.25 * 100.0 + 1.5 * 700.0);
        assert!((found.saturation - 1.25e9 / each_send).abs() < 1e-6, "{}", found.saturation);
    }

    #[test]
    fn what_a_disturbed_machine_measured_is_no_cost_below_nothing() {
        let (few, mut many) = (counted(60_000.0, 40_000.0, 1.0), counted(150_000.0, 38_000.0, 1.0));
        many.span_ns *= 0.9;
        let found = Costs::solve(&few, &many, world::Costs::default(), 20_000.0);
        assert_eq!(found.driver.receive, Nanos::ZERO);
        // All of the first run's overhead is then the sends', so that saturation is still what was measured.
        assert_eq!(found.driver.send, Nanos::new(2_100 + 1_050));
    }

    #[test]
    fn the_pace_is_that_of_each_step_by_all_that_was_done_in_it() {
        let driver = world::Costs {
            receive: Nanos::new(700),
            send: Nanos::new(2_100),
            batch: Nanos::new(300),
            look: Nanos::new(100),
            ..world::Costs::default()
        };
        let costs = Costs { saturation: 0.0, pace: 1.0, driver };
        // A run takes 20 us, and its message 700 + 2,100 + 300 + 100 ns: 23.2 us.
        let mut worked = vec![Worked { at: Nanos::from_millis(100), ..Worked::default() }];
        let mut step = |us: u64, idle_us: u64, n: u64, looks: u64| {
            let last = *worked.last().unwrap();
            worked.push(Worked {
                at: last.at + Nanos::from_millis(100),
                published_ns: last.published_ns + us * 1_000,
                // Slower or faster than messages: nobody asks.
                busy_ns: last.busy_ns + n * 21_000,
                idle_ns: last.idle_ns + idle_us * 1_000,
                runs: last.runs + n,
                receives: last.receives + n,
                sends: last.sends + n,
                turns: last.turns + n + looks,
            });
        };
        step(4_640, 0, 200, 0);
        step(232, 0, 10, 0);
        // Idle for half of the time; a thousand looks that found nothing are part of that, but for as many as there were events.
        step(9_280 + 22, 4_640, 100, 1_000);
        let found = costs.pace(&worked, 20_000.0);
        let expected =
            [(Nanos::from_millis(100), 1.0), (Nanos::from_millis(300), 4_662.0 / 2_330.0)];
        assert_eq!(found.len(), expected.len(), "ten runs say nothing: {found:?}");
        for (found, expected) in found.iter().zip(expected) {
            assert_eq!(found.0, expected.0);
            assert!((found.1 - expected.1).abs() < 1e-9, "{found:?}, not {expected:?}");
        }
        assert!(costs.pace(&worked[..1], 20_000.0).is_empty());
    }

    #[test]
    fn the_middle_is_taken_of_each_figure_by_itself() {
        let of = |receive, send, saturation| Costs {
            saturation,
            pace: 1.0,
            driver: world::Costs {
                receive: Nanos::new(receive),
                send: Nanos::new(send),
                ..world::Costs::default()
            },
        };
        let middle = Costs::middle(&[of(1, 30, 5.0), of(2, 10, 7.0), of(3, 20, 6.0)]);
        assert_eq!(middle, of(2, 20, 6.0));
    }
}
