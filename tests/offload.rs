//! A worker with a device beside it, over a driver in memory and a clock that is moved by hand: what leaves, what comes back, in
//! which order, and that nothing is lost on the way. No threads.

mod common;

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};

use common::{Costly, FAIL, HandClock, PANIC, Rig, SHORT, clock, payload, plan, quiet_panics};
use proptest::prelude::*;
use punctual::base::{
    DropReason, EgressId, IngressId, Instant, KernelId, Nanos, Priority, SocketId,
};
use punctual::classify::{self, Classify};
use punctual::dataplane::offload::{Back, DeviceOptions, Errand, Port};
use punctual::dataplane::{Framing, Ingress, Late, Options, Order, SocketOptions, SocketRole};
use punctual::io::memory::Incoming;
use punctual::kernel::accel::{Accelerator as _, Ended};
use punctual::kernel::cpu_accel::CpuAccelerator;
use punctual::kernel::{Kernel, Kernels};
use punctual::packet::framed::Header;
use punctual::sched::admission::Policy;
use punctual::stats::{ClassField, Field, WorkerField};
use zerocopy::IntoBytes as _;

/// What becomes of the next batches.
#[derive(Clone, Copy, Debug)]
struct Fate {
    /// So much longer than its rows cost.
    delay: Nanos,
    lost: bool,
    /// It comes back only when the test says so.
    stuck: bool,
}

const AT_ONCE: Fate = Fate { delay: Nanos::new(10_000), lost: false, stuck: false };

/// A device in the clock of the test: it takes what its rows say, one batch after the other.
#[derive(Debug)]
struct Desk {
    device: CpuAccelerator,
    /// The kernels spend their time on this clock.
    own: &'static HandClock,
    clock: &'static HandClock,
    free_at: Instant,
    under_way: Vec<(Instant, Back)>,
    fates: VecDeque<Fate>,
    taken: u64,
    refuses: bool,
    /// What handing a batch over takes of the worker's time.
    hand: Nanos,
}

impl Desk {
    fn begin(&mut self, errand: Errand) {
        let now = self.clock.get();
        let fate = self.fates.pop_front().unwrap_or(AT_ONCE);
        let Errand { kernel, mut staged } = errand;
        self.taken += 1;
        let before = self.own.get();
        if !fate.lost {
            self.device.submit(kernel, staged).unwrap();
            let mut got = None;
            self.device.poll(Nanos::ZERO, &mut |s, _| got = Some(s));
            staged = got.unwrap();
        }
        let began = self.free_at.max(now);
        self.free_at = began + self.own.get().since(before);
        let ended = if fate.lost { Ended::Lost } else { Ended::Run };
        let due = if fate.stuck { Instant::MAX } else { self.free_at + fate.delay };
        self.under_way.push((due, Back { staged, ended, began, finished: self.free_at }));
    }

    fn free_what_is_stuck(&mut self) {
        let now = self.clock.get();
        self.under_way.iter_mut().for_each(|(due, _)| *due = (*due).min(now));
    }
}

/// The worker's end of it.
#[derive(Debug)]
struct Line(Arc<Mutex<Desk>>);

impl Port for Line {
    fn send(&mut self, errand: Errand) -> Result<(), Errand> {
        let mut desk = self.0.lock().unwrap();
        desk.clock.pass(desk.hand);
        if desk.refuses {
            return Err(errand);
        }
        desk.begin(errand);
        Ok(())
    }

    fn take(&mut self) -> Option<Back> {
        let mut desk = self.0.lock().unwrap();
        let now = desk.clock.get();
        // Whatever is due first, not what was sent first.
        let first = (0..desk.under_way.len()).min_by_key(|i| desk.under_way[*i].0)?;
        (desk.under_way[first].0 <= now).then(|| desk.under_way.swap_remove(first).1)
    }
}

fn options_of(policy: Policy) -> Options {
    let mut options = common::options();
    options.admission.policy = policy;
    options
}

/// Devices work beside both policies that predict.
fn both() -> [Options; 2] {
    [Policy::Value, Policy::Edf].map(options_of)
}

struct Pair {
    rig: Rig,
    desk: Arc<Mutex<Desk>>,
}

impl Pair {
    fn new(options: &Options, quota: [u32; 4]) -> Self {
        Self::with(options, quota, 64, |clock| vec![Box::new(Costly(clock))])
    }

    fn giving_up(options: &Options, give_up: Nanos) -> Self {
        Self::made(options, [512; 4], (64, give_up), |clock| vec![Box::new(Costly(clock))])
    }

