//! Whether helpers have cores to run on. Unlike other checks this one asks the machine that it runs on.

use crate::config::fault::Report;
use crate::config::section::Field;
use crate::config::settings::{Controller, Cores};
use crate::sys::affinity;

/// Refuses more helpers than there are cores that no worker has.
pub(super) fn check(
    helpers: &Field<usize>,
    cores: &Cores,
    controller: &Controller,
    report: &mut Report,
) {
    let Some((asked, place)) = helpers.given().filter(|(n, _)| **n > 0) else { return };
    if !controller.policy.predicts() {
        let word = controller.policy.word();
        report.warn(place, format!("`helpers` has no effect with policy = \"{word}\""));
    }
    // A mask that cannot be read is the start's own fault to tell.
    let Ok(allowed) = affinity::allowed_cores() else { return };
    let taken = match cores {
        Cores::Auto => None,
        Cores::List(list) => Some(&**list),
    };
    if let Err(left) = affinity::with_helpers(&allowed, taken, *asked) {
        let of_workers = match cores {
            Cores::Auto => "that are not all needed by the workers",
            Cores::List(_) => "that no worker has",
        };
        let message =
            format!("{asked} helpers, and this process may use {left} cores {of_workers}");
        report.fault(place, message).allowed(format!("helpers from 0 to {left}"));
    }
}
