//! What is measured: the mix of the lab with one kernel, or the classes, kernels, levels and ports of a config file.
//!
//! Knows no run. A file is held to what a benchmark of one worker can ask and judge; what does not fit is said before
//! anything is started.

use std::sync::Arc;

use super::args::BenchArgs;
use super::described::Work;
use super::works;
use crate::base::{IngressId, Nanos, Priority};
use crate::config::{self, Classify, Io, Loaded, Mode, Settings};
use crate::kernel::sample::{payload, payload_len};
use crate::kernel::simd::Level;
use crate::kernel::{KernelSpec, Registry};
use crate::load::Plan;
use crate::packet::{Dscp, framed};

/// The config that a benchmark starts from.
const LAB: &str = include_str!("../../../configs/overload-lab.toml");
/// `SCHED_FIFO` priority of the workers with `--realtime`; the generator has the same on its own core.
const REALTIME_PRIORITY: u8 = 10;
/// A raw request, with its id.
const RAW_LEN: usize = 64;
/// Code points by which a class is asked for: EF, AF41, default, CS1.
const CODE_POINTS: [u8; 4] = [46, 34, 0, 8];

/// Why nothing is measured.
#[derive(Debug)]
pub(super) enum Wrong {
    /// The config, in words that say where.
    Config(String),
    /// The command line.
    Usage(String),
}

/// One class of what is offered.
#[derive(Clone, Debug)]
pub(super) struct Stream {
    pub(super) name: String,
    pub(super) ingress: IngressId,
    pub(super) priority: Priority,
    pub(super) budget: Nanos,
    pub(super) share: f64,
    /// Bytes of a request, the header included where there is one.
    pub(super) size: usize,
    /// What stands behind the header; none where requests are raw.
    pub(super) body: Option<Arc<[u8]>>,
    pub(super) dscp: Option<Dscp>,
}

/// See the module.
#[derive(Clone, Debug)]
pub(super) struct Setting {
    pub(super) settings: Settings,
    pub(super) streams: Vec<Stream>,
    /// The config's name.
    pub(super) config: Option<String>,
    /// Busy work of a packet, where that is all there is.
    pub(super) service: Option<Nanos>,
    /// Seconds that a packet takes in its kernel, on average.
    pub(super) cost: f64,
    level: Level,
}

impl Setting {
    /// What `args` ask for.
    pub(super) fn new(args: &BenchArgs) -> Result<Self, Wrong> {
        let made = match &args.config {
            None => Self::of_lab(args),
            Some(path) => {
                let faults = |f: config::Faults| Wrong::Config(f.render(false));
                let loaded = config::load(path).map_err(faults)?;
                Self::of_config(args, &path.display().to_string(), &loaded)
            }
        }?;
        made.goes_with(args).map_err(Wrong::Usage)?;
        Ok(made)
    }

    /// What of the command line can be told wrong only beside the setting, before anything is started.
    fn goes_with(&self, args: &BenchArgs) -> Result<(), String> {
        let measured = self.settings.kernels.iter().any(|(_, spec)| spec.is_measured());
        if !args.batches.is_empty() && !measured {
            return Err("--batches: busy work and echo cost the same in any batch; take --kernel mlp or another".to_owned());
        }
        let (policy, rule) = (self.settings.controller.policy, self.settings.level.batch);
        if args.check && args.target.is_empty() && !args.asks_for(policy, rule) {
            return Err(format!(
                "--check judges policy {} with batches {rule}, which is not among those asked for",
                policy.word()
            ));
        }
        let mut plan = Plan::single("all", std::net::SocketAddr::from(([127, 0, 0, 1], 9)));
        plan.duration = args.duration();
        if let Some(asked) = &args.arrivals {
            plan.arrivals = asked.0.clone();
        }
        for budget in self.streams.iter().map(|s| s.budget).filter(|_| args.budgets.is_some()) {
            plan.classes[0].budget = Some(budget);
            plan.check().map_err(|e| e.to_string())?;
        }
        plan.check().map_err(|e| e.to_string())
    }

