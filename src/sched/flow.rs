//! Per-flow order by construction: a packet's queue key is never earlier than that of the packet of its flow before it.
//!
//! Knows nothing of the queue. With a constant budget a flow's keys rise by themselves; where requests name their own
//! budgets a later packet could overtake, so its key is held back here. What leaves one worker's queue in key order then
//! leaves in flow order, without a reorder buffer and without tombstones for dropped packets. Work that leaves the worker
//! passes a reorder ring beside this (`dataplane/reorder.rs`).

use crate::base::{Instant, Priority};

/// Where a packet's flow is noted, so that the note can be taken back when the packet leaves the queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FlowNote(u32);

#[derive(Clone, Copy, Debug, Default)]
struct Entry {
    last: Instant,
    queued: u32,
}

/// The flows that have packets queued. Fixed memory: flows of one priority whose hashes meet share an entry. That keeps
/// each one's order and only costs them the chance to overtake each other; flows of different priorities never share.
#[derive(Debug)]
pub struct FlowTable {
    entries: Box<[Entry]>,
    of_class: usize,
}

impl FlowTable {
    /// A table of at least `flows` entries a priority (a power of two).
    #[must_use]
    pub fn new(flows: usize) -> Self {
        let of_class = flows.next_power_of_two();
        Self {
            entries: vec![Entry::default(); of_class * Priority::COUNT].into_boxed_slice(),
            of_class,
        }
    }

    /// The deadline by which a packet of `flow` (a hash) with this `deadline` is to be queued, and the note to be
    /// returned to [`FlowTable::leave`] when it has left the queue.
    pub fn enter(
        &mut self,
        flow: u64,
        priority: Priority,
        deadline: Instant,
    ) -> (Instant, FlowNote) {
        #[expect(clippy::cast_possible_truncation, reason = "the low bits of a hash")]
        let at = priority.index() * self.of_class + (flow as usize & (self.of_class - 1));
        let entry = &mut self.entries[at];
        let key = if entry.queued > 0 { deadline.max(entry.last) } else { deadline };
        entry.last = key;
        entry.queued += 1;
        (key, FlowNote(u32::try_from(at).unwrap_or(u32::MAX)))
    }

    /// A packet that has left the queue stands in it again, before any other of its flow has entered or left.
    pub fn come_back(&mut self, note: FlowNote) {
        self.entries[note.0 as usize].queued += 1;
    }

    /// A packet has left the queue, run or dropped.
    pub fn leave(&mut self, note: FlowNote) {
        let entry = &mut self.entries[note.0 as usize];
        debug_assert!(entry.queued > 0, "a flow's packet left twice");
        entry.queued = entry.queued.saturating_sub(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// However few entries there are, keys of one flow never fall while packets of it are queued.
        #[test]
        fn keys_of_a_flow_never_fall(ops in proptest::collection::vec((0u64..40, 0u64..1_000, any::<bool>()), 1..400)) {
            let mut table = FlowTable::new(8);
            let mut queued: Vec<(u64, Instant, FlowNote)> = Vec::new();
            for (flow, deadline, leave) in ops {
                if leave && !queued.is_empty() {
                    // Leaves in key order, as from the queue: the first of the smallest keys.
                    let at = (0..queued.len()).min_by_key(|i| (queued[*i].1, *i)).unwrap();
                    let (flow, key, note) = queued.remove(at);
                    prop_assert!(queued.iter().take(at).all(|(f, k, _)| *f != flow || *k > key));
                    table.leave(note);
                    continue;
                }
                let deadline = Instant::from_nanos(deadline);
                let (key, note) = table.enter(flow, Priority::Low, deadline);
                prop_assert!(key >= deadline);
                let last = queued.iter().filter(|(f, ..)| *f == flow).map(|(_, k, _)| *k).max();
                prop_assert!(last.is_none_or(|l| key >= l), "flow {flow} fell");
                queued.push((flow, key, note));
            }
        }
    }

    #[test]
    fn a_flow_without_queued_packets_is_not_held_back() {
        let mut table = FlowTable::new(8);
        let (key, note) = table.enter(1, Priority::Low, Instant::from_nanos(500));
        assert_eq!(key, Instant::from_nanos(500));
        table.leave(note);
        assert_eq!(
            table.enter(1, Priority::Low, Instant::from_nanos(100)).0,
            Instant::from_nanos(100)
        );
    }
}
