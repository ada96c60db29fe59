//! The loop: send what is due, take what has come, wait for the next.
//!
//! Knows a clock and a driver, and neither of them by name. Nothing is allocated between the first packet and the report.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::answer::Rule;
use super::ledger::{Ledger, Ticket};
use super::outbox::Outbox;
use super::plan::{Matching, Plan, PlanError};
use super::report::Report;
use super::schedule::Schedule;
use super::tally::Tally;
use crate::base::limits::{IO_BATCH_MAX, PARK_MAX};
use crate::base::{Clock, Instant, Nanos, SocketId};
use crate::io::{Driver, SendError, SendFailure};

/// Below this a wait is spun: to sleep and be woken takes 20 to 50 us.
const SPIN_BELOW: Nanos = Nanos::from_micros(100);
/// A sleep ends this much early, and the rest is spun.
const WAKE_EARLY: Nanos = Nanos::from_micros(60);
/// The longest sleep while the window is full: then it is seen to whether something was lost.
const BLOCKED_WAIT: Nanos = Nanos::from_millis(1);
/// How long an interrupted run still waits for answers.
const INTERRUPTED_GRACE: Nanos = Nanos::from_millis(500);
/// How often progress is told.
const PROGRESS_EVERY: Nanos = Nanos::from_secs(1);

/// Why a run ended without a report.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The plan cannot be run.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// The port is closed: the host said so, and no answer has come from there.
    #[error("nobody listens at {0}")]
    NobodyListens(SocketAddr),
    /// The driver can no longer work.
    #[error("the sockets failed: {0}")]
    Driver(#[from] io::Error),
}

/// How far a run has come. Counts are since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Time since the start.
    pub elapsed: Nanos,
    /// Requests that left.
    pub sent: u64,
    /// Requests answered.
    pub answered: u64,
    /// Answered within the budget.
    pub on_time: u64,
    /// Requests refused.
    pub refused: u64,
    /// Datagrams that answer nothing that was sent.
    pub unknown: u64,
    /// Requests that wait for an answer.
    pub waiting: u64,
    /// Requests sent late by the generator.
    pub sent_late: u64,
    /// Receives that ended in a fault, which is how a closed port shows itself.
    pub faults: u64,
}

impl Progress {
    /// Requests were sent, and nothing whatsoever came back.
    #[must_use]
    pub const fn is_silent(&self) -> bool {
        self.sent > 0 && self.answered + self.refused + self.unknown == 0
    }
}

/// An open-loop generator: one thread, one driver. Runs once.
#[derive(Debug)]
pub struct Generator<D, C> {
    plan: Plan,
    driver: D,
    clock: C,
    schedule: Schedule,
    outbox: Outbox,
    ledger: Ledger,
    tally: Tally,
    room: Vec<u32>,
    failed: Vec<SendFailure>,
    next_id: u64,
    start: Instant,
    stop: Arc<AtomicBool>,
    gave_up: bool,
    /// When the window was last seen full: what leaves late because of that is not the generator's fault.
    blocked: Instant,
    faults: u64,
    /// When progress is told next.
    tell_at: Nanos,
}

impl<D: Driver, C: Clock> Generator<D, C> {
    /// A generator for `plan`. `driver` holds [`Plan::sockets`] connected sockets, those of each class together, in the
    /// classes' order.
    ///
    /// # Errors
    /// What [`Plan::check`] finds.
    pub fn new(plan: Plan, driver: D, clock: C) -> Result<Self, LoadError> {
        plan.check()?;
        let longest = plan.grace().max(Nanos::from_secs(1));
        Ok(Self {
            schedule: Schedule::new(&plan),
            outbox: Outbox::new(&plan),
            ledger: Ledger::new(plan.rate_max(), longest, Rule::of(&plan).by_key()),
            tally: Tally::new(&plan),
            room: vec![u32::try_from(IO_BATCH_MAX).unwrap_or(u32::MAX); plan.sockets()],
            failed: Vec::with_capacity(IO_BATCH_MAX),
            next_id: 0,
            start: Instant::ZERO,
            stop: Arc::new(AtomicBool::new(false)),
            gave_up: false,
            blocked: Instant::ZERO,
            faults: 0,
            tell_at: PROGRESS_EVERY,
            plan,
            driver,
            clock,
        })
    }

