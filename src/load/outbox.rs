//! The packets that leave together, and how they are joined into trains.
//!
//! Knows no time and no answers, nor what stands in a packet. All memory is taken at construction.

use super::payload::Payload;
use super::plan::Plan;
use super::report::Sends;
use super::schedule::Due;
use crate::base::limits::{GSO_BYTES_MAX, GSO_SEGMENTS_MAX, IO_BATCH_MAX};
use crate::base::{Instant, SocketId};
use crate::io::{Part, SendFailure, TxBatch, TxMessage};

/// The most packets in one batch of trains: some 20 us of building, which bounds what the one clock reading for all of them
/// hides.
const PACKETS_MAX: usize = 512;
/// The same of single packets: one system call's worth, since each costs the kernel as much as a train.
const SINGLES_MAX: usize = IO_BATCH_MAX;
/// Memory for one batch: fits the second-level cache.
const BYTES_MIN: usize = 256 * 1024;
/// The longest segment that is joined: an Ethernet frame's payload. Longer ones would need fragments.
const SEGMENT_MAX: u32 = 1_472;
const NONE: u16 = u16::MAX;
const _: () = assert!(PACKETS_MAX < NONE as usize, "a place in the batch fits 16 bits");

/// Packets of one flow and size that were due together; they lie one behind the other.
#[derive(Clone, Copy, Debug)]
struct Run {
    first_id: u64,
    start: u32,
    count: u32,
    /// The next run of the same train.
    next: u16,
}

impl Run {
    /// Whether `next` begins, in memory and by its ids, where this one ends.
    #[inline]
    fn is_continued_by(&self, next: &Self, size: u32) -> bool {
        self.start + self.count * size == next.start
            && self.first_id + u64::from(self.count) == next.first_id
    }

    /// Leaves out the first ones.
    #[inline]
    fn skip(&mut self, packets: u32, size: u32) {
        self.first_id += u64::from(packets);
        self.start += packets * size;
        self.count -= packets;
    }
}

#[derive(Clone, Copy, Debug)]
struct Train {
    socket: SocketId,
    size: u32,
    count: u32,
    first: u16,
    last: u16,
    open: bool,
}

/// Packets on their way to one call of the driver. Those of one flow and size leave as a train, in their order, also when
/// packets of other flows were due in between.
#[derive(Debug)]
pub(super) struct Outbox {
    memory: Box<[u8]>,
    used: usize,
    size_max: usize,
    packets: usize,
    /// So many more fit into the memory, however long they are.
    sure: usize,
    runs: Vec<Run>,
    trains: Vec<Train>,
    /// The train of each socket that may still grow.
    open: Box<[u16]>,
    batch: TxBatch,
    payload: Payload,
    joins: bool,
}

impl Outbox {
    pub(super) fn new(plan: &Plan) -> Self {
        let size_max = plan.size_max().max(1);
        let batch = TxBatch {
            messages: Vec::with_capacity(PACKETS_MAX),
            parts: Vec::with_capacity(PACKETS_MAX),
        };
        Self {
            memory: filler(BYTES_MIN.max(4 * size_max)),
            used: 0,
            size_max,
            packets: 0,
            sure: 0,
            runs: Vec::with_capacity(PACKETS_MAX),
            trains: Vec::with_capacity(PACKETS_MAX),
            open: vec![NONE; plan.sockets()].into_boxed_slice(),
            batch,
            payload: Payload::new(plan),
            joins: plan.gso,
        }
    }

    /// How many more packets there is room for.
    #[inline]
    pub(super) fn room(&mut self) -> u32 {
        let most = if self.joins { PACKETS_MAX } else { SINGLES_MAX };
        if self.sure == 0 {
            // Not at each packet: a division costs as much as writing one.
            self.sure = (self.memory.len() - self.used) / self.size_max;
        }
        let room = most.saturating_sub(self.packets).min(self.sure);
        // However many sends they become, one batch of the driver's headers is enough.
        let room = if self.trains.len() < SINGLES_MAX { room } else { 0 };
        u32::try_from(room).unwrap_or(u32::MAX)
    }

