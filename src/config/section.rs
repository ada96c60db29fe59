//! A table of the file, read key by key: every reading says what is wrong with the value and goes on.
//!
//! A key that nothing asked for is unknown, so the list of known keys cannot drift from what is read. Knows no settings.

use std::net::SocketAddr;
use std::ops::RangeInclusive;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::choice::Choice;
use super::fault::{Place, Report};
use super::item::{Item, Span};
use crate::base::Nanos;

/// What was found where a key was looked for.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Field<T> {
    /// The key is not there.
    Absent,
    /// It is there, and what is wrong with it has been said.
    Bad(Place),
    /// A value of the right type, within its range.
    Given(T, Place),
}

impl<T> Field<T> {
    /// The value and its place, where there is a good one.
    pub(super) const fn given(&self) -> Option<(&T, &Place)> {
        match self {
            Self::Given(value, place) => Some((value, place)),
            Self::Absent | Self::Bad(_) => None,
        }
    }

    /// Where the key stands, if it does, good or bad.
    pub(super) const fn place(&self) -> Option<&Place> {
        match self {
            Self::Absent => None,
            Self::Bad(place) | Self::Given(_, place) => Some(place),
        }
    }

    pub(super) const fn is_bad(&self) -> bool {
        matches!(self, Self::Bad(_))
    }

    pub(super) fn map<U>(self, f: impl FnOnce(T) -> U) -> Field<U> {
        match self {
            Self::Absent => Field::Absent,
            Self::Bad(place) => Field::Bad(place),
            Self::Given(value, place) => Field::Given(f(value), place),
        }
    }
}

impl<T: Clone> Field<T> {
    /// The value, or the default where there is none.
    pub(super) fn or(&self, default: T) -> T {
        self.given().map_or(default, |(value, _)| value.clone())
    }

    pub(super) fn value(&self) -> Option<T> {
        self.given().map(|(value, _)| value.clone())
    }
}

/// One table, of which keys are asked one after another.
pub(super) struct Section<'t, 'i> {
    /// As the file writes it: `[[ingress]]`.
    title: String,
    place: Place,
    table: Option<&'t DeTable<'i>>,
    asked: Vec<&'static str>,
}

impl<'t, 'i> Section<'t, 'i> {
    pub(super) fn new(title: &str, place: Place, table: Option<&'t DeTable<'i>>) -> Self {
        Self { title: title.to_owned(), place, table, asked: Vec::new() }
    }

    /// Where its header stands.
    pub(super) const fn place(&self) -> &Place {
        &self.place
    }

    /// Whether the file has it at all.
    pub(super) const fn is_given(&self) -> bool {
        self.table.is_some()
    }

    /// Whether it has that key, whatever its value.
    pub(super) fn has(&self, key: &str) -> bool {
        self.table.is_some_and(|t| t.contains_key(key))
    }

    fn path(&self, key: &str) -> String {
        match self.place.key.as_str() {
            "" => key.to_owned(),
            path => format!("{path}.{key}"),
        }
    }

    /// The value of `key`, whatever its type.
    pub(super) fn item(&mut self, key: &'static str) -> Option<Item<'t, 'i>> {
        self.asked.push(key);
        let value = self.table?.get(key)?;
        let place = Place { span: value.span(), key: self.path(key) };
        Some(Item { value: value.get_ref(), place, key: key.to_owned() })
    }

    /// All entries of a table whose keys are names of the user's choice, in source order.
    pub(super) fn entries(&self) -> Vec<(String, Place, &'t Spanned<DeValue<'i>>)> {
        let entry = |(key, value): (&Spanned<_>, &'t Spanned<DeValue<'i>>)| {
            let name: &std::borrow::Cow<'i, str> = key.get_ref();
            (name.to_string(), Place { span: key.span(), key: self.path(name) }, value)
        };
        let mut all: Vec<_> = self.table.into_iter().flat_map(|t| t.iter()).map(entry).collect();
        all.sort_by_key(|(_, place, _)| place.span.start);
        all
    }

    /// The table under `key`; an empty one where there is none.
    pub(super) fn child(&mut self, key: &'static str, title: &str, report: &mut Report) -> Self {
        let item = self.item(key);
        let none = Place { span: self.place.span.clone(), key: self.path(key) };
        let Some(item) = item else { return Self::new(title, none, None) };
        match item.value {
            DeValue::Table(table) => Self::new(title, item.place, Some(table)),
            _ => {
                item.wrong_type("a table", report).allowed(title);
                Self::new(title, none, None)
            }
        }
    }

