//! The event loop: arrivals, ends of slices, and nothing else.
//!
//! Knows no policy. Time jumps from event to event; ends come before arrivals of the same instant.

use super::{Drops, Job, Outcome, Policy, Slice};
use crate::base::{Instant, Nanos};
use crate::sim::workload::{Kind, Offer};

/// What servers pay besides the work.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Costs {
    /// At the end of a slice whose job is not finished: the look whether to go on.
    pub check: Nanos,
    /// When another job follows an unfinished one.
    pub switch: Nanos,
}

/// How a run is made.
#[derive(Clone, Copy, Debug)]
pub struct Engine {
    /// How many servers. At least 1.
    pub servers: usize,
    /// What they pay.
    pub costs: Costs,
    /// Jobs released before are run and not counted.
    pub warm_up: Instant,
    /// Whether every job's sojourn is kept in histograms (percentiles), or only counts and means.
    pub histograms: bool,
    /// What [`Outcome::steps`] has one entry for; zero: none.
    pub step: Nanos,
}

impl Default for Engine {
    fn default() -> Self {
        Self {
            servers: 1,
            costs: Costs::default(),
            warm_up: Instant::ZERO,
            histograms: false,
            step: Nanos::ZERO,
        }
    }
}

#[derive(Clone, Copy, Debug)]
struct Server {
    job: Option<Job>,
    /// When the present slice began its work.
    began: Instant,
    /// What the present job has taken on servers, checks and switches included.
    took: Nanos,
}

const IDLE: Server = Server { job: None, began: Instant::ZERO, took: Nanos::ZERO };

impl Engine {
    /// Runs the offered jobs through the policy until all have ended. The run is over when `offers` is.
    pub fn run<P: Policy + ?Sized>(
        &self,
        kinds: &[Kind],
        offers: impl Iterator<Item = Offer>,
        policy: &mut P,
    ) -> Outcome {
        let mut run = Run {
            engine: self,
            kinds,
            servers: vec![IDLE; self.servers.max(1)],
            ends: vec![Instant::MAX; self.servers.max(1)],
            took: std::collections::BTreeMap::new(),
            busy: 0,
            drops: Drops::new(),
            outcome: Outcome::new(kinds.len(), self),
        };
        let mut id = 0;
        for offer in offers {
            run.advance(offer.at, policy);
            let Some(job) = job(id, &offer, kinds) else { continue };
            id += 1;
            run.arrive(offer.at, job, policy);
        }
        run.advance(Instant::from_nanos(u64::MAX - 1), policy);
        run.outcome.left_over = policy.waiting() as u64;
        run.outcome.calibration = policy.calibration();
        run.outcome
    }
}

fn job(id: u64, offer: &Offer, kinds: &[Kind]) -> Option<Job> {
    let kind = kinds.get(offer.kind)?;
    Some(Job {
        id,
        kind: offer.kind,
        priority: kind.priority,
        value: kind.value,
        released: offer.at,
        deadline: offer.at + kind.budget,
        service: offer.service,
        left: offer.service,
    })
}

struct Run<'a> {
    engine: &'a Engine,
    kinds: &'a [Kind],
    servers: Vec<Server>,
    /// When each server's slice ends; [`Instant::MAX`] when idle. Apart, because every event looks for the least.
    ends: Vec<Instant>,
    /// What paused jobs have taken so far, by number.
    took: std::collections::BTreeMap<u64, Nanos>,
    busy: usize,
    drops: Drops,
    outcome: Outcome,
}

