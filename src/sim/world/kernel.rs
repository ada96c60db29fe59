//! A kernel whose work is time spent on the virtual clock; the payload comes back unchanged.
//!
//! Knows no queue. It sees every packet at the moment when it is run, so it also holds the law that nothing hopeless is.

use std::sync::{Arc, Mutex, PoisonError};

use rand_xoshiro::Xoshiro256PlusPlus;

use super::clock::VirtualClock;
use super::course::{Course, happens};
use super::options::Company;
use super::tag::Tag;
use crate::base::{Clock as _, Instant, Nanos, PerPriority, Priority};
use crate::kernel::{Batch, Kernel, PLACES, Place};
use crate::sched::estimate::STALE_AFTER;
use crate::sim::workload::{nanos, ns};

/// One class's average, reckoned a second time: in floating point, from what the clock says that each run took.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Shadow {
    pub(super) ema_ns: f64,
    /// Samples since the last gap after which the product's own average drifts back.
    pub(super) samples: u64,
    sampled: Instant,
}

impl Shadow {
    /// Whether the product's own average has begun to drift back.
    pub(super) fn is_stale(&self, now: Instant) -> bool {
        now.since(self.sampled) >= STALE_AFTER
    }

    fn take(&mut self, now: Instant, took: Nanos, weight: f64) {
        if now.since(self.sampled) >= STALE_AFTER {
            self.samples = 0;
        }
        self.sampled = now;
        self.samples += 1;
        self.ema_ns += (ns(took) - self.ema_ns) / weight;
    }
}

/// What kernels saw, for the checks.
#[derive(Debug, Default)]
pub(super) struct Notes {
    /// Rows that were run.
    pub(super) runs: u64,
    /// Rows that failed on purpose.
    pub(super) failed: u64,
    /// Rows that were started at or after their deadline.
    pub(super) hopeless: u64,
    /// Rows whose bytes were not what had arrived.
    pub(super) damaged: u64,
    /// Of the past, in the averages.
    pub(super) weight: f64,
    /// By class.
    pub(super) shadows: PerPriority<Shadow>,
}

/// See the module.
#[derive(Debug)]
pub(super) struct VirtualKernel {
    pub(super) clock: VirtualClock,
    /// What a payload without a tag takes.
    pub(super) plain: Nanos,
    pub(super) slow: Course,
    pub(super) slow_factor: f64,
    pub(super) drift: Option<(Instant, f64)>,
    pub(super) fails: f64,
    pub(super) rng: Xoshiro256PlusPlus,
    /// What it gains from company.
    pub(super) company: Option<Company>,
    /// On a worker, and not on a helper: what is run there is judged by its time.
    pub(super) own: bool,
    /// The class of each stream.
    pub(super) priorities: Arc<[Priority]>,
    /// Classes of which no packet rides in a batch: what a batch took is not what its packets would take.
    pub(super) plain_classes: PerPriority<bool>,
    /// No sample of a class counts for more.
    pub(super) cuts: PerPriority<Nanos>,
    pub(super) notes: Arc<Mutex<Notes>>,
    /// What is left of what has paused, and what was spent on it, by place.
    pub(super) parts: [(Nanos, Nanos); PLACES],
}

/// How often a kernel that can pause looks whether it should.
const STEP: Nanos = Nanos::from_micros(2);

impl VirtualKernel {
    fn factor(&mut self, now: Instant) -> f64 {
        let drift = self.drift.filter(|(from, _)| *from <= now).map_or(1.0, |(_, factor)| factor);
        if self.slow.active(now).is_some() { drift * self.slow_factor } else { drift }
    }

    /// Spends the time and says how much it was, stalls included.
    fn take(&mut self, service: Nanos, started: Instant) -> Nanos {
        let factor = self.factor(started);
        #[expect(clippy::float_cmp, reason = "set to exactly this where nothing is slow")]
        let service = if factor == 1.0 { service } else { nanos(ns(service) * factor) };
        self.clock.spend(service);
        self.clock.now().since(started)
    }

