//! Every form against a search that looks at every place.

use super::{Match, Patterns};
use crate::kernel::simd::Level;
use crate::kernel::{Batch, Kernel as _, Row, RowStatus};

struct Draw(u64);

impl Draw {
    fn below(&mut self, n: usize) -> usize {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % n
    }
}

/// The longest pattern that ends first; of equal ones the first in the list.
fn naive(patterns: &[Vec<u8>], payload: &[u8]) -> u32 {
    for end in 1..=payload.len() {
        let ending = patterns.iter().enumerate().filter(|(_, p)| payload[..end].ends_with(p));
        if let Some((i, _)) = ending.max_by_key(|(i, p)| (p.len(), usize::MAX - i)) {
            return i as u32 + 1;
        }
    }
    0
}

fn run(patterns: &Patterns, level: Level, payloads: &[Vec<u8>]) -> Vec<u32> {
    let (mut memory, mut rows) = (vec![0xee; 3], Vec::new());
    for p in payloads {
        let start = memory.len();
        memory.extend(p);
        memory.extend([0; 5]);
        rows.push(Row { start, len: p.len(), capacity: p.len() + 4, status: RowStatus::Failed });
    }
    Match::new(patterns, level).run(&mut Batch::new(&mut memory, &mut rows));
    let read = |r: &Row| {
        assert_eq!((r.status, r.len), (RowStatus::Done, 4));
        u32::from_be_bytes(*memory[r.start..].first_chunk().unwrap())
    };
    rows.iter().map(read).collect()
}

#[test]
fn the_one_that_ends_first_is_named_and_of_these_the_longest() {
    let patterns = ["abcdef", "cd", "bcd", "x", "cd"].map(|p| p.as_bytes().to_vec());
    let set = Patterns::new(patterns.to_vec()).unwrap();
    for (_, level) in Level::every() {
        let Some(level) = level else { continue };
        for (payload, number) in [
            ("abcdef", 3),
            ("zzcdx", 2),
            ("", 0),
            ("abc", 0),
            ("x", 4),
            ("abcxcd", 4),
            ("\0\u{ff}cd", 2),
        ] {
            assert_eq!(run(&set, level, &[payload.into()]), [number], "{payload} {level}");
        }
    }
}

#[test]
fn every_form_is_the_search_at_every_place() {
    let mut draw = Draw(5);
    for (count, letters, longest) in
        [(1, 2, 3), (7, 3, 5), (64, 8, 6), (65, 4, 9), (300, 26, 5), (40, 256, 2), (200, 256, 3)]
    {
        let mut word = |len: usize| -> Vec<u8> {
            (0..len)
                .map(|_| {
                    if letters == 256 {
                        draw.below(256) as u8
                    } else {
                        b'a' + draw.below(letters) as u8
                    }
                })
                .collect()
        };
        let patterns: Vec<Vec<u8>> =
            (0..count).map(|i| word(2.min(longest) + i % (longest - 1).max(1))).collect();
        let set = Patterns::new(patterns.clone()).unwrap();
        for rows in 1..=40 {
            let payloads: Vec<Vec<u8>> =
                (0..rows).map(|r| word((r * 37 + rows * 5) % 301)).collect();
            let wanted: Vec<u32> = payloads.iter().map(|p| naive(&patterns, p)).collect();
            for (word, level) in Level::every() {
                match level {
                    Some(level) => {
                        assert_eq!(run(&set, level, &payloads), wanted, "{count} {rows} {word}")
                    }
                    None if rows == 1 => {
                        println!("level {word}: SKIPPED, this machine does not have it")
                    }
                    None => {}
                }
            }
        }
    }
}

#[test]
fn what_is_no_set_is_said() {
    let said = |patterns: Vec<Vec<u8>>| Patterns::new(patterns).unwrap_err();
    assert_eq!(said(vec![]), "has no pattern");
    assert_eq!(said(vec![vec![1], vec![]]), "pattern 2 has 0 bytes, not 1 to 256");
    assert_eq!(said(vec![vec![1; 257]]), "pattern 1 has 257 bytes, not 1 to 256");
    assert_eq!(said(vec![vec![1]; 20_001]), "has 20001 patterns, more than 20000");
}

#[test]
fn a_row_without_room_fails_alone() {
    let set = Patterns::new(vec![b"a".to_vec()]).unwrap();
    let mut memory = *b"a...a...";
    let row = |start, capacity| Row { start, len: 1, capacity, status: RowStatus::Failed };
    let mut rows = [row(0, 3), row(4, 4)];
    Match::new(&set, Level::detect()).run(&mut Batch::new(&mut memory, &mut rows));
    assert_eq!(rows.map(|r| r.status), [RowStatus::Failed, RowStatus::Done]);
    assert_eq!(memory[4..], [0, 0, 0, 1]);
}
