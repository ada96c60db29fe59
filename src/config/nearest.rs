//! "Did you mean …": the known word nearest to a mistyped one.
//!
//! Knows words only.

/// Longer words are not compared: the comparison costs the product of both lengths.
const WORD_MAX: usize = 64;

/// The candidate that differs from `word` by few enough typing mistakes to be what was meant.
///
/// Case and `-` for `_` count nothing; a mistake in three letters is allowed, and one at least.
pub(crate) fn nearest<'c>(
    word: &str,
    candidates: impl IntoIterator<Item = &'c str>,
) -> Option<&'c str> {
    let length = word.chars().count();
    if length == 0 || length > WORD_MAX {
        return None;
    }
    let folded = fold(word);
    let far = (length / 3).max(1);
    candidates
        .into_iter()
        .map(|c| (strsim::damerau_levenshtein(&folded, &fold(c)), c))
        .filter(|(distance, c)| *distance <= far && *distance < c.chars().count())
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, c)| c)
}

fn fold(word: &str) -> String {
    word.to_ascii_lowercase().replace('-', "_")
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn finds_what_was_meant_and_nothing_else() {
        let keys = ["budget", "listen", "priority", "to", "receive_buffer", "best-effort"];
        for (typed, meant) in [
            ("budgte", Some("budget")),
            ("bugdet", Some("budget")),
            ("Listen", Some("listen")),
            ("prioritty", Some("priority")),
            ("receive-bufer", Some("receive_buffer")),
            ("best_effort", Some("best-effort")),
            ("t", Some("to")),
            ("x", None),
            ("colour", None),
            ("", None),
        ] {
            assert_eq!(nearest(typed, keys), meant, "{typed}");
        }
        assert_eq!(nearest(&"b".repeat(100_000), keys), None);
    }
}
