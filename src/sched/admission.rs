//! The gates: which packet goes into the queue, which comes out to be run, and which is dropped for what reason.
//!
//! Knows no sockets and no kernels: estimates come in, verdicts go out. The order of the gates, and why the work behind a
//! packet's deadline is never charged to it, are in SEMANTICS ("Admission"): charging all queued work, as seed 002's
//! sentence can be read, drops two of three High packets at load 1.

use super::edf::{EdfQueue, Key};
use super::estimate::ServiceEstimate;
use crate::base::limits::QUEUE_TOTAL_MAX;
use crate::base::token_bucket::TokenBucket;
use crate::base::{DropReason, Ema, Instant, Nanos, PerPriority, Priority};
use crate::packet::Packet;

/// What is dropped, and in which order the rest is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Policy {
    /// Earliest deadline first behind all gates.
    Edf,
    /// Earliest deadline first; drops only what has already expired. For comparison: it collapses under overload.
    EdfExpiry,
    /// In order of arrival; drops only what does not fit the queue. For comparison: what a plain service does.
    Fifo,
}

/// Which queued work is charged to a candidate (gate G2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Predictor {
    /// The work that will be run before it.
    Prefix,
    /// All queued work, as seed 002's text can be read. For comparison.
    SeedTotal,
    /// None: no prediction at admission, only at dispatch.
    Off,
}

/// What happens when a candidate does not fit behind work of less value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overload {
    /// The queued packets of lowest value density give way (weighted Moore-Hodgson, online).
    Value,
    /// The candidate is dropped.
    None,
}

/// How the gates are set.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Options {
    /// Order and drops.
    pub policy: Policy,
    /// Gate G2.
    pub predictor: Predictor,
    /// Added to every prediction. Range 0 to 1 s, default 0.
    pub margin: Nanos,
    /// Victim choice.
    pub overload: Overload,
    /// What an answer of each priority is worth. Default 1000, 100, 10, 1.
    pub values: PerPriority<u32>,
    /// Time between two probes of a class; `None`: no probes. Default one control interval, 100 ms.
    pub probe_interval: Option<Nanos>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            policy: Policy::Edf,
            predictor: Predictor::Prefix,
            margin: Nanos::ZERO,
            overload: Overload::Value,
            values: PerPriority::new([1_000, 100, 10, 1]),
            probe_interval: Some(Nanos::from_millis(100)),
        }
    }
}

/// A packet that asks to be admitted.
#[derive(Clone, Copy, Debug)]
pub struct Candidate {
    /// Its class.
    pub priority: Priority,
    /// When it was released: where it stands under [`Policy::Fifo`].
    pub released: Instant,
    /// Its own deadline.
    pub deadline: Instant,
    /// The deadline it is queued by: later than its own where its flow's order asks for that.
    pub queued_by: Instant,
    /// What it is expected to cost (see [`Admission::predict`]).
    pub service: Nanos,
}

/// The gates of one worker, with its queue and its estimates.
#[derive(Debug)]
pub struct Admission {
    options: Options,
    queue: EdfQueue<Packet>,
    /// What packets are expected to cost in their kernels.
    pub estimate: ServiceEstimate,
    overhead: Ema,
    quota: PerPriority<u32>,
    quota_total: u32,
    probes: PerPriority<TokenBucket>,
    probed: u64,
    victims: Vec<(u64, Key, Nanos)>,
    evicted: Vec<Packet>,
}

/// What stands at the head of the queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dispatch {
    /// This packet: run it.
    Run(Packet),
    /// This packet, which can no longer make it: drop it and ask again.
    TooLate(Packet),
    /// Nothing.
    Empty,
}

impl Admission {
    /// Gates without any quota in force yet: [`Admission::set_quota`] follows with the first plan.
    #[must_use]
    pub fn new(options: Options, estimate: ServiceEstimate) -> Self {
        let interval = options.probe_interval.unwrap_or(Nanos::MAX);
        let burst = u32::from(options.probe_interval.is_some());
        Self {
            options,
            queue: EdfQueue::new(QUEUE_TOTAL_MAX),
            estimate,
            overhead: Ema::new(Nanos::new(1)),
            quota: PerPriority::new([1; Priority::COUNT]),
            quota_total: 1,
            probes: PerPriority::from_fn(|_| TokenBucket::new(interval, burst, Instant::ZERO)),
            probed: 0,
            victims: Vec::with_capacity(QUEUE_TOTAL_MAX),
            evicted: Vec::with_capacity(QUEUE_TOTAL_MAX),
        }
    }

    /// The queue, to be looked at.
    #[must_use]
    #[inline]
    pub const fn queue(&self) -> &EdfQueue<Packet> {
        &self.queue
    }

    /// The policy in force.
    #[must_use]
    pub const fn policy(&self) -> Policy {
        self.options.policy
    }

    /// Puts a plan's quotas in force. They gate new packets only: what is queued stays queued.
    pub const fn set_quota(&mut self, quota: PerPriority<u32>, total: u32) {
        self.quota = quota;
        self.quota_total = total;
    }

