//! A capture made ready to be offered again: each datagram's time, size, class and flow.
//!
//! Knows no sockets. A class is a destination port and code point; a flow is a source address, on a local socket of its own.

mod builder;

use std::io::Read;
use std::net::{IpAddr, SocketAddr};

use super::plan::{CLASSES_MAX, Class};
use crate::base::{Nanos, Priority};
use crate::packet::capture::{self, CaptureError, Contents};

use builder::Builder;

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

#[cfg(test)]
mod tests;
