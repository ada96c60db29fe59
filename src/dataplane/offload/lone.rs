//! A packet that goes to a helper without having been queued: this worker must not run it.

use super::super::worker::Worker;
use crate::base::Instant;
use crate::packet::Packet;

impl Worker {
    /// The helper that takes a batch now.
    pub(in crate::dataplane) fn free_helper(&self, now: Instant) -> Option<usize> {
        self.offload.best(now, false)
    }

    /// Hands it over to helper `d` if that has it done in time; [`Worker::next_errand`] then has it.
    pub(in crate::dataplane) fn hand_over_alone(
        &mut self,
        now: Instant,
        d: usize,
        packet: &Packet,
        queued_by: Instant,
    ) -> bool {
        let Self { admission, offload, pool, kernels, .. } = self;
        let device = &offload.devices[d];
        let Some(bytes) = device.bytes_of(packet, kernels, pool.slot_len()) else { return false };
        let offer = device.offer(now, offload.order.room());
        if !admission.choose_lone(&offer, packet, queued_by, bytes) {
            return false;
        }
        self.load(now, d, packet.kernel);
        true
    }
}
