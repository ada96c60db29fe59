//! Why there is no GPU, or why it is good for nothing: each with the driver's own words.

use super::adapter::Found;

/// Why there is no GPU to use, or why it is good for nothing.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum GpuError {
    /// Nothing was found.
    #[error("there is no Vulkan adapter: no GPU, no driver for it, or no libvulkan.so.1")]
    NoAdapter,
    /// What was found is no GPU.
    #[error(
        "the only adapter is {0}: software is slower than the CPU without it, and was not allowed"
    )]
    OnlySoftware(Found),
    /// No kernel of the config has a form for a GPU.
    #[error("no kernel of the config runs on a GPU: only mlp does")]
    NothingToRun,
    /// The driver gives no device.
    #[error("{adapter} gives no device: {why}")]
    Device {
        /// Whose.
        adapter: String,
        /// The driver's words.
        why: String,
    },
    /// The device does not make what a kernel needs.
    #[error("the device does not make {what}: {why}")]
    Build {
        /// What was to be made.
        what: String,
        /// The driver's words.
        why: String,
    },
    /// The device computes wrongly.
    #[error("the device failed its self-test, {what}: {why}")]
    SelfTest {
        /// The kernel that was tested.
        what: String,
        /// What came instead.
        why: String,
    },
}
