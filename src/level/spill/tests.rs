//! What spillover promises.

use proptest::prelude::*;

use super::*;
use crate::base::Nanos;

fn at(us: u64) -> Instant {
    Instant::ZERO + Nanos::from_micros(us)
}

fn queues(depths: &[u32]) -> (Vec<Arc<Depth>>, Vec<Place>) {
    let all: Vec<Arc<Depth>> = depths.iter().map(|_| Arc::new(Depth::new())).collect();
    let taken = all.iter().zip(depths);
    let taken = taken.flat_map(|(q, n)| (0..*n).map(|_| q.take(u32::MAX).expect("room")));
    let taken: Vec<Place> = taken.collect();
    (all, taken)
}

/// Each queue with when it is done and whether it may be gone to.
fn lanes<'q>(queues: &'q [Arc<Depth>], of: &[(u64, bool)]) -> Vec<Lane<'q>> {
    let lane = |(depth, &(us, allowed))| Lane { depth, done: at(us), allowed };
    queues.iter().zip(of).map(lane).collect()
}

/// Where work due at 100 us goes, its place given back at once.
fn route(spill: &Spillover, depths: &[u32], of: &[(u64, bool)]) -> Result<(usize, Route), Reject> {
    let (queues, _taken) = queues(depths);
    spill.route(&lanes(&queues, of), at(100)).map(|(lane, why, _)| (lane, why))
}

#[test]
fn a_short_queue_keeps_its_work_and_a_long_one_spills_to_who_is_done_first() {
    let spill = Spillover::default();
    let of = [(90, true), (50, true), (40, true), (30, false)];
    assert_eq!(route(&spill, &[9, 0, 0, 0], &of), Ok((0, Route::Primary)));
    assert_eq!(route(&spill, &[10, 0, 0, 0], &of), Ok((2, Route::Spill)));
    assert_eq!(
        route(&spill, &[10, 0, 50, 0], &of),
        Ok((1, Route::Spill)),
        "a full one is no choice"
    );
    assert_eq!(route(&spill, &[10, 50, 50, 0], &of), Ok((0, Route::Primary)), "nobody is better");
    let late = [(90, true), (101, true)];
    assert_eq!(route(&spill, &[49, 0], &late), Ok((0, Route::Primary)));
}

#[test]
fn it_comes_back_below_four_fifths_of_the_threshold() {
    let spill = Spillover::default();
    let of = [(90, true), (50, true)];
    for (depth, lane) in [(9, 0), (10, 1), (9, 1), (8, 1), (7, 0), (9, 0), (10, 1)] {
        let (found, _) = route(&spill, &[depth, 0], &of).expect("room");
        assert_eq!(found, lane, "at {depth}");
        assert_eq!(spill.is_spilling(), lane == 1);
    }
    // 80 % of any threshold, exactly: below it and not at it.
    for threshold in 1..200 {
        let below = Options { threshold, max_depth: 500 }.returns_below();
        let come_back = |depth: u32| 10 * depth < 8 * threshold;
        assert!(below == 0 || come_back(below - 1), "{threshold}");
        assert!(!come_back(below), "{threshold}");
    }
}

#[test]
fn every_reason_for_no_place() {
    let spill = Spillover::default();
    let reject = |depths: &[u32], of: &[(u64, bool)]| route(&spill, depths, of).unwrap_err();
    assert_eq!(reject(&[], &[]), Reject::NoBackends);
    assert_eq!(reject(&[50, 50], &[(1, true), (1, true)]), Reject::QueueFull);
    assert_eq!(reject(&[50, 0], &[(1, true), (101, true)]), Reject::Deadline);
    assert_eq!(reject(&[0, 0], &[(1, false), (1, false)]), Reject::Policy);
    assert_eq!(reject(&[50, 0], &[(1, true), (1, false)]), Reject::QueueFull, "where it may go");
}

#[test]
fn a_queue_that_may_not_be_gone_to_is_passed_over_however_short() {
    let spill = Spillover::default();
    assert_eq!(route(&spill, &[0, 0], &[(1, false), (1, true)]), Ok((1, Route::Spill)));
}

#[test]
fn threads_never_take_more_places_than_there_are_and_all_come_back() {
    let depth = Arc::new(Depth::new());
    let most = AtomicU32::new(0);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let mut held = Vec::new();
                for i in 0..20_000 {
                    held.extend(depth.take(7));
                    most.fetch_max(depth.get(), Ordering::Relaxed);
                    if i % 3 == 0 {
                        held.pop();
                    }
                }
            });
        }
    });
    assert_eq!((most.load(Ordering::Relaxed), depth.get()), (7, 0));
}

proptest! {
    /// Against a model that counts by hand: depths are as expected, never past a bound, and never below zero.
    #[test]
    fn depths_are_what_is_held(
        threshold in 1u32..12,
        max_depth in 1u32..15,
        steps in proptest::collection::vec((any::<bool>(), 0usize..64, 0u64..200, 0u64..200), 1..300),
    ) {
        let spill = Spillover::new(Options { threshold, max_depth });
        let (queues, _) = queues(&[0, 0, 0]);
        let mut held: Vec<(usize, Place)> = Vec::new();
        let mut spilling = false;
        for (arrives, which, b, c) in steps {
            if !arrives {
                if !held.is_empty() {
                    drop(held.swap_remove(which % held.len()));
                }
                continue;
            }
            let count = |lane: usize| {
                u32::try_from(held.iter().filter(|(l, _)| *l == lane).count()).unwrap()
            };
            let [own, first, second] = [count(0), count(1), count(2)];
            let stays = if spilling { 10 * own < 8 * threshold } else { own < threshold };
            spilling = !stays;
            let mut others: Vec<(u64, usize)> = Vec::new();
            if first < max_depth && b <= 100 { others.push((b, 1)); }
            if second < max_depth && c <= 100 { others.push((c, 2)); }
            let expected = if stays && own < max_depth {
                Ok(0)
            } else if let Some((_, lane)) = others.into_iter().min() {
                Ok(lane)
            } else if own < max_depth {
                Ok(0)
            } else if first < max_depth || second < max_depth {
                Err(Reject::Deadline)
            } else {
                Err(Reject::QueueFull)
            };
            let got = spill.route(&lanes(&queues, &[(500, true), (b, true), (c, true)]), at(100));
            prop_assert_eq!(got.as_ref().map(|g| g.0).map_err(|e| *e), expected);
            if let Ok((lane, _, place)) = got {
                held.push((lane, place));
            }
            for (lane, queue) in queues.iter().enumerate() {
                let model = held.iter().filter(|(l, _)| *l == lane).count();
                prop_assert_eq!(queue.get() as usize, model);
                prop_assert!(queue.get() <= max_depth);
            }
        }
        drop(held);
        prop_assert!(queues.iter().all(|q| q.get() == 0));
    }
}
