//! The gates of [`Policy::Value`](super::Policy::Value): promises are made for packets, and kept, given up or passed on.
//!
//! Knows no rule of its own: `sched::value` has them. Here packets lie beside the line, which knows them by number; and what a
//! packet is believed to take and to be worth is looked up.

mod tail;

use super::{Candidate, Options};
use crate::base::limits::{BUDGET_MAX, QUEUE_TOTAL_MAX};
use crate::base::{DropReason, Instant, Nanos, PerPriority, Priority};
use crate::packet::Packet;
use crate::sched::value::{
    Beliefs, Entry, Given, Key, Options as Rules, Pressure, Promises, Terms,
};

/// Packets that wait in reserve: they count among those that a worker may hold.
const SPARES: usize = 64;
/// What waits, in reserve or not, fits where a worker's packets lie.
const LINE_MAX: usize = QUEUE_TOTAL_MAX - SPARES;
/// A class that yields stands behind all that do not, and they all are due before that.
const BEHIND: Nanos = BUDGET_MAX.saturating_mul(4);
/// A probe gives way to nobody.
const PROBE_DENSITY: u64 = u64::MAX - 1;

/// By how much later a class that yields is queued.
const fn shift_of(priority: Priority) -> Nanos {
    BEHIND.saturating_mul(priority.index() as u64)
}

/// What the gates have found of a candidate.
#[derive(Clone, Copy, Debug)]
pub(super) struct Found {
    /// How much work, its own included, may stand before its end.
    pub(super) allowed: Nanos,
    /// Its class goes behind all higher ones.
    pub(super) yields: bool,
    /// As many of its class wait as its quota allows.
    pub(super) full: bool,
    /// Then it is let in where no more work, its own included, stands before its end.
    pub(super) beyond: Nanos,
}

impl Found {
    fn terms(&self, now: Instant, entry: &Entry<u16>) -> Terms {
        let enforced = entry.deadline < Instant::MAX;
        Terms {
            by: if enforced { now + self.allowed } else { Instant::MAX },
            full: self.full,
            beyond: now + self.beyond,
        }
    }
}

/// A packet that waits.
#[derive(Clone, Copy, Debug)]
struct Waiting {
    packet: Packet,
    behind: bool,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Worth {
    promises: Promises<u16>,
    /// By their numbers: as many as a queue may hold, and one who is only looked at.
    packets: Box<[Option<Waiting>]>,
    free: Vec<u16>,
    /// Who was let in last, and has not been put in its place yet; and whether that is behind.
    expected: Option<(u16, bool)>,
    depths: PerPriority<u32>,
    /// How many of each class stand where classes that yield do.
    behind: PerPriority<u32>,
    /// How often the first of a class went to stand there, or the last of it left.
    shifts: u64,
    values: PerPriority<u32>,
    beliefs: Beliefs,
    pressure: Pressure,
    /// The last of each class that was weighed.
    newest: PerPriority<Option<Packet>>,
    /// What had arrived of each class at the last tick.
    arrived: PerPriority<u64>,
    ticked: Instant,
}

/// How often it is noted what comes.
const TICK: Nanos = Nanos::from_millis(5);

impl Worth {
    /// For that many buckets of estimates. All memory is allocated here.
    pub(super) fn new(options: &Options, buckets: usize) -> Self {
        let most = u16::try_from(QUEUE_TOTAL_MAX + 1).unwrap_or(u16::MAX);
        let rules = Rules { capacity: LINE_MAX, spares: SPARES, ..Rules::default() };
        Self {
            promises: Promises::new(rules),
            packets: vec![None; usize::from(most)].into(),
            free: (0..most).rev().collect(),
            expected: None,
            depths: PerPriority::default(),
            behind: PerPriority::default(),
            shifts: 0,
            values: options.values,
            beliefs: Beliefs::new(buckets),
            pressure: Pressure::new(Priority::COUNT),
            newest: PerPriority::default(),
            arrived: PerPriority::default(),
            ticked: Instant::ZERO,
        }
    }

