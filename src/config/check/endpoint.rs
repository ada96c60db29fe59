//! Ingresses, egresses and kernels, and how they name each other.
//!
//! Knows no sockets: an address that is well formed may still be taken when the service starts.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use super::names::{unique, unknown};
use super::not_here;
use crate::base::limits::{INGRESS_MAX, MAX_DATAGRAM_DEFAULT};
use crate::base::{EgressId, KernelId, Nanos, PerPriority, Priority};
use crate::config::fault::Report;
use crate::config::file::{EgressFile, File, IngressFile};
use crate::config::settings::{
    Class, Classify, ClassifyBy, Egress, Empty, Framing, Ingress, Late, LowSourcePorts, Mode,
    ModeWord, Order, Sockets,
};
use crate::kernel::simd::SimdChoice;
use crate::kernel::{KernelSpec, Registry};

/// What an ingress runs unless it names something else.
const KERNEL_DEFAULT: &str = "crc32c";
/// Kernels that need no `[kernel.NAME]`: they have no parameters.
const BUILT_IN: [(&str, KernelSpec); 2] =
    [("crc32c", KernelSpec::Crc32c), ("echo", KernelSpec::Echo)];
/// The name of the egress that stands for none in the file.
const REPLY: &str = "reply";

pub(super) struct Endpoints {
    pub(super) ingress: Vec<Ingress>,
    pub(super) egress: Vec<Egress>,
    pub(super) kernels: Registry,
}

pub(super) fn check(file: &File, classes: &PerPriority<Class>, report: &mut Report) -> Endpoints {
    let kernels = kernels(file, report);
    let egress = egresses(file, report);
    let ingress_files = file.ingress.given().map_or(&[][..], |(all, _)| all.as_slice());
    if ingress_files.is_empty() && !file.ingress.is_bad() {
        report
            .fault(&File::start(), "there is no [[ingress]]: nothing would be served")
            .allowed("at least one [[ingress]] with a name and a listen address");
    }
    at_most(ingress_files.iter().map(|i| &i.place), "ingresses", report);
    unique("ingress", ingress_files.iter().map(|i| &i.name), report);
    distinct_addresses(ingress_files, report);
    let context = Context { file, classes, kernels: &kernels, egress: &egress };
    let ingress: Vec<Ingress> = ingress_files.iter().map(|i| context.ingress(i, report)).collect();
    warn_of_unused(file, &ingress, report);
    Endpoints { ingress, egress, kernels }
}

fn at_most<'f>(
    mut places: impl Iterator<Item = &'f crate::config::fault::Place>,
    what: &str,
    report: &mut Report,
) {
    if let Some(place) = places.nth(INGRESS_MAX) {
        report.fault(place, format!("more than {INGRESS_MAX} {what}"));
    }
}

/// The file's kernels in its order, then the built-in ones that an ingress names.
fn kernels(file: &File, report: &mut Report) -> Registry {
    let max_datagram = file.workers.max_datagram.or(MAX_DATAGRAM_DEFAULT);
    let mut entries: Vec<(String, KernelSpec)> = Vec::new();
    for kernel in &file.kernels {
        // A faulty kernel keeps its name, so that who refers to it is not at fault as well.
        let spec = kernel.spec.clone().unwrap_or(KernelSpec::Echo);
        if let (Some(built_in), Some(given)) = (built_in(&kernel.name), &kernel.spec)
            && built_in != *given
        {
            let message = format!("this hides the built-in kernel {}", kernel.name);
            report.warn(&kernel.place, message);
        }
        if let Some(len) = spec.payload_len()
            && len > max_datagram
        {
            let message = format!(
                "{} takes payloads of {len} bytes, more than workers.max_datagram",
                kernel.name
            );
            report
                .fault(&kernel.place, message)
                .allowed(format!("max_datagram of at least {len}, and 32 more where framed"));
        }
        entries.push((kernel.name.clone(), spec));
    }
    for ingress in file.ingress.given().map_or(&[][..], |(all, _)| all.as_slice()) {
        let name = ingress.kernel.or(KERNEL_DEFAULT.to_owned());
        if let Some(spec) = built_in(&name)
            && !entries.iter().any(|(n, _)| *n == name)
        {
            entries.push((name, spec));
        }
    }
    Registry::new(entries).with_simd(file.simd.or(SimdChoice::Auto))
}

fn built_in(name: &str) -> Option<KernelSpec> {
    BUILT_IN.into_iter().find(|(n, _)| *n == name).map(|(_, spec)| spec)
}

fn egress_files(file: &File) -> &[EgressFile] {
    file.egress.given().map_or(&[][..], |(all, _)| all.as_slice())
}

