//! A packet's class from its header, its DSCP, its ingress and its size.
//!
//! Knows nothing of sockets: whoever received the packet hands over its TOS byte, its header and its length.
//!
//! What a peer says is a request. It is granted up to what its ingress allows: no priority above `allowed`, no budget longer
//! than the ingress's, the class's or the egress's.

use crate::base::{DropReason, Nanos, PerPriority, Priority};
use crate::packet::Dscp;
use crate::packet::framed::{self, Header};

use super::workload::{self, RequestMetadata};

/// Where an ingress takes the priority from. Each asks its sources in turn; the first that has an answer decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Classify {
    /// The ingress has one priority; peers have no say.
    Fixed(Priority),
    /// The DSCP, then the default. An unmarked packet (code point 0) is Low.
    Dscp,
    /// The header's priority, then the header's budget (the first of High, Medium, Low that gives as much; Low when none
    /// does), then the DSCP if there is a mark, then the default.
    Header,
    /// Seed 001's rules: the header's priority (0 is critical) and budget as the deadline, the length as the size.
    Workload(workload::Mode),
}

/// What one ingress, with its egress, is set to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// Where the priority comes from.
    pub classify: Classify,
    /// The priority of what no source decides; `None` drops it as unclassified.
    pub default: Option<Priority>,
    /// The highest priority that a peer may ask for. What the config says itself is not subject to it.
    pub allowed: Priority,
    /// The budget of each class.
    pub budgets: PerPriority<Nanos>,
    /// The ingress's own budget, in place of the class's.
    pub ingress_budget: Option<Nanos>,
    /// The egress's budget.
    pub egress_budget: Option<Nanos>,
}

impl Options {
    /// One way to classify, everything else at its default: peers may ask for High, what is undecided is best effort.
    #[must_use]
    pub fn new(classify: Classify) -> Self {
        Self {
            classify,
            default: Some(Priority::BestEffort),
            allowed: Priority::High,
            budgets: PerPriority::from_fn(Priority::default_budget),
            ingress_budget: None,
            egress_budget: None,
        }
    }
}

/// What is known of a packet before it has a class.
#[derive(Clone, Copy, Debug)]
pub struct Input<'a> {
    /// The IPv4 TOS byte or IPv6 traffic class.
    pub tos: u8,
    /// Its header, where the ingress is framed.
    pub header: Option<&'a Header>,
    /// The length of its payload in bytes.
    pub len: usize,
}

/// What a packet was granted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Class {
    /// Its priority.
    pub priority: Priority,
    /// The time it has from its arrival, at least 1 ns.
    pub budget: Nanos,
}

/// One ingress's rules, prepared: a bounded handful of comparisons a packet.
#[derive(Clone, Debug)]
pub struct Classifier {
    classify: Classify,
    default: Option<Priority>,
    allowed: Priority,
    /// What a packet of each class has at most.
    budgets: PerPriority<Nanos>,
    /// The class budgets themselves: what a header's budget is matched with.
    classes: PerPriority<Nanos>,
    /// The answer of every code point.
    dscp: [Option<Priority>; 64],
}

impl Classifier {
    /// Prepares the rules.
    #[must_use]
    pub fn new(options: &Options) -> Self {
        let tightest = |p: Priority| {
            let class = options.budgets[p];
            let own = match (options.ingress_budget, options.classify) {
                (None, _) => class,
                // One class: the ingress says what its budget is.
                (Some(ingress), Classify::Fixed(_)) => ingress,
                // Several: none gets longer than its own.
                (Some(ingress), _) => ingress.min(class),
            };
            own.min(options.egress_budget.unwrap_or(Nanos::MAX)).max(Nanos::new(1))
        };
        let mut dscp: [_; 64] = std::array::from_fn(|code_point| {
            let tos = u8::try_from(code_point << 2).unwrap_or_default();
            Dscp::from_tos(tos).priority()
        });
        if options.classify == Classify::Header {
            // Beside a header, a code point of zero is the absence of a mark: the default decides, not Low.
            dscp[0] = None;
        }
        Self {
            classify: options.classify,
            default: options.default,
            allowed: options.allowed,
            budgets: PerPriority::from_fn(tightest),
            classes: options.budgets,
            dscp,
        }
    }

    /// The packet's class.
    ///
    /// # Errors
    /// [`DropReason::ParseError`] when its header names a priority that does not exist;
    /// [`DropReason::Unclassified`] when no source decides and there is no default.
    #[inline]
    pub fn classify(&self, input: &Input<'_>) -> Result<Class, DropReason> {
        let asked = Asked::of(input)?;
        let requested = match self.classify {
            Classify::Fixed(p) => return Ok(self.grant(p, asked.budget)),
            Classify::Dscp => self.dscp[usize::from(input.tos >> 2)],
            Classify::Header => asked
                .priority
                .or_else(|| self.class_for(asked.budget?))
                .or_else(|| self.dscp[usize::from(input.tos >> 2)]),
            Classify::Workload(mode) => Some(by_workload(mode, &asked, input.len)),
        };
        let priority = match requested {
            Some(p) => p.max(self.allowed),
            None => self.default.ok_or(DropReason::Unclassified)?,
        };
        Ok(self.grant(priority, asked.budget))
    }

