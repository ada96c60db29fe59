//! What a worker of a world is built from: options as `serve` makes them, its clock, its driver, its kernels.
//!
//! Knows no time; draws the worker's own mishaps from the seed.

use std::sync::{Arc, Mutex};

use rand_xoshiro::Xoshiro256PlusPlus;
use rand_xoshiro::rand_core::SeedableRng as _;

use super::START;
use super::clock::{Stall, VirtualClock};
use super::course::Course;
use super::door::Door;
use super::driver::{Mishaps, Parts, VirtualDriver};
use super::kernel::{Notes, VirtualKernel};
use super::options::{Options, Way};
use super::run::WrongWorld;
use super::source::Source;
use super::tag::mix;
use crate::base::limits::QUEUE_TOTAL_MAX;
use crate::base::{IngressId, Instant, Nanos, Priority, SocketId, WorkerId};
use crate::classify::Classify;
use crate::dataplane::{self, EgressOptions, KernelOptions, Mode, SocketOptions, SocketRole};
use crate::kernel::{Kernel, Kernels};
use crate::sched::quota;

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
        kernels: vec![
            KernelOptions { batch_max: 1, grows: false, pauses: true };
            service.kernels.len()
        ],
        budgets: service.budgets,
        ema_weight: service.ema_weight,
        admission: service.admission,
        // Slots no longer than anything that comes: a thousand workers then fit a small machine.
        max_datagram: service.max_datagram.min(longest.next_multiple_of(64)),
        slots: QUEUE_TOTAL_MAX + SLOTS_SPARE,
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
        let stalls = stalls.spans().iter();
        let stalls = stalls.map(|s| Stall { at: s.from, lasts: s.to.since(s.from) }).collect();
        let clock = VirtualClock::new(
            Instant::from_nanos(START.since(Instant::ZERO + BEFORE).get()),
            stalls,
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
        let priorities: Arc<[Priority]> = options.streams.iter().map(|s| s.priority).collect();
        let budgets = options.service.budgets;
        let make = |(k, plain): (usize, &Nanos)| -> Box<dyn Kernel> {
            Box::new(VirtualKernel {
                clock: clock.clone(),
                plain: *plain,
                slow: slow.clone(),
                slow_factor: faults.slow.map_or(1.0, |(_, factor)| factor),
                drift: faults.drift.map(|(after, factor)| (START + after, factor)),
                fails: faults.kernel,
                rng: Xoshiro256PlusPlus::seed_from_u64(mix(seed, 1_000 + k as u64)),
                priorities: Arc::clone(&priorities),
                cuts: crate::base::PerPriority::from_fn(|p| {
                    Nanos::new((budgets[p].get() / 2).max(1))
                }),
                notes: Arc::clone(&notes),
                parts: [(Nanos::ZERO, Nanos::ZERO); crate::kernel::PLACES],
            })
        };
        let kernels = Kernels::new(options.service.kernels.iter().enumerate().map(make).collect());
        Ok(Self { clock, driver, kernels, notes })
    }
}
