//! The shape of the file: every key read with its type and its range, absent keys left absent.
//!
//! Knows no relation between two keys and no default; those are `check`'s.

mod beside;
mod endpoint;
mod kept;
mod kernel;
mod mlp;
mod streams;
mod tuning;

use std::net::SocketAddr;
use std::path::Path;

use toml::de::DeTable;

pub(super) use endpoint::{EgressFile, IngressFile};
pub(super) use kernel::{KernelFile, service_time};
pub(super) use tuning::{ClassFile, ControllerFile, GpuFile, GuardFile, LevelFile, WorkersFile};

use super::fault::{Place, Report};
use super::item::ADDRESS_FORM;
use super::section::{Field, Section};
use crate::base::limits::KERNELS_MAX;
use crate::kernel::simd::SimdChoice;

/// The file, before anything in it was compared with anything else.
pub(super) struct File {
    pub(super) workers: WorkersFile,
    pub(super) classes: [ClassFile; 4],
    pub(super) controller: ControllerFile,
    pub(super) guard: GuardFile,
    pub(super) ingress: Field<Vec<IngressFile>>,
    pub(super) egress: Field<Vec<EgressFile>>,
    pub(super) kernels: Vec<KernelFile>,
    pub(super) simd: Field<SimdChoice>,
    pub(super) level: LevelFile,
    pub(super) gpu: GpuFile,
    /// The inner `None` is "off".
    pub(super) admin: Field<Option<SocketAddr>>,
}

impl File {
    /// Where a fault of the file as a whole is shown.
    pub(super) const fn start() -> Place {
        Place { span: 0..0, key: String::new() }
    }

    /// Reads the whole document; every fault of a single value is in `report` afterwards.
    /// Files that it names lie in `folder`.
    pub(super) fn read(document: &DeTable<'_>, folder: Option<&Path>, report: &mut Report) -> Self {
        let mut top = Section::new("", Self::start(), Some(document));
        let workers = top.child("workers", "[workers]", report);
        let priority = top.child("priority", "[priority]", report);
        let controller = top.child("controller", "[controller]", report);
        let guard = top.child("guard", "[guard]", report);
        let ingress = top.children("ingress", report);
        let egress = top.children("egress", report);
        let kernels = top.child("kernel", "[kernel]", report);
        let simd = top.child("kernels", "[kernels]", report);
        let level = top.child("level", "[level]", report);
        let gpu = top.child("gpu", "[gpu]", report);
        let admin = top.child("admin", "[admin]", report);
        top.done(report);
        Self {
            workers: WorkersFile::read(workers, report),
            classes: ClassFile::read_all(priority, report),
            controller: ControllerFile::read(controller, report),
            guard: GuardFile::read(guard, report),
            ingress: ingress
                .map(|all| all.into_iter().map(|s| IngressFile::read(s, report)).collect()),
            egress: egress
                .map(|all| all.into_iter().map(|s| EgressFile::read(s, report)).collect()),
            kernels: read_kernels(&kernels, folder, report),
            simd: read_simd(simd, report),
            level: LevelFile::read(level, folder, report),
            gpu: GpuFile::read(gpu, report),
            admin: read_admin(admin, report),
        }
    }
}

fn read_simd(mut section: Section<'_, '_>, report: &mut Report) -> Field<SimdChoice> {
    let simd = section.choice("simd", report);
    section.done(report);
    simd
}

fn read_kernels(
    section: &Section<'_, '_>,
    folder: Option<&Path>,
    report: &mut Report,
) -> Vec<KernelFile> {
    let entries = section.entries();
    if let Some((_, place, _)) = entries.get(KERNELS_MAX) {
        report.fault(place, format!("more than {KERNELS_MAX} kernels"));
    }
    entries
        .into_iter()
        .map(|(name, place, value)| KernelFile::read(name, place, value, folder, report))
        .collect()
}

fn read_admin(mut section: Section<'_, '_>, report: &mut Report) -> Field<Option<SocketAddr>> {
    let admin = section.with("listen", report, |item, report| {
        const OFF: &str = ", or \"off\"";
        if item.value.as_str() == Some("off") {
            return Some(None);
        }
        let address = item.address(OFF, report)?;
        if !address.ip().is_loopback() {
            item.wrong("must be a loopback address: the admin page asks for no password", report)
                .allowed(format!("{ADDRESS_FORM}{OFF}"));
            return None;
        }
        Some(Some(address))
    });
    section.done(report);
    admin
}
