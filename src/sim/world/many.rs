//! Many seeds of one world, over as many threads as there are processors.
//!
//! Knows no clock: whoever asks may be told how far it is.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::law::{Breach, Law};
use super::options::Options;
use super::outcome::Outcome;
use super::run::{WrongWorld, run};
use super::tag::mix;

/// What many runs came to.
#[derive(Clone, Debug, Default)]
pub struct Fleet {
    /// Runs made.
    pub runs: u64,
    /// Datagrams that clients sent.
    pub offered: u64,
    /// Events.
    pub events: u64,
    /// Loop turns.
    pub turns: u64,
    /// Looks at the laws.
    pub checks: u64,
    /// The hashes of all runs, mixed in a way that no order changes.
    pub hash: u64,
    /// Runs that broke a law: the seed and the breach, by seed.
    pub broken: Vec<(u64, Breach)>,
}

impl Fleet {
    fn add(&mut self, outcome: &Outcome) {
        self.runs += 1;
        self.offered += outcome.offered();
        self.events += outcome.events;
        self.turns += outcome.turns;
        self.checks += outcome.checks;
        self.hash = self.hash.wrapping_add(mix(outcome.seed, outcome.hash));
        if let Some(breach) = &outcome.breach {
            self.broken.push((outcome.seed, breach.clone()));
        }
    }

    fn merge(&mut self, other: Self) {
        self.runs += other.runs;
        self.offered += other.offered;
        self.events += other.events;
        self.turns += other.turns;
        self.checks += other.checks;
        self.hash = self.hash.wrapping_add(other.hash);
        self.broken.extend(other.broken);
    }
}

/// Breaches after which no more seeds are tried.
const BROKEN_MAX: u64 = 16;

/// Runs `seeds` worlds with the seeds from `options.seed` on, over `threads` threads. `told` hears the number of each
/// finished run, from any thread.
///
/// # Errors
/// [`WrongWorld`] when the world cannot be built.
pub fn run_seeds(
    options: &Options,
    seeds: u64,
    threads: usize,
    told: &(dyn Fn(u64) + Sync),
) -> Result<Fleet, WrongWorld> {
    let next = AtomicU64::new(0);
    let broken = AtomicU64::new(0);
    let wrong = AtomicBool::new(false);
    let all: Mutex<Result<Fleet, WrongWorld>> = Mutex::new(Ok(Fleet::default()));
    let work = || {
        let mut own = Fleet::default();
        loop {
            let n = next.fetch_add(1, Ordering::Relaxed);
            let enough = broken.load(Ordering::Relaxed) >= BROKEN_MAX;
            if n >= seeds || enough || wrong.load(Ordering::Relaxed) {
                break;
            }
            match run_one(options, options.seed.wrapping_add(n)) {
                Ok(Ok(outcome)) => own.add(&outcome),
                Ok(Err(breach)) => {
                    own.runs += 1;
                    own.broken.push(breach);
                }
                Err(error) => {
                    wrong.store(true, Ordering::Relaxed);
                    *all.lock().unwrap_or_else(PoisonError::into_inner) = Err(error);
                    return;
                }
            }
            broken.fetch_max(own.broken.len() as u64, Ordering::Relaxed);
            told(n);
        }
        if let Ok(fleet) = &mut *all.lock().unwrap_or_else(PoisonError::into_inner) {
            fleet.merge(own);
        }
    };
    std::thread::scope(|scope| {
        for _ in 1..threads.max(1) {
            scope.spawn(work);
        }
        work();
    });
    let mut fleet = all.into_inner().unwrap_or_else(PoisonError::into_inner)?;
    fleet.broken.sort_by_key(|(seed, _)| *seed);
    Ok(fleet)
}

/// One run; a panic of the service is a breach as well.
fn run_one(options: &Options, seed: u64) -> Result<Result<Outcome, (u64, Breach)>, WrongWorld> {
    let options = Options { seed, ..options.clone() };
    match catch_unwind(AssertUnwindSafe(|| run(&options))) {
        Ok(outcome) => outcome.map(Ok),
        Err(panic) => {
            let text = panic.downcast_ref::<String>().map(String::as_str);
            let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
            let what = format!("panicked: {}", text.unwrap_or("without a word"));
            let breach = Breach { law: Law::Running, worker: options.workers, at_ns: 0, what };
            Ok(Err((seed, breach)))
        }
    }
}
