//! The settings in force as JSON: the file's own shape with every default filled in, for the admin page.
//!
//! Knows no transport. What stands here reads back as a config file, but for `budgets_in_force`.

use serde_json::{Map, Value, json};

use super::settings::{
    BatchRule, Chunk, Classify, Controller, Cores, Egress, Ingress, Mode, Settings, Workers,
};
use super::units::size_text;
use crate::base::{Nanos, Priority};
use crate::kernel::KernelSpec;
use crate::kernel::spin::ServiceTime;

impl Settings {
    /// What is in force, with durations and sizes written as a config writes them.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let guard = &self.guard;
        let level = &self.level;
        json!({
            "workers": workers(&self.workers),
            "priority": by_priority(|p| {
                let class = self.classes[p];
                json!({ "budget": time(class.budget), "value": class.value })
            }),
            "controller": controller(&self.controller),
            "guard": {
                "enabled": guard.enabled,
                "max": time(guard.max),
                "require_expected_high": guard.require_expected_high,
            },
            "ingress": self.ingress.iter().map(|i| self.ingress_json(i)).collect::<Vec<_>>(),
            "egress": self.egress.iter().map(egress).collect::<Vec<_>>(),
            "kernel": self.kernels_json(),
            "kernels": { "simd": self.kernels.simd().word() },
            "gpu": {
                "enabled": self.gpu.enabled,
                "allow_software": self.gpu.allow_software,
                "time_out": self.gpu.time_out.to_string(),
                "slots": self.gpu.slots,
                "rows": self.gpu.rows,
            },
            "level": {
                "helpers": level.helpers,
                "batch": match level.batch {
                    BatchRule::Cost => json!("cost"),
                    BatchRule::Single => json!("single"),
                    BatchRule::Average => json!("average"),
                    BatchRule::Rows(rows) => json!(rows),
                },
                "calibration": level.calibration.as_ref().map_or("off", |c| c.file.as_str()),
                "mode": level.mode.word(),
                "transfer_rule": level.transfer_rule,
                "hysteresis": level.hysteresis,
                "spill_threshold": level.spill_threshold,
                "max_depth": level.max_depth,
                "breaker": {
                    "gpu_cost_limit": level.gpu_cost_limit,
                    "queue_depth_limit": level.queue_depth_limit,
                    "fallback": level.fallback.word(),
                },
            },
            "admin": { "listen": self.admin.map_or_else(|| "off".to_owned(), |a| a.to_string()) },
        })
    }

    fn ingress_json(&self, ingress: &Ingress) -> Value {
        let egress = self.egress.get(ingress.egress.index()).map(|e| e.name.as_str());
        let mut object = json!({
            "name": ingress.name,
            "listen": ingress.listen.to_string(),
            "priority": ingress.priority.label(),
            "framing": ingress.framing.word(),
            "kernel": self.kernels.name(ingress.kernel),
            "egress": egress,
            "order": ingress.order.word(),
            "empty": ingress.empty.word(),
            "budgets_in_force": by_priority(|p| time(ingress.budgets[p])),
        });
        if let Some(budget) = ingress.budget {
            object["budget"] = time(budget);
        }
        match ingress.classify {
            Classify::Fixed => return object,
            Classify::Dscp(sockets) => {
                object["classify"] = json!("dscp");
                object["sockets"] = json!(sockets.word());
            }
            Classify::Header => object["classify"] = json!("header"),
            Classify::Workload => object["classify"] = json!("workload"),
        }
        object["highest"] = json!(ingress.highest.label());
        object
    }

    fn kernels_json(&self) -> Value {
        let ids = (0..self.kernels.len()).filter_map(|i| u16::try_from(i).ok());
        let entry = |id| {
            let id = crate::base::KernelId(id);
            let name = self.kernels.name(id)?.to_owned();
            Some((name, kernel(self.kernels.spec(id)?)))
        };
        Value::Object(ids.filter_map(entry).collect())
    }
}

fn time(span: Nanos) -> Value {
    Value::String(span.to_string())
}

fn size(bytes: usize) -> Value {
    Value::String(size_text(bytes as u64))
}

