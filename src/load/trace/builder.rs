//! Makes a trace of a capture, datagram by datagram.
//!
//! Knows no file: it is given what was captured.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use super::{Omitted, PACKETS_MAX, PAYLOAD_MAX, ReplayError, ReplayOptions, ReplayTo, Step, Trace};
use crate::base::limits::DATAGRAM_MAX;
use crate::base::{Nanos, WallTime};
use crate::load::plan::{CLASSES_MAX, Class, SOCKETS_MAX, Sizes};
use crate::packet::Dscp;
use crate::packet::capture::{Captured, Contents};

/// A flow and where it goes.
type Ends = (SocketAddr, SocketAddr);

#[derive(Debug)]
struct Draft {
    at: WallTime,
    start: u32,
    size: u32,
    class: u16,
    flow: u16,
}

pub(super) struct Builder<'a> {
    options: &'a ReplayOptions,
    pub(super) contents: Contents,
    pub(super) omitted: Omitted,
    drafts: Vec<Draft>,
    bytes: Vec<u8>,
    /// Class by port and code point.
    classes: BTreeMap<(u16, u8), u16>,
    sizes: Vec<Sizes>,
    /// Flow by class and source; and how many each class has.
    flows: BTreeMap<(u16, SocketAddr), u16>,
    counts: Vec<u16>,
    /// Both ends of every flow that was opened, as its opener sees it.
    opened: BTreeMap<Ends, ()>,
    fault: Option<ReplayError>,
}

impl<'a> Builder<'a> {
    pub(super) const fn new(options: &'a ReplayOptions) -> Self {
        Self {
            options,
            contents: Contents { packets: 0, datagrams: 0, fragments: 0, others: 0 },
            omitted: Omitted {
                others: 0,
                fragments: 0,
                answers: 0,
                elsewhere: 0,
                cut_short: 0,
                shared: 0,
                cut_off: false,
            },
            drafts: Vec::new(),
            bytes: Vec::new(),
            classes: BTreeMap::new(),
            sizes: Vec::new(),
            flows: BTreeMap::new(),
            counts: Vec::new(),
            opened: BTreeMap::new(),
            fault: None,
        }
    }

    pub(super) fn take(&mut self, captured: &Captured<'_>) {
        if self.fault.is_some() {
            return;
        }
        let (source, destination) = (captured.source, captured.destination);
        let ports = &self.options.ports;
        if !ports.is_empty() && !ports.contains(&destination.port()) {
            self.omitted.elsewhere += 1;
            return;
        }
        // Whoever sent first along a flow asks; what goes the other way answers, and is the service's to make.
        if self.opened.contains_key(&(destination, source)) {
            self.omitted.answers += 1;
            return;
        }
        self.opened.insert((source, destination), ());
        if let Err(fault) = self.keep(captured) {
            self.fault = Some(fault);
        }
    }

    fn keep(&mut self, captured: &Captured<'_>) -> Result<(), ReplayError> {
        let size = captured.len.min(DATAGRAM_MAX);
        let start = self.bytes.len();
        if self.drafts.len() == PACKETS_MAX || start + size > PAYLOAD_MAX {
            return Err(ReplayError::TooLarge);
        }
        let class = self.class_of(captured, size)?;
        let flow = self.flow_of(class, captured.source);
        if self.options.keep {
            self.bytes.extend_from_slice(captured.payload);
            self.bytes.resize(start + size, 0);
            self.omitted.cut_short += u64::from(captured.payload.len() < size);
        }
        let narrow = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        let (start, size) = (narrow(start), narrow(size));
        self.drafts.push(Draft { at: captured.at, start, size, class, flow });
        Ok(())
    }

    fn class_of(&mut self, captured: &Captured<'_>, size: usize) -> Result<u16, ReplayError> {
        let port = match self.options.to {
            ReplayTo::Address(to) => to.port(),
            ReplayTo::Host(_) => captured.destination.port(),
        };
        let known = self.sizes.len();
        let next = u16::try_from(known).unwrap_or(u16::MAX);
        let class = *self.classes.entry((port, captured.dscp.get())).or_insert(next);
        if usize::from(class) == known {
            if known == CLASSES_MAX {
                return Err(ReplayError::Classes);
            }
            self.sizes.push(Sizes::fixed(size));
            self.counts.push(0);
        }
        let sizes = &mut self.sizes[usize::from(class)];
        *sizes = Sizes { min: sizes.min.min(size), max: sizes.max.max(size) };
        Ok(class)
    }

