use super::*;
use crate::base::{IngressId, KernelId};
use crate::packet::{PacketFlags, Slot};

const NOTHING: [usize; 0] = [];
const LOW: ListId = ListId(2 * 256);

fn at(us: u64) -> Instant {
    Instant::ZERO + Nanos::from_micros(us)
}

fn packet() -> Packet {
    Packet {
        released: Instant::ZERO,
        deadline: at(1_000),
        service: Nanos::ZERO,
        slot: Slot::FIRST,
        len: 64,
        count: 2,
        ingress: IngressId(0),
        kernel: KernelId(0),
        bucket: 0,
        priority: Priority::Low,
        flags: PacketFlags::default(),
    }
}

fn rows(seq: usize) -> [Row; 2] {
    let done = Row { start: 0, len: seq, capacity: 64, status: RowStatus::Done };
    [done, Row { status: RowStatus::Failed, ..done }]
}

fn wait(ring: &mut Reorder, seq: u64) -> bool {
    let rows = rows(usize::try_from(seq).unwrap());
    ring.wait(LOW, seq, (packet(), &rows, Nanos::ZERO), at(900))
}

fn key(seq: u64) -> Key {
    Key { deadline: at(1_000), priority: Priority::Low, seq }
}

/// Which results go on now, where everything up to that push has left the queue.
fn ready(ring: &mut Reorder, now: u64, left: u64) -> Vec<usize> {
    let mut cursor = 0;
    let mut all = Vec::new();
    while let Some(f) = ring.next_ready(at(now), &mut cursor, |k| k.seq <= left) {
        let rows: Vec<_> = f.rows(0, 64, 64).collect();
        assert_eq!(
            (rows.len(), rows[0].status, rows[1].status),
            (2, RowStatus::Done, RowStatus::Failed)
        );
        all.push(rows[0].len);
    }
    all
}

#[test]
fn results_wait_for_what_is_away_before_them() {
    let mut ring = Reorder::new(packet());
    [3, 5].into_iter().for_each(|seq| ring.goes(LOW, seq));
    assert!(!ring.must_wait(LOW, 2) && ring.must_wait(LOW, 4));
    assert!(wait(&mut ring, 4) && wait(&mut ring, 6) && wait(&mut ring, 5));
    assert_eq!(ready(&mut ring, 0, 0), NOTHING);
    assert!(wait(&mut ring, 3));
    assert_eq!(ready(&mut ring, 0, 0), [3, 4, 5, 6]);
    assert!(!ring.is_active());
}

#[test]
fn what_ends_without_a_result_holds_nobody_up() {
    let mut ring = Reorder::new(packet());
    [3, 5].into_iter().for_each(|seq| ring.goes(LOW, seq));
    assert!(wait(&mut ring, 6));
    assert!(ring.is_over(LOW, 3) && !ring.is_over(LOW, 4));
    assert_eq!(ready(&mut ring, 0, 0), NOTHING);
    assert!(ring.is_over(LOW, 5));
    assert_eq!(ready(&mut ring, 0, 0), [6]);
}

#[test]
fn those_behind_go_on_in_time_and_who_was_given_up_is_not_expected() {
    let mut ring = Reorder::new(packet());
    [3, 7].into_iter().for_each(|seq| ring.goes(LOW, seq));
    assert!(wait(&mut ring, 4));
    assert_eq!(ring.next_until(), Some(at(900)));
    assert_eq!(ready(&mut ring, 899, 0), NOTHING);
    assert_eq!(ready(&mut ring, 900, 0), [4]);
    assert!(!ring.expects(LOW, 3) && ring.expects(LOW, 7), "only what came before is given up");
    assert_eq!(ring.given_up(), 1);
}

/// What is still queued at the worker holds up the first of those behind it, and the next once the first is gone.
#[test]
fn what_is_queued_before_them_is_waited_for_whoever_is_given_up() {
    let mut ring = Reorder::new(packet());
    [5, 9].into_iter().for_each(|seq| ring.goes(LOW, seq));
    assert!(wait(&mut ring, 9));
    ring.is_queued(LOW, 4, key(4));
    assert_eq!(ready(&mut ring, 950, 3), NOTHING, "5 is given up, 4 is queued");
    assert_eq!(ring.given_up(), 1);
    assert_eq!(ready(&mut ring, 950, 4), [9]);
}

/// Where what is queued gets other places, those that were noted are void: nobody waits for a place that nobody comes to.
#[test]
fn places_that_are_void_are_not_waited_for() {
    let mut ring = Reorder::new(packet());
    ring.goes(LOW, 9);
    assert!(wait(&mut ring, 9));
    ring.is_queued(LOW, 4, key(1_000));
    assert_eq!(ready(&mut ring, 100, 3), NOTHING);
    ring.forget_places();
    ring.is_queued(LOW, 4, key(2));
    assert_eq!(ready(&mut ring, 100, 1), NOTHING, "the new place");
    assert_eq!(ready(&mut ring, 100, 3), [9], "and not the old one");
}

#[test]
fn a_full_ring_gives_up_what_is_away_and_keeps_its_bound() {
    let mut ring = Reorder::new(packet());
    ring.goes(LOW, 0);
    for seq in 1..NODES as u64 {
        assert!(wait(&mut ring, seq));
    }
    assert!(!wait(&mut ring, NODES as u64), "no place");
    assert!(!ring.expects(LOW, 0));
    assert_eq!(ready(&mut ring, 0, 0).len(), NODES - 1);
    assert!(!ring.is_active() && ring.waits() == 0);
    assert_eq!(ring.room(), NODES - FOR_RESULTS);
}

#[test]
fn flows_of_different_priorities_never_share_a_list() {
    for flow in [0, 1, 255, 256, u64::MAX] {
        let lists = Priority::ALL.map(|p| list_of(flow, p).0);
        assert!(lists.is_sorted_by(|a, b| a < b), "{lists:?}");
    }
}
