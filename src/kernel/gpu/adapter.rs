//! Which adapters there are, and which one is taken.
//!
//! Knows no kernel. That there is none is a value: a machine without a GPU, without a driver or without libvulkan is no fault.

use std::fmt;
use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use super::GpuError;

/// What an adapter is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// A card with memory of its own.
    Discrete,
    /// A GPU that shares the processor's memory.
    Integrated,
    /// A share of a GPU, lent by a hypervisor.
    Virtual,
    /// Its driver does not say.
    Other,
    /// The processor itself: right, and slower than the processor without it.
    Software,
}

impl Kind {
    /// Its word in reports.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Discrete => "discrete",
            Self::Integrated => "integrated",
            Self::Virtual => "virtual",
            Self::Other => "unknown kind",
            Self::Software => "software",
        }
    }
}

/// An adapter as its driver describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Its name.
    pub name: String,
    /// The interface that it is reached by.
    pub backend: String,
    /// Its driver, with the version.
    pub driver: String,
    /// What it is made of.
    pub kind: Kind,
    /// What it offers of what this project could use.
    pub features: Vec<&'static str>,
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, backend, driver, kind, .. } = self;
        write!(f, "{name} ({}, {backend}, {driver})", kind.word())
    }
}

/// The features that are worth a word in a report.
const FEATURES: [(wgpu::Features, &str); 5] = [
    (wgpu::Features::TIMESTAMP_QUERY, "timestamps"),
    (wgpu::Features::SUBGROUP, "subgroups"),
    (wgpu::Features::SHADER_F16, "f16"),
    (wgpu::Features::MAPPABLE_PRIMARY_BUFFERS, "mappable memory"),
    (wgpu::Features::EXPERIMENTAL_COOPERATIVE_MATRIX, "cooperative matrix"),
];

/// All adapters of this machine, in the order in which they would be taken. None where there is no driver.
#[must_use]
pub fn look() -> Vec<Found> {
    all().into_iter().map(|(_, found)| found).collect()
}

/// The best adapter; software only where that is allowed.
pub(super) fn choose(allow_software: bool) -> Result<(wgpu::Adapter, Found), GpuError> {
    let (adapter, found) = all().into_iter().next().ok_or(GpuError::NoAdapter)?;
    if found.kind == Kind::Software && !allow_software {
        return Err(GpuError::OnlySoftware(found));
    }
    Ok((adapter, found))
}

fn all() -> Vec<(wgpu::Adapter, Found)> {
    // Where this build has no backend for the platform, making an instance panics.
    if !wgpu::Instance::enabled_backend_features().contains(wgpu::Backends::VULKAN) {
        return Vec::new();
    }
    let instance = wgpu::Instance::new(wgpu::InstanceDescriptor {
        backends: wgpu::Backends::VULKAN,
        flags: wgpu::InstanceFlags::empty(),
        ..wgpu::InstanceDescriptor::new_without_display_handle()
    });
    let adapters = ready(instance.enumerate_adapters(wgpu::Backends::VULKAN)).unwrap_or_default();
    let mut all: Vec<_> = adapters
        .into_iter()
        .map(|adapter| {
            let found = describe(&adapter);
            (adapter, found)
        })
        .collect();
    all.sort_by_key(|(_, found)| found.kind);
    all
}

fn describe(adapter: &wgpu::Adapter) -> Found {
    let info = adapter.get_info();
    let offered = adapter.features();
    Found {
        name: info.name,
        backend: info.backend.to_string(),
        driver: format!("{} {}", info.driver, info.driver_info).trim().to_owned(),
        kind: match info.device_type {
            wgpu::DeviceType::DiscreteGpu => Kind::Discrete,
            wgpu::DeviceType::IntegratedGpu => Kind::Integrated,
            wgpu::DeviceType::VirtualGpu => Kind::Virtual,
            wgpu::DeviceType::Other => Kind::Other,
            wgpu::DeviceType::Cpu => Kind::Software,
        },
        features: FEATURES.iter().filter(|(f, _)| offered.contains(*f)).map(|(_, w)| *w).collect(),
    }
}

/// What a future of wgpu gives. Without a browser all of them are ready when they are made: no executor is needed.
pub(super) fn ready<T>(future: impl Future<Output = T>) -> Option<T> {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => Some(value),
        Poll::Pending => None,
    }
}
