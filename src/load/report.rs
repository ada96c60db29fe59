//! What a run came to: counts and latencies of each class, and how punctual the generator itself was.
//!
//! Knows no terminal. Reports of generators that ran side by side can be merged.

mod class;
mod lateness;
mod seconds;
mod timeline;

use serde::Serialize;

use super::plan::{Matching, Plan};
use super::trace::Omitted;
use crate::base::Nanos;

pub use class::ClassReport;
pub use lateness::Lateness;
pub use seconds::Seconds;
pub use timeline::{Interval, StretchReport, Timeline};

/// The version of the JSON form. What it had before stays as it was; keys may be added without a new number.
pub const VERSION: u32 = 1;

/// What a run came to.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// [`VERSION`].
    pub version: u32,
    /// The seed of all draws.
    pub seed: u64,
    /// `poisson`, `uniform`, `mmpp` or `replay`.
    pub arrivals: &'static str,
    /// `framed` or `raw`.
    pub framing: &'static str,
    /// How answers were paired.
    pub matching: &'static str,
    /// The rate that was asked for, in packets/s; its mean, where it changes.
    pub rate: f64,
    /// Packets that shared one intended time.
    pub burst: u32,
    /// Local sockets a class.
    pub flows: u16,
    /// The most requests that could wait; `None` in an open loop.
    pub window: Option<u32>,
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
    /// Packets could be joined to trains (`UDP_SEGMENT`) until the end.
    pub gso: bool,
    /// How they left.
    pub sends: Sends,
    /// The generator's own punctuality.
    pub generator: Lateness,
    /// One entry a class, in the plan's order.
    pub classes: Vec<ClassReport>,
    /// One entry a stretch of a rate that changes; else empty.
    pub stretches: Vec<StretchReport>,
    /// The run in short intervals.
    pub timeline: Timeline,
    /// The histograms second by second, where the plan asks for them.
    #[serde(skip)]
    pub seconds_log: Option<Seconds>,
    /// What a replayed capture had that was not offered.
    pub omitted: Option<Omitted>,
}

/// How packets left.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Sends {
    /// Sends, each of one packet or of a train.
    pub sends: u64,
    /// Sends that were trains.
    pub trains: u64,
    /// Packets that left in trains.
    pub in_trains: u64,
}

/// Two reports are not of the same plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("only reports of the same classes can be merged")]
pub struct MergeError;

impl Report {
    pub(in crate::load) fn new(
        plan: &Plan,
        generator: Lateness,
        classes: Vec<ClassReport>,
    ) -> Self {
        let mut classes = classes;
        for class in &mut classes {
            class.one_way = plan.matching == Matching::Nothing;
        }
        Self {
            version: VERSION,
            seed: plan.seed,
            arrivals: plan.arrivals.label(),
            framing: plan.framing.label(),
            matching: plan.matching.label(),
            rate: plan.rate,
            burst: plan.burst,
            flows: (0..plan.classes.len()).map(|c| plan.flows_of(c)).max().unwrap_or(0),
            window: plan.window,
            seconds: 0.0,
            offered_rate: 0.0,
            answered_rate: 0.0,
            interrupted: false,
            gave_up: false,
            gso: plan.gso,
            sends: Sends::default(),
            generator,
            stretches: plan.stretches.iter().map(StretchReport::new).collect(),
            timeline: Timeline::new(plan.duration, classes.len()),
            seconds_log: None,
            classes,
            omitted: plan.arrivals.trace().map(|t| *t.omitted()),
        }
    }

    pub(in crate::load) fn set_time(&mut self, sending: Nanos) {
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
        for (mine, theirs) in self.stretches.iter_mut().zip(&other.stretches) {
            mine.merge(theirs);
        }
        self.timeline.merge(&other.timeline);
        if let (Some(mine), Some(theirs)) = (&mut self.seconds_log, &other.seconds_log) {
            mine.merge(theirs);
        }
        self.sends.sends += other.sends.sends;
        self.sends.trains += other.sends.trains;
        self.sends.in_trains += other.sends.in_trains;
        self.generator.lateness.merge(&other.generator.lateness);
        self.generator.late += other.generator.late;
        self.generator.held += other.generator.held;
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
    use crate::base::DropReason;

    fn report() -> Report {
        let plan = Plan::single("a", "127.0.0.1:9".parse().unwrap());
        let mut class = ClassReport::new(&plan.classes[0]);
        (class.due, class.sent, class.answered, class.on_time) = (11, 10, 6, 5);
        class.refused[DropReason::PredictedMiss.index()] = 3;
        (class.rcodes[3], class.rcodes[12], class.rcodes[15]) = (2, 1, 2);
        class.corrected.record(Nanos::from_micros(20));
        let mut generator = Lateness::new(&plan);
        generator.record(Nanos::from_micros(1), 1);
        generator.record(Nanos::from_millis(2), 1);
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
        assert_eq!(json["generator"]["too_late"], true);
        let class = &json["classes"][0];
        assert_eq!(class["refused_by_reason"], serde_json::json!({"predicted_miss": 3}));
        assert_eq!((&class["refused"], &class["lost"]), (&3.into(), &1.into()));
        assert_eq!((&class["late"], &class["on_time_share"]), (&1.into(), &0.5.into()));
        assert_eq!(class["budget_ns"], 1_000_000);
        assert_eq!(class["rcodes"], serde_json::json!({"NXDOMAIN": 2, "other": 3}));
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
