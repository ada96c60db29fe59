//! Laws 1 and 3 of the worker under whatever arrives: every datagram is counted once, every slot comes back, and the
//! results of a flow leave in the order in which its packets came.

mod common;

use common::{FAIL, PANIC, Rig, SHORT, options, plan, quiet_panics};
use proptest::prelude::*;
use punctual::base::{DropReason, EgressId, IngressId, KernelId, Nanos, Priority, SocketId};
use punctual::classify::{self, Classify};
use punctual::dataplane::{
    EgressOptions, Framing, Ingress, Late, Mode, Options, Order, SocketOptions, SocketRole,
    sessions,
};
use punctual::io::SendError;
use punctual::io::memory::Incoming;
use punctual::packet::framed::{FLAG_WANTS_REFUSAL, Header};
use punctual::stats::Field;
use zerocopy::IntoBytes;

/// Raw on sockets 0 to 3, framed on 4, forwarded on 5 with the upstream sockets 6 to 9.
fn everything() -> Options {
    let mut o = options();
    let ingress = |name: &str, framing, egress, classify| Ingress {
        name: name.into(),
        framing,
        kernel: KernelId(0),
        egress: EgressId(egress),
        order: Order::Flow,
        serve_empty: false,
        classify: classify::Options::new(classify),
    };
    o.ingresses.push(ingress("framed", Framing::Framed, 0, Classify::Header));
    o.ingresses.push(ingress("forwarded", Framing::Raw, 1, Classify::Fixed(Priority::Medium)));
    o.counted = 7;
    let sessions = sessions::Options { sessions: 4, idle: Nanos::from_secs(1), answers: 0 };
    o.egresses.push(EgressOptions {
        mode: Mode::Forward { first_socket: SocketId(6), sessions, answers: IngressId(6) },
        late: Late::Send,
    });
    let socket = |role| SocketOptions { role, gso: true };
    o.sockets.push(socket(SocketRole::Listen { ingress: IngressId(4), class: None }));
    o.sockets.push(socket(SocketRole::Listen { ingress: IngressId(5), class: None }));
    for session in 0..4 {
        o.sockets.push(socket(SocketRole::Upstream { egress: EgressId(1), session }));
    }
    // Small enough to run out now and then.
    o.slots = 40;
    o
}

#[derive(Clone, Debug)]
enum Op {
    Raw {
        socket: u16,
        port: u16,
        cost: u32,
        len: usize,
        segment: usize,
        age_us: u64,
    },
    Framed {
        port: u16,
        cost: u32,
        priority: u8,
        kind: u8,
        budget_us: u32,
        refusal: bool,
        kernel: u16,
    },
    Junk {
        socket: u16,
        bytes: Vec<u8>,
    },
    Fault(bool),
    Turn,
    Pass(u64),
}

fn cost() -> impl Strategy<Value = u32> {
    prop_oneof![8 => 0u32..200_000, 1 => Just(FAIL), 1 => Just(PANIC), 1 => Just(3_000_000)]
}

fn port() -> impl Strategy<Value = u16> {
    prop_oneof![20 => 4_000u16..4_008, 1 => Just(0), 1 => Just(53), 1 => Just(8_080)]
}

fn op() -> impl Strategy<Value = Op> {
    let raw =
        (0u16..10, port(), cost(), 4usize..300, prop_oneof![Just(0usize), Just(64)], 0u64..200_000)
            .prop_map(|(socket, port, cost, len, segment, age_us)| {
                let socket = if socket == 4 { 5 } else { socket };
                Op::Raw { socket, port, cost, len, segment, age_us }
            });
    let framed = (port(), cost(), any::<u8>(), 0u8..5, 0u32..20_000, any::<bool>(), 0u16..3)
        .prop_map(|(port, cost, priority, kind, budget_us, refusal, kernel)| Op::Framed {
            port,
            cost,
            priority: if priority > 8 { 255 } else { priority },
            kind: if kind > 3 { 0 } else { kind },
            budget_us,
            refusal,
            kernel: kernel.saturating_sub(1),
        });
    let junk = (0u16..10, proptest::collection::vec(any::<u8>(), 0..70))
        .prop_map(|(socket, bytes)| Op::Junk { socket, bytes });
    prop_oneof![
        6 => raw,
        6 => framed,
        1 => junk,
        1 => any::<bool>().prop_map(Op::Fault),
        4 => Just(Op::Turn),
        2 => (0u64..3_000).prop_map(Op::Pass),
    ]
}

