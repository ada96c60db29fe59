//! From the kernel's receive stamps, which are wall time, to the monotonic clock.
//!
//! Knows nothing of sockets, and reads no clock but through [`StampMapper::refresh`].

use crate::base::limits::STAMP_AGE_MAX;
use crate::base::{Instant, Nanos, WallTime};

use super::clock::ClockPair;

/// A change of the offset between the clocks beyond this is a step of the wall clock, not slewing (which is at most
/// 500 ppm: 1 ms needs two seconds). For the same reason a stamp may lie this far in the future and still be believed:
/// a step too small to be told from slewing puts it there.
pub const STEP_MIN: Nanos = Nanos::from_millis(1);

/// A plain reading whose offset differs by more than this from the last one is taken again as a sandwich: the thread may
/// have lost its core between the two clocks. 25 us is what slewing can do within the longest park (50 ms).
const DOUBT: i128 = 25_000;

/// Maps `CLOCK_REALTIME` stamps to the monotonic clock, also across steps of the wall clock.
#[derive(Clone, Debug)]
pub struct StampMapper {
    /// Wall time minus monotonic time, in nanoseconds, and the moment it was taken.
    offset: i128,
    now: Instant,
    /// The offset before the last step and the moment the step was seen: datagrams that were queued before it carry
    /// stamps of that time.
    before_step: Option<(i128, Instant)>,
}

impl StampMapper {
    /// A mapper that starts from one reading of both clocks.
    #[must_use]
    pub fn new(start: ClockPair) -> Self {
        Self { offset: offset_of(start), now: start.mono, before_step: None }
    }

    /// Reads both clocks and takes the reading in. Once for every receive call, after it.
    #[inline]
    pub fn refresh(&mut self) {
        let plain = ClockPair::read();
        if (offset_of(plain) - self.offset).abs() > DOUBT {
            self.observe(ClockPair::read_tight());
        } else {
            self.observe(plain);
        }
    }

    /// Takes in a reading of both clocks.
    #[inline]
    pub fn observe(&mut self, pair: ClockPair) {
        let offset = offset_of(pair);
        self.now = pair.mono;
        if (offset - self.offset).unsigned_abs() > u128::from(STEP_MIN.get()) {
            self.before_step = Some((self.offset, pair.mono));
        } else if let Some((_, seen)) = self.before_step
            && pair.mono.since(seen) > STAMP_AGE_MAX
        {
            self.before_step = None;
        }
        self.offset = offset;
    }

    /// The monotonic moment of the last reading.
    #[must_use]
    #[inline]
    pub const fn now(&self) -> Instant {
        self.now
    }

    /// When a datagram with this stamp was received, never later than [`StampMapper::now`]. `None` when the stamp cannot
    /// be believed: further in the future than [`STEP_MIN`], or older than [`STAMP_AGE_MAX`].
    #[must_use]
    #[inline]
    pub fn map(&self, stamp: WallTime) -> Option<Instant> {
        let age = self.age(stamp, self.offset);
        let age = match self.before_step {
            None => age,
            Some((old, _)) => better(age, self.age(stamp, old)),
        };
        if age < -i128::from(STEP_MIN.get()) {
            return None;
        }
        let age = Nanos::new(u64::try_from(age.max(0)).ok()?);
        (age <= STAMP_AGE_MAX).then(|| self.now.before(age))
    }

    fn age(&self, stamp: WallTime, offset: i128) -> i128 {
        i128::from(self.now.as_nanos()) - (i128::from(stamp.as_nanos()) - offset)
    }
}

/// Of the ages by the new and by the old offset: the smaller that is not negative, else the one nearer to zero.
fn better(new: i128, old: i128) -> i128 {
    match (new >= 0, old >= 0) {
        (true, true) => new.min(old),
        (true, false) => new,
        (false, true) => old,
        (false, false) => new.max(old),
    }
}

fn offset_of(pair: ClockPair) -> i128 {
    i128::from(pair.wall.as_nanos()) - i128::from(pair.mono.as_nanos())
}

#[cfg(test)]
mod tests {
    use super::*;

    const US: i64 = 1_000;
    const MS: i64 = 1_000_000;
    const S: i64 = 1_000_000_000;
    const H: i64 = 3_600 * S;
    const Y: i64 = 8_766 * H;

