//! What a packet will cost: moving averages of what packets like it did cost.
//!
//! Knows no kernel: a bucket is a number, kernel × log2 of the payload's size.
//!
//! Two estimates live side by side. The one of each priority is seed 002's, and quotas and guard windows are computed from
//! it. The one of each bucket predicts a packet's own cost, because one average a priority is worthless where sizes or
//! kernels mix. Neither may lock a class out: a packet that is never admitted is never measured, so an estimate that one
//! stall pushed above the budget would stay there for good. Hence observations are cut, and what has not been
//! measured for a while drifts back to the least ever seen.

use crate::base::ema::WEIGHT_DEFAULT;
use crate::base::limits::KERNELS_MAX;
use crate::base::{Ema, Instant, KernelId, Nanos, PerPriority, Priority};

/// Sizes told apart for each kernel: 0-1, 2-3, 4-7 … 32,768 and more bytes.
pub const SIZES: usize = 16;
/// How long without a sample before an estimate drifts back.
pub const STALE_AFTER: Nanos = Nanos::from_secs(1);
/// One observation counts for at most this many times its bucket's estimate: a stall cannot pass for the kernel's cost,
/// and a true change of 100x is still followed within eight samples.
pub(super) const RISE_MAX: u64 = 8;

/// Where each priority's average starts (seed 002).
pub const INITIAL: PerPriority<Nanos> = PerPriority::new([
    Nanos::from_micros(100),
    Nanos::from_micros(120),
    Nanos::from_micros(200),
    Nanos::from_micros(200),
]);

const _: () = assert!(KERNELS_MAX * SIZES <= u16::MAX as usize, "a bucket's number fits 16 bits");

/// The full weight of the past in a bucket.
const WEIGHT: u8 = 8;

/// One priority's average.
#[derive(Clone, Copy, Debug)]
struct Class {
    ema: Ema,
    /// No observation counts for more: half the budget, so that no single one can lift a fresh average above it.
    cut: Nanos,
    least: Option<Nanos>,
    samples: u64,
    sampled: Instant,
}

/// One bucket's average: the plain mean of the first eight samples, then a moving average of weight 1/8.
#[derive(Clone, Copy, Debug)]
struct Bucket {
    /// Nanoseconds × 256.
    scaled: u64,
    /// The average in whole nanoseconds, at least 1; 0 before the first sample.
    ready: u64,
    /// Counts to eight: the weight of the next sample is one over this plus one.
    weight: u8,
    least: Nanos,
    sampled: Instant,
}

impl Bucket {
    const UNSEEN: Self =
        Self { scaled: 0, ready: 0, weight: 0, least: Nanos::MAX, sampled: Instant::ZERO };

    #[inline]
    const fn get(&self) -> Option<Nanos> {
        if self.ready == 0 { None } else { Some(Nanos::new(self.ready)) }
    }

    /// Brings [`Bucket::ready`] up to date.
    #[inline]
    fn settle(&mut self) {
        self.ready = (self.scaled >> 8).max(1);
    }

    /// Takes in `count` equal observations.
    #[inline]
    fn record(&mut self, now: Instant, observed: Nanos, count: u32) {
        self.least = self.least.min(observed);
        self.sampled = now;
        self.take_in(observed, count);
        self.settle();
    }

    #[inline]
    fn take_in(&mut self, observed: Nanos, count: u32) {
        for _ in 0..count {
            let limit = match self.weight {
                0 => Nanos::MAX,
                _ => Nanos::new((self.scaled >> 8).max(1)).saturating_mul(RISE_MAX),
            };
            let before = self.scaled;
            if self.weight < WEIGHT {
                self.weight += 1;
                self.approach(observed.min(limit));
            } else {
                self.approach_full(observed.min(limit));
                if self.scaled == before {
                    // As near as the eighth parts go: more of the same change nothing.
                    return;
                }
            }
        }
    }

    /// One step of full weight towards `target`: the same as [`Bucket::approach`], without a division.
    #[inline]
    fn approach_full(&mut self, target: Nanos) {
        const _: () = assert!(WEIGHT == 8, "the shift");
        let target = scale(target);
        self.scaled = if target >= self.scaled {
            self.scaled + ((target - self.scaled) >> 3)
        } else {
            self.scaled - ((self.scaled - target) >> 3)
        };
    }

