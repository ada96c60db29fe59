//! What is run on a packet's payload: a batch in, a batch out.
//!
//! Knows nothing of packets, deadlines or sockets: rows of bytes go in, rows of bytes come out, in place.

pub mod accel;
pub mod cpu_accel;
pub mod crc32c;
pub mod drawn;
pub mod echo;
mod fingerprint;
pub mod fir;
#[cfg(feature = "gpu")]
pub mod gpu;
pub mod matching;
pub mod mlp;
mod registry;
pub mod rs;
pub mod sample;
pub mod simd;
pub mod spin;
// Only a device needs it; its tests are run without one.
#[cfg(any(feature = "gpu", test))]
mod watch;

pub use registry::{KernelSpec, Kernels, Registry};

use crate::base::limits::KERNEL_BATCH_MAX;

/// A result of up to so many bytes has room in its row, however short the payload was.
pub const RESULT_ALWAYS_FITS: usize = 16;

/// So many runs of one worker may be paused at a time.
pub const PLACES: usize = 8;

/// How far a run has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// To its end.
    Done,
    /// It has paused.
    More,
}

/// What became of one row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RowStatus {
    /// The row holds the result.
    Done,
    /// The kernel cannot work on this payload; the rest of the batch is not touched by that.
    Failed,
}

/// One payload: where it lies, and what became of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row {
    /// First byte, in the batch's memory.
    pub start: usize,
    /// Length of the payload before the run, of the result after it.
    pub len: usize,
    /// The result may grow to this length.
    pub capacity: usize,
    /// Set by the kernel.
    pub status: RowStatus,
}

/// The rows of one run and the memory they lie in. Rows do not overlap.
#[derive(Debug)]
pub struct Batch<'a> {
    bytes: &'a mut [u8],
    rows: &'a mut [Row],
}

impl<'a> Batch<'a> {
    /// A batch of `rows` within `bytes`.
    #[must_use]
    pub fn new(bytes: &'a mut [u8], rows: &'a mut [Row]) -> Self {
        debug_assert!(rows.len() <= KERNEL_BATCH_MAX);
        Self { bytes, rows }
    }

    /// How many rows there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there is no row.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The payload of row `i`.
    #[must_use]
    #[inline]
    pub fn payload(&self, i: usize) -> &[u8] {
        let row = self.rows[i];
        &self.bytes[row.start..row.start + row.len]
    }

    /// The most bytes that row `i`'s result may have.
    #[must_use]
    #[inline]
    pub const fn capacity(&self, i: usize) -> usize {
        self.rows[i].capacity
    }

    /// Row `i`'s memory up to its capacity, to write the result into; then say how long it is with [`Batch::finish`].
    #[must_use]
    #[inline]
    pub fn memory(&mut self, i: usize) -> &mut [u8] {
        let row = self.rows[i];
        &mut self.bytes[row.start..row.start + row.capacity]
    }

    /// Row `i` is done and its result is the first `len` bytes of its memory.
    #[inline]
    pub fn finish(&mut self, i: usize, len: usize) {
        let row = &mut self.rows[i];
        debug_assert!(len <= row.capacity);
        row.len = len;
        row.status = RowStatus::Done;
    }

    /// Row `i` cannot be worked on.
    #[inline]
    pub fn fail(&mut self, i: usize) {
        self.rows[i].status = RowStatus::Failed;
    }
}

/// A kernel of one worker: it owns its scratch, does not allocate while it runs, and never fails a whole batch.
pub trait Kernel: Send + std::fmt::Debug {
    /// Works on every row: each is left `Done` with its result, or `Failed`.
    fn run(&mut self, batch: &mut Batch<'_>);

    /// Whether [`Kernel::run_until`] can pause. Only a kernel whose [`Kernel::batch_max`] is 1 is asked to.
    fn pauses(&self) -> bool {
        false
    }

    /// Works on a batch of one row until it is done, or until `pause` says so: it is asked every 1 to 2 us. What the kernel
    /// has come to it keeps in that place, below [`PLACES`], whatever it runs in others meanwhile; the row's bytes stay as they
    /// are. `begun`: it goes on from there. A place that is begun anew is free of what was in it.
    ///
    /// The results are the same bytes as those of [`Kernel::run`], however often it pauses.
    fn run_until(
        &mut self,
        batch: &mut Batch<'_>,
        place: usize,
        begun: bool,
        pause: &mut dyn FnMut() -> bool,
    ) -> Progress {
        let _ = (place, begun, pause);
        self.run(batch);
        Progress::Done
    }

    /// Whether a result may be longer than its payload and longer than [`RESULT_ALWAYS_FITS`]: the payloads of such a kernel
    /// are not laid side by side in one slot, and each row's capacity is the whole slot.
    fn grows(&self) -> bool {
        false
    }

    /// The most rows that one run is worth: past this, a batch gains nothing.
    fn batch_max(&self) -> usize {
        KERNEL_BATCH_MAX
    }
}