    /// How many more packets of this class its quota lets in.
    #[must_use]
    #[inline]
    pub fn quota_room(&self, priority: Priority) -> u32 {
        let total = self.capacity_left();
        match self.options.policy {
            Policy::Edf => {
                self.quota[priority].saturating_sub(self.queue.depth(priority)).min(total)
            }
            Policy::EdfExpiry | Policy::Fifo => total,
        }
    }

    fn capacity_left(&self) -> u32 {
        let bound = match self.options.policy {
            Policy::Edf => self.quota_total as usize,
            Policy::EdfExpiry | Policy::Fifo => self.queue.capacity(),
        };
        u32::try_from(bound.saturating_sub(self.queue.len())).unwrap_or(u32::MAX)
    }

    /// What a packet costs a worker besides its kernel: receive, schedule, send. Measured, like the kernel's time.
    pub const fn record_overhead(&mut self, each: Nanos) {
        self.overhead.record(each);
    }

    /// The average of [`Admission::record_overhead`].
    #[must_use]
    pub const fn overhead(&self) -> Nanos {
        self.overhead.get()
    }

    /// What a packet is expected to take from dispatch until its result has left.
    #[must_use]
    #[inline]
    pub fn predict(&self, bucket: u16, priority: Priority) -> Nanos {
        self.estimate.predict(bucket, priority) + self.overhead.get()
    }

    /// How many probes have been let in.
    #[must_use]
    pub const fn probed(&self) -> u64 {
        self.probed
    }

    /// Gates G0 to G2. `Ok` tells whether the packet goes in as a probe; [`Admission::push`] must follow before the next
    /// call. Packets that gave way are then to be had from [`Admission::next_evicted`].
    ///
    /// # Errors
    /// The reason why it is dropped.
    #[inline]
    pub fn admit(&mut self, now: Instant, candidate: &Candidate) -> Result<bool, DropReason> {
        match self.options.policy {
            Policy::Edf => {}
            Policy::EdfExpiry
                if candidate.priority.enforces_deadline() && now >= candidate.deadline =>
            {
                return Err(DropReason::ExpiredOnArrival);
            }
            Policy::EdfExpiry | Policy::Fifo => {
                return if self.capacity_left() > 0 {
                    Ok(false)
                } else {
                    Err(DropReason::QuotaTotal)
                };
            }
        }
        if candidate.priority.enforces_deadline() && now >= candidate.deadline {
            return Err(DropReason::ExpiredOnArrival);
        }
        match self.gates(now, candidate) {
            Ok(()) => Ok(false),
            Err(reason) if self.probe(now, candidate.priority) => {
                debug_assert!(reason != DropReason::ExpiredOnArrival);
                Ok(true)
            }
            Err(reason) => Err(reason),
        }
    }

    #[inline]
    fn gates(&mut self, now: Instant, candidate: &Candidate) -> Result<(), DropReason> {
        if self.queue.depth(candidate.priority) >= self.quota[candidate.priority] {
            return Err(DropReason::QuotaPriority);
        }
        if self.queue.len() >= self.quota_total as usize {
            return Err(DropReason::QuotaTotal);
        }
        // If everything that is queued ends before this one's deadline, and this one with it, no gate below can object:
        // what goes before it is a part of that, and whoever goes behind it is due later.
        let all_done = now + self.queue.backlog() + candidate.service + self.options.margin;
        if all_done <= candidate.deadline {
            return Ok(());
        }
        self.narrow_gates(now, candidate)
    }

    /// The gates that have to look into the queue.
    fn narrow_gates(&mut self, now: Instant, candidate: &Candidate) -> Result<(), DropReason> {
        if !candidate.priority.enforces_deadline() {
            return self.harmless(now, candidate);
        }
        let before = match self.options.predictor {
            Predictor::Off => return Ok(()),
            Predictor::SeedTotal => self.queue.backlog(),
            Predictor::Prefix => self.queue.work_before(&self.key(candidate)),
        };
        let finish = now + before + candidate.service + self.options.margin;
        if finish <= candidate.deadline {
            return self.harmless(now, candidate);
        }
        if self.options.overload == Overload::Value
            && self.options.predictor == Predictor::Prefix
            && self.evict(finish.since(candidate.deadline), candidate)
        {
            return self.harmless(now, candidate);
        }
        Err(DropReason::PredictedMiss)
    }

    fn key(&self, candidate: &Candidate) -> Key {
        self.queue.next_key(candidate.priority, candidate.queued_by)
    }

    /// Law 2: a candidate must not make queued packets of a higher priority late. Those of its own and of lower
    /// priorities are left to the gate at dispatch.
    fn harmless(&mut self, now: Instant, candidate: &Candidate) -> Result<(), DropReason> {
        let above = &Priority::ALL[..candidate.priority.index()];
        if self.options.overload == Overload::None
            || above.iter().all(|p| self.queue.depth(*p) == 0)
        {
            return Ok(());
        }
        // Whoever stands behind the candidate has a later deadline: if all work fits before the candidate's, nobody is harmed.
        let all_done = now + self.queue.backlog() + candidate.service;
        if all_done <= candidate.queued_by {
            return Ok(());
        }
        let key = self.key(candidate);
        let mut finish = now + self.queue.work_before(&key);
        for entry in self.queue.in_order_after(&key) {
            finish = finish + entry.service;
            let higher = entry.key.priority < candidate.priority;
            let deadline = entry.item.deadline;
            if higher && finish <= deadline && finish + candidate.service > deadline {
                return Err(DropReason::PredictedMiss);
            }
        }
        Ok(())
    }

