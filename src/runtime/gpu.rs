//! The GPU of a service: how it is opened, what it was measured to take, and the gate before it.
//!
//! Knows no driver: a [`GpuPlan`] opens the device, and from then on it is an [`Accelerator`].

use std::fmt;
use std::sync::Arc;

use crate::base::{Clock, KernelId, Nanos};
use crate::dataplane::offload::{GateOptions, TRIPS_PER_DEVICE};
use crate::kernel::accel::{Accelerator, Ended, Staged};
use crate::kernel::sample::{PAYLOAD_LEN, payload, payload_len};
use crate::kernel::{KernelSpec, Registry};
use crate::level::calibrate::{self, Subject};
use crate::level::spill::Depth;
use crate::level::{self, Backend, Breaker, Choice, CostModel, Leveller, Offer, Point, elements};
use crate::sys::clock::MonotonicClock;

/// How long one batch of the calibration is waited for.
const PATIENCE: Nanos = Nanos::from_secs(1);
/// How long a batch may take, unless it is said.
const TIME_OUT: Nanos = Nanos::from_millis(100);
/// A look at the device lasts no longer than this.
const LOOK: Nanos = Nanos::from_millis(1);
/// What the way to the device's thread and back is taken to cost in the crossover that is logged.
const WAY: Nanos = Nanos::from_micros(50);

/// A device that was opened.
#[derive(Debug)]
pub struct Opened {
    /// It.
    pub device: Box<dyn Accelerator>,
    /// What it is, in its driver's words.
    pub name: String,
    /// Why it is good for nothing at first, where it is.
    pub fault: Option<String>,
}

type Opener = dyn Fn(&Registry) -> Result<Opened, String> + Send + Sync;

/// How a service comes to a GPU, and the rules by which it is used.
#[derive(Clone)]
pub struct GpuPlan {
    open: Arc<Opener>,
    time_out: Nanos,
    pub(super) level: level::Options,
}

impl fmt::Debug for GpuPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GpuPlan").field("level", &self.level).finish_non_exhaustive()
    }
}

impl GpuPlan {
    /// The device that `open` gives for the kernels of a service.
    pub fn new(
        level: level::Options,
        open: impl Fn(&Registry) -> Result<Opened, String> + Send + Sync + 'static,
    ) -> Self {
        Self { open: Arc::new(open), time_out: TIME_OUT, level }
    }

    /// The same with another bound on a batch; default 100 ms.
    #[must_use]
    pub fn with_time_out(self, time_out: Nanos) -> Self {
        Self { time_out, ..self }
    }

    /// How long a worker waits for a batch: all that `workers` may have there before it, and the device's own two time-outs.
    /// One that takes longer has a thread or a driver that does not answer.
    pub(super) fn give_up(&self, workers: usize) -> Nanos {
        let before = TRIPS_PER_DEVICE.saturating_mul(workers) as u64;
        self.time_out.saturating_mul(before.saturating_add(2))
    }

    /// The best adapter that Vulkan offers.
    #[cfg(feature = "gpu")]
    #[must_use]
    pub fn vulkan(options: crate::kernel::gpu::Options, level: level::Options) -> Self {
        let time_out = options.overdue;
        let plan = Self::new(level, move |kernels| {
            let gpu = crate::kernel::gpu::Gpu::open(kernels, options, MonotonicClock);
            let gpu = gpu.map_err(|error| error.to_string())?;
            let name = gpu.found().map_or_else(|| "no adapter".to_owned(), ToString::to_string);
            let fault = gpu.fault().map(str::to_owned);
            Ok(Opened { device: Box::new(gpu), name, fault })
        });
        plan.with_time_out(time_out)
    }

