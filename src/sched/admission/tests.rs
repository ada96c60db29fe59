//! Which packet goes first at dispatch.

use super::*;
use crate::base::{IngressId, KernelId};
use crate::packet::{BufPool, PacketFlags, Slot};
use proptest::prelude::*;

mod places;
mod rooms;

/// Costs 20 us, and 2 us.
const LONG: u16 = 1;
const SHORT: u16 = 2;

struct Bench {
    admission: Admission,
    pool: BufPool,
}

/// What the first row of a batch costs beside the others does not count for each.
#[test]
fn a_batch_s_rows_fit_where_single_runs_would_not() {
    use crate::sched::batch::{Batches, Mode, Shape};
    let admitted = |mode| {
        let mut bench = Bench::new();
        // 10 us the first row, 1 us each further one, up to 40.
        let times: Vec<Nanos> = (0..40).map(|n| Nanos::from_micros(10 + n)).collect();
        let mut batches = Batches::new(mode, vec![Shape::new(&times, 40)]);
        batches.set_slice(Nanos::from_micros(29));
        bench.admission.set_batches(batches);
        let (now, priority) = (us(0), Priority::High);
        let deadline = us(120);
        (0..64)
            .take_while(|_| {
                let c = bench.asks(priority, LONG, now, deadline);
                let fits = bench.admission.admit(now, &c).is_ok();
                if fits {
                    bench.push(priority, LONG, now, deadline);
                }
                fits
            })
            .count()
    };
    // Batches of 20 in 29 us each, and a packet has room for its batch to grow: four of them end by 116 us. The queue that was
    // pushed by averages would hold six.
    assert_eq!(admitted(Mode::Single), 11, "ten microseconds and a bit for each");
    assert!((59..=64).contains(&admitted(Mode::Cost)), "{}", admitted(Mode::Cost));
    assert_eq!(admitted(Mode::Average), 5, "by what was seen: 20 us");
}

/// Under `Policy::Value` one that does not fit is refused by its deadline where all that waits is like it, and weighed where not.
#[test]
fn what_is_all_alike_is_not_weighed() {
    use crate::sched::batch::{Batches, Mode, Shape};
    let weighed = |first: u16| {
        let mut bench = Bench::by(Policy::Value);
        let times: Vec<Nanos> = (0..40).map(|n| Nanos::from_micros(10 + n)).collect();
        let mut batches = Batches::new(Mode::Cost, vec![Shape::new(&times, 40)]);
        batches.set_slice(Nanos::from_micros(29));
        bench.admission.set_batches(batches);
        let (now, priority, deadline) = (us(0), Priority::High, us(120));
        let mut refused = 0;
        for n in 0..200 {
            let bucket = if n == 0 { first } else { LONG };
            let c = bench.asks(priority, bucket, now, deadline);
            match bench.admission.admit(now, &c) {
                Ok(_) => bench.push(priority, bucket, now, deadline),
                Err(reason) => {
                    assert!(matches!(
                        reason,
                        DropReason::PredictedMiss | DropReason::QuotaPriority
                    ));
                    refused += 1;
                }
            }
        }
        assert!(refused > 100, "{refused}");
        bench.admission.by_value
    };
    assert!(!weighed(LONG), "all alike");
    assert!(weighed(SHORT), "one is shorter");
}

