//! Every interleaving, within bounds, of the two cells that cross threads and of a device's breaker. Run with
//! `cargo test --release --manifest-path tests/loom/Cargo.toml --target-dir target-loom`.

use loom::sync::Arc;
use loom::thread;
use punctual_loom::base::{Instant, Nanos, PerPriority};
use punctual_loom::board::Board;
use punctual_loom::breaker::{Breaker, FAILURES_MAX, Options, Outcome, State};
use punctual_loom::plan::{PlanCell, WorkerPlan};

fn model(f: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound.get_or_insert(3);
    builder.check(f);
}

/// A plan all of whose fields follow from its generation.
fn plan(generation: u32) -> WorkerPlan {
    let span = Nanos::new(u64::from(generation));
    WorkerPlan {
        quota: PerPriority::new([generation; 4]),
        total: generation,
        fill: PerPriority::new([u16::try_from(generation).unwrap_or(u16::MAX); 4]),
        guard: PerPriority::new([span; 4]),
        slice: span,
        generation: u64::from(generation),
    }
}

/// One publication and one read: seven words in two versions each are already thousands of executions. That later
/// publications keep the order is the board's test, whose protocol is the same.
#[test]
fn a_plan_is_read_whole() {
    model(|| {
        let cell = Arc::new(PlanCell::new(&plan(1)));
        let writer = {
            let cell = Arc::clone(&cell);
            thread::spawn(move || cell.publish(&plan(2)))
        };
        let got = cell.read(1);
        assert!(got.is_none_or(|got| got == plan(2)), "torn: {got:?}");
        writer.join().unwrap();
        assert_eq!(cell.read(1), Some(plan(2)), "the plan is not lost");
    });
}

fn breaker(limit: Nanos) -> std::sync::Arc<Breaker> {
    std::sync::Arc::new(Breaker::new(Options { limit, queue_depth_limit: 64 }))
}

/// Two batches of which the limit has room for one, in either of the last two seconds that this model's ring has.
#[test]
fn two_batches_never_pass_where_there_is_room_for_one() {
    model(|| {
        let b = breaker(Nanos::from_micros(10));
        let batch = |b: &std::sync::Arc<Breaker>, second: u64| {
            let now = Instant::ZERO + Nanos::from_secs(second);
            let estimate = Nanos::from_micros(6);
            let Ok(permit) = b.admit(now, estimate) else { return 0 };
            assert!(b.figures(now).committed <= Nanos::from_micros(10));
            permit.settle(now, estimate, Outcome::Done);
            1
        };
        let other = {
            let b = std::sync::Arc::clone(&b);
            thread::spawn(move || batch(&b, 1))
        };
        let passed = batch(&b, 0) + other.join().unwrap();
        assert_eq!(passed, 1);
        let end = b.figures(Instant::ZERO + Nanos::from_secs(1));
        assert_eq!((end.committed, end.in_flight), (Nanos::from_micros(6), 0));
        assert_eq!(end.state, State::Open, "the other one opened it");
    });
}

#[test]
fn an_open_breaker_lets_one_probe_through() {
    model(|| {
        let b = breaker(Nanos::from_secs(10));
        for _ in 0..FAILURES_MAX {
            let permit = b.admit(Instant::ZERO, Nanos::new(1)).expect("closed");
            permit.settle(Instant::ZERO, Nanos::new(1), Outcome::Failed);
        }
        let now = Instant::ZERO + Nanos::from_secs(1);
        let ask = move |b: &std::sync::Arc<Breaker>| b.admit(now, Nanos::new(1));
        let other = {
            let b = std::sync::Arc::clone(&b);
            thread::spawn(move || ask(&b))
        };
        let asked = [ask(&b), other.join().unwrap()];
        let passed: Vec<_> = asked.into_iter().flatten().collect();
        assert_eq!(passed.len(), 1);
        assert!(passed[0].is_probe());
    });
}

#[test]
fn a_board_is_read_whole_and_its_version_tells_which() {
    model(|| {
        let board = Arc::new(Board::new(3));
        let writer = {
            let board = Arc::clone(&board);
            thread::spawn(move || (1..=2).for_each(|n| board.publish(&[n; 3])))
        };
        let mut out = [0; 3];
        for _ in 0..2 {
            if let Some(version) = board.try_read(&mut out) {
                assert_eq!(out, [version; 3], "torn");
            }
        }
        writer.join().unwrap();
        assert_eq!((board.try_read(&mut out), out), (Some(2), [2; 3]));
    });
}
