//! Flow order for work that leaves the worker: results wait here for those of their flow that came before.
//!
//! Knows no kernels and no sends. Nothing is noted of a flow until one of its packets goes away, so that a worker with
//! nothing away pays one comparison a batch. From then on the flow has a list of what is away and of results that wait, in
//! the order in which their packets came (the queue's push number, given at intake). A packet that comes to its end
//! without a result leaves the list, which is its tombstone.
//!
//! Flows whose hashes meet share a list: that keeps each one's order, and at worst one waits for the other.

use crate::base::limits::KERNEL_BATCH_MAX;
use crate::base::{Instant, Nanos, Priority};
use crate::kernel::{Row, RowStatus};
use crate::packet::Packet;
use crate::sched::Key;

/// Packets away and results that wait, together (SEMANTICS, "FIFO": 1,024 slots).
pub(super) const NODES: usize = 1_024;
/// So many of them are kept for results that wait.
const FOR_RESULTS: usize = 256;
/// Lists of each priority: a higher one never waits for a lower.
const LISTS: usize = 256;
const NONE: u16 = u16::MAX;
/// In the place of a result's length: there is none.
const FAILED: u16 = u16::MAX;

const _: () = assert!(NODES < NONE as usize);
const _: () = assert!(LISTS * Priority::COUNT <= NODES, "lists are numbered in 16 bits too");

/// Which list a packet belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ListId(u16);

/// The list of a flow, by a hash of what tells flows apart.
pub(super) fn list_of(flow: u64, priority: Priority) -> ListId {
    #[expect(clippy::cast_possible_truncation, reason = "less than the number of lists")]
    let in_class = (flow % LISTS as u64) as usize;
    ListId(u16::try_from(priority.index() * LISTS + in_class).unwrap_or(0))
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// With a device, or queued again.
    Away,
    /// Its result waits.
    Waits,
}

/// A packet with its result.
#[derive(Clone, Copy, Debug)]
pub(super) struct Finished {
    pub(super) packet: Packet,
    /// Of each of its datagrams.
    pub(super) kernel_time: Nanos,
    /// Its results' lengths.
    lens: [u16; KERNEL_BATCH_MAX],
}

#[derive(Clone, Copy, Debug)]
struct Node {
    seq: u64,
    state: State,
    prev: u16,
    next: u16,
    /// Waits: those before it are given up then.
    until: Instant,
    /// Waits: packets of its flow up to here are still queued at this worker.
    behind: Option<Key>,
}

#[derive(Clone, Copy, Debug)]
struct List {
    first: u16,
    last: u16,
    /// Results that wait in it; it is among `waiting` while there are any.
    waits: u16,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Reorder {
    nodes: Box<[Node]>,
    finished: Vec<Finished>,
    free: Vec<u16>,
    lists: Box<[List]>,
    /// Lists in which results wait.
    waiting: Vec<u16>,
    waits: usize,
    given_up: u64,
}

impl Reorder {
    /// Without room for anything: for a worker from which nothing ever goes away.
    pub(super) fn none() -> Self {
        Self {
            nodes: Box::default(),
            finished: Vec::new(),
            free: Vec::new(),
            lists: Box::default(),
            waiting: Vec::new(),
            waits: 0,
            given_up: 0,
        }
    }

    /// Empty, with all its memory (about 250 KiB).
    pub(super) fn new(nothing: Packet) -> Self {
        let node = Node {
            seq: 0,
            state: State::Away,
            prev: NONE,
            next: NONE,
            until: Instant::MAX,
            behind: None,
        };
        let finished =
            Finished { packet: nothing, kernel_time: Nanos::ZERO, lens: [0; KERNEL_BATCH_MAX] };
        let list = List { first: NONE, last: NONE, waits: 0 };
        Self {
            nodes: vec![node; NODES].into(),
            finished: vec![finished; NODES],
            free: (0..u16::try_from(NODES).unwrap_or(NONE)).rev().collect(),
            lists: vec![list; LISTS * Priority::COUNT].into(),
            waiting: Vec::with_capacity(NODES),
            waits: 0,
            given_up: 0,
        }
    }

    /// Whether any flow has something away, or a result that waits.
    #[inline]
    pub(super) const fn is_active(&self) -> bool {
        self.free.len() < self.nodes.len()
    }

    /// How many results wait.
    pub(super) const fn waits(&self) -> usize {
        self.waits
    }

