//! What a plan says of kernels in company and of further cores.
//!
//! Knows no traffic.

use super::file::SHARE;
use crate::base::KernelId;
use crate::base::limits::KERNEL_BATCH_MAX;
use crate::config::fault::Report;
use crate::config::section::{Field, Section};
use crate::config::settings::{Policy, Settings};
use crate::sim::world::Company;

/// `[[batch]]`: what a kernel gains from company.
pub(super) fn batch(
    mut s: Section<'_, '_>,
    settings: &Settings,
    r: &mut Report,
) -> Option<(KernelId, Company)> {
    let named = s.with("kernel", r, |item, r| {
        let name = item.text("a string", "the name of a kernel of the config", r)?;
        let found = settings.kernels.find(name);
        if found.is_none() {
            let known: Vec<&str> = settings.kernels.iter().map(|(name, _)| name).collect();
            item.wrong(&format!(": there is no kernel named {name:?}"), r)
                .allowed(known.join(", "))
                .nearest(name, known.iter().copied());
        }
        found
    });
    if named == Field::Absent {
        s.missing("kernel", "the name of a kernel of the config", r);
    }
    let rows = s.integer("rows", 1..=KERNEL_BATCH_MAX, r).or(KERNEL_BATCH_MAX);
    let shared = s.number("shared", SHARE, r).or(0.5);
    s.done(r);
    Some((named.value()?, Company { rows, shared }))
}

/// Helpers are one worker's own here, and of no use to a policy that predicts nothing.
pub(super) fn relate_helpers(
    helpers: &Field<usize>,
    (workers, policies): (&[usize], &[Policy]),
    r: &mut Report,
) {
    let Some((_, place)) = helpers.given().filter(|(n, _)| **n > 0) else { return };
    if workers.iter().any(|n| *n > 1) {
        let why = "`helpers`: workers of a service share them, and those of a world share nothing";
        r.fault(place, why).allowed("workers = 1, or helpers = 0");
    }
    if !policies.iter().any(|p| p.predicts()) {
        let why = "`helpers` has no effect: these policies predict nothing";
        r.fault(place, why).allowed("policy = \"value\" or \"edf\", or helpers = 0");
    }
}
