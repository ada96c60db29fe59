//! Gate G1: how many of a class may wait.
//!
//! Knows no time.

use super::{Admission, Policy};
use crate::base::limits::QUEUE_TOTAL_MAX;
use crate::base::{PerPriority, Priority};

impl Admission {
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

    pub(super) fn capacity_left(&self) -> u32 {
        let bound = match self.options.policy {
            Policy::Edf => self.quota_total as usize,
            Policy::Value => QUEUE_TOTAL_MAX,
            Policy::EdfExpiry | Policy::Fifo => self.queue.capacity(),
        };
        u32::try_from(bound.saturating_sub(self.len())).unwrap_or(u32::MAX)
    }
}
