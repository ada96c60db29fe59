//! What arrives, and how it is described.

use std::net::{IpAddr, SocketAddr};

use punctual::base::Nanos;
use punctual::io::{Driver, PollDriver, SocketSpec, Stamp};
use punctual::sys::socket::{UdpOptions, open_connected};
use socket2::SockRef;

use crate::rig::{
    Batch, FULL, MAX, bound, collect, echo, expect_silence, now, once, outside, read, spec,
};

const OPEN: &[u32] = &[64];

pub(crate) fn echo_over_v4_and_v6<D: Driver>(make: impl Fn(Vec<SocketSpec>) -> D) {
    for host in ["127.0.0.1:0", "[::1]:0"] {
        let (socket, at) = bound(host, &FULL);
        let mut driver = make(vec![socket]);
        let client = outside(host);
        for i in 0..50_u8 {
            client.send_to(&[i; 64], at).unwrap();
            let taken = collect(&mut driver, OPEN, 1);
            assert_eq!(taken[0].peer, client.local_addr().unwrap());
            assert_eq!(taken[0].local, Some(at.ip()));
            assert_eq!((taken[0].segment, taken[0].truncated), (0, false));
            echo(&mut driver, &taken);
            assert_eq!(read(&client), (vec![i; 64], at));
        }
    }
}

pub(crate) fn the_address_asked_for_answers<D: Driver>(make: impl Fn(Vec<SocketSpec>) -> D) {
    let (socket, at) = bound("0.0.0.0:0", &FULL);
    let mut driver = make(vec![socket]);
    let client = outside("127.0.0.1:0");
    for host in ["127.0.0.2", "127.0.0.1", "127.9.8.7"] {
        let asked = SocketAddr::new(host.parse().unwrap(), at.port());
        client.send_to(b"?", asked).unwrap();
        let taken = collect(&mut driver, OPEN, 1);
        assert_eq!(taken[0].local, Some(asked.ip()));
        echo(&mut driver, &taken);
        assert_eq!(read(&client), (b"?".to_vec(), asked));
    }
}

pub(crate) fn dual_stack_answers_both_families<D: Driver>(make: impl Fn(Vec<SocketSpec>) -> D) {
    let (socket, at) = bound("[::]:0", &FULL);
    let mut driver = make(vec![socket]);
    for (host, from) in [("127.0.0.3", "127.0.0.1:0"), ("::1", "[::1]:0")] {
        let asked = SocketAddr::new(host.parse().unwrap(), at.port());
        let client = outside(from);
        client.send_to(b"?", asked).unwrap();
        let taken = collect(&mut driver, OPEN, 1);
        assert!(taken[0].peer.is_ipv6(), "v4 peers are v4-mapped: {}", taken[0].peer);
        assert_eq!(taken[0].local.map(|ip| ip.to_canonical()), Some(asked.ip()));
        echo(&mut driver, &taken);
        assert_eq!(read(&client), (b"?".to_vec(), asked));
    }
}

pub(crate) fn tos_is_seen<D: Driver>(make: impl Fn(Vec<SocketSpec>) -> D) {
    for (host, to) in [
        ("127.0.0.1:0", "127.0.0.1"),
        ("[::1]:0", "::1"),
        ("[::]:0", "127.0.0.1"),
        ("[::]:0", "::1"),
    ] {
        let (socket, at) = bound(host, &FULL);
        let mut driver = make(vec![socket]);
        let to: IpAddr = to.parse().unwrap();
        let client = outside(if to.is_ipv4() { "127.0.0.1:0" } else { "[::1]:0" });
        for tos in [0, 0xb8, 0x88, 0x20, 0xfc] {
            let raw = SockRef::from(&client);
            if to.is_ipv4() { raw.set_tos_v4(tos) } else { raw.set_tclass_v6(tos) }.unwrap();
            client.send_to(b"x", (to, at.port())).unwrap();
            let taken = collect(&mut driver, OPEN, 1);
            assert_eq!(u32::from(taken[0].tos), tos, "{host} from {to}");
        }
    }
}

