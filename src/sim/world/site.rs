//! What a worker of a world is built from: options as `serve` makes them, its clock, its driver, its kernels.
//!
//! Knows no time; draws the worker's own mishaps from the seed.

use std::sync::{Arc, Mutex};

use rand_xoshiro::Xoshiro256PlusPlus;
use rand_xoshiro::rand_core::SeedableRng as _;

use super::START;
use super::clock::{Stall, VirtualClock};
use super::course::Course;
use super::device::Helper;
use super::door::Door;
use super::driver::{Mishaps, Parts, VirtualDriver};
use super::kernel::{Notes, VirtualKernel};
use super::options::{Company, Options, Service, Way};
use super::run::WrongWorld;
use super::source::Source;
use super::tag::mix;
use crate::base::limits::{KERNELS_MAX, QUEUE_TOTAL_MAX};
use crate::base::{
    Clock as _, IngressId, Instant, Nanos, PerPriority, Priority, SocketId, WorkerId,
};
use crate::classify::Classify;
use crate::dataplane::{self, EgressOptions, KernelOptions, Mode, SocketOptions, SocketRole};
use crate::kernel::{Kernel, Kernels};
use crate::sched::batch::{Batches, Shape};
use crate::sched::quota;
use crate::sim::workload::{nanos, ns};

/// Slots for what is with helpers, as in the service.
pub(super) const SLOTS_AWAY: usize = 1_024;
/// Slots of a worker besides those of a full queue, as in the service.
const SLOTS_SPARE: usize = 2_048;
/// Time before traffic in which kernels are tried.
const BEFORE: Nanos = Nanos::from_millis(900);

/// The sockets of one worker: what each is for, in the driver's order, and the way out of sends.
pub(super) fn sockets(options: &Options, worker: usize) -> Vec<SocketOptions> {
    let layout = options.service.controller.layout;
    let serves = |p: &Priority| quota::eligible(layout, worker, options.workers, *p);
    let mut listeners = Vec::new();
    for (i, (ingress, by_class)) in options.service.ingresses.iter().enumerate() {
        let ingress_id = IngressId(u16::try_from(i).unwrap_or(u16::MAX));
        let classes: Vec<Option<Priority>> = match ingress.classify.classify {
            Classify::Fixed(p) => Some(p).filter(serves).into_iter().map(Some).collect(),
            Classify::Dscp if *by_class => {
                Priority::ALL.into_iter().filter(serves).map(Some).collect()
            }
            _ if Priority::ALL.iter().all(serves) => vec![None],
            _ => vec![],
        };
        listeners.extend(classes.into_iter().map(|class| (ingress_id, class)));
    }
    // The most urgent first, as in the service.
    listeners.sort_by_key(|(_, class)| class.map_or(0, Priority::index));
    let listen =
        |(ingress, class)| SocketOptions { role: SocketRole::Listen { ingress, class }, gso: true };
    listeners.into_iter().map(listen).collect()
}

/// Everything a worker is told. `sockets` are completed by those that sends leave by.
pub(super) fn worker_options(
    options: &Options,
    worker: usize,
    sockets: &mut Vec<SocketOptions>,
    longest: usize,
) -> dataplane::Options {
    let service = &options.service;
    let egress = |(way, late): &(Way, dataplane::Late)| {
        let mode = match *way {
            Way::Reply { amplification_per_mille, low_source_ports } => {
                Mode::Reply { amplification_per_mille, low_source_ports }
            }
            Way::Send => {
                let socket = SocketId(u16::try_from(sockets.len()).unwrap_or(u16::MAX));
                sockets.push(SocketOptions { role: SocketRole::Send, gso: true });
                Mode::Send { socket }
            }
        };
        EgressOptions { mode, late: *late }
    };
    let egresses: Vec<_> = service.egresses.iter().map(egress).collect();
    let serves_high =
        quota::eligible(service.controller.layout, worker, options.workers, Priority::High);
    dataplane::Options {
        id: WorkerId(u16::try_from(worker).unwrap_or(u16::MAX)),
        ingresses: service.ingresses.iter().map(|(i, _)| i.clone()).collect(),
        counted: service.ingresses.len(),
        egresses,
        sockets: sockets.clone(),
        kernels: (0..service.kernels.len())
            .map(|k| KernelOptions {
                batch_max: company_of(service, k).map_or(1, |company| company.rows),
                grows: false,
                pauses: company_of(service, k).is_none(),
            })
            .collect(),
        budgets: service.budgets,
        ema_weight: service.ema_weight,
        admission: service.admission,
        // Slots no longer than anything that comes: a thousand workers then fit a small machine.
        max_datagram: service.max_datagram.min(longest.next_multiple_of(64)),
        hold: service.hold,
        slots: QUEUE_TOTAL_MAX + SLOTS_SPARE + if service.helpers > 0 { SLOTS_AWAY } else { 0 },
        guard: service.guard,
        guard_requires_expected_high: service.guard_requires_expected_high,
        serves_high,
        secret: options.seed ^ 0x9e37_79b9_7f4a_7c15,
    }
}

