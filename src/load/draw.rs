//! Draws a plan's packets from its seed.
//!
//! Knows no clock and no end: the caller stops when time is over.

use std::sync::Arc;

use rand_distr::Distribution as _;
use rand_xoshiro::Xoshiro256PlusPlus;
use rand_xoshiro::rand_core::{RngCore as _, SeedableRng as _};

use super::arrivals::Arrivals;
use super::course::Course;
use super::dns::Questions;
use super::plan::{FlowOrder, Plan, Sizes};
use super::schedule::Due;
use crate::base::{Nanos, SocketId};

/// Above this the series below is not used. Its error is below 5e-11 of the gap.
const SERIES_MAX: f64 = 1e-3;

/// See the module.
#[derive(Debug)]
pub(super) struct Draw {
    rng: Xoshiro256PlusPlus,
    course: Course,
    uniform: bool,
    /// Draws in all, and those already made.
    draws: u64,
    drawn: u64,
    /// Poisson: the draws still to be made, and the share of the course that is still ahead of them.
    left: f64,
    ahead: f64,
    burst: u32,
    flows: u16,
    flow_order: FlowOrder,
    /// Upper ends of the classes' parts of [0, 1).
    shares: Vec<f64>,
    sizes: Vec<Sizes>,
    next_flow: Vec<u16>,
    questions: Option<Arc<Questions>>,
}

impl Draw {
    pub(super) fn new(plan: &Plan) -> Self {
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(plan.seed);
        let bursts = match &plan.arrivals {
            Arrivals::Bursts(bursts) => Some(*bursts),
            _ => None,
        };
        let course = Course::new(&plan.course(), bursts.as_ref(), &mut rng);
        let draws = whole(course.total() / f64::from(plan.burst));
        Self {
            draws,
            drawn: 0,
            left: exact(draws),
            ahead: 1.0,
            uniform: plan.arrivals == Arrivals::Uniform,
            burst: plan.burst,
            flows: plan.flows,
            flow_order: plan.flow_order,
            shares: shares(plan),
            sizes: plan.classes.iter().map(|c| c.size).collect(),
            next_flow: vec![0; plan.classes.len()],
            questions: plan.questions.clone(),
            rng,
            course,
        }
    }

    /// Packets of one draw.
    pub(super) const fn burst(&self) -> u32 {
        self.burst
    }

    /// The next draw; `None` when all are made.
    #[inline]
    pub(super) fn draw(&mut self) -> Option<Due> {
        if self.drawn == self.draws {
            return None;
        }
        let position = self.position();
        let at = nanos(self.course.time_of(position));
        let content = self.drawn;
        self.drawn += 1;
        let class = self.draw_class();
        let flow = self.draw_flow(class);
        let size = match &self.questions {
            Some(questions) => questions.size(content),
            None => self.draw_size(class),
        };
        let socket = socket_of(class, flow, self.flows);
        let size = u32::try_from(size).unwrap_or(u32::MAX);
        let class = u16::try_from(class).unwrap_or(u16::MAX);
        Some(Due { at, class, socket, size, content, stretch: 0 })
    }

    /// Where on the course the next draw lies, in packets.
    #[inline]
    fn position(&mut self) -> f64 {
        let total = self.course.total();
        if self.uniform {
            // Multiplied and not summed up, so that rounding does not add up.
            return exact(self.drawn) * f64::from(self.burst);
        }
        // The arrivals of a Poisson process, given their number n, are n uniform points in order: the smallest of them
        // leaves U^(1/n) of the way ahead of it, and the rest are uniform in that (Devroye 1986, V.2.1). With U = e^-E
        // that is e^-(E/n).
        let exponential: f64 = rand_distr::Exp1.sample(&mut self.rng);
        let x = exponential / self.left;
        self.left -= 1.0;
        self.ahead *=
            if x < SERIES_MAX { 1.0 - x * (1.0 - x * (0.5 - x / 6.0)) } else { (-x).exp() };
        total * (1.0 - self.ahead)
    }

    #[inline]
    fn draw_class(&mut self) -> usize {
        if self.shares.len() == 1 {
            return 0;
        }
        let x: f64 = rand_distr::StandardUniform.sample(&mut self.rng);
        self.shares.iter().position(|upper| x < *upper).unwrap_or(0)
    }

    #[inline]
    fn draw_flow(&mut self, class: usize) -> u16 {
        if self.flows == 1 {
            return 0;
        }
        match self.flow_order {
            FlowOrder::RoundRobin => {
                let flow = self.next_flow[class];
                self.next_flow[class] = if flow + 1 == self.flows { 0 } else { flow + 1 };
                flow
            }
            FlowOrder::Random => u16::try_from(self.below(u64::from(self.flows))).unwrap_or(0),
        }
    }

    #[inline]
    fn draw_size(&mut self, class: usize) -> usize {
        let Sizes { min, max } = self.sizes[class];
        if min == max {
            return min;
        }
        let span = u64::try_from(max - min + 1).unwrap_or(u64::MAX);
        min + usize::try_from(self.below(span)).unwrap_or(0)
    }

    /// Uniform in `0..n`; the bias of the multiplication is below n / 2^64.
    fn below(&mut self, n: u64) -> u64 {
        let wide = u128::from(self.rng.next_u64()) * u128::from(n);
        u64::try_from(wide >> 64).unwrap_or(0)
    }
}

fn shares(plan: &Plan) -> Vec<f64> {
    let total: f64 = plan.classes.iter().map(|c| c.share).sum();
    let mut upper = 0.0;
    let mut shares: Vec<f64> = plan
        .classes
        .iter()
        .map(|c| {
            upper += c.share / total;
            upper
        })
        .collect();
    // Rounding must not leave a gap below 1 that belongs to nobody.
    if let Some(last) = shares.last_mut() {
        *last = f64::INFINITY;
    }
    shares
}

/// The local socket of a class's flow: the sockets of one class lie together.
fn socket_of(class: usize, flow: u16, flows: u16) -> SocketId {
    let number = class * usize::from(flows) + usize::from(flow);
    SocketId(u16::try_from(number).unwrap_or(u16::MAX))
}

/// Rounded. Halves are added and cut off: `round` is a call of 50 instructions where the processor's own is not asked for.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a non-negative time; `as` saturates"
)]
fn nanos(ns: f64) -> Nanos {
    Nanos::new((ns + 0.5) as u64)
}

#[expect(clippy::cast_precision_loss, reason = "2^53 packets are never drawn")]
const fn exact(draws: u64) -> f64 {
    draws as f64
}

/// Rounded; at least one, so that a plan too short for its rate is not silent.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a non-negative count; `as` saturates"
)]
fn whole(n: f64) -> u64 {
    (n.round() as u64).max(1)
}
