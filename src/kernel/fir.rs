//! A finite impulse response filter over 16-bit samples, little-endian: integer taps, rounded and saturated.
//!
//! Knows no stream: before a payload's first sample there is silence.

use fearless_simd::{Simd, prelude::*};

use super::simd::Level;
use super::{Batch, Kernel, PLACES, Place, one_by_one};

/// Bytes of a sample.
const SAMPLE_LEN: usize = 2;
/// The most taps.
pub const TAPS_MAX: usize = 256;
/// The largest sum of the taps' sizes: sums of products stay below 2^31, in whatever order they are added.
pub const GAIN_MAX: u32 = 60_000;
/// The largest shift.
pub const SHIFT_MAX: u32 = 24;

/// A filter as the config describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spec {
    /// What the sample itself, the one before it, and so on are multiplied by. 1 to 256, sizes up to 60,000 together.
    pub taps: Vec<i16>,
    /// By how many bits sums are shifted down, rounded; 0 to 24, default 15: taps of 1.0 are 32,768.
    pub shift: u32,
}

/// One worker's filter, with the scratch of a payload.
#[derive(Debug)]
pub struct Fir {
    level: Level,
    /// Last first, and even in number: a zero comes first where they are odd.
    taps: Vec<i16>,
    /// Pairs of `taps`, as the two halves of a word.
    pairs: Vec<i32>,
    shift: u32,
    /// Silence, the samples, and room for a last vector that reads beyond them.
    x: Vec<i16>,
    y: Vec<i16>,
    /// Samples between two looks whether to pause.
    burst: usize,
    paused: Box<[Part; PLACES]>,
}

/// What a run in parts has come to.
#[derive(Clone, Copy, Debug)]
struct Part {
    /// Samples that are done; their results stand in their places.
    done: usize,
    /// Those before the next one, as many as it takes: where they stood are results.
    before: [i16; TAPS_MAX],
}

impl Part {
    const NONE: Self = Self { done: 0, before: [0; TAPS_MAX] };
}

/// Products of some 2 us, by the reference and by vectors.
const BURST: (usize, usize) = (24_000, 200_000);
/// The most samples of a burst: few taps take longer to load and store than to multiply.
const BURST_MAX: usize = 2_048;

/// Samples past the last one that the widest vectors touch.
const BEYOND: usize = 64;

impl Fir {
    /// The filter of `spec` at `level`, for payloads of up to `longest` bytes.
    #[must_use]
    pub fn new(spec: &Spec, level: Level, longest: usize) -> Self {
        let mut taps = spec.taps.clone();
        if taps.len() % 2 == 1 {
            taps.push(0);
        }
        taps.reverse();
        let (twos, _) = taps.as_chunks::<2>();
        let pair = |t: &[i16; 2]| i32::from(t[1]) << 16 | i32::from(t[0]) & 0xffff;
        let pairs = twos.iter().map(pair).collect();
        let samples = longest / SAMPLE_LEN;
        let x = vec![0; taps.len() - 1 + samples + 2 * BEYOND];
        let (plain, vectors) = BURST;
        let products = if matches!(level, Level::Scalar) { plain } else { vectors };
        let burst = (products / taps.len()).next_multiple_of(BEYOND).min(BURST_MAX);
        let (y, paused) = (vec![0; samples + BEYOND], Box::new([Part::NONE; PLACES]));
        Self { level, taps, pairs, shift: spec.shift, x, y, burst, paused }
    }

    /// Reads a payload's samples; how many they are, or none where it is no samples.
    fn read(&mut self, payload: &[u8]) -> Option<usize> {
        let (words, rest) = payload.as_chunks::<SAMPLE_LEN>();
        if !rest.is_empty() || words.len() + BEYOND > self.y.len() {
            return None;
        }
        let before = self.taps.len() - 1;
        for (x, word) in self.x[before..].iter_mut().zip(words) {
            *x = i16::from_le_bytes(*word);
        }
        Some(words.len())
    }

    /// Row `i` in bursts, each in place of its samples: whether it is done.
    fn row_until(
        &mut self,
        batch: &mut Batch<'_>,
        i: usize,
        place: usize,
        pause: &mut dyn FnMut() -> bool,
    ) -> bool {
        let len = batch.payload(i).len();
        if !len.is_multiple_of(SAMPLE_LEN) || len / SAMPLE_LEN + BEYOND > self.y.len() {
            batch.fail(i);
            return true;
        }
        let (words, _) = batch.memory(i)[..len].as_chunks_mut::<SAMPLE_LEN>();
        loop {
            self.burst(words, place);
            if self.paused[place].done == words.len() {
                break;
            }
            if pause() {
                return false;
            }
        }
        batch.finish(i, len);
        true
    }