/// The worker's clock, driver and kernels.
pub(super) struct Site {
    pub(super) clock: VirtualClock,
    pub(super) driver: VirtualDriver,
    pub(super) kernels: Kernels,
    pub(super) notes: Arc<Mutex<Notes>>,
    pub(super) helpers: Vec<Helper>,
}

fn company_of(service: &Service, kernel: usize) -> Option<Company> {
    service.company.get(kernel).copied().flatten()
}

/// What batches cost, as it would have been measured at start.
pub(super) fn batches(options: &Options) -> Batches {
    let service = &options.service;
    let shape = |(k, plain): (usize, &Nanos)| {
        let Company { rows, shared } = company_of(service, k)?;
        let of = |n: usize| {
            #[expect(clippy::cast_precision_loss, reason = "at most 64")]
            let rows = n as f64;
            nanos(ns(*plain) * (shared + (1.0 - shared) * rows))
        };
        Shape::new(&(1..=rows).map(of).collect::<Vec<_>>(), rows)
    };
    Batches::new(service.batch, service.kernels.iter().enumerate().map(shape).collect())
}

/// How a stream's datagrams reach a worker: by which of its sockets.
fn way(options: &Options, sockets: &[SocketOptions], stream: usize) -> Option<SocketId> {
    let stream = &options.streams[stream];
    let takes = |s: &SocketOptions| match s.role {
        SocketRole::Listen { ingress, class } => {
            ingress.index() == stream.ingress && class.is_none_or(|c| c == stream.priority)
        }
        _ => false,
    };
    let at = sockets.iter().position(takes)?;
    u16::try_from(at).ok().map(SocketId)
}

/// By how many workers each stream is served; checks that every stream can be.
pub(super) fn shares(options: &Options) -> Result<Vec<u32>, WrongWorld> {
    let mut shares = vec![0; options.streams.len()];
    for w in 0..options.workers {
        let sockets = sockets(options, w);
        for (s, share) in shares.iter_mut().enumerate() {
            *share += u32::from(way(options, &sockets, s).is_some());
        }
    }
    let lost = shares.iter().position(|n| *n == 0);
    match lost {
        Some(s) => Err(WrongWorld::NotServed(options.streams[s].name.clone())),
        None => Ok(shares),
    }
}

/// The looks of every stream on the wire.
pub(super) fn doors(options: &Options) -> Result<Vec<Door>, WrongWorld> {
    let door = |stream: &super::Stream| {
        Door::new(&options.service, stream)
            .ok_or_else(|| WrongWorld::NotItsClass(stream.name.clone()))
    };
    options.streams.iter().map(door).collect()
}

/// What the kernels of a worker and of its helpers are made from.
struct Works<'a> {
    options: &'a Options,
    seed: u64,
    slow: Course,
    notes: &'a Arc<Mutex<Notes>>,
}