/// Nothing is weighed while it takes more than can be won by it; what was being weighed stands in order of deadlines again.
#[test]
fn what_comes_too_fast_to_be_weighed_goes_by_deadline() {
    let mut bench = Bench::by(Policy::Value);
    // So many of them that some are refused: their line has no end of its own.
    let fill = |bench: &mut Bench, bucket, now: i64, deadlines: std::ops::Range<i64>| {
        let mut refused = 0;
        for deadline in deadlines.map(us) {
            let c = bench.asks(Priority::High, bucket, us(now), deadline);
            if bench.admission.admit(us(now), &c).is_ok() {
                bench.push(Priority::High, bucket, us(now), deadline);
            } else {
                refused += 1;
            }
            while bench.admission.next_evicted().is_some() {}
        }
        assert!(refused > 0, "{refused}");
    };
    let came = |bench: &mut Bench, now: i64, count: u64| {
        let mut arrived = PerPriority::default();
        arrived[Priority::High] = count;
        bench.admission.tick(us(now), &PerPriority::default(), &arrived);
    };
    came(&mut bench, 0, 0);
    fill(&mut bench, LONG, 0, 100..200);
    assert!(bench.admission.by_value, "weighed, as nothing is known yet");
    came(&mut bench, 10, 100);
    fill(&mut bench, LONG, 10, 110..210);
    came(&mut bench, 10_020, 2_500);
    fill(&mut bench, LONG, 10_020, 10_120..10_220);
    assert!(bench.admission.by_value, "a sixteenth of the time is worth it");
    assert!(bench.admission.len() > 1);
    came(&mut bench, 20_030, 12_000);
    fill(&mut bench, LONG, 20_030, 20_130..20_230);
    assert!(!bench.admission.by_value, "a quarter of it is not");
    // All that was let in still waits, each in its turn.
    let count = bench.admission.len();
    let mut last = us(0);
    for _ in 0..count {
        let (_, due) = bench.next(us(20_030)).expect("nothing was lost on the way");
        assert!(due >= last, "{due:?} after {last:?}");
        last = due;
    }
    assert_eq!(bench.next(us(20_030)), None);
}

/// What is read to be refused makes those that are served take longer, but a class asks for no more with it.
#[test]
fn what_refusals_cost_is_not_asked_for() {
    let mut bench = Bench::new();
    for _ in 0..1_000 {
        bench.admission.record_overhead(Nanos::new(17_500), 10, 30);
    }
    bench.admission.set_quota(PerPriority::default(), 0);
    let mut arrived = PerPriority::default();
    // In 5 ms 1,400 of High: 5.25 ms with what refusals cost, 4.2 without.
    for tick in 1..=30 {
        let now = us(5_000 * tick);
        for _ in 0..1_400 {
            let c = bench.asks(Priority::High, SHORT, now, now + Nanos::from_millis(1));
            assert!(c.service.get().abs_diff(3_750) < 10, "{:?}", c.service);
            assert!(bench.admission.admit(now, &c).is_err());
        }
        arrived[Priority::High] += 1_400;
        bench.admission.tick(now, &PerPriority::default(), &arrived);
    }
    let left = bench.admission.demand.left_of(Nanos::from_millis(1), Priority::Medium);
    assert!(left.get().abs_diff(160_000) < 10_000, "{left:?}");
}

/// The line counts trains and the queue their datagrams: where there are too many for the queue they stay in line, and none is lost.
#[test]
fn what_the_queue_has_no_room_for_stays_in_line() {
    const TRAIN: u16 = 64;
    let mut bench = Bench::by(Policy::Value);
    bench.admission.set_quota(PerPriority::new([4_096; Priority::COUNT]), 4_096);
    let (class, far) = (Priority::High, 60_000_000);
    // One that does not fit lets the line be used.
    for deadline in [us(100), us(100), us(100), us(100), us(100)] {
        let c = bench.asks(class, LONG, us(0), deadline);
        if bench.admission.admit(us(0), &c).is_ok() {
            bench.push(class, LONG, us(0), deadline);
        }
    }
    assert!(bench.admission.by_value);
    let c = bench.asks(class, LONG, us(0), us(far));
    let slot = bench.pool.insert(b"payload").unwrap();
    while bench.admission.admits_all(us(0), &c, u32::from(TRAIN)) {
        let train = packet(class, LONG, us(0), us(far), slot);
        bench.admission.push(Packet { service: c.service, count: TRAIN, ..train }, &c);
    }
    for _ in 0..2 * TRAIN {
        assert!(bench.admission.admit(us(0), &c).is_ok());
        bench.admission.push(packet(class, LONG, us(0), us(far), slot), &c);
    }
    let waiting = bench.admission.len();
    assert!(waiting > bench.admission.queue.capacity(), "{waiting}");
    // One asks for a deadline that cannot be kept, so that it does not surely fit.
    bench.admission.looks.set_vain();
    let light = bench.asks(class, SHORT, us(20_000), us(20_003));
    let was_let_in = bench.admission.admit(us(20_000), &light).is_ok();
    assert!(bench.admission.by_value);
    if was_let_in {
        bench.push(class, SHORT, us(20_000), us(20_003));
    }
    let mut gone = 0;
    while bench.admission.next_evicted().is_some() {
        gone += 1;
    }
    assert_eq!(bench.admission.len() + gone, waiting + usize::from(was_let_in));
}

