//! What cannot be on time: predicted, given way, found at dispatch or found after the kernel; and what a kernel refuses.
//!
//! Payloads say how long they take. Sizes keep the estimates apart: each power of two has its own.

use std::net::SocketAddr;
use std::time::Duration;

use super::{Seen, provoke};
use crate::rig::framing::{ANSWER, REFUSAL};
use crate::rig::{Ask, Service, ask, receive, until, v4, work};

const CONFIG: &str = r#"
[priority.high]
budget = "4s"
[priority.medium]
budget = "4s"
[priority.low]
budget = "4s"
[controller]
probes = false
chunk = "off"                   # what turns out hopeless between two chunks is late at dispatch
[[ingress]]
name = "dropping"
listen = "127.0.0.1:0"
framing = "framed"
classify = "header"
kernel = "work"
egress = "drop"
[[ingress]]
name = "sending"
listen = "127.0.0.1:0"
framing = "framed"
classify = "header"
kernel = "work"
egress = "send"
[[egress]]
name = "drop"
late = "drop"
[[egress]]
name = "send"
late = "send"
[kernel.work]
kind = "spin"
distribution = { kind = "payload", max = "1s" }
"#;

const HIGH: u8 = 0;
const MEDIUM: u8 = 1;
const LOW: u8 = 2;
const PREDICTED_MISS: u8 = 8;

fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

/// A request of that cost; `len` chooses its estimate.
fn request(priority: u8, cost: Duration, len: usize) -> Ask {
    Ask::new(&work(cost, len)).priority(priority)
}

pub(super) fn provoke_all(io: &str, seen: &mut Seen) {
    let service = Service::start(io, CONFIG);
    let to = service.at("dropping");
    let socket = v4();
    let send = |asking: Ask| {
        socket.send_to(&asking.bytes(), to).unwrap();
    };
    provoke(seen, &service, ("dropping", "medium", "kernel_error"), || {
        send(Ask::new(b"???").priority(MEDIUM));
    });
    provoke(seen, &service, ("dropping", "medium", "late_after_kernel"), || {
        teach(to, Duration::ZERO, 40);
        // Three times its budget: a clock that has risen since the work was calibrated does not save it.
        send(request(MEDIUM, ms(300), 40).budget(ms(100)));
    });
    late_but_sent(&service);
    predicted(seen, &service, to);
    // While the worker hangs, what follows waits in the kernel, and is then read in one go.
    provoke(seen, &service, ("dropping", "medium", "late_at_dispatch"), || {
        teach(to, Duration::ZERO, 40);
        teach(to, Duration::ZERO, 80);
        send(request(MEDIUM, ms(150), 40).budget(ms(390)));
        send(request(MEDIUM, ms(300), 80).budget(ms(350)));
        for _ in 0..5 {
            send(request(MEDIUM, Duration::ZERO, 80).budget(ms(360)));
        }
    });
    provoke(seen, &service, ("dropping", "low", "evicted"), || {
        teach(to, ms(40), 300);
        send(request(MEDIUM, ms(100), 40));
        // Low fills most of the second, High wants two thirds of it: also where 40 ms take three times as long.
        for (priority, count) in [(LOW, 12), (HIGH, 16)] {
            for _ in 0..count {
                send(request(priority, ms(40), 300).budget(ms(1_000)));
            }
        }
    });
}

/// Eight answers of that cost make the estimate of that size.
fn teach(to: SocketAddr, cost: Duration, len: usize) {
    // A socket of its own: an answer that comes late must not be taken for one to the next question.
    let socket = v4();
    for _ in 0..8 {
        ask(&socket, to, &request(MEDIUM, cost, len).bytes());
    }
}

/// The same lateness where late results are sent: the answer says so, and it counts as late.
fn late_but_sent(service: &Service) {
    let socket = v4();
    let to = service.at("sending");
    until("a late answer", || {
        teach(to, Duration::ZERO, 40);
        let asking = request(MEDIUM, ms(300), 40).budget(ms(100)).wants_refusal();
        socket.send_to(&asking.bytes(), to).unwrap();
        let (answer, _) = receive(&socket);
        (answer[5] == ANSWER).then(|| assert_eq!((answer[7], answer.len()), (1, 72)))
    });
    let stats = service.settled();
    assert!(stats.get("sending", "medium", "late") >= 1, "{}", stats.0);
    assert_eq!(stats.dropped("sending", "medium", "late_after_kernel"), 0);
}

/// What is known to take 40 ms is refused at once when it may take 20.
fn predicted(seen: &mut Seen, service: &Service, to: SocketAddr) {
    // Of its own: what answers an earlier question is not for it.
    let socket = v4();
    provoke(seen, service, ("dropping", "medium", "predicted_miss"), || {
        teach(to, ms(40), 150);
        let asking = request(MEDIUM, ms(40), 150).budget(ms(20)).wants_refusal();
        socket.send_to(&asking.bytes(), to).unwrap();
        let (refusal, _) = receive(&socket);
        assert_eq!((refusal.len(), refusal[5]), (32, REFUSAL));
        // A machine that stole 20 ms makes it expired: then again.
        assert!(refusal[7] <= PREDICTED_MISS, "{}", refusal[7]);
    });
}
