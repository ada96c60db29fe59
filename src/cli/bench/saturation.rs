//! Finding out what counts as 1x: what a service completes when it is never without work.
//!
//! Knows no sweep.

use anyhow::{bail, ensure};

use super::bare::{self, Capacity};
use super::lab::Lab;
use super::spread::median;
use crate::base::Nanos;
use crate::load::{Plan, Probe};

/// What a packet costs besides its kernel, for the first guess.
const OVERHEAD_GUESS: Nanos = Nanos::from_micros(3);
/// More than is completed, so that the service is never without work.
const OVER: f64 = 1.5;
/// Where the search for a foreign server's limit begins, in packets/s.
const FIRST_STEP: f64 = 1_000.0;
/// A foreign server is past its limit when it answers less than this share of what is offered.
const KEPT_UP: f64 = 0.9;
/// How long each step of that search lasts.
const STEP: Nanos = Nanos::from_millis(300);
/// Doublings of the first step: half a million packets a second and on.
const STEPS: i32 = 11;
/// How long a closed port may take to say so.
const PATIENCE: Nanos = Nanos::from_millis(200);

/// What the service and the yardstick reach, one after the other; which is first alternates, so that neither always has
/// the warmer machine.
pub(super) fn pair(lab: &Lab, round: u32, time: Nanos) -> anyhow::Result<Capacity> {
    let Some(service) = lab.describe().service else { bail!("targets have no yardstick") };
    let rate = OVER / (service + OVERHEAD_GUESS).as_secs_f64();
    let of_service = || lab.service_capacity(rate, time);
    let of_bare = || lab.bare_capacity(rate, time);
    let (service, bare) = if round.is_multiple_of(2) {
        let service = of_service()?;
        (service, of_bare()?)
    } else {
        let bare = of_bare()?;
        (of_service()?, bare)
    };
    Ok(Capacity { round, service: service.0, bare: Some(bare.0), sound: service.1 && bare.1 })
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
    fn disturbed_rounds_count_only_when_there_are_no_others() {
        let of = |service, sound| Capacity { round: 0, service, bare: None, sound };
        let close = |a: f64, b: f64| (a - b).abs() < 1e-9;
        assert!(close(of_rounds(&[of(10.0, true), of(5.0, false), of(12.0, true)]), 11.0));
        assert!(close(of_rounds(&[of(5.0, false)]), 5.0));
    }
}
