//! A small world of three classes, and what must hold in it.

use super::options::{Company, Costs, Every, Faults, Link, Options, Service, Stream, Way};
use super::run::run_with;
use super::{Deed, Law, Outcome, Planted, WrongWorld, run, run_seeds};
use crate::base::{DropReason, EgressId, KernelId, Nanos, PerPriority, Priority};
use crate::classify::{self, Classify};
use crate::dataplane::{Framing, Idle, Ingress, Late, Order};
use crate::sched::{admission, batch, controller};
use crate::sim::workload::{Arrivals, Service as Time};
use crate::stats::Field;

fn us(us: u64) -> Nanos {
    Nanos::from_micros(us)
}

fn ms(ms: u64) -> Nanos {
    Nanos::from_millis(ms)
}

fn service() -> Service {
    let ingress = |p: Priority| Ingress {
        name: p.label().into(),
        framing: Framing::Raw,
        kernel: KernelId(0),
        egress: EgressId(0),
        order: Order::Flow,
        serve_empty: false,
        classify: classify::Options::new(Classify::Fixed(p)),
    };
    let back = Way::Reply { amplification_per_mille: 1_000, low_source_ports: false };
    Service {
        ingresses: Priority::ALL.map(|p| (ingress(p), false)).to_vec(),
        egresses: vec![(back, Late::Drop)],
        kernels: vec![us(20)],
        company: vec![],
        batch: batch::Mode::Cost,
        helpers: 0,
        budgets: PerPriority::from_fn(Priority::default_budget),
        ema_weight: 8,
        admission: admission::Options::default(),
        controller: controller::Options { interval: ms(10), ..controller::Options::new(1) },
        guard: true,
        guard_requires_expected_high: true,
        idle: Idle::Adaptive { spin: us(50) },
        max_datagram: 2_048,
        hold: ms(1),
        drain: ms(100),
    }
}

/// High : Medium : Low : best effort = 1 : 2 : 6 : 1, 20 µs each, at `load`.
fn world(load: f64, packets: u64) -> Options {
    let costs = Costs::default();
    let capacity = 1e9 / (20_000.0 + 2_000.0);
    let stream = |(i, share): (usize, f64)| Stream {
        name: Priority::ALL[i].label().into(),
        ingress: i,
        priority: Priority::ALL[i],
        rate_per_s: capacity * load * share,
        arrivals: Arrivals::Poisson,
        service: vec![(1.0, Time::Exponential(us(20)))],
        recorded: None,
        size: 64,
        flows: 5,
        kernel: KernelId(0),
        budgets: vec![],
    };
    Options {
        workers: 1,
        service: service(),
        streams: [0.1, 0.2, 0.6, 0.1].into_iter().enumerate().map(stream).collect(),
        costs,
        link: Link::default(),
        faults: Faults::default(),
        packets,
        duration: Nanos::from_secs(100),
        seed: 1,
        check_every: 1,
        record: false,
    }
}

fn faulty(seed: u64, packets: u64) -> Options {
    let every = |every, lasts| Some(Every { every: ms(every), lasts });
    let faults = Faults {
        stall: every(40, ms(3)),
        slow: every(60, ms(20)).map(|e| (e, 10.0)),
        drift: Some((ms(100), 2.0)),
        pace: vec![(ms(0), 1.0), (ms(60), 1.4), (ms(120), 0.9)],
        device: every(20, ms(5)),
        stamps: every(30, ms(2)),
        buffers: every(30, ms(1)),
        sends: every(30, ms(1)),
        bursts: Some((ms(20), 300)),
        kernel: 0.01,
        missed_ticks: 0.2,
        late_ticks: (0.3, ms(8)),
        reloads: Some(ms(50)),
    };
    let link = Link { jitter: us(200), loss: 0.01, duplicate: 0.01, ..Link::default() };
    Options { faults, link, seed, ..world([0.7, 1.5, 4.0][(seed % 3) as usize], packets) }
}

fn holds(options: &Options) -> Outcome {
    let outcome = run(options).unwrap();
    assert_eq!(outcome.breach, None, "seed {}", options.seed);
    outcome
}

