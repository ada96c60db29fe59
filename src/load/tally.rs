//! The figures of a run while it runs.
//!
//! Knows no clock: every time is an argument.

mod batch;

use super::answer::{Rule, Sign};
use super::generator::Progress;
use super::ledger::{Found, Ledger, Siblings, Ticket};
use super::plan::Plan;
use super::report::{ClassReport, Lateness, Report, Seconds, Sends, StretchReport, Timeline};
use crate::base::{DropReason, Instant, Nanos, SocketId};
use crate::io::Received;

use batch::{Place, Run, Sums};

/// All counters and histograms of a run.
#[derive(Debug)]
pub(super) struct Tally {
    rule: Rule,
    /// The class of each socket.
    lanes: Box<[u16]>,
    classes: Vec<ClassReport>,
    stretches: Vec<StretchReport>,
    timeline: Timeline,
    seconds: Option<Seconds>,
    start: Instant,
    /// The interval of the last packet sent, and its end.
    interval: (u16, Nanos),
    generator: Lateness,
    sends: Sends,
    /// Where the answers belong that are counted and not yet written there.
    place: Place,
    sums: Sums,
    /// The last ones of them, which are in no histogram yet, nor the first in `sums`.
    corrected: Run,
    raw: Run,
    /// Where the last answer came to, and when; and who, of those that come with it, is like it in all that is recorded.
    arrival: (SocketId, Instant),
    siblings: Option<Siblings>,
}

impl Tally {
    pub(super) fn new(plan: &Plan) -> Self {
        let lane = |class: usize| {
            let number = u16::try_from(class).unwrap_or(u16::MAX);
            std::iter::repeat_n(number, usize::from(plan.flows_of(class)))
        };
        let timeline = Timeline::new(plan.duration, plan.classes.len());
        Self {
            rule: Rule::of(plan),
            lanes: (0..plan.classes.len()).flat_map(lane).collect(),
            classes: plan.classes.iter().map(ClassReport::new).collect(),
            stretches: plan.stretches.iter().map(StretchReport::new).collect(),
            interval: (0, timeline.end_of(0)),
            timeline,
            seconds: plan.keeps_seconds.then(|| Seconds::new(plan.duration, plan.classes.len())),
            start: Instant::ZERO,
            generator: Lateness::new(plan),
            sends: Sends::default(),
            place: Place::default(),
            sums: Sums::default(),
            corrected: Run::default(),
            raw: Run::default(),
            arrival: (SocketId(0), Instant::ZERO),
            siblings: None,
        }
    }

    /// The run begins at `start`.
    pub(super) const fn begin(&mut self, start: Instant) {
        self.start = start;
    }

    pub(super) const fn rule(&self) -> Rule {
        self.rule
    }

    pub(super) fn class_of(&mut self, socket: SocketId) -> &mut ClassReport {
        &mut self.classes[usize::from(self.lanes[socket.index()])]
    }

    /// The interval in which `at`, counted from the start, lies. Times must not run backwards from call to call.
    #[inline]
    pub(super) fn interval_of(&mut self, at: Nanos) -> u16 {
        while at >= self.interval.1 {
            let next = self.interval.0 + 1;
            self.interval = (next, self.timeline.end_of(next));
        }
        self.interval.0
    }

    /// `packets` were sent that are like `ticket`. Until `blocked` the window held them back.
    #[inline]
    pub(super) fn sent(&mut self, ticket: &Ticket, packets: u32, blocked: Instant) {
        let packets = u64::from(packets);
        if blocked > ticket.intended {
            self.generator.held += packets;
        }
        let lateness = ticket.sent.since(ticket.intended.max(blocked));
        self.generator.record(lateness, packets);
        if let Some(seconds) = &mut self.seconds {
            let number = seconds.number_of(ticket.intended.since(self.start));
            seconds.lateness(number).record_many(lateness, packets);
        }
        let class = &mut self.classes[usize::from(ticket.class)];
        class.due += packets;
        class.sent += packets;
        let interval = self.timeline.at(ticket.class, ticket.interval);
        interval.due += packets;
        interval.lateness_max = interval.lateness_max.max(lateness);
        if let Some(stretch) = self.stretches.get_mut(usize::from(ticket.stretch)) {
            stretch.sent += packets;
        }
    }

