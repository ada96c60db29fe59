//! What goes wrong in a plan: spans that begin again and again, shares, and what lasts.
//!
//! Knows no traffic and no config.

use super::file::SHARE;
use crate::base::Nanos;
use crate::config::fault::Report;
use crate::config::item::Span;
use crate::config::section::{Field, Section, us};
use crate::sim::world::{Every, Faults};

const FACTOR: Span = Span::positive(1_000.0);

pub(super) fn faults(mut s: Section<'_, '_>, r: &mut Report) -> Faults {
    let mut found = Faults {
        stall: every(&mut s, "stall", r),
        device: every(&mut s, "device", r),
        stamps: every(&mut s, "stamps", r),
        buffers: every(&mut s, "buffers", r),
        sends: every(&mut s, "sends", r),
        kernel: s.number("kernel", SHARE, r).or(0.0),
        missed_ticks: s
            .number("missed_ticks", Span { above: 0.0, closed: true, max: 0.9 }, r)
            .or(0.0),
        reloads: s.duration("reloads", us(1_000, 3_600_000_000), r).value(),
        ..Faults::default()
    };
    let mut slow = s.child("slow", "slow = { … }", r);
    if slow.is_given() {
        let span = span(&mut slow, r);
        let factor = slow.number("factor", FACTOR, r).or(10.0);
        slow.done(r);
        found.slow = span.map(|span| (span, factor));
    }
    let mut drift = s.child("drift", "drift = { … }", r);
    if drift.is_given() {
        let after = needed(&mut drift, "after", us(0, 3_600_000_000), r);
        let factor = drift.number("factor", FACTOR, r).or(2.0);
        drift.done(r);
        found.drift = after.map(|after| (after, factor));
    }
    let mut bursts = s.child("bursts", "bursts = { … }", r);
    if bursts.is_given() {
        let every = needed(&mut bursts, "every", us(100, 3_600_000_000), r);
        let packets = bursts.integer("packets", 1..=1_000_000, r).or(100);
        bursts.done(r);
        found.bursts = every.map(|every| (every, packets));
    }
    let mut late = s.child("late_ticks", "late_ticks = { … }", r);
    if late.is_given() {
        let share = late.number("share", SHARE, r).or(0.5);
        let by = needed(&mut late, "by", us(1, 10_000_000), r);
        late.done(r);
        found.late_ticks = (share, by.unwrap_or(Nanos::ZERO));
    }
    s.done(r);
    found
}

/// A span that begins again and again: `{ every = "40ms", lasts = "3ms" }`.
fn every(s: &mut Section<'_, '_>, key: &'static str, r: &mut Report) -> Option<Every> {
    let mut child = s.child(key, &format!("{key} = {{ every = …, lasts = … }}"), r);
    if !child.is_given() {
        return None;
    }
    let span = span(&mut child, r);
    child.done(r);
    span
}

fn span(s: &mut Section<'_, '_>, r: &mut Report) -> Option<Every> {
    let every = needed(s, "every", us(100, 3_600_000_000), r);
    let lasts = needed(s, "lasts", us(1, 60_000_000), r);
    Some(Every { every: every?, lasts: lasts? })
}

pub(super) fn needed(
    s: &mut Section<'_, '_>,
    key: &'static str,
    bounds: std::ops::RangeInclusive<Nanos>,
    r: &mut Report,
) -> Option<Nanos> {
    let field = s.duration(key, bounds, r);
    if field == Field::Absent {
        s.missing(key, "a duration", r);
    }
    field.value()
}
