//! The command line of `bench`: what may be asked for, and what does not go together.
//!
//! Knows no measurement.

use std::net::{SocketAddr, ToSocketAddrs as _};
use std::path::PathBuf;

use super::baseline::path_of;
use crate::base::Nanos;
use crate::cli::compare::RuleArgs;
use crate::cli::load::{self, ArrivalsArg, duration};
use crate::config::{BatchRule, Policy, nearest};
use crate::kernel::KernelSpec;
use crate::load::{Arrivals, Matching};

/// The multiples of saturation that the whole benchmark offers.
const SWEEP: [f64; 8] = [0.1, 0.25, 0.5, 0.8, 1.0, 2.0, 5.0, 10.0];
const QUICK_SWEEP: [f64; 2] = [0.8, 2.0];
/// High : Medium : Low.
const MIX: [f64; 3] = [1.0, 2.0, 7.0];
const SERVICE: Nanos = Nanos::from_micros(20);
/// Payload bytes: of a request to a server that is not ours, and of a kernel that takes any number.
const TARGET_SIZE: usize = 64;
const KERNEL_SIZE: usize = 1_024;
/// So that `--quick` ends within half a minute, also on a restless machine.
const QUICK_REPEATS: u32 = 4;

/// What `bench` is told.
#[derive(Clone, Debug, clap::Args)]
pub struct BenchArgs {
    /// Half a minute, and not six: 0.8 and 2 times saturation, FIFO beside ours
    #[arg(long)]
    pub(super) quick: bool,
    /// Loads, in multiples of saturation
    #[arg(long, value_delimiter = ',', value_name = "X,X")]
    loads: Option<Vec<f64>>,
    /// Policies beside each other, by their names in the config [default: all; with --quick: fifo, and the default policy or that of the --config]
    #[arg(long, value_delimiter = ',', value_name = "NAME,NAME", value_parser = policy)]
    policies: Option<Vec<Policy>>,
    /// Batch rules beside each other under one policy, as `level.batch` in the config: cost, single, average, or rows
    #[arg(long, value_delimiter = ',', value_name = "RULE,RULE", value_parser = batches, conflicts_with = "policies")]
    pub(super) batches: Vec<BatchRule>,
    /// How send times are drawn: poisson, uniform, mmpp[:RATIO,ON,OFF] (bursts)
    #[arg(long, value_name = "HOW", value_parser = arrivals)]
    pub(super) arrivals: Option<Asked>,
    /// How long each run sends [default: 2s; with --quick: 600ms]
    #[arg(long, value_name = "TIME", value_parser = duration)]
    duration: Option<Nanos>,
    /// Rounds; all take turns within each, medians and quartiles are shown
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=99))]
    pub(super) rounds: u32,
    /// What is run on a packet: crc32c, echo, fir, match, mlp, rs, spin
    #[arg(long, value_name = "KIND", default_value = "spin", value_parser = kernel)]
    pub(super) kernel: String,
    /// Measure the classes, kernels, levels and ports of this config, instead of High, Medium and Low of one kernel
    #[arg(short, long, value_name = "FILE", conflicts_with_all = ["kernel", "service"])]
    pub(super) config: Option<PathBuf>,
    /// What a packet of `spin` costs: busy work of that time [default: 20us]
    #[arg(long, value_name = "TIME", value_parser = duration)]
    service: Option<Nanos>,
    /// Shares of the classes, by packets: High, Medium, Low [default: 1,2,7], or those of the --config, the most urgent first [default: alike]
    #[arg(long, value_delimiter = ',', value_name = "H,M,L")]
    mix: Option<Vec<f64>>,
    /// Budgets of High, Medium and Low [default: 1ms,10ms,100ms]
    #[arg(long, value_delimiter = ',', value_name = "H,M,L", value_parser = duration, conflicts_with = "config")]
    pub(super) budgets: Option<Vec<Nanos>>,
    /// The driver: auto, uring, mio
    #[arg(long, default_value = "auto", value_parser = ["auto", "uring", "mio"])]
    pub(super) io: String,
    /// Cores of the service and of the generator; by default the first two that this process may use
    #[arg(long, value_delimiter = ',', value_name = "A,B")]
    pub(super) cores: Option<Vec<usize>>,
    /// Real-time priority for the service and the generator (needs CAP_SYS_NICE): less of the machine's noise in the result
    #[arg(long)]
    pub(super) realtime: bool,
    /// Decides every draw
    #[arg(long, default_value_t = 1)]
    pub(super) seed: u64,
    /// A run that lost more than this share of its time, in percent, is void: it is counted, and made again
    #[arg(long, default_value_t = 2.0, value_name = "PERCENT")]
    pub(super) max_stolen: f64,
    /// How many void runs are made again in all [default: a quarter of the runs]
    #[arg(long, value_name = "N")]
    pub(super) repeats: Option<u32>,
    /// Measure a server that already runs, instead of ours; NAME=ADDR; may be repeated: they take turns
    #[arg(long, value_name = "ADDR", value_parser = target, conflicts_with_all = ["policies", "batches", "budgets", "mix", "kernel", "config", "service", "io", "check"])]
    pub(super) target: Vec<(String, SocketAddr)>,
    /// How the answers of a --target are paired: auto, echo, crc32c
    #[arg(long = "match", value_name = "HOW", default_value = "auto", value_parser = matching, requires = "target")]
    pub(super) matching: Matching,
    /// What a --target's answers are judged by
    #[arg(long, value_name = "TIME", default_value = "10ms", value_parser = duration, requires = "target")]
    pub(super) budget: Nanos,
    /// Payload bytes of a request to a --target [default: 64]; those that a kernel is given which takes any number [default: 1024]
    #[arg(long, value_name = "BYTES")]
    size: Option<usize>,
    /// Packets a second that count as 1x, instead of looking for saturation
    #[arg(long, value_name = "RATE", value_parser = rate)]
    pub(super) saturation: Option<f64>,
    /// Exit with 3 unless ours keeps High on time as if it were alone (minus one point) and wastes at most 5 % of its work
    #[arg(long)]
    pub(super) check: bool,
    /// Keep the result: a file, or a name for .punctual/NAME.json
    #[arg(long, value_name = "NAME|FILE")]
    pub(super) save_baseline: Option<String>,
    /// Compare with a kept result: offers what it offered, and measures again what looks worse
    #[arg(long, value_name = "NAME|FILE")]
    pub(super) baseline: Option<String>,
    #[command(flatten)]
    pub(super) rule: RuleArgs,
    /// Write a page with charts
    #[arg(long, value_name = "FILE.html")]
    pub(super) report: Option<PathBuf>,
    /// Measure nothing: show a kept result
    #[arg(long, value_name = "NAME|FILE", conflicts_with_all = ["baseline", "save_baseline", "target", "quick", "kernel", "config"])]
    pub(super) show: Option<String>,
    /// Print one JSON object
    #[arg(long)]
    pub(super) json: bool,
    /// Show progress even where standard error is no terminal
    #[arg(long)]
    pub(super) progress: bool,
}

