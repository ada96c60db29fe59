//! Which sockets there are: opened all at once at start, dealt out to the workers, and never closed before the end,
//! because closing one socket of a group loses what it holds and moves flows.

use std::io;
use std::net::SocketAddr;

use super::options::{EgressPlan, EgressTarget, IngressPlan, Options, SocketsPerWorker};
use crate::base::{EgressId, IngressId, PerPriority, Priority, SocketId};
use crate::classify::{Classifier, Classify, Input};
use crate::dataplane::{EgressOptions, Mode, SocketOptions, SocketRole, sessions};
use crate::io::SocketSpec;
use crate::sched::quota;
use crate::sched::{Layout, WorkerPlan};
use crate::sys::socket::{self, Opened, UdpOptions};
use crate::sys::steering::{self, SteeringTable};

/// Receive buffers smaller than what was asked for are reported once.
#[derive(Debug)]
pub(super) struct Shortfall {
    pub(super) asked: usize,
    pub(super) granted: usize,
}

/// One worker's sockets, in the order of its driver's list, and the ways out that refer to them.
#[derive(Debug, Default)]
pub(super) struct WorkerSockets {
    pub(super) specs: Vec<SocketSpec>,
    pub(super) options: Vec<SocketOptions>,
    pub(super) egresses: Vec<EgressOptions>,
}

/// Everything that was opened.
#[derive(Debug)]
pub(super) struct Opening {
    pub(super) workers: Vec<WorkerSockets>,
    /// Where each ingress listens.
    pub(super) addresses: Vec<SocketAddr>,
    pub(super) shortfall: Option<Shortfall>,
}

/// A listening socket before it is dealt out.
struct Listener {
    worker: usize,
    class: Option<Priority>,
    ingress: IngressId,
    opened: Opened,
    wants_local: bool,
}

/// Opens all sockets of a service.
pub(super) fn open_all(options: &Options, plans: &[WorkerPlan]) -> io::Result<Opening> {
    let workers = plans.len();
    let mut listeners = Vec::new();
    let mut addresses = Vec::new();
    for (i, ingress) in options.ingresses.iter().enumerate() {
        let id = IngressId(u16::try_from(i).map_err(io::Error::other)?);
        let group = open_group(options, ingress, id, plans)?;
        addresses.push(group[0].opened.socket.local_addr()?);
        listeners.extend(group);
    }
    let short = listeners
        .iter()
        .map(|l| l.opened.receive_buffer)
        .min()
        .filter(|g| *g < options.receive_buffer);
    let shortfall = short.map(|granted| Shortfall { asked: options.receive_buffer, granted });
    // The most urgent first: drivers serve sockets in their order. Mixed ones may carry High.
    listeners.sort_by_key(|l| l.class.map_or(0, Priority::index));
    let mut all: Vec<WorkerSockets> = (0..workers).map(|_| WorkerSockets::default()).collect();
    for l in listeners {
        let role = SocketRole::Listen { ingress: l.ingress, class: l.class };
        all[l.worker].add(role, l.opened, l.wants_local);
    }
    for (w, sockets) in all.iter_mut().enumerate() {
        open_egresses(options, w, workers, sockets)?;
    }
    Ok(Opening { workers: all, addresses, shortfall })
}

impl WorkerSockets {
    fn add(&mut self, role: SocketRole, opened: Opened, wants_local: bool) -> SocketId {
        let id = SocketId(u16::try_from(self.specs.len()).unwrap_or(u16::MAX));
        self.options.push(SocketOptions { role, gso: opened.gso });
        self.specs.push(SocketSpec {
            socket: opened.socket,
            wants_local,
            gro: opened.gro,
            gso: opened.gso,
        });
        id
    }
}

/// The classes that one worker takes from an ingress, one socket each; `None` is one socket for all.
fn classes(
    layout: Layout,
    worker: usize,
    workers: usize,
    ingress: &IngressPlan,
) -> Vec<Option<Priority>> {
    let serves = |p: &Priority| quota::eligible(layout, worker, workers, *p);
    match ingress.classify.classify {
        Classify::Fixed(p) => Some(p).filter(serves).into_iter().map(Some).collect(),
        Classify::Dscp if ingress.sockets == SocketsPerWorker::Class => {
            Priority::ALL.into_iter().filter(serves).map(Some).collect()
        }
        // What cannot be told apart in the kernel needs a worker that serves everything.
        _ if Priority::ALL.iter().all(serves) => vec![None],
        _ => vec![],
    }
}

