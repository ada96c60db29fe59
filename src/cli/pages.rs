//! What the admin server shows, joined from the service and the formats.

use std::sync::{Arc, Mutex, PoisonError};

use crate::base::{Nanos, PerPriority, WorkerId};
use crate::config::Settings;
use crate::http::{Page, Pages};
use crate::runtime::Service;
use crate::telemetry::{self, Names, PlanView, PlanWorker, Snapshot};

/// This program's version.
pub(super) const VERSION: &str = env!("CARGO_PKG_VERSION");

/// A running service with what its pages need.
#[derive(Clone, Debug)]
pub(super) struct Shown {
    service: Arc<Service>,
    names: Arc<Names>,
    started: crate::base::Instant,
    budgets: PerPriority<Nanos>,
    layout: &'static str,
    config: Arc<Mutex<Arc<str>>>,
}

impl Shown {
    pub(super) fn new(service: &Arc<Service>, settings: &Settings) -> Self {
        let kernels = &settings.kernels;
        let kernel_name = |i: usize| {
            let id = crate::base::KernelId(u16::try_from(i).unwrap_or(u16::MAX));
            kernels.name(id).unwrap_or_default().to_owned()
        };
        let names = Names {
            ingresses: service.counted_names(),
            kernels: (0..kernels.len()).map(kernel_name).collect(),
            version: VERSION,
        };
        Self {
            service: Arc::clone(service),
            names: Arc::new(names),
            started: service.now(),
            budgets: service.options().controller.budgets,
            layout: settings.workers.layout.word(),
            config: Arc::new(Mutex::new(config_text(settings))),
        }
    }

    /// Shows other settings as the ones in force, after a reload.
    pub(super) fn show_config(&self, settings: &Settings) {
        *self.config.lock().unwrap_or_else(PoisonError::into_inner) = config_text(settings);
    }

    /// The figures now, fresh.
    pub(super) fn snapshot(&self) -> Snapshot {
        self.snapshot_of(self.service.figures())
    }

    /// These figures, for a report.
    pub(super) fn snapshot_of(&self, figures: Vec<crate::stats::Counters>) -> Snapshot {
        let now = self.service.now();
        Snapshot::new(Arc::clone(&self.names), now, now.since(self.started), figures)
            .with_gpu(self.service.gpu())
    }

    fn plan(&self) -> PlanView {
        let plan = self.service.plan();
        let cores = self.service.cores();
        let worker = |(w, p): (usize, &crate::sched::WorkerPlan)| PlanWorker {
            worker: WorkerId(u16::try_from(w).unwrap_or(u16::MAX)),
            core: cores.get(w).copied(),
            quota: p.quota,
            total: p.total,
            guard: p.guard,
            slice: p.slice,
        };
        PlanView {
            generation: plan.generation,
            at: plan.at,
            workers: plan.workers.iter().enumerate().map(worker).collect(),
            ema: plan.ema,
            budgets: self.budgets,
            layout: self.layout,
            helpers: self.service.options().helpers,
            gpu: self.service.gpu(),
            measured: self.measured(),
            simd: self
                .service
                .options()
                .kernels
                .level()
                .map_or("scalar", crate::kernel::simd::Level::word),
            asked: self.service.options().kernels.simd().word(),
            kernels: self.names.kernels.clone(),
        }
    }

    fn measured(&self) -> Vec<telemetry::PlanMeasured> {
        let names = self.names.kernels.iter();
        let told = names.zip(self.service.measured()).filter_map(|(kernel, m)| {
            let m = m.as_ref()?;
            Some(telemetry::PlanMeasured {
                kernel: kernel.clone(),
                payload: m.payload,
                kept: m.kept,
                model: m.model.clone(),
                others: m.others.clone(),
            })
        });
        told.collect()
    }

    /// The pages. Each looks at the service when it is asked for.
    pub(super) fn pages(&self) -> Pages {
        let show = |f: fn(&Self) -> Page| -> crate::http::PageFn {
            let shown = self.clone();
            Box::new(move || f(&shown))
        };
        let service = Arc::clone(&self.service);
        Pages {
            metrics: show(|s| match telemetry::prometheus::render(&Arc::new(s.snapshot())) {
                Ok(text) => Page::ok(telemetry::prometheus::CONTENT_TYPE, text),
                Err(error) => Page::problem(500, &error.to_string()),
            }),
            stats: show(|s| json(telemetry::json::render(&s.snapshot()))),
            plan: show(|s| json(telemetry::plan::render(&s.plan()))),
            config: show(|s| {
                Page::json(s.config.lock().unwrap_or_else(PoisonError::into_inner).to_string())
            }),
            ready: Box::new(move || service.is_alive() && service.stalled().iter().any(|s| !s)),
        }
    }
}

fn config_text(settings: &Settings) -> Arc<str> {
    format!("{:#}", settings.to_json()).into()
}

fn json(body: serde_json::Result<String>) -> Page {
    match body {
        Ok(body) => Page::json(body),
        Err(error) => Page::problem(500, &error.to_string()),
    }
}