    /// Adds `count` packets, the first of them request `id`; there must be room for them. Their payloads lie one behind the
    /// other in what is returned, each `due.size` long.
    #[inline]
    pub(super) fn push(&mut self, due: &Due, count: u32, id: u64, intended: Instant) -> &[u8] {
        let size = due.size as usize;
        let start = self.used;
        let end = start + size * count as usize;
        self.payload.write_all(due, id, intended, &mut self.memory[start..end]);
        self.used = end;
        self.packets += count as usize;
        self.sure = self.sure.saturating_sub(count as usize);
        let at = u32::try_from(start).unwrap_or(u32::MAX);
        self.join(due, Run { first_id: id, start: at, count, next: NONE });
        &self.memory[start..end]
    }

    /// Divides a run among the trains that have room for it.
    #[inline]
    fn join(&mut self, due: &Due, mut run: Run) {
        let longest = if due.size == 0 || due.size > SEGMENT_MAX || !self.joins {
            1
        } else {
            low(GSO_SEGMENTS_MAX).min(low(GSO_BYTES_MAX) / due.size)
        };
        while run.count > 0 {
            let open = self.open[due.socket.index()];
            let grows = self
                .trains
                .get_mut(usize::from(open))
                .filter(|t| t.open && t.size == due.size && t.count < longest);
            let place = u16::try_from(self.runs.len()).unwrap_or(NONE);
            let taken = match grows {
                Some(train) => {
                    let taken = run.count.min(longest - train.count);
                    train.count += taken;
                    let last = &mut self.runs[usize::from(train.last)];
                    if last.is_continued_by(&run, due.size) {
                        last.count += taken;
                        run.skip(taken, due.size);
                        continue;
                    }
                    last.next = place;
                    train.last = place;
                    taken
                }
                None => {
                    let taken = run.count.min(longest);
                    let train = Train {
                        socket: due.socket,
                        size: due.size,
                        count: taken,
                        first: place,
                        last: place,
                        open: longest > 1,
                    };
                    self.open[due.socket.index()] =
                        u16::try_from(self.trains.len()).unwrap_or(NONE);
                    self.trains.push(train);
                    taken
                }
            };
            self.runs.push(Run { count: taken, ..run });
            run.skip(taken, due.size);
        }
    }

    /// The sends to be made, and the memory that they lie in.
    pub(super) fn batch(&mut self) -> (&[u8], &TxBatch) {
        self.batch.clear();
        for train in &self.trains {
            let first_part = low(self.batch.parts.len());
            let mut next = train.first;
            while let Some(run) = self.runs.get(usize::from(next)) {
                self.batch.parts.push(Part { start: run.start, len: run.count * train.size });
                next = run.next;
            }
            let segment = if train.count > 1 { train.size } else { 0 };
            self.batch.messages.push(TxMessage {
                socket: train.socket,
                to: None,
                from: None,
                segment: u16::try_from(segment).unwrap_or(0),
                parts: first_part..low(self.batch.parts.len()),
            });
        }
        (&self.memory, &self.batch)
    }

    /// The sends of the last batch.
    pub(super) fn messages(&self) -> &[TxMessage] {
        &self.batch.messages
    }

    /// What the last batch came to.
    pub(super) fn sends(&self) -> Sends {
        let mut sends = Sends { sends: self.trains.len() as u64, ..Sends::default() };
        for train in self.trains.iter().filter(|t| t.count > 1) {
            sends.trains += 1;
            sends.in_trains += u64::from(train.count);
        }
        sends
    }

    /// The sends were made, and these of them did not leave as a whole: `unsent` is told the requests that stayed.
    pub(super) fn settle(&mut self, failed: &[SendFailure], mut unsent: impl FnMut(u64)) {
        for failure in failed {
            let Some(train) = self.trains.get(failure.message as usize) else { continue };
            let mut departed = failure.departed;
            let mut next = train.first;
            while let Some(run) = self.runs.get(usize::from(next)) {
                for id in run.first_id..run.first_id + u64::from(run.count) {
                    if departed == 0 {
                        unsent(id);
                    }
                    departed = departed.saturating_sub(1);
                }
                next = run.next;
            }
        }
        for train in &self.trains {
            self.open[train.socket.index()] = NONE;
        }
        self.trains.clear();
        self.runs.clear();
        self.packets = 0;
        self.used = 0;
        self.sure = 0;
    }

    /// From now on every packet leaves by itself.
    pub(super) const fn disable_trains(&mut self) {
        self.joins = false;
    }

    /// Packets may be joined.
    pub(super) const fn joins(&self) -> bool {
        self.joins
    }
}

