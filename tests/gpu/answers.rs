//! What comes back from the device is what the reference on the CPU gives.

use punctual::base::KernelId;
use punctual::kernel::accel::Accelerator as _;
use punctual::kernel::gpu::Options;
use punctual::kernel::mlp::{Output, Precision, Spec};

use crate::rig::{OPTIONS, device, numbers, payloads, reference, run, spec, staged};

const SHAPES: &[&[usize]] = &[
    &[1, 1],
    &[3, 5, 2],
    &[7, 33, 1],
    &[15, 16, 17, 31],
    &[64, 65, 3],
    &[130, 70, 9],
    &[64, 256, 256, 8],
    &[1_031, 40, 5],
];

fn every(precision: Precision, output: Output) -> Vec<Spec> {
    SHAPES.iter().enumerate().map(|(i, sizes)| spec(sizes, precision, output, i % 3)).collect()
}

/// Within a ten-thousandth, of the numbers that were summed where the result is nearly 0.
fn near(spec: &Spec, ours: &[Option<Vec<u8>>], wanted: &[Option<Vec<u8>>]) {
    assert_eq!(ours.len(), wanted.len());
    for (ours, wanted) in ours.iter().zip(wanted) {
        let (ours, wanted) = (ours.as_ref().expect("done"), wanted.as_ref().expect("done"));
        assert_eq!(ours[..spec.tag], wanted[..spec.tag], "the tag");
        let (ours, wanted) = (numbers(spec, ours), numbers(spec, wanted));
        assert_eq!(ours.len(), wanted.len());
        for (a, b) in ours.iter().zip(&wanted) {
            assert!((a - b).abs() <= 1e-4 * b.abs().max(0.1), "{}: {a} {b}", spec.weights);
        }
    }
}

#[test]
fn floats_are_the_references_to_a_ten_thousandth() {
    for output in [Output::Linear, Output::Sigmoid] {
        let specs = every(Precision::F32, output);
        let Some(mut gpu) = device("floats", &specs, OPTIONS) else { return };
        for (kernel, spec) in (0..).zip(&specs) {
            for rows in 1..=40 {
                let payloads = payloads(spec, rows, rows as u64);
                near(spec, &run(&mut gpu, kernel, spec, &payloads), &reference(spec, &payloads));
            }
        }
    }
}

#[test]
fn bytes_are_the_references_to_the_bit() {
    for output in [Output::Linear, Output::Sigmoid] {
        let specs = every(Precision::Int8, output);
        let Some(mut gpu) = device("bytes", &specs, OPTIONS) else { return };
        for (kernel, spec) in (0..).zip(&specs) {
            for rows in 1..=40 {
                let payloads = payloads(spec, rows, rows as u64);
                let (ours, wanted) =
                    (run(&mut gpu, kernel, spec, &payloads), reference(spec, &payloads));
                assert_eq!(ours, wanted, "{} with {rows} rows", spec.weights);
            }
        }
    }
}

#[test]
fn large_batches_are_no_different() {
    let sizes = [64, 256, 256, 8];
    let specs = [
        spec(&sizes, Precision::F32, Output::Linear, 0),
        spec(&sizes, Precision::Int8, Output::Linear, 8),
    ];
    let options = Options { rows_max: 1_024, ..OPTIONS };
    let Some(mut gpu) = device("large batches", &specs, options) else { return };
    assert_eq!(gpu.rows_max(), 1_024);
    for rows in [127, 513, 1_023, 1_024] {
        let payloads_of = |spec: &Spec| payloads(spec, rows, 3);
        let (f32, int8) = (&specs[0], &specs[1]);
        let p = payloads_of(f32);
        near(f32, &run(&mut gpu, 0, f32, &p), &reference(f32, &p));
        let p = payloads_of(int8);
        assert!(run(&mut gpu, 1, int8, &p) == reference(int8, &p), "int8 with {rows} rows");
    }
    let spec = &specs[0];
    let too_many = staged(spec, &payloads(spec, 1_025, 1), 0);
    assert!(gpu.submit(KernelId(0), too_many).is_err(), "one row too many");
    assert!(gpu.submit(KernelId(0), staged(spec, &[], 0)).is_err(), "no row");
    assert!(gpu.submit(KernelId(2), staged(spec, &payloads(spec, 1, 1), 0)).is_err(), "no kernel");
    assert!(gpu.runs(KernelId(1)) && !gpu.runs(KernelId(2)));
}

#[test]
fn the_widest_network_has_fewer_rows_and_the_same_answers() {
    let specs = [
        spec(&[16_376, 3], Precision::F32, Output::Linear, 0),
        spec(&[2, 16_376, 2], Precision::Int8, Output::Linear, 0),
    ];
    let options = Options { rows_max: 4_096, ..OPTIONS };
    let Some(mut gpu) = device("the widest network", &specs, options) else { return };
    assert_eq!(gpu.rows_max(), 1_024, "64 MiB a buffer");
    let p = payloads(&specs[0], 9, 1);
    near(&specs[0], &run(&mut gpu, 0, &specs[0], &p), &reference(&specs[0], &p));
    let p = payloads(&specs[1], 9, 1);
    assert!(run(&mut gpu, 1, &specs[1], &p) == reference(&specs[1], &p));
}

#[test]
fn a_payload_that_is_not_its_features_fails_alone() {
    let specs = [
        spec(&[3, 5, 2], Precision::F32, Output::Linear, 2),
        spec(&[3, 5, 2], Precision::Int8, Output::Linear, 2),
    ];
    let Some(mut gpu) = device("a wrong payload", &specs, OPTIONS) else { return };
    for (kernel, spec) in (0..).zip(&specs) {
        let mut p = payloads(spec, 6, 1);
        p[1].truncate(7);
        p[2].clear();
        p[4][2..6].copy_from_slice(&f32::NAN.to_le_bytes());
        let ours = run(&mut gpu, kernel, spec, &p);
        let done: Vec<bool> = ours.iter().map(Option::is_some).collect();
        assert_eq!(done, [true, false, false, true, false, true]);
        let wanted = reference(spec, &p);
        let good = |all: &[Option<Vec<u8>>]| -> Vec<Option<Vec<u8>>> {
            all.iter().filter(|a| a.is_some()).cloned().collect()
        };
        near(spec, &good(&ours), &good(&wanted));
        let none_right = vec![vec![1, 2, 3]; 5];
        assert_eq!(run(&mut gpu, kernel, spec, &none_right), vec![None; 5]);
    }
}

#[test]
fn numbers_at_the_edges_of_a_float_are_the_references() {
    let specs = [spec(&[8, 16, 4], Precision::Int8, Output::Linear, 0)];
    let Some(mut gpu) = device("edges", &specs, OPTIONS) else { return };
    let spec = &specs[0];
    let rows: [[f32; 8]; 7] = [
        [0.0; 8],
        [-0.0; 8],
        [1e-31; 8],
        [1e30, -1e30, 0.0, 1.0, -1.0, 5e29, 1e-30, -3.0],
        [-1.0; 8],
        [127.0, 0.5, 1.5, 2.5, 3.5, 63.5, 126.5, 100.0],
        [3.0, 3.000_000_2, 0.0, -0.0, 1e-20, -1e-20, 1e10, 7.0],
    ];
    let p: Vec<Vec<u8>> =
        rows.iter().map(|row| row.iter().flat_map(|x| x.to_le_bytes()).collect()).collect();
    assert_eq!(run(&mut gpu, 0, spec, &p), reference(spec, &p));
}
