//! A further core as a device: it runs the very kernels that a worker runs, on whichever thread owns it.
//!
//! Knows no thread and no clock: a batch is run by [`Accelerator::poll`], which therefore never waits.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::accel::{Accelerator, Ended, Health, Staged};
use super::{Batch, Kernels, RowStatus};
use crate::base::limits::KERNEL_BATCH_MAX;
use crate::base::{KernelId, Nanos};

/// See the module.
#[derive(Debug)]
pub struct CpuAccelerator {
    kernels: Kernels,
    /// The most rows of one run of each kernel.
    batch_max: Box<[usize]>,
    /// One batch at a time: whatever else waits can still be given to somebody else.
    waiting: Option<(KernelId, Box<Staged>)>,
}

impl CpuAccelerator {
    /// A device that runs `kernels`.
    #[must_use]
    pub fn new(kernels: Kernels) -> Self {
        let batch_max = kernels.iter().map(|k| k.batch_max().clamp(1, KERNEL_BATCH_MAX)).collect();
        Self { kernels, batch_max, waiting: None }
    }

    /// A panic ends its run, as it does on a worker; what was run before stays done.
    fn run(&mut self, kernel: KernelId, staged: &mut Staged) {
        let (bytes, rows) = staged.parts();
        for rows in rows.chunks_mut(self.batch_max[kernel.index()]) {
            let run = || self.kernels.run(kernel, &mut Batch::new(bytes, rows));
            if catch_unwind(AssertUnwindSafe(run)).is_err() {
                rows.iter_mut().for_each(|r| r.status = RowStatus::Failed);
            }
        }
    }
}

impl Accelerator for CpuAccelerator {
    fn runs(&self, kernel: KernelId) -> bool {
        kernel.index() < self.batch_max.len()
    }

    fn rows_max(&self) -> usize {
        KERNEL_BATCH_MAX
    }

    fn in_flight_max(&self) -> usize {
        1
    }

    fn submit(&mut self, kernel: KernelId, staged: Box<Staged>) -> Result<(), Box<Staged>> {
        if self.waiting.is_some() || !self.runs(kernel) {
            return Err(staged);
        }
        self.waiting = Some((kernel, staged));
        Ok(())
    }

    fn poll(&mut self, _wait: Nanos, back: &mut dyn FnMut(Box<Staged>, Ended)) {
        if let Some((kernel, mut staged)) = self.waiting.take() {
            self.run(kernel, &mut staged);
            back(staged, Ended::Run);
        }
    }

    fn health(&self) -> Health {
        Health::Ready
    }

    fn revive(&mut self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::super::Kernel;
    use super::super::crc32c::Crc32c;
    use super::*;

    /// Panics on a payload that begins with 'p', fails one with 'f', else doubles each byte. Two rows a run.
    #[derive(Debug)]
    struct Double;

    impl Kernel for Double {
        fn run(&mut self, batch: &mut Batch<'_>) {
            assert!(batch.len() <= 2);
            for i in 0..batch.len() {
                let len = batch.payload(i).len();
                match batch.payload(i)[0] {
                    b'p' => panic!("asked to"),
                    b'f' => batch.fail(i),
                    _ => {
                        batch.memory(i)[..len].iter_mut().for_each(|b| *b *= 2);
                        batch.finish(i, len);
                    }
                }
            }
        }

        fn batch_max(&self) -> usize {
            2
        }
    }

    fn through(device: &mut CpuAccelerator, kernel: u16, rows: &[&[u8]]) -> Box<Staged> {
        let mut staged = Box::new(Staged::new(8, 1_024));
        rows.iter().for_each(|r| assert!(staged.push(r, 16)));
        device.submit(KernelId(kernel), staged).unwrap();
        let mut got = None;
        device.poll(Nanos::ZERO, &mut |staged, ended| got = Some((staged, ended)));
        let (staged, ended) = got.unwrap();
        assert_eq!(ended, Ended::Run);
        staged
    }

    #[test]
    fn every_row_is_run_by_the_workers_own_kernel() {
        let mut device =
            CpuAccelerator::new(Kernels::new(vec![Box::new(Double), Box::new(Crc32c)]));
        let back = through(&mut device, 0, &[&[1, 2], &[3], &[4, 5, 6], b"f", &[7]]);
        let all: Vec<_> = (0..5).map(|i| (back.rows()[i].status, back.bytes_of(i))).collect();
        let done = |bytes: &'static [u8]| (RowStatus::Done, bytes);
        assert_eq!(all[..3], [done(&[2, 4]), done(&[6]), done(&[8, 10, 12])]);
        assert_eq!((all[3].0, all[4]), (RowStatus::Failed, done(&[14])));
        let back = through(&mut device, 1, &[b"123456789"]);
        assert_eq!(back.bytes_of(0), 0xe306_9283_u32.to_be_bytes(), "the check value of CRC-32C");
    }

    #[test]
    fn a_panic_fails_its_run_and_nothing_else() {
        let mut device = CpuAccelerator::new(Kernels::new(vec![Box::new(Double)]));
        let back = through(&mut device, 0, &[&[1], &[2], &[3], b"p", &[5]]);
        let done: Vec<_> = back.rows().iter().map(|r| r.status == RowStatus::Done).collect();
        assert_eq!(done, [true, true, false, false, true]);
        assert_eq!(back.bytes_of(4), [10]);
    }

    #[test]
    fn takes_one_batch_at_a_time_and_only_kernels_that_it_has() {
        let mut device = CpuAccelerator::new(Kernels::new(vec![Box::new(Double)]));
        let staged = || Box::new(Staged::new(1, 8));
        assert!(device.submit(KernelId(1), staged()).is_err());
        assert!(device.submit(KernelId(0), staged()).is_ok());
        assert!(device.submit(KernelId(0), staged()).is_err());
    }
}
