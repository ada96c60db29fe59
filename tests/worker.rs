//! The worker over a driver in memory: verdicts, order, the law. No sockets, no real time.

mod common;

use common::{FAIL, PANIC, Rig, SHORT, options, payload, plan};
use punctual::base::{DropReason, IngressId, Instant, KernelId, Nanos, Priority};
use punctual::dataplane::{EventLoop, Idle, KernelOptions, Options, Output, Own, Shared, Worker};
use punctual::io::memory::{Incoming, MemoryDriver};
use punctual::io::{Driver, ReceiveReport, Received, SendError, SendFailure, Stamp, TxBatch};
use punctual::kernel::Kernels;
use punctual::sched::admission::{Chunk, Policy};
use punctual::sched::batch::{Batches, Shape};
use punctual::stats::{ClassField, Field, RunBy, WorkerField};

const QUOTA: [u32; 4] = [50, 97, 322, 128];

#[test]
fn an_echo_goes_back_to_its_sender_unchanged() {
    let mut rig = Rig::new(&options(), &plan(QUOTA));
    rig.send(0, 4_000, 20_000);
    rig.settle();
    let sent = &rig.turns.driver_mut().sent;
    assert_eq!(sent.len(), 1);
    assert_eq!((sent[0].to.unwrap().port(), &sent[0].bytes), (4_000, &payload(20_000)));
    assert_eq!(rig.get(0, Priority::High, Field::Replied), 1);
    assert_eq!(rig.get(0, Priority::High, Field::OnTime), 1);
    rig.check_law();
}

#[test]
fn earlier_deadlines_run_first_whatever_came_first() {
    let mut rig = Rig::new(&options(), &plan(QUOTA));
    for (socket, port) in [(2, 4_002), (1, 4_001), (0, 4_000)] {
        rig.send(socket, port, 20_000);
    }
    rig.settle();
    let ports: Vec<_> = rig.turns.driver_mut().sent.iter().map(|s| s.to.unwrap().port()).collect();
    assert_eq!(ports, [4_000, 4_001, 4_002]);
}

/// A budget shorter than the cushion that its class keeps before its deadlines: an idle worker serves it all the same.
#[test]
fn a_short_budget_of_its_own_does_not_close_an_ingress() {
    let mut options = options();
    for (ingress, budget_us) in [(1, 1_500), (2, 15_000)] {
        options.ingresses[ingress].classify.ingress_budget = Some(Nanos::from_micros(budget_us));
    }
    options.admission.probe_interval = None;
    let mut rig = Rig::new(&options, &plan(QUOTA));
    for _ in 0..10 {
        for socket in [1, 2] {
            rig.send(socket, 4_000, 20_000);
            rig.settle();
        }
    }
    assert_eq!(rig.get(1, Priority::Medium, Field::OnTime), 10);
    assert_eq!(rig.get(2, Priority::Low, Field::OnTime), 10);
}

#[test]
fn what_has_expired_is_dropped_on_arrival_and_never_run() {
    let mut rig = Rig::new(&options(), &plan(QUOTA));
    let released = rig.now();
    rig.pass(Nanos::from_millis(1));
    rig.arrive(Incoming::new(0, 4_000, released, payload(20_000)));
    rig.settle();
    assert_eq!(rig.dropped(0, Priority::High, DropReason::ExpiredOnArrival), 1);
    assert_eq!(rig.counters().class(Priority::High, ClassField::KernelTime), 0);
    rig.check_law();
}

/// Teaches the estimate what these packets cost.
fn teach(rig: &mut Rig, socket: u16, cost: u32) {
    for _ in 0..64 {
        rig.send(socket, 4_000, cost);
        rig.settle();
        rig.pass(Nanos::from_millis(1));
    }
}

#[test]
fn more_than_fits_the_budget_is_dropped_at_once_and_the_rest_is_on_time() {
    let mut rig = Rig::new(&options(), &plan([512, 97, 322, 128]));
    teach(&mut rig, 0, 20_000);
    let before = rig.get(0, Priority::High, Field::OnTime);
    for _ in 0..200 {
        rig.send(0, 4_000, 20_000);
    }
    rig.settle();
    let on_time = rig.get(0, Priority::High, Field::OnTime) - before;
    let missed = rig.dropped(0, Priority::High, DropReason::PredictedMiss);
    let late = rig.dropped(0, Priority::High, DropReason::LateAfterKernel);
    // 1 ms holds 50 packets of 20 us; one probe may go in against the prediction.
    assert!((48..=50).contains(&on_time), "{on_time} on time");
    assert!(missed >= 148, "{missed} predicted");
    assert_eq!(late, 0);
    rig.check_law();
}

/// Forty packets of Low that are due in 900 us, and forty of High behind them that want four fifths of its budget.
fn low_stands_before_high(rig: &mut Rig) {
    teach(rig, 0, 20_000);
    teach(rig, 2, 20_000);
    let released = rig.now();
    rig.pass(Nanos::from_micros(99_100));
    for _ in 0..40 {
        rig.arrive(Incoming::new(2, 4_002, released, payload(20_000)));
    }
    for _ in 0..40 {
        rig.send(0, 4_000, 20_000);
    }
}

#[test]
fn a_low_candidate_may_only_fill_what_high_leaves() {
    let mut options = options();
    // A probe would be let in against the prediction, and cost High one packet.
    options.admission.probe_interval = None;
    let mut rig = Rig::new(&options, &plan([512, 512, 512, 128]));
    low_stands_before_high(&mut rig);
    let high = rig.get(0, Priority::High, Field::OnTime);
    rig.settle();
    // The driver hands High over first; then Low may only fill what High leaves.
    assert_eq!(rig.get(0, Priority::High, Field::OnTime) - high, 40);
    let low = rig.get(2, Priority::Low, Field::OnTime);
    assert!(low <= 64 + 10, "{low}");
    rig.check_law();
}

#[test]
fn a_queued_low_packet_gives_way_to_high() {
    let mut rig = Rig::new(&options(), &plan([512, 512, 512, 128]));
    teach(&mut rig, 0, 20_000);
    teach(&mut rig, 2, 20_000);
    let released = rig.now();
    rig.pass(Nanos::from_millis(70));
    for _ in 0..45 {
        rig.arrive(Incoming::new(2, 4_002, released, payload(20_000)));
    }
    let high = rig.get(0, Priority::High, Field::OnTime);
    // Low is queued in one turn (a slice of it is run) and then nothing for so long that it has become urgent; High
    // arrives only then.
    rig.turn();
    rig.pass(Nanos::from_millis(29));
    for _ in 0..40 {
        rig.send(0, 4_000, 20_000);
    }
    rig.settle();
    assert_eq!(rig.get(0, Priority::High, Field::OnTime) - high, 40);
    assert!(rig.dropped(2, Priority::Low, DropReason::Evicted) >= 30);
    assert_eq!(rig.drops(DropReason::LateAfterKernel), 0);
    rig.check_law();
}

