//! What every format reads: the names, and one snapshot of each worker's figures.
//!
//! Knows no format, and not how the snapshots were taken.

use std::sync::Arc;

use crate::base::{IngressId, Instant, KernelId, Nanos, Priority};
use crate::level::DeviceView;
use crate::stats::{Cell, CellWords, ClassField, Counters, Layout};

/// The words that stand for ids in reports and labels. They come from the config file, never from packets, so that the
/// set of labels is fixed once the service runs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Names {
    /// Name of each ingress, in the order of their ids; no two alike.
    pub ingresses: Vec<String>,
    /// Name of each kernel instance, in the order of their ids; no two alike.
    pub kernels: Vec<String>,
    /// This program's version.
    pub version: &'static str,
}

/// The moving average of the service time of one priority in one kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Service {
    /// The priority.
    pub priority: Priority,
    /// The kernel.
    pub kernel: KernelId,
    /// The average.
    pub ema: Nanos,
}

/// The figures of the whole service at one moment. Each worker's are consistent in themselves, and so are their sums.
#[derive(Clone, Debug)]
pub struct Snapshot {
    names: Arc<Names>,
    now: Instant,
    uptime: Nanos,
    workers: Vec<Counters>,
    services: Vec<Service>,
    gpu: Option<DeviceView>,
    totals: Counters,
}

impl Snapshot {
    /// Joins the workers' figures, given in the order of their ids. `now` is read on the clock that the workers publish by.
    ///
    /// # Panics
    /// When a worker's table has not exactly one block for each named ingress and kernel: figures would land under wrong names.
    #[must_use]
    pub fn new(names: Arc<Names>, now: Instant, uptime: Nanos, workers: Vec<Counters>) -> Self {
        let layout = Layout::new(names.ingresses.len()).with_kernels(names.kernels.len());
        let mut totals = Counters::new(layout);
        for worker in &workers {
            assert_eq!(
                worker.layout(),
                layout,
                "one block of figures for each named ingress and kernel"
            );
            totals.merge_cells(worker);
        }
        Self { names, now, uptime, workers, services: Vec::new(), gpu: None, totals }
    }

    /// Adds service times by kernel. Without them the averages by priority stand for all kernels.
    #[must_use]
    pub fn with_services(mut self, services: Vec<Service>) -> Self {
        self.services = services;
        self
    }

    /// Adds the GPU, where there is one.
    #[must_use]
    pub fn with_gpu(mut self, gpu: Option<DeviceView>) -> Self {
        self.gpu = gpu;
        self
    }

    /// The GPU, where there is one.
    #[must_use]
    pub const fn gpu(&self) -> Option<&DeviceView> {
        self.gpu.as_ref()
    }

    /// The names.
    #[must_use]
    pub fn names(&self) -> &Names {
        &self.names
    }

    /// How long the service has run.
    #[must_use]
    pub const fn uptime(&self) -> Nanos {
        self.uptime
    }

    /// When the snapshot was taken.
    #[must_use]
    pub const fn now(&self) -> Instant {
        self.now
    }

    /// The workers' figures, in the order of their ids.
    #[must_use]
    pub fn workers(&self) -> &[Counters] {
        &self.workers
    }

    /// Service times by kernel; may be empty.
    #[must_use]
    pub fn services(&self) -> &[Service] {
        &self.services
    }

    /// The sums over all workers, for every ingress and priority.
    pub fn cells(&self) -> impl Iterator<Item = (&str, Priority, Cell<&CellWords>)> {
        self.ingresses().flat_map(move |(id, name)| {
            Priority::ALL.into_iter().map(move |p| (name, p, self.totals.view(id, p)))
        })
    }

    /// The sums over all workers, for the priorities of `ingress`.
    pub fn cells_of(
        &self,
        ingress: IngressId,
    ) -> impl Iterator<Item = (Priority, Cell<&CellWords>)> {
        Priority::ALL.into_iter().map(move |p| (p, self.totals.view(ingress, p)))
    }

    /// Every ingress with its name.
    pub fn ingresses(&self) -> impl Iterator<Item = (IngressId, &str)> {
        (0u16..).map(IngressId).zip(self.names.ingresses.iter().map(String::as_str))
    }

    /// The service time's moving average over all workers, each weighted by how often it measured. `None`: no worker has one.
    #[must_use]
    pub fn service(&self, priority: Priority) -> Option<Nanos> {
        let (mut sum, mut weight) = (0u128, 0u128);
        for worker in &self.workers {
            let ema = worker.class(priority, ClassField::ServiceEma);
            if ema > 0 {
                // An average set before the first sample still says more than nothing.
                let samples = u128::from(worker.class(priority, ClassField::Samples).max(1));
                sum += u128::from(ema) * samples;
                weight += samples;
            }
        }
        let mean = sum.checked_div(weight)?;
        Some(Nanos::new(u64::try_from(mean).unwrap_or(u64::MAX)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn worker(ema: u64, samples: u64) -> Counters {
        let mut c = Counters::new(Layout::new(0));
        c.set_class(Priority::Low, ClassField::ServiceEma, ema);
        c.set_class(Priority::Low, ClassField::Samples, samples);
        c
    }

    fn service(workers: Vec<Counters>) -> Option<Nanos> {
        Snapshot::new(Arc::default(), Instant::ZERO, Nanos::ZERO, workers).service(Priority::Low)
    }

    #[test]
    fn service_times_weigh_by_samples() {
        assert_eq!(service(vec![worker(100, 1), worker(200, 3)]), Some(Nanos::new(175)));
        assert_eq!(service(vec![worker(0, 9), worker(200, 0)]), Some(Nanos::new(200)));
        assert_eq!(service(vec![worker(0, 0)]), None);
        assert_eq!(service(vec![worker(u64::MAX, u64::MAX)]), Some(Nanos::MAX));
    }

    #[test]
    #[should_panic(expected = "one block of figures")]
    fn figures_of_another_layout_are_refused() {
        let names = Arc::new(Names { ingresses: vec!["a".into()], ..Names::default() });
        let _ = Snapshot::new(names, Instant::ZERO, Nanos::ZERO, vec![worker(1, 1)]);
    }
}
