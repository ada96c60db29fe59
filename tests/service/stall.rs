//! A worker that does not turn: seen and said, without harm to the other.

use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use crate::rig::{Service, receive, until, v4, work};

const CONFIG: &str = r#"
[workers]
cores = [0, 1]
[controller]
chunk = "off"                   # as a kernel that cannot pause
[[ingress]]
name = "raw"
listen = "127.0.0.1:0"
priority = "medium"
budget = "20s"
kernel = "work"
[[egress]]
name = "back"
late = "send"
[kernel.work]
kind = "spin"
distribution = { kind = "payload", max = "4s" }
"#;

/// How long the worker hangs. It is reported after 100 ms of silence, and the watchdog looks every 20 ms.
const HANG: Duration = Duration::from_secs(2);
/// The work was calibrated, and the clock of a shared machine may rise by two thirds after that.
const HANG_LEAST: u64 = 1_000;
const REPORTED_WITHIN: u64 = 350;

pub(crate) fn a_stalled_worker_is_seen_and_the_other_goes_on(io: &str) {
    let service = Service::start(io, CONFIG);
    let to = service.at("raw");
    let victim = on_worker(&service, to, 0);
    let other = on_worker(&service, to, 1);
    let mut soonest = u64::MAX;
    // Any one report may be delayed by whoever shares the machine.
    for _ in 0..4 {
        soonest = soonest.min(one_stall(&service, to, &victim, &other));
        if soonest <= REPORTED_WITHIN {
            return;
        }
    }
    panic!("reported after {soonest} ms at best");
}

/// How long the worker had stood still when that was reported, in milliseconds.
fn one_stall(service: &Service, to: SocketAddr, victim: &UdpSocket, other: &UdpSocket) -> u64 {
    let of_worker = |message: &str, worker: u64| -> Vec<u64> {
        let lines = service.program.log_lines(message);
        let of = lines.iter().map(|l| &l["fields"]).filter(|f| f["worker"] == worker);
        of.map(|f| f["for_ms"].as_u64().or_else(|| f["after_ms"].as_u64()).unwrap()).collect()
    };
    let (stalls, ends) =
        (of_worker("worker stalled", 0).len(), of_worker("worker turns again", 0).len());
    let began = Instant::now();
    victim.send_to(&work(HANG, 4), to).unwrap();
    // The other worker answers, and the pages are served, while the first hangs.
    let mut answered = 0;
    let stood_still = until("a report", || {
        other.send_to(&work(Duration::ZERO, 4), to).unwrap();
        receive(other);
        answered += 1;
        of_worker("worker stalled", 0).get(stalls).copied()
    });
    service.stats();
    assert_eq!(service.get("/readyz").status, 200);
    assert_eq!(service.get("/healthz").status, 200);
    let still_hangs = of_worker("worker turns again", 0).len() == ends;
    assert!(answered > 0 && (still_hangs || began.elapsed() > HANG / 2));
    assert_eq!(receive(victim).0, work(HANG, 4));
    let stood = until("it turns again", || of_worker("worker turns again", 0).get(ends).copied());
    assert!(stood >= HANG_LEAST, "stood still for {stood} ms");
    let stats = service.settled();
    assert_eq!(stats.total("received"), stats.total("replied"), "{}", stats.0);
    assert_eq!(service.get("/readyz").status, 200);
    stood_still
}

/// A client whose flow that worker serves.
fn on_worker(service: &Service, to: SocketAddr, worker: usize) -> UdpSocket {
    until("a flow of that worker", || {
        let socket = v4();
        let arrivals = || service.settled().worker(worker, "medium", "arrivals");
        let before = arrivals();
        socket.send_to(&work(Duration::ZERO, 4), to).unwrap();
        receive(&socket);
        (arrivals() > before).then_some(socket)
    })
}
