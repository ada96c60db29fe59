//! What is told while a benchmark runs: a bar with the time left on a terminal, lines elsewhere when asked for.
//!
//! Knows no figures.

use std::cell::Cell;
use std::io::{IsTerminal as _, Write as _};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use super::course::TRIES;
use crate::base::{Clock as _, Instant};
use crate::sys::clock::MonotonicClock;

/// How often a step is made again at most.
const TIMES_AGAIN: u32 = TRIES - 1;

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
        let left = self.all.saturating_sub(self.done);
        let again = left.mul_f64(self.again.div_duration_f64(self.done)).min(self.again_most);
        (left + again).mul_f64(self.pace(elapsed)) + self.end
    }

    /// The time left where as much is made again as may be: when a machine takes its cores away nobody can foresee.
    fn most(&self, elapsed: Duration) -> Duration {
        let left = self.all.saturating_sub(self.done);
        (left + self.again_most.min(left * TIMES_AGAIN)).mul_f64(self.pace(elapsed)) + self.end
    }

    /// How much longer than planned a step took.
    fn pace(&self, elapsed: Duration) -> f64 {
        let made = self.done + self.again;
        if made.is_zero() { 1.0 } else { elapsed.div_duration_f64(made) }
    }

    /// Both, for people.
    fn told(&self, elapsed: Duration) -> String {
        let (left, most) = (self.left(elapsed).as_secs(), self.most(elapsed).as_secs());
        if most > left { format!("{left} to {most} s") } else { format!("{left} s") }
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
        bar.set_prefix(plan.get().told(Duration::ZERO));
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
        let now = |begun: Instant| MonotonicClock.now().since(begun).to_std();
        let left = plan.told(self.begun.get().map_or(Duration::ZERO, now));
        self.bar.set_prefix(left.clone());
        if self.lines {
            let (at, of) = (self.bar.position(), self.bar.length().unwrap_or(0));
            self.line(&format!("[{at}/{of}] {what}: {result}; {left} left"));
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

    #[test]
    fn the_most_is_what_may_be_made_again_and_of_each_step_what_may() {
        let s = Duration::from_secs;
        let plan = Plan { all: s(40), done: s(0), again: s(0), again_most: s(12), end: s(1) };
        assert_eq!(plan.told(s(0)), "41 to 53 s");
        let late = Plan { done: s(36), again: s(4), again_most: s(12), ..plan };
        assert_eq!(late.most(s(40)), s(4 + 8 + 1), "twice the four that are left, and no more");
        assert_eq!(Plan { again_most: s(3), ..late }.most(s(80)), s(15), "at half the pace");
        assert_eq!(Plan { done: s(40), ..late }.told(s(44)), "1 s", "nothing is left to be void");
    }
}
