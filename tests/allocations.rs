//! The hot path does not allocate: whole turns of the loop over real sockets, under a counting allocator.
//!
//! Only what happens inside a turn counts: the peers live on the same thread and may allocate between turns.
#![expect(
    unsafe_code,
    reason = "a global allocator, and one socket option that the library only asks for by message"
)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::AsRawFd as _;

use punctual::base::{
    DropReason, EgressId, IngressId, Instant, KernelId, Nanos, PerPriority, Priority, SocketId,
    WorkerId,
};
use punctual::classify::{self, Classify};
use punctual::dataplane::offload::{Back, DeviceOptions};
use punctual::dataplane::{
    EgressOptions, EventLoop, Framing, Idle, Ingress, KernelOptions, Late, Mode, Options, Order,
    Output, Own, Shared, SocketOptions, SocketRole, Worker, sessions,
};
use punctual::io::capability::try_uring;
use punctual::io::{Driver, PollDriver, Received, SocketSpec, Stamp, UringDriver};
use punctual::kernel::accel::Ended;
use punctual::kernel::{Kernels, RowStatus, echo::Echo};
use punctual::packet::framed::{FLAG_WANTS_REFUSAL, Header};
use punctual::sched::{WorkerPlan, admission};
use punctual::stats::{Field, WorkerField};
use punctual::sys::clock::MonotonicClock;
use punctual::sys::socket::{UdpOptions, open, open_connected};
use zerocopy::IntoBytes as _;

thread_local! {
    static COUNTING: Cell<bool> = const { Cell::new(false) };
    static COUNT: Cell<u64> = const { Cell::new(0) };
}

/// The system's allocator, which counts what a thread asks for while it wants that.
struct Counting;

fn note() {
    // At a thread's very end the cells are gone, and nothing is measured any more.
    let _ = COUNTING.try_with(|on| {
        if on.get() {
            COUNT.with(|c| c.set(c.get() + 1));
        }
    });
}

