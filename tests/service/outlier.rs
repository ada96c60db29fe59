//! One service time of 8 ms in a class of 1 ms: an accident, after which the class must not stay closed.

use std::net::UdpSocket;
use std::time::Duration;

use crate::rig::{Service, v4, work};

const CONFIG: &str = r#"
[[ingress]]
name = "high"
listen = "127.0.0.1:0"
priority = "high"
budget = "1ms"
kernel = "work"
[kernel.work]
kind = "spin"
distribution = { kind = "payload", max = "100ms" }
"#;

const USUAL: Duration = Duration::from_micros(20);
const OUTLIER: Duration = Duration::from_millis(8);
/// Half a second of traffic.
const ROUND: u64 = 200;
const GAP: Duration = Duration::from_micros(2_500);

/// The share on time, in percent, is compared with a round before the accident: the machine may be busy in both.
pub(crate) fn one_outlier_does_not_close_its_class(io: &str) {
    let service = Service::start(io, CONFIG);
    let socket = v4();
    // The class knows what its packets cost.
    round(&service, &socket);
    let mut tries = Vec::new();
    for _ in 0..6 {
        let control = round(&service, &socket);
        socket.send_to(&work(OUTLIER, 64), service.at("high")).unwrap();
        // The half second in which it may recover.
        let during = round(&service, &socket);
        let after = round(&service, &socket);
        tries.push((control, during, after));
        if control >= 50 && after + 10 >= control {
            return;
        }
    }
    panic!("on time before, just after and half a second after an outlier, in percent: {tries:?}");
}

fn round(service: &Service, socket: &UdpSocket) -> u64 {
    let on_time = || service.settled().get("high", "high", "on_time");
    let before = on_time();
    for _ in 0..ROUND {
        socket.send_to(&work(USUAL, 64), service.at("high")).unwrap();
        std::thread::sleep(GAP);
    }
    (on_time() - before) * 100 / ROUND
}
