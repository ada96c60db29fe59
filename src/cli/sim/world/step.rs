//! How a step of load was taken: goodput millisecond by millisecond, and how long it took to be what it settles at.
//!
//! Knows no scheduler. Goodput is answers that left in time, all classes and workers together.

use std::io::{self, Write};

use super::{Done, Point};
use crate::base::Nanos;
use crate::config::plan::{Plan, SETTLED_AFTER, Step};
use crate::sim::world::{Deed, Event};

const MS: Nanos = Nanos::from_millis(1);
/// How much of the time before the step is what it is compared with.
const BEFORE_MS: usize = 100;
/// So much of the course after the step is kept for whoever draws it.
const COURSE_MS: usize = 50;

/// A step as it was taken.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Taken {
    pub(super) point: Point,
    pub(super) step: Step,
    /// Answers in time a millisecond: before the step, once it has settled, and the least of any millisecond until then.
    pub(super) before: f64,
    pub(super) steady: f64,
    pub(super) least: f64,
    /// After how many milliseconds goodput was near what it settles at, and stayed so until it counts as settled. None: never.
    pub(super) recovered_ms: Option<usize>,
    /// The first milliseconds after the step.
    pub(super) course: Vec<u64>,
}

impl Taken {
    /// Whether that was soon enough.
    pub(super) fn in_time(&self) -> bool {
        let Some(by) = self.step.by else { return true };
        self.recovered_ms.is_some_and(|ms| MS.saturating_mul(ms as u64) <= by)
    }
}

/// The step of each run; none where the plan has none.
pub(super) fn of(plan: &Plan, all: &[Done]) -> Vec<Taken> {
    let Some(step) = plan.step else { return Vec::new() };
    let one = |done: &Done| {
        let end = done.options.duration;
        taken(done.point, step, &per_ms(done.outcome.kept.iter().flatten(), end))
    };
    all.iter().map(one).collect()
}

/// Answers in time in each whole millisecond until `end`.
fn per_ms<'e>(events: impl Iterator<Item = &'e Event>, end: Nanos) -> Vec<u64> {
    let mut counts = vec![0; place(end)];
    for event in events.filter(|e| e.deed == Deed::OnTime) {
        if let Some(count) = counts.get_mut(place(Nanos::new(event.at_ns))) {
            *count += 1;
        }
    }
    counts
}

/// In which millisecond that lies.
fn place(at: Nanos) -> usize {
    usize::try_from(at.get() / MS.get()).unwrap_or(usize::MAX)
}

fn taken(point: Point, step: Step, counts: &[u64]) -> Taken {
    let at = place(step.at).min(counts.len());
    let (before, after) = counts.split_at(at);
    let settled = place(SETTLED_AFTER).min(after.len());
    let (course, rest) = after.split_at(settled);
    let steady = mean(rest);
    let near = |n: &u64| (count(*n) - steady).abs() <= step.within * steady;
    // From the last that was not near: to come near and to leave again is not to have recovered.
    let recovered = course.iter().rposition(|n| !near(n)).map_or(0, |last| last + 1);
    Taken {
        point,
        step,
        before: mean(&before[at.saturating_sub(BEFORE_MS)..]),
        steady,
        least: course.iter().min().map_or(0.0, |n| count(*n)),
        recovered_ms: (steady > 0.0 && recovered < course.len()).then_some(recovered),
        course: course.iter().copied().take(COURSE_MS).collect(),
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts of a millisecond")]
fn count(n: u64) -> f64 {
    n as f64
}

fn mean(counts: &[u64]) -> f64 {
    count(counts.iter().sum()) / count(counts.len().max(1) as u64)
}

/// A line a run.
pub(super) fn show(all: &[Taken], out: &mut impl Write) -> io::Result<()> {
    for t in all {
        let Step { at, load, within, .. } = t.step;
        let said = t.recovered_ms.map_or_else(
            || format!("not within {:.0} % of that in {SETTLED_AFTER}", within * 100.0),
            |ms| format!("within {:.0} % of that from {ms} ms after the step on", within * 100.0),
        );
        writeln!(
            out,
            "step from {}x to {load}x at {at}: {:.1} answers in time a ms before, {:.1} when settled, {:.0} in the worst ms between; {said}",
            t.point.load, t.before, t.steady, t.least
        )?;
        if let Some(by) = t.step.by.filter(|_| !t.in_time()) {
            writeln!(out, "goal missed: goodput near what it settles at {by} after the step")?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Policy;

    const STEP: Step = Step {
        at: Nanos::from_millis(100),
        load: 2.0,
        within: 0.05,
        by: Some(Nanos::from_millis(5)),
    };

    fn taken_of(change: impl FnOnce(&mut [u64])) -> Taken {
        let point = Point { policy: Policy::OURS, workers: 1, load: 1.4 };
        let mut counts = vec![80; 100];
        counts.extend(vec![100; 400]);
        change(&mut counts);
        taken(point, STEP, &counts)
    }

    #[test]
    fn recovery_is_from_the_last_millisecond_that_was_not_near() {
        let at_once = taken_of(|_| ());
        assert_eq!((at_once.recovered_ms, at_once.in_time()), (Some(0), true));
        assert!((at_once.before - 80.0).abs() < 1e-9 && (at_once.steady - 100.0).abs() < 1e-9);
        let dip = taken_of(|c| c[100..105].fill(94));
        assert_eq!((dip.recovered_ms, dip.in_time()), (Some(5), true));
        assert!((dip.least - 94.0).abs() < 1e-9);
        // Near again in between does not count, and too much is as far off as too little.
        let later = taken_of(|c| (c[101], c[130]) = (90, 106));
        assert_eq!((later.recovered_ms, later.in_time()), (Some(31), false));
        let never = taken_of(|c| c[299] = 50);
        assert_eq!((never.recovered_ms, never.in_time()), (None, false));
    }

    #[test]
    fn only_answers_in_time_count_each_in_its_millisecond() {
        let event = |at_ns, deed| Event { at_ns, deed, stream: 0, flow: 0, seq: 0 };
        let events = [
            event(0, Deed::OnTime),
            event(999_999, Deed::OnTime),
            event(1_000_000, Deed::OnTime),
            event(1_500_000, Deed::Late),
            event(3_000_000, Deed::OnTime),
        ];
        assert_eq!(per_ms(events.iter(), Nanos::from_millis(3)), [2, 1, 0]);
    }
}
