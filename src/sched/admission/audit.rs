//! Audits: a small random share of what is refused as a predicted miss is looked into, to see how much of it is refused wrongly.
//!
//! A packet that is predicted to miss *its own* deadline, or that only the margin before it keeps out, is let in all the same: a probe whose end is counted. One that is refused
//! because it would make others late, because it is worth less than they are, or to keep time for what is yet to come, was
//! chosen, and that is all there is to find out: nothing was predicted that could be proved wrong. Where there is more work than
//! time, nearly each of those would be in time, in another's stead. Both are drawn alike, so what was in time is, of all that was drawn,
//! the share of all refusals that were wrong.

use rand_xoshiro::Xoshiro256PlusPlus;
use rand_xoshiro::rand_core::{RngCore as _, SeedableRng as _};

use super::{Admission, Candidate, Predictor};
use crate::base::{Instant, Nanos, PerPriority, Priority};

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

/// Which refusals are looked into.
#[derive(Debug)]
pub(super) struct Audits {
    /// One in so many; none where it is 0.
    one_in: u32,
    /// Refusals until the next.
    until_next: u32,
    rng: Xoshiro256PlusPlus,
    /// Those drawn that were refused by choice.
    choices: PerPriority<u64>,
}

impl Audits {
    pub(super) fn new(one_in: u32) -> Self {
        let mut audits = Self {
            one_in,
            until_next: 0,
            rng: Xoshiro256PlusPlus::seed_from_u64(u64::from(one_in)),
            choices: PerPriority::default(),
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

    /// One is refused: whether it is drawn. Whatever it is then found to be, the next draw is another's: to wait for a refusal of one
    /// kind would make that kind look more frequent than it is.
    #[inline]
    fn draws(&mut self) -> bool {
        if self.one_in == 0 {
            return false;
        }
        self.until_next = self.until_next.saturating_sub(1);
        let drawn = self.until_next == 0;
        if drawn {
            self.draw();
        }
        drawn
    }
}

impl Admission {
    /// A miss was predicted at dispatch: whether the packet is to be run all the same.
    pub fn audits_at_dispatch(&mut self) -> bool {
        self.audits.draws()
    }

    /// Of those drawn, how many of that class had been refused by choice.
    #[must_use]
    pub fn audited_choices(&self, priority: Priority) -> u64 {
        self.audits.choices[priority]
    }

    /// A candidate is refused as a predicted miss: whether it goes in all the same.
    #[inline]
    pub(super) fn audit(&mut self, now: Instant, candidate: &Candidate) -> bool {
        self.audits.draws() && self.look_into(now, candidate)
    }

    /// One that was drawn. Where there is no room for it, nothing is found out.
    #[cold]
    #[inline(never)]
    fn look_into(&mut self, now: Instant, candidate: &Candidate) -> bool {
        let calm = self.is_calm();
        match self.was_predicted(now, candidate, calm) {
            None => false,
            Some(false) => {
                self.audits.choices[candidate.priority] += 1;
                false
            }
            Some(true) if calm => self.queue.len() < self.queue.capacity(),
            Some(true) => {
                let found = self.found(now, candidate, 1);
                self.worth.as_mut().is_some_and(|w| w.probe(now, candidate, &found).is_ok())
            }
        }
    }

    /// Whether the candidate was refused for when it itself would end, if it has a place: past its deadline, or where only what is kept
    /// free because estimates err does not let it. Else it was refused for the sake of others.
    fn was_predicted(&self, now: Instant, candidate: &Candidate, calm: bool) -> Option<bool> {
        if !candidate.priority.enforces_deadline() {
            return Some(false);
        }
        let ends_after = |by| self.ends_after(now, candidate, calm, by);
        if ends_after(candidate.deadline.before(self.company(candidate)))? {
            return Some(true);
        }
        let allowed = self.allowed(now, candidate);
        let but_for_errors = self.allowed_with(Nanos::ZERO, now, candidate);
        Some(ends_after(now + allowed)? && !ends_after(now + but_for_errors)?)
    }

    /// Whether the candidate is expected to end later than that in its own place, if there is one.
    fn ends_after(
        &self,
        now: Instant,
        candidate: &Candidate,
        calm: bool,
        by: Instant,
    ) -> Option<bool> {
        if !calm {
            let yields = self.demand.yields(candidate.priority);
            return self.worth.as_ref()?.ends_after(now, candidate, yields, by);
        }
        let before = match self.options.predictor {
            Predictor::Off => return Some(false),
            Predictor::SeedTotal => self.queue.backlog(),
            Predictor::Prefix => self.work_before(&self.key(candidate)),
        };
        Some(now + before + candidate.service > by)
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
                taken += u32::from(audits.draws());
            }
            assert!((least..=most).contains(&taken), "1 in {one_in}: {taken}");
        }
        let mut none = Audits::new(0);
        assert!((0..100_000).all(|_| !none.draws()));
    }
}
