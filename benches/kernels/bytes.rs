//! Kernels that work on bytes and samples: checksum, repair, pattern sets, filter.

use std::hint::black_box;

use aho_corasick::{AhoCorasick, AhoCorasickKind, MatchKind};
use punctual::kernel::matching::{self, Patterns};
use punctual::kernel::simd::SimdChoice;
use punctual::kernel::{KernelSpec, Row, crc32c, drawn, fir, rs};
use reed_solomon_erasure::galois_8::ReedSolomon;

use crate::levels;
use crate::pairs::{Equal, Pair, Side};
use crate::work::{Draw, Ours, Work, slab};

/// What a full Ethernet frame leaves.
const FULL: usize = 1_472;
const PACKETS: usize = 8;

pub(crate) fn pairs() -> Vec<Pair> {
    let mut all: Vec<Pair> = [64, FULL].into_iter().flat_map(checksums).collect();
    all.extend(LOST.into_iter().flat_map(repairs));
    for count in [1_000, 5_000] {
        all.extend(searches(count));
    }
    for samples in [160, FULL / 2] {
        all.extend(filters(samples));
    }
    all
}

/// Payloads and what they gave, for a work that is a function of a payload.
struct Each<F> {
    bytes: Vec<u8>,
    rows: Vec<Row>,
    answers: Vec<u32>,
    answer: F,
}

impl<F: FnMut(&[u8]) -> u32> Each<F> {
    fn new(payloads: &[Vec<u8>], answer: F) -> Self {
        let (bytes, rows) = slab(payloads);
        Self { bytes, rows, answers: vec![0; payloads.len()], answer }
    }
}

impl<F: FnMut(&[u8]) -> u32> Work for Each<F> {
    fn run(&mut self) {
        for (row, answer) in self.rows.iter().zip(&mut self.answers) {
            let payload = &self.bytes[row.start..row.start + row.len];
            *answer = (self.answer)(black_box(payload));
        }
    }

    fn answers(&self) -> Vec<Vec<u8>> {
        self.answers.iter().map(|a| a.to_be_bytes().to_vec()).collect()
    }
}

/// Beside the crate's function as the library has it, and as this program has it: the linker keeps two copies of the same
/// instructions, whose loops begin at other places of a cache line.
fn checksums(len: usize) -> [Pair; 2] {
    // A full packet through the trait costs at most a tenth more than the crate alone.
    let goal = (len == FULL).then_some(1.0 / 1.1);
    [
        checksum("crc-fast, the same copy", len, crc32c::checksum, goal),
        checksum("crc-fast, another copy", len, crc_fast::crc32_iscsi, None),
    ]
}

fn checksum(
    name: &str,
    len: usize,
    answer: impl FnMut(&[u8]) -> u32 + 'static,
    goal: Option<f64>,
) -> Pair {
    let mut draw = Draw::new(1);
    let payloads: Vec<Vec<u8>> = (0..PACKETS).map(|_| draw.bytes(len)).collect();
    Pair {
        what: format!("crc32c, {PACKETS} of {len} B"),
        ours: Side::new("kernel", Ours::new(&KernelSpec::Crc32c, SimdChoice::Auto, &payloads, 0)),
        other: Side::new(name, Each::new(&payloads, answer)),
        equal: Equal::Bytes,
        goal,
    }
}

const DATA: usize = 10;
const PARITY: usize = 2;
const SHARD: usize = 1_408;
const GROUPS: usize = 4;
/// The shards that each group lost, as many as parity makes good: all the same, and each others.
const LOST: [(&str, [[usize; PARITY]; GROUPS]); 2] =
    [("", [[3, 7]; GROUPS]), (", each lacking others", [[3, 7], [0, 1], [5, 9], [2, 6]])];

/// The outside crate with its shards in place: what is lost is said before each run, and its memory is kept.
struct Outside {
    code: ReedSolomon,
    groups: Vec<Vec<(Vec<u8>, bool)>>,
    lost: [[usize; PARITY]; GROUPS],
}

impl Work for Outside {
    fn run(&mut self) {
        for (group, lost) in self.groups.iter_mut().zip(self.lost) {
            for i in lost {
                group[i].1 = false;
            }
            self.code.reconstruct_data(group).expect("enough has come");
        }
    }

    fn answers(&self) -> Vec<Vec<u8>> {
        let all = self.groups.iter().zip(self.lost);
        all.map(|(group, lost)| lost.map(|i| group[i].0.clone()).concat()).collect()
    }
}

