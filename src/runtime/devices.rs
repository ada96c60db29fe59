//! Threads that own a device beside the workers' cores, and the rings by which batches go there and come back.
//!
//! Knows no packets. A worker puts a batch into its own ring and wakes the owner: a system call only where the owner sleeps.
//! Nobody waits for anybody: rings have one writer and one reader, and are larger than what may be under way.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

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
    heartbeat: AtomicU64,
    stop: AtomicBool,
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

/// Starts the thread that owns `device`, of that role and number, and makes a way to it for each of `workers` workers.
pub(super) fn start<A: Accelerator + 'static>(
    (role, number): (&'static str, usize),
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
        placement.take(role, number);
        owner.run(clock, idle);
    };
    let thread = Thread::spawn(format!("punctual-{}{number}", &role[..1]), body)?;
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
    /// When the last batch came back: one that was taken before began only then.
    free_since: Instant,
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
            free_since: Instant::ZERO,
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
        let Self { device, lanes, in_hand, free_since, .. } = self;
        device.poll(POLL_EVERY, &mut |staged, ended| {
            let now = clock.now();
            hand_back(lanes, in_hand, (staged, ended), (*free_since, now));
            *free_since = now;
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
                hand_back(lanes, in_hand, (staged, Ended::Lost), (now, now));
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
    (mut staged, ended): (Box<Staged>, Ended),
    (free_since, finished): (Instant, Instant),
) {
    let tag = staged.tag;
    let at = in_hand.iter().position(|(t, _)| *t == tag);
    let began = at.map_or(finished, |at| in_hand.swap_remove(at).1.max(free_since));
    let worker = usize::try_from(tag >> WORKER_SHIFT).unwrap_or(usize::MAX);
    staged.tag = tag & ((1 << WORKER_SHIFT) - 1);
    if let Some(lane) = lanes.get_mut(worker) {
        // There is room: no more is under way than the ring holds. A worker that has ended takes nothing any more.
        let _ = lane.to_worker.push(Back { staged, ended, began, finished });
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "threads are what is tested here")]
mod tests {
    use super::*;
    use crate::base::KernelId;
    use crate::kernel::cpu_accel::CpuAccelerator;
    use crate::kernel::crc32c::Crc32c;
    use crate::kernel::{Batch, Kernel as _, Kernels, Row, RowStatus};
    use crate::sys::clock::MonotonicClock;
    use std::sync::atomic::AtomicU32;

    static CLOCK: MonotonicClock = MonotonicClock;
    const UNPINNED: Placement = Placement { core: usize::MAX, realtime: None };
    const PATIENCE: Nanos = Nanos::from_secs(20);

    fn errand(tag: u64, bytes: &[u8]) -> Errand {
        let mut staged = Box::new(Staged::new(4, 256));
        staged.tag = tag;
        assert!(staged.push(bytes, 16));
        Errand { kernel: KernelId(0), staged }
    }

    fn wait_for(port: &mut dyn Port) -> Back {
        let until = CLOCK.now() + PATIENCE;
        loop {
            if let Some(back) = port.take() {
                return back;
            }
            assert!(CLOCK.now() < until, "nothing comes back");
            thread::yield_now();
        }
    }

    /// What the kernel makes of it.
    fn directly(bytes: &[u8]) -> Vec<u8> {
        let mut memory = [0; 16];
        memory[..bytes.len()].copy_from_slice(bytes);
        let status = RowStatus::Failed;
        let mut row = [Row { start: 0, len: bytes.len(), capacity: 16, status }];
        Crc32c.run(&mut Batch::new(&mut memory, &mut row));
        memory[..row[0].len].to_vec()
    }

    fn end(running: Running) {
        running.tell_to_stop();
        running.thread.join(PATIENCE).unwrap();
    }

    #[test]
    fn batches_of_all_workers_come_back_to_whom_they_belong() {
        for idle in [Idle::Spin, Idle::Park, Idle::Adaptive { spin: Nanos::from_micros(50) }] {
            let device = CpuAccelerator::new(Kernels::new(vec![Box::new(Crc32c)]));
            let (running, mut ways) =
                start(("helper", 7), device, (3, 2), UNPINNED, idle, &CLOCK).unwrap();
            assert_eq!(ways[0].0.runs, [true, false]);
            for round in 0..200 {
                for (w, (_, port)) in ways.iter_mut().enumerate() {
                    for tag in 0..TRIPS_PER_DEVICE as u64 {
                        port.send(errand(tag, &[w as u8, tag as u8, round])).unwrap();
                    }
                }
                for (w, (_, port)) in ways.iter_mut().enumerate() {
                    for tag in 0..TRIPS_PER_DEVICE as u64 {
                        let back = wait_for(&mut **port);
                        assert_eq!((back.staged.tag, back.ended), (tag, Ended::Run));
                        assert!(back.began <= back.finished);
                        let bytes = [w as u8, tag as u8, round];
                        assert_eq!(back.staged.bytes_of(0), directly(&bytes));
                    }
                }
            }
            end(running);
        }
    }

    /// Dies with its second batch, and lives again when it has been asked three times.
    #[derive(Debug)]
    struct Frail {
        inner: CpuAccelerator,
        taken: u32,
        down: bool,
        asked: Arc<AtomicU32>,
    }

    impl Accelerator for Frail {
        fn runs(&self, kernel: KernelId) -> bool {
            self.inner.runs(kernel)
        }

        fn rows_max(&self) -> usize {
            4
        }

        fn in_flight_max(&self) -> usize {
            1
        }

        fn submit(&mut self, kernel: KernelId, staged: Box<Staged>) -> Result<(), Box<Staged>> {
            self.taken += 1;
            self.down |= self.taken == 2;
            if self.down { Err(staged) } else { self.inner.submit(kernel, staged) }
        }

        fn poll(&mut self, wait: Nanos, back: &mut dyn FnMut(Box<Staged>, Ended)) {
            self.inner.poll(wait, back);
        }

        fn health(&self) -> Health {
            if self.down { Health::Down } else { Health::Ready }
        }

        fn revive(&mut self) -> bool {
            self.down = self.asked.fetch_add(1, Ordering::Relaxed) < 2;
            !self.down
        }
    }

    #[test]
    fn what_a_dead_device_is_given_comes_back_at_once_and_it_is_tried_again() {
        let asked = Arc::new(AtomicU32::new(0));
        let inner = CpuAccelerator::new(Kernels::new(vec![Box::new(Crc32c)]));
        let device = Frail { inner, taken: 0, down: false, asked: Arc::clone(&asked) };
        let (running, mut ways) =
            start(("helper", 0), device, (1, 1), UNPINNED, Idle::Park, &CLOCK).unwrap();
        let port = &mut *ways[0].1;
        let mut ends = Vec::new();
        let until = CLOCK.now() + PATIENCE;
        while ends.iter().filter(|e| **e == Ended::Run).count() < 2 && CLOCK.now() < until {
            port.send(errand(0, b"x")).unwrap();
            ends.push(wait_for(port).ended);
        }
        assert_eq!(ends[..2], [Ended::Run, Ended::Lost]);
        assert_eq!(ends.last(), Some(&Ended::Run));
        assert_eq!(asked.load(Ordering::Relaxed), 3, "each later than the one before");
        end(running);
    }
}
