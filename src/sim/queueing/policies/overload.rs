//! Ours: deadline order while the work fits, value order when it does not, and every refusal checked now and then.
//!
//! Weighted online Moore-Hodgson (see `moore_hodgson.rs`) for what is *promised*, and around it what the textbook leaves out:
//! a margin for what estimates do not know, spares (refused jobs that are run after all when time comes free), chunks no
//! longer than the tightest deadlines allow, a look at what a chunk would block, and probes. docs/policies.md has the whole,
//! in the form in which the worker is to have it.
//!
//! Knows sizes as told. Bounded: every decision is one walk along the line.

use super::list::{Item, List, Running, Step, walk};
use super::traffic::Traffic;
use crate::base::{Instant, Nanos};
use crate::sim::queueing::{Calibration, Drops, Estimates, Gone, Job, Policy, Sizes, Slice};
use crate::sim::workload::{nanos, ns};

/// How long a kernel runs before it looks round.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Chunk {
    /// Always that long. The product's default is 25 us.
    Fixed(Nanos),
    /// A third of the slack of the tightest kind about, between two bounds.
    Auto {
        /// No shorter, or the looks cost too much.
        least: Nanos,
        /// No longer.
        most: Nanos,
    },
}

/// How it is set.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// How long a kernel runs before it looks round.
    pub chunk: Chunk,
    /// How many mean deviations of the work before it a promise allows for. 0: none. Default 6.
    pub confidence: f64,
    /// What else every promise leaves free: looks and switches. Default 0.
    pub margin: Nanos,
    /// What a look round costs: added to estimates that do not have it in them ([`Sizes::Exact`]). Default 0.
    pub check: Nanos,
    /// How many refused jobs are kept in case time comes free. Default 64.
    pub spares: usize,
    /// One predicted miss in so many is run all the same, to see. 0: none. Default 1,000.
    pub check_one_in: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            chunk: Chunk::Fixed(Nanos::from_micros(25)),
            confidence: 6.0,
            margin: Nanos::ZERO,
            check: Nanos::ZERO,
            spares: 64,
            check_one_in: 1_000,
        }
    }
}

/// A refused job, and why it will have been refused if no time comes free.
#[derive(Clone, Copy, Debug)]
struct Spare {
    item: Item,
    why: Gone,
}

/// See the module.
#[derive(Debug)]
pub struct Overload {
    options: Options,
    estimates: Estimates,
    promised: List,
    running: Running,
    spares: Vec<Spare>,
    traffic: Traffic,
    /// Probes wait apart: nobody else's place may depend on them.
    probes: Vec<Job>,
    /// Probes that were started, by number, and whether they were thought to make nobody else late.
    probing: Vec<(u64, bool)>,
    refused: u64,
    /// What is running without a promise: spares and probes, by number.
    unpromised: Vec<u64>,
    calibration: Calibration,
}

impl Overload {
    /// Ours, for that many servers.
    #[must_use]
    pub fn new(options: Options, estimates: Estimates, kinds: usize, servers: usize) -> Self {
        Self {
            options,
            estimates,
            promised: List::default(),
            running: Running::new(servers),
            spares: Vec::with_capacity(options.spares),
            traffic: Traffic::new(kinds),
            probes: Vec::new(),
            probing: Vec::new(),
            refused: 0,
            unpromised: Vec::new(),
            calibration: Calibration::default(),
        }
    }

    /// The chunk in force.
    fn chunk(&self) -> Nanos {
        match self.options.chunk {
            Chunk::Fixed(chunk) => chunk,
            Chunk::Auto { least, most } => {
                Nanos::new(self.traffic.tightest().get() / CHUNKS).clamp(least, most)
            }
        }
    }

