//! What the whole of config/ promises, from text to settings.

mod bad;
mod everything;
mod fuzz;
mod good;
mod streams;
mod weights;

use super::{Fault, Loaded, parse};

/// The least that makes a config.
const INGRESS: &str = "[[ingress]]\nname = \"in\"\nlisten = \"127.0.0.1:0\"\n";

fn good(text: &str) -> Loaded {
    parse("it.toml", text).unwrap_or_else(|faults| panic!("{faults}\n--- of\n{text}"))
}

fn faults(text: &str) -> Vec<Fault> {
    match parse("it.toml", text) {
        Ok(_) => panic!("no fault in\n{text}"),
        Err(faults) => faults.list().to_vec(),
    }
}

/// `line:column: message` of each.
fn lines(faults: &[Fault]) -> Vec<String> {
    faults.iter().map(|f| format!("{}:{}: {}", f.line, f.column, f.message)).collect()
}
