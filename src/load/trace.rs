//! A capture made ready to be offered again: each datagram's time, size, class and flow.
//!
//! Knows no sockets. A class is a destination port and code point; a flow is a source address, on a local socket of its own.

use std::collections::BTreeMap;
use std::io::Read;
use std::net::{IpAddr, SocketAddr};

use super::plan::{CLASSES_MAX, Class, SOCKETS_MAX, Sizes};
use crate::base::limits::DATAGRAM_MAX;
use crate::base::{Nanos, Priority, WallTime};
use crate::packet::Dscp;
use crate::packet::capture::{self, CaptureError, Captured, Contents};

/// The most datagrams of one replay: 32 bytes each.
pub(super) const PACKETS_MAX: usize = 1 << 24;
/// The most payload bytes of one replay.
pub(super) const PAYLOAD_MAX: usize = 1 << 30;

/// Where the datagrams of a capture are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReplayTo {
    /// All of them there.
    Address(SocketAddr),
    /// To this host, each to the port that it was captured to.
    Host(IpAddr),
}

/// How a capture is offered.
#[derive(Clone, Debug, PartialEq)]
pub struct ReplayOptions {
    /// Where to.
    pub to: ReplayTo,
    /// How many times faster than it was captured; above 0.
    pub speed: f64,
    /// Payloads as captured; else they are ours, of the same length.
    pub keep: bool,
    /// Only datagrams to these ports; empty means all.
    pub ports: Vec<u16>,
    /// How often the whole is offered, one time after the other.
    pub repeat: u32,
    /// A capture that is cut off is offered up to there.
    pub partial: bool,
    /// What its answers are judged by.
    pub budget: Option<Nanos>,
    /// Asked for in the header, where requests are framed; judged by, where there is no budget.
    pub priority: Option<Priority>,
    /// Local sockets a class, at most; further sources share them.
    pub flows_max: u16,
}

/// Why a capture cannot be offered.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum ReplayError {
    /// The file.
    #[error(transparent)]
    Capture(#[from] CaptureError),
    /// Nothing in it is to be sent.
    #[error("no UDP datagram in it is to be sent ({} packets; {answers} answers, {elsewhere} to other ports)", contents.packets)]
    Nothing {
        /// What it holds.
        contents: Contents,
        /// Left out as answers.
        answers: u64,
        /// Left out by their port.
        elsewhere: u64,
    },
    /// More than memory is taken for.
    #[error("it has more than {PACKETS_MAX} datagrams or {PAYLOAD_MAX} bytes of payload")]
    TooLarge,
    /// More pairs of port and code point than classes.
    #[error(
        "its datagrams go to more than {CLASSES_MAX} ports and code points: choose with --ports, or give --to a port"
    )]
    Classes,
    /// Not a number above 0.
    #[error("a speed of {0} is not above 0")]
    Speed(f64),
}

/// One datagram of a replay.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Step {
    /// From the first one, at the speed of the replay.
    pub(super) at: Nanos,
    /// Where its payload begins, if that is kept.
    pub(super) start: u32,
    pub(super) size: u32,
    pub(super) class: u16,
    /// Its local socket, counted through all classes.
    pub(super) socket: u16,
}

/// See the module.
#[derive(Clone, Debug, PartialEq)]
pub struct Trace {
    steps: Vec<Step>,
    bytes: Option<Vec<u8>>,
    flows: Vec<u16>,
    repeat: u32,
    /// From the beginning of one time to that of the next.
    period: Nanos,
    /// What was left out, and why.
    omitted: Omitted,
}

/// Datagrams of a capture that are not offered as they were, or not at all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Omitted {
    /// Packets that are no UDP.
    pub others: u64,
    /// Fragments.
    pub fragments: u64,
    /// They went back along a flow that another had opened: they answer.
    pub answers: u64,
    /// Not to one of the ports that were asked for.
    pub elsewhere: u64,
    /// The capture has only their beginning; the rest is filled.
    pub cut_short: u64,
    /// Sources that share a local socket with another one.
    pub shared: u64,
    /// The capture was cut off, and what came before that is offered.
    pub cut_off: bool,
}

impl Trace {
    /// Reads a capture. Gives the trace and the classes of a plan for it.
    ///
    /// # Errors
    /// [`ReplayError`].
    pub fn read(
        input: impl Read + Send,
        options: &ReplayOptions,
    ) -> Result<(Self, Vec<Class>), ReplayError> {
        if !(options.speed > 0.0 && options.speed.is_finite()) {
            return Err(ReplayError::Speed(options.speed));
        }
        let mut builder = Builder::new(options);
        match capture::read(input, |captured| builder.take(captured)) {
            Ok(contents) => builder.contents = contents,
            Err(CaptureError::Cut { read, .. }) if options.partial => {
                builder.contents = read;
                builder.omitted.cut_off = true;
            }
            Err(fault) => return Err(fault.into()),
        }
        builder.finish()
    }

    /// Local sockets of each class.
    #[must_use]
    pub fn flows(&self) -> &[u16] {
        &self.flows
    }

    /// Payloads are sent as captured.
    #[must_use]
    pub const fn keeps_payloads(&self) -> bool {
        self.bytes.is_some()
    }

    /// From the first datagram until after the last, all times.
    #[must_use]
    pub const fn duration(&self) -> Nanos {
        self.period.saturating_mul(self.repeat as u64)
    }

    /// Datagrams that are offered, all times.
    #[must_use]
    pub const fn packets(&self) -> u64 {
        self.steps.len() as u64 * self.repeat as u64
    }

    /// No second has more of them than there are.
    #[expect(clippy::cast_precision_loss, reason = "a bound for a table's size")]
    pub(super) const fn packets_in_a_second_max(&self) -> f64 {
        self.packets() as f64
    }

    /// What was left out.
    #[must_use]
    pub const fn omitted(&self) -> &Omitted {
        &self.omitted
    }

    /// The `n`-th datagram and its time; `None` when all are behind.
    #[inline]
    pub(super) fn step(&self, n: u64) -> Option<(Nanos, &Step)> {
        let (round, place) = (n / self.steps.len() as u64, n % self.steps.len() as u64);
        if round >= u64::from(self.repeat) {
            return None;
        }
        let step = &self.steps[usize::try_from(place).unwrap_or(0)];
        Some((self.period.saturating_mul(round) + step.at, step))
    }

    /// The captured payload of a datagram.
    #[inline]
    pub(super) fn payload(&self, start: usize, size: usize) -> Option<&[u8]> {
        self.bytes.as_ref().map(|bytes| &bytes[start..start + size])
    }
}

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

struct Builder<'a> {
    options: &'a ReplayOptions,
    contents: Contents,
    omitted: Omitted,
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
    const fn new(options: &'a ReplayOptions) -> Self {
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

    fn take(&mut self, captured: &Captured<'_>) {
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

    fn finish(mut self) -> Result<(Trace, Vec<Class>), ReplayError> {
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

#[cfg(test)]
mod tests;