    /// High, Medium and Low of one kernel.
    fn of_lab(args: &BenchArgs) -> Result<Self, Wrong> {
        let faults = |f: config::Faults| Wrong::Config(f.render(false));
        let mut settings = config::parse("overload-lab.toml", LAB).map_err(faults)?.settings;
        let made = works::of_kind(&args.kernel, args.service());
        let spec = made.map_err(|e| Wrong::Usage(e.to_string()))?;
        settings.kernels = Registry::new(vec![("work".to_owned(), spec)]);
        settings.ingress.iter_mut().for_each(|i| i.listen.set_port(0));
        for (priority, budget) in Priority::ALL.into_iter().zip(args.budgets.iter().flatten()) {
            settings.classes[priority].budget = *budget;
            settings.ingress.iter_mut().for_each(|i| i.budgets[priority] = *budget);
        }
        let mut made = Self::of_settings(args, settings, None)?;
        made.service = (args.kernel == "spin").then(|| args.service());
        for stream in &mut made.streams {
            stream.priority.label().clone_into(&mut stream.name);
        }
        Ok(made)
    }

    fn of_config(args: &BenchArgs, name: &str, loaded: &Loaded) -> Result<Self, Wrong> {
        let warnings = loaded.render_warnings(false);
        if !warnings.is_empty() {
            tracing::warn!("{}", warnings.trim_end());
        }
        fits(&loaded.settings).map_err(|why| Wrong::Config(format!("{name}: {why}\n")))?;
        let mut settings = loaded.settings.clone();
        for ingress in &mut settings.ingress {
            if ingress.listen.ip().is_unspecified() {
                // It takes what comes to any address; we come by the nearest.
                let ip: std::net::IpAddr = match ingress.listen {
                    std::net::SocketAddr::V4(_) => std::net::Ipv4Addr::LOCALHOST.into(),
                    std::net::SocketAddr::V6(_) => std::net::Ipv6Addr::LOCALHOST.into(),
                };
                ingress.listen.set_ip(ip);
            }
        }
        Self::of_settings(args, settings, Some(name.to_owned()))
    }

    fn of_settings(
        args: &BenchArgs,
        mut settings: Settings,
        config: Option<String>,
    ) -> Result<Self, Wrong> {
        settings.admin = None;
        // Late results are sent: a plain service does so, and saturation is counted by answers.
        settings.egress.iter_mut().for_each(|e| e.late = config::Late::Send);
        match args.io.as_str() {
            "uring" => settings.workers.io = Io::Uring,
            "mio" => settings.workers.io = Io::Mio,
            _ => {}
        }
        if args.realtime {
            settings.workers.realtime = REALTIME_PRIORITY;
        }
        let framed = is_framed(&settings);
        if framed {
            settings.ingress.iter_mut().for_each(|i| i.framing = config::Framing::Framed);
        }
        let level = settings.kernels.level().map_err(|e| Wrong::Config(format!("{e}\n")))?;
        let mut streams = streams(&settings, framed.then_some(args.size()));
        // The most urgent first: overload is to take from those behind it.
        streams.sort_by_key(|s| s.priority);
        shares(&mut streams, args)?;
        let room = settings.workers.max_datagram;
        if let Some(s) = streams.iter().find(|s| s.size > room) {
            return Err(Wrong::Usage(format!(
                "a request to {} has {} bytes, and the service takes {room} (workers.max_datagram)",
                s.name, s.size
            )));
        }
        let mut setting = Self { settings, streams, config, service: None, cost: 0.0, level };
        setting.cost = setting.mean_cost().map_err(|e| Wrong::Config(format!("{e:#}\n")))?;
        Ok(setting)
    }

    /// Requests carry the header.
    pub(super) fn framed(&self) -> bool {
        self.streams.iter().any(|s| s.body.is_some())
    }

    fn spec(&self, stream: &Stream) -> Option<(&str, &KernelSpec)> {
        let kernel = self.settings.ingress[stream.ingress.index()].kernel;
        let kernels = &self.settings.kernels;
        Some((kernels.name(kernel)?, kernels.spec(kernel)?))
    }

    fn mean_cost(&self) -> anyhow::Result<f64> {
        let all: f64 = self.streams.iter().map(|s| s.share).sum();
        let mut mean = 0.0;
        for stream in &self.streams {
            let Some((_, spec)) = self.spec(stream) else { continue };
            let wanted = stream.body.as_ref().map_or(RAW_LEN, |b| b.len());
            mean += works::cost(spec, self.level, wanted)? * stream.share / all;
        }
        Ok(mean)
    }

    /// What each class asks for.
    pub(super) fn work(&self) -> Vec<Work> {
        let work = |stream: &Stream| {
            let (kernel, spec) = self.spec(stream)?;
            Some(Work {
                class: stream.name.clone(),
                kernel: kernel.to_owned(),
                kind: spec.kind().to_owned(),
                runs_as: spec.runs_as(self.level),
                payload: stream.body.as_ref().map_or(stream.size, |b| b.len()),
                fingerprint: format!("{:016x}", spec.fingerprint()),
            })
        };
        self.streams.iter().filter_map(work).collect()
    }
}

