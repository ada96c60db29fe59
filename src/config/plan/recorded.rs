//! Times out of a recorded file: what packets took one after another, or when they came.
//!
//! Knows nothing of what they asked for. A line is a packet; its fields stand apart by commas or tabs, and the names in the first
//! line say what they are and in which unit.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::Path;
use std::sync::Arc;

use crate::base::Nanos;

/// The most times that are taken: 128 MB of them.
const TIMES_MAX: usize = 16_000_000;
/// The line of names, and comments before it, lie within so many bytes.
const NAMES_MAX: u64 = 1 << 20;
/// The longest that a packet may take in a world, whose payloads say it in 32 bits.
const LONGEST: u64 = 0xffff_ffff;

/// What a column may be called by its unit, and the unit's nanoseconds.
const UNITS: [(&str, f64); 4] = [("ns", 1.0), ("us", 1e3), ("ms", 1e6), ("s", 1e9)];

/// What the column is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Column {
    /// What a packet took: from `service_ns`, `service_us`, `service_ms` or `service_s`.
    Service,
    /// When it came: from `at_ns`, `at_us`, `at_ms` or `at_s`.
    At,
}

impl Column {
    const fn stem(self) -> &'static str {
        match self {
            Self::Service => "service",
            Self::At => "at",
        }
    }

    /// How it may be called, for messages.
    fn names(self) -> String {
        UNITS.map(|(unit, _)| format!("{}_{unit}", self.stem())).join(", ")
    }

    /// Its place in a line, and its unit.
    fn find(self, names: &csv::StringRecord) -> Option<(usize, f64)> {
        names.iter().enumerate().find_map(|(place, name)| {
            let unit = name.strip_prefix(self.stem())?.strip_prefix('_')?;
            let known = UNITS.iter().find(|(known, _)| *known == unit)?;
            Some((place, known.1))
        })
    }
}

/// What packets took, in the order of the lines.
pub(super) fn services(path: &Path) -> Result<Arc<[Nanos]>, String> {
    let times = read(path, Column::Service)?;
    let wrong = times.iter().position(|t| *t == 0 || *t > LONGEST);
    if let Some(n) = wrong {
        return Err(format!("packet {} takes {} ns: 1 ns to 4.29 s are possible", n + 1, times[n]));
    }
    Ok(times.into_iter().map(Nanos::new).collect())
}

/// When packets came, since the first of them, in order.
pub(super) fn arrivals(path: &Path) -> Result<Arc<[Nanos]>, String> {
    let mut times = read(path, Column::At)?;
    times.sort_unstable();
    let (first, last) = (times[0], times[times.len() - 1]);
    if first == last {
        return Err("has no two packets at different times".to_owned());
    }
    Ok(times.into_iter().map(|at| Nanos::new(at - first)).collect())
}

/// At least one.
fn read(path: &Path, column: Column) -> Result<Vec<u64>, String> {
    let unreadable = |e: csv::Error| format!("cannot be read: {e}");
    let mut lines = lines(path).map_err(|e| format!("cannot be read: {e}"))?;
    let names = lines.headers().map_err(unreadable)?;
    if names.is_empty() {
        return Err("is empty".to_owned());
    }
    let Some((place, unit)) = column.find(names) else {
        return Err(format!("has no column of that name in its first line: {}", column.names()));
    };
    let mut times = Vec::new();
    for line in lines.records() {
        let line = line.map_err(unreadable)?;
        let field = line.get(place).unwrap_or("");
        let number: Option<f64> = field.parse().ok().filter(|x: &f64| *x >= 0.0 && *x < 1e15);
        let Some(number) = number else {
            let at = line.position().map_or(0, csv::Position::line);
            return Err(format!("has {field:?} in line {at}, which is no time"));
        };
        if times.len() == TIMES_MAX {
            return Err(format!("has more than {TIMES_MAX} packets"));
        }
        times.push(rounded(number * unit));
    }
    if times.is_empty() { Err("has no packet".to_owned()) } else { Ok(times) }
}

/// Its lines, but comments. By tabs where the line of names has one.
fn lines(path: &Path) -> std::io::Result<csv::Reader<BufReader<File>>> {
    let open = || File::open(path).map(BufReader::new);
    let mut names = String::new();
    for line in open()?.take(NAMES_MAX).lines() {
        names = line?;
        if !names.trim().is_empty() && !names.starts_with('#') {
            break;
        }
    }
    let delimiter = if names.contains('\t') { b'\t' } else { b',' };
    let mut form = csv::ReaderBuilder::new();
    form.delimiter(delimiter).comment(Some(b'#')).trim(csv::Trim::All).flexible(true);
    Ok(form.from_reader(open()?))
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "at least 0, and `as` saturates"
)]
fn rounded(ns: f64) -> u64 {
    ns.round() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(text: &str) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        file
    }

    #[test]
    fn columns_are_found_by_name_in_their_units() {
        let text = "\u{feff}# by a collector\nservice_us,name,at_ms\n1.5,a,10\n\n20,b,8\n";
        // A comment stands before the names, and the mark of the encoding before that.
        let both = file(&text.replace("\u{feff}", ""));
        let ns = |n: &[u64]| n.iter().copied().map(Nanos::new).collect::<Vec<_>>();
        assert_eq!(services(both.path()).unwrap()[..], ns(&[1_500, 20_000]));
        assert_eq!(arrivals(both.path()).unwrap()[..], ns(&[0, 2_000_000]));
        let tabs = file("\u{feff}at_ns\t\"service_ns\"\n7\t8\n9\t1\n");
        assert_eq!(services(tabs.path()).unwrap()[..], ns(&[8, 1]));
        let quoted = file("name,service_ns\n\"a, b\",3\n");
        assert_eq!(
            services(quoted.path()).unwrap()[..],
            ns(&[3]),
            "a comma in a name is no column"
        );
    }

    #[test]
    fn what_is_wrong_is_said_with_its_line() {
        for (text, why) in [
            ("", "is empty"),
            ("12\n13\n", "service_ns, service_us, service_ms, service_s"),
            ("service_us\n", "has no packet"),
            ("service_us\n1\nx\n", "has \"x\" in line 3"),
            ("a,service_us\n1\n", "has \"\" in line 2"),
            ("service_s\n5\n", "1 ns to 4.29 s"),
            ("service_s\n-1\n", "no time"),
        ] {
            let found = services(file(text).path()).unwrap_err();
            assert!(found.contains(why), "{text:?}: {found}");
        }
        assert!(arrivals(file("at_us\n3\n3\n").path()).unwrap_err().contains("different"));
        assert!(services(Path::new("/nowhere.csv")).unwrap_err().contains("cannot be read"));
    }
}
