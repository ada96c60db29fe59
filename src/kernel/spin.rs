//! Busy work of a known time, for benchmarks and tests of the scheduler: the payload comes back unchanged.
//!
//! The time is spent in a counted loop that was calibrated when the kernel was made, so that the work is work: it is
//! stretched by a slow core and by stolen time, as a real kernel's is, where a loop that watches the clock would hide them.

use rand_distr::Distribution as _;
use rand_xoshiro::Xoshiro256PlusPlus;
use rand_xoshiro::rand_core::SeedableRng as _;

use super::{Batch, Kernel, PLACES, Place};
use crate::base::{Clock, Nanos};

/// How long a packet takes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum ServiceTime {
    /// Always the same.
    Constant(Nanos),
    /// Uniform between two times.
    Uniform(Nanos, Nanos),
    /// Exponential with that mean.
    Exponential(Nanos),
    /// `long` with probability `share`, else `short`.
    Bimodal {
        /// The usual time.
        short: Nanos,
        /// The rare one.
        long: Nanos,
        /// How rare: 0 to 1.
        share: f64,
    },
    /// The payload says: its first four bytes are nanoseconds, network byte order, at most `max`.
    Payload {
        /// The longest that a payload may ask for.
        max: Nanos,
    },
}

/// Busy work.
#[derive(Debug)]
pub struct Spin {
    time: ServiceTime,
    rounds_per_us: f64,
    rng: Xoshiro256PlusPlus,
    /// Rounds that are left, by place.
    left: [u64; PLACES],
}

impl Spin {
    /// Busy work of `time` a packet; `seed` decides the draws. Calibrates for about a millisecond on `clock`.
    #[must_use]
    pub fn new(time: ServiceTime, seed: u64, clock: &impl Clock) -> Self {
        let rng = Xoshiro256PlusPlus::seed_from_u64(seed);
        Self { time, rounds_per_us: calibrate(clock), rng, left: [0; PLACES] }
    }

    fn draw(&mut self, payload: &[u8]) -> Option<f64> {
        let us = |n: Nanos| n.as_secs_f64() * 1e6;
        Some(match self.time {
            ServiceTime::Constant(t) => us(t),
            ServiceTime::Uniform(a, b) => us(a) + (us(b) - us(a)) * unit(&mut self.rng),
            ServiceTime::Exponential(mean) => {
                let e: f64 = rand_distr::Exp1.sample(&mut self.rng);
                us(mean) * e
            }
            ServiceTime::Bimodal { short, long, share } => {
                us(if unit(&mut self.rng) < share { long } else { short })
            }
            ServiceTime::Payload { max } => {
                let ns = Nanos::new(u64::from(u32::from_be_bytes(*payload.first_chunk()?)));
                us(ns.min(max))
            }
        })
    }
}

fn unit(rng: &mut Xoshiro256PlusPlus) -> f64 {
    rand_distr::StandardUniform.sample(rng)
}

impl Kernel for Spin {
    fn run(&mut self, batch: &mut Batch<'_>) {
        for i in 0..batch.len() {
            let payload = batch.payload(i);
            let len = payload.len();
            let head: [u8; 4] = payload.first_chunk().copied().unwrap_or_default();
            match self.draw(&head[..len.min(4)]) {
                Some(us) => {
                    burn(rounds(us * self.rounds_per_us));
                    batch.finish(i, len);
                }
                None => batch.fail(i),
            }
        }
    }

    fn pauses(&self) -> bool {
        true
    }

    fn run_until(
        &mut self,
        batch: &mut Batch<'_>,
        places: &[Place],
        pause: &mut dyn FnMut() -> bool,
    ) -> usize {
        let [Place { at, begun }] = *places else {
            self.run(batch);
            return batch.len();
        };
        let payload = batch.payload(0);
        let len = payload.len();
        if !begun {
            let head: [u8; 4] = payload.first_chunk().copied().unwrap_or_default();
            let Some(us) = self.draw(&head[..len.min(4)]) else {
                batch.fail(0);
                return 1;
            };
            self.left[at] = rounds(us * self.rounds_per_us);
        }
        let burst = rounds(self.rounds_per_us * BURST_US).max(1);
        loop {
            let now = self.left[at].min(burst);
            burn(now);
            self.left[at] -= now;
            if self.left[at] == 0 {
                batch.finish(0, len);
                return 1;
            }
            if pause() {
                return 0;
            }
        }
    }

