//! Work that leaves the worker for a device which another thread owns, and comes back.
//!
//! Knows no thread and no ring: a [`Port`] carries batches there and back, and whoever drives the worker holds the ports. The
//! worker keeps the packets and their slots; copies of payloads travel. Everything is made at start and used again.

mod back;
mod form;
mod gate;
mod lone;

use std::collections::VecDeque;

use crate::base::{Instant, KernelId, Nanos};
use crate::kernel::accel::{Accelerator, Ended, Staged};
use crate::packet::Packet;
use crate::sched::RoundTrip;

use super::options::KernelOptions;
use super::reorder::Reorder;
use crate::kernel::RESULT_ALWAYS_FITS;
use crate::sched::admission::Admission;
pub use gate::GateOptions;
use gate::{Gate, Ticket};

/// Batches of one worker that one device may hold: one that runs, and one so that the device need not wait for the next.
pub const TRIPS_PER_DEVICE: usize = 2;
/// The most bytes of a batch, unless one packet takes more.
const STAGED_BYTES_MAX: usize = 1 << 20;
/// A device that has lost a batch is left alone for so long; each further loss doubles it.
const SHUN_FIRST: Nanos = Nanos::from_millis(1);
const SHUN_MAX: Nanos = Nanos::from_secs(1);
/// Whoever has nothing else to do looks at most this often whether something is back,
const LOOK_EVERY: Nanos = Nanos::from_micros(20);
/// and less often once it is overdue by `OVERDUE`.
const LOOK_OVERDUE: Nanos = Nanos::from_millis(1);
const OVERDUE: Nanos = Nanos::from_millis(5);

/// A batch on its way to a device.
#[derive(Debug)]
pub struct Errand {
    /// What is to be run.
    pub kernel: KernelId,
    /// On what.
    pub staged: Box<Staged>,
}

/// A batch that is back.
#[derive(Debug)]
pub struct Back {
    /// Its results.
    pub staged: Box<Staged>,
    /// How it went.
    pub ended: Ended,
    /// When the device began with it.
    pub began: Instant,
    /// When the device had done it.
    pub finished: Instant,
}

/// The way to a device and back. Nothing of it waits.
pub trait Port: std::fmt::Debug + Send {
    /// Sends a batch.
    ///
    /// # Errors
    /// Gives it back where there is no room.
    fn send(&mut self, errand: Errand) -> Result<(), Errand>;

    /// Takes a batch that is back.
    fn take(&mut self) -> Option<Back>;
}

/// What a worker is told of a device.
#[derive(Clone, Debug)]
pub struct DeviceOptions {
    /// The most rows of a batch.
    pub rows_max: usize,
    /// Whether it runs each kernel, in the order of their ids.
    pub runs: Vec<bool>,
    /// What stands before it; nothing before a helper.
    pub gate: Option<GateOptions>,
    /// What it has had for so long, its way included, it will not give back: it is taken for lost. Default: never.
    pub give_up: Nanos,
}

impl DeviceOptions {
    /// As the device says, of a service with that many kernels.
    pub fn of(device: &impl Accelerator, kernels: usize) -> Self {
        let runs = |k| u16::try_from(k).is_ok_and(|k| device.runs(KernelId(k)));
        Self {
            rows_max: device.rows_max(),
            runs: (0..kernels).map(runs).collect(),
            gate: None,
            give_up: Nanos::MAX,
        }
    }
}

/// A batch as the worker remembers it.
#[derive(Debug)]
struct Trip {
    /// Here while it is not under way.
    staged: Option<Box<Staged>>,
    /// Each with the deadline that it was queued by.
    packets: Vec<(Packet, Instant)>,
    kernel: KernelId,
    sent: Instant,
    /// When it is expected back.
    due: Instant,
    /// Settled with its device's gate when it is back.
    ticket: Option<Ticket>,
}

/// A device as the worker sees it.
#[derive(Debug)]
struct Device {
    rows_max: usize,
    bytes_max: usize,
    runs: Box<[bool]>,
    trips: [Trip; TRIPS_PER_DEVICE],
    times: RoundTrip,
    /// When it will have done what it was given.
    free_at: Instant,
    shunned_until: Instant,
    shun: Nanos,
    gate: Option<Gate>,
    give_up: Nanos,
}

/// What of a worker's packets is elsewhere.
#[derive(Debug)]
pub(super) struct Offload {
    devices: Vec<Device>,
    /// Formed, not yet handed over.
    ready: VecDeque<(usize, Errand)>,
    pub(super) order: Reorder,
    /// As of when places in the queue were noted ([`Admission::moves`]).
    noted_at: u64,
    /// Packets away.
    away: usize,
    /// Packets queued again that a device had lost.
    retried: usize,
}

impl Offload {
    /// For a worker that does everything itself.
    pub(super) fn none() -> Self {
        Self {
            devices: Vec::new(),
            ready: VecDeque::new(),
            order: Reorder::none(),
            noted_at: 0,
            away: 0,
            retried: 0,
        }
    }

