//! The framed header to the byte, who is answered, and what a peer may ask for.

use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

use serde_json::json;

use crate::rig::framing::{ANSWER, PING, PONG, REFUSAL};
use crate::rig::{Ask, Service, ask, receive, v4};

const CONFIG: &str = r#"
[priority.high]
budget = "10s"
[priority.medium]
budget = "20s"
[priority.low]
budget = "30s"
[[ingress]]
name = "framed"
listen = "127.0.0.1:0"
framing = "framed"
classify = "header"
priority = "low"
highest = "medium"
kernel = "crc32c"
[[ingress]]
name = "tight"
listen = "127.0.0.1:0"
framing = "framed"
priority = "high"
budget = "1us"
[[egress]]
name = "back"
amplification = 1.0
[kernel.work]
kind = "spin"
time = "0us"
"#;

const UNCLASSIFIED: u8 = 4;
const EXPIRED_ON_ARRIVAL: u8 = 5;
const PREDICTED_MISS: u8 = 8;

pub(crate) fn bytes_are_exact(io: &str) {
    let service = Service::start(io, CONFIG);
    let at = service.at("framed");
    let socket = v4();
    golden(&socket, at);
    kernels_are_told_apart(&service);
    nothing_but_requests_is_answered(&service, &socket, at);
    refusals(&service, &socket, at);
    clamps(&service, at);
}

/// Request and answer, ping and pong, byte by byte.
fn golden(socket: &UdpSocket, at: SocketAddr) {
    let request = [
        b'P', b'N', b'C', b'T', 1, 0, 1, 2, 0, 0, 0, 0, 0xaa, 0xbb, 0xcc, 0xdd, 1, 2, 3, 4, 5, 6,
        7, 8, 0, 0x0f, 0x42, 0x40, 0xde, 0xad, 0xbe, 0xef, b'1', b'2', b'3', b'4', b'5', b'6',
        b'7', b'8', b'9',
    ];
    let answer = [
        b'P', b'N', b'C', b'T', 1, 1, 0, 0, 0, 0, 0, 0, 0xaa, 0xbb, 0xcc, 0xdd, 1, 2, 3, 4, 5, 6,
        7, 8, 0, 0x0f, 0x42, 0x40, 0xde, 0xad, 0xbe, 0xef, 0xe3, 0x06, 0x92, 0x83,
    ];
    assert_eq!(ask(socket, at, &request), (answer.to_vec(), at));
    let ping = Ask { kind: PING, flags: 1, request: 7, stamp: 9, ..Ask::new(b"there?") };
    let pong = Ask { kind: PONG, flags: 0, status: 0, ..ping.clone() };
    assert_eq!(ask(socket, at, &ping.bytes()), (pong.bytes(), at));
    // The first kernel of the file, by its number.
    let other = Ask { kernel: 1, ..Ask::new(b"unchanged") };
    let back = Ask { kind: ANSWER, status: 0, ..other.clone() };
    assert_eq!(ask(socket, at, &other.bytes()), (back.bytes(), at));
}

/// Two requests were run, each by another kernel; the sums of all are the sums of each.
fn kernels_are_told_apart(service: &Service) {
    let ran = &service.settled().0["workers"][0]["backends"]["cpu"];
    assert_eq!((&ran["batches"], &ran["rows"]), (&json!(2), &json!(2)), "{ran}");
    let one = json!({"batches": 1, "rows": 1, "rows_mean": 1.0});
    assert_eq!(ran["kernels"], json!({"crc32c": one, "work": one}), "{ran}");
}

/// What is sent gets no answer: a ping behind it is answered, and nothing before that. (What is refused is refused when
/// it is read, so an answer to it would come first.)
fn silent(socket: &UdpSocket, at: SocketAddr, bytes: &[u8]) {
    socket.send_to(bytes, at).unwrap();
    let ping = Ask { kind: PING, status: 0, request: 0x50_49_4e_47, ..Ask::new(b"") };
    let pong = Ask { kind: PONG, ..ping.clone() };
    socket.send_to(&ping.bytes(), at).unwrap();
    assert_eq!(receive(socket).0, pong.bytes(), "after {bytes:?}");
}

