//! Names: each given once, each reference found.
//!
//! Knows not what the names stand for.

use crate::config::fault::{Place, Report};
use crate::config::item::quoted;
use crate::config::section::Field;

/// Says of every name that was given before.
pub(super) fn unique<'f>(
    what: &str,
    names: impl Iterator<Item = &'f Field<String>>,
    report: &mut Report,
) {
    let mut seen: Vec<&str> = Vec::new();
    for (name, place) in names.filter_map(Field::given) {
        if seen.contains(&name.as_str()) {
            let message = format!("there is already an {what} named {}", quoted(name));
            report.fault(place, message).allowed("a name of its own");
        }
        seen.push(name);
    }
}

/// Says that `word` names nothing known.
pub(super) fn unknown(what: &str, word: &str, place: &Place, known: &[&str], report: &mut Report) {
    let allowed = match known {
        [] => format!("there is no {what}"),
        _ => known.join(", "),
    };
    report
        .fault(place, format!("there is no {what} named {}", quoted(word)))
        .allowed(allowed)
        .nearest(word, known.iter().copied());
}
