//! A GPU that runs perceptrons, by wgpu over Vulkan: behind the feature `gpu`, which is off by default.
//!
//! Knows no thread and no queue: it takes a batch and hands it back, and says what it is good for. Weights stay on the device; the
//! memory of each batch in flight is made once. Whatever a device does, every batch that it took comes back exactly once.

pub mod adapter;
mod card;
mod check;
mod error;
mod net;
mod options;
mod slot;
mod timer;

use std::collections::VecDeque;
use std::fmt;
use std::time::Duration;

use super::accel::{Accelerator, Ended, Health, Staged};
use super::mlp::Spec;
use super::watch::Watch;
use super::{KernelSpec, Registry};
use crate::base::{Clock, KernelId, Nanos};
use adapter::Found;
use card::{Card, guarded};
pub use error::GpuError;
use net::{Net, TILE, VECTOR};
pub use options::Options;
use slot::{Slot, Widths};

/// The most bytes of one buffer of a batch: half of what every adapter binds.
const BUFFER_MAX: usize = 64 << 20;
/// The most looks before a wait blocks, for clocks that stand still.
const LOOKS_MAX: u32 = 256;

/// A GPU, or what is left of it.
pub struct Gpu {
    specs: Vec<(KernelId, Spec)>,
    options: Options,
    clock: Box<dyn Clock + Send>,
    /// None while it is down.
    open: Option<Open>,
    /// What went down while it still worked on something.
    buried: Option<Open>,
    flying: VecDeque<Flight>,
    lost: VecDeque<Box<Staged>>,
    watch: Watch,
    fault: Option<String>,
    found: Option<Found>,
    rows_max: usize,
    kernel_time: Option<Nanos>,
}

/// A device with everything that was made on it.
#[derive(Debug)]
struct Open {
    card: Card,
    nets: Vec<(KernelId, Net)>,
    slots: Vec<Slot>,
}

#[derive(Debug)]
struct Flight {
    slot: usize,
    net: usize,
    index: wgpu::SubmissionIndex,
    staged: Box<Staged>,
}

impl fmt::Debug for Gpu {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gpu")
            .field("found", &self.found)
            .field("options", &self.options)
            .field("in_flight", &self.flying.len())
            .field("watch", &self.watch)
            .field("fault", &self.fault)
            .finish_non_exhaustive()
    }
}

impl Gpu {
    /// Opens the best adapter for the kernels of `registry`, tests it and warms it up: every kernel at every size. Where the
    /// device itself is at fault, what is returned is down, says why ([`Gpu::fault`]) and may be revived.
    ///
    /// # Errors
    /// There is nothing that could be revived: no adapter, software alone, or no kernel for it.
    pub fn open(
        registry: &Registry,
        options: Options,
        clock: impl Clock + Send + 'static,
    ) -> Result<Self, GpuError> {
        let specs = perceptrons(registry);
        if specs.is_empty() {
            return Err(GpuError::NothingToRun);
        }
        let options = options.within_bounds();
        let widest = specs.iter().map(|(_, spec)| net::widest(&spec.model)).max().unwrap_or(1);
        let fit = BUFFER_MAX / (widest * VECTOR) / TILE * TILE;
        let mut gpu = Self {
            rows_max: options.rows_max.min(fit.max(TILE)),
            specs,
            options,
            clock: Box::new(clock),
            open: None,
            buried: None,
            flying: VecDeque::with_capacity(options.in_flight),
            lost: VecDeque::with_capacity(options.in_flight),
            watch: Watch::new(options.overdue),
            fault: None,
            found: None,
            kernel_time: None,
        };
        match gpu.bring_up() {
            Err(e @ (GpuError::NoAdapter | GpuError::OnlySoftware(_))) => return Err(e),
            Err(e) => gpu.go_down(&e.to_string()),
            Ok(()) => {}
        }
        Ok(gpu)
    }

    /// What it is, where it was ever opened.
    #[must_use]
    pub const fn found(&self) -> Option<&Found> {
        self.found.as_ref()
    }

    /// Why it went down last.
    #[must_use]
    pub fn fault(&self) -> Option<&str> {
        self.fault.as_deref()
    }

    /// How long the device itself was at work on the batch that came back last, transfers not counted. None where it was not asked
    /// to be timed, or has no clock.
    #[must_use]
    pub const fn kernel_time(&self) -> Option<Nanos> {
        self.kernel_time
    }

