//! `[workers]`, `[priority.*]`, `[controller]`, `[guard]` and `[level]`, key by key.
//!
//! Knows no defaults.

use std::path::Path;

use toml::de::DeValue;

use crate::base::limits::{BUDGET_MAX, DATAGRAM_MAX, WORKERS_MAX};
use crate::base::{Nanos, Priority};
use crate::config::fault::{Place, Report};
use crate::config::item::{Item, Span};
use crate::config::section::{Field, Section, us};
use crate::config::settings::{
    BatchRule, Calibration, Chunk, Cores, Fallback, Idle, Io, Layout, LevelMode, Overload, Policy,
    Predictor,
};

/// The shortest budget that a config may name.
pub(super) const BUDGET_MIN: Nanos = Nanos::from_micros(1);

pub(in crate::config) struct WorkersFile {
    pub(in crate::config) cores: Field<Cores>,
    pub(in crate::config) io: Field<Io>,
    pub(in crate::config) idle: Field<Idle>,
    pub(in crate::config) spin: Field<Nanos>,
    pub(in crate::config) layout: Field<Layout>,
    pub(in crate::config) max_datagram: Field<usize>,
    pub(in crate::config) receive_buffer: Field<usize>,
    pub(in crate::config) hold: Field<Nanos>,
    pub(in crate::config) realtime: Field<u8>,
    pub(in crate::config) lock_memory: Field<bool>,
    pub(in crate::config) drain: Field<Nanos>,
    pub(in crate::config) stall: Field<Nanos>,
}

impl WorkersFile {
    pub(super) fn read(mut s: Section<'_, '_>, r: &mut Report) -> Self {
        let file = Self {
            cores: s.with("cores", r, cores),
            io: s.choice("io", r),
            idle: s.choice("idle", r),
            spin: s.duration("spin", us(0, 10_000), r),
            layout: s.choice("layout", r),
            max_datagram: s.size("max_datagram", 64..=DATAGRAM_MAX, r),
            receive_buffer: s.size("receive_buffer", 4 << 10..=1 << 30, r),
            hold: s.duration("hold", us(0, 10_000), r),
            realtime: s.integer("realtime", 0..=99, r),
            lock_memory: s.boolean("lock_memory", r),
            drain: s.duration("drain", us(0, 60_000_000), r),
            stall: s.duration("stall", us(10_000, 60_000_000), r),
        };
        s.done(r);
        file
    }
}

fn cores(item: &Item<'_, '_>, report: &mut Report) -> Option<Cores> {
    let allowed =
        format!("\"auto\" or a list of distinct core numbers from 0 to {}", WORKERS_MAX - 1);
    match item.value {
        DeValue::String(word) if word == "auto" => Some(Cores::Auto),
        DeValue::Array(list) => {
            let before = report.count();
            if list.is_empty() {
                item.wrong("is empty: at least one worker is needed", report).allowed(allowed);
            }
            let mut cores: Vec<usize> = Vec::new();
            for (i, entry) in list.iter().enumerate() {
                let place = Place { span: entry.span(), key: format!("{}[{i}]", item.place.key) };
                let core = Item { value: entry.get_ref(), place, key: format!("cores[{i}]") };
                let Some(number) = core.integer(&(0..=WORKERS_MAX - 1), report) else { continue };
                if cores.contains(&number) {
                    core.wrong(&format!("is {number} a second time"), report)
                        .allowed("each core once");
                } else {
                    cores.push(number);
                }
            }
            (report.count() == before).then_some(Cores::List(cores))
        }
        DeValue::String(_) => {
            item.wrong("is neither \"auto\" nor a list", report).allowed(allowed);
            None
        }
        _ => {
            item.wrong_type("\"auto\" or a list", report).allowed(allowed);
            None
        }
    }
}

pub(in crate::config) struct ClassFile {
    pub(in crate::config) budget: Field<Nanos>,
    pub(in crate::config) value: Field<u32>,
}

impl ClassFile {
    pub(super) fn read_all(mut s: Section<'_, '_>, r: &mut Report) -> [Self; 4] {
        let all = Priority::ALL.map(|p| {
            let class = s.child(p.label(), &format!("[priority.{p}]"), r);
            Self::read(class, r)
        });
        s.done(r);
        all
    }