    /// How many wait, each datagram counted.
    pub(super) fn len(&self) -> usize {
        self.depths.iter().map(|(_, d)| *d as usize).sum()
    }

    pub(super) fn depth(&self, priority: Priority) -> u32 {
        self.depths[priority]
    }

    /// What stands first.
    pub(super) fn peek(&self) -> Option<&Packet> {
        self.packet(self.promises.head()?.item)
    }

    /// What the first of that priority in line is queued by.
    pub(super) fn first_due(&self, priority: Priority) -> Option<Instant> {
        self.promises.first_of(priority).map(|e| e.key.by)
    }

    /// The first of that priority in line.
    pub(super) fn first_of(&self, priority: Priority) -> Option<&Packet> {
        self.packet(self.promises.first_of(priority)?.item)
    }

    /// The first in line.
    pub(super) fn first(&self) -> Option<&Packet> {
        self.packet(self.promises.iter().next()?.item)
    }

    fn packet(&self, at: u16) -> Option<&Packet> {
        self.packets.get(usize::from(at))?.as_ref().map(|w| &w.packet)
    }

    /// What such work was expected to take, and did.
    pub(super) fn record(&mut self, bucket: u16, took: Nanos, expected: Nanos) {
        self.beliefs.record(bucket, took, expected);
    }

    /// The longest service that keeps nobody waiting for too long.
    pub(super) fn patience(&self) -> Nanos {
        self.pressure.tightest()
    }

    /// Time has passed, and so many of each class have arrived by now. `queued` has the last of a class that was queued.
    pub(super) fn tick<'a>(
        &mut self,
        now: Instant,
        arrived: &PerPriority<u64>,
        queued: impl Fn(Priority) -> Option<&'a Packet>,
    ) {
        let elapsed = now.since(self.ticked);
        if elapsed < TICK {
            return;
        }
        self.ticked = now;
        for p in Priority::ALL.into_iter().filter(|p| p.enforces_deadline()) {
            let count = arrived[p] - std::mem::replace(&mut self.arrived[p], arrived[p]);
            let weighed = self.newest[p].take();
            let Some(last) = weighed.as_ref().or_else(|| queued(p)) else { continue };
            // What it could wait for from the start: what it has waited for by now says nothing of those to come.
            let slack = last.deadline.since(last.released).saturating_sub(last.service);
            let come = (u32::try_from(count).unwrap_or(u32::MAX), elapsed);
            self.pressure.arrived_within(now, p.index(), come, self.values[p], slack);
        }
    }

    /// Whether it is to be refused because it would keep others waiting that are worth more than it is.
    /// `chunk`: nobody waits longer than that for it.
    pub(super) fn blocks(&self, c: &Candidate, chunk: Nanos) -> bool {
        self.pressure.blocks(self.values[c.priority], c.service, chunk.min(c.service))
    }

    /// Takes over one that was promised a place in the queue.
    pub(super) fn restore(
        &mut self,
        queued_by: Instant,
        service: Nanos,
        packet: Packet,
        yields: bool,
    ) {
        debug_assert!(!self.free.is_empty(), "a full queue has room in the line");
        let Some(at) = self.free.pop() else { return };
        let Packet { priority, bucket, deadline, .. } = packet;
        let c = Candidate {
            priority,
            released: packet.released,
            deadline,
            queued_by,
            service: packet.service,
            bucket,
            bound: packet.flags.bound,
        };
        let entry = self.entry(&c, yields, u32::from(packet.count), at);
        let entry = match packet.flags.probe {
            true => Entry { deadline: Instant::MAX, density: PROBE_DENSITY, ..entry },
            false => Entry { service, ..entry },
        };
        self.promises.restore(entry);
        self.expected = Some((at, self.stands_behind(priority, yields)));
        self.put(packet);
    }

