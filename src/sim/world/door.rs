//! How a stream's datagrams look on the wire: from whom they come, their mark, their header, their class.
//!
//! Knows no queue and no time.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use zerocopy::IntoBytes as _;

use super::options::{Service, Stream};
use super::tag::{self, Tag};
use crate::base::{Nanos, Priority};
use crate::classify::{Class, Classifier, Classify, Input};
use crate::dataplane::{Framing, Order};
use crate::packet::framed::{self, Header};

/// A stream as the driver needs it.
#[derive(Debug)]
pub(super) struct Door {
    /// TOS byte.
    pub(super) tos: u8,
    framed: bool,
    asked: Option<Priority>,
    budgets: Vec<Nanos>,
    /// What each of `budgets` (or none) was granted; one entry at least.
    granted: Vec<Nanos>,
    enforced: bool,
    /// Each flow's results leave in the order in which its packets came.
    pub(super) ordered: bool,
    pub(super) size: usize,
}

/// The standard mark of a class: EF, AF41, AF11 and CS1, shifted over the two ECN bits.
const MARKS: [u8; 4] = [46 << 2, 34 << 2, 10 << 2, 8 << 2];

impl Door {
    /// `None`: the ingress would not take such a datagram for that class.
    pub(super) fn new(service: &Service, stream: &Stream) -> Option<Self> {
        let (ingress, _) = service.ingresses.get(stream.ingress)?;
        let framed = ingress.framing == Framing::Framed;
        let header = matches!(ingress.classify.classify, Classify::Header | Classify::Workload(_));
        let marked = matches!(ingress.classify.classify, Classify::Dscp);
        let mut door = Self {
            tos: if marked { MARKS[stream.priority.index()] } else { 0 },
            framed,
            asked: header.then_some(stream.priority),
            budgets: if framed { stream.budgets.clone() } else { Vec::new() },
            granted: Vec::new(),
            enforced: stream.priority.enforces_deadline(),
            ordered: ingress.order == Order::Flow,
            size: stream.size.max(tag::LEN),
        };
        let classifier = Classifier::new(&ingress.classify);
        for turn in 0..door.budgets.len().max(1) {
            let head = door.head(turn, 0);
            let input = Input { tos: door.tos, header: framed.then_some(&head), len: door.len() };
            let Class { priority, budget } = classifier.classify(&input).ok()?;
            if priority != stream.priority {
                return None;
            }
            door.granted.push(budget);
        }
        Some(door)
    }

    /// Bytes on the wire.
    pub(super) const fn len(&self) -> usize {
        self.size + if self.framed { framed::LEN } else { 0 }
    }

    fn head(&self, turn: usize, flow: u32) -> Header {
        let mut head = Header::request(turn as u64);
        if let Some(priority) = self.asked {
            head.status = u8::try_from(priority.index()).unwrap_or(framed::PRIORITY_BY_CONFIG);
        }
        head.flow = flow.into();
        if let Some(budget) = self.budgets.get(turn % self.budgets.len().max(1)) {
            head.budget_us = u32::try_from(budget.as_micros()).unwrap_or(u32::MAX).into();
        }
        head
    }

    /// The budget that the flow's `seq`-th datagram is granted; none where the class enforces none.
    pub(super) fn budget(&self, seq: u64) -> Option<Nanos> {
        self.enforced.then(|| self.granted[self.turn(seq)])
    }

    fn turn(&self, seq: u64) -> usize {
        let turns = self.granted.len().max(1) as u64;
        usize::try_from(seq % turns).unwrap_or(0)
    }

    /// Writes the datagram into `buffer`, which is zero beyond what was written before; says how long it is.
    pub(super) fn write(&self, tag: &Tag, buffer: &mut [u8]) -> usize {
        if self.framed {
            let head = self.head(self.turn(tag.seq), tag.flow);
            buffer[..framed::LEN].copy_from_slice(head.as_bytes());
            tag.write(&mut buffer[framed::LEN..]);
            buffer[framed::LEN + tag::LEN..self.len()].fill(0);
        } else {
            tag.write(buffer);
            buffer[tag::LEN..self.len()].fill(0);
        }
        self.len()
    }
}

/// The address of a flow's client: one each, no service's port.
pub(super) fn peer_of(stream: u16, flow: u32) -> SocketAddr {
    let [_, s] = stream.to_be_bytes();
    let [a, b, c, d] = flow.to_be_bytes();
    let port = 20_000 + (u16::from(a) << 8 | u16::from(b)) % 20_000;
    SocketAddr::new(IpAddr::V4(Ipv4Addr::new(10, s, c, d)), port)
}
