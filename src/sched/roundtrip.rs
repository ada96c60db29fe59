//! What a device beside the worker's core is expected to take: the way there and back, and its rows.
//!
//! Knows no device and no clock: what was measured is an argument. A device's cost is no straight line (a GPU's first row
//! costs nearly what its hundredth does), so rows are measured apart by the size of their batch, in powers of two.

use crate::base::limits::KERNELS_MAX;
use crate::base::{Ema, Instant, KernelId, Nanos};

/// Batches of up to 2^15 rows are told apart.
const SIZES: usize = 16;
/// What the way there and back is taken to cost before it was measured: waking a thread that sleeps costs about half of it.
const FIXED_INITIAL: Nanos = Nanos::from_micros(50);
/// No way counts for more: a longer one was a core that was taken away, or a batch of somebody else.
const FIXED_MAX: Nanos = Nanos::from_millis(1);

/// When a batch went, was run, and came back.
#[derive(Clone, Copy, Debug)]
pub struct Trip {
    /// Handed over by the worker.
    pub sent: Instant,
    /// The device began with it.
    pub began: Instant,
    /// The device had done it.
    pub ended: Instant,
    /// The worker has it back.
    pub back: Instant,
}

/// The averages of one device, as one worker sees it.
#[derive(Clone, Debug)]
pub struct RoundTrip {
    fixed: Ema,
    /// Time for each row, [`SIZES`] for each kernel; `None`: never measured.
    each: Box<[Option<Ema>]>,
    /// When the device had done the last batch of this worker: what came after did not wait for it longer than that.
    last_ended: Instant,
}

impl RoundTrip {
    /// For a device that runs up to `kernels` kernels. All memory is allocated here.
    #[must_use]
    pub fn new(kernels: usize) -> Self {
        Self {
            fixed: Ema::new(FIXED_INITIAL),
            each: vec![None; kernels.clamp(1, KERNELS_MAX) * SIZES].into(),
            last_ended: Instant::ZERO,
        }
    }

    /// What the way there and back costs.
    #[must_use]
    pub const fn fixed(&self) -> Nanos {
        self.fixed.get()
    }

    /// What the device itself takes for `rows` rows, by what batches of that size have taken, else the next smaller size seen;
    /// where none was, what these rows would cost the worker (`own`).
    #[must_use]
    pub fn in_device(&self, kernel: KernelId, rows: usize, own: Nanos) -> Nanos {
        let cells = self.each.get(kernel.index() * SIZES..).unwrap_or_default();
        let seen = cells.iter().take(size(rows) + 1).rev().find_map(Option::as_ref);
        seen.map_or(own, |each| each.get().saturating_mul(rows as u64))
    }

    /// What the device was measured to take before it served: the first word about batches of that size.
    pub fn begin_with(&mut self, kernel: KernelId, rows: usize, took: Nanos) {
        let each = Nanos::new(took.get() / (rows.max(1) as u64));
        if let Some(cell) = self.each.get_mut(kernel.index() * SIZES + size(rows)) {
            *cell = Some(Ema::new(each));
        }
    }

    /// A batch has come back.
    pub fn record(&mut self, kernel: KernelId, rows: usize, trip: &Trip) {
        // Waiting behind this worker's own batch before is no part of the way.
        let there = trip.began.since(trip.sent.max(self.last_ended));
        self.last_ended = trip.ended;
        let fixed = there + trip.back.since(trip.ended);
        self.fixed.record(fixed.min(FIXED_MAX));
        let each = Nanos::new(trip.ended.since(trip.began).get() / (rows.max(1) as u64));
        if let Some(cell) = self.each.get_mut(kernel.index() * SIZES + size(rows)) {
            match cell {
                Some(ema) => ema.record(each),
                None => *cell = Some(Ema::new(each)),
            }
        }
    }
}

/// The power of two that holds so many rows.
fn size(rows: usize) -> usize {
    let log2 = rows.max(1).next_power_of_two().ilog2() as usize;
    log2.min(SIZES - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const K: KernelId = KernelId(1);

    fn us(us: u64) -> Nanos {
        Nanos::from_micros(us)
    }

    fn at(at: u64) -> Instant {
        Instant::ZERO + us(at)
    }

    #[test]
    fn the_way_and_the_rows_are_learnt_apart() {
        let mut times = RoundTrip::new(2);
        assert_eq!(times.in_device(K, 3, us(7)), us(7), "as the worker itself, before any is seen");
        for n in 0..200 {
            let sent = n * 1_000;
            let trip = Trip {
                sent: at(sent),
                began: at(sent + 8),
                ended: at(sent + 168),
                back: at(sent + 180),
            };
            times.record(K, 16, &trip);
        }
        assert!(times.fixed().get().abs_diff(20_000) < 300, "{}", times.fixed());
        assert_eq!(times.in_device(K, 16, us(1)), us(160));
        assert_eq!(times.in_device(K, 32, us(1)), us(320), "of a larger one, by the next smaller");
        assert_eq!(times.in_device(K, 8, us(1)), us(1), "fewer rows may cost more each");
        assert_eq!(times.in_device(KernelId(0), 16, us(1)), us(1));
        assert_eq!(times.in_device(KernelId(9), 16, us(1)), us(1), "one that is not there");
    }

    #[test]
    fn waiting_behind_the_own_batch_before_is_no_part_of_the_way() {
        let mut times = RoundTrip::new(2);
        for n in 0..200 {
            let from = n * 1_000;
            // Both are sent at once; the second is begun when the first is done.
            for (began, ended) in [(10, 110), (110, 210)] {
                let trip = Trip {
                    sent: at(from),
                    began: at(from + began),
                    ended: at(from + ended),
                    back: at(from + ended + 10),
                };
                times.record(K, 10, &trip);
            }
        }
        assert!((us(9)..us(21)).contains(&times.fixed()), "{}", times.fixed());
    }

    #[test]
    fn a_way_that_lost_its_core_counts_for_a_millisecond() {
        let mut times = RoundTrip::new(2);
        let trip = Trip { sent: at(0), began: at(10), ended: at(20), back: at(900_000) };
        times.record(K, 1, &trip);
        assert!(times.fixed() < us(200), "{}", times.fixed());
    }
}
