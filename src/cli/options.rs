//! From checked settings to what each room is told.

use crate::base::{Nanos, PerPriority, Priority};
use crate::classify::{self, workload};
use crate::config::{self, Settings};
use crate::dataplane;
use crate::io::DriverKind;
use crate::level;
use crate::runtime::{self, EgressPlan, EgressTarget, IngressPlan, SocketsPerWorker};
use crate::sched::quota::Split;
use crate::sched::{Layout, admission, batch, controller};

/// The service's options. `seed` decides all draws and keys the session tables.
pub(super) fn service_options(settings: &Settings, seed: u64) -> runtime::Options {
    let workers = &settings.workers;
    let budgets = PerPriority::from_fn(|p| settings.classes[p].budget);
    runtime::Options {
        cores: match &workers.cores {
            config::Cores::Auto => runtime::Cores::Auto,
            config::Cores::List(cores) => runtime::Cores::List(cores.clone()),
        },
        helpers: settings.level.helpers,
        gpu: gpu_plan(settings),
        driver: match workers.io {
            config::Io::Auto => None,
            config::Io::Uring => Some(DriverKind::Uring),
            config::Io::Mio => Some(DriverKind::Mio),
        },
        idle: match workers.idle {
            config::Idle::Adaptive => dataplane::Idle::Adaptive { spin: workers.spin },
            config::Idle::Spin => dataplane::Idle::Spin,
            config::Idle::Park => dataplane::Idle::Park,
        },
        realtime: (workers.realtime > 0).then_some(workers.realtime),
        lock_memory: workers.lock_memory,
        receive_buffer: workers.receive_buffer,
        max_datagram: workers.max_datagram,
        hold: workers.hold,
        drain: workers.drain,
        stall: workers.stall,
        budgets,
        ema_weight: settings.controller.ema_weight,
        admission: admission_options(settings),
        controller: controller_options(settings, budgets),
        guard: settings.guard.enabled,
        guard_requires_expected_high: settings.guard.require_expected_high,
        kernels: settings.kernels.clone(),
        kept: settings.level.calibration.as_ref().and_then(|c| c.kept.clone()),
        batch: match settings.level.batch {
            config::BatchRule::Cost => batch::Mode::Cost,
            config::BatchRule::Single => batch::Mode::Single,
            config::BatchRule::Average => batch::Mode::Average,
            config::BatchRule::Rows(rows) => batch::Mode::Fixed(rows),
        },
        ingresses: settings.ingress.iter().map(|i| ingress(settings, i)).collect(),
        egresses: settings.egress.iter().map(egress).collect(),
        seed,
    }
}

/// The GPU, where the file asks for one.
#[cfg(feature = "gpu")]
fn gpu_plan(settings: &Settings) -> Option<runtime::GpuPlan> {
    let g = settings.gpu;
    let options = crate::kernel::gpu::Options {
        allow_software: g.allow_software,
        rows_max: g.rows,
        in_flight: g.slots,
        overdue: g.time_out,
        ..crate::kernel::gpu::Options::default()
    };
    let level = level_options(settings);
    g.enabled.then(|| runtime::GpuPlan::vulkan(options, level))
}

/// A file that asks for one was refused before.
#[cfg(not(feature = "gpu"))]
const fn gpu_plan(_: &Settings) -> Option<runtime::GpuPlan> {
    None
}

fn admission_options(settings: &Settings) -> admission::Options {
    let c = &settings.controller;
    admission::Options {
        policy: match c.policy {
            config::Policy::Value => admission::Policy::Value,
            config::Policy::Edf => admission::Policy::Edf,
            config::Policy::EdfExpiry => admission::Policy::EdfExpiry,
            config::Policy::Fifo => admission::Policy::Fifo,
        },
        predictor: match c.predictor {
            config::Predictor::Prefix => admission::Predictor::Prefix,
            config::Predictor::SeedTotal => admission::Predictor::SeedTotal,
            config::Predictor::Off => admission::Predictor::Off,
        },
        margin: c.margin,
        overload: match c.overload {
            config::Overload::Value => admission::Overload::Value,
            config::Overload::None => admission::Overload::None,
        },
        values: PerPriority::from_fn(|p| settings.classes[p].value),
        probe_interval: c.probes.then_some(c.interval),
        audit_one_in: c.audit_one_in,
        chunk: match c.chunk {
            config::Chunk::Auto => admission::Chunk::Auto,
            config::Chunk::Fixed(chunk) => admission::Chunk::Fixed(chunk),
            config::Chunk::Off => admission::Chunk::Off,
        },
    }
}

