//! What tells flows apart, as a number.
//!
//! Knows nothing of the table that it is looked up in (`sched/flow.rs`).

use std::hash::{BuildHasher as _, Hasher as _};
use std::net::SocketAddr;

use foldhash::quality::FixedState;

use crate::base::SocketId;

/// A number for the flow `flow` of `peer` at `socket`, with good low bits.
///
/// Not for tables that outsiders could fill: who knows the numbers can make two flows share an entry, which only costs them
/// the chance to overtake each other. The session table, whose places are few, hashes with a secret instead.
#[must_use]
#[inline]
pub(super) fn flow_key(peer: SocketAddr, socket: SocketId, flow: u32) -> u64 {
    let mut hasher = FixedState::with_seed(0).build_hasher();
    // Whole numbers: the standard form of an address is four writes of odd sizes.
    match peer {
        SocketAddr::V4(peer) => hasher.write_u64(u64::from(peer.ip().to_bits())),
        SocketAddr::V6(peer) => {
            hasher.write_u128(peer.ip().to_bits());
            hasher.write_u64(u64::from(peer.scope_id()));
        }
    }
    let port = u64::from(peer.port());
    hasher.write_u64(u64::from(flow) << 32 | port << 16 | u64::from(socket.0));
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    fn peer(text: &str) -> SocketAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn whatever_differs_makes_another_flow() {
        let keys: HashSet<u64> = [
            ("10.0.0.1:1", 0, 0),
            ("10.0.0.2:1", 0, 0),
            ("10.0.0.1:2", 0, 0),
            ("10.0.0.1:1", 1, 0),
            ("10.0.0.1:1", 0, 1),
            ("[::a00:1]:1", 0, 0),
            ("[a00:1::]:1", 0, 0),
            ("[fe80::1%1]:1", 0, 0),
            ("[fe80::1%2]:1", 0, 0),
        ]
        .into_iter()
        .map(|(p, socket, flow)| flow_key(peer(p), SocketId(socket), flow))
        .collect();
        assert_eq!(keys.len(), 9);
    }

    /// Clients of one network and of one machine, 4,096 of each into 4,096 places: hardly fewer are taken than by chance
    /// (63.2 %), by whichever part they differ.
    #[test]
    fn neighbours_spread_over_the_low_bits() {
        let of = |make: &dyn Fn(u32) -> u64| {
            (0..4_096).map(|i| make(i) & 4_095).collect::<HashSet<u64>>().len()
        };
        let by_ip = of(&|i| {
            flow_key(SocketAddr::from(((0x0a00_0000 + i).to_be_bytes(), 5_000)), SocketId(0), 0)
        });
        let by_port = of(&|i| {
            let port = u16::try_from(i + 1_024).expect("a port");
            flow_key(SocketAddr::from(([127, 0, 0, 1], port)), SocketId(0), 0)
        });
        let by_flow = of(&|i| flow_key(peer("[::1]:53"), SocketId(0), i));
        for taken in [by_ip, by_port, by_flow] {
            assert!((2_450..2_750).contains(&taken), "{by_ip} {by_port} {by_flow}");
        }
    }
}
