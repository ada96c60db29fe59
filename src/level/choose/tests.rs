//! The seed's rule to the letter, and what is made of it.

use proptest::prelude::*;

use super::Backend::{Avx2, Avx512, Device, Scalar};
use super::*;

const NO_HURRY: Nanos = Nanos::from_secs(1);

fn core(backend: Backend, us: u64) -> Offer {
    let work = Nanos::from_micros(us);
    let (transfer, wait) = (Nanos::ZERO, Nanos::ZERO);
    Offer { backend, work, work_high: work, work_low: work, transfer, wait, open: true }
}

fn device(work_us: u64, transfer_us: u64) -> Offer {
    Offer { transfer: Nanos::from_micros(transfer_us), ..core(Device, work_us) }
}

fn seed() -> Leveller {
    Leveller::new(Options { mode: Mode::Seed, ..Options::default() })
}

fn backend(choice: Choice) -> Option<Backend> {
    if let Choice::Run(backend, _) = choice { Some(backend) } else { None }
}

/// Seed 000: "< 1K elements: Scalar. 1K - 100K: SIMD. > 100K: GPU", and SEMANTICS: the device only where it pays.
#[test]
fn golden_sizes_of_the_seed() {
    let offers = [core(Scalar, 900), core(Avx2, 800), core(Avx512, 800), device(10, 1)];
    for (elements, chosen) in [
        (0, Scalar),
        (999, Scalar),
        (1_000, Avx512),
        (100_000, Avx512),
        (100_001, Device),
        (u64::MAX, Device),
    ] {
        let choice = seed().choose(&offers, elements, NO_HURRY);
        assert_eq!(choice, Choice::Run(chosen, Reason::Table), "{elements}");
    }
    // Large, and yet the way there takes a fifth of what it saves: no device.
    let offers = [core(Scalar, 900), core(Avx2, 505), device(5, 100)];
    assert_eq!(backend(seed().choose(&offers, 100_001, NO_HURRY)), Some(Avx2));
}

/// Seed 000: "GPU dispatch is only worthwhile when compute savings exceed 5x the PCIe transfer cost".
#[test]
fn golden_values_of_the_transfer_rule() {
    let rule = |ratio: f64, cpu_ns: u64, gpu_ns: u64, transfer_ns: u64| {
        let options = Options { transfer_rule: Ratio::new(ratio), ..Options::default() };
        let offer = Offer { work: Nanos::new(gpu_ns), ..device(0, 0) };
        let offer = Offer { transfer: Nanos::new(transfer_ns), ..offer };
        Leveller::new(options).pays(Nanos::new(cpu_ns), &offer, 100)
    };
    assert!(!rule(5.0, 1_500, 1_000, 100), "exactly five times is not more");
    assert!(rule(5.0, 1_501, 1_000, 100));
    assert!(!rule(5.0, 1_000, 1_500, 0), "nothing is saved");
    assert!(rule(5.0, 1_001, 1_000, 0) && !rule(5.0, 1_000, 1_000, 0));
    assert!(rule(0.5, 1_051, 1_000, 100) && !rule(0.5, 1_050, 1_000, 100));
    // What cannot be counted pays for nothing, and nothing wraps.
    assert!(!rule(f64::MAX, u64::MAX, 0, u64::MAX) && !rule(5.0, u64::MAX, 0, u64::MAX));
    assert!(rule(f64::MIN_POSITIVE, u64::MAX, 0, u64::MAX));
    assert_eq!(Ratio::new(5.0), Ratio::SEED);
    assert_eq!(Ratio::new(f64::NAN), Ratio::new(0.0));
}

#[test]
fn the_cheapest_that_is_in_time_has_it() {
    let mut leveller = Leveller::default();
    let offers = [core(Scalar, 50), core(Avx2, 20), core(Avx512, 10)];
    let slack = Nanos::from_micros(60);
    let run = |b, why| Choice::Run(b, why);
    assert_eq!(leveller.choose(&offers, 1, slack), run(Avx512, Reason::Cheapest));
    // What is cheapest is no longer in time, because others wait for it.
    let mut busy = offers;
    busy[2].wait = Nanos::from_micros(51);
    assert_eq!(leveller.choose(&busy, 1, slack), run(Avx2, Reason::Cheapest));
    busy[1].wait = Nanos::from_micros(41);
    assert_eq!(leveller.choose(&busy, 1, slack), run(Scalar, Reason::Cheapest));
    busy[0].wait = Nanos::from_micros(11);
    assert_eq!(leveller.choose(&busy, 1, slack), Choice::Late);
    assert_eq!(leveller.choose(&[], 1, slack), Choice::Late);
}

