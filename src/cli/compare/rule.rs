//! When a difference is called a change: a rule that does not cry wolf.
//!
//! Knows numbers only. A figure is worse when three things hold together: its median moved by more than the threshold; by
//! more than the rounds of either side lie apart (their quartiles); and of all pairs of an old and a new round at least 95 in 100 say so (the Mann-Whitney statistic, as a share of its
//! maximum). With three rounds a side all nine pairs must agree, which chance alone does once in twenty times, and hardly
//! ever beyond the threshold; what `bench` finds worse it measures again, so that chance must do it twice. With fewer
//! than three rounds a side nothing is called a change.

use serde::Serialize;

use crate::cli::bench::Spread;

/// What share of pairs must agree.
const AGREE: f64 = 0.95;
/// Fewer rounds than this on a side prove nothing.
const ROUNDS_MIN: usize = 3;
/// Shares on time are compared in points; a threshold of 10 % allows 2 points.
const POINTS: f64 = 0.2;
/// What is completed, beside a bare loop or first-in-first-out of the same round, is steadier than a latency: half the threshold.
const BESIDE_BARE: f64 = 0.5;

/// Of a latency's budget: what a latency costs is deadlines, and a threshold of 10 % lets it move by a twentieth of the way to one.
/// From run to run of one build on one machine High's p50 lies between 41 and 64 us where its budget is 1 ms.
pub(super) const OF_BUDGET: f64 = 0.5;

/// How a figure is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A size of which less is better: compared as a ratio.
    Less,
    /// A size of which more is better: compared as a ratio.
    More,
    /// The same, as a share of what a control completed: half the threshold holds.
    Capacity,
    /// A share of which more is better: compared in points.
    Share,
}

/// What became of a figure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(in crate::cli) enum Verdict {
    /// Within the threshold.
    Same,
    /// Better beyond doubt.
    Better,
    /// Worse beyond doubt.
    Worse,
    /// Beyond the threshold, and the rounds do not agree, or are too few.
    Unsure,
}

impl Verdict {
    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Same => "same",
            Self::Better => "better",
            Self::Worse => "WORSE",
            Self::Unsure => "unsure",
        }
    }
}

/// The change from `before` to `now` (a share of the old value, or points as a share of 1), and what to call it.
/// `threshold` is a share.
pub(super) fn judge(kind: Kind, before: &[f64], now: &[f64], threshold: f64) -> (f64, Verdict) {
    if before.is_empty() || now.is_empty() {
        return (0.0, Verdict::Unsure);
    }
    let (old, new) = (Spread::of(before.iter().copied()), Spread::of(now.iter().copied()));
    let apart = (old.q3 - old.q1).max(new.q3 - new.q1);
    let (change, limit, apart) = match kind {
        Kind::Share => (new.median - old.median, threshold * POINTS, apart),
        // From nothing there is no ratio.
        _ if old.median <= 0.0 => return (0.0, Verdict::Unsure),
        Kind::Less | Kind::More => (ratio(old, new), threshold, apart / old.median),
        Kind::Capacity => (ratio(old, new), threshold * BESIDE_BARE, apart / old.median),
    };
    // As much as the threshold, rounded, is within it.
    if change.abs() <= limit + 1e-9 {
        return (change, Verdict::Same);
    }
    let worse_now = (change > 0.0) == (kind == Kind::Less);
    let higher = share_of_pairs(before, now);
    let agree = if change > 0.0 { higher } else { 1.0 - higher };
    let proven =
        before.len().min(now.len()) >= ROUNDS_MIN && agree >= AGREE && change.abs() > apart;
    let verdict = match (proven, worse_now) {
        (false, _) => Verdict::Unsure,
        (true, true) => Verdict::Worse,
        (true, false) => Verdict::Better,
    };
    (change, verdict)
}

fn ratio(old: Spread, new: Spread) -> f64 {
    new.median / old.median - 1.0
}

