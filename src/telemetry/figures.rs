//! Figures that the tables of counters imply: shares, means, quantiles, roll-ups.
//!
//! Knows no format.

use crate::base::drop_reason::DropStage;
use crate::base::{DropReason, Nanos, Priority};
use crate::stats::{Cell, CellWords, ClassField, Counters, Field, batch_rows_max, latency};

/// Drops of received packets in the three coarse groups of seed 002.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct RollUp {
    pub(super) ingress: u64,
    pub(super) heap: u64,
    pub(super) output: u64,
}

impl RollUp {
    /// Adds the drops of one ingress and priority.
    pub(super) fn add(&mut self, cell: &Cell<&CellWords>) {
        for reason in DropReason::ALL {
            let n = cell.dropped(*reason);
            match reason.stage() {
                DropStage::Ingress => self.ingress += n,
                DropStage::Heap => self.heap += n,
                DropStage::Output => self.output += n,
            }
        }
    }
}

/// Of the refusals that were drawn to be looked into, the share that was wrong: predicted to be late, run all the same, and in time. As
/// large a share of all predicted misses is dropped wrongly. `None`: none was drawn.
pub(super) fn wrongful_drop_ratio(c: &Counters, p: Priority) -> Option<f64> {
    let drawn = c.class(p, ClassField::Audits) + c.class(p, ClassField::AuditedChoices);
    share(c.class(p, ClassField::AuditsInTime), drawn)
}

/// The share of what was admitted in the belief that it would be in time and was not. `None`: nothing was admitted.
pub(super) fn late_after_admit_ratio(c: &Counters, p: Priority) -> Option<f64> {
    share(c.late_after_admit(p), c.class(p, ClassField::Admitted))
}

/// Whether anything has ever come in here.
pub(super) fn is_used(cell: &Cell<&CellWords>) -> bool {
    cell.get(Field::Received) > 0 || cell.get(Field::KernelDropped) > 0
}

/// `part / whole`, or `None` of nothing.
pub(super) fn share(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}

/// The upper bound of the cell that holds the `permille`-th latency (nearest rank).
/// `None`: there is none, or it lies in the last cell, which has no bound.
pub(super) fn quantile(cells: &[u64], permille: u64) -> Option<Nanos> {
    place(cells, permille).and_then(latency::upper_bound)
}

/// The cell that holds the `permille`-th (nearest rank).
fn place(cells: &[u64], permille: u64) -> Option<usize> {
    let count: u64 = cells.iter().sum();
    let rank = (u128::from(count) * u128::from(permille)).div_ceil(1_000).max(1);
    let mut seen = 0u128;
    cells.iter().position(|n| {
        seen += u128::from(*n);
        seen >= rank
    })
}

/// The most rows that the `permille`-th batch had (nearest rank). `None`: there is none, or it is larger than what is told
/// apart.
pub(super) fn batch_rows(sizes: &[u64], permille: u64) -> Option<u64> {
    place(sizes, permille).and_then(batch_rows_max)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::{Layout, RunBy};

    fn cells(entries: &[(usize, u64)]) -> [u64; latency::CELLS] {
        let mut cells = [0; latency::CELLS];
        for (i, n) in entries {
            cells[*i] = *n;
        }
        cells
    }

    #[test]
    fn quantiles_are_upper_bounds_by_nearest_rank() {
        let c = cells(&[(3, 50), (5, 49), (10, 1)]);
        assert_eq!(quantile(&c, 500), Some(Nanos::from_micros(8)));
        assert_eq!(quantile(&c, 501), Some(Nanos::from_micros(32)));
        assert_eq!(quantile(&c, 990), Some(Nanos::from_micros(32)));
        assert_eq!(quantile(&c, 991), Some(Nanos::from_micros(1024)));
        assert_eq!(quantile(&c, 1_000), Some(Nanos::from_micros(1024)));
        assert_eq!(quantile(&cells(&[(0, 1)]), 1), Some(Nanos::from_micros(1)));
    }

    #[test]
    fn no_bound_is_claimed_where_there_is_none() {
        assert_eq!(quantile(&cells(&[]), 500), None);
        assert_eq!(quantile(&cells(&[(latency::CELLS - 1, 1)]), 500), None);
    }

    #[test]
    fn batches_are_told_apart_by_powers_of_two() {
        let mut c = Counters::new(Layout::new(1));
        for rows in [1, 2, 3, 4, 5, 64, 1_024, 1_025, 9_999] {
            c.add_batch(RunBy::Helper, crate::base::KernelId(0), rows);
        }
        assert_eq!(c.batches(RunBy::Helper), [1, 1, 2, 1, 0, 0, 1, 0, 0, 0, 1, 2]);
        let at = |permille| batch_rows(c.batches(RunBy::Helper), permille);
        assert_eq!((at(1), at(500), at(700), at(990)), (Some(1), Some(8), Some(1_024), None));
        assert_eq!(batch_rows(c.batches(RunBy::Worker), 500), None);
    }
}
