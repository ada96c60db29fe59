//! Spillover: a queue that is long enough lets work go to another (seed 000), and places in queues that are given back once.
//!
//! Knows no queue's contents: it counts places, and who holds one holds a [`Place`].

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use crate::base::Instant;

/// When work spills, and where it never goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// With fewer than so many waiting the primary queue takes all; default 10.
    pub threshold: u32,
    /// No queue takes more than this; default 50.
    pub max_depth: u32,
}

impl Default for Options {
    fn default() -> Self {
        Self { threshold: 10, max_depth: 50 }
    }
}

impl Options {
    /// Once work spills, all of it goes to the primary queue again when fewer wait there than 80 % of the threshold, rounded up:
    /// a depth is a whole number.
    const fn returns_below(&self) -> u32 {
        self.threshold - self.threshold / 5
    }
}

/// How many places of a queue are taken.
#[derive(Debug, Default)]
pub struct Depth(AtomicU32);

impl Depth {
    /// A queue in which nobody waits.
    #[must_use]
    pub const fn new() -> Self {
        Self(AtomicU32::new(0))
    }

    /// Places taken.
    #[must_use]
    pub fn get(&self) -> u32 {
        self.0.load(Ordering::Acquire)
    }

    /// Takes a place if fewer than `capacity` are taken.
    #[must_use]
    pub fn take(self: &Arc<Self>, capacity: u32) -> Option<Place> {
        let more = |n: u32| (n < capacity).then_some(n + 1);
        let taken = self.0.fetch_update(Ordering::AcqRel, Ordering::Acquire, more).is_ok();
        taken.then(|| Place(Arc::clone(self)))
    }
}

/// A place in a queue, given back when it is dropped: once, because nothing else gives one back.
#[derive(Debug)]
#[must_use = "the place is given back when this is dropped"]
pub struct Place(Arc<Depth>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::AcqRel);
    }
}

/// A queue that work may go to.
#[derive(Clone, Copy, Debug)]
pub struct Lane<'q> {
    /// How long it is.
    pub depth: &'q Arc<Depth>,
    /// When this work would be done there.
    pub done: Instant,
    /// Whether the config and its breaker let this work go there.
    pub allowed: bool,
}

/// Why a queue was chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route {
    /// The work's own queue has room, or none of the others is better.
    Primary,
    /// Its own queue is long, and this one is done first.
    Spill,
}

/// Why there is no place for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reject {
    /// Every queue that it may go to is full.
    QueueFull,
    /// There is no queue at all.
    NoBackends,
    /// The queues with room would be late.
    Deadline,
    /// There is room, but only where this work may not go.
    Policy,
}

/// Where work of one kind goes; remembers whether it spills.
#[derive(Debug, Default)]
pub struct Spillover {
    options: Options,
    spilling: AtomicBool,
}

impl Spillover {
    /// Nothing spills at first.
    #[must_use]
    pub const fn new(options: Options) -> Self {
        Self { options, spilling: AtomicBool::new(false) }
    }

    /// Whether work goes elsewhere now.
    #[must_use]
    pub fn is_spilling(&self) -> bool {
        self.spilling.load(Ordering::Relaxed)
    }

    /// Takes a place for work that is due at `deadline`; the first of `lanes` is its own queue. Says which lane it is.
    ///
    /// # Errors
    /// Why there is none; nothing is taken then.
    pub fn route(
        &self,
        lanes: &[Lane<'_>],
        deadline: Instant,
    ) -> Result<(usize, Route, Place), Reject> {
        let Some(primary) = lanes.first() else { return Err(Reject::NoBackends) };
        let own = primary.allowed.then(|| primary.depth.get());
        if let Some(depth) = own
            && self.stays(depth)
            && let Some(place) = primary.depth.take(self.options.max_depth)
        {
            return Ok((0, Route::Primary, place));
        }
        if let Some((lane, place)) = self.spill(lanes, deadline) {
            return Ok((lane, Route::Spill, place));
        }
        // Nobody is better: its own queue, as long as it is not full.
        if let Some(place) = own.and_then(|_| primary.depth.take(self.options.max_depth)) {
            return Ok((0, Route::Primary, place));
        }
        Err(self.why(lanes))
    }

    /// Whether a queue of that depth keeps its work, with a band in which it does what it did last.
    fn stays(&self, depth: u32) -> bool {
        let below =
            if self.is_spilling() { self.options.returns_below() } else { self.options.threshold };
        let stays = depth < below;
        self.spilling.store(!stays, Ordering::Relaxed);
        stays
    }

    /// The queue that is done first of those that are in time and have room. Another thread may take its last place first: then
    /// the next one is asked.
    fn spill(&self, lanes: &[Lane<'_>], deadline: Instant) -> Option<(usize, Place)> {
        let mut after = None;
        loop {
            let fits = |(i, lane): &(usize, &Lane<'_>)| {
                lane.allowed && lane.done <= deadline && after.is_none_or(|a| (lane.done, *i) > a)
            };
            let others = lanes.iter().enumerate().skip(1).filter(fits);
            let (i, lane) = others.min_by_key(|(i, lane)| (lane.done, *i))?;
            if let Some(place) = lane.depth.take(self.options.max_depth) {
                return Some((i, place));
            }
            after = Some((lane.done, i));
        }
    }

    /// Nothing was found: the reason that would go away first.
    fn why(&self, lanes: &[Lane<'_>]) -> Reject {
        let room = |lane: &&Lane<'_>| lane.depth.get() < self.options.max_depth;
        let mut with_room = lanes.iter().filter(room).peekable();
        if with_room.peek().is_none() {
            Reject::QueueFull
        } else if with_room.any(|lane| lane.allowed) {
            Reject::Deadline
        } else if lanes.iter().any(|lane| lane.allowed) {
            Reject::QueueFull
        } else {
            Reject::Policy
        }
    }
}

#[cfg(test)]
mod tests;