pub(crate) fn kernel_stamps_are_sane<D: Driver>(make: impl Fn(Vec<SocketSpec>) -> D) {
    let (socket, at) = bound("127.0.0.1:0", &FULL);
    let mut driver = make(vec![socket]);
    let client = outside("127.0.0.1:0");
    let mut last = now();
    for _ in 0..20 {
        let before = now();
        for _ in 0..5 {
            client.send_to(b"x", at).unwrap();
        }
        let sent = now();
        for t in collect(&mut driver, OPEN, 5) {
            assert!(matches!(t.stamp, Stamp::Kernel(_)), "{:?}", t.stamp);
            let stamp = t.stamp.instant();
            // Received on loopback within the call that sends; 100 us is the room for reading two clocks.
            let slack = Nanos::from_micros(100);
            assert!(
                stamp + slack >= before && stamp <= sent + slack,
                "{before:?} {stamp:?} {sent:?}"
            );
            assert!(stamp >= last);
            last = stamp;
        }
    }

    let (socket, at) = bound("127.0.0.1:0", &UdpOptions { timestamps: false, ..FULL });
    let mut driver = make(vec![socket]);
    client.send_to(b"x", at).unwrap();
    let taken = collect(&mut driver, OPEN, 1);
    assert!(matches!(taken[0].stamp, Stamp::Missing(t) if t <= now()), "{:?}", taken[0].stamp);
}

pub(crate) fn trains_arrive_as_segments<D: Driver>(make: impl Fn(Vec<SocketSpec>) -> D) {
    let (socket, at) = bound("127.0.0.1:0", &UdpOptions { gro: true, ..FULL });
    assert!(socket.gro, "UDP_GRO is accepted since Linux 5.0");
    let mut driver = make(vec![socket]);
    let (socket, _) = bound("127.0.0.1:0", &FULL);
    assert!(socket.gso, "UDP_SEGMENT is known since Linux 4.18");
    let mut sender = PollDriver::new(vec![socket], MAX).unwrap();

    let mut pieces: Vec<Vec<u8>> = (0..40).map(|i| vec![i; 1_200]).collect();
    pieces.push(vec![99; 17]);
    let slices: Vec<&[u8]> = pieces.iter().map(Vec::as_slice).collect();
    let mut batch = Batch::default();
    batch.add(Some(at), None, 1_200, &slices);
    batch.send_all(&mut sender);
    let taken = collect(&mut driver, OPEN, 41);
    assert!(taken.len() < 41, "at least two datagrams came together");
    assert!(taken.iter().any(|t| t.segment == 1_200), "a train says its segments");
    assert!(taken.iter().all(|t| !t.truncated));
    let all: Vec<Vec<u8>> = taken.into_iter().flat_map(|t| t.datagrams).collect();
    assert_eq!(all, pieces);

    // A single datagram on the same socket is no train, and what is too long is cut although the buffer would hold it.
    let client = outside("127.0.0.1:0");
    client.send_to(b"single", at).unwrap();
    let taken = collect(&mut driver, OPEN, 1);
    assert_eq!((taken[0].segment, taken[0].bytes.as_slice()), (0, &b"single"[..]));
    client.send_to(&[7; MAX + 1], at).unwrap();
    let taken = collect(&mut driver, OPEN, 1);
    assert_eq!((taken[0].truncated, taken[0].bytes.len()), (true, MAX));
}

pub(crate) fn an_empty_datagram_is_a_datagram<D: Driver>(make: impl Fn(Vec<SocketSpec>) -> D) {
    let (socket, at) = bound("127.0.0.1:0", &FULL);
    let mut driver = make(vec![socket]);
    let client = outside("127.0.0.1:0");
    for _ in 0..3 {
        client.send_to(b"", at).unwrap();
        let taken = collect(&mut driver, OPEN, 1);
        assert_eq!((taken[0].bytes.len(), taken[0].peer), (0, client.local_addr().unwrap()));
    }
    client.send_to(b"", at).unwrap();
    for i in 0..1_000_u32 {
        client.send_to(&i.to_be_bytes(), at).unwrap();
    }
    let taken = collect(&mut driver, OPEN, 1_001);
    assert!(taken[0].bytes.is_empty());
    for (i, t) in (0_u32..).zip(&taken[1..]) {
        assert_eq!(t.bytes, i.to_be_bytes());
    }
}

