//! Threads that own a device beside the workers' cores, and the rings by which batches go there and come back.
//!
//! Knows no packets. A worker puts a batch into its own ring and wakes the owner: a system call only where the owner sleeps.
//! Nobody waits for anybody: rings have one writer and one reader, and are larger than what may be under way.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use crossbeam_utils::CachePadded;
use rtrb::{Consumer, Producer, RingBuffer};

use super::threads::{Placement, Thread};
use crate::base::limits::PARK_MAX;
use crate::base::{Clock, Instant, Nanos};
use crate::dataplane::Idle;
use crate::dataplane::offload::{Back, DeviceOptions, Errand, Port, TRIPS_PER_DEVICE};
use crate::kernel::accel::{Accelerator, Ended, Health, Staged};

/// A device that has something in hand is asked for it at least this often: between two asks the rings are looked at.
const POLL_EVERY: Nanos = Nanos::from_micros(200);
/// A device that is down is tried again after this, and then twice as late each time.
const REVIVE_FIRST: Nanos = Nanos::from_millis(100);
const REVIVE_MAX: Nanos = Nanos::from_secs(60);
/// The worker's own number of a batch stands below this bit of its tag, the worker above.
const WORKER_SHIFT: u32 = 32;

/// What a device's owner shares with the control thread.
#[derive(Debug, Default)]
pub(super) struct Pulse {
    /// The clock at its last turn, nanoseconds.
    heartbeat: CachePadded<AtomicU64>,
    stop: CachePadded<AtomicBool>,
}

impl Pulse {
    /// When it last turned; `None`: not yet.
    pub(super) fn last(&self) -> Option<Instant> {
        match self.heartbeat.load(Ordering::Relaxed) {
            0 => None,
            at => Some(Instant::from_nanos(at)),
        }
    }
}

/// A device that runs.
#[derive(Debug)]
pub(super) struct Running {
    pub(super) thread: Thread<()>,
    pub(super) pulse: Arc<Pulse>,
}

impl Running {
    /// Tells it to end; what it has in hand is done first.
    pub(super) fn tell_to_stop(&self) {
        self.pulse.stop.store(true, Ordering::Relaxed);
        self.thread.wake();
    }
}

/// The way to a device, for each worker.
pub(super) type Ways = Vec<(DeviceOptions, Box<dyn Port>)>;

/// Starts the thread that owns `device`, the helper of that number, and makes a way to it for each of `workers` workers.
pub(super) fn start<A: Accelerator + 'static>(
    number: usize,
    device: A,
    (workers, kernels): (usize, usize),
    placement: Placement,
    idle: Idle,
    clock: &'static (impl Clock + Sync),
) -> io::Result<(Running, Ways)> {
    let options = DeviceOptions::of(&device, kernels);
    let pulse = Arc::new(Pulse::default());
    let mut rings = Vec::with_capacity(workers);
    let mut lanes = Vec::with_capacity(workers);
    for _ in 0..workers {
        // A ring that could be full would be one more thing to wait for.
        let (there, from_worker) = RingBuffer::new(TRIPS_PER_DEVICE);
        let (to_worker, back) = RingBuffer::new(TRIPS_PER_DEVICE);
        rings.push((there, back));
        lanes.push(Lane { from_worker, to_worker });
    }
    let owner = Owner::new(device, lanes, Arc::clone(&pulse));
    let body = move || {
        placement.take("helper", number);
        owner.run(clock, idle);
    };
    let thread = Thread::spawn(format!("punctual-h{number}"), body)?;
    let way = |(worker, (there, back)): (usize, _)| {
        let owner = thread.handle();
        let line: Box<dyn Port> = Box::new(Line { worker: worker as u64, there, back, owner });
        (options.clone(), line)
    };
    let ways = rings.into_iter().enumerate().map(way).collect();
    Ok((Running { thread, pulse }, ways))
}

/// The worker's end.
#[derive(Debug)]
struct Line {
    worker: u64,
    there: Producer<Errand>,
    back: Consumer<Back>,
    owner: thread::Thread,
}

impl Port for Line {
    fn send(&mut self, mut errand: Errand) -> Result<(), Errand> {
        errand.staged.tag |= self.worker << WORKER_SHIFT;
        self.there.push(errand).map_err(|rtrb::PushError::Full(errand)| errand)?;
        // An atomic exchange; a system call only if the owner has gone to sleep.
        self.owner.unpark();
        Ok(())
    }

