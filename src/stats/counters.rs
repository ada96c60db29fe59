//! A worker's figures as one flat table of words.

use super::latency;
use crate::base::{DropReason, IngressId, KernelId, Nanos, Priority};

/// Figures of one ingress and priority, besides drops and latency cells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub enum Field {
    /// Datagrams that reached this process.
    Received,
    /// Answered to the sender.
    Replied,
    /// Sent on: to a fixed address, to an upstream, or back from one.
    Forwarded,
    /// Gauge: received and not yet one of the others.
    InFlight,
    /// Of those replied or forwarded: finished within the deadline.
    OnTime,
    /// Of those replied or forwarded: finished after it.
    Late,
    /// Lost in the kernel's socket buffer before they reached us; no part of `Received`.
    KernelDropped,
    /// Sum of all latencies (kernel receive to result), nanoseconds.
    LatencySum,
    /// Receive stamps that the kernel did not give.
    StampMissing,
    /// Receive stamps that a clock step made unbelievable.
    ClockAnomaly,
}

const FIELDS: usize = 10;
const CELL_WORDS: usize = FIELDS + DropReason::COUNT + latency::CELLS;
/// The words of one ingress and priority.
pub type CellWords = [u64; CELL_WORDS];

/// Figures of one priority on one worker, whatever the ingress.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub enum ClassField {
    /// Gauge: packets queued.
    Depth,
    /// Packets that arrived, admitted or not.
    Arrivals,
    /// Packets that went into the queue.
    Admitted,
    /// Service times measured.
    Samples,
    /// Gauge: the moving average of the service time, nanoseconds.
    ServiceEma,
    /// Gauge: the smallest service time seen, nanoseconds; 0: none.
    ServiceMin,
    /// Time in kernels, nanoseconds.
    KernelTime,
    /// Time in kernels on packets that then finished on time, nanoseconds.
    KernelTimeUseful,
    /// Packets that were started after their deadline. Must stay 0 for classes that enforce it.
    StartedExpired,
    /// Probes admitted against the prediction.
    Probes,
    /// Packets run against the prediction that they would be late, to see whether they are.
    Audits,
    /// Of those, in time: they would have been dropped wrongly.
    AuditsInTime,
    /// Drawn for an audit as well, and found to have been refused by choice: nothing was predicted of them.
    AuditedChoices,
    /// Probes and audits that were late or dropped for it: nothing had been promised to them.
    UnpromisedLate,
    /// Times that this class waited within its guard window for High.
    Guarded,
    /// Gauge: the quota in force.
    Quota,
    /// Gauge: the guard window in force, nanoseconds.
    GuardWindow,
    /// Gauge: how much sooner than its deadline what is promised must be expected to end, nanoseconds.
    Margin,
}

const CLASS_FIELDS: usize = 18;

/// Figures of the worker as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub enum WorkerField {
    /// Loop turns.
    Turns,
    /// Times that it slept.
    Parks,
    /// The clock at the last publication, nanoseconds.
    PublishedAt,
    /// Time in kernels, nanoseconds.
    BusyTime,
    /// Sends handed to the driver (a coalesced send counts once).
    Sends,
    /// Kernel runs (a batch counts once).
    Runs,
    /// Generation of the plan in force.
    PlanGeneration,
    /// Receives that had to be armed again.
    Rearms,
    /// Messages taken from the driver (a coalesced receive counts once).
    Receives,
    /// Gauge: the moving average of what a packet costs outside its kernel, nanoseconds.
    OverheadEma,
    /// Gaps over the noise limit that the loop saw between two readings of the clock with nothing done in between.
    Gaps,
    /// The longest of them, nanoseconds.
    GapMax,
    /// Batches handed to devices beside the worker's core.
    AwayBatches,
    /// Their rows: datagrams.
    AwayRows,
    /// Of those, lost by a device.
    AwayLost,
    /// Of those, back after their deadline.
    AwayLate,
    /// Packets away that their flows have gone on without.
    GapsGivenUp,
    /// Gauge: the most packets that the last window could have had on time.
    Possible,
    /// Gauge: those that it had.
    OnTime,
    /// Gauge: the most value that the last window could have had on time.
    ValuePossible,
    /// Gauge: that which it had.
    ValueOnTime,
    /// Batches handed to the GPU; [`WorkerField::AwayBatches`] counts them too.
    GpuBatches,
    /// Their rows.
    GpuRows,
    /// Time of the GPU on them, nanoseconds.
    GpuTime,
    /// What of it, and of the way there, moved data and began, nanoseconds.
    GpuTransfer,
    /// Choices: it saves the transfer as many times as the rule asks for.
    ChosePays,
    /// It does not pay to leave it.
    ChoseStays,
    /// Seed 000's table.
    ChoseTable,
    /// It is tried out.
    ChoseTrial,
    /// Only it is in time.
    ChoseInTime,
    /// Choices against it: a core costs less.
    KeptCheaper,
    /// Its breaker says no.
    KeptBreaker,
    /// Its breaker says no, and nothing else is to serve.
    KeptRejected,
    /// Nobody would be in time.
    KeptLate,
    /// Its queue is long enough.
    KeptQueue,
    /// Times that a run has paused; what it has come to goes on later.
    Pauses,
    /// Rows of [`WorkerField::Runs`]: datagrams.
    OwnRows,
    /// Time with nothing to do, looking or asleep, nanoseconds.
    IdleTime,
    /// Gauge: 1 where it got the core that it asked for at its start.
    Pinned,
}

