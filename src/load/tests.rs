//! The generator as a whole, against a driver that lives in memory: how it ends, and what leaves how.

mod memory;
mod pairing;
mod truth;

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use super::*;
use crate::base::{Clock as _, Nanos};
use crate::io::SendError;
use crate::packet::framed::{Kind, turn_into};

use memory::{Memory, Shared};

const FAST: Nanos = Nanos::from_micros(10);

fn plan() -> Plan {
    let mut p = Plan::single("a", "127.0.0.1:9".parse().unwrap());
    p.duration = Nanos::from_secs(1);
    p
}

fn run(plan: Plan, driver: Memory, clock: Shared) -> Report {
    Generator::new(plan, driver, clock).unwrap().run(|_| ()).unwrap()
}

fn turned(request: &[u8], kind: Kind, status: u8) -> Vec<u8> {
    let mut bytes = request.to_vec();
    turn_into(&mut bytes, kind, status);
    bytes
}

fn echo() -> impl FnMut(u64, &[u8]) -> Vec<(Nanos, Vec<u8>)> {
    |_, b| vec![(FAST, b.to_vec())]
}

#[test]
fn a_window_that_overflows_counts_as_lost() {
    let mut p = plan();
    // 1,024 places for 500 packets a second; the service never answers, and the run lasts for 3,000 packets.
    p.rate = 500.0;
    p.duration = Nanos::from_secs(6);
    let (driver, clock) = Memory::new(|_, _| vec![]);
    let c = &run(p, driver, clock).classes[0];
    assert_eq!(c.lost_to_window, c.sent - 1_024);
    assert_eq!((c.lost(), c.answered), (c.sent, 0));
}

#[test]
fn the_mix_goes_to_each_class_by_its_share_and_is_judged_by_its_budget() {
    let mut p = plan();
    let class = |name: &str, share, budget| Class {
        name: name.to_owned(),
        share,
        budget: Some(budget),
        ..p.classes[0].clone()
    };
    p.classes = vec![
        class("tight", 1.0, Nanos::from_micros(5)),
        class("loose", 3.0, Nanos::from_millis(5)),
    ];
    let (driver, clock) = Memory::new(echo());
    let report = run(p, driver, clock);
    let [tight, loose] = &report.classes[..] else { panic!("two classes") };
    assert!((loose.sent * 100 / tight.sent).abs_diff(300) < 25);
    assert_eq!((tight.on_time, tight.late()), (0, tight.sent));
    assert_eq!((loose.on_time, loose.late()), (loose.sent, 0));
}

#[test]
fn bursts_leave_as_trains_unless_told_otherwise() {
    for gso in [true, false] {
        let mut p = plan();
        (p.burst, p.gso) = (16, gso);
        let (driver, clock) = Memory::new(echo());
        let mut g = Generator::new(p, driver, clock).unwrap();
        let report = g.run(|_| ()).unwrap();
        let driver = g.into_driver();
        assert_eq!(driver.trains > 0, gso);
        assert_eq!((report.classes[0].sent % 16, report.gso), (0, gso));
        assert_eq!(report.classes[0].answered, driver.datagrams);
    }
}

#[test]
fn a_closed_port_ends_the_run_and_a_full_queue_does_not() {
    let with = |error| {
        let (mut driver, clock) = Memory::new(echo());
        driver.fail = Some(error);
        Generator::new(plan(), driver, clock).unwrap().run(|_| ())
    };
    let refused = with(SendError::Refused(111));
    assert!(matches!(refused, Err(LoadError::NobodyListens(a)) if a.port() == 9));
    let full = with(SendError::QueueFull).unwrap();
    let c = &full.classes[0];
    assert_eq!((c.sent, c.unsent, c.lost()), (0, c.due, 0));
}

#[test]
fn a_device_that_cannot_cut_trains_gets_none() {
    let mut p = plan();
    p.burst = 8;
    let (mut driver, clock) = Memory::new(echo());
    driver.fail = Some(SendError::Refused(22));
    let report = Generator::new(p, driver, clock).unwrap().run(|_| ()).unwrap();
    assert!(!report.gso);
}

#[test]
fn a_stop_ends_the_run_with_a_report_and_progress_is_told() {
    let stop = Arc::new(AtomicBool::new(false));
    let mut p = plan();
    p.duration = Nanos::from_secs(10);
    let (driver, clock) = Memory::new(echo());
    let mut g = Generator::new(p, driver, clock).unwrap().stop_when(Arc::clone(&stop));
    let mut told = Vec::new();
    let report = g
        .run(|p| {
            told.push(*p);
            stop.store(told.len() == 3, std::sync::atomic::Ordering::Relaxed);
        })
        .unwrap();
    assert!(report.interrupted);
    assert!((3.0..3.1).contains(&report.seconds), "{}", report.seconds);
    assert!(told.is_sorted_by_key(|p| p.sent) && told[0].answered > 9_000);
    assert_eq!(report.classes[0].answered, report.classes[0].sent);
}

#[test]
fn a_hopeless_generator_gives_up_the_rest() {
    let mut p = plan();
    p.rate = 10e6;
    // Every datagram costs the driver's clock nothing, but every turn takes at least a microsecond for up to 512.
    let (mut driver, clock) = Memory::new(|_, _| vec![]);
    let slow = clock.clone();
    driver.service = Box::new(move |_, _| {
        slow.advance(Nanos::from_micros(1));
        vec![]
    });
    let report = run(p, driver, clock);
    assert!(report.gave_up && report.generator.late_share() > 0.9);
    assert!(report.seconds < 1.7 && report.offered_rate < 1.1e6, "{}", report.offered_rate);
}

#[test]
fn a_window_is_not_shut_by_what_was_lost() {
    let mut p = plan();
    (p.rate, p.duration, p.window) = (500.0, Nanos::from_secs(4), Some(2));
    let (driver, clock) = Memory::new(|n, b| if n < 2 { vec![] } else { vec![(FAST, b.to_vec())] });
    let report = run(p, driver, clock);
    let c = &report.classes[0];
    assert_eq!((c.sent, c.answered, c.lost()), (2_000, 1_998, 2));
    assert!(
        c.corrected.max() > Nanos::from_millis(400) && c.corrected.at(0.5) < Nanos::from_millis(1)
    );
}
