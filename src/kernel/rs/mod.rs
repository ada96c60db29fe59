//! Reed-Solomon over small groups of equally long shards: parity of a group, or the data shards that it lacks.
//!
//! Knows no datagram order: a payload holds what has come of one group, and the answer is what was asked for.

mod field;
mod kept;
mod parts;
mod shuffle;
mod tables;
#[cfg(test)]
mod tests;
mod vector;

use super::simd::Level;
use super::{Batch, Kernel, PLACES, Place, one_by_one};
use field::{Matrix, parity_rows};
use kept::Kept;
use parts::Part;

/// Bytes before the shards of a repair: which shards have come, bit `i` for shard `i`, network byte order.
pub const MASK_LEN: usize = 4;
/// The most shards of a group, data and parity: one bit each.
pub const SHARDS_MAX: usize = 32;

/// What is asked for, as `task` in the config.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Task {
    /// A mask, then the shards that have come: the missing data shards.
    #[default]
    Repair,
    /// All data shards: the parity shards.
    Encode,
}

impl Task {
    /// The config's word.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Repair => "repair",
            Self::Encode => "encode",
        }
    }
}

/// A code as the config describes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spec {
    /// Data shards of a group; 1 to 31.
    pub data: usize,
    /// Parity shards of a group; at least 1, at most 32 together with the data shards.
    pub parity: usize,
    /// Default repair.
    pub task: Task,
}

/// One worker's code, with the scratch of an answer.
#[derive(Debug)]
pub struct ReedSolomon {
    spec: Spec,
    level: Level,
    parity: Matrix,
    /// By which the shards of a repair are multiplied: the first of its payload, as many as there are data shards.
    repair: Box<Matrix>,
    /// The mask that it is for.
    ready_for: Option<u32>,
    /// The same of other masks that came before: losses that differ from group to group come again.
    kept: Kept,
    out: Vec<u8>,
    /// By place: so many bytes of each shard are done.
    paused: [usize; PLACES],
}

/// Products of some 2 us, by the reference and by vectors.
const BURST: (usize, usize) = (700, 12_000);
/// The fewest bytes of each shard between two looks whether to pause, by the reference and by vectors.
const BURST_MIN: (usize, usize) = (8, 64);

impl ReedSolomon {
    /// The code of `spec` at `level`, for payloads of up to `longest` bytes.
    #[must_use]
    pub fn new(spec: Spec, level: Level, longest: usize) -> Self {
        let parity = parity_rows(spec.data, spec.parity);
        // An answer to `encode` has a parity shard for each; one to `repair` is never longer than its payload.
        let times = spec.parity.div_ceil(spec.data.max(1)).max(1);
        Self {
            spec,
            level,
            parity,
            repair: Box::new(Matrix::none()),
            ready_for: None,
            kept: Kept::new(),
            out: vec![0; longest * times],
            paused: [0; PLACES],
        }
    }

    /// The answer's bytes are the first so many of `self.out`; none where the payload is no group.
    fn answer(&mut self, payload: &[u8]) -> Option<usize> {
        match self.spec.task {
            Task::Encode => self.encode(payload),
            Task::Repair => self.repair(payload),
        }
    }

    fn encode(&mut self, payload: &[u8]) -> Option<usize> {
        let mut slots = [&[][..]; SHARDS_MAX];
        let shards = cut(payload, self.spec.data, &mut slots)?;
        let len = shards.first()?.len();
        let out = self.out.get_mut(..len * self.spec.parity)?;
        products(self.level, &self.parity, shards, out);
        Some(out.len())
    }

    /// The shards of a payload whose mask all is ready for, and how long each is.
    fn make_ready<'a>(&mut self, payload: &'a [u8]) -> Option<(&'a [u8], usize)> {
        let (mask, shards) = payload.split_first_chunk::<MASK_LEN>()?;
        let mask = u32::from_be_bytes(*mask);
        if self.ready_for != Some(mask) {
            self.make_present(mask)?;
        }
        let come = usize::try_from(mask.count_ones()).ok()?;
        let len = shards.len().checked_div(come)?;
        (len > 0 && len * come == shards.len()).then_some((shards, len))
    }

    fn repair(&mut self, payload: &[u8]) -> Option<usize> {
        let (shards, len) = self.make_ready(payload)?;
        let mut slots = [&[][..]; SHARDS_MAX];
        let data = self.spec.data;
        let used = cut(shards.get(..data * len)?, data, &mut slots)?;
        let out = self.out.get_mut(..len * self.repair.rows)?;
        products(self.level, &self.repair, used, out);
        Some(out.len())
    }

    /// Puts what a repair of this mask takes in its place: kept from before, or worked out anew.
    fn make_present(&mut self, mask: u32) -> Option<()> {
        let Self { kept, repair, ready_for, .. } = self;
        if kept.exchange(mask, repair, ready_for) {
            return Some(());
        }
        self.ready_for = None;
        self.prepare(mask)?;
        self.ready_for = Some(mask);
        Some(())
    }

    /// What a repair of this mask takes. None where too few shards have come. The next group mostly lacks the same shards, none or
    /// one and the same; then this is there already.
    fn prepare(&mut self, mask: u32) -> Option<()> {
        let total = self.spec.data + self.spec.parity;
        let here = |i: usize| mask >> i & 1 == 1;
        if (total..SHARDS_MAX).any(here) {
            return None;
        }
        let missing = Chosen::of(0..self.spec.data, |i| !here(i), SHARDS_MAX);
        // The data shards that have come, then as many parity shards as data shards are missing: so they stand in the payload.
        let known = Chosen::of(0..self.spec.data, here, SHARDS_MAX);
        let spare = Chosen::of(self.spec.data..total, here, missing.count);
        if spare.count < missing.count {
            return None;
        }
        self.repair_rows(&known, &missing, &spare)
    }

    /// Coefficients by which the missing data shards are made of known data shards and spare parity shards:
    /// `parity = P_known * known + P_missing * missing`, so `missing = inverse(P_missing) * (P_known * known + parity)`.
    fn repair_rows(&mut self, known: &Chosen, missing: &Chosen, spare: &Chosen) -> Option<()> {
        let behind = missing.count + known.count;
        self.repair.set(spare.count, behind + spare.count, |r, c| {
            let of = |column: usize| self.parity.row(spare.indices[r] - self.spec.data)[column];
            match c {
                c if c < missing.count => of(missing.indices[c]),
                c if c < behind => of(known.indices[c - missing.count]),
                c => u8::from(c - behind == r),
            }
        });
        self.repair.solve()
    }
}

