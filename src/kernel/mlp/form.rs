//! Layers in the form that a level wants: plain rows for scalar code, panels of a vector's width for the others.
//!
//! Knows not what a layer is made of.

use crate::kernel::simd::Level;

/// Scalar layers `L`, or panels `P` with the token that proves what the machine has.
#[derive(Clone, Debug)]
pub(super) enum Form<L, P> {
    Scalar(Vec<L>),
    #[cfg(target_arch = "x86_64")]
    Avx2(fearless_simd::Avx2, Vec<P>),
    #[cfg(target_arch = "x86_64")]
    Avx512(fearless_simd::Avx512, Vec<P>),
}

impl<L, P> Form<L, P> {
    /// For that level; `cut` makes panels for that many 32-bit lanes.
    pub(super) fn new(level: Level, layers: Vec<L>, cut: impl Fn(&L, usize) -> P) -> Self {
        let panels = |lanes| layers.iter().map(|l| cut(l, lanes)).collect();
        match level {
            #[cfg(target_arch = "x86_64")]
            Level::Avx2(token) => Self::Avx2(token, panels(8)),
            #[cfg(target_arch = "x86_64")]
            Level::Avx512(token) => Self::Avx512(token, panels(16)),
            Level::Scalar => Self::Scalar(layers),
        }
    }

    /// Numbers between the starts of two rows: the widest layer, `width`, and what panels are padded to. A line more than
    /// that, so that rows of a power of two do not all fall into the same few sets of the cache.
    pub(super) fn stride(&self, width: usize, padded: impl Fn(&P) -> usize) -> usize {
        let padded = match self {
            Self::Scalar(_) => 0,
            #[cfg(target_arch = "x86_64")]
            Self::Avx2(_, panels) | Self::Avx512(_, panels) => {
                panels.iter().map(padded).max().unwrap_or(0)
            }
        };
        width.max(padded).next_multiple_of(16) + 16
    }
}
