//! Looks at one worker between two of its turns and holds it to the laws.
//!
//! Knows the worker's own figures and what the world counted beside them; changes nothing.

use std::sync::{Arc, Mutex, PoisonError};

use super::kernel::Notes;
use super::law::Law;
use super::site::SLOTS_AWAY;
use crate::base::limits::{KERNEL_BATCH_MAX, QUEUE_TOTAL_MAX, QUOTA_MAX};
use crate::base::{DropReason, IngressId, Instant, PerPriority, Priority};
use crate::dataplane::Worker;
use crate::dataplane::offload::TRIPS_PER_DEVICE;
use crate::sched::WorkerPlan;
use crate::sched::admission::Policy;
use crate::stats::{ClassField, Counters, Field, WorkerField};

/// Results that may wait for others of their flows (`dataplane::reorder`).
const HELD_MAX: usize = 1_024;
/// Probes may go past a quota; there are at most a few a control interval.
const QUOTA_SLACK: u32 = 64;
/// Samples before an average is compared, in weights of the past: its start then counts for e^-32.
const WEIGHTS: f64 = 32.0;
/// How far the product's fixed-point average may lie from the one in floating point.
const EMA_SLACK: f64 = 0.01;
const EMA_SLACK_NS: f64 = 64.0;

/// What one worker is checked against.
#[derive(Debug)]
pub(super) struct Checker {
    notes: Arc<Mutex<Notes>>,
    slots: usize,
    /// Packets that helpers may lose at once: they had been let in, and are queued again whatever the quota.
    may_return: u32,
    /// Ingresses without flow order: what gave way there may wait in reserve, and be counted when that is over.
    loose: Vec<bool>,
    evicted: PerPriority<u64>,
    admitted: PerPriority<u64>,
    /// What helpers have lost: it may be let in again, and others give way to it.
    lost: u64,
    looks: u64,
}

/// A law and what was seen.
type Found = Result<(), (Law, String)>;

fn holds(law: Law, ok: bool, what: impl FnOnce() -> String) -> Found {
    if ok { Ok(()) } else { Err((law, what())) }
}

fn sum(counters: &Counters, f: impl Fn(IngressId, Priority) -> u64) -> u64 {
    let ids = (0..counters.layout().ingresses()).map(|i| IngressId(u16::try_from(i).unwrap_or(0)));
    ids.flat_map(|i| Priority::ALL.map(|p| (i, p))).map(|(i, p)| f(i, p)).sum()
}

fn sum_of(counters: &Counters, field: Field) -> u64 {
    sum(counters, |i, p| counters.view(i, p).get(field))
}

impl Checker {
    pub(super) fn new(
        notes: Arc<Mutex<Notes>>,
        (slots, helpers): (usize, usize),
        loose: Vec<bool>,
    ) -> Self {
        let zero = PerPriority::default();
        let may_return = helpers * TRIPS_PER_DEVICE * KERNEL_BATCH_MAX;
        let may_return = u32::try_from(may_return).unwrap_or(u32::MAX / 2);
        Self { notes, slots, may_return, loose, evicted: zero, admitted: zero, lost: 0, looks: 0 }
    }

    /// All laws that can be seen between two turns. `plans`: what was published to it of late.
    pub(super) fn look(&mut self, now: Instant, worker: &Worker, plans: &[WorkerPlan]) -> Found {
        self.looks += 1;
        let counters = worker.counters();
        accounts(counters)?;
        in_flight(worker)?;
        self.bounds(worker)?;
        self.runs(worker)?;
        plan(counters, plans)?;
        self.estimates(now, worker)
    }

    /// What the worker counted and what the world counted are the same: `handed` to it, `left` it.
    pub(super) fn agree(worker: &Worker, handed: u64, left: u64) -> Found {
        let counters = worker.counters();
        let received = sum_of(counters, Field::Received);
        holds(Law::Conservation, received == handed, || {
            format!("{handed} datagrams were handed over, {received} counted as received")
        })?;
        let replied = sum_of(counters, Field::Replied) + sum_of(counters, Field::Forwarded);
        holds(Law::Conservation, replied == left, || {
            format!("{left} answers left, {replied} counted as replied or forwarded")
        })
    }

    /// To be looked at after every turn, or not at all: what was evicted and what was admitted since the last time.
    pub(super) fn evictions(&mut self, worker: &Worker) -> Found {
        let counters = worker.counters();
        let lost = counters.worker(WorkerField::AwayLost);
        let mut better = lost > std::mem::replace(&mut self.lost, lost);
        for p in Priority::ALL {
            let evicted = sum(counters, |i, q| {
                let at_once = p == q && !self.loose.get(i.index()).is_some_and(|loose| *loose);
                if at_once { counters.view(i, q).dropped(DropReason::Evicted) } else { 0 }
            });
            let admitted = counters.class(p, ClassField::Admitted);
            better |= admitted > std::mem::replace(&mut self.admitted[p], admitted);
            let gave_way = evicted > std::mem::replace(&mut self.evicted[p], evicted);
            holds(Law::Priority, !gave_way || better, || {
                format!("{p} gave way though nothing of its class or above was let in")
            })?;
        }
        Ok(())
    }

