//! One value of the file, read as what a key expects.
//!
//! Each reading answers with the value, or says what is wrong and answers with nothing. Knows no keys.

use std::net::SocketAddr;
use std::ops::RangeInclusive;

use toml::de::{DeInteger, DeValue};

use super::choice::Choice;
use super::fault::{Place, Report, Said};
use super::units;
use crate::base::Nanos;

/// How an address looks, for messages.
pub(super) const ADDRESS_FORM: &str = "IP:PORT, such as \"127.0.0.1:8080\" or \"[::1]:8080\"";
/// How a name looks, for messages.
pub(super) const NAME_FORM: &str = "1 to 64 of A-Z a-z 0-9 . _ -";
const NAME_MAX: usize = 64;
/// The most of a user's text that a message repeats, in characters.
const QUOTED_MAX: usize = 48;

/// Where a number must lie: above `above` (or at it, where `closed`), at most `max`, and finite.
#[derive(Clone, Copy, Debug)]
pub(super) struct Span {
    pub(super) above: f64,
    pub(super) closed: bool,
    pub(super) max: f64,
}

impl Span {
    /// `0 < x <= max`.
    pub(super) const fn positive(max: f64) -> Self {
        Self { above: 0.0, closed: false, max }
    }

    fn has(self, x: f64) -> bool {
        // A NaN fails both comparisons.
        (x > self.above || (self.closed && x >= self.above)) && x <= self.max && x.is_finite()
    }

    fn text(self) -> String {
        let low = if self.closed { "from" } else { "above" };
        match self.max {
            f64::MAX => format!("a finite number {low} {:?}", self.above),
            max => format!("a number {low} {:?} up to {max:?}", self.above),
        }
    }
}

/// A user's text as a message repeats it: quoted, escaped and bounded.
pub(super) fn quoted(text: &str) -> String {
    let shown: String = text.chars().take(QUOTED_MAX).collect();
    format!("{shown:?}{}", if shown.len() < text.len() { "…" } else { "" })
}

/// A value with its place and the last part of its key.
pub(super) struct Item<'t, 'i> {
    pub(super) value: &'t DeValue<'i>,
    pub(super) place: Place,
    pub(super) key: String,
}

