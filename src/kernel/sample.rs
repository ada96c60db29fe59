//! A batch of usual payloads that can be run again and again: what calibration, `probe` and benches time.
//!
//! Knows no clock but the one that busy work is calibrated by, and no figure: whoever times decides what a run is.

use rand_xoshiro::Xoshiro256PlusPlus;
use rand_xoshiro::rand_core::{RngCore as _, SeedableRng as _};

use super::simd::SimdChoice;
use super::{Batch, KernelSpec, Kernels, Registry, Row, RowStatus, matching, mlp, rs};
use crate::base::{Clock, KernelId};

/// A payload's length where the kernel takes any: what a full Ethernet frame leaves.
pub const PAYLOAD_LEN: usize = 1_472;
/// A packet's place in a worker's slab.
const SLOT: usize = 2_048;

/// The length of the payloads that [`payload`] makes of a wish for `wanted` bytes.
#[must_use]
pub fn payload_len(spec: &KernelSpec, wanted: usize) -> usize {
    match spec {
        KernelSpec::Mlp(spec) => spec.payload_len(),
        KernelSpec::Fir(_) => wanted / 2 * 2,
        KernelSpec::Rs(code) => {
            let mask = if code.task == rs::Task::Repair { rs::MASK_LEN } else { 0 };
            mask + wanted.saturating_sub(mask) / code.data.max(1) * code.data
        }
        _ => wanted,
    }
}

/// A payload that the kernel works on, of about `wanted` bytes: the same for the same `seed`.
#[must_use]
pub fn payload(spec: &KernelSpec, wanted: usize, seed: u64) -> Vec<u8> {
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed);
    let mut bytes = vec![0; payload_len(spec, wanted)];
    rng.fill_bytes(&mut bytes);
    match spec {
        KernelSpec::Mlp(spec) => {
            let (numbers, _) = bytes[spec.tag..].as_chunks_mut::<{ mlp::NUMBER_LEN }>();
            for number in numbers {
                *number = feature(u32::from_le_bytes(*number)).to_le_bytes();
            }
        }
        // As many are missing as parity makes good, from the front: the dearest case.
        KernelSpec::Rs(code) if code.task == rs::Task::Repair => {
            let lost = code.parity.min(code.data);
            let here = (lost..code.data + lost).fold(0_u32, |mask, i| mask | 1 << i);
            bytes[..rs::MASK_LEN].copy_from_slice(&here.to_be_bytes());
        }
        _ => {}
    }
    bytes
}

/// From -1 to 1.
#[expect(clippy::cast_precision_loss, reason = "24 bits are a float's own")]
fn feature(bits: u32) -> f32 {
    (bits >> 8) as f32 / 8_388_608.0 - 1.0
}

/// First bytes of a payload that a run overwrites and the next run's time hangs on.
fn restored(spec: &KernelSpec) -> usize {
    match spec {
        KernelSpec::Mlp(spec) => spec.tag + spec.model.outputs() * mlp::NUMBER_LEN,
        KernelSpec::Rs(code) if code.task == rs::Task::Repair => rs::MASK_LEN,
        // An answer may be a pattern's first bytes.
        KernelSpec::Match(_) => matching::ANSWER_LEN,
        _ => 0,
    }
}

/// One kernel at one level with as many payloads as its largest batch has, in slots as in a worker.
#[derive(Debug)]
pub struct Sample {
    kernels: Kernels,
    bytes: Vec<u8>,
    rows: Vec<Row>,
    whole: Vec<Row>,
    fresh: Vec<u8>,
    restored: usize,
}

impl Sample {
    /// `rows_max` payloads of about `wanted` bytes for the kernel of `spec` at `simd`; `clock` calibrates busy work.
    #[must_use]
    pub fn new(
        spec: &KernelSpec,
        simd: SimdChoice,
        wanted: usize,
        rows_max: usize,
        clock: &impl Clock,
    ) -> Self {
        let kernels = Registry::new(vec![(String::new(), spec.clone())])
            .with_simd(simd)
            .instantiate(1, clock);
        let len = payload_len(spec, wanted);
        // Where answers grow, a row has the whole slot.
        let grown = kernels.iter().any(super::Kernel::grows);
        let capacity = (if grown { 2 * len } else { len }).next_multiple_of(SLOT).max(SLOT);
        let row = |i| Row { start: i * capacity, len, capacity, status: RowStatus::Failed };
        let whole: Vec<Row> = (0..rows_max).map(row).collect();
        let mut bytes = vec![0; capacity * rows_max];
        for (seed, row) in (1..).zip(&whole) {
            let payload = payload(spec, wanted, seed);
            bytes[row.start..row.start + row.len].copy_from_slice(&payload);
        }
        let restored = restored(spec).min(len);
        let fresh =
            whole.iter().flat_map(|r| bytes[r.start..r.start + restored].to_vec()).collect();
        Self { kernels, bytes, rows: whole.clone(), whole, fresh, restored }
    }

    /// The most rows that one run of the kernel is worth.
    #[must_use]
    pub fn batch_max(&self) -> usize {
        self.kernels.iter().map(super::Kernel::batch_max).max().unwrap_or(1)
    }

    /// Runs the first `rows` payloads, at most as many as there are.
    pub fn run(&mut self, rows: usize) {
        let rows = rows.min(self.whole.len());
        self.rows[..rows].copy_from_slice(&self.whole[..rows]);
        if self.restored > 0 {
            let kept = self.fresh.chunks_exact(self.restored);
            for (row, fresh) in self.whole[..rows].iter().zip(kept) {
                self.bytes[row.start..row.start + self.restored].copy_from_slice(fresh);
            }
        }
        self.kernels.run(KernelId(0), &mut Batch::new(&mut self.bytes, &mut self.rows[..rows]));
    }

    /// Whether the last run worked on its first `rows` payloads.
    #[must_use]
    pub fn all_done(&self, rows: usize) -> bool {
        self.rows[..rows].iter().all(|r| r.status == RowStatus::Done)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Instant;
    use crate::kernel::fir;
    use std::cell::Cell;

    fn every() -> Vec<KernelSpec> {
        let rs = |task, data, parity| KernelSpec::Rs(rs::Spec { data, parity, task });
        let patterns = matching::Patterns::new(vec![b"abc".to_vec()]).expect("a set");
        vec![
            KernelSpec::Echo,
            KernelSpec::Crc32c,
            KernelSpec::Match(matching::Spec { patterns, file: None }),
            rs(rs::Task::Repair, 10, 2),
            rs(rs::Task::Repair, 2, 6),
            rs(rs::Task::Encode, 10, 2),
            rs(rs::Task::Encode, 4, 6),
            KernelSpec::Fir(fir::Spec { taps: vec![1, 2, 3], shift: 2 }),
        ]
    }

    #[test]
    fn every_kernel_works_on_its_sample_as_often_as_it_is_run() {
        let clock = Cell::new(Instant::ZERO);
        for spec in every() {
            for simd in [SimdChoice::Scalar, SimdChoice::Auto] {
                let mut sample = Sample::new(&spec, simd, PAYLOAD_LEN, 5, &clock);
                for rows in [5, 1, 3, 5] {
                    sample.run(rows);
                    assert!(sample.all_done(rows), "{} {rows}", spec.kind());
                }
            }
        }
    }

    #[test]
    fn payloads_differ_from_each_other_and_not_from_run_to_run() {
        let one = payload(&KernelSpec::Crc32c, 64, 1);
        assert_eq!(one, payload(&KernelSpec::Crc32c, 64, 1));
        assert_ne!(one, payload(&KernelSpec::Crc32c, 64, 2));
    }
}
