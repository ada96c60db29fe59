//! Captures of every kind, whole and broken, written here byte by byte.

use etherparse::PacketBuilder;
use proptest::prelude::*;

use super::*;

/// A UDP packet from 10.0.0.1:1000, IP header first.
fn ip(port: u16, tos: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let builder = PacketBuilder::ipv4([10, 0, 0, 1], [10, 0, 0, 2], 64).udp(1_000, port);
    builder.write(&mut bytes, payload).unwrap();
    bytes[1] = tos;
    bytes
}

fn ethernet(ip: &[u8]) -> Vec<u8> {
    [&[0; 12][..], &[8, 0], ip].concat()
}

/// A pcap file: magic number, link type, and packets with seconds, fraction and bytes.
fn pcap(magic: u32, link: u32, packets: &[(u32, u32, Vec<u8>)]) -> Vec<u8> {
    let mut file = magic.to_le_bytes().to_vec();
    file.extend([2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0, 0]);
    file.extend(link.to_le_bytes());
    for (seconds, fraction, bytes) in packets {
        let len = bytes.len() as u32;
        for word in [*seconds, *fraction, len, len] {
            file.extend(word.to_le_bytes());
        }
        file.extend(bytes);
    }
    file
}

const MICROS: u32 = 0xa1b2_c3d4;
const NANOS: u32 = 0xa1b2_3c4d;

/// A pcapng block.
fn block(kind: u32, body: &[u8]) -> Vec<u8> {
    let padded = body.len().next_multiple_of(4);
    let len = (padded as u32 + 12).to_le_bytes();
    let mut bytes = [&kind.to_le_bytes()[..], &len, body].concat();
    bytes.resize(8 + padded, 0);
    bytes.extend(len);
    bytes
}

fn section() -> Vec<u8> {
    block(0x0a0d_0d0a, &[&0x1a2b_3c4d_u32.to_le_bytes()[..], &[1, 0, 0, 0], &[0xff; 8]].concat())
}

/// An interface of that link type whose clock has 10^-`resolution` s.
fn interface(link: u16, resolution: u8) -> Vec<u8> {
    let options = [9, 0, 1, 0, resolution, 0, 0, 0, 0, 0, 0, 0];
    block(1, &[&link.to_le_bytes()[..], &[0; 2], &[0xff, 0xff, 0, 0], &options].concat())
}

fn enhanced(interface: u32, ticks: u64, bytes: &[u8]) -> Vec<u8> {
    let len = bytes.len() as u32;
    let (high, low) = ((ticks >> 32) as u32, ticks as u32);
    let words = [interface, high, low, len, len].map(u32::to_le_bytes);
    block(6, &[words.as_flattened(), bytes].concat())
}

type Read = (u64, u16, u8, usize, Vec<u8>);

fn read_all(file: &[u8]) -> (Result<Contents, CaptureError>, Vec<Read>) {
    let mut found = Vec::new();
    let result = read(file, |c| {
        let payload = c.payload.to_vec();
        found.push((c.at.as_nanos(), c.destination.port(), c.dscp.get(), c.len, payload));
    });
    (result, found)
}

#[test]
fn both_resolutions_of_pcap_are_read() {
    for (magic, nanos) in [(MICROS, 5_000), (NANOS, 5)] {
        let packet = ethernet(&ip(53, 46 << 2, b"abc"));
        let (result, found) = read_all(&pcap(magic, 1, &[(7, 5, packet)]));
        assert_eq!(found, [(7_000_000_000 + nanos, 53, 46, 3, b"abc".to_vec())]);
        let want = Contents { packets: 1, datagrams: 1, fragments: 0, others: 0 };
        assert_eq!(result, Ok(want));
    }
}

#[test]
fn every_link_type_leads_to_the_same_datagram() {
    let inner = ip(9, 0, b"xyz");
    let v = |head: &[u8]| [head, &inner[..]].concat();
    let vlan = [&[0; 12][..], &[0x81, 0, 0, 5, 8, 0]].concat();
    let cooked = [&[0; 14][..], &[8, 0]].concat();
    let cooked_2 = [&[8, 0][..], &[0; 18]].concat();
    for (link, bytes) in [
        (1, ethernet(&inner)),
        (1, v(&vlan)),
        (101, v(&[])),
        (228, v(&[])),
        (12, v(&[])),
        (0, v(&[2, 0, 0, 0])),
        (108, v(&[0, 0, 0, 2])),
        (113, v(&cooked)),
        (276, v(&cooked_2)),
    ] {
        let (result, found) = read_all(&pcap(MICROS, link, &[(0, 0, bytes)]));
        assert!(result.is_ok(), "{link}");
        assert_eq!(found, [(0, 9, 0, 3, b"xyz".to_vec())], "{link}");
    }
    let (result, _) = read_all(&pcap(MICROS, 147, &[(0, 0, vec![0; 40])]));
    assert_eq!(result, Err(CaptureError::LinkType(147)));
}

