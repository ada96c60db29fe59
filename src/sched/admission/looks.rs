//! Whether to weigh whom to refuse would take more than can be won by it.
//!
//! While not everything surely fits, all that comes is weighed. Where packets take a microsecond that takes a good part of
//! what serving them does; and where they all take about the same, no more of them are served by choosing. There the
//! order of deadlines is as good as any. Both are asked for: weighing also keeps promises better, and where it takes little it is
//! worth that.

use crate::base::{Instant, Nanos, PerPriority, Priority};

/// Over how long candidates are looked at before they are judged.
const WINDOW: Nanos = Nanos::from_millis(10);
/// Fewer than so many say nothing: the window goes on until there are.
const COUNT_MIN: u64 = 64;
/// What weighing takes for each that comes: 0.2 to 0.3 us on machines of 2020 to 2024.
const EACH: Nanos = Nanos::new(250);
/// It is cheap where it takes no more of a worker's time than this.
const CHEAP_MAX: f64 = 0.07;
/// Dear, it must be able to win so many times what it takes: what is spent on it makes batches and trains smaller, too.
const WORTH: f64 = 4.0;
/// What a rate of one in a nanosecond is written as.
const ONE: u64 = 1 << 40;

/// What those take that do not surely fit, by windows.
#[derive(Debug, Default)]
pub(super) struct Looks {
    began: Instant,
    /// How many had come by then, whether they fitted or not.
    arrived: u64,
    count: u64,
    times: u64,
    rates: u64,
    vain: bool,
}

impl Looks {
    /// One more that does not surely fit, and takes that long. Whether weighing such is in vain.
    #[inline]
    pub(super) const fn see(&mut self, service: Nanos) -> bool {
        let service = if service.get() == 0 { 1 } else { service.get() };
        self.count += 1;
        self.times = self.times.saturating_add(service);
        self.rates = self.rates.saturating_add(ONE / service);
        self.vain
    }

    /// Time has passed, and so many have come since the start.
    pub(super) fn tick(&mut self, now: Instant, arrived: &PerPriority<u64>) {
        let passed = now.since(self.began);
        if passed < WINDOW || self.count < COUNT_MIN {
            return;
        }
        let arrived = Priority::ALL.into_iter().map(|p| arrived[p]).sum::<u64>();
        let came = arrived.saturating_sub(self.arrived);
        let spent = EACH.saturating_mul(came).as_secs_f64() / passed.as_secs_f64();
        let vain = spent > CHEAP_MAX && self.to_be_won() < WORTH * spent;
        *self = Self { began: now, arrived, vain, ..Self::default() };
    }

    #[cfg(test)]
    pub(super) const fn set_vain(&mut self) {
        self.vain = true;
    }

    /// By how much more the arithmetic mean of their sizes is than the harmonic: about what choosing by size could win. 0 where all
    /// are alike, 0.125 where half take twice as long as the others, 2 where half take ten times as long.
    #[expect(clippy::cast_precision_loss, reason = "a mean to a part in 2^53")]
    fn to_be_won(&self) -> f64 {
        let [count, times, rates, one] =
            [self.count, self.times, self.rates, ONE].map(|n| n as f64);
        (times / count) * (rates / count) / one - 1.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether weighing is in vain after 100 ms in which one came every `gap` nanoseconds, the n-th of which takes so many, and all were
    /// looked at.
    fn vain(gap: u64, took: impl Fn(u64) -> u64) -> bool {
        let mut looks = Looks::default();
        let mut arrived = PerPriority::<u64>::default();
        for n in 0..100_000_000 / gap {
            let now = Instant::ZERO + Nanos::new(gap * n);
            arrived[Priority::Low] += 1;
            looks.see(Nanos::new(took(n)));
            looks.tick(now, &arrived);
        }
        looks.vain
    }

    #[test]
    fn what_is_alike_and_comes_fast_is_weighed_in_vain() {
        let one_in_hundred = |long| move |n: u64| if n.is_multiple_of(100) { long } else { 1_000 };
        // A quarter of the time: it would have to be able to win as much again.
        assert!(vain(1_000, |_| 1_000));
        assert!(vain(1_000, |n| 1_000 + 2_000 * (n % 2)), "a third more");
        assert!(!vain(1_000, |n| 1_000 + 9_000 * (n % 2)), "three times as much");
        assert!(vain(1_000, one_in_hundred(10_000)), "a tenth of the time");
        assert!(vain(1_000, one_in_hundred(90_000)), "nearly half of it: nine tenths to be won");
        assert!(!vain(1_000, one_in_hundred(200_000)));
        // An eighth of the time.
        assert!(vain(2_000, |n| 1_000 + 1_000 * (n % 2)));
        assert!(!vain(2_000, one_in_hundred(90_000)));
        // A sixteenth: that is cheap.
        assert!(!vain(4_000, |_| 1_000));
        // The shortest and the longest that there are.
        assert!(vain(1_000, |_| 0));
        assert!(vain(1_000, |_| u64::MAX >> 8));
    }

    #[test]
    fn it_is_judged_at_the_end_of_a_window_and_only_if_enough_were_looked_at() {
        let mut looks = Looks::default();
        let at = |us: u64| Instant::ZERO + Nanos::from_micros(us);
        let mut arrived = PerPriority::<u64>::default();
        let mut see = |looks: &mut Looks, us: u64, count: u64| {
            arrived[Priority::High] += 10_000;
            (0..count).for_each(|_| _ = looks.see(Nanos::new(1_000)));
            looks.tick(at(us), &arrived);
            looks.vain
        };
        assert!(!see(&mut looks, 9_999, 64), "the window is not over");
        assert!(see(&mut looks, 10_000, 0));
        assert!(see(&mut looks, 20_001, 63), "too few say nothing else");
        // The same few of a minute are not many.
        assert!(!see(&mut looks, 60_000_000, 1));
    }
}
