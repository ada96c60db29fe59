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
/// Where it was in vain it is cheap again only here: going back and forth between the queue and the line costs both.
const CHEAP_AGAIN: f64 = 0.05;
/// Dear, it must be able to win so many times what it takes: what is spent on it makes batches and trains smaller, too.
const WORTH: f64 = 4.0;

/// What those take that do not surely fit, by windows.
#[derive(Debug)]
pub(super) struct Looks {
    began: Instant,
    /// How many had come by then, whether they fitted or not.
    arrived: u64,
    /// How many of each bucket did not surely fit. Not what each was expected to take: that moves with the machine's clock and with
    /// how many ride in a batch, and packets that are alike would look uneven.
    counts: Box<[u32]>,
    vain: bool,
}

impl Looks {
    /// For that many buckets of estimates. All memory is allocated here.
    pub(super) fn new(buckets: usize) -> Self {
        let counts = vec![0; buckets].into();
        Self { began: Instant::ZERO, arrived: 0, counts, vain: false }
    }

    /// One more that does not surely fit. Whether weighing such is in vain.
    #[inline]
    pub(super) fn see(&mut self, bucket: u16) -> bool {
        if let Some(count) = self.counts.get_mut(usize::from(bucket)) {
            *count = count.saturating_add(1);
        }
        self.vain
    }

    /// Time has passed, so many have come since the start, and one of a bucket takes so long.
    pub(super) fn tick(
        &mut self,
        now: Instant,
        arrived: &PerPriority<u64>,
        takes: impl Fn(u16) -> Nanos,
    ) {
        let passed = now.since(self.began);
        if passed < WINDOW || self.count() < COUNT_MIN {
            return;
        }
        let arrived = Priority::ALL.into_iter().map(|p| arrived[p]).sum::<u64>();
        let came = arrived.saturating_sub(self.arrived);
        let spent = EACH.saturating_mul(came).as_secs_f64() / passed.as_secs_f64();
        let cheap = if self.vain { CHEAP_AGAIN } else { CHEAP_MAX };
        self.vain = spent > cheap && self.to_be_won(takes) < WORTH * spent;
        (self.began, self.arrived) = (now, arrived);
        self.counts.fill(0);
    }

    fn count(&self) -> u64 {
        self.counts.iter().map(|&c| u64::from(c)).sum()
    }

    #[cfg(test)]
    pub(super) const fn set_vain(&mut self) {
        self.vain = true;
    }

    /// By how much more the arithmetic mean of their sizes is than the harmonic: about what choosing by size could win. 0 where all
    /// are alike, 0.125 where half take twice as long as the others, 2 where half take ten times as long.
    fn to_be_won(&self, takes: impl Fn(u16) -> Nanos) -> f64 {
        let [mut count, mut times, mut rates] = [0.0; 3];
        for (bucket, n) in (0..).zip(&self.counts).filter(|(_, n)| **n > 0) {
            let (n, each) = (f64::from(*n), takes(bucket).max(Nanos::new(1)).as_secs_f64());
            count += n;
            times += n * each;
            rates += n / each;
        }
        (times / count) * (rates / count) - 1.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether weighing is in vain after 100 ms in which one came every `gap` nanoseconds, one in `every` of which takes `long` and
    /// the others `short`, and all were looked at.
    fn vain_where(gap: u64, (short, long, every): (u64, u64, u64)) -> bool {
        let mut looks = Looks::new(2);
        let mut arrived = PerPriority::<u64>::default();
        for n in 0..100_000_000 / gap {
            let now = Instant::ZERO + Nanos::new(gap * n);
            arrived[Priority::Low] += 1;
            looks.see(u16::from(n % every == 0));
            looks.tick(now, &arrived, |bucket| Nanos::new([short, long][usize::from(bucket)]));
        }
        looks.vain
    }

    fn vain(gap: u64, each: u64) -> bool {
        vain_where(gap, (each, each, 2))
    }

    #[test]
    fn what_is_alike_and_comes_fast_is_weighed_in_vain() {
        let one_in_hundred = |long| (1_000, long, 100);
        // A quarter of the time: it would have to be able to win as much again.
        assert!(vain(1_000, 1_000));
        assert!(vain_where(1_000, (1_000, 3_000, 2)), "a third more");
        assert!(!vain_where(1_000, (1_000, 10_000, 2)), "three times as much");
        assert!(vain_where(1_000, one_in_hundred(10_000)), "a tenth of the time");
        assert!(vain_where(1_000, one_in_hundred(90_000)), "half of it: nine tenths to be won");
        assert!(!vain_where(1_000, one_in_hundred(200_000)));
        // An eighth of the time.
        assert!(vain_where(2_000, (1_000, 2_000, 2)));
        assert!(!vain_where(2_000, one_in_hundred(90_000)));
        // A sixteenth: that is cheap.
        assert!(!vain(4_000, 1_000));
        // The shortest and the longest that there are.
        assert!(vain(1_000, 0));
        assert!(vain(1_000, u64::MAX >> 8));
    }

    #[test]
    fn what_is_alike_stays_so_while_its_estimate_moves() {
        let mut looks = Looks::new(1);
        let mut arrived = PerPriority::<u64>::default();
        for n in 0..100_000 {
            arrived[Priority::Low] += 1;
            looks.see(0);
            // Ten times as long in every other window, and changing within it.
            let takes = Nanos::new(if n / 10_000 % 2 == 0 { 1_000 } else { 10_000 } + n % 1_000);
            looks.tick(Instant::ZERO + Nanos::from_micros(n), &arrived, |_| takes);
            assert!(looks.vain || n < 10_000, "after {n} us");
        }
    }

    #[test]
    fn what_comes_about_as_fast_as_the_limit_does_not_change_its_mind() {
        let mut looks = Looks::new(1);
        let (mut arrived, mut now) = (PerPriority::<u64>::default(), Instant::ZERO);
        let mut window = |gap: u64| {
            for _ in 0..WINDOW.get().div_ceil(gap) {
                now = now + Nanos::new(gap);
                arrived[Priority::Low] += 1;
                looks.see(0);
                looks.tick(now, &arrived, |_| Nanos::from_micros(1));
            }
            looks.vain
        };
        // 250 ns in 3,800 are less than 0.07 of it, in 3,400 more; in 4,800 more than 0.05, in 5,200 less.
        assert!(!window(3_800));
        assert!(window(3_400));
        assert!(window(3_800) && window(4_800));
        assert!(!window(5_200));
        assert!(!window(3_800));
    }

    #[test]
    fn it_is_judged_at_the_end_of_a_window_and_only_if_enough_were_looked_at() {
        let mut looks = Looks::new(1);
        let at = |us: u64| Instant::ZERO + Nanos::from_micros(us);
        let mut arrived = PerPriority::<u64>::default();
        let mut see = |looks: &mut Looks, us: u64, count: u64| {
            arrived[Priority::High] += 10_000;
            (0..count).for_each(|_| _ = looks.see(0));
            looks.tick(at(us), &arrived, |_| Nanos::from_micros(1));
            looks.vain
        };
        assert!(!see(&mut looks, 9_999, 64), "the window is not over");
        assert!(see(&mut looks, 10_000, 0));
        assert!(see(&mut looks, 20_001, 63), "too few say nothing else");
        // The same few of a minute are not many.
        assert!(!see(&mut looks, 60_000_000, 1));
    }
}
