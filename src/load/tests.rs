//! The generator against a driver that lives in memory, on a clock that moves only when it is used.

use std::cell::Cell;
use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use super::*;
use crate::base::{Clock, DropReason, Instant, Nanos, SocketId};
use crate::io::{Driver, ReceiveReport, Received, SendError, SendFailure, Stamp, TxBatch};
use crate::kernel::crc32c;
use crate::packet::framed::{Kind, turn_into};

/// A clock that several can hold.
#[derive(Clone, Debug, Default)]
struct Shared(Rc<Cell<Instant>>);

impl Shared {
    fn advance(&self, span: Nanos) {
        self.0.set(self.0.get() + span);
    }
}

impl Clock for Shared {
    fn now(&self) -> Instant {
        self.0.get()
    }
}

/// What comes back for the n-th datagram: answers, each with its delay.
type Service = Box<dyn FnMut(u64, &[u8]) -> Vec<(Nanos, Vec<u8>)>>;

struct Memory {
    clock: Shared,
    service: Service,
    on_the_way: VecDeque<(Instant, SocketId, Vec<u8>)>,
    datagrams: u64,
    trains: u64,
    /// At this time one send takes 200 ms.
    stall_at: Option<Instant>,
    fail: Option<SendError>,
}

impl Memory {
    fn new(service: impl FnMut(u64, &[u8]) -> Vec<(Nanos, Vec<u8>)> + 'static) -> (Self, Shared) {
        let clock = Shared::default();
        let memory = Self {
            clock: clock.clone(),
            service: Box::new(service),
            on_the_way: VecDeque::new(),
            datagrams: 0,
            trains: 0,
            stall_at: None,
            fail: None,
        };
        (memory, clock)
    }
}

