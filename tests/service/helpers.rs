//! A helper beside the worker: a burst that one core cannot answer in time is answered by both, in order, and nothing is lost
//! at the end.

use std::net::SocketAddr;
use std::time::Duration;

use crate::rig::{Service, received, skipped, until, v4, work};
use crate::rig::{pause, receive};

const BURST: &str = r#"
[workers]
cores = [0]
[level]
helpers = 1
[controller]
chunk = "off"                   # with looks at the sockets in between one core answers fewer
[[ingress]]
name = "raw"
listen = "127.0.0.1:0"
priority = "medium"
budget = "20ms"
kernel = "work"
[kernel.work]
kind = "spin"
time = "200us"
"#;

const PATIENT: &str = r#"
[workers]
cores = [0]
drain = "60s"
[level]
helpers = 1
[[ingress]]
name = "raw"
listen = "127.0.0.1:0"
priority = "high"
budget = "60s"
kernel = "work"
[kernel.work]
kind = "spin"
distribution = { kind = "payload", max = "1s" }
"#;

/// One core can answer 100 of them within their budget.
const IN_ONE_BURST: u64 = 160;
/// How many rows of one burst a helper has to have answered. How many both answer together says more of who else is on this machine.
const HELPED: u64 = 10;

pub(crate) fn a_burst_is_answered_by_both(io: &str) {
    if std::thread::available_parallelism().map_or(1, usize::from) < 2 {
        return skipped("helpers", "this machine has one core");
    }
    let mut service = Service::start(io, BURST);
    let (socket, to) = (v4(), service.at("raw"));
    let away =
        |s: &Service, field: &str| s.settled().0["workers"][0]["away"][field].as_u64().unwrap();
    // Any one burst may lose its cores to whoever shares the machine.
    until("a burst that both cores have answered", || {
        let before = away(&service, "rows");
        let answered = one_burst(&service, &socket, to);
        let helped = away(&service, "rows") - before;
        (helped >= HELPED && answered as u64 > helped).then_some(())
    });
    let away = |field: &str| away(&service, field);
    assert!(away("batches") > 0);
    assert_eq!(away("lost"), 0);
    let metrics = service.get("/metrics").body;
    let line = r#"punctual_backend_dispatches_total{worker="0",backend="helper"} "#;
    let dispatched = metrics.lines().find_map(|l| l.strip_prefix(line)).unwrap();
    assert!(dispatched.parse::<u64>().unwrap() >= away("batches"), "{dispatched}");
    service.stop();
    what_is_away_at_the_end_is_answered(io);
}

/// Sends one burst as one flow; its answers come in order. How many there were.
fn one_burst(service: &Service, socket: &std::net::UdpSocket, to: SocketAddr) -> usize {
    received(socket);
    for n in 0..IN_ONE_BURST {
        socket.send_to(&n.to_be_bytes(), to).unwrap();
    }
    service.settled();
    let answers = received(socket);
    let numbers: Vec<u64> =
        answers.iter().map(|a| u64::from_be_bytes(a.as_slice().try_into().unwrap())).collect();
    assert!(numbers.is_sorted_by(|a, b| a < b), "{numbers:?}");
    numbers.len()
}

/// The drain waits for what a helper has in hand.
fn what_is_away_at_the_end_is_answered(io: &str) {
    let mut service = Service::start(io, PATIENT);
    let (socket, to) = (v4(), service.at("raw"));
    let each = work(Duration::from_millis(4), 8);
    // It learns what they cost.
    for _ in 0..12 {
        socket.send_to(&each, to).unwrap();
        receive(&socket);
    }
    for _ in 0..100 {
        socket.send_to(&each, to).unwrap();
    }
    let away = |s: &crate::rig::Stats| s.0["workers"][0]["away"]["rows"].as_u64().unwrap();
    service.stats_until("something is away", |s| away(s) > 0 && s.in_flight() > 20);
    let last = service.stop();
    pause();
    assert_eq!((last.total("replied"), last.total("received")), (112, 112), "{}", last.0);
    assert_eq!(received(&socket).len(), 100);
}
