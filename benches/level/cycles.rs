//! The core's own cycles as a clock: what a batch takes does not depend on how fast the machine's clock runs just then, nor on
//! who else had the core in between.
//!
//! A virtual machine's clock moved by a third between one stretch and the next, and the hypervisor took the core away for
//! milliseconds: two batches timed by the wall are compared in two machines. Cycles in user mode are counted by the processor
//! (`perf_event_open`) and stand still meanwhile.

use std::cell::RefCell;

use perf_event::events::Hardware;
use perf_event::{Builder, Counter};
use punctual::base::{Clock, Instant};
use punctual::sys::clock::MonotonicClock;

/// Rounds by which a cycle's length is found, and dependent products of each: some 20 us.
const ROUNDS: usize = 401;
const PRODUCTS: u64 = 10_000;

/// What batches are timed by.
pub(crate) enum Judge {
    /// The counter, and picoseconds of a cycle: as long as it usually was when the run began, so that figures are times.
    Cycles(RefCell<Counter>, f64),
    /// There is no counter, or the machine's clock was asked for.
    Wall,
}

impl Judge {
    /// By cycles, where the machine counts them.
    pub(crate) fn by_cycles() -> Self {
        // In user mode alone, unless told otherwise: what needs no right.
        let begun = Builder::new().kind(Hardware::CPU_CYCLES).build();
        let Ok(mut counter) = begun.and_then(|mut c| c.enable().map(|()| c)) else {
            return Self::Wall;
        };
        match cycle_ps(&mut counter) {
            Some(ps) => Self::Cycles(RefCell::new(counter), ps),
            None => Self::Wall,
        }
    }

    /// In words.
    pub(crate) fn name(&self) -> String {
        match self {
            Self::Cycles(_, ps) => format!("cycles of the core, one as {ps:.0} ps"),
            Self::Wall => "the machine's clock".to_owned(),
        }
    }
}

impl Clock for Judge {
    fn now(&self) -> Instant {
        match self {
            Self::Cycles(counter, ps) => {
                let cycles = counter.borrow_mut().read().expect("it was read before");
                Instant::from_nanos((cycles as f64 * ps / 1e3) as u64)
            }
            Self::Wall => MonotonicClock.now(),
        }
    }
}

/// Picoseconds of a cycle, the median of some; none where nothing is counted.
fn cycle_ps(counter: &mut Counter) -> Option<f64> {
    let mut all = Vec::new();
    for _ in 0..ROUNDS {
        let (before, start) = (counter.read().ok()?, MonotonicClock.now());
        let product = |x: u64, _| std::hint::black_box(x.wrapping_mul(x | 1));
        std::hint::black_box((0..PRODUCTS).fold(std::hint::black_box(3), product));
        let (took, behind) = (MonotonicClock.now().since(start), counter.read().ok()?);
        let cycles = behind.checked_sub(before).filter(|cycles| *cycles >= PRODUCTS)?;
        all.push(took.get() as f64 * 1e3 / cycles as f64);
    }
    Some(crate::quartiles::quartiles(all)[1])
}
