//! One class at one point: what the clients, the service and the world say of it.
//!
//! Knows no table.

use super::super::world::{Point, table};
use super::lab::Ran;
use crate::base::{DropReason, IngressId, Priority};
use crate::cli::bench::{Spread, median};
use crate::stats::{Counters, Field};

/// See the module.
#[derive(Clone, Debug)]
pub(super) struct Row {
    pub(super) point: Point,
    pub(super) priority: Priority,
    /// On time of what was sent, by the clients: from the time at which it was due.
    pub(super) live: Spread,
    /// The same by the service's own count: from the receive stamp to the end of the kernel's run.
    pub(super) service: Spread,
    /// Under the virtual clock: from the socket until the answer has left; a world for each round.
    pub(super) simulated: Spread,
    /// Simulated minus live, in points, round by round.
    pub(super) apart: Spread,
    /// Median latency in microseconds: live, simulated.
    pub(super) p50_us: (f64, f64),
    /// The same at the 99th percentile.
    pub(super) p99_us: (f64, f64),
    /// Drops by reason, of what was sent: live (the last round), simulated.
    pub(super) dropped: Vec<(&'static str, f64, f64)>,
}

/// The rows of a point: its rounds, and the world of each.
pub(super) fn of(point: Point, ran: &[Ran], worlds: &[Vec<table::ClassRow>]) -> Vec<Row> {
    let classes = worlds.first().map_or(&[][..], Vec::as_slice);
    (0..classes.len()).map(|c| row(point, ran, |w: usize| &worlds[w][c])).collect()
}

/// One class, of which a round's world says `class`.
fn row<'a>(point: Point, ran: &[Ran], class: impl Fn(usize) -> &'a table::ClassRow) -> Row {
    let p = class(0).priority;
    let live: Vec<f64> = ran.iter().map(|r| share(client_on_time(r, p), sent(r, p))).collect();
    let simulated: Vec<f64> = (0..ran.len()).map(|w| class(w).on_time_share()).collect();
    let us = |q: f64| {
        let simulated = (0..ran.len()).map(|w| class(w).latency.value_at_quantile(q) as f64);
        (median(ran.iter().map(|r| client_us(r, p, q))), median(simulated))
    };
    Row {
        point,
        priority: p,
        apart: Spread::of(live.iter().zip(&simulated).map(|(l, s)| (s - l) * 100.0)),
        live: Spread::of(live),
        service: Spread::of(ran.iter().map(|r| share(service_on_time(r, p), sent(r, p)))),
        simulated: Spread::of(simulated),
        p50_us: us(0.5),
        p99_us: us(0.99),
        dropped: ran.last().map_or_else(Vec::new, |r| drops(r, class(ran.len() - 1))),
    }
}

fn drops(ran: &Ran, class: &table::ClassRow) -> Vec<(&'static str, f64, f64)> {
    let p = class.priority;
    let sent = sent(ran, p);
    let mut all: Vec<_> = DropReason::ALL
        .iter()
        .map(|reason| {
            let live = cells(&ran.figures, p, |c| c.dropped(*reason));
            let simulated = class.dropped.iter().find(|(r, _)| r == reason).map_or(0, |(_, n)| *n);
            (reason.label(), share(live, sent), share(simulated, class.offered))
        })
        .collect();
    let kernel = cells(&ran.figures, p, |c| c.get(Field::KernelDropped));
    all.push(("socket_full", share(kernel, sent), share(class.overflowed, class.offered)));
    all.retain(|(_, a, b)| *a > 0.0 || *b > 0.0);
    all
}

fn cells(
    figures: &Counters,
    p: Priority,
    of: impl Fn(&crate::stats::Cell<&crate::stats::CellWords>) -> u64,
) -> u64 {
    let ids = 0..figures.layout().ingresses();
    let ids = ids.map(|i| IngressId(u16::try_from(i).unwrap_or(u16::MAX)));
    ids.map(|id| of(&figures.view(id, p))).sum()
}

fn service_on_time(ran: &Ran, p: Priority) -> u64 {
    cells(&ran.figures, p, |c| c.get(Field::OnTime))
}

fn classes(ran: &Ran, p: Priority) -> impl Iterator<Item = &crate::load::ClassReport> {
    ran.report.classes.iter().filter(move |c| c.priority == Some(p.label()))
}

fn sent(ran: &Ran, p: Priority) -> u64 {
    classes(ran, p).map(|c| c.sent).sum()
}

fn client_on_time(ran: &Ran, p: Priority) -> u64 {
    classes(ran, p).map(|c| c.on_time).sum()
}

fn client_us(ran: &Ran, p: Priority, quantile: f64) -> f64 {
    let mut all = crate::load::Latencies::new();
    classes(ran, p).for_each(|c| all.merge(&c.corrected));
    all.at(quantile).as_secs_f64() * 1e6
}

#[expect(clippy::cast_precision_loss, reason = "a share")]
fn share(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}
