//! Overload: what has less value for its time gives way (J. M. Moore, Management Science 15, 1968; weighted and online).
//!
//! Knows no gate: how much is to be freed is an argument.

use super::{Admission, Candidate};
use crate::base::{Nanos, Priority};

impl Admission {
    /// Frees at least `need` of work in front of the candidate by dropping what has less value for its time, the least
    /// first, never of a higher priority. Drops nothing when that cannot be done.
    pub(super) fn evict(&mut self, need: Nanos, candidate: &Candidate) -> bool {
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
}

/// Value for time, in units that keep eight digits for any service time up to a second.
fn density(value: u32, service: Nanos) -> u64 {
    (u64::from(value) << 30) / service.get().max(1)
}
