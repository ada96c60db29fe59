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
use super::{Batch, Kernel, PLACES, Place, one_by_one};
use crate::base::limits::KERNEL_BATCH_MAX;
use table::{Stream, Table};

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
    /// A byte less than the longest has.
    overlap: usize,
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
        let overlap = patterns.iter().map(Vec::len).max().unwrap_or(1) - 1;
        Ok(Self { patterns, table, few, overlap })
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
    paused: [Part; PLACES],
}

/// What a run in parts has come to.
#[derive(Clone, Copy, Debug, Default)]
struct Part {
    /// Bytes that are behind it.
    at: usize,
    /// Of the table.
    state: u32,
}

impl Part {
    /// Byte by byte: the answer, unless it has paused.
    fn walk_until(
        &mut self,
        table: &Table,
        payload: &[u8],
        pause: &mut dyn FnMut() -> bool,
    ) -> Option<u32> {
        loop {
            let end = payload.len().min(self.at + ALONE);
            self.state = table.walk(self.state, &payload[self.at..end]);
            self.at = end;
            if end == payload.len() || table.has_found(self.state) {
                return Some(table.number(self.state));
            }
            if pause() {
                return None;
            }
        }
    }

    /// By aho-corasick, in windows: the answer, unless it has paused. A window begins so far before what is new that it holds
    /// whatever ends in that; so the first in which there is anything holds the one that ends first.
    fn look_until(
        &mut self,
        patterns: &Patterns,
        payload: &[u8],
        pause: &mut dyn FnMut() -> bool,
    ) -> Option<u32> {
        let few = patterns.few.as_ref()?;
        loop {
            let end = payload.len().min(self.at + WINDOW);
            let window = &payload[self.at.saturating_sub(patterns.overlap)..end];
            self.at = end;
            let found = few.find(window);
            if found.is_some() || end == payload.len() {
                return Some(found.map_or(0, |m| patterns.table.find(&window[m.start()..])));
            }
            if pause() {
                return None;
            }
        }
    }
}

/// Bytes that aho-corasick looks at between two looks whether to pause.
const WINDOW: usize = 2_048;
/// Bytes that one payload alone is followed for meanwhile, at 3 ns each.
const ALONE: usize = 512;

impl Match {
    /// The search for `patterns` at `level`.
    #[must_use]
    pub fn new(patterns: &Patterns, level: Level) -> Self {
        Self {
            patterns: patterns.clone(),
            level,
            answers: [0; KERNEL_BATCH_MAX],
            paused: [Part::default(); PLACES],
        }
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

impl Match {
    /// Writes the answers of the first `count` rows.
    fn answer(&self, batch: &mut Batch<'_>, count: usize) {
        for i in 0..count {
            match batch.memory(i).first_chunk_mut::<ANSWER_LEN>() {
                Some(room) => {
                    *room = self.answers[i].to_be_bytes();
                    batch.finish(i, ANSWER_LEN);
                }
                None => batch.fail(i),
            }
        }
    }

    /// One after the other, each as `part` does it, which says its answer once it has one: how many are done.
    fn alone_until(
        &mut self,
        batch: &Batch<'_>,
        places: &[Place],
        mut part: impl FnMut(&Patterns, &mut Part, &[u8]) -> Option<u32>,
    ) -> usize {
        let Self { patterns, answers, paused, .. } = self;
        one_by_one(places, |i, place| {
            let answer = part(patterns, &mut paused[place], batch.payload(i));
            answers[i] = answer.unwrap_or(0);
            answer.is_some()
        })
    }

    /// All side by side: how many from the first on are done.
    fn together_until(
        &mut self,
        batch: &Batch<'_>,
        places: &[Place],
        pause: &mut dyn FnMut() -> bool,
    ) -> usize {
        let Self { patterns, answers, paused, .. } = self;
        let stream = |(of, place): (usize, &Place)| {
            let Part { at, state } = paused[place.at];
            Stream { of, rest: &batch.payload(of)[at..], state }
        };
        let mut waiting = places.iter().enumerate().map(stream);
        let mut left = 0_u64;
        let mut keep = [Part::default(); PLACES];
        patterns.table.follow(&mut waiting, pause, |stream, over| {
            let Stream { of, rest, state } = stream;
            if over {
                answers[of] = patterns.table.number(state);
            } else {
                left |= 1 << of;
            }
            if let Some(kept) = keep.get_mut(of) {
                *kept = Part { at: batch.payload(of).len() - rest.len(), state };
            }
        });
        for (place, kept) in places.iter().zip(keep) {
            paused[place.at] = kept;
        }
        places.len().min(left.trailing_zeros() as usize)
    }
}

impl Kernel for Match {
    fn run(&mut self, batch: &mut Batch<'_>) {
        self.find(batch);
        self.answer(batch, batch.len());
    }

    fn pauses(&self) -> bool {
        true
    }

    fn run_until(
        &mut self,
        batch: &mut Batch<'_>,
        places: &[Place],
        pause: &mut dyn FnMut() -> bool,
    ) -> usize {
        for new in places.iter().filter(|p| !p.begun) {
            self.paused[new.at] = Part::default();
        }
        let done = match (self.level, &self.patterns.few) {
            (Level::Scalar, _) => self.alone_until(batch, places, |patterns, part, payload| {
                part.walk_until(&patterns.table, payload, pause)
            }),
            (_, Some(_)) => self.alone_until(batch, places, |patterns, part, payload| {
                part.look_until(patterns, payload, pause)
            }),
            (_, None) => self.together_until(batch, places, pause),
        };
        self.answer(batch, done);
        done
    }

    /// Twice as many as are followed side by side, so that one long payload does not leave the others' places empty.
    fn batch_max(&self) -> usize {
        2 * table::STREAMS
    }
}
