//! Results that go elsewhere: to an upstream with the way back, or to a fixed address.

use std::net::UdpSocket;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::rig::{Done, Service, pause, receive, received, until, v4};

const FORWARD: &str = r#"
[workers]
cores = CORES
[[ingress]]
name = "in"
listen = "127.0.0.1:0"
priority = "medium"
budget = "20s"
kernel = "echo"
[[egress]]
name = "up"
mode = "forward"
to = "127.0.0.1:UPSTREAM"
sessions = SESSIONS
answers = ANSWERS
late = "send"
"#;

const SEND: &str = r#"
[[ingress]]
name = "in"
listen = "127.0.0.1:0"
priority = "medium"
budget = "20s"
kernel = "crc32c"
[[egress]]
name = "out"
mode = "send"
to = "127.0.0.1:UPSTREAM"
"#;

pub(crate) fn everyone_gets_their_own_answers(io: &str) {
    fifty_clients(io);
    sessions_are_bounded(io);
    answered_sessions_are_free_again(io);
    an_upstream_may_go_and_come_back(io);
    what_is_on_its_way_comes_back(io);
    a_fixed_address(io);
}

fn forward(io: &str, upstream: &UdpSocket, cores: &str, sessions: u32, answers: u32) -> Service {
    let port = upstream.local_addr().unwrap().port();
    let config = FORWARD
        .replace("UPSTREAM", &port.to_string())
        .replace("CORES", cores)
        .replace("SESSIONS", &sessions.to_string())
        .replace("ANSWERS", &answers.to_string());
    Service::start(io, &config)
}

/// Answers every question with itself turned round, until told to stop.
fn serve(upstream: &UdpSocket, done: &AtomicBool) {
    upstream.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
    let mut bytes = [0; 2_048];
    while !done.load(Ordering::Relaxed) {
        if let Ok((len, from)) = upstream.recv_from(&mut bytes) {
            bytes[..len].reverse();
            let _ = upstream.send_to(&bytes[..len], from);
        }
    }
}

fn turned(bytes: &[u8]) -> Vec<u8> {
    bytes.iter().rev().copied().collect()
}

fn fifty_clients(io: &str) {
    let upstream = v4();
    let mut service = forward(io, &upstream, "[0, 1]", 200, 0);
    let done = AtomicBool::new(false);
    std::thread::scope(|s| {
        s.spawn(|| serve(&upstream, &done));
        let _finish = Done(&done);
        let clients: Vec<UdpSocket> = (0..50).map(|_| v4()).collect();
        let question = |c: usize, n: usize| format!("client {c} asks {n}").into_bytes();
        for n in 0..20 {
            for (c, client) in clients.iter().enumerate() {
                client.send_to(&question(c, n), service.at("in")).unwrap();
            }
            for (c, client) in clients.iter().enumerate() {
                assert_eq!(receive(client), (turned(&question(c, n)), service.at("in")));
            }
        }
        assert!(clients.iter().all(|c| received(c).is_empty()), "nobody gets anything else");
    });
    let stats = service.stop();
    for name in ["in", "up.answers"] {
        let figures = ["received", "forwarded"].map(|f| stats.get(name, "medium", f));
        assert_eq!(figures, [1_000, 1_000], "{name}: {}", stats.0);
    }
}

/// Four sessions and no word of how many answers come: a fifth client has to wait for one to be idle.
fn sessions_are_bounded(io: &str) {
    let upstream = v4();
    let service = forward(io, &upstream, "[0]", 4, 0);
    let clients: Vec<UdpSocket> = (0..5).map(|_| v4()).collect();
    for (n, client) in (0..).zip(&clients) {
        client.send_to(&[n], service.at("in")).unwrap();
        if n < 4 {
            assert_eq!(receive(&upstream).0, [n]);
        }
    }
    let stats = service.stats_until("the fifth is dropped", |s| s.drops("egress_no_route") == 1);
    assert_eq!(stats.get("in", "medium", "forwarded"), 4, "{}", stats.0);
    // The four go on.
    clients[2].send_to(&[9], service.at("in")).unwrap();
    let (bytes, session) = receive(&upstream);
    assert_eq!(bytes, [9]);
    upstream.send_to(b"to the third", session).unwrap();
    assert_eq!(receive(&clients[2]).0, b"to the third");
}

