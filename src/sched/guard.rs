//! The guard window: whether a worker with a Medium or Low packet in hand looks out for High a moment longer.
//!
//! Knows no queue and no ring: it says for how long, the worker keeps reaping meanwhile.

use crate::base::{Ema, Instant, Nanos, PerPriority, Priority};

/// No window is longer, where the config names no other bound.
pub const WINDOW_MAX: Nanos = Nanos::from_micros(80);
/// The range of a slice.
pub const SLICE_MIN: Nanos = Nanos::from_micros(5);
/// The range of a slice.
pub const SLICE_MAX: Nanos = Nanos::from_micros(50);

/// How long after its arrival a packet of that class may be held back: `min(2·ema, budget, max)` for Medium and Low.
#[must_use]
pub fn window(priority: Priority, ema: Nanos, budget: Nanos, max: Nanos) -> Nanos {
    match priority {
        Priority::Medium | Priority::Low => ema.saturating_mul(2).min(budget).min(max),
        Priority::High | Priority::BestEffort => Nanos::ZERO,
    }
}

/// How long a worker runs, or holds back, before it looks at its ring again: the least average of High, Medium and Low,
/// within 5 and 50 us.
#[must_use]
pub fn slice(ema: &PerPriority<Nanos>) -> Nanos {
    let [high, medium, low, _] = *ema.as_array();
    high.min(medium).min(low).clamp(SLICE_MIN, SLICE_MAX)
}

/// What is known at the moment when a packet was taken from the queue.
#[derive(Clone, Copy, Debug)]
pub struct GuardInputs {
    /// Whether this worker serves High at all.
    pub serves_high: bool,
    /// How many of High this worker has queued.
    pub high_depth: u32,
    /// When the packet in hand was received.
    pub released: Instant,
    /// Its deadline.
    pub deadline: Instant,
    /// What it is expected to cost.
    pub service: Nanos,
    /// The time between two of High here, as [`InterArrival::expected`] has it. `None`: none is expected.
    pub high_interarrival: Option<Nanos>,
}

/// One class's window, as the plan has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GuardWindow {
    /// Counted from the packet's arrival. Zero: never.
    pub window: Nanos,
    /// Whether a packet of High must be expected within what is left (default). Without one the window only costs time.
    pub require_expected_high: bool,
}

impl GuardWindow {
    /// How much longer the packet in hand may be held back, or `None` when it is to be run now.
    #[must_use]
    #[inline]
    pub fn may_enter(&self, now: Instant, with: &GuardInputs) -> Option<Nanos> {
        if !with.serves_high || with.high_depth > 0 {
            return None;
        }
        let elapsed = now.since(with.released);
        if elapsed >= self.window {
            return None;
        }
        let remaining = self.window.saturating_sub(elapsed);
        if now + remaining + with.service > with.deadline {
            return None;
        }
        if self.require_expected_high && with.high_interarrival.is_none_or(|i| i > remaining) {
            return None;
        }
        Some(remaining)
    }
}

/// Whether a packet of High that came meanwhile goes before the one in hand: its deadline is the earlier one, or the one
/// in hand still meets its own afterwards.
#[must_use]
pub fn preempts(
    high_deadline: Instant,
    held_deadline: Instant,
    now: Instant,
    ema_high: Nanos,
    held_service: Nanos,
) -> bool {
    high_deadline < held_deadline || now + ema_high + held_service <= held_deadline
}

/// A moving average of the time between two arrivals.
#[derive(Clone, Copy, Debug, Default)]
pub struct InterArrival {
    last: Option<Instant>,
    ema: Option<Ema>,
}

impl InterArrival {
    /// Nothing seen yet.
    #[must_use]
    pub const fn new() -> Self {
        Self { last: None, ema: None }
    }

    /// One arrived. Times may come slightly out of order; a gap is then zero.
    #[inline]
    pub fn record(&mut self, arrived: Instant) {
        if let Some(last) = self.last {
            let gap = arrived.since(last);
            match &mut self.ema {
                Some(ema) => ema.record(gap),
                None => self.ema = Some(Ema::new(gap)),
            }
        }
        self.last = Some(self.last.map_or(arrived, |last| last.max(arrived)));
    }