/// Every predicted miss is run all the same: a class that was believed to take 500 us and takes nothing is dropped wrongly, one
/// that does take it is not.
#[test]
fn audits_tell_wrongful_drops_from_rightful_ones() {
    let mut options = options();
    options.admission.probe_interval = None;
    options.admission.audit_one_in = 1;
    for (policy, cost, wrongful) in [
        (Policy::Edf, 0, 2),
        (Policy::Edf, 500_000, 0),
        (Policy::Value, 0, 2),
        (Policy::Value, 500_000, 0),
    ] {
        options.admission.policy = policy;
        let mut rig = Rig::new(&options, &plan(QUOTA));
        teach(&mut rig, 0, 400_000);
        for _ in 0..4 {
            rig.send(0, 4_000, cost);
        }
        let late = rig.drops(DropReason::LateAtDispatch) + rig.drops(DropReason::LateAfterKernel);
        rig.settle();
        let class = |f| rig.counters().class(Priority::High, f);
        assert_eq!(class(ClassField::Audits), 2, "{policy:?}: two of 400 us fit into 1 ms");
        assert_eq!(class(ClassField::AuditsInTime), wrongful, "{policy:?} {cost}");
        assert_eq!(class(ClassField::UnpromisedLate), 2 - wrongful, "{policy:?} {cost}");
        assert_eq!(rig.drops(DropReason::PredictedMiss), 0);
        let drops = rig.drops(DropReason::LateAtDispatch) + rig.drops(DropReason::LateAfterKernel);
        assert_eq!(drops - late, 2 - wrongful, "{policy:?} {cost}");
        rig.check_law();
    }
}

/// Whoever is refused for the sake of others was not predicted to be late itself: it is drawn like any other, and is neither run nor wrong.
#[test]
fn a_refusal_by_choice_that_is_drawn_is_counted_and_stays_refused() {
    let mut options = options();
    options.admission.probe_interval = None;
    for (policy, one_in) in
        [(Policy::Edf, 1), (Policy::Value, 1), (Policy::Edf, 4), (Policy::Value, 4)]
    {
        options.admission.policy = policy;
        options.admission.audit_one_in = one_in;
        let mut rig = Rig::new(&options, &plan([512, 512, 512, 128]));
        low_stands_before_high(&mut rig);
        rig.settle();
        let low = |f| rig.counters().class(Priority::Low, f);
        let refused = rig.dropped(2, Priority::Low, DropReason::PredictedMiss);
        assert!(refused >= 20, "{policy:?}: {refused}");
        assert_eq!(low(ClassField::Audits), 0, "{policy:?}");
        let drawn = rig.turns.worker().admission().audited_choices(Priority::Low);
        // A draw that met a choice is over: it does not wait for a prediction. Gaps are up to twice as wide.
        let least = refused / u64::from(2 * one_in - 1);
        assert!(
            (least..=2 * refused / u64::from(one_in + 1)).contains(&drawn),
            "{policy:?}: {drawn} of {refused}"
        );
        rig.shared.stop_at.store(0, std::sync::atomic::Ordering::Relaxed);
        rig.turn();
        let shown = rig.counters().class(Priority::Low, ClassField::AuditedChoices);
        assert_eq!(shown, drawn, "{policy:?}");
        rig.check_law();
    }
}

/// What estimates do not see makes every other pair late; after a few, the second of a pair is not promised any more.
#[test]
fn promises_that_are_broken_are_given_more_room() {
    let mut options = options();
    options.admission.probe_interval = None;
    options.admission.audit_one_in = 0;
    for policy in [Policy::Edf, Policy::Value] {
        options.admission.policy = policy;
        let mut rig = Rig::new(&options, &plan(QUOTA));
        teach(&mut rig, 0, 480_000);
        let late = |rig: &Rig| rig.counters().late_after_admit(Priority::High);
        let mut broken = Vec::new();
        for round in 0..40 {
            // Two of 480 us fit into 1 ms, two of 510 do not.
            let cost = if round % 2 == 0 { 450_000 } else { 510_000 };
            let next = rig.now() + Nanos::from_millis(10);
            rig.send(0, 4_000, cost);
            rig.send(0, 4_000, cost);
            rig.settle();
            rig.pass(next.since(rig.now()));
            broken.push(late(&rig));
        }
        assert!((2..=6).contains(&broken[19]), "{policy:?}: {broken:?}");
        assert_eq!(broken[19], broken[39], "{policy:?}: no more are promised: {broken:?}");
        assert!(rig.drops(DropReason::PredictedMiss) > 20, "{policy:?}");
        let margin = rig.counters().class(Priority::High, ClassField::Margin);
        assert!((20_000..=125_000).contains(&margin), "{policy:?}: {margin} ns are shown");
        rig.check_law();
    }
}

/// Every second it is told what was on time beside what could have been.
#[test]
fn a_window_is_compared_with_the_most_that_was_possible() {
    let mut rig = Rig::new(&options(), &plan([512, 97, 322, 128]));
    teach(&mut rig, 0, 20_000);
    let window =
        |rig: &Rig| [WorkerField::Possible, WorkerField::OnTime].map(|f| rig.counters().worker(f));
    // 100 packets of 20 us a millisecond: twice what fits. The first window began before.
    for _ in 0..2_100 {
        for _ in 0..100 {
            rig.send(0, 4_000, 20_000);
        }
        let next = rig.now() + Nanos::from_millis(1);
        rig.settle();
        rig.pass(next.since(rig.now()));
    }
    let [possible, on_time] = window(&rig);
    assert!((48_000..=50_100).contains(&possible), "{possible} possible");
    assert!(on_time <= possible && on_time * 100 >= possible * 95, "{on_time} of {possible}");
}

/// RELIABILITY, finding 2: one 8 ms service time on a 1 ms class must not close it.
#[test]
fn one_outlier_does_not_close_a_class() {
    let mut rig = Rig::new(&options(), &plan(QUOTA));
    teach(&mut rig, 0, 50_000);
    rig.send(0, 4_000, 8_000_000);
    rig.settle();
    let before = rig.get(0, Priority::High, Field::OnTime);
    for _ in 0..500 {
        rig.send(0, 4_000, 50_000);
        rig.settle();
        rig.pass(Nanos::from_micros(950));
    }
    let on_time = rig.get(0, Priority::High, Field::OnTime) - before;
    assert!(on_time >= 495, "{on_time} of 500 in the 500 ms after");
}

