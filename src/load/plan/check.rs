//! Whether a plan can be run.
//!
//! Knows nothing that needs the machine: everything is found before anything is opened.

use std::sync::Arc;

use super::{
    BURST_MAX, CLASSES_MAX, Class, Framing, Matching, Plan, RATE_MAX, SOCKETS_MAX, STRETCHES_MAX,
    Sizes,
};
use crate::base::Nanos;
use crate::base::limits::{BUDGET_MAX, DATAGRAM_MAX};
use crate::load::arrivals::{Arrivals, Stretch};
use crate::packet::framed;

/// The most bursts of one run: their times are drawn before it.
const WAVES_MAX: u32 = 100_000;

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
    #[error(
        "raw requests carry no header to match answers by: use echo, crc32c, id@OFFSET, dns or auto"
    )]
    Matching,
    /// An id is not 1, 2, 4 or 8 bytes wide.
    #[error("an id of {0} bytes cannot be matched: 1, 2, 4 or 8 can")]
    IdWidth(u8),
    /// DNS pairing of requests that are no queries.
    #[error(
        "to match dns, requests must be queries: give --names or --zone, or replay a capture of queries"
    )]
    NoQuestions,
    /// Queries are asked, and answers paired otherwise, or with a header.
    #[error("DNS queries are raw, and their answers are matched by dns")]
    Questions,
    /// None of the rates above 0, one not finite or above [`RATE_MAX`], a length of 0, or too many.
    #[error(
        "the rate cannot follow these stretches: up to {STRETCHES_MAX}, each longer than 0, of 0 to 20 million packets/s, \
         one of them above 0"
    )]
    Stretches,
    /// A ratio or a length out of bounds, or too many bursts.
    #[error(
        "these bursts cannot be drawn: the ratio must be 1 to 10000, each length 1us to 1h, and a run may have {WAVES_MAX} \
         of them"
    )]
    Bursts,
    /// A window of no requests, or one where no answers are expected.
    #[error("a window must be at least 1, and needs answers that open it again")]
    Window,
    /// Bodies are for framed requests of a fixed size, one for each class.
    #[error(
        "class `{0}`: what stands behind its header must be as long as its requests, which are framed"
    )]
    Body(String),
    /// Not a share.
    #[error("the share of late packets that is allowed must be 0 to 1, not {0}")]
    LateShare(f64),
}

