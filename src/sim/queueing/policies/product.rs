//! The product's overload policy itself (`sched::value`), in the engine: what the worker decides by, beside its rivals.
//!
//! Knows sizes as told; no rule is here. `overload.rs` is the study that it was made from: any number of servers, exact
//! sums, its own probes.

use crate::base::{DropReason, Instant, Nanos};
use crate::sched::value::{Beliefs, Entry, Given, Key, Options, Pressure, Promises};
use crate::sim::queueing::{Calibration, Drops, Estimates, Gone, Job, Policy, Sizes, Slice};

/// See the module.
#[derive(Debug)]
pub struct Product {
    estimates: Estimates,
    beliefs: Beliefs,
    promises: Promises<usize>,
    pressure: Pressure,
    chunk: Nanos,
    check: Nanos,
    /// Jobs by their place; what is promised knows only that.
    jobs: Vec<Option<Job>>,
    free: Vec<usize>,
    running: Option<Given<usize>>,
    calibration: Calibration,
}

impl Product {
    /// One worker's, with chunks that long and looks round that cost `check`.
    #[must_use]
    pub fn new(
        options: Options,
        estimates: Estimates,
        kinds: usize,
        chunk: Nanos,
        check: Nanos,
    ) -> Self {
        Self {
            estimates,
            beliefs: Beliefs::new(kinds),
            promises: Promises::new(options),
            pressure: Pressure::new(kinds),
            chunk,
            check,
            jobs: Vec::new(),
            free: Vec::new(),
            running: None,
            calibration: Calibration::default(),
        }
    }

    /// The bucket of beliefs; none where sizes are told.
    fn bucket(&self, job: &Job) -> u16 {
        match self.estimates.sizes() {
            Sizes::Exact => u16::MAX,
            _ => u16::try_from(job.kind).unwrap_or(u16::MAX),
        }
    }

    /// What is left, looks round included: learned estimates have all of them in them, so those already taken go off.
    fn left(&self, job: &Job) -> Nanos {
        let looks = |work: Nanos| self.check.saturating_mul(work.get() / self.chunk.get().max(1));
        let left = self.estimates.left(job);
        match self.estimates.sizes() {
            Sizes::Exact => left + looks(left.saturating_sub(Nanos::new(1))),
            _ => left.saturating_sub(looks(job.done())).max(Nanos::new(1)),
        }
    }

    fn put(&mut self, job: Job) -> usize {
        let at = self.free.pop().unwrap_or_else(|| {
            self.jobs.push(None);
            self.jobs.len() - 1
        });
        self.jobs[at] = Some(job);
        at
    }

    fn take(&mut self, at: usize) -> Option<Job> {
        self.free.push(at);
        self.jobs.get_mut(at)?.take()
    }

    fn drain(&mut self, drops: &mut Drops) {
        while let Some((at, why)) = self.promises.next_gone() {
            let Some(job) = self.take(at) else { continue };
            let why = match why {
                DropReason::Evicted => Gone::Evicted,
                DropReason::QuotaTotal => Gone::Full,
                DropReason::LateAtDispatch => Gone::Abandoned,
                _ => Gone::PredictedMiss,
            };
            self.calibration.broken += u64::from(why == Gone::Abandoned);
            drops.push((job, why));
        }
    }
}

impl Policy for Product {
    fn arrive(&mut self, now: Instant, job: Job, drops: &mut Drops) {
        let left = self.left(&job);
        let slack = job.deadline.since(now).saturating_sub(left);
        self.pressure.arrived(now, job.kind, job.value, slack);
        if self.pressure.blocks(job.value, left, self.chunk) {
            drops.push((job, Gone::Evicted));
            return;
        }
        let bucket = self.bucket(&job);
        let entry = Entry {
            key: Key { by: job.deadline, priority: job.priority, seq: 0 },
            deadline: job.deadline,
            service: left,
            deviation: self.beliefs.deviation(bucket),
            density: self.beliefs.density(bucket, job.value, left),
            bound: false,
            item: self.put(job),
        };
        self.calibration.promised += u64::from(self.promises.admit(now, entry));
        self.drain(drops);
    }

    fn next(
        &mut self,
        now: Instant,
        _: usize,
        paused: Option<Job>,
        drops: &mut Drops,
    ) -> Option<Slice> {
        if let (Some(job), Some(given)) = (paused, self.running.take()) {
            let left = self.left(&job);
            if let Some(place) = self.jobs.get_mut(given.entry.item) {
                *place = Some(job);
            }
            self.promises.paused(now, left);
        }
        let given = self.promises.take(now);
        self.drain(drops);
        let given = given?;
        self.promises.run(now, given, self.chunk);
        self.running = Some(given);
        let job = self.jobs.get(given.entry.item).copied().flatten()?;
        Some(Slice { job, at_most: self.chunk })
    }

    fn finished(&mut self, now: Instant, _: usize, job: &Job, took: Nanos) {
        self.promises.finished();
        if let Some(given) = self.running.take() {
            self.take(given.entry.item);
            self.calibration.broken += u64::from(given.promised && now > job.deadline);
        }
        let bucket = self.bucket(job);
        self.beliefs.record(bucket, took, self.estimates.whole(job));
        self.estimates.record(now, job, took);
    }

    fn waiting(&self) -> usize {
        self.promises.promised() + self.promises.spares()
    }

    fn calibration(&self) -> Option<Calibration> {
        Some(self.calibration)
    }
}
