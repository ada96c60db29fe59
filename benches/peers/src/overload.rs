//! The overload contest: what is on time when twice and five times as much is offered as a core can do.
//!
//! High : Medium : Low = 1 : 2 : 7 by datagrams, 20 us of busy work each, budgets 1, 10 and 100 ms. Peers serve in order of
//! arrival, on one port, or on a port for each class and in turn; all see the same load, one after the other, in rounds.

use std::net::SocketAddr;
use std::process::Command;
use std::time::Duration;

use anyhow::Context as _;
use serde_json::Value;

use crate::Bench;
use crate::child::Server;
use crate::client::{Client, Shape};
use crate::echo::window;
use crate::figures::is_void;
use crate::gate::Gate;
use crate::report;
use crate::servers::Kind;

/// What is asked.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct OverloadArgs {
    #[command(flatten)]
    bench: Bench,
    /// Multiples of saturation
    #[arg(long, value_delimiter = ',', default_value = "2,5")]
    loads: Vec<f64>,
    /// Rounds
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Milliseconds that each contestant is loaded in a round, at each load
    #[arg(long, default_value_t = 1_000)]
    millis: u64,
    /// Busy work a datagram, microseconds
    #[arg(long, default_value_t = 20)]
    work_us: u64,
}

/// Name, what it is written on, whether each class has a port.
const PEERS: [(&str, Kind, bool); 11] = [
    ("recvmmsg/sendmmsg", Kind::Mmsg, false),
    ("recvmmsg/sendmmsg, 3 ports", Kind::Mmsg, true),
    ("io_uring", Kind::UringTrains, false),
    ("tokio", Kind::Tokio, false),
    ("tokio, 3 ports", Kind::Tokio, true),
    ("tokio + quinn-udp", Kind::Quinn, false),
    ("tokio + quinn-udp, 3 ports", Kind::Quinn, true),
    ("glommio", Kind::Glommio, false),
    ("glommio, 3 ports", Kind::Glommio, true),
    ("monoio", Kind::Monoio, false),
    ("monoio, 3 ports", Kind::Monoio, true),
];
pub(crate) const CLASSES: [(&str, u32); 3] = [("high", 1), ("medium", 2), ("low", 7)];

/// The work of one window, with which saturation is found.
const PROBE: usize = 256;
const PROBES: usize = 9;
/// A void turn is repeated, but not for ever.
const TRIES: usize = 3;
/// Longer than the backlog that any receive buffer of theirs holds.
const REST: Duration = Duration::from_millis(250);

/// One contestant and what came of it.
pub(crate) struct Contestant {
    pub(crate) name: &'static str,
    server: Server,
    /// Datagrams a second that it can do at most.
    pub(crate) saturation: f64,
    /// By load, by class, by round: the share on time.
    pub(crate) on_time: Vec<[Vec<f64>; 3]>,
    /// By load, by round: High's 99th percentile, ns, of those that were answered.
    pub(crate) high_p99: Vec<Vec<f64>>,
    /// By load, by round: the share of its packets that the generator itself sent late.
    pub(crate) generator_late: Vec<Vec<f64>>,
}

fn config(args: &OverloadArgs) -> String {
    let mut text =
        format!("[workers]\ncores = [{}]\n\n[admin]\nlisten = \"off\"\n", args.bench.core);
    text += &format!("\n[kernel.work]\nkind = \"spin\"\ntime = \"{}us\"\n", args.work_us);
    for (class, _) in CLASSES {
        text += &format!(
            "\n[[ingress]]\nname = \"{class}\"\nlisten = \"127.0.0.1:0\"\npriority = \"{class}\"\nkernel = \"work\"\n"
        );
    }
    text
}

fn start(args: &OverloadArgs) -> anyhow::Result<Vec<Contestant>> {
    let bench = &args.bench;
    let one = |name, server| Contestant {
        name,
        server,
        saturation: 0.0,
        on_time: vec![Default::default(); args.loads.len()],
        high_p99: vec![Vec::new(); args.loads.len()],
        generator_late: vec![Vec::new(); args.loads.len()],
    };
    bench.on_server_core(|| {
        let ours = Server::ours(&bench.punctual, &config(args))?;
        let mut all = vec![one(crate::echo::OURS, ours)];
        for (name, kind, ports) in PEERS {
            let words = [
                ("--core", bench.core.to_string()),
                ("--work-us", args.work_us.to_string()),
                ("--ports", if ports { "3" } else { "1" }.to_owned()),
                // What `serve` asks for, so that the queues in the kernel are as long.
                ("--receive-buffer", (1 << 20).to_string()),
            ];
            let words: Vec<_> = words.into_iter().flat_map(|(k, v)| [k.to_owned(), v]).collect();
            all.push(one(name, Server::peer(kind, &words)?));
        }
        Ok(all)
    })
}