/// A run of outliers lifts the estimate past any budget; probes bring it down again.
#[test]
fn an_estimate_above_its_budget_recovers_by_probes() {
    let mut rig = Rig::new(&options(), &plan(QUOTA));
    for _ in 0..50 {
        rig.send(0, 4_000, 3_000_000);
        rig.settle();
        rig.pass(Nanos::from_millis(100));
    }
    let closed = rig.get(0, Priority::High, Field::OnTime);
    let mut recovered = None;
    for i in 0..2_000u32 {
        rig.send(0, 4_000, 50_000);
        rig.settle();
        rig.pass(Nanos::from_micros(950));
        if recovered.is_none() && rig.get(0, Priority::High, Field::OnTime) > closed + 20 {
            recovered = Some(i);
        }
    }
    assert!(recovered.is_some_and(|ms| ms <= 500), "recovered after {recovered:?} ms");
}

#[test]
fn every_fault_has_its_own_name() {
    let mut rig = Rig::new(&options(), &plan([2, 2, 2, 2]));
    let now = rig.now();
    let at = |socket, port, bytes: Vec<u8>| Incoming::new(socket, port, now, bytes);
    rig.arrive(at(1, 4_000, vec![]));
    rig.arrive(at(1, 4_000, vec![0; 257]));
    rig.arrive(Incoming { truncated: true, ..at(1, 4_000, vec![0; 9]) });
    rig.arrive(at(1, 0, payload(1)));
    rig.arrive(at(1, 53, payload(1)));
    rig.arrive(at(1, 8_080, payload(1)));
    rig.arrive(at(1, 4_000, payload(FAIL)));
    rig.settle();
    let drops = |r| rig.dropped(1, Priority::Medium, r);
    assert_eq!(drops(DropReason::ParseError), 1);
    assert_eq!(drops(DropReason::RxTruncated), 2);
    assert_eq!(drops(DropReason::EgressNoRoute), 3);
    assert_eq!(drops(DropReason::KernelError), 1);
    rig.check_law();
}

#[test]
fn a_panic_in_a_kernel_ends_its_batch_and_nothing_else() {
    let mut rig = Rig::new(&options(), &plan(QUOTA));
    rig.send(1, 4_000, PANIC);
    rig.send(1, 4_000, 1_000);
    rig.settle();
    assert_eq!(rig.dropped(1, Priority::Medium, DropReason::KernelError), 1);
    assert_eq!(rig.get(1, Priority::Medium, Field::Replied), 1);
    rig.check_law();
}

#[test]
fn refused_sends_are_counted_by_their_fault() {
    let mut rig = Rig::new(&options(), &plan(QUOTA));
    rig.turns.driver_mut().faults.extend([
        Some(SendError::QueueFull),
        Some(SendError::Refused(22)),
        None,
    ]);
    for port in [4_000, 4_001, 4_002] {
        rig.send(1, port, 0);
    }
    rig.settle();
    assert_eq!(rig.drops(DropReason::EgressQueueFull), 1);
    assert_eq!(rig.drops(DropReason::EgressError), 1);
    assert_eq!(rig.get(1, Priority::Medium, Field::Replied), 1);
    rig.check_law();
}

#[test]
fn what_finds_no_slot_is_dropped_by_name_and_slots_come_back() {
    let mut rig = Rig::new(&Options { slots: 4, ..options() }, &plan(QUOTA));
    for _ in 0..2 {
        for _ in 0..6 {
            rig.send(1, 4_000, 1_000);
        }
        rig.settle();
        rig.check_law();
    }
    assert_eq!(rig.drops(DropReason::RxNoBuffer), 4);
    assert_eq!(rig.get(1, Priority::Medium, Field::Replied), 8);
    assert_eq!(rig.turns.worker().slots_free(), 4);
}

#[test]
fn trains_are_taken_apart_and_put_together_again() {
    let mut rig =
        Rig::with(&options(), &plan([512; 4]), |_| vec![Box::new(punctual::kernel::echo::Echo)]);
    let now = rig.now();
    let bytes: Vec<u8> = (0..1_000).map(|i| (i % 251) as u8).collect();
    rig.arrive(Incoming { segment: 64, ..Incoming::new(1, 4_000, now, bytes.clone()) });
    rig.settle();
    let sent = &rig.turns.driver_mut().sent;
    assert_eq!(sent.len(), 16);
    assert_eq!(sent.iter().flat_map(|s| s.bytes.clone()).collect::<Vec<_>>(), bytes);
    rig.check_law();
}

/// Numbered datagrams of 64 bytes that cost so many nanoseconds, as one train.
fn train(rig: &mut Rig, costs: &[u32]) {
    let now = rig.now();
    let bytes: Vec<u8> = (0..).zip(costs).flat_map(|(i, cost)| numbered(i, *cost)).collect();
    rig.arrive(Incoming { segment: 64, ..Incoming::new(1, 4_000, now, bytes) });
}

fn numbered(i: u8, cost: u32) -> Vec<u8> {
    let mut bytes = payload(cost);
    bytes[4] = i;
    bytes
}

/// A rig whose kernel takes several rows, and which knows that they cost 100 ns.
fn neighbourly() -> Rig {
    let mut options = options();
    options.kernels[0].batch_max = 64;
    let mut rig = Rig::new(&options, &plan([512; 4]));
    teach(&mut rig, 1, 100);
    rig.turns.driver_mut().sent.clear();
    rig
}

#[test]
fn neighbours_of_a_train_are_queued_run_and_sent_as_one() {
    let mut rig = neighbourly();
    let (runs, sends) = (WorkerField::Runs, WorkerField::Sends);
    let before = [runs, sends].map(|f| rig.counters().worker(f));
    train(&mut rig, &[100; 4]);
    rig.turn();
    assert_eq!([runs, sends].map(|f| rig.counters().worker(f)), before.map(|n| n + 1));
    let sent: Vec<_> = rig.turns.driver_mut().sent.iter().map(|s| s.bytes.clone()).collect();
    assert_eq!(sent, (0..4).map(|i| numbered(i, 100)).collect::<Vec<_>>());
    assert_eq!(rig.get(1, Priority::Medium, Field::InFlight), 0);
    assert_eq!(rig.counters().class(Priority::Medium, ClassField::Samples), 64 + 4);
    rig.check_law();
}

#[test]
fn neighbours_whose_results_differ_leave_in_order_and_fail_alone() {
    let mut rig = neighbourly();
    let slots = rig.turns.worker().slots_free();
    train(&mut rig, &[FAIL, 100, SHORT, FAIL, 100]);
    rig.settle();
    let sent: Vec<_> = rig.turns.driver_mut().sent.iter().map(|s| s.bytes.clone()).collect();
    assert_eq!(sent, [numbered(1, 100), numbered(2, SHORT)[..5].to_vec(), numbered(4, 100)]);
    assert_eq!(rig.dropped(1, Priority::Medium, DropReason::KernelError), 2);
    assert_eq!(rig.turns.worker().slots_free(), slots);
    rig.check_law();
}

