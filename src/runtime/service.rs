//! A running service: its start, its figures, its end.

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};

mod job;

use super::calibration::{self, Measured};
use super::control::{Control, ControlState, pause};
use super::devices::{self, Running, Ways};
use super::gpu::Ready;
use super::options::{EgressTarget, Options};
use super::sockets::{self, WorkerSockets};
use super::threads::{CoresError, Placement, Thread};
use crate::base::limits::{PARK_MAX, QUEUE_TOTAL_MAX, WORKERS_MAX};
use crate::base::{Clock as _, Nanos, Priority, WorkerId};
use crate::dataplane::offload::GateOptions;
use crate::dataplane::{self, Idle, KernelOptions, Own, Shared};
use crate::io::DriverKind;
use crate::io::capability::{self, UringUnavailable};
use crate::kernel::cpu_accel::CpuAccelerator;
use crate::level::DeviceView;
use crate::sched::controller::{self, Controller, Plan};
use crate::stats::{Counters, Layout};
use crate::sys::clock::MonotonicClock;
use crate::sys::{addresses, realtime};
use job::WorkerJob;

/// The clock of all threads: it has no state.
static CLOCK: MonotonicClock = MonotonicClock;
/// Slots of a worker besides those of a full queue: finished packets, answers from upstreams, refusals.
const SLOTS_SPARE: usize = 2_048;
/// How long a helper may take to end its last batch.
const HELPER_ENDS_WITHIN: Nanos = Nanos::from_millis(500);
/// Further slots where packets may be away, or finished and waiting for such.
const SLOTS_AWAY: usize = 1_024;

