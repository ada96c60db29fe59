//! What is wrong with a config file, where it stands, and how that is shown.
//!
//! Knows neither keys nor settings.

use std::fmt;
use std::ops::Range;

use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};
use serde::Serialize;

/// One thing that is wrong (or, among warnings, doubtful).
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Fault {
    /// The file's name as it was given.
    pub file: String,
    /// Line, from 1. 0: the file as a whole, because it could not be read.
    pub line: usize,
    /// Column in characters, from 1. 0: as above.
    pub column: usize,
    /// The key's path, such as `ingress[0].budget`; empty for a fault of syntax.
    pub key: String,
    /// What is wrong, on one line.
    pub message: String,
    /// What would be right.
    pub allowed: Option<String>,
    /// The known word nearest to the one that is wrong.
    pub nearest: Option<String>,
    #[serde(skip)]
    span: Range<usize>,
}

/// Whether a fault stops the start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// It does.
    Error,
    /// It is only said.
    Warning,
}

impl Fault {
    /// A fault of the file as a whole: it cannot be read.
    pub(super) fn of_file(file: &str, message: String) -> Self {
        Self {
            file: file.to_owned(),
            line: 0,
            column: 0,
            key: String::new(),
            message: one_line(&message),
            allowed: None,
            nearest: None,
            span: 0..0,
        }
    }

    /// The fault as people read it: `file:line:column: message`, then the line itself with a mark.
    #[must_use]
    pub fn render(&self, text: &str, severity: Severity, color: bool) -> String {
        let word = if severity == Severity::Warning { "warning: " } else { "" };
        let (file, line, column, message) = (&self.file, self.line, self.column, &self.message);
        if line == 0 {
            return format!("{file}: {word}{message}\n");
        }
        format!(
            "{file}:{line}:{column}: {word}{message}\n{}\n",
            self.excerpt(text, severity, color)
        )
    }

    fn excerpt(&self, text: &str, severity: Severity, color: bool) -> String {
        let (line, span) = clip(text, &self.span);
        let level = if severity == Severity::Error { Level::ERROR } else { Level::WARNING };
        let label = self.allowed.as_ref().map(|a| format!("allowed: {a}"));
        let mark = AnnotationKind::Primary.span(span).label(label);
        let mut group = Group::with_level(level)
            .element(Snippet::source(line).line_start(self.line).annotation(mark));
        if let Some(nearest) = &self.nearest {
            group = group.element(Level::HELP.message(format!("did you mean `{nearest}`?")));
        }
        let renderer = if color { Renderer::styled() } else { Renderer::plain() };
        renderer.render(&[group])
    }
}

/// The most bytes shown before and after the start of a fault: a line of a megabyte is not an excerpt.
const SHOWN_BEFORE: usize = 120;
const SHOWN_AFTER: usize = 240;

/// The line where `span` starts, and the part of the span on that line.
fn clip<'t>(text: &'t str, span: &Range<usize>) -> (&'t str, Range<usize>) {
    let at = floor(text, span.start);
    let start = text[..at].rfind('\n').map_or(0, |n| n + 1);
    let end = text[at..].find('\n').map_or(text.len(), |n| at + n);
    let line = &text[start..end];
    let line = line.strip_suffix('\r').unwrap_or(line);
    let mark = (at - start).min(line.len());
    let first = floor(line, mark.saturating_sub(SHOWN_BEFORE));
    let shown = &line[first..floor(line, mark + SHOWN_AFTER)];
    let from = mark - first;
    let to = floor(text, span.end).saturating_sub(start + first).clamp(from, shown.len());
    (shown, from..to)
}

/// The last character boundary at or before `at`.
fn floor(text: &str, at: usize) -> usize {
    let at = at.min(text.len());
    (0..=at).rev().find(|i| text.is_char_boundary(*i)).unwrap_or(0)
}

/// A message takes one line, whatever a file's author put into a value.
fn one_line(message: &str) -> String {
    let plain = |c: char| if c.is_control() { '\u{fffd}' } else { c };
    message.chars().map(plain).collect()
}

/// Every fault of a file, in the order in which they stand there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Faults {
    list: Vec<Fault>,
    text: String,
}

impl Faults {
    pub(super) const fn new(list: Vec<Fault>, text: String) -> Self {
        Self { list, text }
    }

    /// The faults, in source order; at least one.
    #[must_use]
    pub fn list(&self) -> &[Fault] {
        &self.list
    }