    /// 2026, in nanoseconds.
    const WALL: i64 = 1_770_000_000 * S;

    fn at(mono: i64, wall: i64) -> ClockPair {
        ClockPair {
            mono: Instant::from_nanos(u64::try_from(mono).unwrap()),
            wall: WallTime::from_nanos(u64::try_from(wall).unwrap()),
        }
    }

    fn wall(ns: i64) -> WallTime {
        WallTime::from_nanos(u64::try_from(ns).unwrap())
    }

    fn mono(ns: i64) -> Option<Instant> {
        Some(Instant::from_nanos(u64::try_from(ns).unwrap()))
    }

    #[test]
    fn without_a_step_the_age_is_exact() {
        let m = StampMapper::new(at(100 * S, WALL));
        for age in [0, 1, US, MS, S, 10 * S] {
            assert_eq!(m.map(wall(WALL - age)), mono(100 * S - age), "age {age}");
        }
        assert_eq!(m.map(wall(WALL - 10 * S - 1)), None);
        assert_eq!(m.map(wall(0)), None);
    }

    #[test]
    fn a_stamp_a_little_ahead_is_of_now_and_far_ahead_is_none() {
        let m = StampMapper::new(at(100 * S, WALL));
        for ahead in [1, US, MS] {
            assert_eq!(m.map(wall(WALL + ahead)), mono(100 * S), "ahead {ahead}");
        }
        for ahead in [MS + 1, S, H, Y] {
            assert_eq!(m.map(wall(WALL + ahead)), None, "ahead {ahead}");
        }
        assert_eq!(m.map(WallTime::from_nanos(u64::MAX)), None);
    }

    #[test]
    fn stamps_of_before_and_after_a_step_are_both_right() {
        for step in [2 * MS, S, H, Y, -2 * MS, -S, -H, -Y] {
            let mut m = StampMapper::new(at(100 * S, WALL));
            // 300 us later the wall clock has been stepped.
            let now = 100 * S + 300 * US;
            m.observe(at(now, WALL + 300 * US + step));
            let old = m.map(wall(WALL + 100 * US));
            assert_eq!(old, mono(100 * S + 100 * US), "before a step of {step}");
            let new = m.map(wall(WALL + 250 * US + step));
            assert_eq!(new, mono(100 * S + 250 * US), "after a step of {step}");
        }
    }

    #[test]
    fn slewing_is_followed_and_is_no_step() {
        let mut m = StampMapper::new(at(100 * S, WALL));
        // 500 ppm for ten seconds, read every 50 ms: 5 ms in all.
        for i in 1..=200 {
            m.observe(at(100 * S + i * 50 * MS, WALL + i * (50 * MS + 25 * US)));
        }
        assert!(m.before_step.is_none());
        let (now, wall_now) = (110 * S, WALL + 10 * S + 5 * MS);
        assert_eq!(m.map(wall(wall_now - 40 * US)), mono(now - 40 * US));
    }

    #[test]
    fn a_step_is_forgotten_after_the_longest_age() {
        let mut m = StampMapper::new(at(100 * S, WALL));
        m.observe(at(101 * S, WALL + S + H));
        assert!(m.before_step.is_some());
        m.observe(at(111 * S, WALL + 11 * S + H));
        assert!(m.before_step.is_some());
        m.observe(at(111 * S + 1, WALL + 11 * S + H + 1));
        assert!(m.before_step.is_none());
        assert_eq!(m.map(wall(WALL + 11 * S)), None, "a stamp from before the step is old now");
    }

    #[test]
    fn a_microsecond_step_shifts_by_a_microsecond_at_most() {
        for step in [US, -US] {
            let mut m = StampMapper::new(at(100 * S, WALL));
            m.observe(at(100 * S + 10 * US, WALL + 10 * US + step));
            let got = m.map(wall(WALL + 5 * US)).unwrap().as_nanos();
            assert!(got.abs_diff(100_000_005_000) <= 1_000, "{got}");
        }
    }

    #[test]
    fn real_clocks_map_now_to_now() {
        let mut m = StampMapper::new(ClockPair::read());
        let stamp = super::super::clock::wall_now();
        m.refresh();
        let mapped = m.map(stamp).unwrap();
        assert!(mapped <= m.now());
        assert!(m.now().since(mapped) < Nanos::from_secs(1));
    }
}