/// Why a service did not start. Nothing runs when this is returned.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// It is not known who runs where.
    #[error(transparent)]
    Cores(#[from] CoresError),
    /// There are none, or too many.
    #[error("{0} workers: 1 to {WORKERS_MAX} are possible")]
    Workers(usize),
    /// The driver that was asked for cannot work here.
    #[error(transparent)]
    Driver(#[from] UringUnavailable),
    /// A socket could not be opened.
    #[error("{0}")]
    Socket(#[source] io::Error),
    /// A helper's thread could not be started.
    #[error("helper {helper} did not start: {source}")]
    Helper {
        /// Which.
        helper: usize,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The GPU's thread could not be started.
    #[error("the GPU's thread did not start: {0}")]
    Gpu(#[source] io::Error),
    /// A thread could not be started, or its driver could not be made.
    #[error("worker {worker} did not start: {source}")]
    Worker {
        /// Which.
        worker: usize,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// How a service ended.
#[derive(Debug)]
pub struct Stopped {
    /// The last figures of each worker.
    pub figures: Vec<Counters>,
    /// Workers that failed while they ran, with the reason, or did not stop in time.
    pub faults: Vec<String>,
}

type WorkerEnd = io::Result<()>;

/// A running service.
#[derive(Debug)]
pub struct Service {
    options: Options,
    workers: Vec<Arc<Shared>>,
    threads: Mutex<Vec<Option<Thread<WorkerEnd>>>>,
    control: Mutex<Option<Thread<()>>>,
    helpers: Mutex<Vec<Running>>,
    gpu: Option<(String, GateOptions)>,
    state: Arc<ControlState>,
    layout: Layout,
    addresses: Vec<SocketAddr>,
    cores: Vec<usize>,
    driver: DriverKind,
    driver_reason: String,
    measured: Arc<[Option<Measured>]>,
}

impl Service {
    /// Opens all sockets and starts all threads. When this returns, datagrams are taken.
    ///
    /// # Errors
    /// [`StartError`]; what was opened is closed again.
    pub fn start(options: Options) -> Result<Self, StartError> {
        let (cores, helper_cores) = options.cores.resolve(options.helpers)?;
        if cores.is_empty() || cores.len() > WORKERS_MAX {
            return Err(StartError::Workers(cores.len()));
        }
        let choice = capability::choose(options.driver)?;
        let measured =
            calibration::measure(&options.kernels, options.kept.as_deref(), &CLOCK).into();
        let mut controlled = options.controller.clone();
        controlled.workers = cores.len();
        let controller = Controller::new(controlled, CLOCK.now());
        let opening =
            sockets::open_all(&options, &controller.plan().workers).map_err(StartError::Socket)?;
        if let Some(short) = &opening.shortfall {
            tracing::warn!(
                asked = short.asked,
                granted = short.granted,
                "the kernel grants smaller receive buffers: raise net.core.rmem_max, or run with CAP_NET_ADMIN"
            );
        }
        if options.lock_memory
            && let Err(error) = realtime::lock_memory()
        {
            tracing::warn!(%error, "memory is not locked");
        }
        tracing::info!(driver = %choice.kind, reason = %choice.reason, "driver chosen");
        let layout = Layout::new(counted(&options)).with_kernels(options.kernels.len());
        let plan = controller.plan().clone();
        let state = Arc::new(ControlState::new(cores.len(), plan.clone()));
        let shared: Vec<_> =
            plan.workers.iter().map(|p| Arc::new(Shared::new(layout.words(), p))).collect();
        let mut service = Self {
            workers: shared,
            threads: Mutex::new(Vec::new()),
            control: Mutex::new(None),
            helpers: Mutex::new(Vec::new()),
            gpu: None,
            state,
            layout,
            addresses: opening.addresses,
            cores,
            driver: choice.kind,
            driver_reason: choice.reason,
            measured,
            options,
        };
        let mut ways = service.start_helpers(&helper_cores)?;
        service.start_gpu(&mut ways)?;
        service.start_workers(opening.workers, ways)?;
        service.start_control(controller)?;
        Ok(service)
    }

    /// The ways to all helpers, for each worker.
    fn start_helpers(&mut self, cores: &[usize]) -> Result<Vec<Ways>, StartError> {
        let (workers, kernels) = (self.cores.len(), self.options.kernels.len());
        let mut ways: Vec<Ways> = (0..workers).map(|_| Vec::new()).collect();
        for (helper, core) in cores.iter().enumerate() {
            // What a helper draws is not what a worker draws.
            let seed = self.options.seed.wrapping_add((WORKERS_MAX + helper) as u64);
            let device = CpuAccelerator::new(self.options.kernels.instantiate(seed, &CLOCK));
            let placement = Placement { core: *core, realtime: self.options.realtime };
            let started = devices::start(
                ("helper", helper),
                device,
                (workers, kernels),
                placement,
                self.options.idle,
                &CLOCK,
            );
            let (running, to) = started.map_err(|source| StartError::Helper { helper, source })?;
            self.helpers.get_mut().unwrap_or_else(PoisonError::into_inner).push(running);
            ways.iter_mut().zip(to).for_each(|(ways, way)| ways.push(way));
        }
        if !cores.is_empty() {
            tracing::info!(?cores, "helpers take part of bursts");
        }
        Ok(ways)
    }

    /// Adds the way to the GPU, where there is one.
    fn start_gpu(&mut self, ways: &mut [Ways]) -> Result<(), StartError> {
        let kernels = &self.options.kernels;
        let Some(plan) = &self.options.gpu else { return Ok(()) };
        let Some(Ready { device, name, gate }) = plan.open(kernels, &CLOCK) else { return Ok(()) };
        // It has no core of its own: where it would spin for a core, it rests.
        let idle = match self.options.idle {
            Idle::Spin => Idle::Park,
            other => other,
        };
        let placement = Placement { core: Placement::ANYWHERE, realtime: None };
        let size = (ways.len(), kernels.len());
        let give_up = plan.give_up(ways.len());
        let started = devices::start(("gpu", 0), device, size, placement, idle, &CLOCK);
        let (running, to) = started.map_err(StartError::Gpu)?;
        self.helpers.get_mut().unwrap_or_else(PoisonError::into_inner).push(running);
        for (ways, (mut options, port)) in ways.iter_mut().zip(to) {
            options.gate = Some(gate.clone());
            options.give_up = give_up;
            ways.push((options, port));
        }
        self.gpu = Some((name, gate));
        Ok(())
    }

    fn start_workers(
        &mut self,
        sockets: Vec<WorkerSockets>,
        ways: Vec<Ways>,
    ) -> Result<(), StartError> {
        let own = Own {
            addresses: addresses::local_addresses().unwrap_or_default(),
            listening: self.addresses.clone(),
        };
        let mut starting: Vec<Receiver<io::Result<()>>> = Vec::new();
        for (w, (sockets, ways)) in sockets.into_iter().zip(ways).enumerate() {
            let (tell, started) = sync_channel(1);
            let job = WorkerJob {
                worker: w,
                options: self.worker_options(w, &sockets),
                own: own.clone(),
                sockets,
                ways,
                registry: self.options.kernels.clone(),
                measured: Arc::clone(&self.measured),
                batch: self.options.batch,
                shared: Arc::clone(&self.workers[w]),
                idle: self.options.idle,
                placement: Placement { core: self.cores[w], realtime: self.options.realtime },
                max_datagram: self.options.max_datagram,
                seed: self.options.seed.wrapping_add(w as u64),
                tell,
            };
            let kind = self.driver;
            let thread = Thread::spawn(format!("punctual-w{w}"), move || job.run(kind));
            let thread = thread.map_err(|source| StartError::Worker { worker: w, source })?;
            self.threads.get_mut().unwrap_or_else(PoisonError::into_inner).push(Some(thread));
            starting.push(started);
        }
        for (worker, started) in starting.into_iter().enumerate() {
            let result =
                started.recv().unwrap_or_else(|_| Err(io::Error::other("its thread ended")));
            if let Err(source) = result {
                self.stop(Nanos::ZERO);
                return Err(StartError::Worker { worker, source });
            }
        }
        Ok(())
    }

    fn start_control(&mut self, controller: Controller) -> Result<(), StartError> {
        let control = Control::new(
            controller,
            self.workers.clone(),
            Arc::clone(&self.state),
            self.layout,
            self.options.stall,
        );
        let helpers = self.helpers.get_mut().unwrap_or_else(PoisonError::into_inner);
        let pulses = helpers.iter().map(|h| Arc::clone(&h.pulse));
        let control = control.with_devices(pulses, self.options.stall);
        let thread = Thread::spawn("punctual-ctl".into(), move || control.run(&CLOCK));
        let thread =
            thread.map_err(|source| StartError::Worker { worker: self.cores.len(), source })?;
        *self.control.get_mut().unwrap_or_else(PoisonError::into_inner) = Some(thread);
        Ok(())
    }

    fn worker_options(&self, w: usize, sockets: &WorkerSockets) -> dataplane::Options {
        let o = &self.options;
        let serves = sockets::serves(o.controller.layout, w, self.cores.len());
        // Kernels are made on the worker's own thread; what they take is asked of a set made here.
        let kernels = o.kernels.instantiate(o.seed, &CLOCK);
        dataplane::Options {
            id: WorkerId(u16::try_from(w).unwrap_or(u16::MAX)),
            ingresses: o.ingresses.iter().map(super::options::IngressPlan::for_worker).collect(),
            counted: self.layout.ingresses(),
            egresses: sockets.egresses.clone(),
            sockets: sockets.options.clone(),
            kernels: kernels.iter().map(KernelOptions::of).collect(),
            budgets: o.budgets,
            ema_weight: o.ema_weight,
            admission: o.admission,
            max_datagram: o.max_datagram,
            hold: o.hold,
            slots: QUEUE_TOTAL_MAX + SLOTS_SPARE + self.slots_away(),
            guard: o.guard,
            guard_requires_expected_high: o.guard_requires_expected_high,
            serves_high: serves[Priority::High],
            secret: o.seed ^ 0x9e37_79b9_7f4a_7c15,
        }
    }

    const fn slots_away(&self) -> usize {
        if self.options.helpers > 0 || self.gpu.is_some() { SLOTS_AWAY } else { 0 }
    }

    /// The GPU, if there is one.
    #[must_use]
    pub fn gpu(&self) -> Option<DeviceView> {
        let (name, gate) = self.gpu.as_ref()?;
        Some(DeviceView {
            name: name.clone(),
            figures: gate.breaker.figures(CLOCK.now()),
            entered: gate.breaker.entered(),
            limit: gate.breaker.options().limit,
            measured: gate.measured.clone(),
        })
    }

    /// Where each ingress listens, in the order of the config.
    #[must_use]
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// The workers' cores.
    #[must_use]
    pub fn cores(&self) -> &[usize] {
        &self.cores
    }

    /// The driver in use, and why.
    #[must_use]
    pub fn driver(&self) -> (DriverKind, &str) {
        (self.driver, &self.driver_reason)
    }

    /// What batches of each kernel cost, as measured at start.
    #[must_use]
    pub fn measured(&self) -> &[Option<Measured>] {
        &self.measured
    }

    /// What it was told at start.
    #[must_use]
    pub const fn options(&self) -> &Options {
        &self.options
    }

    /// The names under which packets are counted: the ingresses, then the answers of each forwarding way out.
    #[must_use]
    pub fn counted_names(&self) -> Vec<String> {
        counted_names(&self.options)
    }

    /// The controller's last plan.
    #[must_use]
    pub fn plan(&self) -> Plan {
        self.state.plan.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Puts other limits in force from the next plan on: what a reload may change while packets flow.
    pub fn retune(&self, options: controller::Options) {
        *self.state.retune.lock().unwrap_or_else(PoisonError::into_inner) = Some(options);
    }

    /// Which workers are stalled now.
    #[must_use]
    pub fn stalled(&self) -> Vec<bool> {
        self.state.stalled.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether all workers and helpers run.
    #[must_use]
    pub fn is_alive(&self) -> bool {
        let threads = self.threads.lock().unwrap_or_else(PoisonError::into_inner);
        let helpers = self.helpers.lock().unwrap_or_else(PoisonError::into_inner);
        helpers.iter().all(|h| !h.thread.is_finished())
            && !threads.is_empty()
            && threads.iter().all(|t| t.as_ref().is_some_and(|t| !t.is_finished()))
    }

    /// The present time on the service's clock.
    #[must_use]
    pub fn now(&self) -> crate::base::Instant {
        CLOCK.now()
    }

    /// Each worker's figures, each consistent in itself, fresh unless a worker is stalled. Takes up to 60 ms when workers
    /// sleep.
    #[must_use]
    pub fn figures(&self) -> Vec<Counters> {
        let before: Vec<u64> = self.workers.iter().map(|w| w.board.version()).collect();
        for worker in &self.workers {
            worker.board.ask();
        }
        let until = CLOCK.now() + PARK_MAX + Nanos::from_millis(10);
        while CLOCK.now() < until
            && self.workers.iter().zip(&before).any(|(w, before)| w.board.version() == *before)
        {
            pause(Nanos::from_micros(200));
        }
        self.workers.iter().map(|w| read(w, self.layout)).collect()
    }

    /// Begins to stop: intake closes, what is queued is run for at most `drain` from now, the rest is dropped and counted.
    /// A later call may shorten the time. [`Service::stop`] follows.
    pub fn begin_stop(&self, drain: Nanos) {
        let stop_at = CLOCK.now() + drain;
        for worker in &self.workers {
            worker.stop_at.fetch_min(stop_at.as_nanos(), Ordering::Relaxed);
        }
    }

    /// Whether all workers have ended.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        let threads = self.threads.lock().unwrap_or_else(PoisonError::into_inner);
        threads.iter().all(|t| t.as_ref().is_none_or(Thread::is_finished))
    }

    /// Stops within `drain` and a second more, and tells how it ended. Further calls return the same figures.
    pub fn stop(&self, drain: Nanos) -> Stopped {
        self.begin_stop(drain);
        let stop_at = CLOCK.now() + drain;
        let bound = stop_at + Nanos::from_secs(1);
        let mut faults = Vec::new();
        let mut threads = self.threads.lock().unwrap_or_else(PoisonError::into_inner);
        for (w, thread) in threads.iter_mut().enumerate() {
            let Some(thread) = thread.take() else { continue };
            match thread.join(bound.since(CLOCK.now())) {
                Ok(Ok(())) => {}
                Ok(Err(error)) => faults.push(format!("worker {w}: {error}")),
                Err(true) => faults.push(format!("worker {w} panicked")),
                Err(false) => faults.push(format!("worker {w} did not stop in time")),
            }
        }
        drop(threads);
        self.stop_helpers(&mut faults);
        self.state.stop.store(true, Ordering::Relaxed);
        if let Some(control) = self.control.lock().unwrap_or_else(PoisonError::into_inner).take() {
            let _ = control.join(Nanos::from_millis(500));
        }
        Stopped { figures: self.workers.iter().map(|w| read(w, self.layout)).collect(), faults }
    }
}

impl Service {
    /// When the workers have ended nobody waits for a helper; one that hangs is named.
    fn stop_helpers(&self, faults: &mut Vec<String>) {
        let mut helpers = self.helpers.lock().unwrap_or_else(PoisonError::into_inner);
        helpers.iter().for_each(Running::tell_to_stop);
        for (h, helper) in helpers.drain(..).enumerate() {
            match helper.thread.join(HELPER_ENDS_WITHIN) {
                Ok(()) => {}
                Err(true) => faults.push(format!("helper {h} panicked")),
                Err(false) => faults.push(format!("helper {h} did not stop in time")),
            }
        }
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.stop(Nanos::ZERO);
    }
}

fn read(worker: &Shared, layout: Layout) -> Counters {
    let mut figures = Counters::new(layout);
    while worker.board.try_read(figures.words_mut()).is_none() {
        std::hint::spin_loop();
    }
    figures
}

fn counted(options: &Options) -> usize {
    counted_names(options).len()
}

fn counted_names(options: &Options) -> Vec<String> {
    let ingresses = options.ingresses.iter().map(|i| i.name.clone());
    let forwards =
        options.egresses.iter().filter(|e| matches!(e.target, EgressTarget::Forward { .. }));
    ingresses.chain(forwards.map(|e| format!("{}.answers", e.name))).collect()
}
