//! A reader of OpenMetrics text, for tests: refuses what a scraper would refuse.
//!
//! Knows none of our metrics.

use std::collections::{BTreeMap, BTreeSet};

/// Reads the text as the OpenMetrics grammar has it; answers the families' names.
pub(super) fn check(text: &str) -> BTreeSet<String> {
    let body = text.strip_suffix("# EOF\n").expect("ends with EOF");
    let mut types: BTreeMap<String, String> = BTreeMap::new();
    let mut family = String::new();
    let mut described = "";
    let mut series = BTreeSet::new();
    let mut buckets: BTreeMap<String, u64> = BTreeMap::new();
    for line in body.lines() {
        if let Some(comment) = line.strip_prefix("# ") {
            let (kind, rest) = comment.split_once(' ').unwrap();
            let (name, value) = rest.split_once(' ').unwrap();
            match (described, kind) {
                (_, "HELP") => assert!(value.ends_with('.'), "{line}"),
                ("HELP", "TYPE") => {
                    let fresh = types.insert(name.into(), value.into()).is_none();
                    assert!(fresh && name.starts_with("punctual_"), "{line}");
                    family = name.into();
                }
                ("TYPE", "UNIT") => {
                    assert!(name == family && name.ends_with(&format!("_{value}")), "{line}");
                }
                _ => panic!("out of order: {line}"),
            }
            described = kind;
            continue;
        }
        let (name, labels, value) = sample(line);
        let suffix = name.strip_prefix(&family).unwrap_or_else(|| panic!("interleaved: {line}"));
        let suffixes: &[&str] = match types[&family].as_str() {
            "counter" => &["_total"],
            "gauge" => &[""],
            "info" => &["_info"],
            "histogram" => &["_sum", "_count", "_bucket"],
            other => panic!("type {other}"),
        };
        assert!(suffixes.contains(&suffix), "{line}");
        assert!(series.insert((name.to_owned(), labels.clone())), "twice: {line}");
        assert!(value.parse::<f64>().unwrap() >= 0.0, "{line}");
        if suffix == "_bucket" {
            let rest: Vec<_> = labels.iter().filter(|(k, _)| k != "le").collect();
            let before = buckets.insert(format!("{rest:?}"), value.parse().unwrap());
            assert!(before.unwrap_or(0) <= value.parse().unwrap(), "not cumulative: {line}");
        }
    }
    types.into_keys().collect()
}

/// `name{key="value",…} number`, with the values unescaped.
fn sample(line: &str) -> (&str, Vec<(String, String)>, &str) {
    let end = line.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap();
    let (name, mut rest) = line.split_at(end);
    let mut labels = Vec::new();
    if let Some(inner) = rest.strip_prefix('{') {
        rest = inner;
        loop {
            let (key, after) = rest.split_once("=\"").unwrap();
            assert!(key.chars().all(|c| c.is_ascii_lowercase() || c == '_'), "{line}");
            let mut value = String::new();
            let mut chars = after.char_indices();
            let end = loop {
                match chars.next().unwrap() {
                    (i, '"') => break i,
                    (_, '\\') => value.push(chars.next().unwrap().1),
                    (_, c) => value.push(c),
                }
            };
            labels.push((key.to_owned(), value));
            rest = &after[end + 1..];
            match rest.strip_prefix(',') {
                Some(more) => rest = more,
                None => break,
            }
        }
        rest = rest.strip_prefix('}').unwrap();
    }
    (name, labels, rest.strip_prefix(' ').unwrap())
}