    /// One step towards `target`, as far as the weight says.
    fn approach(&mut self, target: Nanos) {
        let target = scale(target);
        let weight = u64::from(self.weight.max(1));
        self.scaled = if target >= self.scaled {
            self.scaled + (target - self.scaled) / weight
        } else {
            self.scaled - (self.scaled - target) / weight
        };
    }

    fn decay(&mut self, now: Instant) {
        if self.weight > 0 && now.since(self.sampled) >= STALE_AFTER {
            self.approach(self.least);
            self.settle();
        }
    }
}

/// Nanoseconds × 256, cut at 13 days so that the shift cannot overflow.
const fn scale(ns: Nanos) -> u64 {
    let ns = ns.get();
    (if ns < 1 << 50 { ns } else { 1 << 50 }) << 8
}

/// One worker's estimates. Only that worker records and reads; the controller is given copies.
#[derive(Clone, Debug)]
pub struct ServiceEstimate {
    classes: PerPriority<Class>,
    /// [`SIZES`] for each kernel.
    buckets: Box<[Bucket]>,
    /// One for each kernel, whatever the size: for buckets not yet seen.
    kernels: Box<[Bucket]>,
}

/// The bucket of a payload of `len` bytes for that kernel. Kernels past [`KERNELS_MAX`] share the last one's.
#[must_use]
#[inline]
pub const fn bucket(kernel: KernelId, len: usize) -> u16 {
    let k = if kernel.index() < KERNELS_MAX { kernel.0 } else { LAST_KERNEL };
    let log2 = (len | 1).ilog2();
    #[expect(clippy::cast_possible_truncation, reason = "at most 63")]
    let size = if log2 < SIZES_U16 as u32 { log2 as u16 } else { SIZES_U16 - 1 };
    k * SIZES_U16 + size
}

/// The kernel that a bucket is of; the last one stands for all past [`KERNELS_MAX`].
#[must_use]
pub const fn kernel_of(bucket: u16) -> u16 {
    bucket / SIZES_U16
}

const SIZES_U16: u16 = 16;
const LAST_KERNEL: u16 = 63;
const _: () = assert!(SIZES_U16 as usize == SIZES && LAST_KERNEL as usize + 1 == KERNELS_MAX);

impl ServiceEstimate {
    /// Estimates for classes with these budgets and for `kernels` kernels (at most [`KERNELS_MAX`] are told apart).
    /// All memory is allocated here.
    #[must_use]
    pub fn new(budgets: &PerPriority<Nanos>, kernels: usize) -> Self {
        Self::with_weight(budgets, kernels, WEIGHT_DEFAULT)
    }

    /// The same, with another weight of the priorities' averages: a power of two from 2 to 64.
    #[must_use]
    pub fn with_weight(budgets: &PerPriority<Nanos>, kernels: usize, weight: u32) -> Self {
        let kernels = kernels.clamp(1, KERNELS_MAX);
        let class = |p: Priority| Class {
            ema: Ema::with_weight(INITIAL[p], weight),
            cut: Nanos::new((budgets[p].get() / 2).max(1)),
            least: None,
            samples: 0,
            sampled: Instant::ZERO,
        };
        Self {
            classes: PerPriority::from_fn(class),
            buckets: vec![Bucket::UNSEEN; kernels * SIZES].into(),
            kernels: vec![Bucket::UNSEEN; kernels].into(),
        }
    }

    /// How many buckets are told apart.
    #[must_use]
    pub const fn buckets(&self) -> usize {
        self.buckets.len()
    }

    /// What a packet of that bucket and priority is expected to cost, at least 1 ns: its bucket's average, else its
    /// kernel's, else its priority's.
    #[must_use]
    #[inline]
    pub fn predict(&self, bucket: u16, priority: Priority) -> Nanos {
        let bucket = usize::from(bucket);
        let of = |table: &[Bucket], i: usize| table.get(i).and_then(Bucket::get);
        of(&self.buckets, bucket)
            .or_else(|| of(&self.kernels, bucket / SIZES))
            .unwrap_or_else(|| self.classes[priority].ema.get())
    }

    /// Takes in what a packet did cost, from dispatch to result. Cut to half its class's budget.
    #[inline]
    pub fn record(&mut self, now: Instant, bucket: u16, priority: Priority, elapsed: Nanos) {
        self.record_many(now, bucket, priority, elapsed, 1);
    }

