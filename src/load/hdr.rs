//! The HdrHistogram log of a run: the intervals of each class and view, in the format of the usual log readers.
//!
//! Knows no files: it writes to what it is given.

use std::io::{self, Write};
use std::time::{Duration, SystemTime};

use hdrhistogram::serialization::V2DeflateSerializer;
use hdrhistogram::serialization::interval_log::{
    IntervalLogWriterBuilder, IntervalLogWriterError, Tag,
};

use super::latencies::Latencies;
use super::report::Report;
use crate::base::{Nanos, WallTime};

/// The log's maxima are in milliseconds by convention; its histograms are in nanoseconds.
const NANOS_PER_MILLISECOND: f64 = 1e6;

/// Writes the report's histograms, second by second where it kept them, else those of the whole run: `<class>` from the intended send time, `<class>.raw` from the actual one, and
/// `generator.lateness`. `started` is when the run began.
///
/// # Errors
/// When `out` fails.
pub fn write_log(report: &Report, started: WallTime, out: &mut impl Write) -> io::Result<()> {
    let mut serializer = V2DeflateSerializer::new();
    let start = SystemTime::UNIX_EPOCH + Nanos::new(started.as_nanos()).to_std();
    let mut log = IntervalLogWriterBuilder::new()
        .add_comment(
            "[Latencies in nanoseconds, counted from the intended send time; .raw from the actual]",
        )
        .with_base_time(start)
        .with_start_time(start)
        .with_max_value_divisor(NANOS_PER_MILLISECOND)
        .begin_log_with(out, &mut serializer)?;
    let end = Duration::from_secs_f64(report.seconds);
    let mut write = |name: &str, latencies: &Latencies, from: Duration, to: Duration| {
        let (name, length) = (tag_name(name), to.saturating_sub(from));
        log.write_histogram(latencies.histogram(), from, length, Tag::new(&name)).map_err(|e| {
            match e {
                IntervalLogWriterError::IoError(e) => e,
                IntervalLogWriterError::SerializeError(e) => io::Error::other(e.to_string()),
            }
        })
    };
    let Some(log) = &report.seconds_log else {
        for class in &report.classes {
            write(&class.name, &class.corrected, Duration::ZERO, end)?;
            write(&format!("{}.raw", class.name), &class.raw, Duration::ZERO, end)?;
        }
        return write("generator.lateness", &report.generator.lateness, Duration::ZERO, end);
    };
    let mut from = Nanos::ZERO;
    for (pairs, lateness) in log.iter() {
        // A run that was stopped has no further intervals, and a run over its time ends with the last one.
        let to = (from + log.length()).to_std().min(end);
        if to <= from.to_std() {
            break;
        }
        for (class, pair) in report.classes.iter().zip(pairs) {
            write(&class.name, &pair.corrected, from.to_std(), to)?;
            write(&format!("{}.raw", class.name), &pair.raw, from.to_std(), to)?;
        }
        write("generator.lateness", lateness, from.to_std(), to)?;
        from += log.length();
    }
    Ok(())
}

