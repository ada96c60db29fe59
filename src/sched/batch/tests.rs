//! What is charged is what batches take, row by row; who is flat is not touched.

use super::*;
use crate::sched::estimate::bucket;

const HIGH: Priority = Priority::High;

/// A staircase: eight rows cost little more than one.
fn staircase(rows: u64) -> Nanos {
    Nanos::new(5_000 * rows.div_ceil(8) + 60 * (rows - 1))
}

fn times(cost: impl Fn(u64) -> Nanos) -> Vec<Nanos> {
    (1..=64).map(cost).collect()
}

fn batches(mode: Mode, slice: Nanos) -> (Batches, u16) {
    let shape = Shape::new(&times(staircase), 64).expect("not flat");
    let mut all = Batches::new(mode, vec![None, Some(shape)]);
    all.set_slice(slice);
    (all, bucket(KernelId(1), 256))
}

/// What a queue of so many is charged, pushed one by one.
fn queued(batches: &mut Batches, bucket: u16, count: u32) -> u64 {
    let push = |waiting| {
        let each = batches.charge(bucket, HIGH, waiting, 1).expect("it has a shape");
        batches.pushed(bucket, HIGH, 1);
        each.get()
    };
    (0..count).map(push).sum()
}

fn near(found: u64, ns: u64) {
    assert!(found.abs_diff(ns) <= ns / 200 + 64, "{found} of {ns}");
}

#[test]
fn a_queue_is_charged_what_its_batches_take() {
    let slice = Nanos::from_micros(20);
    for count in [1, 2, 7, 8, 9, 24, 25, 100] {
        let (mut all, bucket) = batches(Mode::Cost, slice);
        let cap = all.rows_of(KernelId(1)).expect("a bound") as u64;
        assert_eq!(cap, 24, "three steps and not four fit 20 us");
        let (whole, rest) = (u64::from(count) / cap, u64::from(count) % cap);
        let last = if rest > 0 { staircase(rest).get() } else { 0 };
        near(queued(&mut all, bucket, count), whole * staircase(cap).get() + last);
    }
}

#[test]
fn many_at_once_are_charged_what_they_are_charged_one_by_one() {
    let (mut all, bucket) = batches(Mode::Cost, Nanos::from_micros(20));
    let singly = queued(&mut all, bucket, 30);
    let (mut all, bucket) = batches(Mode::Cost, Nanos::from_micros(20));
    let mut together = 0;
    for waiting in [0, 10, 20] {
        let each = all.charge(bucket, HIGH, waiting, 10).expect("it has a shape");
        all.pushed(bucket, HIGH, 10);
        together += 10 * each.get();
    }
    assert!(together.abs_diff(singly) <= 30, "{together} {singly}");
}

#[test]
fn what_was_taken_out_leaves_the_next_one_at_the_front_of_its_batch() {
    let (mut all, bucket) = batches(Mode::Cost, Nanos::from_micros(20));
    queued(&mut all, bucket, 24);
    // All were run: whoever comes now begins a batch, however many came before.
    near(all.charge(bucket, HIGH, 0, 1).expect("a shape").get(), 5_000);
    near(all.charge(bucket, HIGH, 3, 1).expect("a shape").get(), 60);
}

#[test]
fn another_kernel_between_two_ends_the_batch() {
    let (mut all, own) = batches(Mode::Cost, Nanos::from_micros(20));
    queued(&mut all, own, 5);
    all.pushed(bucket(KernelId(0), 64), HIGH, 1);
    near(all.charge(own, HIGH, 6, 1).expect("a shape").get(), 5_000);
    all.pushed(own, HIGH, 1);
    near(all.charge(own, HIGH, 7, 1).expect("a shape").get(), 60);
    // Another class has a queue of its own.
    near(all.charge(own, Priority::Low, 0, 1).expect("a shape").get(), 5_000);
}

#[test]
fn the_bound_is_what_a_slice_holds_and_never_less_than_a_step() {
    let rows = |slice| batches(Mode::Cost, slice).0.rows_of(KernelId(1));
    assert_eq!(rows(Nanos::ZERO), Some(8), "one row alone takes longer than that");
    assert_eq!(rows(Nanos::new(10_900)), Some(16));
    assert_eq!(rows(Nanos::from_secs(1)), Some(64));
    let short = Shape::new(&times(staircase), 12).expect("not flat");
    let mut all = Batches::new(Mode::Cost, vec![Some(short)]);
    all.set_slice(Nanos::from_secs(1));
    assert_eq!(all.rows_of(KernelId(0)), Some(12), "past that a run gains nothing");
}