    /// What is left of a job, looks round included: learned estimates have all of them in them, so those already taken go off.
    fn left(&self, job: &Job) -> Nanos {
        let left = self.estimates.left(job);
        let looks = |work: Nanos| work.get() / self.chunk().get().max(1);
        let check = self.options.check;
        match self.estimates.sizes() {
            Sizes::Exact => left + check.saturating_mul(looks(left.saturating_sub(Nanos::new(1)))),
            _ => left.saturating_sub(check.saturating_mul(looks(job.done()))).max(Nanos::new(1)),
        }
    }

    /// Walks along the line with margins: `see` is told whether each is in time.
    fn walk(&self, now: Instant, mut see: impl FnMut(&Step, bool) -> bool) {
        let confidence = self.options.confidence;
        let mut variance = 0.0;
        walk(now, &self.promised, &self.running, |step| {
            let off = ns(self.estimates.deviation(&step.item.job));
            variance += off * off;
            let unsure =
                if variance > 0.0 { nanos(confidence * variance.sqrt()) } else { Nanos::ZERO };
            let done = step.done + self.options.margin + unsure;
            see(step, done <= step.item.job.deadline)
        });
    }

    fn fits(&self, now: Instant) -> bool {
        let mut fits = true;
        self.walk(now, |_, in_time| {
            fits = in_time;
            fits
        });
        fits
    }

    /// Takes out of the line what must go so that the rest fits; `newest` has just been put in. Says whether it stayed.
    fn make_fit(&mut self, now: Instant, newest: &Job, drops: &mut Drops) -> bool {
        while let Some((victim, late)) = self.victim(now, newest) {
            let Some(at) = victim.at else {
                self.running.doom(victim.item.job.id);
                continue;
            };
            let item = self.promised.remove(at);
            let own_miss = item.job.id == newest.id && late == newest.id;
            let why = if own_miss { Gone::PredictedMiss } else { Gone::Evicted };
            self.refuse(now, Spare { item, why }, drops);
            if item.job.id == newest.id {
                return false;
            }
            self.calibration.promised = self.calibration.promised.saturating_sub(1);
        }
        true
    }

    /// If the newest makes somebody late: who is to go (the least value for its time up to there), and who is late.
    fn victim(&self, now: Instant, newest: &Job) -> Option<(Step, u64)> {
        let (mut victim, mut late, mut passed) = (None, None, false);
        self.walk(now, |step, in_time| {
            let job = &step.item.job;
            passed |= job.id == newest.id;
            if job.priority >= newest.priority {
                // Of equals the newest goes: it can be told at once.
                let worth = (self.density(&step.item), std::cmp::Reverse(job.id));
                if victim.is_none_or(|(least, _)| worth < least) {
                    victim = Some((worth, *step));
                }
            }
            // Who stands before the newest is not made late by it.
            if !in_time && passed {
                late = Some(job.id);
            }
            late.is_none()
        });
        Some((victim?.1, late?))
    }

    /// Value for time, by what such jobs take now, so that small drifts of an estimate do not make equals unequal.
    fn density(&self, item: &Item) -> u64 {
        match self.estimates.sizes() {
            Sizes::Exact => item.density(),
            _ => Item { job: item.job, left: item.left.max(self.left(&item.job)) }.density(),
        }
    }

    /// Keeps a refused job while it could still make it, or gives it up.
    fn refuse(&mut self, now: Instant, spare: Spare, drops: &mut Drops) {
        let job = spare.item.job;
        if spare.why == Gone::PredictedMiss && self.options.check_one_in > 0 {
            self.refused += 1;
            if self.refused.is_multiple_of(self.options.check_one_in) {
                self.calibration.checked += 1;
                self.probes.push(job);
                return;
            }
        }
        self.spares.retain(|s| {
            let viable = now + s.item.left <= s.item.job.deadline;
            if !viable {
                drops.push((s.item.job, s.why));
            }
            viable
        });
        if self.spares.len() < self.options.spares {
            self.spares.push(spare);
            return;
        }
        let worst = self.spares.iter().enumerate().min_by_key(|(_, s)| s.worth());
        match worst.map(|(at, s)| (at, s.worth())) {
            Some((at, worth)) if worth < spare.worth() => {
                let gone = std::mem::replace(&mut self.spares[at], spare);
                drops.push((gone.item.job, gone.why));
            }
            _ => drops.push((job, spare.why)),
        }
    }

