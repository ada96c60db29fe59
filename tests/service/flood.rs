//! Law 1 over a flood at full speed: what was sent is received or counted by the kernel, and what was received is accounted
//! for, at every look.

use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};

use crate::rig::{Ask, Done, Service, pause, until, v4};

const CONFIG: &str = r#"
[workers]
cores = [0, 1]
receive_buffer = "256KiB"
[[ingress]]
name = "high"
listen = "127.0.0.1:0"
priority = "high"
kernel = "work"
[[ingress]]
name = "medium"
listen = "127.0.0.1:0"
priority = "medium"
kernel = "work"
[[ingress]]
name = "low"
listen = "127.0.0.1:0"
priority = "low"
kernel = "work"
[[ingress]]
name = "best"
listen = "127.0.0.1:0"
priority = "best-effort"
kernel = "work"
[[ingress]]
name = "framed"
listen = "127.0.0.1:0"
framing = "framed"
classify = "header"
priority = "low"
kernel = "work"
[kernel.work]
kind = "spin"
time = "20us"
"#;

/// As many as are sent.
const FLOOD: u64 = 210_000;
const RAW: [(&str, &str); 4] =
    [("high", "high"), ("medium", "medium"), ("low", "low"), ("best", "best-effort")];
const CLASSES: [&str; 4] = ["high", "medium", "low", "best-effort"];

pub(crate) fn nothing_is_unaccounted_for(io: &str) {
    let mut service = Service::start(io, CONFIG);
    let names: Vec<&str> = RAW.iter().map(|(name, _)| *name).chain(["framed"]).collect();
    let to: Vec<SocketAddr> = names.iter().map(|n| service.at(n)).collect();
    let lost_before = lost_before_the_socket();
    let done = AtomicBool::new(false);
    let (sent, looks) = std::thread::scope(|s| {
        let flood = s.spawn(|| {
            let _finish = Done(&done);
            flood(&to)
        });
        let mut looks = 0;
        while !done.load(Ordering::Relaxed) {
            // Each look recomputes the law.
            service.stats();
            looks += 1;
            pause();
        }
        (flood.join().unwrap(), looks)
    });
    assert!(looks >= 3, "{looks} looks");
    assert_eq!(sent.iter().sum::<u64>(), FLOOD);
    let seen = |stats: &crate::rig::Stats, name: &str| {
        let classes = CLASSES.iter();
        classes.map(|c| stats.get(name, c, "received") + stats.kernel_dropped(name, c)).sum::<u64>()
    };
    let stats = until("every datagram is counted", || {
        let stats = service.settled();
        let all: u64 = names.iter().map(|n| seen(&stats, n)).sum();
        let lost = lost_before_the_socket() - lost_before;
        assert!(all <= FLOOD, "{all} of {FLOOD}");
        (all + lost >= FLOOD).then_some((stats, all))
    });
    let (stats, all) = stats;
    // Only where the machine lost nothing before any socket can the figures be exact.
    if all == FLOOD {
        for (name, sent) in names.iter().zip(&sent) {
            assert_eq!(seen(&stats, name), *sent, "{name}: {}", stats.0);
        }
    }
    for reason in ["parse_error", "rx_truncated"] {
        assert!(stats.drops(reason) > 0, "{reason}: {}", stats.0);
    }
    assert!(stats.total("replied") > 1_000, "{}", stats.0);
    assert!(stats.total_kernel_dropped() + stats.total("ingress_drops") > FLOOD / 10);
    let last = service.stop();
    assert_eq!(last.moved(), stats.moved());
}

/// How many went where.
fn flood(to: &[SocketAddr]) -> Vec<u64> {
    let sockets: Vec<UdpSocket> = (0..16).map(|_| v4()).collect();
    let mut sent = vec![0; to.len()];
    let good = [7; 64];
    let oversize = [7; 3_000];
    for n in 0..FLOOD {
        let port = usize::try_from(n % 5).unwrap();
        let framed = port == 4;
        let ask = Ask::new(&good).priority((n / 5 % 5).try_into().unwrap());
        let bytes = match n / 5 % 41 {
            0 => Vec::new(),
            1 => oversize.to_vec(),
            2 if framed => good.to_vec(),
            3 if framed => ask.wants_refusal().bytes(),
            _ if framed => ask.bytes(),
            _ => good.to_vec(),
        };
        let socket = &sockets[usize::try_from(n % 16).unwrap()];
        assert_eq!(socket.send_to(&bytes, to[port]).unwrap(), bytes.len());
        sent[port] += 1;
    }
    sent
}

/// Packets that the whole machine has dropped on their way from a sender to a socket: the second column.
fn lost_before_the_socket() -> u64 {
    let text = std::fs::read_to_string("/proc/net/softnet_stat").unwrap();
    let column = |line: &str| u64::from_str_radix(line.split(' ').nth(1)?, 16).ok();
    text.lines().filter_map(column).sum()
}