/// Bytes that do not compress and are the same in every run.
fn filler(len: usize) -> Box<[u8]> {
    let byte = |i: usize| (i as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes()[0];
    (0..len).map(byte).collect()
}

/// A number of things in a batch, which is small.
fn low(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Nanos;
    use crate::io::SendError;

    fn plan() -> Plan {
        let mut plan = Plan::single("a", "127.0.0.1:9".parse().unwrap());
        plan.flows = 2;
        plan
    }

    fn due(socket: u16, size: u32) -> Due {
        let socket = SocketId(socket);
        Due { at: Nanos::ZERO, class: 0, socket, size, content: 0, stretch: 0 }
    }

    fn push(outbox: &mut Outbox, due: &Due, count: u32, id: u64) {
        outbox.push(due, count, id, Instant::ZERO);
    }

    fn trains(outbox: &mut Outbox) -> Vec<(u16, u16, usize)> {
        let (_, batch) = outbox.batch();
        let shape = |m: &TxMessage| {
            let parts = &batch.parts[m.parts.start as usize..m.parts.end as usize];
            let bytes: u32 = parts.iter().map(|p| p.len).sum();
            let datagrams = bytes.checked_div(u32::from(m.segment)).unwrap_or(1);
            (m.socket.0, m.segment, datagrams as usize)
        };
        batch.messages.iter().map(shape).collect()
    }

    #[test]
    fn packets_of_one_flow_and_size_form_a_train_and_the_unsent_are_named() {
        let mut outbox = Outbox::new(&plan());
        let given = [(0, 64, 1), (1, 100, 2), (0, 64, 3), (0, 100, 1), (1, 100, 1)];
        let mut id = 0;
        for (socket, size, count) in given {
            push(&mut outbox, &due(socket, size), count, id);
            id += u64::from(count);
        }
        assert_eq!(trains(&mut outbox), [(0, 64, 4), (1, 100, 3), (0, 0, 1)]);
        // Each packet lies where it was written: the ids tell.
        let (memory, batch) = outbox.batch();
        let id_at =
            |at: u32| u64::from_be_bytes(*memory[at as usize + 16..].first_chunk().unwrap());
        let sizes = [64, 64, 100, 100, 100];
        let of_part = |(part, size): (&Part, usize)| {
            (part.start..part.start + part.len).step_by(size).map(id_at).collect::<Vec<_>>()
        };
        let ids: Vec<u64> = batch.parts.iter().zip(sizes).flat_map(of_part).collect();
        assert_eq!(ids, [0, 3, 4, 5, 1, 2, 7, 6]);
        let sends = Sends { sends: 3, trains: 2, in_trains: 7 };
        assert_eq!(outbox.sends(), sends);
        let failure = SendFailure { message: 1, error: SendError::QueueFull, departed: 1 };
        let mut unsent = Vec::new();
        outbox.settle(&[failure], |id| unsent.push(id));
        assert_eq!(unsent, [2, 7]);
        outbox.disable_trains();
        push(&mut outbox, &due(0, 64), 2, 0);
        assert_eq!(trains(&mut outbox), [(0, 0, 1), (0, 0, 1)]);
    }

    #[test]
    fn trains_end_at_the_kernel_limits_and_batches_at_ours() {
        let mut p = plan();
        p.classes[0].size = super::super::plan::Sizes::fixed(1_400);
        let mut outbox = Outbox::new(&p);
        while outbox.room() > 0 {
            push(&mut outbox, &due(0, 1_400), 1, 0);
        }
        assert_eq!(trains(&mut outbox)[0], (0, 1_400, 46));
        assert!(outbox.used <= outbox.memory.len());
        let mut outbox = Outbox::new(&plan());
        let room = outbox.room();
        push(&mut outbox, &due(0, 64), room, 0);
        assert_eq!(trains(&mut outbox), [(0, 64, 64); 8]);
        outbox.settle(&[], |_| panic!("all were sent"));
        outbox.disable_trains();
        assert_eq!(outbox.room(), 64);
    }

    #[test]
    fn what_cannot_ride_leaves_alone() {
        let mut p = plan();
        p.classes[0].size = super::super::plan::Sizes { min: 32, max: 9_000 };
        let mut outbox = Outbox::new(&p);
        for size in [2_000, 2_000, 64, 65, 64] {
            push(&mut outbox, &due(0, size), 1, 0);
        }
        let singles: Vec<_> = trains(&mut outbox).iter().map(|(_, s, n)| (*s, *n)).collect();
        assert_eq!(singles, [(0, 1); 5]);
    }
}
