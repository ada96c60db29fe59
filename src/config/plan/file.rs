//! The shape of a plan: every key with its type and range, then its relations to the config.
//!
//! Knows neither files nor runs.

use std::path::Path;
use std::sync::Arc;

use toml::de::{DeTable, DeValue};

use super::beside::{batch, relate_helpers};
use super::faults::{faults, needed};
use super::{Goal, Plan, SETTLED_AFTER, Shape, Step, Times, Traffic, capture, recorded};
use crate::base::limits::WORKERS_MAX;
use crate::base::{Nanos, Priority};
use crate::config::fault::{Place, Report};
use crate::config::file::service_time;
use crate::config::item::{Item, Span};
use crate::config::section::{Field, Section, us};
use crate::config::settings::{Classify, Framing, Ingress, Policy, Settings};
use crate::kernel::KernelSpec;
use crate::kernel::spin::ServiceTime;
use crate::sim::world::{Costs, Faults, Link, tag};

const PACKETS_MAX: u64 = 10_000_000_000;
const PACKETS_DEFAULT: u64 = 100_000;
const DURATION_DEFAULT: Nanos = Nanos::from_secs(60);
const FLOWS_MAX: u32 = 65_536;
const LOAD_MAX: f64 = 1_000.0;
/// What a kernel takes in a world that takes no time of its own choosing.
const QUICK: Nanos = Nanos::from_micros(1);

const ARRIVALS: &str = "a shape, or from the plan's folder the path of a .pcap or .pcapng file with two UDP datagrams or more, or of a .csv or .tsv file with a column at_ns, at_us, at_ms or at_s";
const RECORDED: &str = "the path of a file with a column service_ns, service_us, service_ms or service_s, from the plan's folder";

/// How near goodput must be to what it settles at, unless the plan says.
const WITHIN: f64 = 0.05;

pub(super) const SHARE: Span = Span { above: 0.0, closed: true, max: 1.0 };

/// A plan that has been read, its relations not yet.
pub(super) struct Top<'t, 'i> {
    top: Section<'t, 'i>,
    workers: Field<Vec<usize>>,
    load: Field<Vec<f64>>,
    policy: Field<Vec<Policy>>,
    packets: Field<u64>,
    duration: Field<Nanos>,
    traffic: Field<Vec<Section<'t, 'i>>>,
    goals: Field<Vec<Section<'t, 'i>>>,
    batches: Field<Vec<Section<'t, 'i>>>,
    helpers: Field<usize>,
    step: Option<(Step, Place)>,
    costs: Costs,
    link: Link,
    faults: Faults,
}

impl<'t, 'i> Top<'t, 'i> {
    pub(super) fn read(document: &'t DeTable<'i>, r: &mut Report) -> Self {
        let start = Place { span: 0..0, key: String::new() };
        let mut top = Section::new("", start, Some(document));
        Self {
            workers: axis(&mut top, "workers", r, |i, r| i.integer(&(1..=WORKERS_MAX), r)),
            load: axis(&mut top, "load", r, |i, r| i.number(Span::positive(LOAD_MAX), r)),
            policy: axis(&mut top, "policy", r, |i, r| i.choice(r)),
            packets: top.integer("packets", 1..=PACKETS_MAX, r),
            duration: top.duration("duration", us(1_000, 3_600_000_000), r),
            traffic: top.children("traffic", r),
            costs: costs(top.child("costs", "[costs]", r), r),
            link: link(top.child("link", "[link]", r), r),
            faults: faults(top.child("faults", "[faults]", r), r),
            step: step(top.child("step", "[step]", r), r),
            goals: top.children("goal", r),
            batches: top.children("batch", r),
            helpers: top.integer("helpers", 0..=WORKERS_MAX - 1, r),
            top,
        }
    }

    /// The config that is named, and where; every other key of the top is known by now.
    pub(super) fn config(&mut self, r: &mut Report) -> Option<(String, Place)> {
        let named = self.top.text("config", r);
        self.top.done(r);
        named.given().map(|(name, place)| (name.clone(), place.clone()))
    }