    fn read(mut s: Section<'_, '_>, r: &mut Report) -> Self {
        let file = Self {
            budget: s.duration("budget", BUDGET_MIN..=BUDGET_MAX, r),
            value: s.integer("value", 1..=u32::MAX, r),
        };
        s.done(r);
        file
    }
}

pub(in crate::config) struct ControllerFile {
    pub(in crate::config) interval: Field<Nanos>,
    pub(in crate::config) safety: Field<f64>,
    pub(in crate::config) fill: Field<f64>,
    pub(in crate::config) ema_weight: Field<u32>,
    pub(in crate::config) predictor: Field<Predictor>,
    pub(in crate::config) margin: Field<Nanos>,
    pub(in crate::config) probes: Field<bool>,
    pub(in crate::config) audit_one_in: Field<u32>,
    pub(in crate::config) chunk: Field<Chunk>,
    pub(in crate::config) overload: Field<Overload>,
    pub(in crate::config) policy: Field<Policy>,
    pub(in crate::config) medium_split: Field<[u32; 2]>,
}

impl ControllerFile {
    pub(super) fn read(mut s: Section<'_, '_>, r: &mut Report) -> Self {
        let file = Self {
            interval: s.duration("interval", us(10_000, 10_000_000), r),
            safety: s.number("safety", Span::positive(1.0), r),
            fill: s.number("fill", Span { above: 0.0, closed: true, max: 1.0 }, r),
            ema_weight: s.with("ema_weight", r, ema_weight),
            predictor: s.choice("predictor", r),
            margin: s.duration("margin", us(0, 1_000_000), r),
            probes: s.boolean("probes", r),
            audit_one_in: s.integer("audit_one_in", 0..=1_000_000, r),
            chunk: s.with("chunk", r, chunk),
            overload: s.choice("overload", r),
            policy: s.choice("policy", r),
            medium_split: s.with("medium_split", r, medium_split),
        };
        s.done(r);
        file
    }
}

fn chunk(item: &Item<'_, '_>, report: &mut Report) -> Option<Chunk> {
    const ALLOWED: &str = "\"auto\", \"off\", or a duration from 5us to 10ms";
    match item.text("\"auto\", \"off\" or a duration", ALLOWED, report)? {
        "auto" => Some(Chunk::Auto),
        "off" => Some(Chunk::Off),
        _ => item.duration(&us(5, 10_000), report).map(Chunk::Fixed),
    }
}

fn ema_weight(item: &Item<'_, '_>, report: &mut Report) -> Option<u32> {
    let weight: u32 = item.integer(&(2..=64), report)?;
    if !weight.is_power_of_two() {
        item.wrong(&format!("is {weight}, not a power of two"), report)
            .allowed("2, 4, 8, 16, 32, 64");
        return None;
    }
    Some(weight)
}

fn medium_split(item: &Item<'_, '_>, report: &mut Report) -> Option<[u32; 2]> {
    const ALLOWED: &str = "two integers from 1 to 1000, such as [1, 1]";
    let Some(list) = item.value.as_array() else {
        item.wrong_type("a list", report).allowed(ALLOWED);
        return None;
    };
    if list.len() != 2 {
        item.wrong(&format!("needs 2 shares and has {}", list.len()), report).allowed(ALLOWED);
        return None;
    }
    let mut share = |i: usize| {
        let entry = list.get(i)?;
        let place = Place { span: entry.span(), key: format!("{}[{i}]", item.place.key) };
        let item = Item { value: entry.get_ref(), place, key: format!("medium_split[{i}]") };
        item.integer(&(1..=1_000), report)
    };
    let (first, second) = (share(0), share(1));
    Some([first?, second?])
}

fn batch(item: &Item<'_, '_>, report: &mut Report) -> Option<BatchRule> {
    const ALLOWED: &str = "\"cost\", \"single\", \"average\", or 1 to 64 rows";
    if let Some(word) = item.value.as_str() {
        // A number is one, and no word.
        let rule = word.parse().ok().filter(|rule| !matches!(rule, BatchRule::Rows(_)));
        if rule.is_none() {
            item.wrong(&format!("cannot be \"{word}\""), report).allowed(ALLOWED);
        }
        return rule;
    }
    item.integer(&(1..=BatchRule::ROWS_MAX), report).map(BatchRule::Rows)
}

