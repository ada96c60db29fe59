//! The echo contest: what a datagram costs each server in CPU time, when it has always more to do.
//!
//! A window of datagrams is sent while the server is kept off its core; it then runs until all of them are answered, and the
//! CPU time of its whole process is taken. So the generator is never the bottleneck, and time that others take does not
//! count. Long and short windows alternate, and their difference is what the datagrams between them cost.
//! Contestants take turns every few milliseconds; a round gives one ratio, the median of the rounds is reported.

use std::time::Duration;

use anyhow::Context as _;

use crate::Bench;
use crate::child::Server;
use crate::client::{Client, SHAPES, Shape};
use crate::gate::Gate;
use crate::report::{self, Quartiles};
use crate::servers::Kind;

/// What is asked.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct EchoArgs {
    #[command(flatten)]
    bench: Bench,
    /// Rounds that count; one more warms up
    #[arg(long, default_value_t = 15)]
    rounds: usize,
    /// Windows that a contestant answers in a round
    #[arg(long, default_value_t = 8)]
    windows: usize,
    /// Datagrams of a window
    #[arg(long, default_value_t = 512)]
    window: usize,
    /// Only this shape: singly, bursts, trains
    #[arg(long)]
    shape: Option<String>,
}

/// A short window is so many times shorter.
const SHORTER: usize = 8;

/// Ours, then the peers.
pub(crate) const PEERS: [(&str, Kind); 7] = [
    ("recvmmsg/sendmmsg", Kind::Mmsg),
    ("the same, GRO + GSO", Kind::MmsgTrains),
    ("io_uring, GRO + GSO", Kind::UringTrains),
    ("tokio", Kind::Tokio),
    ("tokio + quinn-udp", Kind::Quinn),
    ("glommio", Kind::Glommio),
    ("monoio", Kind::Monoio),
];
pub(crate) const OURS: &str = "punctual serve";

const CONFIG: &str = r#"
[workers]
cores = [CORE]
receive_buffer = "4MiB"

[[ingress]]
name = "echo"
listen = "127.0.0.1:0"
priority = "low"
budget = "2s"
kernel = "echo"

[admin]
listen = "off"
"#;

/// One contestant's part in one shape.
struct Contestant<'a> {
    server: &'a Server,
    client: Client,
    /// Nanoseconds a datagram, one figure a round.
    costs: Vec<f64>,
    lost: u64,
}

/// CPU time of a round's long and short windows, and the datagrams that were answered in them.
#[derive(Clone, Copy, Debug, Default)]
struct Spent {
    long: (Duration, usize),
    short: (Duration, usize),
}

impl Spent {
    /// What one datagram more costs, ns: waking up and going to sleep, once a window, is in both and goes out.
    fn each(&self) -> f64 {
        let ns = |of: (Duration, usize)| of.0.as_nanos() as f64;
        (ns(self.long) - ns(self.short)) / (self.long.1 as f64 - self.short.1 as f64)
    }
}

impl Contestant<'_> {
    /// A long and a short window.
    fn turn(&mut self, gate: &Gate, size: usize, spent: &mut Spent) -> anyhow::Result<()> {
        for (size, sum) in [(size, &mut spent.long), (size / SHORTER, &mut spent.short)] {
            let (time, answered) = window(gate, self.server, &mut self.client, size)?;
            *sum = (sum.0 + time, sum.1 + answered);
            self.lost += (size - answered) as u64;
        }
        Ok(())
    }
}

/// All of one shape: the costs of each, in the order of [`names`].
pub(crate) struct Contest {
    pub(crate) shape: Shape,
    pub(crate) costs: Vec<Vec<f64>>,
    pub(crate) lost: Vec<u64>,
}

/// The contestants, ours first.
pub(crate) fn names() -> Vec<&'static str> {
    std::iter::once(OURS).chain(PEERS.iter().map(|(name, _)| *name)).collect()
}

pub(crate) fn run(args: &EchoArgs) -> anyhow::Result<()> {
    let bench = &args.bench;
    let servers = bench.on_server_core(|| {
        let core = ["--core".to_owned(), bench.core.to_string()];
        let config = CONFIG.replace("CORE", &bench.core.to_string());
        let mut all = vec![Server::ours(&bench.punctual, &config)?];
        for (_, kind) in PEERS {
            all.push(Server::peer(kind, &core)?);
        }
        Ok(all)
    })?;
    let gate = Gate::shut_on(bench.core).context("real-time priority (CAP_SYS_NICE) is needed")?;
    let mut contests = Vec::new();
    for shape in SHAPES {
        if args.shape.as_deref().is_none_or(|s| s == shape.name) {
            contests.push(contest(args, &gate, shape, &servers)?);
        }
    }
    anyhow::ensure!(!contests.is_empty(), "--shape is singly, bursts or trains");
    report::echo(args, &contests)
}

fn contest(
    args: &EchoArgs,
    gate: &Gate,
    shape: Shape,
    servers: &[Server],
) -> anyhow::Result<Contest> {
    let mut all = servers
        .iter()
        .map(|server| {
            let client = Client::new(shape, *server.addresses.first().context("a port")?)?;
            Ok(Contestant { server, client, costs: Vec::new(), lost: 0 })
        })
        .collect::<anyhow::Result<Vec<_>>>()?;
    let count = all.len();
    for round in 0..=args.rounds {
        let mut spent = vec![Spent::default(); count];
        for turn in 0..args.windows {
            // Whoever is first changes, so that nobody always follows the same neighbour.
            for i in 0..count {
                let place = (i + round + turn) % count;
                all[place].turn(gate, args.window, &mut spent[place])?;
            }
        }
        // The first round warms up and is forgotten.
        for (one, spent) in all.iter_mut().zip(spent).filter(|_| round > 0) {
            one.costs.push(spent.each());
        }
    }
    let (costs, lost) = all.into_iter().map(|c| (c.costs, c.lost)).unzip();
    Ok(Contest { shape, costs, lost })
}

/// One window while the gate is shut, then open, then shut: the server's CPU time, and how many datagrams it answered.
pub(crate) fn window(
    gate: &Gate,
    server: &Server,
    client: &mut Client,
    size: usize,
) -> anyhow::Result<(Duration, usize)> {
    client.drain()?;
    client.send(size)?;
    let before = server.cpu();
    gate.open();
    let answered = client.answers(size)?;
    gate.shut();
    Ok((server.cpu() - before, answered))
}

impl Contest {
    /// Nanoseconds a datagram.
    pub(crate) fn cost(&self, contestant: usize) -> Quartiles {
        Quartiles::of(self.costs[contestant].iter().copied())
    }

    /// How many times as many datagrams a second ours echoes.
    pub(crate) fn ours_over(&self, contestant: usize) -> Quartiles {
        let ours = self.costs[0].iter();
        Quartiles::of(ours.zip(&self.costs[contestant]).map(|(ours, theirs)| theirs / ours))
    }
}

impl EchoArgs {
    pub(crate) const fn bench(&self) -> &Bench {
        &self.bench
    }

    pub(crate) const fn rounds(&self) -> usize {
        self.rounds
    }
}
