//! `punctual serve`: the ingress service, from its config to its last figures.

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::exit;
use super::options::{controller_of, service_options};
use super::pages::Shown;
use crate::base::Nanos;
use crate::config::{self, Settings};
use crate::http::AdminServer;
use crate::kernel::Registry;
use crate::runtime::Service;

/// How often signals and the workers' health are looked at.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// How much longer than its drain time a stop may take: a worker looks at its orders at least every 50 ms.
const STOP_GRACE: Nanos = Nanos::from_millis(500);

/// What `serve` is told.
#[derive(Clone, Debug, clap::Args)]
pub struct ServeArgs {
    /// The config file; without one the embedded default: High, Medium, Low on 127.0.0.1:8080, 8081, 8082
    #[arg(short, long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Decides what `spin` kernels draw, and keys the session tables; drawn at random where not given
    #[arg(long)]
    pub seed: Option<u64>,
}

/// Which signals have come.
#[derive(Debug)]
struct Signals {
    stop: Arc<AtomicBool>,
    reload: Arc<AtomicBool>,
}

/// Serves until told to stop; the answer is the exit code.
#[must_use]
pub fn run(args: &ServeArgs) -> u8 {
    let loaded = match config::load_or_default(args.config.as_deref()) {
        Ok(loaded) => loaded,
        Err(faults) => {
            let _ = io::stderr().write_all(faults.render(false).as_bytes());
            return exit::WRONG_CONFIG;
        }
    };
    for w in &loaded.warnings {
        tracing::warn!("{}:{}:{}: {}", w.file, w.line, w.column, w.message);
    }
    match serve(args, &loaded.settings) {
        Ok(code) => code,
        Err(error) => {
            // Every error here says its cause itself.
            tracing::error!("{error}");
            exit::FAILED
        }
    }
}

fn serve(args: &ServeArgs, settings: &Settings) -> anyhow::Result<u8> {
    let signals = Signals::listen()?;
    say_kernels(&settings.kernels)?;
    // Every session of a forwarding egress is a socket.
    if let Err(error) = crate::sys::limits::raise_open_files() {
        tracing::warn!(%error, "the limit of open files stays");
    }
    let seed = args.seed.unwrap_or_else(super::random_seed);
    let service = Arc::new(Service::start(service_options(settings, seed))?);
    let shown = Shown::new(&service, settings);
    let admin = settings.admin.map(|addr| AdminServer::start(addr, shown.pages())).transpose()?;
    say_ready(&service, admin.as_ref())?;
    let mut healthy = true;
    let mut in_force = settings.clone();
    while !signals.stop_asked() {
        if signals.reload.swap(false, Ordering::Relaxed) {
            reload(args.config.as_deref(), &mut in_force, &service, &shown);
        }
        if !service.is_alive() {
            tracing::error!("a worker has ended by itself: stopping");
            healthy = false;
            break;
        }
        pause();
    }
    let drained = stop(&service, settings.workers.drain, &signals, &shown);
    if let Some(admin) = admin {
        admin.stop();
    }
    Ok(if healthy && drained { exit::DONE } else { exit::FAILED })
}

/// Which instructions each kernel runs on; an error where the config forces what this machine lacks.
fn say_kernels(kernels: &Registry) -> anyhow::Result<()> {
    let level = kernels.level()?;
    for (name, spec) in kernels.iter() {
        tracing::info!(kernel = name, kind = spec.kind(), simd = spec.runs_as(level), "kernel");
    }
    Ok(())
}

/// One line on standard output, so that a script can wait for it.
fn say_ready(service: &Service, admin: Option<&AdminServer>) -> io::Result<()> {
    let names = service.options().ingresses.iter().map(|i| &i.name);
    let mut line = String::from("ready");
    for (name, address) in names.zip(service.addresses()) {
        line += &format!(" {name}={address}");
    }
    if let Some(admin) = admin {
        line += &format!(" admin={}", admin.local_addr());
    }
    let mut out = io::stdout().lock();
    writeln!(out, "{line}")?;
    out.flush()
}

/// Drains; a second signal ends the drain at once. The last figures go to the log.
fn stop(service: &Service, drain: Nanos, signals: &Signals, shown: &Shown) -> bool {
    tracing::info!(drain = %drain, "stopping: intake closed, running what is queued");
    service.begin_stop(drain);
    let bound = service.now() + drain + STOP_GRACE;
    while !service.has_ended() && service.now() < bound {
        if signals.stop_asked() {
            service.begin_stop(Nanos::ZERO);
        }
        pause();
    }
    let stopped = service.stop(Nanos::ZERO);
    for fault in &stopped.faults {
        tracing::error!("{fault}");
    }
    let snapshot = shown.snapshot_of(stopped.figures);
    let stats = crate::telemetry::json::render(&snapshot).unwrap_or_default();
    tracing::info!(stats, "stopped");
    stopped.faults.is_empty()
}

/// A good file changes what can be changed while packets flow, and says what waits for a restart; a bad one changes nothing.
fn reload(path: Option<&Path>, in_force: &mut Settings, service: &Service, shown: &Shown) {
    let loaded = match config::load_or_default(path) {
        Ok(loaded) => loaded,
        Err(faults) => {
            tracing::error!("reload refused, the running config stays:\n{}", faults.render(false));
            return;
        }
    };
    let waiting = super::reload::adopt(in_force, &loaded.settings);
    service.retune(controller_of(in_force));
    shown.show_config(in_force);
    if waiting.is_empty() {
        tracing::info!("reloaded");
    } else {
        tracing::warn!(keys = waiting.join(", "), "reloaded; these keys wait for a restart");
    }
}

impl Signals {
    fn listen() -> io::Result<Self> {
        use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
        let (stop, reload) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
        for (signal, flag) in [(SIGTERM, &stop), (SIGINT, &stop), (SIGHUP, &reload)] {
            signal_hook::flag::register(signal, Arc::clone(flag))?;
        }
        Ok(Self { stop, reload })
    }

    /// Whether a stop was asked for since the last look.
    fn stop_asked(&self) -> bool {
        self.stop.swap(false, Ordering::Relaxed)
    }
}

#[expect(clippy::disallowed_methods, reason = "the main thread only waits for signals")]
fn pause() {
    std::thread::sleep(LOOK_EVERY);
}
