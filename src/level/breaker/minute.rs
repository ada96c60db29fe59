//! Device time of the last 60 s, a second each, and what is promised on top of it.
//!
//! Knows no state of the breaker. One word holds the whole sum, so that a promise is one comparison and one exchange: whatever
//! threads do at the same time, the sum never passes the limit by a promise.

#[cfg(punctual_loom)]
use loom::sync::atomic::{AtomicU64, Ordering};
#[cfg(not(punctual_loom))]
use std::sync::atomic::{AtomicU64, Ordering};

use crate::base::{Instant, Nanos};

/// Seconds of the ring. Loom looks at every word in every order: two are enough for it.
pub(super) const SECONDS: u64 = if cfg!(punctual_loom) { 2 } else { super::WINDOW_S };
#[expect(clippy::cast_possible_truncation, reason = "60 places")]
const PLACES: usize = SECONDS as usize;
/// Of a place: 36 bits of nanoseconds, 68 s, and above them 28 bits of the second that they belong to, 8 years.
const TIME_BITS: u32 = 36;
const TIME_MAX: u64 = (1 << TIME_BITS) - 1;
const SECOND_MASK: u64 = (1 << (64 - TIME_BITS)) - 1;

#[derive(Debug)]
pub(super) struct Minute {
    /// Used and promised together.
    committed: AtomicU64,
    places: [AtomicU64; PLACES],
    /// The second in which what is past was last taken out.
    swept: AtomicU64,
}

const fn second(now: Instant) -> u64 {
    now.as_nanos() / 1_000_000_000
}

/// The second (its lower bits) and the time of a place.
const fn unpack(place: u64) -> (u64, u64) {
    (place >> TIME_BITS, place & TIME_MAX)
}

const fn pack(second: u64, time: u64) -> u64 {
    (second & SECOND_MASK) << TIME_BITS | time
}

/// Whether a place's second lies 60 s or more before `now_s`. Another thread may have read its clock a moment later: what lies
/// ahead is not past.
const fn is_past(place_s: u64, now_s: u64) -> bool {
    let age = now_s.wrapping_sub(place_s) & SECOND_MASK;
    age >= SECONDS && age <= SECOND_MASK / 2
}

impl Minute {
    pub(super) fn new() -> Self {
        Self {
            committed: AtomicU64::new(0),
            places: std::array::from_fn(|_| AtomicU64::new(0)),
            swept: AtomicU64::new(0),
        }
    }

    /// Promises `estimate`, unless that passes `limit`.
    pub(super) fn reserve(&self, now: Instant, estimate: Nanos, limit: Nanos) -> bool {
        self.sweep(second(now));
        let promised = |sum: u64| sum.checked_add(estimate.get()).filter(|sum| *sum <= limit.get());
        self.committed.fetch_update(Ordering::AcqRel, Ordering::Acquire, promised).is_ok()
    }

    /// Takes back a promise of which nothing was used.
    pub(super) fn release(&self, reserved: Nanos) {
        self.committed.fetch_sub(reserved.get(), Ordering::AcqRel);
    }

    /// Puts what was used in the place of what was promised.
    pub(super) fn settle(&self, now: Instant, reserved: Nanos, actual: Nanos) {
        let now_s = second(now);
        let added = self.add(now_s, actual.get().min(TIME_MAX));
        // In one step, so that the sum is never less than what it stands for.
        self.committed.fetch_add(added.wrapping_sub(reserved.get()), Ordering::AcqRel);
    }

    /// Adds to this second's place; says how much found room. A second holds 68 s: more than 68 devices can use of it.
    fn add(&self, now_s: u64, time: u64) -> u64 {
        let place = &self.places[Self::place_of(now_s)];
        let mut before = place.load(Ordering::Acquire);
        loop {
            let (place_s, held) = unpack(before);
            let past = is_past(place_s, now_s);
            let kept = if past { 0 } else { held };
            let added = time.min(TIME_MAX - kept);
            let of = if past || held == 0 { now_s } else { place_s };
            let after = pack(of, kept + added);
            match place.compare_exchange(before, after, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => {
                    if past {
                        self.committed.fetch_sub(held, Ordering::AcqRel);
                    }
                    return added;
                }
                Err(now_there) => before = now_there,
            }
        }
    }

    /// Takes out what is past: once a second, by whoever comes first. Who comes at the same time does it too, and each place is
    /// taken out by one of them.
    fn sweep(&self, now_s: u64) {
        if self.swept.load(Ordering::Acquire) == now_s {
            return;
        }
        for place in &self.places {
            let before = place.load(Ordering::Acquire);
            let (place_s, held) = unpack(before);
            let gone = held > 0
                && is_past(place_s, now_s)
                && place
                    .compare_exchange(before, pack(place_s, 0), Ordering::AcqRel, Ordering::Acquire)
                    .is_ok();
            if gone {
                self.committed.fetch_sub(held, Ordering::AcqRel);
            }
        }
        self.swept.store(now_s, Ordering::Release);
    }