    /// The tables of `[[key]]`, in source order; `Bad` where it is something else.
    pub(super) fn children(&mut self, key: &'static str, report: &mut Report) -> Field<Vec<Self>> {
        let Some(item) = self.item(key) else { return Field::Absent };
        let title = format!("[[{key}]]");
        let DeValue::Array(array) = item.value else {
            item.wrong_type("a list of tables", report).allowed(format!("{title}, once for each"));
            return Field::Bad(item.place);
        };
        let mut sections = Vec::new();
        for (i, entry) in array.iter().enumerate() {
            let place = Place { span: entry.span(), key: format!("{}[{i}]", self.path(key)) };
            let item = Item { value: entry.get_ref(), place, key: format!("{key}[{i}]") };
            match item.value {
                DeValue::Table(table) => {
                    sections.push(Self::new(&title, item.place, Some(table)));
                }
                _ => {
                    item.wrong_type("a table", report).allowed(title.as_str());
                }
            }
        }
        if sections.is_empty() && !array.is_empty() {
            return Field::Bad(item.place);
        }
        Field::Given(sections, item.place)
    }

    /// Says that a key that must be there is not.
    pub(super) fn missing(&self, key: &str, allowed: &str, report: &mut Report) {
        let place = Place { span: self.place.span.clone(), key: self.path(key) };
        report.fault(&place, format!("`{key}` is missing in {}", self.title)).allowed(allowed);
    }

    /// Reports every key that nothing asked for.
    pub(super) fn done(&self, report: &mut Report) {
        for (name, place, _) in self.entries() {
            if !self.asked.contains(&name.as_str()) {
                let message = match self.title.as_str() {
                    "" => format!("unknown key `{name}`"),
                    title => format!("unknown key `{name}` in {title}"),
                };
                report
                    .fault(&place, message)
                    .allowed(self.asked.join(", "))
                    .nearest(&name, self.asked.iter().copied());
            }
        }
    }

    fn read<T>(
        &mut self,
        key: &'static str,
        report: &mut Report,
        f: impl FnOnce(&Item<'t, 'i>, &mut Report) -> Option<T>,
    ) -> Field<T> {
        let Some(item) = self.item(key) else { return Field::Absent };
        match f(&item, report) {
            Some(value) => Field::Given(value, item.place),
            None => Field::Bad(item.place),
        }
    }

    pub(super) fn boolean(&mut self, key: &'static str, report: &mut Report) -> Field<bool> {
        self.read(key, report, |item, report| match item.value {
            DeValue::Boolean(b) => Some(*b),
            _ => {
                item.wrong_type("true or false", report).allowed("true, false");
                None
            }
        })
    }

    pub(super) fn choice<T: Choice>(&mut self, key: &'static str, report: &mut Report) -> Field<T> {
        self.read(key, report, |item, report| item.choice(report))
    }

    pub(super) fn text(&mut self, key: &'static str, report: &mut Report) -> Field<String> {
        self.read(key, report, |item, report| item.text("a string", "", report).map(str::to_owned))
    }

    pub(super) fn address(&mut self, key: &'static str, report: &mut Report) -> Field<SocketAddr> {
        self.read(key, report, |item, report| item.address("", report))
    }

    pub(super) fn integer<T>(
        &mut self,
        key: &'static str,
        bounds: RangeInclusive<T>,
        report: &mut Report,
    ) -> Field<T>
    where
        T: Copy + PartialOrd + TryFrom<i64> + std::fmt::Display,
    {
        self.read(key, report, |item, report| item.integer(&bounds, report))
    }

    pub(super) fn duration(
        &mut self,
        key: &'static str,
        bounds: RangeInclusive<Nanos>,
        report: &mut Report,
    ) -> Field<Nanos> {
        self.read(key, report, |item, report| item.duration(&bounds, report))
    }

    pub(super) fn size(
        &mut self,
        key: &'static str,
        bounds: RangeInclusive<usize>,
        report: &mut Report,
    ) -> Field<usize> {
        self.read(key, report, |item, report| item.size(&bounds, report))
    }

    pub(super) fn number(
        &mut self,
        key: &'static str,
        bounds: Span,
        report: &mut Report,
    ) -> Field<f64> {
        self.read(key, report, |item, report| item.number(bounds, report))
    }

    pub(super) fn with<T>(
        &mut self,
        key: &'static str,
        report: &mut Report,
        f: impl FnOnce(&Item<'t, 'i>, &mut Report) -> Option<T>,
    ) -> Field<T> {
        self.read(key, report, f)
    }
}

/// Shorthand for the bounds of durations.
pub(super) const fn us(from: u64, to: u64) -> RangeInclusive<Nanos> {
    Nanos::from_micros(from)..=Nanos::from_micros(to)
}
