//! The adversary of S. Baruah et al., "On the competitiveness of on-line real-time task scheduling" (RTSS 1991): no online policy
//! is sure of more than 1 / (1 + sqrt k)^2 of the clairvoyant's value, where k is the ratio of value densities. G. Koren and
//! D. Shasha, "D-over" (SIAM J. Computing 24, 1995), is sure of that much; here in the form it takes when nothing can wait.
//!
//! Long jobs without slack follow each other, each a hair before its predecessor's end, and during each come baits, also
//! without slack, of k times its value for their time. The adversary stops as soon as that leaves the policy least.

use super::super::policies::{Fifo, MooreHodgson, Order, Product};
use super::super::{Drops, Estimates, Gone, Job, Policy, Sizes, Slice};
use super::{Check, Engine, Limit, Sides};
use crate::base::{Instant, Nanos, Priority};
use crate::sim::workload::{Kind, Offer, Service};

/// The first long job. Value is counted in microseconds of long work.
const FIRST_US: f64 = 10_000.0;
/// Baits a long job.
const BAITS: u32 = 40;

/// Whole microseconds of a length.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "lengths are positive and end within ten times the first"
)]
const fn whole(length_us: f64) -> u32 {
    length_us as u32
}

/// Makes a policy that knows these kinds.
type Make = Box<dyn Fn(&[Kind]) -> Box<dyn Policy>>;

/// A sequence of tight jobs, and for each prefix of it what a clairvoyant has at least.
struct Adversary {
    kinds: Vec<Kind>,
    offers: Vec<Offer>,
    clairvoyant: Vec<f64>,
}

/// Long jobs grow so that whoever stays with the n-th has 1 / c of what can be had: c L(n) = k (L(0) + ... + L(n)) + L(n + 1).
/// They stop growing, after finitely many, if and only if c < (1 + sqrt k)^2.
fn adversary(k: u32, c: f64) -> Adversary {
    let mut a = Adversary { kinds: Vec::new(), offers: Vec::new(), clairvoyant: Vec::new() };
    let (mut at, mut length, mut sum) = (1_000, FIRST_US, 0.0);
    let mut baits_before = 0.0;
    loop {
        let long = a.kind(length, 1);
        a.push(at, long);
        a.clairvoyant.push(baits_before + length);
        let bait = (length / f64::from(BAITS)).floor();
        let tempting = a.kind(bait, k);
        for n in 0..BAITS {
            a.push(at + u64::from(n * whole(bait)), tempting);
            // It has taken all baits so far, or stays with the long job and has it in the end.
            let baits = baits_before + f64::from(k) * bait * f64::from(n + 1);
            a.clairvoyant.push(baits.max(baits_before + length));
        }
        baits_before += f64::from(k) * bait * f64::from(BAITS);
        sum += length;
        let next = (c * length - f64::from(k) * sum).floor();
        at += u64::from(whole(length)) - 1;
        if next <= length {
            // The last: no longer than its predecessor, so it is no use to have waited for it.
            let last = a.kind(next.max(1.0), 1);
            a.push(at, last);
            a.clairvoyant.push(baits_before + next.max(1.0));
            return a;
        }
        length = next;
    }
}

impl Adversary {
    fn kind(&mut self, length_us: f64, density: u32) -> usize {
        let service = Nanos::from_micros(u64::from(whole(length_us)));
        self.kinds.push(Kind {
            name: "tight",
            share: 1.0,
            service: Service::Fixed(service),
            priority: Priority::High,
            budget: service,
            value: density * whole(length_us),
        });
        self.kinds.len() - 1
    }

    fn push(&mut self, at_us: u64, kind: usize) {
        let at = Instant::ZERO + Nanos::from_micros(at_us);
        self.offers.push(Offer { at, kind, service: self.kinds[kind].budget });
    }

