//! The real clocks: the only place of the library that reads them.
//!
//! Knows nothing of what the time is used for.

use rustix::time::{ClockId, Timespec, clock_gettime};

use crate::base::{Clock, Instant, Nanos, WallTime};

/// The kernel's monotonic clock (`CLOCK_MONOTONIC`, read without a system call).
#[derive(Clone, Copy, Debug, Default)]
pub struct MonotonicClock;

impl Clock for MonotonicClock {
    #[inline]
    fn now(&self) -> Instant {
        Instant::from_nanos(nanos(clock_gettime(ClockId::Monotonic)))
    }
}

/// The present wall time (`CLOCK_REALTIME`). It can step; no deadline may be counted on it.
#[must_use]
#[inline]
pub fn wall_now() -> WallTime {
    WallTime::from_nanos(nanos(clock_gettime(ClockId::Realtime)))
}

/// Both clocks, read as one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClockPair {
    /// The monotonic clock.
    pub mono: Instant,
    /// The wall clock.
    pub wall: WallTime,
}

impl ClockPair {
    /// One reading of each, some 50 ns apart, or more when the thread loses its core between them.
    #[must_use]
    #[inline]
    pub fn read() -> Self {
        Self { mono: MonotonicClock.now(), wall: wall_now() }
    }

    /// The tightest of a few sandwich readings: the wall clock between two readings of the monotonic clock.
    #[must_use]
    pub fn read_tight() -> Self {
        const TRIES: usize = 4;
        let mut best = (Nanos::MAX, Self::read());
        for _ in 0..TRIES {
            let before = MonotonicClock.now();
            let wall = wall_now();
            let width = MonotonicClock.now().since(before);
            if width < best.0 {
                best = (width, Self { mono: before + Nanos::new(width.get() / 2), wall });
            }
        }
        best.1
    }
}

fn nanos(t: Timespec) -> u64 {
    // Both clocks are positive for as long as this code can run; a wall clock set before 1970 reads as 1970.
    let secs = u64::try_from(t.tv_sec).unwrap_or(0);
    let rest = u64::try_from(t.tv_nsec).unwrap_or(0);
    secs.saturating_mul(1_000_000_000).saturating_add(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn monotonic_never_goes_back_and_moves() {
        let first = MonotonicClock.now();
        let mut last = first;
        while last.since(first) < Nanos::from_micros(50) {
            let now = MonotonicClock.now();
            assert!(now >= last);
            last = now;
        }
    }

    #[test]
    fn wall_time_is_that_of_the_standard_library() {
        let ours = wall_now();
        #[expect(clippy::disallowed_methods, reason = "the independent reading to compare with")]
        let theirs = std::time::SystemTime::now();
        let theirs = theirs.duration_since(std::time::UNIX_EPOCH).unwrap().as_nanos();
        assert!(theirs.abs_diff(u128::from(ours.as_nanos())) < 1_000_000_000);
    }

    #[test]
    fn a_tight_pair_agrees_with_a_plain_one() {
        let tight = ClockPair::read_tight();
        let plain = ClockPair::read();
        let offset = |p: ClockPair| i128::from(p.wall.as_nanos()) - i128::from(p.mono.as_nanos());
        assert!((offset(tight) - offset(plain)).abs() < 100_000_000, "{tight:?} {plain:?}");
    }
}
