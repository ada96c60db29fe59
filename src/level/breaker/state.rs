//! Closed, open, half open: one word, changed by whoever exchanges it first.
//!
//! Knows nothing of limits: who calls says when.

#[cfg(punctual_loom)]
use loom::sync::atomic::{AtomicU64, Ordering};
#[cfg(not(punctual_loom))]
use std::sync::atomic::{AtomicU64, Ordering};

/// Figures are no part of what loom tries.
use std::sync::atomic::AtomicU64 as Tally;

use super::{HOLD_MAX, HOLD_MIN};
use crate::base::{Instant, Nanos};

/// How a breaker stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Batches pass.
    Closed,
    /// None passes.
    Open,
    /// One is on its way, to try; none passes beside it.
    HalfOpen,
}

impl State {
    /// All, in the order of their numbers.
    pub const ALL: [Self; 3] = [Self::Closed, Self::Open, Self::HalfOpen];

    /// Its name in reports.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open => "open",
            Self::HalfOpen => "half_open",
        }
    }
}

/// The state, how often the hold was doubled, and when it opened: 2, 6 and 56 bits, the last in milliseconds.
#[derive(Debug)]
pub(super) struct StateCell {
    word: AtomicU64,
    /// How often each state was entered, for reports alone: nothing is decided by it.
    entered: [Tally; 3],
}

const CLOSED: u64 = 0;
const OPEN: u64 = 1;
const HALF_OPEN: u64 = 2;
const SINCE_SHIFT: u32 = 8;
/// Doublings until the longest hold is reached.
const DOUBLINGS_MAX: u64 = 6;

const fn pack(tag: u64, doublings: u64, since_ms: u64) -> u64 {
    since_ms << SINCE_SHIFT | doublings << 2 | tag
}

const fn tag(word: u64) -> u64 {
    word & 3
}

const fn doublings(word: u64) -> u64 {
    word >> 2 & 63
}

/// Rounded up, so that a hold is never cut short.
const fn ms(now: Instant) -> u64 {
    now.as_nanos().div_ceil(1_000_000)
}

impl StateCell {
    pub(super) fn new() -> Self {
        Self { word: AtomicU64::new(pack(CLOSED, 0, 0)), entered: Default::default() }
    }

    pub(super) fn get(&self) -> State {
        match tag(self.word.load(Ordering::Acquire)) {
            CLOSED => State::Closed,
            OPEN => State::Open,
            _ => State::HalfOpen,
        }
    }

    /// How often each state was entered, in the order of [`State::ALL`].
    pub(super) fn entered(&self) -> [u64; 3] {
        std::array::from_fn(|i| self.entered[i].load(Ordering::Relaxed))
    }

    pub(super) fn is_closed(&self) -> bool {
        self.get() == State::Closed
    }

    /// Closed becomes open, with the shortest hold.
    pub(super) fn open(&self, now: Instant) {
        self.change(CLOSED, |_| pack(OPEN, 0, ms(now)));
    }

    /// Whether it is open and its hold is over.
    pub(super) fn held_long_enough(&self, now: Instant) -> bool {
        is_over(self.word.load(Ordering::Acquire), now)
    }

    /// Open becomes half open, for one of those that ask at the same time, and once its hold is over.
    pub(super) fn begin_probe(&self, now: Instant) -> bool {
        let word = self.word.load(Ordering::Acquire);
        is_over(word, now) && self.exchange(word, pack(HALF_OPEN, doublings(word), 0))
    }

    /// Half open becomes closed, or open with its hold doubled.
    pub(super) fn end_probe(&self, now: Instant, passed: bool) {
        self.change(HALF_OPEN, |word| {
            if passed {
                pack(CLOSED, 0, 0)
            } else {
                pack(OPEN, (doublings(word) + 1).min(DOUBLINGS_MAX), ms(now))
            }
        });
    }

    fn change(&self, from: u64, to: impl Fn(u64) -> u64) {
        let word = self.word.load(Ordering::Acquire);
        if tag(word) == from {
            // Whoever was faster has changed it already.
            self.exchange(word, to(word));
        }
    }

    fn exchange(&self, from: u64, to: u64) -> bool {
        let done =
            self.word.compare_exchange(from, to, Ordering::AcqRel, Ordering::Acquire).is_ok();
        if done && let Some(count) = self.entered.get(usize::try_from(tag(to)).unwrap_or(0)) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        done
    }
}

const fn is_over(word: u64, now: Instant) -> bool {
    let until = (word >> SINCE_SHIFT).saturating_mul(1_000_000);
    tag(word) == OPEN && now.as_nanos() >= until.saturating_add(hold(doublings(word)).get())
}

const fn hold(doublings: u64) -> Nanos {
    let hold = HOLD_MIN.saturating_mul(1 << doublings);
    if hold.get() > HOLD_MAX.get() { HOLD_MAX } else { hold }
}

#[cfg(all(test, not(punctual_loom)))]
mod tests {
    use super::*;

    fn at(ms: u64) -> Instant {
        Instant::ZERO + Nanos::from_millis(ms)
    }

    #[test]
    fn every_transition() {
        use State::{Closed, HalfOpen, Open};
        type Act = fn(&StateCell);
        let acts: [(&str, Act, [State; 3]); 5] = [
            ("open", |c| c.open(at(0)), [Open, Open, HalfOpen]),
            ("probe, early", |c| _ = c.begin_probe(at(999)), [Closed, Open, HalfOpen]),
            ("probe", |c| _ = c.begin_probe(at(1_000)), [Closed, HalfOpen, HalfOpen]),
            ("passed", |c| c.end_probe(at(0), true), [Closed, Open, Closed]),
            ("failed", |c| c.end_probe(at(0), false), [Closed, Open, Open]),
        ];
        for (name, act, ends) in acts {
            for (from, end) in State::ALL.into_iter().zip(ends) {
                let cell = StateCell::new();
                if from != Closed {
                    cell.open(at(0));
                }
                if from == HalfOpen {
                    assert!(cell.begin_probe(at(1_000)));
                }
                assert_eq!(cell.get(), from);
                act(&cell);
                assert_eq!(cell.get(), end, "{name} from {}", from.word());
            }
        }
    }

    #[test]
    fn the_hold_doubles_up_to_a_minute_and_begins_anew_once_it_closed() {
        let cell = StateCell::new();
        cell.open(at(0));
        let mut now = 0;
        for s in [1, 2, 4, 8, 16, 32, 60, 60] {
            now += 1_000 * s;
            assert!(!cell.begin_probe(at(now - 1)), "{s}");
            assert!(cell.begin_probe(at(now)), "{s}");
            cell.end_probe(at(now), false);
        }
        assert!(cell.begin_probe(at(now + 60_000)));
        cell.end_probe(at(now), true);
        cell.open(at(now));
        assert!(cell.begin_probe(at(now + 1_000)));
    }
}
