//! What a run is to offer: classes, rate, arrivals. Checked once, before anything is opened.
//!
//! Knows neither the command line nor sockets.

use std::net::SocketAddr;

use crate::base::limits::{BUDGET_MAX, DATAGRAM_MAX};
use crate::base::{Nanos, Priority};
use crate::packet::framed;

/// The highest rate that a plan may ask for, in packets a second: above it one thread cannot even draw the times.
pub const RATE_MAX: f64 = 20e6;
/// The most classes in one plan.
pub const CLASSES_MAX: usize = 64;
/// The most local sockets in one plan, all classes together.
pub const SOCKETS_MAX: usize = 4_096;
/// The longest burst, in packets.
pub const BURST_MAX: u32 = 4_096;
/// The smallest raw payload: the request id.
pub const RAW_SIZE_MIN: usize = 8;

/// How the intended send times are drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrivals {
    /// Exponential gaps: independent clients.
    Poisson,
    /// Equal gaps.
    Uniform,
}

impl Arrivals {
    /// The name in reports and on the command line.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Poisson => "poisson",
            Self::Uniform => "uniform",
        }
    }
}

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
    /// By whichever of the other three the answer's own form allows; needs the checksum of every request.
    Auto,
    /// A framed answer or refusal carries the request id.
    Header,
    /// The answer is the request's payload.
    Echo,
    /// The answer is the CRC-32C of the request's payload.
    Crc32c,
}

impl Matching {
    /// Whether requests must be found by their checksum.
    #[must_use]
    pub const fn wants_checksum(self) -> bool {
        matches!(self, Self::Auto | Self::Crc32c)
    }

    /// The name in reports and on the command line.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Header => "header",
            Self::Echo => "echo",
            Self::Crc32c => "crc32c",
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
}

impl Class {
    /// The budget that decides whether an answer was on time. Without a priority: High's, the tightest.
    #[must_use]
    pub fn judged_budget(&self) -> Nanos {
        self.budget.unwrap_or_else(|| self.priority.unwrap_or(Priority::High).default_budget())
    }
}

/// A whole run.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// The mix; 1 to [`CLASSES_MAX`].
    pub classes: Vec<Class>,
    /// Packets a second, all classes together; above 0, at most [`RATE_MAX`].
    pub rate: f64,
    /// For how long requests are sent.
    pub duration: Nanos,
    /// How their times are drawn.
    pub arrivals: Arrivals,
    /// Packets that share one intended time, class, flow and size; 1 to [`BURST_MAX`].
    pub burst: u32,
    /// Decides every draw.
    pub seed: u64,
    /// What requests look like.
    pub framing: Framing,
    /// How answers are paired.
    pub matching: Matching,
    /// Framed requests ask to be told of a drop.
    pub wants_refusal: bool,
    /// Local sockets a class, each with its own port.
    pub flows: u16,
    /// How they take turns.
    pub flow_order: FlowOrder,
    /// Neighbours of one flow and size leave as one coalesced send.
    pub gso: bool,
    /// Never sleep between sends.
    pub spin: bool,
    /// A packet sent later than this after its intended time counts as sent late. Default 1 ms.
    pub late_after: Nanos,
}

