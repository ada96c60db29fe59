//! Which backend ran what in one run, in batches of what size, and why; how the GPU's breaker stood.
//!
//! Knows no layout of a page.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::base::KernelId;
use crate::level::DeviceView;
use crate::level::breaker::State;
use crate::stats::{Counters, RunBy, WorkerField};
use crate::telemetry::{choices, rows_by};

/// What one backend ran.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::cli) struct Ran {
    /// `cpu`, `helper` or `gpu`.
    pub(in crate::cli) backend: String,
    /// Datagrams.
    pub(in crate::cli) rows: u64,
    pub(in crate::cli) batches: u64,
    /// What of it was of which kernel; none in older files.
    #[serde(default)]
    pub(in crate::cli) kernels: Vec<OfKernel>,
}

/// What a backend ran of one kernel.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::cli) struct OfKernel {
    /// Its name in the config.
    pub(in crate::cli) kernel: String,
    pub(in crate::cli) rows: u64,
    pub(in crate::cli) batches: u64,
}

/// Batches that might have gone to the GPU, by who got them and why.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::cli) struct Choice {
    pub(in crate::cli) backend: String,
    pub(in crate::cli) reason: String,
    pub(in crate::cli) batches: u64,
}

/// The GPU, where the service had one.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(in crate::cli) struct Gpu {
    pub(in crate::cli) device: String,
    /// The breaker's state at the end.
    pub(in crate::cli) breaker: String,
    /// How often it entered each state.
    pub(in crate::cli) entered: BTreeMap<String, u64>,
    /// Device time, and what of it moved data and began, in seconds.
    pub(in crate::cli) busy_s: f64,
    pub(in crate::cli) transfer_s: f64,
}

/// Everything of one run. Helpers and the GPU have rows where they ran something.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(in crate::cli) struct Backends {
    pub(in crate::cli) ran: Vec<Ran>,
    pub(in crate::cli) choices: Vec<Choice>,
    pub(in crate::cli) gpu: Option<Gpu>,
}

impl Backends {
    /// By the workers' last figures; `kernels` are the names, by id.
    pub(super) fn of(figures: &[Counters], kernels: &[String], gpu: Option<&DeviceView>) -> Self {
        let sum = |f: &dyn Fn(&Counters) -> u64| -> u64 { figures.iter().map(f).sum() };
        let of_kernels = |by| {
            let all = (0..).map(KernelId).zip(kernels).map(|(id, name)| OfKernel {
                kernel: name.clone(),
                rows: sum(&|c| c.ran(by, id).1),
                batches: sum(&|c| c.ran(by, id).0),
            });
            all.filter(|k| k.batches > 0).collect()
        };
        let ran = RunBy::ALL.into_iter().map(|by| Ran {
            kernels: of_kernels(by),
            backend: by.label().to_owned(),
            rows: sum(&|c| rows_by(c, by)),
            batches: sum(&|c| c.batches(by).iter().sum()),
        });
        let choice = |(backend, reason, field): (&str, &str, WorkerField)| Choice {
            backend: backend.to_owned(),
            reason: reason.to_owned(),
            batches: sum(&|c| c.worker(field)),
        };
        let seconds = |field| crate::base::Nanos::new(sum(&|c| c.worker(field))).as_secs_f64();
        let entered = |view: &DeviceView| {
            let states = State::ALL.into_iter().zip(view.entered);
            states.map(|(state, n)| (state.word().to_owned(), n)).collect()
        };
        Self {
            ran: ran.filter(|r| r.rows > 0).collect(),
            choices: choices().map(choice).filter(|c| c.batches > 0).collect(),
            gpu: gpu.map(|view| Gpu {
                device: view.name.clone(),
                breaker: view.figures.state.word().to_owned(),
                entered: entered(view),
                busy_s: seconds(WorkerField::GpuTime),
                transfer_s: seconds(WorkerField::GpuTransfer),
            }),
        }
    }

    /// Datagrams of all backends.
    pub(super) fn rows(&self) -> u64 {
        self.ran.iter().map(|r| r.rows).sum()
    }

    pub(super) fn by(&self, backend: &str) -> Option<&Ran> {
        self.ran.iter().find(|r| r.backend == backend)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::{Instant, Nanos};
    use crate::level::breaker::{Breaker, Options};
    use crate::stats::Layout;

    #[test]
    fn figures_of_all_workers_are_told_apart_by_who_ran_them() {
        let worker = |gpu_rows: u64| {
            let mut c = Counters::new(Layout::new(1).with_kernels(2));
            let mut add = |field, n| c.add_worker(field, n);
            add(WorkerField::OwnRows, 30);
            add(WorkerField::AwayRows, gpu_rows + 5);
            add(WorkerField::GpuRows, gpu_rows);
            add(WorkerField::ChosePays, 2);
            add(WorkerField::KeptLate, 1);
            add(WorkerField::GpuTime, 4_000_000);
            add(WorkerField::GpuTransfer, 1_000_000);
            (0..3).for_each(|i| c.add_batch(RunBy::Worker, KernelId(i / 2), 10));
            c.add_batch(RunBy::Helper, KernelId(0), 5);
            c.add_batch(RunBy::Gpu, KernelId(0), gpu_rows);
            c
        };
        let breaker = Breaker::new(Options::default());
        let view = DeviceView {
            name: "a card".to_owned(),
            figures: breaker.figures(Instant::ZERO),
            entered: [0, 2, 0],
            limit: Nanos::from_secs(1),
            measured: Vec::new(),
        };
        let seen = Backends::of(
            &[worker(64), worker(36)],
            &["crc".to_owned(), "fir".to_owned()],
            Some(&view),
        );
        let cpu = &seen.by("cpu").expect("it ran").kernels;
        let said: Vec<_> = cpu.iter().map(|k| (k.kernel.as_str(), k.rows, k.batches)).collect();
        assert_eq!(said, [("crc", 40, 4), ("fir", 20, 2)]);
        let gpu = &seen.by("gpu").expect("it ran").kernels;
        assert_eq!(gpu.len(), 1, "what it did not run has no row: {gpu:?}");
        let of = |by: &str| seen.by(by).map(|r| (r.rows, r.batches));
        assert_eq!(of("cpu"), Some((60, 6)));
        assert_eq!(of("helper"), Some((10, 2)));
        assert_eq!(of("gpu"), Some((100, 2)));
        assert_eq!(seen.rows(), 170);
        let said: Vec<_> = seen
            .choices
            .iter()
            .map(|c| (c.backend.as_str(), c.reason.as_str(), c.batches))
            .collect();
        assert_eq!(said, [("gpu", "pays", 4), ("cpu", "late", 2)]);
        let gpu = seen.gpu.as_ref().expect("there is one");
        assert_eq!((gpu.breaker.as_str(), gpu.entered["open"]), ("closed", 2));
        assert!((gpu.busy_s - 0.008).abs() < 1e-12 && (gpu.transfer_s - 0.002).abs() < 1e-12);
        let none = Backends::of(&[Counters::new(Layout::new(1))], &[], None);
        assert_eq!(none, Backends::default(), "what did not happen has no row");
    }
}