/// The controller's options alone: what a reload takes up.
pub(super) fn controller_of(settings: &Settings) -> controller::Options {
    controller_options(settings, PerPriority::from_fn(|p| settings.classes[p].budget))
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "checked to lie from 0 to 1"
)]
fn controller_options(settings: &Settings, budgets: PerPriority<Nanos>) -> controller::Options {
    let c = &settings.controller;
    let [between, last] = c.medium_split;
    controller::Options {
        interval: c.interval,
        safety_per_mille: ((c.safety * 1_000.0).round() as u32).max(1),
        fill_per_mille: (c.fill * 1_000.0).round() as u16,
        layout: match settings.workers.layout {
            config::Layout::Symmetric => Layout::Symmetric,
            config::Layout::Tiered => Layout::Tiered(Split::Shares { between, last }),
        },
        budgets: tightest(settings, budgets),
        guard_max: settings.guard.max,
        ..controller::Options::new(1)
    }
}

/// What quotas are computed from: the tightest budget in force for each class (seed 002: "the tighter of ingress/egress").
fn tightest(settings: &Settings, budgets: PerPriority<Nanos>) -> PerPriority<Nanos> {
    PerPriority::from_fn(|p| {
        let of_ingress =
            settings.ingress.iter().filter(|i| may_carry(i, p)).map(|i| i.budgets[p]).min();
        of_ingress.unwrap_or(budgets[p])
    })
}

fn may_carry(ingress: &config::Ingress, p: Priority) -> bool {
    ingress.classify != config::Classify::Fixed || ingress.priority == p
}

fn ingress(settings: &Settings, i: &config::Ingress) -> IngressPlan {
    let (classify, sockets) = match i.classify {
        config::Classify::Fixed => (classify::Classify::Fixed(i.priority), SocketsPerWorker::One),
        config::Classify::Dscp(config::Sockets::Class) => {
            (classify::Classify::Dscp, SocketsPerWorker::Class)
        }
        config::Classify::Dscp(config::Sockets::One) => {
            (classify::Classify::Dscp, SocketsPerWorker::One)
        }
        config::Classify::Header => (classify::Classify::Header, SocketsPerWorker::One),
        config::Classify::Workload => {
            (classify::Classify::Workload(workload::Mode::Seed), SocketsPerWorker::One)
        }
    };
    IngressPlan {
        name: i.name.clone(),
        listen: i.listen,
        framing: match i.framing {
            config::Framing::Raw => dataplane::Framing::Raw,
            config::Framing::Framed => dataplane::Framing::Framed,
        },
        kernel: i.kernel,
        egress: i.egress,
        order: match i.order {
            config::Order::Flow => dataplane::Order::Flow,
            config::Order::None => dataplane::Order::None,
        },
        serve_empty: i.empty == config::Empty::Serve,
        classify: classify::Options {
            classify,
            default: Some(i.priority),
            allowed: i.highest,
            budgets: PerPriority::from_fn(|p| settings.classes[p].budget),
            ingress_budget: i.budget,
            egress_budget: settings.egress[i.egress.index()].budget,
        },
        sockets,
    }
}

