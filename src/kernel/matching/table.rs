//! A set of patterns as one table, in which several payloads are followed side by side.
//!
//! Knows no answer but the number of the pattern that ends first. The automaton is aho-corasick's; here it is laid out so that a
//! step is two loads without a branch, because a single payload waits for its own last load at every byte.

use std::collections::BTreeMap;

use aho_corasick::automaton::{Automaton as _, StateID};
use aho_corasick::dfa::DFA;
use aho_corasick::{Anchored, MatchKind, StartKind};

/// The largest table, in bytes.
pub(super) const TABLE_MAX: usize = 64 << 20;
/// Payloads that are followed side by side.
pub(super) const STREAMS: usize = 8;
/// Bytes between two looks at who has found something.
const STRIDE: usize = 128;
/// Strides between two looks whether to pause.
const LOOK_STRIDES: u32 = 4;

/// The automaton: states from 0; those from `matches` on have found something and stay where they are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Table {
    /// Which column each byte has.
    class: [u8; 256],
    /// Columns of a state, a power of two.
    width: usize,
    /// `[state * width + class]`: the next state, times `width`.
    next: Vec<u32>,
    /// The first state, times `width`, that has found something.
    matches: u32,
    /// By such a state: the number of the pattern that it has found, from 1.
    found: Vec<u32>,
}

impl Table {
    /// The table of `patterns`.
    ///
    /// # Errors
    /// It would be larger than [`TABLE_MAX`], or aho-corasick cannot hold it.
    pub(super) fn new(patterns: &[Vec<u8>]) -> Result<Self, String> {
        let dfa = DFA::builder()
            .match_kind(MatchKind::Standard)
            .start_kind(StartKind::Unanchored)
            .build(patterns)
            .map_err(|e| format!("cannot be held: {e}"))?;
        let (class, classes) = classes(patterns);
        let width = classes.next_power_of_two();
        let start = dfa.start_state(Anchored::No).map_err(|e| e.to_string())?;
        let states = reachable(&dfa, start, &class, classes, TABLE_MAX / 4 / width)?;
        let (mut looking, mut done): (Vec<StateID>, Vec<StateID>) =
            states.into_iter().partition(|s| !dfa.is_match(*s));
        // The start is state 0.
        looking.sort_by_key(|s| *s != start);
        let first_match = looking.len();
        let found = done
            .iter()
            .map(|s| u32::try_from(dfa.match_pattern(*s, 0).as_usize() + 1).unwrap_or(u32::MAX))
            .collect();
        looking.append(&mut done);
        let offset = |i: usize| u32::try_from(i * width).unwrap_or(u32::MAX);
        let place: BTreeMap<StateID, u32> =
            looking.iter().enumerate().map(|(i, s)| (*s, offset(i))).collect();
        let byte_of = representatives(&class, classes);
        let mut next = vec![0; looking.len() * width];
        for (i, (state, row)) in looking.iter().zip(next.chunks_exact_mut(width)).enumerate() {
            for (cell, byte) in row.iter_mut().zip(&byte_of) {
                let to = dfa.next_state(Anchored::No, *state, *byte);
                *cell =
                    if i < first_match { place.get(&to).copied().unwrap_or(0) } else { offset(i) };
            }
        }
        Ok(Self { class, width, next, matches: offset(first_match), found })
    }

    /// Bytes of the table.
    pub(super) fn size(&self) -> usize {
        self.next.len() * 4
    }

    #[inline]
    fn step(&self, state: u32, byte: u8) -> u32 {
        self.next[state as usize + usize::from(self.class[usize::from(byte)])]
    }

    /// Whether it has found something, and stays there.
    pub(super) const fn has_found(&self, state: u32) -> bool {
        state >= self.matches
    }

    /// The number of the pattern that it has found, from 1; 0 for none.
    pub(super) fn number(&self, state: u32) -> u32 {
        let found = state.checked_sub(self.matches).map(|s| s as usize / self.width);
        found.and_then(|i| self.found.get(i)).copied().unwrap_or(0)
    }

    /// The number of the pattern in `payload` that ends first, the longest of those that end there; 0 where there is none. One
    /// byte after the other: the reference.
    pub(super) fn find(&self, payload: &[u8]) -> u32 {
        self.number(self.walk(0, payload))
    }

    /// From `state` on by these bytes, or to the first of them that finds something.
    #[inline]
    pub(super) fn walk(&self, mut state: u32, bytes: &[u8]) -> u32 {
        for byte in bytes {
            state = self.step(state, *byte);
            if self.has_found(state) {
                break;
            }
        }
        state
    }

    /// The same as [`Table::find`] for many payloads: `answers` as many as `payloads`.
    pub(super) fn find_all(&self, payloads: &[&[u8]], answers: &mut [u32]) {
        let mut waiting =
            payloads.iter().enumerate().map(|(of, rest)| Stream { of, rest, state: 0 });
        self.follow(&mut waiting, || false, |s, _| answers[s.of] = self.number(s.state));
    }

