//! `[kernel.NAME]`: a kind and its parameters.
//!
//! Knows neither who names the kernel nor how it is run.

use std::path::Path;

use toml::Spanned;
use toml::de::DeValue;

use crate::base::Nanos;
use crate::config::fault::{Place, Report};
use crate::config::item::{Item, NAME_FORM, Span, is_name, quoted};
use crate::config::section::{Field, Section, us};
use crate::kernel::KernelSpec;
use crate::kernel::spin::ServiceTime;

/// The shapes that a spin kernel's time can have.
const DISTRIBUTIONS: [&str; 4] = ["uniform", "exponential", "bimodal", "payload"];
/// The longest spin: what a payload's 32 bits of nanoseconds can ask for.
const SPIN_MAX_US: u64 = 4_000_000;

pub(in crate::config) struct KernelFile {
    pub(in crate::config) name: String,
    pub(in crate::config) place: Place,
    /// None where something is wrong with it.
    pub(in crate::config) spec: Option<KernelSpec>,
}

impl KernelFile {
    pub(super) fn read(
        name: String,
        place: Place,
        value: &Spanned<DeValue<'_>>,
        folder: Option<&Path>,
        r: &mut Report,
    ) -> Self {
        if !is_name(&name) {
            r.fault(&place, format!("{} is not a name", quoted(&name))).allowed(NAME_FORM);
        }
        let header = Place { span: value.span(), key: place.key.clone() };
        let Some(table) = value.get_ref().as_table() else {
            let item = Item { value: value.get_ref(), place: header, key: name.clone() };
            item.wrong_type("a table", r).allowed("[kernel.NAME] with a kind");
            return Self { name, place, spec: None };
        };
        let title = format!("[kernel.{name}]");
        let mut section = Section::new(&title, header, Some(table));
        let spec = spec(&mut section, folder, r);
        Self { name, place, spec }
    }
}

fn spec(s: &mut Section<'_, '_>, folder: Option<&Path>, r: &mut Report) -> Option<KernelSpec> {
    let kind = word(s, "kind", &KernelSpec::KINDS, r);
    let kind = kind?;
    let spec = match kind {
        "echo" => Some(KernelSpec::Echo),
        "crc32c" => Some(KernelSpec::Crc32c),
        "mlp" => super::mlp::read(s, folder, r).map(KernelSpec::Mlp),
        "match" => super::streams::patterns(s, folder, r).map(KernelSpec::Match),
        "rs" => super::streams::code(s, r).map(KernelSpec::Rs),
        "fir" => super::streams::filter(s, r).map(KernelSpec::Fir),
        _ => service_time(s, r).map(KernelSpec::Spin),
    };
    s.done(r);
    spec
}

/// One of `known`, which must be there.
fn word(
    s: &mut Section<'_, '_>,
    key: &'static str,
    known: &'static [&'static str],
    r: &mut Report,
) -> Option<&'static str> {
    let quoted_words: Vec<String> = known.iter().map(|w| format!("\"{w}\"")).collect();
    let listed = quoted_words.join(", ");
    let field = s.with(key, r, |item, r| {
        let word = item.text("a string", &listed, r)?;
        let found = known.iter().find(|k| **k == word).copied();
        if found.is_none() {
            item.wrong(&format!("cannot be {}", quoted(word)), r)
                .allowed(listed.as_str())
                .nearest(word, known.iter().copied());
        }
        found
    });
    if field == Field::Absent {
        s.missing(key, &listed, r);
    }
    field.value()
}

/// `time` or `distribution`, one of which must be there.
pub(in crate::config) fn service_time(
    s: &mut Section<'_, '_>,
    r: &mut Report,
) -> Option<ServiceTime> {
    let time = s.duration("time", us(0, SPIN_MAX_US), r);
    let mut shape = s.child("distribution", "distribution = { … }", r);
    // A distribution of the wrong type has been reported, and still counts as given.
    let has_shape = s.has("distribution");
    match (time.place(), has_shape) {
        (None, false) => {
            s.missing("time", "time = \"50us\" or distribution = { … }", r);
            None
        }
        (Some(place), true) => {
            r.fault(place, "`time` and `distribution` exclude each other").allowed("one of them");
            distribution(&mut shape, r);
            None
        }
        (Some(_), false) => time.value().map(ServiceTime::Constant),
        (None, true) => distribution(&mut shape, r),
    }
}

fn distribution(s: &mut Section<'_, '_>, r: &mut Report) -> Option<ServiceTime> {
    if !s.is_given() {
        return None;
    }
    let time = match word(s, "kind", &DISTRIBUTIONS, r)? {
        "uniform" => {
            let (min, max) = pair(s, "min", "max", r);
            min.zip(max).map(|(min, max)| ServiceTime::Uniform(min, max))
        }
        "exponential" => required(s, "mean", 1, r).value().map(ServiceTime::Exponential),
        "bimodal" => {
            let (short, long) = pair(s, "short", "long", r);
            let share = s.number("share", Span { above: 0.0, closed: true, max: 1.0 }, r);
            if share == Field::Absent {
                s.missing("share", "a number from 0.0 up to 1.0", r);
            }
            let times = short.zip(long).zip(share.value());
            times.map(|((short, long), share)| ServiceTime::Bimodal { short, long, share })
        }
        _ => required(s, "max", 0, r).value().map(|max| ServiceTime::Payload { max }),
    };
    s.done(r);
    time
}

fn required(s: &mut Section<'_, '_>, key: &'static str, min: u64, r: &mut Report) -> Field<Nanos> {
    let field = s.duration(key, us(min, SPIN_MAX_US), r);
    if field == Field::Absent {
        s.missing(key, "a duration up to 1s", r);
    }
    field
}

/// Two durations, of which the second is not the shorter one.
fn pair(
    s: &mut Section<'_, '_>,
    low: &'static str,
    high: &'static str,
    r: &mut Report,
) -> (Option<Nanos>, Option<Nanos>) {
    let (a, b) = (required(s, low, 0, r), required(s, high, 0, r));
    if let (Some((first, _)), Some((second, place))) = (a.given(), b.given())
        && second < first
    {
        r.fault(place, format!("`{high}` is {second}, less than `{low}`"))
            .allowed(format!("at least {first}"));
        return (None, None);
    }
    (a.value(), b.value())
}