    /// The least share of the clairvoyant's value over all prefixes after which it pays to stop.
    fn least(&self, mut policy: impl FnMut(&[Kind]) -> Box<dyn Policy>) -> f64 {
        let one_long = (0..=BAITS).cycle();
        let stops = one_long.enumerate().take(self.offers.len()).filter(|(_, within)| *within <= 2);
        let shares = stops.map(|(n, _)| {
            let mut policy = policy(&self.kinds);
            let offers = self.offers.iter().take(n + 1).copied();
            let o = Engine::default().run(&self.kinds, offers, policy.as_mut());
            let values = self.kinds.iter().zip(&o.kinds);
            let got: f64 = values.map(|(k, of)| f64::from(k.value) * of.on_time as f64).sum();
            got / self.clairvoyant[n]
        });
        shares.fold(f64::INFINITY, f64::min)
    }
}

/// D-over for jobs without slack: what runs is left for what is worth more than 1 + sqrt k times as much.
struct Dover {
    threshold: f64,
    running: Option<Job>,
    next: Option<Job>,
}

impl Policy for Dover {
    fn arrive(&mut self, _: Instant, job: Job, drops: &mut Drops) {
        let worth = |j: Option<Job>| j.map_or(0.0, |j| f64::from(j.value));
        if f64::from(job.value) > self.threshold * worth(self.running) {
            self.next = Some(job);
        } else {
            drops.push((job, Gone::PredictedMiss));
        }
    }

    fn next(
        &mut self,
        _: Instant,
        _: usize,
        paused: Option<Job>,
        drops: &mut Drops,
    ) -> Option<Slice> {
        drops.extend(paused.map(|job| (job, Gone::Abandoned)));
        self.running = self.next.take();
        self.running.map(Slice::whole)
    }

    fn finished(&mut self, _: Instant, _: usize, _: &Job, _: Nanos) {
        self.running = None;
    }

    fn interrupts(&mut self, _: Instant) -> Option<usize> {
        self.next.map(|_| 0)
    }

    fn waiting(&self) -> usize {
        usize::from(self.next.is_some())
    }
}

/// Per ratio of densities, how near the adversary comes to what theory says it can.
const RATIOS: [(u32, f64); 3] = [(1, 0.97), (4, 0.97), (16, 0.95)];

pub(super) fn all() -> Vec<Check> {
    let checks = RATIOS.into_iter().flat_map(|(k, near_to)| {
        let bound = (1.0 + f64::from(k).sqrt()).powi(2);
        [is_sure_of(k, near_to * bound, bound), nobody_has_more(k, near_to * bound)]
    });
    checks.collect()
}

/// D-over has what it promises.
fn is_sure_of(k: u32, c: f64, bound: f64) -> Check {
    let about = ("Koren, Shasha 1995, less 3 %", "of all value", Limit::AtLeast);
    Check::new(format!("adversary, k = {k}: what D-over has"), about, move |_| {
        let found = adversary(k, c).least(|_| dover(k));
        Sides { expected: 0.97 / bound, found }
    })
}

/// Nobody has more than the adversary leaves, D-over and the product's policy among them.
fn nobody_has_more(k: u32, c: f64) -> Check {
    let about = ("Baruah et al. 1991, and 3 %", "of all value", Limit::AtMost);
    Check::new(format!("adversary, k = {k}: most of five policies"), about, move |_| {
        let a = adversary(k, c);
        let others: [Make; 4] = [
            Box::new(|_| Box::new(Fifo::new(Order::First, true, 64))),
            Box::new(|_| Box::new(Fifo::new(Order::Last, true, 64))),
            Box::new(|kinds| {
                Box::new(MooreHodgson::new(Estimates::new(Sizes::Exact, kinds), Nanos::MAX, 1))
            }),
            Box::new(|kinds| {
                let knows = Estimates::new(Sizes::Exact, kinds);
                let options = crate::sched::value::Options::default();
                Box::new(Product::new(options, knows, kinds.len(), Nanos::MAX, Nanos::ZERO))
            }),
        ];
        let most =
            others.into_iter().map(|make| a.least(make)).fold(a.least(|_| dover(k)), f64::max);
        Sides { expected: 1.03 / c, found: most }
    })
}

fn dover(k: u32) -> Box<dyn Policy> {
    Box::new(Dover { threshold: 1.0 + f64::from(k).sqrt(), running: None, next: None })
}