fn egresses(file: &File, report: &mut Report) -> Vec<Egress> {
    let files = egress_files(file);
    at_most(files.iter().map(|e| &e.place), "egresses", report);
    unique("egress", files.iter().map(|e| &e.name), report);
    if files.is_empty() {
        let mode = Mode::Reply { amplification: 1.0, low_source_ports: LowSourcePorts::Drop };
        return vec![Egress { name: REPLY.to_owned(), mode, late: Late::Drop, budget: None }];
    }
    files.iter().map(|e| egress(e, report)).collect()
}

fn egress(file: &EgressFile, report: &mut Report) -> Egress {
    let mode = file.mode.or(ModeWord::Reply);
    // Where the mode itself is wrong, which keys belong to it is anybody's guess.
    if !file.mode.is_bad() {
        if mode == ModeWord::Reply {
            not_here(&file.to, "to", "mode = \"send\" or \"forward\"", report);
        } else {
            not_here(&file.amplification, "amplification", "mode = \"reply\"", report);
            not_here(&file.low_source_ports, "low_source_ports", "mode = \"reply\"", report);
        }
        if mode != ModeWord::Forward {
            not_here(&file.sessions, "sessions", "mode = \"forward\"", report);
            not_here(&file.idle_timeout, "idle_timeout", "mode = \"forward\"", report);
            not_here(&file.answers, "answers", "mode = \"forward\"", report);
        }
    }
    if let Some((factor, place)) = file.amplification.given()
        && *factor > 1.0
    {
        report.warn(place, "answers may be larger than requests: forged senders can be flooded");
    }
    let to = file.to.or(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0));
    let mode = match mode {
        ModeWord::Reply => Mode::Reply {
            amplification: file.amplification.or(1.0),
            low_source_ports: file.low_source_ports.or(LowSourcePorts::Drop),
        },
        ModeWord::Send => Mode::Send { to },
        ModeWord::Forward => Mode::Forward {
            to,
            sessions: file.sessions.or(1_024),
            idle_timeout: file.idle_timeout.or(Nanos::from_secs(30)),
            answers: file.answers.or(0),
        },
    };
    Egress {
        name: file.name.or(String::new()),
        mode,
        late: file.late.or(Late::Drop),
        budget: file.budget.value(),
    }
}

/// What an ingress can refer to.
struct Context<'f> {
    file: &'f File,
    classes: &'f PerPriority<Class>,
    kernels: &'f Registry,
    egress: &'f [Egress],
}

impl Context<'_> {
    fn ingress(&self, file: &IngressFile, report: &mut Report) -> Ingress {
        let classify = classify(file, report);
        let egress = self.egress(file, report);
        let way_out = self.egress.get(egress.index());
        let priority = file.priority.or(Priority::Medium);
        let highest = file.highest.or(Priority::High);
        refuse_loop(file, way_out, report);
        warn_of_highest(file, classify, report);
        Ingress {
            name: file.name.or(String::new()),
            listen: file.listen.or(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0)),
            priority,
            classify,
            highest,
            budget: file.budget.value(),
            budgets: self.budgets(file, classify, way_out),
            framing: file.framing.or(Framing::Raw),
            kernel: self.kernel(file, report),
            egress,
            order: file.order.or(Order::Flow),
            empty: file.empty.or(Empty::Drop),
        }
    }

    /// An ingress's budget stands in the place of its one class's; where classes differ, none has more than it.
    fn budgets(
        &self,
        file: &IngressFile,
        classify: Classify,
        egress: Option<&Egress>,
    ) -> PerPriority<Nanos> {
        let own = file.budget.value();
        let limit = egress.and_then(|e| e.budget).unwrap_or(Nanos::MAX);
        PerPriority::from_fn(|p| {
            let class = self.classes[p].budget;
            let mine = match (own, classify) {
                (None, _) => class,
                (Some(own), Classify::Fixed) => own,
                (Some(own), _) => own.min(class),
            };
            mine.min(limit)
        })
    }

    fn kernel(&self, file: &IngressFile, report: &mut Report) -> KernelId {
        let name = file.kernel.or(KERNEL_DEFAULT.to_owned());
        if let Some(id) = self.kernels.find(&name) {
            return id;
        }
        if let Some(place) = file.kernel.place() {
            let configured = self.file.kernels.iter().map(|k| k.name.as_str());
            let built_in = BUILT_IN.iter().map(|(n, _)| *n);
            let mut known: Vec<&str> = configured.chain(built_in).collect();
            known.sort_unstable();
            known.dedup();
            if KernelSpec::KINDS.contains(&name.as_str()) {
                let message = format!("{name} is a kind with parameters, and no kernel by itself");
                report.fault(place, message).allowed(format!(
                    "a [kernel.NAME] with kind = \"{name}\", and kernel = \"NAME\" here"
                ));
            } else {
                unknown("kernel", &name, place, &known, report);
            }
        }
        KernelId(0)
    }

    fn egress(&self, file: &IngressFile, report: &mut Report) -> EgressId {
        let files = egress_files(self.file);
        match file.egress.given() {
            None if file.egress.is_bad() || self.file.egress.is_bad() => EgressId(0),
            None if files.len() <= 1 => EgressId(0),
            None => {
                let names: Vec<&str> = self.egress.iter().map(|e| e.name.as_str()).collect();
                report
                    .fault(&file.place, "`egress` is missing in [[ingress]]: there are several")
                    .allowed(names.join(", "));
                EgressId(0)
            }
            Some((name, place)) => {
                let at = self.egress.iter().position(|e| e.name == *name);
                let id = at.and_then(|i| u16::try_from(i).ok()).map(EgressId);
                // An egress whose own name is faulty may be the one that is meant.
                let doubtful =
                    self.file.egress.is_bad() || files.iter().any(|e| e.name.given().is_none());
                if id.is_none() && !doubtful {
                    let known: Vec<&str> = files
                        .iter()
                        .filter_map(|e| e.name.given().map(|(name, _)| name.as_str()))
                        .collect();
                    unknown("egress", name, place, &known, report);
                }
                id.unwrap_or_default()
            }
        }
    }
}

