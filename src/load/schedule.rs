//! When each packet is intended to be sent, and which class, flow and size it has: all of it drawn from the seed.
//!
//! Knows no clock: times are offsets from the start, so that the same plan offers the same load everywhere.

use rand_distr::Distribution as _;
use rand_xoshiro::Xoshiro256PlusPlus;
use rand_xoshiro::rand_core::{RngCore as _, SeedableRng as _};

use super::plan::{Arrivals, FlowOrder, Plan, Sizes};
use crate::base::{Nanos, SocketId};

/// One packet that is to be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Due {
    /// Its intended time, from the start.
    pub(super) at: Nanos,
    /// Its place in the plan's classes.
    pub(super) class: usize,
    /// The local socket it goes by.
    pub(super) socket: SocketId,
    /// Its payload's length.
    pub(super) size: usize,
}

/// The stream of a plan's packets, in the order of their times.
#[derive(Debug)]
pub(super) struct Schedule {
    rng: Xoshiro256PlusPlus,
    arrivals: Arrivals,
    /// Mean nanoseconds between bursts.
    period: f64,
    /// Bursts drawn so far.
    bursts: u64,
    /// Nanoseconds from the start to the present burst.
    at: f64,
    end: Nanos,
    burst: u32,
    flows: u16,
    flow_order: FlowOrder,
    /// Upper ends of the classes' parts of [0, 1).
    shares: Vec<f64>,
    sizes: Vec<Sizes>,
    next_flow: Vec<u16>,
    left: u32,
    due: Option<Due>,
}

impl Schedule {
    pub(super) fn new(plan: &Plan) -> Self {
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
        let mut schedule = Self {
            rng: Xoshiro256PlusPlus::seed_from_u64(plan.seed),
            arrivals: plan.arrivals,
            period: 1e9 * f64::from(plan.burst) / plan.rate,
            bursts: 0,
            at: 0.0,
            end: plan.duration,
            burst: plan.burst,
            flows: plan.flows,
            flow_order: plan.flow_order,
            shares,
            sizes: plan.classes.iter().map(|c| c.size).collect(),
            next_flow: vec![0; plan.classes.len()],
            left: 0,
            due: None,
        };
        schedule.due = schedule.draw();
        schedule
    }

    /// The intended time of the next packet; `None` when the run's time is over.
    #[inline]
    pub(super) const fn next_at(&self) -> Option<Nanos> {
        match self.due {
            Some(due) => Some(due.at),
            None => None,
        }
    }

    /// The next packet if its time is `now` or earlier.
    #[inline]
    pub(super) fn take(&mut self, now: Nanos) -> Option<Due> {
        let due = self.due.filter(|d| d.at <= now)?;
        self.left -= 1;
        if self.left == 0 {
            self.due = self.draw();
        }
        Some(due)
    }

    fn draw(&mut self) -> Option<Due> {
        let at = self.draw_time();
        if at >= self.end {
            return None;
        }
        self.left = self.burst;
        let class = self.draw_class();
        let flow = self.draw_flow(class);
        let size = self.draw_size(class);
        let socket = socket_of(class, flow, self.flows);
        Some(Due { at, class, socket, size })
    }

    #[expect(clippy::cast_precision_loss, reason = "2^53 bursts are never drawn")]
    fn draw_time(&mut self) -> Nanos {
        self.at = match self.arrivals {
            // Multiplied and not summed up, so that rounding does not add up.
            Arrivals::Uniform => self.bursts as f64 * self.period,
            Arrivals::Poisson => {
                let gap: f64 = rand_distr::Exp1.sample(&mut self.rng);
                self.at + gap * self.period
            }
        };
        self.bursts += 1;
        nanos(self.at)
    }

    fn draw_class(&mut self) -> usize {
        if self.shares.len() == 1 {
            return 0;
        }
        let x: f64 = rand_distr::StandardUniform.sample(&mut self.rng);
        self.shares.iter().position(|upper| x < *upper).unwrap_or(0)
    }

