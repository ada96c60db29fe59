//! What only this driver can get wrong: ends of multishot receives, exhausted buffers, the ring's own thread.

use std::io::Write as _;
use std::net::{SocketAddr, UdpSocket};

use super::super::capability::try_uring;
use super::super::driver::{Part, TxMessage};
use super::*;
use crate::base::Clock;
use crate::sys::clock::MonotonicClock;
use crate::sys::socket::{UdpOptions, open};

/// A driver with one listening socket and a client, or nothing where there is no io_uring.
fn listening(test: &str) -> Option<(UringDriver, UdpSocket)> {
    if let Err(why) = try_uring() {
        writeln!(io::stderr(), "SKIPPED {test}: {why}").unwrap();
        return None;
    }
    let local = SocketAddr::from(([127, 0, 0, 1], 0));
    let options = UdpOptions { receive_buffer: Some(4 << 20), ..UdpOptions::default() };
    let opened = open(local, &options).unwrap();
    let client = UdpSocket::bind(local).unwrap();
    client.connect(opened.socket.local_addr().unwrap()).unwrap();
    let socket = opened.socket;
    let spec = SocketSpec { socket, wants_local: false, gro: false, gso: false };
    let mut driver = UringDriver::new(vec![spec], 256).unwrap();
    let report = turn(&mut driver, &mut 0);
    assert_eq!((report.messages, report.rearmed), (0, 0), "the first arming is no re-arming");
    driver.wait(Nanos::from_micros(10)).unwrap();
    Some((driver, client))
}

fn turn(driver: &mut UringDriver, count: &mut usize) -> ReceiveReport {
    driver.receive(MonotonicClock.now(), &[64], &mut |_| *count += 1).unwrap()
}

fn tick(driver: &mut UringDriver, to: SocketAddr) {
    let message =
        TxMessage { socket: SocketId(0), to: Some(to), from: None, segment: 0, parts: 0..1 };
    let batch = TxBatch { messages: vec![message], parts: vec![Part { start: 0, len: 1 }] };
    let mut failed = Vec::new();
    driver.transmit(b"x", &batch, &mut failed).unwrap();
    assert_eq!(failed, []);
}

#[test]
fn an_empty_datagram_ends_the_receive_and_it_is_armed_again() {
    let Some((mut driver, client)) = listening("empty datagram") else { return };
    let (mut count, mut rearmed) = (0, 0);
    client.send(b"").unwrap();
    while count < 1 {
        driver.wait(Nanos::from_millis(5)).unwrap();
        rearmed += turn(&mut driver, &mut count).rearmed;
    }
    assert_eq!(rearmed, 1);
    client.send(b"next").unwrap();
    while count < 2 {
        driver.wait(Nanos::from_millis(5)).unwrap();
        rearmed += turn(&mut driver, &mut count).rearmed;
    }
    assert_eq!(rearmed, 1, "a datagram with a payload ends nothing");
}

#[test]
fn without_buffers_the_receive_ends_and_goes_on_when_they_are_back() {
    let Some((mut driver, client)) = listening("no buffers") else { return };
    let home = client.local_addr().unwrap();
    for _ in 0..1_000 {
        client.send(b"load").unwrap();
    }
    for _ in 0..100 {
        tick(&mut driver, home);
    }
    let buffers = usize::from(SMALL_BUFFERS);
    assert_eq!(driver.inflow.waiting(), buffers, "every buffer is filled, and ours");
    assert!(!driver.inflow.buffers.any_lent());
    assert_eq!(driver.inflow.ports[0].listening, Listening::No);
    let (mut count, mut rearmed) = (0, 0);
    while count < 1_000 {
        driver.wait(Nanos::from_millis(5)).unwrap();
        rearmed += turn(&mut driver, &mut count).rearmed;
    }
    assert_eq!(count, 1_000);
    assert!(rearmed >= 1);
    assert_eq!(driver.inflow.waiting(), 0);
}

#[test]
fn a_pause_is_a_cancel_and_no_fault() {
    let Some((mut driver, client)) = listening("pause") else { return };
    assert_eq!(driver.inflow.ports[0].listening, Listening::Yes);
    for _ in 0..3 {
        let report = driver.receive(MonotonicClock.now(), &[0], &mut |_| {}).unwrap();
        assert_eq!((report.rearmed, report.faults), (0, 0));
        driver.wait(Nanos::from_micros(10)).unwrap();
    }
    assert_eq!(driver.inflow.ports[0].listening, Listening::No);
    client.send(b"held").unwrap();
    let mut count = 0;
    while count < 1 {
        assert_eq!(turn(&mut driver, &mut count).rearmed, 0, "the end was asked for");
        driver.wait(Nanos::from_millis(5)).unwrap();
    }
}

#[test]
fn another_thread_is_refused_and_nothing_breaks() {
    let Some((mut driver, client)) = listening("another thread") else { return };
    client.send(b"x").unwrap();
    std::thread::scope(|s| {
        s.spawn(|| {
            let error = driver.wait(Nanos::from_millis(5)).unwrap_err();
            assert_eq!(error.raw_os_error(), Some(libc::EEXIST));
        });
    });
    let mut count = 0;
    while count < 1 {
        driver.wait(Nanos::from_millis(5)).unwrap();
        turn(&mut driver, &mut count);
    }
}
