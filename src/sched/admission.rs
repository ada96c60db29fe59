//! The gates: which packet goes into the queue, which comes out to be run, and which is dropped for what reason.
//!
//! Knows no sockets and no kernels: estimates come in, verdicts go out. The order of the gates, and why the work behind a
//! packet's deadline is never charged to it, are in SEMANTICS ("Admission"): charging all queued work, as seed 002's
//! sentence can be read, drops two of three High packets at load 1.

mod audit;
mod batching;
mod by_value;
mod chunks;
mod dispatch;
mod options;
mod relief;
mod worth;

pub use audit::Admitted;
pub use chunks::{CHUNK_MIN, Chunk};
pub use dispatch::Dispatch;
pub use options::{Options, Overload, Policy, Predictor};
pub use relief::{Load, Offer};

use super::batch::Batches;
use super::demand::Demand;
use super::edf::{EdfQueue, Key};
use super::estimate::{RISE_MAX, ServiceEstimate};
use super::margin::{Ends, Margin};
use super::overhead::Overhead;
use super::possible::{Most, Possible};
use crate::base::limits::QUEUE_TOTAL_MAX;
use crate::base::token_bucket::TokenBucket;
use crate::base::{DropReason, Instant, Nanos, PerPriority, Priority};
use crate::packet::Packet;
use options::cushions;
use worth::Worth;

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
    /// The bucket of that estimate.
    pub bucket: u16,
    /// Its flow's order counts.
    pub bound: bool,
}

/// The gates of one worker, with its queue and its estimates.
#[derive(Debug)]
pub struct Admission {
    options: Options,
    queue: EdfQueue<Packet>,
    /// Under [`Policy::Value`]: what stands in the queue's stead while not everything fits.
    worth: Option<Box<Worth>>,
    /// It does so now: all that waits is there, and nothing is in the queue.
    by_value: bool,
    /// What is pushed is queued by its deadline: not by arrival, and not by value.
    in_order: bool,
    /// The ways that nearly every packet goes, each decided by one word: it is taken out of the queue and judged by its own average;
    /// it is queued by its deadline and counted nowhere else; what takes no longer than this may surely fit.
    plain: bool,
    queued_plainly: bool,
    sure_up_to: Nanos,
    /// Predictions decide at dispatch.
    predicts: bool,
    /// What surely fits is let in without another look, if it takes no longer than this.
    at_once: Nanos,
    /// What packets are expected to cost in their kernels.
    pub estimate: ServiceEstimate,
    /// What they add to the batches that they will ride in, where that is known.
    pub(crate) batches: Batches,
    /// What each packet of the batch that is being taken in was expected to cost in its kernel.
    expected: Option<Nanos>,
    overhead: Overhead,
    /// The average of the overhead, ready to be added.
    each: Nanos,
    quota: PerPriority<u32>,
    quota_total: u32,
    probes: PerPriority<TokenBucket>,
    demand: Demand,
    /// How much earlier than its deadline a packet of each class must be expected to finish.
    cushion: PerPriority<Nanos>,
    /// What is learned of broken promises.
    margin: Margin,
    /// The cushion or the margin, whichever is longer.
    headroom: PerPriority<Nanos>,
    /// Packets may be taken out before the head.
    overtaking_allowed: bool,
    probed: u64,
    audits: audit::Audits,
    /// What was offered, admitted or not.
    pub possible: Possible,
    victims: Vec<(u64, Key, Nanos)>,
    evicted: Vec<Packet>,
    /// Where a packet lies that was taken out from behind the head.
    overtaking: Option<Packet>,
    /// A bit for each kernel that can pause.
    pausing: u64,
    /// The plan's.
    slice: Nanos,
    /// For how long kernels that can pause run now.
    chunk: Option<Nanos>,
    /// What a device takes off the end of the queue.
    relief: relief::Relief,
    /// Above so much work that waits a device could be of use.
    relief_from: Nanos,
    /// How often what waits was given other places.
    moves: u64,
}

