//! What the machine calls itself.
//!
//! Knows no figure that is kept under that name.

/// The processor's model as the kernel names it; none where it names none, as on some architectures.
#[must_use]
pub fn cpu_model() -> Option<String> {
    let info = std::fs::read_to_string("/proc/cpuinfo").ok()?;
    let name = info.lines().find_map(|l| l.strip_prefix("model name")?.split_once(':'))?.1.trim();
    (!name.is_empty()).then(|| name.to_owned())
}
