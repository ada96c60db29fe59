//! What may not be answered, and what the kernel will not send.

use std::io::Write as _;
use std::net::{SocketAddr, UdpSocket};

use socket2::{Domain, Protocol, Socket, Type};

use super::{Seen, provoke};
use crate::rig::{Service, skipped, v4};

const CONFIG: &str = r#"
[[ingress]]
name = "raw"
listen = "127.0.0.1:0"
priority = "low"
budget = "20s"
egress = "back"
[[ingress]]
name = "allowing"
listen = "127.0.0.1:0"
priority = "low"
budget = "20s"
egress = "allowing"
[[ingress]]
name = "nowhere"
listen = "127.0.0.1:0"
priority = "low"
budget = "20s"
egress = "nowhere"
[[egress]]
name = "back"
[[egress]]
name = "allowing"
low_source_ports = "allow"
[[egress]]
name = "nowhere"
mode = "send"
to = "127.0.0.1:NOWHERE"
"#;

pub(super) fn provoke_all(io: &str, seen: &mut Seen) {
    let nowhere = v4().local_addr().unwrap().port();
    let service = Service::start(io, &CONFIG.replace("NOWHERE", &nowhere.to_string()));
    let to = service.at("raw");
    let no_route = ("raw", "low", "egress_no_route");
    // The checksum of two bytes would be four.
    let socket = v4();
    provoke(seen, &service, no_route, || {
        socket.send_to(b"12", to).unwrap();
    });
    // From a port that we listen on ourselves, and from one that another of our ingresses has.
    for port in [to.port(), service.at("nowhere").port()] {
        let ours = UdpSocket::bind(("127.0.0.5", port)).unwrap();
        provoke(seen, &service, no_route, || {
            ours.send_to(b"1234", to).unwrap();
        });
    }
    low_port(seen, &service, to);
    port_zero(seen, &service, to);
    // The first send to a closed port is answered by ICMP, and the next one hears of it.
    provoke(seen, &service, ("nowhere", "low", "egress_error"), || {
        socket.send_to(b"1234", service.at("nowhere")).unwrap();
    });
    assert_eq!(service.settled().get("raw", "low", "replied"), 0);
}

/// Ports below 1024 belong to services: not answered, unless allowed.
fn low_port(seen: &mut Seen, service: &Service, to: SocketAddr) {
    let Some(low) = (600..1_024).rev().find_map(|p| UdpSocket::bind(("127.0.0.1", p)).ok()) else {
        return skipped("drops: a source port below 1024", "needs root or CAP_NET_BIND_SERVICE");
    };
    provoke(seen, service, ("raw", "low", "egress_no_route"), || {
        low.send_to(b"1234", to).unwrap();
    });
    let (answer, from) = crate::rig::ask(&low, service.at("allowing"), b"1234");
    assert_eq!((answer.len(), from), (4, service.at("allowing")));
}

/// Only a raw socket can send from port 0.
fn port_zero(seen: &mut Seen, service: &Service, to: SocketAddr) {
    let raw = match Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::UDP)) {
        Ok(raw) => raw,
        Err(e) => return skipped("drops: source port 0", &format!("needs a raw socket: {e}")),
    };
    let mut datagram = Vec::new();
    // Source port, destination port, length, no checksum.
    for word in [0, to.port(), 12, 0] {
        datagram.write_all(&word.to_be_bytes()).unwrap();
    }
    datagram.extend(b"1234");
    provoke(seen, service, ("raw", "low", "egress_no_route"), || {
        raw.send_to(&datagram, &SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
    });
}
