//! One class's figures.
//!
//! Knows no time: counts and histograms only.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use serde::{Serialize, Serializer};

use super::share;
use crate::base::{DropReason, Nanos};
use crate::load::dns::{RCODES, rcode_label};
use crate::load::latencies::Latencies;
use crate::load::plan::Class;

/// One class's figures. `sent = answered + refused + lost`; `answered = on_time + late`.
#[derive(Clone, Debug)]
pub struct ClassReport {
    /// Its name.
    pub name: String,
    /// Where its requests went.
    pub to: SocketAddr,
    /// The priority that it asked for.
    pub priority: Option<&'static str>,
    /// What its answers were judged by.
    pub budget: Nanos,
    /// No answers are expected: none is missed.
    pub one_way: bool,
    /// Requests whose time came.
    pub due: u64,
    /// Requests that left.
    pub sent: u64,
    /// Requests that our own kernel did not take.
    pub unsent: u64,
    /// Requests answered, in time or not.
    pub answered: u64,
    /// Answered within the budget, counted from the intended send time.
    pub on_time: u64,
    /// Answers that the service itself marked as late.
    pub marked_late: u64,
    /// Refusals by reason, in the order of [`DropReason::ALL`].
    pub refused: [u64; DropReason::COUNT],
    /// Answers by their DNS code, where answers are paired by DNS.
    pub rcodes: [u64; RCODES],
    /// Answers that fitted several waiting requests, and were given to one of them.
    pub ambiguous: u64,
    /// Given up because more requests waited than the window holds. Part of the lost.
    pub lost_to_window: u64,
    /// Second answers to one request.
    pub duplicates: u64,
    /// Datagrams that answer nothing that was sent.
    pub unknown: u64,
    /// Answers that our own receive buffers dropped. Part of the lost.
    pub receive_drops: u64,
    /// Latency from the intended send time.
    pub corrected: Latencies,
    /// Latency from the actual send time.
    pub raw: Latencies,
}

impl ClassReport {
    pub(in crate::load) fn new(class: &Class) -> Self {
        Self {
            name: class.name.clone(),
            to: class.to,
            priority: class.priority.map(crate::base::Priority::label),
            budget: class.judged_budget(),
            one_way: false,
            due: 0,
            sent: 0,
            unsent: 0,
            answered: 0,
            on_time: 0,
            marked_late: 0,
            refused: [0; DropReason::COUNT],
            rcodes: [0; RCODES],
            ambiguous: 0,
            lost_to_window: 0,
            duplicates: 0,
            unknown: 0,
            receive_drops: 0,
            corrected: Latencies::new(),
            raw: Latencies::new(),
        }
    }

    /// Requests refused, all reasons together.
    #[must_use]
    pub fn refused_total(&self) -> u64 {
        self.refused.iter().sum()
    }

    /// Answered after the budget.
    #[must_use]
    pub const fn late(&self) -> u64 {
        self.answered - self.on_time
    }

    /// Nothing whatsoever came back, though something was expected.
    #[must_use]
    pub fn is_silent(&self) -> bool {
        let came = self.answered + self.refused_total() + self.unknown;
        self.sent > 0 && came == 0 && !self.one_way
    }

    /// Sent, and neither answered nor refused by the end of the grace time; none where no answers are expected.
    #[must_use]
    pub fn lost(&self) -> u64 {
        if self.one_way {
            return 0;
        }
        self.sent.saturating_sub(self.answered + self.refused_total())
    }

    /// On time, as a share of the sent; 0 when nothing was sent.
    #[must_use]
    pub fn on_time_share(&self) -> f64 {
        share(self.on_time, self.sent)
    }

    /// Refusals by reason; only those that occurred.
    pub fn refusals(&self) -> impl Iterator<Item = (DropReason, u64)> {
        DropReason::ALL.iter().copied().zip(self.refused).filter(|(_, n)| *n > 0)
    }

    /// Answers by DNS code; only those that occurred. Codes without a name are counted together.
    #[must_use]
    pub fn rcode_counts(&self) -> BTreeMap<&'static str, u64> {
        let mut counts = BTreeMap::new();
        for (code, count) in self.rcodes.iter().enumerate().filter(|(_, n)| **n > 0) {
            *counts.entry(rcode_label(code)).or_default() += count;
        }
        counts
    }

    pub(super) fn merge(&mut self, other: &Self) {
        for (mine, theirs) in [
            (&mut self.due, other.due),
            (&mut self.sent, other.sent),
            (&mut self.unsent, other.unsent),
            (&mut self.answered, other.answered),
            (&mut self.on_time, other.on_time),
            (&mut self.marked_late, other.marked_late),
            (&mut self.ambiguous, other.ambiguous),
            (&mut self.lost_to_window, other.lost_to_window),
            (&mut self.duplicates, other.duplicates),
            (&mut self.unknown, other.unknown),
            (&mut self.receive_drops, other.receive_drops),
        ] {
            *mine += theirs;
        }
        for (mine, theirs) in self.refused.iter_mut().zip(other.refused) {
            *mine += theirs;
        }
        for (mine, theirs) in self.rcodes.iter_mut().zip(other.rcodes) {
            *mine += theirs;
        }
        self.corrected.merge(&other.corrected);
        self.raw.merge(&other.raw);
    }
}

#[derive(Serialize)]
struct ClassJson<'a> {
    name: &'a str,
    to: SocketAddr,
    priority: Option<&'static str>,
    budget_ns: u64,
    due: u64,
    sent: u64,
    unsent: u64,
    answered: u64,
    on_time: u64,
    on_time_share: f64,
    late: u64,
    marked_late: u64,
    refused: u64,
    refused_by_reason: BTreeMap<&'static str, u64>,
    rcodes: BTreeMap<&'static str, u64>,
    ambiguous: u64,
    lost: u64,
    lost_to_window: u64,
    duplicates: u64,
    unknown: u64,
    receive_drops: u64,
    latency: &'a Latencies,
    raw_latency: &'a Latencies,
}

impl Serialize for ClassReport {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let json = ClassJson {
            name: &self.name,
            to: self.to,
            priority: self.priority,
            budget_ns: self.budget.get(),
            due: self.due,
            sent: self.sent,
            unsent: self.unsent,
            answered: self.answered,
            on_time: self.on_time,
            on_time_share: self.on_time_share(),
            late: self.late(),
            marked_late: self.marked_late,
            refused: self.refused_total(),
            refused_by_reason: self.refusals().map(|(r, n)| (r.label(), n)).collect(),
            rcodes: self.rcode_counts(),
            ambiguous: self.ambiguous,
            lost: self.lost(),
            lost_to_window: self.lost_to_window,
            duplicates: self.duplicates,
            unknown: self.unknown,
            receive_drops: self.receive_drops,
            latency: &self.corrected,
            raw_latency: &self.raw,
        };
        json.serialize(serializer)
    }
}
