//! Sums of products of bytes with constants: by table, and by two shuffles of sixteen a byte.
//!
//! Knows no code and no instruction set; the vector form is compiled for each level that `fearless_simd` has.

use fearless_simd::{Simd, prelude::*};

use super::field::product;

/// Products of one constant: with the low four bits of a byte, and with the high four. A product is the sum of both.
#[derive(Clone, Copy, Debug)]
pub(super) struct Nibbles {
    low: [u8; 16],
    high: [u8; 16],
}

/// Every constant's nibbles.
pub(super) static NIBBLES: [Nibbles; 256] = {
    let mut all = [Nibbles { low: [0; 16], high: [0; 16] }; 256];
    let mut c: u16 = 0;
    while c < 256 {
        let constant = c.to_le_bytes()[0];
        let mut x: u8 = 0;
        while x < 16 {
            all[c as usize].low[x as usize] = product(constant, x);
            all[c as usize].high[x as usize] = product(constant, x << 4);
            x += 1;
        }
        c += 1;
    }
    all
};

/// A whole table a constant: what the reference looks products up in.
static PRODUCTS: [[u8; 256]; 256] = {
    let mut all = [[0; 256]; 256];
    let mut c = 0;
    while c < 256 {
        let mut x = 0;
        while x < 256 {
            all[c][x] = NIBBLES[c].low[x & 15] ^ NIBBLES[c].high[x >> 4];
            x += 1;
        }
        c += 1;
    }
    all
};

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
pub(super) fn by_shuffle<S: Simd, const N: usize>(
    simd: S,
    coefficients: [&[u8]; N],
    shards: &[&[u8]],
    outs: &mut [u8],
) {
    let len = outs.len() / N;
    let lanes = S::u8s::LEN;
    let whole = len / lanes * lanes;
    let low_bits = S::u8s::splat(simd, 15);
    let mut at = 0;
    while at < whole {
        let mut sums = [S::u8s::splat(simd, 0); N];
        for (j, shard) in shards.iter().enumerate() {
            let bytes = S::u8s::from_slice(simd, &shard[at..at + lanes]);
            let low = bytes & low_bits;
            let high = (bytes >> 4) & low_bits;
            for (sum, row) in sums.iter_mut().zip(coefficients) {
                let of = &NIBBLES[usize::from(row[j])];
                let table = |t: &[u8; 16]| S::u8s::block_splat((*t).simd_into(simd));
                let a = table(&of.low).swizzle_dyn_within_blocks(low);
                let b = table(&of.high).swizzle_dyn_within_blocks(high);
                *sum = *sum ^ a ^ b;
            }
        }
        for (n, sum) in sums.iter().enumerate() {
            sum.store_slice(&mut outs[n * len + at..n * len + at + lanes]);
        }
        at += lanes;
    }
    for (n, row) in coefficients.iter().enumerate() {
        for i in whole..len {
            let sum = row
                .iter()
                .zip(shards)
                .fold(0, |s, (c, shard)| s ^ PRODUCTS[usize::from(*c)][usize::from(shard[i])]);
            outs[n * len + i] = sum;
        }
    }
}