    /// Opens and measures it. None, and a line in the log, where there is none: the service runs on its cores.
    pub(super) fn open(&self, kernels: &Registry, clock: &MonotonicClock) -> Option<Ready> {
        let Opened { mut device, name, fault } = match (self.open)(kernels) {
            Ok(opened) => opened,
            Err(why) => {
                tracing::warn!("no GPU: {why}; everything runs on the cores");
                return None;
            }
        };
        if let Some(why) = &fault {
            tracing::warn!(gpu = name, "the GPU is down: {why}; everything runs on the cores");
        }
        let core = kernels.level().ok().and_then(Backend::of).unwrap_or(Backend::Scalar);
        let mut measured = Vec::new();
        let mut sizes = Vec::new();
        for (k, (kernel, spec)) in (0u16..).zip(kernels.iter()) {
            let runs = fault.is_none() && device.runs(KernelId(k));
            let points =
                if runs { points(&mut device, (KernelId(k), spec), clock) } else { vec![] };
            sizes.push(elements(spec, 1, payload_len(spec, PAYLOAD_LEN)));
            if runs {
                let rows_max = u32::try_from(device.rows_max()).unwrap_or(u32::MAX);
                let from = crossover(&points, (spec, core), (self.level, rows_max), clock);
                let alone = points.first().map(|p| Nanos::new(p.ps / 1_000));
                let from = from.map_or_else(|| "never".to_owned(), |rows| format!("{rows} rows"));
                tracing::info!(gpu = name, kernel, ?alone, from, "a GPU takes part of bursts");
            }
            measured.push(points);
        }
        let time = |p: &Point| (usize::try_from(p.rows).unwrap_or(1), Nanos::new(p.ps / 1_000));
        let gate = GateOptions {
            level: self.level,
            breaker: Arc::new(Breaker::new(self.level.breaker)),
            depth: Arc::new(Depth::new()),
            core,
            measured: measured.iter().map(|points| points.iter().map(time).collect()).collect(),
            elements: sizes,
        };
        Some(Ready { device, name, gate })
    }
}

/// A device with its gate.
#[derive(Debug)]
pub(super) struct Ready {
    pub(super) device: Box<dyn Accelerator>,
    pub(super) name: String,
    pub(super) gate: GateOptions,
}

/// One more than each power of two: what a row takes in the smallest batch of its size is what larger ones are believed to take.
fn sizes(rows_max: usize) -> Vec<u32> {
    let above = (0..16).map(|n| (1_u32 << n) + 1).take_while(|n| *n as usize <= rows_max);
    std::iter::once(1).chain(above).collect()
}

/// Runs batches of drawn payloads for about [`calibrate::LIMIT`]. Nothing, where the device fails.
fn points(
    device: &mut dyn Accelerator,
    (id, spec): (KernelId, &KernelSpec),
    clock: &impl Clock,
) -> Vec<Point> {
    let bytes = payload(spec, PAYLOAD_LEN, 1);
    let room = bytes.len().max(crate::kernel::RESULT_ALWAYS_FITS);
    let sizes = sizes(device.rows_max());
    let most = sizes.last().map_or(1, |n| *n as usize);
    let mut staged = Some(Box::new(Staged::new(most, most * room)));
    let points = calibrate::measure(clock, calibrate::LIMIT, &sizes, |rows| {
        let Some(mut batch) = staged.take() else { return };
        batch.clear();
        (0..rows).for_each(|_| _ = batch.push(&bytes, room));
        if device.submit(id, batch).is_err() {
            return;
        }
        let until = clock.now() + PATIENCE;
        while staged.is_none() && clock.now() < until {
            let mut lost = false;
            device.poll(LOOK, &mut |back, ended| {
                lost = ended == Ended::Lost;
                staged = (!lost).then_some(back);
            });
            if lost {
                return;
            }
        }
    });
    if staged.is_some() { points } else { Vec::new() }
}

/// The least batch that would go there from a core with nothing else to do.
fn crossover(
    points: &[Point],
    (spec, core): (&KernelSpec, Backend),
    (level, rows_max): (level::Options, u32),
    clock: &impl Clock,
) -> Option<u32> {
    let there = CostModel::new(points.to_vec()).ok()?;
    let here = Subject::new(spec, core, PAYLOAD_LEN, clock)?;
    let here = calibrate::models(clock, &mut [here]).pop()??;
    let launch = there.predict(1);
    (1..=rows_max).find(|rows| {
        let offer = |backend, work, transfer| Offer {
            backend,
            work,
            work_high: work,
            work_low: work,
            transfer,
            wait: Nanos::ZERO,
            open: true,
        };
        let core = offer(core, here.predict(*rows), Nanos::ZERO);
        let work = there.predict(*rows).saturating_sub(launch);
        let device = offer(Backend::Device, work, WAY + launch);
        let size = elements(spec, *rows, payload_len(spec, PAYLOAD_LEN));
        let choice = Leveller::new(level.choose).choose(&[core, device], size, Nanos::MAX);
        matches!(choice, Choice::Run(Backend::Device, _))
    })
}