    /// Frees at least `need` of work in front of the candidate by dropping what has less value for its time, the least
    /// first, never of a higher priority. Drops nothing when that cannot be done.
    fn evict(&mut self, need: Nanos, candidate: &Candidate) -> bool {
        let below = &Priority::ALL[candidate.priority.index() + 1..];
        if below.iter().all(|p| self.queue.depth(*p) == 0) {
            return false;
        }
        let key = self.key(candidate);
        let own = density(self.options.values[candidate.priority], candidate.service);
        let mut freed = Nanos::ZERO;
        self.victims.clear();
        for entry in self.queue.in_order().take_while(|e| e.key < key) {
            let worth = density(self.options.values[entry.key.priority], entry.service);
            if entry.key.priority >= candidate.priority && worth < own && !entry.item.flags.probe {
                self.victims.push((worth, entry.key, entry.service));
                freed += entry.service;
            }
        }
        if freed < need {
            return false;
        }
        self.victims.sort_unstable_by_key(|(worth, key, _)| (*worth, *key));
        let mut freed = Nanos::ZERO;
        for (_, key, service) in &self.victims {
            if freed >= need {
                break;
            }
            if let Some(entry) = self.queue.remove(key) {
                self.evicted.push(entry.item);
                freed += *service;
            }
        }
        true
    }

    fn probe(&mut self, now: Instant, priority: Priority) -> bool {
        let granted =
            self.queue.len() < self.queue.capacity() && self.probes[priority].try_take(now);
        self.probed += u64::from(granted);
        granted
    }

    /// Queues a packet that was just admitted.
    ///
    /// # Panics
    /// When it was not: the queue has no room.
    #[inline]
    pub fn push(&mut self, packet: Packet, candidate: &Candidate) {
        let by = match self.options.policy {
            Policy::Edf | Policy::EdfExpiry => candidate.queued_by,
            Policy::Fifo => candidate.released,
        };
        let pushed = self.queue.push(packet.priority, by, candidate.service, packet);
        assert!(pushed.is_ok(), "a packet was pushed that had not been admitted");
    }

    /// Whether packets gave way to another.
    #[must_use]
    #[inline]
    pub const fn has_evicted(&self) -> bool {
        !self.evicted.is_empty()
    }

    /// A packet that gave way to another: drop it.
    #[inline]
    pub fn next_evicted(&mut self) -> Option<Packet> {
        self.evicted.pop()
    }

    /// Gate G3: takes the head of the queue, and tells whether it can still make it when it is started at `start`.
    #[inline]
    pub fn dispatch(&mut self, start: Instant) -> Dispatch {
        self.dispatch_if(start, |_| true)
    }

    /// The same, but only if the head is `wanted`; else nothing is taken.
    #[inline]
    pub fn dispatch_if(
        &mut self,
        start: Instant,
        wanted: impl FnOnce(&Packet) -> bool,
    ) -> Dispatch {
        match self.queue.pop_if(wanted) {
            Some(entry) if self.too_late(start, &entry.item) => Dispatch::TooLate(entry.item),
            Some(entry) => Dispatch::Run(entry.item),
            None => Dispatch::Empty,
        }
    }

    /// The same for the first packet of High, wherever it stands.
    pub fn dispatch_high(&mut self, start: Instant) -> Dispatch {
        let key = self.queue.in_order().map(|e| e.key).find(|k| k.priority == Priority::High);
        match key.and_then(|k| self.queue.remove(&k)) {
            Some(entry) if self.too_late(start, &entry.item) => Dispatch::TooLate(entry.item),
            Some(entry) => Dispatch::Run(entry.item),
            None => self.dispatch(start),
        }
    }

    #[inline]
    fn too_late(&self, now: Instant, packet: &Packet) -> bool {
        if !packet.priority.enforces_deadline() {
            return false;
        }
        match self.options.policy {
            Policy::Fifo => false,
            Policy::EdfExpiry => now >= packet.deadline,
            Policy::Edf if packet.flags.probe => now >= packet.deadline,
            Policy::Edf => now + self.predict(packet.bucket, packet.priority) > packet.deadline,
        }
    }

    /// The next packet that would be dispatched.
    #[must_use]
    pub fn peek(&self) -> Option<Packet> {
        self.queue.peek().map(|e| e.item)
    }

    /// Takes the head of the queue, whatever its deadline: the service stops.
    pub fn pop_any(&mut self) -> Option<Packet> {
        self.queue.pop().map(|e| e.item)
    }
}

/// Value for time, in units that keep eight digits for any service time up to a second.
fn density(value: u32, service: Nanos) -> u64 {
    (u64::from(value) << 30) / service.get().max(1)
}
