//! The backends that a batch may run on, and what the way to a device costs.
//!
//! Knows no device and no instruction: these are names and numbers.

use super::breaker::Figures;
use crate::base::Nanos;
use crate::kernel::KernelSpec;
use crate::kernel::simd::{Level, SimdChoice};

/// What is shown of a device beside the cores.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceView {
    /// What it is.
    pub name: String,
    /// How its breaker stands.
    pub figures: Figures,
    /// How often the breaker entered each of [`State::ALL`](super::breaker::State::ALL).
    pub entered: [u64; 3],
    /// Device time that the breaker allows in a minute.
    pub limit: Nanos,
    /// By kernel, in the order of their ids: what batches of so many rows took before it served.
    pub measured: Vec<Vec<(usize, Nanos)>>,
}

/// Where a batch may run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Backend {
    /// A core, by the portable reference.
    Scalar,
    /// A core, by AVX2 with FMA.
    Avx2,
    /// A core, by AVX-512.
    Avx512,
    /// A device beside the cores.
    Device,
}

impl Backend {
    /// All, narrowest first.
    pub const ALL: [Self; 4] = [Self::Scalar, Self::Avx2, Self::Avx512, Self::Device];
    /// Those of the cores, narrowest first.
    pub const CORES: [Self; 3] = [Self::Scalar, Self::Avx2, Self::Avx512];

    /// Its name in reports.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Scalar => SimdChoice::Scalar.word(),
            Self::Avx2 => SimdChoice::Avx2.word(),
            Self::Avx512 => SimdChoice::Avx512.word(),
            Self::Device => "gpu",
        }
    }

    /// Whether it is vector instructions of a core.
    #[must_use]
    pub const fn is_simd(self) -> bool {
        matches!(self, Self::Avx2 | Self::Avx512)
    }

    /// The cores at that level; none where there is no form of its own.
    #[must_use]
    pub fn of(level: Level) -> Option<Self> {
        let is_it = |b: &Self| b.simd().and_then(|s| s.resolve().ok()).map(Level::word);
        Self::CORES.into_iter().find(|b| is_it(b) == Some(level.word()))
    }

    /// What the kernels are made with to run there; none for a device.
    #[must_use]
    pub const fn simd(self) -> Option<SimdChoice> {
        match self {
            Self::Scalar => Some(SimdChoice::Scalar),
            Self::Avx2 => Some(SimdChoice::Avx2),
            Self::Avx512 => Some(SimdChoice::Avx512),
            Self::Device => None,
        }
    }
}

/// The way to a device and back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Link {
    /// What every batch pays, however small.
    pub launch: Nanos,
    /// Bytes a second, both ways.
    pub bytes_per_s: u64,
}

impl Link {
    /// `launch + (in + out) / bandwidth` (seed 000), rounded up. None where that is more than can be counted, or nothing passes.
    #[must_use]
    pub fn transfer(self, bytes_in: u64, bytes_out: u64) -> Option<Nanos> {
        let bytes = u128::from(bytes_in) + u128::from(bytes_out);
        if self.bytes_per_s == 0 {
            return (bytes == 0).then_some(self.launch);
        }
        let ns = (bytes * 1_000_000_000).div_ceil(u128::from(self.bytes_per_s));
        self.launch.get().checked_add(u64::try_from(ns).ok()?).map(Nanos::new)
    }
}

/// How many elements a batch of `rows` payloads of `len` bytes has: features, samples, or bytes. What seed 000 measures size by.
#[must_use]
pub fn elements(spec: &KernelSpec, rows: u32, len: usize) -> u64 {
    let size = match spec {
        KernelSpec::Mlp(_) => 4,
        KernelSpec::Fir(_) => 2,
        _ => 1,
    };
    (len as u64 / size).saturating_mul(u64::from(rows))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_transfer_is_its_launch_and_its_bytes() {
        let link = Link { launch: Nanos::from_micros(20), bytes_per_s: 25_000_000_000 };
        assert_eq!(link.transfer(0, 0), Some(Nanos::from_micros(20)));
        assert_eq!(link.transfer(200_000, 50_000), Some(Nanos::from_micros(30)));
        assert_eq!(link.transfer(1, 0), Some(Nanos::new(20_001)), "rounded up");
    }

    #[test]
    fn what_cannot_be_counted_is_no_transfer() {
        let link = Link { launch: Nanos::MAX, bytes_per_s: 1 };
        assert_eq!(link.transfer(1, 0), None);
        assert_eq!(link.transfer(u64::MAX, u64::MAX), None);
        let closed = Link { launch: Nanos::new(1), bytes_per_s: 0 };
        assert_eq!((closed.transfer(0, 0), closed.transfer(1, 0)), (Some(Nanos::new(1)), None));
    }

    #[test]
    fn only_forms_of_cores_are_made_of_instructions() {
        for backend in Backend::ALL {
            let word = backend.simd().map(SimdChoice::word);
            assert_eq!(word.is_some(), Backend::CORES.contains(&backend));
            assert!(word.is_none_or(|w| w == backend.word()));
        }
    }

    #[test]
    fn sizes_count_what_a_payload_is_made_of() {
        assert_eq!(elements(&KernelSpec::Crc32c, 8, 1_472), 11_776);
        let fir = crate::kernel::fir::Spec { taps: vec![1], shift: 0 };
        assert_eq!(elements(&KernelSpec::Fir(fir), 4, 320), 640);
        assert_eq!(elements(&KernelSpec::Echo, u32::MAX, usize::MAX), u64::MAX);
    }
}