    pub(super) fn unsent(&mut self, ticket: &Ticket) {
        let class = &mut self.classes[usize::from(ticket.class)];
        class.sent -= 1;
        class.unsent += 1;
        if let Some(stretch) = self.stretches.get_mut(usize::from(ticket.stretch)) {
            stretch.sent -= 1;
        }
    }

    /// These sends were handed to the driver.
    pub(super) const fn sends(&mut self, sends: Sends) {
        self.sends.sends += sends.sends;
        self.sends.trains += sends.trains;
        self.sends.in_trains += sends.in_trains;
    }

    pub(super) fn lost_to_window(&mut self, ticket: &Ticket) {
        self.classes[usize::from(ticket.class)].lost_to_window += 1;
    }

    pub(super) fn receive_drops(&mut self, socket: SocketId, drops: u64) {
        self.class_of(socket).receive_drops += drops;
    }

    /// What came, and how many datagrams that was.
    #[inline]
    pub(super) fn take(&mut self, ledger: &mut Ledger, received: &Received<'_>) -> usize {
        let (socket, at) = (received.socket, received.stamp.instant());
        if self.arrival != (socket, at) {
            self.arrival = (socket, at);
            self.siblings = None;
        }
        if received.segment == 0 || received.bytes.is_empty() {
            self.received(ledger, socket, at, received.bytes);
            return 1;
        }
        let (mut rest, mut taken) = (received.bytes, 0);
        while !rest.is_empty() {
            // Those of a train were mostly sent together too: then one look says it of all.
            let alike = self.siblings.map_or(0, |siblings| {
                let run = self.rule.plain_run(rest, received.segment);
                run.map_or(0, |(first, count)| ledger.close_siblings(siblings, first, count))
            });
            self.corrected.count += alike as u64;
            self.raw.count += alike as u64;
            taken += alike;
            rest = rest.get(alike * received.segment..).unwrap_or_default();
            if !rest.is_empty() {
                let (datagram, after) = rest.split_at(received.segment.min(rest.len()));
                self.received(ledger, socket, at, datagram);
                taken += 1;
                rest = after;
            }
        }
        taken
    }

    /// A datagram that came to `socket` at `at`, which are those of [`Tally::arrival`].
    #[inline]
    fn received(&mut self, ledger: &mut Ledger, socket: SocketId, at: Instant, datagram: &[u8]) {
        match self.rule.read(datagram) {
            Sign::Answer { id, late } => {
                let found = ledger.close(id, socket);
                if let Some(class) = self.answered(found, socket, at) {
                    class.marked_late += u64::from(late);
                    self.siblings = ledger.siblings(id);
                }
            }
            Sign::Key(key) => {
                let found = ledger.close_by_key(key, socket, self.rule.prefer());
                self.answered(found, socket, at);
            }
            Sign::Coded { key, rcode } => {
                let found = ledger.close_by_key(key, socket, self.rule.prefer());
                if let Some(class) = self.answered(found, socket, at) {
                    class.rcodes[usize::from(rcode)] += 1;
                }
            }
            Sign::Refusal { id, reason } => self.refused(ledger, socket, id, reason),
            Sign::Unknown => self.class_of(socket).unknown += 1,
        }
    }

    /// Counts an answer. The class, if it answered something that waited.
    #[inline]
    fn answered(
        &mut self,
        found: Found,
        socket: SocketId,
        at: Instant,
    ) -> Option<&mut ClassReport> {
        let (ticket, ambiguous) = match found {
            Found::Waiting(ticket) => (ticket, false),
            Found::OneOfSeveral(ticket) => (ticket, true),
            Found::Again => {
                self.class_of(socket).duplicates += 1;
                return None;
            }
            Found::Nothing => {
                self.class_of(socket).unknown += 1;
                return None;
            }
        };
        let due = ticket.intended.since(self.start);
        let place = Place {
            class: ticket.class,
            interval: ticket.interval,
            stretch: ticket.stretch,
            second: self.seconds.as_ref().map_or(0, |s| s.number_of(due)),
        };
        self.siblings = None;
        if self.place != place {
            self.flush();
            self.place = place;
        }
        if let Some(run) = self.corrected.add(at.since(ticket.intended)) {
            self.record_corrected(run);
        }
        if let Some(run) = self.raw.add(at.since(ticket.sent)) {
            self.record_raw(run);
        }
        let class = &mut self.classes[usize::from(ticket.class)];
        class.ambiguous += u64::from(ambiguous);
        Some(class)
    }

