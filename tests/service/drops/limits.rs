//! What the quotas and the queue have no room for, and what is left when the service stops.

use std::time::Duration;

use rustix::process::Signal;

use super::{Seen, provoke};
use crate::rig::{Service, v4, work};

/// A thousandth of the budget holds one packet at most. What is not told apart in the kernel is always read.
const QUOTA: &str = r#"
[priority.low]
budget = "400ms"
[controller]
safety = 0.001
fill = 0.0
probes = false
[[ingress]]
name = "raw"
listen = "127.0.0.1:0"
classify = "dscp"
sockets = "one"
kernel = "work"
[kernel.work]
kind = "spin"
time = "1ms"
"#;

/// In order of arrival only the queue's own size is a limit.
const FIFO: &str = r#"
[workers]
cores = [0]
receive_buffer = "16MiB"
[controller]
policy = "fifo"
[[ingress]]
name = "raw"
listen = "127.0.0.1:0"
classify = "dscp"
sockets = "one"
kernel = "work"
[kernel.work]
kind = "spin"
time = "200us"
"#;

const NO_DRAIN: &str = r#"
[workers]
cores = [0]
drain = "0us"
[[ingress]]
name = "raw"
listen = "127.0.0.1:0"
priority = "high"
budget = "20s"
kernel = "work"
[kernel.work]
kind = "spin"
distribution = { kind = "payload", max = "1s" }
"#;

pub(super) fn provoke_all(io: &str, seen: &mut Seen) {
    let socket = v4();
    let burst = |service: &Service, count: usize| {
        let to = service.at("raw");
        for _ in 0..count {
            socket.send_to(&[7; 64], to).unwrap();
        }
    };
    let service = Service::start(io, QUOTA);
    provoke(seen, &service, ("raw", "low", "quota_priority"), || burst(&service, 30));
    drop(service);
    let service = Service::start(io, FIFO);
    provoke(seen, &service, ("raw", "low", "quota_total"), || burst(&service, 5_000));
    drop(service);
    shutdown(io, seen);
}

/// Two seconds of work queued, and no time to do it.
fn shutdown(io: &str, seen: &mut Seen) {
    let mut service = Service::start(io, NO_DRAIN);
    let (socket, to) = (v4(), service.at("raw"));
    for _ in 0..20 {
        socket.send_to(&work(Duration::from_millis(100), 4), to).unwrap();
    }
    service.stats_until("a queue", |s| s.in_flight() >= 5);
    service.program.signal(Signal::TERM);
    let (status, took) = service.program.wait();
    assert_eq!(status.code(), Some(0), "{}", service.program.log());
    assert!(took < Duration::from_millis(1_500), "{took:?}");
    assert!(service.last_figures().dropped("raw", "high", "shutdown") > 0);
    seen.insert("shutdown");
}