#[test]
fn on_a_bad_day_it_takes_who_is_done_first() {
    let mut offers = [core(Avx2, 20), core(Avx512, 10)];
    offers[1].work_high = Nanos::from_micros(30);
    let slack = Nanos::from_micros(25);
    // The cheapest may be late, the other is not.
    let choice = Leveller::default().choose(&offers, 1, slack);
    assert_eq!(choice, Choice::Run(Avx2, Reason::Cheapest));
    offers[0].work_high = Nanos::from_micros(30);
    let choice = Leveller::default().choose(&offers, 1, slack);
    assert_eq!(choice, Choice::Run(Avx512, Reason::Barely));
}

#[test]
fn what_is_late_by_a_hair_is_tried_and_what_is_late_on_a_good_day_is_not() {
    let good_day = |us| Nanos::from_micros(us);
    let mut offers = [core(Scalar, 40), core(Avx2, 27), core(Avx512, 26)];
    for (offer, low) in offers.iter_mut().zip([39, 24, 25]) {
        offer.work_low = good_day(low);
    }
    let choose = |us| Leveller::default().choose(&offers, 1, Nanos::from_micros(us));
    // Both would usually be late; the one that is done first has the better chance.
    assert_eq!(choose(25), Choice::Run(Avx512, Reason::Barely));
    // That one is late for sure, the other is not.
    assert_eq!(choose(24), Choice::Run(Avx2, Reason::Barely));
    assert_eq!(choose(23), Choice::Late);
    assert_eq!(choose(26), Choice::Run(Avx512, Reason::Cheapest), "no bad day here");
    // Close to the deadline the sooner one has it, however much more it costs.
    let mut offers = [core(Avx2, 26), core(Avx512, 20)];
    offers[1].wait = Nanos::from_micros(7);
    offers.iter_mut().for_each(|o| (o.work_low, o.work_high) = (good_day(18), good_day(30)));
    let choice = Leveller::default().choose(&offers, 1, Nanos::from_micros(25));
    assert_eq!(choice, Choice::Run(Avx2, Reason::Barely));
}

#[test]
fn the_deadline_goes_before_the_rule() {
    // The rule keeps it on the core, which would be late.
    let mut offers = [core(Avx512, 100), device(10, 60)];
    let choice = Leveller::default().choose(&offers, 1, Nanos::from_micros(80));
    assert_eq!(choice, Choice::Run(Device, Reason::OnlyInTime));
    // The rule sends it to the device, which would be late.
    offers = [core(Avx512, 1_000), device(10, 60)];
    offers[1].wait = Nanos::from_millis(2);
    let choice = Leveller::default().choose(&offers, 1, Nanos::from_millis(1));
    assert_eq!(choice, Choice::Run(Avx512, Reason::Cheapest));
}

#[test]
fn work_stays_where_it_is_until_the_other_side_is_clearly_better() {
    let options = Options { transfer_rule: Ratio::new(1.0), ..Options::default() };
    let mut leveller = Leveller::new(options);
    // The device costs 70 us in all. To go there it must save a fifth: cores that take 87.5 us. To come back, what it saves
    // must be no more than four fifths of the way there: cores that take 58 us.
    for (core_us, chosen) in
        [(87, Avx512), (88, Device), (71, Device), (59, Device), (58, Avx512), (80, Avx512)]
    {
        let choice = leveller.choose(&[core(Avx512, core_us), device(10, 60)], 1, NO_HURRY);
        assert_eq!(backend(choice), Some(chosen), "{core_us}");
    }
    leveller.choose(&[core(Avx512, 100), device(10, 60)], 1, NO_HURRY);
    let choice = leveller.choose(&[core(Avx512, 60), device(10, 60)], 1, NO_HURRY);
    assert_eq!(choice, Choice::Run(Device, Reason::Stays));
}

