//! From the queue to a batch: what is run next, with what beside it, and what can no longer make it.
//!
//! Knows no kernel but how many rows of it are worth a run.

use super::worker::Worker;
use crate::base::limits::KERNEL_BATCH_MAX;
use crate::base::{DropReason, Instant, KernelId, Nanos};
use crate::kernel::{Row, RowStatus};
use crate::packet::Packet;
use crate::sched::admission::Dispatch;
use crate::stats::ClassField;

impl Worker {
    /// Takes the next packets out of the queue, as many as one run is worth within a slice, all for one kernel.
    #[inline]
    pub(super) fn next_batch(&mut self, now: Instant) -> Option<KernelId> {
        let first = self.next_packet(now, ANYTHING)?;
        let options = self.kernels[first.kernel.index()];
        if options.pauses && self.begin_parts(&first) {
            self.fill_parts(now, first);
            return Some(first.kernel);
        }
        if let Some(most) = self.admission.batches.rows_of(first.kernel) {
            self.fill_batch(now, first, most.min(KERNEL_BATCH_MAX));
            return Some(first.kernel);
        }
        let most = options.batch_max.min(KERNEL_BATCH_MAX);
        let overhead = self.admission.overhead();
        // Each member is judged by when its turn would come if each were received and sent between two runs. The slice
        // is a matter of the kernel's time alone: receiving and sending are not done within it.
        let mut starts = now + first.whole;
        let each = first.each.saturating_sub(overhead);
        let mut in_kernel = first.in_kernel(overhead);
        while self.rows.len() < most && in_kernel + each <= self.plan.slice {
            let wanted = whole_for(first.kernel, most - self.rows.len());
            let Some(next) = self.next_packet(starts, wanted) else { break };
            starts = starts + next.whole;
            in_kernel += next.in_kernel(overhead);
        }
        Some(first.kernel)
    }

    /// The same for a kernel of which it is known what its batches cost: `most` rows take no longer than a slice.
    fn fill_batch(&mut self, now: Instant, first: Taken, most: usize) {
        while self.rows.len() < most {
            let wanted = whole_for(first.kernel, most - self.rows.len());
            if self.next_packet(self.row_starts(now, first.bucket), wanted).is_none() {
                break;
            }
        }
    }

    /// By when the next member of a batch is judged: by when its row would be done if the batch ended with it.
    pub(super) fn row_starts(&self, now: Instant, bucket: u16) -> Instant {
        let (rows, overhead) = (self.rows.len(), self.admission.overhead());
        let whole = |rows| self.admission.batches.whole(bucket, rows);
        // Alone it would take what a batch of one does: that is added where it is judged.
        let before = whole(rows + 1).zip(whole(1)).map(|(with, one)| with.saturating_sub(one));
        now + before.unwrap_or(Nanos::ZERO) + overhead.saturating_mul(rows as u64)
    }

    /// Takes the head of the queue into the batch, if it is wanted; drops what can no longer make it.
    #[inline]
    pub(super) fn next_packet(
        &mut self,
        starts: Instant,
        only: Option<impl Fn(&Packet) -> bool>,
    ) -> Option<Taken> {
        loop {
            let dispatched = match &only {
                Some(wanted) => self.admission.dispatch_if(starts, wanted),
                None if self.high_passes(starts) => self.admission.dispatch_high(starts),
                None => self.admission.dispatch(starts),
            };
            match dispatched {
                Dispatch::Run(&packet) => return Some(self.take(starts, packet)),
                Dispatch::Part(&packet, in_time) => {
                    self.count_drop(&packet, packet.count - in_time, DropReason::LateAtDispatch);
                    return Some(self.take(starts, Packet { count: in_time, ..packet }));
                }
                Dispatch::TooLate(&packet, reason) => {
                    if let Some(audit) = self.audit(starts, packet, reason) {
                        return Some(self.take(starts, audit));
                    }
                    self.leave_queue(&packet);
                    self.drop_packet(starts, packet, reason);
                }
                Dispatch::Empty => return None,
            }
        }
    }

    /// Whether High goes before a held packet that is due earlier but can wait (only ever right after a guard window).
    #[inline]
    fn high_passes(&self, now: Instant) -> bool {
        self.guard.is_holding()
            && self
                .admission
                .peek()
                .is_some_and(|head| self.guard.lets_high_pass(now, &head, &self.admission))
    }

    #[inline]
    fn take(&mut self, now: Instant, packet: Packet) -> Taken {
        self.rooms.served(packet.priority, u32::from(packet.count));
        if packet.priority.enforces_deadline() && now >= packet.deadline {
            let count = packet.datagrams();
            self.counters.add_class(packet.priority, ClassField::StartedExpired, count);
        }
        self.leave_queue(&packet);
        let header = packet.header_len();
        let start = self.pool.offset(packet.slot) + header;
        let len = usize::from(packet.len) - header;
        let status = RowStatus::Failed;
        if packet.count == 1 {
            let capacity = self.pool.slot_len() - header;
            self.rows.push(Row { start, len, capacity, status });
        } else {
            let row = |i| Row { start: start + i * len, len, capacity: len, status };
            self.rows.extend((0..usize::from(packet.count)).map(row));
        }
        self.running.push(packet);
        let each = packet.service;
        let whole = if packet.count == 1 { each } else { each.saturating_mul(packet.datagrams()) };
        Taken { kernel: packet.kernel, bucket: packet.bucket, count: packet.count, each, whole }
    }
}

/// Whatever is next.
const ANYTHING: Option<fn(&Packet) -> bool> = None;

/// What is run to its end by that kernel and has no more datagrams than there is room for.
#[inline]
fn whole_for(kernel: KernelId, room: usize) -> Option<impl Fn(&Packet) -> bool> {
    let room = u16::try_from(room).unwrap_or(u16::MAX);
    Some(move |p: &Packet| p.kernel == kernel && p.count <= room && p.flags.place == 0)
}

/// What was taken out of the queue to be run.
#[derive(Clone, Copy, Debug)]
pub(super) struct Taken {
    pub(super) kernel: KernelId,
    pub(super) bucket: u16,
    count: u16,
    /// What each of its datagrams is expected to cost, and all together.
    pub(super) each: Nanos,
    whole: Nanos,
}

impl Taken {
    /// What all together are expected to take in the kernel.
    #[inline]
    fn in_kernel(self, overhead: Nanos) -> Nanos {
        self.whole.saturating_sub(overhead.saturating_mul(u64::from(self.count)))
    }
}