    fn take(&mut self) -> Option<Back> {
        self.back.pop().ok()
    }
}

/// The owner's end of one worker's rings.
#[derive(Debug)]
struct Lane {
    from_worker: Consumer<Errand>,
    to_worker: Producer<Back>,
}

/// A device with those who send to it.
#[derive(Debug)]
struct Owner<A> {
    device: A,
    lanes: Vec<Lane>,
    /// Whose turn it is.
    next: usize,
    /// What the device has, and since when.
    in_hand: Vec<(u64, Instant)>,
    pulse: Arc<Pulse>,
    revive_at: Instant,
    revive_after: Nanos,
}

impl<A: Accelerator> Owner<A> {
    fn new(device: A, lanes: Vec<Lane>, pulse: Arc<Pulse>) -> Self {
        Self {
            in_hand: Vec::with_capacity(lanes.len() * TRIPS_PER_DEVICE),
            device,
            lanes,
            next: 0,
            pulse,
            revive_at: Instant::ZERO,
            revive_after: REVIVE_FIRST,
        }
    }

    /// Runs until told to stop.
    fn run(mut self, clock: &impl Clock, idle: Idle) {
        let mut active = clock.now();
        while !self.pulse.stop.load(Ordering::Relaxed) {
            let now = clock.now();
            self.pulse.heartbeat.store(now.as_nanos(), Ordering::Relaxed);
            if self.turn(now, clock) {
                active = now;
                continue;
            }
            let awake = match idle {
                Idle::Spin => true,
                Idle::Adaptive { spin } => now.since(active) < spin,
                Idle::Park => false,
            };
            if awake {
                std::hint::spin_loop();
            } else {
                // Whoever sent something since the last look has left its mark: then this returns at once.
                thread::park_timeout(PARK_MAX.to_std());
            }
        }
    }

    /// One turn. Says whether there was anything to do.
    fn turn(&mut self, now: Instant, clock: &impl Clock) -> bool {
        if self.device.health() == Health::Down {
            self.try_to_revive(now);
        }
        let took = self.take(now);
        if self.in_hand.is_empty() {
            return took;
        }
        let Self { device, lanes, in_hand, .. } = self;
        device.poll(POLL_EVERY, &mut |staged, ended| {
            hand_back(lanes, in_hand, staged, ended, clock.now());
        });
        true
    }

    /// Takes from the workers in turn what the device can begin. What it does not take goes back as lost.
    fn take(&mut self, now: Instant) -> bool {
        let mut took = false;
        let mut empty = 0;
        while empty < self.lanes.len() {
            if self.device.health() == Health::Ready
                && self.in_hand.len() >= self.device.in_flight_max()
            {
                break;
            }
            let lane = self.next;
            self.next = (lane + 1) % self.lanes.len();
            let Ok(Errand { kernel, staged }) = self.lanes[lane].from_worker.pop() else {
                empty += 1;
                continue;
            };
            empty = 0;
            took = true;
            self.in_hand.push((staged.tag, now));
            if let Err(staged) = self.device.submit(kernel, staged) {
                let Self { lanes, in_hand, .. } = self;
                hand_back(lanes, in_hand, staged, Ended::Lost, now);
            }
        }
        took
    }

    #[cold]
    fn try_to_revive(&mut self, now: Instant) {
        if now < self.revive_at {
            return;
        }
        if self.device.revive() {
            self.revive_after = REVIVE_FIRST;
        } else {
            self.revive_at = now + self.revive_after;
            self.revive_after = self.revive_after.saturating_mul(2).min(REVIVE_MAX);
        }
    }
}

/// Sends a batch back to its worker.
fn hand_back(
    lanes: &mut [Lane],
    in_hand: &mut Vec<(u64, Instant)>,
    mut staged: Box<Staged>,
    ended: Ended,
    finished: Instant,
) {
    let tag = staged.tag;
    let at = in_hand.iter().position(|(t, _)| *t == tag);
    let began = at.map_or(finished, |at| in_hand.swap_remove(at).1);
    let worker = usize::try_from(tag >> WORKER_SHIFT).unwrap_or(usize::MAX);
    staged.tag = tag & ((1 << WORKER_SHIFT) - 1);
    if let Some(lane) = lanes.get_mut(worker) {
        // There is room: no more is under way than the ring holds. A worker that has ended takes nothing any more.
        let _ = lane.to_worker.push(Back { staged, ended, began, finished });
    }
}
