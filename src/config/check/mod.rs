//! From the file's shape to checked settings: defaults, references and the relations between keys.
//!
//! Knows no TOML; every single value has been read and found within its range before.

mod endpoint;
mod gpu;
mod helpers;
mod kept;
mod names;

use super::fault::{Place, Report};
use super::file::{ClassFile, ControllerFile, File, GuardFile, LevelFile, WorkersFile};
use super::section::Field;
use super::settings::{
    BatchRule, Chunk, Class, Controller, Cores, Fallback, Guard, Idle, Io, Layout, Level,
    LevelMode, Overload, Policy, Predictor, Settings, Workers,
};
use crate::base::limits::{MAX_DATAGRAM_DEFAULT, PARK_MAX};
use crate::base::{Nanos, PerPriority, Priority};
use crate::kernel::Registry;

/// Where the admin page listens unless the file says otherwise.
const ADMIN_DEFAULT: std::net::SocketAddr =
    std::net::SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 9_900);
/// What a packet served on time is worth, by priority.
const VALUES: [u32; 4] = [1_000, 100, 10, 1];

/// Settings from a file that was read. They mean something only if `report` holds no fault afterwards.
pub(super) fn check(file: &File, report: &mut Report) -> Settings {
    let classes = classes(&file.classes, report);
    let workers = workers(&file.workers, report);
    let controller = controller(&file.controller, workers.layout, report);
    helpers::check(&file.level.helpers, &workers.cores, &controller, report);
    let endpoints = endpoint::check(file, &classes, report);
    let gpu = gpu::check(&file.gpu, &controller, &endpoints.kernels, report);
    let kernels = endpoints.kernels;
    Settings {
        workers,
        classes,
        controller,
        guard: guard(&file.guard, report),
        ingress: endpoints.ingress,
        egress: endpoints.egress,
        level: level(
            (&file.level, &kernels),
            file.gpu.enabled.given().filter(|(on, _)| **on).map(second),
            report,
        ),
        gpu,
        kernels,
        admin: file.admin.or(Some(ADMIN_DEFAULT)),
    }
}

fn classes(file: &[ClassFile; 4], report: &mut Report) -> PerPriority<Class> {
    let classes = PerPriority::from_fn(|p| {
        let class = &file[p.index()];
        Class {
            budget: class.budget.or(p.default_budget()),
            value: class.value.or(VALUES[p.index()]),
        }
    });
    for pair in Priority::ALL.windows(2) {
        let (upper, lower) = (pair[0], pair[1]);
        let (mine, next) = (&file[upper.index()].budget, &file[lower.index()].budget);
        if mine.is_bad() || next.is_bad() || classes[upper].budget <= classes[lower].budget {
            continue;
        }
        if let Some(place) = mine.place().or_else(|| next.place()) {
            let (a, b) = (classes[upper].budget, classes[lower].budget);
            report.warn(
                place,
                format!(
                    "{upper} has a longer budget ({a}) than {lower} ({b}), the less urgent class"
                ),
            );
        }
    }
    classes
}

fn workers(file: &WorkersFile, report: &mut Report) -> Workers {
    let workers = Workers {
        cores: file.cores.or(Cores::Auto),
        io: file.io.or(Io::Auto),
        idle: file.idle.or(Idle::Adaptive),
        spin: file.spin.or(Nanos::from_micros(50)),
        layout: file.layout.or(Layout::Symmetric),
        max_datagram: file.max_datagram.or(MAX_DATAGRAM_DEFAULT),
        receive_buffer: file.receive_buffer.or(1 << 20),
        hold: file.hold.or(Nanos::from_millis(1)),
        realtime: file.realtime.or(0),
        lock_memory: file.lock_memory.or(false),
        drain: file.drain.or(Nanos::from_secs(2)),
        stall: file.stall.or(Nanos::from_millis(100)),
    };
    if let Some((layout, place)) = file.layout.given()
        && *layout == Layout::Tiered
        && matches!(&workers.cores, Cores::List(list) if list.len() == 1)
    {
        report
            .fault(place, "a tiered layout needs at least two workers, and `cores` names one")
            .allowed("layout = \"symmetric\", or more cores");
    }
    if let Some((size, place)) = file.receive_buffer.given()
        && !file.max_datagram.is_bad()
        && *size < workers.max_datagram
    {
        report
            .fault(place, "`receive_buffer` does not hold one datagram of `max_datagram`")
            .allowed(format!("at least {}", super::units::size_text(workers.max_datagram as u64)));
    }
    warn_of_workers(file, &workers, report);
    workers
}

fn warn_of_workers(file: &WorkersFile, workers: &Workers, report: &mut Report) {
    if let Some((_, place)) = file.spin.given()
        && !file.idle.is_bad()
        && workers.idle != Idle::Adaptive
    {
        report.warn(place, format!("`spin` has no effect with idle = \"{}\"", workers.idle.word()));
    }
    if let Some((_, place)) = file.stall.given()
        && workers.stall <= PARK_MAX
        && workers.idle != Idle::Spin
    {
        let message = format!("an idle worker may sleep {PARK_MAX}: it will be taken for stalled");
        report.warn(place, message);
    }
    if let Some((level, place)) = file.realtime.given()
        && *level > 0
        && workers.idle == Idle::Spin
    {
        report.warn(
            place,
            "a real-time worker that spins leaves its core to nothing else, the kernel's own threads included",
        );
    }
}