/// Of all pairs of an old and a new value, the share in which the new one is higher; a tie is half a pair.
#[expect(clippy::cast_precision_loss, reason = "a few rounds")]
fn share_of_pairs(before: &[f64], now: &[f64]) -> f64 {
    let pairs = before.iter().flat_map(|a| now.iter().map(move |b| b.total_cmp(a)));
    let score = |o: std::cmp::Ordering| match o {
        std::cmp::Ordering::Greater => 1.0,
        std::cmp::Ordering::Equal => 0.5,
        std::cmp::Ordering::Less => 0.0,
    };
    pairs.map(score).sum::<f64>() / (before.len() * now.len()) as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand_xoshiro::Xoshiro256PlusPlus;
    use rand_xoshiro::rand_core::{RngCore as _, SeedableRng as _};

    fn verdict(kind: Kind, before: &[f64], now: &[f64]) -> Verdict {
        judge(kind, before, now, 0.1).1
    }

    #[test]
    fn a_change_needs_the_threshold_and_the_rounds_to_agree() {
        let base = [100.0, 101.0, 102.0];
        assert_eq!(verdict(Kind::Less, &base, &[109.0, 110.0, 111.0]), Verdict::Same);
        assert_eq!(verdict(Kind::Less, &base, &[115.0, 116.0, 117.0]), Verdict::Worse);
        assert_eq!(verdict(Kind::More, &base, &[115.0, 116.0, 117.0]), Verdict::Better);
        assert_eq!(verdict(Kind::Less, &base, &[80.0, 81.0, 82.0]), Verdict::Better);
        assert_eq!(verdict(Kind::More, &base, &[80.0, 81.0, 82.0]), Verdict::Worse);
        assert_eq!(verdict(Kind::Less, &base, &[101.5, 116.0, 200.0]), Verdict::Unsure);
        assert_eq!(verdict(Kind::Less, &base, &[200.0, 200.0]), Verdict::Unsure);
        assert_eq!(verdict(Kind::Less, &[], &[200.0]), Verdict::Unsure);
        // All nine pairs agree, and the new rounds lie further apart than the two medians.
        assert_eq!(verdict(Kind::Less, &base, &[103.0, 112.0, 140.0]), Verdict::Unsure);
        assert_eq!(verdict(Kind::More, &base, &[92.0, 93.0, 94.0]), Verdict::Same);
        assert_eq!(verdict(Kind::Capacity, &base, &[92.0, 93.0, 94.0]), Verdict::Worse);
        assert_eq!(verdict(Kind::Capacity, &base, &[97.0, 97.5, 98.0]), Verdict::Same);
        assert_eq!(verdict(Kind::Less, &[0.0; 3], &[200.0; 3]), Verdict::Unsure);
    }

    #[test]
    fn shares_are_compared_in_points() {
        let base = [0.990, 0.991, 0.992];
        assert_eq!(verdict(Kind::Share, &base, &[0.972, 0.973, 0.974]), Verdict::Same);
        assert_eq!(verdict(Kind::Share, &base, &[0.90, 0.92, 0.94]), Verdict::Worse);
        assert_eq!(verdict(Kind::Share, &[0.5; 3], &[0.6; 3]), Verdict::Better);
    }

    /// What the rule is for: rounds that differ by a tenth either way, and no change between the two sides.
    #[test]
    fn noise_alone_is_rarely_called_a_change() {
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(7);
        let mut noisy = |n: usize| -> Vec<f64> {
            let unit = |r: u64| (r >> 11) as f64 / (1_u64 << 53) as f64;
            (0..n).map(|_| 100.0 * (0.9 + 0.2 * unit(rng.next_u64()))).collect()
        };
        let mut wolf = |n: usize| {
            let cries = (0..10_000).filter(|_| {
                let (before, now) = (noisy(3), noisy(n));
                verdict(Kind::Less, &before, &now) == Verdict::Worse
            });
            cries.count()
        };
        let (once, twice, thrice) = (wolf(3), wolf(6), wolf(9));
        assert!(once < 250, "{once} of 10,000");
        assert!(twice < 60, "{twice} of 10,000 after a second look");
        assert!(thrice < 60, "{thrice} of 10,000 after a third");
    }

    #[test]
    fn a_change_of_a_quarter_is_nearly_always_found() {
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(8);
        let mut noisy = |middle: f64| -> Vec<f64> {
            let unit = |r: u64| (r >> 11) as f64 / (1_u64 << 53) as f64;
            (0..3).map(|_| middle * (0.95 + 0.1 * unit(rng.next_u64()))).collect()
        };
        let found = (0..1_000).filter(|_| {
            let (before, now) = (noisy(100.0), noisy(125.0));
            verdict(Kind::Less, &before, &now) == Verdict::Worse
        });
        assert!(found.count() > 990);
    }
}