    /// The plan, as far as there is one; faults are in the report.
    pub(super) fn check(
        self,
        (config, folder): (&str, &Path),
        settings: &Settings,
        r: &mut Report,
    ) -> Option<Plan> {
        let traffic = match self.traffic {
            Field::Given(sections, _) => {
                sections.into_iter().filter_map(|s| read_traffic(s, settings, folder, r)).collect()
            }
            Field::Bad(_) => Vec::new(),
            Field::Absent => every_ingress(settings),
        };
        let batches = match self.batches {
            Field::Given(sections, _) => {
                sections.into_iter().filter_map(|s| batch(s, settings, r)).collect()
            }
            Field::Bad(_) | Field::Absent => Vec::new(),
        };
        let helpers = self.helpers.or(settings.level.helpers);
        let workers = self.workers.or(vec![1]);
        let policy = self.policy.or(vec![settings.controller.policy]);
        relate_helpers(&self.helpers, (&workers, &policy), r);
        let duration = self.duration.or(DURATION_DEFAULT);
        if let Some((step, place)) = &self.step {
            relate_step(step, place, duration, &traffic, r);
        }
        let goals = match self.goals {
            Field::Given(sections, _) => sections.into_iter().filter_map(|s| goal(s, r)).collect(),
            Field::Bad(_) | Field::Absent => Vec::new(),
        };
        Some(Plan {
            settings: settings.clone(),
            config: config.to_owned(),
            workers,
            load: self.load.or(vec![1.0]),
            policy,
            helpers,
            batches,
            packets: self.packets.or(PACKETS_DEFAULT),
            duration,
            traffic,
            costs: self.costs,
            link: self.link,
            faults: self.faults,
            step: self.step.map(|(step, _)| step),
            goals,
        })
    }
}

/// One value, or a list of them to sweep over.
fn axis<'t, 'i, T>(
    s: &mut Section<'t, 'i>,
    key: &'static str,
    r: &mut Report,
    mut f: impl FnMut(&Item<'t, 'i>, &mut Report) -> Option<T>,
) -> Field<Vec<T>> {
    s.with(key, r, |item, r| {
        let DeValue::Array(array) = item.value else { return f(item, r).map(|one| vec![one]) };
        if array.is_empty() {
            item.wrong("is empty", r).allowed("one value, or a list of at least one");
            return None;
        }
        let each = array.iter().enumerate().map(|(n, entry)| {
            let place = Place { span: entry.span(), key: format!("{}[{n}]", item.place.key) };
            f(&Item { value: entry.get_ref(), place, key: format!("{key}[{n}]") }, r)
        });
        // Every entry is read, so that every fault is said.
        let read: Vec<Option<T>> = each.collect();
        read.into_iter().collect()
    })
}

/// Without any `[[traffic]]`: every ingress alike.
fn every_ingress(settings: &Settings) -> Vec<Traffic> {
    let each = |(i, ingress): (usize, &Ingress)| Traffic {
        ingress: i,
        priority: ingress.priority,
        share: 1.0,
        arrivals: Times::Shape(Shape::Poisson),
        time: own_time(settings, ingress),
        recorded: None,
        size: 64,
        flows: 16,
        budgets: vec![],
    };
    settings.ingress.iter().enumerate().map(each).collect()
}

fn own_time(settings: &Settings, ingress: &Ingress) -> ServiceTime {
    match settings.kernels.spec(ingress.kernel) {
        // What is in the payload is the plan's to say.
        Some(KernelSpec::Spin(ServiceTime::Payload { .. })) | None => ServiceTime::Constant(QUICK),
        Some(KernelSpec::Spin(time)) => *time,
        // How long real work takes here is not known without running it: where that matters, the plan says `time`.
        Some(_) => ServiceTime::Constant(QUICK),
    }
}