impl Admission {
    /// Gates without any quota in force yet: [`Admission::set_quota`] follows with the first plan.
    #[must_use]
    pub fn new(options: Options, estimate: ServiceEstimate, budgets: &PerPriority<Nanos>) -> Self {
        let options = options.in_force();
        let interval = options.probe_interval.unwrap_or(Nanos::MAX);
        let burst = u32::from(options.probe_interval.is_some());
        let cushion = cushions(&options, budgets);
        let possible = Possible::new(estimate.buckets());
        Self {
            options,
            queue: EdfQueue::new(QUEUE_TOTAL_MAX),
            worth: by_value::line(&options, estimate.buckets()),
            by_value: false,
            in_order: options.policy != Policy::Fifo,
            plain: true,
            queued_plainly: options.policy != Policy::Fifo,
            sure_up_to: Self::at_once(options.policy),
            predicts: matches!(options.policy, Policy::Edf | Policy::Value),
            at_once: Self::at_once(options.policy),
            estimate,
            batches: Batches::default(),
            expected: None,
            overhead: Overhead::default(),
            each: Nanos::new(1),
            quota: PerPriority::new([1; Priority::COUNT]),
            quota_total: 1,
            probes: PerPriority::from_fn(|_| TokenBucket::new(interval, burst, Instant::ZERO)),
            demand: Demand::default(),
            cushion,
            margin: Margin::new(options.margin, budgets),
            headroom: PerPriority::from_fn(|p| cushion[p].max(options.margin)),
            overtaking_allowed: matches!(options.policy, Policy::Edf | Policy::Value)
                && options.overload == Overload::Value,
            probed: 0,
            audits: audit::Audits::new(options.audit_one_in),
            possible,
            victims: Vec::with_capacity(QUEUE_TOTAL_MAX),
            evicted: Vec::with_capacity(QUEUE_TOTAL_MAX),
            overtaking: None,
            pausing: 0,
            slice: Nanos::MAX,
            chunk: None,
            relief: relief::Relief::default(),
            relief_from: Nanos::MAX,
            moves: 0,
        }
    }

    /// The queue, to be looked at. Empty while [`Policy::Value`] goes by value.
    #[must_use]
    #[inline]
    pub const fn queue(&self) -> &EdfQueue<Packet> {
        &self.queue
    }

    /// How many wait, each datagram counted.
    #[must_use]
    #[inline]
    pub fn len(&self) -> usize {
        match &self.worth {
            Some(worth) if self.by_value => worth.len(),
            _ => self.queue.len(),
        }
    }

    /// Whether nobody waits.
    #[must_use]
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many of that class wait, each datagram counted.
    #[must_use]
    pub fn depth(&self, priority: Priority) -> u32 {
        match &self.worth {
            Some(worth) if self.by_value => worth.depth(priority),
            _ => self.queue.depth(priority),
        }
    }

    /// The class of what stands first.
    #[must_use]
    #[inline]
    pub fn first_priority(&self) -> Option<Priority> {
        match &self.worth {
            Some(worth) if self.by_value => worth.peek().map(|p| p.priority),
            _ => self.queue.first_priority(),
        }
    }

    /// What the first of that class is queued by.
    #[must_use]
    pub fn first_due(&self, priority: Priority) -> Option<Instant> {
        match &self.worth {
            Some(worth) if self.by_value => worth.first_due(priority),
            _ => self.queue.first_of(priority).map(|v| v.key.deadline),
        }
    }

    /// What packets like these did cost in their kernel, each, from dispatch to result.
    #[inline]
    pub fn record(
        &mut self,
        now: Instant,
        bucket: u16,
        priority: Priority,
        each: Nanos,
        count: u32,
    ) {
        if self.worth.is_some() {
            self.learn(bucket, priority, each);
        }
        if self.expected.is_some()
            && let Some(in_full_batch) = self.batches.in_full_batch(bucket)
        {
            self.estimate.record_two(now, (bucket, priority), (each, in_full_batch), count);
            return;
        }
        self.estimate.record_many(now, bucket, priority, each, count);
    }

