//! What leaves, and what is said of what does not.

use std::net::SocketAddr;

use punctual::base::SocketId;
use punctual::io::{Driver, SendError, SendFailure, SocketSpec};
use punctual::sys::socket::open_connected;

use crate::rig::{Batch, FULL, bound, is_would_block, outside, read, spec};

fn train(count: u8, segment: usize, last: usize) -> Vec<Vec<u8>> {
    let mut pieces: Vec<Vec<u8>> = (1..count).map(|i| vec![i; segment]).collect();
    pieces.push(vec![count; last]);
    pieces
}

fn add_train(batch: &mut Batch, to: SocketAddr, pieces: &[Vec<u8>]) {
    let slices: Vec<&[u8]> = pieces.iter().map(Vec::as_slice).collect();
    let segment = u16::try_from(pieces[0].len()).unwrap();
    batch.add(Some(to), None, segment, &slices);
}

pub(crate) fn trains_leave_as_datagrams<D: Driver>(make: impl Fn(Vec<SocketSpec>) -> D) {
    for host in ["127.0.0.1:0", "[::1]:0"] {
        let (socket, at) = bound(host, &FULL);
        let mut driver = make(vec![socket]);
        let client = outside(host);
        let to = client.local_addr().unwrap();
        for (count, segment, last) in [(64, 64, 64), (2, 1_200, 1), (40, 1_200, 700), (5, 32, 31)] {
            let pieces = train(count, segment, last);
            let mut batch = Batch::default();
            add_train(&mut batch, to, &pieces);
            // The source address and the segment size travel together.
            batch.tx.messages[0].from = Some(at.ip());
            batch.send_all(&mut driver);
            for piece in &pieces {
                assert_eq!(read(&client), (piece.clone(), at));
            }
        }
    }
}

pub(crate) fn trains_without_segmentation_leave_singly<D: Driver>(
    make: impl Fn(Vec<SocketSpec>) -> D,
) {
    let (socket, _) = bound("127.0.0.1:0", &FULL);
    let mut driver = make(vec![SocketSpec { gso: false, ..socket }]);
    let client = outside("127.0.0.1:0");
    let pieces = train(100, 50, 20);
    let mut batch = Batch::default();
    add_train(&mut batch, client.local_addr().unwrap(), &pieces);
    batch.send_all(&mut driver);
    for piece in &pieces {
        assert_eq!(&read(&client).0, piece);
    }
    // All of its datagrams are refused: one failure, nothing departed.
    let mut batch = Batch::default();
    add_train(&mut batch, "127.0.0.1:0".parse().unwrap(), &pieces);
    let want = SendFailure { message: 0, error: SendError::Refused(libc::EINVAL), departed: 0 };
    assert_eq!(batch.send(&mut driver), [want]);
}

pub(crate) fn a_refused_train_leaves_singly<D: Driver>(make: impl Fn(Vec<SocketSpec>) -> D) {
    let (socket, _) = bound("127.0.0.1:0", &FULL);
    let mut driver = make(vec![socket]);
    let client = outside("127.0.0.1:0");
    let to = client.local_addr().unwrap();
    // No kernel takes so many segments: EINVAL, as from a device that cannot.
    let long = train(200, 40, 10);
    let short = train(3, 40, 10);
    let mut batch = Batch::default();
    add_train(&mut batch, to, &short);
    add_train(&mut batch, to, &long);
    add_train(&mut batch, to, &short);
    for _ in 0..2 {
        batch.send_all(&mut driver);
        let mut got: Vec<Vec<u8>> = (0..206).map(|_| read(&client).0).collect();
        // What was refused leaves after the rest of its batch or in its place: each datagram once is what counts.
        let mut want: Vec<Vec<u8>> = [&short[..], &long, &short].concat();
        got.sort_unstable();
        want.sort_unstable();
        assert_eq!(got, want);
    }
    client.set_nonblocking(true).unwrap();
    assert!(is_would_block(&client.recv_from(&mut [0; 8]).unwrap_err()));
}

