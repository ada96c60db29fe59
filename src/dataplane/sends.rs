//! When results leave, and what becomes of those that do.
//!
//! Knows no sockets, only how many messages were found there. A send costs 1 to 2 us and a result that joins another's train a part
//! of that, so a result may wait for company: within the time that is left to it, and only while more is likely to come.

use super::outlet::{Account, Outlet};
use super::worker::Worker;
use crate::base::limits::{IO_BATCH_ROOM, KERNEL_BATCH_MAX};
use crate::base::{Instant, Nanos};
use crate::io::{SendFailure, TxBatch};
use crate::stats::WorkerField;

/// A result waits for company no longer than one part in 2^3 of the time that is left to it,
const HOLD_SHIFT: u32 = 3;
/// and no longer than [`Options::hold`](super::Options::hold) says, nor than this
const FLUSH_AFTER: Nanos = Nanos::from_micros(20);
/// unless its kernel is quick: takes no more than a few sends. An answer that is joined saves one of 1 to 2 us.
const QUICK: Nanos = Nanos::from_micros(5);

/// Where one look at the sockets finds so many, the next is likely to find company for the answers that wait.
const COMPANY: u32 = IO_BATCH_ROOM / 8;

/// How long answers wait at the most.
#[derive(Debug)]
pub(super) struct Hold {
    quick: Nanos,
    long: Nanos,
}

impl Hold {
    /// Where those of quick kernels may wait so long.
    pub(super) fn new(quick: Nanos) -> Self {
        Self { quick, long: quick.min(FLUSH_AFTER) }
    }
}

impl Worker {
    /// By when a result that is there now wants to leave, in whatever company.
    #[inline]
    pub(super) fn leaves_by(&self, now: Instant, account: &Account) -> Instant {
        let most = if account.kernel_time > QUICK { self.hold.long } else { self.hold.quick };
        now + most.min(Nanos::new(account.deadline.since(now).get() >> HOLD_SHIFT))
    }

    /// The last look at the sockets found so many messages.
    #[inline]
    pub const fn note_found(&mut self, messages: u32) {
        self.company = messages >= COMPANY;
    }

    /// Whether what waits to be sent has waited long enough, or would not have room for more.
    #[must_use]
    #[inline]
    pub fn sends_now(&self, now: Instant) -> bool {
        if self.out.is_empty() {
            return false;
        }
        // What the next run is likely to take is part of the wait. Nobody who is to join them comes out of a long one.
        let next = self.next_run();
        self.out.room() < KERNEL_BATCH_MAX
            || next >= FLUSH_AFTER
            || now + next >= self.out.leaves_by()
    }

    /// The sends to be made now, and the memory that they lie in.
    pub fn tx(&mut self) -> (&[u8], &TxBatch) {
        (self.pool.bytes(), self.out.batch())
    }

    /// The sends were made at `now`; these did not leave.
    pub fn on_transmitted(&mut self, now: Instant, sends: usize, failed: &[SendFailure]) {
        self.counters.add_worker(WorkerField::Sends, sends as u64);
        let Self { out, pool, counters, handled, .. } = self;
        *handled += out.len() as u64;
        let mut outlet = Outlet::new(now, pool, counters);
        out.settle(failed, |account, left, fault| outlet.settle(account, left, fault));
        outlet.book();
    }
}
