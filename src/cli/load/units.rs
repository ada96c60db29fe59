//! Numbers with units as they are typed: `250us`, `100k`, `64..1400`.

use crate::base::Nanos;
use crate::load::Sizes;
use crate::packet::Dscp;

/// `17ns`, `250us`, `1.5ms`, `2s`, `3m`.
pub(in crate::cli) fn duration(text: &str) -> Result<Nanos, String> {
    let (number, unit) = split(text);
    let scale = match unit {
        "ns" => 1.0,
        "us" => 1e3,
        "ms" => 1e6,
        "s" => 1e9,
        "m" => 60e9,
        "" => return Err(format!("a unit is missing: `{text}s`, `{text}ms` or `{text}us`?")),
        _ => return Err(format!("`{unit}` is no unit of time: ns, us, ms, s or m")),
    };
    let ns = positive(number)? * scale;
    if ns > 1e18 {
        return Err("that is longer than 30 years".to_owned());
    }
    Ok(nanos(ns))
}

/// `500`, `2.5k`, `1M`: packets a second. Zero is a pause.
pub(in crate::cli) fn rate(text: &str) -> Result<f64, String> {
    let (number, unit) = split(text);
    let scale = match unit {
        "" => 1.0,
        "k" | "K" => 1e3,
        "M" => 1e6,
        _ => return Err(format!("`{unit}` is no factor: k (thousand) or M (million)")),
    };
    let rate = positive(number)? * scale;
    if rate <= crate::load::RATE_MAX {
        return Ok(rate);
    }
    Err("the rate must be above 0 and at most 20M packets/s".to_owned())
}

/// `2%`, `0.5%`: a share, 0 to 1.
pub(super) fn percent(text: &str) -> Result<f64, String> {
    let number = text.trim_end().strip_suffix('%').unwrap_or(text).trim_end();
    match positive(number)? {
        share if share <= 100.0 => Ok(share / 100.0),
        _ => Err("it must be 0 to 100 percent".to_owned()),
    }
}

/// `2`, `100x`, `0.5`: how many times faster.
pub(super) fn speed(text: &str) -> Result<f64, String> {
    match positive(text.strip_suffix('x').unwrap_or(text))? {
        speed if speed > 0.0 && speed <= 1e9 => Ok(speed),
        _ => Err("the speed must be above 0 and at most a thousand million".to_owned()),
    }
}

/// A code point: a number up to 63, or its usual name: `ef`, `af41`, `cs5`, `le`, `be`.
pub(super) fn dscp(text: &str) -> Result<Dscp, String> {
    let lower = text.to_ascii_lowercase();
    let digit = |at: usize, most: u8| {
        let digit = lower.as_bytes().get(at)?.checked_sub(b'0')?;
        (digit <= most).then_some(digit)
    };
    let assured =
        || Some(8 * digit(2, 4).filter(|d| *d > 0)? + 2 * digit(3, 3).filter(|d| *d > 0)?);
    let point = match lower.as_str() {
        "ef" => Some(46),
        "le" => Some(1),
        "be" | "df" => Some(0),
        name if name.starts_with("cs") && name.len() == 3 => digit(2, 7).map(|class| 8 * class),
        name if name.starts_with("af") && name.len() == 4 => assured(),
        number => number.parse::<u8>().ok().filter(|n| *n < 64),
    };
    point.map(|p| Dscp::from_tos(p << 2)).ok_or_else(|| {
        format!("`{text}` is no code point: 0 to 63, ef, af11 to af43, cs0 to cs7, le or be are")
    })
}

/// `64`, or `64..1400`: both ends included.
pub(super) fn sizes(text: &str) -> Result<Sizes, String> {
    let number = |t: &str| {
        let size = t.trim_start_matches('=').parse::<usize>();
        size.ok().ok_or_else(|| format!("`{t}` is no number of bytes"))
    };
    let Some((min, max)) = text.split_once("..") else { return number(text).map(Sizes::fixed) };
    let sizes = Sizes { min: number(min)?, max: number(max)? };
    if sizes.min > sizes.max {
        return Err(format!("the smaller size comes first: `{}..{}`", sizes.max, sizes.min));
    }
    Ok(sizes)
}

fn split(text: &str) -> (&str, &str) {
    let end = text.find(|c: char| !(c.is_ascii_digit() || c == '.' || c == '_' || c == '-'));
    text.split_at(end.unwrap_or(text.len()))
}

fn positive(number: &str) -> Result<f64, String> {
    match number.replace('_', "").parse::<f64>() {
        Ok(n) if n >= 0.0 && n.is_finite() => Ok(n),
        Ok(_) => Err("it must not be below 0".to_owned()),
        Err(_) => Err("a number is expected first".to_owned()),
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "checked to be non-negative and below 10^18"
)]
fn nanos(ns: f64) -> Nanos {
    Nanos::new(ns.round() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        for (text, ns) in [
            ("17ns", 17),
            ("250us", 250_000),
            ("1.5ms", 1_500_000),
            ("2s", 2_000_000_000),
            ("3m", 180_000_000_000),
        ] {
            assert_eq!(duration(text), Ok(Nanos::new(ns)));
        }
        for (text, part) in [
            ("10", "unit is missing"),
            ("1h", "`h` is no unit"),
            ("-1s", "below 0"),
            ("ms", "number"),
        ] {
            assert!(duration(text).unwrap_err().contains(part), "{text}: {:?}", duration(text));
        }
    }

    #[test]
    fn rates() {
        assert_eq!(rate("500"), Ok(500.0));
        assert_eq!(rate("2.5k"), Ok(2_500.0));
        assert_eq!(rate("1M"), Ok(1e6));
        assert_eq!(rate("100_000"), Ok(1e5));
        assert_eq!(rate("0"), Ok(0.0));
        for text in ["21M", "-5", "x", "1G", ""] {
            assert!(rate(text).is_err(), "{text}");
        }
    }

    #[test]
    fn shares_speeds_and_code_points() {
        assert_eq!(
            (percent("1%"), percent("0.5 %"), percent("100")),
            (Ok(0.01), Ok(0.005), Ok(1.0))
        );
        assert!(percent("101%").is_err() && percent("-1%").is_err() && percent("x").is_err());
        assert_eq!((speed("100"), speed("0.5x")), (Ok(100.0), Ok(0.5)));
        assert!(speed("0").is_err() && speed("fast").is_err());
        for (text, want) in
            [("ef", 46), ("EF", 46), ("af41", 34), ("af13", 14), ("cs5", 40), ("le", 1), ("63", 63)]
        {
            assert_eq!(dscp(text).map(Dscp::get), Ok(want), "{text}");
        }
        for text in ["64", "af51", "af40", "cs8", "cs", "", "-1", "high"] {
            assert!(dscp(text).unwrap_err().contains("0 to 63"), "{text}");
        }
    }

    #[test]
    fn sizes_are_fixed_or_a_range() {
        assert_eq!(sizes("64"), Ok(Sizes::fixed(64)));
        assert_eq!(sizes("64..1400"), Ok(Sizes { min: 64, max: 1_400 }));
        assert_eq!(sizes("64..=1400"), Ok(Sizes { min: 64, max: 1_400 }));
        for text in ["", "a", "64..", "100..64"] {
            assert!(sizes(text).is_err(), "{text}");
        }
    }
}
