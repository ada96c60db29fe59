//! What has been arriving, of late: how often, how tight, and what a long chunk would cost of it.
//!
//! Knows no queue. One small record a stream (a class, or a bucket), constant work an arrival, one look at each for a question.

use crate::base::{Instant, Nanos};

/// One stream's record.
#[derive(Clone, Copy, Debug)]
struct Stream {
    last: Instant,
    /// Mean distance of arrivals, nanoseconds x 256; 0: none was seen.
    gap: u64,
    slack: Nanos,
    value: u32,
}

/// The weight of the past in the mean distance: 2^6.
const SHIFT: u32 = 6;
/// A stream that has been away for so many of its mean distances no longer counts.
const AWAY: u64 = 64;
/// No distance is longer, 18 minutes: the products then fit.
const GAP_NS_MAX: u64 = 1 << 40;

/// See the module.
#[derive(Clone, Debug)]
pub struct Pressure {
    streams: Box<[Stream]>,
    now: Instant,
}

impl Pressure {
    /// For that many streams. All memory is allocated here.
    #[must_use]
    pub fn new(streams: usize) -> Self {
        let none = Stream { last: Instant::ZERO, gap: 0, slack: Nanos::MAX, value: 0 };
        Self { streams: vec![none; streams].into(), now: Instant::ZERO }
    }

    /// One of that stream arrived, with that value and that slack.
    pub fn arrived(&mut self, now: Instant, stream: usize, value: u32, slack: Nanos) {
        self.now = now;
        let Some(s) = self.streams.get_mut(stream) else { return };
        let gap = now.since(s.last).get().clamp(1, GAP_NS_MAX) << 8;
        s.gap = match s.gap {
            0 => gap,
            mean => mean - (mean >> SHIFT) + (gap >> SHIFT),
        };
        s.last = now;
        s.slack = slack;
        s.value = value;
    }

    /// So many of that stream have arrived within `elapsed`, with that value and that slack.
    pub fn arrived_within(
        &mut self,
        now: Instant,
        stream: usize,
        (count, elapsed): (u32, Nanos),
        value: u32,
        slack: Nanos,
    ) {
        self.now = now;
        let Some(s) = self.streams.get_mut(stream).filter(|_| count > 0) else { return };
        let gap = (elapsed.get() / u64::from(count)).clamp(1, GAP_NS_MAX) << 8;
        s.gap = if s.gap == 0 { gap } else { s.gap - (s.gap >> 2) + (gap >> 2) };
        (s.last, s.slack, s.value) = (now, slack, value);
    }

    fn about(&self) -> impl Iterator<Item = &Stream> {
        self.streams.iter().filter(|s| {
            let away = u128::from(self.now.since(s.last).get()) << 8;
            s.gap > 0 && away < u128::from(s.gap) * u128::from(AWAY)
        })
    }

    /// The least slack of what is about: a third of it makes a good chunk.
    #[must_use]
    pub fn tightest(&self) -> Nanos {
        self.about().map(|s| s.slack).min().unwrap_or(Nanos::MAX)
    }

    /// Whether running work of that value, of which so much is left, in such chunks loses more value than it is worth: of what
    /// arrives meanwhile and cannot wait for the end of a chunk.
    #[must_use]
    pub fn blocks(&self, value: u32, left: Nanos, chunk: Nanos) -> bool {
        let chunk = chunk.min(left);
        if self.streams.iter().all(|s| chunk <= s.slack) {
            return false;
        }
        // Value lost in one chunk, x 2^16.
        let lost = self.about().fold(0_u128, |sum, s| {
            let over = chunk.saturating_sub(s.slack).get().min(GAP_NS_MAX);
            sum + ((u128::from(s.value) * u128::from(over)) << 24) / u128::from(s.gap.max(1))
        });
        lost * u128::from(left.get()) > (u128::from(value) * u128::from(chunk.get())) << 16
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn us(n: u64) -> Nanos {
        Nanos::from_micros(n)
    }

    /// One every 10 us, worth 1, that can wait for 50 us.
    fn tight() -> Pressure {
        let mut p = Pressure::new(2);
        for n in 1..200 {
            p.arrived(Instant::ZERO + us(10 * n), 0, 1, us(50));
        }
        p
    }

    #[test]
    fn long_work_is_refused_when_it_costs_more_than_it_is_worth() {
        let p = tight();
        // 100 us in one piece: five of them cannot wait for its end.
        assert!(p.blocks(4, us(100), us(100)));
        assert!(!p.blocks(6, us(100), us(100)));
        // In pieces that they can wait for it costs nobody anything.
        assert!(!p.blocks(1, us(100), us(50)));
        // In pieces a little too long, each time: twenty pieces of 55 us, half a job each.
        assert!(p.blocks(9, us(1_100), us(55)));
        assert!(!p.blocks(11, us(1_100), us(55)));
    }

    #[test]
    fn who_has_stayed_away_no_longer_counts() {
        let mut p = tight();
        assert_eq!(p.tightest(), us(50));
        p.arrived(Instant::ZERO + us(1_990 + 600), 1, 1, us(900));
        assert_eq!(p.tightest(), us(50));
        p.arrived(Instant::ZERO + us(1_990 + 700), 1, 1, us(900));
        assert_eq!(p.tightest(), us(900));
        assert!(!p.blocks(1, us(100), us(100)));
        // A stream that there is not.
        p.arrived(Instant::ZERO + us(9_999), 7, 1, us(1));
    }

    #[test]
    fn nothing_overflows() {
        let mut p = Pressure::new(1);
        p.arrived(Instant::MAX, 0, u32::MAX, Nanos::ZERO);
        p.arrived(Instant::MAX, 0, u32::MAX, Nanos::ZERO);
        assert!(p.blocks(1, us(1), us(1)));
        assert!(p.blocks(u32::MAX, Nanos::new(1 << 40), Nanos::new(1 << 40)));
    }
}
