//! Four products of bytes summed into each 32-bit lane: AVX2 in three instructions, AVX-512 VNNI in one.
//!
//! Knows no layer. Called within functions that are compiled for the level, these are those instructions and no call.

#[cfg(target_arch = "x86_64")]
use fearless_simd::{Avx2, Avx512, Simd, i32x8, i32x16, prelude::*};

/// A level with that operation.
pub(super) trait Dot4: Simd {
    /// `sum + x0*w0 + x1*w1 + x2*w2 + x3*w3` in each lane; `x` has bytes from 0 to 127, `w` from -127 to 127.
    fn dot4(self, sum: Self::i32s, x: Self::i32s, w: Self::i32s) -> Self::i32s;
}

#[cfg(target_arch = "x86_64")]
impl Dot4 for Avx2 {
    #[inline(always)]
    fn dot4(self, sum: i32x8<Self>, x: i32x8<Self>, w: i32x8<Self>) -> i32x8<Self> {
        maddubs(self, sum, x, w)
    }
}

#[cfg(target_arch = "x86_64")]
impl Dot4 for Avx512 {
    #[inline(always)]
    fn dot4(self, sum: i32x16<Self>, x: i32x16<Self>, w: i32x16<Self>) -> i32x16<Self> {
        dpbusd(self, sum, x, w)
    }
}

#[cfg(target_arch = "x86_64")]
fearless_simd::kernel!(
    #[inline]
    fn maddubs(simd: Avx2, sum: i32x8<Avx2>, x: i32x8<Avx2>, w: i32x8<Avx2>) -> i32x8<Avx2> {
        use std::arch::x86_64::{
            _mm256_add_epi32, _mm256_madd_epi16, _mm256_maddubs_epi16, _mm256_set1_epi16,
        };
        let pairs = _mm256_maddubs_epi16(x.into(), w.into());
        let fours = _mm256_madd_epi16(pairs, _mm256_set1_epi16(1));
        _mm256_add_epi32(sum.into(), fours).simd_into(simd)
    }
);

#[cfg(target_arch = "x86_64")]
fearless_simd::kernel!(
    #[inline]
    fn dpbusd(
        simd: Avx512,
        sum: i32x16<Avx512>,
        x: i32x16<Avx512>,
        w: i32x16<Avx512>,
    ) -> i32x16<Avx512> {
        std::arch::x86_64::_mm512_dpbusd_epi32(sum.into(), x.into(), w.into()).simd_into(simd)
    }
);