fn nothing_but_requests_is_answered(service: &Service, socket: &UdpSocket, at: SocketAddr) {
    let before = service.stats().dropped("framed", "low", "parse_error");
    let plain = Ask::new(b"123456789").wants_refusal();
    let mut bad: Vec<Vec<u8>> = [ANSWER, REFUSAL, PONG, 5, 255]
        .map(|kind| Ask { kind, ..plain.clone() }.bytes())
        .into_iter()
        .collect();
    let with = |at: usize, byte: u8| {
        let mut bytes = plain.bytes();
        bytes[at] = byte;
        bytes
    };
    bad.extend([with(0, b'p'), with(4, 2), with(11, 1), with(7, 4), with(7, 254)]);
    bad.extend([vec![], plain.bytes()[..31].to_vec()]);
    for bytes in &bad {
        // Only a request whose priority does not exist is still a request, and may be refused.
        if bytes.len() >= 32 && bytes[5] == 0 && matches!(bytes[7], 4 | 254) {
            let refusal = ask(socket, at, bytes).0;
            assert_eq!((refusal.len(), refusal[5], refusal[7]), (32, REFUSAL, 3), "{bytes:?}");
        } else {
            silent(socket, at, bytes);
        }
    }
    let after = service.settled().dropped("framed", "low", "parse_error");
    assert!(after - before >= bad.len() as u64, "{before} then {after} of {}", bad.len());
}

fn refusals(service: &Service, socket: &UdpSocket, at: SocketAddr) {
    let unknown = Ask { kernel: 3, request: 77, stamp: 5, flow: 6, ..Ask::new(b"payload") };
    silent(socket, at, &unknown.bytes());
    let asking = unknown.wants_refusal();
    let refusal = Ask { kind: REFUSAL, flags: 0, status: UNCLASSIFIED, ..asking.clone() };
    let refusal = refusal.bytes()[..32].to_vec();
    assert_eq!(ask(socket, at, &asking.bytes()), (refusal, at));
    let stats = service.settled();
    assert!(stats.dropped("framed", "low", "unclassified") >= 2, "{}", stats.0);

    // No longer than the ingress allows, whatever is asked for; and as short as is asked for.
    let minute = Ask::new(b"1234").wants_refusal().budget(Duration::from_secs(60));
    let microsecond = Ask::new(b"1234").wants_refusal().budget(Duration::from_micros(1));
    for (to, asking) in [(service.at("tight"), minute), (at, microsecond)] {
        let (refusal, _) = ask(socket, to, &asking.bytes());
        assert_eq!((refusal.len(), refusal[5]), (32, REFUSAL));
        assert!([EXPIRED_ON_ARRIVAL, PREDICTED_MISS].contains(&refusal[7]), "{}", refusal[7]);
    }
}

/// Which class a request is counted under.
fn clamps(service: &Service, at: SocketAddr) {
    let second = Duration::from_secs(1);
    for (name, asking, class) in [
        ("high is not allowed", Ask::new(b"1234").priority(0), "medium"),
        ("medium", Ask::new(b"1234").priority(1), "medium"),
        ("low", Ask::new(b"1234").priority(2), "low"),
        ("best effort", Ask::new(b"1234").priority(3), "best-effort"),
        ("by config", Ask::new(b"1234"), "low"),
        ("by its budget, clamped", Ask::new(b"1234").budget(second), "medium"),
        ("by its budget", Ask::new(b"1234").budget(25 * second), "low"),
    ] {
        let replied = |s: &crate::rig::Stats| s.get("framed", class, "replied");
        let before = replied(&service.settled());
        let socket = v4();
        socket.send_to(&asking.bytes(), at).unwrap();
        let (answer, _) = receive(&socket);
        assert_eq!((answer.len(), answer[5], answer[7]), (36, ANSWER, 0), "{name}");
        assert_eq!(replied(&service.settled()), before + 1, "{name}");
    }
}
