//! What a run is to offer: classes, rate, arrivals. Checked once, before anything is opened.
//!
//! Knows neither the command line nor sockets.

mod check;

use std::net::SocketAddr;
use std::sync::Arc;

use super::arrivals::{Arrivals, Stretch};
use super::dns::Questions;
use crate::base::{Nanos, Priority};
use crate::packet::{Dscp, framed};

pub use check::PlanError;

/// The highest rate that a plan may ask for, in packets a second: above it one thread cannot even draw the times.
pub const RATE_MAX: f64 = 20e6;
/// The most classes in one plan.
pub const CLASSES_MAX: usize = 64;
/// The most local sockets in one plan, all classes together.
pub const SOCKETS_MAX: usize = 4_096;
/// The longest burst, in packets.
pub const BURST_MAX: u32 = 4_096;
/// The most stretches of one plan.
pub const STRETCHES_MAX: usize = 64;
/// The smallest raw payload: the request id.
pub const RAW_SIZE_MIN: usize = 8;
/// The share of packets sent late up to which a result stands: 1 %. A hundredth is what p99 hides.
pub const LATE_SHARE_MAX: f64 = 0.01;

/// What a request looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// The 32-byte header, then filler.
    Framed,
    /// Eight bytes of request id, then filler.
    Raw,
}

impl Framing {
    /// The smallest payload that carries its request id.
    #[must_use]
    pub const fn size_min(self) -> usize {
        match self {
            Self::Framed => framed::LEN,
            Self::Raw => RAW_SIZE_MIN,
        }
    }

    /// The name in reports.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Framed => "framed",
            Self::Raw => "raw",
        }
    }
}

/// How an answer is paired with its request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Matching {
    /// By whichever of the next three the answer's own form allows; needs the checksum of every request.
    Auto,
    /// A framed answer or refusal carries the request id.
    Header,
    /// The answer is the request's payload.
    Echo,
    /// The answer is the CRC-32C of the request's payload.
    Crc32c,
    /// The answer carries these bytes of the request where the request had them.
    Id {
        /// Where they begin.
        offset: u16,
        /// How many they are: 1, 2, 4 or 8. We write the request's number there, unless the payload is not ours.
        width: u8,
    },
    /// DNS: by id and question.
    Dns,
    /// Not at all: no answer is expected.
    Nothing,
}

impl Matching {
    /// The name in reports and on the command line.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Header => "header",
            Self::Echo => "echo",
            Self::Crc32c => "crc32c",
            Self::Id { .. } => "id",
            Self::Dns => "dns",
            Self::Nothing => "none",
        }
    }
}

/// Which of a class's flows a packet (or a burst) goes by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FlowOrder {
    /// One after the other.
    RoundRobin,
    /// Drawn from the seed.
    Random,
}

/// Payload sizes in bytes, both ends included; equal ends are a fixed size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sizes {
    /// The smallest.
    pub min: usize,
    /// The largest.
    pub max: usize,
}

impl Sizes {
    /// Always `size` bytes.
    #[must_use]
    pub const fn fixed(size: usize) -> Self {
        Self { min: size, max: size }
    }
}

/// One class of the mix.
#[derive(Clone, Debug, PartialEq)]
pub struct Class {
    /// Its name in the report.
    pub name: String,
    /// Where its requests go.
    pub to: SocketAddr,
    /// Its weight, by packets; above 0.
    pub share: f64,
    /// Payload sizes.
    pub size: Sizes,
    /// Asked for in the header; `None` leaves it to the service's config.
    pub priority: Option<Priority>,
    /// Asked for in the header and judged by; `None` leaves it to the config and judges by the priority's default.
    pub budget: Option<Nanos>,
    /// Kernel number in the header; 0 is the ingress's own.
    pub kernel: u16,
    /// The code point of its packets; `None` leaves the socket's.
    pub dscp: Option<Dscp>,
}

impl Class {
    /// The budget that decides whether an answer was on time. Without a priority: that of the code point, or High's, the
    /// tightest.
    #[must_use]
    pub fn judged_budget(&self) -> Nanos {
        let marked = || self.dscp.filter(|d| d.get() != 0).and_then(Dscp::priority);
        let priority = self.priority.or_else(marked).unwrap_or(Priority::High);
        self.budget.unwrap_or_else(|| priority.default_budget())
    }
}

/// A whole run.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// The mix; 1 to [`CLASSES_MAX`].
    pub classes: Vec<Class>,
    /// Packets a second, all classes together; above 0, at most [`RATE_MAX`]. The mean, where the rate changes.
    pub rate: f64,
    /// For how long requests are sent.
    pub duration: Nanos,
    /// How the rate changes, one stretch after the other; at most [`STRETCHES_MAX`]. Empty: it does not.
    pub stretches: Vec<Stretch>,
    /// How the times are drawn.
    pub arrivals: Arrivals,
    /// Packets that share one intended time, class, flow and size; 1 to [`BURST_MAX`].
    pub burst: u32,
    /// Decides every draw.
    pub seed: u64,
    /// What requests look like.
    pub framing: Framing,
    /// What stands behind the header of each class's framed requests, as long as its sizes less the header. Empty: filler.
    pub bodies: Vec<Arc<[u8]>>,
    /// How answers are paired.
    pub matching: Matching,
    /// What is asked, where requests are DNS queries; their sizes then are the queries'.
    pub questions: Option<Arc<Questions>>,
    /// Framed requests ask to be told of a drop.
    pub wants_refusal: bool,
    /// Local sockets a class, each with its own port.
    pub flows: u16,
    /// How they take turns.
    pub flow_order: FlowOrder,
    /// Neighbours of one flow and size leave as one coalesced send.
    pub gso: bool,
    /// The most requests that may wait for an answer; those that are due meanwhile leave late, as a client's with so many
    /// connections would. `None`: an open loop.
    pub window: Option<u32>,
    /// Never sleep between sends.
    pub spin: bool,
    /// A packet sent later than this after its intended time counts as sent late. Default 1 ms.
    pub late_after: Nanos,
    /// The share of packets sent late up to which the result stands. Default [`LATE_SHARE_MAX`].
    pub late_share_max: f64,
    /// Keep the histograms of each second, for a log. Default false.
    pub keeps_seconds: bool,
}