pub(in crate::config) struct GuardFile {
    pub(in crate::config) enabled: Field<bool>,
    pub(in crate::config) max: Field<Nanos>,
    pub(in crate::config) require_expected_high: Field<bool>,
}

impl GuardFile {
    pub(super) fn read(mut s: Section<'_, '_>, r: &mut Report) -> Self {
        let file = Self {
            enabled: s.boolean("enabled", r),
            max: s.duration("max", us(0, 10_000), r),
            require_expected_high: s.boolean("require_expected_high", r),
        };
        s.done(r);
        file
    }
}

pub(in crate::config) struct LevelFile {
    /// Where `[level]` stands, if it does.
    pub(in crate::config) place: Option<Place>,
    pub(in crate::config) helpers: Field<usize>,
    pub(in crate::config) batch: Field<BatchRule>,
    pub(in crate::config) calibration: Field<Calibration>,
    pub(in crate::config) mode: Field<LevelMode>,
    pub(in crate::config) transfer_rule: Field<f64>,
    pub(in crate::config) hysteresis: Field<f64>,
    pub(in crate::config) spill_threshold: Field<u32>,
    pub(in crate::config) max_depth: Field<u32>,
    /// Where `[level.breaker]` stands, if it does.
    pub(in crate::config) breaker: Option<Place>,
    pub(in crate::config) gpu_cost_limit: Field<f64>,
    pub(in crate::config) queue_depth_limit: Field<u32>,
    pub(in crate::config) fallback: Field<Fallback>,
}

impl LevelFile {
    /// Where the first key stands that has no effect on a service without devices.
    pub(in crate::config) fn without_effect(&self) -> Option<&Place> {
        let own = [
            self.mode.place(),
            self.transfer_rule.place(),
            self.hysteresis.place(),
            self.spill_threshold.place(),
            self.max_depth.place(),
        ];
        own.into_iter().flatten().next().or(self.breaker.as_ref())
    }

    pub(super) fn read(mut s: Section<'_, '_>, folder: Option<&Path>, r: &mut Report) -> Self {
        let place = s.is_given().then(|| s.place().clone());
        let helpers = s.integer("helpers", 0..=WORKERS_MAX - 1, r);
        let batch = s.with("batch", r, batch);
        let calibration = s.with("calibration", r, |item, r| super::kept::read(item, folder, r));
        let mode = s.choice("mode", r);
        let transfer_rule = s.number("transfer_rule", Span::positive(f64::MAX), r);
        let hysteresis = s.number("hysteresis", Span { above: 0.0, closed: true, max: 0.9 }, r);
        let spill_threshold = s.integer("spill_threshold", 1..=65_536, r);
        let max_depth = s.integer("max_depth", 1..=65_536, r);
        let mut breaker = s.child("breaker", "[level.breaker]", r);
        s.done(r);
        let file = Self {
            place,
            helpers,
            batch,
            calibration,
            mode,
            transfer_rule,
            hysteresis,
            spill_threshold,
            max_depth,
            breaker: breaker.is_given().then(|| breaker.place().clone()),
            gpu_cost_limit: breaker.number("gpu_cost_limit", Span::positive(f64::MAX), r),
            queue_depth_limit: breaker.integer("queue_depth_limit", 1..=65_536, r),
            fallback: breaker.choice("fallback", r),
        };
        breaker.done(r);
        file
    }
}

pub(in crate::config) struct GpuFile {
    /// Where `[gpu]` stands, if it does.
    pub(in crate::config) place: Option<Place>,
    pub(in crate::config) enabled: Field<bool>,
    pub(in crate::config) allow_software: Field<bool>,
    pub(in crate::config) time_out: Field<Nanos>,
    pub(in crate::config) slots: Field<usize>,
    pub(in crate::config) rows: Field<usize>,
}

impl GpuFile {
    pub(super) fn read(mut s: Section<'_, '_>, r: &mut Report) -> Self {
        let file = Self {
            place: s.is_given().then(|| s.place().clone()),
            enabled: s.boolean("enabled", r),
            allow_software: s.boolean("allow_software", r),
            time_out: s.duration("time_out", us(1_000, 10_000_000), r),
            slots: s.integer("slots", 1..=8, r),
            rows: s.integer("rows", 4..=65_532, r),
        };
        s.done(r);
        file
    }
}
