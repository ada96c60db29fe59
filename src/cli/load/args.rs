//! What `load` is told, and the plan that it comes to.
//!
//! Opens nothing but the files that a plan is made of.

use std::fs::File;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::ValueEnum;

use super::arrivals::{self, ArrivalsArg, RateArg};
use super::class::{self, ClassSpec, Common};
use super::units;
use crate::base::{Nanos, Priority};
use crate::load::{
    Arrivals, FlowOrder, Framing, LATE_SHARE_MAX, Matching, Plan, QueryType, Questions,
    ReplayError, ReplayOptions, ReplayTo, Sizes, Trace,
};
use crate::packet::Dscp;
use crate::packet::capture::CaptureError;

const DURATION: Nanos = Nanos::from_secs(10);
const RATE: f64 = 10_000.0;
/// Local sockets a class of a replay.
const REPLAY_FLOWS: u16 = 256;

/// What `load` is told.
#[derive(Clone, Debug, clap::Args)]
pub struct LoadArgs {
    /// Send to this address, in one class; a replay to HOST alone keeps the ports of the capture
    #[arg(long, value_name = "ADDR", value_parser = class::target, conflicts_with = "class")]
    to: Option<ReplayTo>,
    /// A class of the mix: to=ADDR[,name=,share=,size=,budget=,priority=,kernel=,dscp=]; may be repeated
    #[arg(long, value_name = "KEY=VALUE,...", value_parser = class::parse)]
    #[arg(required_unless_present = "to")]
    class: Vec<ClassSpec>,
    /// Packets a second, all classes together: 500, 20k, 1M; or steps and ramps: 5k@2s,20k@2s,5k..50k@10s [default: 10k]
    #[arg(long, value_parser = arrivals::rate, allow_negative_numbers = true)]
    rate: Option<RateArg>,
    /// For how long requests are sent [default: 10s, or the whole capture]
    #[arg(long, value_name = "TIME", value_parser = units::duration)]
    duration: Option<Nanos>,
    /// How the send times are drawn: poisson, uniform, mmpp[:RATIO,ON,OFF] (bursts), or those of FILE.pcap[ng]
    #[arg(long, default_value = "poisson", value_name = "HOW", value_parser = arrivals::arrivals)]
    arrivals: ArrivalsArg,
    /// Replay: how many times faster than captured
    #[arg(long, value_name = "X", default_value = "1", value_parser = units::speed)]
    speed: f64,
    /// Replay: only datagrams to these ports
    #[arg(long, value_name = "PORT,...", value_delimiter = ',')]
    ports: Vec<u16>,
    /// Replay: payloads as captured, or filler of the same length with a request id [default: keep]
    #[arg(long, value_enum)]
    payloads: Option<PayloadsArg>,
    /// Replay: how often the whole capture is offered, one time after the other
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    repeat: u32,
    /// Replay: a capture that is cut off in the middle is offered up to there
    #[arg(long)]
    partial: bool,
    /// Decides every draw
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Packets that share one send time, class, flow and size
    #[arg(long, value_name = "N", default_value_t = 1)]
    burst: u32,
    /// The priority asked for, of classes that name none: high, medium, low, best-effort
    #[arg(long, value_parser = class::priority)]
    priority: Option<Priority>,
    /// The budget asked for and judged by, of classes that name none [default: the priority's]
    #[arg(long, value_name = "TIME", value_parser = units::duration)]
    budget: Option<Nanos>,
    /// Payload bytes of classes that name none: 64, or 64..1400
    #[arg(long, default_value = "64", value_parser = units::sizes)]
    size: Sizes,
    /// The code point of classes that name none: 0 to 63, ef, af41, cs5
    #[arg(long, value_name = "POINT", value_parser = units::dscp)]
    dscp: Option<Dscp>,
    /// Local sockets a class, each with its own port [default: 1; a replay: one a source, up to 256]
    #[arg(long, value_name = "N")]
    flows: Option<u16>,
    /// Which flow is next
    #[arg(long, value_enum, default_value = "round-robin")]
    flow_order: FlowOrderArg,
    /// Framed requests, framed answers only [default: framed requests, any kind of answer]
    #[arg(long, conflicts_with = "raw")]
    framed: bool,
    /// Requests without a header
    #[arg(long)]
    raw: bool,
    /// How the answers to raw requests are paired: auto, echo, crc32c, id@OFFSET[:BYTES], dns; none where none come
    #[arg(long = "match", value_name = "HOW", value_parser = arrivals::matching)]
    matching: Option<Matching>,
    /// DNS: ask these, a name and a type a line
    #[arg(long, value_name = "FILE", conflicts_with = "zone")]
    names: Option<PathBuf>,
    /// DNS: ask for names of their own below this one
    #[arg(long, value_name = "NAME")]
    zone: Option<String>,
    /// DNS: the type of generated questions
    #[arg(long, value_name = "TYPE", default_value = "A", value_parser = query_type)]
    query_type: QueryType,
    /// At most so many requests wait for an answer; others leave late, and their waiting counts [default: no limit]
    #[arg(long, value_name = "N")]
    window: Option<u32>,
    /// Do not ask to be told of drops
    #[arg(long)]
    no_refusals: bool,
    /// Send every packet by itself
    #[arg(long)]
    no_gso: bool,
    /// Pin the generator to this core
    #[arg(long, value_name = "N")]
    pub(super) core: Option<usize>,
    /// Never sleep between sends
    #[arg(long)]
    spin: bool,
    /// From where on a packet of ours counts as sent late
    #[arg(long, value_name = "TIME", default_value = "1ms", value_parser = units::duration)]
    late_after: Nanos,
    /// Exit with 3 when more than this share of packets was sent late [default: 1%]
    #[arg(long, value_name = "PERCENT", value_parser = units::percent)]
    max_late: Option<f64>,
    /// Exit with 3 when any packet was sent later than this
    #[arg(long, value_name = "TIME", value_parser = units::duration)]
    pub(super) max_lateness: Option<Nanos>,
    /// Print one JSON object
    #[arg(long)]
    pub(super) json: bool,
    /// Write the latencies of each second to a HdrHistogram log
    #[arg(long, value_name = "FILE")]
    pub(super) hdr: Option<PathBuf>,
    /// Write a page with charts
    #[arg(long, value_name = "FILE.html")]
    pub(super) report: Option<PathBuf>,
    /// Show progress even where standard error is no terminal
    #[arg(long)]
    pub(super) progress: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum FlowOrderArg {
    /// One after the other
    RoundRobin,
    /// Drawn from the seed
    Random,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum PayloadsArg {
    /// As captured
    Keep,
    /// Filler of the same length
    Fill,
}

fn query_type(name: &str) -> Result<QueryType, String> {
    QueryType::from_name(name).ok_or_else(|| "A, AAAA, MX, TXT or TYPE65 are known".to_owned())
}

/// Why there is no plan.
#[derive(Debug)]
pub(super) enum NoPlan {
    /// The command line.
    Usage(String),
    /// A file that cannot be used.
    File(String),
}

impl From<String> for NoPlan {
    fn from(fault: String) -> Self {
        Self::Usage(fault)
    }
}

impl LoadArgs {
    pub(super) fn plan(&self) -> Result<Plan, NoPlan> {
        let mut plan = self.common()?;
        match &self.arrivals {
            ArrivalsArg::Capture(path) => self.replay(path, &mut plan)?,
            other => {
                self.check_synthetic()?;
                plan.classes = self.classes()?;
                plan.arrivals = match other {
                    ArrivalsArg::Uniform => Arrivals::Uniform,
                    ArrivalsArg::Bursts(bursts) => Arrivals::Bursts(*bursts),
                    _ => Arrivals::Poisson,
                };
            }
        }
        plan.check().map_err(|e| e.to_string())?;
        Ok(plan)
    }

    /// What does not depend on where the requests come from. Its class is a place-holder.
    fn common(&self) -> Result<Plan, NoPlan> {
        let questions = self.questions()?;
        let matching = match self.matching {
            _ if self.framed => Matching::Header,
            None if questions.is_some() => Matching::Dns,
            None => Matching::Auto,
            Some(matching) => matching,
        };
        let raw = self.raw || questions.is_some() || self.pairs_raw_only();
        let mut plan = Plan {
            rate: RATE,
            duration: self.duration.unwrap_or(DURATION),
            burst: self.burst,
            seed: self.seed,
            framing: if raw { Framing::Raw } else { Framing::Framed },
            matching,
            questions: questions.map(Arc::new),
            wants_refusal: !self.no_refusals,
            flows: self.flows.unwrap_or(1),
            flow_order: match self.flow_order {
                FlowOrderArg::RoundRobin => FlowOrder::RoundRobin,
                FlowOrderArg::Random => FlowOrder::Random,
            },
            gso: !self.no_gso,
            window: self.window,
            spin: self.spin,
            late_after: self.late_after,
            keeps_seconds: self.hdr.is_some(),
            late_share_max: self.max_late.unwrap_or(LATE_SHARE_MAX),
            ..Plan::single("all", SocketAddr::from(([127, 0, 0, 1], 9)))
        };
        match &self.rate {
            None => {}
            Some(RateArg::Constant(rate)) => plan.rate = *rate,
            Some(RateArg::Course(stretches)) if self.duration.is_none() => {
                plan.follow(stretches.clone());
            }
            Some(RateArg::Course(_)) => {
                return Err("the steps of --rate have their own lengths: leave --duration out"
                    .to_owned()
                    .into());
            }
        }
        Ok(plan)
    }

    /// Answers are paired in a way that only raw requests can be.
    const fn pairs_raw_only(&self) -> bool {
        matches!(self.matching, Some(Matching::Id { .. } | Matching::Dns))
    }

    fn check_synthetic(&self) -> Result<(), String> {
        let framed_by_default = !self.raw && !self.framed && self.zone.is_none();
        if framed_by_default
            && self.names.is_none()
            && matches!(self.matching, Some(Matching::Echo | Matching::Crc32c | Matching::Auto))
        {
            return Err(
                "--match says how the answers to raw requests are paired: add --raw".to_owned()
            );
        }
        if self.framed && (self.pairs_raw_only() || self.names.is_some() || self.zone.is_some()) {
            return Err("framed requests have an id of their own: leave --framed out".to_owned());
        }
        let replay_only = [
            (!self.ports.is_empty(), "--ports"),
            (self.payloads.is_some(), "--payloads"),
            (self.partial, "--partial"),
            (self.repeat > 1, "--repeat"),
            ((self.speed - 1.0).abs() > 1e-12, "--speed"),
        ];
        match replay_only.iter().find(|(given, _)| *given) {
            Some((_, name)) => Err(format!("{name} is for a replay: --arrivals FILE.pcap")),
            None => Ok(()),
        }
    }

    fn classes(&self) -> Result<Vec<crate::load::Class>, String> {
        let common = Common {
            size: self.size,
            budget: self.budget,
            priority: self.priority,
            dscp: self.dscp,
        };
        let single = match self.to {
            None => None,
            Some(ReplayTo::Address(to)) => Some(ClassSpec::single(to)),
            Some(ReplayTo::Host(host)) => {
                return Err(format!("`{host}` has no port: HOST:PORT is expected"));
            }
        };
        let specs =
            if let Some(single) = &single { std::slice::from_ref(single) } else { &self.class };
        (1..).zip(specs).map(|(i, spec)| spec.complete(i, &common)).collect()
    }

    fn questions(&self) -> Result<Option<Questions>, NoPlan> {
        if let Some(zone) = &self.zone {
            let questions = Questions::generated(zone, self.query_type);
            return Ok(Some(questions.map_err(|e| e.to_string())?));
        }
        let Some(path) = &self.names else { return Ok(None) };
        let text = std::fs::read_to_string(path).map_err(|e| unusable(path, &e))?;
        let questions = Questions::read(&text).map_err(|e| unusable(path, &e))?;
        Ok(Some(questions))
    }

    /// Makes `plan` one of a capture.
    fn replay(&self, path: &Path, plan: &mut Plan) -> Result<(), NoPlan> {
        let Some(to) = self.to else {
            return Err("a replay needs --to: its classes are those of the capture"
                .to_owned()
                .into());
        };
        if self.rate.is_some() || self.burst != 1 {
            return Err("a replay has the times of its capture: --speed changes them, not --rate or --burst"
                .to_owned()
                .into());
        }
        let fill = self.payloads == Some(PayloadsArg::Fill);
        if self.framed && !fill {
            return Err("captured payloads are sent as they are: --framed needs --payloads fill"
                .to_owned()
                .into());
        }
        let options = ReplayOptions {
            to,
            speed: self.speed,
            keep: !fill,
            ports: self.ports.clone(),
            repeat: self.repeat,
            partial: self.partial,
            budget: self.budget,
            priority: self.priority,
            flows_max: self.flows.unwrap_or(REPLAY_FLOWS).max(1),
        };
        let file = File::open(path).map_err(|e| unusable(path, &e))?;
        let (trace, classes) =
            Trace::read(file, &options).map_err(|e| unusable_capture(path, &e))?;
        plan.framing = if self.framed { Framing::Framed } else { Framing::Raw };
        plan.classes = classes;
        plan.duration = self.duration.unwrap_or_else(|| trace.duration());
        plan.rate = mean_rate(trace.packets(), trace.duration());
        plan.arrivals = Arrivals::Replay(Arc::new(trace));
        Ok(())
    }
}

fn unusable(path: &Path, why: &dyn std::fmt::Display) -> NoPlan {
    NoPlan::Usage(format!("cannot use {}: {why}", path.display()))
}

fn unusable_capture(path: &Path, why: &ReplayError) -> NoPlan {
    let hint = match why {
        ReplayError::Capture(CaptureError::Cut { read, .. }) if read.datagrams > 0 => {
            "; --partial offers those"
        }
        _ => "",
    };
    NoPlan::File(format!("cannot replay {}: {why}{hint}", path.display()))
}

#[expect(clippy::cast_precision_loss, reason = "a mean for the report")]
fn mean_rate(packets: u64, duration: Nanos) -> f64 {
    (packets as f64 / duration.as_secs_f64()).min(crate::load::RATE_MAX)
}
