//! Drops by reason over the time of a run: differences of the service's figures, step by step.
//!
//! Knows no clock: who calls says when.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::base::{DropReason, IngressId, Nanos, Priority};
use crate::stats::{Counters, Field};

/// How often the figures are read.
pub(super) const STEP: Nanos = Nanos::from_millis(100);
/// The most steps that are kept.
const STEPS_MAX: usize = 600;
/// What the kernel drops for us is counted apart from what we drop.
const KERNEL: &str = "rx_kernel_overflow";

/// Packets dropped in each step of a run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(in crate::cli) struct Timeline {
    /// The end of each step, in milliseconds since the run began.
    pub(in crate::cli) at_ms: Vec<f64>,
    /// Drops in each step, by reason; reasons that did not occur are left out.
    pub(in crate::cli) drops: BTreeMap<String, Vec<u64>>,
}

/// Takes readings.
#[derive(Debug, Default)]
pub(super) struct Recorder {
    line: Timeline,
    last: BTreeMap<&'static str, u64>,
}

impl Recorder {
    /// Begins with the figures as they are now.
    pub(super) fn start(figures: &[Counters]) -> Self {
        Self { line: Timeline::default(), last: drops(figures) }
    }

    /// The figures at `at` since the run began.
    pub(super) fn read(&mut self, at: Nanos, figures: &[Counters]) {
        if self.line.at_ms.len() >= STEPS_MAX {
            return;
        }
        let now = drops(figures);
        let steps = self.line.at_ms.len();
        for (reason, total) in &now {
            let n = total.saturating_sub(self.last.get(reason).copied().unwrap_or(0));
            if n > 0 && !self.line.drops.contains_key(*reason) {
                self.line.drops.insert((*reason).to_owned(), vec![0; steps]);
            }
            if let Some(line) = self.line.drops.get_mut(*reason) {
                line.push(n);
            }
        }
        self.line.at_ms.push(at.as_secs_f64() * 1e3);
        self.last = now;
    }

    pub(super) fn end(self) -> Timeline {
        self.line
    }
}

fn drops(figures: &[Counters]) -> BTreeMap<&'static str, u64> {
    let mut sums: BTreeMap<&'static str, u64> =
        DropReason::ALL.iter().map(|r| (r.label(), 0)).collect();
    for worker in figures {
        for i in 0..worker.layout().ingresses() {
            let id = IngressId(u16::try_from(i).unwrap_or(u16::MAX));
            for priority in Priority::ALL {
                let cell = worker.view(id, priority);
                for reason in DropReason::ALL {
                    *sums.entry(reason.label()).or_default() += cell.dropped(*reason);
                }
                *sums.entry(KERNEL).or_default() += cell.get(Field::KernelDropped);
            }
        }
    }
    sums
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::Layout;

    #[test]
    fn each_step_holds_what_was_dropped_in_it() {
        let mut c = Counters::new(Layout::new(1));
        let id = IngressId(0);
        c.cell(id, Priority::High).drop(DropReason::PredictedMiss, 5);
        let mut recorder = Recorder::start(&[c.clone()]);
        recorder.read(STEP, &[c.clone()]);
        c.cell(id, Priority::High).drop(DropReason::PredictedMiss, 3);
        c.cell(id, Priority::Low).add(Field::KernelDropped, 7);
        recorder.read(STEP + STEP, &[c.clone()]);
        recorder.read(STEP + STEP + STEP, &[c]);
        let line = recorder.end();
        assert_eq!(line.at_ms, [100.0, 200.0, 300.0]);
        assert_eq!(line.drops.len(), 2);
        assert_eq!(line.drops["predicted_miss"], [0, 3, 0]);
        assert_eq!(line.drops[KERNEL], [0, 7, 0]);
    }
}
