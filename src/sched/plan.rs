//! What the controller decided for one worker, and the cell through which the worker learns of it.
//!
//! Knows neither of them. The cell is a sequence lock in one cache line: one writer, any readers, no lock, never a mix of
//! two plans.

#[cfg(punctual_loom)]
use loom::sync::atomic::{AtomicU64, Ordering, fence};
#[cfg(not(punctual_loom))]
use std::sync::atomic::{AtomicU64, Ordering, fence};

use bytemuck::NoUninit;
use crossbeam_utils::CachePadded;

use crate::base::{Nanos, PerPriority, Priority};

/// The limits that one worker works under until the next plan.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WorkerPlan {
    /// The most packets of each class that it may hold queued; 0 where it does not serve the class.
    pub quota: PerPriority<u32>,
    /// The most packets that it may hold queued, as long as each class keeps to its quota.
    pub total: u32,
    /// By which part of its own budget, in thousandths, a packet beyond its class's quota must be expected to be done; 0: none
    /// goes beyond.
    pub fill: PerPriority<u16>,
    /// Each class's guard window. At most 4 s are carried.
    pub guard: PerPriority<Nanos>,
    /// How long it runs before it looks at its ring again. At most 4 s are carried.
    pub slice: Nanos,
    /// The number of the plan. 0: none yet.
    pub generation: u64,
}

/// Two numbers that are written in one store. The crate `atomic` is free of locks for 8 bytes only at an alignment of 8.
#[derive(Clone, Copy, Debug, NoUninit)]
#[cfg_attr(punctual_loom, derive(bytemuck::AnyBitPattern))]
#[repr(C, align(8))]
struct ClassPlan {
    quota: u32,
    guard_ns: u32,
}

#[cfg(not(punctual_loom))]
use atomic::Atomic;
#[cfg(not(punctual_loom))]
const _: () = assert!(
    Atomic::<ClassPlan>::is_lock_free(),
    "a plan that takes a lock would let the controller stop a worker"
);

/// Loom models its own atomics only: the same 8 bytes as one word.
#[cfg(punctual_loom)]
#[derive(Debug)]
struct Atomic<T>(AtomicU64, std::marker::PhantomData<T>);
#[cfg(punctual_loom)]
impl Atomic<ClassPlan> {
    fn new(plan: ClassPlan) -> Self {
        Self(AtomicU64::new(bytemuck::cast(plan)), std::marker::PhantomData)
    }

    fn load(&self, order: Ordering) -> ClassPlan {
        bytemuck::cast(self.0.load(order))
    }

    fn store(&self, plan: ClassPlan, order: Ordering) {
        self.0.store(bytemuck::cast(plan), order);
    }
}

/// How often a reader tries while writes are under way. Plans come ten times a second and a write takes nanoseconds.
const TRIES: usize = if cfg!(punctual_loom) { 2 } else { 8 };

/// What lies in the cache line: all 64 bytes of it.
#[derive(Debug)]
struct Line {
    /// Odd while a write is under way.
    sequence: AtomicU64,
    generation: AtomicU64,
    classes: [Atomic<ClassPlan>; Priority::COUNT],
    /// Total and slice in the places of quota and guard.
    whole: Atomic<ClassPlan>,
    /// Four times 16 bits, the highest class in the lowest.
    fill: AtomicU64,
}

/// One worker's plan: the control thread shows it, the worker reads it when it has changed.
#[derive(Debug)]
pub struct PlanCell {
    line: CachePadded<Line>,
}

#[cfg(not(punctual_loom))]
const _: () = assert!(size_of::<Line>() <= 64, "one cache line a worker");

impl PlanCell {
    /// A cell that shows `plan` from the start.
    #[must_use]
    pub fn new(plan: &WorkerPlan) -> Self {
        let class = |i: usize| Atomic::new(class_of(plan, Priority::ALL[i]));
        let line = Line {
            sequence: AtomicU64::new(0),
            generation: AtomicU64::new(plan.generation),
            classes: std::array::from_fn(class),
            whole: Atomic::new(whole_of(plan)),
            fill: AtomicU64::new(fill_of(plan)),
        };
        Self { line: CachePadded::new(line) }
    }

    /// Shows `plan`. Only one thread publishes; it never waits. The generation must differ from the last one's.
    pub fn publish(&self, plan: &WorkerPlan) {
        let line = &*self.line;
        let sequence = line.sequence.load(Ordering::Relaxed);
        line.sequence.store(sequence.wrapping_add(1), Ordering::Relaxed);
        // Readers that see any word of this write also see the odd sequence (or a later one).
        fence(Ordering::Release);
        for p in Priority::ALL {
            line.classes[p.index()].store(class_of(plan, p), Ordering::Relaxed);
        }
        line.whole.store(whole_of(plan), Ordering::Relaxed);
        line.fill.store(fill_of(plan), Ordering::Relaxed);
        line.generation.store(plan.generation, Ordering::Relaxed);
        line.sequence.store(sequence.wrapping_add(2), Ordering::Release);
    }

