//! A helper in a world: another core that runs whole batches in virtual time, and now and then disappears with what it has.
//!
//! Knows no packet and no order. A worker's helpers are its own: what workers of a service share would tie their clocks.

use super::clock::VirtualClock;
use super::course::{Course, Span};
use crate::base::{Clock as _, Instant, Nanos};
use crate::dataplane::offload::{Back, Errand, Port};
use crate::kernel::Kernels;
use crate::kernel::accel::{Accelerator as _, Ended, Staged};
use crate::kernel::cpu_accel::CpuAccelerator;

/// A helper that has had nothing to do for so long sleeps, and must be woken.
const SLEEPS_AFTER: Nanos = Nanos::from_micros(50);

/// How a device is gone: by turns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Gone {
    /// It is known: what it had comes back at once as lost, and it takes nothing.
    Known,
    /// It is silent: what it had, and what it is sent, comes back as lost when it is there again.
    Silent,
    /// It hangs: all of it comes back done, but only when it goes on.
    Hangs,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Helper {
    /// The worker's.
    pub(super) clock: VirtualClock,
    /// Its own: shows when it will have done what it was given.
    pub(super) own: VirtualClock,
    device: CpuAccelerator,
    gone: Course,
    /// What a batch takes of the worker's time, half on its way there and half on its way back, and waking of the helper's.
    hand: Nanos,
    wake: Nanos,
    under_way: Vec<(Instant, Back)>,
    #[cfg(test)]
    pub(super) planted: Option<super::Planted>,
}

impl Helper {
    /// With kernels that spend their time on `own`.
    pub(super) fn new(
        (clock, own): (VirtualClock, VirtualClock),
        kernels: Kernels,
        gone: Course,
        (hand, wake): (Nanos, Nanos),
    ) -> Self {
        let device = CpuAccelerator::new(kernels);
        Self {
            clock,
            own,
            device,
            gone,
            hand,
            wake,
            under_way: Vec::new(),
            #[cfg(test)]
            planted: None,
        }
    }

    pub(super) const fn device(&self) -> &CpuAccelerator {
        &self.device
    }

    const fn hand_there(&self) -> Nanos {
        Nanos::new(self.hand.get() / 2)
    }

    /// The first span that begins before `to` and has not ended at `from`.
    fn gone_between(&self, from: Instant, to: Instant) -> Option<(Gone, Span)> {
        let spans = self.gone.spans();
        let n = spans.partition_point(|s| s.to <= from);
        let span = *spans.get(n).filter(|s| s.from < to)?;
        Some(([Gone::Known, Gone::Silent, Gone::Hangs][n % 3], span))
    }

    /// Runs it; says when it began.
    fn run(&mut self, Errand { kernel, staged }: Errand, from: Instant) -> (Box<Staged>, Instant) {
        let rested = from.since(self.own.now()) >= SLEEPS_AFTER;
        let began = from.max(self.own.now()) + if rested { self.wake } else { Nanos::ZERO };
        self.own.rest_until(began);
        // One batch at a time, and each is run at once: it always takes it.
        let taken = self.device.submit(kernel, staged);
        let mut done = taken.err();
        self.device.poll(Nanos::ZERO, &mut |staged, _| done = Some(staged));
        (done.unwrap_or_else(|| Box::new(Staged::new(0, 0))), began)
    }

    fn comes_back(&mut self, at: Instant, (staged, began): (Box<Staged>, Instant), ended: Ended) {
        let finished = self.own.now();
        self.under_way.push((at, Back { staged, ended, began, finished }));
    }
}

impl Port for Helper {
    fn send(&mut self, errand: Errand) -> Result<(), Errand> {
        // Formed and handed over, whether or not it is taken.
        self.clock.spend(self.hand_there());
        let now = self.clock.now();
        match self.gone_between(now, now + Nanos::new(1)) {
            Some((Gone::Known, _)) => return Err(errand),
            Some((Gone::Silent, span)) => {
                self.comes_back(span.to, (errand.staged, now), Ended::Lost);
                return Ok(());
            }
            Some((Gone::Hangs, span)) => {
                let run = self.run(errand, span.to);
                let done = self.own.now();
                self.comes_back(done, run, Ended::Run);
                return Ok(());
            }
            None => {}
        }
        let run = self.run(errand, now);
        let done = self.own.now();
        match self.gone_between(now, done) {
            None => self.comes_back(done, run, Ended::Run),
            Some((Gone::Known, span)) => self.comes_back(span.from, run, Ended::Lost),
            Some((Gone::Silent, span)) => self.comes_back(span.to, run, Ended::Lost),
            Some((Gone::Hangs, span)) => {
                self.own.rest_until(done + span.to.since(span.from.max(now)));
                let done = self.own.now();
                self.comes_back(done, run, Ended::Run);
            }
        }
        Ok(())
    }

    fn take(&mut self) -> Option<Back> {
        let now = self.clock.now();
        let first = (0..self.under_way.len()).min_by_key(|i| self.under_way[*i].0)?;
        let due = self.under_way[first].0 <= now;
        #[cfg_attr(not(test), expect(unused_mut, reason = "tests put a bug here"))]
        let mut back = due.then(|| self.under_way.swap_remove(first).1)?;
        #[cfg(test)]
        super::planted::back(self.planted, &mut back);
        self.clock.spend(self.hand.saturating_sub(self.hand_there()));
        Some(back)
    }
}
