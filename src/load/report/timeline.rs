//! A run over time: counts in short equal intervals, and each stretch of a changing rate by itself.
//!
//! Knows no clock: everything is counted where it was due.

use serde::{Serialize, Serializer};

use crate::base::{DropReason, Nanos};
use crate::load::arrivals::Stretch;
use crate::load::latencies::Latencies;

/// The most intervals of a run.
const INTERVALS_MAX: u64 = 200;
/// The shortest interval.
const LENGTH_MIN: Nanos = Nanos::from_millis(10);

/// What became of the packets of one class that were due in one interval.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Interval {
    /// Their number.
    pub due: u64,
    /// Answered, in time or not.
    pub answered: u64,
    /// Answered within the budget.
    pub on_time: u64,
    /// Latencies from the intended send time, summed up: over `answered` their mean.
    pub latency_sum: Nanos,
    /// The longest of them.
    pub latency_max: Nanos,
    /// By how much the latest of them left after it was due.
    pub lateness_max: Nanos,
    /// Refusals by reason, in the order of [`DropReason::ALL`].
    pub refused: [u64; DropReason::COUNT],
}

/// All intervals of all classes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Timeline {
    length: Nanos,
    count: usize,
    /// Those of each class together.
    intervals: Vec<Interval>,
}

impl Timeline {
    pub(in crate::load) fn new(duration: Nanos, classes: usize) -> Self {
        let length = Nanos::new(duration.get().div_ceil(INTERVALS_MAX)).max(LENGTH_MIN);
        let count = usize::try_from(duration.get().div_ceil(length.get())).unwrap_or(1).max(1);
        Self { length, count, intervals: vec![Interval::default(); count * classes] }
    }

    /// The length of an interval: a two-hundredth of the run, at least 10 ms.
    #[must_use]
    pub const fn length(&self) -> Nanos {
        self.length
    }

    /// The intervals of the class at that place, from the start of the run.
    #[must_use]
    pub fn of_class(&self, class: usize) -> &[Interval] {
        self.intervals.get(class * self.count..(class + 1) * self.count).unwrap_or(&[])
    }

    /// Where interval `number` ends; the last one never does.
    pub(in crate::load) fn end_of(&self, number: u16) -> Nanos {
        if usize::from(number) + 1 >= self.count {
            return Nanos::MAX;
        }
        self.length.saturating_mul(u64::from(number) + 1)
    }

    #[inline]
    pub(in crate::load) fn at(&mut self, class: u16, interval: u16) -> &mut Interval {
        &mut self.intervals[usize::from(class) * self.count + usize::from(interval)]
    }

    pub(super) fn merge(&mut self, other: &Self) {
        for (mine, theirs) in self.intervals.iter_mut().zip(&other.intervals) {
            mine.due += theirs.due;
            mine.answered += theirs.answered;
            mine.on_time += theirs.on_time;
            mine.latency_sum += theirs.latency_sum;
            mine.latency_max = mine.latency_max.max(theirs.latency_max);
            mine.lateness_max = mine.lateness_max.max(theirs.lateness_max);
            for (mine, theirs) in mine.refused.iter_mut().zip(theirs.refused) {
                *mine += theirs;
            }
        }
    }
}

#[derive(Serialize)]
struct TimelineJson {
    interval_ns: u64,
    classes: Vec<ClassJson>,
}

#[derive(Default, Serialize)]
struct ClassJson {
    due: Vec<u64>,
    answered: Vec<u64>,
    on_time: Vec<u64>,
    latency_mean_ns: Vec<u64>,
    latency_max_ns: Vec<u64>,
    lateness_max_ns: Vec<u64>,
    /// Only reasons that occurred.
    refused_by_reason: std::collections::BTreeMap<&'static str, Vec<u64>>,
}

impl Serialize for Timeline {
    /// A column a figure, with one number an interval.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let classes = self.intervals.chunks(self.count).map(columns).collect();
        TimelineJson { interval_ns: self.length.get(), classes }.serialize(serializer)
    }
}

