//! What is turned away at the door: not a request, or come too late.

use std::time::Duration;

use super::{Seen, provoke};
use crate::rig::{Ask, Service, v4, work};

const CONFIG: &str = r#"
[[ingress]]
name = "raw"
listen = "127.0.0.1:0"
priority = "medium"
budget = "20s"
[[ingress]]
name = "framed"
listen = "127.0.0.1:0"
framing = "framed"
priority = "medium"
budget = "20s"
[[ingress]]
name = "tight"
listen = "127.0.0.1:0"
priority = "low"
budget = "1us"
"#;

const OVERFLOW: &str = r#"
[workers]
cores = [0]
receive_buffer = "4KiB"
[[ingress]]
name = "raw"
listen = "127.0.0.1:0"
priority = "low"
budget = "20s"
kernel = "work"
[kernel.work]
kind = "spin"
distribution = { kind = "payload", max = "1s" }
"#;

pub(super) fn provoke_all(io: &str, seen: &mut Seen) {
    let service = Service::start(io, CONFIG);
    let socket = v4();
    let send = |name: &str, bytes: &[u8]| {
        socket.send_to(bytes, service.at(name)).unwrap();
    };
    provoke(seen, &service, ("raw", "medium", "parse_error"), || send("raw", b""));
    provoke(seen, &service, ("framed", "medium", "parse_error"), || send("framed", b"GET /"));
    for len in [2_049, 9_000, 65_507] {
        provoke(seen, &service, ("raw", "medium", "rx_truncated"), || send("raw", &vec![1; len]));
    }
    provoke(seen, &service, ("framed", "medium", "unclassified"), || {
        send("framed", &Ask { kernel: 9, ..Ask::new(b"1234") }.bytes());
    });
    provoke(seen, &service, ("tight", "low", "expired_on_arrival"), || send("tight", b"1234"));
    assert_eq!(service.settled().total("replied"), 0);
    overflow(io, seen);
}

/// A receive buffer of a few datagrams in front of a worker that is busy.
fn overflow(io: &str, seen: &mut Seen) {
    let service = Service::start(io, OVERFLOW);
    let (socket, to) = (v4(), service.at("raw"));
    provoke(seen, &service, ("raw", "low", "rx_kernel_overflow"), || {
        socket.send_to(&work(Duration::from_millis(200), 4), to).unwrap();
        for _ in 0..200 {
            socket.send_to(&work(Duration::ZERO, 500), to).unwrap();
        }
    });
}
