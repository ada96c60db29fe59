//! What is told while a benchmark runs: a bar with the time left on a terminal, lines elsewhere when asked for.
//!
//! Knows no figures.

use std::cell::Cell;
use std::io::{IsTerminal as _, Write as _};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use crate::base::{Clock as _, Instant};
use crate::sys::clock::MonotonicClock;

/// How much is to be done and how much is, by the time that was planned for it.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Plan {
    all: Duration,
    done: Duration,
    /// Of steps that were made again, beside `done`.
    again: Duration,
    /// The most that may yet be made again.
    again_most: Duration,
    /// Planned for what comes after the last step.
    end: Duration,
}

impl Plan {
    /// The time left: the plan's and what will be made again, in proportion to what was until now, times how much longer than
    /// planned a step took. What was made again is no step that took longer: there is only so much of it.
    fn left(&self, elapsed: Duration) -> Duration {
        if self.done.is_zero() {
            return self.all + self.end;
        }
        let pace = elapsed.div_duration_f64(self.done + self.again);
        let left = self.all.saturating_sub(self.done);
        let again = left.mul_f64(self.again.div_duration_f64(self.done)).min(self.again_most);
        (left + again).mul_f64(pace) + self.end
    }
}

/// See the module.
#[derive(Debug)]
pub(super) struct Teller {
    bar: ProgressBar,
    lines: bool,
    plan: Cell<Plan>,
    /// When the first step began.
    begun: Cell<Option<Instant>>,
}

impl Teller {
    /// For so many steps that are to take `all`, and what comes `end` after them; steps of up to `again` may be made again.
    /// `lines` asks for lines where there is no terminal.
    pub(super) fn new(
        steps: usize,
        (all, again, end): (Duration, Duration, Duration),
        lines: bool,
        title: &str,
    ) -> Self {
        let done = Duration::ZERO;
        let plan = Cell::new(Plan { all, done, again: done, again_most: again, end });
        let begun = Cell::new(None);
        if !std::io::stderr().is_terminal() {
            let bar = ProgressBar::hidden();
            bar.set_length(steps as u64);
            return Self { bar, lines, plan, begun };
        }
        let bar = ProgressBar::new(steps as u64);
        let style =
            ProgressStyle::with_template("{bar:30} {pos}/{len}  {msg}  {elapsed}, {prefix} left");
        if let Ok(style) = style {
            bar.set_style(style);
        }
        bar.println(title);
        bar.set_prefix(format!("{} s", plan.get().left(Duration::ZERO).as_secs()));
        bar.enable_steady_tick(Duration::from_millis(200));
        Self { bar, lines: false, plan, begun }
    }

    /// That much more is to be done.
    pub(super) fn more(&self, steps: usize, time: Duration) {
        self.bar.inc_length(steps as u64);
        let plan = self.plan.get();
        self.plan.set(Plan { all: plan.all + time, ..plan });
    }

    /// A step that was to take `time` was made, and is made again.
    pub(super) fn again(&self, time: Duration) {
        let plan = self.plan.get();
        let again_most = plan.again_most.saturating_sub(time);
        self.plan.set(Plan { again: plan.again + time, again_most, ..plan });
    }

    /// The first step begins.
    pub(super) fn begin(&self) {
        self.begun.set(Some(MonotonicClock.now()));
    }

    /// What is being done now.
    pub(super) fn doing(&self, what: &str) {
        self.bar.set_message(what.to_owned());
    }

    /// One more step is done, for which `time` was planned.
    pub(super) fn done(&self, what: &str, result: &str, time: Duration) {
        self.bar.inc(1);
        let plan = self.plan.get();
        let plan = Plan { done: plan.done + time, ..plan };
        self.plan.set(plan);
        let left = plan
            .left(
                self.begun.get().map_or(Duration::ZERO, |t| MonotonicClock.now().since(t).to_std()),
            )
            .as_secs();
        self.bar.set_prefix(format!("{left} s"));
        if self.lines {
            let (at, of) = (self.bar.position(), self.bar.length().unwrap_or(0));
            self.line(&format!("[{at}/{of}] {what}: {result}; {left} s left"));
        }
    }

    /// A step for which `time` was planned is not made.
    pub(super) fn leave_out(&self, what: &str, time: Duration) {
        let plan = self.plan.get();
        self.plan.set(Plan { all: plan.all.saturating_sub(time), ..plan });
        self.done(what, "left out", Duration::ZERO);
    }

    /// Something to be known, whoever looks.
    pub(super) fn note(&self, what: &str) {
        if self.bar.is_hidden() {
            self.line(what);
        } else {
            self.bar.println(what);
        }
    }

    fn line(&self, text: &str) {
        // That nobody reads it is no fault.
        let _ = writeln!(std::io::stderr().lock(), "{text}");
    }

    pub(super) fn end(&self) {
        self.bar.finish_and_clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_left_is_the_plans_at_the_pace_until_now() {
        let s = Duration::from_secs;
        let none = s(0);
        let plan = Plan { all: s(40), done: none, again: none, again_most: s(12), end: s(1) };
        assert_eq!(plan.left(s(0)), s(41));
        // A quarter of it took half as long again.
        assert_eq!(Plan { done: s(10), ..plan }.left(s(15)), s(46));
        assert_eq!(Plan { done: s(40), ..plan }.left(s(50)), s(1));
        // As much again was made twice: so will be what is left, but no more than may be.
        let twice = Plan { done: s(10), again: s(10), ..plan };
        assert_eq!(twice.left(s(20)), s(43));
        assert_eq!(Plan { again_most: none, ..twice }.left(s(20)), s(31));
        assert_eq!(Plan { again_most: none, ..twice }.left(s(40)), s(61), "at half the pace");
    }
}