fn read_traffic(
    mut s: Section<'_, '_>,
    settings: &Settings,
    folder: &Path,
    r: &mut Report,
) -> Option<Traffic> {
    let ingress = ingress(&mut s, settings, r);
    let priority = s.choice::<Priority>("priority", r);
    let share = s.number("share", Span::positive(1e9), r).or(1.0);
    let arrivals = s.with("arrivals", r, |item, r| arrivals(item, folder, r));
    let arrivals = arrivals.or(Times::Shape(Shape::Poisson));
    let flows = s.integer("flows", 1..=FLOWS_MAX, r).or(16);
    let size = s.size("size", tag::LEN..=settings.workers.max_datagram, r).or(64);
    let budgets = axis(&mut s, "budgets", r, |i, r| i.duration(&us(1, 60_000_000), r));
    let recorded = s.with("recorded", r, |item, r| recorded_times(item, folder, r));
    if recorded != Field::Absent && (s.has("time") || s.has("distribution")) {
        let why = "`recorded` says what each packet takes: `time` and `distribution` do not apply";
        r.fault(s.place(), why).allowed("one of `recorded`, `time` and `distribution`");
    }
    let time = if s.has("time") || s.has("distribution") {
        service_time(&mut s, r)
    } else {
        // Named all the same, so that a mistyped key is told its nearest.
        let _ = (s.item("time"), s.item("distribution"));
        ingress.map(|i| own_time(settings, &settings.ingress[i]))
    };
    s.done(r);
    let i = ingress?;
    let own = &settings.ingress[i];
    if let Some((asked, place)) = priority.given()
        && own.classify == Classify::Fixed
        && *asked != own.priority
    {
        let why = format!("`priority`: all that comes to {:?} is {}", own.name, own.priority);
        r.fault(place, why).allowed(format!("\"{}\", or an ingress that classifies", own.priority));
    }
    if let Some((_, place)) = budgets.given()
        && own.framing != Framing::Framed
    {
        let why = format!("`budgets` does not apply: {:?} takes raw datagrams", own.name);
        r.fault(place, why).allowed("an ingress with framing = \"framed\"");
    }
    let time = time?;
    if let ServiceTime::Payload { .. } = time {
        let why = "`distribution` cannot be \"payload\": here the plan says what payloads say";
        r.fault(s.place(), why).allowed("\"uniform\", \"exponential\", \"bimodal\"");
    }
    Some(Traffic {
        ingress: i,
        priority: priority.or(own.priority),
        share,
        arrivals,
        time,
        recorded: recorded.value(),
        size,
        flows,
        budgets: budgets.or(vec![]),
    })
}

/// The word of a shape, or the path of a capture, by its ending.
fn arrivals(item: &Item<'_, '_>, folder: &Path, r: &mut Report) -> Option<Times> {
    let word = item.text("a string", ARRIVALS, r)?;
    let ending = Path::new(word).extension().and_then(|e| e.to_str());
    if !matches!(ending, Some("pcap" | "pcapng" | "csv" | "tsv")) {
        return item.choice(r).map(Times::Shape);
    }
    let path = folder.join(word);
    let times = if ending == Some("csv") || ending == Some("tsv") {
        recorded::arrivals(&path)
    } else {
        capture::times(&path)
    };
    match times {
        Ok(times) => Some(Times::Captured(times)),
        Err(why) => {
            item.wrong(&format!(" {}: {why}", path.display()), r).allowed(ARRIVALS);
            None
        }
    }
}

/// The path of a file that says what packets took.
fn recorded_times(item: &Item<'_, '_>, folder: &Path, r: &mut Report) -> Option<Arc<[Nanos]>> {
    let path = folder.join(item.text("a string", RECORDED, r)?);
    match recorded::services(&path) {
        Ok(times) => Some(times),
        Err(why) => {
            item.wrong(&format!(" {}: {why}", path.display()), r).allowed(RECORDED);
            None
        }
    }
}

