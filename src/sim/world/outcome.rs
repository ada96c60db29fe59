//! How a run ended: what became of every datagram, how fast it was, and whether all laws held.
//!
//! Knows no table.

use super::law::Breach;
use super::log::Event;
use super::tally::Tally;
use crate::base::{DropReason, IngressId, Nanos, PerPriority, Priority};
use crate::stats::{ClassField, Counters, Field, WorkerField};

/// A finished run.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Its seed.
    pub seed: u64,
    /// The hash of everything that happened, in order.
    pub hash: u64,
    /// How many events went into it.
    pub events: u64,
    /// The first law that was broken.
    pub breach: Option<Breach>,
    /// Virtual time from the first worker's start to the last one's end.
    pub virtual_time: Nanos,
    /// Loop turns.
    pub turns: u64,
    /// Looks at the laws.
    pub checks: u64,
    /// Controller steps.
    pub steps: u64,
    /// What the world counted.
    pub tally: Tally,
    /// What the workers counted, summed over them.
    pub figures: Counters,
    /// The same of each class: admitted, kernel time, useful kernel time, probes.
    pub classes: PerPriority<ClassSums>,
    /// What helpers were given and what became of it.
    pub elsewhere: Elsewhere,
    /// Datagrams that still lay in sockets at the end.
    pub unread: u64,
    /// Every event, where that was asked for: worker by worker.
    pub kept: Vec<Vec<Event>>,
}

/// What helpers did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Elsewhere {
    /// Batches handed to one.
    pub batches: u64,
    /// Their datagrams.
    pub rows: u64,
    /// Datagrams that a helper lost.
    pub lost: u64,
    /// Datagrams whose deadline had passed when they came back.
    pub late: u64,
}

impl Elsewhere {
    pub(super) fn add(&mut self, worker: &Counters) {
        self.batches += worker.worker(WorkerField::AwayBatches);
        self.rows += worker.worker(WorkerField::AwayRows);
        self.lost += worker.worker(WorkerField::AwayLost);
        self.late += worker.worker(WorkerField::AwayLate);
    }
}

/// Refusals that were drawn to be looked into.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Audited {
    /// Run although they were predicted to be late.
    pub run: u64,
    /// Of those, in time: refused wrongly.
    pub in_time: u64,
    /// Refused by choice.
    pub choices: u64,
}

impl Audited {
    /// All that were drawn.
    #[must_use]
    pub const fn drawn(self) -> u64 {
        self.run + self.choices
    }
}

/// Sums over all workers of one class.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ClassSums {
    /// Packets that went into a queue.
    pub admitted: u64,
    /// Time in kernels, nanoseconds.
    pub kernel_ns: u64,
    /// Of it, on what finished on time.
    pub useful_ns: u64,
    /// Let in against the prediction.
    pub probes: u64,
    /// Drawn for an audit.
    pub audits: Audited,
    /// Probes and audits that were late.
    pub unpromised_late: u64,
}

impl ClassSums {
    pub(super) fn add(&mut self, worker: &Counters, p: Priority) {
        self.admitted += worker.class(p, ClassField::Admitted);
        self.kernel_ns += worker.class(p, ClassField::KernelTime);
        self.useful_ns += worker.class(p, ClassField::KernelTimeUseful);
        self.probes += worker.class(p, ClassField::Probes);
        self.audits.run += worker.class(p, ClassField::Audits);
        self.audits.in_time += worker.class(p, ClassField::AuditsInTime);
        self.audits.choices += worker.class(p, ClassField::AuditedChoices);
        self.unpromised_late += worker.class(p, ClassField::UnpromisedLate);
    }
}

impl Outcome {
    /// Drops of that class for that reason, at all ingresses.
    #[must_use]
    pub fn dropped(&self, p: Priority, reason: DropReason) -> u64 {
        self.ingresses().map(|i| self.figures.view(i, p).dropped(reason)).sum()
    }

    /// A figure of that class, at all ingresses.
    #[must_use]
    pub fn figure(&self, p: Priority, field: Field) -> u64 {
        self.ingresses().map(|i| self.figures.view(i, p).get(field)).sum()
    }

    fn ingresses(&self) -> impl Iterator<Item = IngressId> {
        (0..self.figures.layout().ingresses()).map(|i| IngressId(u16::try_from(i).unwrap_or(0)))
    }

    /// Of all kernel time, the part that went into answers on time; 1 where none was spent.
    #[must_use]
    pub fn useful_share(&self) -> f64 {
        let spent: u64 = self.classes.iter().map(|(_, c)| c.kernel_ns).sum();
        let useful: u64 = self.classes.iter().map(|(_, c)| c.useful_ns).sum();
        share(useful, spent)
    }

    /// What was drawn for an audit, of all classes.
    #[must_use]
    pub fn audits(&self) -> Audited {
        self.classes.iter().fold(Audited::default(), |sum, (_, c)| Audited {
            run: sum.run + c.audits.run,
            in_time: sum.in_time + c.audits.in_time,
            choices: sum.choices + c.audits.choices,
        })
    }

    /// Of what was admitted in the belief that it would be in time, the share that was not.
    #[must_use]
    pub fn late_after_admit(&self) -> f64 {
        let late = |p| {
            let dropped: u64 = DropReason::ALL
                .iter()
                .filter(|r| r.is_late_after_admit())
                .map(|r| self.dropped(p, *r))
                .sum();
            let unpromised = self.classes[p].unpromised_late;
            (self.figure(p, Field::Late) + dropped).saturating_sub(unpromised)
        };
        let admitted: u64 = self.classes.iter().map(|(_, c)| c.admitted).sum();
        if admitted == 0 {
            return 0.0;
        }
        share(Priority::ALL.into_iter().map(late).sum(), admitted)
    }

    /// Datagrams that clients sent.
    #[must_use]
    pub fn offered(&self) -> u64 {
        self.tally.streams.iter().map(|s| s.offered).sum()
    }
}

/// `part` of `whole`; 1 where there is nothing to be a part of.
#[expect(clippy::cast_precision_loss, reason = "a share")]
pub(super) fn share(part: u64, whole: u64) -> f64 {
    if whole == 0 { 1.0 } else { part as f64 / whole as f64 }
}
