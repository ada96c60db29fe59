//! A kernel that can pause is run in chunks: between two of them the loop looks at its sockets, and the gates say what is next.
//!
//! What has paused is queued again, so it is in flight like whatever else waits. Its bytes stay where they are, and what its kernel
//! has come to stays in a place of the kernel's. Where no place is free a kernel runs to its end.

use super::worker::Worker;
use crate::base::limits::{KERNELS_MAX, PUT_BACK_MAX};
use crate::base::{KernelId, Nanos};
use crate::kernel::PLACES;
use crate::packet::Packet;
use crate::sched::estimate::SIZES;
use crate::stats::WorkerField;

// Their numbers, from 1 on, are what is put back goes by in the queue.
const _: () = assert!((PLACES as u64) < PUT_BACK_MAX, "every place has a number");
/// A bit for each place.
const ALL_FREE: u32 = (1 << PLACES) - 1;
/// The weight of the past in the mean of the long runs: 2^3.
const SHIFT: u32 = 3;

/// What has paused, and what such runs take.
#[derive(Debug)]
pub(super) struct Paused {
    /// A bit for each free place.
    free: u32,
    /// What was spent on it so far, by place.
    spent: [Nanos; PLACES],
    /// What runs took that had to pause, by bucket, in all; 0: none was seen. An average over all runs says little of those: where
    /// one in two takes 1 us and one 100, nothing takes 50.
    long: Box<[Nanos]>,
}

impl Paused {
    /// All memory is allocated here.
    pub(super) fn new() -> Self {
        Self {
            free: ALL_FREE,
            spent: [Nanos::ZERO; PLACES],
            long: vec![Nanos::ZERO; KERNELS_MAX * SIZES].into(),
        }
    }

    fn take(&mut self) -> Option<u8> {
        let place = self.free.trailing_zeros();
        (place < u32::BITS).then(|| self.free &= !(1 << place))?;
        self.spent[place as usize] = Nanos::ZERO;
        u8::try_from(place + 1).ok()
    }

    /// Frees the place of a packet that has one: what was spent on it.
    fn end(&mut self, packet: &Packet) -> Nanos {
        let Some(at) = usize::from(packet.flags.place).checked_sub(1) else { return Nanos::ZERO };
        debug_assert!(self.free >> at & 1 == 0, "a place was freed twice");
        self.free |= 1 << at;
        self.spent[at]
    }

    /// A run that had to pause took so long, or, where it was given up, longer.
    fn learn(&mut self, bucket: u16, took: Nanos, whole: bool) {
        let Some(mean) = self.long.get_mut(usize::from(bucket)) else { return };
        if *mean == Nanos::ZERO {
            *mean = if whole { took } else { took.saturating_mul(2) };
        } else if whole || took > *mean {
            *mean = Nanos::new(mean.get() - (mean.get() >> SHIFT) + (took.get() >> SHIFT));
        }
    }

    /// What is left of a run on which so much was spent. `mean`: what all runs of that bucket take.
    fn left(&self, bucket: u16, spent: Nanos, mean: Nanos) -> Nanos {
        let long = self.long.get(usize::from(bucket)).copied().unwrap_or_default();
        let total = if long == Nanos::ZERO { mean } else { long };
        // Whoever has outlasted what was known: as much again, where the tail is heavy; an eighth where it was nearly there.
        let least = if long == Nanos::ZERO { spent } else { Nanos::new(spent.get() / 8) };
        let left = if spent < total { total.saturating_sub(spent) } else { least };
        left.max(Nanos::new(1))
    }
}

/// How a batch is to be run that may pause.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Run {
    /// Where its kernel keeps what it has come to.
    pub(super) place: usize,
    /// It was begun before.
    pub(super) begun: bool,
    /// For how long it runs before it pauses.
    pub(super) chunk: Nanos,
}

impl Worker {
    /// Whether what is to be run now may pause, and how.
    #[inline]
    pub(super) fn may_pause(&mut self, kernel: KernelId) -> Option<Run> {
        if self.kernels[kernel.index()].pauses { self.prepare_to_pause() } else { None }
    }

    #[inline(never)]
    fn prepare_to_pause(&mut self) -> Option<Run> {
        let Self { running, rows, paused, admission, .. } = self;
        let [packet] = running.as_mut_slice() else { return None };
        let begun = packet.flags.place != 0;
        // Where batches are formed by rule, what has paused would be run among others.
        let chunk = match admission.chunk() {
            Some(chunk)
                if rows.len() == 1 && admission.batches.rows_of(packet.kernel).is_none() =>
            {
                chunk
            }
            _ => return None,
        };
        if !begun {
            packet.flags.place = paused.take()?;
        }
        Some(Run { place: usize::from(packet.flags.place) - 1, begun, chunk })
    }

    /// What was run has paused, after `elapsed` since it was last begun: it is queued again.
    pub(super) fn on_paused(&mut self, elapsed: Nanos) {
        self.counters.add_worker(WorkerField::BusyTime, elapsed.get());
        self.rows.clear();
        let Some(packet) = self.running.pop() else { return };
        let Packet { bucket, priority, flags, .. } = packet;
        let at = usize::from(flags.place) - 1;
        let spent = self.paused.spent[at] + elapsed;
        self.paused.spent[at] = spent;
        let mean = self.admission.estimate.predict(bucket, priority);
        let left = self.paused.left(bucket, spent, mean);
        self.rooms.put_back(priority);
        if flags.noted
            && let Some(note) = self.origins[packet.slot.index()].note
        {
            self.flows.come_back(note);
        }
        self.admission.put_back(packet, left);
    }

    /// What was run, perhaps in several parts, is done, or has failed: its place is free. Says what all parts took.
    pub(super) fn end_parts(&mut self, elapsed: Nanos) -> Nanos {
        let [packet] = self.running.as_mut_slice() else { return elapsed };
        let before = self.paused.end(packet);
        packet.flags.place = 0;
        if before > Nanos::ZERO {
            self.paused.learn(packet.bucket, before + elapsed, true);
        }
        before + elapsed
    }

    /// What has paused is dropped.
    #[cold]
    pub(super) fn give_up(&mut self, packet: &Packet) {
        let spent = self.paused.end(packet);
        if spent > Nanos::ZERO {
            self.paused.learn(packet.bucket, spent, false);
        }
    }

    /// How many have paused.
    #[must_use]
    pub const fn paused(&self) -> u32 {
        (!self.paused.free & ALL_FREE).count_ones()
    }
}