impl Run<'_> {
    /// All slices that end up to `until`, in their order.
    fn advance<P: Policy + ?Sized>(&mut self, until: Instant, policy: &mut P) {
        while self.busy > 0 {
            let ends = self.ends.iter().fold(Instant::MAX, |least, e| least.min(*e));
            if ends > until {
                return;
            }
            let Some(server) = self.ends.iter().position(|e| *e == ends) else { return };
            self.slice_over(ends, server, policy);
            self.fill(ends, policy);
        }
    }

    fn arrive<P: Policy + ?Sized>(&mut self, now: Instant, job: Job, policy: &mut P) {
        self.outcome.offered(&job);
        policy.arrive(now, job, &mut self.drops);
        self.account();
        self.fill(now, policy);
        if self.busy == self.servers.len()
            && let Some(server) = policy.interrupts(now)
        {
            self.interrupt(now, server, policy);
        }
    }

    /// Stops a server in the middle of its slice.
    fn interrupt<P: Policy + ?Sized>(&mut self, now: Instant, server: usize, policy: &mut P) {
        let Some(s) = self.servers.get_mut(server) else { return };
        let Some(job) = &mut s.job else { return };
        // Where it is still paying for a switch, no work has been done; its end is never passed without being handled.
        let worked = now.since(s.began).min(job.left.saturating_sub(Nanos::new(1)));
        job.left = job.left.saturating_sub(worked);
        s.took += worked;
        let job = *job;
        self.pause(now, server, job, policy);
    }

    fn slice_over<P: Policy + ?Sized>(&mut self, now: Instant, server: usize, policy: &mut P) {
        let Some(s) = self.servers.get_mut(server) else { return };
        let Some(mut job) = s.job else { return };
        let worked = now.since(s.began);
        s.took += worked;
        job.left = job.left.saturating_sub(worked);
        if job.left > Nanos::ZERO {
            s.took += self.engine.costs.check;
            return self.pause(now + self.engine.costs.check, server, job, policy);
        }
        let took = s.took;
        *s = IDLE;
        self.ends[server] = Instant::MAX;
        self.busy -= 1;
        self.outcome.finished(now, &job);
        policy.finished(now, server, &job, took);
        let next = policy.next(now, server, None, &mut self.drops);
        self.account();
        if let Some(slice) = next {
            self.start(now, server, slice);
        }
    }

    fn pause<P: Policy + ?Sized>(&mut self, now: Instant, server: usize, job: Job, policy: &mut P) {
        let Some(s) = self.servers.get_mut(server) else { return };
        let took = s.took;
        *s = IDLE;
        self.ends[server] = Instant::MAX;
        self.busy -= 1;
        let next = policy.next(now, server, Some(job), &mut self.drops);
        match next {
            Some(slice) if slice.job.id == job.id => {
                self.start(now, server, slice);
                self.servers[server].took = took;
            }
            Some(slice) => {
                self.took.insert(job.id, took);
                self.start(now + self.engine.costs.switch, server, slice);
            }
            None => {
                self.took.insert(job.id, took);
            }
        }
        self.account();
    }

    fn start(&mut self, begins: Instant, server: usize, slice: Slice) {
        let Slice { job, at_most } = slice;
        if job.left == job.service {
            self.outcome.started(begins, &job);
        }
        let took = if self.took.is_empty() { None } else { self.took.remove(&job.id) };
        self.servers[server] =
            Server { job: Some(job), began: begins, took: took.unwrap_or_default() };
        self.ends[server] = begins + job.left.min(at_most.max(Nanos::new(1)));
        self.busy += 1;
    }

    /// Offers work to every idle server.
    fn fill<P: Policy + ?Sized>(&mut self, now: Instant, policy: &mut P) {
        if self.busy == self.servers.len() {
            return;
        }
        for server in 0..self.servers.len() {
            if policy.waiting() == 0 {
                return;
            }
            if self.servers[server].job.is_some() {
                continue;
            }
            let next = policy.next(now, server, None, &mut self.drops);
            self.account();
            if let Some(slice) = next {
                self.start(now, server, slice);
            }
        }
    }

    fn account(&mut self) {
        while let Some((job, why)) = self.drops.pop() {
            if job.left < job.service {
                self.took.remove(&job.id);
            }
            self.outcome.dropped(&job, why);
        }
        debug_assert!(self.kinds.len() == self.outcome.kinds.len());
    }
}
