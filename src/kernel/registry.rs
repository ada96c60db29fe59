//! Which kernels there are: their kinds, their names in the config, and their making, once for each worker.

use super::crc32c::Crc32c;
use super::echo::Echo;
use super::fir::{self, Fir};
use super::matching::{self, Match};
use super::mlp::{self, Mlp};
use super::rs::{self, ReedSolomon};
use super::simd::{Level, LevelMissing, SimdChoice};
use super::spin::{ServiceTime, Spin};
use super::{Batch, Kernel, Place};
use crate::base::limits::DATAGRAM_MAX;
use crate::base::{Clock, KernelId};

/// What a kernel is: its kind with its parameters.
#[derive(Clone, Debug, PartialEq)]
pub enum KernelSpec {
    /// The answer is the payload.
    Echo,
    /// The answer is the payload's CRC-32C.
    Crc32c,
    /// Busy work.
    Spin(ServiceTime),
    /// A multi-layer perceptron over the payload's features.
    Mlp(mlp::Spec),
    /// Which of a set of patterns the payload holds.
    Match(matching::Spec),
    /// Parity of a group of shards, or those that it lacks.
    Rs(rs::Spec),
    /// A filter over 16-bit samples.
    Fir(fir::Spec),
}

impl KernelSpec {
    /// The names of all kinds, as the config writes them.
    pub const KINDS: [&'static str; 7] = ["crc32c", "echo", "fir", "match", "mlp", "rs", "spin"];

    /// The longest payload that it can work on, in bytes, where there is only one length.
    #[must_use]
    pub fn payload_len(&self) -> Option<usize> {
        match self {
            Self::Mlp(spec) => Some(spec.payload_len()),
            _ => None,
        }
    }

    /// What it runs at `level`, in words: the level's own, or what stands in for it.
    #[must_use]
    pub fn runs_as(&self, level: Level) -> String {
        match self {
            Self::Mlp(spec) => format!("{} {level}", spec.precision.word()),
            Self::Match(spec) => spec.patterns.search(level).to_owned(),
            Self::Rs(_) | Self::Fir(_) => level.to_string(),
            // The crate chooses by itself and cannot be held back.
            Self::Crc32c => super::crc32c::target(),
            Self::Echo | Self::Spin(_) => "scalar".to_owned(),
        }
    }

    /// Whether what its batches take is worth measuring: not of busy work, whose time the config says, nor of what does nothing.
    #[must_use]
    pub const fn is_measured(&self) -> bool {
        !matches!(self, Self::Spin(_) | Self::Echo)
    }

    /// The name of its kind.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Echo => "echo",
            Self::Crc32c => "crc32c",
            Self::Spin(_) => "spin",
            Self::Mlp(_) => "mlp",
            Self::Match(_) => "match",
            Self::Rs(_) => "rs",
            Self::Fir(_) => "fir",
        }
    }
}

/// The named kernels of a config, in the order of their ids.
#[derive(Clone, Debug, Default)]
pub struct Registry {
    entries: Vec<(String, KernelSpec)>,
    simd: SimdChoice,
}

impl Registry {
    /// A registry of `entries`; the place in the list is the kernel's id.
    #[must_use]
    pub const fn new(entries: Vec<(String, KernelSpec)>) -> Self {
        Self { entries, simd: SimdChoice::Auto }
    }

    /// The same at the level that `simd` means.
    #[must_use]
    pub fn with_simd(self, simd: SimdChoice) -> Self {
        Self { simd, ..self }
    }

    /// Which level was asked for.
    #[must_use]
    pub const fn simd(&self) -> SimdChoice {
        self.simd
    }

    /// The level that all kernels run at.
    ///
    /// # Errors
    /// The machine lacks it.
    pub fn level(&self) -> Result<Level, LevelMissing> {
        self.simd.resolve()
    }

    /// Each kernel with its name, in the order of the ids.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &KernelSpec)> {
        self.entries.iter().map(|(name, spec)| (name.as_str(), spec))
    }

    /// How many there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The kernel with that name.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<KernelId> {
        let at = self.entries.iter().position(|(n, _)| n == name)?;
        u16::try_from(at).ok().map(KernelId)
    }

    /// The name of a kernel.
    #[must_use]
    pub fn name(&self, id: KernelId) -> Option<&str> {
        self.entries.get(id.index()).map(|(n, _)| n.as_str())
    }

    /// What a kernel is.
    #[must_use]
    pub fn spec(&self, id: KernelId) -> Option<&KernelSpec> {
        self.entries.get(id.index()).map(|(_, s)| s)
    }

    /// One worker's own set of kernels. `seed` decides what they draw. Whoever starts a service asks for the level before: here
    /// the reference stands in for a level that the machine lacks.
    #[must_use]
    pub fn instantiate(&self, seed: u64, clock: &impl Clock) -> Kernels {
        let level = self.level().unwrap_or(Level::Scalar);
        let make = |(i, (_, spec)): (usize, &(String, KernelSpec))| -> Box<dyn Kernel> {
            match spec {
                KernelSpec::Echo => Box::new(Echo),
                KernelSpec::Crc32c => Box::new(Crc32c),
                KernelSpec::Spin(time) => {
                    Box::new(Spin::new(*time, seed.wrapping_add(i as u64), clock))
                }
                KernelSpec::Mlp(spec) => Box::new(Mlp::new(spec, level)),
                KernelSpec::Match(spec) => Box::new(Match::new(&spec.patterns, level)),
                KernelSpec::Rs(spec) => Box::new(ReedSolomon::new(*spec, level, DATAGRAM_MAX)),
                KernelSpec::Fir(spec) => Box::new(Fir::new(spec, level, DATAGRAM_MAX)),
            }
        };
        Kernels { all: self.entries.iter().enumerate().map(make).collect() }
    }
}

/// One worker's kernels.
#[derive(Debug)]
pub struct Kernels {
    all: Vec<Box<dyn Kernel>>,
}

impl Kernels {
    /// Kernels that the caller made: tests put their own in.
    #[must_use]
    pub fn new(all: Vec<Box<dyn Kernel>>) -> Self {
        Self { all }
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.all.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// Runs kernel `id` on the batch.
    #[inline]
    pub fn run(&mut self, id: KernelId, batch: &mut Batch<'_>) {
        self.all[id.index()].run(batch);
    }

    /// Runs kernel `id` on the batch until it is done or pauses; how many rows are done ([`Kernel::run_until`]).
    pub fn run_until(
        &mut self,
        id: KernelId,
        batch: &mut Batch<'_>,
        places: &[Place],
        pause: &mut dyn FnMut() -> bool,
    ) -> usize {
        self.all[id.index()].run_until(batch, places, pause)
    }

    /// Each kernel, in the order of the ids.
    pub fn iter(&self) -> impl Iterator<Item = &dyn Kernel> {
        self.all.iter().map(|k| &**k as &dyn Kernel)
    }
}