fn kernel(name: &str) -> Result<String, String> {
    let kinds = KernelSpec::KINDS;
    if kinds.contains(&name) {
        return Ok(name.to_owned());
    }
    let meant = nearest(name, kinds).map_or_else(String::new, |n| format!("; did you mean {n}?"));
    Err(format!("the kernels are {}{meant}", kinds.join(", ")))
}

fn policy(name: &str) -> Result<Policy, String> {
    let known = || Policy::ALL.iter().map(|p| p.word()).collect::<Vec<_>>().join(", ");
    let found = Policy::ALL.iter().find(|p| p.word() == name);
    found.copied().ok_or_else(|| format!("the policies are {}", known()))
}

/// How send times are drawn.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Asked(pub(super) Arrivals);

impl Asked {
    /// The same in one form, however it was typed; none for what is drawn anyway.
    pub(super) fn said(&self) -> Option<String> {
        match &self.0 {
            Arrivals::Bursts(b) => Some(format!("mmpp:{},{},{}", b.ratio, b.on, b.off)),
            Arrivals::Poisson => None,
            other => Some(other.label().to_owned()),
        }
    }
}

fn arrivals(text: &str) -> Result<Asked, String> {
    let how = match load::arrivals(text)? {
        ArrivalsArg::Poisson => Arrivals::Poisson,
        ArrivalsArg::Uniform => Arrivals::Uniform,
        ArrivalsArg::Bursts(bursts) => Arrivals::Bursts(bursts),
        ArrivalsArg::Capture(_) => {
            return Err("a benchmark draws its arrivals; a capture is replayed by `punctual load`"
                .to_owned());
        }
    };
    Ok(Asked(how))
}

fn batches(text: &str) -> Result<BatchRule, String> {
    text.parse()
}

fn matching(name: &str) -> Result<Matching, String> {
    match load::matching(name)? {
        Matching::Dns | Matching::Nothing => {
            Err("a benchmark pairs answers by auto, echo, crc32c or id@OFFSET".to_owned())
        }
        found => Ok(found),
    }
}

fn rate(text: &str) -> Result<f64, String> {
    load::rate(text)
}

/// `ADDR` or `NAME=ADDR`; host names are looked up.
fn target(text: &str) -> Result<(String, SocketAddr), String> {
    let (name, address) = text.split_once('=').unwrap_or((text, text));
    if name.is_empty() {
        return Err("the name before `=` is empty".to_owned());
    }
    let found = address.to_socket_addrs().map_err(|e| format!("`{address}` is no address: {e}"))?;
    let first = found.into_iter().next();
    let to = first.ok_or_else(|| format!("`{address}` has no address"))?;
    if to.port() == 0 {
        return Err("nothing can be sent to port 0".to_owned());
    }
    Ok((name.to_owned(), to))
}

