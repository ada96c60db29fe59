//! Whether a GPU that is asked for could be used: by this program, for these kernels, with this policy.
//!
//! Asks no driver: a machine without an adapter is no fault of the file.

use crate::base::Nanos;
use crate::config::fault::Report;
use crate::config::file::GpuFile;
use crate::config::settings::{Controller, Gpu};
use crate::kernel::{KernelSpec, Registry};

/// The settings; what they need is there afterwards, or `report` says what is not.
pub(super) fn check(
    file: &GpuFile,
    controller: &Controller,
    kernels: &Registry,
    report: &mut Report,
) -> Gpu {
    let gpu = Gpu {
        enabled: file.enabled.or(false),
        allow_software: file.allow_software.or(false),
        time_out: file.time_out.or(Nanos::from_millis(100)),
        slots: file.slots.or(3),
        rows: file.rows.or(1_024),
    };
    if !gpu.enabled {
        if let Some(place) = &file.place {
            report.warn(place, "[gpu] has no effect without enabled = true");
        }
        return gpu;
    }
    let Some(place) = file.enabled.place() else { return gpu };
    if !cfg!(feature = "gpu") {
        report
            .fault(place, "this program was built without GPUs")
            .allowed("false, or a program built by `cargo build --release --features gpu`");
    }
    if !controller.policy.predicts() {
        let word = controller.policy.word();
        report.warn(place, format!("a GPU has no effect with policy = \"{word}\""));
    }
    if !kernels.iter().any(|(_, spec)| matches!(spec, KernelSpec::Mlp(_))) {
        report.warn(place, "no kernel of this file runs on a GPU: only mlp does");
    }
    gpu
}