/// How backends are chosen, when a device is left alone, and when work spills.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "checked to lie above 0; `as` saturates"
)]
pub(super) fn level_options(settings: &Settings) -> level::Options {
    let l = &settings.level;
    level::Options {
        choose: level::choose::Options {
            mode: match l.mode {
                config::LevelMode::Measured => level::choose::Mode::Measured,
                config::LevelMode::Seed => level::choose::Mode::Seed,
                config::LevelMode::Trial => level::choose::Mode::Trial,
            },
            transfer_rule: level::choose::Ratio::new(l.transfer_rule),
            hysteresis_percent: (l.hysteresis * 100.0).round() as u32,
            fallback: match l.fallback {
                config::Fallback::Cpu => level::Fallback::Cpu,
                config::Fallback::Simd => level::Fallback::Simd,
                config::Fallback::Scalar => level::Fallback::Scalar,
                config::Fallback::Reject => level::Fallback::Reject,
            },
        },
        breaker: level::breaker::Options {
            limit: Nanos::new(((l.gpu_cost_limit * 1e9) as u64).max(1)),
            queue_depth_limit: l.queue_depth_limit,
        },
        spill: level::spill::Options { threshold: l.spill_threshold, max_depth: l.max_depth },
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "checked to lie above 0 and up to 100"
)]
fn egress(e: &config::Egress) -> EgressPlan {
    let target = match e.mode {
        config::Mode::Reply { amplification, low_source_ports } => EgressTarget::Reply {
            amplification_per_mille: ((amplification * 1_000.0).round() as u32).max(1),
            low_source_ports: low_source_ports == config::LowSourcePorts::Allow,
        },
        config::Mode::Send { to } => EgressTarget::Send { to },
        config::Mode::Forward { to, sessions, idle_timeout, answers } => EgressTarget::Forward {
            to,
            sessions: dataplane::sessions::Options { sessions, idle: idle_timeout, answers },
        },
    };
    let late = match e.late {
        config::Late::Drop => dataplane::Late::Drop,
        config::Late::Send => dataplane::Late::Send,
    };
    EgressPlan { name: e.name.clone(), target, late }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn level_of(text: &str) -> level::Options {
        let text = format!("{text}\n[[ingress]]\nname = \"in\"\nlisten = \"127.0.0.1:0\"\n");
        level_options(&config::parse("it.toml", &text).expect("a good config").settings)
    }

    #[test]
    fn what_the_file_does_not_say_about_levels_is_what_the_rooms_have_by_default() {
        assert_eq!(level_of(""), level::Options::default());
    }

    #[test]
    fn how_batches_are_formed_arrives_and_nobody_is_warned() {
        for (word, mode) in [
            ("\"cost\"", batch::Mode::Cost),
            ("\"single\"", batch::Mode::Single),
            ("\"average\"", batch::Mode::Average),
            ("32", batch::Mode::Fixed(32)),
        ] {
            let ingress = "[[ingress]]\nname = \"a\"\nlisten = \"127.0.0.1:0\"\n";
            let text = format!("{ingress}[level]\nbatch = {word}\n");
            let loaded = config::parse("it.toml", &text).expect("a good config");
            assert_eq!(service_options(&loaded.settings, 1).batch, mode);
            assert!(loaded.warnings.is_empty(), "{:?}", loaded.warnings);
        }
    }

    #[test]
    fn every_key_about_levels_arrives() {
        let said = level_of(
            "[level]\nmode = \"seed\"\ntransfer_rule = 2.5\nhysteresis = 0.35\nspill_threshold = 7\n\
             max_depth = 9\n[level.breaker]\ngpu_cost_limit = 12.5\nqueue_depth_limit = 3\nfallback = \"scalar\"",
        );
        assert_eq!(said.choose.mode, level::choose::Mode::Seed);
        assert_eq!(said.choose.transfer_rule, level::choose::Ratio::new(2.5));
        assert_eq!(said.choose.hysteresis_percent, 35);
        assert_eq!(said.choose.fallback, level::Fallback::Scalar);
        assert_eq!(said.breaker.limit, Nanos::from_millis(12_500));
        assert_eq!(said.breaker.queue_depth_limit, 3);
        assert_eq!((said.spill.threshold, said.spill.max_depth), (7, 9));
        let most = level_of("[level.breaker]\ngpu_cost_limit = 1e300").breaker;
        assert_eq!((most.limit, most.can_trip(1_000)), (Nanos::MAX, false));
    }
}
