//! SIGHUP: what can change while packets flow does, what cannot is named, and what is wrong changes nothing.

use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::process::Signal;
use serde_json::Value;

use crate::rig::{Done, Service, pause, receive, until, v4};

const CONFIG: &str = r#"
[workers]
cores = [0, 1]
[priority.low]
budget = "10s"
[controller]
safety = 0.9
[[ingress]]
name = "raw"
listen = "127.0.0.1:0"
priority = "low"
kernel = "work"
[[egress]]
name = "back"
late = "send"
[kernel.work]
kind = "spin"
time = "200us"
"#;

pub(crate) fn what_is_live_is_taken_up(io: &str) {
    let mut service = Service::start(io, CONFIG);
    let done = AtomicBool::new(false);
    let (asked, answered) = std::thread::scope(|s| {
        let traffic = s.spawn(|| traffic(&service, &done));
        let finish = Done(&done);
        let good = fs::read_to_string(service.program.config_file()).unwrap();
        a_bad_file_changes_nothing(&service, &good);
        a_limit_is_taken_up(&service, &good);
        an_address_waits(&service, &good);
        drop(finish);
        traffic.join().unwrap()
    });
    assert!(asked > 20, "{asked}");
    assert_eq!(asked, answered, "no packet was lost");
    let last = service.stop();
    assert_eq!((last.total("received"), last.total("replied")), (asked, asked), "{}", last.0);
}

/// One question after the other, each answered, until told to stop.
fn traffic(service: &Service, done: &AtomicBool) -> (u64, u64) {
    let (mut asked, mut answered) = (0, 0);
    let sockets = [v4(), v4(), v4(), v4()];
    while !done.load(Ordering::Relaxed) {
        for socket in &sockets {
            socket.send_to(b"still there?", service.at("raw")).unwrap();
            asked += 1;
        }
        for socket in &sockets {
            answered += u64::from(receive(socket).0 == b"still there?");
        }
        pause();
    }
    (asked, answered)
}

fn reload(service: &Service, config: &str, says: &str) -> Value {
    let before = service.program.log_lines(says).len();
    fs::write(service.program.config_file(), config).unwrap();
    service.program.signal(Signal::HUP);
    until(says, || service.program.log_lines(says).get(before).cloned())
}

/// The sum over all workers.
fn quota(service: &Service) -> u64 {
    service.json("/plan")["quota"]["low"].as_u64().unwrap()
}

fn a_bad_file_changes_nothing(service: &Service, good: &str) {
    let bad = good.replace("safety = 0.9", "safety = 1.9");
    fs::write(service.program.config_file(), bad).unwrap();
    service.program.signal(Signal::HUP);
    until("the refusal", || service.program.log().contains("reload refused").then_some(()));
    let log = service.program.log();
    assert!(log.contains("the running config stays"), "{log}");
    assert!(log.contains("test.toml:8:10: `safety` is out of range"), "{log}");
    assert_eq!(service.json("/config")["controller"]["safety"], 0.9);
}

fn a_limit_is_taken_up(service: &Service, good: &str) {
    let before = quota(service);
    assert!(before > 100, "{before}");
    reload(service, &good.replace("safety = 0.9", "safety = 0.0001"), "reloaded");
    // A ten-thousandth rounds to a thousandth: 10 ms of work at 200 us each, on each of two workers.
    until("smaller quotas", || (quota(service) <= 110).then_some(()));
    let config = service.json("/config");
    assert_eq!(config["controller"]["safety"], 0.0001, "what is in force is shown: {config}");
    reload(service, good, "reloaded");
    until("the old quotas", || (quota(service) > 110).then_some(()));
    assert_eq!(service.json("/config")["controller"]["safety"], 0.9);
}

/// Said by name; what is in force stays, also where the controller could have taken it up but the workers could not.
fn an_address_waits(service: &Service, good: &str) {
    let before = service.json("/config");
    let other = good
        .replace("127.0.0.1:0\"\npriority", "127.0.0.1:1\"\npriority")
        .replace("budget = \"10s\"", "budget = \"1ms\"");
    assert_ne!(good, other);
    let line = reload(service, &other, "reloaded; these keys wait for a restart");
    let keys = line["fields"]["keys"].as_str().unwrap();
    assert!(keys.contains("ingress[0].listen") && keys.contains("priority.low.budget"), "{keys}");
    assert!(!keys.contains("controller"), "{keys}");
    let generation = |s: &Service| s.json("/plan")["at_ns"].as_u64().unwrap();
    let now = generation(service);
    until("two more plans", || (generation(service) > now + 300_000_000).then_some(()));
    assert!(quota(service) > 110, "quotas follow the budget that the workers hold packets to");
    assert_eq!(service.json("/config"), before);
}