    /// The same for `count` packets that were run together and cost `each`.
    #[inline]
    pub fn record_many(
        &mut self,
        now: Instant,
        bucket: u16,
        priority: Priority,
        each: Nanos,
        count: u32,
    ) {
        self.record_two(now, (bucket, priority), (each, each), count);
    }

    /// The same where the class is told another time than the bucket: what quotas are computed by is what a packet takes when as
    /// many wait as the quota allows, which then ride in full batches.
    #[inline]
    pub fn record_two(
        &mut self,
        now: Instant,
        (bucket, priority): (u16, Priority),
        (each, in_full_batch): (Nanos, Nanos),
        count: u32,
    ) {
        let class = &mut self.classes[priority];
        let observed = in_full_batch.min(class.cut).max(Nanos::new(1));
        for _ in 0..count {
            class.ema.record(observed);
        }
        class.least = Some(class.least.map_or(observed, |l| l.min(observed)));
        class.samples += u64::from(count);
        class.sampled = now;
        let observed = each.min(class.cut).max(Nanos::new(1));
        let bucket = usize::from(bucket);
        if let Some(b) = self.buckets.get_mut(bucket) {
            b.record(now, observed, count);
        }
        if let Some(k) = self.kernels.get_mut(bucket / SIZES) {
            k.record(now, observed, count);
        }
    }

    /// Moves every estimate without a sample for [`STALE_AFTER`] an eighth of the way to the least it has seen.
    /// Called once a controller tick; bounded work, about a microsecond for each kernel or less.
    pub fn decay(&mut self, now: Instant) {
        for (_, class) in self.classes.iter_mut() {
            if let Some(least) = class.least.filter(|l| *l < class.ema.get())
                && now.since(class.sampled) >= STALE_AFTER
            {
                class.ema.record(least);
            }
        }
        for bucket in self.buckets.iter_mut().chain(&mut self.kernels) {
            bucket.decay(now);
        }
    }

    /// Forgets the least seen, for example after kernels were replaced.
    pub fn reset_least(&mut self) {
        for (_, class) in self.classes.iter_mut() {
            class.least = None;
        }
        for bucket in self.buckets.iter_mut().chain(&mut self.kernels) {
            bucket.least = bucket.get().unwrap_or(Nanos::MAX);
        }
    }

    /// One priority's average (seed 002), at least 1 ns.
    #[must_use]
    #[inline]
    pub fn ema(&self, priority: Priority) -> Nanos {
        self.classes[priority].ema.get()
    }

    /// The least that one of that priority has cost.
    #[must_use]
    pub fn least(&self, priority: Priority) -> Option<Nanos> {
        self.classes[priority].least
    }

