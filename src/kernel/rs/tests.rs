//! Every form against the reference and against a library of the same code; every pattern of loss.

use super::{MASK_LEN, ReedSolomon, Spec, Task};
use crate::kernel::simd::Level;
use crate::kernel::{Batch, Kernel as _, Row, RowStatus};

/// Bytes that are the same in every run.
fn bytes(seed: u32, len: usize) -> Vec<u8> {
    let mut x = seed.wrapping_mul(2_654_435_761) | 1;
    (0..len)
        .map(|_| {
            x ^= x << 13;
            x ^= x >> 17;
            x ^= x << 5;
            x.to_le_bytes()[1]
        })
        .collect()
}

/// The answers to some payloads, each of which begins at an odd place.
fn run(spec: Spec, level: Level, payloads: &[Vec<u8>]) -> Vec<Option<Vec<u8>>> {
    let room = payloads.iter().map(Vec::len).max().unwrap_or(0) * spec.parity.max(1) + 5;
    let mut memory = vec![0xee; 3 + payloads.len() * room];
    let mut rows = Vec::new();
    for (i, payload) in payloads.iter().enumerate() {
        let start = 3 + i * room;
        memory[start..start + payload.len()].copy_from_slice(payload);
        rows.push(Row { start, len: payload.len(), capacity: room - 1, status: RowStatus::Failed });
    }
    ReedSolomon::new(spec, level, room).run(&mut Batch::new(&mut memory, &mut rows));
    let read =
        |r: &Row| (r.status == RowStatus::Done).then(|| memory[r.start..r.start + r.len].to_vec());
    rows.iter().map(read).collect()
}

fn levels() -> Vec<Level> {
    let mut here = Vec::new();
    for (word, level) in Level::every() {
        match level {
            Some(level) => here.push(level),
            None => println!("level {word}: SKIPPED, this machine does not have it"),
        }
    }
    here
}

#[test]
fn parity_is_that_of_the_libraries() {
    for (data, parity) in [(1, 1), (2, 3), (10, 2), (20, 12)] {
        let code = reed_solomon_erasure::galois_8::ReedSolomon::new(data, parity).unwrap();
        for len in [1, 2, 31, 32, 33, 63, 64, 65, 100, 1_408] {
            let payload = bytes(len as u32, data * len);
            let mut shards: Vec<Vec<u8>> = payload.chunks(len).map(<[u8]>::to_vec).collect();
            shards.resize(data + parity, vec![0; len]);
            code.encode(&mut shards).unwrap();
            let theirs = shards[data..].concat();
            for level in levels() {
                let spec = Spec { data, parity, task: Task::Encode };
                let ours = run(spec, level, std::slice::from_ref(&payload));
                assert_eq!(ours[0].as_ref(), Some(&theirs), "{data}+{parity} of {len}, {level}");
            }
        }
    }
}

/// The payload of a repair with the shards of `mask`.
fn lossy(shards: &[&[u8]], mask: u32) -> Vec<u8> {
    let come = shards.iter().enumerate().filter(|(i, _)| mask >> i & 1 == 1);
    let mut payload = mask.to_be_bytes().to_vec();
    come.for_each(|(_, s)| payload.extend_from_slice(s));
    payload
}

#[test]
fn whatever_is_lost_comes_back_or_the_row_fails() {
    let (data, parity, len) = (5, 3, 37);
    let group = bytes(9, data * len);
    let encode = Spec { data, parity, task: Task::Encode };
    let made = run(encode, Level::Scalar, std::slice::from_ref(&group))[0].clone().unwrap();
    let shards: Vec<&[u8]> = group.chunks(len).chain(made.chunks(len)).collect();
    for level in levels() {
        for mask in 0..1_u32 << (data + parity) {
            let spec = Spec { data, parity, task: Task::Repair };
            let ours = &run(spec, level, &[lossy(&shards, mask)])[0];
            let wanted = (0..data).filter(|i| mask >> i & 1 == 0).flat_map(|i| shards[i].to_vec());
            if mask.count_ones() as usize >= data {
                assert_eq!(
                    ours.as_deref(),
                    Some(&wanted.collect::<Vec<u8>>()[..]),
                    "{mask:b} {level}"
                );
            } else {
                assert_eq!(*ours, None, "{mask:b} {level}");
            }
        }
    }
}