    /// What an answer of each priority is worth.
    #[must_use]
    pub const fn values(&self) -> &PerPriority<u32> {
        &self.options.values
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
            Policy::Value | Policy::EdfExpiry | Policy::Fifo => total,
        }
    }

    fn capacity_left(&self) -> u32 {
        let bound = match self.options.policy {
            Policy::Edf => self.quota_total as usize,
            Policy::Value => QUEUE_TOTAL_MAX,
            Policy::EdfExpiry | Policy::Fifo => self.queue.capacity(),
        };
        u32::try_from(bound.saturating_sub(self.len())).unwrap_or(u32::MAX)
    }

    /// What a turn spent besides its kernels, on so many packets: receive, schedule, send. Measured, like the kernel's time. No
    /// turn counts for more than 20 us a packet.
    pub const fn record_overhead(&mut self, spent: Nanos, handled: u64) {
        self.overhead.record(spent, handled);
        self.each = self.overhead.each();
    }

    /// The average of [`Admission::record_overhead`].
    #[must_use]
    pub const fn overhead(&self) -> Nanos {
        self.each
    }

    /// What a packet is expected to take from dispatch until its result has left.
    #[must_use]
    #[inline]
    pub fn predict(&self, bucket: u16, priority: Priority) -> Nanos {
        self.estimate.predict(bucket, priority) + self.each
    }

    /// How many probes have been let in.
    #[must_use]
    pub const fn probed(&self) -> u64 {
        self.probed
    }

    /// Gates G0 to G2. `Ok` tells what the packet goes in as; [`Admission::push`] must follow before the next
    /// call. Packets that gave way are then to be had from [`Admission::next_evicted`].
    ///
    /// # Errors
    /// The reason why it is dropped.
    #[inline]
    pub fn admit(&mut self, now: Instant, candidate: &Candidate) -> Result<Admitted, DropReason> {
        if self.surely_fits(now, candidate) {
            self.demand.add(candidate.priority, candidate.service, 1);
            return Ok(Admitted::Expected);
        }
        // A copy, so that a candidate that surely fits never has to lie in memory.
        let candidate = *candidate;
        self.admit_closely(now, &candidate)
    }

    /// Whether no gate can object, as far as can be told without looking into the queue: there is room, and if all that is
    /// queued, and this one, end in time whatever the order, what goes before this one is a part of that, and whoever goes
    /// behind it is due later. Nearly every packet of a service that is not overloaded gets no further than this.
    ///
    /// Reckons a little too strictly where [`Admission::allowed`] would take longer: what fits ends after now, too.
    #[inline]
    fn surely_fits(&self, now: Instant, candidate: &Candidate) -> bool {
        let Candidate { priority, deadline, service, .. } = *candidate;
        let slack = deadline.since(now).saturating_sub(self.headroom[priority]);
        self.queue.depth(priority) < self.quota[priority]
            && self.queue.len() < self.quota_total as usize
            && self.queue.backlog() + service <= self.demand.surely_left_of(slack, priority)
            && service <= self.sure_up_to
    }

    /// [`Admission::admit`] for whom it is not as simple as that.
    #[inline(never)]
    fn admit_closely(
        &mut self,
        now: Instant,
        candidate: &Candidate,
    ) -> Result<Admitted, DropReason> {
        if self.surely_fits_in_batches(now, candidate) {
            self.demand.add(candidate.priority, candidate.service, 1);
            return Ok(Admitted::Expected);
        }
        let expired = candidate.priority.enforces_deadline() && now >= candidate.deadline;
        match self.options.policy {
            Policy::Edf | Policy::Value | Policy::EdfExpiry if expired => {
                return Err(DropReason::ExpiredOnArrival);
            }
            Policy::Value => return self.promise(now, candidate),
            Policy::Edf => {}
            Policy::EdfExpiry | Policy::Fifo if self.capacity_left() > 0 => {
                return Ok(Admitted::Expected);
            }
            Policy::EdfExpiry | Policy::Fifo => return Err(DropReason::QuotaTotal),
        }
        self.demand.add(candidate.priority, candidate.service, 1);
        self.by_deadline(now, candidate)
    }

    /// The gates of [`Policy::Edf`].
    fn by_deadline(&mut self, now: Instant, candidate: &Candidate) -> Result<Admitted, DropReason> {
        match self.gates(now, candidate) {
            Ok(()) => Ok(Admitted::Expected),
            Err(reason) if self.wants_relief() => Err(reason),
            Err(reason) if self.probe(now, candidate.priority) => {
                debug_assert!(reason != DropReason::ExpiredOnArrival);
                Ok(Admitted::Probe)
            }
            Err(DropReason::PredictedMiss) if self.audit(now, candidate) => Ok(Admitted::Audit),
            Err(reason) => Err(reason),
        }
    }

    /// Whether `count` candidates that are alike may all go in, with room and time to spare. If not, they are to be asked for
    /// singly: only then is anybody looked at who would have to give way.
    #[inline]
    pub fn admits_all(&mut self, now: Instant, candidate: &Candidate, count: u32) -> bool {
        if self.by_value && !self.is_calm() {
            return self.admits_all_by_value(now, candidate, count);
        }
        let fits = candidate.service <= self.at_once
            && (now < candidate.deadline || !candidate.priority.enforces_deadline())
            && self.queue.depth(candidate.priority) + count <= self.quota[candidate.priority]
            && self.queue.len() + count as usize <= self.quota_total as usize
            && self.queue.backlog() + candidate.service.saturating_mul(u64::from(count))
                <= self.allowed(now, candidate);
        if fits {
            self.demand.add(candidate.priority, candidate.service, count);
        }
        fits
    }

    /// `count` candidates like one that was just refused are refused too: nothing has changed for them.
    pub fn note_refused(&mut self, candidate: &Candidate, count: u32) {
        self.demand.add(candidate.priority, candidate.service, count);
    }

    fn gates(&mut self, now: Instant, candidate: &Candidate) -> Result<(), DropReason> {
        if self.queue.depth(candidate.priority) >= self.quota[candidate.priority] {
            return Err(DropReason::QuotaPriority);
        }
        if self.queue.len() >= self.quota_total as usize {
            return Err(DropReason::QuotaTotal);
        }
        if self.backlog_fits(now, candidate) {
            return Ok(());
        }
        self.narrow_gates(now, candidate)
    }

    /// As in `surely_fits`.
    fn backlog_fits(&self, now: Instant, candidate: &Candidate) -> bool {
        self.queue.backlog() + candidate.service <= self.allowed(now, candidate)
    }

    /// Whether there is room and time to spare.
    fn fits(&self, now: Instant, candidate: &Candidate) -> bool {
        self.queue.depth(candidate.priority) < self.quota[candidate.priority]
            && self.queue.len() < self.quota_total as usize
            && self.backlog_fits(now, candidate)
    }

    /// The gates that have to look into the queue.
    fn narrow_gates(&mut self, now: Instant, candidate: &Candidate) -> Result<(), DropReason> {
        if !candidate.priority.enforces_deadline() {
            return self.harmless(now, candidate);
        }
        let before = match self.options.predictor {
            Predictor::Off => return Ok(()),
            Predictor::SeedTotal => self.queue.backlog(),
            Predictor::Prefix => self.work_before(&self.key(candidate)),
        };
        let work = before + candidate.service;
        let allowed = self.allowed(now, candidate);
        if work <= allowed {
            return self.harmless(now, candidate);
        }
        // Whoever would be harmed by the candidate now would be so after an eviction too.
        let may_evict = self.options.overload == Overload::Value
            && self.options.predictor == Predictor::Prefix
            && self.harmless(now, candidate).is_ok();
        // A device is asked first.
        if may_evict && !self.wants_relief() && self.evict(work.saturating_sub(allowed), candidate)
        {
            return Ok(());
        }
        Err(DropReason::PredictedMiss)
    }

    /// How much work, its own included, may stand before the end of this candidate.
    ///
    /// Up to its deadline, less the margin. And what is worth less must leave room for what is worth more: while a candidate
    /// waits, packets of higher priorities keep coming and go before it, so its time is cut to the share that they leave; and
    /// it must be done a cushion before its deadline, so that it is out of the way before it would compete, as the earlier
    /// deadline, with fresh packets of the class above.
    #[inline]
    fn allowed(&self, now: Instant, candidate: &Candidate) -> Nanos {
        let slack = candidate.deadline.since(now).saturating_sub(self.company(candidate));
        let budget = candidate.deadline.since(candidate.released);
        let whole = slack.saturating_sub(self.margin.within(candidate.priority, budget));
        if self.options.overload == Overload::None || candidate.priority == Priority::High {
            return whole;
        }
        // A budget of the packet's own may be far shorter than its class's: no cushion takes more than a quarter of it.
        let quarter = Nanos::new(budget.get() / 4);
        let early = slack.saturating_sub(self.cushion[candidate.priority].min(quarter));
        whole.min(self.demand.left_of(early, candidate.priority))
    }

    fn key(&self, candidate: &Candidate) -> Key {
        self.queue.next_key(candidate.priority, candidate.queued_by)
    }

    /// The work that goes before `key`: among classes that fit together in order of deadlines; all work of higher classes
    /// where the candidate's own yields.
    fn work_before(&self, key: &Key) -> Nanos {
        if self.demand.yields(key.priority) {
            self.queue.work_above(key)
        } else {
            self.queue.work_before_among(key, self.demand.fitting())
        }
    }

    /// Law 2: a candidate must not make queued packets of a higher priority late. Those of its own and of lower
    /// priorities are left to the gate at dispatch. A class that yields goes behind them in any case.
    fn harmless(&mut self, now: Instant, candidate: &Candidate) -> Result<(), DropReason> {
        if self.options.overload == Overload::None
            || self.demand.yields(candidate.priority)
            || !self.queue.any_above(candidate.priority)
        {
            return Ok(());
        }
        // Whoever stands behind the candidate has a later deadline: if all work fits before the candidate's, nobody is harmed.
        let all_done = now + self.queue.backlog() + candidate.service;
        if all_done <= candidate.queued_by {
            return Ok(());
        }
        let key = self.key(candidate);
        let mut finish = now + self.work_before(&key);
        let fitting = self.demand.fitting();
        let ahead = self.queue.in_order_after(&key);
        for entry in ahead.filter(|e| e.key.priority.index() < fitting) {
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
        // Those that yield do not stand in front.
        let fitting = self.demand.fitting().max(candidate.priority.index() + 1);
        let below = &Priority::ALL[candidate.priority.index() + 1..fitting];
        if below.iter().all(|p| self.queue.depth(*p) == 0) {
            return false;
        }
        let key = self.key(candidate);
        // What rows of a batch are charged differs by their places: what they are worth for their time does not.
        let Self { queue, estimate, batches, victims, .. } = self;
        let time = |bucket: u16, priority, charged| match batches.any() && batches.has(bucket) {
            true => estimate.predict(bucket, priority),
            false => charged,
        };
        let Candidate { bucket, priority, service, .. } = *candidate;
        let own = density(self.options.values[priority], time(bucket, priority, service));
        let mut freed = Nanos::ZERO;
        victims.clear();
        for entry in queue.in_order().take_while(|e| e.key < key) {
            let takes = time(entry.item.bucket, entry.key.priority, entry.service);
            let worth = density(self.options.values[entry.key.priority], takes);
            // Within a class estimates drift a little from packet to packet: only a clear difference is one of size.
            let limit = if entry.key.priority == candidate.priority { own / 2 } else { own };
            let may = entry.key.priority >= candidate.priority
                && entry.key.priority.index() < fitting
                && !entry.item.flags.probe;
            if may && worth < limit {
                victims.push((worth, entry.key, entry.service));
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
        if self.queued_plainly {
            self.queue_by(candidate.queued_by, packet, candidate.service);
        } else {
            let candidate = *candidate;
            self.push_otherwise(packet, &candidate);
        }
    }

    #[inline]
    fn queue_by(&mut self, by: Instant, packet: Packet, each: Nanos) {
        let service = each.saturating_mul(packet.datagrams());
        let count = u32::from(packet.count);
        let pushed = self.queue.push_many(packet.priority, by, service, count, packet);
        assert!(pushed.is_ok(), "a packet was pushed that had not been admitted");
    }

    /// In order of arrival, by value, or where batches are known.
    #[inline(never)]
    fn push_otherwise(&mut self, packet: Packet, candidate: &Candidate) {
        self.batches.pushed(packet.bucket, packet.priority, u32::from(packet.count));
        if self.in_order {
            return self.queue_by(candidate.queued_by, packet, candidate.service);
        }
        match self.worth.as_mut().filter(|_| self.by_value) {
            Some(worth) => {
                self.queue.skip_seq();
                worth.put(packet);
            }
            None => self.queue_by(candidate.released, packet, candidate.service),
        }
    }

    /// Whether packets gave way to another.
    #[must_use]
    #[inline]
    pub fn has_evicted(&self) -> bool {
        !self.evicted.is_empty()
            || self.by_value && self.worth.as_ref().is_some_and(|w| w.has_gone())
    }

    /// A packet that gave way to another, and why it is dropped.
    #[inline]
    pub fn next_evicted(&mut self) -> Option<(Packet, DropReason)> {
        match &mut self.worth {
            Some(worth) if self.by_value => worth.next_gone(),
            _ => self.evicted.pop().map(|p| (p, DropReason::Evicted)),
        }
    }

    /// A packet that was just admitted is not pushed after all: there was no room for its bytes.
    pub fn withdraw(&mut self) {
        if let Some(worth) = &mut self.worth {
            worth.withdraw();
        }
    }

    /// At the end of a window of offers: the most that it could have held.
    pub fn most_possible(&mut self, now: Instant) -> Option<Most> {
        let Self { possible, estimate, each, options, .. } = self;
        let values = &options.values;
        possible.tick(now, values, |bucket, p| estimate.predict(bucket, p) + *each)
    }

    /// How much sooner than its deadline what is promised to that class must be expected to end.
    #[must_use]
    pub fn margin(&self, priority: Priority) -> Nanos {
        self.margin.of(priority)
    }

    /// How promises of each class have ended by now: what is promised from now on leaves so much free as to break few enough.
    /// A policy that promises nothing learns nothing.
    pub fn learn_from(&mut self, ends: &PerPriority<Ends>) {
        if !self.predicts || self.options.predictor == Predictor::Off {
            return;
        }
        self.margin.learn(ends);
        let (cushion, margin) = (&self.cushion, &self.margin);
        self.headroom = PerPriority::from_fn(|p| cushion[p].max(margin.of(p)));
    }

    /// Time has passed, and so many of each class have arrived by now: notes how much of it the work offered by each class would take.
    /// A starving class is hardly read, so its offer is not seen: it is taken to want everything.
    pub fn tick(&mut self, now: Instant, starving: &PerPriority<bool>, arrived: &PerPriority<u64>) {
        self.demand.tick(now, starving);
        self.tick_by_value(now, arrived);
        self.choose_chunk();
        if self.options.overload == Overload::None {
            self.demand.let_all_fit();
        }
    }

    /// The next packet that would be dispatched.
    #[must_use]
    pub fn peek(&self) -> Option<Packet> {
        match &self.worth {
            Some(worth) if self.by_value => worth.peek().copied(),
            _ => self.queue.peek_item().copied(),
        }
    }

    /// Takes the head of the queue, whatever its deadline: the service stops.
    pub fn pop_any(&mut self) -> Option<Packet> {
        match &mut self.worth {
            Some(worth) if self.by_value => worth.pop_any(),
            _ => self.queue.pop().map(|e| e.item),
        }
    }
}

#[cfg(test)]
mod tests;

/// Value for time, in units that keep eight digits for any service time up to a second.
fn density(value: u32, service: Nanos) -> u64 {
    (u64::from(value) << 30) / service.get().max(1)
}