/// So many microseconds after the start of a test; negative: before it.
fn us(us: i64) -> Instant {
    Instant::ZERO + Nanos::from_micros(10_000_000_u64.checked_add_signed(us).unwrap())
}

fn packet(
    priority: Priority,
    bucket: u16,
    released: Instant,
    deadline: Instant,
    slot: Slot,
) -> Packet {
    Packet {
        released,
        deadline,
        service: Nanos::ZERO,
        slot,
        len: 7,
        count: 1,
        ingress: IngressId(0),
        kernel: KernelId(0),
        bucket,
        priority,
        flags: PacketFlags { bound: true, ..PacketFlags::default() },
    }
}

impl Bench {
    fn new() -> Self {
        Self::by(Policy::Edf)
    }

    fn by(policy: Policy) -> Self {
        let budgets = PerPriority::from_fn(Priority::default_budget);
        let estimate = ServiceEstimate::new(&budgets, 1);
        let options = Options { policy, probe_interval: None, ..Options::default() };
        let mut admission = Admission::new(options, estimate, &budgets);
        for _ in 0..16 {
            admission.estimate.record(us(0), LONG, Priority::High, Nanos::from_micros(20));
            admission.estimate.record(us(0), SHORT, Priority::High, Nanos::from_micros(2));
        }
        admission.set_quota(PerPriority::new([64; Priority::COUNT]), 256);
        Self { admission, pool: BufPool::new(256, 64) }
    }

    /// For 150 ms before `us(0)`, Medium asks for twice the time there is.
    fn flood(mut self) -> Self {
        self.admission.set_quota(PerPriority::default(), 0);
        for tick in 0..30 {
            let now = us(5_000 * (tick - 30));
            let more = Candidate {
                priority: Priority::Medium,
                released: now,
                deadline: now + Nanos::from_millis(10),
                queued_by: now + Nanos::from_millis(10),
                service: Nanos::from_millis(10),
                bucket: LONG,
                bound: true,
            };
            assert_eq!(self.admission.admit(now, &more), Err(DropReason::QuotaPriority));
            self.admission.tick(now, &PerPriority::default(), &PerPriority::default());
        }
        self.admission.set_quota(PerPriority::new([64; Priority::COUNT]), 256);
        self
    }

    /// One that asks to be let in now.
    fn asks(
        &self,
        priority: Priority,
        bucket: u16,
        released: Instant,
        deadline: Instant,
    ) -> Candidate {
        let service = self.admission.charge(bucket, priority, 1);
        let queued_by = deadline;
        Candidate { priority, released, deadline, queued_by, service, bucket, bound: true }
    }

    fn push(&mut self, priority: Priority, bucket: u16, released: Instant, deadline: Instant) {
        self.push_behind(priority, bucket, released, deadline, deadline);
    }

    /// The same for one that its flow's order puts behind where its own deadline would.
    fn push_behind(
        &mut self,
        priority: Priority,
        bucket: u16,
        released: Instant,
        deadline: Instant,
        queued_by: Instant,
    ) {
        let service = self.admission.charge(bucket, priority, 1);
        let candidate =
            Candidate { priority, released, deadline, queued_by, service, bucket, bound: true };
        let slot = self.pool.insert(b"payload").unwrap();
        let packet = Packet { service, ..packet(priority, bucket, released, deadline, slot) };
        self.admission.push(packet, &candidate);
    }

    /// Whether the next is run, and when it is due.
    fn next(&mut self, start: Instant) -> Option<(bool, Instant)> {
        match self.admission.dispatch(start) {
            Dispatch::Run(packet) => Some((true, packet.deadline)),
            Dispatch::TooLate(packet, _) => Some((false, packet.deadline)),
            Dispatch::Part(..) => panic!("one datagram has no parts"),
            Dispatch::Empty => None,
        }
    }
}

