//! The generator against real sockets on the loopback device.

use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};

use super::*;
use crate::base::{DropReason, Nanos};
use crate::kernel::crc32c;
use crate::packet::framed::{Kind, turn_into};
use crate::sys::clock::MonotonicClock;

/// What is answered to the n-th datagram.
type Answer = fn(usize, &mut [u8]) -> Vec<u8>;

/// Runs `plan` against a service that answers by `answer`; every class goes there.
fn run_against(answer: Answer, mut plan: Plan) -> Report {
    let server = UdpSocket::bind("127.0.0.1:0").unwrap();
    server.set_read_timeout(Some(std::time::Duration::from_millis(20))).unwrap();
    let to = server.local_addr().unwrap();
    plan.classes.iter_mut().for_each(|c| c.to = to);
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut bytes = [0; 2_048];
            let mut n = 0;
            while !over.load(Ordering::Relaxed) {
                if let Ok((len, peer)) = server.recv_from(&mut bytes) {
                    server.send_to(&answer(n, &mut bytes[..len]), peer).unwrap();
                    n += 1;
                }
            }
        });
        let driver = open(&plan).unwrap();
        let report = Generator::new(plan, driver, MonotonicClock).unwrap().run(|_| ());
        over.store(true, Ordering::Relaxed);
        report.unwrap()
    })
}

/// 200 packets in a fifth of a second: fewer than a default receive buffer holds, so that none is lost however the
/// machine is busy.
fn plan() -> Plan {
    let mut plan = Plan::single("a", SocketAddr::from(([127, 0, 0, 1], 9)));
    plan.rate = 1_000.0;
    plan.duration = Nanos::from_millis(200);
    plan.arrivals = Arrivals::Uniform;
    plan.classes[0].budget = Some(Nanos::from_secs(10));
    plan
}

#[test]
fn echoes_and_checksums_come_back_to_the_flow_that_asked() {
    let services: [Answer; 2] =
        [|_, b| b.to_vec(), |_, b| crc32c::checksum(b).to_be_bytes().to_vec()];
    for (answer, matching) in services.into_iter().zip([Matching::Echo, Matching::Crc32c]) {
        for (burst, matching) in [(1, matching), (8, Matching::Auto)] {
            let mut p = plan();
            (p.framing, p.matching, p.burst, p.flows) = (Framing::Raw, matching, burst, 5);
            p.classes[0].size = Sizes { min: 8, max: 1_400 };
            let report = run_against(answer, p);
            let c = &report.classes[0];
            assert_eq!((c.sent, c.answered, c.unknown, c.duplicates), (200, 200, 0, 0));
            assert_eq!((c.on_time, c.corrected.count(), c.raw.count()), (200, 200, 200));
            assert!(c.raw.at(0.5) > Nanos::ZERO && c.corrected.at(0.5) >= c.raw.at(0.1));
        }
    }
}

#[test]
fn a_framed_service_answers_and_refuses() {
    let mut p = plan();
    let other = Class { name: "b".to_owned(), ..p.classes[0].clone() };
    p.classes.push(other);
    let answer: Answer = |n, bytes| {
        let (kind, status) = if n % 10 == 0 {
            (Kind::Refusal, DropReason::QuotaPriority as u8)
        } else {
            (Kind::Answer, u8::from(n % 10 == 1))
        };
        turn_into(bytes, kind, status);
        bytes.to_vec()
    };
    let report = run_against(answer, p);
    assert_eq!(report.sum(|c| c.sent), 200);
    assert_eq!(report.sum(|c| c.answered), 180);
    assert_eq!(report.sum(|c| c.marked_late), 20);
    assert_eq!(report.sum(|c| c.refused[DropReason::QuotaPriority.index()]), 20);
    assert_eq!(report.sum(ClassReport::lost), 0);
    assert!(report.classes.iter().all(|c| c.sent > 60));
}

#[test]
fn a_closed_port_shows_itself_as_faults_of_a_silent_run() {
    let closed = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mut p = plan();
    p.classes[0].to = closed;
    let stop = std::sync::Arc::new(AtomicBool::new(false));
    let driver = open(&p).unwrap();
    let generator = Generator::new(p.clone(), driver, MonotonicClock).unwrap();
    let mut told = None;
    let report = generator.stop_when(stop.clone()).run(|progress| {
        told = Some(*progress);
        stop.store(true, Ordering::Relaxed);
    });
    match report {
        // The second send may be told what became of the first.
        Err(e) => assert_eq!(e.to_string(), format!("nobody listens at {closed}")),
        Ok(report) => {
            assert!(report.interrupted);
            assert!(told.is_some_and(|p| p.is_silent() && p.faults > 0), "{told:?}");
            assert_eq!(Probe::send(&p, &[closed]).unwrap().closed(), Some(closed));
        }
    }
}