const WORKER_FIELDS: usize = 39;

/// Who runs batches, in the figures of their sizes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub enum RunBy {
    /// The worker itself.
    Worker,
    /// A helper.
    Helper,
    /// The GPU.
    Gpu,
}

impl RunBy {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Worker, Self::Helper, Self::Gpu];

    /// The name in figures.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Worker => "cpu",
            Self::Helper => "helper",
            Self::Gpu => "gpu",
        }
    }
}

/// Sizes of batches that are told apart: 1 row, 2, up to 4, 8, … 1,024, and more.
pub const BATCH_SIZES: usize = 12;

/// The most rows of size number `i`; the last has no bound.
#[must_use]
pub const fn batch_rows_max(i: usize) -> Option<u64> {
    if i + 1 < BATCH_SIZES { Some(1 << i) } else { None }
}

const BATCH_WORDS: usize = RunBy::ALL.len() * BATCH_SIZES;
/// Batches and their rows.
const RAN_WORDS: usize = 2;
/// What is not of one priority.
const HEAD: usize = WORKER_FIELDS + BATCH_WORDS;

/// Where each figure stands in the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    ingresses: usize,
    kernels: usize,
}

impl Layout {
    /// The table for a service with that many ingresses.
    #[must_use]
    pub const fn new(ingresses: usize) -> Self {
        Self { ingresses, kernels: 0 }
    }

    /// With room for what is run by so many kernels. What those beyond run is in the sums alone.
    #[must_use]
    pub const fn with_kernels(self, kernels: usize) -> Self {
        Self { kernels, ..self }
    }

    /// How many ingresses it has room for.
    #[must_use]
    pub const fn ingresses(self) -> usize {
        self.ingresses
    }

    /// How many words the table has.
    #[must_use]
    pub const fn words(self) -> usize {
        self.ran() + RunBy::ALL.len() * RAN_WORDS * self.kernels
    }

    /// Where begins what each kernel ran.
    const fn ran(self) -> usize {
        HEAD + CLASS_FIELDS * Priority::COUNT + CELL_WORDS * Priority::COUNT * self.ingresses
    }

    const fn class(priority: Priority, field: ClassField) -> usize {
        HEAD + CLASS_FIELDS * priority.index() + field as usize
    }

    const fn cell(ingress: IngressId, priority: Priority) -> usize {
        HEAD + CLASS_FIELDS * Priority::COUNT
            + CELL_WORDS * (Priority::COUNT * ingress.index() + priority.index())
    }
}

/// One worker's figures: written by it alone, without atomics.
#[derive(Clone, Debug)]
pub struct Counters {
    layout: Layout,
    words: Box<[u64]>,
}

impl Counters {
    /// All zero.
    #[must_use]
    pub fn new(layout: Layout) -> Self {
        Self { layout, words: vec![0; layout.words()].into_boxed_slice() }
    }

    /// The table's layout.
    #[must_use]
    pub const fn layout(&self) -> Layout {
        self.layout
    }

    /// The whole table: what a [`super::Board`] shows.
    #[must_use]
    pub const fn words(&self) -> &[u64] {
        &self.words
    }

    /// The whole table, to be filled from a board.
    #[must_use]
    pub const fn words_mut(&mut self) -> &mut [u64] {
        &mut self.words
    }

    /// Adds to a figure of the worker.
    #[inline]
    pub fn add_worker(&mut self, field: WorkerField, n: u64) {
        self.words[field as usize] += n;
    }

    /// Sets a gauge of the worker.
    #[inline]
    pub fn set_worker(&mut self, field: WorkerField, n: u64) {
        self.words[field as usize] = n;
    }

    /// A figure of the worker.
    #[must_use]
    pub const fn worker(&self, field: WorkerField) -> u64 {
        self.words[field as usize]
    }