    /// What was begun stands in line again, with what is left of it; before all of its flow that wait.
    pub(super) fn put_back(&mut self, packet: Packet, yields: bool, number: u64) {
        debug_assert!(!self.free.is_empty(), "it had a place before it was begun");
        let Some(at) = self.free.pop() else { return };
        let Packet { priority, bucket, deadline, service, flags, .. } = packet;
        // Not behind any of its class that stand in front.
        let behind =
            priority != Priority::High && yields && self.behind[priority] == self.depths[priority];
        let by = match behind {
            true => deadline + shift_of(priority),
            false => deadline,
        };
        // It may have stood in front before.
        self.shifts += u64::from(behind);
        let probe = flags.probe;
        let enforced = priority.enforces_deadline() && !probe;
        let density = self.beliefs.density(bucket, self.values[priority], service);
        self.promises.put_back(Entry {
            key: Key { by, priority, seq: number },
            deadline: if enforced { deadline } else { Instant::MAX },
            service,
            deviation: Nanos::ZERO,
            density: if probe { PROBE_DENSITY } else { density },
            bound: true,
            item: at,
        });
        self.lay(at, behind, packet);
    }

    /// Whether it stands where classes that yield do: once one of a class does, those that come after it do.
    fn stands_behind(&self, priority: Priority, yields: bool) -> bool {
        priority != Priority::High && (yields || self.behind[priority] > 0)
    }

    fn entry(&self, c: &Candidate, yields: bool, count: u32, item: u16) -> Entry<u16> {
        let Candidate { priority, bucket, service, .. } = *c;
        let enforced = priority.enforces_deadline();
        let deadline = if enforced { c.deadline } else { Instant::MAX };
        let by = match self.stands_behind(priority, yields) {
            true => c.queued_by + shift_of(priority),
            false => c.queued_by,
        };
        Entry {
            key: Key { by, priority, seq: 0 },
            deadline,
            service: service.saturating_mul(u64::from(count)),
            deviation: self.beliefs.deviation(bucket).saturating_mul(u64::from(count)),
            density: self.beliefs.density(bucket, self.values[priority], service),
            bound: c.bound,
            item,
        }
    }

    /// Whether so many alike are let in as one, with nobody giving way.
    pub(super) fn admits_all(
        &mut self,
        now: Instant,
        c: &Candidate,
        found: &Found,
        count: u32,
    ) -> bool {
        let Some(at) = self.free.last().copied() else { return false };
        let entry = self.entry(c, found.yields, count, at);
        !found.full
            && self.len() + count as usize <= LINE_MAX
            && self.promises.surely_fits(now, &entry, found.terms(now, &entry).by)
            && self.admit(now, entry, found).is_ok()
    }

    /// Lets one in, or says why not. [`Worth::put`] or [`Worth::withdraw`] must follow where it is let in.
    pub(super) fn promise(
        &mut self,
        now: Instant,
        c: &Candidate,
        found: &Found,
    ) -> Result<(), DropReason> {
        let at = self.free.last().copied().ok_or(DropReason::QuotaTotal)?;
        self.admit(now, self.entry(c, found.yields, 1, at), found)
    }

    /// The same for one that is let in whatever is predicted.
    pub(super) fn probe(
        &mut self,
        now: Instant,
        c: &Candidate,
        found: &Found,
    ) -> Result<(), DropReason> {
        let at = self.free.last().copied().ok_or(DropReason::QuotaTotal)?;
        let entry = self.entry(c, found.yields, 1, at);
        let entry = Entry { deadline: Instant::MAX, density: PROBE_DENSITY, ..entry };
        self.admit(now, entry, &Found { full: false, ..*found })
    }

    /// Whether it is expected to end later than `by` in its own place, if there is one.
    pub(super) fn ends_after(
        &self,
        now: Instant,
        c: &Candidate,
        yields: bool,
        by: Instant,
    ) -> Option<bool> {
        let at = self.free.last().copied().filter(|_| self.len() < LINE_MAX)?;
        let entry = self.entry(c, yields, 1, at);
        Some(!self.promises.would_be_in_time(now, &entry, by))
    }

