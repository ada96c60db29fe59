//! What a datagram costs the real service, from the service's own figures.
//!
//! Knows no socket. A worker that is never without work spends its time on kernels, on looks, on what it receives and on what it
//! sends. Two such runs that receive differently many for each answer are two equations; the costs of a message received and
//! of a message sent are the unknowns. Whatever the worker's own code takes is in them, since a world's worker takes no time
//! of its own.

use crate::base::Nanos;
use crate::cli::bench::median;
use crate::sim::world;
use crate::stats::{Counters, WorkerField};

/// What a worker did in a span of time in which it was never without work.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Counted {
    pub(super) span_ns: f64,
    pub(super) busy_ns: f64,
    pub(super) runs: f64,
    pub(super) receives: f64,
    pub(super) sends: f64,
    pub(super) turns: f64,
}

impl Counted {
    /// Between two readings.
    #[expect(clippy::cast_precision_loss, reason = "counts of a few seconds")]
    pub(super) fn between(first: &Counters, last: &Counters) -> Self {
        let of = |f| last.worker(f).saturating_sub(first.worker(f)) as f64;
        Self {
            span_ns: of(WorkerField::PublishedAt),
            busy_ns: of(WorkerField::BusyTime),
            runs: of(WorkerField::Runs),
            receives: of(WorkerField::Receives),
            sends: of(WorkerField::Sends),
            turns: of(WorkerField::Turns),
        }
    }

    /// What is left for messages, where looks, batches and the further datagrams of a train take what the plan says. Each
    /// kernel's run is one answer: `spin` takes one at a time, and nothing arrives in trains.
    fn for_messages(&self, plan: &world::Costs) -> f64 {
        let joined = (self.runs - self.sends).max(0.0);
        let fixed =
            self.turns * ns(plan.look) + self.sends * ns(plan.batch) + joined * ns(plan.segment);
        self.span_ns - self.busy_ns - fixed
    }
}

/// What was found.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Costs {
    /// Answers a second of the first run: what counts as 1x.
    pub(super) saturation: f64,
    /// What a kernel's run takes, by what its config asks for.
    pub(super) kernel_factor: f64,
    /// For the world.
    pub(super) driver: world::Costs,
}

impl Costs {
    /// From a run with few datagrams received for each answer and one with many. `kernel_ns`: what the config asks for.
    pub(super) fn solve(few: &Counted, many: &Counted, plan: world::Costs, kernel_ns: f64) -> Self {
        let (a, b) = (few.for_messages(&plan), many.for_messages(&plan));
        let determinant = few.receives * many.sends - many.receives * few.sends;
        let receive = (a * many.sends - b * few.sends) / determinant;
        // A machine that was disturbed may give nonsense: nothing costs less than nothing, and no more than there was time.
        let receive = receive.clamp(0.0, a / few.receives);
        let send = (a - receive * few.receives) / few.sends;
        Self {
            saturation: few.runs * 1e9 / few.span_ns,
            kernel_factor: few.busy_ns / few.runs / kernel_ns,
            driver: world::Costs { receive: nanos(receive), send: nanos(send), ..plan },
        }
    }

    /// The middle of several measurements, each figure by itself.
    pub(super) fn middle(all: &[Self]) -> Self {
        let of = |f: fn(&Self) -> f64| median(all.iter().map(f));
        let rest = all.first().map_or_else(world::Costs::default, |c| c.driver);
        Self {
            saturation: of(|c| c.saturation),
            kernel_factor: of(|c| c.kernel_factor),
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
    fn counted(receives: f64, sends: f64) -> Counted {
        let plan = world::Costs::default();
        let runs = sends * 1.25;
        let busy_ns = runs * 22_000.0;
        let span_ns = busy_ns
            + receives * 700.0
            + sends * (2_100.0 + ns(plan.batch))
            + (runs - sends) * ns(plan.segment)
            + sends * ns(plan.look);
        Counted { span_ns, busy_ns, runs, receives, sends, turns: sends }
    }

    #[test]
    fn two_overloads_tell_receiving_from_sending() {
        let (few, many) = (counted(60_000.0, 40_000.0), counted(150_000.0, 38_000.0));
        let found = Costs::solve(&few, &many, world::Costs::default(), 20_000.0);
        assert_eq!(found.driver.receive, Nanos::new(700));
        assert_eq!(found.driver.send, Nanos::new(2_100));
        assert_eq!(found.driver.look, world::Costs::default().look);
        assert!((found.kernel_factor - 1.1).abs() < 1e-9);
        let each_send = 1.25 * 22_000.0 + 2_100.0 + 400.0 + 0.25 * 100.0 + 1.5 * 700.0;
        assert!((found.saturation - 1.25e9 / each_send).abs() < 1e-6, "{}", found.saturation);
    }

    #[test]
    fn what_a_disturbed_machine_measured_is_no_cost_below_nothing() {
        let (few, mut many) = (counted(60_000.0, 40_000.0), counted(150_000.0, 38_000.0));
        many.span_ns *= 0.9;
        let found = Costs::solve(&few, &many, world::Costs::default(), 20_000.0);
        assert_eq!(found.driver.receive, Nanos::ZERO);
        // All of the first run's overhead is then the sends', so that saturation is still what was measured.
        assert_eq!(found.driver.send, Nanos::new(2_100 + 1_050));
    }

    #[test]
    fn the_middle_is_taken_of_each_figure_by_itself() {
        let of = |receive, send, saturation| Costs {
            saturation,
            kernel_factor: 1.0,
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
