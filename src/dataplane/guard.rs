//! Holding a Medium or Low packet back for High: the worker's side of the guard window.
//!
//! Knows nothing of what is received meanwhile: the worker asks again whenever it looks at its queue.

use super::options::Options;
use crate::base::{Instant, Priority};
use crate::packet::{Packet, Slot};
use crate::sched::WorkerPlan;
use crate::sched::admission::{Admission, Policy};
use crate::sched::guard::{GuardInputs, GuardWindow, InterArrival, preempts};

/// The guard of one worker.
#[derive(Debug)]
pub(super) struct Guard {
    enabled: bool,
    serves_high: bool,
    require_expected_high: bool,
    /// The packet that was last held back.
    held: Option<Slot>,
}

impl Guard {
    pub(super) fn new(options: &Options) -> Self {
        Self {
            enabled: options.guard
                && matches!(options.admission.policy, Policy::Edf | Policy::Value),
            serves_high: options.serves_high,
            require_expected_high: options.guard_requires_expected_high,
            held: None,
        }
    }

    /// Until when the head of the queue is held back, and whether that begins now.
    pub(super) fn hold(
        &mut self,
        now: Instant,
        head: Priority,
        admission: &Admission,
        plan: &WorkerPlan,
        high: &InterArrival,
    ) -> Option<(Instant, bool)> {
        if !self.enabled || admission.depth(Priority::High) > 0 {
            return None;
        }
        let window = GuardWindow {
            window: plan.guard[head],
            require_expected_high: self.require_expected_high,
        };
        let expected = high.expected(now);
        if self.require_expected_high && expected.is_none_or(|e| e > window.window) {
            return None;
        }
        let packet = admission.peek()?;
        let inputs = GuardInputs {
            serves_high: self.serves_high,
            high_depth: 0,
            released: packet.released,
            deadline: packet.deadline,
            service: packet.service,
            high_interarrival: expected,
        };
        let remaining = window.may_enter(now, &inputs)?;
        let begins = self.held.replace(packet.slot) != Some(packet.slot);
        Some((now + remaining, begins))
    }

    /// Whether a packet of High that came while `head` was held back goes before it although `head` is due earlier.
    pub(super) fn lets_high_pass(
        &self,
        now: Instant,
        head: &Packet,
        admission: &Admission,
    ) -> bool {
        if self.held != Some(head.slot) || head.priority == Priority::High {
            return false;
        }
        let Some(high) = admission.first_due(Priority::High) else { return false };
        let ema_high = admission.estimate.ema(Priority::High) + admission.overhead();
        preempts(high, head.deadline, now, ema_high, head.service)
    }

    /// Whether a packet was held back and is still queued.
    #[inline]
    pub(super) const fn is_holding(&self) -> bool {
        self.held.is_some()
    }

    /// The held packet has left the queue.
    pub(super) fn release(&mut self, slot: Slot) {
        if self.held == Some(slot) {
            self.held = None;
        }
    }
}
