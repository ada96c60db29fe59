use super::*;
use crate::io::Stamp;
use crate::load::{Framing, Matching};

/// Answers to these ids at `at`, as trains of `size` bytes each; one datagram each with no `train`.
fn fed(ids: &[&[u64]], train: bool) -> Report {
    let mut plan = Plan::single("a", "127.0.0.1:9".parse().expect("an address"));
    (plan.framing, plan.matching) = (Framing::Raw, Matching::Echo);
    let (mut tally, mut ledger) = (Tally::new(&plan), Ledger::new(1e3, Nanos::from_secs(1), false));
    // Five that were sent together, three that were, and one by itself.
    for (first, count) in [(0, 5), (5, 3), (8, 1)] {
        let sent = Instant::from_nanos(10 + first);
        let (intended, socket) = (Instant::from_nanos(first), SocketId(0));
        let ticket =
            Ticket { id: first, intended, sent, class: 0, socket, interval: 0, stretch: 0 };
        ledger.open(ticket, count, |_| panic!("there is room"));
        tally.sent(&ticket, count, Instant::ZERO);
    }
    for (i, ids) in (1..).zip(ids) {
        let bytes: Vec<u8> =
            ids.iter().flat_map(|id| [id.to_be_bytes(), [7; 8]].concat()).collect();
        let mut take = |bytes: &[u8], segment| {
            let stamp = Stamp::Kernel(Instant::from_nanos(1_000 * (1 + i / 3)));
            let received = Received {
                socket: SocketId(0),
                peer: plan.classes[0].to,
                local: None,
                tos: 0,
                stamp,
                segment,
                truncated: false,
                bytes,
            };
            tally.take(&mut ledger, &received)
        };
        let taken: usize = match train {
            true => take(&bytes, 16),
            false => bytes.chunks(16).map(|d| take(d, 0)).sum(),
        };
        assert_eq!(taken, ids.len());
        // As after each turn: what comes next may have the same time.
        tally.flush();
    }
    let report = tally.report(&plan);
    assert_eq!(report.sum(|c| c.answered) + ledger.waiting() as u64, 9);
    report
}

#[test]
fn a_train_is_recorded_as_its_datagrams_would_be() {
    // Out of order, over the bounds of what was sent together, one twice, one that was never sent, some later.
    let ids: [&[u64]; 3] = [&[1, 0, 2, 5, 6, 7, 3, 3, 99], &[4, 4, 1], &[8]];
    let (train, singly) = (fed(&ids, true), fed(&ids, false));
    let figures = |r: &Report| {
        let c = &r.classes[0];
        let sums = (c.corrected.mean_ns().round(), c.raw.max(), r.timeline.clone());
        (c.answered, c.on_time, c.duplicates, c.unknown, [c.corrected.count(), c.raw.count()], sums)
    };
    assert_eq!(figures(&train), figures(&singly));
    let (answered, _, duplicates, unknown, recorded, _) = figures(&train);
    assert_eq!((answered, duplicates, unknown, recorded), (9, 3, 1, [9, 9]));
}
