//! The UDP datagrams in a packet capture, pcap or pcapng, in the order of the file.
//!
//! Knows no files and no meaning: it reads bytes, and says when, from where to where, with which mark and what.

use std::io::Read;
use std::net::{IpAddr, SocketAddr};

use etherparse::{EtherType, LaxNetSlice, LaxSlicedPacket, TransportSlice};
use pcap_parser::pcapng::InterfaceDescriptionBlock;
use pcap_parser::traits::{PcapNGPacketBlock as _, PcapReaderIterator};
use pcap_parser::{Block, Linktype, PcapBlockOwned, PcapError, create_reader};

use super::Dscp;
use crate::base::WallTime;

/// Read at once. A block that is longer grows the buffer.
const BUFFER: usize = 1 << 18;
/// The longest block that is taken in: far above the longest packet (256 KiB) of any capture program.
const BLOCK_MAX: usize = 1 << 24;
/// The most interfaces of one pcapng section.
const INTERFACES_MAX: usize = 4_096;
/// Length of a UDP header.
const UDP_HEADER: usize = 8;

/// One captured datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Captured<'a> {
    /// When it was captured.
    pub at: WallTime,
    /// From whom.
    pub source: SocketAddr,
    /// To whom.
    pub destination: SocketAddr,
    /// Its code point.
    pub dscp: Dscp,
    /// The length of its payload on the wire.
    pub len: usize,
    /// The payload; shorter than `len` where the capture has cut it (a snapshot length).
    pub payload: &'a [u8],
}

/// What a capture held.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Contents {
    /// Packets of any kind.
    pub packets: u64,
    /// Whole UDP datagrams: those that were handed over.
    pub datagrams: u64,
    /// Fragments of UDP datagrams: left out.
    pub fragments: u64,
    /// Everything else.
    pub others: u64,
}

/// Why a capture cannot be read to its end.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CaptureError {
    /// It is empty.
    #[error("it is empty")]
    Empty,
    /// It begins as neither format does.
    #[error("it is neither pcap nor pcapng")]
    Unknown,
    /// It ends within a packet or block.
    #[error("it is cut off in the middle, {at} bytes from its start, after {} packets", read.packets)]
    Cut {
        /// Where the last whole block ends.
        at: u64,
        /// What was read before.
        read: Contents,
    },
    /// What stands there is no block.
    #[error("it is damaged {at} bytes from its start, after {} packets", read.packets)]
    Damaged {
        /// Where the damage begins.
        at: u64,
        /// What was read before.
        read: Contents,
    },
    /// The link layer is not one that is known here.
    #[error("its link type {0} is not known: Ethernet, raw IP, BSD loopback and Linux cooked are")]
    LinkType(i32),
    /// The file could not be read.
    #[error("it cannot be read")]
    Read,
}

/// A clock of a capture: pcapng has one an interface.
#[derive(Clone, Copy, Debug)]
struct Interface {
    link: Linktype,
    /// Ticks a second.
    resolution: u64,
    /// Seconds to be added.
    offset: i64,
}