    /// The time expected between two arrivals. Never less than what has passed since the last one, so that a stream
    /// that stopped is soon no longer expected. `None` before the second arrival.
    #[must_use]
    #[inline]
    pub fn expected(&self, now: Instant) -> Option<Nanos> {
        let since = now.since(self.last?);
        Some(self.ema?.get().max(since))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn us(us: u64) -> Nanos {
        Nanos::from_micros(us)
    }

    fn at(us: u64) -> Instant {
        Instant::ZERO + Nanos::from_micros(us)
    }

    #[test]
    fn windows_and_slices_of_the_seed() {
        let ms = Nanos::from_millis;
        assert_eq!(window(Priority::Medium, us(1), ms(10), WINDOW_MAX), us(2));
        assert_eq!(window(Priority::Low, us(30), ms(100), WINDOW_MAX), us(60));
        assert_eq!(window(Priority::Low, us(200), ms(100), WINDOW_MAX), us(80));
        assert_eq!(window(Priority::Medium, us(30), us(40), WINDOW_MAX), us(40));
        assert_eq!(window(Priority::Medium, Nanos::MAX, Nanos::MAX, WINDOW_MAX), us(80));
        assert_eq!(window(Priority::High, us(30), ms(1), WINDOW_MAX), Nanos::ZERO);
        assert_eq!(window(Priority::BestEffort, us(30), ms(200), WINDOW_MAX), Nanos::ZERO);
        assert_eq!(slice(&PerPriority::new([us(1); 4])), us(5));
        assert_eq!(slice(&PerPriority::new([us(100), us(20), us(200), us(1)])), us(20));
        assert_eq!(slice(&PerPriority::new([us(100); 4])), us(50));
    }

    /// A case in which all five conditions hold: 10 us after arrival, 50 of 60 us are left.
    const OPEN: GuardInputs = GuardInputs {
        serves_high: true,
        high_depth: 0,
        released: Instant::from_nanos(0),
        deadline: Instant::from_nanos(160_000),
        service: us(100),
        high_interarrival: Some(us(50)),
    };
    const WINDOW: GuardWindow = GuardWindow { window: us(60), require_expected_high: true };

    #[test]
    fn enters_when_all_conditions_hold_and_not_when_one_fails() {
        assert_eq!(WINDOW.may_enter(at(10), &OPEN), Some(us(50)));
        let refused = |change: fn(&mut GuardInputs)| {
            let mut with = OPEN;
            change(&mut with);
            WINDOW.may_enter(at(10), &with).is_none()
        };
        assert!(refused(|w| w.serves_high = false));
        assert!(refused(|w| w.high_depth = 1));
        assert!(refused(|w| w.deadline = Instant::from_nanos(159_999)));
        assert!(refused(|w| w.service = Nanos::new(100_001)));
        assert!(refused(|w| w.high_interarrival = Some(Nanos::new(50_001))));
        assert!(refused(|w| w.high_interarrival = None));
    }

    #[test]
    fn the_window_counts_from_arrival() {
        let busy = GuardInputs { high_interarrival: Some(Nanos::ZERO), ..OPEN };
        assert_eq!(WINDOW.may_enter(at(0), &busy), Some(us(60)));
        assert_eq!(WINDOW.may_enter(at(59), &busy), Some(us(1)));
        assert_eq!(WINDOW.may_enter(at(60), &busy), None);
        assert_eq!(WINDOW.may_enter(at(9_999), &busy), None);
        let never = GuardWindow { window: Nanos::ZERO, require_expected_high: false };
        assert_eq!(never.may_enter(at(0), &busy), None);
    }

    #[test]
    fn expecting_high_can_be_waived() {
        let window = GuardWindow { require_expected_high: false, ..WINDOW };
        let unexpected = GuardInputs { high_interarrival: None, ..OPEN };
        assert_eq!(window.may_enter(at(10), &unexpected), Some(us(50)));
    }

    #[test]
    fn preemption_by_deadline_or_by_slack() {
        let preempts = |high, held| preempts(at(high), at(held), at(0), us(50), us(100));
        assert!(preempts(149, 150) && preempts(120, 121));
        assert!(preempts(200, 150), "later, but there is room for both");
        assert!(!preempts(200, 149) && !preempts(149, 149));
    }

    #[test]
    fn inter_arrival_follows_the_stream_and_its_end() {
        let mut gaps = InterArrival::new();
        assert_eq!(gaps.expected(at(5)), None);
        gaps.record(at(0));
        assert_eq!(gaps.expected(at(5)), None);
        for i in 1..=50 {
            gaps.record(at(10 * i));
        }
        assert_eq!(gaps.expected(at(500)), Some(us(10)));
        assert_eq!(gaps.expected(at(1_700)), Some(us(1_200)));
        gaps.record(at(490));
        assert!(gaps.expected(at(500)).unwrap() < us(10), "out of order is a gap of zero");
    }
}