    fn bounds(&self, worker: &Worker) -> Found {
        let queue = worker.admission();
        holds(Law::Bounds, queue.len() <= QUEUE_TOTAL_MAX, || {
            format!("{} packets are queued", queue.len())
        })?;
        if worker.admission().policy() == Policy::Edf {
            for p in Priority::ALL {
                let depth = queue.depth(p);
                holds(Law::Bounds, depth <= QUOTA_MAX + QUOTA_SLACK + self.may_return, || {
                    format!("{depth} packets of {p} are queued")
                })?;
            }
        }
        let free = worker.slots_free();
        let (away, held) = worker.elsewhere();
        let taken = queue.len() + away + held;
        holds(Law::Bounds, free + taken <= self.slots, || {
            format!("{free} slots are free beside {taken} taken ones of {}", self.slots)
        })?;
        holds(Law::Bounds, held <= HELD_MAX && away + held <= SLOTS_AWAY, || {
            format!("{away} packets are with helpers, {held} wait for them")
        })?;
        holds(Law::Bounds, !worker.is_idle() || free == self.slots, || {
            format!("an idle worker has {free} of {} slots free", self.slots)
        })?;
        if cfg!(debug_assertions) && self.looks.is_multiple_of(64) {
            queue.queue().check_invariants();
        }
        Ok(())
    }

    fn runs(&self, worker: &Worker) -> Found {
        let notes = self.notes.lock().unwrap_or_else(PoisonError::into_inner);
        let (hopeless, damaged) = (notes.hopeless, notes.damaged);
        drop(notes);
        holds(Law::Answers, damaged == 0, || format!("{damaged} payloads were damaged when run"))?;
        if !matches!(worker.admission().policy(), Policy::Edf | Policy::Value) {
            return Ok(());
        }
        let counted: u64 = [Priority::High, Priority::Medium, Priority::Low]
            .into_iter()
            .map(|p| worker.counters().class(p, ClassField::StartedExpired))
            .sum();
        holds(Law::NothingHopeless, hopeless == 0 && counted == 0, || {
            format!(
                "{hopeless} packets were started past their deadline, {counted} by its own count"
            )
        })
    }

    fn estimates(&self, now: Instant, worker: &Worker) -> Found {
        let notes = self.notes.lock().unwrap_or_else(PoisonError::into_inner);
        let (shadows, weight) = (notes.shadows, notes.weight);
        drop(notes);
        for (p, shadow) in shadows.iter() {
            #[expect(clippy::cast_precision_loss, reason = "a count and a time, far below 2^53")]
            let (samples, ema) =
                (shadow.samples as f64, worker.admission().estimate.ema(p).get() as f64);
            if samples < WEIGHTS * weight || shadow.is_stale(now) {
                continue;
            }
            let apart = (ema - shadow.ema_ns).abs();
            holds(Law::Estimates, apart <= EMA_SLACK * shadow.ema_ns + EMA_SLACK_NS, || {
                format!("the average of {p} is {ema} ns, that of its runs {:.0} ns", shadow.ema_ns)
            })?;
        }
        Ok(())
    }
}

/// Every ingress's and class's sums come out even.
fn accounts(counters: &Counters) -> Found {
    for i in 0..counters.layout().ingresses() {
        for p in Priority::ALL {
            let id = IngressId(u16::try_from(i).unwrap_or(0));
            let open = counters.view(id, p).unaccounted();
            holds(Law::Conservation, open == 0, || {
                format!("{open} packets of {p} at ingress {i} are not accounted for")
            })?;
        }
    }
    Ok(())
}

fn in_flight(worker: &Worker) -> Found {
    let flying = sum_of(worker.counters(), Field::InFlight);
    let (away, held) = worker.elsewhere();
    let queued = (worker.admission().len() + away + held) as u64;
    let even = if worker.is_idle() { flying == 0 } else { flying >= queued };
    holds(Law::Conservation, even, || {
        format!(
            "{flying} packets are in flight, {queued} queued, with helpers, or waiting for those"
        )
    })
}

/// The limits in force are those of one plan.
fn plan(counters: &Counters, plans: &[WorkerPlan]) -> Found {
    let generation = counters.worker(WorkerField::PlanGeneration);
    if generation == 0 {
        return Ok(());
    }
    let shown = |plan: &WorkerPlan| {
        Priority::ALL.iter().all(|p| {
            counters.class(*p, ClassField::Quota) == u64::from(plan.quota[*p])
                && counters.class(*p, ClassField::GuardWindow) == plan.guard[*p].get()
        })
    };
    let whole = plans.iter().any(|plan| plan.generation == generation && shown(plan));
    holds(Law::Plan, whole, || format!("plan {generation} is not what was published under it"))
}