pub(crate) fn failures_are_told_in_order<D: Driver>(make: impl Fn(Vec<SocketSpec>) -> D) {
    let (first, _) = bound("127.0.0.1:0", &FULL);
    let (second, _) = bound("127.0.0.1:0", &FULL);
    let mut driver = make(vec![first, second]);
    let client = outside("127.0.0.1:0");
    let good = client.local_addr().unwrap();
    let nowhere: SocketAddr = "127.0.0.1:0".parse().unwrap();
    let mut batch = Batch::default();
    for i in 0..150_u8 {
        let to = if i % 3 == 1 { nowhere } else { good };
        batch.add(Some(to), None, 0, &[&[i]]).socket = SocketId(u16::from(i % 2));
    }
    // Longer than any datagram may be, and a train of good ones to nowhere.
    batch.add(Some(good), None, 0, &[&vec![0; 40_000], &vec![0; 40_000]]);
    batch.add(Some(nowhere), None, 10, &[&[0; 10], &[0; 10]]);
    let mut want: Vec<SendFailure> = (0..150)
        .filter(|i| i % 3 == 1)
        .map(|message| SendFailure {
            message,
            error: SendError::Refused(libc::EINVAL),
            departed: 0,
        })
        .collect();
    want.push(SendFailure { message: 150, error: SendError::Refused(libc::EMSGSIZE), departed: 0 });
    want.push(SendFailure { message: 151, error: SendError::Refused(libc::EINVAL), departed: 0 });
    assert_eq!(batch.send(&mut driver), want);
    let mut got: Vec<u8> = (0..100).map(|_| read(&client).0[0]).collect();
    got.sort_unstable();
    assert_eq!(got, (0..150).filter(|i| i % 3 != 1).collect::<Vec<u8>>());

    // A train to nowhere says nothing about the device: trains still leave as trains.
    let pieces = train(3, 10, 5);
    let mut batch = Batch::default();
    add_train(&mut batch, good, &pieces);
    batch.send_all(&mut driver);
    for piece in &pieces {
        assert_eq!(&read(&client).0, piece);
    }
}

pub(crate) fn scattered_parts_are_joined<D: Driver>(make: impl Fn(Vec<SocketSpec>) -> D) {
    let (socket, _) = bound("127.0.0.1:0", &FULL);
    let mut driver = make(vec![socket]);
    let client = outside("127.0.0.1:0");
    let to = client.local_addr().unwrap();
    let mut batch = Batch::default();
    batch.add(Some(to), None, 0, &[b"head", b"", b"body", b"tail"]);
    batch.add(Some(to), None, 0, &[]);
    batch.add(Some(to), None, 0, &[b"last"]);
    batch.send_all(&mut driver);
    let got: Vec<Vec<u8>> = (0..3).map(|_| read(&client).0).collect();
    assert_eq!(got, [&b"headbodytail"[..], b"", b"last"]);
}

pub(crate) fn a_connected_socket_needs_no_address<D: Driver>(make: impl Fn(Vec<SocketSpec>) -> D) {
    let upstream = outside("[::1]:0");
    let opened = open_connected(upstream.local_addr().unwrap(), &FULL).unwrap();
    let mut driver = make(vec![spec(opened, &FULL)]);
    let pieces = train(4, 100, 50);
    let slices: Vec<&[u8]> = pieces.iter().map(Vec::as_slice).collect();
    let mut batch = Batch::default();
    batch.add(None, None, 0, &[b"one"]);
    batch.add(None, None, 100, &slices);
    batch.send_all(&mut driver);
    assert_eq!(read(&upstream).0, b"one");
    for piece in &pieces {
        assert_eq!(&read(&upstream).0, piece);
    }
}

pub(crate) fn large_batches_leave_whole<D: Driver>(make: impl Fn(Vec<SocketSpec>) -> D) {
    let (socket, _) = bound("127.0.0.1:0", &FULL);
    let mut driver = make(vec![socket]);
    let client = outside("127.0.0.1:0");
    let to = client.local_addr().unwrap();
    let mut batch = Batch::default();
    let pieces: Vec<Vec<u8>> = (0..30).map(|i| vec![i; 20]).collect();
    // 60 messages of up to 30 parts: more iovecs than one system call is given.
    for i in 0..60 {
        if i % 2 == 0 {
            add_train(&mut batch, to, &pieces);
        } else {
            batch.add(Some(to), None, 0, &[b"between"]);
        }
    }
    let mut received = 0;
    for _ in 0..3 {
        batch.send_all(&mut driver);
        client.set_nonblocking(true).unwrap();
        let mut buffer = [0; 64];
        while client.recv_from(&mut buffer).is_ok() {
            received += 1;
        }
    }
    // The client's own receive buffer takes 250 small datagrams; what it was handed is at most what was sent.
    assert!((250..=3 * (30 * 30 + 30)).contains(&received), "{received}");
}
