//! The bytes of the packets that leave together, and how they are joined into trains.
//!
//! Knows no time and no answers. All memory is taken at construction.

use zerocopy::IntoBytes as _;
use zerocopy::byteorder::network_endian::{U16, U32, U64};

use super::plan::{Class, Framing, Plan};
use super::schedule::Due;
use crate::base::Instant;
use crate::dataplane::egress::{Egress, Route};
use crate::io::{Part, SendFailure, TxBatch};
use crate::packet::framed::{FLAG_WANTS_REFUSAL, Header, LEN};

/// The most packets in one batch: some 20 us of building, which bounds what the one clock reading for all of them hides.
const PACKETS_MAX: usize = 512;
/// Memory for one batch: fits the second-level cache.
const BYTES_MIN: usize = 256 * 1024;

/// Packets on their way to one call of the driver. Those of one flow and size leave as a train, in their order, also when
/// packets of other flows were due in between.
#[derive(Debug)]
pub(super) struct Outbox {
    memory: Box<[u8]>,
    used: usize,
    size_max: usize,
    waiting: Egress<u64>,
    /// What the requests of each class have in common; empty for raw requests.
    headers: Vec<Header>,
    trains: bool,
}

impl Outbox {
    pub(super) fn new(plan: &Plan) -> Self {
        let size_max = plan.size_max();
        let header = |class| match plan.framing {
            Framing::Framed => Some(header_of(class, plan.wants_refusal)),
            Framing::Raw => None,
        };
        Self {
            memory: filler(BYTES_MIN.max(4 * size_max)),
            used: 0,
            size_max,
            waiting: Egress::new(),
            headers: plan.classes.iter().filter_map(header).collect(),
            trains: plan.gso,
        }
    }

    /// Whether another packet might not fit.
    #[inline]
    pub(super) const fn is_full(&self) -> bool {
        self.waiting.len() >= PACKETS_MAX || self.used + self.size_max > self.memory.len()
    }

    /// Adds request `id`, which was intended for `intended`; gives back its payload. There must be room.
    #[inline]
    pub(super) fn push(&mut self, due: &Due, id: u64, intended: Instant) -> &[u8] {
        let start = self.used;
        self.used += due.size;
        let part = Part { start: low_32(start as u64), len: low_32(due.size as u64) };
        let route = Route { socket: due.socket, to: None, from: None, gso: self.trains };
        let pushed = self.waiting.push(intended, &route, part, 1, id);
        debug_assert!(pushed.is_ok(), "is_full was not asked");
        let payload = &mut self.memory[start..start + due.size];
        match self.headers.get(due.class) {
            Some(common) => {
                let mut header = *common;
                header.request = U64::new(id);
                header.flow = U32::new(u32::from(due.socket.0));
                header.stamp = U32::new(low_32(intended.as_nanos() / 1_000));
                payload[..LEN].copy_from_slice(header.as_bytes());
            }
            None => payload[..8].copy_from_slice(&id.to_be_bytes()),
        }
        payload
    }

    /// The sends to be made, and the memory that they lie in.
    pub(super) fn batch(&mut self) -> (&[u8], &TxBatch) {
        (&self.memory, self.waiting.batch())
    }

    /// The sends were made, and these of them did not leave as a whole: `unsent` is told the requests that stayed.
    pub(super) fn settle(&mut self, failed: &[SendFailure], mut unsent: impl FnMut(u64)) {
        self.waiting.settle(failed, |id, _, fault| {
            if fault.is_some() {
                unsent(*id);
            }
        });
        self.used = 0;
    }

    /// From now on every packet leaves by itself.
    pub(super) const fn disable_trains(&mut self) {
        self.trains = false;
    }

    pub(super) const fn trains(&self) -> bool {
        self.trains
    }
}

