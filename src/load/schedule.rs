//! When each packet is intended to be sent, and which class, flow and size it has: all of it drawn from the seed, or read
//! from a capture.
//!
//! Knows no clock: times are offsets from the start, so that the same plan offers the same load everywhere.

use std::sync::Arc;

use super::draw::Draw;
use super::plan::Plan;
use super::trace::Trace;
use crate::base::{Nanos, SocketId};

/// Packets that are to be sent together: equal in all but their number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Due {
    /// Their intended time, from the start.
    pub(super) at: Nanos,
    /// Their place in the plan's classes.
    pub(super) class: u16,
    /// The local socket they go by.
    pub(super) socket: SocketId,
    /// Their payload's length.
    pub(super) size: u32,
    /// Which question is asked, or where a captured payload begins.
    pub(super) content: u64,
    /// The stretch of the plan they belong to.
    pub(super) stretch: u8,
}

/// The stream of a plan's packets, in the order of their times.
#[derive(Debug)]
pub(super) struct Schedule {
    times: Times,
    /// Packets of one draw.
    burst: u32,
    /// Those of the present draw that are still to be taken.
    left: u32,
    due: Option<Due>,
    end: Nanos,
    /// Ends of the stretches, and the present one.
    ends: Vec<Nanos>,
    stretch: usize,
}

#[derive(Debug)]
enum Times {
    Drawn(Box<Draw>),
    Read { trace: Arc<Trace>, next: u64 },
}

impl Schedule {
    pub(super) fn new(plan: &Plan) -> Self {
        let (times, burst) = match plan.arrivals.trace() {
            Some(trace) => (Times::Read { trace: Arc::clone(trace), next: 0 }, 1),
            None => {
                let draw = Draw::new(plan);
                let burst = draw.burst();
                (Times::Drawn(Box::new(draw)), burst)
            }
        };
        let mut end = Nanos::ZERO;
        let mut ends = Vec::with_capacity(plan.stretches.len());
        for stretch in &plan.stretches {
            end += stretch.length;
            ends.push(end);
        }
        let end = plan.duration;
        let mut schedule = Self { times, burst, left: 0, due: None, end, ends, stretch: 0 };
        schedule.due = schedule.draw();
        schedule
    }

    /// The intended time of the next packet; `None` when the run's time is over.
    #[inline]
    pub(super) const fn next_at(&self) -> Option<Nanos> {
        match self.due {
            Some(due) => Some(due.at),
            None => None,
        }
    }

    /// The next packets, at most `room` (which is not zero), if their time is `now` or earlier.
    #[inline]
    pub(super) fn take(&mut self, now: Nanos, room: u32) -> Option<(Due, u32)> {
        let due = self.due.filter(|d| d.at <= now)?;
        let count = self.left.min(room);
        self.left -= count;
        if self.left == 0 {
            self.due = self.draw();
        }
        Some((due, count))
    }

    #[inline]
    fn draw(&mut self) -> Option<Due> {
        let mut due = match &mut self.times {
            Times::Drawn(draw) => draw.draw()?,
            Times::Read { trace, next } => {
                let (at, step) = trace.step(*next)?;
                *next += 1;
                Due {
                    at,
                    class: step.class,
                    socket: SocketId(step.socket),
                    size: step.size,
                    content: u64::from(step.start),
                    stretch: 0,
                }
            }
        };
        if due.at >= self.end {
            return None;
        }
        self.left = self.burst;
        while let Some(end) = self.ends.get(self.stretch)
            && *end <= due.at
            && self.stretch + 1 < self.ends.len()
        {
            self.stretch += 1;
        }
        due.stretch = u8::try_from(self.stretch).unwrap_or(u8::MAX);
        Some(due)
    }
}

#[cfg(test)]
mod tests;