    /// The generation that was written last: one load, for the hot loop. Its plan may still be under way;
    /// [`PlanCell::read`] sees to that.
    #[must_use]
    #[inline]
    pub fn generation(&self) -> u64 {
        self.line.generation.load(Ordering::Relaxed)
    }

    /// The plan, when its generation is not `last`. `None` too when writes were under way at each of a few tries: the
    /// worker keeps the plan it has and asks again the next turn.
    #[must_use]
    #[inline]
    pub fn read(&self, last: u64) -> Option<WorkerPlan> {
        if self.generation() == last {
            return None;
        }
        (0..TRIES).find_map(|_| self.try_read()).filter(|plan| plan.generation != last)
    }

    #[cold]
    fn try_read(&self) -> Option<WorkerPlan> {
        let line = &*self.line;
        let before = line.sequence.load(Ordering::Acquire);
        if before & 1 == 1 {
            return None;
        }
        let classes = PerPriority::from_fn(|p| line.classes[p.index()].load(Ordering::Relaxed));
        let whole = line.whole.load(Ordering::Relaxed);
        let fill = line.fill.load(Ordering::Relaxed);
        let generation = line.generation.load(Ordering::Relaxed);
        fence(Ordering::Acquire);
        if line.sequence.load(Ordering::Relaxed) != before {
            return None;
        }
        Some(WorkerPlan {
            quota: PerPriority::from_fn(|p| classes[p].quota),
            total: whole.quota,
            fill: PerPriority::from_fn(|p| fill_in(fill, p)),
            guard: PerPriority::from_fn(|p| Nanos::new(u64::from(classes[p].guard_ns))),
            slice: Nanos::new(u64::from(whole.guard_ns)),
            generation,
        })
    }
}

fn class_of(plan: &WorkerPlan, p: Priority) -> ClassPlan {
    ClassPlan { quota: plan.quota[p], guard_ns: narrow(plan.guard[p]) }
}

fn whole_of(plan: &WorkerPlan) -> ClassPlan {
    ClassPlan { quota: plan.total, guard_ns: narrow(plan.slice) }
}

fn fill_of(plan: &WorkerPlan) -> u64 {
    plan.fill.iter().fold(0, |all, (p, fill)| all | u64::from(*fill) << (16 * p.index()))
}

#[expect(clippy::cast_possible_truncation, reason = "the low 16 bits are meant")]
const fn fill_in(all: u64, p: Priority) -> u16 {
    (all >> (16 * p.index())) as u16
}

fn narrow(span: Nanos) -> u32 {
    u32::try_from(span.get()).unwrap_or(u32::MAX)
}

#[cfg(not(punctual_loom))]
#[cfg(test)]
mod tests {
    use super::*;

    /// A plan all of whose fields follow from its generation.
    fn plan(generation: u64) -> WorkerPlan {
        let n = u32::try_from(generation).unwrap();
        let span = Nanos::new(generation);
        WorkerPlan {
            quota: PerPriority::new([n; 4]),
            total: n,
            fill: PerPriority::new([u16::try_from(generation % 1_000).unwrap(); 4]),
            guard: PerPriority::new([span; 4]),
            slice: span,
            generation,
        }
    }

    #[test]
    fn a_plan_comes_through_whole_and_once() {
        let cell = PlanCell::new(&WorkerPlan::default());
        assert_eq!(cell.read(0), None);
        let shown = WorkerPlan {
            quota: PerPriority::new([1, 2, 3, 512]),
            total: 2_048,
            fill: PerPriority::new([1_000, 900, 1, 0]),
            guard: PerPriority::new([0, 80_000, 7, 0].map(Nanos::new)),
            slice: Nanos::from_micros(50),
            generation: 9,
        };
        cell.publish(&shown);
        assert_eq!(cell.generation(), 9);
        assert_eq!(cell.read(0), Some(shown));
        assert_eq!(cell.read(9), None);
        assert_eq!(PlanCell::new(&shown).read(0), Some(shown));
    }

    #[test]
    fn readers_never_see_two_plans_mixed() {
        const LAST: u64 = 20_000;
        let cell = PlanCell::new(&plan(0));
        std::thread::scope(|s| {
            for _ in 0..2 {
                s.spawn(|| {
                    let mut last = 0;
                    while last < LAST {
                        if let Some(got) = cell.read(last) {
                            assert_eq!(got, plan(got.generation), "torn");
                            assert!(got.generation > last);
                            last = got.generation;
                        }
                    }
                });
            }
            (1..=LAST).for_each(|n| cell.publish(&plan(n)));
        });
    }
}