    fn draw_flow(&mut self, class: usize) -> u16 {
        if self.flows == 1 {
            return 0;
        }
        match self.flow_order {
            FlowOrder::RoundRobin => {
                let flow = self.next_flow[class];
                self.next_flow[class] = (flow + 1) % self.flows;
                flow
            }
            FlowOrder::Random => u16::try_from(self.below(u64::from(self.flows))).unwrap_or(0),
        }
    }

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

/// The local socket of a class's flow: the sockets of one class lie together.
fn socket_of(class: usize, flow: u16, flows: u16) -> SocketId {
    let number = class * usize::from(flows) + usize::from(flow);
    SocketId(u16::try_from(number).unwrap_or(u16::MAX))
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a non-negative time; `as` saturates"
)]
fn nanos(ns: f64) -> Nanos {
    Nanos::new(ns.round() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::plan::Class;

    fn plan() -> Plan {
        let mut p = Plan::single("a", "127.0.0.1:9".parse().unwrap());
        p.rate = 50_000.0;
        p.duration = Nanos::from_secs(4);
        p
    }

    fn all(plan: &Plan) -> Vec<Due> {
        let mut s = Schedule::new(plan);
        std::iter::from_fn(|| s.take(Nanos::MAX)).collect()
    }

    #[test]
    fn uniform_times_are_exact() {
        let mut p = plan();
        p.arrivals = Arrivals::Uniform;
        p.rate = 30_000.0;
        let due = all(&p);
        assert_eq!(due.len(), 120_000);
        for (k, d) in (0_u64..).zip(&due) {
            let exact = (k * 1_000_000_000 + 15_000) / 30_000;
            assert!(d.at.get().abs_diff(exact) <= 1, "{k}: {} {exact}", d.at);
        }
    }

    #[test]
    fn poisson_holds_its_mean_rate_and_spreads_like_an_exponential() {
        for seed in 1..6 {
            let mut p = plan();
            p.seed = seed;
            let due = all(&p);
            // 200,000 expected with a standard deviation of 447: five of them.
            assert!(due.len().abs_diff(200_000) < 2_240, "seed {seed}: {}", due.len());
            assert!(due.is_sorted_by_key(|d| d.at));
            // An exponential gap is shorter than its mean with probability 1 - 1/e.
            let short = due.windows(2).filter(|w| w[1].at.saturating_sub(w[0].at).get() < 20_000);
            let share = short.count() * 10_000 / due.len();
            assert!((6_250..6_400).contains(&share), "seed {seed}: {share}");
        }
    }

    #[test]
    fn the_same_seed_draws_the_same_and_another_does_not() {
        let mut p = plan();
        p.classes[0].size = Sizes { min: 64, max: 1_400 };
        let first = all(&p);
        assert_eq!(first, all(&p));
        p.seed = 2;
        assert_ne!(first, all(&p));
        assert!(first.iter().all(|d| (64..=1_400).contains(&d.size)));
        assert!(first.iter().any(|d| d.size == 64) && first.iter().any(|d| d.size == 1_400));
    }

    #[test]
    fn shares_are_by_packets() {
        let mut p = plan();
        let class = |name: &str, share| Class { name: name.into(), share, ..p.classes[0].clone() };
        p.classes = vec![class("a", 1.0), class("b", 2.0), class("c", 5.0)];
        let due = all(&p);
        let count = |c| due.iter().filter(|d| d.class == c).count() * 8_000 / due.len();
        for (class, want) in [(0, 1_000_usize), (1, 2_000), (2, 5_000)] {
            assert!(count(class).abs_diff(want) < 40, "class {class}: {}", count(class));
        }
    }

    #[test]
    fn flows_take_turns_and_bursts_stay_together() {
        let mut p = plan();
        p.flows = 3;
        let sockets: Vec<u16> = all(&p).iter().take(5).map(|d| d.socket.0).collect();
        assert_eq!(sockets, [0, 1, 2, 0, 1]);
        p.burst = 4;
        let due = all(&p);
        assert!(due.len().abs_diff(200_000) < 5_000);
        for burst in due.chunks(4) {
            assert!(burst.iter().all(|d| *d == burst[0]));
        }
        p.flow_order = FlowOrder::Random;
        let mut seen = [0_usize; 3];
        for d in all(&p) {
            seen[d.socket.index()] += 1;
        }
        assert!(seen.iter().all(|n| n.abs_diff(66_666) < 3_000), "{seen:?}");
    }

    #[test]
    fn nothing_is_taken_before_its_time() {
        let mut p = plan();
        p.arrivals = Arrivals::Uniform;
        let mut s = Schedule::new(&p);
        assert_eq!(s.take(Nanos::ZERO).map(|d| d.at), Some(Nanos::ZERO));
        assert_eq!((s.next_at(), s.take(Nanos::new(19_999))), (Some(Nanos::new(20_000)), None));
        assert_eq!(s.take(Nanos::new(20_000)).map(|d| d.at), Some(Nanos::new(20_000)));
    }
}