#[test]
fn a_row_that_costs_the_same_in_any_batch_has_no_shape() {
    assert_eq!(Shape::new(&times(|rows| Nanos::new(3_000 * rows)), 64), None);
    assert_eq!(Shape::new(&times(|rows| Nanos::new(100 + 3_000 * rows)), 64), None, "a thirtieth");
    assert_eq!(Shape::new(&times(|rows| Nanos::new(60 + 20 * rows)), 64), None, "next to nothing");
    assert_eq!(Shape::new(&[], 64), None);
    assert!(!Batches::new(Mode::Cost, vec![None, None]).any());
    let shape = Shape::new(&times(staircase), 64);
    assert!(!Batches::new(Mode::Average, vec![shape]).any(), "asked to do without");
}

#[test]
fn a_bucket_follows_what_it_sees_and_no_other() {
    let (mut all, own) = batches(Mode::Cost, Nanos::from_micros(20));
    let expected = all.whole(own, 8).expect("a shape");
    all.correct(own, expected, expected.saturating_mul(2));
    // (7 * 1 + 2) / 8
    near(all.whole(own, 1).expect("a shape").get(), 5_625);
    near(all.whole(own + 1, 1).expect("a shape").get(), 5_000);
    for _ in 0..60 {
        let expected = all.whole(own, 8).expect("a shape");
        all.correct(own, expected, staircase(8).saturating_mul(3));
    }
    near(all.whole(own, 8).expect("a shape").get(), 3 * staircase(8).get());
    // A pause of 10 s counts as four times.
    let before = all.whole(own, 1).expect("a shape").get();
    all.correct(own, staircase(8), Nanos::from_secs(10));
    near(all.whole(own, 1).expect("a shape").get(), before * 11 / 8);
    // The bound shrinks with it.
    all.settle();
    assert_eq!(all.rows_of(KernelId(1)), Some(8));
}

#[test]
fn for_comparison_there_are_batches_of_one_and_of_a_fixed_size() {
    let (mut single, bucket) = batches(Mode::Single, Nanos::from_micros(20));
    assert_eq!(single.rows_of(KernelId(1)), Some(24), "formed as by cost");
    near(queued(&mut single, bucket, 24), 24 * 5_000);
    assert_eq!(single.company(bucket, HIGH, 0), Nanos::ZERO);
    let (mut fixed, bucket) = batches(Mode::Fixed(32), Nanos::ZERO);
    assert_eq!(fixed.rows_of(KernelId(1)), Some(32), "whatever the slice");
    near(queued(&mut fixed, bucket, 32), staircase(32).get());
    near(fixed.charge(bucket, HIGH, 0, 1).expect("a shape").get(), staircase(32).get() / 32);
    let (fixed, _) = batches(Mode::Fixed(1), Nanos::from_micros(20));
    assert_eq!(fixed.rows_of(KernelId(1)), Some(1));
}

#[test]
fn company_is_what_the_rest_of_the_batch_takes() {
    let (mut all, bucket) = batches(Mode::Cost, Nanos::from_micros(20));
    near(all.company(bucket, HIGH, 0).get(), staircase(24).get() - 5_000);
    queued(&mut all, bucket, 23);
    assert_eq!(all.company(bucket, HIGH, 23), Nanos::ZERO, "it is the last of its batch");
}

#[test]
fn a_slice_that_ends_just_before_a_step_is_stretched_to_it() {
    // Four rows at a time: 2 us the first four, 3 us eight, 17 us all 64.
    let cost = |rows: u64| Nanos::new(1_000 + 1_000 * rows.div_ceil(4));
    let mut all = Batches::new(Mode::Cost, vec![Shape::new(&times(cost), 64)]);
    all.set_slice(Nanos::from_micros(5));
    // In 5 us fit 16, at 312 ns a row. In 20 us fit 64, at 266; from 44 on, 12 us, they are within a thirtieth of that.
    assert_eq!(all.rows_of(KernelId(0)), Some(44));
    all.set_slice(Nanos::from_micros(15));
    assert_eq!(all.rows_of(KernelId(0)), Some(56), "the slice itself holds more");
}