// SAFETY: every call is handed on to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        note();
        // SAFETY: as promised by the caller.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        note();
        // SAFETY: as promised by the caller.
        unsafe { System.dealloc(at, layout) }
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        note();
        // SAFETY: as promised by the caller.
        unsafe { System.realloc(at, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

static CLOCK: MonotonicClock = MonotonicClock;
const PACKETS: u64 = 10_000;
const LEN: usize = 64;

/// What is sent to the service, and what it is told to do with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Case {
    framing: Framing,
    /// Datagrams of one send.
    burst: usize,
    /// Requests ask for a microsecond, which is over when they are read.
    hopeless: bool,
    /// To an upstream and back.
    forward: bool,
    quota: u32,
    /// The part of a budget, in thousandths, within which packets beyond the quota must be done; 0: none goes beyond.
    fill: u16,
    /// Datagrams before the service has its turns.
    round: usize,
    idle: Idle,
}

const PLAIN: Case = Case {
    framing: Framing::Raw,
    burst: 1,
    hopeless: false,
    forward: false,
    quota: 512,
    fill: 900,
    round: 64,
    idle: Idle::Spin,
};

const FLOWS: usize = 8;
const SESSIONS: u32 = 4;

fn listening(gro: bool) -> UdpOptions {
    UdpOptions {
        timestamps: true,
        tos: true,
        gro,
        receive_buffer: Some(8 << 20),
        ..UdpOptions::default()
    }
}

struct Rig<D: Driver> {
    turns: EventLoop<'static, MonotonicClock, D>,
    shared: &'static Shared,
    clients: Vec<UdpSocket>,
    upstream: UdpSocket,
    case: Case,
}

fn options(case: &Case) -> Options {
    let reply = Mode::Reply { amplification_per_mille: 1_000, low_source_ports: false };
    let bounds = sessions::Options { sessions: SESSIONS, idle: Nanos::from_millis(1), answers: 1 };
    let forward =
        Mode::Forward { first_socket: SocketId(1), sessions: bounds, answers: IngressId(1) };
    let listen = SocketRole::Listen { ingress: IngressId(0), class: None };
    let upstream = |session| SocketRole::Upstream { egress: EgressId(0), session };
    let roles = std::iter::once(listen).chain((0..SESSIONS).map(upstream));
    let classify = match case.framing {
        Framing::Raw => Classify::Fixed(Priority::Low),
        Framing::Framed => Classify::Header,
    };
    Options {
        id: WorkerId(0),
        ingresses: vec![Ingress {
            name: "i".into(),
            framing: case.framing,
            kernel: KernelId(0),
            egress: EgressId(0),
            order: Order::Flow,
            serve_empty: false,
            // So long that a machine which does other things too loses nothing: what is dropped here is dropped by the case.
            classify: classify::Options {
                ingress_budget: Some(Nanos::from_secs(20)),
                ..classify::Options::new(classify)
            },
        }],
        counted: 2,
        egresses: vec![EgressOptions {
            mode: if case.forward { forward } else { reply },
            late: Late::Drop,
        }],
        sockets: roles.map(|role| SocketOptions { role, gso: true }).collect(),
        kernels: vec![KernelOptions { batch_max: 64, grows: false, pauses: false }],
        budgets: PerPriority::from_fn(Priority::default_budget),
        ema_weight: 8,
        admission: admission::Options::default(),
        max_datagram: 2_048,
        hold: Nanos::from_millis(1),
        slots: 4_096,
        guard: true,
        guard_requires_expected_high: true,
        serves_high: true,
        secret: 1,
    }
}

impl<D: Driver> Rig<D> {
    fn new(case: Case, driver: impl Fn(Vec<SocketSpec>) -> D) -> Self {
        let gro = case.burst > 1;
        let server = open(([127, 0, 0, 1], 0).into(), &listening(gro)).unwrap();
        let at = server.socket.local_addr().unwrap();
        let upstream = open(([127, 0, 0, 1], 0).into(), &listening(false)).unwrap().socket;
        let to = upstream.local_addr().unwrap();
        let mut opened = vec![server];
        opened.extend((0..SESSIONS).map(|_| open_connected(to, &listening(false)).unwrap()));
        let specs = opened.into_iter().map(|o| SocketSpec {
            socket: o.socket,
            wants_local: false,
            gro: o.gro,
            gso: o.gso,
        });
        let driver = driver(specs.collect());
        let worker = Worker::new(&options(&case), &Own { addresses: vec![], listening: vec![at] });
        let plan = WorkerPlan {
            quota: PerPriority::new([case.quota; 4]),
            total: case.quota * 4,
            fill: PerPriority::new([case.fill, case.fill, case.fill, 0]),
            guard: PerPriority::new([Nanos::ZERO, Nanos::new(80), Nanos::new(80), Nanos::ZERO]),
            slice: Nanos::from_micros(5),
            generation: 1,
        };
        let words = worker.counters().words().len();
        let shared: &'static Shared = Box::leak(Box::new(Shared::new(words, &plan)));
        let kernels = Kernels::new(vec![Box::new(Echo)]);
        let mut turns = EventLoop::new(&CLOCK, driver, worker, kernels, shared, case.idle);
        turns.warm_up(LEN, 40);
        let clients = (0..FLOWS).map(|_| client(at, &case)).collect();
        Self { turns, shared, clients, upstream, case }
    }

    /// All that was received, and all that has come to an end, on every entry and of every class.
    fn figures(&self) -> (u64, u64) {
        let counters = self.turns.worker().counters();
        let mut sums = (0, 0);
        for cell in (0..2).flat_map(|i| Priority::ALL.map(|p| counters.view(IngressId(i), p))) {
            assert_eq!(cell.unaccounted(), 0);
            sums.0 += cell.get(Field::Received);
            sums.1 += cell.get(Field::Received) - cell.get(Field::InFlight);
        }
        sums
    }

    fn drops(&self, reason: DropReason) -> u64 {
        let counters = self.turns.worker().counters();
        Priority::ALL.map(|p| counters.view(IngressId(0), p).dropped(reason)).iter().sum()
    }

    /// Sends one round and lets the loop turn until all of it has come to an end.
    fn round(&mut self, number: u64) {
        let (before, _) = self.figures();
        for i in 0..self.case.round / self.case.burst {
            let bytes = self.datagrams(number * 1_000 + i as u64);
            let client = &self.clients[i % FLOWS];
            assert_eq!(client.send(&bytes).unwrap(), bytes.len());
        }
        let requests = before + self.case.round as u64;
        self.turn_until(requests);
        if self.case.forward {
            let answered = self.answer_as_upstream();
            self.turn_until(requests + answered);
        }
        let mut buffer = vec![0; 65_536];
        for client in &self.clients {
            while client.recv(&mut buffer).is_ok() {}
        }
        if number.is_multiple_of(16) {
            self.shared.board.ask();
        }
    }

    fn turn_until(&mut self, received: u64) {
        for turns in 0.. {
            assert!(turns < 1_000_000, "{:?}: {:?} of {received}", self.case, self.figures());
            if self.figures() == (received, received) && self.turns.worker().is_idle() {
                return;
            }
            COUNTING.set(true);
            let turned = self.turns.turn();
            COUNTING.set(false);
            turned.unwrap();
        }
    }

    /// What has come to the upstream goes back as it is; how many datagrams.
    fn answer_as_upstream(&self) -> u64 {
        let mut buffer = vec![0; 65_536];
        let mut answered = 0;
        while let Ok((len, from)) = self.upstream.recv_from(&mut buffer) {
            self.upstream.send_to(&buffer[..len], from).unwrap();
            answered += 1;
        }
        answered
    }

    fn datagrams(&self, number: u64) -> Vec<u8> {
        let one = |i: usize| {
            let mut bytes = Vec::new();
            if self.case.framing == Framing::Framed {
                let mut header = Header::request(number);
                header.status = u8::try_from((number + i as u64) % 4).unwrap();
                header.flags = FLAG_WANTS_REFUSAL;
                if self.case.hopeless {
                    header.status = 0;
                    header.budget_us = 1.into();
                }
                bytes.extend_from_slice(header.as_bytes());
            }
            bytes.resize(LEN, 7);
            bytes
        };
        (0..self.case.burst).flat_map(one).collect()
    }
}

fn client(to: SocketAddr, case: &Case) -> UdpSocket {
    let wish = UdpOptions { receive_buffer: Some(8 << 20), ..UdpOptions::default() };
    let socket = open_connected(to, &wish).unwrap().socket;
    if case.burst > 1 {
        let segment = i32::try_from(LEN).unwrap();
        // SAFETY: an int is read for the time of the call.
        let rc = unsafe {
            libc::setsockopt(
                socket.as_raw_fd(),
                libc::SOL_UDP,
                libc::UDP_SEGMENT,
                (&raw const segment).cast(),
                4,
            )
        };
        assert_eq!(rc, 0);
    }
    socket
}

/// Runs a case over one driver, and says how many allocations its steady state made.
fn steady<D: Driver>(case: Case, driver: impl Fn(Vec<SocketSpec>) -> D) -> (Rig<D>, u64) {
    let mut rig = Rig::new(case, driver);
    let round = case.round as u64;
    for number in 0..4_096_u64.div_ceil(round).min(64) {
        rig.round(number);
    }
    let before = COUNT.get();
    for number in 0..PACKETS.div_ceil(round) {
        rig.round(number);
    }
    let allocations = COUNT.get() - before;
    (rig, allocations)
}

/// The case over both drivers. `reason`: what at least half of the datagrams must have been dropped for.
fn check(case: Case, reason: Option<DropReason>) {
    fn judge<D: Driver>((rig, allocations): (Rig<D>, u64), reason: Option<DropReason>) {
        assert_eq!(allocations, 0, "{:?}", rig.case);
        let (received, _) = rig.figures();
        assert!(received > PACKETS);
        match reason {
            Some(reason) => assert!(rig.drops(reason) > received / 2, "{:?}", rig.case),
            None => {
                let dropped: u64 = DropReason::ALL.iter().map(|r| rig.drops(*r)).sum();
                assert!(dropped < received / 10, "{dropped} of {received}: {:?}", rig.case);
            }
        }
    }
    judge(steady(case, |specs| PollDriver::new(specs, 2_048).unwrap()), reason);
    if try_uring().is_ok() {
        judge(steady(case, |specs| UringDriver::new(specs, 2_048).unwrap()), reason);
    }
}

#[test]
fn echo_of_raw_datagrams() {
    check(PLAIN, None);
}

#[test]
fn echo_of_framed_datagrams_of_all_classes() {
    check(Case { framing: Framing::Framed, ..PLAIN }, None);
}

#[test]
fn echo_of_raw_trains() {
    check(Case { burst: 32, round: 256, ..PLAIN }, None);
}

#[test]
fn echo_of_framed_trains() {
    check(Case { framing: Framing::Framed, burst: 8, ..PLAIN }, None);
}

#[test]
fn sleeps_between_bursts() {
    check(Case { round: 500, idle: Idle::Park, ..PLAIN }, None);
}

#[test]
fn drops_over_quota_with_refusals() {
    let case = Case { framing: Framing::Framed, burst: 32, quota: 1, fill: 0, ..PLAIN };
    check(case, Some(DropReason::QuotaPriority));
}

#[test]
fn packets_beyond_their_quota() {
    let case = Case { framing: Framing::Framed, burst: 32, quota: 1, ..PLAIN };
    let (rig, allocations) = steady(case, |specs| PollDriver::new(specs, 2_048).unwrap());
    assert_eq!(allocations, 0);
    let (received, over) = (rig.figures().0, rig.drops(DropReason::QuotaPriority));
    assert!(
        received > PACKETS && over < received * 3 / 4,
        "{over} of {received}: by its count 31 of 32 are over"
    );
}

#[test]
fn drops_of_what_has_expired_with_refusals() {
    let case = Case { framing: Framing::Framed, hopeless: true, ..PLAIN };
    check(case, Some(DropReason::ExpiredOnArrival));
}

#[test]
fn forwarding_with_more_clients_than_sessions() {
    let case = Case { forward: true, round: 32, ..PLAIN };
    let (rig, allocations) = steady(case, |specs| PollDriver::new(specs, 2_048).unwrap());
    assert_eq!(allocations, 0);
    assert!(rig.figures().0 > PACKETS && rig.drops(DropReason::EgressNoRoute) > 0);
    if try_uring().is_ok() {
        let (_, allocations) = steady(case, |specs| UringDriver::new(specs, 2_048).unwrap());
        assert_eq!(allocations, 0);
    }
}

/// What leaves for a device and comes back, lost or run, in order or not: the worker alone, its device in the test's hands.
#[test]
fn work_that_leaves_and_comes_back() {
    let case = Case { framing: Framing::Framed, ..PLAIN };
    let mut options = options(&case);
    options.admission.policy = admission::Policy::Edf;
    let mut worker = Worker::new(&options, &Own { addresses: vec![], listening: vec![] });
    worker.set_plan(WorkerPlan {
        quota: PerPriority::new([512; 4]),
        total: 2_048,
        fill: PerPriority::default(),
        guard: PerPriority::default(),
        slice: Nanos::from_micros(50),
        generation: 1,
    });
    worker.attach(&[DeviceOptions {
        rows_max: 64,
        runs: vec![true],
        gate: None,
        give_up: Nanos::MAX,
    }]);
    let mut now = Instant::from_nanos(1_000_000_000);
    (0..64).for_each(|_| worker.record_warm_up(now, KernelId(0), LEN, Nanos::from_micros(20)));
    let mut under_way = Vec::with_capacity(8);
    let before = COUNT.get();
    for round in 0..400_u64 {
        for n in 0..200 {
            let mut header = Header::request(round * 1_000 + n);
            header.status = u8::try_from(n % 4).unwrap();
            let mut bytes = header.as_bytes().to_vec();
            bytes.resize(LEN, 7);
            let received = received_at(now, &bytes, u16::try_from(n % 5).unwrap());
            counted(|| worker.handle_rx(now, &received));
        }
        counted(|| while worker.form(now) {});
        while let Some((d, mut errand)) = counted(|| worker.next_errand()) {
            errand.staged.parts().1.iter_mut().for_each(|r| r.status = RowStatus::Done);
            under_way.push((d, errand.staged));
        }
        for (d, staged) in under_way.drain(..).rev() {
            let ended = if round % 3 == 0 { Ended::Lost } else { Ended::Run };
            now = now + Nanos::from_micros(300);
            counted(|| worker.on_back(now, d, Back { staged, ended, began: now, finished: now }));
            now = counted(|| settle(&mut worker, now));
        }
        now = counted(|| settle(&mut worker, now)) + Nanos::from_millis(2);
    }
    assert_eq!(COUNT.get(), before);
    let away = worker.counters().worker(WorkerField::AwayRows);
    assert!(away > 5_000, "{away} rows away");
    assert!(worker.counters().worker(WorkerField::AwayLost) > 1_000);
    assert!(worker.is_idle());
}

fn counted<R>(run: impl FnOnce() -> R) -> R {
    COUNTING.set(true);
    let done = run();
    COUNTING.set(false);
    done
}

fn received_at(now: Instant, bytes: &[u8], peer: u16) -> Received<'_> {
    Received {
        socket: SocketId(0),
        peer: SocketAddr::from(([127, 0, 0, 1], 20_000 + peer)),
        local: None,
        tos: 0,
        stamp: Stamp::Kernel(now),
        segment: 0,
        truncated: false,
        bytes,
    }
}

/// Does what the worker asks for until it asks for nothing; 20 us a run.
fn settle(worker: &mut Worker, mut now: Instant) -> Instant {
    loop {
        match worker.poll_output(now) {
            Output::Run(_) => {
                let mut batch = worker.batch();
                (0..batch.len()).for_each(|i| batch.finish(i, LEN - 32));
                now = now + Nanos::from_micros(20);
                worker.on_done(now, Nanos::from_micros(20));
            }
            Output::Transmit => {
                let sends = worker.tx().1.messages.len();
                worker.on_transmitted(now, sends, &[]);
            }
            Output::Wait(_) | Output::Look => return now,
        }
    }
}

#[test]
fn the_count_counts() {
    COUNTING.set(true);
    drop(std::hint::black_box(Box::new(1)));
    COUNTING.set(false);
    assert_eq!(COUNT.get(), 2, "one taken, one given back");
}