impl Driver for Memory {
    fn receive(
        &mut self,
        now: Instant,
        _room: &[u32],
        sink: &mut impl FnMut(Received<'_>),
    ) -> io::Result<ReceiveReport> {
        self.clock.advance(Nanos::from_micros(1));
        let mut report = ReceiveReport::default();
        while let Some((at, ..)) = self.on_the_way.front()
            && *at <= now
        {
            if report.messages == 64 {
                report.more = true;
                break;
            }
            let (at, socket, bytes) = self.on_the_way.pop_front().unwrap();
            report.messages += 1;
            let peer = SocketAddr::from(([127, 0, 0, 1], 9));
            sink(Received {
                socket,
                peer,
                local: None,
                tos: 0,
                stamp: Stamp::Kernel(at),
                segment: 0,
                truncated: false,
                bytes: &bytes,
            });
        }
        Ok(report)
    }

    fn transmit(
        &mut self,
        memory: &[u8],
        batch: &TxBatch,
        failed: &mut Vec<SendFailure>,
    ) -> io::Result<()> {
        if self.stall_at.is_some_and(|at| at <= self.clock.now()) {
            self.stall_at = None;
            self.clock.advance(Nanos::from_millis(200));
        }
        for (i, message) in (0..).zip(&batch.messages) {
            if let Some(error) = self.fail {
                failed.push(SendFailure { message: i, error, departed: 0 });
                continue;
            }
            self.trains += u64::from(message.segment > 0);
            for part in message.parts.clone() {
                let part = batch.parts[part as usize];
                let bytes = &memory[part.start as usize..][..part.len as usize];
                let segment = usize::from(message.segment);
                let size = if segment == 0 { bytes.len().max(1) } else { segment };
                for datagram in bytes.chunks(size) {
                    for (delay, answer) in (self.service)(self.datagrams, datagram) {
                        let at = self.clock.now() + delay;
                        self.on_the_way.push_back((at, message.socket, answer));
                    }
                    self.datagrams += 1;
                }
            }
        }
        self.on_the_way.make_contiguous().sort_by_key(|(at, ..)| *at);
        Ok(())
    }

    fn wait(&mut self, timeout: Nanos) -> io::Result<()> {
        let next = self.on_the_way.front().map_or(Nanos::MAX, |(at, ..)| *at - self.clock.now());
        self.clock.advance(next.min(timeout));
        Ok(())
    }

    fn kernel_drops(&mut self, _: SocketId) -> u64 {
        0
    }
}

const FAST: Nanos = Nanos::from_micros(10);

fn plan() -> Plan {
    let mut p = Plan::single("a", "127.0.0.1:9".parse().unwrap());
    p.duration = Nanos::from_secs(1);
    p
}

fn run(plan: Plan, driver: Memory, clock: Shared) -> Report {
    Generator::new(plan, driver, clock).unwrap().run(|_| ()).unwrap()
}

fn turned(request: &[u8], kind: Kind, status: u8) -> Vec<u8> {
    let mut bytes = request.to_vec();
    turn_into(&mut bytes, kind, status);
    bytes
}

fn echo() -> impl FnMut(u64, &[u8]) -> Vec<(Nanos, Vec<u8>)> {
    |_, b| vec![(FAST, b.to_vec())]
}

#[test]
fn every_kind_of_service_is_paired_by_every_rule_that_fits_it() {
    type Rules = &'static [(Framing, Matching)];
    let services: [(fn() -> Service, Rules); 3] = [
        (
            || Box::new(echo()),
            &[
                (Framing::Raw, Matching::Echo),
                (Framing::Raw, Matching::Auto),
                (Framing::Framed, Matching::Auto),
            ],
        ),
        (
            || Box::new(|_, b| vec![(FAST, crc32c::checksum(b).to_be_bytes().to_vec())]),
            &[
                (Framing::Raw, Matching::Crc32c),
                (Framing::Raw, Matching::Auto),
                (Framing::Framed, Matching::Auto),
            ],
        ),
        (
            || Box::new(|_, b| vec![(FAST, turned(b, Kind::Answer, 0))]),
            &[(Framing::Framed, Matching::Header), (Framing::Framed, Matching::Auto)],
        ),
    ];
    for (service, rules) in services {
        for (framing, matching) in rules {
            let mut p = plan();
            (p.framing, p.matching, p.flows) = (*framing, *matching, 3);
            p.classes[0].size = Sizes { min: 40, max: 100 };
            let (driver, clock) = Memory::new(service());
            let class = &run(p, driver, clock).classes[0];
            assert!(class.sent > 9_500, "{framing:?} {matching:?}: {class:?}");
            assert_eq!((class.answered, class.on_time), (class.sent, class.sent));
            assert_eq!((class.unknown, class.duplicates, class.lost()), (0, 0, 0));
        }
    }
}

#[test]
fn a_stall_is_seen_from_the_intended_time_and_not_from_the_actual_one() {
    let mut p = plan();
    p.rate = 20_000.0;
    let (mut driver, clock) = Memory::new(echo());
    driver.stall_at = Some(Instant::ZERO + Nanos::from_millis(300));
    let report = run(p, driver, clock);
    let class = &report.classes[0];
    // A fifth of the packets was due while nothing moved; the worst of them waited for 200 ms.
    assert!(class.corrected.at(0.99) > Nanos::from_millis(150), "{}", class.corrected.at(0.99));
    assert!(class.corrected.at(0.75) < Nanos::from_millis(1));
    assert!(class.raw.at(0.99) < Nanos::from_millis(1), "{}", class.raw.at(0.99));
    assert!((0.15..0.25).contains(&report.generator.late_share()), "{:?}", report.generator.late);
    assert!(report.generator.lateness.max() > Nanos::from_millis(190));
    assert!((0.75..0.85).contains(&class.on_time_share()));
    assert_eq!(class.late(), class.answered - class.on_time);
}

#[test]
fn an_undisturbed_generator_is_punctual() {
    let (driver, clock) = Memory::new(echo());
    let report = run(plan(), driver, clock);
    assert_eq!(report.generator.late, 0);
    assert!(report.generator.lateness.at(0.99) < Nanos::from_micros(50));
    assert!((report.offered_rate / report.rate - 1.0).abs() < 0.05);
    assert!(!report.interrupted && !report.gave_up);
}

#[test]
fn answers_refusals_duplicates_strangers_and_losses_are_told_apart() {
    let mut p = plan();
    p.matching = Matching::Header;
    let (driver, clock) = Memory::new(|n, b| match n % 8 {
        0 => vec![(FAST, turned(b, Kind::Refusal, DropReason::PredictedMiss as u8))],
        1 => vec![(FAST, turned(b, Kind::Refusal, DropReason::QuotaTotal as u8))],
        2 => vec![(FAST, turned(b, Kind::Answer, 0)), (FAST, turned(b, Kind::Answer, 0))],
        3 => vec![(FAST, b"stranger".to_vec())],
        4 => vec![],
        5 => vec![(Nanos::from_millis(5), turned(b, Kind::Answer, 1))],
        6 => vec![(FAST, turned(b, Kind::Refusal, 99))],
        _ => vec![(FAST, turned(b, Kind::Answer, 0))],
    });
    let report = run(p, driver, clock);
    let c = &report.classes[0];
    let eighth = c.sent / 8;
    let near = |n: u64, eighths: u64| assert!(n.abs_diff(eighths * eighth) <= 8, "{n} {eighths}");
    near(c.refused[DropReason::PredictedMiss.index()], 1);
    near(c.refused[DropReason::QuotaTotal.index()], 1);
    near(c.duplicates, 1);
    near(c.unknown, 2);
    near(c.marked_late, 1);
    near(c.late(), 1);
    near(c.on_time, 2);
    near(c.lost(), 3);
    assert_eq!(c.sent, c.on_time + c.late() + c.refused_total() + c.lost());
}

#[test]
fn a_window_that_overflows_counts_as_lost() {
    let mut p = plan();
    // 1,024 places for 500 packets a second; the service never answers, and the run lasts for 3,000 packets.
    p.rate = 500.0;
    p.duration = Nanos::from_secs(6);
    let (driver, clock) = Memory::new(|_, _| vec![]);
    let c = &run(p, driver, clock).classes[0];
    assert_eq!(c.lost_to_window, c.sent - 1_024);
    assert_eq!((c.lost(), c.answered), (c.sent, 0));
}

#[test]
fn the_mix_goes_to_each_class_by_its_share_and_is_judged_by_its_budget() {
    let mut p = plan();
    let class = |name: &str, share, budget| Class {
        name: name.to_owned(),
        share,
        budget: Some(budget),
        ..p.classes[0].clone()
    };
    p.classes = vec![
        class("tight", 1.0, Nanos::from_micros(5)),
        class("loose", 3.0, Nanos::from_millis(5)),
    ];
    let (driver, clock) = Memory::new(echo());
    let report = run(p, driver, clock);
    let [tight, loose] = &report.classes[..] else { panic!("two classes") };
    assert!((loose.sent * 100 / tight.sent).abs_diff(300) < 25);
    assert_eq!((tight.on_time, tight.late()), (0, tight.sent));
    assert_eq!((loose.on_time, loose.late()), (loose.sent, 0));
}

#[test]
fn bursts_leave_as_trains_unless_told_otherwise() {
    for gso in [true, false] {
        let mut p = plan();
        (p.burst, p.gso) = (16, gso);
        let (driver, clock) = Memory::new(echo());
        let mut g = Generator::new(p, driver, clock).unwrap();
        let report = g.run(|_| ()).unwrap();
        let driver = g.into_driver();
        assert_eq!(driver.trains > 0, gso);
        assert_eq!((report.classes[0].sent % 16, report.gso), (0, gso));
        assert_eq!(report.classes[0].answered, driver.datagrams);
    }
}

#[test]
fn a_closed_port_ends_the_run_and_a_full_queue_does_not() {
    let with = |error| {
        let (mut driver, clock) = Memory::new(echo());
        driver.fail = Some(error);
        Generator::new(plan(), driver, clock).unwrap().run(|_| ())
    };
    let refused = with(SendError::Refused(111));
    assert!(matches!(refused, Err(LoadError::NobodyListens(a)) if a.port() == 9));
    let full = with(SendError::QueueFull).unwrap();
    let c = &full.classes[0];
    assert_eq!((c.sent, c.unsent, c.lost()), (0, c.due, 0));
}

#[test]
fn a_device_that_cannot_cut_trains_gets_none() {
    let mut p = plan();
    p.burst = 8;
    let (mut driver, clock) = Memory::new(echo());
    driver.fail = Some(SendError::Refused(22));
    let report = Generator::new(p, driver, clock).unwrap().run(|_| ()).unwrap();
    assert!(!report.gso);
}

#[test]
fn a_stop_ends_the_run_with_a_report_and_progress_is_told() {
    let stop = Arc::new(AtomicBool::new(false));
    let mut p = plan();
    p.duration = Nanos::from_secs(10);
    let (driver, clock) = Memory::new(echo());
    let mut g = Generator::new(p, driver, clock).unwrap().stop_when(Arc::clone(&stop));
    let mut told = Vec::new();
    let report = g
        .run(|p| {
            told.push(*p);
            stop.store(told.len() == 3, std::sync::atomic::Ordering::Relaxed);
        })
        .unwrap();
    assert!(report.interrupted);
    assert!((3.0..3.1).contains(&report.seconds), "{}", report.seconds);
    assert!(told.is_sorted_by_key(|p| p.sent) && told[0].answered > 9_000);
    assert_eq!(report.classes[0].answered, report.classes[0].sent);
}

#[test]
fn a_hopeless_generator_gives_up_the_rest() {
    let mut p = plan();
    p.rate = 10e6;
    // Every datagram costs the driver's clock nothing, but every turn takes at least a microsecond for up to 512.
    let (mut driver, clock) = Memory::new(|_, _| vec![]);
    let slow = clock.clone();
    driver.service = Box::new(move |_, _| {
        slow.advance(Nanos::from_micros(1));
        vec![]
    });
    let report = run(p, driver, clock);
    assert!(report.gave_up && report.generator.late_share() > 0.9);
    assert!(report.seconds < 1.7 && report.offered_rate < 1.1e6, "{}", report.offered_rate);
}

/// Answers of a service that stands still for the first 200 ms of every second, and then answers what has waited.
fn stalling(clock: &Shared) -> Service {
    let clock = clock.clone();
    Box::new(move |_, b| {
        let into = clock.now().as_nanos() % 1_000_000_000;
        let stalled = Nanos::new(200_000_000_u64.saturating_sub(into));
        vec![(stalled + FAST, b.to_vec())]
    })
}

#[test]
fn a_stalling_service_shows_in_the_corrected_latency_where_the_raw_one_hides_it() {
    let mut p = plan();
    (p.rate, p.duration, p.arrivals) = (2_000.0, Nanos::from_secs(5), Arrivals::Uniform);
    let run_with = |window| {
        let (mut driver, clock) = Memory::new(echo());
        driver.service = stalling(&clock);
        let mut p = p.clone();
        p.window = window;
        run(p, driver, clock)
    };
    // As a client with four connections: it asks no more while it waits, and its raw figures know nothing of what it did
    // not ask.
    let closed = run_with(Some(4));
    let c = &closed.classes[0];
    assert!(c.corrected.at(0.99) > Nanos::from_millis(180), "{}", c.corrected.at(0.99));
    assert!(c.raw.at(0.99) < Nanos::from_millis(1), "{}", c.raw.at(0.99));
    assert_eq!((c.sent, c.answered), (10_000, 10_000));
    // The service held them back, not the generator.
    assert!(closed.generator.held > 1_500 && closed.generator.late == 0, "{:?}", closed.generator);
    // In an open loop all are asked in time, and both figures show it.
    let open = run_with(None);
    let o = &open.classes[0];
    assert!(o.raw.at(0.99) > Nanos::from_millis(180) && open.generator.held == 0);
    for q in [0.5, 0.9, 0.99, 0.999] {
        let (a, b) = (c.corrected.at(q), o.corrected.at(q));
        assert!(a.get().abs_diff(b.get()) < 3_000_000, "{q}: {a} {b}");
    }
}

#[test]
fn a_window_is_not_shut_by_what_was_lost() {
    let mut p = plan();
    (p.rate, p.duration, p.window) = (500.0, Nanos::from_secs(4), Some(2));
    let (driver, clock) = Memory::new(|n, b| if n < 2 { vec![] } else { vec![(FAST, b.to_vec())] });
    let report = run(p, driver, clock);
    let c = &report.classes[0];
    assert_eq!((c.sent, c.answered, c.lost()), (2_000, 1_998, 2));
    assert!(
        c.corrected.max() > Nanos::from_millis(400) && c.corrected.at(0.5) < Nanos::from_millis(1)
    );
}

#[test]
fn exact_delays_are_measured_exactly_at_every_percentile() {
    for arrivals in [Arrivals::Poisson, Arrivals::Uniform, Arrivals::Bursts(Bursts::default())] {
        for ms in [1, 5, 20] {
            let delay = Nanos::from_millis(ms);
            let mut p = plan();
            p.arrivals = arrivals.clone();
            let (driver, clock) = Memory::new(move |_, b| vec![(delay, b.to_vec())]);
            let report = run(p, driver, clock);
            let c = &report.classes[0];
            for latencies in [&c.corrected, &c.raw] {
                for q in [0.0, 0.01, 0.5, 0.9, 0.99, 0.999, 0.9999, 1.0] {
                    let at = latencies.at(q).get();
                    let most = delay.get() / 1_000 + 50_000;
                    assert!(at.abs_diff(delay.get()) <= most, "{ms} ms at {q}: {at}");
                }
            }
        }
    }
}

#[test]
fn the_offered_rate_is_the_one_asked_for() {
    let second = Nanos::from_secs(1);
    let course = vec![
        Stretch { from: 2_000.0, to: 2_000.0, length: second },
        Stretch { from: 2_000.0, to: 30_000.0, length: second },
    ];
    for arrivals in [Arrivals::Poisson, Arrivals::Uniform, Arrivals::Bursts(Bursts::default())] {
        for stretches in [vec![], course.clone()] {
            for seed in [1, 2, 3] {
                let mut p = plan();
                (p.arrivals, p.seed) = (arrivals.clone(), seed);
                if !stretches.is_empty() {
                    p.follow(stretches.clone());
                }
                let (driver, clock) = Memory::new(echo());
                let report = run(p, driver, clock);
                let off = (report.offered_rate / report.rate - 1.0).abs();
                assert!(off < 0.001, "{:?} {off}", report.arrivals);
                let sent: u64 = report.stretches.iter().map(|s| s.sent).sum();
                assert!(stretches.is_empty() || sent == report.classes[0].sent);
                let due: u64 = report.timeline.of_class(0).iter().map(|i| i.due).sum();
                assert_eq!(due, report.classes[0].due);
            }
        }
    }
}

#[test]
fn ids_are_paired_wherever_they_stand_and_however_narrow() {
    for (offset, width) in [(0, 8), (20, 8), (6, 2), (60, 4), (3, 1)] {
        let mut p = plan();
        (p.framing, p.matching) = (Framing::Raw, Matching::Id { offset, width });
        (p.flows, p.burst) = (3, 2);
        // Every tenth request is lost, and the answer has nothing else in common with its request.
        let (driver, clock) = Memory::new(move |n, b| {
            let (from, to) = (usize::from(offset), usize::from(offset) + usize::from(width));
            let mut answer = vec![0xee; to];
            answer[from..].copy_from_slice(&b[from..to]);
            if n % 10 == 3 { vec![] } else { vec![(FAST, answer)] }
        });
        let c = &run(p, driver, clock).classes[0];
        assert_eq!((c.sent, c.answered, c.lost()), (10_000, 9_000, 1_000), "id@{offset}:{width}");
        assert!(c.corrected.max() < Nanos::from_millis(1), "{}", c.corrected.max());
    }
}

#[test]
fn queries_are_paired_by_question_and_their_codes_counted() {
    for questions in [
        Questions::generated("test", QueryType::A).unwrap(),
        Questions::read("a.test\nb.test AAAA\na.rather.longer.name.test TXT\n").unwrap(),
    ] {
        let mut p = plan();
        (p.framing, p.matching) = (Framing::Raw, Matching::Dns);
        p.questions = Some(Arc::new(questions));
        let (driver, clock) = Memory::new(|n, b| {
            let mut answer = b.to_vec();
            answer[2] |= 0x80;
            answer[3] = 0x80 | if n % 4 == 0 { 3 } else { 0 };
            answer.extend_from_slice(b"\xc0\x0c and so on");
            vec![(FAST, answer)]
        });
        let report = run(p, driver, clock);
        let c = &report.classes[0];
        assert_eq!((c.answered, c.unknown, c.ambiguous), (10_000, 0, 0));
        assert_eq!(c.rcode_counts(), [("NOERROR", 7_500), ("NXDOMAIN", 2_500)].into());
    }
}

#[test]
fn where_no_answers_come_none_are_missed() {
    let mut p = plan();
    p.matching = Matching::Nothing;
    let (driver, clock) = Memory::new(|_, _| vec![]);
    let report = run(p, driver, clock);
    let c = &report.classes[0];
    assert_eq!((c.sent, c.answered, c.lost(), c.lost_to_window), (10_000, 0, 0, 0));
    assert!(report.seconds < 1.01 && !c.is_silent());
}

#[test]
fn drops_are_counted_where_they_were_due() {
    let mut p = plan();
    (p.matching, p.arrivals) = (Matching::Header, Arrivals::Uniform);
    // The second half is refused.
    let (driver, clock) = Memory::new(|n, b| {
        let refused = (Kind::Refusal, DropReason::PredictedMiss as u8);
        let (kind, status) = if n < 5_000 { (Kind::Answer, 0) } else { refused };
        vec![(FAST, turned(b, kind, status))]
    });
    let report = run(p, driver, clock);
    let intervals = report.timeline.of_class(0);
    let (first, second) = intervals.split_at(intervals.len() / 2);
    assert_eq!(intervals.len(), 100);
    assert!(first.iter().all(|i| (i.due, i.answered, i.on_time) == (100, 100, 100)));
    let refused = |i: &Interval| i.refused[DropReason::PredictedMiss.index()];
    assert!(second.iter().all(|i| (i.due, i.answered, refused(i)) == (100, 0, 100)));
}
