//! What the breaker promises, alone and to many threads.

use std::sync::atomic::AtomicU64;

use super::*;

const S: Nanos = Nanos::from_secs(1);

fn at(ms: u64) -> Instant {
    Instant::ZERO + Nanos::from_millis(ms)
}

fn breaker(limit_s: u64, depth: u32) -> Arc<Breaker> {
    let limit = Nanos::from_secs(limit_s);
    Arc::new(Breaker::new(Options { limit, queue_depth_limit: depth }))
}

fn state(b: &Breaker, ms: u64) -> State {
    b.figures(at(ms)).state
}

#[test]
fn it_opens_when_the_limit_would_be_exceeded_and_closes_by_one_probe() {
    let b = breaker(10, 64);
    for i in 0..10 {
        let permit = b.admit(at(i * 1_000), S).expect("room");
        permit.settle(at(i * 1_000 + 900), S, Outcome::Done);
    }
    assert_eq!(state(&b, 10_000), State::Closed);
    assert_eq!(b.admit(at(10_000), S).unwrap_err(), Refusal::Exceeded);
    assert_eq!(state(&b, 10_000), State::Open);
    // Its hold is over after a second, but nine tenths of the limit are used until 10 s are 8.
    assert_eq!(b.admit(at(11_000), S).unwrap_err(), Refusal::Open);
    assert_eq!(b.admit(at(60_000), S).unwrap_err(), Refusal::Open, "9 s of 10 are used");
    let probe = b.admit(at(61_000), S).expect("8 s are used");
    assert!(probe.is_probe());
    assert_eq!(state(&b, 61_000), State::HalfOpen);
    assert_eq!(b.admit(at(61_000), Nanos::new(1)).unwrap_err(), Refusal::Open, "one probe");
    probe.settle(at(61_100), S, Outcome::Done);
    assert_eq!(state(&b, 61_100), State::Closed);
    assert!(!b.admit(at(61_200), Nanos::new(1)).expect("closed").is_probe());
}

#[test]
fn a_batch_that_is_longer_than_the_limit_opens_nothing() {
    let b = breaker(10, 64);
    assert_eq!(b.admit(at(0), Nanos::from_secs(11)).unwrap_err(), Refusal::TooLong);
    assert_eq!(state(&b, 0), State::Closed);
    assert_eq!(b.figures(at(0)).committed, Nanos::ZERO);
    drop(b.admit(at(0), Nanos::from_secs(10)).expect("the very limit"));
}

#[test]
fn five_failures_one_after_another_open_it_and_four_do_not() {
    let b = breaker(1_000, 64);
    let run = |ms, outcome| b.admit(at(ms), S).expect("closed").settle(at(ms), S, outcome);
    for _ in 0..3 {
        (0..4).for_each(|_| run(0, Outcome::Failed));
        run(0, Outcome::Done);
    }
    (0..4).for_each(|_| run(0, Outcome::Failed));
    assert_eq!(state(&b, 0), State::Closed);
    run(0, Outcome::Failed);
    assert_eq!(state(&b, 0), State::Open);
    assert_eq!(b.admit(at(999), S).unwrap_err(), Refusal::Open);
    // A probe that fails doubles the hold.
    run(1_000, Outcome::Failed);
    assert_eq!(b.admit(at(2_999), S).unwrap_err(), Refusal::Open);
    run(3_000, Outcome::Done);
    assert_eq!(state(&b, 3_000), State::Closed);
}

#[test]
fn as_many_on_their_way_as_may_be_and_no_more() {
    let b = breaker(1_000, 64);
    let mut held: Vec<Permit> = (0..64).map(|_| b.admit(at(0), S).expect("room")).collect();
    assert!(!b.is_open_to_work(at(0)));
    assert_eq!(b.admit(at(0), S).unwrap_err(), Refusal::QueueFull);
    assert_eq!(state(&b, 0), State::Closed, "a full queue opens nothing");
    held.pop().expect("64").settle(at(1), S, Outcome::Done);
    assert!(b.is_open_to_work(at(1)) && b.admit(at(1), S).is_ok());
}

#[test]
fn a_permit_that_is_lost_counts_as_used_and_failed() {
    let b = breaker(1_000, 64);
    for _ in 0..5 {
        drop(b.admit(at(0), S).expect("closed"));
    }
    let figures = b.figures(at(0));
    assert_eq!((figures.used, figures.in_flight), (Nanos::from_secs(5), 0));
    assert_eq!(figures.state, State::Open);
    drop(b.admit(at(1_000), S).expect("a probe"));
    assert_eq!(state(&b, 1_000), State::Open, "a lost probe is a failed one");
}

#[test]
fn a_limit_of_a_minute_a_device_cannot_trip() {
    let of = |s| Options { limit: Nanos::from_secs(s), ..Options::default() };
    assert!(!Options::default().can_trip(1), "100 s of one device");
    assert!(Options::default().can_trip(2));
    assert!(of(59).can_trip(1) && !of(60).can_trip(1) && !of(120).can_trip(2));
}

/// Threads admit and settle as fast as they can, with estimates that are kept, while time moves on. What passes is booked apart
/// from the breaker under the second in which it passed, and no minute of that may hold more than the limit.
#[test]
fn many_threads_never_exceed_the_limit() {
    const THREADS: u64 = 4;
    const ROUNDS: u64 = 30_000;
    let limit = Nanos::from_millis(50);
    let options = Options { limit, queue_depth_limit: 3 };
    let b = Arc::new(Breaker::new(options));
    let clock = AtomicU64::new(0);
    let read = || Instant::from_nanos(clock.load(Ordering::SeqCst));
    let booked: Vec<AtomicU64> = (0..2_000).map(|_| AtomicU64::new(0)).collect();
    let (most, admitted) = (AtomicU64::new(0), AtomicU64::new(0));
    let work = |thread: u64| {
        for i in 0..ROUNDS {
            // A tenth of a millisecond a round, and now and then five seconds.
            let step = if i % 500 == 0 { 5_000_000_000 } else { 100_000 };
            clock.fetch_add(step, Ordering::SeqCst);
            let estimate = Nanos::from_micros(100 + (thread * 37 + i) % 400);
            let Ok(permit) = b.admit(read(), estimate) else { continue };
            let passed = read();
            admitted.fetch_add(1, Ordering::Relaxed);
            let seen = b.figures(passed);
            most.fetch_max(seen.committed.get(), Ordering::Relaxed);
            assert!(seen.in_flight <= options.queue_depth_limit, "{seen:?}");
            let second = usize::try_from(passed.as_nanos() / 1_000_000_000).expect("small");
            booked[second].fetch_add(estimate.get(), Ordering::Relaxed);
            permit.settle(read(), estimate, Outcome::Done);
        }
    };
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let work = &work;
            scope.spawn(move || work(thread));
        }
    });
    assert!(most.load(Ordering::Relaxed) <= limit.get(), "{most:?}");
    assert!(admitted.load(Ordering::Relaxed) > 500, "{admitted:?}: nothing was tried");
    let booked: Vec<u64> = booked.iter().map(|b| b.load(Ordering::Relaxed)).collect();
    for minute in booked.windows(60) {
        let used: u64 = minute.iter().sum();
        assert!(used <= limit.get(), "{used} in a minute");
    }
    let end = b.figures(Instant::from_nanos(clock.load(Ordering::Relaxed) + 61_000_000_000));
    assert_eq!((end.committed, end.in_flight), (Nanos::ZERO, 0), "nothing leaks");
}