fn classify(file: &IngressFile, report: &mut Report) -> Classify {
    let by = file.classify.value();
    if by != Some(ClassifyBy::Dscp) && !file.classify.is_bad() {
        not_here(&file.sockets, "sockets", "classify = \"dscp\"", report);
    }
    if let Some((ClassifyBy::Header, place)) = file.classify.given()
        && !file.framing.is_bad()
        && file.framing.or(Framing::Raw) != Framing::Framed
    {
        report
            .fault(place, "classify = \"header\" needs framing = \"framed\"")
            .allowed("a framed ingress, or another classify");
    }
    match by {
        None => Classify::Fixed,
        Some(ClassifyBy::Dscp) => Classify::Dscp(file.sockets.or(Sockets::Class)),
        Some(ClassifyBy::Header) => Classify::Header,
        Some(ClassifyBy::Workload) => Classify::Workload,
    }
}

fn warn_of_highest(file: &IngressFile, classify: Classify, report: &mut Report) {
    let Some((highest, place)) = file.highest.given() else { return };
    if classify == Classify::Fixed && !file.classify.is_bad() {
        report.warn(place, "`highest` has no effect without `classify`: peers ask for nothing");
    } else if !file.priority.is_bad() && file.priority.or(Priority::Medium) < *highest {
        report.warn(place, "packets that ask for nothing get a more urgent class than `highest`");
    }
}

/// A way out that leads back in would pass every datagram round for ever.
fn refuse_loop(file: &IngressFile, egress: Option<&Egress>, report: &mut Report) {
    let (Some((listen, _)), Some(egress)) = (file.listen.given(), egress) else { return };
    let (Mode::Send { to } | Mode::Forward { to, .. }) = egress.mode else { return };
    let same_host =
        listen.ip() == to.ip() || (listen.ip().is_unspecified() && to.ip().is_loopback());
    if listen.port() != 0 && listen.port() == to.port() && same_host {
        let place = file.egress.place().unwrap_or(&file.place);
        let message = format!("egress {} sends to this very ingress, {listen}", egress.name);
        report.fault(place, message).allowed("another address to send to");
    }
}

fn distinct_addresses(files: &[IngressFile], report: &mut Report) {
    let mut seen: Vec<(SocketAddr, String)> = Vec::new();
    for file in files {
        let Some((address, place)) = file.listen.given() else { continue };
        if address.port() == 0 {
            continue;
        }
        if let Some((_, name)) = seen.iter().find(|(a, _)| a == address) {
            report
                .fault(place, format!("ingress {name} already listens on {address}"))
                .allowed("an address of its own");
        }
        seen.push((*address, file.name.or("before".to_owned())));
    }
}

fn warn_of_unused(file: &File, ingress: &[Ingress], report: &mut Report) {
    let some_in_doubt =
        file.ingress.given().is_none_or(|(all, _)| all.iter().any(|i| i.egress.is_bad()));
    if some_in_doubt {
        return;
    }
    for (i, egress) in egress_files(file).iter().enumerate() {
        let used = ingress.iter().any(|ingress| ingress.egress.index() == i);
        if let (false, Some((_, place))) = (used, egress.name.given()) {
            report.warn(place, "no ingress uses this egress");
        }
    }
}
