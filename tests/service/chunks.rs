//! Short work beside a long kernel on one core: where the kernel runs in chunks the short is answered meanwhile, and where it runs to
//! its end what is short has expired by then.

use crate::rig::{Service, pause, receive, received, until, v4};
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

/// Kernels that do real work, on the longest datagrams. A chunk is as short as it may be, so on any machine they pause.
const REAL: &str = r#"
[workers]
cores = [0]
max_datagram = "65507"
[controller]
chunk = "5us"
probes = false
[[ingress]]
name = "short"
listen = "127.0.0.1:0"
priority = "high"
budget = "20s"
kernel = "short"
[[ingress]]
name = "search"
listen = "127.0.0.1:0"
priority = "low"
budget = "20s"
kernel = "search"
[[ingress]]
name = "filter"
listen = "127.0.0.1:0"
priority = "low"
budget = "20s"
kernel = "filter"
[[ingress]]
name = "parity"
listen = "127.0.0.1:0"
priority = "low"
budget = "20s"
kernel = "parity"
[kernel.short]
kind = "echo"
[kernel.search]
kind = "match"
patterns = PATTERNS
[kernel.filter]
kind = "fir"
taps = TAPS
shift = 0
[kernel.parity]
kind = "rs"
data = 7
parity = 1
task = "encode"
"#;

const LONGEST: usize = 65_506;
const ROUNDS: usize = 12;

/// Answers are what they are without pauses, and what is urgent is answered all the same.
pub(crate) fn real_kernels_pause_and_answer_the_same(io: &str) {
    let patterns: Vec<String> = (0..200).map(|n| format!("\"needle-{n}-{}\"", n * n)).collect();
    let taps = format!("[{}]", vec!["1"; 128].join(", "));
    let config =
        REAL.replace("PATTERNS", &format!("[{}]", patterns.join(", "))).replace("TAPS", &taps);
    let mut service = Service::start(io, &config);
    let sockets = [(); 4].map(|()| v4());
    let [short, search, filter, parity] = &sockets;
    for round in 0..ROUNDS {
        let mut text = vec![b'x'; LONGEST];
        let needle = format!("needle-{round}-{}", round * round);
        text[LONGEST - 300..][..needle.len()].copy_from_slice(needle.as_bytes());
        search.send_to(&text, service.at("search")).unwrap();
        let ones: Vec<u8> = 1_i16.to_le_bytes().repeat(LONGEST / 2);
        filter.send_to(&ones, service.at("filter")).unwrap();
        let shards: Vec<u8> = (0..7).flat_map(|s| vec![1 << s; LONGEST / 7]).collect();
        parity.send_to(&shards, service.at("parity")).unwrap();
        short.send_to(b"urgent", service.at("short")).unwrap();

        assert_eq!(receive(search).0, (round as u32 + 1).to_be_bytes(), "the pattern it holds");
        let filtered = receive(filter).0;
        let sums: Vec<i16> =
            filtered.as_chunks().0.iter().map(|b| i16::from_le_bytes(*b)).collect();
        assert!(sums.iter().copied().eq((1..=LONGEST / 2).map(|n| n.min(128) as i16)));
        let made = receive(parity).0;
        assert_eq!(made.len(), LONGEST / 7);
        assert!(made[0] != 0 && made.iter().all(|b| *b == made[0]), "all columns are alike");
        assert_eq!(receive(short).0, b"urgent");
    }
    let stats = service.settled();
    for name in ["search", "filter", "parity"] {
        assert_eq!(stats.get(name, "low", "replied"), ROUNDS as u64, "{name}");
    }
    assert_eq!(stats.get("short", "high", "replied"), ROUNDS as u64);
    let pauses = stats.0["workers"][0]["pauses"].as_u64().unwrap();
    assert!(pauses >= ROUNDS as u64, "{pauses} pauses in {ROUNDS} rounds");
    service.stop();
}
