//! What stands in a request: filler with our id, a framed header, a DNS query, or what was captured.
//!
//! Knows no sends: it writes into memory that it is given.

use std::sync::Arc;

use zerocopy::IntoBytes as _;
use zerocopy::byteorder::network_endian::{U16, U32, U64};

use super::dns::Questions;
use super::plan::{Class, Framing, Matching, Plan};
use super::schedule::Due;
use super::trace::Trace;
use crate::base::Instant;
use crate::packet::framed::{FLAG_WANTS_REFUSAL, Header, LEN};

/// Writes requests.
#[derive(Debug)]
pub(super) enum Payload {
    /// What the requests of each class have in common: header, and what stands behind it where that is no filler.
    Framed(Vec<(Header, Option<Arc<[u8]>>)>),
    /// The id, this wide, at that offset. The rest is left as it is.
    Id {
        offset: usize,
        width: usize,
    },
    Query(Arc<Questions>),
    Captured(Arc<Trace>),
}

impl Payload {
    pub(super) fn new(plan: &Plan) -> Self {
        if let Some(questions) = &plan.questions {
            return Self::Query(Arc::clone(questions));
        }
        if let Some(trace) = plan.arrivals.trace().filter(|t| t.keeps_payloads()) {
            return Self::Captured(Arc::clone(trace));
        }
        match (plan.framing, plan.matching) {
            (Framing::Framed, _) => {
                let common = |(i, class)| {
                    (header_of(class, plan.wants_refusal), plan.bodies.get(i).cloned())
                };
                Self::Framed(plan.classes.iter().enumerate().map(common).collect())
            }
            (Framing::Raw, Matching::Id { offset, width }) => {
                Self::Id { offset: usize::from(offset), width: usize::from(width) }
            }
            (Framing::Raw, _) => Self::Id { offset: 0, width: 8 },
        }
    }

    /// Writes as many requests of `due`, one behind the other, as fit into `into`; the first of them is `id`.
    #[inline]
    pub(super) fn write_all(&self, due: &Due, id: u64, intended: Instant, into: &mut [u8]) {
        // An empty payload says nothing.
        let each = into.chunks_exact_mut((due.size as usize).max(1));
        match self {
            Self::Id { offset: 0, width: 8 } => {
                (id..)
                    .zip(each)
                    .for_each(|(id, into)| into[..8].copy_from_slice(&id.to_be_bytes()));
            }
            _ => (id..).zip(each).for_each(|(id, into)| self.write(due, id, intended, into)),
        }
    }

    /// Writes request `id`, which is one of `due` and was intended for `intended`.
    #[inline]
    pub(super) fn write(&self, due: &Due, id: u64, intended: Instant, into: &mut [u8]) {
        match self {
            Self::Id { offset: 0, width: 8 } => into[..8].copy_from_slice(&id.to_be_bytes()),
            Self::Id { offset, width } => {
                let bytes = id.to_be_bytes();
                into[*offset..offset + width].copy_from_slice(&bytes[8 - width..]);
            }
            Self::Framed(classes) => {
                let (header, body) = &classes[usize::from(due.class)];
                let mut header = *header;
                header.request = U64::new(id);
                header.flow = U32::new(u32::from(due.socket.0));
                header.stamp = U32::new(low_32(intended.as_nanos() / 1_000));
                into[..LEN].copy_from_slice(header.as_bytes());
                if let Some(body) = body {
                    into[LEN..].copy_from_slice(body);
                }
            }
            Self::Query(questions) => questions.write(due.content, low_16(id), into),
            Self::Captured(trace) => {
                let start = usize::try_from(due.content).unwrap_or(0);
                if let Some(payload) = trace.payload(start, into.len()) {
                    into.copy_from_slice(payload);
                }
            }
        }
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

/// The low half: budgets fit it, stamps wrap by design.
fn low_32(n: u64) -> u32 {
    u32::try_from(n & u64::from(u32::MAX)).unwrap_or(u32::MAX)
}

/// The low quarter: ids of queries wrap by design.
fn low_16(n: u64) -> u16 {
    u16::try_from(n & u64::from(u16::MAX)).unwrap_or(u16::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::{Nanos, Priority, SocketId};

    fn written(plan: &Plan, id: u64, size: usize) -> Vec<u8> {
        let mut bytes = vec![0xee; size];
        let due =
            Due { at: Nanos::ZERO, class: 0, socket: SocketId(5), size: 0, content: 3, stretch: 0 };
        Payload::new(plan).write(&due, id, Instant::from_nanos(9_000), &mut bytes);
        bytes
    }

    #[test]
    fn a_framed_request_says_what_its_class_asks_for() {
        let mut p = Plan::single("a", "127.0.0.1:9".parse().unwrap());
        p.classes[0].priority = Some(Priority::Medium);
        p.classes[0].budget = Some(Nanos::from_millis(3));
        p.classes[0].kernel = 7;
        let bytes = written(&p, 42, 64);
        let (h, kind) = Header::parse(&bytes).unwrap();
        assert_eq!(kind, crate::packet::framed::Kind::Request);
        assert_eq!((h.request.get(), h.status, h.budget_us.get()), (42, 1, 3_000));
        assert_eq!((h.kernel.get(), h.flow.get(), h.stamp.get()), (7, 5, 9));
        assert!(h.wants_refusal() && bytes[LEN..].iter().all(|b| *b == 0xee));
        p.bodies = vec![(0..32).collect()];
        assert_eq!(written(&p, 42, 64)[LEN..], p.bodies[0][..]);
    }

    #[test]
    fn raw_requests_carry_the_id_where_it_is_looked_for() {
        let mut p = Plan::single("a", "127.0.0.1:9".parse().unwrap());
        p.framing = Framing::Raw;
        assert_eq!(written(&p, 0x0102, 10), [0, 0, 0, 0, 0, 0, 1, 2, 0xee, 0xee]);
        p.matching = Matching::Id { offset: 1, width: 2 };
        assert_eq!(written(&p, 0xa_b0c0, 4), [0xee, 0xb0, 0xc0, 0xee]);
        p.questions = Some(Arc::new(Questions::read("a\nb\nc\nd").unwrap()));
        p.matching = Matching::Dns;
        let query = written(&p, 0x1_0007, 19);
        assert_eq!((&query[..2], &query[12..15]), (&[0, 7][..], &b"\x01d\0"[..]));
    }
}