pub(crate) fn what_is_too_long_is_marked<D: Driver>(make: impl Fn(Vec<SocketSpec>) -> D) {
    let (socket, at) = bound("127.0.0.1:0", &FULL);
    let mut driver = make(vec![socket]);
    let client = outside("127.0.0.1:0");
    for (len, truncated) in [
        (0, false),
        (1, false),
        (1_472, false),
        (MAX - 1, false),
        (MAX, false),
        (MAX + 1, true),
        (65_507, true),
    ] {
        let sent: Vec<u8> = (0..len).map(|i| u8::try_from(i % 251).unwrap()).collect();
        client.send_to(&sent, at).unwrap();
        let taken = collect(&mut driver, OPEN, 1);
        assert_eq!(taken[0].truncated, truncated, "{len} bytes");
        assert_eq!(taken[0].bytes, sent[..len.min(MAX)], "{len} bytes");
    }
}

pub(crate) fn more_than_the_buffers_hold_arrives_later<D: Driver>(
    make: impl Fn(Vec<SocketSpec>) -> D,
) {
    let (socket, at) = bound("127.0.0.1:0", &FULL);
    let mut driver = make(vec![socket]);
    let client = outside("127.0.0.1:0");
    expect_silence(&mut driver, OPEN);
    for round in 0..3_u32 {
        for i in 0..1_000_u32 {
            client.send_to(&(round * 1_000 + i).to_be_bytes(), at).unwrap();
        }
        // Each send gives the driver an occasion to fill its buffers, and none to hand them over.
        for _ in 0..60 {
            Batch::one(client.local_addr().unwrap(), b"tick").send_all(&mut driver);
        }
        let taken = collect(&mut driver, OPEN, 1_000);
        for (i, t) in (round * 1_000..).zip(&taken) {
            assert_eq!(t.bytes, i.to_be_bytes());
        }
    }
}

pub(crate) fn no_room_leaves_datagrams_in_the_kernel<D: Driver>(
    make: impl Fn(Vec<SocketSpec>) -> D,
) {
    let (socket, at) = bound("127.0.0.1:0", &FULL);
    let mut driver = make(vec![socket]);
    let client = outside("127.0.0.1:0");
    client.send_to(b"first", at).unwrap();
    collect(&mut driver, OPEN, 1);
    for round in 0..5_u8 {
        // A pause may take a moment to come into force: what was under way is still handed over.
        expect_silence(&mut driver, &[0]);
        for i in 0..100 {
            client.send_to(&[round, i], at).unwrap();
        }
        expect_silence(&mut driver, &[0]);
        let taken = collect(&mut driver, OPEN, 100);
        for (i, t) in (0_u8..).zip(&taken) {
            assert_eq!(t.bytes, [round, i]);
        }
    }
}

pub(crate) fn urgent_sockets_come_first<D: Driver>(make: impl Fn(Vec<SocketSpec>) -> D) {
    let (first, first_at) = bound("127.0.0.1:0", &FULL);
    let (second, second_at) = bound("127.0.0.1:0", &FULL);
    let mut driver = make(vec![first, second]);
    let client = outside("127.0.0.1:0");
    let room = [64, 64];
    expect_silence(&mut driver, &room);
    for _ in 0..20 {
        client.send_to(b"second", second_at).unwrap();
        client.send_to(b"first", first_at).unwrap();
        let taken = collect(&mut driver, &room, 2);
        let order: Vec<usize> = taken.iter().map(|t| t.socket).collect();
        assert_eq!(order, [0, 1], "the order of the list, not of arrival");
    }
}

pub(crate) fn those_beyond_the_table_are_read_whatever_it_says<D: Driver>(
    make: impl Fn(Vec<SocketSpec>) -> D,
) {
    const SOCKETS: usize = 60;
    let (specs, at): (Vec<_>, Vec<_>) = (0..SOCKETS).map(|_| bound("127.0.0.1:0", &FULL)).unzip();
    let mut driver = make(specs);
    let client = outside("127.0.0.1:0");
    // Whatever had a room of its own before: all, one, none, two.
    for (round, ruled) in (0_u8..).zip([SOCKETS, 1, 0, 2, SOCKETS, 1, 1]) {
        let closed = vec![0; ruled];
        expect_silence(&mut driver, &closed);
        // More than there are buffers, and all that one look takes many times over.
        for i in 0..10_u8 {
            for a in &at {
                client.send_to(&[round, i], a).unwrap();
            }
        }
        let taken = collect(&mut driver, &closed, (SOCKETS - ruled) * 10);
        expect_silence(&mut driver, &closed);
        let rest = collect(&mut driver, &vec![64; ruled], ruled * 10);
        let all: Vec<_> = taken.iter().chain(&rest).collect();
        for s in 0..SOCKETS {
            let of = all.iter().filter(|t| t.socket == s).map(|t| t.bytes.clone());
            let expected: Vec<_> = (0..10_u8).map(|i| vec![round, i]).collect();
            assert_eq!(of.collect::<Vec<_>>(), expected, "socket {s}, {ruled} rooms");
        }
        assert!(rest.iter().all(|t| t.socket < ruled));
    }
}

