//! The core's own cycles as a clock: what a batch takes does not depend on how fast the machine's clock runs just then, nor on
//! who else had the core in between.
//!
//! A virtual machine's clock moved by a third between one stretch and the next, and the hypervisor took the core away for
//! milliseconds: two batches timed by the wall are compared in two machines. Cycles in user mode are counted by the processor
//! (`perf_event_open`) and stand still meanwhile.

#![expect(unsafe_code, reason = "the counter is asked for by hand")]

use std::fs::File;
use std::io::Read as _;
use std::os::fd::FromRawFd as _;

use punctual::base::{Clock, Instant};
use punctual::sys::clock::MonotonicClock;

/// Of `perf_event_attr`, as its eighth version has it.
const ATTR_WORDS: usize = 16;
/// `PERF_TYPE_HARDWARE` below, the structure's size above.
const HARDWARE: u64 = (ATTR_WORDS as u64 * 8) << 32;
/// `PERF_COUNT_HW_CPU_CYCLES`.
const CYCLES: u64 = 0;
/// `exclude_kernel` and `exclude_hv`: what needs no right.
const USER_ONLY: u64 = 1 << 5 | 1 << 6;
/// Rounds by which a cycle's length is found, and dependent products of each: some 20 us.
const ROUNDS: usize = 401;
const PRODUCTS: u64 = 10_000;

/// What batches are timed by.
#[derive(Debug)]
pub(crate) enum Judge {
    /// The counter, and picoseconds of a cycle: as long as it usually was when the run began, so that figures are times.
    Cycles(File, f64),
    /// There is no counter, or the machine's clock was asked for.
    Wall,
}

impl Judge {
    /// By cycles, where the machine counts them.
    pub(crate) fn by_cycles() -> Self {
        let attr: [u64; ATTR_WORDS] = {
            let mut attr = [0; ATTR_WORDS];
            (attr[0], attr[1], attr[5]) = (HARDWARE, CYCLES, USER_ONLY);
            attr
        };
        // SAFETY: the structure is as long as it says and outlives the call; this thread, any core, no group, no flags.
        let fd = unsafe { libc::syscall(libc::SYS_perf_event_open, attr.as_ptr(), 0, -1, -1, 0) };
        let Ok(fd @ 0..) = i32::try_from(fd) else { return Self::Wall };
        // SAFETY: the call has just made it, and nobody else has it.
        let counter = unsafe { File::from_raw_fd(fd) };
        match cycle_ps(&counter) {
            Some(ps) => Self::Cycles(counter, ps),
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
                let cycles = read(counter).expect("it was read before");
                Instant::from_nanos((cycles as f64 * ps / 1e3) as u64)
            }
            Self::Wall => MonotonicClock.now(),
        }
    }
}

fn read(mut counter: &File) -> Option<u64> {
    let mut value = [0; 8];
    counter.read_exact(&mut value).ok()?;
    Some(u64::from_ne_bytes(value))
}

/// Picoseconds of a cycle, the median of some; none where nothing is counted.
fn cycle_ps(counter: &File) -> Option<f64> {
    let mut all = Vec::new();
    for _ in 0..ROUNDS {
        let (before, start) = (read(counter)?, MonotonicClock.now());
        let product = |x: u64, _| std::hint::black_box(x.wrapping_mul(x | 1));
        std::hint::black_box((0..PRODUCTS).fold(std::hint::black_box(3), product));
        let (took, behind) = (MonotonicClock.now().since(start), read(counter)?);
        let cycles = behind.checked_sub(before).filter(|cycles| *cycles >= PRODUCTS)?;
        all.push(took.get() as f64 * 1e3 / cycles as f64);
    }
    Some(crate::quartiles::quartiles(all)[1])
}