    /// Follows them all to their ends, or until `pause` says so, which is asked about every 2 us. Each is handed back once: with
    /// whether it is over.
    pub(super) fn follow<'a>(
        &self,
        waiting: &mut impl Iterator<Item = Stream<'a>>,
        mut pause: impl FnMut() -> bool,
        mut hand_back: impl FnMut(Stream<'a>, bool),
    ) {
        let mut streams = [Stream::default(); STREAMS];
        let mut active = 0;
        let mut strides = 0_u32;
        loop {
            while active < STREAMS
                && let Some(stream) = waiting.next()
            {
                streams[active] = stream;
                active += 1;
            }
            if active == 0 {
                return;
            }
            if strides == LOOK_STRIDES {
                strides = 0;
                if pause() {
                    break;
                }
            }
            strides += 1;
            let running = &mut streams[..active];
            let shortest = running.iter().map(|s| s.rest.len()).min().unwrap_or(0).min(STRIDE);
            self.advance(running, shortest);
            let mut i = 0;
            while i < active {
                let stream = streams[i];
                if stream.rest.is_empty() || self.has_found(stream.state) {
                    hand_back(stream, true);
                    active -= 1;
                    streams.swap(i, active);
                } else {
                    i += 1;
                }
            }
        }
        streams[..active].iter().copied().chain(waiting).for_each(|s| hand_back(s, false));
    }

    /// Each stream by `count` bytes, which it has. All at once, however many: five as four and one would take as long as two
    /// runs of eight, so that a batch of seven cost twice a batch of eight.
    fn advance(&self, streams: &mut [Stream<'_>], count: usize) {
        match streams {
            [a, b, c, d, e, f, g, h] => self.side_by_side([a, b, c, d, e, f, g, h], count),
            [a, b, c, d, e, f, g] => self.side_by_side([a, b, c, d, e, f, g], count),
            [a, b, c, d, e, f] => self.side_by_side([a, b, c, d, e, f], count),
            [a, b, c, d, e] => self.side_by_side([a, b, c, d, e], count),
            [a, b, c, d] => self.side_by_side([a, b, c, d], count),
            [a, b, c] => self.side_by_side([a, b, c], count),
            [a, b] => self.side_by_side([a, b], count),
            [a] => self.alone(a, count),
            _ => debug_assert!(streams.is_empty(), "at most {STREAMS} are followed"),
        }
    }

    /// One stream waits for memory at every byte. Told eight bytes at a time, it waits for nothing else: as one of `side_by_side` it took
    /// longer than two.
    fn alone(&self, stream: &mut Stream<'_>, count: usize) {
        let (bytes, rest) = stream.rest.split_at(count);
        let (eights, odd) = bytes.as_chunks::<8>();
        let mut state = stream.state;
        for eight in eights {
            state = eight.iter().fold(state, |state, byte| self.step(state, *byte));
        }
        stream.state = odd.iter().fold(state, |state, byte| self.step(state, *byte));
        stream.rest = rest;
    }

    /// The bytes are copied side by side first: eight places in memory and eight states are more than the registers hold, and a
    /// state that lies in memory is waited for.
    #[inline]
    fn side_by_side<const N: usize>(&self, streams: [&mut Stream<'_>; N], count: usize) {
        let count = count.min(STRIDE);
        let mut bytes = [[0; STRIDE]; N];
        for (bytes, stream) in bytes.iter_mut().zip(&streams) {
            match stream.rest.first_chunk() {
                Some(whole) if count == STRIDE => *bytes = *whole,
                _ => bytes[..count].copy_from_slice(&stream.rest[..count]),
            }
        }
        let mut states: [usize; N] = std::array::from_fn(|i| streams[i].state as usize);
        for at in 0..count {
            for (state, bytes) in states.iter_mut().zip(&bytes) {
                let class = self.class[usize::from(bytes[at])];
                *state = self.next[*state + usize::from(class)] as usize;
            }
        }
        for (stream, state) in streams.into_iter().zip(states) {
            #[expect(clippy::cast_possible_truncation, reason = "out of a table of such numbers")]
            let state = state as u32;
            stream.state = state;
            stream.rest = &stream.rest[count..];
        }
    }
}

/// A payload on its way.
#[derive(Clone, Copy, Default)]
pub(super) struct Stream<'a> {
    /// Which payload it is.
    pub(super) of: usize,
    /// Its bytes that are left.
    pub(super) rest: &'a [u8],
    /// What they are read in.
    pub(super) state: u32,
}

/// Bytes that no pattern has are all alike; every other byte is a class of its own.
fn classes(patterns: &[Vec<u8>]) -> ([u8; 256], usize) {
    let mut used = [false; 256];
    patterns.iter().flatten().for_each(|b| used[usize::from(*b)] = true);
    let all = used.iter().all(|u| *u);
    let mut count = usize::from(!all);
    let mut class = [0; 256];
    for (byte, class) in class.iter_mut().enumerate() {
        if used[byte] {
            *class = u8::try_from(count).unwrap_or(u8::MAX);
            count += 1;
        }
    }
    (class, count)
}

/// A byte of each class.
fn representatives(class: &[u8; 256], classes: usize) -> Vec<u8> {
    let mut bytes = vec![0; classes];
    for (byte, class) in (0..=u8::MAX).zip(class) {
        bytes[usize::from(*class)] = byte;
    }
    bytes
}

/// Every state that can be met, at most `most`.
fn reachable(
    dfa: &DFA,
    start: StateID,
    class: &[u8; 256],
    classes: usize,
    most: usize,
) -> Result<Vec<StateID>, String> {
    let bytes = representatives(class, classes);
    let mut seen = std::collections::BTreeSet::from([start]);
    let mut order = vec![start];
    let mut at = 0;
    while let Some(state) = order.get(at).copied() {
        at += 1;
        if dfa.is_match(state) {
            continue;
        }
        for byte in &bytes {
            let to = dfa.next_state(Anchored::No, state, *byte);
            if seen.insert(to) {
                order.push(to);
            }
        }
        if order.len() > most {
            return Err(format!("need a table of more than {} MiB", TABLE_MAX >> 20));
        }
    }
    Ok(order)
}
