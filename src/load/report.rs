//! What a run came to: counts and latencies of each class, and how punctual the generator itself was.
//!
//! Knows no terminal. Reports of generators that ran side by side can be merged.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use serde::{Serialize, Serializer};

use super::latencies::Latencies;
use super::plan::{Class, Plan};
use crate::base::{DropReason, Nanos};

/// The version of the JSON form.
pub const VERSION: u32 = 1;

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
    pub(super) fn new(class: &Class) -> Self {
        Self {
            name: class.name.clone(),
            to: class.to,
            priority: class.priority.map(crate::base::Priority::label),
            budget: class.judged_budget(),
            due: 0,
            sent: 0,
            unsent: 0,
            answered: 0,
            on_time: 0,
            marked_late: 0,
            refused: [0; DropReason::COUNT],
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

    /// Sent, and neither answered nor refused by the end of the grace time.
    #[must_use]
    pub fn lost(&self) -> u64 {
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

    fn merge(&mut self, other: &Self) {
        for (mine, theirs) in [
            (&mut self.due, other.due),
            (&mut self.sent, other.sent),
            (&mut self.unsent, other.unsent),
            (&mut self.answered, other.answered),
            (&mut self.on_time, other.on_time),
            (&mut self.marked_late, other.marked_late),
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

/// How punctual the generator itself was: actual minus intended send time.
#[derive(Clone, Debug)]
pub struct Lateness {
    /// The lateness of every packet.
    pub lateness: Latencies,
    /// From where on a packet counts as sent late.
    pub late_after: Nanos,
    /// Packets sent late.
    pub late: u64,
}

impl Lateness {
    pub(super) fn new(late_after: Nanos) -> Self {
        Self { lateness: Latencies::new(), late_after, late: 0 }
    }

    #[inline]
    pub(super) fn record(&mut self, lateness: Nanos) {
        self.lateness.record(lateness);
        self.late += u64::from(lateness > self.late_after);
    }

    /// Sent late, as a share of the sent; 0 when nothing was sent.
    #[must_use]
    pub fn late_share(&self) -> f64 {
        share(self.late, self.lateness.count())
    }
}

#[derive(Serialize)]
struct LatenessJson<'a> {
    late_after_ns: u64,
    late: u64,
    late_share: f64,
    lateness: &'a Latencies,
}

impl Serialize for Lateness {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let json = LatenessJson {
            late_after_ns: self.late_after.get(),
            late: self.late,
            late_share: self.late_share(),
            lateness: &self.lateness,
        };
        json.serialize(serializer)
    }
}

/// What a run came to.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// [`VERSION`].
    pub version: u32,
    /// The seed of all draws.
    pub seed: u64,
    /// `poisson` or `uniform`.
    pub arrivals: &'static str,
    /// `framed` or `raw`.
    pub framing: &'static str,
    /// How answers were paired.
    pub matching: &'static str,
    /// The rate that was asked for, in packets/s.
    pub rate: f64,
    /// Packets that shared one intended time.
    pub burst: u32,
    /// Local sockets a class.
    pub flows: u16,
    /// How long requests were sent, in seconds: at least the plan's duration unless stopped early.
    pub seconds: f64,
    /// The rate that left, in packets/s.
    pub offered_rate: f64,
    /// The rate of answers, in packets/s.
    pub answered_rate: f64,
    /// Stopped before the plan's end, by its user.
    pub interrupted: bool,
    /// The generator fell so far behind that it gave up the rest of the plan.
    pub gave_up: bool,
    /// Coalesced sends were in use at the end.
    pub gso: bool,
    /// The generator's own punctuality.
    pub generator: Lateness,
    /// One entry a class, in the plan's order.
    pub classes: Vec<ClassReport>,
}

/// Two reports are not of the same plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("only reports of the same classes can be merged")]
pub struct MergeError;

impl Report {
    pub(super) fn new(plan: &Plan, generator: Lateness, classes: Vec<ClassReport>) -> Self {
        Self {
            version: VERSION,
            seed: plan.seed,
            arrivals: plan.arrivals.label(),
            framing: plan.framing.label(),
            matching: plan.matching.label(),
            rate: plan.rate,
            burst: plan.burst,
            flows: plan.flows,
            seconds: 0.0,
            offered_rate: 0.0,
            answered_rate: 0.0,
            interrupted: false,
            gave_up: false,
            gso: plan.gso,
            generator,
            classes,
        }
    }

    pub(super) fn set_time(&mut self, sending: Nanos) {
        self.seconds = sending.as_secs_f64();
        self.offered_rate = rate(self.sum(|c| c.sent), self.seconds);
        self.answered_rate = rate(self.sum(|c| c.answered), self.seconds);
    }

    /// A figure summed over all classes.
    pub fn sum(&self, figure: impl Fn(&ClassReport) -> u64) -> u64 {
        self.classes.iter().map(figure).sum()
    }

    /// Adds the report of a generator that ran beside this one with the same classes: counts, histograms and rates add
    /// up, the longer time counts.
    ///
    /// # Errors
    /// [`MergeError`] when the classes differ; then nothing is changed.
    pub fn merge(&mut self, other: &Self) -> Result<(), MergeError> {
        let key = |c: &ClassReport| (c.name.clone(), c.to, c.budget);
        if !self.classes.iter().map(key).eq(other.classes.iter().map(key)) {
            return Err(MergeError);
        }
        for (mine, theirs) in self.classes.iter_mut().zip(&other.classes) {
            mine.merge(theirs);
        }
        self.generator.lateness.merge(&other.generator.lateness);
        self.generator.late += other.generator.late;
        self.rate += other.rate;
        self.offered_rate += other.offered_rate;
        self.answered_rate += other.answered_rate;
        self.seconds = self.seconds.max(other.seconds);
        self.interrupted |= other.interrupted;
        self.gave_up |= other.gave_up;
        self.gso &= other.gso;
        Ok(())
    }
}

#[expect(clippy::cast_precision_loss, reason = "reports do not need the last digits")]
fn share(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

#[expect(clippy::cast_precision_loss, reason = "reports do not need the last digits")]
fn rate(count: u64, seconds: f64) -> f64 {
    if seconds > 0.0 { count as f64 / seconds } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> Report {
        let plan = Plan::single("a", "127.0.0.1:9".parse().unwrap());
        let mut class = ClassReport::new(&plan.classes[0]);
        (class.due, class.sent, class.answered, class.on_time) = (11, 10, 6, 5);
        class.refused[DropReason::PredictedMiss.index()] = 3;
        class.corrected.record(Nanos::from_micros(20));
        let mut generator = Lateness::new(plan.late_after);
        generator.record(Nanos::from_micros(1));
        generator.record(Nanos::from_millis(2));
        let mut report = Report::new(&plan, generator, vec![class]);
        report.set_time(Nanos::from_secs(2));
        report
    }

    #[test]
    fn the_json_form_is_one_object_that_adds_up() {
        let json = serde_json::to_value(report()).unwrap();
        assert_eq!(json["version"], 1);
        assert_eq!(json["offered_rate"], 5.0);
        assert_eq!(json["generator"]["late"], 1);
        assert_eq!(json["generator"]["late_share"], 0.5);
        let class = &json["classes"][0];
        assert_eq!(class["refused_by_reason"], serde_json::json!({"predicted_miss": 3}));
        assert_eq!((&class["refused"], &class["lost"]), (&3.into(), &1.into()));
        assert_eq!((&class["late"], &class["on_time_share"]), (&1.into(), &0.5.into()));
        assert_eq!(class["budget_ns"], 1_000_000);
        for key in ["count", "mean_ns", "p50_ns", "p90_ns", "p99_ns", "p999_ns", "max_ns"] {
            assert!(class["latency"][key].is_number() && class["raw_latency"][key].is_number());
        }
    }

    #[test]
    fn merging_adds_up_and_refuses_strangers() {
        let (mut a, b) = (report(), report());
        a.merge(&b).unwrap();
        assert_eq!((a.classes[0].sent, a.classes[0].lost(), a.generator.late), (20, 2, 2));
        assert_eq!(a.classes[0].corrected.count(), 2);
        assert!((a.offered_rate - 10.0).abs() < 1e-9 && (a.seconds - 2.0).abs() < 1e-9);
        let mut stranger = report();
        stranger.classes[0].name = "b".to_owned();
        assert_eq!(a.merge(&stranger), Err(MergeError));
        assert_eq!(a.classes[0].sent, 20);
    }
}
