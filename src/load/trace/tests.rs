//! From captures to what is offered.

use etherparse::PacketBuilder;

use super::*;
use crate::packet::Dscp;

/// Source port, destination port, code point, payload, microseconds.
type Packet<'a> = (u16, u16, u8, &'a [u8], u32);

fn pcap(packets: &[Packet<'_>]) -> Vec<u8> {
    let mut file = 0xa1b2_c3d4_u32.to_le_bytes().to_vec();
    file.extend([2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0, 0, 101, 0, 0, 0]);
    for (from, to, dscp, payload, micros) in packets {
        let mut bytes = Vec::new();
        // Whichever way it goes: the lower port is the service's.
        let (near, far) =
            if from > to { ([10, 0, 0, 1], [10, 0, 0, 2]) } else { ([10, 0, 0, 2], [10, 0, 0, 1]) };
        let builder = PacketBuilder::ipv4(near, far, 64).udp(*from, *to);
        builder.write(&mut bytes, payload).unwrap();
        bytes[1] = dscp << 2;
        let len = bytes.len() as u32;
        for word in [5 + micros / 1_000_000, micros % 1_000_000, len, len] {
            file.extend(word.to_le_bytes());
        }
        file.extend(bytes);
    }
    file
}

fn options() -> ReplayOptions {
    ReplayOptions {
        to: ReplayTo::Host("127.0.0.1".parse().unwrap()),
        speed: 1.0,
        keep: true,
        ports: vec![],
        repeat: 1,
        partial: false,
        budget: None,
        priority: None,
        flows_max: 4,
    }
}

const MIX: &[Packet<'_>] = &[
    (2_000, 53, 0, b"one", 0),
    // An answer to it.
    (53, 2_000, 0, b"answer", 50),
    (2_001, 53, 46, b"urgent", 1_000),
    (2_002, 69, 0, b"else", 3_000),
    // Out of order, as several interfaces make it.
    (2_000, 53, 0, b"three", 2_000),
    (2_003, 53, 0, b"", 4_000),
];

#[test]
fn times_sizes_marks_ports_and_flows_are_kept() {
    let (trace, classes) = Trace::read(&pcap(MIX)[..], &options()).unwrap();
    let shown: Vec<_> = classes
        .iter()
        .map(|c| (c.name.as_str(), c.to.port(), c.dscp.map(Dscp::get), c.size.min, c.size.max))
        .collect();
    assert_eq!(
        shown,
        [
            ("port-53", 53, Some(0), 0, 5),
            ("port-53-dscp-46", 53, Some(46), 6, 6),
            ("port-69", 69, Some(0), 4, 4),
        ]
    );
    assert_eq!(trace.flows(), [2, 1, 1]);
    let steps: Vec<_> = (0..)
        .map_while(|n| trace.step(n))
        .map(|(at, s)| {
            let payload = trace.payload(s.start as usize, s.size as usize).unwrap();
            (at.as_micros(), s.class, s.socket, payload)
        })
        .collect();
    assert_eq!(
        steps,
        [
            (0, 0, 0, &b"one"[..]),
            (1_000, 1, 2, b"urgent"),
            (2_000, 0, 0, b"three"),
            (3_000, 2, 3, b"else"),
            (4_000, 0, 1, b""),
        ]
    );
    assert_eq!(trace.omitted().answers, 1);
    assert_eq!((trace.packets(), trace.duration()), (5, Nanos::from_millis(5)));
}

#[test]
fn speed_compresses_repeats_follow_and_ports_choose() {
    let wanted = ReplayOptions { speed: 100.0, repeat: 3, ports: vec![53], ..options() };
    let (trace, classes) = Trace::read(&pcap(MIX)[..], &wanted).unwrap();
    assert_eq!(classes.len(), 2);
    assert_eq!((trace.omitted().elsewhere, trace.packets()), (2, 12));
    let times: Vec<_> = (0..12).map(|n| trace.step(n).unwrap().0.get()).collect();
    // Four in 40 us: the next time begins a mean gap later.
    assert_eq!(times[..5], [0, 10_000, 20_000, 40_000, 53_333]);
    assert_eq!(trace.step(12), None);
}

#[test]
fn one_address_takes_all_and_sources_share_sockets_when_they_must() {
    let many: Vec<Packet<'_>> =
        (0..10).map(|n| (3_000 + n, 53, 0, &b"x"[..], u32::from(n))).collect();
    let to = ReplayTo::Address("127.0.0.1:7".parse().unwrap());
    let wanted = ReplayOptions { to, keep: false, ..options() };
    let (trace, classes) = Trace::read(&pcap(&many)[..], &wanted).unwrap();
    assert_eq!((classes.len(), classes[0].to.port()), (1, 7));
    assert_eq!((trace.flows(), trace.omitted().shared), (&[4][..], 6));
    assert!(!trace.keeps_payloads() && (0..10).all(|n| trace.step(n).unwrap().1.socket < 4));
}

#[test]
fn faults_are_told_apart() {
    let fault = |file: &[u8], options| Trace::read(file, &options).unwrap_err();
    let speed = fault(&pcap(MIX), ReplayOptions { speed: 0.0, ..options() });
    assert_eq!(speed, ReplayError::Speed(0.0));
    let nothing = fault(&pcap(MIX), ReplayOptions { ports: vec![1], ..options() });
    assert!(nothing.to_string().contains("6 packets; 0 answers, 6 to other ports"), "{nothing}");
    let many: Vec<Packet<'_>> = (0..65).map(|n| (3_000, 100 + n, 0, &b"x"[..], 0)).collect();
    assert_eq!(fault(&pcap(&many), options()), ReplayError::Classes);
    let cut = &pcap(MIX)[..200];
    assert!(matches!(fault(cut, options()), ReplayError::Capture(CaptureError::Cut { .. })));
    let (trace, _) = Trace::read(cut, &ReplayOptions { partial: true, ..options() }).unwrap();
    assert!(trace.omitted().cut_off && trace.packets() == 2, "{}", trace.packets());
}
