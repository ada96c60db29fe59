//! From what workers show on their boards to what the controller is told: figures that only grow become differences.
//!
//! Knows no controller and no thread: the service's control thread and the simulated one ask the same code.

use super::event_loop::Shared;
use crate::base::{DropReason, IngressId, Nanos, PerPriority, Priority};
use crate::sched::controller::{ClassObservation, Observation};
use crate::stats::{ClassField, Counters, Layout};

/// A write under way ends within a microsecond; after that many looks the last complete figures serve once more.
const READ_TRIES: usize = 100;

/// Sums that only grow, of one class on one worker: what an observation takes differences of.
#[derive(Clone, Copy, Debug, Default)]
struct Totals {
    samples: u64,
    arrivals: u64,
    admitted: u64,
    wasted: u64,
}

/// Reads boards. Does not allocate after its construction.
#[derive(Debug)]
pub struct Observer {
    last: Vec<PerPriority<Totals>>,
    seen: Vec<PerPriority<ClassObservation>>,
    figures: Counters,
}

impl Observer {
    /// For that many workers whose figures have that layout.
    #[must_use]
    pub fn new(workers: usize, layout: Layout) -> Self {
        Self {
            last: vec![PerPriority::default(); workers],
            seen: vec![PerPriority::default(); workers],
            figures: Counters::new(layout),
        }
    }

    /// What each worker has shown since the last call. `workers` come in their order, as many as were named at construction.
    pub fn observe<'s>(&mut self, workers: impl Iterator<Item = &'s Shared>) -> &Observation {
        let Self { last, seen, figures } = self;
        for ((worker, last), seen) in workers.zip(last).zip(seen) {
            for _ in 0..READ_TRIES {
                if worker.board.try_read(figures.words_mut()).is_some() {
                    break;
                }
                std::hint::spin_loop();
            }
            *seen = PerPriority::from_fn(|p| {
                let total = totals(figures, p);
                let last = std::mem::replace(&mut last[p], total);
                difference(figures, p, &total, &last)
            });
        }
        &self.seen
    }
}

fn difference(figures: &Counters, p: Priority, total: &Totals, last: &Totals) -> ClassObservation {
    ClassObservation {
        ema: Nanos::new(figures.class(p, ClassField::ServiceEma)),
        samples: total.samples.saturating_sub(last.samples),
        depth: u32::try_from(figures.class(p, ClassField::Depth)).unwrap_or(u32::MAX),
        arrivals: total.arrivals.saturating_sub(last.arrivals),
        admitted: total.admitted.saturating_sub(last.admitted),
        wasted: total.wasted.saturating_sub(last.wasted),
    }
}

fn totals(figures: &Counters, priority: Priority) -> Totals {
    let wasted = |i: usize| {
        let id = IngressId(u16::try_from(i).unwrap_or(u16::MAX));
        let cell = figures.view(id, priority);
        cell.dropped(DropReason::Evicted) + cell.dropped(DropReason::LateAtDispatch)
    };
    Totals {
        samples: figures.class(priority, ClassField::Samples),
        arrivals: figures.class(priority, ClassField::Arrivals),
        admitted: figures.class(priority, ClassField::Admitted),
        wasted: (0..figures.layout().ingresses()).map(wasted).sum(),
    }
}
