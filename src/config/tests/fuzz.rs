//! Whatever the text, the check ends with an answer whose places lie in the text.

use proptest::prelude::*;

use super::super::{Severity, embedded, parse};

/// Pieces that a config is made of, so that random texts reach past the syntax.
const PIECES: [&str; 40] = [
    "[workers]\n",
    "[[ingress]]\n",
    "[[egress]]\n",
    "[ingress]\n",
    "[kernel.k]\n",
    "[priority.high]\n",
    "[admin]\n",
    "[level.breaker]\n",
    "[controller]\n",
    "[guard]\n",
    "name = ",
    "listen = ",
    "kind = ",
    "cores = ",
    "budget = ",
    "mode = ",
    "to = ",
    "distribution = ",
    "time = ",
    "kernel = ",
    "egress = ",
    "\"spin\"\n",
    "\"forward\"\n",
    "\"127.0.0.1:1\"\n",
    "\"1ms\"\n",
    "\"64KiB\"\n",
    "[1, 1]\n",
    "{ kind = \"bimodal\" }\n",
    "-1\n",
    "1e400\n",
    "nan\n",
    "0x7fffffffffffffff\n",
    "true\n",
    "\"\u{1b}é漢\t\"\n",
    "\"\"\"a\nb\"\"\"\n",
    "\r\n",
    "a.b.c = ",
    "\n",
    "# ü\n",
    "\u{feff}",
];

fn holds(text: &str) {
    let text_seen = text.strip_prefix('\u{feff}').unwrap_or(text);
    let (list, shown) = match parse("f.toml", text) {
        Ok(loaded) => {
            let shown = loaded.render_warnings(true);
            let again = loaded.settings.to_json();
            assert_eq!(
                again["ingress"].as_array().map(Vec::len),
                Some(loaded.settings.ingress.len())
            );
            (loaded.warnings, shown)
        }
        Err(faults) => {
            assert!(!faults.list().is_empty());
            (faults.list().to_vec(), faults.render(true))
        }
    };
    let lines: Vec<&str> = text_seen.split('\n').collect();
    assert!(list.is_sorted_by_key(|f| (f.line, f.column)), "{list:#?}");
    for fault in list {
        let line = lines[fault.line - 1];
        assert!((1..=line.chars().count() + 1).contains(&fault.column), "{fault:?} in {line:?}");
        assert!(shown.contains(&format!("f.toml:{}:{}: ", fault.line, fault.column)));
        assert!(!fault.render(text_seen, Severity::Error, false).is_empty());
    }
}

proptest! {
    #[test]
    fn any_text(text in any::<String>()) {
        holds(&text);
    }

    #[test]
    fn any_config_like_text(pieces in prop::collection::vec(prop::sample::select(&PIECES[..]), 0..40)) {
        holds(&pieces.concat());
    }

    #[test]
    fn a_preset_with_some_bytes_changed(
        at in 0.0..1.0_f64,
        cut in 0..40_usize,
        put in prop::sample::select(&PIECES[..]),
    ) {
        let text = embedded();
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss, reason = "a place in a short text")]
        let at = (at * text.len() as f64) as usize;
        let floor = |i: usize| (0..=i.min(text.len())).rev().find(|i| text.is_char_boundary(*i)).unwrap_or(0);
        let (from, to) = (floor(at), floor(at + cut));
        holds(&format!("{}{put}{}", &text[..from], &text[to..]));
    }
}

#[test]
fn deep_nesting_is_refused_and_not_followed() {
    holds(&format!("a = {}{}", "[".repeat(100_000), "]".repeat(100_000)));
    holds(&format!("a = {}", "{ b = ".repeat(100_000)));
    holds(&"a.".repeat(100_000));
}
