//! A packet that goes to a helper without having been queued: this worker must not run it.

use super::super::worker::Worker;
use crate::base::Instant;
use crate::packet::Packet;

impl Worker {
    /// Whether a helper takes a batch now.
    pub(in crate::dataplane) fn has_free_helper(&self, now: Instant) -> bool {
        self.offload.best(now, false).is_some()
    }

    /// Hands it over if a helper has it done in time; [`Worker::next_errand`] then has it.
    pub(in crate::dataplane) fn hand_over_alone(
        &mut self,
        now: Instant,
        packet: &Packet,
        queued_by: Instant,
    ) -> bool {
        let Self { admission, offload, pool, kernels, .. } = self;
        let Some(d) = offload.best(now, false) else { return false };
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