fn arrive(rig: &mut Rig, op: &Op, serial: u64) -> u64 {
    let now = rig.now();
    match op {
        Op::Raw { socket, port, cost, len, segment, age_us } => {
            let mut bytes = vec![7; *len];
            let step = if *segment == 0 { *len } else { *segment };
            for head in bytes.chunks_mut(step).filter_map(|d| d.first_chunk_mut()) {
                *head = cost.to_be_bytes();
            }
            // The second of a train meets another fate.
            let second = if cost.is_multiple_of(2) { FAIL } else { SHORT };
            if let Some(head) = bytes.get_mut(step..).and_then(|b| b.first_chunk_mut())
                && cost.is_multiple_of(3)
            {
                *head = second.to_be_bytes();
            }
            let released = now.before(Nanos::from_micros(*age_us));
            let count = if *segment == 0 { 1 } else { len.div_ceil(*segment) };
            let incoming =
                Incoming { segment: *segment, ..Incoming::new(*socket, *port, released, bytes) };
            rig.arrive(incoming);
            count as u64
        }
        Op::Framed { port, cost, priority, kind, budget_us, refusal, kernel } => {
            let mut h = Header::request(serial);
            h.kind = *kind;
            h.status = *priority;
            h.flags = if *refusal { FLAG_WANTS_REFUSAL } else { 0 };
            h.budget_us.set(*budget_us);
            h.kernel.set(*kernel);
            let mut bytes = h.as_bytes().to_vec();
            bytes.extend_from_slice(&cost.to_be_bytes());
            rig.arrive(Incoming::new(4, *port, now, bytes));
            1
        }
        Op::Junk { socket, bytes } => {
            rig.arrive(Incoming::new(*socket, 4_000, now, bytes.clone()));
            1
        }
        Op::Fault(full) => {
            let fault = if *full { SendError::QueueFull } else { SendError::Refused(1) };
            rig.turns.driver_mut().faults.push_back(Some(fault));
            0
        }
        Op::Turn => {
            rig.turn();
            0
        }
        Op::Pass(us) => {
            rig.pass(Nanos::from_micros(*us));
            0
        }
    }
}

/// The same, but so cheap and young that neighbours of a train ride together.
fn cheaper(op: &Op) -> Op {
    let mut op = op.clone();
    if let Op::Raw { cost, age_us, .. } = &mut op {
        *age_us /= 100;
        if *cost < SHORT {
            *cost %= 500;
        }
    }
    op
}