    /// One at a time: busy work gains nothing from company, and company would only wait.
    fn batch_max(&self) -> usize {
        1
    }
}

/// Between two looks whether to pause: a look at the clock takes 20 to 40 ns.
const BURST_US: f64 = 2.0;

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a non-negative count; `as` saturates"
)]
fn rounds(n: f64) -> u64 {
    n.max(0.0) as u64
}

/// A chain of dependent multiplications that the compiler can neither shorten nor drop.
fn burn(rounds: u64) {
    let mut x = std::hint::black_box(rounds | 1);
    for _ in 0..rounds {
        x = std::hint::black_box(x.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 1);
    }
    std::hint::black_box(x);
}

/// Rounds of [`burn`] a microsecond: the fastest of several tries, because what disturbs a try only makes it slower.
#[expect(clippy::cast_precision_loss, reason = "a rate of a few hundred")]
fn calibrate(clock: &impl Clock) -> f64 {
    const ROUNDS: u64 = 20_000;
    const TRIES: usize = 15;
    let best = (0..TRIES)
        .map(|_| {
            let start = clock.now();
            burn(ROUNDS);
            clock.now().since(start)
        })
        .min()
        .unwrap_or(Nanos::new(1));
    ROUNDS as f64 / (best.get().max(1) as f64 / 1e3)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::{Row, RowStatus};
    use proptest::prelude::*;

    fn of_payload() -> Spin {
        Spin {
            time: ServiceTime::Payload { max: Nanos::from_millis(1) },
            rounds_per_us: 10.0,
            rng: Xoshiro256PlusPlus::seed_from_u64(1),
            left: [0; PLACES],
        }
    }

    /// One part of a run: whether it is over, and how often it looked.
    fn part(spin: &mut Spin, us: u32, at: usize, begun: bool, looks: u32) -> (bool, u32) {
        let mut bytes = vec![7; 64];
        bytes[..4].copy_from_slice(&(us * 1_000).to_be_bytes());
        let before = bytes.clone();
        let mut rows = [Row { start: 0, len: 64, capacity: 64, status: RowStatus::Failed }];
        let mut looked = 0;
        let places = [Place { at, begun }];
        let done = 1
            == spin.run_until(&mut Batch::new(&mut bytes, &mut rows), &places, &mut || {
                looked += 1;
                looked >= looks
            });
        assert_eq!(bytes, before);
        assert_eq!(rows[0].len, 64);
        assert_eq!(rows[0].status == RowStatus::Done, done);
        (done, looked)
    }

    proptest! {
        /// However runs are cut and mixed, each looks as often in all as if it had run alone, and ends once.
        #[test]
        fn parts_make_up_the_whole(
            times in proptest::collection::vec(1_u32..200, PLACES),
            cuts in proptest::collection::vec((0..PLACES, 1_u32..20), 1..400),
        ) {
            let mut spin = of_payload();
            let mut state = [(false, false, 0); PLACES];
            let ends = (0..PLACES).map(|place| (place, u32::MAX));
            for (place, looks) in cuts.into_iter().chain(ends) {
                let (begun, done, looked) = &mut state[place];
                if !*done {
                    let (over, more) = part(&mut spin, times[place], place, *begun, looks);
                    *begun = true;
                    *looked += more;
                    *done = over;
                }
            }
            for (place, (_, done, looked)) in state.into_iter().enumerate() {
                let (_, alone) = part(&mut of_payload(), times[place], 0, false, u32::MAX);
                prop_assert!(done);
                prop_assert_eq!(looked, alone);
                prop_assert_eq!(looked, (times[place] - 1) / 2);
            }
        }
    }
}
