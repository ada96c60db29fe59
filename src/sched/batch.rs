//! What a packet adds to the batch that it will ride in: T(B+1) - T(B), by batches that were measured.
//!
//! Knows no kernel and no backend: it is told times by rows. A kernel whose rows cost the same in any batch has no shape here, and
//! is predicted by `sched::estimate` alone.
//!
//! A worker takes what is queued up to a bound and never waits, so a packet that finds n of its kind waiting will be the
//! (n mod bound + 1)th of its batch. The shape says what that row costs by a batch of one; each bucket of sizes knows its own batch
//! of one, corrected by every batch that is run: `s := (7 s + seen / measured) / 8`.

use super::estimate::SIZES;
use super::guard::SLICE_MAX;
use crate::base::limits::{KERNEL_BATCH_MAX, KERNELS_MAX};
use crate::base::{KernelId, Nanos, PerPriority, Priority};

/// The most rows of a batch.
const ROWS_MAX: usize = KERNEL_BATCH_MAX;
/// A shape's unit, a batch of one row, as a ratio: 16 fractional bits.
const ONE: u64 = 1 << 16;
/// The bits of a bucket's batch of one beyond the nanosecond.
const FRACTION: u32 = 8;
/// A row of a full batch that is cheaper than a batch of one by no more than this, or by no more than a twentieth, costs the same in
/// any: a packet costs several times that outside of its kernel.
const FLAT: Nanos = Nanos::new(100);
const FLAT_PART: u64 = 20;
/// A batch may take longer than a slice by as much as the first row alone does, and a quarter: rows on the same step of the
/// staircase are nearly free, and to leave them queued would only pay for the step once more.
const STEP_PART: u64 = 4;
/// A batch may also last so many slices, but no longer than a slice may ever be, until its rows are within a thirtieth as cheap as
/// in any batch of that length: a slice of 5 us may end between two steps of the vectors.
const STRETCH: u64 = 4;
const STRETCHED_MAX: Nanos = SLICE_MAX;
const NEAR_PART: u64 = 30;
/// One batch counts for at most so many times what was expected, and for at least that part of it.
const SEEN_MAX: u64 = 4;

/// How batches are formed, and what a packet is expected to add to one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// Batches within a slice by what they were measured to cost; a packet adds what its row of its batch costs.
    #[default]
    Cost,
    /// The same batches; each packet is charged a batch of its own. For comparison.
    Single,
    /// No shapes: batches within a slice by the moving average of what a packet did cost, and that is what is charged.
    Average,
    /// Batches of up to so many rows, whatever the slice; a packet is charged its part of a full one. For comparison.
    Fixed(u8),
}

/// What batches of one kernel cost: by rows from 1 on, nanoseconds that do not fall.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shape {
    /// By rows from 0 on, in units of a batch of one.
    whole: Box<[u64]>,
    /// Past so many rows a batch gains nothing.
    worth: usize,
    /// A batch of one, nanoseconds.
    one: u64,
}

impl Shape {
    /// Of the times of 1, 2, … rows; past [`KERNEL_BATCH_MAX`] they are left out. A batch of more than `worth` rows gains nothing.
    /// None where a row costs the same in any batch, or nothing was measured.
    #[must_use]
    pub fn new(times: &[Nanos], worth: usize) -> Option<Self> {
        let times = times.get(..ROWS_MAX).unwrap_or(times);
        let (one, most) = (times.first()?.get().max(1), times.len() as u64);
        let gain = one.saturating_sub(times.last()?.get() / most);
        if gain <= FLAT.get() || gain <= one / FLAT_PART {
            return None;
        }
        let mut rows = 0;
        let rise = |t: &Nanos| {
            rows = rows.max(
                u64::try_from(u128::from(t.get()) * u128::from(ONE) / u128::from(one))
                    .unwrap_or(u64::MAX),
            );
            rows
        };
        let whole = std::iter::once(0).chain(times.iter().map(rise)).collect();
        Some(Self { whole, worth: worth.clamp(1, times.len()), one })
    }

    /// Past so many rows a batch gains nothing.
    #[must_use]
    pub const fn worth(&self) -> usize {
        self.worth
    }

    /// The largest batch that was measured.
    const fn rows_max(&self) -> usize {
        self.whole.len() - 1
    }

    fn whole(&self, rows: usize) -> u64 {
        self.whole[rows.min(self.rows_max())]
    }
}

/// One kernel.
#[derive(Clone, Debug)]
struct Kernel {
    shape: Shape,
    /// Rows of the batches that are formed now; at least 1.
    cap: u32,
    /// What the nth row of a batch is charged, in units of a batch of one.
    charges: Box<[u64]>,
    /// What a packet may wait for besides: that its batch grows to the cap behind it.
    company: Box<[u64]>,
}

/// Neighbours of one kernel at the end of a class.
#[derive(Clone, Copy, Debug, Default)]
struct Run {
    kernel: u16,
    rows: u32,
}

