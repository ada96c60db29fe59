//! Every form against the reference, over batches, odd sizes and alignments.

use std::sync::Arc;

use super::weights::{Layer, Model};
use super::{Mlp, NUMBER_LEN, Output, Precision, Spec};
use crate::kernel::simd::Level;
use crate::kernel::{Batch, Kernel as _, Row, RowStatus};

/// Numbers from -1 to 1 that are the same in every run.
struct Draw(u64);

impl Draw {
    fn next(&mut self) -> f32 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 40) as f32) / (1_u64 << 23) as f32 - 1.0
    }
}

fn spec(sizes: &[usize], precision: Precision, output: Output) -> Spec {
    let mut draw = Draw(sizes.iter().sum::<usize>() as u64);
    let layer = |pair: &[usize]| {
        let (inputs, outputs) = (pair[0], pair[1]);
        let spread = 2.0 / (inputs as f32).sqrt();
        let weights = (0..inputs * outputs).map(|_| draw.next() * spread).collect();
        Layer { inputs, outputs, weights, bias: (0..outputs).map(|_| draw.next()).collect() }
    };
    let model = Model::new(sizes.windows(2).map(layer).collect()).expect("sizes that fit");
    Spec { weights: "drawn".to_owned(), model: Arc::new(model), precision, output, tag: 0 }
}

/// Answers to `rows` payloads that begin at odd places of memory.
fn answers(spec: &Spec, level: Level, rows: usize, align: usize) -> Vec<Vec<f32>> {
    let (inputs, outputs) = (spec.model.inputs(), spec.model.outputs());
    let mut draw = Draw(7);
    let room = inputs.max(outputs) * NUMBER_LEN + 3;
    let mut bytes = vec![0xa5; align + rows * room];
    let mut all = Vec::new();
    for r in 0..rows {
        let start = align + r * room;
        for (k, to) in
            bytes[start..start + inputs * NUMBER_LEN].chunks_exact_mut(NUMBER_LEN).enumerate()
        {
            // Rows of very different size: each has its own scale.
            let x = draw.next() * if r % 3 == 2 { 50.0 } else { 1.0 } + (k % 2) as f32;
            to.copy_from_slice(&x.to_le_bytes());
        }
        all.push(Row {
            start,
            len: inputs * NUMBER_LEN,
            capacity: room,
            status: RowStatus::Failed,
        });
    }
    Mlp::new(spec, level).run(&mut Batch::new(&mut bytes, &mut all));
    let read = |row: &Row| {
        assert_eq!((row.status, row.len), (RowStatus::Done, outputs * NUMBER_LEN));
        let words = bytes[row.start..row.start + row.len].chunks_exact(NUMBER_LEN);
        words.map(|w| f32::from_le_bytes([w[0], w[1], w[2], w[3]])).collect()
    };
    all.iter().map(read).collect()
}

const SHAPES: &[&[usize]] = &[
    &[1, 1],
    &[3, 5, 2],
    &[7, 33, 1],
    &[15, 16, 17, 31],
    &[64, 65, 3],
    &[130, 70, 9],
    &[64, 256, 256, 8],
];

/// Calls `f` for each level beside the reference, and says which were not there.
fn beside(f: impl Fn(Level)) {
    for (word, level) in Level::every().into_iter().skip(1) {
        match level {
            Some(level) => f(level),
            None => println!("level {word}: SKIPPED, this machine does not have it"),
        }
    }
}

#[test]
fn floats_agree_with_the_reference_to_a_ten_thousandth() {
    beside(|level| {
        for sizes in SHAPES {
            let spec = spec(sizes, Precision::F32, Output::Linear);
            for rows in 1..=40 {
                let (ours, reference) =
                    (answers(&spec, level, rows, rows % 5), answers(&spec, Level::Scalar, rows, 0));
                for (a, b) in ours.iter().flatten().zip(reference.iter().flatten()) {
                    // Relative to the numbers that were summed, which a result near 0 is far below.
                    assert!((a - b).abs() <= 1e-4 * b.abs().max(0.1), "{sizes:?} {rows}: {a} {b}");
                }
            }
        }
    });
}

#[test]
fn bytes_agree_with_the_reference_to_the_bit() {
    beside(|level| {
        for sizes in SHAPES {
            for output in [Output::Linear, Output::Sigmoid] {
                let spec = spec(sizes, Precision::Int8, output);
                for rows in 1..=40 {
                    let ours = answers(&spec, level, rows, rows % 7);
                    let reference = answers(&spec, Level::Scalar, rows, 0);
                    let bits = |all: &[Vec<f32>]| -> Vec<u32> {
                        all.iter().flatten().map(|x| x.to_bits()).collect()
                    };
                    assert_eq!(bits(&ours), bits(&reference), "{sizes:?} {rows}");
                }
            }
        }
    });
}