    /// Ends the run early, with a report, once `stop` is set.
    #[must_use]
    pub fn stop_when(mut self, stop: Arc<AtomicBool>) -> Self {
        self.stop = stop;
        self
    }

    /// Runs the plan and waits for the last answers. `progress` is called about once a second, and at the first fault.
    ///
    /// # Errors
    /// [`LoadError`]: a closed port that never answered, or a driver that failed.
    pub fn run(&mut self, mut progress: impl FnMut(&Progress)) -> Result<Report, LoadError> {
        self.start = self.clock.now();
        self.tally.begin(self.start);
        let sending = self.send_all(&mut progress)?;
        let interrupted = self.stopped();
        self.wait_for_the_rest(interrupted, &mut progress)?;
        for socket in 0..self.room.len() {
            let socket = SocketId(u16::try_from(socket).unwrap_or(u16::MAX));
            self.tally.receive_drops(socket, self.driver.kernel_drops(socket));
        }
        let mut report = self.tally.report(&self.plan);
        report.interrupted = interrupted;
        report.gave_up = self.gave_up;
        report.gso = self.outbox.joins();
        report.set_time(if interrupted { sending } else { sending.max(self.plan.duration) });
        Ok(report)
    }

    /// The driver, for what it alone knows.
    #[must_use]
    pub fn into_driver(self) -> D {
        self.driver
    }

    fn stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// Sends the whole schedule; how long that took.
    fn send_all(&mut self, progress: &mut impl FnMut(&Progress)) -> Result<Nanos, LoadError> {
        // A generator that cannot keep up must end all the same: a tenth over the plan's time is the most.
        let latest = self.plan.duration
            + Nanos::new(self.plan.duration.get() / 10)
            + Nanos::from_millis(500);
        loop {
            let now = self.clock.now();
            let elapsed = now.since(self.start);
            let Some(next) = self.schedule.next_at() else { return Ok(elapsed) };
            self.tell(elapsed, progress);
            if self.stopped() {
                return Ok(elapsed);
            }
            if elapsed > latest {
                self.gave_up = true;
                return Ok(elapsed);
            }
            if next <= elapsed && self.window_room(now) == 0 {
                self.blocked = now;
                self.receive(IO_BATCH_MAX)?;
                if self.window_room(now) == 0 && !self.plan.spin {
                    self.driver.wait(BLOCKED_WAIT)?;
                }
            } else if next <= elapsed {
                let sent = self.send_due(now)?;
                self.receive(2 * sent + IO_BATCH_MAX)?;
            } else {
                self.receive(IO_BATCH_MAX)?;
                self.rest_until(self.start + next)?;
            }
        }
    }

    #[inline]
    fn tell(&mut self, elapsed: Nanos, progress: &mut impl FnMut(&Progress)) {
        if elapsed >= self.tell_at {
            self.tell_at = elapsed + PROGRESS_EVERY;
            progress(&Progress {
                elapsed,
                waiting: self.ledger.waiting() as u64,
                faults: self.faults,
                ..self.tally.progress()
            });
        }
    }

    /// How many requests may leave now.
    #[inline]
    fn window_room(&mut self, now: Instant) -> u32 {
        let Some(window) = self.plan.window else { return u32::MAX };
        let waiting = u32::try_from(self.ledger.waiting()).unwrap_or(u32::MAX);
        if waiting < window {
            return window - waiting;
        }
        // What was lost must not keep the window shut.
        self.ledger.give_up(now.before(self.plan.grace()), self.next_id);
        window.saturating_sub(u32::try_from(self.ledger.waiting()).unwrap_or(u32::MAX))
    }

