//! Sums of products of bytes with constants: by table, and by vectors.
//!
//! Knows no code; how a vector is multiplied is the level's (`vector`).

use fearless_simd::prelude::*;

use super::SHARDS_MAX;
use super::tables::PRODUCTS;
use super::vector::Products;

/// `out = sum of coefficient * shard`, byte by byte: the reference.
pub(super) fn by_table(coefficients: &[u8], shards: &[&[u8]], out: &mut [u8]) {
    out.fill(0);
    for (c, shard) in coefficients.iter().zip(shards) {
        let row = &PRODUCTS[usize::from(*c)];
        for (o, x) in out.iter_mut().zip(*shard) {
            *o ^= row[usize::from(*x)];
        }
    }
}

/// The same for `N` outputs at once, so that a shard's bytes are read and split once. `outs` holds `N` outputs of the shards'
/// length, one behind the other.
#[inline(always)]
pub(super) fn by_vectors<S: Products, const N: usize>(
    simd: S,
    coefficients: [&[u8]; N],
    shards: &[&[u8]],
    outs: &mut [u8],
) {
    let len = outs.len() / N;
    let lanes = S::u8s::LEN;
    // Looked up once, and not again for each step.
    let mut constants = [[simd.constant(0); N]; SHARDS_MAX];
    for (j, of_shard) in constants.iter_mut().enumerate().take(shards.len()) {
        *of_shard = coefficients.map(|row| simd.constant(row[j]));
    }
    let mut at = 0;
    // Several vectors a constant, as long as their sums and halves fit the registers.
    while N <= 2 && S::VECTORS == 4 && at + 4 * lanes <= len {
        step::<S, N, 4>(simd, &constants, shards, at, outs);
        at += 4 * lanes;
    }
    while N <= 2 && at + 2 * lanes <= len {
        step::<S, N, 2>(simd, &constants, shards, at, outs);
        at += 2 * lanes;
    }
    while at + lanes <= len {
        step::<S, N, 1>(simd, &constants, shards, at, outs);
        at += lanes;
    }
    for (n, row) in coefficients.iter().enumerate() {
        for i in at..len {
            let sum = row
                .iter()
                .zip(shards)
                .fold(0, |s, (c, shard)| s ^ PRODUCTS[usize::from(*c)][usize::from(shard[i])]);
            outs[n * len + i] = sum;
        }
    }
}

/// `V` vectors of every output, from the byte `at` on.
#[inline(always)]
fn step<S: Products, const N: usize, const V: usize>(
    simd: S,
    constants: &[[S::Constant; N]; SHARDS_MAX],
    shards: &[&[u8]],
    at: usize,
    outs: &mut [u8],
) {
    let len = outs.len() / N;
    let lanes = S::u8s::LEN;
    let mut sums = [[S::u8s::splat(simd, 0); V]; N];
    for (shard, constants) in shards.iter().zip(constants) {
        let bytes = &shard[at..at + V * lanes];
        let parts: [S::Split; V] = std::array::from_fn(|v| {
            simd.split(S::u8s::from_slice(simd, &bytes[v * lanes..][..lanes]))
        });
        for (sums, constant) in sums.iter_mut().zip(*constants) {
            for (sum, part) in sums.iter_mut().zip(parts) {
                *sum ^= simd.product(part, constant);
            }
        }
    }
    for (n, sums) in sums.iter().enumerate() {
        for (v, sum) in sums.iter().enumerate() {
            sum.store_slice(&mut outs[n * len + at + v * lanes..][..lanes]);
        }
    }
}