    /// Counts a batch of that many rows of that kernel.
    #[inline]
    pub fn add_batch(&mut self, by: RunBy, kernel: KernelId, rows: u64) {
        let size = rows.max(1).next_power_of_two().trailing_zeros() as usize;
        self.words[Self::batches_of(by) + size.min(BATCH_SIZES - 1)] += 1;
        let at = self.ran_at(by, kernel);
        if kernel.index() < self.layout.kernels
            && let Some([batches, sum]) = self.words.get_mut(at..at + RAN_WORDS)
        {
            *batches += 1;
            *sum += rows;
        }
    }

    /// Batches and rows of a kernel that were run by `by`.
    #[must_use]
    pub fn ran(&self, by: RunBy, kernel: KernelId) -> (u64, u64) {
        if kernel.index() >= self.layout.kernels {
            return (0, 0);
        }
        let at = self.ran_at(by, kernel);
        (self.words[at], self.words[at + 1])
    }

    const fn ran_at(&self, by: RunBy, kernel: KernelId) -> usize {
        self.layout.ran() + RAN_WORDS * (self.layout.kernels * by as usize + kernel.index())
    }

    /// The batches of each size that were run by `by`, smallest first.
    #[must_use]
    pub fn batches(&self, by: RunBy) -> &[u64] {
        &self.words[Self::batches_of(by)..][..BATCH_SIZES]
    }

    const fn batches_of(by: RunBy) -> usize {
        WORKER_FIELDS + BATCH_SIZES * by as usize
    }

    /// Adds to a figure of a priority.
    #[inline]
    pub fn add_class(&mut self, priority: Priority, field: ClassField, n: u64) {
        self.words[Layout::class(priority, field)] += n;
    }

    /// Sets a gauge of a priority.
    #[inline]
    pub fn set_class(&mut self, priority: Priority, field: ClassField, n: u64) {
        self.words[Layout::class(priority, field)] = n;
    }

    /// A figure of a priority.
    #[must_use]
    pub const fn class(&self, priority: Priority, field: ClassField) -> u64 {
        self.words[Layout::class(priority, field)]
    }

    /// The figures of one ingress and priority, to be changed.
    ///
    /// # Panics
    /// When there is no such ingress.
    #[inline]
    pub fn cell(&mut self, ingress: IngressId, priority: Priority) -> Cell<&mut CellWords> {
        let at = Layout::cell(ingress, priority);
        Cell(self.words[at..].first_chunk_mut().expect("every ingress has its cells"))
    }

    /// The figures of one ingress and priority.
    ///
    /// # Panics
    /// When there is no such ingress.
    #[must_use]
    pub fn view(&self, ingress: IngressId, priority: Priority) -> Cell<&CellWords> {
        let at = Layout::cell(ingress, priority);
        Cell(self.words[at..].first_chunk().expect("every ingress has its cells"))
    }

    /// How many of that priority were admitted in the belief that they would be in time, and were not. Adds up all ingresses.
    #[must_use]
    pub fn late_after_admit(&self, priority: Priority) -> u64 {
        let late_of = |i| {
            let cell = self.view(IngressId(u16::try_from(i).unwrap_or(u16::MAX)), priority);
            let reasons = DropReason::ALL.iter().filter(|r| r.is_late_after_admit());
            cell.get(Field::Late) + reasons.map(|r| cell.dropped(*r)).sum::<u64>()
        };
        let late: u64 = (0..self.layout.ingresses()).map(late_of).sum();
        late.saturating_sub(self.class(priority, ClassField::UnpromisedLate))
    }

    /// Adds another worker's cells to this one's: the totals of a service. Class and worker figures are left alone.
    pub fn merge_cells(&mut self, other: &Self) {
        let from = Layout::cell(IngressId(0), Priority::High);
        for (a, b) in self.words[from..].iter_mut().zip(&other.words[from..]) {
            *a += b;
        }
    }
}

/// The figures of one ingress and priority.
#[derive(Debug)]
pub struct Cell<W>(W);

impl Cell<&mut CellWords> {
    /// Adds to a figure.
    #[inline]
    pub fn add(&mut self, field: Field, n: u64) {
        self.0[field as usize] += n;
    }

    /// Counts `n` packets as received and in flight.
    #[inline]
    pub fn take_in(&mut self, n: u64) {
        self.add(Field::Received, n);
        self.add(Field::InFlight, n);
    }

    /// Takes from a gauge.
    #[inline]
    pub fn sub(&mut self, field: Field, n: u64) {
        debug_assert!(self.0[field as usize] >= n, "{field:?} would go below zero");
        self.0[field as usize] -= n;
    }