fn header_of(class: &Class, wants_refusal: bool) -> Header {
    let mut header = Header::request(0);
    if wants_refusal {
        header.flags |= FLAG_WANTS_REFUSAL;
    }
    if let Some(priority) = class.priority {
        header.status = priority.wire_id();
    }
    header.kernel = U16::new(class.kernel);
    header.budget_us = U32::new(class.budget.map_or(0, |b| low_32(b.as_micros())));
    header
}

/// Bytes that do not compress and are the same in every run.
fn filler(len: usize) -> Box<[u8]> {
    let byte = |i: usize| (i as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes()[0];
    (0..len).map(byte).collect()
}

/// The low half: places in a batch and budgets fit it, stamps wrap by design.
fn low_32(n: u64) -> u32 {
    u32::try_from(n & u64::from(u32::MAX)).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::{Nanos, Priority, SocketId};

    fn plan() -> Plan {
        Plan::single("a", "127.0.0.1:9".parse().unwrap())
    }

    fn due(socket: u16, size: usize) -> Due {
        Due { at: Nanos::ZERO, class: 0, socket: SocketId(socket), size }
    }

    fn trains(outbox: &mut Outbox) -> Vec<(u16, u16, usize)> {
        let shape = |m: &crate::io::TxMessage| (m.socket.0, m.segment, m.parts.len());
        outbox.batch().1.messages.iter().map(shape).collect()
    }

    #[test]
    fn packets_of_one_flow_and_size_form_a_train() {
        let mut outbox = Outbox::new(&plan());
        for (id, d) in (0..).zip([due(0, 64), due(1, 100), due(0, 64), due(0, 100), due(1, 100)]) {
            outbox.push(&d, id, Instant::ZERO);
        }
        assert_eq!(trains(&mut outbox), [(0, 64, 2), (1, 100, 2), (0, 0, 1)]);
        let failure =
            SendFailure { message: 1, error: crate::io::SendError::QueueFull, departed: 0 };
        let mut unsent = Vec::new();
        outbox.settle(&[failure], |id| unsent.push(id));
        assert_eq!(unsent, [1, 4]);
        outbox.disable_trains();
        outbox.push(&due(0, 64), 0, Instant::ZERO);
        outbox.push(&due(0, 64), 1, Instant::ZERO);
        assert_eq!(trains(&mut outbox), [(0, 0, 1), (0, 0, 1)]);
    }

    #[test]
    fn trains_end_at_the_kernel_limits_and_batches_at_ours() {
        let mut p = plan();
        p.classes[0].size = super::super::plan::Sizes::fixed(1_400);
        let mut outbox = Outbox::new(&p);
        let mut id = 0;
        while !outbox.is_full() {
            outbox.push(&due(0, 1_400), id, Instant::ZERO);
            id += 1;
        }
        assert_eq!(trains(&mut outbox)[0], (0, 1_400, 46));
        assert!(outbox.used <= outbox.memory.len());
        let mut outbox = Outbox::new(&plan());
        while !outbox.is_full() {
            outbox.push(&due(0, 64), id, Instant::ZERO);
        }
        assert_eq!(trains(&mut outbox), [(0, 64, 64); 8]);
    }

    #[test]
    fn a_framed_request_says_what_its_class_asks_for() {
        let mut p = plan();
        p.classes[0].priority = Some(Priority::Medium);
        p.classes[0].budget = Some(Nanos::from_millis(3));
        p.classes[0].kernel = 7;
        let mut outbox = Outbox::new(&p);
        let bytes = outbox.push(&due(5, 64), 42, Instant::from_nanos(9_000)).to_vec();
        let (h, kind) = Header::parse(&bytes).unwrap();
        assert_eq!(kind, crate::packet::framed::Kind::Request);
        assert_eq!((h.request.get(), h.status, h.budget_us.get()), (42, 1, 3_000));
        assert_eq!((h.kernel.get(), h.flow.get(), h.stamp.get()), (7, 5, 9));
        assert!(h.wants_refusal());
    }
}
