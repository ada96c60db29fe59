//! What a worker's thread does: its driver, its kernels, its loop until the end.

use std::io;
use std::sync::Arc;
use std::sync::mpsc::SyncSender;

use super::super::calibration::Measured;
use super::super::devices::Ways;
use super::super::sockets::WorkerSockets;
use super::super::threads::Placement;
use super::{CLOCK, WorkerEnd};
use crate::base::KernelId;
use crate::dataplane::{self, EventLoop, Idle, Own, Shared, Worker};
use crate::io::{Driver, DriverKind, PollDriver, UringDriver};
use crate::sched::batch::{self, Batches};

/// Rounds of each kernel before traffic: enough for an average of weight 1/8 to forget its start.
const WARM_UP_ROUNDS: usize = 40;
/// The payload of a warm-up run.
const WARM_UP_LEN: usize = 64;

/// What a worker thread is given.
pub(super) struct WorkerJob {
    pub(super) worker: usize,
    pub(super) options: dataplane::Options,
    pub(super) own: Own,
    pub(super) sockets: WorkerSockets,
    pub(super) ways: Ways,
    pub(super) registry: crate::kernel::Registry,
    pub(super) measured: Arc<[Option<Measured>]>,
    pub(super) batch: batch::Mode,
    pub(super) shared: Arc<Shared>,
    pub(super) idle: Idle,
    pub(super) placement: Placement,
    pub(super) max_datagram: usize,
    pub(super) seed: u64,
    pub(super) tell: SyncSender<io::Result<()>>,
}

impl WorkerJob {
    pub(super) fn run(mut self, kind: DriverKind) -> WorkerEnd {
        let pinned = self.placement.take("worker", self.worker);
        let specs = std::mem::take(&mut self.sockets.specs);
        let end = match kind {
            DriverKind::Uring => match UringDriver::new(specs, self.max_datagram) {
                Ok(driver) => self.serve(driver, pinned),
                Err(error) => return self.not_started(error),
            },
            DriverKind::Mio => match PollDriver::new(specs, self.max_datagram) {
                Ok(driver) => self.serve(driver, pinned),
                Err(error) => return self.not_started(error),
            },
        };
        if let Err(error) = &end {
            tracing::error!(%error, "worker ended");
        }
        end
    }

    fn not_started(&self, error: io::Error) -> WorkerEnd {
        let _ = self.tell.send(Err(error));
        Ok(())
    }

    fn serve(&mut self, driver: impl Driver, pinned: bool) -> WorkerEnd {
        let worker = Worker::new(&self.options, &self.own);
        let kernels = self.registry.instantiate(self.seed, &CLOCK);
        let mut turns = EventLoop::new(&CLOCK, driver, worker, kernels, &self.shared, self.idle);
        turns.note_pinned(pinned);
        turns = turns.with_devices(std::mem::take(&mut self.ways));
        let shapes = self.measured.iter().map(|m| m.as_ref().and_then(Measured::shape)).collect();
        turns = turns.with_batches(Batches::new(self.batch, shapes));
        for (k, measured) in (0..).zip(self.measured.iter()) {
            if let Some(Measured { model, payload, .. }) = measured {
                let len = (*payload).min(self.max_datagram);
                turns.note_measured(KernelId(k), len, model.predict(1), WARM_UP_ROUNDS);
            }
        }
        let guessed = |k: KernelId| self.measured.get(k.index()).is_none_or(Option::is_none);
        turns.warm_up_those(WARM_UP_LEN.min(self.max_datagram), WARM_UP_ROUNDS, guessed);
        let _ = self.tell.send(Ok(()));
        turns.run()
    }
}
