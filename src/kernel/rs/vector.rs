//! A vector of bytes times a constant: AVX2 by two shuffles of sixteen, AVX-512 by one product with a matrix of bits (GFNI).
//!
//! Knows no shard. Called within functions that are compiled for the level, these are those instructions and no call.

use fearless_simd::Simd;
#[cfg(target_arch = "x86_64")]
use fearless_simd::{Avx2, Avx512, prelude::*, u8x16, u8x32, u8x64};

#[cfg(target_arch = "x86_64")]
use super::tables::{BITS, NIBBLES, Nibbles};

/// A level with that product.
pub(super) trait Products: Simd {
    /// Vectors of up to two outputs whose sums and halves fit the registers.
    const VECTORS: usize;
    /// A vector as products want it.
    type Split: Copy;
    /// A constant as products want it.
    type Constant: Copy;

    /// What is done once a vector.
    fn split(self, bytes: Self::u8s) -> Self::Split;
    /// What is done once a constant.
    fn constant(self, c: u8) -> Self::Constant;
    /// Each byte times the constant.
    fn product(self, bytes: Self::Split, c: Self::Constant) -> Self::u8s;
}

#[cfg(target_arch = "x86_64")]
impl Products for Avx2 {
    const VECTORS: usize = 2;
    /// The low four bits of each byte, and the high four.
    type Split = (u8x32<Self>, u8x32<Self>);
    type Constant = &'static Nibbles;

    #[inline(always)]
    fn split(self, bytes: u8x32<Self>) -> Self::Split {
        let low_bits = u8x32::splat(self, 15);
        (bytes & low_bits, (bytes >> 4) & low_bits)
    }

    #[inline(always)]
    fn constant(self, c: u8) -> Self::Constant {
        &NIBBLES[usize::from(c)]
    }

    #[inline(always)]
    fn product(self, bytes: Self::Split, c: Self::Constant) -> u8x32<Self> {
        let table = |t: [u8; 16]| {
            let block: u8x16<Self> = t.simd_into(self);
            u8x32::block_splat(block)
        };
        table(c.low).swizzle_dyn_within_blocks(bytes.0)
            ^ table(c.high).swizzle_dyn_within_blocks(bytes.1)
    }
}

#[cfg(target_arch = "x86_64")]
impl Products for Avx512 {
    const VECTORS: usize = 4;
    type Split = u8x64<Self>;
    type Constant = u64;

    #[inline(always)]
    fn split(self, bytes: u8x64<Self>) -> Self::Split {
        bytes
    }

    #[inline(always)]
    fn constant(self, c: u8) -> Self::Constant {
        BITS[usize::from(c)]
    }

    #[inline(always)]
    fn product(self, bytes: Self::Split, c: Self::Constant) -> u8x64<Self> {
        affine(self, bytes, c)
    }
}

#[cfg(target_arch = "x86_64")]
fearless_simd::kernel!(
    #[inline]
    fn affine(simd: Avx512, bytes: u8x64<Avx512>, bits: u64) -> u8x64<Avx512> {
        use std::arch::x86_64::{_mm512_gf2p8affine_epi64_epi8, _mm512_set1_epi64};
        let matrix = _mm512_set1_epi64(bits.cast_signed());
        _mm512_gf2p8affine_epi64_epi8::<0>(bytes.into(), matrix).simd_into(simd)
    }
);
