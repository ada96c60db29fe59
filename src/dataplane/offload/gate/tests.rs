//! Each verdict of the gate with the figure that counts it, and that what a batch holds is given back.

use super::*;
use crate::level::choose::{Mode, Ratio};

/// One row there, and each further one.
const LAUNCH: Nanos = Nanos::from_micros(60);

fn level() -> level::Options {
    let mut level = level::Options::default();
    level.choose.transfer_rule = Ratio::new(1.0);
    level
}

fn options(level: level::Options) -> GateOptions {
    GateOptions {
        level,
        breaker: Arc::new(Breaker::new(level.breaker)),
        depth: Arc::default(),
        core: Backend::Avx2,
        measured: vec![vec![(1, LAUNCH), (9, Nanos::from_micros(68))]],
        elements: vec![64],
    }
}

fn gate(options: &GateOptions) -> Gate {
    Gate::new(options, &mut RoundTrip::new(1))
}

/// 32 rows with time enough: a millisecond here, a tenth of it there.
fn ask() -> Ask {
    let now = Instant::ZERO + Nanos::from_secs(1);
    Ask {
        now,
        kernel: KernelId(0),
        rows: 32,
        own: Nanos::from_millis(1),
        due: now + Nanos::from_millis(50),
        before: Nanos::ZERO,
        wait: Nanos::ZERO,
        way: Nanos::from_micros(10),
        in_device: Nanos::from_micros(100),
        helped: None,
    }
}

fn cheap() -> Ask {
    Ask { own: Nanos::from_micros(5), ..ask() }
}

/// The verdict's first letter and its figure.
fn judged(gate: &mut Gate, ask: &Ask) -> (char, WorkerField) {
    let (verdict, field) = gate.judge(ask);
    let letter = match verdict {
        Verdict::Go => 'g',
        Verdict::Stay => 's',
        Verdict::Reject => 'r',
    };
    (letter, field)
}

#[test]
fn a_batch_goes_where_that_pays_for_the_way_and_not_else() {
    let mut gate = gate(&options(level()));
    assert_eq!(judged(&mut gate, &cheap()), ('s', WorkerField::KeptCheaper));
    assert!(gate.ticket.is_none());
    assert_eq!(judged(&mut gate, &ask()), ('g', WorkerField::ChosePays));
    assert!(gate.ticket.is_some());
    let unknown = Ask { kernel: KernelId(1), ..ask() };
    assert_eq!(judged(&mut gate, &unknown), ('s', WorkerField::KeptCheaper));
}

#[test]
fn a_trial_goes_whether_it_pays_or_not_but_never_to_be_late() {
    let mut level = level();
    level.choose.mode = Mode::Trial;
    let mut gate = gate(&options(level));
    assert_eq!(judged(&mut gate, &cheap()), ('g', WorkerField::ChoseTrial));
    // The way and the work are 110 us, with the spare of a fifth 130.
    let due = |us| Ask { due: cheap().now + Nanos::from_micros(us), ..cheap() };
    assert_eq!(judged(&mut gate, &due(130)), ('g', WorkerField::ChoseTrial));
    assert_eq!(judged(&mut gate, &due(129)), ('s', WorkerField::KeptCheaper));
    let hopeless = Ask { own: Nanos::from_millis(1), ..due(20) };
    assert_eq!(judged(&mut gate, &hopeless), ('s', WorkerField::KeptLate));
}

#[test]
fn what_waits_there_counts_and_saves_a_batch_that_would_be_late_here() {
    let mut gate = gate(&options(level()));
    let due = ask().now + Nanos::from_micros(500);
    let behind = Ask { wait: Nanos::from_micros(390), due, own: Nanos::from_micros(200), ..ask() };
    assert_eq!(judged(&mut gate, &behind), ('s', WorkerField::KeptCheaper));
    let only_there =
        Ask { before: Nanos::from_millis(1), own: Nanos::from_micros(120), due, ..ask() };
    assert_eq!(judged(&mut gate, &only_there), ('g', WorkerField::ChoseInTime));
}

#[test]
fn a_full_queue_keeps_a_batch_here_and_a_place_is_given_back() {
    let mut level = level();
    level.spill.max_depth = 2;
    let options = options(level);
    let mut gate = gate(&options);
    let mut held = Vec::new();
    for _ in 0..2 {
        assert_eq!(judged(&mut gate, &ask()).0, 'g');
        held.push(gate.ticket.take().expect("it holds a place"));
    }
    assert_eq!(judged(&mut gate, &ask()), ('s', WorkerField::KeptQueue));
    let back = held.pop().expect("two");
    let transfer = back.settle(ask().now, Nanos::from_micros(90), Ended::Run);
    assert_eq!(transfer, Nanos::from_micros(70), "the way and the launch");
    assert_eq!(options.breaker.figures(ask().now).used, Nanos::from_micros(90));
    assert_eq!(judged(&mut gate, &ask()).0, 'g');
    drop(held);
    gate.ticket = None;
    assert_eq!((options.depth.get(), options.breaker.figures(ask().now).in_flight), (0, 0));
}

#[test]
fn a_helper_that_is_done_sooner_gets_what_spills() {
    let mut level = level();
    level.spill.threshold = 1;
    let mut gate = gate(&options(level));
    assert_eq!(judged(&mut gate, &ask()).0, 'g');
    let _held = gate.ticket.take();
    let sooner = Ask { helped: Some(ask().now + Nanos::from_micros(50)), ..ask() };
    assert_eq!(judged(&mut gate, &sooner), ('s', WorkerField::KeptQueue));
    let later = Ask { helped: Some(ask().now + Nanos::from_millis(9)), ..ask() };
    assert_eq!(judged(&mut gate, &later).0, 'g');
}

#[test]
fn the_breaker_s_cost_and_losses_keep_batches_here_or_refuse_them() {
    for (fallback, verdict) in [
        (Fallback::Cpu, ('s', WorkerField::KeptBreaker)),
        (Fallback::Reject, ('r', WorkerField::KeptRejected)),
    ] {
        // Two and a half batches of a minute.
        let mut level = level();
        level.breaker.limit = Nanos::from_micros(250);
        level.choose.fallback = fallback;
        let mut by_cost = gate(&options(level));
        for _ in 0..2 {
            assert_eq!(judged(&mut by_cost, &ask()).0, 'g');
            let ticket = by_cost.ticket.take().expect("it goes");
            ticket.settle(ask().now, Nanos::from_micros(100), Ended::Run);
        }
        assert_eq!(judged(&mut by_cost, &ask()), verdict, "its third opens it");
        assert_eq!(judged(&mut by_cost, &ask()), verdict, "and open it stays");
        level.breaker.limit = Nanos::from_secs(1);
        let mut by_loss = gate(&options(level));
        for _ in 0..level::breaker::FAILURES_MAX {
            assert_eq!(judged(&mut by_loss, &ask()).0, 'g');
            let ticket = by_loss.ticket.take().expect("it goes");
            ticket.settle(ask().now, Nanos::from_micros(100), Ended::Lost);
        }
        assert_eq!(judged(&mut by_loss, &ask()), verdict);
    }
}
