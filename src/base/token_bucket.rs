//! A token bucket whose time is an argument.

use super::time::{Instant, Nanos};

/// At most `burst` tokens at once and one more every `interval`.
#[derive(Clone, Debug)]
pub struct TokenBucket {
    interval: Nanos,
    burst: u32,
    tokens: u32,
    refilled: Instant,
}

impl TokenBucket {
    /// A full bucket. An `interval` of zero never runs dry.
    #[must_use]
    pub const fn new(interval: Nanos, burst: u32, now: Instant) -> Self {
        Self { interval, burst, tokens: burst, refilled: now }
    }

    /// Takes one token if there is one.
    pub fn try_take(&mut self, now: Instant) -> bool {
        self.refill(now);
        if self.tokens == 0 {
            return self.interval == Nanos::ZERO;
        }
        self.tokens -= 1;
        true
    }

    /// How many tokens there are.
    pub fn available(&mut self, now: Instant) -> u32 {
        self.refill(now);
        if self.interval == Nanos::ZERO { u32::MAX } else { self.tokens }
    }

    /// Takes `n` tokens, or all that there are.
    pub fn take_up_to(&mut self, n: u32, now: Instant) {
        self.refill(now);
        self.tokens = self.tokens.saturating_sub(n);
    }

    fn refill(&mut self, now: Instant) {
        if self.interval == Nanos::ZERO {
            return;
        }
        let earned = now.since(self.refilled).get() / self.interval.get();
        if earned == 0 {
            return;
        }
        self.tokens = u32::try_from(earned)
            .map_or(self.burst, |e| self.tokens.saturating_add(e))
            .min(self.burst);
        self.refilled = self.refilled + self.interval.saturating_mul(earned);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gives_burst_then_one_an_interval() {
        let t = |ms| Instant::ZERO + Nanos::from_millis(ms);
        let mut b = TokenBucket::new(Nanos::from_millis(10), 2, t(0));
        assert!(b.try_take(t(0)) && b.try_take(t(0)) && !b.try_take(t(9)));
        assert_eq!(b.available(t(9)), 0);
        assert!(b.try_take(t(10)) && !b.try_take(t(19)) && b.try_take(t(20)));
        b.take_up_to(9, t(20));
        assert!(b.try_take(t(1_000)) && b.try_take(t(1_000)) && !b.try_take(t(1_000)));
    }
}
