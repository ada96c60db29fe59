//! A kernel that pauses answers with the same bytes as one that does not, wherever it is cut.

use std::collections::VecDeque;

use proptest::prelude::*;

use super::fir::{self, Fir};
use super::matching::{Match, Patterns};
use super::rs::{self, ReedSolomon, Task};
use super::simd::Level;
use super::{Batch, Kernel, PLACES, Place, Row, RowStatus};

const LONGEST: usize = 65_507;

fn noise(mut seed: u64, len: usize) -> Vec<u8> {
    let mut next = || {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 56) as u8
    };
    (0..len).map(|_| next()).collect()
}

/// Payloads with room beside each other, and a byte between them that nobody may touch.
fn lay(payloads: &[Vec<u8>], capacity: usize) -> (Vec<u8>, Vec<Row>) {
    let mut memory = vec![0xee];
    let mut rows = Vec::new();
    for p in payloads {
        let capacity = capacity.max(p.len());
        rows.push(Row { start: memory.len(), len: p.len(), capacity, status: RowStatus::Failed });
        memory.extend(p);
        memory.resize(memory.len() + capacity - p.len(), 0xdd);
        memory.push(0xee);
    }
    (memory, rows)
}

type Answer = Option<Vec<u8>>;

fn answer(memory: &[u8], row: &Row) -> Answer {
    assert_eq!(memory[row.start + row.capacity], 0xee, "beyond its room");
    (row.status == RowStatus::Done).then(|| memory[row.start..row.start + row.len].to_vec())
}

fn whole(kernel: &mut dyn Kernel, payloads: &[Vec<u8>], capacity: usize) -> Vec<Answer> {
    let (mut memory, mut rows) = lay(payloads, capacity);
    // No kernel takes more rows at once than it says.
    for rows in rows.chunks_mut(kernel.batch_max()) {
        kernel.run(&mut Batch::new(&mut memory, rows));
    }
    rows.iter().map(|r| answer(&memory, r)).collect()
}

/// The same in parts: each pauses at so many looks, with so many rows, of those that were begun and are not done, in their order.
/// In between another payload is run whole by the same kernel.
fn in_parts(
    kernel: &mut dyn Kernel,
    payloads: &[Vec<u8>],
    capacity: usize,
    cuts: &[(u32, usize)],
) -> (Vec<Answer>, u32) {
    let (mut memory, mut all) = lay(payloads, capacity);
    let mut waiting: VecDeque<usize> = (0..all.len()).collect();
    let mut places: Vec<Option<usize>> = vec![None; all.len()];
    let mut free: Vec<usize> = (0..PLACES).rev().collect();
    let mut cuts = cuts.iter().copied().cycle();
    let mut pauses = 0;
    while !waiting.is_empty() {
        let (looks, most) = cuts.next().unwrap();
        let mut rows = Vec::new();
        let mut given = Vec::new();
        let mut which = Vec::new();
        for w in waiting.iter().take(most.min(kernel.batch_max())) {
            let begun = places[*w].is_some();
            let Some(at) = places[*w].or_else(|| free.pop()) else { break };
            places[*w] = Some(at);
            given.push(Place { at, begun });
            rows.push(all[*w]);
            which.push(*w);
        }
        let mut looked = 0;
        let mut pause = || {
            looked += 1;
            looked >= looks
        };
        let done = kernel.run_until(&mut Batch::new(&mut memory, &mut rows), &given, &mut pause);
        assert!(done == rows.len() || looked == looks, "it stops when it is told to");
        pauses += u32::from(done < rows.len());
        for (i, w) in which.into_iter().enumerate().take(done) {
            assert_eq!(waiting.pop_front(), Some(w));
            all[w] = rows[i];
            free.extend(places[w]);
        }
        whole(kernel, &[noise(u64::from(pauses), 34)], capacity);
    }
    (all.iter().map(|r| answer(&memory, r)).collect(), pauses)
}