    #[inline]
    fn record_corrected(&mut self, run: Run) {
        let Place { class, stretch, second, .. } = self.place;
        let of_class = &mut self.classes[usize::from(class)];
        self.sums.add(run, of_class.budget);
        of_class.corrected.record_many(run.latency, run.count);
        if let Some(seconds) = &mut self.seconds {
            seconds.pair(second, class).corrected.record_many(run.latency, run.count);
        }
        if let Some(stretch) = self.stretches.get_mut(usize::from(stretch)) {
            stretch.corrected.record_many(run.latency, run.count);
        }
    }

    #[inline]
    fn record_raw(&mut self, run: Run) {
        let Place { class, stretch, second, .. } = self.place;
        self.classes[usize::from(class)].raw.record_many(run.latency, run.count);
        if let Some(seconds) = &mut self.seconds {
            seconds.pair(second, class).raw.record_many(run.latency, run.count);
        }
        if let Some(stretch) = self.stretches.get_mut(usize::from(stretch)) {
            stretch.raw.record_many(run.latency, run.count);
        }
    }

    /// Writes what is counted to where it belongs: before anything is read.
    pub(super) fn flush(&mut self) {
        self.siblings = None;
        if let Some(run) = self.corrected.end() {
            self.record_corrected(run);
        }
        if let Some(run) = self.raw.end() {
            self.record_raw(run);
        }
        let sums = std::mem::take(&mut self.sums);
        if sums.answered == 0 {
            return;
        }
        let class = &mut self.classes[usize::from(self.place.class)];
        class.answered += sums.answered;
        class.on_time += sums.on_time;
        let interval = self.timeline.at(self.place.class, self.place.interval);
        interval.answered += sums.answered;
        interval.on_time += sums.on_time;
        interval.latency_sum += sums.total;
        interval.latency_max = interval.latency_max.max(sums.longest);
        if let Some(stretch) = self.stretches.get_mut(usize::from(self.place.stretch)) {
            stretch.answered += sums.answered;
            stretch.on_time += sums.on_time;
        }
    }

    fn refused(&mut self, ledger: &mut Ledger, socket: SocketId, id: u64, reason: u8) {
        let reason = usize::from(reason);
        if reason >= DropReason::COUNT {
            self.class_of(socket).unknown += 1;
            return;
        }
        match ledger.close(id, socket) {
            Found::Waiting(ticket) | Found::OneOfSeveral(ticket) => {
                self.classes[usize::from(ticket.class)].refused[reason] += 1;
                self.timeline.at(ticket.class, ticket.interval).refused[reason] += 1;
            }
            Found::Again => self.class_of(socket).duplicates += 1,
            Found::Nothing => self.class_of(socket).unknown += 1,
        }
    }

    /// The sums of all classes; what the tally does not know is zero.
    pub(super) fn progress(&self) -> Progress {
        let sum = |f: fn(&ClassReport) -> u64| self.classes.iter().map(f).sum();
        Progress {
            sent: sum(|c| c.sent),
            answered: sum(|c| c.answered),
            on_time: sum(|c| c.on_time),
            refused: sum(ClassReport::refused_total),
            unknown: sum(|c| c.unknown),
            sent_late: self.generator.late,
            ..Progress::default()
        }
    }

    pub(super) fn report(&mut self, plan: &Plan) -> Report {
        self.flush();
        let mut report = Report::new(plan, self.generator.clone(), self.classes.clone());
        report.stretches = self.stretches.clone();
        report.timeline = self.timeline.clone();
        report.sends = self.sends;
        // Once: they are large.
        report.seconds_log = self.seconds.take();
        report
    }
}

#[cfg(test)]
mod tests;
