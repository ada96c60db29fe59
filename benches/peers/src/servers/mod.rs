//! The same service, written on each of the peers: what comes is worked on and sent back.
//!
//! Knows nothing of who measures it: each is an ordinary program that serves until it is ended. No queue, no deadline, no
//! classes: first come, first served, as an engineer would write it in an afternoon.

mod bare;
mod glommio;
mod mmsg;
mod monoio;
mod quinn;
mod tokio;
mod work;

use std::io::Write as _;
use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

use clap::ValueEnum;
use punctual::sys::affinity::pin_current;
use punctual::sys::socket::{UdpOptions, open};

use work::Work;

/// Room for one datagram where trains are not asked for.
const DATAGRAM: usize = 2_048;

/// On what the service is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Kind {
    /// recvmmsg and sendmmsg, each datagram by itself
    Mmsg,
    /// recvmmsg and sendmmsg, trains in and out (UDP_GRO, UDP_SEGMENT)
    MmsgTrains,
    /// io_uring: multishot receives, provided buffers, trains in and out
    UringTrains,
    /// tokio: recv_from, send_to on a current-thread runtime
    Tokio,
    /// tokio readiness, quinn-udp for the socket (UDP_GRO, UDP_SEGMENT)
    Quinn,
    /// glommio: recv_from, send_to
    Glommio,
    /// monoio over io_uring: recv_from, send_to
    Monoio,
}

/// What one server is told.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct ServeArgs {
    /// On what it is written
    kind: Kind,
    /// Busy work a datagram, microseconds; 0: echo
    #[arg(long, default_value_t = 0)]
    work_us: u64,
    /// How many ports
    #[arg(long, default_value_t = 1)]
    ports: usize,
    /// The core it is pinned to
    #[arg(long, default_value_t = 0)]
    core: usize,
    /// Receive buffer of each socket, bytes
    #[arg(long, default_value_t = 4 << 20)]
    receive_buffer: usize,
}

/// Serves until it is ended. Prints one line `ready ADDRESS...` first.
pub(crate) fn run(args: &ServeArgs) -> anyhow::Result<()> {
    pin_current(args.core)?;
    let trains = matches!(args.kind, Kind::MmsgTrains | Kind::UringTrains | Kind::Quinn);
    let wish = UdpOptions {
        gro: trains,
        receive_buffer: Some(args.receive_buffer),
        ..UdpOptions::default()
    };
    let sockets = (0..args.ports)
        .map(|_| Ok(open(([127, 0, 0, 1], 0).into(), &wish)?.socket))
        .collect::<std::io::Result<Vec<UdpSocket>>>()?;
    let work = Work::new(Duration::from_micros(args.work_us));
    say_ready(&sockets)?;
    match args.kind {
        Kind::Mmsg => mmsg::serve(sockets, work),
        Kind::MmsgTrains => bare::mmsg(only(sockets)?, work),
        Kind::UringTrains => bare::uring(only(sockets)?, work),
        Kind::Tokio => tokio::serve(sockets, work),
        Kind::Quinn => quinn::serve(sockets, work),
        Kind::Glommio => glommio::serve(sockets, work),
        Kind::Monoio => monoio::serve(sockets, work),
    }
}

fn say_ready(sockets: &[UdpSocket]) -> std::io::Result<()> {
    let addresses = sockets.iter().map(UdpSocket::local_addr);
    let addresses = addresses.collect::<std::io::Result<Vec<SocketAddr>>>()?;
    let mut out = std::io::stdout().lock();
    write!(out, "ready")?;
    for (i, address) in addresses.iter().enumerate() {
        write!(out, " port{i}={address}")?;
    }
    writeln!(out)?;
    out.flush()
}

fn only(sockets: Vec<UdpSocket>) -> anyhow::Result<UdpSocket> {
    let [socket] = <[UdpSocket; 1]>::try_from(sockets)
        .map_err(|all| anyhow::anyhow!("{} ports: this loop serves one", all.len()))?;
    Ok(socket)
}