    /// The next samples of what is in that place.
    fn burst(&mut self, words: &mut [[u8; SAMPLE_LEN]], place: usize) {
        let before = self.taps.len() - 1;
        let Part { done, before: kept } = &mut self.paused[place];
        let (_, words) = words.split_at_mut(*done);
        let count = words.len().min(self.burst);
        let words = &mut words[..count];
        self.x[..before].copy_from_slice(&kept[..before]);
        for (x, word) in self.x[before..].iter_mut().zip(&*words) {
            *x = i16::from_le_bytes(*word);
        }
        kept[..before].copy_from_slice(&self.x[count..count + before]);
        *done += count;
        self.filter(count);
        // Others find silence before their first sample.
        self.x[..before].fill(0);
        for (word, y) in words.iter_mut().zip(&self.y) {
            *word = y.to_le_bytes();
        }
    }

    fn filter(&mut self, count: usize) {
        match self.level {
            Level::Scalar => {
                for (n, y) in self.y.iter_mut().enumerate().take(count) {
                    let samples = self.x[n..].iter().zip(&self.taps);
                    let sum: i32 = samples.map(|(x, t)| i32::from(*x) * i32::from(*t)).sum();
                    *y = rounded(sum, self.shift);
                }
            }
            #[cfg(target_arch = "x86_64")]
            Level::Avx2(token) => avx2(token, self, count),
            #[cfg(target_arch = "x86_64")]
            Level::Avx512(token) => avx512(token, self, count),
        }
    }

    /// Two vectors of samples in the lanes of one: sums of even outputs, and of odd ones, that are one sample apart.
    #[inline(always)]
    fn vectors<S: Pairs>(&mut self, simd: S, count: usize) {
        let lanes = S::i16s::LEN;
        let words = S::i32s::LEN;
        let half = S::i32s::splat(simd, if self.shift == 0 { 0 } else { 1 << (self.shift - 1) });
        let (low, high) = (S::i32s::splat(simd, -32_768), S::i32s::splat(simd, 32_767));
        let mut at = 0;
        while at < count {
            let window = &self.x[at..at + self.taps.len() + lanes];
            let (mut even, mut odd) = (half, half);
            for (j, pair) in self.pairs.iter().enumerate() {
                let taps = S::i32s::splat(simd, *pair);
                let load = |from: usize| S::i16s::from_slice(simd, &window[from..from + lanes]);
                even = simd.pairs(even, load(2 * j).bitcast(), taps);
                odd = simd.pairs(odd, load(2 * j + 1).bitcast(), taps);
            }
            let bound = |sums: S::i32s| (sums >> self.shift).max(low).min(high);
            let both = (bound(even) & 0xffff) | (bound(odd) << 16);
            let samples: S::i16s = both.bitcast();
            samples.store_slice(&mut self.y[at..at + lanes]);
            at += 2 * words;
        }
    }
}

/// Shifted down with halves up, and held within a sample's range.
fn rounded(sum: i32, shift: u32) -> i16 {
    let half = if shift == 0 { 0 } else { 1 << (shift - 1) };
    let value = (sum + half) >> shift;
    i16::try_from(value).unwrap_or(if value < 0 { i16::MIN } else { i16::MAX })
}

/// A level with a sum of two products of 16-bit numbers in each 32-bit lane.
trait Pairs: Simd {
    /// `sum + x0*t0 + x1*t1` in each lane.
    fn pairs(self, sum: Self::i32s, x: Self::i32s, taps: Self::i32s) -> Self::i32s;
}

#[cfg(target_arch = "x86_64")]
impl Pairs for fearless_simd::Avx2 {
    #[inline(always)]
    fn pairs(self, sum: Self::i32s, x: Self::i32s, taps: Self::i32s) -> Self::i32s {
        madd256(self, sum, x, taps)
    }
}

#[cfg(target_arch = "x86_64")]
impl Pairs for fearless_simd::Avx512 {
    #[inline(always)]
    fn pairs(self, sum: Self::i32s, x: Self::i32s, taps: Self::i32s) -> Self::i32s {
        madd512(self, sum, x, taps)
    }
}

#[cfg(target_arch = "x86_64")]
fearless_simd::kernel!(
    #[inline]
    fn madd256(
        simd: Avx2,
        sum: fearless_simd::i32x8<fearless_simd::Avx2>,
        x: fearless_simd::i32x8<fearless_simd::Avx2>,
        taps: fearless_simd::i32x8<fearless_simd::Avx2>,
    ) -> fearless_simd::i32x8<fearless_simd::Avx2> {
        let products = std::arch::x86_64::_mm256_madd_epi16(x.into(), taps.into());
        std::arch::x86_64::_mm256_add_epi32(sum.into(), products).simd_into(simd)
    }
);