fn kernels(level: Level) -> Vec<(&'static str, Box<dyn Kernel>)> {
    let fir = |taps: usize| {
        let taps: Vec<i16> = (0..taps).map(|t| (t as i16 * 37 % 200) - 90).collect();
        Box::new(Fir::new(&fir::Spec { taps, shift: 12 }, level, LONGEST)) as Box<dyn Kernel>
    };
    let rs = |data, parity, task| {
        let spec = rs::Spec { data, parity, task };
        Box::new(ReedSolomon::new(spec, level, LONGEST)) as Box<dyn Kernel>
    };
    let of = |patterns: Vec<Vec<u8>>| {
        Box::new(Match::new(&Patterns::new(patterns).unwrap(), level)) as Box<dyn Kernel>
    };
    let rare = |count: u64| (0..count).map(pattern).collect();
    vec![
        ("fir 1", fir(1)),
        ("fir 17", fir(17)),
        ("fir 256", fir(256)),
        ("rs encode 10+2", rs(10, 2, Task::Encode)),
        ("rs encode 1+3", rs(1, 3, Task::Encode)),
        ("rs repair 4+3", rs(4, 3, Task::Repair)),
        ("match few", of(rare(20))),
        ("match one", of(vec![b"ab".to_vec()])),
        ("match many", of(rare(PATTERNS))),
    ]
}

/// More than aho-corasick's own search is used for.
const PATTERNS: u64 = 100;

/// One that noise has now and then, or where it is put in; some are long.
fn pattern(n: u64) -> Vec<u8> {
    noise(n + 1, if n % 50 == 7 { 250 } else { 3 + n as usize % 40 })
}

/// A payload of that length that most kernels have work with: a mask of shards that have come, and patterns at some places.
fn payload(seed: u64, len: usize) -> Vec<u8> {
    let mut bytes = noise(seed, len);
    if let Some(mask) = bytes.first_chunk_mut() {
        let five = [0b111_1001_u32, 0b101_1011, 0b000_1111, 0b011_1110, 0b110_0001];
        *mask = five[seed as usize % 5].to_be_bytes();
    }
    if !seed.is_multiple_of(3) {
        let pattern = pattern(seed % PATTERNS);
        let at = (seed >> 8) as usize % len.max(1);
        if let Some(room) = bytes.get_mut(at..at + pattern.len()) {
            room.copy_from_slice(&pattern);
        }
    }
    bytes
}

fn each_level(mut with: impl FnMut(&str, Level)) {
    for (word, level) in Level::every() {
        match level {
            Some(level) => with(word, level),
            None => println!("level {word}: SKIPPED, this machine does not have it"),
        }
    }
}

/// Every length up to 4,096 (of many taps every 61st, which take long by the reference), and the longest, each cut somewhere else.
#[test]
fn the_answer_is_the_same_wherever_it_is_cut() {
    each_level(|word, level| {
        for (name, mut kernel) in kernels(level) {
            assert!(kernel.pauses());
            let mut pauses = 0;
            let step = if name == "fir 256" { 61 } else { 1 };
            for len in (0..=4_096).step_by(step).chain(LONGEST - 7..=LONGEST) {
                let seed = len as u64 * 77 + 5;
                let payloads = [payload(seed, len)];
                let expected = whole(&mut *kernel, &payloads, 3 * len);
                let cuts = [(1 + len as u32 % 3, 1), (1, 1), (2, 1)];
                let (got, paused) = in_parts(&mut *kernel, &payloads, 3 * len, &cuts);
                assert_eq!(got, expected, "{name} {word} {len}");
                pauses += paused;
            }
            assert!(pauses > 0, "{name} {word}: {pauses} pauses");
        }
    });
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]
    /// Rows in any company, begun at any time, of any length.
    #[test]
    fn rows_do_not_mind_each_other(
        lens in proptest::collection::vec((0_u64..1_000_000, 0_usize..6_000), 1..12),
        cuts in proptest::collection::vec((1_u32..6, 1_usize..9), 1..20),
    ) {
        let payloads: Vec<Vec<u8>> = lens.iter().map(|(seed, len)| payload(*seed, *len)).collect();
        each_level(|word, level| {
            for (name, mut kernel) in kernels(level) {
                let expected = whole(&mut *kernel, &payloads, 60_000);
                let (got, _) = in_parts(&mut *kernel, &payloads, 60_000, &cuts);
                assert_eq!(got, expected, "{name} {word}");
            }
        });
    }
}
