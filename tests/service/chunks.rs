//! Short work beside a long kernel on one core: where the kernel runs in chunks the short is answered meanwhile, and where it runs to
//! its end what is short has expired by then.

use crate::rig::{Service, pause, received, until, v4};
use std::net::UdpSocket;
use std::time::Duration;

/// What is long takes four times as long as what is short may wait; nobody's machine takes a core away for that long.
const CONFIG: &str = r#"
[workers]
cores = [0]
[priority.medium]
value = 1000                    # so much that it is not refused for keeping the short waiting
[controller]
probes = false
[[ingress]]
name = "short"
listen = "127.0.0.1:0"
priority = "high"
budget = "100ms"
kernel = "short"
[[ingress]]
name = "long"
listen = "127.0.0.1:0"
priority = "medium"
budget = "20s"
kernel = "long"
[kernel.short]
kind = "spin"
time = "100us"
[kernel.long]
kind = "spin"
time = "400ms"
"#;

const SHORTS: usize = 10;
/// All are sent within half of the time that the long one takes, and none early enough to see its end in time.
const GAP: Duration = Duration::from_millis(15);

/// Counts, of which each has one in ten to spare; any one try may lose its core.
pub(crate) fn what_is_short_is_answered_in_the_middle_of_what_is_long(io: &str) {
    let tries = |chunk: &str, wanted: fn(usize) -> bool| {
        let mut service =
            Service::start(io, &CONFIG.replace("probes =", &format!("{chunk}\nprobes =")));
        let (short, long) = (v4(), v4());
        until("a try in which the worker was not held up", || {
            let answered = beside_a_long_one(&service, &short, &long);
            wanted(answered).then_some(answered)
        });
        let stats = service.settled();
        assert_eq!(stats.get("long", "medium", "on_time"), stats.get("long", "medium", "received"));
        service.stop();
    };
    tries("chunk = \"auto\"", |answered| answered >= SHORTS - 1);
    tries("chunk = \"off\"", |answered| answered <= 1);
}

/// How many of the short ones were answered that came while a long one ran; the long one is answered in any case.
fn beside_a_long_one(service: &Service, short: &UdpSocket, long: &UdpSocket) -> usize {
    received(short);
    long.send_to(&[0; 64], service.at("long")).unwrap();
    std::thread::sleep(2 * GAP);
    for _ in 0..SHORTS {
        short.send_to(&[0; 64], service.at("short")).unwrap();
        std::thread::sleep(GAP);
    }
    until("the long one is answered", || {
        pause();
        (received(long).len() == 1).then_some(())
    });
    service.settled();
    received(short).len()
}