/// Why a plan cannot be run.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum PlanError {
    /// Not a number above 0 and up to [`RATE_MAX`].
    #[error("a rate of {0} packets/s cannot be offered: it must be above 0 and at most 20 million")]
    Rate(f64),
    /// Zero.
    #[error("the duration must be above 0")]
    Duration,
    /// None, or more than [`CLASSES_MAX`].
    #[error("{0} classes: there must be 1 to {CLASSES_MAX}")]
    Classes(usize),
    /// Two classes have one name.
    #[error("two classes are named `{0}`")]
    Name(String),
    /// Not a number above 0.
    #[error("class `{0}`: the share must be a number above 0, not {1}")]
    Share(String, f64),
    /// Outside what the framing and UDP allow.
    #[error("class `{name}`: sizes {min}..{max} must lie within {least}..{DATAGRAM_MAX}")]
    Size {
        /// The class.
        name: String,
        /// Asked for.
        min: usize,
        /// Asked for.
        max: usize,
        /// The least that the framing allows.
        least: usize,
    },
    /// Below 1 us or above [`BUDGET_MAX`].
    #[error("class `{0}`: a budget of {1} is not within 1us..60s")]
    Budget(String, Nanos),
    /// Port 0 cannot be sent to.
    #[error("class `{0}`: nothing can be sent to port 0")]
    Port(String),
    /// None, or more than [`SOCKETS_MAX`] in all.
    #[error("{0} local sockets: there must be 1 to {SOCKETS_MAX} in all")]
    Flows(usize),
    /// Outside 1 to [`BURST_MAX`].
    #[error("bursts of {0} packets: there must be 1 to {BURST_MAX}")]
    Burst(u32),
    /// Header pairing was asked of raw requests.
    #[error("raw requests carry no header to match answers by: use echo, crc32c or auto")]
    Matching,
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
        };
        Self {
            classes: vec![class],
            rate: 10_000.0,
            duration: Nanos::from_secs(10),
            arrivals: Arrivals::Poisson,
            burst: 1,
            seed: 1,
            framing: Framing::Framed,
            matching: Matching::Auto,
            wants_refusal: true,
            flows: 1,
            flow_order: FlowOrder::RoundRobin,
            gso: true,
            spin: false,
            late_after: Nanos::from_millis(1),
        }
    }

    /// How many local sockets the plan asks for.
    #[must_use]
    pub fn sockets(&self) -> usize {
        self.classes.len().saturating_mul(usize::from(self.flows))
    }

    /// The largest payload of any class.
    #[must_use]
    pub fn size_max(&self) -> usize {
        self.classes.iter().map(|c| c.size.max).max().unwrap_or(0)
    }

    /// How long after the last send answers are still waited for: half a second, or two budgets where that is longer.
    #[must_use]
    pub fn grace(&self) -> Nanos {
        let longest = self.classes.iter().map(Class::judged_budget).max().unwrap_or_default();
        longest.saturating_mul(2).max(Nanos::from_millis(500))
    }

    /// Checks the whole plan.
    ///
    /// # Errors
    /// The first fault found.
    pub fn check(&self) -> Result<(), PlanError> {
        if !(self.rate > 0.0 && self.rate <= RATE_MAX) {
            return Err(PlanError::Rate(self.rate));
        }
        if self.duration == Nanos::ZERO {
            return Err(PlanError::Duration);
        }
        if self.classes.is_empty() || self.classes.len() > CLASSES_MAX {
            return Err(PlanError::Classes(self.classes.len()));
        }
        if self.flows == 0 || self.sockets() > SOCKETS_MAX {
            return Err(PlanError::Flows(self.sockets()));
        }
        if self.burst == 0 || self.burst > BURST_MAX {
            return Err(PlanError::Burst(self.burst));
        }
        if self.framing == Framing::Raw && self.matching == Matching::Header {
            return Err(PlanError::Matching);
        }
        for (i, class) in self.classes.iter().enumerate() {
            if self.classes[..i].iter().any(|c| c.name == class.name) {
                return Err(PlanError::Name(class.name.clone()));
            }
            check_class(class, self.framing.size_min())?;
        }
        Ok(())
    }
}

fn check_class(class: &Class, least: usize) -> Result<(), PlanError> {
    let name = || class.name.clone();
    let Sizes { min, max } = class.size;
    if !(class.share > 0.0 && class.share.is_finite()) {
        return Err(PlanError::Share(name(), class.share));
    }
    if min < least || max < min || max > DATAGRAM_MAX {
        return Err(PlanError::Size { name: name(), min, max, least });
    }
    if class.to.port() == 0 {
        return Err(PlanError::Port(name()));
    }
    match class.budget {
        Some(b) if b < Nanos::from_micros(1) || b > BUDGET_MAX => Err(PlanError::Budget(name(), b)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan() -> Plan {
        Plan::single("a", "127.0.0.1:9".parse().unwrap())
    }

    #[test]
    fn each_fault_has_its_name() {
        assert_eq!(plan().check(), Ok(()));
        let with = |change: &dyn Fn(&mut Plan)| {
            let mut p = plan();
            change(&mut p);
            p.check().unwrap_err()
        };
        assert_eq!(with(&|p| p.rate = 0.0), PlanError::Rate(0.0));
        assert!(matches!(with(&|p| p.rate = f64::NAN), PlanError::Rate(_)));
        assert_eq!(with(&|p| p.rate = 20.1e6), PlanError::Rate(20.1e6));
        assert_eq!(with(&|p| p.duration = Nanos::ZERO), PlanError::Duration);
        assert_eq!(with(&|p| p.classes.clear()), PlanError::Classes(0));
        assert_eq!(with(&|p| p.flows = 0), PlanError::Flows(0));
        assert_eq!(with(&|p| p.flows = 4_097), PlanError::Flows(4_097));
        assert_eq!(with(&|p| p.burst = 0), PlanError::Burst(0));
        assert!(matches!(with(&|p| p.classes[0].share = -1.0), PlanError::Share(..)));
        assert!(matches!(with(&|p| p.classes[0].size.min = 31), PlanError::Size { least: 32, .. }));
        assert!(matches!(with(&|p| p.classes[0].to.set_port(0)), PlanError::Port(_)));
        assert!(matches!(with(&|p| p.classes[0].budget = Some(Nanos::MAX)), PlanError::Budget(..)));
        let twice = with(&|p| p.classes = vec![p.classes[0].clone(), p.classes[0].clone()]);
        assert_eq!(twice, PlanError::Name("a".to_owned()));
        let raw = with(&|p| {
            p.framing = Framing::Raw;
            p.matching = Matching::Header;
        });
        assert_eq!(raw, PlanError::Matching);
    }

    #[test]
    fn grace_is_two_budgets_but_never_less_than_half_a_second() {
        let mut p = plan();
        assert_eq!(p.grace(), Nanos::from_millis(500));
        p.classes[0].budget = Some(Nanos::from_secs(2));
        assert_eq!(p.grace(), Nanos::from_secs(4));
    }
}