    fn with(
        options: &Options,
        quota: [u32; 4],
        rows_max: usize,
        kernels: impl Fn(&'static HandClock) -> Vec<Box<dyn Kernel>>,
    ) -> Self {
        Self::made(options, quota, (rows_max, Nanos::MAX), kernels)
    }

    fn made(
        options: &Options,
        quota: [u32; 4],
        (rows_max, give_up): (usize, Nanos),
        kernels: impl Fn(&'static HandClock) -> Vec<Box<dyn Kernel>>,
    ) -> Self {
        quiet_panics();
        let rig = Rig::with(options, &plan(quota), &kernels);
        let own = clock();
        let all = Kernels::new(kernels(own));
        let runs = vec![true; all.len()];
        let desk = Arc::new(Mutex::new(Desk {
            device: CpuAccelerator::new(all),
            own,
            clock: rig.clock,
            free_at: Instant::ZERO,
            under_way: Vec::new(),
            fates: VecDeque::new(),
            taken: 0,
            refuses: false,
            hand: Nanos::ZERO,
        }));
        let line: Box<dyn Port> = Box::new(Line(Arc::clone(&desk)));
        let turns = rig
            .turns
            .with_devices(vec![(DeviceOptions { rows_max, runs, gate: None, give_up }, line)]);
        Self { rig: Rig { turns, ..rig }, desk }
    }

    fn desk(&self) -> MutexGuard<'_, Desk> {
        self.desk.lock().unwrap()
    }

    /// Turns until nothing is waiting anywhere; time passes while the worker waits.
    fn settle(&mut self) {
        for _ in 0..1_000_000 {
            self.turn();
            let idle = self.rig.turns.worker().is_idle();
            if idle && self.rig.turns.driver_mut().pending() == 0 {
                return;
            }
        }
        panic!("never idle");
    }

    fn turn(&mut self) {
        let wait = self.rig.turns.turn().unwrap();
        self.rig.check_law();
        if let Some(until) = wait {
            let step = until.since(self.rig.now()).min(Nanos::from_micros(20));
            self.rig.pass(step.max(Nanos::new(100)));
        }
    }

    /// The worker learns what a packet costs.
    fn teach(&mut self, socket: u16, cost: u32) {
        for _ in 0..64 {
            self.rig.send(socket, 3_999, cost);
            self.settle();
            self.rig.pass(Nanos::from_millis(1));
        }
        self.rig.turns.driver_mut().sent.clear();
    }

    fn away(&self, field: WorkerField) -> u64 {
        self.rig.counters().worker(field)
    }

    /// How many packets away have been given up, as the worker shows it when asked.
    fn given_up(&mut self) -> u64 {
        self.rig.shared.board.ask();
        self.turn();
        self.away(WorkerField::GapsGivenUp)
    }

    fn numbers(&mut self) -> Vec<u64> {
        self.rig.turns.driver_mut().sent.iter().map(|s| number_of(&s.bytes)).collect()
    }
}

/// A payload of that cost and number.
fn numbered(cost: u32, number: u64) -> Vec<u8> {
    let mut bytes = payload(cost);
    bytes[8..16].copy_from_slice(&number.to_be_bytes());
    bytes
}

fn number_of(bytes: &[u8]) -> u64 {
    u64::from_be_bytes(bytes[8..16].try_into().unwrap())
}

fn burst(pair: &mut Pair, socket: u16, count: u64, flows: u64, cost: u32) {
    let now = pair.rig.now();
    for n in 0..count {
        let port = 4_000 + u16::try_from(n % flows).unwrap();
        pair.rig.arrive(Incoming::new(socket, port, now, numbered(cost, n)));
    }
}

fn on_time(pair: &Pair, i: u16, p: Priority) -> u64 {
    pair.rig.get(i, p, Field::OnTime)
}

/// 1 ms holds 50 packets of 20 us: with a second core, nearly twice as many.
#[test]
fn a_burst_that_one_core_cannot_answer_in_time_is_answered_by_two() {
    for options in both() {
        let quota = [512, 97, 322, 128];
        let mut alone = Rig::new(&options, &plan(quota));
        let mut pair = Pair::new(&options, quota);
        for _ in 0..64 {
            alone.send(0, 3_999, 20_000);
            alone.settle();
            alone.pass(Nanos::from_millis(1));
        }
        pair.teach(0, 20_000);
        assert_eq!(pair.away(WorkerField::AwayBatches), 0, "alone on its core, nothing leaves");
        for _ in 0..200 {
            alone.send(0, 4_000, 20_000);
        }
        alone.settle();
        burst(&mut pair, 0, 200, 200, 20_000);
        pair.settle();
        let by_one = alone.get(0, Priority::High, Field::OnTime) - 64;
        let by_two = on_time(&pair, 0, Priority::High) - 64;
        assert!((48..=51).contains(&by_one), "{by_one} by one");
        assert!((75..=100).contains(&by_two), "{by_two} by two");
        let rows = pair.away(WorkerField::AwayRows);
        assert!((30..=50).contains(&rows), "{rows} rows away");
        assert_eq!(pair.away(WorkerField::AwayLate), 0);
        assert_eq!(pair.rig.drops(DropReason::LateAfterKernel), 0);
        assert_eq!(pair.given_up(), 0);
        assert_eq!(pair.rig.turns.worker().slots_free(), 4_096);
    }
}

/// 200 us, and known by its length.
fn long(number: u64) -> Vec<u8> {
    let mut bytes = numbered(200_000, number);
    bytes.resize(200, 0);
    bytes
}

/// Short work that comes upon a queue of long work of its class, all due together: while a device can take the end of the queue,
/// nobody is refused and nobody gives way.
#[test]
fn the_end_of_the_queue_is_offered_before_anybody_gives_way() {
    for options in both() {
        let upon_long = |rig: &mut Rig| {
            let now = rig.now();
            // As many as fit, so that the first for whom there is no time is a short one.
            for n in 0..39 {
                rig.arrive(Incoming::new(1, 4_000 + n, now, long(n.into())));
            }
            for n in 39..79 {
                rig.arrive(Incoming::new(1, 4_000 + n, now, numbered(20_000, n.into())));
            }
        };
        let mut alone = Rig::new(&options, &plan([512; 4]));
        for n in 0..128 {
            let bytes = if n % 2 == 0 { long(n) } else { numbered(20_000, n) };
            let now = alone.now();
            alone.arrive(Incoming::new(1, 3_999, now, bytes));
            alone.settle();
            alone.pass(Nanos::from_millis(1));
        }
        let mut pair = Pair::new(&options, [512; 4]);
        for n in 0..128 {
            let bytes = if n % 2 == 0 { long(n) } else { numbered(20_000, n) };
            let now = pair.rig.now();
            pair.rig.arrive(Incoming::new(1, 3_999, now, bytes));
            pair.settle();
            pair.rig.pass(Nanos::from_millis(1));
        }
        upon_long(&mut alone);
        alone.settle();
        upon_long(&mut pair.rig);
        pair.settle();
        let lost = |rig: &Rig| {
            [DropReason::Evicted, DropReason::PredictedMiss, DropReason::LateBeforeOffload]
                .map(|r| rig.drops(r))
        };
        let (by_one, by_two) = (lost(&alone), lost(&pair.rig));
        // "edf" weighs classes, so here it refuses.
        let value = options.admission.policy == Policy::Value;
        assert!(by_one[usize::from(!value)] > 0, "alone somebody has to go: {by_one:?}");
        assert_eq!(by_two, [0; 3], "beside {by_one:?}");
        assert_eq!(on_time(&pair, 1, Priority::Medium), 128 + 79);
    }
}

/// One flow that the line of promises is used for, since not everything fits: results leave in order, whatever went away.
#[test]
fn what_is_promised_is_taken_from_the_end_and_its_time_is_free_for_others() {
    let options = options_of(Policy::Value);
    let mut pair = Pair::new(&options, [512; 4]);
    pair.teach(0, 20_000);
    burst(&mut pair, 0, 400, 1, 20_000);
    pair.settle();
    assert!(pair.rig.drops(DropReason::PredictedMiss) > 250);
    let (first, rows) = (pair.numbers(), pair.away(WorkerField::AwayRows));
    assert!(rows > 30 && first.len() > 75, "{rows} away, {} answered", first.len());
    assert!(first.is_sorted_by(|a, b| a < b), "{first:?}");
    // Its batches are small: the two that it is given first do not keep it busy, and the next are from the line.
    let mut small = Pair::with(&options, [512; 4], 8, |clock| vec![Box::new(Costly(clock))]);
    small.teach(0, 20_000);
    burst(&mut small, 0, 400, 1, 20_000);
    small.settle();
    let rows = small.away(WorkerField::AwayRows);
    assert!(rows >= 32, "{rows} rows away in batches of 8");
    assert_eq!(small.rig.drops(DropReason::LateAfterKernel), 0);
    let numbers = small.numbers();
    assert!(numbers.is_sorted_by(|a, b| a < b), "{numbers:?}");
}

/// Handing over takes time, and what has none left for it is not started behind it.
#[test]
fn what_is_started_was_judged_after_the_batch_was_handed_over() {
    for mut options in both() {
        // No result waits for one that is dropped: what is late at its end was begun late.
        options.ingresses[1].order = Order::None;
        let mut pair = Pair::new(&options, [512; 4]);
        pair.teach(1, 20_000);
        pair.teach(2, 20_000);
        let began = pair.rig.now();
        burst(&mut pair, 1, 60, 60, 20_000);
        burst(&mut pair, 2, 400, 60, 20_000);
        for _ in 0..5 {
            pair.turn();
        }
        // Medium has time for one more of its packets, if that is started now. The device is free, and Low has the time.
        pair.rig.pass((began + Nanos::from_micros(9_960)).since(pair.rig.now()));
        pair.desk().hand = Nanos::from_micros(100);
        let before = pair.away(WorkerField::AwayBatches);
        pair.turn();
        assert!(pair.away(WorkerField::AwayBatches) > before, "nothing was handed over");
        pair.settle();
        let expired = |p| pair.rig.counters().class(p, ClassField::StartedExpired);
        assert_eq!((expired(Priority::Medium), expired(Priority::Low)), (0, 0));
        assert!(pair.rig.dropped(1, Priority::Medium, DropReason::LateAtDispatch) > 0);
        assert_eq!(pair.rig.drops(DropReason::LateAfterKernel), 0);
    }
}

/// Long work that cannot be interrupted would keep a stream of urgent packets waiting. The worker must not run it; a device may.
#[test]
fn what_would_keep_others_waiting_here_goes_to_a_device_or_nowhere() {
    let mut options = options_of(Policy::Value);
    options.admission.probe_interval = None;
    options.admission.audit_one_in = 0;
    let mut pair = Pair::new(&options, [512; 4]);
    let slow_since = |pair: &mut Pair, number, age: Nanos| {
        let mut bytes = numbered(5_000_000, number);
        bytes.resize(200, 0);
        let came = Instant::from_nanos(pair.rig.now().as_nanos() - age.get());
        pair.rig.arrive(Incoming::new(2, 5_000, came, bytes));
    };
    let slow = |pair: &mut Pair, number| slow_since(pair, number, Nanos::ZERO);
    pair.teach(0, 20_000);
    // The stream is over, and known to be.
    for _ in 0..2 {
        pair.rig.pass(Nanos::from_millis(500));
        pair.turn();
    }
    pair.rig.pass(Nanos::from_secs(60));
    for n in 0..16 {
        slow(&mut pair, n);
        pair.settle();
        pair.rig.pass(Nanos::from_millis(1));
    }
    assert_eq!(pair.away(WorkerField::AwayRows), 0, "nobody is kept waiting by it yet");
    for n in 0..600 {
        burst(&mut pair, 0, 1, 1, 20_000);
        match n {
            // The device takes two at a time.
            400 => (0..3).for_each(|at| slow(&mut pair, 400 + at)),
            450 | 500 | 550 => slow(&mut pair, n),
            // Of its 100 ms are 3 left, and it takes 5.
            580 => slow_since(&mut pair, n, Nanos::from_millis(97)),
            _ => {}
        }
        pair.turn();
        pair.turn();
        pair.rig.pass(Nanos::from_micros(100));
    }
    pair.settle();
    let refused = pair.rig.dropped(2, Priority::Low, DropReason::PredictedMiss);
    let low = on_time(&pair, 2, Priority::Low) - 16;
    let high = on_time(&pair, 0, Priority::High) - 64;
    // Nobody waited for them.
    assert_eq!((pair.away(WorkerField::AwayRows), refused, low, high), (5, 2, 5, 600));
    assert_eq!(pair.rig.turns.worker().slots_free(), 4_096);
}

/// What comes back unrun asks for a place in the line of promises as a newcomer does: it has none where all are worth as much.
#[test]
fn what_a_device_loses_is_promised_again_or_dropped() {
    let options = options_of(Policy::Value);
    let mut pair = Pair::new(&options, [512; 4]);
    pair.teach(0, 20_000);
    let lost = Fate { lost: true, delay: Nanos::from_micros(300), stuck: false };
    pair.desk().fates.extend([lost; 2]);
    burst(&mut pair, 0, 400, 1, 20_000);
    pair.settle();
    let lost = pair.away(WorkerField::AwayLost);
    let dropped = pair.rig.dropped(0, Priority::High, DropReason::KernelError);
    let missed = pair.rig.dropped(0, Priority::High, DropReason::LateAtDispatch);
    assert!(lost > 20 && dropped > 0, "{lost} lost, {dropped} dropped");
    assert_eq!(missed, 0, "a place that is given holds");
    let numbers = pair.numbers();
    assert!(numbers.is_sorted_by(|a, b| a < b), "{numbers:?}");
    assert_eq!(pair.rig.turns.worker().slots_free(), 4_096);
}

/// Nothing waits for a device that the worker could have done sooner: with a device that is ten times as slow, nothing goes.
#[test]
fn what_the_worker_will_have_done_sooner_does_not_leave() {
    for options in both() {
        let mut pair = Pair::new(&options, [512; 4]);
        pair.teach(1, 20_000);
        let slow = Fate { delay: Nanos::from_millis(3), ..AT_ONCE };
        for _ in 0..60 {
            pair.desk().fates.extend([slow; 4]);
            burst(&mut pair, 1, 60, 60, 20_000);
            pair.settle();
            pair.rig.pass(Nanos::from_millis(20));
        }
        let before = pair.away(WorkerField::AwayBatches);
        burst(&mut pair, 1, 40, 40, 20_000);
        pair.settle();
        assert!(before > 0);
        // No way counts for more than a millisecond: 0.8 ms of work are sooner done.
        assert_eq!(pair.away(WorkerField::AwayBatches), before);
        assert_eq!(on_time(&pair, 1, Priority::Medium), 64 + 60 * 60 + 40);
    }
}

#[test]
fn results_of_one_flow_leave_in_order_although_the_later_half_is_done_first() {
    for options in both() {
        let mut pair = Pair::new(&options, [512; 4]);
        pair.teach(1, 20_000);
        burst(&mut pair, 1, 64, 1, 20_000);
        pair.settle();
        assert!(pair.away(WorkerField::AwayRows) > 20);
        assert_eq!(pair.numbers(), (0..64).collect::<Vec<_>>());
        assert_eq!(on_time(&pair, 1, Priority::Medium), 64 + 64);
    }
}

#[test]
fn without_order_results_leave_as_they_are_done() {
    for options in both() {
        let mut options = options.clone();
        options.ingresses[1].order = Order::None;
        let mut pair = Pair::new(&options, [512; 4]);
        pair.teach(1, 20_000);
        burst(&mut pair, 1, 64, 1, 20_000);
        pair.settle();
        let numbers = pair.numbers();
        assert_eq!(numbers.len(), 64);
        assert!(!numbers.is_sorted());
    }
}

/// Later packets of a flow whose earlier ones are away wait for them; those of other flows do not.
#[test]
fn later_packets_of_a_flow_wait_for_what_is_away_and_others_pass() {
    for options in both() {
        let mut pair = Pair::new(&options, [512; 4]);
        pair.teach(1, 20_000);
        pair.desk().fates.push_back(Fate { stuck: true, ..AT_ONCE });
        pair.desk().fates.push_back(Fate { stuck: true, ..AT_ONCE });
        burst(&mut pair, 1, 64, 1, 20_000);
        for _ in 0..60 {
            pair.turn();
        }
        let first = pair.numbers();
        assert!(!first.is_empty() && first.len() < 50, "{} answered", first.len());
        // Two more: one of the flow, one of another.
        let now = pair.rig.now();
        pair.rig.arrive(Incoming::new(1, 4_000, now, numbered(1_000, 64)));
        pair.rig.arrive(Incoming::new(1, 4_001, now, numbered(1_000, 1_000)));
        for _ in 0..50 {
            pair.turn();
        }
        assert_eq!(pair.numbers().last(), Some(&1_000));
        assert_eq!(pair.numbers().len(), first.len() + 1);
        pair.desk().free_what_is_stuck();
        pair.settle();
        let mut of_flow = pair.numbers();
        of_flow.retain(|n| *n != 1_000);
        assert_eq!(of_flow, (0..65).collect::<Vec<_>>());
    }
}

/// A device that never answers keeps nothing: after its time packets are run here, and what comes back from it later is not theirs.
#[test]
fn what_a_silent_device_has_is_given_up_and_run_here() {
    for options in both() {
        let give_up = Nanos::from_millis(4);
        let mut pair = Pair::giving_up(&options, give_up);
        pair.teach(1, 20_000);
        pair.desk().fates.extend([Fate { stuck: true, ..AT_ONCE }; 2]);
        burst(&mut pair, 1, 64, 64, 20_000);
        let began = pair.rig.now();
        pair.settle();
        let rows = pair.away(WorkerField::AwayRows);
        assert!(rows > 0 && pair.away(WorkerField::AwayLost) == rows, "{rows} rows away");
        assert!(pair.rig.now().since(began) < give_up + Nanos::from_millis(2));
        let mut answered = pair.numbers();
        answered.sort_unstable();
        assert_eq!(answered, (0..64).collect::<Vec<_>>(), "each once");
        assert_eq!(pair.desk().under_way.len() as u64, pair.away(WorkerField::AwayBatches));
        pair.desk().free_what_is_stuck();
        pair.settle();
        assert_eq!(pair.numbers().len(), 64);
        // It is good for something again.
        pair.rig.pass(Nanos::from_secs(1));
        let before = pair.away(WorkerField::AwayBatches);
        burst(&mut pair, 1, 64, 64, 20_000);
        pair.settle();
        assert!(pair.away(WorkerField::AwayBatches) > before);
        assert_eq!(pair.rig.turns.worker().slots_free(), 4_096);
    }
}

/// What waits goes on before it would itself be late; what was away comes too late and is dropped under its own name.
#[test]
fn a_flow_goes_on_without_what_does_not_come_back() {
    for options in both() {
        let mut pair = Pair::new(&options, [512; 4]);
        pair.teach(1, 20_000);
        pair.desk().fates.push_back(Fate { stuck: true, ..AT_ONCE });
        pair.desk().fates.push_back(Fate { stuck: true, ..AT_ONCE });
        burst(&mut pair, 1, 64, 1, 20_000);
        for _ in 0..100 {
            pair.turn();
        }
        let away = pair.away(WorkerField::AwayRows);
        assert!(away > 20, "{away}");
        pair.rig.pass(Nanos::from_millis(3));
        let now = pair.rig.now();
        pair.rig.arrive(Incoming::new(1, 4_000, now, numbered(1_000, 64)));
        for _ in 0..2_000 {
            pair.turn();
        }
        assert_eq!(pair.numbers().last(), Some(&64));
        assert_eq!(pair.given_up(), away);
        let on_time_by_now = on_time(&pair, 1, Priority::Medium);
        assert_eq!(on_time_by_now, 64 + 65 - away);
        pair.desk().free_what_is_stuck();
        pair.settle();
        assert_eq!(pair.rig.dropped(1, Priority::Medium, DropReason::ReorderLate), away);
        assert_eq!(pair.rig.turns.worker().slots_free(), 4_096);
    }
}

#[test]
fn what_a_device_loses_is_run_here_if_there_is_time() {
    for options in both() {
        let mut pair = Pair::new(&options, [512; 4]);
        pair.teach(1, 20_000);
        pair.desk().fates.push_back(Fate { lost: true, ..AT_ONCE });
        burst(&mut pair, 1, 64, 1, 20_000);
        pair.settle();
        let lost = pair.away(WorkerField::AwayLost);
        assert!(lost > 20, "{lost}");
        assert_eq!(pair.numbers(), (0..64).collect::<Vec<_>>());
        assert_eq!(on_time(&pair, 1, Priority::Medium), 64 + 64);
    }
}

#[test]
fn what_a_device_loses_too_late_is_dropped_by_name() {
    for options in both() {
        let mut pair = Pair::new(&options, [512; 4]);
        pair.teach(1, 20_000);
        let late = Fate { lost: true, delay: Nanos::from_millis(11), stuck: false };
        pair.desk().fates.extend([late, late]);
        burst(&mut pair, 1, 64, 64, 20_000);
        pair.settle();
        let lost = pair.away(WorkerField::AwayLost);
        assert!(lost > 20, "{lost}");
        assert_eq!(pair.rig.dropped(1, Priority::Medium, DropReason::KernelError), lost);
        assert_eq!(pair.away(WorkerField::AwayLate), lost);
    }
}

/// A device that loses everything is asked less and less often, and the worker does its own work all the while.
#[test]
fn a_device_that_loses_everything_is_left_alone() {
    for options in both() {
        let mut pair = Pair::new(&options, [512; 4]);
        pair.teach(1, 20_000);
        for n in 0..100 {
            pair.desk().fates.clear();
            pair.desk().fates.extend([Fate { lost: true, ..AT_ONCE }; 4]);
            burst(&mut pair, 1, 64, 64, 20_000);
            pair.settle();
            assert_eq!(on_time(&pair, 1, Priority::Medium), 64 + 64 * (n + 1));
            pair.rig.pass(Nanos::from_millis(5));
        }
        assert!(
            pair.away(WorkerField::AwayBatches) <= 12,
            "{}",
            pair.away(WorkerField::AwayBatches)
        );
    }
}

#[test]
fn a_port_that_takes_nothing_loses_nothing() {
    for options in both() {
        let mut pair = Pair::new(&options, [512; 4]);
        pair.teach(1, 20_000);
        pair.desk().refuses = true;
        burst(&mut pair, 1, 64, 1, 20_000);
        pair.settle();
        assert_eq!(pair.numbers(), (0..64).collect::<Vec<_>>());
        assert!(pair.away(WorkerField::AwayLost) > 0);
    }
}

#[test]
fn results_that_come_back_late_are_judged_as_any_other() {
    for options in both() {
        for (late, dropped) in [(Late::Drop, true), (Late::Send, false)] {
            let mut options = options.clone();
            options.egresses[0].late = late;
            let mut pair = Pair::new(&options, [512; 4]);
            pair.teach(1, 20_000);
            let slow = Fate { delay: Nanos::from_millis(12), ..AT_ONCE };
            pair.desk().fates.extend([slow, slow]);
            burst(&mut pair, 1, 64, 64, 20_000);
            pair.settle();
            let rows = pair.away(WorkerField::AwayLate);
            assert!(rows > 20, "{rows}");
            let as_late = if dropped {
                pair.rig.dropped(1, Priority::Medium, DropReason::LateAfterKernel)
            } else {
                pair.rig.get(1, Priority::Medium, Field::Late)
            };
            assert_eq!(as_late, rows);
        }
    }
}

#[test]
fn a_kernel_that_fails_or_panics_on_a_device_ends_what_it_would_end_here() {
    for options in both() {
        let mut pair = Pair::new(&options, [512; 4]);
        pair.teach(1, 20_000);
        let now = pair.rig.now();
        for n in 0..64 {
            // The last are those that leave.
            let cost = match n {
                60 => FAIL,
                61 => PANIC,
                62 => SHORT,
                _ => 20_000,
            };
            pair.rig.arrive(Incoming::new(1, 4_000, now, numbered(cost, n)));
        }
        pair.settle();
        assert!(pair.away(WorkerField::AwayRows) > 20);
        assert_eq!(pair.rig.dropped(1, Priority::Medium, DropReason::KernelError), 2);
        let sent = &pair.rig.turns.driver_mut().sent;
        assert_eq!(sent.len(), 62);
        assert_eq!(sent[60].bytes, numbered(SHORT, 62)[..5]);
        assert_eq!(number_of(&sent[61].bytes), 63);
    }
}

#[test]
fn neighbours_of_a_train_travel_together_and_leave_as_a_train() {
    for options in both() {
        let mut options = options.clone();
        options.kernels[0].batch_max = 64;
        let mut pair = Pair::new(&options, [512; 4]);
        pair.teach(1, 3_000);
        let now = pair.rig.now();
        for t in 0..8u64 {
            let bytes = (0..16).flat_map(|n| numbered(3_000, t * 16 + n)).collect();
            pair.rig.arrive(Incoming { segment: 64, ..Incoming::new(1, 4_000, now, bytes) });
        }
        pair.settle();
        assert!(pair.away(WorkerField::AwayRows) >= 32, "{}", pair.away(WorkerField::AwayRows));
        assert_eq!(pair.numbers(), (0..128).collect::<Vec<_>>());
    }
}

/// The drain waits for what is away; what is not back by its bound is dropped as the rest is.
#[test]
fn a_stop_waits_for_what_is_away_within_its_bound() {
    for options in both() {
        for stuck in [false, true] {
            let mut pair = Pair::new(&options, [512; 4]);
            pair.teach(1, 20_000);
            let fate = Fate { stuck, delay: Nanos::from_millis(2), ..AT_ONCE };
            pair.desk().fates.extend([fate, fate]);
            burst(&mut pair, 1, 64, 64, 20_000);
            for _ in 0..3 {
                pair.turn();
            }
            assert!(pair.away(WorkerField::AwayRows) > 20);
            let stop_at = pair.rig.now() + Nanos::from_millis(8);
            let order = std::sync::atomic::Ordering::Relaxed;
            pair.rig.shared.stop_at.store(stop_at.as_nanos(), order);
            while !pair.rig.turns.finished() {
                pair.turn();
            }
            let shutdown = pair.rig.dropped(1, Priority::Medium, DropReason::Shutdown);
            let in_flight = pair.rig.get(1, Priority::Medium, Field::InFlight);
            assert_eq!(in_flight, 0);
            if stuck {
                assert_eq!(shutdown, pair.away(WorkerField::AwayRows));
                assert!(pair.rig.now() >= stop_at);
            } else {
                assert_eq!(shutdown, 0);
                assert!(pair.rig.now() < stop_at);
            }
        }
    }
}

/// Two kernels, of which the device has only the second.
#[test]
fn only_what_the_device_runs_leaves() {
    for options in both() {
        let mut options = options.clone();
        options.kernels.push(options.kernels[0]);
        options.ingresses[2].kernel = KernelId(1);
        let rig = Rig::with(&options, &plan([512; 4]), |c| {
            vec![Box::new(Costly(c)), Box::new(Costly(c))]
        });
        let clock = rig.clock;
        let runs = vec![false, true];
        let own = clock;
        let desk = Arc::new(Mutex::new(Desk {
            device: CpuAccelerator::new(Kernels::new(vec![
                Box::new(Costly(common::clock())),
                Box::new(Costly(common::clock())),
            ])),
            own,
            clock,
            free_at: Instant::ZERO,
            under_way: Vec::new(),
            fates: VecDeque::new(),
            taken: 0,
            refuses: false,
            hand: Nanos::ZERO,
        }));
        let line: Box<dyn Port> = Box::new(Line(Arc::clone(&desk)));
        let turns = rig.turns.with_devices(vec![(
            DeviceOptions { rows_max: 64, runs, gate: None, give_up: Nanos::MAX },
            line,
        )]);
        let mut pair = Pair { rig: Rig { turns, ..rig }, desk };
        pair.teach(1, 20_000);
        pair.teach(2, 20_000);
        burst(&mut pair, 1, 60, 60, 20_000);
        burst(&mut pair, 2, 10, 10, 20_000);
        pair.settle();
        let rows = pair.away(WorkerField::AwayRows);
        assert!((1..=10).contains(&rows), "{rows} rows away");
        assert_eq!(on_time(&pair, 1, Priority::Medium), 64 + 60);
        assert_eq!(on_time(&pair, 2, Priority::Low), 64 + 10);
    }
}

#[derive(Clone, Debug)]
enum Op {
    Burst { socket: u16, count: u64, flows: u16, cost: u32, train: bool },
    Framed { port: u16, flow: u32, priority: u8, budget_us: u32, cost: u32, count: u64 },
    Fate { delay_us: u64, lost: bool, stuck: bool },
    Free,
    Turns(u32),
    Pass(u64),
}

fn op() -> impl Strategy<Value = Op> {
    let cost = || prop_oneof![10 => 1_000u32..60_000, 1 => Just(FAIL), 1 => Just(PANIC)];
    let burst = (0u16..4, 1u64..80, 1u16..6, cost(), any::<bool>()).prop_map(
        |(socket, count, flows, cost, train)| Op::Burst { socket, count, flows, cost, train },
    );
    let framed = (4_000u16..4_003, 0u32..3, 0u8..4, 200u32..20_000, cost(), 1u64..40).prop_map(
        |(port, flow, priority, budget_us, cost, count)| Op::Framed {
            port,
            flow,
            priority,
            budget_us,
            cost,
            count,
        },
    );
    let fate = (0u64..15_000, prop::bool::weighted(0.3), prop::bool::weighted(0.2))
        .prop_map(|(delay_us, lost, stuck)| Op::Fate { delay_us, lost, stuck });
    prop_oneof![
        5 => burst,
        4 => framed,
        5 => fate,
        1 => Just(Op::Free),
        5 => (1u32..60).prop_map(Op::Turns),
        2 => (0u64..6_000).prop_map(Op::Pass),
    ]
}

/// Raw on sockets 0 to 3, framed on 4.
fn raw_and_framed(policy: Policy) -> Options {
    let mut o = options_of(policy);
    o.ingresses.push(Ingress {
        name: "framed".into(),
        framing: Framing::Framed,
        kernel: KernelId(0),
        egress: EgressId(0),
        order: Order::Flow,
        serve_empty: false,
        classify: classify::Options::new(Classify::Header),
    });
    o.counted = 5;
    let role = SocketRole::Listen { ingress: IngressId(4), class: None };
    o.sockets.push(SocketOptions { role, gso: true });
    o.egresses[0].late = Late::Send;
    o.slots = 1_024;
    o
}

fn apply(pair: &mut Pair, op: &Op, next: &mut u64) -> u64 {
    let now = pair.rig.now();
    let mut number = || {
        *next += 1;
        *next
    };
    match *op {
        Op::Burst { socket, count, flows, cost, train } => {
            if train {
                let bytes: Vec<u8> =
                    (0..count.min(40)).flat_map(|_| numbered(cost, number())).collect();
                let count = bytes.len() as u64 / 64;
                let incoming = Incoming::new(socket, 4_000, now, bytes);
                pair.rig.arrive(Incoming { segment: 64, ..incoming });
                return count;
            }
            for n in 0..count {
                let port = 4_000 + u16::try_from(n % u64::from(flows)).unwrap();
                pair.rig.arrive(Incoming::new(socket, port, now, numbered(cost, number())));
            }
            count
        }
        Op::Framed { port, flow, priority, budget_us, cost, count } => {
            for n in 0..count {
                let mut h = Header::request(number());
                h.status = priority;
                h.flow.set(flow);
                // Every third names another budget.
                h.budget_us.set(if n % 3 == 0 { 0 } else { budget_us });
                h.stamp.set(u32::from(priority) << 8 | flow);
                let mut bytes = h.as_bytes().to_vec();
                bytes.extend_from_slice(&cost.to_be_bytes());
                pair.rig.arrive(Incoming::new(4, port, now, bytes));
            }
            count
        }
        Op::Fate { delay_us, lost, stuck } => {
            let delay = Nanos::from_micros(delay_us);
            pair.desk().fates.push_back(Fate { delay, lost, stuck });
            0
        }
        Op::Free => {
            pair.desk().free_what_is_stuck();
            0
        }
        Op::Turns(n) => {
            (0..n).for_each(|_| pair.turn());
            0
        }
        Op::Pass(us) => {
            pair.rig.pass(Nanos::from_micros(us));
            0
        }
    }
}

/// Of every flow, what was answered was answered in the order in which it came.
fn check_order(pair: &mut Pair) {
    let mut last = BTreeMap::new();
    for sent in &pair.rig.turns.driver_mut().sent {
        let (flow, number) = if sent.socket == SocketId(4) {
            let (h, _) = Header::parse(&sent.bytes).unwrap();
            (h.stamp.get(), h.request.get())
        } else {
            (0, number_of(&sent.bytes))
        };
        let flow = (sent.socket, sent.to.unwrap(), flow);
        let before = last.insert(flow, number);
        assert!(before.is_none_or(|b| b < number), "{flow:?}: {number} after {before:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, ..ProptestConfig::default() })]

    /// Whatever a device does: nothing vanishes, every slot comes back, and every flow keeps its order.
    #[test]
    fn order_and_conservation_hold_whatever_a_device_does(
        ops in proptest::collection::vec(op(), 1..120),
        rows_max in prop_oneof![Just(64usize), 1usize..40],
        batch_max in prop_oneof![Just(1usize), Just(16)],
        policy in prop_oneof![2 => Just(Policy::Value), 1 => Just(Policy::Edf)],
    ) {
        let mut options = raw_and_framed(policy);
        options.kernels[0].batch_max = batch_max;
        let mut pair = Pair::with(&options, [300; 4], rows_max, |clock| vec![Box::new(Costly(clock))]);
        let mut arrived = 0;
        for socket in 0..4 {
            pair.teach(socket, 5_000);
            arrived += 64;
        }
        let mut next = 0;
        for op in &ops {
            arrived += apply(&mut pair, op, &mut next);
        }
        for _ in 0..3_000 {
            pair.turn();
        }
        pair.desk().fates.clear();
        pair.desk().free_what_is_stuck();
        pair.settle();
        check_order(&mut pair);
        prop_assert_eq!(pair.rig.turns.worker().slots_free(), 1_024, "slots leaked");
        let total = |field| -> u64 {
            (0..5u16).flat_map(|i| Priority::ALL.map(|p| pair.rig.get(i, p, field))).sum()
        };
        prop_assert_eq!(total(Field::Received), arrived);
        prop_assert_eq!(total(Field::InFlight), 0);
    }
}
