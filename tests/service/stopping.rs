//! The end: in order under load, at once when asked twice.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::rig::{Done, Service, until, v4, work};

const CONFIG: &str = r#"
[workers]
cores = [0, 1]
drain = "1s"
[[ingress]]
name = "high"
listen = "127.0.0.1:0"
priority = "high"
kernel = "work"
[[ingress]]
name = "low"
listen = "127.0.0.1:0"
priority = "low"
kernel = "work"
[kernel.work]
kind = "spin"
time = "20us"
"#;

const PATIENT: &str = r#"
[workers]
cores = [0]
drain = "60s"
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

pub(crate) fn a_stop_under_load_is_clean(io: &str) {
    for signal in [Signal::TERM, Signal::INT] {
        under_load(io, signal);
    }
    what_is_queued_is_run(io);
    twice_ends_at_once(io);
}

fn under_load(io: &str, signal: Signal) {
    let mut service = Service::start(io, CONFIG);
    let to = [service.at("high"), service.at("low")];
    let done = AtomicBool::new(false);
    let (status, took) = std::thread::scope(|s| {
        s.spawn(|| flood(&to, &done));
        let _finish = Done(&done);
        service.stats_until("load", |s| s.total("replied") > 500 && s.total("ingress_drops") > 500);
        service.program.signal(signal);
        service.program.wait()
    });
    assert_eq!(status.code(), Some(0), "{}", service.program.log());
    // Its drain time and a second, and patience with a machine that is busy with other things.
    assert!(took < Duration::from_secs(5), "{took:?}");
    let last = service.last_figures();
    assert!(last.total("received") > 1_000 && last.workers() == 2, "{}", last.0);
}

fn flood(to: &[SocketAddr], done: &AtomicBool) {
    let sockets = [v4(), v4(), v4(), v4()];
    while !done.load(Ordering::Relaxed) {
        for (n, socket) in sockets.iter().enumerate() {
            // When the service has gone, the kernel says so.
            let _ = socket.send_to(&[1; 64], to[n % to.len()]);
        }
    }
}

/// Half a second of work is queued when the signal comes: all of it is done, and answered.
fn what_is_queued_is_run(io: &str) {
    let mut service = Service::start(io, PATIENT);
    let (socket, to) = (v4(), service.at("raw"));
    for _ in 0..10 {
        socket.send_to(&work(Duration::from_millis(50), 4), to).unwrap();
    }
    service.stats_until("a queue", |s| s.in_flight() >= 3 && s.total("received") == 10);
    let last = service.stop();
    assert_eq!((last.total("replied"), last.total("received")), (10, 10), "{}", last.0);
    assert_eq!(crate::rig::received(&socket).len(), 10);
}

fn twice_ends_at_once(io: &str) {
    let mut service = Service::start(io, PATIENT);
    let (socket, to) = (v4(), service.at("raw"));
    for _ in 0..60 {
        socket.send_to(&work(Duration::from_millis(200), 4), to).unwrap();
    }
    service.stats_until("a queue", |s| s.in_flight() >= 5);
    let began = Instant::now();
    service.program.signal(Signal::TERM);
    until("it drains", || {
        let said = service.program.log_lines("stopping: intake closed, running what is queued");
        (!said.is_empty()).then_some(())
    });
    assert!(!service.program.has_ended());
    service.program.signal(Signal::TERM);
    let (status, _) = service.program.wait();
    assert_eq!(status.code(), Some(0), "{}", service.program.log());
    // The packet under way is finished; twelve seconds of others are not.
    assert!(began.elapsed() < Duration::from_secs(4), "{:?}", began.elapsed());
    assert!(service.last_figures().drops("shutdown") > 0);
}