fn repairs((how, lost): (&str, [[usize; PARITY]; GROUPS])) -> Vec<Pair> {
    let mut draw = Draw::new(2);
    let code = || ReedSolomon::new(DATA, PARITY).expect("a code");
    let (mut payloads, mut groups) = (Vec::new(), Vec::new());
    for lost in lost {
        let mut shards: Vec<Vec<u8>> = (0..DATA).map(|_| draw.bytes(SHARD)).collect();
        shards.resize(DATA + PARITY, vec![0; SHARD]);
        code().encode(&mut shards).expect("shards of one length");
        let here = |i: &usize| !lost.contains(i);
        let mask = (0..DATA + PARITY).filter(here).fold(0_u32, |m, i| m | 1 << i);
        let come = (0..DATA + PARITY).filter(here).map(|i| &shards[i][..]);
        payloads
            .push([&mask.to_be_bytes()[..]].into_iter().chain(come).collect::<Vec<_>>().concat());
        // Lost is lost: what stands there must not be what is looked for.
        let blank =
            |i: usize, s: Vec<u8>| if here(&i) { (s, true) } else { (vec![0; SHARD], false) };
        groups.push(shards.into_iter().enumerate().map(|(i, s)| blank(i, s)).collect());
    }
    let spec = KernelSpec::Rs(rs::Spec { data: DATA, parity: PARITY, task: rs::Task::Repair });
    // The mask is put back; the shards behind it may be any.
    let ours = |simd| Ours::new(&spec, simd, &payloads, rs::MASK_LEN);
    let outside = || {
        let groups: &Vec<Vec<(Vec<u8>, bool)>> = &groups;
        Side::new("reed-solomon-erasure", Outside { code: code(), groups: groups.clone(), lost })
    };
    let pair = |simd: SimdChoice, other: Side, goal| Pair {
        what: format!("rs {DATA}+{PARITY} repair, {GROUPS} of {SHARD} B shards{how}"),
        ours: Side::new(simd.word(), ours(simd)),
        other,
        equal: Equal::Bytes,
        goal,
    };
    let mut all = Vec::new();
    for simd in levels() {
        all.push(pair(simd, Side::new("scalar", ours(SimdChoice::Scalar)), None));
        // GFNI multiplies bytes by one instruction.
        let gain = if simd == SimdChoice::Avx512 { 25.0 } else { 8.0 };
        all.push(pair(simd, outside(), Some(gain)));
    }
    all
}

const SYLLABLES: [&str; 16] = [
    "ad", "min", "pass", "wd", "shell", "ex", "ec", "get", "cfg", "log", "in", "user", "up",
    "load", "tmp", "bin",
];

/// Names as attack signatures have them: three to five syllables with signs between.
fn name(draw: &mut Draw) -> Vec<u8> {
    let count = 3 + draw.below(3);
    let mut all = Vec::new();
    for _ in 0..count {
        all.extend_from_slice(SYLLABLES[draw.below(SYLLABLES.len())].as_bytes());
        all.push(b"/.-_=%"[draw.below(6)]);
    }
    all
}

/// A request of syllables that begin many patterns, or noise; with no pattern in it, so that every byte is looked at.
fn clean(draw: &mut Draw, text: bool, known: &AhoCorasick) -> Vec<u8> {
    loop {
        let mut all = b"GET /".to_vec();
        while text && all.len() < FULL {
            all.extend_from_slice(SYLLABLES[draw.below(SYLLABLES.len())].as_bytes());
            all.extend_from_slice(
                [&b"/"[..], b"?q=", b"; ", b"\r\nX-", b": ", b"."][draw.below(6)],
            );
        }
        all.resize_with(FULL, || draw.below(256) as u8);
        if !known.is_match(&all) {
            return all;
        }
    }
}

fn searches(count: usize) -> Vec<Pair> {
    let mut draw = Draw::new(3);
    let patterns: Vec<Vec<u8>> = (0..count).map(|_| name(&mut draw)).collect();
    let automaton = || {
        let mut builder = AhoCorasick::builder();
        builder.kind(Some(AhoCorasickKind::DFA)).match_kind(MatchKind::Standard);
        builder.build(&patterns).expect("a set")
    };
    let set = Patterns::new(patterns.clone()).expect("a set");
    let spec = KernelSpec::Match(matching::Spec { patterns: set, file: None });
    let mut all = Vec::new();
    for text in [true, false] {
        let known = automaton();
        let payloads: Vec<Vec<u8>> = (0..PACKETS).map(|_| clean(&mut draw, text, &known)).collect();
        // An answer may be a pattern's first bytes in the next run, so it is put back.
        let ours = |simd| Ours::new(&spec, simd, &payloads, matching::ANSWER_LEN);
        let find = move |p: &[u8]| known.find(p).map_or(0, |m| m.pattern().as_u32() + 1);
        let kind = if text { "text" } else { "noise" };
        let pair = |other: Side, goal| Pair {
            what: format!("match {count} patterns, {PACKETS} of {FULL} B {kind}"),
            ours: Side::new("8 side by side", ours(SimdChoice::Auto)),
            other,
            equal: Equal::Bytes,
            goal,
        };
        all.push(pair(Side::new("one by one", ours(SimdChoice::Scalar)), None));
        all.push(pair(Side::new("aho-corasick DFA", Each::new(&payloads, find)), Some(2.5)));
    }
    all
}

fn filters(samples: usize) -> Vec<Pair> {
    let mut draw = Draw::new(4);
    let payloads: Vec<Vec<u8>> = (0..4).map(|_| draw.bytes(2 * samples)).collect();
    let spec = KernelSpec::Fir(fir::Spec { taps: drawn::taps(), shift: 15 });
    let side = |simd: SimdChoice| Side::new(simd.word(), Ours::new(&spec, simd, &payloads, 0));
    let pair = |simd: SimdChoice| Pair {
        what: format!("fir 64 taps, 4 of {samples} samples"),
        ours: side(simd),
        other: side(SimdChoice::Scalar),
        equal: Equal::Bytes,
        goal: Some(1.0),
    };
    levels().into_iter().map(pair).collect()
}
