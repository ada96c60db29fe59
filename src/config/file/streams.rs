//! `[kernel.NAME]` of the kinds that work on bytes and samples: `match`, `rs`, `fir`.
//!
//! Knows no algorithm: what a set, a code or a filter may be is the kernel's.

use std::path::Path;

use toml::de::DeValue;

use super::beside;
use crate::config::fault::Report;
use crate::config::item::{Item, quoted};
use crate::config::section::{Field, Section};
use crate::kernel::matching::{self, Patterns};
use crate::kernel::{fir, rs};

/// The largest file of patterns, in bytes.
const PATTERNS_FILE_MAX: u64 = 4 << 20;
const LIST_FORM: &str = "a list of 1 to 20000 strings of 1 to 256 bytes";
const FILE_FORM: &str = "a file in the config's folder with 1 to 20000 lines of 1 to 256 bytes";

pub(super) fn patterns(
    s: &mut Section<'_, '_>,
    folder: Option<&Path>,
    r: &mut Report,
) -> Option<matching::Spec> {
    let list = s.with("patterns", r, list);
    let file = s.with("patterns_file", r, |item, r| lines(item, folder, r));
    if let (Some(_), Some(place)) = (list.place(), file.place()) {
        r.fault(place, "`patterns` and `patterns_file` exclude each other").allowed("one of them");
        return None;
    }
    if list == Field::Absent && file == Field::Absent {
        s.missing("patterns", "patterns = [\"…\"] or patterns_file = \"…\"", r);
    }
    let here = list.value().map(|patterns| matching::Spec { patterns, file: None });
    here.or_else(|| file.value())
}

fn list(item: &Item<'_, '_>, r: &mut Report) -> Option<Patterns> {
    let DeValue::Array(all) = item.value else {
        item.wrong_type("a list", r).allowed(LIST_FORM);
        return None;
    };
    let text = |v: &DeValue<'_>| v.as_str().map(|t| t.as_bytes().to_vec());
    let Some(words) = all.iter().map(|v| text(v.get_ref())).collect::<Option<Vec<_>>>() else {
        item.wrong("holds something that is no string", r).allowed(LIST_FORM);
        return None;
    };
    let set = Patterns::new(words);
    set.map_err(|why| item.wrong(&why, r).allowed(LIST_FORM)).ok()
}

fn lines(item: &Item<'_, '_>, folder: Option<&Path>, r: &mut Report) -> Option<matching::Spec> {
    let name = item.text("a file's name", FILE_FORM, r)?;
    let set = beside::read(folder, name, PATTERNS_FILE_MAX).and_then(|bytes| {
        let ends = bytes.split(|b| *b == b'\n').map(|l| l.strip_suffix(b"\r").unwrap_or(l));
        Patterns::new(ends.filter(|l| !l.is_empty()).map(<[u8]>::to_vec).collect())
    });
    match set {
        Ok(patterns) => Some(matching::Spec { patterns, file: Some(name.to_owned()) }),
        Err(why) => {
            item.wrong(&format!("{} {why}", quoted(name)), r).allowed(FILE_FORM);
            None
        }
    }
}

pub(super) fn code(s: &mut Section<'_, '_>, r: &mut Report) -> Option<rs::Spec> {
    let most = rs::SHARDS_MAX - 1;
    let data = s.integer("data", 1..=i64::try_from(most).unwrap_or(1), r);
    let parity = s.integer("parity", 1..=i64::try_from(most).unwrap_or(1), r);
    let task = s.choice("task", r).or(rs::Task::default());
    for (key, field) in [("data", &data), ("parity", &parity)] {
        if *field == Field::Absent {
            s.missing(key, &format!("an integer from 1 to {most}"), r);
        }
    }
    let (data, place) = data.given()?;
    let (data, parity) = (usize::try_from(*data).ok()?, usize::try_from(parity.value()?).ok()?);
    if data + parity > rs::SHARDS_MAX {
        r.fault(place, format!("`data` and `parity` are {} together", data + parity))
            .allowed(format!("up to {}", rs::SHARDS_MAX));
        return None;
    }
    Some(rs::Spec { data, parity, task })
}

pub(super) fn filter(s: &mut Section<'_, '_>, r: &mut Report) -> Option<fir::Spec> {
    let taps = s.with("taps", r, taps);
    let shift = s.integer("shift", 0..=fir::SHIFT_MAX, r).or(15);
    if taps == Field::Absent {
        s.missing("taps", &taps_form(), r);
    }
    Some(fir::Spec { taps: taps.value()?, shift })
}

fn taps_form() -> String {
    format!(
        "a list of 1 to {} integers from -32768 to 32767, their sizes up to {} together",
        fir::TAPS_MAX,
        fir::GAIN_MAX
    )
}

fn taps(item: &Item<'_, '_>, r: &mut Report) -> Option<Vec<i16>> {
    let tap = |v: &DeValue<'_>| match v {
        // Also in the other bases that TOML has.
        DeValue::Integer(text) => i16::from_str_radix(text.as_str(), text.radix()).ok(),
        _ => None,
    };
    let list = item.value.as_array();
    let taps = list.and_then(|l| l.iter().map(|v| tap(v.get_ref())).collect::<Option<Vec<i16>>>());
    let fits = |t: &Vec<i16>| {
        let gain: u32 = t.iter().map(|t| u32::from(t.unsigned_abs())).sum();
        (1..=fir::TAPS_MAX).contains(&t.len()) && gain <= fir::GAIN_MAX
    };
    let taps = taps.filter(fits);
    if taps.is_none() {
        item.wrong("cannot be a filter", r).allowed(taps_form());
    }
    taps
}
