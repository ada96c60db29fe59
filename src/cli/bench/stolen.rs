//! How much of a run's time others took: the share by which a run is judged void.
//!
//! Knows who has to run: the service's thread on one core, the generator on another.

use serde::{Deserialize, Serialize};

use crate::base::Nanos;
use crate::load::Report;
use crate::sys::stolen;

/// A packet that leaves later than this shows that the generator lost its core: a quarter of High's budget, as in the
/// noise probe.
pub(in crate::cli) const LATE_AFTER: Nanos = Nanos::from_micros(250);

/// What to be woken may take, on a virtual machine too.
const WAKING: Nanos = Nanos::from_micros(20);

/// Shares of a run's time, 0 to 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(in crate::cli) struct Stolen {
    /// In which the service was ready to run and did not have its core; none where nobody counts.
    pub(in crate::cli) service: Option<f64>,
    /// Of the requests that left late. Arrivals are Poisson, so that is the share of time in which the generator was away.
    pub(in crate::cli) generator: f64,
}

impl Stolen {
    /// Why the run is void, if more than `limit` was taken.
    pub(in crate::cli) fn fault(&self, limit: f64) -> Option<String> {
        let share = |s: f64| format!("{:.1} %", s * 100.0);
        if let Some(service) = self.service
            && service > limit
        {
            return Some(format!(
                "the service's core was taken away for {} of the time",
                share(service)
            ));
        }
        (self.generator > limit)
            .then(|| format!("the generator sent {} of its packets late", share(self.generator)))
    }
}

/// A reading at the start of a run.
#[derive(Clone, Debug)]
pub(super) struct Watch<'a> {
    thread: &'a str,
    core: usize,
    before: Option<Nanos>,
}

impl<'a> Watch<'a> {
    /// Begins to watch the thread of that name and the core under it.
    pub(super) fn start(thread: &'a str, core: usize) -> Self {
        Self { thread, core, before: taken(thread, core) }
    }

    /// What was taken until now, and from the generator, in a run that `report` tells of. Asked while the thread still runs.
    pub(super) fn end(&self, wall: Nanos, report: &Report) -> Stolen {
        let after = taken(self.thread, self.core);
        let lost = self.before.zip(after).map(|(b, a)| a.saturating_sub(b));
        let share = |lost: Nanos| lost.as_secs_f64() / wall.as_secs_f64().max(1e-9);
        Stolen { service: lost.map(share), generator: report.generator.late_share() }
    }
}

/// Both kinds together; where one is not counted, the other. They do not overlap: a core that the machine below has taken
/// runs no other thread of ours.
fn taken(thread: &str, core: usize) -> Option<Nanos> {
    let waited = stolen::waited(thread).ok().flatten().map(beyond_waking);
    let stolen = stolen::stolen(core).ok().flatten();
    match (waited, stolen) {
        (None, None) => None,
        (a, b) => Some(a.unwrap_or(Nanos::ZERO) + b.unwrap_or(Nanos::ZERO)),
    }
}

/// A service that sleeps between packets is woken thousands of times a second, each time with a short wait of its own; a
/// thread that lost its core waits for milliseconds.
fn beyond_waking(waited: stolen::Waited) -> Nanos {
    waited.time.saturating_sub(WAKING.saturating_mul(waited.turns))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn to_be_woken_is_not_to_be_robbed() {
        let of = |ms, turns| {
            beyond_waking(stolen::Waited { time: Nanos::from_millis(ms), turns }).as_micros()
        };
        assert_eq!(of(40, 4_000), 0, "10 us each");
        assert_eq!(of(40, 10), 39_800, "4 ms each");
    }

    #[test]
    fn a_run_is_void_when_either_side_lost_too_much() {
        let of = |service, generator| Stolen { service, generator }.fault(0.02);
        assert_eq!(of(Some(0.02), 0.02), None);
        assert_eq!(of(None, 0.0), None);
        assert!(of(Some(0.021), 0.0).is_some_and(|f| f.contains("core was taken away for 2.1 %")));
        assert!(of(None, 0.5).is_some_and(|f| f.contains("sent 50.0 %")));
    }
}
