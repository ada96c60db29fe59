//! A kernel that can pause is run in chunks: between two of them the loop looks at its sockets, and the gates say what is next.
//!
//! What has paused is queued again, so it is in flight like whatever else waits. Its bytes stay where they are, and what its kernel
//! has come to stays in a place of the kernel's. Where no place is free a kernel runs to its end. So does what is done within a chunk
//! anyway.
//!
//! Rows that a kernel follows side by side pause together, each with a place of its own, and are taken up again as the queue has them:
//! together, or fewer, or with others. None leaves before those that stood before it, so a flow's order holds.

use super::dispatch::Taken;
use super::worker::Worker;
use crate::base::limits::{KERNELS_MAX, PUT_BACK_MAX};
use crate::base::{Instant, Nanos};
use crate::kernel::{PLACES, Place};
use crate::packet::Packet;
use crate::sched::estimate::SIZES;
use crate::stats::{ClassField, WorkerField};

// What is put back goes by these numbers in the queue.
const _: () =
    assert!((PLACES * PLACES) as u64 <= PUT_BACK_MAX, "every turn and place have a number");
/// A bit for each place.
const ALL_FREE: u32 = (1 << PLACES) - 1;
/// The weight of the past in the mean of the long runs: 2^3.
const SHIFT: u32 = 3;

/// What was spent on a row.
#[derive(Clone, Copy, Debug, Default)]
struct Spent {
    /// Its share of what the batches took that it was in.
    share: Nanos,
    /// What it would have taken alone, where it is known what company is worth.
    alone: Nanos,
    /// In so many of them.
    parts: u32,
}

/// What has paused, and what such runs take.
#[derive(Debug)]
pub(super) struct Paused {
    /// A bit for each free place.
    free: u32,
    /// A bit for each that a kernel keeps something in.
    begun: u32,
    /// What was spent on it so far, by place.
    spent: [Spent; PLACES],
    /// The batch that is formed or run now is run in parts, each so long.
    chunk: Option<Nanos>,
    /// What runs took that had to pause, by bucket, in all; 0: none was seen. An average over all runs says little of those: where
    /// one in two takes 1 us and one 100, nothing takes 50.
    long: Box<[Nanos]>,
}

impl Paused {
    /// All memory is allocated here.
    pub(super) fn new() -> Self {
        Self {
            free: ALL_FREE,
            begun: 0,
            spent: [Spent::default(); PLACES],
            chunk: None,
            long: vec![Nanos::ZERO; KERNELS_MAX * SIZES].into(),
        }
    }

    fn take(&mut self) -> Option<u8> {
        let place = self.free.trailing_zeros();
        (place < u32::BITS).then(|| self.free &= !(1 << place))?;
        self.begun &= !(1 << place);
        self.spent[place as usize] = Spent::default();
        u8::try_from(place + 1).ok()
    }

    /// Frees the place of a packet that has one: what was spent on it.
    fn end(&mut self, packet: &Packet) -> Spent {
        let Some(at) = usize::from(packet.flags.place).checked_sub(1) else {
            return Spent::default();
        };
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

    /// What runs of that bucket take that had to pause; nothing where none had to.
    fn long_runs(&self, bucket: u16) -> Nanos {
        self.long.get(usize::from(bucket)).copied().unwrap_or_default()
    }

    /// What is left of a run on which so much was spent. `mean`: what all runs of that bucket take.
    fn left(&self, bucket: u16, spent: Nanos, mean: Nanos) -> Nanos {
        let long = self.long_runs(bucket);
        let total = if long == Nanos::ZERO { mean } else { long };
        // Whoever has outlasted what was known: as much again, where the tail is heavy; an eighth where it was nearly there.
        let least = if long == Nanos::ZERO { spent } else { Nanos::new(spent.get() / 8) };
        let left = if spent < total { total.saturating_sub(spent) } else { least };
        left.max(Nanos::new(1))
    }
}

/// The number by which a packet waits that was put back: those that are due at once keep their turns, and by its place no other that
/// waits has the same.
const fn number_of(turn: u64, place: u8) -> u64 {
    turn * PLACES as u64 + place as u64 - 1
}

/// How a batch is to be run that may pause.
#[derive(Clone, Copy, Debug)]
pub(super) struct Run {
    /// Where its kernel keeps what it has come to, row by row.
    places: [Place; PLACES],
    rows: usize,
    /// For how long it runs before it pauses.
    pub(super) chunk: Nanos,
}

impl Run {
    /// By row.
    pub(super) fn places(&self) -> &[Place] {
        &self.places[..self.rows]
    }
}

impl Worker {
    /// The first packet of a batch was taken, whose kernel can pause: whether it is run in parts. So is what was begun, and
    /// what will take longer than a chunk.
    pub(super) fn begin_parts(&mut self, first: &Taken) -> bool {
        let Self { running, rows, paused, admission, kernels, .. } = self;
        let ([packet], 1) = (running.as_mut_slice(), rows.len()) else { return false };
        if packet.flags.place != 0 {
            paused.chunk = Some(admission.chunk().unwrap_or(Nanos::MAX));
            return true;
        }
        let Some(chunk) = admission.chunk() else { return false };
        // Busy work is one row at a time and its time may be anything: it is asked each time.
        if kernels[first.kernel.index()].batch_max > 1 {
            let alone = admission.batches.whole(first.bucket, 1);
            let usual = alone.unwrap_or_else(|| first.each.saturating_sub(admission.overhead()));
            if usual.max(paused.long_runs(first.bucket)) <= chunk {
                return false;
            }
        }
        let Some(place) = paused.take() else { return false };
        packet.flags.place = place;
        paused.chunk = Some(chunk);
        true
    }