#[test]
fn pcapng_has_a_clock_an_interface() {
    let packet = ethernet(&ip(53, 0, b"q"));
    let mut v6 = Vec::new();
    let builder = PacketBuilder::ipv6([1; 16], [2; 16], 64).udp(7, 8);
    builder.write(&mut v6, b"six").unwrap();
    v6[0] |= 0x0b;
    v6[1] |= 0x80;
    let file = [
        section(),
        interface(1, 6),
        interface(101, 9),
        enhanced(0, 3_000_001, &packet),
        block(0xbad, &[1, 2, 3, 4]),
        enhanced(1, 3_000_001_500, &v6),
        // Of no interface.
        enhanced(2, 0, &packet),
    ]
    .concat();
    let (result, found) = read_all(&file);
    let first = (3_000_001_000, 53, 0, 1, b"q".to_vec());
    assert_eq!(found, [first, (3_000_001_500, 8, 46, 3, b"six".to_vec())]);
    assert_eq!(result.map(|c| (c.packets, c.datagrams, c.others)), Ok((3, 2, 1)));
}

#[test]
fn a_snapshot_length_keeps_the_length_and_other_packets_are_counted() {
    let mut short = ethernet(&ip(53, 0, &[7; 500]));
    short.truncate(100);
    let mut fragment = ip(53, 0, &[7; 64]);
    fragment[6] = 0x20;
    let mut tcp = Vec::new();
    let builder = PacketBuilder::ipv4([1; 4], [2; 4], 64).tcp(1, 2, 0, 0);
    builder.write(&mut tcp, b"").unwrap();
    let arp = [&[0; 12][..], &[8, 6], &[0; 28]].concat();
    let packets = [short, ethernet(&fragment), ethernet(&tcp), arp, vec![]];
    let (result, found) = read_all(&pcap(MICROS, 1, &packets.map(|p| (0, 0, p))));
    assert_eq!((found[0].3, found[0].4.len(), found.len()), (500, 58, 1));
    assert_eq!(result, Ok(Contents { packets: 5, datagrams: 1, fragments: 1, others: 3 }));
}

#[test]
fn a_cut_capture_says_where_and_gives_what_came_before() {
    let packet = ethernet(&ip(53, 0, &[1; 100]));
    let legacy = pcap(MICROS, 1, &[(0, 0, packet.clone()), (0, 1, packet.clone())]);
    let ng =
        [section(), interface(1, 6), enhanced(0, 0, &packet), enhanced(0, 1, &packet)].concat();
    for file in [legacy, ng] {
        assert_eq!(read_all(&file).1.len(), 2);
        for len in 1..file.len() {
            let (result, found) = read_all(&file[..len]);
            match result {
                Err(CaptureError::Cut { at, read }) => {
                    assert!(at <= len as u64 && read.datagrams == found.len() as u64);
                }
                // Between two packets nothing is missing that could be seen.
                Ok(read) => assert!(read.datagrams < 2),
                // Its first bytes may not yet tell what it is.
                Err(CaptureError::Unknown) => assert!(len < 32, "{len}"),
                Err(other) => panic!("{len}: {other}"),
            }
        }
    }
    assert_eq!(read_all(&[]).0, Err(CaptureError::Empty));
    assert_eq!(read_all(&[b'x'; 500]).0, Err(CaptureError::Unknown));
}

#[test]
fn a_block_longer_than_the_buffer_is_taken_in() {
    let packet = ethernet(&ip(53, 0, b"after"));
    let long = block(0xbad, &vec![0; 3 * BUFFER]);
    let file = [section(), interface(1, 6), long, enhanced(0, 0, &packet)].concat();
    let (result, found) = read_all(&file);
    assert!(result.is_ok(), "{result:?}");
    assert_eq!(found.len(), 1);
    // More packets than fit the buffer, too.
    let many: Vec<_> = (0..10_000).map(|n| (n, 0, packet.clone())).collect();
    assert_eq!(read_all(&pcap(MICROS, 1, &many)).1.len(), 10_000);
}

proptest! {
    /// Whatever is changed in a capture: it ends, without a panic.
    #[test]
    fn no_bytes_hang_or_panic(changes in proptest::collection::vec((0..400_usize, any::<u8>()), 1..8), ng in any::<bool>()) {
        let packet = ethernet(&ip(53, 0, &[1; 40]));
        let mut file = if ng {
            [section(), interface(1, 6), enhanced(0, 0, &packet), enhanced(0, 1, &packet)].concat()
        } else {
            pcap(MICROS, 1, &[(0, 0, packet.clone()), (0, 1, packet)])
        };
        for (at, byte) in changes {
            let len = file.len();
            file[at % len] = byte;
        }
        let _ = read_all(&file);
    }
}