    /// How many more packets may go away.
    pub(super) const fn room(&self) -> usize {
        self.free.len().saturating_sub(FOR_RESULTS)
    }

    /// A packet goes away. There must be [`Reorder::room`].
    pub(super) fn goes(&mut self, list: ListId, seq: u64) {
        let put = self.put(list, seq, State::Away);
        debug_assert!(put.is_some(), "no room for a packet that goes away");
    }

    /// Whether a result of that packet must wait: something that came before it, or it itself, is in the list.
    pub(super) fn must_wait(&self, list: ListId, seq: u64) -> bool {
        let first = self.lists[usize::from(list.0)].first;
        first != NONE && self.nodes[usize::from(first)].seq <= seq
    }

    /// Whether that packet is still expected: not, when those behind it have gone on without it.
    pub(super) fn expects(&self, list: ListId, seq: u64) -> bool {
        self.find(list, seq).is_some()
    }

    /// A result waits for those before it, at most until `until`. `false`: there is no room, and all that is away of what came
    /// before it has been given up.
    pub(super) fn wait(
        &mut self,
        list: ListId,
        seq: u64,
        (packet, rows, kernel_time): (Packet, &[Row], Nanos),
        until: Instant,
    ) -> bool {
        let at = match self.find(list, seq) {
            Some(at) => at,
            None => match self.put(list, seq, State::Away) {
                Some(at) => at,
                None => {
                    self.give_up_before(list, seq);
                    return false;
                }
            },
        };
        let node = &mut self.nodes[at];
        node.state = State::Waits;
        node.until = until;
        let finished = &mut self.finished[at];
        finished.packet = packet;
        finished.kernel_time = kernel_time;
        for (len, row) in finished.lens.iter_mut().zip(rows) {
            *len = match row.status {
                RowStatus::Done => u16::try_from(row.len).unwrap_or(FAILED),
                RowStatus::Failed => FAILED,
            };
        }
        self.waits += 1;
        let of_list = &mut self.lists[usize::from(list.0)];
        of_list.waits += 1;
        if of_list.waits == 1 {
            self.waiting.push(list.0);
        }
        true
    }

    /// A packet that came before some of the list is queued at `key`: the first of those waits for it.
    pub(super) fn is_queued(&mut self, list: ListId, seq: u64, key: Key) {
        let mut at = self.lists[usize::from(list.0)].first;
        while at != NONE {
            let node = &mut self.nodes[usize::from(at)];
            if node.seq > seq {
                node.behind = Some(node.behind.map_or(key, |b| b.max(key)));
                return;
            }
            at = node.next;
        }
    }

    /// What waits was given other places: those that were noted are void.
    pub(super) fn forget_places(&mut self) {
        self.nodes.iter_mut().for_each(|n| n.behind = None);
    }

    /// A packet has come to its end without a result, or its result has left on its own. Says whether it was expected.
    pub(super) fn is_over(&mut self, list: ListId, seq: u64) -> bool {
        let found = self.find(list, seq);
        if let Some(at) = found {
            debug_assert!(self.nodes[at].state == State::Away, "a result that waits was dropped");
            self.take(list, at);
        }
        found.is_some()
    }

    /// The next result that need not wait any longer. `passed`: whether nothing is queued any more up to that key. `cursor`: 0
    /// at first, then what the last call has left, so that a round looks at each list once.
    pub(super) fn next_ready(
        &mut self,
        now: Instant,
        cursor: &mut usize,
        passed: impl Fn(&Key) -> bool,
    ) -> Option<Finished> {
        while let Some(list) = self.waiting.get(*cursor).map(|l| ListId(*l)) {
            if let Some(at) = self.ready_in(list, now, &passed) {
                self.take(list, at);
                return Some(self.finished[at]);
            }
            *cursor += 1;
        }
        None
    }

    fn ready_in(
        &mut self,
        list: ListId,
        now: Instant,
        passed: &impl Fn(&Key) -> bool,
    ) -> Option<usize> {
        let first = usize::from(self.lists[usize::from(list.0)].first);
        if self.nodes[first].state == State::Away {
            let overdue = self.first_waiting(list).filter(|n| now >= n.until)?.seq;
            self.give_up_before(list, overdue);
        }
        let first = usize::from(self.lists[usize::from(list.0)].first);
        self.nodes[first].behind.as_ref().is_none_or(passed).then_some(first)
    }

