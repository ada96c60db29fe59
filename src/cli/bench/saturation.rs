//! Finding out what counts as 1x: what a service completes when it is never without work.
//!
//! Knows no sweep.

use anyhow::{bail, ensure};

use super::bare::{self, Capacity};
use super::lab::{Completed, KEPT_UP, Lab};
use super::spread::median;
use crate::base::Nanos;
use crate::load::{Plan, Probe};

/// What a packet costs besides its kernel, for the first guess.
const OVERHEAD_GUESS: Nanos = Nanos::from_micros(3);
/// More than is completed, so that the service is never without work.
const OVER: f64 = 1.5;
/// Where the search for a foreign server's limit begins, in packets/s.
const FIRST_STEP: f64 = 1_000.0;
/// How often what is offered is raised for a service that answers it all.
const RAISES: u32 = 4;
/// How long each step of that search lasts.
const STEP: Nanos = Nanos::from_millis(300);
/// Doublings of the first step: half a million packets a second and on.
const STEPS: i32 = 11;
/// How long a closed port may take to say so.
const PATIENCE: Nanos = Nanos::from_millis(200);

/// What the service and the yardstick reach, one after the other; which is first alternates, so that neither always has
/// the warmer machine. And whether the service answered all that could be offered. `last` is what an earlier pair reached.
pub(super) fn pair(
    lab: &Lab,
    round: u32,
    time: Nanos,
    last: Option<&Capacity>,
) -> anyhow::Result<(Capacity, bool)> {
    ensure!(lab.describe().is_ours(), "targets have no yardstick");
    let guess = 1.0 / (lab.cost() + OVERHEAD_GUESS.as_secs_f64());
    let reached = |c: &Capacity| c.service.max(c.bare.unwrap_or(0.0));
    let rate = OVER * last.map_or(guess, |c| guess.max(reached(c)));
    let of_service = || kept_busy(rate, |rate| lab.service_capacity(rate, time));
    let of_bare = || kept_busy(rate, |rate| lab.bare_capacity(rate, time));
    let (service, bare) = if round.is_multiple_of(2) {
        let service = of_service()?;
        (service, of_bare()?)
    } else {
        let bare = of_bare()?;
        (of_service()?, bare)
    };
    let sound = service.sound && bare.sound;
    let capacity = Capacity { round, service: service.rate, bare: Some(bare.rate), sound };
    Ok((capacity, service.limited && !service.full))
}

/// Offers more and more, beginning with `rate`, until it is more than is completed or can be offered.
fn kept_busy(
    rate: f64,
    mut offer: impl FnMut(f64) -> anyhow::Result<Completed>,
) -> anyhow::Result<Completed> {
    let mut rate = rate;
    for _ in 0..RAISES {
        let seen = offer(rate)?;
        if seen.full || seen.limited {
            return Ok(seen);
        }
        rate = OVER * seen.rate.max(rate);
    }
    offer(rate)
}

/// The median of the rounds that were not disturbed; of all when all were.
pub(super) fn of_rounds(capacity: &[Capacity]) -> f64 {
    median(bare::sound(capacity).iter().map(|c| c.service))
}

/// A foreign server's limit: the rate is doubled until it no longer answers nine of ten, then it is kept busy and what it
/// answers is counted. When the generator is at its own end first, that is the limit.
pub(super) fn of_target(lab: &Lab, target: usize, time: Nanos) -> anyhow::Result<f64> {
    let to = lab.target(target);
    let mut most: f64 = 0.0;
    for step in 0..STEPS {
        let rate = FIRST_STEP * 2_f64.powi(step);
        let (offered, answered, kept_up) = lab.ask_target(target, rate, STEP)?;
        if step == 0 && answered <= 0.0 {
            if Probe::send(&Plan::single("all", to), &[to])?.wait_closed(PATIENCE).is_some() {
                bail!("nobody listens at {to}");
            }
            bail!("no answer came from {to} that belongs to a request: is --match right?");
        }
        most = most.max(answered);
        if answered < KEPT_UP * offered || !kept_up {
            break;
        }
    }
    let (_, answered, _) = lab.ask_target(target, OVER * most, time)?;
    most = most.max(answered);
    ensure!(most > 0.0, "{to} answered nothing");
    Ok(most)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_is_offered_until_it_is_more_than_is_completed_or_can_be_sent() {
        // Completes 100 a second; the generator sends up to `most`.
        let found = |first: f64, most: f64| {
            let mut asked = Vec::new();
            let seen = kept_busy(first, |rate| {
                asked.push(rate);
                let sent = rate.min(most);
                let rate_done = sent.min(100.0);
                let full = rate_done < KEPT_UP * sent;
                Ok(Completed { rate: rate_done, sound: true, full, limited: sent < KEPT_UP * rate })
            });
            (seen.expect("it is found"), asked)
        };
        let (seen, asked) = found(150.0, 1e9);
        assert!(seen.full && !seen.limited && asked == [150.0], "{asked:?}");
        let (seen, asked) = found(40.0, 1e9);
        assert!(seen.full && asked == [40.0, 60.0, 90.0, 135.0], "{asked:?}");
        let (seen, asked) = found(40.0, 70.0);
        assert!(seen.limited && !seen.full && asked == [40.0, 60.0, 90.0], "{asked:?}");
        assert!((seen.rate - 70.0).abs() < 1e-9);
    }

    #[test]
    fn disturbed_rounds_count_only_when_there_are_no_others() {
        let of = |service, sound| Capacity { round: 0, service, bare: None, sound };
        let close = |a: f64, b: f64| (a - b).abs() < 1e-9;
        assert!(close(of_rounds(&[of(10.0, true), of(5.0, false), of(12.0, true)]), 11.0));
        assert!(close(of_rounds(&[of(5.0, false)]), 5.0));
    }
}