    /// How many of that priority have been measured.
    #[must_use]
    pub fn samples(&self, priority: Priority) -> u64 {
        self.classes[priority].samples
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const BUCKET: u16 = 5;

    fn estimate() -> ServiceEstimate {
        ServiceEstimate::new(&PerPriority::from_fn(Priority::default_budget), 2)
    }

    fn at(ms: u64) -> Instant {
        Instant::ZERO + Nanos::from_millis(ms)
    }

    #[test]
    fn buckets_tell_kernels_and_sizes_apart() {
        assert_eq!(bucket(KernelId(0), 0), 0);
        assert_eq!(bucket(KernelId(0), 1), 0);
        assert_eq!(bucket(KernelId(0), 2), 1);
        assert_eq!(bucket(KernelId(0), 64), 6);
        assert_eq!(bucket(KernelId(0), 65_507), 15);
        assert_eq!(bucket(KernelId(0), usize::MAX), 15);
        assert_eq!(bucket(KernelId(3), 1_500), 3 * 16 + 10);
        assert_eq!(bucket(KernelId(u16::MAX), 1), 63 * 16);
    }

    #[test]
    fn falls_back_from_bucket_to_kernel_to_priority() {
        let mut e = estimate();
        let small = bucket(KernelId(1), 64);
        let large = bucket(KernelId(1), 4_096);
        assert_eq!(e.predict(small, Priority::Medium), Nanos::from_micros(120));
        e.record(at(0), small, Priority::Low, Nanos::from_micros(7));
        assert_eq!(e.predict(small, Priority::Medium), Nanos::from_micros(7));
        assert_eq!(e.predict(large, Priority::Medium), Nanos::from_micros(7));
        assert_eq!(e.predict(bucket(KernelId(0), 64), Priority::Low), e.ema(Priority::Low));
        // A bucket beyond the table is no fault: it is estimated by its priority.
        e.record(at(0), u16::MAX, Priority::Low, Nanos::from_micros(7));
        assert_eq!(e.predict(u16::MAX, Priority::High), Nanos::from_micros(100));
    }

    #[test]
    fn the_first_samples_are_a_plain_mean() {
        let mut e = estimate();
        for us in [10, 20, 30] {
            e.record(at(0), BUCKET, Priority::Low, Nanos::from_micros(us));
        }
        assert_eq!(e.predict(BUCKET, Priority::Low).get().abs_diff(20_000), 0);
    }

    #[test]
    fn one_stall_does_not_lock_a_class_out() {
        // RELIABILITY finding 2: one observation of 54 ms where 50 us is usual, budget 1 ms.
        let mut e = estimate();
        for _ in 0..100 {
            e.record(at(0), BUCKET, Priority::High, Nanos::from_micros(50));
        }
        e.record(at(1), BUCKET, Priority::High, Nanos::from_millis(54));
        assert!(e.ema(Priority::High) < Nanos::from_micros(110), "{}", e.ema(Priority::High));
        assert!(e.predict(BUCKET, Priority::High) < Nanos::from_micros(100));
        // The same stall in a Low packet of that bucket does not shut High out either.
        e.record(at(2), BUCKET, Priority::Low, Nanos::from_millis(54));
        assert!(e.predict(BUCKET, Priority::High) < Nanos::from_micros(200));
    }

    #[test]
    fn a_true_change_of_cost_is_followed_soon() {
        let mut e = estimate();
        for _ in 0..100 {
            e.record(at(0), BUCKET, Priority::Low, Nanos::from_micros(50));
        }
        for _ in 0..24 {
            e.record(at(1), BUCKET, Priority::Low, Nanos::from_millis(5));
        }
        assert!(e.predict(BUCKET, Priority::Low) > Nanos::from_millis(4));
    }

    #[test]
    fn what_is_not_measured_drifts_to_the_least_seen() {
        let mut e = estimate();
        e.record(at(0), BUCKET, Priority::High, Nanos::from_micros(40));
        for _ in 0..50 {
            e.record(at(0), BUCKET, Priority::High, Nanos::from_millis(60));
        }
        let high = e.ema(Priority::High);
        assert!(high > Nanos::from_micros(490));
        e.decay(at(999));
        assert_eq!(e.ema(Priority::High), high);
        for tick in 0..5 {
            e.decay(at(1_000 + tick * 100));
        }
        assert!(e.ema(Priority::High) < Nanos::from_micros(300));
        for tick in 0..100 {
            e.decay(at(2_000 + tick * 100));
        }
        assert_eq!(e.ema(Priority::High), Nanos::from_micros(40));
        assert!(e.predict(BUCKET, Priority::High) <= Nanos::new(40_001));
        assert_eq!(e.ema(Priority::Low), Nanos::from_micros(200), "a class never seen stays");
    }

    #[test]
    fn after_a_reset_the_least_is_learnt_anew() {
        let mut e = estimate();
        e.record(at(0), BUCKET, Priority::High, Nanos::from_micros(1));
        e.reset_least();
        assert_eq!(e.least(Priority::High), None);
        e.record(at(0), BUCKET, Priority::High, Nanos::from_micros(30));
        assert_eq!(e.least(Priority::High), Some(Nanos::from_micros(30)));
        assert_eq!(e.samples(Priority::High), 2);
    }

    proptest! {
        #[test]
        fn stays_between_one_and_the_larger_of_start_and_budget(
            observed in proptest::collection::vec((any::<u64>(), 0..4u8, 0..64u16, 0..3_000u64), 1..200),
        ) {
            let mut e = estimate();
            let mut now = Instant::ZERO;
            for (ns, p, bucket, ms) in observed {
                let p = Priority::from_wire(p).unwrap();
                now = now + Nanos::from_millis(ms);
                e.record(now, bucket, p, Nanos::new(ns));
                e.decay(now + Nanos::from_secs(2));
                for p in Priority::ALL {
                    let most = INITIAL[p].max(p.default_budget());
                    prop_assert!((Nanos::new(1)..=most).contains(&e.ema(p)));
                }
                let most = Priority::BestEffort.default_budget();
                prop_assert!((Nanos::new(1)..=most).contains(&e.predict(bucket, p)));
            }
        }
    }
}
