//! How a device is to be used.

use super::net::TILE;
use crate::base::Nanos;

/// The most rows of a batch: a workgroup each, of which a dispatch may have one less than 2^16.
const ROWS_MAX: usize = (1 << 16) - TILE;

/// How a device is to be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// Whether a software adapter will do; default no.
    pub allow_software: bool,
    /// The most rows of a batch, 4 to 65,532, rounded up to fours; default 1,024. Wide networks may get fewer.
    pub rows_max: usize,
    /// The most batches in flight, 1 to 8; default 3.
    pub in_flight: usize,
    /// A batch that takes longer is overdue; default 100 ms.
    pub overdue: Nanos,
    /// Before a wait blocks, so long is spent looking, since waking up costs more than a short batch; default 50 us.
    pub spin: Nanos,
    /// Whether the device's own clock is read around each batch ([`Gpu::kernel_time`](super::Gpu::kernel_time)); default no.
    pub timed: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            allow_software: false,
            rows_max: 1_024,
            in_flight: 3,
            overdue: Nanos::from_millis(100),
            spin: Nanos::from_micros(50),
            timed: false,
        }
    }
}

impl Options {
    /// The nearest that a device can do.
    pub(super) fn within_bounds(self) -> Self {
        Self {
            rows_max: self.rows_max.clamp(TILE, ROWS_MAX).next_multiple_of(TILE),
            in_flight: self.in_flight.clamp(1, 8),
            ..self
        }
    }
}
