//! Asks whether a silent port is a closed one.
//!
//! A driver deals with what a socket reports in passing, so a run at a low rate may never hear of it. The probe is a socket
//! of its own, sends one datagram, and is only used where nothing has been answered.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

use zerocopy::IntoBytes as _;

use super::plan::{Framing, Plan};
use crate::base::Nanos;
use crate::packet::framed::{Header, Kind};

/// A datagram on its way to each target of a plan.
#[derive(Debug)]
pub struct Probe {
    sockets: Vec<(SocketAddr, UdpSocket)>,
}

impl Probe {
    /// Sends one datagram to each address: a framed ping, or for raw plans eight zero bytes.
    ///
    /// # Errors
    /// When a socket cannot be opened.
    pub fn send(plan: &Plan, targets: &[SocketAddr]) -> io::Result<Self> {
        let mut ping = Header::request(0);
        ping.kind = Kind::Ping as u8;
        let bytes: &[u8] = match plan.framing {
            Framing::Framed => ping.as_bytes(),
            Framing::Raw => &[0; 8],
        };
        let mut sockets = Vec::with_capacity(targets.len());
        for to in targets {
            let any: SocketAddr = match to {
                SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
                SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
            };
            let socket = UdpSocket::bind(any)?;
            socket.connect(to)?;
            // What keeps this from leaving is not what the probe is asked about.
            let _ = socket.send(bytes);
            sockets.push((*to, socket));
        }
        Ok(Self { sockets })
    }

    /// The first target that is known by now to be closed. Does not wait.
    #[must_use]
    pub fn closed(&self) -> Option<SocketAddr> {
        self.sockets.iter().find(|(_, s)| was_refused(s.take_error())).map(|(to, _)| *to)
    }

    /// As [`Probe::closed`], but waits for each target's word for up to `patience`.
    #[must_use]
    pub fn wait_closed(&self, patience: Nanos) -> Option<SocketAddr> {
        let refuses = |socket: &UdpSocket| {
            // A patience of zero would be refused and leave the socket waiting for ever.
            socket.set_read_timeout(Some(patience.max(Nanos::from_micros(1)).to_std())).is_ok()
                && socket
                    .recv(&mut [0])
                    .is_err_and(|e| e.kind() == io::ErrorKind::ConnectionRefused)
        };
        self.sockets.iter().find(|(_, s)| refuses(s)).map(|(to, _)| *to)
    }
}

fn was_refused(error: io::Result<Option<io::Error>>) -> bool {
    matches!(error, Ok(Some(e)) if e.kind() == io::ErrorKind::ConnectionRefused)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_closed_port_is_told_from_a_silent_one() {
        let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
        let closed = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let plan = Plan::single("a", closed);
        let both = [silent.local_addr().unwrap(), closed];
        // On loopback the word of a closed port is there when the send returns.
        assert_eq!(Probe::send(&plan, &both).unwrap().closed(), Some(closed));
        let waited = Probe::send(&plan, &both).unwrap().wait_closed(Nanos::from_millis(1));
        assert_eq!(waited, Some(closed));
        let probe = Probe::send(&plan, &both[..1]).unwrap();
        assert_eq!((probe.closed(), probe.wait_closed(Nanos::ZERO)), (None, None));
        let mut bytes = [0; 64];
        assert_eq!(silent.recv(&mut bytes).unwrap(), 32);
        assert_eq!(Header::parse(&bytes).map(|(_, k)| k), Ok(Kind::Ping));
    }
}