    /// All of them as people read them.
    #[must_use]
    pub fn render(&self, color: bool) -> String {
        self.list.iter().map(|f| f.render(&self.text, Severity::Error, color)).collect()
    }
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.render(false).trim_end())
    }
}

impl std::error::Error for Faults {}

/// Where something stands: its bytes and its key's path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) span: Range<usize>,
    pub(super) key: String,
}

/// A fault before its line and column are counted.
#[derive(Debug)]
struct Finding {
    place: Place,
    message: String,
    allowed: Option<String>,
    nearest: Option<String>,
}

/// Where the faults and warnings of one run are gathered.
#[derive(Debug, Default)]
pub(super) struct Report {
    faults: Vec<Finding>,
    warnings: Vec<Finding>,
}

/// The fault just reported, to say more about it.
#[derive(Debug)]
pub(super) struct Said<'r>(&'r mut Finding);

impl Said<'_> {
    pub(super) fn allowed(self, allowed: impl Into<String>) -> Self {
        self.0.allowed = Some(allowed.into());
        self
    }

    pub(super) fn nearest<'c>(self, word: &str, known: impl IntoIterator<Item = &'c str>) {
        self.0.nearest = super::nearest::nearest(word, known).map(str::to_owned);
    }
}

impl Report {
    pub(super) fn fault(&mut self, place: &Place, message: impl Into<String>) -> Said<'_> {
        push(&mut self.faults, place, message.into())
    }

    pub(super) fn warn(&mut self, place: &Place, message: impl Into<String>) {
        push(&mut self.warnings, place, message.into());
    }

    /// How many faults there are so far.
    pub(super) const fn count(&self) -> usize {
        self.faults.len()
    }

    /// Counts lines and columns: the faults, then the warnings, each in source order.
    pub(super) fn finish(self, file: &str, text: &str) -> (Vec<Fault>, Vec<Fault>) {
        (locate(self.faults, file, text), locate(self.warnings, file, text))
    }
}

fn push<'r>(list: &'r mut Vec<Finding>, place: &Place, message: String) -> Said<'r> {
    list.push(Finding { place: place.clone(), message, allowed: None, nearest: None });
    let last = list.len() - 1;
    Said(&mut list[last])
}

fn locate(mut findings: Vec<Finding>, file: &str, text: &str) -> Vec<Fault> {
    findings.sort_by_key(|f| f.place.span.start);
    let mut lines = Lines::new(text);
    let located = |f: Finding| {
        let (line, column) = lines.position(f.place.span.start);
        Fault {
            file: file.to_owned(),
            line,
            column,
            key: f.place.key,
            message: one_line(&f.message),
            allowed: f.allowed,
            nearest: f.nearest,
            span: f.place.span,
        }
    };
    findings.into_iter().map(located).collect()
}

/// Counts lines and columns forward, so that many faults in a long file cost one pass over it.
struct Lines<'t> {
    text: &'t str,
    at: usize,
    line: usize,
    column: usize,
}

impl<'t> Lines<'t> {
    const fn new(text: &'t str) -> Self {
        Self { text, at: 0, line: 1, column: 1 }
    }

    /// The line and column of `offset`, which must not be before the last one asked for.
    fn position(&mut self, offset: usize) -> (usize, usize) {
        let to = floor(self.text, offset).max(self.at);
        for c in self.text[self.at..to].chars() {
            if c == '\n' {
                self.line += 1;
                self.column = 1;
            } else {
                self.column += 1;
            }
        }
        self.at = to;
        (self.line, self.column)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_counted_in_characters_and_lines_across_both_endings() {
        let text = "a = \"ü→\" # x\r\nb = 1\n\nc = 2";
        let mut lines = Lines::new(text);
        let mut at = |needle: &str| lines.position(text.find(needle).expect(needle));
        assert_eq!(at("# x"), (1, 10));
        assert_eq!(at("b ="), (2, 1));
        assert_eq!(at("c ="), (4, 1));
        assert_eq!(at("2"), (4, 5));
    }

    #[test]
    fn a_span_over_several_lines_is_clipped_to_its_first() {
        let text = "x = [\r\n 1,\n]";
        assert_eq!(clip(text, &(4..12)), ("x = [", 4..5));
        assert_eq!(clip(text, &(12..99)), ("]", 1..1));
        assert_eq!(clip("", &(0..5)), ("", 0..0));
    }
}