#[test]
fn where_the_breaker_says_no_the_fallback_serves() {
    let mut offers = [core(Scalar, 2_000), core(Avx2, 1_000), device(10, 60)];
    offers[2].open = false;
    let choose = |fallback, offers: &[Offer], slack| {
        let options = Options { fallback, ..Options::default() };
        Leveller::new(options).choose(offers, 1, slack)
    };
    let instead = |b| Choice::Run(b, Reason::BreakerOpen);
    assert_eq!(choose(Fallback::Cpu, &offers, NO_HURRY), instead(Avx2));
    assert_eq!(choose(Fallback::Simd, &offers, NO_HURRY), instead(Avx2));
    assert_eq!(choose(Fallback::Scalar, &offers, NO_HURRY), instead(Scalar));
    assert_eq!(choose(Fallback::Reject, &offers, NO_HURRY), Choice::Rejected);
    let slack = Nanos::from_micros(1_500);
    assert_eq!(choose(Fallback::Scalar, &offers, slack), Choice::Late);
    // What was for a core anyway is not the breaker's.
    offers[1] = core(Avx2, 100);
    let choice = choose(Fallback::Reject, &offers, NO_HURRY);
    assert_eq!(choice, Choice::Run(Avx2, Reason::Cheapest));
}

#[test]
fn the_table_too_gives_way_to_the_deadline() {
    let offers = [core(Scalar, 50), core(Avx2, 20)];
    let choice = seed().choose(&offers, 10, Nanos::from_micros(30));
    assert_eq!(choice, Choice::Run(Avx2, Reason::OnlyInTime));
    assert_eq!(seed().choose(&offers, 10, Nanos::from_micros(10)), Choice::Late);
    assert_eq!(backend(seed().choose(&offers[1..], 10, NO_HURRY)), Some(Avx2), "there is no other");
}

fn offers() -> impl Strategy<Value = Vec<Offer>> {
    let times = (1u64..2_000, 0u64..500, 0u64..500, 0u64..500, 0u64..500, any::<bool>());
    let offer = |(backend, (work, more, less, transfer, wait, open))| Offer {
        backend,
        work: Nanos::new(work),
        work_high: Nanos::new(work + more),
        work_low: Nanos::new(work.saturating_sub(less)),
        transfer: Nanos::new(if backend == Device { transfer } else { 0 }),
        wait: Nanos::new(wait),
        open: open || backend != Device,
    };
    proptest::collection::vec(
        (prop::sample::select(&Backend::ALL[..]), times).prop_map(offer),
        0..5,
    )
}

proptest! {
    /// No deadline is missed that another would have kept; nothing runs where its breaker says no.
    #[test]
    fn it_is_late_only_where_all_would_be(
        offers in offers(), slack in 0u64..3_000, on_device: bool, mode: bool, elements in 0u64..200_000,
    ) {
        let slack = Nanos::new(slack);
        let mode = if mode { Mode::Seed } else { Mode::Measured };
        let mut leveller = Leveller::new(Options { mode, ..Options::default() });
        leveller.on_device = on_device;
        let open = || offers.iter().filter(|o| o.open);
        match leveller.choose(&offers, elements, slack) {
            Choice::Run(backend, reason) => {
                prop_assert!(
                    open().any(|o| o.backend == backend && o.done_at_best_after() <= slack)
                );
                let sure = open().any(|o| o.surely_done_after() <= slack);
                prop_assert!(!sure || reason != Reason::Barely);
            }
            Choice::Late => prop_assert!(open().all(|o| o.done_at_best_after() > slack)),
            Choice::Rejected => prop_assert!(false, "the fallback is not to reject"),
        }
    }

    /// Among cores alone, the one that is chosen costs least of those that are in time for sure.
    #[test]
    fn among_cores_it_is_the_cheapest(offers in offers(), slack in 0u64..3_000) {
        let slack = Nanos::new(slack);
        let cores: Vec<Offer> = offers.into_iter().filter(|o| o.backend != Device).collect();
        let best = cores.iter().filter(|o| o.surely_done_after() <= slack).map(|o| o.work).min();
        if let (Some(best), Choice::Run(backend, reason)) =
            (best, Leveller::default().choose(&cores, 1, slack))
        {
            prop_assert_eq!(reason, Reason::Cheapest);
            prop_assert!(cores.iter().any(|o| o.backend == backend && o.work == best));
        }
    }
}