    /// Puts the best spare back into the line, if all still fit with it.
    fn readmit(&mut self, now: Instant) {
        let viable = |s: &Spare| now + s.item.left <= s.item.job.deadline;
        let best = self.spares.iter().enumerate().filter(|(_, s)| viable(s));
        let Some((at, _)) = best.max_by_key(|(_, s)| s.worth()) else { return };
        let item = self.spares[at].item;
        let place = self.promised.insert(item);
        if self.fits(now) {
            self.spares.swap_remove(at);
            self.calibration.promised += 1;
        } else {
            self.promised.remove(place);
        }
    }

    /// What is run next: the head; or what is worth more for its time and would be late in its place in line; or, when
    /// nothing is promised, the best spare.
    fn pick(&mut self, now: Instant) -> Option<(Item, bool)> {
        let mut head: Option<u64> = None;
        let mut squeezed: Option<(u64, usize)> = None;
        self.walk(now, |step, in_time| {
            let Some(at) = step.at else { return true };
            let worth = self.density(&step.item);
            let first = *head.get_or_insert(worth);
            let better = worth > first && squeezed.is_none_or(|(best, _)| worth > best);
            if !in_time && better {
                squeezed = Some((worth, at));
            }
            at < LOOK_MAX
        });
        let first = squeezed.map(|(worth, _)| worth).or(head).unwrap_or(0);
        let best = self.spares.iter().enumerate().max_by_key(|(_, s)| s.worth());
        // Refused for want of certainty alone, a job may still be worth more than all that is certain.
        let spare = best.filter(|(_, s)| {
            let unsure = self.estimates.deviation(&s.item.job) > Nanos::ZERO;
            self.promised.len() == 0 || unsure && s.item.density() > 2 * first
        });
        if let Some((at, _)) = spare {
            return Some((self.spares.swap_remove(at).item, false));
        }
        if self.promised.len() == 0 {
            return None;
        }
        let at = squeezed.map_or(0, |(_, at)| at);
        Some((self.promised.remove(at), true))
    }

    /// A probe whose turn has come: due before all that is promised.
    fn probe(&mut self, now: Instant, drops: &mut Drops) -> Option<Job> {
        let probing = &mut self.probing;
        self.probes.retain(|job| {
            if now >= job.deadline {
                probing.retain(|(id, _)| *id != job.id);
            }
            if now >= job.deadline {
                drops.push((*job, Gone::PredictedMiss));
            }
            now < job.deadline
        });
        let head = self.promised.items().first().map_or(Instant::MAX, |i| i.job.deadline);
        let at = self.probes.iter().position(|p| p.deadline <= head)?;
        Some(self.probes.swap_remove(at))
    }

    fn hopeless(&mut self, now: Instant, item: &Item, promised: bool, drops: &mut Drops) -> bool {
        if now + item.left <= item.job.deadline {
            return false;
        }
        let why = if promised { Gone::Abandoned } else { Gone::PredictedMiss };
        self.calibration.broken += u64::from(promised);
        drops.push((item.job, why));
        true
    }

    /// What was running has been given up for what is worth more.
    fn give_up(&mut self, now: Instant, job: Job, drops: &mut Drops) {
        self.probing.retain(|(id, _)| *id != job.id);
        match self.unpromised.iter().position(|id| *id == job.id) {
            Some(at) => {
                self.unpromised.swap_remove(at);
            }
            None => self.calibration.promised = self.calibration.promised.saturating_sub(1),
        }
        let item = Item { job, left: self.left(&job) };
        self.refuse(now, Spare { item, why: Gone::Evicted }, drops);
    }