/// What a benchmark of one worker can ask and judge.
fn fits(settings: &Settings) -> Result<(), String> {
    for ingress in &settings.ingress {
        let (name, egress) = (&ingress.name, &settings.egress[ingress.egress.index()]);
        if !matches!(egress.mode, Mode::Reply { .. }) {
            return Err(format!(
                "ingress \"{name}\": its results do not come back to the sender (egress \"{}\"): bench judges answers; \
                 measure such a service from outside, by --target",
                egress.name
            ));
        }
        if ingress.classify == Classify::Workload {
            return Err(format!(
                "ingress \"{name}\": classify = \"workload\" takes every datagram for the same class: bench takes a fixed \
                 priority, \"header\" or \"dscp\""
            ));
        }
        let ip = ingress.listen.ip();
        if !(ip.is_loopback() || ip.is_unspecified()) {
            return Err(format!(
                "ingress \"{name}\": listens on {ip}: bench loads the loopback device; take 127.0.0.1 or 0.0.0.0"
            ));
        }
    }
    Ok(())
}

/// Whether answers can only be paired by a header: what other kernels than these answer says nothing of the request. So can
/// kernels be told apart by the bare loop, which has one socket.
fn is_framed(settings: &Settings) -> bool {
    let kernels: std::collections::BTreeSet<usize> =
        settings.ingress.iter().map(|i| i.kernel.index()).collect();
    let echoes = |i: &config::Ingress| {
        let spec = settings.kernels.spec(i.kernel);
        matches!(spec, Some(KernelSpec::Spin(_) | KernelSpec::Echo))
    };
    let raw = |i: &config::Ingress| i.framing == config::Framing::Raw;
    let by_header = |i: &config::Ingress| i.classify == Classify::Header;
    kernels.len() > 1 || !settings.ingress.iter().all(|i| raw(i) && echoes(i) && !by_header(i))
}

/// The classes, in the order of the config. `wanted` bytes of a payload where there is a header and the kernel takes any.
fn streams(settings: &Settings, wanted: Option<usize>) -> Vec<Stream> {
    let mut all = Vec::new();
    for (i, ingress) in (0_u16..).zip(&settings.ingress) {
        let asked = [Priority::High, Priority::Medium, Priority::Low];
        let classes: Vec<Priority> = match ingress.classify {
            Classify::Fixed | Classify::Workload => vec![ingress.priority],
            Classify::Header | Classify::Dscp(_) => {
                asked.into_iter().filter(|p| *p >= ingress.highest).collect()
            }
        };
        let classes = if classes.is_empty() { vec![ingress.highest] } else { classes };
        for (at, priority) in classes.iter().enumerate() {
            let spec = settings.kernels.spec(ingress.kernel);
            let body = wanted.zip(spec).map(|(wanted, spec)| {
                let body: Arc<[u8]> =
                    payload(spec, wanted.max(payload_len(spec, 0)), u64::from(i)).into();
                body
            });
            let name = match (classes.len(), at) {
                (1, _) => ingress.name.clone(),
                _ => format!("{} {}", ingress.name, priority.label()),
            };
            let dscp = matches!(ingress.classify, Classify::Dscp(_))
                .then(|| Dscp::from_tos(CODE_POINTS[priority.index()] << 2));
            all.push(Stream {
                name,
                ingress: IngressId(i),
                priority: *priority,
                budget: ingress.budgets[*priority],
                share: 1.0,
                size: body.as_ref().map_or(RAW_LEN, |b| framed::LEN + b.len()),
                body,
                dscp,
            });
        }
    }
    all
}

/// `--mix`, where it is given; a config's classes are alike without it.
fn shares(streams: &mut [Stream], args: &BenchArgs) -> Result<(), Wrong> {
    let Some(mix) = args.mix_of(args.config.is_some()) else { return Ok(()) };
    if mix.len() != streams.len() {
        let names: Vec<&str> = streams.iter().map(|s| s.name.as_str()).collect();
        return Err(Wrong::Usage(format!(
            "--mix has {} numbers, and there are {} classes: {}",
            mix.len(),
            names.len(),
            names.join(", ")
        )));
    }
    streams.iter_mut().zip(mix).for_each(|(s, share)| s.share = share);
    Ok(())
}