    /// The first class that gives at least that much time; Low for more than any gives.
    fn class_for(&self, budget: Nanos) -> Option<Priority> {
        let long_enough = |p: &Priority| self.classes[*p] >= budget;
        let [high, medium, low, _] = Priority::ALL;
        Some([high, medium].into_iter().find(long_enough).unwrap_or(low))
    }

    /// The tightest of ingress (or class), egress and request.
    #[inline]
    fn grant(&self, priority: Priority, asked: Option<Nanos>) -> Class {
        let most = self.budgets[priority];
        let budget = match asked {
            // A deadline that is not enforced costs its owner nothing: a tiny one would jump the queue for free.
            Some(asked) if priority.enforces_deadline() => most.min(asked),
            _ => most,
        };
        Class { priority, budget }
    }
}

/// What a header asks for.
#[derive(Clone, Copy, Debug)]
struct Asked {
    priority: Option<Priority>,
    budget: Option<Nanos>,
}

impl Asked {
    #[inline]
    fn of(input: &Input<'_>) -> Result<Self, DropReason> {
        let Some(header) = input.header else {
            return Ok(Self { priority: None, budget: None });
        };
        let priority = match header.status {
            framed::PRIORITY_BY_CONFIG => None,
            id => Some(Priority::from_wire(id).ok_or(DropReason::ParseError)?),
        };
        let us = header.budget_us.get();
        let budget = (us > 0).then(|| Nanos::from_micros(u64::from(us)));
        Ok(Self { priority, budget })
    }
}

