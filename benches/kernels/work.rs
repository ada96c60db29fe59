//! Work that is timed: a kernel of ours with its batch, or whatever stands beside it.

use punctual::base::KernelId;
use punctual::kernel::simd::SimdChoice;
use punctual::kernel::{Batch, KernelSpec, Kernels, Registry, Row, RowStatus};
use punctual::sys::clock::MonotonicClock;
use rand_xoshiro::Xoshiro256PlusPlus;
use rand_xoshiro::rand_core::{RngCore as _, SeedableRng as _};

/// A packet's place in a worker's slab.
const SLOT: usize = 2_048;
/// Of the cache.
const LINE: usize = 64;

/// Does the same thing whenever it is run.
pub(crate) trait Work {
    fn run(&mut self);
    /// What the last run gave, by payload.
    fn answers(&self) -> Vec<Vec<u8>>;
}

/// Payloads in slots that begin with a line of the cache, and where they are: both sides of a pair read from the same places.
pub(crate) fn slab(payloads: &[Vec<u8>]) -> (Vec<u8>, Vec<Row>) {
    let longest = payloads.iter().map(Vec::len).max().unwrap_or(0);
    let capacity = longest.next_multiple_of(SLOT).max(SLOT);
    let mut bytes = vec![0; capacity * payloads.len() + LINE];
    let first = bytes.as_ptr().align_offset(LINE);
    let mut rows = Vec::new();
    for (i, payload) in payloads.iter().enumerate() {
        let start = first + i * capacity;
        bytes[start..start + payload.len()].copy_from_slice(payload);
        rows.push(Row { start, len: payload.len(), capacity, status: RowStatus::Failed });
    }
    (bytes, rows)
}

/// A kernel through the trait that the workers call, with payloads in slots as in a worker.
pub(crate) struct Ours {
    kernels: Kernels,
    bytes: Vec<u8>,
    rows: Vec<Row>,
    /// What each run begins with: payloads are overwritten by their answers.
    fresh: (Vec<u8>, Vec<Row>),
    /// First bytes of each payload that have to be put back.
    restored: usize,
}

impl Ours {
    /// `restored` bytes of a payload are put back before each run: where an answer decides over the next run's time.
    pub(crate) fn new(
        spec: &KernelSpec,
        simd: SimdChoice,
        payloads: &[Vec<u8>],
        restored: usize,
    ) -> Self {
        let registry = Registry::new(vec![("it".to_owned(), spec.clone())]).with_simd(simd);
        let (bytes, rows) = slab(payloads);
        let fresh = (bytes.clone(), rows.clone());
        let kernels = registry.instantiate(1, &MonotonicClock);
        Self { kernels, bytes, rows, fresh, restored }
    }
}

impl Work for Ours {
    fn run(&mut self) {
        // What a kernel changes of a row, and no more: as a copy of the whole rows this was part of a short kernel's time.
        for (row, fresh) in self.rows.iter_mut().zip(&self.fresh.1) {
            row.len = fresh.len;
            row.status = fresh.status;
        }
        if self.restored > 0 {
            for row in &self.rows {
                let range = row.start..row.start + self.restored;
                self.bytes[range.clone()].copy_from_slice(&self.fresh.0[range]);
            }
        }
        self.kernels.run(KernelId(0), &mut Batch::new(&mut self.bytes, &mut self.rows));
    }

    fn answers(&self) -> Vec<Vec<u8>> {
        let answer = |row: &Row| {
            assert_eq!(row.status, RowStatus::Done, "a row that is timed must be worked on");
            self.bytes[row.start..row.start + row.len].to_vec()
        };
        self.rows.iter().map(answer).collect()
    }
}

/// Numbers that are the same in every run.
pub(crate) struct Draw(Xoshiro256PlusPlus);

impl Draw {
    pub(crate) fn new(seed: u64) -> Self {
        Self(Xoshiro256PlusPlus::seed_from_u64(seed))
    }

    pub(crate) fn below(&mut self, n: usize) -> usize {
        self.0.next_u64() as usize % n
    }

    /// From -1 to 1.
    pub(crate) fn unit(&mut self) -> f32 {
        self.below(2_000_001) as f32 / 1e6 - 1.0
    }

    pub(crate) fn bytes(&mut self, len: usize) -> Vec<u8> {
        (0..len).map(|_| self.below(256) as u8).collect()
    }
}