#[test]
fn neighbours_whose_results_are_shorter_are_moved_together() {
    let mut rig = neighbourly();
    train(&mut rig, &[SHORT; 4]);
    rig.settle();
    let sent: Vec<_> = rig.turns.driver_mut().sent.iter().map(|s| s.bytes.clone()).collect();
    assert_eq!(sent, (0..4).map(|i| numbered(i, SHORT)[..5].to_vec()).collect::<Vec<_>>());
}

#[test]
fn of_neighbours_that_do_not_all_make_it_the_last_are_dropped() {
    let mut options = options();
    options.kernels[0].batch_max = 64;
    let mut worker = Worker::new(&options, &Own::default());
    worker.set_plan(plan([512; 4]));
    let now = Instant::from_nanos(1_000_000_000);
    (0..64).for_each(|_| worker.record_warm_up(now, KernelId(0), 64, Nanos::new(100)));
    let bytes = payload(100).repeat(4);
    let train = Incoming { segment: 64, ..Incoming::new(1, 4_000, now, bytes) };
    worker.handle_rx(now, &train.received());
    assert_eq!(worker.admission().queue().len(), 4);
    // Something else took the time up to 250 ns before the deadline; sending costs a nanosecond each.
    let start = now + Nanos::from_millis(10).saturating_sub(Nanos::new(250));
    assert_eq!(worker.poll_output(start), Output::Run(KernelId(0)));
    assert_eq!(worker.batch().len(), 2);
    let cell = worker.counters().view(IngressId(1), Priority::Medium);
    assert_eq!(cell.dropped(DropReason::LateAtDispatch), 2);
    assert_eq!((cell.get(Field::InFlight), cell.unaccounted()), (2, 0));
}

#[test]
fn a_train_that_does_not_fit_its_quota_is_refused_from_there_on() {
    let mut options = options();
    options.kernels[0].batch_max = 64;
    options.admission.probe_interval = None;
    let mut rig = Rig::new(&options, &plan([512, 5, 512, 128]));
    teach(&mut rig, 1, 100);
    train(&mut rig, &[100; 4]);
    train(&mut rig, &[100; 4]);
    rig.settle();
    assert_eq!(rig.get(1, Priority::Medium, Field::OnTime), 64 + 5);
    assert_eq!(rig.dropped(1, Priority::Medium, DropReason::QuotaPriority), 3);
    rig.check_law();
}

#[test]
fn missing_and_impossible_stamps_are_counted_and_served() {
    let mut rig = Rig::new(&options(), &plan(QUOTA));
    let now = rig.now();
    rig.arrive(Incoming { stamp: Stamp::Missing(now), ..Incoming::new(1, 4_000, now, payload(1)) });
    rig.arrive(Incoming { stamp: Stamp::Anomaly(now), ..Incoming::new(1, 4_000, now, payload(1)) });
    rig.settle();
    assert_eq!(rig.get(1, Priority::Medium, Field::StampMissing), 1);
    assert_eq!(rig.get(1, Priority::Medium, Field::ClockAnomaly), 1);
    assert_eq!(rig.get(1, Priority::Medium, Field::Replied), 2);
}

#[test]
fn draining_runs_what_is_queued_and_drops_the_rest_by_name() {
    let mut rig = Rig::new(&options(), &plan(QUOTA));
    for _ in 0..40 {
        rig.send(2, 4_000, 1_000_000);
    }
    rig.turn();
    let stop_at = rig.now() + Nanos::from_millis(10);
    rig.shared.stop_at.store(stop_at.as_nanos(), std::sync::atomic::Ordering::Relaxed);
    rig.send(2, 4_000, 1_000);
    while !rig.turns.finished() {
        rig.turn();
    }
    let shutdown = rig.dropped(2, Priority::Low, DropReason::Shutdown);
    assert!((25..=31).contains(&shutdown), "{shutdown}");
    assert_eq!(rig.get(2, Priority::Low, Field::Received), 40);
    assert_eq!(rig.get(2, Priority::Low, Field::InFlight), 0);
    rig.check_law();
}

/// Deadline order alone would run a Low packet that is due first, and then a High packet would end late or nearly so.
#[test]
fn a_head_of_low_lets_high_pass_that_would_be_short_of_time_behind_it() {
    let mut rig = Rig::new(&options(), &plan([512, 512, 512, 128]));
    teach(&mut rig, 0, 300_000);
    teach(&mut rig, 2, 300_000);
    let released = rig.now();
    rig.pass(Nanos::from_millis(70));
    // The first is run at once; the second takes twice what is expected, and then not everything fits.
    for (port, cost) in [(4_010, 300_000), (4_011, 600_000), (4_012, 300_000)] {
        rig.arrive(Incoming::new(2, port, released, payload(cost)));
    }
    rig.turn();
    rig.pass(Nanos::from_micros(28_750));
    rig.send(0, 4_000, 300_000);
    rig.settle();
    let ports: Vec<_> =
        rig.turns.driver_mut().sent.iter().rev().take(3).map(|s| s.to.unwrap().port()).collect();
    assert_eq!(ports, [4_011, 4_000, 4_010]);
    assert_eq!(rig.dropped(2, Priority::Low, DropReason::LateAtDispatch), 1);
    rig.check_law();
}

/// Low is admitted only as far as it will be done before its deadline is nearer than a fresh packet of Medium's could be.
#[test]
fn a_low_packet_close_to_its_deadline_is_not_admitted_while_low_is_worth_less() {
    let mut rig = Rig::new(&options(), &plan(QUOTA));
    teach(&mut rig, 2, 20_000);
    let released = rig.now();
    rig.pass(Nanos::from_millis(95));
    for _ in 0..3 {
        rig.arrive(Incoming::new(2, 4_002, released, payload(20_000)));
    }
    rig.settle();
    // One goes in as a probe.
    assert_eq!(rig.dropped(2, Priority::Low, DropReason::PredictedMiss), 2);
    let mut plain = options();
    plain.admission.policy = Policy::Edf;
    plain.admission.overload = punctual::sched::admission::Overload::None;
    let mut rig = Rig::new(&plain, &plan(QUOTA));
    teach(&mut rig, 2, 20_000);
    let released = rig.now();
    rig.pass(Nanos::from_millis(95));
    rig.arrive(Incoming::new(2, 4_002, released, payload(20_000)));
    rig.settle();
    assert_eq!(rig.dropped(2, Priority::Low, DropReason::PredictedMiss), 0);
}