/// Reads `input` to its end; `sink` takes each whole UDP datagram.
///
/// # Errors
/// [`CaptureError`]. What `sink` was given before stays valid.
pub fn read(
    input: impl Read + Send,
    mut sink: impl FnMut(&Captured<'_>),
) -> Result<Contents, CaptureError> {
    let mut contents = Contents::default();
    let mut interfaces = Vec::new();
    let mut at = 0_u64;
    let mut capacity = BUFFER;
    let mut reader = create_reader(capacity, input).map_err(|e| match e {
        PcapError::Eof => CaptureError::Empty,
        PcapError::ReadError => CaptureError::Read,
        PcapError::Incomplete(_) => CaptureError::Cut { at: 0, read: contents },
        _ => CaptureError::Unknown,
    })?;
    loop {
        let used = match reader.next() {
            Ok((used, block)) => {
                take_block(&block, &mut interfaces, &mut contents, &mut sink)?;
                used
            }
            Err(PcapError::Eof) => return Ok(contents),
            Err(PcapError::Incomplete(_)) => {
                refill(reader.as_mut())?;
                continue;
            }
            Err(PcapError::BufferTooSmall) if capacity < BLOCK_MAX => {
                capacity *= 2;
                reader.grow(capacity);
                refill(reader.as_mut())?;
                continue;
            }
            Err(PcapError::UnexpectedEof) => {
                return Err(CaptureError::Cut { at, read: contents });
            }
            Err(PcapError::ReadError) => return Err(CaptureError::Read),
            Err(_) => return Err(CaptureError::Damaged { at, read: contents }),
        };
        at += used as u64;
        reader.consume(used);
    }
}

fn refill(reader: &mut dyn PcapReaderIterator) -> Result<(), CaptureError> {
    reader.refill().map_err(|_io| CaptureError::Read)
}

fn take_block(
    block: &PcapBlockOwned<'_>,
    interfaces: &mut Vec<Interface>,
    contents: &mut Contents,
    sink: &mut impl FnMut(&Captured<'_>),
) -> Result<(), CaptureError> {
    match block {
        PcapBlockOwned::LegacyHeader(header) => {
            let nanoseconds = header.is_nanosecond_precision();
            let resolution = if nanoseconds { 1_000_000_000 } else { 1_000_000 };
            interfaces.push(Interface { link: header.network, resolution, offset: 0 });
        }
        PcapBlockOwned::Legacy(packet) => {
            let Some(interface) = interfaces.first() else { return Ok(()) };
            let at = wall(u64::from(packet.ts_sec), u64::from(packet.ts_usec), interface);
            take_packet(interface.link, at, packet.data, contents, sink)?;
        }
        PcapBlockOwned::NG(Block::SectionHeader(_)) => interfaces.clear(),
        PcapBlockOwned::NG(Block::InterfaceDescription(described)) => {
            if interfaces.len() < INTERFACES_MAX {
                interfaces.push(interface_of(described));
            }
        }
        PcapBlockOwned::NG(Block::EnhancedPacket(packet)) => {
            let number = usize::try_from(packet.if_id).unwrap_or(usize::MAX);
            let Some(interface) = interfaces.get(number) else {
                contents.packets += 1;
                contents.others += 1;
                return Ok(());
            };
            let ticks = u64::from(packet.ts_high) << 32 | u64::from(packet.ts_low);
            let (seconds, rest) = (ticks / interface.resolution, ticks % interface.resolution);
            let at = wall(seconds, rest, interface);
            take_packet(interface.link, at, packet.packet_data(), contents, sink)?;
        }
        // A simple packet block has no time; the others hold no packets.
        PcapBlockOwned::NG(Block::SimplePacket(_)) => {
            contents.packets += 1;
            contents.others += 1;
        }
        PcapBlockOwned::NG(_) => {}
    }
    Ok(())
}

fn interface_of(described: &InterfaceDescriptionBlock<'_>) -> Interface {
    Interface {
        link: described.linktype,
        // What cannot be said in 64 bits is not a resolution; microseconds are the format's default.
        resolution: described.ts_resolution().filter(|r| *r > 0).unwrap_or(1_000_000),
        offset: described.ts_offset(),
    }
}

fn wall(seconds: u64, fraction: u64, interface: &Interface) -> WallTime {
    let seconds = seconds.saturating_add_signed(interface.offset);
    let nanos = u128::from(fraction) * 1_000_000_000 / u128::from(interface.resolution);
    let nanos = u64::try_from(nanos).unwrap_or(u64::MAX);
    WallTime::from_nanos(seconds.saturating_mul(1_000_000_000).saturating_add(nanos))
}

fn take_packet(
    link: Linktype,
    at: WallTime,
    bytes: &[u8],
    contents: &mut Contents,
    sink: &mut impl FnMut(&Captured<'_>),
) -> Result<(), CaptureError> {
    contents.packets += 1;
    match datagram(link, at, bytes)? {
        Packet::Datagram(captured) => {
            contents.datagrams += 1;
            sink(&captured);
        }
        Packet::Fragment => contents.fragments += 1,
        Packet::Other => contents.others += 1,
    }
    Ok(())
}

enum Packet<'a> {
    Datagram(Captured<'a>),
    Fragment,
    Other,
}

fn datagram(link: Linktype, at: WallTime, bytes: &[u8]) -> Result<Packet<'_>, CaptureError> {
    let Some(sliced) = slice(link, bytes)? else { return Ok(Packet::Other) };
    let (source, destination, tos, payload) = match &sliced.net {
        Some(LaxNetSlice::Ipv4(ip)) => {
            let h = ip.header();
            let tos = h.dcp().value() << 2;
            (IpAddr::V4(h.source_addr()), IpAddr::V4(h.destination_addr()), tos, ip.payload())
        }
        Some(LaxNetSlice::Ipv6(ip)) => {
            let h = ip.header();
            let tos = h.traffic_class();
            (IpAddr::V6(h.source_addr()), IpAddr::V6(h.destination_addr()), tos, ip.payload())
        }
        _ => return Ok(Packet::Other),
    };
    if payload.fragmented && payload.ip_number == etherparse::IpNumber::UDP {
        return Ok(Packet::Fragment);
    }
    let Some(TransportSlice::Udp(udp)) = sliced.transport else { return Ok(Packet::Other) };
    let len = usize::from(udp.length()).checked_sub(UDP_HEADER);
    let Some(len) = len else { return Ok(Packet::Other) };
    let payload = udp.payload();
    Ok(Packet::Datagram(Captured {
        at,
        source: SocketAddr::new(source, udp.source_port()),
        destination: SocketAddr::new(destination, udp.destination_port()),
        dscp: Dscp::from_tos(tos),
        len,
        payload: &payload[..payload.len().min(len)],
    }))
}

/// The packet's layers, as far as they were captured; `None` when not even its first is whole.
fn slice(link: Linktype, bytes: &[u8]) -> Result<Option<LaxSlicedPacket<'_>>, CaptureError> {
    // Linux cooked headers end with, or begin with, the type of what follows.
    let cooked = |kind: usize, header: usize| {
        let kind = bytes.get(kind..kind + 2)?;
        let kind = EtherType(u16::from_be_bytes([kind[0], kind[1]]));
        Some(LaxSlicedPacket::from_ether_type(kind, bytes.get(header..)?))
    };
    Ok(match link {
        Linktype::ETHERNET => LaxSlicedPacket::from_ethernet(bytes).ok(),
        Linktype::RAW | Linktype::IPV4 | Linktype::IPV6 => LaxSlicedPacket::from_ip(bytes).ok(),
        // Four bytes of address family, in the byte order of the machine that captured it: the IP version says the same.
        Linktype::NULL | Linktype::LOOP => {
            bytes.get(4..).and_then(|ip| LaxSlicedPacket::from_ip(ip).ok())
        }
        Linktype::LINUX_SLL => cooked(14, 16),
        Linktype::LINUX_SLL2 => cooked(0, 20),
        // Raw IP as some systems number it.
        Linktype(12 | 14) => LaxSlicedPacket::from_ip(bytes).ok(),
        Linktype(other) => return Err(CaptureError::LinkType(other)),
    })
}

#[cfg(test)]
mod tests;
