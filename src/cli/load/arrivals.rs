//! How arrivals and a changing rate are typed: `mmpp:10,10ms,40ms`, `5k@2s,5k..50k@10s`, `id@8:2`.

use std::path::PathBuf;

use super::{class, units};
use crate::load::{Bursts, Matching, Stretch};

/// `--arrivals`.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum ArrivalsArg {
    Poisson,
    Uniform,
    Bursts(Bursts),
    Capture(PathBuf),
}

/// Reads `--arrivals`. Whatever looks like a file is one.
pub(crate) fn arrivals(text: &str) -> Result<ArrivalsArg, String> {
    const NAMES: [&str; 3] = ["poisson", "uniform", "mmpp"];
    match text {
        "poisson" => return Ok(ArrivalsArg::Poisson),
        "uniform" => return Ok(ArrivalsArg::Uniform),
        "mmpp" => return Ok(ArrivalsArg::Bursts(Bursts::default())),
        _ => {}
    }
    if let Some(shape) = text.strip_prefix("mmpp:") {
        return bursts(shape).map(ArrivalsArg::Bursts);
    }
    if text.contains(['/', '.']) {
        return Ok(ArrivalsArg::Capture(PathBuf::from(text)));
    }
    let known = class::nearest(text, &NAMES);
    Err(format!("`{text}` is no way to arrive, nor a capture (FILE.pcap, FILE.pcapng); {known}"))
}

/// `RATIO,ON,OFF`.
fn bursts(text: &str) -> Result<Bursts, String> {
    let parts: Vec<&str> = text.split(',').collect();
    let [ratio, on, off] = parts[..] else {
        return Err("bursts are mmpp:RATIO,ON,OFF, such as mmpp:10,10ms,40ms".to_owned());
    };
    let ratio = ratio.parse().ok().ok_or_else(|| format!("`{ratio}` is no ratio"))?;
    Ok(Bursts { ratio, on: units::duration(on)?, off: units::duration(off)? })
}

/// `--rate`.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum RateArg {
    Constant(f64),
    Course(Vec<Stretch>),
}

/// Reads `--rate`: a rate, or stretches `RATE@TIME` and `FROM..TO@TIME`.
pub(crate) fn rate(text: &str) -> Result<RateArg, String> {
    if !text.contains('@') {
        let rate = units::rate(text)?;
        if rate > 0.0 {
            return Ok(RateArg::Constant(rate));
        }
        return Err("the rate must be above 0 and at most 20M packets/s".to_owned());
    }
    let stretches = text.split(',').map(stretch).collect::<Result<Vec<_>, _>>()?;
    Ok(RateArg::Course(stretches))
}

fn stretch(text: &str) -> Result<Stretch, String> {
    let (rates, length) = text
        .split_once('@')
        .ok_or_else(|| format!("`{text}` has no length: RATE@TIME, such as 5k@2s"))?;
    let (from, to) = rates.split_once("..").unwrap_or((rates, rates));
    let (from, to, length) = (units::rate(from)?, units::rate(to)?, units::duration(length)?);
    Ok(Stretch { from, to, length })
}

/// `--match`.
pub(crate) fn matching(text: &str) -> Result<Matching, String> {
    const NAMES: [&str; 6] = ["auto", "echo", "crc32c", "id@OFFSET", "dns", "none"];
    match text {
        "auto" => return Ok(Matching::Auto),
        "echo" => return Ok(Matching::Echo),
        "crc32c" => return Ok(Matching::Crc32c),
        "dns" => return Ok(Matching::Dns),
        "none" => return Ok(Matching::Nothing),
        _ => {}
    }
    let Some(place) = text.strip_prefix("id@") else {
        return Err(format!(
            "`{text}` is no way to pair answers; {}",
            class::nearest(text, &NAMES)
        ));
    };
    let (offset, width) = place.split_once(':').unwrap_or((place, "8"));
    let number =
        |t: &str| t.parse::<u16>().ok().ok_or_else(|| format!("`{t}` is no number of bytes"));
    let width = u8::try_from(number(width)?).unwrap_or(u8::MAX);
    if !matches!(width, 1 | 2 | 4 | 8) {
        return Err(format!("an id of {width} bytes cannot be matched: 1, 2, 4 or 8 can"));
    }
    Ok(Matching::Id { offset: number(offset)?, width })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Nanos;

    #[test]
    fn names_bursts_and_files_are_told_apart() {
        assert_eq!(arrivals("uniform"), Ok(ArrivalsArg::Uniform));
        assert_eq!(arrivals("mmpp"), Ok(ArrivalsArg::Bursts(Bursts::default())));
        let (on, off) = (Nanos::from_millis(1), Nanos::from_millis(9));
        let want = ArrivalsArg::Bursts(Bursts { ratio: 20.0, on, off });
        assert_eq!(arrivals("mmpp:20,1ms,9ms"), Ok(want));
        assert_eq!(arrivals("a/b"), Ok(ArrivalsArg::Capture("a/b".into())));
        assert!(matches!(arrivals("x.pcapng"), Ok(ArrivalsArg::Capture(_))));
        for (text, part) in [
            ("poison", "did you mean `poisson`?"),
            ("mmpp:10", "mmpp:RATIO,ON,OFF"),
            ("mmpp:x,1ms,1ms", "`x` is no ratio"),
            ("mmpp:10,1,1ms", "unit is missing"),
        ] {
            assert!(arrivals(text).unwrap_err().contains(part), "{text}: {:?}", arrivals(text));
        }
    }

    #[test]
    fn a_rate_is_constant_or_a_course() {
        assert_eq!(rate("20k"), Ok(RateArg::Constant(20e3)));
        let Ok(RateArg::Course(course)) = rate("5k@2s,0@500ms,5k..1M@10s") else { panic!() };
        let ends: Vec<_> = course.iter().map(|s| (s.from, s.to, s.length)).collect();
        assert_eq!(ends[0], (5e3, 5e3, Nanos::from_secs(2)));
        assert_eq!(ends[1], (0.0, 0.0, Nanos::from_millis(500)));
        assert_eq!(ends[2], (5e3, 1e6, Nanos::from_secs(10)));
        for (text, part) in [
            ("0", "above 0"),
            ("5k@2s,6k", "has no length"),
            ("5k@2", "unit is missing"),
            ("..5k@2s", "number"),
            ("30M@1s", "at most 20M"),
        ] {
            assert!(rate(text).unwrap_err().contains(part), "{text}: {:?}", rate(text));
        }
    }

    #[test]
    fn pairing_by_id_names_a_place() {
        assert_eq!(matching("id@4"), Ok(Matching::Id { offset: 4, width: 8 }));
        assert_eq!(matching("id@0:2"), Ok(Matching::Id { offset: 0, width: 2 }));
        assert_eq!(matching("dns"), Ok(Matching::Dns));
        for (text, part) in [
            ("ehco", "did you mean `echo`?"),
            ("id@x", "`x` is no number"),
            ("id@0:3", "an id of 3 bytes"),
        ] {
            assert!(matching(text).unwrap_err().contains(part), "{text}");
        }
    }
}