fn by_workload(mode: workload::Mode, asked: &Asked, len: usize) -> Priority {
    let metadata = RequestMetadata {
        priority: asked.priority.map_or(1, Priority::wire_id),
        sla_deadline: asked.budget.map(|b| b.as_micros() / 1_000),
        batch_size: 1,
        input_size_bytes: Some(len),
        estimated_flops: None,
    };
    workload::determine(mode, &metadata).priority()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use zerocopy::byteorder::network_endian::U32;

    const EF: u8 = 46 << 2;
    const CS5: u8 = 40 << 2;
    const UNKNOWN: u8 = 56 << 2;

    fn header(status: u8, budget_us: u32) -> Header {
        let mut h = Header::request(7);
        h.status = status;
        h.budget_us = U32::new(budget_us);
        h
    }

    fn classify(options: &Options, tos: u8, header: Option<Header>) -> Result<Class, DropReason> {
        let input = Input { tos, header: header.as_ref(), len: 64 };
        Classifier::new(options).classify(&input)
    }

    fn priority(options: &Options, tos: u8, header: Option<Header>) -> Priority {
        classify(options, tos, header).unwrap().priority
    }

    #[test]
    fn a_fixed_ingress_listens_to_nobody() {
        let fixed = Options {
            allowed: Priority::BestEffort,
            ..Options::new(Classify::Fixed(Priority::Medium))
        };
        for tos in [0, EF, UNKNOWN] {
            for asks in [None, Some(header(0, 0)), Some(header(3, 0)), Some(header(255, 10))] {
                assert_eq!(priority(&fixed, tos, asks), Priority::Medium);
            }
        }
    }

    #[test]
    fn dscp_then_default() {
        let dscp = Options::new(Classify::Dscp);
        assert_eq!(priority(&dscp, EF, None), Priority::High);
        assert_eq!(priority(&dscp, EF | 3, None), Priority::High, "ECN bits do not count");
        assert_eq!(priority(&dscp, CS5, Some(header(0, 0))), Priority::Medium);
        assert_eq!(priority(&dscp, 0, None), Priority::Low);
        assert_eq!(priority(&dscp, UNKNOWN, None), Priority::BestEffort);
        let strict = Options { default: None, ..dscp };
        assert_eq!(classify(&strict, UNKNOWN, None), Err(DropReason::Unclassified));
        assert_eq!(priority(&strict, 0, None), Priority::Low);
    }

    #[test]
    fn header_priority_then_header_budget_then_dscp_then_default() {
        let by_header =
            Options { default: Some(Priority::Medium), ..Options::new(Classify::Header) };
        let of = |tos, h| priority(&by_header, tos, Some(h));
        assert_eq!(of(EF, header(2, 1)), Priority::Low);
        assert_eq!(of(EF, header(3, 1)), Priority::BestEffort);
        assert_eq!(of(EF, header(255, 10_000)), Priority::Medium);
        assert_eq!(of(EF, header(255, 0)), Priority::High);
        assert_eq!(of(0, header(255, 0)), Priority::Medium, "unmarked: the default, not Low");
        assert_eq!(of(UNKNOWN, header(255, 0)), Priority::Medium);
        assert_eq!(priority(&by_header, CS5, None), Priority::Medium);
    }

    #[test]
    fn a_headers_budget_names_the_first_class_that_gives_as_much() {
        let by_header = Options::new(Classify::Header);
        let of = |us| priority(&by_header, 0, Some(header(255, us)));
        assert_eq!((of(1), of(1_000)), (Priority::High, Priority::High));
        assert_eq!((of(1_001), of(10_000)), (Priority::Medium, Priority::Medium));
        assert_eq!((of(10_001), of(100_000)), (Priority::Low, Priority::Low));
        assert_eq!((of(100_001), of(u32::MAX)), (Priority::Low, Priority::Low));
    }

    #[test]
    fn a_priority_that_does_not_exist_is_a_bad_header() {
        for classify_by in [Classify::Header, Classify::Dscp, Classify::Fixed(Priority::High)] {
            for status in [4, 100, 254] {
                let got = classify(&Options::new(classify_by), EF, Some(header(status, 0)));
                assert_eq!(got, Err(DropReason::ParseError));
            }
        }
    }

    #[test]
    fn peers_are_clamped_to_what_is_allowed_and_the_config_is_not() {
        let asks = |classify_by, tos, h| {
            let options = Options {
                allowed: Priority::Low,
                default: Some(Priority::High),
                ..Options::new(classify_by)
            };
            priority(&options, tos, h)
        };
        assert_eq!(asks(Classify::Header, 0, Some(header(0, 0))), Priority::Low);
        assert_eq!(asks(Classify::Header, 0, Some(header(255, 1))), Priority::Low);
        assert_eq!(asks(Classify::Header, EF, Some(header(255, 0))), Priority::Low);
        assert_eq!(asks(Classify::Header, 0, Some(header(3, 0))), Priority::BestEffort);
        assert_eq!(asks(Classify::Dscp, EF, None), Priority::Low);
        assert_eq!(asks(Classify::Workload(workload::Mode::Seed), 0, None), Priority::Low);
        assert_eq!(asks(Classify::Dscp, UNKNOWN, None), Priority::High);
    }

    #[test]
    fn every_datagram_is_high_by_the_seeds_workload_rules() {
        let seed = Options::new(Classify::Workload(workload::Mode::Seed));
        assert_eq!(priority(&seed, 0, None), Priority::High);
        assert_eq!(priority(&seed, 0, Some(header(2, 10_000_000))), Priority::High);
        let strict = Options::new(Classify::Workload(workload::Mode::Strict));
        assert_eq!(priority(&strict, 0, None), Priority::High);
        assert_eq!(priority(&strict, 0, Some(header(2, 1))), Priority::Low);
        assert_eq!(priority(&strict, 0, Some(header(255, 4_999_999))), Priority::High);
        assert_eq!(priority(&strict, 0, Some(header(255, 5_000_000))), Priority::Low);
    }

    #[test]
    fn the_tightest_budget_counts() {
        let ms = Nanos::from_millis;
        let budget = |ingress, egress, us| {
            let options = Options {
                ingress_budget: ingress,
                egress_budget: egress,
                ..Options::new(Classify::Fixed(Priority::Medium))
            };
            classify(&options, 0, Some(header(255, us))).unwrap().budget
        };
        assert_eq!(budget(None, None, 0), ms(10));
        assert_eq!(
            budget(Some(ms(30)), None, 0),
            ms(30),
            "the ingress's own, in place of the class's"
        );
        assert_eq!(budget(Some(ms(30)), Some(ms(20)), 0), ms(20));
        assert_eq!(budget(Some(ms(5)), Some(ms(20)), 0), ms(5));
        assert_eq!(budget(None, None, 300), Nanos::from_micros(300));
        assert_eq!(budget(None, None, u32::MAX), ms(10));
        assert_eq!(budget(Some(Nanos::ZERO), None, 0), Nanos::new(1), "never nothing");
    }

    #[test]
    fn best_effort_cannot_ask_its_way_to_the_front() {
        let by_header = Options::new(Classify::Header);
        let got = classify(&by_header, 0, Some(header(3, 1))).unwrap();
        assert_eq!(got.budget, Priority::BestEffort.default_budget());
    }

    proptest! {
        #[test]
        fn nobody_gets_more_than_the_ingress_allows(
            tos in any::<u8>(), status in any::<u8>(), us in any::<u32>(), framed in any::<bool>(),
            len in 0..65_508usize, allowed in 0..4u8, by in 0..4u8, ingress_us in proptest::option::of(1..100_000u64),
        ) {
            let allowed = Priority::from_wire(allowed).unwrap();
            let options = Options {
                allowed,
                ingress_budget: ingress_us.map(Nanos::from_micros),
                ..Options::new(match by {
                    0 => Classify::Dscp,
                    1 => Classify::Header,
                    2 => Classify::Workload(workload::Mode::Seed),
                    _ => Classify::Workload(workload::Mode::Strict),
                })
            };
            let h = header(status, us);
            let input = Input { tos, header: framed.then_some(&h), len };
            match Classifier::new(&options).classify(&input) {
                Ok(class) => {
                    prop_assert!(class.priority >= allowed);
                    let most = options.ingress_budget.unwrap_or(options.budgets[class.priority]);
                    prop_assert!(class.budget >= Nanos::new(1) && class.budget <= most);
                }
                Err(reason) => {
                    prop_assert_eq!(reason, DropReason::ParseError);
                    prop_assert!(framed && (4..255).contains(&status));
                }
            }
        }
    }
}
