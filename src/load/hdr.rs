//! The HdrHistogram log of a run: one interval for each class and view, in the format of the usual log readers.
//!
//! Knows no files: it writes to what it is given.

use std::io::{self, Write};
use std::time::{Duration, SystemTime};

use hdrhistogram::serialization::V2DeflateSerializer;
use hdrhistogram::serialization::interval_log::{
    IntervalLogWriterBuilder, IntervalLogWriterError, Tag,
};

use super::report::Report;
use crate::base::{Nanos, WallTime};

/// The log's maxima are in milliseconds by convention; its histograms are in nanoseconds.
const NANOS_PER_MILLISECOND: f64 = 1e6;

/// Writes the report's histograms: `<class>` from the intended send time, `<class>.raw` from the actual one, and
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
    let length = Duration::from_secs_f64(report.seconds);
    let mut write = |name: &str, latencies: &super::Latencies| {
        let name = tag_name(name);
        log.write_histogram(latencies.histogram(), Duration::ZERO, length, Tag::new(&name)).map_err(
            |e| match e {
                IntervalLogWriterError::IoError(e) => e,
                IntervalLogWriterError::SerializeError(e) => io::Error::other(e.to_string()),
            },
        )
    };
    for class in &report.classes {
        write(&class.name, &class.corrected)?;
        write(&format!("{}.raw", class.name), &class.raw)?;
    }
    write("generator.lateness", &report.generator.lateness)
}

/// The format has no escapes, so what would end a tag becomes an underscore.
fn tag_name(name: &str) -> String {
    name.replace(|c: char| c == ',' || c.is_whitespace() || c.is_control(), "_")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::plan::Plan;
    use crate::load::report::{ClassReport, Lateness};
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
