//! Audits: a small random share of the predicted misses is let in all the same, to see how many would have made it.
//!
//! An audit is a probe whose end is counted. Only a packet that is predicted to miss *its own* deadline is one: of what is refused
//! because it would make others late, because it is worth less than they are, or to keep time for what is yet to come, nothing was
//! predicted that could be proved wrong. Where there is more work than time, nearly each of those would be in time, in another's stead.

use rand_xoshiro::Xoshiro256PlusPlus;
use rand_xoshiro::rand_core::{RngCore as _, SeedableRng as _};

use super::{Admission, Candidate, Predictor};
use crate::base::Instant;

/// What a packet was let in as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admitted {
    /// It is expected to be in time.
    Expected,
    /// To measure its class: see [`Options::probe_interval`](super::Options::probe_interval).
    Probe,
    /// To see whether the prediction that it would be late was right.
    Audit,
}

/// Which predicted misses are let in.
#[derive(Debug)]
pub(super) struct Audits {
    /// One in so many; none where it is 0.
    one_in: u32,
    /// Predicted misses until the next.
    until_next: u32,
    rng: Xoshiro256PlusPlus,
}

impl Audits {
    pub(super) fn new(one_in: u32) -> Self {
        let mut audits = Self {
            one_in,
            until_next: 0,
            rng: Xoshiro256PlusPlus::seed_from_u64(u64::from(one_in)),
        };
        audits.draw();
        audits
    }

    /// Gaps are even between 1 and twice the mean: no rhythm of the packets can meet them for long.
    fn draw(&mut self) {
        let most = u64::from(self.one_in) * 2 - u64::from(self.one_in > 0);
        self.until_next = match most {
            0 => u32::MAX,
            _ => u32::try_from(self.rng.next_u64() % most).unwrap_or(u32::MAX) + 1,
        };
    }

    /// A miss was predicted: whether it is one to be let in. If so, that is asked again until one is.
    #[inline]
    fn is_due(&mut self) -> bool {
        if self.one_in == 0 {
            return false;
        }
        self.until_next = self.until_next.saturating_sub(1);
        self.until_next == 0
    }
}

impl Admission {
    /// A miss was predicted at dispatch: whether the packet is to be run all the same.
    pub fn audits_at_dispatch(&mut self) -> bool {
        let due = self.audits.is_due();
        if due {
            self.audits.draw();
        }
        due
    }

    /// A miss was predicted: whether the candidate goes in all the same.
    pub(super) fn audit(&mut self, now: Instant, candidate: &Candidate) -> bool {
        let taken = self.audits.is_due()
            && if self.is_calm() {
                self.misses_its_own(now, candidate) && self.queue.len() < self.queue.capacity()
            } else {
                self.audit_by_value(now, candidate)
            };
        if taken {
            self.audits.draw();
        }
        taken
    }

    /// Whether the candidate is expected to be late in its own place.
    fn misses_its_own(&self, now: Instant, candidate: &Candidate) -> bool {
        let before = match self.options.predictor {
            Predictor::Off => return false,
            Predictor::SeedTotal => self.queue.backlog(),
            Predictor::Prefix => self.work_before(&self.key(candidate)),
        };
        now + before + candidate.service > candidate.deadline
    }

    /// The same in its place in line.
    fn audit_by_value(&mut self, now: Instant, candidate: &Candidate) -> bool {
        let found = self.found(now, candidate, 1);
        self.worth.as_mut().is_some_and(|w| w.audit(now, candidate, &found))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_in_so_many_on_average_and_none_where_it_is_nought() {
        for (one_in, least, most) in [(1, 100_000, 100_000), (10, 9_700, 10_300), (1_000, 80, 120)]
        {
            let mut audits = Audits::new(one_in);
            let mut taken = 0;
            for _ in 0..100_000 {
                if audits.is_due() {
                    audits.draw();
                    taken += 1;
                }
            }
            assert!((least..=most).contains(&taken), "1 in {one_in}: {taken}");
        }
        let mut none = Audits::new(0);
        assert!((0..100_000).all(|_| !none.is_due()));
    }

    #[test]
    fn one_that_is_due_stays_due_until_it_is_taken() {
        let mut audits = Audits::new(5);
        while !audits.is_due() {}
        assert!(audits.is_due() && audits.is_due());
    }
}
