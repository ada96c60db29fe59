//! Gate G4 for a packet that this worker must not run, because others that are worth more would wait too long for its end: a
//! device has it at once, or nobody.
//!
//! Knows no device: see [`Offer`].

use super::relief::Load;
use super::{Admission, Offer};
use crate::base::Instant;
use crate::packet::Packet;

/// What goes to a device without having been queued.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lone {
    pub(super) packet: Packet,
    /// The deadline that it is queued by should it come back unrun.
    pub(super) queued_by: Instant,
}

impl Admission {
    /// Whether the candidate that was refused last was so for keeping others waiting here: that says nothing against a device.
    #[must_use]
    pub const fn would_block(&self) -> bool {
        self.would_block
    }

    /// The next batch for a device is this packet alone, which takes that many bytes of it, if it is done there in time.
    /// [`Admission::next_relief`] then hands it out. It takes the number of a push.
    pub fn choose_lone(
        &mut self,
        offer: &Offer<'_>,
        packet: &Packet,
        queued_by: Instant,
        bytes: usize,
    ) -> bool {
        let load = Load::NONE.with(packet, packet.service, bytes);
        let in_time = offer.now + offer.takes(packet.kernel, &load) <= load.due;
        if !in_time || !offer.holds(&load) {
            return false;
        }
        self.queue.skip_seq();
        self.relief.lone = Some(Lone { packet: *packet, queued_by });
        self.relief.load = load;
        true
    }
}