impl Plan {
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
        if self.flows == 0 || self.sockets() == 0 || self.sockets() > SOCKETS_MAX {
            return Err(PlanError::Flows(self.sockets()));
        }
        if self.burst == 0 || self.burst > BURST_MAX {
            return Err(PlanError::Burst(self.burst));
        }
        if !(0.0..=1.0).contains(&self.late_share_max) {
            return Err(PlanError::LateShare(self.late_share_max));
        }
        if self.window == Some(0) || self.window.is_some() && self.matching == Matching::Nothing {
            return Err(PlanError::Window);
        }
        self.check_course()?;
        let least = self.check_matching()?;
        for (i, class) in self.classes.iter().enumerate() {
            if self.classes[..i].iter().any(|c| c.name == class.name) {
                return Err(PlanError::Name(class.name.clone()));
            }
            check_class(class, least)?;
            self.check_body(i, class)?;
        }
        Ok(())
    }

    fn check_body(&self, at: usize, class: &Class) -> Result<(), PlanError> {
        let fits = |body: &Arc<[u8]>| {
            let size = framed::LEN + body.len();
            self.framing == Framing::Framed && class.size == Sizes::fixed(size)
        };
        if self.bodies.is_empty() || self.bodies.get(at).is_some_and(fits) {
            return Ok(());
        }
        Err(PlanError::Body(class.name.clone()))
    }

    fn check_course(&self) -> Result<(), PlanError> {
        let fits = |s: &Stretch| {
            let rates = [s.from, s.to];
            s.length > Nanos::ZERO && rates.iter().all(|r| (0.0..=RATE_MAX).contains(r))
        };
        if self.stretches.len() > STRETCHES_MAX || !self.stretches.iter().all(fits) {
            return Err(PlanError::Stretches);
        }
        let Arrivals::Bursts(bursts) = self.arrivals else { return Ok(()) };
        let length = Nanos::from_micros(1)..=Nanos::from_secs(3_600);
        let one = (bursts.on + bursts.off).as_secs_f64();
        let fits = (1.0..=10_000.0).contains(&bursts.ratio)
            && length.contains(&bursts.on)
            && length.contains(&bursts.off)
            && self.duration.as_secs_f64() / one <= f64::from(WAVES_MAX);
        if fits { Ok(()) } else { Err(PlanError::Bursts) }
    }

    /// Whether answers can be paired; the smallest payload with which they can.
    fn check_matching(&self) -> Result<usize, PlanError> {
        let raw = self.framing == Framing::Raw;
        let foreign = self.keeps_payloads();
        if self.questions.is_some() {
            let fits = raw && self.matching == Matching::Dns && !foreign;
            return if fits { Ok(0) } else { Err(PlanError::Questions) };
        }
        match self.matching {
            Matching::Header if raw => Err(PlanError::Matching),
            Matching::Dns if !foreign => Err(PlanError::NoQuestions),
            Matching::Id { width, .. } if !matches!(width, 1 | 2 | 4 | 8) => {
                Err(PlanError::IdWidth(width))
            }
            _ if foreign => Ok(0),
            Matching::Id { offset, width } => Ok(usize::from(offset) + usize::from(width)),
            _ => Ok(self.framing.size_min()),
        }
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
    use crate::load::arrivals::Bursts;
    use crate::load::dns::Questions;

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
        let length = Nanos::from_secs(1);
        let stretch = |from, to| vec![Stretch { from, to, length }];
        for (from, to) in [(-1.0, 5.0), (1.0, f64::INFINITY), (21e6, 1.0)] {
            let fault = with(&|p| p.stretches = stretch(from, to));
            assert_eq!(fault, PlanError::Stretches, "{from} {to}");
        }
        assert!(matches!(with(&|p| p.follow(stretch(0.0, 0.0))), PlanError::Rate(_)));
        let bursts = |ratio, on| Arrivals::Bursts(Bursts { ratio, on, ..Bursts::default() });
        assert_eq!(with(&|p| p.arrivals = bursts(0.5, length)), PlanError::Bursts);
        assert_eq!(with(&|p| p.arrivals = bursts(2.0, Nanos::ZERO)), PlanError::Bursts);
        let many = with(&|p| {
            p.arrivals = bursts(2.0, Nanos::from_micros(1));
            p.duration = Nanos::from_secs(20_000);
        });
        assert_eq!(many, PlanError::Bursts);
        assert_eq!(with(&|p| p.window = Some(0)), PlanError::Window);
        assert_eq!(with(&|p| p.late_share_max = 1.5), PlanError::LateShare(1.5));
    }

    #[test]
    fn a_body_is_what_a_framed_request_has_behind_its_header() {
        let with = |framing, len| {
            let mut p = plan();
            (p.framing, p.bodies) = (framing, vec![vec![7; len].into()]);
            p.check()
        };
        assert_eq!(with(Framing::Framed, 32), Ok(()), "32 and 32 are the 64 of a request");
        assert_eq!(with(Framing::Framed, 33), Err(PlanError::Body("a".to_owned())));
        assert_eq!(with(Framing::Raw, 32), Err(PlanError::Body("a".to_owned())));
    }

    #[test]
    fn what_cannot_be_paired_is_refused() {
        let with = |change: &dyn Fn(&mut Plan)| {
            let mut p = plan();
            p.framing = Framing::Raw;
            change(&mut p);
            p.check()
        };
        let id = |offset, width| Matching::Id { offset, width };
        assert_eq!(with(&|p| p.matching = id(0, 3)), Err(PlanError::IdWidth(3)));
        assert_eq!(with(&|p| p.matching = id(56, 8)), Ok(()));
        let fault = with(&|p| p.matching = id(57, 8)).unwrap_err();
        assert!(matches!(fault, PlanError::Size { least: 65, .. }), "{fault}");
        assert_eq!(with(&|p| p.matching = Matching::Dns), Err(PlanError::NoQuestions));
        let questions = || Some(Arc::new(Questions::read("a").unwrap()));
        assert_eq!(with(&|p| p.questions = questions()), Err(PlanError::Questions));
        let asked = with(&|p| {
            (p.questions, p.matching) = (questions(), Matching::Dns);
            p.classes[0].size = Sizes::fixed(1);
        });
        assert_eq!(asked, Ok(()));
    }
}