    /// Sends one batch of what is due; how many packets it had.
    fn send_due(&mut self, now: Instant) -> Result<usize, LoadError> {
        let elapsed = now.since(self.start);
        let first = self.next_id;
        let rule = self.tally.rule();
        let answers = self.plan.matching != Matching::Nothing;
        let mut window = self.window_room(now);
        loop {
            let room = self.outbox.room().min(window);
            if room == 0 {
                break;
            }
            let Some((due, count)) = self.schedule.take(elapsed, room) else { break };
            window -= count;
            let id = self.next_id;
            self.next_id += u64::from(count);
            let intended = self.start + due.at;
            let interval = self.tally.interval_of(due.at);
            let (class, socket, stretch) = (due.class, due.socket, due.stretch);
            let ticket = Ticket { id, intended, sent: now, class, socket, interval, stretch };
            let payloads = self.outbox.push(&due, count, id, intended);
            if answers {
                let (ledger, tally) = (&mut self.ledger, &mut self.tally);
                ledger.open(ticket, count, |given_up| tally.lost_to_window(given_up));
                if rule.by_key() {
                    let each = payloads.chunks_exact((due.size as usize).max(1));
                    (id..).zip(each).for_each(|(id, p)| ledger.note(id, rule.key_of_request(p)));
                }
            }
            self.tally.sent(&ticket, count, self.blocked);
        }
        self.failed.clear();
        let (memory, batch) = self.outbox.batch();
        self.driver.transmit(memory, batch, &mut self.failed)?;
        self.tally.sends(self.outbox.sends());
        self.settle()?;
        Ok(usize::try_from(self.next_id - first).unwrap_or(0))
    }

    /// Takes the packets of failed sends out of the books.
    fn settle(&mut self) -> Result<(), LoadError> {
        let mut closed = None;
        let mut no_trains = false;
        for failure in &self.failed {
            let messages = self.outbox.messages();
            let Some(message) = messages.get(failure.message as usize) else { continue };
            let SendError::Refused(errno) = failure.error else { continue };
            if is_closed_port(errno) {
                let class = self.tally.class_of(message.socket);
                if class.answered + class.refused_total() == 0 {
                    closed = Some(class.to);
                }
            } else if message.segment > 0 {
                // A route whose frames are too small, or a device that cannot cut trains: without them it works.
                no_trains = true;
            }
        }
        let Self { outbox, ledger, tally, failed, .. } = self;
        outbox.settle(failed, |id| {
            if let Some(ticket) = ledger.forget(id) {
                tally.unsent(&ticket);
            }
        });
        if no_trains {
            outbox.disable_trains();
        }
        closed.map_or(Ok(()), |to| Err(LoadError::NobodyListens(to)))
    }

    /// Takes what has come: until nothing is left, or at least `limit` datagrams are taken.
    fn receive(&mut self, limit: usize) -> Result<(), LoadError> {
        let mut taken = 0;
        loop {
            let now = self.clock.now();
            let (tally, ledger) = (&mut self.tally, &mut self.ledger);
            let mut sink = |received: crate::io::Received<'_>| {
                taken += tally.take(ledger, &received);
            };
            let report = self.driver.receive(now, &self.room, &mut sink)?;
            if report.faults > 0 {
                if self.faults == 0 {
                    self.tell_at = Nanos::ZERO;
                }
                self.faults += u64::from(report.faults);
            }
            if !report.more || taken >= limit {
                self.tally.flush();
                return Ok(());
            }
        }
    }

    fn rest_until(&mut self, next: Instant) -> Result<(), LoadError> {
        let gap = next.since(self.clock.now());
        if self.plan.spin || gap < SPIN_BELOW {
            std::hint::spin_loop();
        } else {
            self.driver.wait(gap.saturating_sub(WAKE_EARLY).min(PARK_MAX))?;
        }
        Ok(())
    }

    /// Waits until every request is answered, or the grace time is over, or somebody asks to stop. What was `interrupted`
    /// before has half a second at most.
    fn wait_for_the_rest(
        &mut self,
        interrupted: bool,
        progress: &mut impl FnMut(&Progress),
    ) -> Result<(), LoadError> {
        let grace = self.plan.grace();
        let start = self.clock.now();
        let end = start + if interrupted { grace.min(INTERRUPTED_GRACE) } else { grace };
        while self.ledger.waiting() > 0 && (interrupted || !self.stopped()) {
            self.receive(usize::MAX)?;
            let now = self.clock.now();
            self.tell(now.since(self.start), progress);
            if now >= end {
                break;
            }
            if self.ledger.waiting() > 0 {
                self.driver.wait(end.since(now).min(PARK_MAX))?;
            }
        }
        Ok(())
    }
}

fn is_closed_port(errno: i32) -> bool {
    io::Error::from_raw_os_error(errno).kind() == io::ErrorKind::ConnectionRefused
}