pub(crate) fn run(args: &OverloadArgs) -> anyhow::Result<()> {
    let mut all = start(args)?;
    let gate =
        Gate::shut_on(args.bench.core).context("real-time priority (CAP_SYS_NICE) is needed")?;
    for one in &mut all {
        one.saturation = saturation(&gate, &one.server)?;
    }
    drop(gate);
    // Everybody gets the same load: so many times what the quickest of them can do.
    let quickest = all.iter().map(|c| c.saturation).fold(0.0, f64::max);
    for _ in 0..args.rounds {
        for (l, load) in args.loads.iter().enumerate() {
            for one in &mut all {
                let (report, late) = punctual_offer(args, one, load * quickest)?;
                one.generator_late[l].push(late);
                if is_void(late) {
                    continue;
                }
                for (c, shares) in one.on_time[l].iter_mut().enumerate() {
                    let class = &report["classes"][c];
                    shares.push(class["on_time_share"].as_f64().context("on_time_share")?);
                }
                let p99 = &report["classes"][0]["latency"]["p99_ns"];
                one.high_p99[l].push(p99.as_f64().context("p99_ns")?);
            }
        }
    }
    report::overload(args, quickest, &all)
}

/// Datagrams a second when it always has more to do, by its CPU time.
fn saturation(gate: &Gate, server: &Server) -> anyhow::Result<f64> {
    // The last port is Low's: its budget outlasts a window.
    let to = *server.addresses.last().context("a port")?;
    let shape = Shape { name: "probe", flows: 16, burst: 1 };
    let mut client = Client::new(shape, to)?;
    let mut costs = Vec::new();
    for _ in 0..PROBES {
        let (spent, answered) = window(gate, server, &mut client, PROBE)?;
        costs.push(spent.as_secs_f64() / answered.max(1) as f64);
    }
    costs.sort_by(f64::total_cmp);
    Ok(1.0 / costs[costs.len() / 2])
}

/// One turn, and the generator's own lateness in it. A turn in which the machine held the generator up says nothing of the
/// server: it is repeated.
fn punctual_offer(
    args: &OverloadArgs,
    one: &Contestant,
    rate: f64,
) -> anyhow::Result<(Value, f64)> {
    let mut best: Option<(Value, f64)> = None;
    for _ in 0..TRIES {
        let report = offer(args, one, rate)?;
        let late = report["generator"]["late_share"].as_f64().context("late_share")?;
        if best.as_ref().is_none_or(|(_, least)| late < *least) {
            best = Some((report, late));
        }
        if !is_void(late) {
            break;
        }
    }
    best.context("a turn")
}

/// Offers it a load for one turn; what the generator reports.
fn offer(args: &OverloadArgs, one: &Contestant, rate: f64) -> anyhow::Result<Value> {
    let mut load = Command::new(&args.bench.punctual);
    load.args(["load", "--json", "--raw", "--match", "echo", "--flows", "16"])
        .args(["--rate", &format!("{rate:.0}"), "--duration", &format!("{}ms", args.millis)])
        .args(["--core", &args.bench.load_core.to_string()]);
    for (i, (class, share)) in CLASSES.iter().enumerate() {
        let ports: &[SocketAddr] = &one.server.addresses;
        let to = ports.get(i).unwrap_or(&ports[0]);
        load.args(["--class", &format!("to={to},name={class},priority={class},share={share}")]);
    }
    let output = load.output().context("run the load")?;
    std::thread::sleep(REST);
    serde_json::from_slice(&output.stdout).with_context(|| {
        format!("the load said no JSON: {}", String::from_utf8_lossy(&output.stderr))
    })
}

impl OverloadArgs {
    pub(crate) const fn bench(&self) -> &Bench {
        &self.bench
    }

    pub(crate) fn loads(&self) -> &[f64] {
        &self.loads
    }

    pub(crate) const fn rounds(&self) -> usize {
        self.rounds
    }

    pub(crate) const fn work_us(&self) -> u64 {
        self.work_us
    }
}
