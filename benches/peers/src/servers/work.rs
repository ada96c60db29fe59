//! The work on one datagram: none, or the service's own kernel `spin`, so that work is the same work everywhere.

use std::time::Duration;

use punctual::base::Nanos;
use punctual::kernel::spin::{ServiceTime, Spin};
use punctual::kernel::{Batch, Kernel as _, Row, RowStatus};
use punctual::sys::clock::MonotonicClock;

/// What is done with each datagram.
#[derive(Debug)]
pub(crate) struct Work(Option<Spin>);

impl Work {
    pub(crate) fn new(time: Duration) -> Self {
        let time = Nanos::new(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX));
        let spin = || Spin::new(ServiceTime::Constant(time), 1, &MonotonicClock);
        Self((time > Nanos::ZERO).then(spin))
    }

    /// Whether there is any.
    pub(crate) const fn is_some(&self) -> bool {
        self.0.is_some()
    }

    /// Works on one datagram, in place.
    #[inline]
    pub(crate) fn run(&mut self, payload: &mut [u8]) {
        let Some(spin) = &mut self.0 else { return };
        let len = payload.len();
        let mut row = [Row { start: 0, len, capacity: len, status: RowStatus::Failed }];
        spin.run(&mut Batch::new(payload, &mut row));
    }
}