fn columns(intervals: &[Interval]) -> ClassJson {
    let column = |f: fn(&Interval) -> u64| intervals.iter().map(f).collect::<Vec<u64>>();
    let mut json = ClassJson {
        due: column(|i| i.due),
        answered: column(|i| i.answered),
        on_time: column(|i| i.on_time),
        latency_mean_ns: column(|i| i.latency_sum.get() / i.answered.max(1)),
        latency_max_ns: column(|i| i.latency_max.get()),
        lateness_max_ns: column(|i| i.lateness_max.get()),
        ..ClassJson::default()
    };
    for reason in DropReason::ALL {
        let refused: Vec<u64> = intervals.iter().map(|i| i.refused[reason.index()]).collect();
        if refused.iter().any(|n| *n > 0) {
            json.refused_by_reason.insert(reason.label(), refused);
        }
    }
    json
}

/// What became of the packets of one stretch, all classes together.
#[derive(Clone, Debug)]
pub struct StretchReport {
    /// Its rates, and its length.
    pub stretch: Stretch,
    /// Packets that left.
    pub sent: u64,
    /// Answered, in time or not.
    pub answered: u64,
    /// Answered within the budget.
    pub on_time: u64,
    /// Latency from the intended send time.
    pub corrected: Latencies,
    /// Latency from the actual send time.
    pub raw: Latencies,
}

impl StretchReport {
    pub(in crate::load) fn new(stretch: &Stretch) -> Self {
        Self {
            stretch: *stretch,
            sent: 0,
            answered: 0,
            on_time: 0,
            corrected: Latencies::new(),
            raw: Latencies::new(),
        }
    }

    pub(super) fn merge(&mut self, other: &Self) {
        self.sent += other.sent;
        self.answered += other.answered;
        self.on_time += other.on_time;
        self.corrected.merge(&other.corrected);
        self.raw.merge(&other.raw);
    }
}

#[derive(Serialize)]
struct StretchJson<'a> {
    rate_from: f64,
    rate_to: f64,
    length_ns: u64,
    sent: u64,
    answered: u64,
    on_time: u64,
    latency: &'a Latencies,
    raw_latency: &'a Latencies,
}

impl Serialize for StretchReport {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let json = StretchJson {
            rate_from: self.stretch.from,
            rate_to: self.stretch.to,
            length_ns: self.stretch.length.get(),
            sent: self.sent,
            answered: self.answered,
            on_time: self.on_time,
            latency: &self.corrected,
            raw_latency: &self.raw,
        };
        json.serialize(serializer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_cover_the_run_and_the_last_takes_what_is_beyond() {
        let t = Timeline::new(Nanos::from_secs(10), 2);
        assert_eq!((t.length(), t.of_class(1).len()), (Nanos::from_millis(50), 200));
        assert_eq!(t.end_of(0), Nanos::from_millis(50));
        assert_eq!(t.end_of(199), Nanos::MAX);
        let short = Timeline::new(Nanos::from_millis(25), 1);
        assert_eq!((short.length(), short.of_class(0).len()), (LENGTH_MIN, 3));
        assert!(short.of_class(1).is_empty());
    }

    #[test]
    fn the_json_form_has_a_column_a_figure() {
        let mut t = Timeline::new(Nanos::from_millis(20), 1);
        let i = t.at(0, 1);
        (i.due, i.answered, i.latency_sum) = (3, 2, Nanos::new(10));
        i.refused[DropReason::QuotaTotal.index()] = 1;
        let mut twice = t.clone();
        twice.merge(&t);
        let json = serde_json::to_value(&twice).unwrap();
        assert_eq!(json["interval_ns"], 10_000_000);
        let class = &json["classes"][0];
        assert_eq!(class["due"], serde_json::json!([0, 6]));
        assert_eq!(class["latency_mean_ns"], serde_json::json!([0, 5]));
        assert_eq!(class["refused_by_reason"], serde_json::json!({"quota_total": [0, 2]}));
    }
}
