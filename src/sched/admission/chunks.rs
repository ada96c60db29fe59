//! Long kernels run in chunks: how long a chunk is, and what becomes of what has paused.
//!
//! Knows no kernel. What has paused is queued again by its deadline with what is left of it, so every rule for what waits holds
//! for it: it can be overtaken, give way, or turn out hopeless.

use super::{Admission, Policy};
use crate::base::Nanos;
use crate::packet::Packet;
use crate::sched::edf::Key;
use crate::sched::estimate;

/// How long a kernel runs before the worker looks at its sockets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Chunk {
    /// A third of the least slack of what has been arriving, within [`CHUNK_MIN`] and [`CHUNK_MAX`]; where slack is not noted,
    /// half of the latter.
    Auto,
    /// So long.
    Fixed(Nanos),
    /// To its end.
    Off,
}

/// A look at the sockets between two chunks is not worth it more often.
pub const CHUNK_MIN: Nanos = Nanos::from_micros(5);
/// Nor does it cost more than a few per cent so often.
pub const CHUNK_MAX: Nanos = Nanos::from_micros(50);
/// How many chunks the least slack holds.
const IN_SLACK: u64 = 3;

impl Admission {
    /// The kernels that can pause, by their numbers.
    pub fn set_pausing(&mut self, kernels: impl Iterator<Item = bool>) {
        let bits = kernels.take(64).enumerate().filter(|(_, pauses)| *pauses);
        self.pausing = bits.fold(0, |all, (k, _)| all | 1 << k);
        self.choose_chunk();
    }

    /// The chunk in force; `None`: kernels run to their ends.
    #[must_use]
    pub const fn chunk(&self) -> Option<Nanos> {
        self.chunk
    }

    /// Time has passed.
    pub(super) fn choose_chunk(&mut self) {
        self.chunk = self.best_chunk();
    }

    fn best_chunk(&self) -> Option<Nanos> {
        if !matches!(self.options.policy, Policy::Edf | Policy::Value) {
            return None;
        }
        match self.options.chunk {
            Chunk::Off => None,
            Chunk::Fixed(chunk) => Some(chunk),
            Chunk::Auto => {
                let Some(worth) = &self.worth else { return Some(Nanos::new(CHUNK_MAX.get() / 2)) };
                let part = Nanos::new(worth.patience().get() / IN_SLACK);
                Some(part.clamp(CHUNK_MIN, CHUNK_MAX))
            }
        }
    }

    /// How long another packet waits for one of that bucket that was begun, at most.
    pub(super) fn longest_wait_for(&self, bucket: u16) -> Nanos {
        let kernel = estimate::kernel_of(bucket);
        match self.chunk {
            Some(chunk) if self.pausing >> kernel & 1 == 1 => chunk,
            _ => Nanos::MAX,
        }
    }

    /// Queues a packet again that was begun and has paused; `left` is what it is believed to take still, in its kernel. `number`,
    /// below [`PUT_BACK_MAX`](crate::base::limits::PUT_BACK_MAX): no other that was put back and still waits has the same; those of one
    /// class that are due at once go by it.
    ///
    /// # Panics
    /// When there is no room: it was taken out of the queue, and nothing was admitted since.
    pub fn put_back(&mut self, mut packet: Packet, left: Nanos, number: u64) {
        packet.service = left + self.each;
        packet.flags.unpredicted = true;
        self.batches.pushed(packet.bucket, packet.priority, 1);
        let Packet { priority, deadline, service, .. } = packet;
        let yields = self.demand.yields(priority);
        if let Some(worth) = self.worth.as_mut().filter(|_| self.by_value) {
            return worth.put_back(packet, yields, number);
        }
        let key = Key { deadline, priority, seq: number };
        let back = self.queue.put_back(key, service, packet);
        assert!(back.is_ok(), "a packet was put back that had not been taken out");
    }
}
