//! The middle of a few rounds and how far they lie apart.
//!
//! Knows numbers only.

use serde::{Deserialize, Serialize};

/// Median and quartiles of some values.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(in crate::cli) struct Spread {
    pub(in crate::cli) median: f64,
    pub(in crate::cli) q1: f64,
    pub(in crate::cli) q3: f64,
    pub(in crate::cli) rounds: usize,
}

impl Spread {
    /// Of `values`; all zero when there is none. Quantiles lie between neighbours in proportion (Hyndman and Fan, 1996,
    /// definition 7), so that the median of three rounds is a round.
    pub(in crate::cli) fn of(values: impl IntoIterator<Item = f64>) -> Self {
        let mut sorted: Vec<f64> = values.into_iter().collect();
        sorted.sort_by(f64::total_cmp);
        Self {
            median: at(&sorted, 0.5),
            q1: at(&sorted, 0.25),
            q3: at(&sorted, 0.75),
            rounds: sorted.len(),
        }
    }
}

/// The middle value.
pub(in crate::cli) fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    Spread::of(values).median
}

#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "an index within a handful of values"
)]
fn at(sorted: &[f64], quantile: f64) -> f64 {
    let Some(last) = sorted.len().checked_sub(1) else { return 0.0 };
    let place = quantile * last as f64;
    let below = place.floor() as usize;
    let (a, b) = (sorted[below], sorted[(below + 1).min(last)]);
    a + (b - a) * (place - place.floor())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quartiles_lie_between_neighbours() {
        let s = Spread::of([4.0, 1.0, 2.0, 3.0, 5.0]);
        assert_eq!((s.q1, s.median, s.q3, s.rounds), (2.0, 3.0, 4.0, 5));
        let s = Spread::of([1.0, 2.0]);
        assert_eq!((s.q1, s.median, s.q3), (1.25, 1.5, 1.75));
        assert_eq!(Spread::of([]), Spread::default());
        assert!((median([7.0]) - 7.0).abs() < 1e-12);
    }
}