fn by_priority(f: impl Fn(Priority) -> Value) -> Value {
    let entries = Priority::ALL.into_iter().map(|p| (p.label().to_owned(), f(p)));
    Value::Object(entries.collect::<Map<_, _>>())
}

fn workers(workers: &Workers) -> Value {
    json!({
        "cores": match &workers.cores {
            Cores::Auto => json!("auto"),
            Cores::List(list) => json!(list),
        },
        "io": workers.io.word(),
        "idle": workers.idle.word(),
        "spin": time(workers.spin),
        "layout": workers.layout.word(),
        "max_datagram": size(workers.max_datagram),
        "receive_buffer": size(workers.receive_buffer),
        "hold": time(workers.hold),
        "realtime": workers.realtime,
        "lock_memory": workers.lock_memory,
        "drain": time(workers.drain),
        "stall": time(workers.stall),
    })
}

fn controller(controller: &Controller) -> Value {
    json!({
        "interval": time(controller.interval),
        "safety": controller.safety,
        "fill": controller.fill,
        "ema_weight": controller.ema_weight,
        "predictor": controller.predictor.word(),
        "margin": time(controller.margin),
        "probes": controller.probes,
        "audit_one_in": controller.audit_one_in,
        "chunk": match controller.chunk {
            Chunk::Auto => json!("auto"),
            Chunk::Fixed(chunk) => time(chunk),
            Chunk::Off => json!("off"),
        },
        "overload": controller.overload.word(),
        "policy": controller.policy.word(),
        "medium_split": controller.medium_split,
    })
}

fn egress(egress: &Egress) -> Value {
    let mut object = match egress.mode {
        Mode::Reply { amplification, low_source_ports } => json!({
            "mode": "reply",
            "amplification": amplification,
            "low_source_ports": low_source_ports.word(),
        }),
        Mode::Send { to } => json!({ "mode": "send", "to": to.to_string() }),
        Mode::Forward { to, sessions, idle_timeout, answers } => json!({
            "mode": "forward",
            "to": to.to_string(),
            "sessions": sessions,
            "idle_timeout": time(idle_timeout),
            "answers": answers,
        }),
    };
    object["name"] = json!(egress.name);
    object["late"] = json!(egress.late.word());
    if let Some(budget) = egress.budget {
        object["budget"] = time(budget);
    }
    object
}

fn kernel(spec: &KernelSpec) -> Value {
    let service = match spec {
        KernelSpec::Spin(service) => service,
        KernelSpec::Mlp(mlp) => {
            return json!({
                "kind": "mlp",
                "weights": mlp.weights,
                "precision": mlp.precision.word(),
                "output": mlp.output.word(),
                "tag": size(mlp.tag),
            });
        }
        KernelSpec::Match(set) => {
            return match &set.file {
                Some(file) => json!({ "kind": "match", "patterns_file": file }),
                None => {
                    let text = |p: &Vec<u8>| String::from_utf8_lossy(p).into_owned();
                    let list: Vec<String> = set.patterns.list().iter().map(text).collect();
                    json!({ "kind": "match", "patterns": list })
                }
            };
        }
        KernelSpec::Rs(code) => {
            return json!({
                "kind": "rs",
                "data": code.data,
                "parity": code.parity,
                "task": code.task.word(),
            });
        }
        KernelSpec::Fir(fir) => {
            return json!({ "kind": "fir", "taps": fir.taps, "shift": fir.shift });
        }
        KernelSpec::Echo | KernelSpec::Crc32c => return json!({ "kind": spec.kind() }),
    };
    let distribution = match *service {
        ServiceTime::Constant(t) => return json!({ "kind": "spin", "time": time(t) }),
        ServiceTime::Uniform(min, max) => {
            json!({ "kind": "uniform", "min": time(min), "max": time(max) })
        }
        ServiceTime::Exponential(mean) => json!({ "kind": "exponential", "mean": time(mean) }),
        ServiceTime::Bimodal { short, long, share } => json!({
            "kind": "bimodal", "short": time(short), "long": time(long), "share": share,
        }),
        ServiceTime::Payload { max } => json!({ "kind": "payload", "max": time(max) }),
    };
    json!({ "kind": "spin", "distribution": distribution })
}