    fn admit(&mut self, now: Instant, entry: Entry<u16>, found: &Found) -> Result<(), DropReason> {
        if !self.promises.admit_within(now, entry, &found.terms(now, &entry))
            && let Some(reason) = self.promises.strike(|item| *item == entry.item)
        {
            // It was never queued: nobody could tell an eviction from a refusal.
            let queued = reason == DropReason::Evicted;
            return Err(if queued { DropReason::PredictedMiss } else { reason });
        }
        self.free.pop();
        let behind = self.stands_behind(entry.key.priority, found.yields);
        self.expected = Some((entry.item, behind));
        Ok(())
    }

    /// Who was just let in.
    pub(super) fn put(&mut self, packet: Packet) {
        debug_assert!(self.expected.is_some(), "a packet was pushed that had not been admitted");
        let Some((at, behind)) = self.expected.take() else { return };
        self.newest[packet.priority] = Some(packet);
        self.lay(at, behind, packet);
    }

    fn lay(&mut self, at: u16, behind: bool, packet: Packet) {
        self.depths[packet.priority] += u32::from(packet.count);
        self.shifts += u64::from(behind && self.behind[packet.priority] == 0);
        self.behind[packet.priority] += u32::from(behind);
        self.packets[usize::from(at)] = Some(Waiting { packet, behind });
    }

    /// There is no room for who was just let in.
    pub(super) fn withdraw(&mut self) {
        if let Some((at, _)) = self.expected.take() {
            self.promises.withdraw(|item| *item == at);
            self.free.push(at);
        }
    }

    pub(super) const fn has_gone(&self) -> bool {
        self.promises.has_gone()
    }

    /// Who was given up, and why.
    pub(super) fn next_gone(&mut self) -> Option<(Packet, DropReason)> {
        let (at, reason) = self.promises.next_gone()?;
        Some((self.leave(at)?, reason))
    }

    /// The next to be run at `start`, if it is `wanted`, and why it is dropped if it cannot make it.
    pub(super) fn next(
        &mut self,
        start: Instant,
        wanted: impl FnOnce(&Packet) -> bool,
    ) -> Option<(Packet, DropReason)> {
        let Self { promises, packets, .. } = self;
        let wanted =
            |at: &u16| packets[usize::from(*at)].as_ref().is_some_and(|w| wanted(&w.packet));
        let (Given { entry, .. }, why) = promises.next(start, wanted)?;
        Some((self.leave(entry.item)?, why))
    }

    /// The first of that priority, taken out of the line.
    pub(super) fn take_first_of(&mut self, priority: Priority) -> Option<Packet> {
        let at = self.promises.take_first_of(priority)?.item;
        self.leave(at)
    }

    /// Any that waits.
    pub(super) fn pop_any(&mut self) -> Option<Packet> {
        let at = self.promises.pop_any()?.item;
        self.leave(at)
    }

    /// The next in line, then those in reserve, with what it is queued by and what it is believed to take.
    pub(super) fn pop_queued(&mut self) -> Option<(Packet, Instant, Nanos)> {
        let Entry { key, service, item, .. } = self.promises.pop_any()?;
        let behind = self.packets.get(usize::from(item))?.as_ref()?.behind;
        let shift = if behind { shift_of(key.priority) } else { Nanos::ZERO };
        let by = Instant::from_nanos(key.by.as_nanos().saturating_sub(shift.get()));
        Some((self.leave(item)?, by, service))
    }

    fn leave(&mut self, at: u16) -> Option<Packet> {
        let Waiting { packet, behind } = self.packets.get_mut(usize::from(at))?.take()?;
        self.depths[packet.priority] -= u32::from(packet.count);
        self.behind[packet.priority] -= u32::from(behind);
        self.shifts += u64::from(behind && self.behind[packet.priority] == 0);
        self.free.push(at);
        Some(packet)
    }
}