impl<'t> Item<'t, '_> {
    /// Says that the value is of the wrong type.
    pub(super) fn wrong_type<'r>(&self, expected: &str, report: &'r mut Report) -> Said<'r> {
        let found = match self.value.type_str() {
            "boolean" => "a boolean",
            "integer" => "an integer",
            "float" => "a float",
            "datetime" => "a date",
            "array" => "a list",
            "table" => "a table",
            _ => "a string",
        };
        report.fault(&self.place, format!("`{}` must be {expected}, not {found}", self.key))
    }

    /// Says what is wrong with the value.
    pub(super) fn wrong<'r>(&self, why: &str, report: &'r mut Report) -> Said<'r> {
        report.fault(&self.place, format!("`{}` {why}", self.key))
    }

    pub(super) fn text(
        &self,
        expected: &str,
        allowed: &str,
        report: &mut Report,
    ) -> Option<&'t str> {
        if let DeValue::String(text) = self.value {
            return Some(text);
        }
        let said = self.wrong_type(expected, report);
        if !allowed.is_empty() {
            said.allowed(allowed);
        }
        None
    }

    pub(super) fn choice<T: Choice>(&self, report: &mut Report) -> Option<T> {
        let word = self.text("a string", &T::listed(), report)?;
        let value = T::from_word(word);
        if value.is_none() {
            self.wrong(&format!("cannot be {}", quoted(word)), report)
                .allowed(T::listed())
                .nearest(word, T::WORDS.iter().map(|(w, _)| *w));
        }
        value
    }

    pub(super) fn name(&self, report: &mut Report) -> Option<String> {
        let name = self.text("a string", NAME_FORM, report)?;
        if is_name(name) {
            return Some(name.to_owned());
        }
        self.wrong(&format!("{} is not a name", quoted(name)), report).allowed(NAME_FORM);
        None
    }

    /// An address; `also` names what else the key takes, for messages.
    pub(super) fn address(&self, also: &str, report: &mut Report) -> Option<SocketAddr> {
        let form = format!("{ADDRESS_FORM}{also}");
        let text = self.text("an address", &form, report)?;
        let address = text.parse().ok();
        if address.is_none() {
            let why = match text.rsplit_once(':') {
                Some((host, port)) if port.parse::<u16>().is_ok() && is_host_name(host) => {
                    "needs a numeric address (names are not looked up)"
                }
                _ => "is not an address with a port",
            };
            self.wrong(&format!("{} {why}", quoted(text)), report).allowed(form);
        }
        address
    }

    pub(super) fn integer<T>(&self, bounds: &RangeInclusive<T>, report: &mut Report) -> Option<T>
    where
        T: Copy + PartialOrd + TryFrom<i64> + std::fmt::Display,
    {
        let allowed = format!("an integer from {} to {}", bounds.start(), bounds.end());
        let DeValue::Integer(text) = self.value else {
            self.wrong_type("an integer", report).allowed(allowed);
            return None;
        };
        let value = integer(text).and_then(|n| T::try_from(n).ok()).filter(|n| bounds.contains(n));
        if value.is_none() {
            let written: String = text.to_string().chars().take(QUOTED_MAX).collect();
            self.wrong(&format!("is {written}, out of range"), report).allowed(allowed);
        }
        value
    }

    pub(super) fn number(&self, bounds: Span, report: &mut Report) -> Option<f64> {
        #[expect(clippy::cast_precision_loss, reason = "a whole number written for a real one")]
        let value: Option<f64> = match self.value {
            DeValue::Float(text) => text.as_str().parse().ok(),
            DeValue::Integer(text) => integer(text).map(|n| n as f64),
            _ => {
                self.wrong_type("a number", report).allowed(bounds.text());
                return None;
            }
        };
        let value = value.filter(|x| bounds.has(*x));
        if value.is_none() {
            self.wrong("is out of range", report).allowed(bounds.text());
        }
        value
    }

    pub(super) fn duration(
        &self,
        bounds: &RangeInclusive<Nanos>,
        report: &mut Report,
    ) -> Option<Nanos> {
        let text = self.text("a duration", units::DURATION_FORM, report)?;
        let span = match units::duration(text) {
            Ok(span) => span,
            Err(why) => {
                let why = format!("{} {why}", quoted(text));
                self.wrong(&why, report).allowed(units::DURATION_FORM);
                return None;
            }
        };
        if !bounds.contains(&span) {
            let allowed = format!("from {} to {}", bounds.start(), bounds.end());
            self.wrong(&format!("is {span}, out of range"), report).allowed(allowed);
            return None;
        }
        Some(span)
    }

    pub(super) fn size(
        &self,
        bounds: &RangeInclusive<usize>,
        report: &mut Report,
    ) -> Option<usize> {
        let bytes = match self.value {
            DeValue::Integer(text) => integer(text)
                .and_then(|n| u64::try_from(n).ok())
                .ok_or_else(|| "is out of range".to_owned()),
            DeValue::String(text) => {
                units::size(text).map_err(|why| format!("{} {why}", quoted(text)))
            }
            _ => {
                self.wrong_type("a size", report).allowed(units::SIZE_FORM);
                return None;
            }
        };
        match bytes.map(|n| (n, usize::try_from(n).ok().filter(|n| bounds.contains(n)))) {
            Ok((_, Some(size))) => Some(size),
            Ok((n, None)) => {
                let text = |n: &usize| units::size_text(*n as u64);
                let allowed = format!("from {} to {}", text(bounds.start()), text(bounds.end()));
                let why = format!("is {} bytes, out of range", n);
                self.wrong(&why, report).allowed(allowed);
                None
            }
            Err(why) => {
                self.wrong(&why, report).allowed(units::SIZE_FORM);
                None
            }
        }
    }
}

/// The number, unless it does not fit 64 bits.
fn integer(text: &DeInteger<'_>) -> Option<i64> {
    i64::from_str_radix(text.as_str(), text.radix()).ok()
}

/// Whether `name` may name an ingress, an egress or a kernel.
pub(super) fn is_name(name: &str) -> bool {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    !name.is_empty() && name.len() <= NAME_MAX && name.chars().all(fits)
}

fn is_host_name(host: &str) -> bool {
    host.chars().any(|c| c.is_ascii_alphabetic()) && !host.contains(':')
}