#[test]
fn a_world_runs_to_its_end_and_everything_is_accounted_for() {
    let outcome = holds(&world(0.8, 20_000));
    assert_eq!(outcome.offered(), 20_000);
    let received: u64 = Priority::ALL.iter().map(|p| outcome.figure(*p, Field::Received)).sum();
    assert_eq!(received + outcome.unread, 20_000);
    let high = &outcome.tally.streams[0];
    assert!(high.on_time * 100 >= high.offered * 97, "{high:?}");
    assert!(outcome.steps > 30, "{} controller steps", outcome.steps);
}

#[test]
fn the_same_seed_is_the_same_run_to_the_last_event_and_another_is_not() {
    let record = |seed| Options { record: true, workers: 3, ..faulty(seed, 9_000) };
    let (a, b, c) = (holds(&record(7)), holds(&record(7)), holds(&record(8)));
    assert_eq!((a.hash, a.events, &a.kept), (b.hash, b.events, &b.kept));
    assert_ne!(a.hash, c.hash);
    assert!(a.events > 9_000);
}

#[test]
fn overload_is_met_by_value_and_first_in_first_out_is_not() {
    let ours = holds(&world(2.0, 40_000));
    let mut fifo = world(2.0, 40_000);
    fifo.service.admission.policy = admission::Policy::Fifo;
    let fifo = holds(&fifo);
    let on_time =
        |o: &Outcome, s: usize| o.tally.streams[s].on_time * 100 / o.tally.streams[s].offered;
    assert!(on_time(&ours, 0) >= 95, "High {} %", on_time(&ours, 0));
    assert!(on_time(&ours, 1) >= 95, "Medium {} %", on_time(&ours, 1));
    assert!(on_time(&fifo, 0) <= 10, "High under fifo {} %", on_time(&fifo, 0));
}

#[test]
fn two_hundred_seeds_with_faults_keep_all_laws() {
    let fleet =
        run_seeds(&Options { check_every: 16, ..faulty(1, 2_000) }, 200, 2, &|_| {}).unwrap();
    assert_eq!(fleet.broken, vec![]);
    assert_eq!((fleet.runs, fleet.offered), (200, 400_000));
}

/// Two helpers that now and then disappear with what they have.
fn helped(policy: admission::Policy, seed: u64, packets: u64) -> Options {
    let mut options = faulty(seed, packets);
    options.service.admission.policy = policy;
    options.service.helpers = 2;
    options
}

const BOTH: [admission::Policy; 2] = [admission::Policy::Value, admission::Policy::Edf];

#[test]
fn helpers_take_part_and_those_that_disappear_break_no_law() {
    for policy in BOTH {
        let mut plain = world(2.0, 20_000);
        plain.service.admission.policy = policy;
        let mut two = plain.clone();
        two.service.helpers = 2;
        let answers = |o: &Outcome| o.tally.streams.iter().map(|s| s.on_time).sum::<u64>();
        let (alone, together) = (answers(&holds(&plain)), answers(&holds(&two)));
        assert!(together * 10 > alone * 15, "{policy:?}: {together} beside {alone}");
        let faulty = Options { check_every: 1, ..helped(policy, 1, 2_000) };
        let fleet = run_seeds(&faulty, 100, 2, &|_| {}).unwrap();
        assert_eq!(fleet.broken, vec![]);
        let o = holds(&helped(policy, 4, 20_000));
        let some = [2, 3, 5, 6, 7, 8].map(|seed| holds(&helped(policy, seed, 20_000)));
        let sum = |of: &dyn Fn(&Outcome) -> u64| of(&o) + some.iter().map(of).sum::<u64>();
        for (what, count) in [
            ("batches went", sum(&|o| o.elsewhere.batches)),
            ("packets were lost", sum(&|o| o.elsewhere.lost)),
            ("packets were late", sum(&|o| o.elsewhere.late)),
            ("packets came too late for their flow", {
                let late = |o: &Outcome, p| o.dropped(p, DropReason::ReorderLate);
                sum(&|o| Priority::ALL.iter().map(|p| late(o, *p)).sum())
            }),
        ] {
            assert!(count > 0, "{policy:?}: {what}: never");
        }
        let again = holds(&helped(policy, 4, 20_000));
        assert_eq!((o.hash, o.events), (again.hash, again.events));
    }
}

