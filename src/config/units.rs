//! The grammar of durations and sizes: digits and a unit, nothing else.
//!
//! Knows no keys and no ranges; what a key allows stands where the key is read.

use crate::base::Nanos;

/// What a duration looks like, for messages.
pub const DURATION_FORM: &str = "a duration: digits and ns, us, ms, s, min or h, such as \"250us\"";
/// What a size looks like, for messages.
pub const SIZE_FORM: &str = "a size: bytes as a number, or digits and B, KiB, MiB or GiB";

const TIME_UNITS: [(&str, u64); 6] = [
    ("ns", 1),
    ("us", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("min", 60_000_000_000),
    ("h", 3_600_000_000_000),
];
const SIZE_UNITS: [(&str, u64); 5] =
    [("", 1), ("B", 1), ("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30)];

/// Reads a duration such as `250us`.
///
/// # Errors
/// What is wrong with the text, as the end of a sentence about it.
pub fn duration(text: &str) -> Result<Nanos, String> {
    count(text, &TIME_UNITS, "ns, us, ms, s, min or h").map(Nanos::new)
}

/// Reads a size such as `64KiB`, in bytes.
///
/// # Errors
/// What is wrong with the text, as the end of a sentence about it.
pub fn size(text: &str) -> Result<u64, String> {
    count(text, &SIZE_UNITS, "B, KiB, MiB or GiB")
}

fn count(text: &str, units: &[(&str, u64)], names: &str) -> Result<u64, String> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (digits, unit) = text.split_at(end);
    if digits.is_empty() {
        return Err("does not start with a digit".to_owned());
    }
    if unit.starts_with('.') {
        return Err("has a fraction: write whole numbers of a smaller unit".to_owned());
    }
    let Some((_, scale)) = units.iter().find(|(name, _)| *name == unit) else {
        let shown: String = unit.chars().take(16).collect();
        return Err(match unit {
            "" => format!("has no unit: {names}"),
            _ => format!("has the unknown unit {shown:?}: known are {names}"),
        });
    };
    let number: Option<u64> = digits.parse().ok();
    number.and_then(|n| n.checked_mul(*scale)).ok_or_else(|| "is too large to count".to_owned())
}

/// A size in the largest unit that loses nothing.
pub fn size_text(bytes: u64) -> String {
    let (name, scale) = SIZE_UNITS
        .into_iter()
        .rev()
        .find(|(_, scale)| bytes >= *scale && bytes.is_multiple_of(*scale))
        .unwrap_or(("", 1));
    format!("{}{}", bytes / scale, if scale == 1 { "" } else { name })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        for (text, ns) in [
            ("0ns", 0),
            ("100ns", 100),
            ("250us", 250_000),
            ("1ms", 1_000_000),
            ("2s", 2_000_000_000),
            ("1min", 60_000_000_000),
            ("1h", 3_600_000_000_000),
            ("007us", 7_000),
        ] {
            assert_eq!(duration(text), Ok(Nanos::new(ns)), "{text}");
        }
        for (text, why) in [
            ("", "start with a digit"),
            ("-1ms", "start with a digit"),
            (" 1ms", "start with a digit"),
            ("10", "no unit"),
            ("1.5ms", "fraction"),
            ("1 ms", "unknown unit \" ms\""),
            ("1ms ", "unknown unit"),
            ("1MS", "unknown unit"),
            ("1µs", "unknown unit \"µs\""),
            ("99999999999999999999ns", "too large"),
            ("18446744073709551615s", "too large"),
        ] {
            let said = duration(text).expect_err(text);
            assert!(said.contains(why), "{text}: {said}");
        }
    }

    #[test]
    fn sizes() {
        for (text, bytes) in
            [("0", 0), ("2048", 2048), ("64KiB", 65_536), ("1MiB", 1 << 20), ("3B", 3)]
        {
            assert_eq!(size(text), Ok(bytes), "{text}");
        }
        for text in ["", "KiB", "64KB", "64k", "1.5MiB", "-1", "99999999999999999GiB"] {
            assert!(size(text).is_err(), "{text}");
        }
    }

    #[test]
    fn printed_sizes_read_back() {
        for bytes in [0, 1, 1023, 1024, 2048, 65_507, 1 << 20, (1 << 20) + 1, 1 << 30, 3 << 30] {
            assert_eq!(size(&size_text(bytes)), Ok(bytes));
        }
        assert_eq!(size_text(1 << 20), "1MiB");
    }
}
