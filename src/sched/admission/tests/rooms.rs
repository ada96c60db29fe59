//! Gate G1: a class is bounded by its count, and beyond that by its time.

use super::*;

/// Two of each class, and 0.9 of a packet's own budget beyond that.
fn narrow(policy: Policy) -> Bench {
    let mut bench = Bench::by(policy);
    bench.admission.set_quota(PerPriority::new([2; Priority::COUNT]), 8);
    bench.admission.set_fill(PerPriority::new([900, 900, 900, 0]));
    bench
}

fn both(test: impl Fn(Bench)) {
    [Policy::Edf, Policy::Value].map(narrow).into_iter().for_each(test);
}

impl Bench {
    /// Asks, and is queued if it is let in.
    fn offer(&mut self, priority: Priority, bucket: u16, due: i64) -> Result<Admitted, DropReason> {
        let c = self.asks(priority, bucket, us(0), us(due));
        let admitted = self.admission.admit(us(0), &c)?;
        self.push(priority, bucket, us(0), us(due));
        Ok(admitted)
    }
}

#[test]
fn a_class_at_its_count_goes_on_while_there_is_time() {
    both(|mut bench| {
        // 20 us each, of which 900 us hold 44 and a bit of what the worker adds.
        let fit = (0..64).take_while(|_| bench.offer(Priority::High, LONG, 1_000).is_ok()).count();
        assert!((40..=44).contains(&fit), "{fit}");
        assert_eq!(bench.offer(Priority::High, LONG, 1_000), Err(DropReason::QuotaPriority));
        // A shorter one of a longer budget fits behind them.
        assert_eq!(bench.offer(Priority::High, SHORT, 3_000), Ok(Admitted::Expected));
        assert!(!bench.admission.has_evicted());
    });
}

/// What has grown old before it was read has used up part of what its class may be held to.
#[test]
fn the_part_of_a_budget_begins_with_the_budget() {
    both(|mut bench| {
        bench.admission.set_fill(PerPriority::new([500, 500, 500, 0]));
        let (released, now) = (us(0), us(400));
        let mut fit = 0;
        loop {
            // Half of 1 ms, of which 400 us are over: five of 20 us, a bit less with what the worker adds.
            let c = bench.asks(Priority::High, LONG, released, us(1_000));
            if bench.admission.admit(now, &c).is_err() {
                break;
            }
            bench.push(Priority::High, LONG, released, us(1_000));
            fit += 1;
        }
        assert!((4..=5).contains(&fit), "{fit}");
    });
}

/// Who may be late with what stands behind it counts by what stands before it.
#[test]
fn work_that_is_due_later_does_not_fill_a_class_for_who_is_due_now() {
    both(|mut bench| {
        for _ in 0..40 {
            assert!(bench.offer(Priority::High, LONG, 50_000).is_ok());
        }
        assert_eq!(bench.offer(Priority::High, LONG, 100), Ok(Admitted::Expected));
    });
}

/// What is beyond one class's count takes nothing of what is kept for the others.
#[test]
fn a_class_beyond_its_count_shuts_nobody_out() {
    both(|mut bench| {
        for _ in 0..60 {
            assert!(bench.offer(Priority::Low, LONG, 90_000).is_ok());
        }
        for class in [Priority::High, Priority::Medium, Priority::BestEffort] {
            for _ in 0..2 {
                assert_eq!(bench.offer(class, LONG, 90_000), Ok(Admitted::Expected), "{class}");
            }
        }
        // Nothing but its count bounds what has no deadline.
        assert_eq!(bench.offer(Priority::BestEffort, LONG, 90_000), Err(DropReason::QuotaPriority));
    });
}

/// Nobody gives way to what is beyond the count of its class, and nobody is made late by it.
#[test]
fn nobody_gives_way_to_what_is_beyond() {
    both(|mut bench| {
        for _ in 0..2 {
            assert!(bench.offer(Priority::Medium, LONG, 10_000).is_ok());
        }
        assert_eq!(bench.offer(Priority::Low, LONG, 40), Ok(Admitted::Expected));
        let low = bench.admission.depth(Priority::Low);
        assert_eq!(bench.offer(Priority::Medium, LONG, 41), Err(DropReason::QuotaPriority));
        assert_eq!(bench.admission.depth(Priority::Low), low);
        assert!(!bench.admission.has_evicted());
    });
}

/// What is refused because others would be late is no audit, however much time it would have had itself.
#[test]
fn what_would_harm_others_is_never_run_to_see_whether_it_makes_it() {
    both(|mut bench| {
        bench.admission.set_quota(PerPriority::new([512; Priority::COUNT]), 2_048);
        bench.pool = BufPool::new(1_024, 16);
        while bench.offer(Priority::High, LONG, 5_000) == Ok(Admitted::Expected) {}
        bench.admission.audits = audit::Audits::new(1);
        assert_eq!(bench.offer(Priority::Medium, LONG, 4_000), Err(DropReason::PredictedMiss));
        assert_eq!(bench.admission.audited_choices(Priority::Medium), 1);
    });
}

#[test]
fn no_class_is_larger_than_the_most_that_there_is() {
    both(|mut bench| {
        bench.pool = BufPool::new(1_024, 16);
        let fit = (0..600).take_while(|_| bench.offer(Priority::Low, SHORT, 90_000).is_ok());
        assert_eq!(fit.count(), 512);
    });
}
