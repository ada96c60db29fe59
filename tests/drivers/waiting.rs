//! How long a wait lasts and what ends it.

use punctual::base::Nanos;
use punctual::io::{Driver, SocketSpec};

use crate::rig::{Batch, FULL, bound, collect, now, once, outside, read};

const LONG: Nanos = Nanos::from_secs(4);

fn lasts(driver: &mut impl Driver, timeout: Nanos) -> Nanos {
    let start = now();
    driver.wait(timeout).unwrap();
    now().since(start)
}

pub(crate) fn timeouts_are_kept<D: Driver>(make: impl Fn(Vec<SocketSpec>) -> D) {
    let (socket, _) = bound("127.0.0.1:0", &FULL);
    let mut driver = make(vec![socket]);
    assert!(once(&mut driver, &[64]).is_empty());
    for us in [50, 200, 1_000, 300, 1_500, 2_000, 100, 0] {
        let timeout = Nanos::from_micros(us);
        // A shared machine can lose a core for a while: the best of a few tells what the driver does.
        let best = (0..20).map(|_| lasts(&mut driver, timeout)).min().unwrap();
        assert!(best >= timeout, "{best} of {timeout}");
        assert!(best <= timeout + Nanos::from_micros(500), "{best} of {timeout}");
    }
}

pub(crate) fn a_datagram_ends_the_wait<D: Driver>(make: impl Fn(Vec<SocketSpec>) -> D) {
    let (socket, at) = bound("127.0.0.1:0", &FULL);
    let mut driver = make(vec![socket]);
    let client = outside("127.0.0.1:0");
    assert!(once(&mut driver, &[64]).is_empty());
    for i in 0..50_u8 {
        client.send_to(&[i], at).unwrap();
        assert!(lasts(&mut driver, LONG) < LONG);
        let mut taken = once(&mut driver, &[64]);
        if taken.is_empty() {
            taken = collect(&mut driver, &[64], 1);
        }
        assert_eq!(taken[0].bytes, [i]);
    }
    // From another thread, while asleep.
    std::thread::scope(|s| {
        s.spawn(|| {
            let until = now() + Nanos::from_millis(5);
            while now() < until {
                std::thread::yield_now();
            }
            client.send_to(b"wake", at).unwrap();
        });
        assert!(lasts(&mut driver, LONG) < LONG);
    });
    assert_eq!(collect(&mut driver, &[64], 1)[0].bytes, b"wake");
}

pub(crate) fn what_is_left_over_ends_the_wait<D: Driver>(make: impl Fn(Vec<SocketSpec>) -> D) {
    let (socket, at) = bound("127.0.0.1:0", &FULL);
    let mut driver = make(vec![socket]);
    let client = outside("127.0.0.1:0");
    for i in 0..10 {
        client.send_to(&[i], at).unwrap();
    }
    let mut count = 0;
    // Room for one at a time: every wait must end at once while something is left.
    while count < 10 {
        assert!(lasts(&mut driver, LONG) < LONG);
        count += once(&mut driver, &[1]).len();
    }
}

pub(crate) fn a_closed_socket_does_not_end_the_wait<D: Driver>(
    make: impl Fn(Vec<SocketSpec>) -> D,
) {
    let (open, open_at) = bound("127.0.0.1:0", &FULL);
    let (closed, closed_at) = bound("127.0.0.1:0", &FULL);
    let mut driver = make(vec![open, closed]);
    let client = outside("127.0.0.1:0");
    let room = [64, 0];
    // Pausing may take a turn or two.
    for _ in 0..3 {
        assert!(once(&mut driver, &room).is_empty());
        driver.wait(Nanos::from_micros(100)).unwrap();
    }
    client.send_to(b"held", closed_at).unwrap();
    for timeout in [Nanos::from_micros(1_500), Nanos::from_millis(3)] {
        assert!(lasts(&mut driver, timeout) >= timeout);
        client.send_to(b"held", closed_at).unwrap();
        assert!(once(&mut driver, &room).is_empty());
    }
    std::thread::scope(|s| {
        s.spawn(|| {
            let until = now() + Nanos::from_millis(10);
            while now() < until {
                client.send_to(b"held", closed_at).unwrap();
            }
        });
        let timeout = Nanos::from_micros(5_300);
        assert!(lasts(&mut driver, timeout) >= timeout);
    });
    client.send_to(b"open", open_at).unwrap();
    assert!(lasts(&mut driver, LONG) < LONG);
    assert_eq!(collect(&mut driver, &room, 1)[0].bytes, b"open");
}

pub(crate) fn an_opened_socket_ends_the_wait<D: Driver>(make: impl Fn(Vec<SocketSpec>) -> D) {
    let (socket, at) = bound("127.0.0.1:0", &FULL);
    let mut driver = make(vec![socket]);
    let client = outside("127.0.0.1:0");
    for round in 0..5_u8 {
        for _ in 0..3 {
            assert!(once(&mut driver, &[0]).is_empty());
            driver.wait(Nanos::from_micros(100)).unwrap();
        }
        client.send_to(&[round], at).unwrap();
        assert!(lasts(&mut driver, Nanos::from_millis(2)) >= Nanos::from_millis(2));
        let taken = once(&mut driver, &[64]);
        if taken.is_empty() {
            assert!(lasts(&mut driver, LONG) < LONG);
            collect(&mut driver, &[64], 1);
        }
    }
}

pub(crate) fn a_driver_may_move_to_its_thread<D: Driver + Send>(
    make: impl Fn(Vec<SocketSpec>) -> D,
) {
    let (socket, at) = bound("127.0.0.1:0", &FULL);
    let client = outside("127.0.0.1:0");
    // Before the driver has been used at all: nothing is lost.
    client.send_to(b"early", at).unwrap();
    let mut driver = make(vec![socket]);
    let mut driver = std::thread::scope(|s| {
        let worker = s.spawn(move || {
            let taken = collect(&mut driver, &[64], 1);
            assert_eq!(taken[0].bytes, b"early");
            Batch::one(taken[0].peer, b"back").send_all(&mut driver);
            driver
        });
        worker.join().unwrap()
    });
    assert_eq!(read(&client).0, b"back");
    // And it may be dropped elsewhere.
    assert_eq!(driver.kernel_drops(punctual::base::SocketId(0)), 0);
    drop(driver);
}

/// A service that is started again at once finds its ports free, whether the driver before it had been used or not.
pub(crate) fn ports_are_free_when_a_driver_is_gone<D: Driver>(make: impl Fn(Vec<SocketSpec>) -> D) {
    const SOCKETS: usize = 100;
    for used in [true, false] {
        let (sockets, addresses): (Vec<_>, Vec<_>) =
            (0..SOCKETS).map(|_| bound("127.0.0.1:0", &FULL)).unzip();
        let mut driver = make(sockets);
        if used {
            let client = outside("127.0.0.1:0");
            for at in &addresses {
                client.send_to(b"x", at).unwrap();
            }
            collect(&mut driver, &[64; SOCKETS], SOCKETS);
            driver.wait(Nanos::from_micros(100)).unwrap();
        }
        drop(driver);
        for at in addresses {
            std::net::UdpSocket::bind(at).unwrap_or_else(|e| panic!("{at}, used {used}: {e}"));
        }
    }
}