    /// What the last 60 s used.
    pub(super) fn used(&self, now: Instant) -> Nanos {
        let now_s = second(now);
        let held = self.places.iter().map(|place| {
            let (place_s, held) = unpack(place.load(Ordering::Acquire));
            if is_past(place_s, now_s) { 0 } else { held }
        });
        Nanos::new(held.sum())
    }

    /// The same and what is promised.
    pub(super) fn committed(&self, now: Instant) -> Nanos {
        self.sweep(second(now));
        Nanos::new(self.committed.load(Ordering::Acquire))
    }

    const fn place_of(second: u64) -> usize {
        (second % SECONDS) as usize
    }
}

#[cfg(all(test, not(punctual_loom)))]
mod tests {
    use super::*;

    fn at(ms: u64) -> Instant {
        Instant::ZERO + Nanos::from_millis(ms)
    }

    const S: Nanos = Nanos::from_secs(1);

    #[test]
    fn what_is_used_is_gone_after_a_minute() {
        let minute = Minute::new();
        let limit = Nanos::from_secs(10);
        for s in 0..10 {
            assert!(minute.reserve(at(s * 1_000), S, limit), "{s}");
            minute.settle(at(s * 1_000 + 500), S, S);
        }
        assert!(!minute.reserve(at(59_999), S, limit), "all of it is used");
        assert!(minute.reserve(at(60_000), S, limit), "the first second is past");
        assert!(!minute.reserve(at(60_001), S, limit));
        minute.settle(at(60_002), S, Nanos::from_millis(1));
        assert_eq!(minute.used(at(60_003)), Nanos::from_millis(9_001));
        assert_eq!(minute.committed(at(300_000)), Nanos::ZERO);
    }

    #[test]
    fn what_was_really_used_takes_the_place_of_the_promise() {
        let minute = Minute::new();
        let limit = Nanos::from_secs(2);
        assert!(minute.reserve(at(0), S, limit) && minute.reserve(at(0), S, limit));
        assert!(!minute.reserve(at(0), Nanos::new(1), limit));
        minute.settle(at(1), S, Nanos::from_millis(400));
        minute.release(S);
        assert_eq!(minute.committed(at(1)), Nanos::from_millis(400));
        // A batch may take longer than was thought: then there is less for the next.
        assert!(minute.reserve(at(2), Nanos::from_millis(100), limit));
        minute.settle(at(3), Nanos::from_millis(100), Nanos::from_secs(3));
        assert!(!minute.reserve(at(4), Nanos::new(1), limit));
        assert_eq!(minute.committed(at(4)), Nanos::from_millis(3_400));
    }

    #[test]
    fn a_place_that_is_used_again_takes_its_past_out() {
        let minute = Minute::new();
        minute.settle(at(5_000), Nanos::ZERO, S);
        // No sweep in between: the very same place, a minute and an hour later.
        minute.settle(at(65_000), Nanos::ZERO, S);
        assert_eq!(minute.committed.load(Ordering::Relaxed), S.get());
        minute.settle(at(3_605_000), Nanos::ZERO, S);
        assert_eq!(minute.committed.load(Ordering::Relaxed), S.get());
    }

    #[test]
    fn a_thread_whose_clock_is_a_second_behind_loses_nothing() {
        let minute = Minute::new();
        minute.settle(at(61_000), Nanos::ZERO, S);
        assert_eq!(minute.committed(at(60_500)), S);
        minute.settle(at(1_500), Nanos::ZERO, S);
        assert_eq!(minute.used(at(61_000)), Nanos::from_secs(2));
    }

    /// Four threads at a limit that has room for three: what they hold at the same time is counted apart.
    #[test]
    fn threads_that_race_for_the_last_of_the_limit_never_hold_more() {
        let minute = Minute::new();
        let (held, most) = (AtomicU64::new(0), AtomicU64::new(0));
        let race = || {
            for _ in 0..300_000 {
                if minute.reserve(at(0), S, Nanos::from_secs(3)) {
                    most.fetch_max(held.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                    held.fetch_sub(1, Ordering::SeqCst);
                    minute.release(S);
                }
            }
        };
        std::thread::scope(|scope| {
            (0..4).for_each(|_| drop(scope.spawn(race)));
        });
        assert!((1..=3).contains(&most.load(Ordering::SeqCst)), "{most:?}");
        assert_eq!(minute.committed(at(0)), Nanos::ZERO);
    }

    #[test]
    fn nothing_wraps() {
        let minute = Minute::new();
        assert!(!minute.reserve(at(0), Nanos::MAX, Nanos::from_secs(1)));
        minute.settle(at(0), Nanos::ZERO, Nanos::MAX);
        minute.settle(at(0), Nanos::ZERO, Nanos::MAX);
        assert_eq!(minute.committed(at(0)), Nanos::new(TIME_MAX));
        assert_eq!(minute.committed(at(60_000)), Nanos::ZERO);
        // Past 8 years the seconds begin anew.
        let late = Instant::from_nanos(u64::MAX);
        minute.settle(late, Nanos::ZERO, S);
        assert_eq!(minute.used(late), S);
    }
}