    /// Spends the time of a batch of packets that say what they take; says whether they do.
    fn take_together(&mut self, batch: &Batch<'_>, company: Company) -> bool {
        let (mut longest, mut sum) = (0.0_f64, 0.0);
        for i in 0..batch.len() {
            let Some(tag) = Tag::read(batch.payload(i)) else { return false };
            longest = longest.max(ns(tag.service));
            sum += ns(tag.service);
        }
        let whole = company.shared * longest + (1.0 - company.shared) * sum;
        self.take(nanos(whole), self.clock.now());
        true
    }

    /// Nothing hopeless is begun on a worker, or gone on with.
    fn note_start(&self, tag: &Tag, started: Instant) {
        let mut notes = self.notes.lock().unwrap_or_else(PoisonError::into_inner);
        notes.hopeless += u64::from(self.own && started >= tag.deadline);
    }

    /// It was done then, and took its own part of the time so long; says whether it has worked.
    fn note_end(&mut self, tag: &Tag, done: Instant, took: Nanos) -> bool {
        let priority = self.priorities[usize::from(tag.stream)];
        let mut notes = self.notes.lock().unwrap_or_else(PoisonError::into_inner);
        notes.runs += 1;
        if self.own && self.plain_classes[priority] {
            let cut = took.min(self.cuts[priority]).max(Nanos::new(1));
            let weight = notes.weight;
            notes.shadows[priority].take(done, cut, weight);
        }
        drop(notes);
        let fails = happens(self.fails, &mut self.rng);
        if fails {
            self.notes.lock().unwrap_or_else(PoisonError::into_inner).failed += 1;
        }
        !fails
    }
}

impl Kernel for VirtualKernel {
    fn run(&mut self, batch: &mut Batch<'_>) {
        let begun = self.clock.now();
        let together = self.company.is_some_and(|company| self.take_together(batch, company));
        for i in 0..batch.len() {
            let payload = batch.payload(i);
            let (len, tag) = (payload.len(), Tag::read(payload));
            let started = if together { begun } else { self.clock.now() };
            let Some(tag) = tag else {
                // Rounds before traffic run on zeros.
                if payload.iter().any(|b| *b != 0) {
                    self.notes.lock().unwrap_or_else(PoisonError::into_inner).damaged += 1;
                }
                self.take(self.plain, started);
                batch.finish(i, len);
                continue;
            };
            let took = if together { Nanos::ZERO } else { self.take(tag.service, started) };
            self.note_start(&tag, started);
            if self.note_end(&tag, started + took, took) {
                batch.finish(i, len);
            } else {
                batch.fail(i);
            }
        }
    }

    fn pauses(&self) -> bool {
        self.company.is_none()
    }

    fn run_until(
        &mut self,
        batch: &mut Batch<'_>,
        places: &[Place],
        pause: &mut dyn FnMut() -> bool,
    ) -> usize {
        let (&[Place { at: place, begun }], Some(tag)) = (places, Tag::read(batch.payload(0)))
        else {
            self.run(batch);
            return batch.len();
        };
        let started = self.clock.now();
        self.note_start(&tag, started);
        if !begun {
            let factor = self.factor(started);
            self.parts[place] = (nanos(ns(tag.service) * factor), Nanos::ZERO);
        }
        loop {
            let (left, _) = self.parts[place];
            self.clock.spend(left.min(STEP));
            let left = left.saturating_sub(STEP);
            self.parts[place].0 = left;
            let over = left == Nanos::ZERO;
            if !over && !pause() {
                continue;
            }
            self.parts[place].1 += self.clock.now().since(started);
            if !over {
                return 0;
            }
            let len = batch.payload(0).len();
            let took = self.parts[place].1;
            if self.note_end(&tag, self.clock.now(), took) {
                batch.finish(0, len);
            } else {
                batch.fail(0);
            }
            return 1;
        }
    }

    /// One at a time: time gains nothing from company.
    fn batch_max(&self) -> usize {
        self.company.map_or(1, |company| company.rows)
    }
}