/// A driver that takes so long for a look that finds so many.
#[derive(Debug)]
struct LosesTime(MemoryDriver, &'static common::HandClock, fn(u32) -> Nanos);

impl Driver for LosesTime {
    fn receive(
        &mut self,
        now: Instant,
        room: &[u32],
        sink: &mut impl FnMut(Received<'_>),
    ) -> std::io::Result<ReceiveReport> {
        let report = self.0.receive(now, room, sink)?;
        self.1.pass(self.2(report.messages));
        Ok(report)
    }

    fn transmit(
        &mut self,
        memory: &[u8],
        batch: &TxBatch,
        failed: &mut Vec<SendFailure>,
    ) -> std::io::Result<()> {
        self.0.transmit(memory, batch, failed)
    }

    fn wait(&mut self, timeout: Nanos) -> std::io::Result<()> {
        self.0.wait(timeout)
    }

    fn kernel_drops(&mut self, socket: punctual::base::SocketId) -> u64 {
        self.0.kernel_drops(socket)
    }
}

/// Found by the simulator: `punctual sim configs/sim/faults.toml --seed 2030` ran a packet that had expired.
#[test]
fn what_is_queued_is_judged_by_the_time_after_a_look_that_found_nothing() {
    let clock = common::clock();
    let mut short = plan(QUOTA);
    short.slice = Nanos::from_micros(5);
    let own = Own { addresses: vec![], listening: vec![] };
    let worker = Worker::new(&options(), &own);
    let shared = Shared::new(worker.counters().words().len(), &short);
    // It takes 9 ms to find that nothing has arrived, as when the core is taken away meanwhile.
    let loses = |found| if found == 0 { Nanos::from_millis(9) } else { Nanos::ZERO };
    let mut driver = LosesTime(MemoryDriver::new(4, 10), clock, loses);
    // The first ends late and leaves nothing to be sent, which would be another look at the clock.
    for (socket, cost) in [(0, 2_000_000), (1, 20_000)] {
        driver.0.arrive(Incoming::new(socket, 4_000, clock.get(), payload(cost)));
    }
    let kernels = Kernels::new(vec![Box::new(common::Costly(clock))]);
    let mut turns = EventLoop::new(clock, driver, worker, kernels, &shared, Idle::Spin);
    turns.turn().unwrap();
    turns.turn().unwrap();
    let dropped = |i, p, reason| turns.worker().counters().view(IngressId(i), p).dropped(reason);
    assert_eq!(dropped(0, Priority::High, DropReason::LateAfterKernel), 1);
    assert_eq!(dropped(1, Priority::Medium, DropReason::LateAtDispatch), 1);
}

/// Answers that wait for company leave in a later turn than the one that read and ran them: what that took is theirs all the same.
#[test]
fn what_a_turn_took_is_shared_by_those_that_leave_later() {
    let clock = common::clock();
    let quota = plan(QUOTA);
    let worker = Worker::new(&options(), &Own { addresses: vec![], listening: vec![] });
    let shared = Shared::new(worker.counters().words().len(), &quota);
    shared.plan.publish(&quota);
    let loses = |found| Nanos::from_micros(2).saturating_mul(u64::from(found));
    let driver = LosesTime(MemoryDriver::new(4, 64), clock, loses);
    let kernels = Kernels::new(vec![Box::new(common::Costly(clock))]);
    let mut turns = EventLoop::new(clock, driver, worker, kernels, &shared, Idle::Spin);
    for _ in 0..200 {
        for _ in 0..20 {
            let packet = Incoming::new(1, 4_000, clock.get(), payload(100));
            turns.driver_mut().0.arrive(packet);
        }
        turns.turn().unwrap();
        turns.turn().unwrap();
    }
    assert_eq!(turns.worker().counters().worker(WorkerField::Sends), 200, "all leave a turn later");
    let each = turns.worker().admission().overhead().get();
    assert!((1_900..=2_100).contains(&each), "{each} ns, not nothing");
}

#[test]
fn time_with_nothing_to_do_is_counted_and_only_that() {
    let clock = common::clock();
    let us = Nanos::from_micros;
    let quota = plan(QUOTA);
    let worker = Worker::new(&options(), &Own { addresses: vec![], listening: vec![] });
    let shared = Shared::new(worker.counters().words().len(), &quota);
    shared.plan.publish(&quota);
    // A look takes 3 us, and 2 us more for what it finds.
    let loses = |found| Nanos::from_micros(3 + 2 * u64::from(found));
    let driver = LosesTime(MemoryDriver::new(4, 64), clock, loses);
    let kernels = Kernels::new(vec![Box::new(common::Costly(clock))]);
    let mut turns = EventLoop::new(clock, driver, worker, kernels, &shared, Idle::Spin);
    turns.turn().unwrap();
    clock.pass(us(50));
    turns.turn().unwrap();
    clock.pass(us(10));
    // Looks that found nothing, and the rest behind them.
    let packet = Incoming::new(1, 4_000, clock.get(), payload(20_000));
    turns.driver_mut().0.arrive(packet);
    turns.turn().unwrap();
    let idle = |turns: &EventLoop<'_, _, _>| {
        Nanos::new(turns.worker().counters().worker(WorkerField::IdleTime))
    };
    assert_eq!(idle(&turns), us(3 + 50 + 3 + 10));
    // Not the turn that had work, but what came after it.
    clock.pass(us(30));
    turns.turn().unwrap();
    assert_eq!(idle(&turns), us(66 + 30));
    // A look that finds nobody, after which the answers leave that had waited for company, is work.
    for _ in 0..20 {
        turns.driver_mut().0.arrive(Incoming::new(1, 4_000, clock.get(), payload(100)));
    }
    turns.turn().unwrap();
    let before = (idle(&turns), turns.worker().counters().worker(WorkerField::Sends));
    turns.turn().unwrap();
    turns.turn().unwrap();
    let after = (idle(&turns), turns.worker().counters().worker(WorkerField::Sends));
    assert_eq!(after, (before.0, before.1 + 1));
}

/// [`common::Costly`] that can pause: it looks every microsecond, and tells by its answer that it was not mixed up with another.
#[derive(Debug)]
struct Pausing(&'static common::HandClock, [u64; punctual::kernel::PLACES]);

impl punctual::kernel::Kernel for Pausing {
    fn run(&mut self, batch: &mut punctual::kernel::Batch<'_>) {
        common::Costly(self.0).run(batch);
    }

    fn pauses(&self) -> bool {
        true
    }

    fn run_until(
        &mut self,
        batch: &mut punctual::kernel::Batch<'_>,
        places: &[punctual::kernel::Place],
        pause: &mut dyn FnMut() -> bool,
    ) -> usize {
        let [punctual::kernel::Place { at: place, begun }] = *places else { panic!("one row") };
        let payload = batch.payload(0);
        let (len, cost) =
            (payload.len(), payload.first_chunk().map_or(0, |b| u32::from_be_bytes(*b)));
        if !begun {
            self.1[place] = u64::from(cost);
        }
        while self.1[place] > 0 {
            let now = self.1[place].min(1_000);
            self.0.pass(Nanos::new(now));
            self.1[place] -= now;
            if self.1[place] > 0 && pause() {
                return 0;
            }
        }
        batch.finish(0, len);
        1
    }

    fn batch_max(&self) -> usize {
        1
    }
}

/// A rig whose kernel can pause, under that policy.
fn pausing(policy: Policy, chunk: Chunk) -> Rig {
    let mut options = options();
    options.kernels[0].pauses = true;
    options.admission.policy = policy;
    options.admission.chunk = chunk;
    options.admission.probe_interval = None;
    Rig::with(&options, &plan(QUOTA), |clock| {
        vec![Box::new(Pausing(clock, [0; punctual::kernel::PLACES]))]
    })
}

const CHUNK: Chunk = Chunk::Fixed(Nanos::from_micros(25));

/// A long packet of Low is being run when one of High arrives that cannot wait for its end.
fn urgent_beside_long(policy: Policy, chunk: Chunk) -> (u64, u64) {
    let mut rig = pausing(policy, chunk);
    teach(&mut rig, 0, 5_000);
    teach(&mut rig, 2, 5_000);
    let (high, low) =
        (rig.get(0, Priority::High, Field::OnTime), rig.get(2, Priority::Low, Field::OnTime));
    rig.send(2, 4_002, 3_000_000);
    // It arrives while the long one runs: stamped so by the kernel, read by the worker when it looks again.
    rig.turn();
    let begun = rig.turns.worker().paused() == 1;
    let released = match begun {
        true => rig.now(),
        false => Instant::from_nanos(rig.now().as_nanos() - 2_900_000),
    };
    rig.arrive(Incoming::new(0, 4_000, released, payload(5_000)));
    rig.settle();
    rig.check_law();
    assert_eq!(rig.turns.worker().paused(), 0);
    (
        rig.get(0, Priority::High, Field::OnTime) - high,
        rig.get(2, Priority::Low, Field::OnTime) - low,
    )
}

#[test]
fn what_is_urgent_waits_for_a_chunk_and_not_for_a_kernel() {
    for policy in [Policy::Edf, Policy::Value] {
        assert_eq!(urgent_beside_long(policy, CHUNK), (1, 1), "{policy:?}");
        assert_eq!(urgent_beside_long(policy, Chunk::Auto), (1, 1), "{policy:?}");
        assert_eq!(urgent_beside_long(policy, Chunk::Off), (0, 1), "{policy:?}");
    }
    for policy in [Policy::EdfExpiry, Policy::Fifo] {
        let mut rig = pausing(policy, CHUNK);
        rig.send(2, 4_002, 3_000_000);
        rig.turn();
        assert_eq!(rig.turns.worker().paused(), 0, "{policy:?} runs it to its end");
    }
}

/// What has paused goes on behind the urgent, and would keep its answer for company for a chunk.
#[test]
fn an_answer_does_not_wait_for_the_next_chunk() {
    let mut rig = pausing(Policy::Value, CHUNK);
    teach(&mut rig, 0, 100);
    teach(&mut rig, 2, 5_000);
    let before = rig.get(0, Priority::High, Field::OnTime);
    rig.send(2, 4_002, 3_000_000);
    rig.turn();
    assert_eq!(rig.turns.worker().paused(), 1);
    // 20 us are left of its millisecond, and it takes next to nothing. Its answer might wait for an eighth of that, and then for a chunk.
    let released = Instant::from_nanos(rig.now().as_nanos() - 980_000);
    rig.arrive(Incoming::new(0, 4_000, released, payload(100)));
    rig.turn();
    assert_eq!(rig.get(0, Priority::High, Field::OnTime) - before, 1);
    rig.settle();
    rig.check_law();
}

/// So many of Medium, which take so long, come from four peers in turn; how many answers left in one turn and in how many sends.
fn one_turn(rig: &mut Rig, count: u16, cost: u32) -> (u64, u64) {
    let left = |rig: &Rig| rig.get(1, Priority::Medium, Field::Replied);
    let (replied, sends) = (left(rig), rig.counters().worker(WorkerField::Sends));
    for n in 0..count {
        rig.send(1, 4_000 + n % 4, cost);
    }
    rig.turn();
    (left(rig) - replied, rig.counters().worker(WorkerField::Sends) - sends)
}

/// More of quick work comes in each turn, and so much time passes after it: how many turns nothing leaves.
fn turns_until_they_leave(rig: &mut Rig, pause: Nanos) -> usize {
    for turns in 0..20 {
        if one_turn(rig, 16, 100) != (0, 0) {
            return turns;
        }
        rig.pass(pause);
    }
    panic!("they are kept");
}

#[test]
fn answers_of_quick_work_wait_for_those_that_join_them() {
    let mut rig = Rig::new(&options(), &plan(QUOTA));
    teach(&mut rig, 1, 100);
    // Where one look finds few, nothing says that there are more.
    assert_eq!(one_turn(&mut rig, 7, 100), (7, 4));
    assert_eq!(one_turn(&mut rig, 40, 100), (0, 0));
    assert_eq!(one_turn(&mut rig, 40, 100), (0, 0));
    // The next look finds nobody, and all leave: as many trains as there are peers.
    assert_eq!(one_turn(&mut rig, 0, 0), (80, 4));
    rig.check_law();
}

#[test]
fn answers_wait_no_longer_than_their_part_of_the_time_that_is_left() {
    let mut rig = Rig::new(&options(), &plan(QUOTA));
    teach(&mut rig, 0, 100);
    teach(&mut rig, 1, 100);
    // High has 800 us left of its millisecond, so its answer waits for 100 at the most, and all others with it.
    let released = Instant::from_nanos(rig.now().as_nanos() - 200_000);
    rig.arrive(Incoming::new(0, 4_005, released, payload(100)));
    let turns = turns_until_they_leave(&mut rig, Nanos::from_micros(10));
    assert!((8..=10).contains(&turns), "{turns} turns of some 11 us");
    // Medium has 10 ms, of which an eighth is more than the most.
    rig.settle();
    let turns = turns_until_they_leave(&mut rig, Nanos::from_micros(100));
    assert!((9..=10).contains(&turns), "{turns} turns of some 100 us");
    rig.check_law();
}

#[test]
fn answers_that_may_not_wait_leave_with_their_run() {
    let mut options = options();
    options.hold = Nanos::ZERO;
    let mut rig = Rig::new(&options, &plan(QUOTA));
    teach(&mut rig, 1, 100);
    let runs = rig.counters().worker(WorkerField::Runs);
    let (replied, sends) = one_turn(&mut rig, 40, 100);
    assert_eq!(replied, 40, "nobody waits for the next look");
    assert_eq!(sends, rig.counters().worker(WorkerField::Runs) - runs, "nor for the next run");
    // As short a wait as one likes: a turn takes longer than these 2 us.
    options.hold = Nanos::from_micros(2);
    let mut rig = Rig::new(&options, &plan(QUOTA));
    teach(&mut rig, 1, 100);
    assert_eq!(one_turn(&mut rig, 40, 100).0, 40);
    rig.check_law();
}

/// What a send takes is little beside it: what waits is sent within 20 us, and before a run that takes as long.
#[test]
fn answers_of_long_work_do_not_wait() {
    for cost in [10_000, 25_000] {
        let mut rig = Rig::new(&options(), &plan(QUOTA));
        teach(&mut rig, 1, cost);
        let (replied, _) = one_turn(&mut rig, 40, cost);
        assert!(replied > 0, "after {cost} ns");
        rig.settle();
        rig.check_law();
    }
}

/// A pause costs a turn: nothing is cut for the sake of what is left of it, and nothing where all that comes can wait for longer.
#[test]
fn what_gains_nothing_by_a_pause_is_not_cut() {
    // In turns of 25 us: to the end, or the rest in one piece, or in two.
    for (takes, pauses) in [(35_000, 0), (60_000, 1), (80_000, 2)] {
        let mut rig = pausing(Policy::Value, CHUNK);
        teach(&mut rig, 2, takes);
        let before = rig.counters().worker(WorkerField::Pauses);
        rig.send(2, 4_002, takes);
        rig.settle();
        assert_eq!(rig.counters().worker(WorkerField::Pauses) - before, pauses, "{takes}");
    }
    // By default a slice of the plan, which is as short as what is run, is no reason.
    let mut rig = pausing(Policy::Value, Chunk::Auto);
    let mut short = plan(QUOTA);
    short.slice = Nanos::from_micros(5);
    rig.shared.plan.publish(&short);
    for _ in 0..200 {
        (0..3).for_each(|socket| rig.send(socket, 4_002, 40_000));
        rig.settle();
    }
    assert_eq!(rig.counters().worker(WorkerField::Pauses), 0);
}

#[test]
fn what_has_paused_is_one_sample_of_all_its_parts() {
    let mut rig = pausing(Policy::Value, CHUNK);
    rig.send(2, 4_002, 1_000_000);
    rig.settle();
    let low = |field| rig.counters().class(Priority::Low, field);
    assert_eq!((low(ClassField::Samples), low(ClassField::KernelTime)), (1, 1_000_000));
    assert_eq!(rig.counters().worker(WorkerField::BusyTime), 1_000_000);
    assert_eq!(rig.counters().worker(WorkerField::Runs), 1);
    assert_eq!(rig.counters().worker(WorkerField::OwnRows), 1);
    assert_eq!(rig.counters().batches(RunBy::Worker).iter().sum::<u64>(), 1);
    assert_eq!(rig.get(2, Priority::Low, Field::OnTime), 1);
}

/// Begun, and then its time is taken up by others: it is dropped once, under one reason, and its place is free again.
#[test]
fn what_has_paused_and_become_hopeless_is_given_up() {
    for policy in [Policy::Edf, Policy::Value] {
        let mut rig = pausing(policy, CHUNK);
        for round in 1..=20 {
            rig.send(2, 4_002, 50_000_000);
            rig.turn();
            assert_eq!(rig.turns.worker().paused(), 1, "{policy:?}");
            rig.pass(Nanos::from_millis(101));
            rig.settle();
            assert_eq!(rig.turns.worker().paused(), 0, "{policy:?}");
            let late = rig.dropped(2, Priority::Low, DropReason::LateAtDispatch);
            assert_eq!(late, round, "{policy:?}");
            assert_eq!(rig.counters().class(Priority::Low, ClassField::StartedExpired), 0);
            rig.check_law();
        }
        assert_eq!(rig.turns.worker().slots_free(), 4_096);
    }
}

/// Packets of a flow, long and short by turns, some of them due at the same moment: answers come in their order.
#[test]
fn a_flow_keeps_its_order_whatever_pauses() {
    for policy in [Policy::Edf, Policy::Value] {
        let mut rig = pausing(policy, CHUNK);
        let mut sent = [0_u8; 3];
        for round in 0..200_u64 {
            for flow in 0..3_u16 {
                let cost = [3_000, 120_000, 61_000, 7_000][(round + u64::from(flow)) as usize % 4];
                let mut bytes = payload(cost);
                bytes[4] = sent[usize::from(flow)];
                sent[usize::from(flow)] += 1;
                // Two rounds at a time are due at the same moment.
                let released = Instant::from_nanos(rig.now().as_nanos() / 100_000 * 100_000);
                rig.arrive(Incoming::new(1, 4_000 + flow, released, bytes));
            }
            rig.turn();
            rig.turn();
        }
        rig.settle();
        rig.check_law();
        let mut last = [None::<u8>; 3];
        for out in &rig.turns.driver_mut().sent {
            let flow = usize::from(out.to.unwrap().port() - 4_000);
            let number = Some(out.bytes[4]);
            assert!(last[flow] < number, "{policy:?}: {:?} after {:?}", number, last[flow]);
            last[flow] = number;
        }
        assert!(rig.get(1, Priority::Medium, Field::OnTime) > 100, "{policy:?}");
    }
}

#[test]
fn a_stop_drops_what_has_paused() {
    let mut rig = pausing(Policy::Value, CHUNK);
    rig.send(2, 4_002, 50_000_000);
    rig.turn();
    assert!(!rig.turns.worker().is_idle());
    let now = rig.now().as_nanos();
    rig.shared.stop_at.store(now, std::sync::atomic::Ordering::Relaxed);
    rig.turn();
    assert_eq!(rig.dropped(2, Priority::Low, DropReason::Shutdown), 1);
    assert_eq!(rig.turns.worker().paused(), 0);
    rig.check_law();
}

/// Rows side by side, each by what its payload says: company is free, so a batch takes as long as its longest row. Where a row ends
/// before one that stands in front of it, it waits for it.
#[derive(Debug)]
struct SideBySide(&'static common::HandClock, [u64; punctual::kernel::PLACES]);

impl punctual::kernel::Kernel for SideBySide {
    fn run(&mut self, batch: &mut punctual::kernel::Batch<'_>) {
        let cost =
            |i| batch.payload(i).first_chunk().map_or(0, |b| u64::from(u32::from_be_bytes(*b)));
        self.0.pass(Nanos::new((0..batch.len()).map(cost).max().unwrap_or(0)));
        (0..batch.len()).for_each(|i| batch.finish(i, batch.payload(i).len()));
    }

    fn pauses(&self) -> bool {
        true
    }

    fn run_until(
        &mut self,
        batch: &mut punctual::kernel::Batch<'_>,
        places: &[punctual::kernel::Place],
        pause: &mut dyn FnMut() -> bool,
    ) -> usize {
        let Self(clock, left) = self;
        for (i, place) in places.iter().enumerate().filter(|(_, p)| !p.begun) {
            let head = batch.payload(i).first_chunk().copied().unwrap();
            left[place.at] = u64::from(u32::from_be_bytes(head));
        }
        while places.iter().any(|p| left[p.at] > 0) {
            clock.pass(Nanos::new(1_000));
            places.iter().for_each(|p| left[p.at] = left[p.at].saturating_sub(1_000));
            if pause() {
                break;
            }
        }
        let done = places.iter().take_while(|p| left[p.at] == 0).count();
        (0..done).for_each(|i| batch.finish(i, batch.payload(i).len()));
        done
    }
}

/// A rig with that kernel, of which it is known that company is free.
fn side_by_side(policy: Policy) -> Rig {
    let mut options = options();
    options.kernels[0] = KernelOptions { batch_max: 8, grows: false, pauses: true };
    options.admission.policy = policy;
    options.admission.chunk = CHUNK;
    options.admission.probe_interval = None;
    let mut rig = Rig::with(&options, &plan(QUOTA), |clock| {
        vec![Box::new(SideBySide(clock, [0; punctual::kernel::PLACES]))]
    });
    let times: Vec<Nanos> = (0..8).map(|n| Nanos::new(100_000 + n)).collect();
    let batches = Batches::new(Default::default(), vec![Shape::new(&times, 8)]);
    rig.turns = rig.turns.with_batches(batches);
    rig
}

/// Long rows run in company and pause together; what is urgent goes in between; all that is counted is counted once.
#[test]
fn rows_side_by_side_pause_together() {
    for policy in [Policy::Edf, Policy::Value] {
        let mut rig = side_by_side(policy);
        let began = rig.now();
        for flow in 0..6 {
            rig.send(2, 4_000 + flow, 100_000);
        }
        rig.turn();
        assert_eq!(rig.turns.worker().paused(), 6, "{policy:?}");
        rig.send(0, 5_000, 3_000);
        rig.turn();
        assert_eq!(rig.get(0, Priority::High, Field::OnTime), 1, "{policy:?}");
        assert_eq!(rig.get(2, Priority::Low, Field::OnTime), 0, "{policy:?}");
        rig.settle();
        rig.check_law();
        assert_eq!(rig.get(2, Priority::Low, Field::OnTime), 6, "{policy:?}");
        // All together took as long as one.
        assert_eq!(rig.now().since(began).get() / 1_000, 100, "{policy:?}");
        let class = |p, field| rig.counters().class(p, field);
        assert_eq!(class(Priority::Low, ClassField::Samples), 6);
        let times =
            [Priority::High, Priority::Low].map(|p| class(p, ClassField::KernelTime) / 1_000);
        assert_eq!(times, [3, 96], "shares make up the whole, but for what is below a nanosecond");
        assert_eq!(rig.counters().worker(WorkerField::OwnRows), 7);
        assert_eq!(rig.counters().worker(WorkerField::Pauses), 3);
        assert_eq!(rig.turns.worker().paused(), 0);
        assert_eq!(rig.turns.worker().slots_free(), 4_096);
    }
}

/// Short rows end behind long ones of their flow, are due at the same moment, and are begun in different companies.
#[test]
fn a_flow_keeps_its_order_in_any_company() {
    for policy in [Policy::Edf, Policy::Value] {
        let mut rig = side_by_side(policy);
        let mut sent = [0_u8; 3];
        let mut x = 1_u64;
        for _ in 0..300 {
            for _ in 0..4 {
                x = x
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1_442_695_040_888_963_407);
                let flow = (x >> 33) as usize % 3;
                let mut bytes = payload([1_000, 90_000, 31_000, 150_000][(x >> 40) as usize % 4]);
                bytes[4] = sent[flow];
                sent[flow] = sent[flow].wrapping_add(1);
                let released = Instant::from_nanos(rig.now().as_nanos() / 400_000 * 400_000);
                rig.arrive(Incoming::new(2, 4_000 + flow as u16, released, bytes));
            }
            (0..(x >> 50) % 9).for_each(|_| rig.turn());
            if (x >> 20).is_multiple_of(8) {
                rig.settle();
            }
        }
        rig.settle();
        rig.check_law();
        let mut last = [None::<u8>; 3];
        for out in &rig.turns.driver_mut().sent {
            let flow = usize::from(out.to.unwrap().port() - 4_000);
            let number = out.bytes[4];
            let ahead = last[flow].map_or(1, |l| number.wrapping_sub(l));
            assert!((1..128).contains(&ahead), "{policy:?}: {number} after {:?}", last[flow]);
            last[flow] = Some(number);
        }
        assert!(rig.get(2, Priority::Low, Field::OnTime) > 600, "{policy:?}");
        assert!(rig.counters().worker(WorkerField::Pauses) > 100, "{policy:?}");
        assert_eq!(rig.turns.worker().paused(), 0);
        assert_eq!(rig.turns.worker().slots_free(), 4_096);
    }
}

/// What is short is not asked for pauses, though its kernel could; an average that is short does not hide the long ones.
#[test]
fn only_what_is_long_is_run_in_parts() {
    let mut options = options();
    options.kernels[0] = KernelOptions { batch_max: 8, grows: false, pauses: true };
    options.admission.chunk = CHUNK;
    options.admission.probe_interval = None;
    let mut rig = Rig::with(&options, &plan(QUOTA), |clock| {
        vec![Box::new(SideBySide(clock, [0; punctual::kernel::PLACES]))]
    });
    for _ in 0..50 {
        rig.send(2, 4_002, 2_000);
        rig.settle();
    }
    // Nobody knew: it is run to its end, once.
    rig.send(2, 4_002, 100_000);
    rig.settle();
    assert_eq!(rig.counters().worker(WorkerField::Pauses), 0);
    rig.send(2, 4_002, 100_000);
    rig.settle();
    assert_eq!(rig.counters().worker(WorkerField::Pauses), 3);
    assert_eq!(rig.get(2, Priority::Low, Field::OnTime), 52);
    rig.check_law();
}