fn open_group(
    options: &Options,
    ingress: &IngressPlan,
    id: IngressId,
    plans: &[WorkerPlan],
) -> io::Result<Vec<Listener>> {
    let layout = options.controller.layout;
    let members: Vec<(usize, Option<Priority>)> = (0..plans.len())
        .flat_map(|w| classes(layout, w, plans.len(), ingress).into_iter().map(move |c| (w, c)))
        .collect();
    let wants_local = ingress.listen.ip().is_unspecified();
    let shared = members.len() > 1;
    let udp = UdpOptions {
        reuse_port: shared,
        wants_local,
        timestamps: true,
        tos: matches!(ingress.classify.classify, Classify::Dscp | Classify::Header),
        gro: true,
        receive_buffer: Some(options.receive_buffer),
        send_buffer: None,
    };
    let mut address = ingress.listen;
    if shared {
        // Anybody of the same user may join a group. Whoever holds the port already, alone or as a group, must be
        // noticed before we would share its traffic.
        let probe = socket::open(address, &UdpOptions::default())?;
        address = probe.socket.local_addr()?;
    }
    let mut group = Vec::with_capacity(members.len());
    for (worker, class) in &members {
        let opened = socket::open(address, &udp)?;
        address = opened.socket.local_addr()?;
        group.push(Listener { worker: *worker, class: *class, ingress: id, opened, wants_local });
    }
    if let Some(table) = steering(ingress, &members, layout, plans) {
        let program = table.compile().map_err(io::Error::other)?;
        steering::attach_reuseport_filter(&group[0].opened.socket, &program)?;
    }
    Ok(group)
}

/// Which socket of the group gets what. `None`: the kernel's own hash of addresses and ports spreads flows well enough.
fn steering(
    ingress: &IngressPlan,
    members: &[(usize, Option<Priority>)],
    layout: Layout,
    plans: &[WorkerPlan],
) -> Option<SteeringTable> {
    let by_class = members.iter().any(|(_, class)| *class != members[0].1);
    let weighted = layout != Layout::Symmetric;
    if members.len() < 2 || !(by_class || weighted) {
        return None;
    }
    let mut present: Vec<Priority> = members.iter().filter_map(|(_, class)| *class).collect();
    present.sort_unstable();
    present.dedup();
    let slots =
        members.len().next_power_of_two().clamp(steering::SLOTS_DEFAULT, steering::SLOTS_MAX);
    let row = |class: Priority| -> Vec<u16> {
        let of_class: Vec<usize> =
            (0..members.len()).filter(|m| members[*m].1 == Some(class)).collect();
        // A worker's share of a class is its share of that class's quota.
        let shares: Vec<u32> =
            of_class.iter().map(|m| plans[members[*m].0].quota[class].max(1)).collect();
        let columns = steering::deal_slots(&shares, slots);
        columns.iter().map(|c| u16::try_from(of_class[usize::from(*c)]).unwrap_or(0)).collect()
    };
    Some(SteeringTable {
        class_of_dscp: class_rows(ingress, &present),
        rows: present.iter().map(|p| row(*p)).collect(),
    })
}

/// The row of each code point: what the ingress's own rules make of it.
fn class_rows(ingress: &IngressPlan, present: &[Priority]) -> [u8; 64] {
    let classifier = Classifier::new(&ingress.classify);
    std::array::from_fn(|code_point| {
        let tos = u8::try_from(code_point << 2).unwrap_or_default();
        let class = classifier.classify(&Input { tos, header: None, len: 0 });
        let priority = class.map_or(Priority::BestEffort, |c| c.priority);
        let row = present.iter().position(|p| *p == priority).unwrap_or(present.len() - 1);
        u8::try_from(row).unwrap_or(0)
    })
}