/// Some shards' places in a group, in ascending order.
#[derive(Clone, Copy)]
struct Chosen {
    indices: [usize; SHARDS_MAX],
    count: usize,
}

impl Chosen {
    /// The first up to `most` of `from` that are wanted.
    fn of(from: std::ops::Range<usize>, wanted: impl Fn(usize) -> bool, most: usize) -> Self {
        let mut chosen = Self { indices: [0; SHARDS_MAX], count: 0 };
        for i in from.filter(|i| wanted(*i)).take(most) {
            chosen.indices[chosen.count] = i;
            chosen.count += 1;
        }
        chosen
    }
}

/// `count` shards of one length that fill `bytes`; none where they do not.
fn cut<'a, 's>(
    bytes: &'a [u8],
    count: usize,
    slots: &'s mut [&'a [u8]; SHARDS_MAX],
) -> Option<&'s [&'a [u8]]> {
    let len = bytes.len().checked_div(count)?;
    if len == 0 || len * count != bytes.len() {
        return None;
    }
    for (slot, shard) in slots.iter_mut().zip(bytes.chunks_exact(len)) {
        *slot = shard;
    }
    slots.get(..count)
}

/// One output a row of coefficients, one behind the other in `out`.
fn products(level: Level, rows: &Matrix, shards: &[&[u8]], out: &mut [u8]) {
    if out.is_empty() {
        return;
    }
    match level {
        Level::Scalar => {
            let len = out.len() / rows.rows;
            for (r, out) in out.chunks_exact_mut(len).enumerate() {
                shuffle::by_table(rows.row(r), shards, out);
            }
        }
        #[cfg(target_arch = "x86_64")]
        Level::Avx2(token) => avx2(token, rows, shards, out),
        #[cfg(target_arch = "x86_64")]
        Level::Avx512(token) => avx512(token, rows, shards, out),
    }
}

/// Rows in fours, then what is left.
#[inline(always)]
fn in_fours<S: vector::Products>(simd: S, rows: &Matrix, shards: &[&[u8]], out: &mut [u8]) {
    let len = out.len() / rows.rows;
    for (i, out) in out.chunks_mut(4 * len).enumerate() {
        let row = |r: usize| rows.row(4 * i + r);
        match rows.rows - 4 * i {
            1 => shuffle::by_vectors(simd, [row(0)], shards, out),
            2 => shuffle::by_vectors(simd, [row(0), row(1)], shards, out),
            3 => shuffle::by_vectors(simd, [row(0), row(1), row(2)], shards, out),
            _ => shuffle::by_vectors(simd, [row(0), row(1), row(2), row(3)], shards, out),
        }
    }
}

#[cfg(target_arch = "x86_64")]
fearless_simd::kernel!(
    fn avx2(simd: Avx2, rows: &Matrix, shards: &[&[u8]], out: &mut [u8]) {
        in_fours(simd, rows, shards, out);
    }
);

#[cfg(target_arch = "x86_64")]
fearless_simd::kernel!(
    fn avx512(simd: Avx512, rows: &Matrix, shards: &[&[u8]], out: &mut [u8]) {
        in_fours(simd, rows, shards, out);
    }
);

impl Kernel for ReedSolomon {
    fn run(&mut self, batch: &mut Batch<'_>) {
        for i in 0..batch.len() {
            let len = self.answer(batch.payload(i));
            let room = len.and_then(|len| batch.memory(i).get_mut(..len));
            match (room, len) {
                (Some(room), Some(len)) => {
                    room.copy_from_slice(&self.out[..len]);
                    batch.finish(i, len);
                }
                _ => batch.fail(i),
            }
        }
    }

    fn pauses(&self) -> bool {
        true
    }

    fn run_until(
        &mut self,
        batch: &mut Batch<'_>,
        places: &[Place],
        pause: &mut dyn FnMut() -> bool,
    ) -> usize {
        for new in places.iter().filter(|p| !p.begun) {
            self.paused[new.at] = 0;
        }
        one_by_one(places, |i, place| match self.group_until(batch, i, place, pause) {
            Some(Part::Paused) => false,
            Some(Part::Done(len)) => {
                batch.finish(i, len);
                true
            }
            None => {
                batch.fail(i);
                true
            }
        })
    }

    /// Parity of more shards than there are data shards.
    fn grows(&self) -> bool {
        self.spec.task == Task::Encode && self.spec.parity > self.spec.data
    }

    /// A group is a batch in itself.
    fn batch_max(&self) -> usize {
        4
    }
}