    fn flow_of(&mut self, class: u16, source: SocketAddr) -> u16 {
        if let Some(flow) = self.flows.get(&(class, source)) {
            return *flow;
        }
        let sockets: usize = self.counts.iter().copied().map(usize::from).sum();
        let count = &mut self.counts[usize::from(class)];
        // Each class has one in any case.
        let room = sockets < SOCKETS_MAX - CLASSES_MAX && *count < self.options.flows_max;
        let flow = if room || *count == 0 {
            *count += 1;
            *count - 1
        } else {
            self.omitted.shared += 1;
            u16::try_from(self.flows.len() % usize::from(*count)).unwrap_or(0)
        };
        self.flows.insert((class, source), flow);
        flow
    }

    pub(super) fn finish(mut self) -> Result<(Trace, Vec<Class>), ReplayError> {
        if let Some(fault) = self.fault {
            return Err(fault);
        }
        self.omitted.others = self.contents.others;
        self.omitted.fragments = self.contents.fragments;
        // Captures of several interfaces, and of several queues, are not in order of time. The sort keeps ties as they are.
        self.drafts.sort_by_key(|d| d.at);
        let Some(first) = self.drafts.first().map(|d| d.at) else {
            let (answers, elsewhere) = (self.omitted.answers, self.omitted.elsewhere);
            return Err(ReplayError::Nothing { contents: self.contents, answers, elsewhere });
        };
        let mut base = 0_u16;
        let mut bases = Vec::with_capacity(self.counts.len());
        for count in &self.counts {
            bases.push(base);
            base += count;
        }
        let speed = self.options.speed;
        let step = |d: &Draft| Step {
            at: scaled(d.at.as_nanos() - first.as_nanos(), speed),
            start: d.start,
            size: d.size,
            class: d.class,
            socket: bases[usize::from(d.class)] + d.flow,
        };
        let steps: Vec<Step> = self.drafts.iter().map(step).collect();
        let span = steps.last().map_or(Nanos::ZERO, |s| s.at);
        // The next time begins one mean gap after the last datagram.
        let gap = span.get() / (steps.len() as u64 - 1).max(1);
        let period = span + Nanos::new(gap.max(1));
        let classes = self.classes();
        let trace = Trace {
            bytes: self.options.keep.then_some(self.bytes),
            flows: self.counts,
            repeat: self.options.repeat.max(1),
            omitted: self.omitted,
            steps,
            period,
        };
        Ok((trace, classes))
    }

    fn classes(&self) -> Vec<Class> {
        let several = self.sizes.len() > 1;
        let mut classes: Vec<(u16, Class)> = self
            .classes
            .iter()
            .map(|((port, dscp), number)| {
                let to = match self.options.to {
                    ReplayTo::Address(to) => to,
                    ReplayTo::Host(host) => SocketAddr::new(host, *port),
                };
                let name = match (several, dscp) {
                    (false, _) | (_, 0) => format!("port-{port}"),
                    (true, dscp) => format!("port-{port}-dscp-{dscp}"),
                };
                let class = Class {
                    name,
                    to,
                    share: 1.0,
                    size: self.sizes[usize::from(*number)],
                    priority: self.options.priority,
                    budget: self.options.budget,
                    kernel: 0,
                    dscp: Some(Dscp::from_tos(dscp << 2)),
                };
                (*number, class)
            })
            .collect();
        classes.sort_by_key(|(number, _)| *number);
        classes.into_iter().map(|(_, class)| class).collect()
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "2^53 ns are 104 days; `as` saturates"
)]
fn scaled(ns: u64, speed: f64) -> Nanos {
    Nanos::new((ns as f64 / speed).round() as u64)
}
