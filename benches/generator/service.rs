//! The services that are measured: an echo that joins its answers, one with an exact delay, one that stalls.

use std::collections::VecDeque;
use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};

use punctual::base::{Clock as _, Instant, Nanos};
use punctual::io::{Driver as _, PollDriver, SocketSpec};
use punctual::load::Latencies;
use punctual::sys::affinity::pin_current;
use punctual::sys::clock::MonotonicClock;
use punctual::sys::socket::{UdpOptions, open};

use super::SERVICE_CORE;
use super::mmsg::Mmsg;

const GATHERED: Nanos = Nanos::from_micros(150);

fn socket(gro: bool) -> UdpSocket {
    let wish = UdpOptions {
        timestamps: true,
        gro,
        receive_buffer: Some(8 << 20),
        ..UdpOptions::default()
    };
    open(([127, 0, 0, 1], 0).into(), &wish).unwrap().socket
}

/// Runs `test` beside a service on its own core; the service's result comes with it.
fn beside<T: Send, R>(
    gro: bool,
    serve: impl FnOnce(UdpSocket, &AtomicBool) -> T + Send,
    test: impl FnOnce(SocketAddr) -> R,
) -> (T, R) {
    let socket = socket(gro);
    let at = socket.local_addr().unwrap();
    let stop = AtomicBool::new(false);
    std::thread::scope(|s| {
        let service = s.spawn(|| {
            pin_current(SERVICE_CORE).unwrap();
            serve(socket, &stop)
        });
        let result = test(at);
        stop.store(true, Ordering::Relaxed);
        (service.join().unwrap(), result)
    })
}

/// How an echo goes about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Echo {
    /// Takes single datagrams: the kernel cuts trains, on the sender's core.
    Plain,
    /// Takes trains whole.
    Trains,
    /// Takes trains whole, and looks every 150 us: as a service that has other work, it finds many datagrams and answers
    /// them in trains.
    Gathers,
}

/// Beside an echo that answers neighbours in trains.
pub(crate) fn beside_echo<R>(echo: Echo, test: impl FnOnce(SocketAddr) -> R) -> R {
    let serve = |socket: UdpSocket, stop: &AtomicBool| {
        let mut mmsg = Mmsg::new(socket);
        let mut last = MonotonicClock.now();
        while !stop.load(Ordering::Relaxed) {
            if echo == Echo::Gathers && MonotonicClock.now().since(last) < GATHERED {
                std::hint::spin_loop();
                continue;
            }
            last = MonotonicClock.now();
            // All that is there, and not only the first batch.
            while mmsg.turn(libc::MSG_DONTWAIT) >= 64 {}
        }
    };
    beside(echo != Echo::Plain, serve, test).1
}

/// Beside a service whose answers leave when `due` says; and how long it really took, from the kernel's receive time to
/// the return of the send.
pub(crate) fn beside_delayed<R>(
    due: impl Fn(Instant, Instant) -> Instant + Send,
    test: impl FnOnce(SocketAddr) -> R,
) -> (Latencies, R) {
    let serve = move |socket: UdpSocket, stop: &AtomicBool| {
        let answers = socket.try_clone().unwrap();
        let spec = SocketSpec { socket, wants_local: false, gro: false, gso: false };
        let mut driver = PollDriver::new(vec![spec], 2_048).unwrap();
        let start = MonotonicClock.now();
        let mut waiting: VecDeque<(Instant, Instant, SocketAddr, Vec<u8>)> = VecDeque::new();
        let mut took = Latencies::new();
        while !stop.load(Ordering::Relaxed) {
            let now = MonotonicClock.now();
            let mut take = |r: punctual::io::Received<'_>| {
                let at = r.stamp.instant();
                waiting.push_back((due(at, start), at, r.peer, r.bytes.to_vec()));
            };
            driver.receive(now, &[64], &mut take).unwrap();
            while let Some((leaves, at, peer, bytes)) = waiting.front()
                && *leaves <= MonotonicClock.now()
            {
                answers.send_to(bytes, *peer).unwrap();
                took.record(MonotonicClock.now().since(*at));
                waiting.pop_front();
            }
        }
        took
    };
    beside(false, serve, test)
}

/// As long as that.
pub(crate) const fn after(delay: Nanos) -> impl Fn(Instant, Instant) -> Instant {
    move |arrived, _| {
        let ns = arrived.as_nanos() + delay.get();
        Instant::from_nanos(ns)
    }
}

/// At once, but in the first 200 ms of every second of the service at their end.
pub(crate) fn stalling(arrived: Instant, start: Instant) -> Instant {
    let into = arrived.since(start).get() % 1_000_000_000;
    Instant::from_nanos(arrived.as_nanos() + 200_000_000_u64.saturating_sub(into))
}