impl Plan {
    /// One class `name` to `to` and the defaults for the rest: 10,000 packets/s for 10 s, Poisson, framed, 64 bytes.
    #[must_use]
    pub fn single(name: &str, to: SocketAddr) -> Self {
        let class = Class {
            name: name.to_owned(),
            to,
            share: 1.0,
            size: Sizes::fixed(64),
            priority: None,
            budget: None,
            kernel: 0,
            dscp: None,
        };
        Self {
            classes: vec![class],
            rate: 10_000.0,
            duration: Nanos::from_secs(10),
            stretches: Vec::new(),
            arrivals: Arrivals::Poisson,
            burst: 1,
            seed: 1,
            framing: Framing::Framed,
            bodies: Vec::new(),
            matching: Matching::Auto,
            questions: None,
            wants_refusal: true,
            flows: 1,
            flow_order: FlowOrder::RoundRobin,
            gso: true,
            window: None,
            spin: false,
            late_after: Nanos::from_millis(1),
            late_share_max: LATE_SHARE_MAX,
            keeps_seconds: false,
        }
    }

    /// Lets the rate follow `stretches`, and the duration and the mean rate with it.
    pub fn follow(&mut self, stretches: Vec<Stretch>) {
        self.duration = stretches.iter().fold(Nanos::ZERO, |sum, s| sum + s.length);
        let packets: f64 = stretches.iter().map(Stretch::packets).sum();
        self.rate = packets / self.duration.as_secs_f64();
        self.stretches = stretches;
    }

    /// The stretches, also where the rate does not change.
    #[must_use]
    pub fn course(&self) -> Vec<Stretch> {
        if self.stretches.is_empty() {
            return vec![Stretch { from: self.rate, to: self.rate, length: self.duration }];
        }
        self.stretches.clone()
    }

    /// The most packets a second that may wait for an answer: what the window of open requests is made for.
    pub(super) fn rate_max(&self) -> f64 {
        let steepest = self.stretches.iter().flat_map(|s| [s.from, s.to]).fold(self.rate, f64::max);
        match &self.arrivals {
            Arrivals::Bursts(bursts) => steepest * bursts.ratio,
            // A capture may crowd as it likes: all of it may come within a second.
            Arrivals::Replay(trace) => trace.packets_in_a_second_max(),
            _ => steepest,
        }
    }

    /// Payloads are those of a capture.
    #[must_use]
    pub fn keeps_payloads(&self) -> bool {
        self.arrivals.trace().is_some_and(|t| t.keeps_payloads())
    }

    /// How many local sockets the class at that place has.
    #[must_use]
    pub fn flows_of(&self, class: usize) -> u16 {
        let replayed = self.arrivals.trace().and_then(|t| t.flows().get(class).copied());
        replayed.unwrap_or(self.flows)
    }

    /// How many local sockets the plan asks for.
    #[must_use]
    pub fn sockets(&self) -> usize {
        (0..self.classes.len()).map(|class| usize::from(self.flows_of(class))).sum()
    }

    /// The largest payload of any class.
    #[must_use]
    pub fn size_max(&self) -> usize {
        let asked = self.questions.as_ref().map(|q| q.size_max());
        asked.unwrap_or_else(|| self.classes.iter().map(|c| c.size.max).max().unwrap_or(0))
    }

    /// How long after the last send answers are still waited for: half a second, or two budgets where that is longer.
    #[must_use]
    pub fn grace(&self) -> Nanos {
        let longest = self.classes.iter().map(Class::judged_budget).max().unwrap_or_default();
        longest.saturating_mul(2).max(Nanos::from_millis(500))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grace_is_two_budgets_but_never_less_than_half_a_second() {
        let mut p = Plan::single("a", "127.0.0.1:9".parse().unwrap());
        assert_eq!(p.grace(), Nanos::from_millis(500));
        p.classes[0].budget = Some(Nanos::from_secs(2));
        assert_eq!(p.grace(), Nanos::from_secs(4));
    }

    #[test]
    fn a_class_is_judged_by_what_it_says_of_itself() {
        let mut class = Plan::single("a", "127.0.0.1:9".parse().unwrap()).classes.remove(0);
        assert_eq!(class.judged_budget(), Nanos::from_millis(1));
        class.dscp = Some(Dscp::from_tos(8 << 2));
        assert_eq!(class.judged_budget(), Priority::BestEffort.default_budget());
        class.priority = Some(Priority::Medium);
        assert_eq!(class.judged_budget(), Nanos::from_millis(10));
        class.budget = Some(Nanos::from_secs(1));
        assert_eq!(class.judged_budget(), Nanos::from_secs(1));
    }

    #[test]
    fn a_changing_rate_sets_duration_and_mean() {
        let mut p = Plan::single("a", "127.0.0.1:9".parse().unwrap());
        let length = Nanos::from_secs(1);
        p.follow(vec![
            Stretch { from: 100.0, to: 100.0, length },
            Stretch { from: 100.0, to: 500.0, length },
        ]);
        assert_eq!((p.duration, p.rate.round()), (Nanos::from_secs(2), 200.0));
        assert_eq!(p.check(), Ok(()));
    }
}
