//! Which of a set of patterns a payload holds: the number of the one that ends first, 0 for none, network byte order.
//!
//! Knows no file. Few patterns go to aho-corasick's own vector search, many to a table in which a batch is followed side by side.

mod table;
#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;

use aho_corasick::{AhoCorasick, AhoCorasickKind, MatchKind};

use super::simd::Level;
use super::{Batch, Kernel};
use crate::base::limits::KERNEL_BATCH_MAX;
use table::Table;

/// Length of an answer.
pub const ANSWER_LEN: usize = 4;
/// The most patterns.
pub const PATTERNS_MAX: usize = 20_000;
/// The longest pattern, in bytes.
pub const PATTERN_LEN_MAX: usize = 256;
/// Up to so many patterns aho-corasick's vector search is faster than any table.
const FEW: usize = 64;

/// A set of patterns, ready to be looked for. Made once and shared by all workers.
#[derive(Clone)]
pub struct Patterns {
    patterns: Vec<Vec<u8>>,
    table: Arc<Table>,
    /// Says fast that there is nothing, and where to begin otherwise. Only for few patterns.
    few: Option<Arc<AhoCorasick>>,
}

impl fmt::Debug for Patterns {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Patterns({} in {} bytes)", self.patterns.len(), self.table.size())
    }
}

impl PartialEq for Patterns {
    fn eq(&self, other: &Self) -> bool {
        self.patterns == other.patterns
    }
}

impl Patterns {
    /// The set of `patterns`; the place in the list, from 1, is a pattern's number.
    ///
    /// # Errors
    /// None, too many, an empty or a too long one, or more than a table can hold: what is wrong, as the rest of a sentence that
    /// begins with where they stand.
    pub fn new(patterns: Vec<Vec<u8>>) -> Result<Self, String> {
        if patterns.is_empty() {
            return Err("has no pattern".to_owned());
        }
        if patterns.len() > PATTERNS_MAX {
            return Err(format!("has {} patterns, more than {PATTERNS_MAX}", patterns.len()));
        }
        for (number, pattern) in (1..).zip(&patterns) {
            if pattern.is_empty() || pattern.len() > PATTERN_LEN_MAX {
                let len = pattern.len();
                return Err(format!(
                    "pattern {number} has {len} bytes, not 1 to {PATTERN_LEN_MAX}"
                ));
            }
        }
        let table = Arc::new(Table::new(&patterns)?);
        let few = (patterns.len() <= FEW)
            .then(|| {
                let mut builder = AhoCorasick::builder();
                builder.match_kind(MatchKind::LeftmostFirst).kind(Some(AhoCorasickKind::DFA));
                builder.build(&patterns).map(Arc::new)
            })
            .transpose()
            .map_err(|e| format!("cannot be held: {e}"))?;
        Ok(Self { patterns, table, few })
    }

    /// How many there are; at least one.
    #[must_use]
    pub fn count(&self) -> usize {
        self.patterns.len()
    }

    /// They themselves, in the order of their numbers.
    #[must_use]
    pub fn list(&self) -> &[Vec<u8>] {
        &self.patterns
    }

    /// Which search serves them at `level`.
    #[must_use]
    pub fn search(&self, level: Level) -> &'static str {
        match (level, &self.few) {
            (Level::Scalar, _) => "table, one by one",
            (_, Some(_)) => "aho-corasick",
            (_, None) => "table, 8 side by side",
        }
    }
}

/// A search as the config describes it.
#[derive(Clone, Debug, PartialEq)]
pub struct Spec {
    /// The set.
    pub patterns: Patterns,
    /// Where it was read from, as the config has it; none where the config holds it.
    pub file: Option<String>,
}

/// One worker's search.
#[derive(Debug)]
pub struct Match {
    patterns: Patterns,
    level: Level,
    answers: [u32; KERNEL_BATCH_MAX],
}

impl Match {
    /// The search for `patterns` at `level`.
    #[must_use]
    pub fn new(patterns: &Patterns, level: Level) -> Self {
        Self { patterns: patterns.clone(), level, answers: [0; KERNEL_BATCH_MAX] }
    }

    fn find(&mut self, batch: &Batch<'_>) {
        let table = &self.patterns.table;
        let answers = &mut self.answers[..batch.len()];
        match (self.level, &self.patterns.few) {
            (Level::Scalar, _) => {
                for (i, answer) in answers.iter_mut().enumerate() {
                    *answer = table.find(batch.payload(i));
                }
            }
            (_, Some(few)) => {
                for (i, answer) in answers.iter_mut().enumerate() {
                    let payload = batch.payload(i);
                    // No match begins before the leftmost one, so the one that ends first does not either.
                    *answer = few.find(payload).map_or(0, |m| table.find(&payload[m.start()..]));
                }
            }
            (_, None) => {
                let mut payloads = [&[][..]; KERNEL_BATCH_MAX];
                for (i, payload) in payloads.iter_mut().enumerate().take(batch.len()) {
                    *payload = batch.payload(i);
                }
                table.find_all(&payloads[..batch.len()], answers);
            }
        }
    }
}

impl Kernel for Match {
    fn run(&mut self, batch: &mut Batch<'_>) {
        self.find(batch);
        for i in 0..batch.len() {
            match batch.memory(i).first_chunk_mut::<ANSWER_LEN>() {
                Some(room) => {
                    *room = self.answers[i].to_be_bytes();
                    batch.finish(i, ANSWER_LEN);
                }
                None => batch.fail(i),
            }
        }
    }

    /// Twice as many as are followed side by side, so that one long payload does not leave the others' places empty.
    fn batch_max(&self) -> usize {
        2 * table::STREAMS
    }
}
