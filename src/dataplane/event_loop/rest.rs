//! What the loop does while there is nothing to do: sleep, or stay awake for what is about to come.

use std::io;

use super::{EventLoop, Idle};
use crate::base::limits::PARK_MAX;
use crate::base::{Clock, Instant, Nanos};
use crate::io::Driver;
use crate::stats::WorkerField;

/// Shorter waits than this are spun: a sleep costs 20 to 50 µs.
const SPIN_BELOW: Nanos = Nanos::from_micros(100);
/// Traffic with shorter gaps than this (20,000 packets a second) keeps an adaptive worker awake between packets.
const BRISK_GAP: Nanos = Nanos::from_micros(50);
/// How many average gaps it then stays awake: a Poisson gap is longer once in 3,000 times.
const BRISK_GAPS: u64 = 8;
/// Two looks at the clock with nothing between them that are further apart than this: time was stolen from the worker.
const NOISE_GAP: Nanos = Nanos::from_micros(100);

impl<C: Clock, D: Driver> EventLoop<'_, C, D> {
    /// Sleeps, or stays awake until the time that it answers with.
    pub(super) fn rest(
        &mut self,
        now: Instant,
        until: Option<Instant>,
        arrived: bool,
    ) -> io::Result<Option<Instant>> {
        let most = until.map_or(PARK_MAX, |u| u.since(now).min(PARK_MAX));
        if self.stays_awake(now, most) {
            std::hint::spin_loop();
            if !arrived {
                self.watch_for_gap(now);
            }
            return Ok(Some(now + most));
        }
        if self.dirty {
            self.publish(now);
        }
        self.worker.counters_mut().add_worker(WorkerField::Parks, 1);
        self.driver.wait(most)?;
        Ok(None)
    }

    fn stays_awake(&self, now: Instant, most: Nanos) -> bool {
        if most < SPIN_BELOW {
            return true;
        }
        match self.idle {
            Idle::Spin => true,
            Idle::Park => false,
            Idle::Adaptive { spin } => {
                let gap = self.gap.get();
                let brisk =
                    if gap <= BRISK_GAP { gap.saturating_mul(BRISK_GAPS) } else { Nanos::ZERO };
                now.since(self.last_arrival) < spin.max(brisk)
            }
        }
    }

    /// While nothing happens, a second look at the clock shows whether the machine took time away.
    fn watch_for_gap(&mut self, now: Instant) {
        let gap = self.clock.now().since(now);
        if gap >= NOISE_GAP {
            let counters = self.worker.counters_mut();
            counters.add_worker(WorkerField::Gaps, 1);
            let longest = counters.worker(WorkerField::GapMax).max(gap.get());
            counters.set_worker(WorkerField::GapMax, longest);
        }
    }
}
