//! The figures of a run while it runs.
//!
//! Knows no clock: every time is an argument.

use super::answer::{self, Sign};
use super::generator::Progress;
use super::ledger::{Found, Ledger, Ticket};
use super::plan::{Framing, Matching, Plan};
use super::report::{ClassReport, Lateness, Report};
use crate::base::{DropReason, Instant, SocketId};

/// All counters and histograms of a run.
#[derive(Debug)]
pub(super) struct Tally {
    framing: Framing,
    matching: Matching,
    flows: usize,
    classes: Vec<ClassReport>,
    generator: Lateness,
}

impl Tally {
    pub(super) fn new(plan: &Plan) -> Self {
        Self {
            framing: plan.framing,
            matching: plan.matching,
            flows: usize::from(plan.flows),
            classes: plan.classes.iter().map(ClassReport::new).collect(),
            generator: Lateness::new(plan.late_after),
        }
    }

    pub(super) fn class_of(&mut self, socket: SocketId) -> &mut ClassReport {
        &mut self.classes[socket.index() / self.flows]
    }

    fn class(&mut self, ticket: &Ticket) -> &mut ClassReport {
        &mut self.classes[usize::from(ticket.class)]
    }

    #[inline]
    pub(super) fn sent(&mut self, ticket: &Ticket) {
        self.generator.record(ticket.sent.since(ticket.intended));
        let class = self.class(ticket);
        class.due += 1;
        class.sent += 1;
    }

    pub(super) fn unsent(&mut self, ticket: &Ticket) {
        let class = self.class(ticket);
        class.sent -= 1;
        class.unsent += 1;
    }

    pub(super) fn lost_to_window(&mut self, ticket: &Ticket) {
        self.class(ticket).lost_to_window += 1;
    }

    pub(super) fn receive_drops(&mut self, socket: SocketId, drops: u64) {
        self.class_of(socket).receive_drops += drops;
    }

    /// A datagram that came to `socket` at `at`.
    #[inline]
    pub(super) fn received(
        &mut self,
        ledger: &mut Ledger,
        socket: SocketId,
        at: Instant,
        datagram: &[u8],
    ) {
        match answer::read(self.framing, self.matching, datagram) {
            Sign::Answer { id, late } => {
                let found = ledger.close(id, socket);
                self.answered(found, socket, at, late);
            }
            Sign::Checksum(sum) => {
                let found = ledger.close_by_checksum(sum, socket);
                self.answered(found, socket, at, false);
            }
            Sign::Refusal { id, reason } => self.refused(ledger, socket, id, reason),
            Sign::Unknown => self.class_of(socket).unknown += 1,
        }
    }

    fn answered(&mut self, found: Found, socket: SocketId, at: Instant, marked_late: bool) {
        match found {
            Found::Waiting(ticket) => {
                let class = self.class(&ticket);
                let latency = at.since(ticket.intended);
                class.answered += 1;
                class.on_time += u64::from(latency <= class.budget);
                class.marked_late += u64::from(marked_late);
                class.corrected.record(latency);
                class.raw.record(at.since(ticket.sent));
            }
            Found::Again => self.class_of(socket).duplicates += 1,
            Found::Nothing => self.class_of(socket).unknown += 1,
        }
    }

    fn refused(&mut self, ledger: &mut Ledger, socket: SocketId, id: u64, reason: u8) {
        let reason = usize::from(reason);
        if reason >= DropReason::COUNT {
            self.class_of(socket).unknown += 1;
            return;
        }
        match ledger.close(id, socket) {
            Found::Waiting(ticket) => self.class(&ticket).refused[reason] += 1,
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

    pub(super) fn report(&self, plan: &Plan) -> Report {
        Report::new(plan, self.generator.clone(), self.classes.clone())
    }
}
