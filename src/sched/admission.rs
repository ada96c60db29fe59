//! The gates: which packet goes into the queue, which comes out to be run, and which is dropped for what reason.
//!
//! Knows no sockets and no kernels: estimates come in, verdicts go out. Here is what the gates hold, and the way that nearly every
//! packet goes; the order of the gates is in SEMANTICS ("Admission"), and each job has a file of its own.

mod audit;
mod batching;
mod by_value;
mod chunks;
mod dispatch;
mod eviction;
mod gates;
mod learning;
mod lone;
mod looks;
mod options;
mod queueing;
mod relief;
mod room;
mod worth;

pub use audit::Admitted;
pub use chunks::{CHUNK_MAX, CHUNK_MIN, Chunk};
pub use dispatch::Dispatch;
pub use options::{Options, Overload, Policy, Predictor};
pub use relief::{Load, Offer};

use super::batch::Batches;
use super::demand::Demand;
use super::edf::{EdfQueue, Key};
use super::estimate::ServiceEstimate;
use super::margin::Margin;
use super::overhead::Overhead;
use super::possible::Possible;
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
    /// See [`Admission::set_fill`].
    fill: PerPriority<u16>,
    probes: PerPriority<TokenBucket>,
    demand: Demand,
    /// How much earlier than its deadline a packet of each class must be expected to finish.
    cushion: PerPriority<Nanos>,
    /// What is learned of broken promises.
    margin: Margin,
    /// The cushion or the margin, whichever is longer.
    headroom: PerPriority<Nanos>,
    /// Whether weighing is worth its time.
    looks: looks::Looks,
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
    /// For how long kernels that can pause run now.
    chunk: Option<Nanos>,
    /// What a device takes off the end of the queue.
    relief: relief::Relief,
    /// Above so much work that waits a device could be of use.
    relief_from: Nanos,
    /// See [`Admission::would_block`].
    would_block: bool,
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
        let buckets = estimate.buckets();
        let possible = Possible::new(buckets);
        Self {
            options,
            queue: EdfQueue::new(QUEUE_TOTAL_MAX),
            worth: by_value::line(&options, buckets),
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
            fill: PerPriority::default(),
            probes: PerPriority::from_fn(|_| TokenBucket::new(interval, burst, Instant::ZERO)),
            demand: Demand::default(),
            cushion,
            margin: Margin::new(options.margin, budgets),
            headroom: PerPriority::from_fn(|p| cushion[p].max(options.margin)),
            looks: looks::Looks::new(buckets),
            overtaking_allowed: matches!(options.policy, Policy::Edf | Policy::Value)
                && options.overload == Overload::Value,
            probed: 0,
            audits: audit::Audits::new(options.audit_one_in),
            possible,
            victims: Vec::with_capacity(QUEUE_TOTAL_MAX),
            evicted: Vec::with_capacity(QUEUE_TOTAL_MAX),
            overtaking: None,
            pausing: 0,
            chunk: None,
            relief: relief::Relief::default(),
            relief_from: Nanos::MAX,
            would_block: false,
            moves: 0,
        }
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
        self.surely_within(priority, 1)
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

    /// Whether `count` candidates that are alike may all go in, with room and time to spare. If not, they are to be asked for
    /// singly: only then is anybody looked at who would have to give way.
    #[inline]
    pub fn admits_all(&mut self, now: Instant, candidate: &Candidate, count: u32) -> bool {
        if self.by_value && !self.is_calm() {
            return self.admits_all_by_value(now, candidate, count);
        }
        let fits = candidate.service <= self.at_once
            && (now < candidate.deadline || !candidate.priority.enforces_deadline())
            && self.surely_within(candidate.priority, count)
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
}

#[cfg(test)]
mod tests;