    /// Holds the device to the answers of the kernels of `registry`, as the self-test does to those it was opened with. It is down
    /// if they differ. Only for a device with nothing in flight.
    ///
    /// # Errors
    /// What differed.
    pub fn check(&mut self, registry: &Registry) -> Result<(), GpuError> {
        let tested =
            perceptrons(registry).iter().try_for_each(|(id, spec)| check::mlp(self, *id, spec));
        if let Err(error) = &tested {
            self.go_down(&error.to_string());
        }
        tested
    }

    /// Takes the device away, as a driver's reset would: for tests of what follows.
    pub fn destroy_device(&self) {
        if let Some(open) = &self.open {
            open.card.device.destroy();
        }
    }

    /// Opens, builds, tests and warms up.
    fn bring_up(&mut self) -> Result<(), GpuError> {
        let card = Card::open(self.options.allow_software)?;
        self.found = Some(card.found.clone());
        check::crc32c(&card)?;
        let build = |(id, spec): &(KernelId, Spec)| Ok((*id, Net::new(&card, spec)?));
        let nets: Vec<_> = self.specs.iter().map(build).collect::<Result<_, GpuError>>()?;
        let widths = self.widths(&nets);
        let timed = self.options.timed;
        let all: Vec<&Net> = nets.iter().map(|(_, net)| net).collect();
        let slots = (0..self.options.in_flight)
            .map(|_| Slot::new(&card, &all, widths, timed))
            .collect::<Result<_, GpuError>>()?;
        self.open = Some(Open { card, nets, slots });
        self.watch = Watch::new(self.options.overdue);
        for (id, spec) in self.specs.clone() {
            check::mlp(self, id, &spec)?;
        }
        self.fault = None;
        Ok(())
    }

    fn widths(&self, nets: &[(KernelId, Net)]) -> Widths {
        let most =
            |of: &dyn Fn(&Net) -> usize| nets.iter().map(|(_, net)| of(net)).max().unwrap_or(1);
        let models = || self.specs.iter().map(|(_, spec)| spec);
        Widths {
            rows: self.rows_max,
            input: most(&|net| net.input),
            output: most(&|net| net.output),
            widest: models().map(|s| net::widest(&s.model)).max().unwrap_or(1),
            bytes: models().map(|s| net::widest_bytes(&s.model)).max().unwrap_or(0),
        }
    }

    /// Starts a batch, whatever the device is good for.
    fn start(&mut self, kernel: KernelId, staged: Box<Staged>) -> Result<(), Box<Staged>> {
        let Some(open) = &mut self.open else { return Err(staged) };
        let Some(at) = open.nets.iter().position(|(id, _)| *id == kernel) else {
            return Err(staged);
        };
        let busy = |i: usize| self.flying.iter().any(|f| f.slot == i);
        let mut slots = open.slots.iter_mut().enumerate();
        let Some((i, slot)) = slots.find(|(i, slot)| !busy(*i) && slot.free()) else {
            return Err(staged);
        };
        match slot.start(&open.card, (at, &open.nets[at].1), &staged) {
            Some(index) => {
                self.flying.push_back(Flight { slot: i, net: at, index, staged });
                Ok(())
            }
            None => {
                open.card.fail("it did not take a batch");
                Err(staged)
            }
        }
    }

    /// Hands over what is back by now, and says whether anything was.
    fn collect(&mut self, back: &mut dyn FnMut(Box<Staged>, Ended)) -> bool {
        let Some(open) = &mut self.open else { return false };
        open.card.look();
        let mut any = false;
        while open.card.trouble().is_none() {
            let Some(first) = self.flying.front_mut() else { break };
            let slot = &open.slots[first.slot];
            if slot.failed() {
                open.card.fail("it gave a batch's memory back unread");
            }
            if !slot.back() {
                break;
            }
            match slot.finish(&open.nets[first.net].1, &mut first.staged) {
                Some(time) => self.kernel_time = time,
                None => {
                    open.card.fail("a batch's answers cannot be read");
                    break;
                }
            }
            if let Some(flight) = self.flying.pop_front() {
                self.watch.back(self.clock.now(), !self.flying.is_empty());
                back(flight.staged, Ended::Run);
                any = true;
            }
        }
        any
    }

    /// Whether the device itself says that it is good for nothing: it goes down then.
    fn sink(&mut self) -> bool {
        let trouble = self.open.as_ref().and_then(|open| open.card.trouble().map(str::to_owned));
        if let Some(why) = &trouble {
            self.go_down(why);
        }
        trouble.is_some()
    }

    /// Everything in flight is lost, and the device is put away.
    fn go_down(&mut self, why: &str) {
        tracing::warn!(target: "punctual", "the GPU is down: {why}");
        self.fault = Some(why.to_owned());
        self.lost.extend(self.flying.drain(..).map(|flight| flight.staged));
        if let Some(open) = self.open.take() {
            self.lay_down(open);
        }
    }