    /// Those join it that would in any batch, begun or not, as long as there are places. A kernel that gains nothing by company runs
    /// one at a time.
    pub(super) fn fill_parts(&mut self, now: Instant, first: Taken) {
        let most = self.admission.batches.rows_of(first.kernel).unwrap_or(1).min(PLACES);
        while self.rows.len() < most {
            let room = self.paused.free != 0;
            let wanted = |p: &Packet| {
                p.kernel == first.kernel && p.count == 1 && (room || p.flags.place != 0)
            };
            if self.next_packet(self.row_starts(now, first.bucket), Some(wanted)).is_none() {
                return;
            }
            let Self { running, paused, .. } = self;
            if let Some(packet) = running.last_mut().filter(|p| p.flags.place == 0)
                && let Some(place) = paused.take()
            {
                packet.flags.place = place;
            }
        }
    }

    /// How what is to be run now may pause, if it may.
    #[inline]
    pub(super) fn may_pause(&mut self) -> Option<Run> {
        if self.paused.chunk.is_some() { self.prepare_to_pause() } else { None }
    }

    #[inline(never)]
    fn prepare_to_pause(&mut self) -> Option<Run> {
        let chunk = self.paused.chunk.take()?;
        let chunk = self.stretched(chunk);
        let Self { running, paused, .. } = self;
        let mut run =
            Run { places: [Place { at: 0, begun: false }; PLACES], rows: running.len(), chunk };
        for (place, packet) in run.places.iter_mut().zip(running) {
            let at = usize::from(packet.flags.place) - 1;
            *place = Place { at, begun: paused.begun >> at & 1 == 1 };
            paused.begun |= 1 << at;
        }
        Some(run)
    }

    /// What the next run is likely to take: as long as the last, or a chunk where something has paused.
    #[inline]
    pub(super) fn next_run(&self) -> Nanos {
        match self.admission.chunk() {
            Some(chunk) if self.paused.free != ALL_FREE => self.last_run.max(chunk),
            _ => self.last_run,
        }
    }

    /// What is over within half a chunk more is not cut for that: a pause costs a turn. It gets two, for it may take longer.
    fn stretched(&self, chunk: Nanos) -> Nanos {
        let [packet] = self.running.as_slice() else { return chunk };
        let believed = packet.service.saturating_sub(self.admission.overhead());
        let unbegun = self.paused.spent[usize::from(packet.flags.place) - 1].parts == 0;
        let left =
            if unbegun { believed.max(self.paused.long_runs(packet.bucket)) } else { believed };
        let nearly = Nanos::new(chunk.get().saturating_add(chunk.get() / 2));
        if left <= nearly { chunk.saturating_mul(2) } else { chunk }
    }

