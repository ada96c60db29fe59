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
#[cfg(test)]
mod pausing;
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

/// So many rows of one worker may be paused at a time.
pub const PLACES: usize = 8;

/// Where a kernel keeps what it has come to with a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Its number, below [`PLACES`].
    pub at: usize,
    /// The row was begun before, and goes on from what is kept there. Otherwise whatever is there is of no account.
    pub begun: bool,
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

    /// Works on one row after the other: `work` has a row's memory, as far as a result may go, and how much of it is payload. It
    /// says how long the result is that it has left there, or that there is none.
    #[inline]
    pub fn each(&mut self, mut work: impl FnMut(&mut [u8], usize) -> Option<usize>) {
        for row in self.rows.iter_mut() {
            let memory = &mut self.bytes[row.start..row.start + row.capacity];
            match work(memory, row.len) {
                Some(len) => {
                    debug_assert!(len <= row.capacity);
                    row.len = len;
                    row.status = RowStatus::Done;
                }
                None => row.status = RowStatus::Failed,
            }
        }
    }

    /// Row `i` cannot be worked on.
    #[inline]
    pub fn fail(&mut self, i: usize) {
        self.rows[i].status = RowStatus::Failed;
    }
}

/// One row after the other, each until it is done: how many are done when one has paused.
fn one_by_one(places: &[Place], mut row: impl FnMut(usize, usize) -> bool) -> usize {
    let done = |(i, place): &(usize, &Place)| row(*i, place.at);
    places.iter().enumerate().take_while(done).count()
}

/// A kernel of one worker: it owns its scratch, does not allocate while it runs, and never fails a whole batch.
pub trait Kernel: Send + std::fmt::Debug {
    /// Works on every row: each is left `Done` with its result, or `Failed`.
    fn run(&mut self, batch: &mut Batch<'_>);

    /// Whether [`Kernel::run_until`] can pause.
    fn pauses(&self) -> bool {
        false
    }

    /// Works on every row until all are done, or until `pause` says so: it is asked every 1 to 2 us. Each row has a place of its
    /// own. Says how many rows, counted from the first, are done: those are left `Done` or `Failed`. The others count as begun from
    /// then on, also one that had not its turn yet: they come back later, in this company or in another, with their places, and
    /// with their memory as the kernel has left it.
    ///
    /// The results are the same bytes as those of [`Kernel::run`], however often it pauses.
    fn run_until(
        &mut self,
        batch: &mut Batch<'_>,
        places: &[Place],
        pause: &mut dyn FnMut() -> bool,
    ) -> usize {
        let _ = (places, pause);
        self.run(batch);
        batch.len()
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