#[test]
fn while_all_fits_the_earlier_deadline_goes_first() {
    let mut bench = Bench::new();
    bench.push(Priority::Medium, LONG, us(-9_000), us(900));
    bench.push(Priority::High, LONG, us(0), us(1_000));
    assert_eq!(bench.next(us(0)), Some((true, us(900))));
    assert_eq!(bench.next(us(21)), Some((true, us(1_000))));
    assert_eq!(bench.next(us(42)), None);
}

#[test]
fn a_class_that_does_not_fit_lets_all_higher_ones_go_first() {
    let mut bench = Bench::new().flood();
    bench.push(Priority::Low, LONG, us(-99_000), us(700));
    bench.push(Priority::Medium, LONG, us(-9_000), us(900));
    bench.push(Priority::High, LONG, us(0), us(1_000));
    assert_eq!(bench.next(us(0)), Some((true, us(1_000))), "High");
    assert_eq!(bench.next(us(21)), Some((true, us(900))), "Medium, before Low");
    assert_eq!(bench.next(us(42)), Some((true, us(700))), "Low");
}

#[test]
fn what_can_only_be_dropped_goes_at_once() {
    let mut bench = Bench::new().flood();
    bench.push(Priority::Medium, LONG, us(-10_000), us(5));
    bench.push(Priority::High, LONG, us(0), us(1_000));
    assert_eq!(bench.next(us(0)), Some((false, us(5))));
    assert_eq!(bench.next(us(0)), Some((true, us(1_000))));
}

#[test]
fn nobody_waits_for_lower_ones_longer_than_its_share() {
    let mut bench = Bench::new();
    bench.push(Priority::Medium, LONG, us(-9_000), us(900));
    bench.push(Priority::High, LONG, us(0), us(1_000));
    // Behind the head it would end 210 + 21 + 21 us after its release: more than a quarter of its budget.
    assert_eq!(bench.next(us(210)), Some((true, us(1_000))));
    assert_eq!(bench.next(us(231)), Some((true, us(900))));
}

/// As long as it stood in front, those of its class that still can make it would wait with it.
#[test]
fn one_that_is_late_does_not_hold_up_its_class() {
    for mut bench in [Bench::new(), Bench::new().flood()] {
        bench.push(Priority::Medium, SHORT, us(-9_000), us(8));
        bench.push(Priority::High, LONG, us(-990), us(10));
        bench.push(Priority::High, LONG, us(0), us(1_000));
        assert_eq!(bench.next(us(0)), Some((false, us(10))));
    }
}

/// What goes behind a candidate in any case is not charged to it, and what goes before it is.
#[test]
fn work_is_charged_in_the_order_in_which_it_is_run() {
    let high = |b: &mut Bench| {
        let service = b.admission.predict(LONG, Priority::High);
        let deadline = us(100);
        let c = Candidate {
            priority: Priority::High,
            released: us(0),
            deadline,
            queued_by: deadline,
            service,
            bucket: LONG,
            bound: true,
        };
        b.admission.admit(us(0), &c)
    };
    let fill = |b: &mut Bench| {
        for n in 0..5 {
            b.push(Priority::Medium, LONG, us(-9_000), us(90 + n));
        }
    };
    let mut calm = Bench::new();
    fill(&mut calm);
    assert_eq!(high(&mut calm), Ok(Admitted::Expected));
    assert!(calm.admission.has_evicted(), "105 us of Medium are due before: some give way");
    let mut flooded = Bench::new().flood();
    fill(&mut flooded);
    assert_eq!(high(&mut flooded), Ok(Admitted::Expected));
    assert!(!flooded.admission.has_evicted(), "Medium goes behind it: nobody has to give way");
}

