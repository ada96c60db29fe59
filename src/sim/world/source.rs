//! What reaches one worker's sockets, and when: clients' streams, bursts, and the link between.
//!
//! Knows no socket's buffer and no driver. Everything is drawn from the seed, datagram by datagram, without end until told.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;

use rand_distr::Distribution as _;
use rand_xoshiro::Xoshiro256PlusPlus;
use rand_xoshiro::rand_core::{RngCore as _, SeedableRng as _};

use super::START;
use super::course::{Course, below, happens};
use super::options::{Every, Link, Options, Stream};
use super::tag::mix;
use crate::base::{Instant, Nanos};
use crate::sim::workload::{ArrivalTimes, Service};

/// Time between the datagrams of a burst: what a 10 Gbit/s link leaves between small ones.
const BURST_GAP: Nanos = Nanos::new(100);

/// A datagram on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Datagram {
    /// When it reaches the socket.
    pub(super) at: Instant,
    tie: u64,
    pub(super) stream: u16,
    pub(super) flow: u32,
    pub(super) service: Nanos,
}

#[derive(Debug)]
struct Running {
    stream: u16,
    times: ArrivalTimes,
    next: Instant,
    rng: Xoshiro256PlusPlus,
    /// Upper ends of the parts of [0, 1), each with its time.
    service: Vec<(f64, Service)>,
    /// What each takes instead, and whose turn it is.
    recorded: (Arc<[Nanos]>, usize),
    flows: u32,
}

impl Running {
    fn new(place: u16, stream: &Stream, workers: f64, seed: u64) -> Self {
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed);
        let own = Xoshiro256PlusPlus::seed_from_u64(rng.next_u64());
        let mut times =
            ArrivalTimes::new(stream.arrivals.clone(), stream.rate_per_s / workers, own);
        let total: f64 = stream.service.iter().map(|(w, _)| w).sum();
        let mut upper = 0.0;
        let service = stream.service.iter().map(|(w, t)| {
            upper += w / total;
            (upper, *t)
        });
        Self {
            stream: place,
            next: since_start(times.next_at()),
            service: service.collect(),
            recorded: (stream.recorded.clone().unwrap_or_default(), 0),
            flows: stream.flows.max(1),
            times,
            rng,
        }
    }

    fn draw(&mut self) -> (u32, Nanos) {
        let flow = if self.flows == 1 { 0 } else { self.rng.next_u32() % self.flows };
        let (times, turn) = &mut self.recorded;
        if let Some(time) = times.get(*turn) {
            *turn = (*turn + 1) % times.len();
            return (flow, *time);
        }
        let part = match self.service.as_slice() {
            [(_, only)] => *only,
            parts => {
                let x: f64 = rand_distr::StandardUniform.sample(&mut self.rng);
                let at = parts.iter().position(|(upper, _)| x < *upper);
                parts[at.unwrap_or(parts.len() - 1)].1
            }
        };
        (flow, part.draw(&mut self.rng))
    }
}

fn since_start(at: Instant) -> Instant {
    if at == Instant::MAX { at } else { START + at.since(Instant::ZERO) }
}

/// See the module.
#[derive(Debug)]
pub(super) struct Source {
    running: Vec<Running>,
    link: Link,
    rng: Xoshiro256PlusPlus,
    bursts: Course,
    burst_size: u32,
    /// What is left of a burst: its stream, how many, and when the next of them leaves.
    burst: (usize, u32, Instant),
    flying: BinaryHeap<Reverse<Datagram>>,
    sent: u64,
    most: u64,
    until: Instant,
    /// Sent a second time by the link.
    pub(super) copied: u64,
    /// Lost on the link, by stream.
    pub(super) lost: Vec<u64>,
    /// Left their clients, by stream; a duplicate counts once.
    pub(super) offered: Vec<u64>,
}

impl Source {
    /// For one worker, which takes part in the streams for which `share` says by how many workers they are shared.
    pub(super) fn new(
        options: &Options,
        worker: usize,
        most: u64,
        share: impl Fn(usize) -> Option<f64>,
    ) -> Self {
        let seed = mix(mix(options.seed, 0x736f_7572), worker as u64);
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed);
        let running = options.streams.iter().enumerate().filter_map(|(i, stream)| {
            let place = u16::try_from(i).ok()?;
            Some(Running::new(place, stream, share(i)?, mix(seed, u64::from(place) + 1)))
        });
        let running: Vec<_> = running.collect();
        let until = START + options.duration;
        let (every, burst_size) = options.faults.bursts.unzip();
        let every = every.map(|every| Every { every, lasts: Nanos::ZERO });
        Self {
            running,
            link: options.link,
            bursts: Course::draw(every, START, until, &mut rng),
            burst_size: burst_size.unwrap_or(0),
            burst: (0, 0, Instant::MAX),
            rng,
            flying: BinaryHeap::new(),
            sent: 0,
            most,
            until,
            copied: 0,
            lost: vec![0; options.streams.len()],
            offered: vec![0; options.streams.len()],
        }
    }

    /// When the next datagram reaches its socket; `None`: no more will.
    pub(super) fn peek(&mut self) -> Option<Instant> {
        loop {
            let send = self.next_send();
            let first = self.flying.peek().map(|f| f.0.at);
            let Some((at, which)) = send else { return first };
            if first.is_some_and(|first| first <= at + self.link.delay) {
                return first;
            }
            self.send(at, which);
        }
    }

    /// Whether nothing is under way to a socket.
    pub(super) fn is_dry(&self) -> bool {
        self.flying.is_empty()
    }

    /// Takes it.
    pub(super) fn pop(&mut self) -> Option<Datagram> {
        self.flying.pop().map(|d| d.0)
    }

    /// The next to leave its client: when, and of which running stream.
    fn next_send(&mut self) -> Option<(Instant, usize)> {
        if self.sent >= self.most {
            return None;
        }
        let next = self.running.iter().enumerate().min_by_key(|(_, r)| r.next);
        let (at, which) = next.map(|(i, r)| (r.next, i))?;
        if self.burst.1 == 0 && self.bursts.next_begin() <= at {
            let begin = self.bursts.next_begin();
            self.bursts.take_begun(begin);
            let stream = self.rng.next_u32() as usize % self.running.len();
            self.burst = (stream, self.burst_size, begin);
        }
        let (at, which) = if self.burst.1 > 0 && self.burst.2 <= at {
            (self.burst.2, self.burst.0)
        } else {
            (at, which)
        };
        (at < self.until).then_some((at, which))
    }

    fn send(&mut self, at: Instant, which: usize) {
        let running = &mut self.running[which];
        if self.burst.1 > 0 && self.burst.2 == at && self.burst.0 == which {
            self.burst.1 -= 1;
            self.burst.2 = at + BURST_GAP;
        } else {
            running.next = since_start(running.times.next_at());
        }
        self.sent += 1;
        let (flow, service) = running.draw();
        let place = usize::from(running.stream);
        self.offered[place] += 1;
        let stream = running.stream;
        let Link { delay, jitter, loss, duplicate, .. } = self.link;
        if happens(loss, &mut self.rng) {
            self.lost[place] += 1;
            return;
        }
        let copies = 1 + u64::from(happens(duplicate, &mut self.rng));
        self.copied += copies - 1;
        for copy in 0..copies {
            let at = at + delay + below(jitter, &mut self.rng);
            let tie = 2 * self.sent + copy;
            self.flying.push(Reverse(Datagram { at, tie, stream, flow, service }));
        }
    }
}