impl BenchArgs {
    pub(super) fn loads(&self) -> Vec<f64> {
        let default: &[f64] = if self.quick { &QUICK_SWEEP } else { &SWEEP };
        self.loads.clone().unwrap_or_else(|| default.to_vec())
    }

    /// Who is measured, where `ours` is the policy that goals are for.
    pub(super) fn policies(&self, ours: Policy) -> Vec<Policy> {
        if let Some(policies) = &self.policies {
            return policies.clone();
        }
        if self.quick {
            return if ours == Policy::Fifo { vec![ours] } else { vec![Policy::Fifo, ours] };
        }
        // Ours last, as the row that the others lead up to.
        let mut all: Vec<Policy> = Policy::ALL.iter().copied().filter(|p| *p != ours).collect();
        all.reverse();
        all.push(ours);
        all
    }

    pub(super) fn duration(&self) -> Nanos {
        self.duration.unwrap_or_else(|| Nanos::from_millis(if self.quick { 600 } else { 2_000 }))
    }

    pub(super) fn service(&self) -> Nanos {
        self.service.unwrap_or(SERVICE)
    }

    /// The shares that classes have; a config's are alike unless it is said.
    pub(super) fn mix_of(&self, config: bool) -> Option<Vec<f64>> {
        self.mix.clone().or_else(|| (!config).then(|| MIX.to_vec()))
    }

    pub(super) fn size(&self) -> usize {
        self.size.unwrap_or(if self.target.is_empty() { KERNEL_SIZE } else { TARGET_SIZE })
    }

    /// How many void runs may be made again, with so many `subjects`.
    pub(super) fn repeats(&self, subjects: usize) -> u32 {
        let runs = self.loads().len() * subjects * self.rounds as usize;
        let quarter = u32::try_from(runs.div_ceil(4)).unwrap_or(u32::MAX);
        // A run of the quick one takes a second, and it has four to spare.
        let most = if self.quick { QUICK_REPEATS } else { u32::MAX };
        self.repeats.unwrap_or_else(|| quarter.min(most))
    }

    /// Whether the setting's own policy, or its own batches, are among those that are measured.
    pub(super) fn asks_for(&self, policy: Policy, batches: BatchRule) -> bool {
        if self.batches.is_empty() {
            self.policies(policy).contains(&policy)
        } else {
            self.batches.contains(&batches)
        }
    }

    pub(super) fn fault(&self) -> Option<&'static str> {
        let positive = |x: &f64| x.is_finite() && *x > 0.0;
        let three = self.config.is_some() || self.mix.as_ref().is_none_or(|m| m.len() == 3);
        if !three || !self.mix.iter().flatten().all(positive) {
            return Some(
                "--mix takes three numbers above 0, such as 1,2,7; with --config one a class",
            );
        }
        if self.service.is_some() && self.kernel != "spin" {
            return Some(
                "--service is the time of --kernel spin: other kernels take what they take",
            );
        }
        let echoes = matches!(self.kernel.as_str(), "spin" | "echo") && self.config.is_none();
        if self.size.is_some() && self.target.is_empty() && echoes {
            return Some("--size is for a --target, a --config, or a kernel that works on bytes");
        }
        if self.size == Some(0) {
            return Some("--size: a payload has at least one byte");
        }
        if self.loads().is_empty() || !self.loads().iter().all(|x| positive(x) && *x <= 100.0) {
            return Some("--loads takes numbers above 0 and up to 100, such as 0.8,2,5");
        }
        if self.policies.as_ref().is_some_and(Vec::is_empty) {
            return Some("--policies takes one or more names");
        }
        if (1..self.batches.len()).any(|i| self.batches[..i].contains(&self.batches[i])) {
            return Some("two of the --batches are the same");
        }
        if self.budgets.as_ref().is_some_and(|b| b.len() != 3) {
            return Some("--budgets takes three times, such as 300us,10ms,100ms");
        }
        if self.duration() < Nanos::from_millis(100) {
            return Some("--duration: a run of less than 100ms shows nothing");
        }
        if !(self.max_stolen > 0.0 && self.max_stolen <= 100.0) {
            return Some("--max-stolen takes a percentage above 0 and up to 100");
        }
        let names: Vec<&String> = self.target.iter().map(|(name, _)| name).collect();
        if (1..names.len()).any(|i| names[..i].contains(&names[i])) {
            return Some("two of the targets have the same name");
        }
        let kept = self.save_baseline.as_deref().map(path_of);
        if kept.is_some() && kept == self.report {
            return Some("--save-baseline and --report name the same file");
        }
        self.rule.fault(self.baseline.is_some())
    }
}