pub(crate) fn every_loss_is_counted<D: Driver>(make: impl Fn(Vec<SocketSpec>) -> D) {
    let small = UdpOptions { receive_buffer: Some(8 * 1024), ..FULL };
    let (socket, at) = bound("127.0.0.1:0", &small);
    let mut driver = make(vec![socket]);
    let client = outside("127.0.0.1:0");
    let id = punctual::base::SocketId(0);
    assert_eq!(driver.kernel_drops(id), 0);
    let mut received = 0;
    for round in 1..=3_u64 {
        for _ in 0..1_000 {
            client.send_to(&[1; 64], at).unwrap();
        }
        loop {
            driver.wait(Nanos::from_millis(2)).unwrap();
            let got = once(&mut driver, OPEN).len();
            received += got as u64;
            if got == 0 {
                break;
            }
        }
        assert!(driver.kernel_drops(id) > 0, "1,000 datagrams do not fit 8 KiB");
        assert_eq!(received + driver.kernel_drops(id), round * 1_000);
    }
}

pub(crate) fn an_absent_upstream_does_not_stop_receiving<D: Driver>(
    make: impl Fn(Vec<SocketSpec>) -> D,
) {
    let upstream = outside("127.0.0.1:0");
    let upstream_at = upstream.local_addr().unwrap();
    let opened = open_connected(upstream_at, &FULL).unwrap();
    let ours = opened.socket.local_addr().unwrap();
    let mut driver = make(vec![spec(opened, &FULL)]);
    let mut batch = Batch::default();
    batch.add(None, None, 0, &[b"hello"]);
    batch.send_all(&mut driver);
    assert_eq!(read(&upstream).0, b"hello");
    upstream.send_to(b"1", ours).unwrap();
    assert_eq!(collect(&mut driver, OPEN, 1)[0].bytes, b"1");

    drop(upstream);
    let mut faults = 0;
    for _ in 0..3 {
        // Nobody listens: the kernel answers each with an ICMP error, which the next call is told.
        let failed = batch.send(&mut driver);
        assert!(failed.len() <= 1);
        driver.wait(Nanos::from_millis(2)).unwrap();
        let report = driver.receive(now(), OPEN, &mut |r| panic!("{r:?}")).unwrap();
        faults += report.faults + u32::try_from(failed.len()).unwrap();
    }
    assert!(faults > 0, "the refusals were told");

    let back = outside(&upstream_at.to_string());
    for i in 0..100_u8 {
        back.send_to(&[i], ours).unwrap();
    }
    let taken = collect(&mut driver, OPEN, 100);
    assert_eq!(taken.last().unwrap().bytes, [99]);
}

pub(crate) fn the_order_of_a_flow_is_kept<D: Driver>(make: impl Fn(Vec<SocketSpec>) -> D) {
    let (socket, at) = bound("127.0.0.1:0", &FULL);
    let mut driver = make(vec![socket]);
    let clients: Vec<_> = (0..8).map(|_| outside("127.0.0.1:0")).collect();
    let mut next = [0_u32; 8];
    let mut sent = [0_u32; 8];
    for burst in 0..50_u32 {
        let mut count = 0;
        for (c, client) in clients.iter().enumerate() {
            for _ in 0..=(burst + u32::try_from(c).unwrap()) % 7 {
                client.send_to(&sent[c].to_be_bytes(), at).unwrap();
                sent[c] += 1;
                count += 1;
            }
        }
        let mut last = punctual::base::Instant::ZERO;
        // Room for a few at a time, so that many receive calls share the burst.
        for t in collect(&mut driver, &[5], count) {
            let c = clients.iter().position(|c| c.local_addr().unwrap() == t.peer).unwrap();
            assert_eq!(t.bytes, next[c].to_be_bytes());
            next[c] += 1;
            assert!(t.stamp.instant() >= last);
            last = t.stamp.instant();
        }
    }
    assert_eq!(next, sent);
}
