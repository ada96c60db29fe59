//! From a batch that was run to its packets' results: what it took is taken in, and each packet is finished.
//!
//! Knows no egress: where results go is `outlet`'s.

use super::worker::Worker;
use crate::base::{DropReason, Instant, Nanos};
use crate::packet::Packet;
use crate::sched::admission::CHUNK_MIN;
use crate::stats::{ClassField, RunBy, WorkerField};

impl Worker {
    /// The batch was run and took `elapsed`; `now` is its end.
    pub fn on_done(&mut self, now: Instant, elapsed: Nanos) {
        let count = self.rows.len() as u64;
        let each = Nanos::new(elapsed.get() / count.max(1));
        self.count_run(elapsed, count);
        if elapsed > CHUNK_MIN {
            self.note_whole(elapsed);
        }
        self.finish_batch(now, elapsed, each);
    }

    /// A batch of so many rows has ended, and has taken so long since it was last begun.
    #[inline]
    pub(super) fn count_run(&mut self, elapsed: Nanos, rows: u64) {
        self.last_run = elapsed;
        self.counters.add_worker(WorkerField::Runs, 1);
        self.counters.add_worker(WorkerField::OwnRows, rows);
        if let Some(first) = self.running.first() {
            self.counters.add_batch(RunBy::Worker, first.kernel, rows);
        }
        self.counters.add_worker(WorkerField::BusyTime, elapsed.get());
    }

    #[inline]
    fn finish_batch(&mut self, now: Instant, elapsed: Nanos, each: Nanos) {
        if self.admission.batches.any() {
            self.correct_batches(elapsed);
        }
        self.measure(now, each);
        if self.offload.bears_on_order() {
            return self.finish_all_in_order(now, each);
        }
        let mut first = 0;
        for i in 0..self.running.len() {
            let packet = self.running[i];
            self.finish(now, packet, first, each);
            first += usize::from(packet.count);
        }
        self.running.clear();
        self.rows.clear();
    }

    /// Holds what the batch took to what it was expected to take.
    #[inline(never)]
    fn correct_batches(&mut self, elapsed: Nanos) {
        let Self { running, rows, admission, .. } = self;
        let (mut expected, count) = (Nanos::ZERO, rows.len().max(1) as u64);
        for p in running.iter() {
            let Some(whole) = admission.batches.whole(p.bucket, rows.len()) else {
                return admission.expect(None);
            };
            expected += Nanos::new(whole.saturating_mul(p.datagrams()).get() / count);
        }
        admission.expect(Some(Nanos::new(expected.get() / count)));
        let mut last = None;
        for bucket in running.iter().map(|p| p.bucket) {
            if last.replace(bucket) != Some(bucket) {
                admission.batches.correct(bucket, expected, elapsed);
            }
        }
    }

    /// Takes in what each packet of the batch cost, neighbours that are alike at once.
    fn measure(&mut self, now: Instant, each: Nanos) {
        let Self { running, admission, counters, .. } = self;
        for alike in running.chunk_by(|a, b| (a.bucket, a.priority) == (b.bucket, b.priority)) {
            let Packet { bucket, priority, .. } = alike[0];
            let count = alike.iter().map(|p| u32::from(p.count)).sum();
            admission.record(now, bucket, priority, each, count);
            counters.add_class(priority, ClassField::Samples, u64::from(count));
            let time = each.saturating_mul(u64::from(count));
            counters.add_class(priority, ClassField::KernelTime, time.get());
        }
    }

    /// The batch could not be run: its kernel panicked.
    pub fn on_failed(&mut self, now: Instant) {
        for i in 0..self.running.len() {
            let packet = self.running[i];
            self.drop_packet(now, packet, DropReason::KernelError);
        }
        self.running.clear();
        self.rows.clear();
    }
}