fn controller(file: &ControllerFile, layout: Layout, report: &mut Report) -> Controller {
    let controller = Controller {
        interval: file.interval.or(Nanos::from_millis(100)),
        safety: file.safety.or(0.9),
        fill: file.fill.or(1.0),
        ema_weight: file.ema_weight.or(8),
        predictor: file.predictor.or(Predictor::Prefix),
        margin: file.margin.or(Nanos::ZERO),
        probes: file.probes.or(true),
        audit_one_in: file.audit_one_in.or(1_000),
        chunk: file.chunk.or(Chunk::Auto),
        overload: file.overload.or(Overload::Value),
        policy: file.policy.or(Policy::OURS),
        medium_split: file.medium_split.or([1, 1]),
    };
    let policy = controller.policy;
    if policy != Policy::Edf {
        // What a policy does anyway may be said.
        let value = policy == Policy::Value;
        let predictor = if value { Predictor::Prefix } else { Predictor::Off };
        let overload = if value { Overload::Value } else { Overload::None };
        let unused = [
            ("predictor", file.predictor.given().filter(|(p, _)| **p != predictor).map(second)),
            (
                "margin",
                file.margin.given().filter(|(m, _)| !value && **m > Nanos::ZERO).map(second),
            ),
            ("fill", file.fill.given().filter(|(f, _)| !value && **f > 0.0).map(second)),
            ("audit_one_in", file.audit_one_in.given().filter(|_| !value).map(second)),
            ("chunk", file.chunk.given().filter(|(c, _)| !value && **c != Chunk::Off).map(second)),
            ("overload", file.overload.given().filter(|(o, _)| **o != overload).map(second)),
        ];
        for (key, place) in unused {
            if let Some(place) = place {
                let word = policy.word();
                report.warn(place, format!("`{key}` has no effect with policy = \"{word}\""));
            }
        }
    } else if let Some((_, place)) = file.margin.given()
        && controller.predictor == Predictor::Off
        && controller.margin > Nanos::ZERO
    {
        report.warn(place, "`margin` has no effect with predictor = \"off\"");
    }
    if let Some((_, place)) = file.fill.given()
        && ((policy == Policy::Value || policy == Policy::Edf) && layout != Layout::Symmetric
            || policy == Policy::Edf && controller.predictor != Predictor::Prefix)
        && controller.fill > 0.0
    {
        let needs = "layout = \"symmetric\" and predictor = \"prefix\"";
        report.warn(place, format!("`fill` has an effect only with {needs}"));
    }
    if let Some((_, place)) = file.medium_split.given()
        && layout != Layout::Tiered
    {
        report.warn(place, "`medium_split` has an effect only with layout = \"tiered\"");
    }
    controller
}

fn second<T>(pair: (T, &Place)) -> &Place {
    pair.1
}

fn guard(file: &GuardFile, report: &mut Report) -> Guard {
    let guard = Guard {
        enabled: file.enabled.or(true),
        max: file.max.or(Nanos::from_micros(80)),
        require_expected_high: file.require_expected_high.or(true),
    };
    if let Some((_, place)) = file.max.given()
        && !guard.enabled
    {
        report.warn(place, "`max` has no effect with enabled = false");
    }
    guard
}

fn level(
    (file, kernels): (&LevelFile, &Registry),
    gpu: Option<&Place>,
    report: &mut Report,
) -> Level {
    let helpers = file.helpers.or(0);
    // Helpers and batches heed nothing else of it; a GPU heeds all.
    let idle = file.without_effect();
    let in_force =
        helpers > 0 || file.batch.place().is_some() || file.calibration.place().is_some();
    let unheeded = file.place.as_ref().filter(|_| !in_force).or(idle);
    if let Some(place) = unheeded.filter(|_| gpu.is_none()) {
        report.warn(place, "[level] takes effect with offload backends, and [gpu] is not enabled");
    }
    let level = Level {
        helpers,
        batch: file.batch.or(BatchRule::Cost),
        calibration: kept::check(&file.calibration, kernels, report),
        mode: file.mode.or(LevelMode::Measured),
        transfer_rule: file.transfer_rule.or(5.0),
        hysteresis: file.hysteresis.or(0.2),
        spill_threshold: file.spill_threshold.or(10),
        max_depth: file.max_depth.or(50),
        gpu_cost_limit: file.gpu_cost_limit.or(100.0),
        queue_depth_limit: file.queue_depth_limit.or(64),
        fallback: file.fallback.or(Fallback::Cpu),
    };
    warn_of_level(file, &level, gpu, report);
    level
}

/// Seconds of one device in a minute.
const DEVICE_S_A_MINUTE: f64 = 60.0;

fn warn_of_level(file: &LevelFile, level: &Level, gpu: Option<&Place>, report: &mut Report) {
    let limit = file.gpu_cost_limit.place().or(file.breaker.as_ref()).or(gpu);
    if let Some(place) = limit
        && !file.gpu_cost_limit.is_bad()
        && level.gpu_cost_limit >= DEVICE_S_A_MINUTE
    {
        let message = format!(
            "`gpu_cost_limit` is {} GPU-seconds a minute and one device has {DEVICE_S_A_MINUTE}: its cost never opens the breaker",
            level.gpu_cost_limit
        );
        report.warn(place, message);
    }
    let spill = file.spill_threshold.place().or_else(|| file.max_depth.place());
    if let Some(place) = spill
        && !file.spill_threshold.is_bad()
        && !file.max_depth.is_bad()
        && level.spill_threshold >= level.max_depth
    {
        let (threshold, most) = (level.spill_threshold, level.max_depth);
        let message = format!(
            "`spill_threshold` is {threshold} and `max_depth` {most}: work spills only from a full queue"
        );
        report.warn(place, message);
    }
}

/// Says that a key does not apply; nothing, where the key is not there.
fn not_here<T>(field: &Field<T>, key: &str, why: &str, report: &mut Report) {
    if let Some(place) = field.place() {
        report.fault(place, format!("`{key}` does not apply: it is only for {why}"));
    }
}