    /// Takes back what a server has not finished. What runs without a promise goes on if it is still the best.
    fn take_back(&mut self, job: Job) {
        if self.probing.iter().any(|(id, _)| *id == job.id) {
            self.probes.push(job);
            return;
        }
        let item = Item { job, left: self.left(&job) };
        if let Some(at) = self.unpromised.iter().position(|id| *id == job.id) {
            self.unpromised.swap_remove(at);
            self.spares.push(Spare { item, why: Gone::Abandoned });
        } else {
            self.promised.insert(item);
        }
    }
}

/// How many chunks the slack of the tightest kind must hold.
const CHUNKS: u64 = 3;
/// How far along the line a dispatch looks for what is squeezed.
const LOOK_MAX: usize = 256;

impl Spare {
    /// The best has the most value for its time, and of equals the latest deadline: it is the least likely to miss it.
    fn worth(&self) -> (u64, Instant) {
        (self.item.density(), self.item.job.deadline)
    }
}

impl Policy for Overload {
    fn arrive(&mut self, now: Instant, job: Job, drops: &mut Drops) {
        let left = self.left(&job);
        let slack = job.deadline.since(now).saturating_sub(left);
        self.traffic.arrived(now, job.kind, job.value, slack);
        let item = Item { job, left };
        let servers = self.running.servers();
        let blocks = self.traffic.blocks(&item, self.chunk(), servers);
        if now + left > job.deadline || blocks {
            drops.push((job, if blocks { Gone::Evicted } else { Gone::PredictedMiss }));
            return;
        }
        self.promised.insert(item);
        if self.make_fit(now, &job, drops) {
            self.calibration.promised += 1;
        }
    }

    fn next(
        &mut self,
        now: Instant,
        server: usize,
        paused: Option<Job>,
        drops: &mut Drops,
    ) -> Option<Slice> {
        let doomed = self.running.clear(server);
        match paused {
            Some(job) if doomed => self.give_up(now, job, drops),
            Some(job) => self.take_back(job),
            None => {}
        }
        let chunk = self.chunk();
        if let Some(job) = self.probe(now, drops) {
            let item = Item { job, left: self.left(&job) };
            self.running.set(server, now, item, chunk);
            // Its refusal was wrong only if the time that it takes now is needed by nobody else.
            let wanted = self.spares.iter().any(|s| now + s.item.left <= s.item.job.deadline);
            let harmless = !wanted && now + item.left <= job.deadline && self.fits(now);
            match self.probing.iter_mut().find(|(id, _)| *id == job.id) {
                Some((_, all_along)) => *all_along &= harmless,
                None => self.probing.push((job.id, harmless)),
            }
            return Some(Slice { job, at_most: chunk });
        }
        self.readmit(now);
        loop {
            let (item, promised) = self.pick(now)?;
            if self.hopeless(now, &item, promised, drops) {
                continue;
            }
            if !promised {
                self.unpromised.push(item.job.id);
            }
            self.running.set(server, now, item, chunk);
            return Some(Slice { job: item.job, at_most: chunk });
        }
    }

    fn finished(&mut self, now: Instant, _: usize, job: &Job, took: Nanos) {
        self.estimates.record(now, job, took);
        if let Some(at) = self.probing.iter().position(|(id, _)| *id == job.id) {
            let (_, harmless) = self.probing.swap_remove(at);
            self.calibration.wrongful += u64::from(harmless && now <= job.deadline);
        } else if let Some(at) = self.unpromised.iter().position(|id| *id == job.id) {
            self.unpromised.swap_remove(at);
        } else {
            self.calibration.broken += u64::from(now > job.deadline);
        }
    }

    fn waiting(&self) -> usize {
        self.promised.len() + self.spares.len() + self.probes.len()
    }

    fn calibration(&self) -> Option<Calibration> {
        Some(self.calibration)
    }
}