    /// For a worker with these devices, whose packets have slots of `slot_len` bytes.
    pub(super) fn new(
        devices: &[DeviceOptions],
        kernels: usize,
        slot_len: usize,
        nothing: Packet,
    ) -> Self {
        if devices.is_empty() {
            return Self::none();
        }
        Self {
            devices: devices.iter().map(|d| Device::new(d, kernels, slot_len, nothing)).collect(),
            ready: VecDeque::with_capacity(devices.len() * TRIPS_PER_DEVICE),
            order: Reorder::new(nothing),
            noted_at: 0,
            away: 0,
            retried: 0,
        }
    }

    /// Whether nothing is elsewhere and nothing waits for what is.
    #[inline]
    pub(super) const fn is_idle(&self) -> bool {
        self.away == 0 && !self.order.is_active()
    }

    /// Whether what this worker has run may have to wait, or may have been given up.
    #[inline]
    pub(super) const fn bears_on_order(&self) -> bool {
        self.order.is_active() || self.retried > 0
    }

    /// How many packets are queued again that a device had lost.
    #[inline]
    pub(super) const fn retried(&self) -> usize {
        self.retried
    }

    /// The backlog above which a device may be of use.
    fn worth(&self, now: Instant) -> Nanos {
        let able = self.devices.iter().filter(|d| d.is_able(now));
        able.map(|d| Admission::relief_from(&d.times)).min().unwrap_or(Nanos::MAX)
    }

    /// The device that would be back first with a batch given to it now, of those behind a gate or of the others.
    fn best(&self, now: Instant, gated: bool) -> Option<usize> {
        let able = self.devices.iter().enumerate();
        let able = able.filter(|(_, d)| d.gate.is_some() == gated && d.is_able(now));
        able.min_by_key(|(_, d)| d.free_at.max(now) + d.times.fixed()).map(|(i, _)| i)
    }

    /// When a worker that has nothing else to do is to look again.
    pub(super) fn next_look(&self, now: Instant) -> Option<Instant> {
        if self.is_idle() {
            return None;
        }
        let under_way = self.devices.iter().flat_map(|d| &d.trips).filter(|t| t.is_awaited());
        let due = under_way.map(|t| t.due).min();
        let look = due.map(|due| {
            if now.since(due) > OVERDUE {
                now + LOOK_OVERDUE
            } else {
                // Half of the time that is left, so that what comes early does not wait long.
                now + Nanos::new(due.since(now).get() / 2).max(LOOK_EVERY)
            }
        });
        look.into_iter().chain(self.order.next_until()).min()
    }
}

impl Trip {
    const fn is_under_way(&self) -> bool {
        self.staged.is_none()
    }

    /// Whether its packets still wait for it: one that was given up may come back all the same.
    const fn is_awaited(&self) -> bool {
        self.is_under_way() && !self.packets.is_empty()
    }
}

impl Device {
    fn new(options: &DeviceOptions, kernels: usize, slot_len: usize, nothing: Packet) -> Self {
        let rows_max = options.rows_max.max(1);
        let bytes_max = rows_max.saturating_mul(slot_len).min(STAGED_BYTES_MAX).max(slot_len);
        let trip = |_| Trip {
            staged: Some(Box::new(Staged::new(rows_max, bytes_max))),
            packets: Vec::with_capacity(rows_max),
            kernel: nothing.kernel,
            sent: Instant::ZERO,
            due: Instant::ZERO,
            ticket: None,
        };
        let mut times = RoundTrip::new(kernels);
        let gate = options.gate.as_ref().map(|g| Gate::new(g, &mut times));
        Self {
            rows_max,
            bytes_max,
            runs: options.runs.clone().into(),
            trips: std::array::from_fn(trip),
            times,
            free_at: Instant::ZERO,
            shunned_until: Instant::ZERO,
            shun: SHUN_FIRST,
            gate,
            give_up: options.give_up,
        }
    }

    fn is_able(&self, now: Instant) -> bool {
        now >= self.shunned_until && self.trips.iter().any(|t| !t.is_under_way())
    }

    /// What a packet takes of a batch; `None`: it cannot go there.
    fn bytes_of(
        &self,
        packet: &Packet,
        kernels: &[KernelOptions],
        slot_len: usize,
    ) -> Option<usize> {
        let runs = self.runs.get(packet.kernel.index()).copied().unwrap_or(false);
        let capacity = capacity_of(packet, kernels, slot_len);
        runs.then(|| usize::from(packet.count) * capacity)
    }

    /// A batch is back, and was run or lost.
    fn note_end(&mut self, now: Instant, ended: Ended) {
        if !self.trips.iter().any(Trip::is_under_way) {
            self.free_at = now;
        }
        match ended {
            Ended::Run => self.shun = SHUN_FIRST,
            Ended::Lost => {
                self.shunned_until = now + self.shun;
                self.shun = self.shun.saturating_mul(2).min(SHUN_MAX);
            }
        }
    }
}

/// How long each result of a packet may become: on the worker's own core it may take the whole slot, which no kernel needs
/// that does not say so.
fn capacity_of(packet: &Packet, kernels: &[KernelOptions], slot_len: usize) -> usize {
    let header = packet.header_len();
    let len = usize::from(packet.len) - header;
    if packet.count > 1 {
        len
    } else if kernels[packet.kernel.index()].grows {
        slot_len - header
    } else {
        len.max(RESULT_ALWAYS_FITS)
    }
}
