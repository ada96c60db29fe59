//! Whom we never answer: ourselves, nobody, and whoever might answer back for ever.
//!
//! A service that answers datagrams can be made to answer itself, or another service like it, by one forged packet
//! (CVE-2024-2169). Raw datagrams carry no mark that tells a request from an answer, so addresses and ports decide.

use std::net::{IpAddr, SocketAddr};

use super::options::Own;

/// Ports below this belong to services, which might answer back.
const LOW_PORTS: u16 = 1_024;

/// The addresses and ports to beware of, ready for one look a datagram.
#[derive(Debug)]
pub struct Beware {
    ports: Box<[u64; 1_024]>,
    addresses: Box<[IpAddr]>,
}

impl Beware {
    /// From what we listen on.
    #[must_use]
    pub fn new(own: &Own) -> Self {
        let mut ports = Box::new([0; 1_024]);
        for listening in &own.listening {
            let port = usize::from(listening.port());
            ports[port / 64] |= 1 << (port % 64);
        }
        let mut addresses = own.addresses.clone();
        addresses.sort_unstable();
        addresses.dedup();
        Self { ports, addresses: addresses.into_boxed_slice() }
    }

    /// Whether nobody sane sends from there: port 0, or an address that is not one host's.
    #[must_use]
    #[inline]
    pub fn nobody(peer: &SocketAddr) -> bool {
        peer.port() == 0
            || match peer.ip() {
                IpAddr::V4(ip) => ip.is_broadcast() || ip.is_multicast() || ip.is_unspecified(),
                IpAddr::V6(ip) => ip.is_multicast() || ip.is_unspecified(),
            }
    }

    /// Whether there is anything about that sender that asks for a closer look ([`Beware::bans`]): nearly none has it.
    #[must_use]
    #[inline]
    pub fn is_odd(&self, peer: &SocketAddr) -> bool {
        let odd_address = match peer {
            // From 224.0.0.0 on: multicast, reserved, broadcast.
            SocketAddr::V4(peer) => matches!(peer.ip().octets()[0], 0 | 224..),
            SocketAddr::V6(peer) => peer.ip().is_multicast() || peer.ip().is_unspecified(),
        };
        odd_address || peer.port() < LOW_PORTS || self.our_port(peer)
    }

    /// Whether answering that sender could make a loop, or would reach nobody. `raw`: requests do not tell themselves from
    /// answers, so whoever sends from a port of ours may be a service like us.
    #[must_use]
    pub fn bans(&self, peer: &SocketAddr, replies: bool, low_ports: bool, raw: bool) -> bool {
        Self::nobody(peer)
            || self.ourselves(peer)
            || replies && (peer.port() < LOW_PORTS && !low_ports || raw && self.our_port(peer))
    }

    /// Whether one of our ingresses has that port number.
    #[must_use]
    #[inline]
    pub fn our_port(&self, peer: &SocketAddr) -> bool {
        let port = usize::from(peer.port());
        self.ports[port / 64] >> (port % 64) & 1 == 1
    }

    /// Whether that is one of our own ingresses.
    #[must_use]
    #[inline]
    pub fn ourselves(&self, peer: &SocketAddr) -> bool {
        self.our_port(peer) && {
            let ip = peer.ip().to_canonical();
            ip.is_loopback() || self.addresses.binary_search(&ip).is_ok()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_itself_and_nobody() {
        let own = Own {
            addresses: vec!["192.0.2.7".parse().unwrap()],
            listening: vec!["0.0.0.0:8080".parse().unwrap()],
        };
        let b = Beware::new(&own);
        for (peer, ours) in [
            ("192.0.2.7:8080", true),
            ("127.0.0.9:8080", true),
            ("[::1]:8080", true),
            ("[::ffff:192.0.2.7]:8080", true),
            ("192.0.2.7:8081", false),
            ("192.0.2.8:8080", false),
        ] {
            assert_eq!(b.ourselves(&peer.parse().unwrap()), ours, "{peer}");
        }
        assert!(b.our_port(&"192.0.2.8:8080".parse().unwrap()));
        for peer in ["192.0.2.8:0", "255.255.255.255:9", "224.0.0.1:9", "0.0.0.0:9", "[ff02::1]:9"]
        {
            assert!(Beware::nobody(&peer.parse().unwrap()), "{peer}");
        }
        assert!(!Beware::nobody(&"192.0.2.8:9".parse().unwrap()));
    }
}