#[test]
fn groups_that_lack_other_shards_are_repaired_in_any_order_by_one_kernel() {
    let (data, parity, len) = (6, 2, 33);
    let group = bytes(11, data * len);
    let encode = Spec { data, parity, task: Task::Encode };
    let made = run(encode, Level::Scalar, std::slice::from_ref(&group))[0].clone().unwrap();
    let shards: Vec<&[u8]> = group.chunks(len).chain(made.chunks(len)).collect();
    let all = 1_u32 << (data + parity);
    let kinds: Vec<u32> =
        (0..all).filter(|m| m.count_ones() as usize + 3 >= data + parity).collect();
    // More masks in a batch than are kept, each again after few and after many others, some of too few shards.
    let pick = |i: usize| i / 60 * 5 + [i % 4, i * 7 % 11, i % 20][i % 3];
    let masks: Vec<u32> = (0..900).map(|i| kinds[pick(i) % kinds.len()]).collect();
    let payloads: Vec<Vec<u8>> = masks.iter().map(|mask| lossy(&shards, *mask)).collect();
    let repair = Spec { data, parity, task: Task::Repair };
    for level in levels() {
        let mut answered = 0;
        for (payloads, masks) in payloads.chunks(60).zip(masks.chunks(60)) {
            for (answer, mask) in run(repair, level, payloads).iter().zip(masks) {
                let lost = (0..data).filter(|i| mask >> i & 1 == 0);
                let wanted = lost.flat_map(|i| shards[i].to_vec()).collect::<Vec<u8>>();
                let wanted = (mask.count_ones() as usize >= data).then_some(wanted);
                assert_eq!(*answer, wanted, "{mask:b} {level}");
                answered += u32::from(wanted.is_some());
            }
        }
        assert!((100..800).contains(&answered), "{answered}: some of each kind");
    }
}

#[test]
fn every_batch_and_length_is_the_reference_to_the_bit() {
    let (data, parity) = (10, 2);
    let repair = Spec { data, parity, task: Task::Repair };
    for rows in 1..=40 {
        let payloads: Vec<Vec<u8>> = (0..rows)
            .map(|r| {
                let len = 1 + (rows * 7 + r * 13) % 97;
                // Nine data shards and both parity shards: one is repaired, one is not needed.
                let mut payload = (0b1111_1111_1011_u32).to_be_bytes().to_vec();
                payload.extend(bytes(r as u32, 11 * len));
                payload
            })
            .collect();
        let reference = run(repair, Level::Scalar, &payloads);
        assert!(reference.iter().all(Option::is_some));
        for level in levels() {
            assert_eq!(run(repair, level, &payloads), reference, "{rows} {level}");
        }
    }
}

#[test]
fn what_is_no_group_fails_alone() {
    let spec = Spec { data: 2, parity: 1, task: Task::Repair };
    let mask = |m: u32, rest: &[u8]| [&m.to_be_bytes()[..], rest].concat();
    let bad = [
        vec![],
        vec![0; MASK_LEN - 1],
        mask(0b011, b""),
        mask(0b011, b"abc"),
        mask(0b1_0011, b"abcdef"),
        mask(0b001, b"ab"),
        mask(u32::MAX, b"ab"),
        mask(0b101, b"abcd"),
    ];
    let answers = run(spec, Level::detect(), &bad);
    assert!(answers[..7].iter().all(Option::is_none), "{answers:?}");
    // With one parity shard and points 0, 1, 2 the code is p = 2 * a + 3 * b or so: what matters is that it is answered.
    assert_eq!(answers[7].as_ref().map(Vec::len), Some(2));
}