#[test]
fn the_reference_is_the_textbook_sum() {
    for sizes in SHAPES {
        let spec = spec(sizes, Precision::F32, Output::Linear);
        let mut draw = Draw(7);
        let inputs = spec.model.inputs();
        let mut x: Vec<f64> =
            (0..inputs).map(|k| f64::from(draw.next() + (k % 2) as f32)).collect();
        for (i, layer) in spec.model.layers().iter().enumerate() {
            let last = i + 1 == spec.model.layers().len();
            let sum = |n: usize| -> f64 {
                let products = x
                    .iter()
                    .enumerate()
                    .map(|(k, x)| x * f64::from(layer.weights[k * layer.outputs + n]));
                let y = products.sum::<f64>() + f64::from(layer.bias[n]);
                if last { y } else { y.max(0.0) }
            };
            x = (0..layer.outputs).map(sum).collect();
        }
        let ours = answers(&spec, Level::Scalar, 1, 0);
        for (a, b) in ours[0].iter().zip(&x) {
            assert!((f64::from(*a) - b).abs() <= 1e-4 * b.abs().max(0.1), "{sizes:?}: {a} {b}");
        }
    }
}

#[test]
fn bytes_are_within_a_few_percent_of_floats() {
    let sizes = [64, 256, 256, 8];
    let exact = answers(&spec(&sizes, Precision::F32, Output::Linear), Level::Scalar, 40, 0);
    let rough = answers(&spec(&sizes, Precision::Int8, Output::Linear), Level::Scalar, 40, 0);
    let (mut error, mut size) = (0.0, 0.0);
    for (a, b) in exact.iter().flatten().zip(rough.iter().flatten()) {
        error += f64::from(a - b).powi(2);
        size += f64::from(*a).powi(2);
    }
    let relative = (error / size).sqrt();
    assert!(relative > 1e-6 && relative < 0.03, "{relative}");
}

#[test]
fn a_payload_that_is_not_its_features_fails_alone() {
    let spec = spec(&[3, 5, 2], Precision::F32, Output::Linear);
    let mut bytes = [0_u8; 96];
    for (at, x) in [(0, 1.0_f32), (4, 2.0), (8, 3.0), (72, f32::NAN), (76, 0.0), (80, 0.0)] {
        bytes[at..at + 4].copy_from_slice(&x.to_le_bytes());
    }
    let row = |start, len| Row { start, len, capacity: 16, status: RowStatus::Done };
    let mut rows = [row(16, 11), row(0, 12), row(32, 13), row(48, 0), row(72, 12)];
    rows[1].status = RowStatus::Failed;
    Mlp::new(&spec, Level::detect()).run(&mut Batch::new(&mut bytes, &mut rows));
    let done = rows.map(|r| r.status == RowStatus::Done);
    assert_eq!(done, [false, true, false, false, false]);
    assert_eq!(rows[1].len, 8);
}

#[test]
fn a_tag_comes_back_before_the_answer() {
    let plain = spec(&[3, 5, 2], Precision::F32, Output::Linear);
    let tagged = Spec { tag: 5, ..plain.clone() };
    let features: Vec<u8> = [1.0_f32, 2.0, 3.0].iter().flat_map(|x| x.to_le_bytes()).collect();
    let mut bytes = [features.clone(), b"abcde".to_vec(), features, vec![0; 7]].concat();
    let mut one = [Row { start: 0, len: 12, capacity: 12, status: RowStatus::Failed }];
    Mlp::new(&plain, Level::detect()).run(&mut Batch::new(&mut bytes, &mut one));
    let mut two =
        [12, 30].map(|start| Row { start, len: 17, capacity: 17, status: RowStatus::Failed });
    two[1].len = 4;
    bytes.resize(60, 0);
    Mlp::new(&tagged, Level::detect()).run(&mut Batch::new(&mut bytes, &mut two));
    assert_eq!((two[0].status, two[0].len), (RowStatus::Done, 13));
    assert_eq!(two[1].status, RowStatus::Failed);
    assert_eq!(bytes[12..17], *b"abcde");
    assert_eq!(bytes[17..25], bytes[..8]);
}

#[test]
fn a_score_is_the_sigmoid_of_the_sum() {
    let linear = answers(&spec(&[7, 33, 1], Precision::F32, Output::Linear), Level::Scalar, 9, 0);
    let score = answers(&spec(&[7, 33, 1], Precision::F32, Output::Sigmoid), Level::Scalar, 9, 0);
    for (x, s) in linear.iter().flatten().zip(score.iter().flatten()) {
        assert!((f64::from(*s) - 1.0 / (1.0 + (-f64::from(*x)).exp())).abs() < 1e-6);
    }
}