/// Found by the simulator: `punctual sim configs/sim/faults.toml --seed 8065` before the packet's own deadline was asked.
#[test]
fn one_that_overtakes_is_judged_by_its_own_deadline() {
    for mut bench in [Bench::new(), Bench::new().flood()] {
        bench.push(Priority::Medium, LONG, us(-9_000), us(900));
        bench.push_behind(Priority::High, LONG, us(-1_010), us(-10), us(1_000));
        assert_eq!(bench.next(us(0)), Some((false, us(-10))));
        assert_eq!(bench.next(us(0)), Some((true, us(900))));
    }
}

/// A queue that is full goes over into the line whole, and everybody comes out of it again.
#[test]
fn a_full_queue_is_weighed_without_losing_anybody() {
    let mut bench = Bench::new();
    let budgets = PerPriority::from_fn(Priority::default_budget);
    let options = Options { probe_interval: None, ..Options::default() };
    bench.admission = Admission::new(options, ServiceEstimate::new(&budgets, 1), &budgets);
    bench.admission.set_quota(PerPriority::new([512; Priority::COUNT]), 2_048);
    bench.pool = BufPool::new(2_048, 16);
    for n in 0..2_048 {
        let class = Priority::ALL[n % Priority::COUNT];
        bench.push(class, SHORT, us(0), us(0) + class.default_budget());
    }
    let c = Candidate {
        priority: Priority::Low,
        released: us(0),
        deadline: us(90_000),
        queued_by: us(90_000),
        service: Nanos::from_micros(200),
        bucket: LONG,
        bound: true,
    };
    assert!(bench.admission.admit(us(0), &c).is_err(), "it is full");
    assert!(bench.admission.by_value && bench.admission.queue.is_empty());
    let mut out = std::iter::from_fn(|| bench.admission.next_evicted()).count();
    assert_eq!(bench.admission.len() + out, 2_048);
    // There is room for one only in another's place, also where classes may hold more; and that one may find no memory.
    bench.admission.set_quota(PerPriority::new([1_024; Priority::COUNT]), 4_096);
    let late = us(60_000_000);
    let high = Candidate { priority: Priority::High, deadline: late, queued_by: late, ..c };
    assert_eq!(bench.admission.admit(us(0), &high), Ok(Admitted::Expected));
    bench.admission.withdraw();
    out += std::iter::from_fn(|| bench.admission.next_evicted()).count();
    assert_eq!((bench.admission.len(), out), (2_047, 1));
    while bench.next(us(0)).is_some() {
        out += 1;
    }
    assert_eq!(out, 2_048);
    assert!(bench.admission.is_empty() && bench.admission.is_calm());
}

proptest! {
    /// The short test lets nobody in whom the gates would not, and does let in who has nobody before it.
    #[test]
    fn what_surely_fits_passes_all_gates(
        flooded in any::<bool>(),
        queued in proptest::collection::vec((0..4_u8, any::<bool>(), -900..900_i64, 1..9_000_i64), 0..16),
        (priority, long, released, budget, later) in
            (0..4_u8, any::<bool>(), -900..1_i64, 1..9_000_i64, 0..500_i64),
    ) {
        let mut bench = Bench::new();
        if flooded {
            bench = bench.flood();
        }
        let class = |p| Priority::from_wire(p).unwrap();
        let bucket = |long| if long { LONG } else { SHORT };
        for (priority, long, released, budget) in queued {
            bench.push(class(priority), bucket(long), us(released), us(released + budget));
        }
        let candidate = Candidate {
            priority: class(priority),
            released: us(released),
            deadline: us(released + budget),
            queued_by: us(released + budget + later),
            service: bench.admission.predict(bucket(long), class(priority)),
            bucket: bucket(long),
            bound: true,
        };
        if bench.admission.surely_fits(us(0), &candidate) {
            prop_assert!(us(0) < candidate.deadline);
            prop_assert_eq!(bench.admission.admit_closely(us(0), &candidate), Ok(Admitted::Expected));
            prop_assert!(!bench.admission.has_evicted());
        } else if !flooded && bench.admission.queue.is_empty() {
            let slack = candidate.deadline.since(us(0));
            let needed = candidate.service + bench.admission.headroom[candidate.priority];
            prop_assert!(slack < needed + Nanos::from_micros(2), "{:?} for {:?}", slack, needed);
        }
    }
}