impl Works<'_> {
    /// Those that spend their time on `clock`: the worker's own (0), or those of a helper.
    fn kernels(&self, whose: u64, clock: &VirtualClock) -> Kernels {
        let Options { service, streams, faults, .. } = self.options;
        let in_batches = |s: &super::Stream| company_of(service, s.kernel.index()).is_some();
        let plain_classes =
            PerPriority::from_fn(|p| !streams.iter().any(|s| s.priority == p && in_batches(s)));
        let priorities: Arc<[Priority]> = streams.iter().map(|s| s.priority).collect();
        let kernel = |(k, plain): (usize, &Nanos)| -> Box<dyn Kernel> {
            let place = 1_000 + k as u64 + whose * KERNELS_MAX as u64;
            Box::new(VirtualKernel {
                clock: clock.clone(),
                plain: *plain,
                company: company_of(service, k),
                own: whose == 0,
                slow: self.slow.clone(),
                slow_factor: faults.slow.map_or(1.0, |(_, factor)| factor),
                drift: faults.drift.map(|(after, factor)| (START + after, factor)),
                fails: faults.kernel,
                rng: Xoshiro256PlusPlus::seed_from_u64(mix(self.seed, place)),
                priorities: Arc::clone(&priorities),
                plain_classes,
                cuts: PerPriority::from_fn(|p| Nanos::new((service.budgets[p].get() / 2).max(1))),
                notes: Arc::clone(self.notes),
                parts: [(Nanos::ZERO, Nanos::ZERO); crate::kernel::PLACES],
            })
        };
        Kernels::new(service.kernels.iter().enumerate().map(kernel).collect())
    }
}

impl Site {
    pub(super) fn new(
        options: &Options,
        worker: usize,
        sockets: &[SocketOptions],
        shares: &[u32],
    ) -> Result<Self, WrongWorld> {
        let faults = &options.faults;
        let seed = mix(mix(options.seed, 0x7369_7465), worker as u64);
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed);
        let end = START + options.duration;
        let mut course = |every| Course::draw(every, START, end, &mut rng);
        let stalls = course(faults.stall);
        let slow = course(faults.slow.map(|(every, _)| every));
        let mishaps = Mishaps {
            stamps: course(faults.stamps),
            buffers: course(faults.buffers),
            sends: course(faults.sends),
        };
        let gone: Vec<Course> =
            (0..options.service.helpers).map(|_| course(faults.device)).collect();
        let stalls = stalls.spans().iter();
        let stalls = stalls.map(|s| Stall { at: s.from, lasts: s.to.since(s.from) }).collect();
        let clock = VirtualClock::paced(
            Instant::from_nanos(START.since(Instant::ZERO + BEFORE).get()),
            stalls,
            faults.pace.iter().map(|(at, factor)| (START + *at, *factor)).collect(),
        );
        let ways: Vec<_> = (0..shares.len()).map(|s| way(options, sockets, s)).collect();
        let workers = options.workers as u64;
        let most =
            options.packets / workers + u64::from((worker as u64) < options.packets % workers);
        let share = |s: usize| ways[s].map(|_| f64::from(shares[s]));
        let driver = VirtualDriver::new(Parts {
            worker,
            clock: clock.clone(),
            costs: options.costs,
            source: Source::new(options, worker, most, share),
            doors: doors(options)?,
            ways: ways.clone(),
            sockets: sockets.len(),
            capacity: options.link.socket_buffer,
            flows: options.streams.iter().map(|s| s.flows.max(1)).collect(),
            mishaps,
            record: options.record,
        });
        let notes = Arc::new(Mutex::new(Notes {
            weight: f64::from(options.service.ema_weight),
            ..Notes::default()
        }));
        let works = Works { options, seed, slow, notes: &notes };
        let kernels = works.kernels(0, &clock);
        let helper = |(h, gone): (u64, Course)| {
            let own = VirtualClock::new(clock.now(), Vec::new());
            let kernels = works.kernels(h + 1, &own);
            let costs = (options.costs.batch, options.costs.wake);
            Helper::new((clock.clone(), own), kernels, gone, costs)
        };
        let helpers = (0..).zip(gone).map(helper).collect();
        Ok(Self { clock, driver, kernels, notes, helpers })
    }
}