/// Framed answers carry their request's number: for each client and priority asked for they must rise.
fn check_order(rig: &mut Rig) {
    let mut last = std::collections::BTreeMap::new();
    for sent in &rig.turns.driver_mut().sent {
        let Ok((header, _)) = Header::parse(&sent.bytes) else { continue };
        if sent.socket != SocketId(4) || header.kind != 1 {
            continue;
        }
        let flow = sent.to.unwrap();
        let before = last.insert((flow, header.stamp.get()), header.request.get());
        assert!(before.is_none_or(|b| b < header.request.get()), "flow {flow} overtaken");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn nothing_vanishes_and_every_slot_comes_back(
        ops in proptest::collection::vec(op(), 1..250),
        quota in 1u32..60,
        cheap in any::<bool>(),
    ) {
        quiet_panics();
        let mut options = everything();
        // Cheap packets ride as neighbours in one slot.
        options.kernels[0].batch_max = if cheap { 16 } else { 1 };
        let mut rig = Rig::new(&options, &plan([quota; 4]));
        let mut arrived = 0;
        if cheap {
            (0..20).for_each(|_| rig.send(1, 4_000, 10));
            rig.settle();
            arrived += 20;
        }
        for (serial, o) in ops.iter().enumerate() {
            let o = &if cheap { cheaper(o) } else { o.clone() };
            arrived += arrive(&mut rig, o, serial as u64);
            rig.check_law();
        }
        rig.settle();
        rig.check_law();
        prop_assert_eq!(rig.turns.worker().slots_free(), 40, "slots leaked");
        let received: u64 = (0..7u16)
            .flat_map(|i| Priority::ALL.map(|p| rig.get(i, p, Field::Received)))
            .sum();
        prop_assert_eq!(received, arrived);
        let in_flight: u64 = (0..7u16)
            .flat_map(|i| Priority::ALL.map(|p| rig.get(i, p, Field::InFlight)))
            .sum();
        prop_assert_eq!(in_flight, 0);
        let started: u64 = Priority::ALL
            .map(|p| rig.counters().class(p, punctual::stats::ClassField::StartedExpired))
            .iter()
            .sum();
        prop_assert_eq!(started, 0, "a packet was started after its deadline");
    }

    /// One client, one priority, budgets of its own choosing: whatever is answered is answered in order.
    #[test]
    fn results_of_a_flow_leave_in_order(
        asks in proptest::collection::vec((4_000u16..4_003, 1u32..20_000, 0u32..60_000, any::<bool>()), 1..300),
    ) {
        let mut rig = Rig::new(&everything(), &plan([512; 4]));
        for (serial, (port, budget_us, cost, turn)) in asks.iter().enumerate() {
            let op = Op::Framed {
                port: *port,
                cost: *cost,
                priority: 1,
                kind: 0,
                budget_us: *budget_us,
                refusal: false,
                kernel: 0,
            };
            arrive(&mut rig, &op, serial as u64);
            if *turn {
                rig.turn();
            }
        }
        rig.settle();
        check_order(&mut rig);
        rig.check_law();
    }

    /// Towards a sender that nobody has validated, no more bytes leave than came from it, refusals included.
    #[test]
    fn never_more_bytes_out_than_in(ops in proptest::collection::vec(op(), 1..120)) {
        quiet_panics();
        let mut options = everything();
        options.egresses[1] = options.egresses[0];
        options.sockets.truncate(6);
        let mut rig = Rig::with(&options, &plan([100; 4]), |_| vec![Box::new(punctual::kernel::crc32c::Crc32c)]);
        let mut bytes_in = 0;
        for (serial, o) in ops.iter().enumerate() {
            match o {
                Op::Raw { len, socket, .. } if *socket < 6 => bytes_in += len,
                Op::Framed { .. } => bytes_in += 36,
                Op::Junk { bytes, socket } if *socket < 6 => bytes_in += bytes.len(),
                Op::Raw { .. } | Op::Junk { .. } => continue,
                _ => {}
            }
            arrive(&mut rig, o, serial as u64);
        }
        rig.settle();
        let bytes_out: usize = rig.turns.driver_mut().sent.iter().map(|s| s.bytes.len()).sum();
        prop_assert!(bytes_out <= bytes_in, "{} > {}", bytes_out, bytes_in);
        rig.check_law();
    }
}

/// The issue's own figure: a million packets with overload, malformed, empty and oversize datagrams among them.
#[test]
fn a_million_packets_are_all_accounted_for() {
    quiet_panics();
    let mut options = everything();
    options.slots = 4_096;
    let mut rig = Rig::new(&options, &plan([50, 97, 322, 128]));
    let mut sent = 0u64;
    let mut state = 1u64;
    while sent < 1_000_000 {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let r = state >> 33;
        let socket = [0, 1, 1, 2, 2, 2, 2, 2, 3, 4, 5][(r % 11) as usize];
        let len = match r % 101 {
            0 => 0,
            1 => 400,
            n => n as usize + 4,
        };
        let mut bytes = vec![1; len];
        if len >= 4 {
            bytes[..4].copy_from_slice(&20_000u32.to_be_bytes());
        }
        let now = rig.now();
        rig.arrive(Incoming::new(socket, 4_000 + (r % 97) as u16, now, bytes));
        sent += 1;
        // About five times what it can serve.
        rig.pass(Nanos::from_micros(if r.is_multiple_of(5) { 20 } else { 0 }));
        if r.is_multiple_of(7) {
            rig.turn();
        }
        if sent.is_multiple_of(10_000) {
            rig.check_law();
        }
    }
    rig.settle();
    rig.check_law();
    let total = |field| -> u64 {
        (0..7u16).flat_map(|i| Priority::ALL.map(|p| rig.get(i, p, field))).sum()
    };
    assert_eq!(total(Field::Received), 1_000_000);
    assert_eq!(total(Field::InFlight), 0);
    assert!(
        rig.drops(DropReason::ParseError) > 9_000 && rig.drops(DropReason::RxTruncated) > 9_000
    );
    let overload = [
        DropReason::ExpiredOnArrival,
        DropReason::QuotaPriority,
        DropReason::PredictedMiss,
        DropReason::Evicted,
        DropReason::LateAtDispatch,
    ];
    assert!(overload.map(|r| rig.drops(r)).iter().sum::<u64>() > 100_000);
}