#[cfg(target_arch = "x86_64")]
fearless_simd::kernel!(
    #[inline]
    fn madd512(
        simd: Avx512,
        sum: fearless_simd::i32x16<fearless_simd::Avx512>,
        x: fearless_simd::i32x16<fearless_simd::Avx512>,
        taps: fearless_simd::i32x16<fearless_simd::Avx512>,
    ) -> fearless_simd::i32x16<fearless_simd::Avx512> {
        let products = std::arch::x86_64::_mm512_madd_epi16(x.into(), taps.into());
        std::arch::x86_64::_mm512_add_epi32(sum.into(), products).simd_into(simd)
    }
);

#[cfg(target_arch = "x86_64")]
fearless_simd::kernel!(
    fn avx2(simd: Avx2, fir: &mut Fir, count: usize) {
        fir.vectors(simd, count);
    }
);

#[cfg(target_arch = "x86_64")]
fearless_simd::kernel!(
    fn avx512(simd: Avx512, fir: &mut Fir, count: usize) {
        fir.vectors(simd, count);
    }
);

impl Kernel for Fir {
    fn run(&mut self, batch: &mut Batch<'_>) {
        for i in 0..batch.len() {
            let Some(count) = self.read(batch.payload(i)) else {
                batch.fail(i);
                continue;
            };
            self.filter(count);
            let (words, _) = batch.memory(i).as_chunks_mut::<SAMPLE_LEN>();
            for (word, y) in words.iter_mut().zip(&self.y[..count]) {
                *word = y.to_le_bytes();
            }
            batch.finish(i, count * SAMPLE_LEN);
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
            self.paused[new.at] = Part::NONE;
        }
        one_by_one(places, |i, place| self.row_until(batch, i, place, pause))
    }

    /// A payload is a batch in itself.
    fn batch_max(&self) -> usize {
        4
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::{Row, RowStatus};

    fn noise(seed: usize, count: usize) -> Vec<i16> {
        let mut x = seed as u64 * 2 + 1;
        let mut next = || {
            x = x.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (x >> 48) as u16 as i16
        };
        (0..count).map(|_| next()).collect()
    }

    fn run(spec: &Spec, level: Level, payloads: &[Vec<i16>]) -> Vec<Vec<i16>> {
        let mut memory = Vec::new();
        let mut rows = Vec::new();
        for p in payloads {
            memory.push(0xee);
            let start = memory.len();
            p.iter().for_each(|x| memory.extend(x.to_le_bytes()));
            let len = 2 * p.len();
            rows.push(Row { start, len, capacity: len, status: RowStatus::Failed });
        }
        let longest = payloads.iter().map(|p| 2 * p.len()).max().unwrap_or(0);
        Fir::new(spec, level, longest).run(&mut Batch::new(&mut memory, &mut rows));
        let sample = |b: &[u8]| i16::from_le_bytes([b[0], b[1]]);
        let read = |r: &Row| {
            assert_eq!(r.status, RowStatus::Done);
            memory[r.start..r.start + r.len].chunks(2).map(sample).collect()
        };
        rows.iter().map(read).collect()
    }

    fn spec(taps: usize) -> Spec {
        let taps = noise(taps, taps).into_iter().map(|t| t / (2 * taps as i16).max(3));
        Spec { taps: taps.collect(), shift: 14 }
    }

    #[test]
    fn the_reference_is_the_textbook_sum() {
        let spec = Spec { taps: vec![3, -2, 7], shift: 1 };
        // 3*10 = 30; 3*20 - 2*10 = 40; 3*(-5) - 2*20 + 7*10 = 15, halves up.
        assert_eq!(run(&spec, Level::Scalar, &[vec![10, 20, -5]]), [[15, 20, 8]]);
        let loud = Spec { taps: vec![i16::MAX], shift: 0 };
        assert_eq!(run(&loud, Level::Scalar, &[vec![-2, 2, 1]]), [[i16::MIN, i16::MAX, i16::MAX]]);
    }

    #[test]
    fn every_form_is_the_reference_to_the_bit() {
        for (word, level) in Level::every() {
            let Some(level) = level else {
                println!("level {word}: SKIPPED, this machine does not have it");
                continue;
            };
            for taps in [1, 2, 3, 15, 16, 17, 64, 255] {
                for rows in 1..=40 {
                    let payloads: Vec<Vec<i16>> =
                        (0..rows).map(|r| noise(r, (r * 11 + rows) % 131)).collect();
                    let reference = run(&spec(taps), Level::Scalar, &payloads);
                    assert_eq!(
                        run(&spec(taps), level, &payloads),
                        reference,
                        "{taps} {rows} {word}"
                    );
                }
            }
        }
    }

    #[test]
    fn an_odd_number_of_bytes_fails_alone() {
        let mut memory = [0; 16];
        let row = |start, len| Row { start, len, capacity: 8, status: RowStatus::Failed };
        let mut rows = [row(0, 3), row(8, 4)];
        Fir::new(&spec(3), Level::detect(), 8).run(&mut Batch::new(&mut memory, &mut rows));
        assert_eq!(rows.map(|r| r.status), [RowStatus::Failed, RowStatus::Done]);
    }
}
