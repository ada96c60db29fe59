//! What kernels cost, known before the first packet.

use super::EventLoop;
use crate::base::{Clock, KernelId, Nanos};
use crate::io::Driver;
use crate::kernel::{Batch, Row, RowStatus};

/// A kernel that takes longer is warmed up by fewer runs.
const WARM_UP_MAX: Nanos = Nanos::from_millis(20);

impl<C: Clock, D: Driver> EventLoop<'_, C, D> {
    /// A payload of `len` bytes was measured to take that kernel so long before the start: counts as much as a warm-up.
    pub fn note_measured(&mut self, kernel: KernelId, len: usize, took: Nanos, rounds: usize) {
        let now = self.clock.now();
        (0..rounds).for_each(|_| self.worker.record_warm_up(now, kernel, len, took));
    }

    /// Runs each kernel on a payload of `len` zero bytes a few times and notes what it costs, so that the first packets are
    /// not judged by a guess. At most `rounds` runs and about 20 ms a kernel.
    pub fn warm_up(&mut self, len: usize, rounds: usize) {
        self.warm_up_those(len, rounds, |_| true);
    }

    /// The same for those kernels only.
    pub fn warm_up_those(&mut self, len: usize, rounds: usize, those: impl Fn(KernelId) -> bool) {
        let mut bytes = vec![0; len + 64];
        for k in 0..self.kernels.len() {
            let kernel = KernelId(u16::try_from(k).unwrap_or(u16::MAX));
            if !those(kernel) {
                continue;
            }
            let until = self.clock.now() + WARM_UP_MAX;
            for _ in 0..rounds {
                let mut row =
                    [Row { start: 0, len, capacity: bytes.len(), status: RowStatus::Failed }];
                let started = self.clock.now();
                self.kernels.run(kernel, &mut Batch::new(&mut bytes, &mut row));
                let now = self.clock.now();
                self.worker.record_warm_up(now, kernel, len, now.since(started));
                if now >= until {
                    break;
                }
            }
        }
        self.publish(self.clock.now());
    }
}
