//! Whether kept times are true on this machine, for the kernels of this file. What is not true is measured at start instead.

use crate::config::fault::{Place, Report};
use crate::config::section::Field;
use crate::config::settings::Calibration;
use crate::kernel::Registry;
use crate::kernel::sample::{PAYLOAD_LEN, payload_len};
use crate::level::Backend;
use crate::level::saved::{Key, Saved};
use crate::sys::machine;

/// The setting, without its times where they are another machine's; a warning for whatever is measured all the same.
pub(super) fn check(
    file: &Field<Calibration>,
    kernels: &Registry,
    report: &mut Report,
) -> Option<Calibration> {
    let (said, place) = file.given()?;
    let mut found = said.clone();
    let kept = said.kept.as_ref()?;
    if let Err(why) = kept.hold_to(&machine::cpu_name(), env!("CARGO_PKG_VERSION")) {
        warn(&why.to_string(), "everything", place, report);
        found.kept = None;
    } else {
        of_kernels(kept, kernels, place, report);
    }
    Some(found)
}

/// A warning for each kernel whose times are missing or another's.
fn of_kernels(kept: &Saved, kernels: &Registry, place: &Place, report: &mut Report) {
    let Some(backend) = kernels.level().ok().and_then(Backend::of) else { return };
    for (kernel, spec) in kernels.iter() {
        if !spec.is_measured() {
            continue;
        }
        let (fingerprint, payload) = (spec.fingerprint(), payload_len(spec, PAYLOAD_LEN));
        if let Err(why) = kept.model(&Key { kernel, fingerprint, backend, payload }) {
            warn(&why.to_string(), "it", place, report);
        }
    }
}

fn warn(why: &str, what: &str, place: &Place, report: &mut Report) {
    report.warn(place, format!("kept times are not taken up: {why}; {what} is measured at start"));
}