fn ingress(s: &mut Section<'_, '_>, settings: &Settings, r: &mut Report) -> Option<usize> {
    let named = s.with("ingress", r, |item, r| {
        let name = item.text("a string", "the name of an ingress of the config", r)?;
        let at = settings.ingress.iter().position(|i| i.name == name);
        if at.is_none() {
            let known: Vec<&str> = settings.ingress.iter().map(|i| i.name.as_str()).collect();
            item.wrong(&format!(": there is no ingress named {name:?}"), r)
                .allowed(known.join(", "))
                .nearest(name, known.iter().copied());
        }
        at
    });
    if named == Field::Absent {
        s.missing("ingress", "the name of an ingress of the config", r);
    }
    named.value()
}

fn goal(mut s: Section<'_, '_>, r: &mut Report) -> Option<Goal> {
    let priority = s.choice::<Priority>("priority", r);
    let on_time = s.number("on_time", SHARE, r);
    let load_max = s.number("load_max", Span::positive(LOAD_MAX), r).or(LOAD_MAX);
    let policy = s.choice::<Policy>("policy", r).or(Policy::OURS);
    if priority == Field::Absent {
        s.missing("priority", "a class", r);
    }
    if on_time == Field::Absent {
        s.missing("on_time", "a share from 0.0 up to 1.0", r);
    }
    s.done(r);
    Some(Goal { priority: priority.value()?, on_time: on_time.value()?, load_max, policy })
}

fn step(mut s: Section<'_, '_>, r: &mut Report) -> Option<(Step, Place)> {
    if !s.is_given() {
        return None;
    }
    let at = needed(&mut s, "at", us(1_000, 3_600_000_000), r);
    let load = s.number("load", Span::positive(LOAD_MAX), r);
    if load == Field::Absent {
        s.missing("load", "a number above 0", r);
    }
    let within = s.number("within", SHARE, r).or(WITHIN);
    let by = s.duration("by", us(1_000, 3_600_000_000), r).value();
    s.done(r);
    Some((Step { at: at?, load: load.value()?, within, by }, s.place().clone()))
}

/// What settles must have time for it, and only a rate that does nothing else by itself can settle.
fn relate_step(step: &Step, at: &Place, duration: Nanos, traffic: &[Traffic], r: &mut Report) {
    if duration < step.at + SETTLED_AFTER.saturating_mul(2) {
        let why = format!(
            "`step` comes at {}, too near to the end: {} are needed until it has settled, and as much to see what it settles at",
            step.at, SETTLED_AFTER
        );
        r.fault(at, why)
            .allowed(format!("a `duration` from {}", step.at + SETTLED_AFTER.saturating_mul(2)));
    }
    if traffic.iter().any(|t| t.arrivals != Times::Shape(Shape::Poisson)) {
        r.fault(at, "`step` needs a rate that is constant before and after it")
            .allowed("arrivals = \"poisson\" in all traffic");
    }
}

fn costs(mut s: Section<'_, '_>, r: &mut Report) -> Costs {
    let own = Costs::default();
    let mut cost =
        |key, least, own| s.duration(key, Nanos::new(least)..=Nanos::from_millis(10), r).or(own);
    let costs = Costs {
        look: cost("look", 1, own.look),
        receive: cost("receive", 0, own.receive),
        batch: cost("batch", 0, own.batch),
        send: cost("send", 0, own.send),
        segment: cost("segment", 0, own.segment),
        wake: cost("wake", 0, own.wake),
    };
    s.done(r);
    costs
}

fn link(mut s: Section<'_, '_>, r: &mut Report) -> Link {
    let own = Link::default();
    let most = us(0, 10_000_000);
    let link = Link {
        delay: s.duration("delay", most.clone(), r).or(own.delay),
        jitter: s.duration("jitter", most, r).or(own.jitter),
        loss: s.number("loss", SHARE, r).or(own.loss),
        duplicate: s.number("duplicate", SHARE, r).or(own.duplicate),
        socket_buffer: s.integer("socket_buffer", 1..=1_000_000, r).or(own.socket_buffer),
    };
    s.done(r);
    link
}