    /// Sets a figure.
    #[inline]
    pub fn set(&mut self, field: Field, n: u64) {
        self.0[field as usize] = n;
    }

    /// Counts `n` drops for that reason.
    #[inline]
    pub fn drop(&mut self, reason: DropReason, n: u64) {
        self.0[FIELDS + reason.index()] += n;
    }

    /// Takes in the latency of `n` packets that had the same.
    #[inline]
    pub fn latencies_of(&mut self, latency: Nanos, n: u64) {
        self.0[Field::LatencySum as usize] += latency.saturating_mul(n).get();
        self.0[FIELDS + DropReason::COUNT + latency::cell(latency)] += n;
    }
}

impl Cell<&CellWords> {
    /// A figure.
    #[must_use]
    pub const fn get(&self, field: Field) -> u64 {
        self.0[field as usize]
    }

    /// Drops for that reason.
    #[must_use]
    pub const fn dropped(&self, reason: DropReason) -> u64 {
        self.0[FIELDS + reason.index()]
    }

    /// All drops of received packets.
    #[must_use]
    pub fn dropped_total(&self) -> u64 {
        self.0[FIELDS..FIELDS + DropReason::COUNT].iter().sum()
    }

    /// Packets in each latency cell (see [`latency`]).
    #[must_use]
    pub fn latencies(&self) -> &[u64] {
        &self.0[FIELDS + DropReason::COUNT..]
    }

    /// `received − (replied + forwarded + dropped + in flight)`: zero, always.
    #[must_use]
    pub fn unaccounted(&self) -> i128 {
        let out =
            [Field::Replied, Field::Forwarded, Field::InFlight].map(|f| i128::from(self.get(f)));
        i128::from(self.get(Field::Received))
            - out.iter().sum::<i128>()
            - i128::from(self.dropped_total())
    }
}

const _: () = assert!(Field::ClockAnomaly as usize + 1 == FIELDS, "FIELDS sizes the cell");
const _: () =
    assert!(ClassField::Margin as usize + 1 == CLASS_FIELDS, "CLASS_FIELDS sizes the class block");
const _: () = assert!(
    WorkerField::Pinned as usize + 1 == WORKER_FIELDS,
    "WORKER_FIELDS sizes the worker block"
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_do_not_share_words() {
        let mut c = Counters::new(Layout::new(3).with_kernels(2));
        let mut n = 0;
        for i in 0..3 {
            for p in Priority::ALL {
                for r in DropReason::ALL {
                    n += 1;
                    c.cell(IngressId(i), p).drop(*r, n);
                }
                n += 1;
                c.cell(IngressId(i), p).add(Field::Received, n);
            }
        }
        for p in Priority::ALL {
            n += 1;
            c.add_class(p, ClassField::Depth, n);
        }
        c.set_worker(WorkerField::GapMax, n + 1);
        c.set_worker(WorkerField::Pinned, n + 2);
        n += 2;
        assert_eq!(c.words().iter().filter(|w| **w != 0).count() as u64, n);
        for by in RunBy::ALL {
            for (kernel, rows) in [(0, 1), (1, 4), (1, 4)] {
                c.add_batch(by, KernelId(kernel), rows);
            }
            // Two sizes, and two words for each kernel.
            n += 6;
            assert_eq!([0, 1].map(|k| c.ran(by, KernelId(k))), [(1, 1), (2, 8)]);
        }
        assert_eq!(c.words().iter().filter(|w| **w != 0).count() as u64, n);
        // Of a kernel that the table has no room for the sums are kept, and nothing else is touched.
        c.add_batch(RunBy::Gpu, KernelId(2), 1);
        assert_eq!(c.words().iter().filter(|w| **w != 0).count() as u64, n);
        assert_eq!((c.ran(RunBy::Gpu, KernelId(2)), c.batches(RunBy::Gpu)[0]), ((0, 0), 2));
        assert_eq!(c.words().len(), c.layout().words());
    }

    #[test]
    fn the_law_is_seen_when_broken() {
        let mut c = Counters::new(Layout::new(1));
        let mut cell = c.cell(IngressId(0), Priority::High);
        cell.add(Field::Received, 10);
        cell.add(Field::Replied, 7);
        cell.add(Field::InFlight, 2);
        assert_eq!(c.view(IngressId(0), Priority::High).unaccounted(), 1);
        c.cell(IngressId(0), Priority::High).drop(DropReason::PredictedMiss, 1);
        assert_eq!(c.view(IngressId(0), Priority::High).unaccounted(), 0);
    }
}
