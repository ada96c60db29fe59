//! The device's own clock, read before and after a batch.
//!
//! Knows no batch: it adds two stamps behind what is read back.

use super::card::Card;
use crate::base::Nanos;

/// Bytes of both stamps.
pub(super) const STAMPS: u64 = 16;

/// Two stamps of one batch's memory.
#[derive(Debug)]
pub(super) struct Timer {
    set: wgpu::QuerySet,
    resolved: wgpu::Buffer,
    /// Nanoseconds of a tick.
    period: f32,
}

impl Timer {
    /// None where the device has no clock.
    pub(super) fn new(card: &Card) -> Option<Self> {
        let has = card.device.features().contains(wgpu::Features::TIMESTAMP_QUERY);
        has.then(|| Self {
            set: card.device.create_query_set(&wgpu::QuerySetDescriptor {
                label: None,
                ty: wgpu::QueryType::Timestamp,
                count: 2,
            }),
            resolved: card
                .buffer(STAMPS, wgpu::BufferUsages::QUERY_RESOLVE | wgpu::BufferUsages::COPY_SRC),
            period: card.queue.get_timestamp_period(),
        })
    }

    /// For the pass that is timed.
    pub(super) const fn writes(&self) -> wgpu::ComputePassTimestampWrites<'_> {
        wgpu::ComputePassTimestampWrites {
            query_set: &self.set,
            beginning_of_pass_write_index: Some(0),
            end_of_pass_write_index: Some(1),
        }
    }

    /// Copies the stamps behind the first `answered` bytes, and says where they end.
    pub(super) fn resolve(
        &self,
        encoder: &mut wgpu::CommandEncoder,
        readback: &wgpu::Buffer,
        answered: u64,
    ) -> u64 {
        encoder.resolve_query_set(&self.set, 0..2, &self.resolved, 0);
        encoder.copy_buffer_to_buffer(&self.resolved, 0, readback, answered, STAMPS);
        answered + STAMPS
    }

    /// The time between the stamps behind the first `answered` bytes.
    pub(super) fn read(&self, readback: &wgpu::Buffer, answered: u64) -> Option<Nanos> {
        let view = readback.get_mapped_range(answered..answered + STAMPS).ok()?;
        let (words, _) = view.as_chunks::<8>();
        let [start, end] = [words.first()?, words.get(1)?].map(|w| u64::from_le_bytes(*w));
        Some(ticks(end.saturating_sub(start), self.period))
    }
}

#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a time span of a batch: far below 2^52 ticks, and no negative one"
)]
fn ticks(ticks: u64, period: f32) -> Nanos {
    Nanos::new((ticks as f64 * f64::from(period)) as u64)
}