/// One worker's shapes.
#[derive(Clone, Debug)]
pub struct Batches {
    mode: Mode,
    kernels: Box<[Option<Kernel>]>,
    /// A batch of one by bucket, nanoseconds << [`FRACTION`].
    ones: Box<[u64]>,
    runs: PerPriority<Run>,
    /// The bucket and class of the newest packet, and how many in a row were like it.
    newest: (u16, Priority, u32),
    slice: Nanos,
}

impl Default for Batches {
    fn default() -> Self {
        Self {
            mode: Mode::default(),
            kernels: Box::default(),
            ones: Box::default(),
            runs: PerPriority::default(),
            newest: (0, Priority::High, 0),
            slice: Nanos::ZERO,
        }
    }
}

impl Batches {
    /// By these shapes, in the order of the kernels. Kernels that share buckets have none.
    #[must_use]
    pub fn new(mode: Mode, mut shapes: Vec<Option<Shape>>) -> Self {
        if shapes.len() > KERNELS_MAX {
            shapes.truncate(KERNELS_MAX - 1);
        }
        if mode == Mode::Average || shapes.iter().all(Option::is_none) {
            return Self { mode, ..Self::default() };
        }
        let ones = shapes.iter().flat_map(|s| [s.as_ref().map_or(0, |s| s.one << FRACTION); SIZES]);
        let kernel = |shape: Shape| Kernel {
            cap: 1,
            charges: vec![0; ROWS_MAX].into(),
            company: vec![0; ROWS_MAX].into(),
            shape,
        };
        let mut all = Self {
            mode,
            ones: ones.collect(),
            kernels: shapes.into_iter().map(|s| s.map(kernel)).collect(),
            ..Self::default()
        };
        all.set_slice(Nanos::ZERO);
        all
    }

    /// Whether any kernel has a shape.
    #[must_use]
    #[inline]
    pub const fn any(&self) -> bool {
        !self.kernels.is_empty()
    }

    #[inline]
    fn of(&self, bucket: u16) -> Option<&Kernel> {
        self.kernels.get(usize::from(bucket) / SIZES)?.as_ref()
    }

    #[inline]
    fn in_bucket(&self, bucket: u16, units: u64) -> Nanos {
        let one = self.ones.get(usize::from(bucket)).copied().unwrap_or(0);
        Nanos::new(one.saturating_mul(units) >> (FRACTION + ONE.trailing_zeros()))
    }

    /// Whether that bucket's kernel has a shape.
    #[must_use]
    #[inline]
    pub fn has(&self, bucket: u16) -> bool {
        self.of(bucket).is_some()
    }

    /// How long a batch may be kept on. Batches are formed anew by it.
    pub fn set_slice(&mut self, slice: Nanos) {
        self.slice = slice;
        for k in 0..self.kernels.len() {
            let one = self.usual_one(k);
            let mode = self.mode;
            if let Some(kernel) = &mut self.kernels[k] {
                kernel.form(mode, slice, one);
            }
        }
    }

    /// The kernel's batch of one by the bucket that was measured slowest: what bounds a batch must hold for all.
    fn usual_one(&self, kernel: usize) -> Nanos {
        let own = self.ones.get(kernel * SIZES..(kernel + 1) * SIZES).unwrap_or(&[]);
        Nanos::new(own.iter().copied().max().unwrap_or(0) >> FRACTION)
    }

    /// The most rows of a batch of that kernel; none where it has no shape.
    #[must_use]
    #[inline]
    pub fn rows_of(&self, kernel: KernelId) -> Option<usize> {
        self.kernels.get(kernel.index())?.as_ref().map(|k| k.cap as usize)
    }

    /// What `count` packets of that bucket will add to the work in their kernel, if so many of their class wait; each. None where
    /// their kernel has no shape.
    #[must_use]
    #[inline]
    pub fn charge(
        &self,
        bucket: u16,
        priority: Priority,
        waiting: u32,
        count: u32,
    ) -> Option<Nanos> {
        let kernel = self.of(bucket)?;
        let at = self.place(bucket, priority, waiting) % kernel.cap;
        if count == 1 {
            return Some(self.in_bucket(bucket, kernel.charges[at as usize]));
        }
        let all: u64 = (at..at + count).map(|n| kernel.charges[(n % kernel.cap) as usize]).sum();
        let each = self.in_bucket(bucket, all).get().div_ceil(u64::from(count.max(1)));
        Some(Nanos::new(each))
    }

    /// How long the batch of a packet may take beyond the packet's own row, because others join it.
    #[must_use]
    #[inline]
    pub fn company(&self, bucket: u16, priority: Priority, waiting: u32) -> Nanos {
        let Some(kernel) = self.of(bucket) else { return Nanos::ZERO };
        let at = self.place(bucket, priority, waiting) % kernel.cap;
        self.in_bucket(bucket, kernel.company[at as usize])
    }