/// The format has no escapes, so what would end a tag becomes an underscore.
fn tag_name(name: &str) -> String {
    name.replace(|c: char| c == ',' || c.is_whitespace() || c.is_control(), "_")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::plan::Plan;
    use crate::load::report::{ClassReport, Lateness, Seconds};
    use hdrhistogram::serialization::Deserializer;
    use hdrhistogram::serialization::interval_log::{IntervalLogIterator, LogEntry};

    #[test]
    fn what_is_written_is_read_back() {
        let mut plan = Plan::single("to market, soon", "127.0.0.1:9".parse().unwrap());
        plan.classes[0].priority = None;
        let mut class = ClassReport::new(&plan.classes[0]);
        for us in 1..500 {
            class.corrected.record(Nanos::from_micros(us * 2));
            class.raw.record(Nanos::from_micros(us));
        }
        let want = class.clone();
        let mut report = Report::new(&plan, Lateness::new(&plan), vec![class]);
        report.seconds = 1.5;
        let mut bytes = Vec::new();
        write_log(&report, WallTime::from_nanos(1_700_000_000_000_000_000), &mut bytes).unwrap();
        let mut found = Vec::new();
        for entry in IntervalLogIterator::new(&bytes) {
            match entry.unwrap() {
                LogEntry::Interval(i) => {
                    assert_eq!(i.duration(), Duration::from_millis(1_500));
                    let coded = i.encoded_histogram().as_bytes();
                    let bytes = base64_decode(coded);
                    let back: hdrhistogram::Histogram<u64> =
                        Deserializer::new().deserialize(&mut &bytes[..]).unwrap();
                    found.push((i.tag().unwrap().as_str().to_owned(), back));
                }
                LogEntry::StartTime(t) | LogEntry::BaseTime(t) => {
                    assert_eq!(t, Duration::from_secs(1_700_000_000));
                }
            }
        }
        let names: Vec<&str> = found.iter().map(|(n, _)| n.as_str()).collect();
        assert_eq!(names, ["to_market__soon", "to_market__soon.raw", "generator.lateness"]);
        assert_eq!(&found[0].1, want.corrected.histogram());
        assert_eq!(&found[1].1, want.raw.histogram());
        assert!(found[2].1.is_empty());
    }

    #[test]
    fn seconds_add_up_to_the_run() {
        let mut plan = Plan::single("a", "127.0.0.1:9".parse().unwrap());
        plan.duration = Nanos::from_millis(2_500);
        let mut seconds = Seconds::new(plan.duration, 1);
        let mut class = ClassReport::new(&plan.classes[0]);
        for ms in 0..2_500 {
            let number = seconds.number_of(Nanos::from_millis(ms));
            let latency = Nanos::from_micros(ms + 1);
            class.corrected.record(latency);
            class.raw.record(latency);
            let pair = seconds.pair(number, 0);
            pair.corrected.record(latency);
            pair.raw.record(latency);
        }
        let want = class.corrected.clone();
        let mut report = Report::new(&plan, Lateness::new(&plan), vec![class]);
        (report.seconds, report.seconds_log) = (2.5, Some(seconds));
        let mut bytes = Vec::new();
        write_log(&report, WallTime::from_nanos(1_700_000_000_000_000_000), &mut bytes).unwrap();
        let (mut sum, mut times) = (Latencies::new().histogram().clone(), Vec::new());
        for entry in IntervalLogIterator::new(&bytes) {
            let LogEntry::Interval(i) = entry.unwrap() else { continue };
            if i.tag().unwrap().as_str() != "a" {
                continue;
            }
            times.push((i.start_timestamp().as_millis(), i.duration().as_millis()));
            let bytes = base64_decode(i.encoded_histogram().as_bytes());
            let back: hdrhistogram::Histogram<u64> =
                Deserializer::new().deserialize(&mut &bytes[..]).unwrap();
            sum.add(&back).unwrap();
        }
        assert_eq!(times, [(0, 1_000), (1_000, 1_000), (2_000, 500)]);
        assert_eq!(&sum, want.histogram());
    }

    /// RFC 4648, section 4: the crate reads the log's frame but leaves the histogram's text to its caller.
    fn base64_decode(text: &[u8]) -> Vec<u8> {
        let value = |c: &u8| match c {
            b'A'..=b'Z' => c - b'A',
            b'a'..=b'z' => c - b'a' + 26,
            b'0'..=b'9' => c - b'0' + 52,
            b'+' => 62,
            _ => 63,
        };
        let mut bytes = Vec::new();
        for group in text.chunks(4) {
            let used: Vec<u8> = group.iter().filter(|c| **c != b'=').map(value).collect();
            let word = used.iter().fold(0_u32, |w, v| w << 6 | u32::from(*v));
            let word = word << (6 * (4 - used.len()));
            bytes.extend_from_slice(&word.to_be_bytes()[1..used.len()]);
        }
        bytes
    }
}