/// The ways out of one of `workers` workers, and their sockets.
fn open_egresses(
    options: &Options,
    w: usize,
    workers: usize,
    sockets: &mut WorkerSockets,
) -> io::Result<()> {
    let egresses = &options.egresses;
    let mut answers = options.ingresses.len();
    let mut opened = Vec::new();
    for e in opening_order(egresses) {
        let id = EgressId(u16::try_from(e).map_err(io::Error::other)?);
        let mode = match egresses[e].target {
            EgressTarget::Reply { amplification_per_mille, low_source_ports } => {
                Mode::Reply { amplification_per_mille, low_source_ports }
            }
            EgressTarget::Send { to } => {
                let opened = socket::open_connected(to, &UdpOptions::default())?;
                Mode::Send { socket: sockets.add(SocketRole::Send, opened, false) }
            }
            EgressTarget::Forward { to, sessions } => {
                let counted = IngressId(u16::try_from(answers).map_err(io::Error::other)?);
                answers += 1;
                let buffer = options.receive_buffer.min(UPSTREAM_BUFFER);
                open_upstream((id, counted), to, share(sessions, w, workers), buffer, sockets)?
            }
        };
        opened.push((e, EgressOptions { mode, late: egresses[e].late }));
    }
    opened.sort_by_key(|(e, _)| *e);
    sockets.egresses = opened.into_iter().map(|(_, options)| options).collect();
    Ok(())
}

/// Upstreams last, else as in the config: what stands behind the last other socket is read by lists, what stands before it is
/// looked at in every turn (`io/driver.rs`), and upstreams are thousands.
fn opening_order(egresses: &[EgressPlan]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..egresses.len()).collect();
    order.sort_by_key(|e| matches!(egresses[*e].target, EgressTarget::Forward { .. }));
    order
}

/// A worker's share of the sessions, at least one.
fn share(all: sessions::Options, w: usize, workers: usize) -> sessions::Options {
    let workers = u32::try_from(workers.max(1)).unwrap_or(u32::MAX);
    let extra = u32::from(u32::try_from(w).unwrap_or(u32::MAX) < all.sessions % workers);
    sessions::Options { sessions: (all.sessions / workers + extra).max(1), ..all }
}

fn open_upstream(
    (egress, answers): (EgressId, IngressId),
    to: SocketAddr,
    sessions: sessions::Options,
    receive_buffer: usize,
    sockets: &mut WorkerSockets,
) -> io::Result<Mode> {
    let udp = UdpOptions {
        timestamps: true,
        gro: true,
        receive_buffer: Some(receive_buffer),
        ..UdpOptions::default()
    };
    let mut first = None;
    for session in 0..sessions.sessions {
        let opened = socket::open_connected(to, &udp)?;
        let id = sockets.add(SocketRole::Upstream { egress, session }, opened, false);
        first.get_or_insert(id);
    }
    let first_socket = first.ok_or_else(|| io::Error::other("an upstream without sessions"))?;
    Ok(Mode::Forward { first_socket, sessions, answers })
}

/// Each upstream socket holds one client's answers: a fraction of an ingress's buffer does.
const UPSTREAM_BUFFER: usize = 256 * 1_024;

/// Priorities that worker `w` serves at all.
pub(super) fn serves(layout: Layout, w: usize, workers: usize) -> PerPriority<bool> {
    PerPriority::from_fn(|p| quota::eligible(layout, w, workers, p))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Nanos;
    use crate::dataplane::Late;

    #[test]
    fn upstreams_are_opened_last_and_the_rest_as_the_config_has_it() {
        let to = SocketAddr::from(([127, 0, 0, 1], 9));
        let sessions = sessions::Options { sessions: 1, idle: Nanos::ZERO, answers: 1 };
        let plan = |target| EgressPlan { name: String::new(), target, late: Late::Send };
        let forward = || plan(EgressTarget::Forward { to, sessions });
        let send = || plan(EgressTarget::Send { to });
        let all = [forward(), send(), forward(), send()];
        assert_eq!(opening_order(&all), [1, 3, 0, 2]);
    }
}