    /// A part of a run is over at `now` and took `elapsed`; so many rows, from the first on, are done. Says whether any has paused.
    #[inline(never)]
    pub(super) fn on_part(&mut self, now: Instant, elapsed: Nanos, done: usize) -> bool {
        self.note_part(elapsed);
        let pauses = self.running.len() > done;
        self.counters.add_worker(WorkerField::Pauses, u64::from(pauses));
        self.put_back_from(done);
        if done > 0 {
            self.count_run(elapsed, done as u64);
            self.finish_parts(now);
        } else {
            self.counters.add_worker(WorkerField::BusyTime, elapsed.get());
        }
        self.rows.clear();
        pauses
    }

    /// Each row of the batch is charged its share.
    fn note_part(&mut self, elapsed: Nanos) {
        let Self { running, paused, admission, .. } = self;
        let rows = running.len();
        let share = Nanos::new(elapsed.get() / rows.max(1) as u64);
        for packet in running.iter() {
            let whole = |rows| admission.batches.whole(packet.bucket, rows).map(Nanos::get);
            let (one, all) = (whole(1).unwrap_or(1), whole(rows).unwrap_or(1));
            let spent = &mut paused.spent[usize::from(packet.flags.place) - 1];
            spent.parts = spent.parts.saturating_add(1);
            spent.share += share;
            spent.alone += Nanos::new(elapsed.get().saturating_mul(one) / all.max(1));
        }
    }

    /// Those rows of the batch from `first` on have paused: they are queued again, in their order.
    fn put_back_from(&mut self, first: usize) {
        let mut last = None;
        let mut turn = 0;
        for i in first..self.running.len() {
            let packet = self.running[i];
            let due = (packet.deadline, packet.priority);
            turn = if last.replace(due) == Some(due) { turn + 1 } else { 0 };
            self.put_back(packet, number_of(turn, packet.flags.place));
        }
        self.running.truncate(first);
    }

    fn put_back(&mut self, packet: Packet, number: u64) {
        let Packet { bucket, priority, flags, .. } = packet;
        let spent = self.paused.spent[usize::from(flags.place) - 1].share;
        let mean = self.admission.estimate.predict(bucket, priority);
        let left = self.paused.left(bucket, spent, mean);
        self.rooms.put_back(priority);
        if flags.noted
            && let Some(note) = self.origins[packet.slot.index()].note
        {
            self.flows.come_back(note);
        }
        self.admission.put_back(packet, left, number);
    }

    /// The rows of the batch that are left in it are done, perhaps after several parts. Each is one sample of all its parts.
    #[inline(never)]
    fn finish_parts(&mut self, now: Instant) {
        let mut took = [Nanos::ZERO; PLACES];
        self.admission.expect(None);
        for (packet, took) in self.running.iter_mut().zip(&mut took) {
            let Self { paused, admission, counters, .. } = self;
            let spent = paused.end(packet);
            packet.flags.place = 0;
            let Packet { bucket, priority, .. } = *packet;
            admission.record(now, bucket, priority, spent.share, 1);
            counters.add_class(priority, ClassField::Samples, 1);
            counters.add_class(priority, ClassField::KernelTime, spent.share.get());
            if let Some(one) = admission.batches.whole(packet.bucket, 1) {
                admission.batches.correct(packet.bucket, one, spent.alone);
            }
            if spent.parts > 1 {
                paused.learn(packet.bucket, spent.share, true);
            }
            *took = spent.share;
        }
        let in_order = self.offload.bears_on_order();
        for (i, took) in took.into_iter().enumerate().take(self.running.len()) {
            let packet = self.running[i];
            if in_order {
                self.finish_in_order(now, packet, i, took);
            } else {
                self.finish_apart(now, packet, i, took);
            }
        }
        self.running.clear();
        if in_order {
            self.release(now);
        }
    }

    /// A batch was run to its end and took longer than the shortest chunk: such work is run in parts from now on, if it is one row
    /// that takes longer than two chunks. An average says little where one in ten takes long.
    #[inline(never)]
    pub(super) fn note_whole(&mut self, elapsed: Nanos) {
        let Self { running, rows, paused, admission, kernels, .. } = self;
        if let ([packet], 1) = (running.as_slice(), rows.len())
            && kernels[packet.kernel.index()].pauses
            && admission.chunk().is_some_and(|chunk| elapsed > chunk.saturating_mul(2))
        {
            paused.learn(packet.bucket, elapsed, true);
        }
    }

    /// What has paused is dropped.
    #[cold]
    pub(super) fn give_up(&mut self, packet: &Packet) {
        let spent = self.paused.end(packet).share;
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