#[test]
fn a_kernel_that_gains_from_company_takes_batches_and_answers_more() {
    let alone = world(2.0, 20_000);
    let mut company = alone.clone();
    company.service.company = vec![Some(Company { rows: 16, shared: 0.8 })];
    let answers = |o: &Outcome| o.tally.streams.iter().map(|s| s.on_time).sum::<u64>();
    let (alone, company) = (holds(&alone), holds(&company));
    assert!(
        answers(&company) * 10 > answers(&alone) * 13,
        "{} {}",
        answers(&company),
        answers(&alone)
    );
    for seed in 0..20 {
        let mut options = match seed % 3 {
            0 => faulty(seed, 2_000),
            n => helped(BOTH[n as usize - 1], seed, 2_000),
        };
        options.service.company = vec![Some(Company { rows: 16, shared: 0.8 })];
        holds(&options);
    }
}

#[test]
fn every_kind_of_fault_happens() {
    let o = holds(&Options { record: true, ..faulty(4, 20_000) });
    let figure = |f| Priority::ALL.iter().map(|p| o.figure(*p, f)).sum::<u64>();
    let dropped = |r| Priority::ALL.iter().map(|p| o.dropped(*p, r)).sum::<u64>();
    for (what, count) in [
        ("missing stamps", figure(Field::StampMissing)),
        ("stamps not to be believed", figure(Field::ClockAnomaly)),
        ("kernel errors", dropped(DropReason::KernelError)),
        ("full send queues", dropped(DropReason::EgressQueueFull)),
        ("predicted misses", dropped(DropReason::PredictedMiss)),
        ("lost on the link", o.tally.streams.iter().map(|s| s.lost).sum()),
        ("plans", o.kept[0].iter().filter(|e| e.deed == Deed::SendFailed).count() as u64),
    ] {
        assert!(count > 0, "{what} never happened");
    }
}

#[test]
fn each_planted_bug_is_caught_by_its_law() {
    for (planted, law) in [
        (Planted::QuotaWraps, Law::Quota),
        (Planted::PlanTorn, Law::Plan),
        (Planted::BufferLost, Law::Conservation),
        (Planted::LastFirst, Law::FlowOrder),
        (Planted::WrongAverage, Law::Estimates),
        (Planted::RowsShifted, Law::Answers),
    ] {
        let mut options = world(1.5, 20_000);
        if planted == Planted::RowsShifted {
            options.service.helpers = 1;
            // So many flows that two of one are in no batch: their order would be seen first.
            options.streams.iter_mut().for_each(|s| s.flows = 65_536);
        }
        let outcome = run_with(&options, planted);
        let breach = outcome.breach.unwrap_or_else(|| panic!("{planted:?} went unseen"));
        assert_eq!(breach.law, law, "{planted:?}: {breach}");
    }
}

#[test]
fn work_of_later_deadlines_charged_to_a_packet_shows_in_its_share() {
    let mut prefix = world(1.2, 20_000);
    prefix.service.admission.policy = admission::Policy::Edf;
    let mut literal = prefix.clone();
    literal.service.admission.predictor = admission::Predictor::SeedTotal;
    let (ours, literal) = (holds(&prefix), holds(&literal));
    let missed = |o: &Outcome| o.dropped(Priority::High, DropReason::PredictedMiss);
    assert!(
        missed(&literal) > 10 * missed(&ours).max(10),
        "{} {}",
        missed(&literal),
        missed(&ours)
    );
}

#[test]
fn a_world_that_cannot_be_is_refused() {
    assert_eq!(run(&Options { workers: 0, ..world(1.0, 10) }).err(), Some(WrongWorld::Workers(0)));
    let mut wrong = world(1.0, 10);
    wrong.streams[0].priority = Priority::Low;
    assert_eq!(run(&wrong).err(), Some(WrongWorld::NotServed("high".into())));
    let mut shared = Options { workers: 2, ..world(1.0, 10) };
    shared.service.helpers = 1;
    assert_eq!(run(&shared).err(), Some(WrongWorld::Helpers(2)));
    let mut free = world(1.0, 10);
    free.costs.look = Nanos::ZERO;
    assert_eq!(run(&free).err(), Some(WrongWorld::FreeLooks));
}
