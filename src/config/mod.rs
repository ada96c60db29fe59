//! Floor 5: the config file: read, checked, and made into settings, with every fault said in one run.
//!
//! Knows nothing of threads or sockets, and not how other rooms name their options: the program maps settings to them.

mod check;
mod choice;
mod fault;
mod file;
mod item;
mod json;
mod nearest;
pub mod plan;
mod section;
mod settings;
#[cfg(test)]
mod tests;
pub mod units;

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use toml::de::DeTable;

use fault::{Place, Report};

pub use fault::{Fault, Faults, Severity};
pub(crate) use nearest::nearest;
pub use settings::{
    BatchRule, Calibration, Chunk, Class, Classify, ClassifyBy, Controller, Cores, Egress, Empty,
    Fallback, Framing, Gpu, Guard, Idle, Ingress, Io, Late, Layout, Level, LevelMode,
    LowSourcePorts, Mode, ModeWord, Order, Overload, Policy, Predictor, Settings, Sockets, Workers,
};

/// The largest config file that is read, in bytes.
pub const FILE_MAX: u64 = 1 << 20;
/// The name under which the embedded default appears in messages.
pub const EMBEDDED_NAME: &str = "default.toml";

/// A config without faults.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// What it says.
    pub settings: Settings,
    /// What is doubtful in it, in source order.
    pub warnings: Vec<Fault>,
    /// The file's text, to show the lines that warnings are about.
    pub text: String,
}

impl Loaded {
    /// The warnings as people read them; empty where there is none.
    #[must_use]
    pub fn render_warnings(&self, color: bool) -> String {
        self.warnings.iter().map(|w| w.render(&self.text, Severity::Warning, color)).collect()
    }
}

/// The config that is in force when no file is named.
#[must_use]
pub const fn embedded() -> &'static str {
    include_str!("../../configs/default.toml")
}

/// Reads and checks the file at `path`.
///
/// # Errors
/// Every fault in it; or the one that it cannot be read, is not UTF-8 or is larger than [`FILE_MAX`].
pub fn load(path: &Path) -> Result<Loaded, Faults> {
    let (name, text) = read(path)?;
    parse_in(&name, &text, path.parent())
}

/// The file at `path`; without one, the embedded default.
///
/// # Errors
/// As [`load`].
pub fn load_or_default(path: Option<&Path>) -> Result<Loaded, Faults> {
    match path {
        Some(path) => load(path),
        None => parse(EMBEDDED_NAME, embedded()),
    }
}

/// The file's name and text.
fn read(path: &Path) -> Result<(String, String), Faults> {
    let name = path.display().to_string();
    let refuse = |message: String| Faults::new(vec![Fault::of_file(&name, message)], String::new());
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| file.take(FILE_MAX + 1).read_to_end(&mut bytes))
        .map_err(|e| refuse(format!("cannot be read: {e}")))?;
    if bytes.len() as u64 > FILE_MAX {
        return Err(refuse(format!("is larger than {FILE_MAX} bytes: this is no config file")));
    }
    match String::from_utf8(bytes) {
        Ok(text) => Ok((name, text)),
        Err(e) => {
            let valid = e.utf8_error().valid_up_to();
            let text = String::from_utf8_lossy(e.as_bytes()).into_owned();
            let mut report = Report::default();
            let place = Place { span: valid..valid + 1, key: String::new() };
            report.fault(&place, "a byte that is not UTF-8").allowed("text in UTF-8");
            Err(Faults::new(report.finish(&name, &text).0, text))
        }
    }
}

/// Checks a config's text that lies in no folder: it can name no other file. `name` stands for the file in messages.
///
/// # Errors
/// As [`parse_in`].
pub fn parse(name: &str, text: &str) -> Result<Loaded, Faults> {
    parse_in(name, text, None)
}

/// Checks a config's text; `name` stands for the file in messages, and the files that it names lie in `folder`.
///
/// # Errors
/// Every fault in it, in source order. Where the syntax itself is broken, only that: what the rest means is not known.
pub fn parse_in(name: &str, text: &str, folder: Option<&Path>) -> Result<Loaded, Faults> {
    // Editors neither show nor count a byte order mark.
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let (document, syntax) = DeTable::parse_recoverable(text);
    let mut report = Report::default();
    report_syntax(text, &syntax, &mut report);
    // After a key given twice the rest of the document still means what it says.
    if syntax.iter().any(|e| e.message() != "duplicate key") {
        return Err(Faults::new(report.finish(name, text).0, text.to_owned()));
    }
    let file = file::File::read(document.get_ref(), folder, &mut report);
    let settings = check::check(&file, &mut report);
    let (faults, warnings) = report.finish(name, text);
    if faults.is_empty() {
        Ok(Loaded { settings, warnings, text: text.to_owned() })
    } else {
        Err(Faults::new(faults, text.to_owned()))
    }
}

/// One fault a line: what follows on the same line is mostly the first one's echo.
fn report_syntax(text: &str, errors: &[toml::de::Error], report: &mut Report) {
    let mut clean_from = 0;
    for error in errors {
        let span = error.span().unwrap_or_default();
        if span.start >= clean_from {
            let rest = text.get(span.start..).unwrap_or_default();
            clean_from = rest.find('\n').map_or(text.len() + 1, |n| span.start + n + 1);
            let place = Place { span, key: String::new() };
            report.fault(&place, error.message());
        }
    }
}