    /// When the first result that waits for something away is to go on without it.
    pub(super) fn next_until(&self) -> Option<Instant> {
        let firsts = self.waiting.iter().filter_map(|l| self.first_waiting(ListId(*l)));
        firsts.map(|n| n.until).min()
    }

    fn first_waiting(&self, list: ListId) -> Option<&Node> {
        let mut at = self.lists[usize::from(list.0)].first;
        while at != NONE {
            let node = &self.nodes[usize::from(at)];
            if node.state == State::Waits {
                return Some(node);
            }
            at = node.next;
        }
        None
    }

    /// How many packets away have been given up.
    pub(super) const fn given_up(&self) -> u64 {
        self.given_up
    }

    /// Gives up everything away that came before `seq`.
    fn give_up_before(&mut self, list: ListId, seq: u64) {
        let mut at = self.lists[usize::from(list.0)].first;
        while at != NONE && self.nodes[usize::from(at)].seq < seq {
            let next = self.nodes[usize::from(at)].next;
            if self.nodes[usize::from(at)].state == State::Away {
                self.given_up += 1;
                self.take(list, usize::from(at));
            }
            at = next;
        }
    }

    /// Every result that waits, whatever it waits for: the time is over.
    pub(super) fn take_any(&mut self) -> Option<Finished> {
        let list = ListId(*self.waiting.first()?);
        let mut at = self.lists[usize::from(list.0)].first;
        while self.nodes[usize::from(at)].state == State::Away {
            at = self.nodes[usize::from(at)].next;
        }
        self.take(list, usize::from(at));
        Some(self.finished[usize::from(at)])
    }

    /// The place of a packet in its list. From the end: what is looked for is nearly always the latest.
    fn find(&self, list: ListId, seq: u64) -> Option<usize> {
        let at = self.last_through(list, seq);
        (at != NONE && self.nodes[usize::from(at)].seq == seq).then_some(usize::from(at))
    }

    /// The last node that does not come after `seq`.
    fn last_through(&self, list: ListId, seq: u64) -> u16 {
        let mut at = self.lists[usize::from(list.0)].last;
        while at != NONE && self.nodes[usize::from(at)].seq > seq {
            at = self.nodes[usize::from(at)].prev;
        }
        at
    }

    fn put(&mut self, list: ListId, seq: u64, state: State) -> Option<usize> {
        let at = self.free.pop()?;
        let prev = self.last_through(list, seq);
        let of_list = &mut self.lists[usize::from(list.0)];
        let next = if prev == NONE {
            std::mem::replace(&mut of_list.first, at)
        } else {
            std::mem::replace(&mut self.nodes[usize::from(prev)].next, at)
        };
        if next == NONE {
            of_list.last = at;
        } else {
            self.nodes[usize::from(next)].prev = at;
        }
        self.nodes[usize::from(at)] =
            Node { seq, state, prev, next, until: Instant::MAX, behind: None };
        Some(usize::from(at))
    }

    fn take(&mut self, list: ListId, at: usize) {
        let Node { prev, next, state, behind, .. } = self.nodes[at];
        let of_list = &mut self.lists[usize::from(list.0)];
        if prev == NONE {
            of_list.first = next;
        } else {
            self.nodes[usize::from(prev)].next = next;
        }
        if next == NONE {
            of_list.last = prev;
        } else {
            let next = &mut self.nodes[usize::from(next)];
            next.prev = prev;
            // What the first of several waited for, the next waits for as well: nobody else remembers it.
            next.behind = next.behind.max(behind);
        }
        if state == State::Waits {
            self.waits -= 1;
            of_list.waits -= 1;
            if of_list.waits == 0 {
                self.waiting.retain(|l| *l != list.0);
            }
        }
        self.free.push(u16::try_from(at).unwrap_or(NONE));
    }
}

impl Finished {
    /// The rows of its results again, of which the first begins at `start` and each has `len` bytes before the run.
    pub(super) fn rows(
        &self,
        start: usize,
        len: usize,
        capacity: usize,
    ) -> impl Iterator<Item = Row> {
        let lens = self.lens.iter().take(usize::from(self.packet.count)).enumerate();
        lens.map(move |(i, result)| {
            let start = start + i * len;
            if *result == FAILED {
                Row { start, len, capacity, status: RowStatus::Failed }
            } else {
                Row { start, len: usize::from(*result), capacity, status: RowStatus::Done }
            }
        })
    }
}

#[cfg(test)]
mod tests;