    /// How many of its kind stand before one that is pushed now and may share a batch with it.
    #[inline]
    fn place(&self, bucket: u16, priority: Priority, waiting: u32) -> u32 {
        let run = self.runs[priority];
        if usize::from(run.kernel) == usize::from(bucket) / SIZES {
            run.rows.min(waiting)
        } else {
            0
        }
    }

    /// So many packets of that bucket were queued.
    #[inline]
    pub fn pushed(&mut self, bucket: u16, priority: Priority, count: u32) {
        #[expect(clippy::cast_possible_truncation, reason = "a bucket is at least as large")]
        let kernel = bucket / SIZES as u16;
        let run = &mut self.runs[priority];
        let before = if run.kernel == kernel { run.rows } else { 0 };
        *run = Run { kernel, rows: before.saturating_add(count) };
        let (last, of, alike) = self.newest;
        let before = if (last, of) == (bucket, priority) { alike } else { 0 };
        self.newest = (bucket, priority, before.saturating_add(count));
    }

    /// Whether the newest `waiting` packets are all of that bucket and class, whose kernel has a shape.
    #[must_use]
    pub fn all_like(&self, bucket: u16, priority: Priority, waiting: usize) -> bool {
        let (last, of, alike) = self.newest;
        (last, of) == (bucket, priority) && alike as usize >= waiting && self.has(bucket)
    }

    /// What each packet of that bucket takes where many wait: its part of a full batch.
    #[must_use]
    pub fn in_full_batch(&self, bucket: u16) -> Option<Nanos> {
        let kernel = self.of(bucket)?;
        let all: u64 = kernel.charges.iter().take(kernel.cap as usize).sum();
        Some(self.in_bucket(bucket, all.div_ceil(u64::from(kernel.cap))))
    }

    /// What a batch of `rows` in that bucket takes.
    #[must_use]
    pub fn whole(&self, bucket: u16, rows: usize) -> Option<Nanos> {
        let kernel = self.of(bucket)?;
        Some(self.in_bucket(bucket, kernel.shape.whole(rows)))
    }

    /// A batch with packets of that bucket took so long where so much was expected.
    pub fn correct(&mut self, bucket: u16, expected: Nanos, took: Nanos) {
        if expected == Nanos::ZERO || !self.has(bucket) {
            return;
        }
        let Some(one) = self.ones.get_mut(usize::from(bucket)) else { return };
        let seen = u128::from(*one) * u128::from(took.get()) / u128::from(expected.get());
        let seen = u64::try_from(seen).unwrap_or(u64::MAX);
        let seen = seen.clamp(*one / SEEN_MAX, one.saturating_mul(SEEN_MAX));
        *one = ((7 * u128::from(*one) + u128::from(seen)) / 8).try_into().unwrap_or(u64::MAX);
        *one = (*one).clamp(1 << FRACTION, 1 << 48);
    }

    /// Bounds follow what has been seen. Now and then, not for each packet.
    pub fn settle(&mut self) {
        self.set_slice(self.slice);
    }
}

impl Kernel {
    fn form(&mut self, mode: Mode, slice: Nanos, one: Nanos) {
        let within = match mode {
            Mode::Fixed(rows) => usize::from(rows).clamp(1, self.shape.rows_max()),
            _ => {
                let units = |t: Nanos| (t.get() << 16) / one.get().max(1);
                let bound = units(slice.min(Nanos::from_secs(1))).max(ONE + ONE / STEP_PART);
                let stretched = slice.saturating_mul(STRETCH).min(STRETCHED_MAX).max(slice);
                let long = self.within(units(stretched.min(Nanos::from_secs(1))).max(bound));
                self.within(bound).max(self.cheap_from(long))
            }
        };
        self.fill(mode, within);
    }

    /// The most rows that take no longer than so many units.
    fn within(&self, bound: u64) -> usize {
        let fits = |rows: &usize| self.shape.whole(*rows) <= bound;
        (1..=self.shape.worth).take_while(fits).last().unwrap_or(1)
    }

    /// The least rows up to `most` from which on a larger batch makes them hardly cheaper.
    fn cheap_from(&self, most: usize) -> usize {
        let each = |rows: usize| self.shape.whole(rows) / rows as u64;
        let least = (1..=most).map(each).min().unwrap_or(0);
        (1..=most).find(|rows| each(*rows) <= least + least / NEAR_PART).unwrap_or(1)
    }

    fn fill(&mut self, mode: Mode, within: usize) {
        self.cap = u32::try_from(within).unwrap_or(1);
        let full = self.shape.whole(within);
        for n in 0..within {
            let end = self.shape.whole(n + 1);
            self.charges[n] = match mode {
                Mode::Single => ONE,
                Mode::Fixed(_) => full.div_ceil(within as u64),
                Mode::Cost | Mode::Average => end - self.shape.whole(n),
            };
            self.company[n] = if mode == Mode::Cost { full - end } else { 0 };
        }
    }
}

#[cfg(test)]
mod tests;
