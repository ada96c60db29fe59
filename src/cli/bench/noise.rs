//! How much time the machine takes away from a thread that never rests: what no scheduler of ours can answer for.

use anyhow::Context as _;
use serde::{Deserialize, Serialize};

use crate::base::{Clock as _, Nanos};
use crate::sys::affinity;
use crate::sys::clock::MonotonicClock;

/// For how long each core is watched.
const WATCH: Nanos = Nanos::from_millis(400);
/// For how long both are.
pub(super) const PROBE: std::time::Duration = std::time::Duration::from_millis(800);
/// A quarter of High's budget: a longer gap can make a packet late by itself.
const GAP: Nanos = Nanos::from_micros(250);

/// What one core lost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(in crate::cli) struct CoreNoise {
    pub(in crate::cli) core: usize,
    /// Gaps longer than a quarter of High's budget.
    pub(in crate::cli) gaps: u64,
    #[serde(rename = "longest_ns")]
    pub(in crate::cli) longest: Nanos,
    #[serde(rename = "lost_ns")]
    pub(in crate::cli) lost: Nanos,
    #[serde(rename = "watched_ns")]
    pub(in crate::cli) watched: Nanos,
}

impl CoreNoise {
    /// The share of time that was lost in gaps.
    pub(in crate::cli) fn share(&self) -> f64 {
        self.lost.as_secs_f64() / self.watched.as_secs_f64().max(1e-9)
    }
}

/// What each core lost.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(in crate::cli) struct Noise(pub(in crate::cli) Vec<CoreNoise>);

impl Noise {
    /// Watches the cores one after the other.
    pub(super) fn probe(cores: [usize; 2]) -> anyhow::Result<Self> {
        let watch = |core: usize| -> anyhow::Result<CoreNoise> {
            let thread = std::thread::Builder::new().name("punctual-noise".to_owned());
            let watcher =
                thread.spawn(move || affinity::pin_current(core).map(|()| watch(core)))?;
            let Ok(seen) = watcher.join() else { anyhow::bail!("the noise probe panicked") };
            seen.with_context(|| format!("the noise probe of core {core}"))
        };
        Ok(Self(cores.into_iter().map(watch).collect::<Result<_, _>>()?))
    }

    /// Adds what was seen at another time.
    pub(super) fn add(&mut self, other: Self) {
        for (a, b) in self.0.iter_mut().zip(other.0) {
            a.gaps += b.gaps;
            a.longest = a.longest.max(b.longest);
            a.lost += b.lost;
            a.watched += b.watched;
        }
    }
}

fn watch(core: usize) -> CoreNoise {
    let clock = MonotonicClock;
    let start = clock.now();
    let mut noise = CoreNoise { core, ..CoreNoise::default() };
    let mut last = start;
    while last.since(start) < WATCH {
        let now = clock.now();
        let gap = now.since(last);
        if gap > GAP {
            noise.gaps += 1;
            noise.lost += gap;
            noise.longest = noise.longest.max(gap);
        }
        last = now;
    }
    noise.watched = last.since(start);
    noise
}
