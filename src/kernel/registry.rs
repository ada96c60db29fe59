//! Which kernels there are: their kinds, their names in the config, and their making, once for each worker.

use super::crc32c::Crc32c;
use super::echo::Echo;
use super::spin::{ServiceTime, Spin};
use super::{Batch, Kernel};
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
}

impl KernelSpec {
    /// The names of all kinds, as the config writes them.
    pub const KINDS: [&'static str; 3] = ["crc32c", "echo", "spin"];

    /// The name of its kind.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Echo => "echo",
            Self::Crc32c => "crc32c",
            Self::Spin(_) => "spin",
        }
    }
}

/// The named kernels of a config, in the order of their ids.
#[derive(Clone, Debug, Default)]
pub struct Registry {
    entries: Vec<(String, KernelSpec)>,
}

impl Registry {
    /// A registry of `entries`; the place in the list is the kernel's id.
    #[must_use]
    pub const fn new(entries: Vec<(String, KernelSpec)>) -> Self {
        Self { entries }
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

    /// One worker's own set of kernels. `seed` decides what they draw.
    #[must_use]
    pub fn instantiate(&self, seed: u64, clock: &impl Clock) -> Kernels {
        let make = |(i, (_, spec)): (usize, &(String, KernelSpec))| -> Box<dyn Kernel> {
            match spec {
                KernelSpec::Echo => Box::new(Echo),
                KernelSpec::Crc32c => Box::new(Crc32c),
                KernelSpec::Spin(time) => {
                    Box::new(Spin::new(*time, seed.wrapping_add(i as u64), clock))
                }
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

    /// Each kernel, in the order of the ids.
    pub fn iter(&self) -> impl Iterator<Item = &dyn Kernel> {
        self.all.iter().map(|k| &**k as &dyn Kernel)
    }
}
