//! What the gates learn: what packets take, what is offered, how promises have ended.
//!
//! Knows no clock: times come in.

use super::{Admission, Overload, Predictor};
use crate::base::{Instant, Nanos, PerPriority, Priority};
use crate::sched::margin::Ends;
use crate::sched::possible::Most;

impl Admission {
    /// What packets like these did cost in their kernel, each, from dispatch to result.
    #[inline]
    pub fn record(
        &mut self,
        now: Instant,
        bucket: u16,
        priority: Priority,
        each: Nanos,
        count: u32,
    ) {
        if self.worth.is_some() {
            self.learn(bucket, priority, each);
        }
        if self.expected.is_some()
            && let Some(in_full_batch) = self.batches.in_full_batch(bucket)
        {
            self.estimate.record_two(now, (bucket, priority), (each, in_full_batch), count);
            return;
        }
        self.estimate.record_many(now, bucket, priority, each, count);
    }

    /// What a turn spent besides its kernels, on so many packets (receive, schedule, send), and on so many that it refused. Measured,
    /// like the kernel's time. No turn counts for more than 20 us a packet.
    pub const fn record_overhead(&mut self, spent: Nanos, handled: u64, refused: u64) {
        self.overhead.record(spent, handled, refused);
        self.each = self.overhead.each();
    }

    /// The average of [`Admission::record_overhead`].
    #[must_use]
    pub const fn overhead(&self) -> Nanos {
        self.each
    }

    /// What a packet is expected to take from dispatch until its result has left.
    #[must_use]
    #[inline]
    pub fn predict(&self, bucket: u16, priority: Priority) -> Nanos {
        self.estimate.predict(bucket, priority) + self.each
    }

    /// At the end of a window of offers: the most that it could have held.
    pub fn most_possible(&mut self, now: Instant) -> Option<Most> {
        let Self { possible, estimate, each, options, .. } = self;
        let values = &options.values;
        possible.tick(now, values, |bucket, p| estimate.predict(bucket, p) + *each)
    }

    /// How much sooner than its deadline what is promised to that class must be expected to end.
    #[must_use]
    pub fn margin(&self, priority: Priority) -> Nanos {
        self.margin.of(priority)
    }

    /// How promises of each class have ended by now: what is promised from now on leaves so much free as to break few enough.
    /// A policy that promises nothing learns nothing.
    pub fn learn_from(&mut self, ends: &PerPriority<Ends>) {
        if !self.predicts || self.options.predictor == Predictor::Off {
            return;
        }
        self.margin.learn(ends);
        let (cushion, margin) = (&self.cushion, &self.margin);
        self.headroom = PerPriority::from_fn(|p| cushion[p].max(margin.of(p)));
    }

    /// Time has passed, and so many of each class have arrived by now: notes how much of it the work offered by each class would take.
    /// A starving class is hardly read, so its offer is not seen: it is taken to want everything.
    pub fn tick(&mut self, now: Instant, starving: &PerPriority<bool>, arrived: &PerPriority<u64>) {
        self.demand.tick(now, starving, arrived, self.overhead.for_refused());
        self.tick_by_value(now, arrived);
        self.choose_chunk();
        if self.options.overload == Overload::None {
            self.demand.let_all_fit();
        }
    }
}