    /// Closing a device waits for all that it was given, for ever where it hangs: so it is closed when it is idle.
    fn lay_down(&mut self, open: Open) {
        if open.card.idle() {
            guarded(|| drop(open));
        } else if let Some(before) = self.buried.replace(open) {
            leave(before);
        }
    }

    /// Waits for the oldest batch for at most `wait`: looking for a while, then sleeping.
    fn wait(&mut self, wait: Nanos, back: &mut dyn FnMut(Box<Staged>, Ended)) -> bool {
        let start = self.clock.now();
        for _ in 0..LOOKS_MAX {
            if self.collect(back) {
                return true;
            }
            if self.clock.now().since(start) >= wait.min(self.options.spin) {
                break;
            }
            std::hint::spin_loop();
        }
        let now = self.clock.now();
        // Not past the time-out: whoever waits long is to know of it when it happens.
        let left = wait.saturating_sub(now.since(start)).min(self.watch.left(now));
        if let (Some(open), Some(first)) = (&self.open, self.flying.front())
            && left > Nanos::ZERO
        {
            open.card.wait(&first.index, Duration::from_nanos(left.get()));
        }
        self.collect(back)
    }

    fn hand_lost(&mut self, back: &mut dyn FnMut(Box<Staged>, Ended)) {
        while let Some(staged) = self.lost.pop_front() {
            back(staged, Ended::Lost);
        }
    }
}

impl Accelerator for Gpu {
    fn runs(&self, kernel: KernelId) -> bool {
        self.specs.iter().any(|(id, _)| *id == kernel)
    }

    fn rows_max(&self) -> usize {
        self.rows_max
    }

    fn in_flight_max(&self) -> usize {
        self.options.in_flight
    }

    /// A batch without rows, or with too many, is not taken.
    fn submit(&mut self, kernel: KernelId, staged: Box<Staged>) -> Result<(), Box<Staged>> {
        let fits = (1..=self.rows_max).contains(&staged.len());
        if !fits || self.health() != Health::Ready {
            return Err(staged);
        }
        self.start(kernel, staged)?;
        self.watch.started(self.clock.now());
        Ok(())
    }

    /// Does not wait where nothing is in flight.
    fn poll(&mut self, wait: Nanos, back: &mut dyn FnMut(Box<Staged>, Ended)) {
        let any = self.collect(back);
        if !any && wait > Nanos::ZERO && !self.flying.is_empty() && self.lost.is_empty() {
            self.wait(wait, back);
        }
        if !self.sink() && self.open.is_some() {
            self.watch.look(self.clock.now());
            if self.watch.health() == Health::Down {
                let limit = self.options.overdue.as_micros();
                self.go_down(&format!("two time-outs of {limit} us in a row"));
            }
        }
        self.hand_lost(back);
    }

    fn health(&self) -> Health {
        match &self.open {
            Some(open) if open.card.trouble().is_none() => self.watch.health(),
            _ => Health::Down,
        }
    }

    /// A device that still works on what it was given before is not opened again.
    fn revive(&mut self) -> bool {
        if self.open.is_some() && !self.sink() {
            return self.health() != Health::Down;
        }
        if let Some(buried) = self.buried.take() {
            if buried.card.trouble().is_none() && !buried.card.idle() {
                self.fault =
                    Some("it still works on what it was given before it went down".to_owned());
                self.buried = Some(buried);
                return false;
            }
            self.lay_down(buried);
            if let Some(silent) = self.buried.take() {
                leave(silent);
            }
        }
        if let Err(error) = self.bring_up() {
            self.go_down(&error.to_string());
        }
        self.open.is_some()
    }
}

impl Drop for Gpu {
    fn drop(&mut self) {
        for open in [self.open.take(), self.buried.take()].into_iter().flatten() {
            if open.card.idle() {
                guarded(|| drop(open));
            } else {
                leave(open);
            }
        }
    }
}

/// Leaves a device unclosed: closing one that was lost or hangs may not come to an end, or panic twice, which ends the process.
fn leave(open: Open) {
    Box::leak(Box::new(open));
}

/// The kernels of a config that have a form for a GPU.
fn perceptrons(registry: &Registry) -> Vec<(KernelId, Spec)> {
    let all = registry.iter().enumerate().filter_map(|(i, (_, spec))| match spec {
        KernelSpec::Mlp(spec) => Some((KernelId(u16::try_from(i).ok()?), spec.clone())),
        _ => None,
    });
    all.collect()
}