/// One answer to a question: two sessions do for any number of clients, one after the other.
fn answered_sessions_are_free_again(io: &str) {
    let upstream = v4();
    let service = forward(io, &upstream, "[0]", 2, 1);
    for n in 0..20_u8 {
        let client = v4();
        client.send_to(&[n], service.at("in")).unwrap();
        let (question, session) = receive(&upstream);
        upstream.send_to(&question, session).unwrap();
        assert_eq!(receive(&client), (vec![n], service.at("in")));
    }
    // Two that wait for their answers hold both.
    let waiting: Vec<UdpSocket> = (0..2).map(|_| v4()).collect();
    for client in &waiting {
        client.send_to(b"?", service.at("in")).unwrap();
        receive(&upstream);
    }
    v4().send_to(b"!", service.at("in")).unwrap();
    service.stats_until("no session is free", |s| s.drops("egress_no_route") == 1);
}

/// Its port is closed for a while. Requests left all the same, whatever ICMP says of them later; and then they are answered
/// again.
fn an_upstream_may_go_and_come_back(io: &str) {
    let upstream = v4();
    let at = upstream.local_addr().unwrap();
    let service = forward(io, &upstream, "[0]", 8, 0);
    let client = v4();
    let once = |upstream: &UdpSocket| {
        client.send_to(b"once", service.at("in")).unwrap();
        let (question, session) = receive(upstream);
        upstream.send_to(&question, session).unwrap();
        assert_eq!(receive(&client).0, b"once");
    };
    once(&upstream);
    drop(upstream);
    for _ in 0..20 {
        client.send_to(b"nobody?", service.at("in")).unwrap();
        pause();
    }
    service.stats_until("they have left or been refused", |s| {
        s.get("in", "medium", "forwarded") + s.drops("egress_error") == 21
    });
    let upstream = UdpSocket::bind(at).unwrap();
    upstream.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
    until("an answer from the new upstream", || {
        client.send_to(b"again", service.at("in")).unwrap();
        let mut bytes = [0; 64];
        let (len, session) = upstream.recv_from(&mut bytes).ok()?;
        upstream.send_to(&bytes[..len], session).unwrap();
        Some(())
    });
    assert_eq!(receive(&client).0, b"again");
    assert_eq!(service.get("/readyz").status, 200);
}

/// An answer that comes while the service stops still reaches its client; one that never comes holds the end up for as long
/// as draining may take, and no longer.
fn what_is_on_its_way_comes_back(io: &str) {
    let upstream = v4();
    for comes in [true, false] {
        let mut service = forward(io, &upstream, "[0, 1]", 8, 1);
        let client = v4();
        client.send_to(b"slow", service.at("in")).unwrap();
        let (question, session) = receive(&upstream);
        let began = Instant::now();
        service.program.signal(Signal::TERM);
        until("it stops", || {
            let says = "stopping: intake closed, running what is queued";
            (!service.program.log_lines(says).is_empty()).then_some(())
        });
        if comes {
            upstream.send_to(&question, session).unwrap();
            assert_eq!(receive(&client).0, b"slow");
        }
        let (status, _) = service.program.wait();
        assert_eq!(status.code(), Some(0), "{}", service.program.log());
        let drain = Duration::from_secs(2);
        assert!(began.elapsed() < drain + Duration::from_secs(1), "{:?}", began.elapsed());
        assert!(comes || began.elapsed() >= drain, "{:?}", began.elapsed());
        let answers = service.last_figures().get("up.answers", "medium", "forwarded");
        assert_eq!(answers, u64::from(comes));
    }
}

/// Results arrive there, in order, and what is sent back goes nowhere.
fn a_fixed_address(io: &str) {
    let sink = v4();
    let port = sink.local_addr().unwrap().port();
    let mut service = Service::start(io, &SEND.replace("UPSTREAM", &port.to_string()));
    let client = v4();
    client.send_to(b"123456789", service.at("in")).unwrap();
    let (bytes, from) = receive(&sink);
    assert_eq!(bytes, [0xe3, 0x06, 0x92, 0x83]);
    sink.send_to(b"thank you", from).unwrap();
    // A second round trip: what came back would have had time to arrive.
    client.send_to(b"123456789", service.at("in")).unwrap();
    receive(&sink);
    let last = service.stop();
    assert_eq!(last.get("in", "medium", "forwarded"), 2, "{}", last.0);
    assert_eq!(last.total("received"), 2);
    assert!(received(&client).is_empty());
}
