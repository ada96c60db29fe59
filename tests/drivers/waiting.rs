//! How long a wait lasts and what ends it.

use punctual::base::Nanos;
use punctual::io::{Driver, SocketSpec};

use crate::rig::{FULL, bound, collect, now, once, outside};

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
