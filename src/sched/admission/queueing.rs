//! What waits, in the queue or in the line of promises, whichever is in use: looked at, put in and taken out.
//!
//! Knows no gate: whoever is pushed was admitted.

use super::{Admission, Candidate};
use crate::base::{DropReason, Instant, Nanos, Priority};
use crate::packet::Packet;
use crate::sched::edf::EdfQueue;

impl Admission {
    /// The queue, to be looked at. Empty while [`Policy::Value`](super::Policy::Value) goes by value.
    #[must_use]
    #[inline]
    pub const fn queue(&self) -> &EdfQueue<Packet> {
        &self.queue
    }

    /// How many wait, each datagram counted.
    #[must_use]
    #[inline]
    pub fn len(&self) -> usize {
        match &self.worth {
            Some(worth) if self.by_value => worth.len(),
            _ => self.queue.len(),
        }
    }

    /// Whether nobody waits.
    #[must_use]
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many of that class wait, each datagram counted.
    #[must_use]
    pub fn depth(&self, priority: Priority) -> u32 {
        match &self.worth {
            Some(worth) if self.by_value => worth.depth(priority),
            _ => self.queue.depth(priority),
        }
    }

    /// The class of what stands first.
    #[must_use]
    #[inline]
    pub fn first_priority(&self) -> Option<Priority> {
        match &self.worth {
            Some(worth) if self.by_value => worth.peek().map(|p| p.priority),
            _ => self.queue.first_priority(),
        }
    }

    /// What the first of that class is queued by.
    #[must_use]
    pub fn first_due(&self, priority: Priority) -> Option<Instant> {
        match &self.worth {
            Some(worth) if self.by_value => worth.first_due(priority),
            _ => self.queue.first_of(priority).map(|v| v.key.deadline),
        }
    }

    /// The next packet that would be dispatched.
    #[must_use]
    pub fn peek(&self) -> Option<Packet> {
        match &self.worth {
            Some(worth) if self.by_value => worth.peek().copied(),
            _ => self.queue.peek_item().copied(),
        }
    }

    /// Queues a packet that was just admitted.
    ///
    /// # Panics
    /// When it was not: the queue has no room.
    #[inline]
    pub fn push(&mut self, packet: Packet, candidate: &Candidate) {
        if self.queued_plainly {
            self.queue_by(candidate.queued_by, packet, candidate.service);
        } else {
            let candidate = *candidate;
            self.push_otherwise(packet, &candidate);
        }
    }

    #[inline]
    fn queue_by(&mut self, by: Instant, packet: Packet, each: Nanos) {
        let service = each.saturating_mul(packet.datagrams());
        let count = u32::from(packet.count);
        let pushed = self.queue.push_many(packet.priority, by, service, count, packet);
        assert!(pushed.is_ok(), "a packet was pushed that had not been admitted");
    }

    /// In order of arrival, by value, or where batches are known.
    #[inline(never)]
    fn push_otherwise(&mut self, packet: Packet, candidate: &Candidate) {
        self.batches.pushed(packet.bucket, packet.priority, u32::from(packet.count));
        if self.in_order {
            return self.queue_by(candidate.queued_by, packet, candidate.service);
        }
        match self.worth.as_mut().filter(|_| self.by_value) {
            Some(worth) => {
                self.queue.skip_seq();
                worth.put(packet);
            }
            None => self.queue_by(candidate.released, packet, candidate.service),
        }
    }

    /// Whether packets gave way to another.
    #[must_use]
    #[inline]
    pub fn has_evicted(&self) -> bool {
        !self.evicted.is_empty()
            || self.by_value && self.worth.as_ref().is_some_and(|w| w.has_gone())
    }

    /// A packet that gave way to another, and why it is dropped.
    #[inline]
    pub fn next_evicted(&mut self) -> Option<(Packet, DropReason)> {
        match &mut self.worth {
            Some(worth) if self.by_value => worth.next_gone(),
            _ => self.evicted.pop().map(|p| (p, DropReason::Evicted)),
        }
    }

    /// A packet that was just admitted is not pushed after all: there was no room for its bytes.
    pub fn withdraw(&mut self) {
        if let Some(worth) = &mut self.worth {
            worth.withdraw();
        }
    }

    /// Takes the head of the queue, whatever its deadline: the service stops.
    pub fn pop_any(&mut self) -> Option<Packet> {
        match &mut self.worth {
            Some(worth) if self.by_value => worth.pop_any(),
            _ => self.queue.pop().map(|e| e.item),
        }
    }
}
