//! What travels beside a datagram: socket addresses and control messages, between the kernel's bytes and our types.
//!
//! All of it is reading and writing of bytes: no pointer, no system call, no `unsafe`. Knows nothing of drivers.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};

use crate::base::WallTime;

/// A control message's header (length, level, type), rounded up as the kernel does.
const HEADER: usize = align(size_of::<libc::cmsghdr>());

/// Room for every control message that [`crate::sys::socket`] asks for: stamp 32, traffic class 24, TOS 24, segment size
/// 24, address 40 (IPv6). Too little would lose what comes last (`MSG_CTRUNC`), so a little more is kept.
pub const RECEIVE_CONTROL_LEN: usize = 160;
/// Room for what a send carries: address 40 (IPv6), segment size 24.
pub const SEND_CONTROL_LEN: usize = 64;
/// Room for a socket address of either family (28 bytes), rounded up so that what follows stays aligned.
pub const ADDRESS_LEN: usize = 32;

/// Where the kernel writes, or reads, a peer's address.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(8))]
pub struct RawAddress([u8; ADDRESS_LEN]);

impl Default for RawAddress {
    fn default() -> Self {
        Self([0; ADDRESS_LEN])
    }
}

impl RawAddress {
    /// Writes `address` as the kernel wants it, and says how long it is.
    #[inline]
    pub fn set(&mut self, address: SocketAddr) -> libc::socklen_t {
        let b = &mut self.0;
        b[2..4].copy_from_slice(&address.port().to_be_bytes());
        match address {
            SocketAddr::V4(a) => {
                b[..2].copy_from_slice(&family(libc::AF_INET));
                b[4..8].copy_from_slice(&a.ip().octets());
                b[8..16].fill(0);
                16
            }
            SocketAddr::V6(a) => {
                b[..2].copy_from_slice(&family(libc::AF_INET6));
                b[4..8].copy_from_slice(&a.flowinfo().to_be_bytes());
                b[8..24].copy_from_slice(&a.ip().octets());
                b[24..28].copy_from_slice(&a.scope_id().to_ne_bytes());
                28
            }
        }
    }

    /// Its bytes.
    #[must_use]
    pub const fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// Its bytes, for the kernel to write.
    pub const fn as_mut_ptr(&mut self) -> *mut u8 {
        self.0.as_mut_ptr()
    }
}

/// The address that the kernel wrote into `bytes`. `None` when it wrote none, or another family.
#[must_use]
#[inline]
pub fn decode_address(bytes: &[u8]) -> Option<SocketAddr> {
    let port = u16::from_be_bytes(array(bytes, 2)?);
    match i32::from(u16::from_ne_bytes(array(bytes, 0)?)) {
        libc::AF_INET => {
            let ip = Ipv4Addr::from(array::<4>(bytes, 4)?);
            Some(SocketAddrV4::new(ip, port).into())
        }
        libc::AF_INET6 => {
            let flow = u32::from_be_bytes(array(bytes, 4)?);
            let ip = Ipv6Addr::from(array::<16>(bytes, 8)?);
            let scope = u32::from_ne_bytes(array(bytes, 24)?);
            Some(SocketAddrV6::new(ip, port, flow, scope).into())
        }
        _ => None,
    }
}

/// What the kernel said about a received message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReceivedControl {
    /// `SCM_TIMESTAMPNS`.
    pub stamp: Option<WallTime>,
    /// `IP_TOS` or `IPV6_TCLASS`; zero when none came.
    pub tos: u8,
    /// The destination address, from `IP_PKTINFO` or `IPV6_PKTINFO`.
    pub local: Option<IpAddr>,
    /// `UDP_GRO`: the segment size of a train, zero when it is a single datagram.
    pub segment: usize,
}

impl ReceivedControl {
    /// Reads the control messages in `bytes`, as long as the kernel said they are. Unknown ones are skipped; a broken one
    /// ends the reading.
    #[must_use]
    #[inline]
    pub fn parse(mut bytes: &[u8]) -> Self {
        let mut found = Self::default();
        while let Some(len) = array(bytes, 0).map(usize::from_ne_bytes)
            && let Some(level) = array(bytes, 8).map(i32::from_ne_bytes)
            && let Some(kind) = array(bytes, 12).map(i32::from_ne_bytes)
            && let Some(data) = bytes.get(HEADER..len)
        {
            found.take(level, kind, data);
            match bytes.get(align(len)..) {
                Some(rest) => bytes = rest,
                None => break,
            }
        }
        found
    }

    #[inline]
    fn take(&mut self, level: i32, kind: i32, data: &[u8]) {
        match (level, kind) {
            (libc::SOL_SOCKET, libc::SCM_TIMESTAMPNS) => self.stamp = stamp(data),
            // One byte for IPv4, an int for IPv6.
            (libc::IPPROTO_IP, libc::IP_TOS) => self.tos = data.first().copied().unwrap_or(0),
            (libc::IPPROTO_IPV6, libc::IPV6_TCLASS) => {
                let class = array(data, 0).map_or(0, i32::from_ne_bytes);
                self.tos = u8::try_from(class).unwrap_or(0);
            }
            // Interface, the address to answer from, the address in the header.
            (libc::IPPROTO_IP, libc::IP_PKTINFO) => {
                self.local = array::<4>(data, 8).map(|a| Ipv4Addr::from(a).into());
            }
            (libc::IPPROTO_IPV6, libc::IPV6_PKTINFO) => {
                self.local = array::<16>(data, 0).map(|a| Ipv6Addr::from(a).into());
            }
            (libc::SOL_UDP, libc::UDP_GRO) => {
                let size = array(data, 0).map_or(0, i32::from_ne_bytes);
                self.segment = usize::try_from(size).unwrap_or(0);
            }
            _ => {}
        }
    }
}

fn stamp(data: &[u8]) -> Option<WallTime> {
    let secs = u64::try_from(i64::from_ne_bytes(array(data, 0)?)).ok()?;
    let nanos = u64::try_from(i64::from_ne_bytes(array(data, 8)?)).ok()?;
    Some(WallTime::from_nanos(secs.saturating_mul(1_000_000_000).saturating_add(nanos)))
}

/// The control messages of one send.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(8))]
pub struct SendControl([u8; SEND_CONTROL_LEN]);

impl Default for SendControl {
    fn default() -> Self {
        Self([0; SEND_CONTROL_LEN])
    }
}

impl SendControl {
    /// Writes the source address and the segment size that are wanted, and says how long it is: zero for neither.
    #[inline]
    pub fn set(&mut self, from: Option<IpAddr>, segment: u16) -> usize {
        let mut at = 0;
        match from {
            None => {}
            Some(IpAddr::V4(ip)) => {
                // Interface 0 (the routing table decides), the source, and a field that sends ignore.
                let mut info = [0; 12];
                info[4..8].copy_from_slice(&ip.octets());
                at = self.put(at, libc::IPPROTO_IP, libc::IP_PKTINFO, &info);
            }
            Some(IpAddr::V6(ip)) => {
                let mut info = [0; 20];
                info[..16].copy_from_slice(&ip.octets());
                at = self.put(at, libc::IPPROTO_IPV6, libc::IPV6_PKTINFO, &info);
            }
        }
        if segment != 0 {
            at = self.put(at, libc::SOL_UDP, libc::UDP_SEGMENT, &segment.to_ne_bytes());
        }
        at
    }

    fn put(&mut self, at: usize, level: i32, kind: i32, data: &[u8]) -> usize {
        let len = HEADER + data.len();
        let slot = &mut self.0[at..at + align(len)];
        slot[..8].copy_from_slice(&len.to_ne_bytes());
        slot[8..12].copy_from_slice(&level.to_ne_bytes());
        slot[12..16].copy_from_slice(&kind.to_ne_bytes());
        slot[HEADER..len].copy_from_slice(data);
        slot[len..].fill(0);
        at + align(len)
    }

    /// Its bytes, for the kernel to read.
    pub const fn as_mut_ptr(&mut self) -> *mut u8 {
        self.0.as_mut_ptr()
    }

    /// Its bytes.
    #[must_use]
    pub const fn bytes(&self) -> &[u8] {
        &self.0
    }
}

/// A place for the control messages of one received message.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(8))]
pub struct ReceiveControl([u8; RECEIVE_CONTROL_LEN]);

impl Default for ReceiveControl {
    fn default() -> Self {
        Self([0; RECEIVE_CONTROL_LEN])
    }
}

impl ReceiveControl {
    /// Its bytes.
    #[must_use]
    pub const fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// Its bytes, for the kernel to write.
    pub const fn as_mut_ptr(&mut self) -> *mut u8 {
        self.0.as_mut_ptr()
    }
}

/// Rounded up as `CMSG_ALIGN` does.
const fn align(len: usize) -> usize {
    len.next_multiple_of(size_of::<usize>())
}

fn array<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..)?.first_chunk().copied()
}

fn family(number: i32) -> [u8; 2] {
    // Address families are small; the kernel keeps them in 16 bits.
    libc::sa_family_t::try_from(number).unwrap_or(0).to_ne_bytes()
}

#[cfg(target_pointer_width = "64")]
const _: () = assert!(HEADER == 16, "the offsets above are those of 64-bit Linux");

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn addresses_come_back_as_they_went() {
        for text in
            ["127.0.0.1:80", "255.255.255.255:65535", "[::1]:9", "[::ffff:10.0.0.1]:7", "0.0.0.0:0"]
        {
            let address: SocketAddr = text.parse().unwrap();
            let mut raw = RawAddress([0xff; ADDRESS_LEN]);
            let len = usize::try_from(raw.set(address)).unwrap();
            assert_eq!(decode_address(&raw.bytes()[..len]), Some(address), "{text}");
        }
        let scoped = SocketAddrV6::new("fe80::1".parse().unwrap(), 5, 0x12345, 3).into();
        let mut raw = RawAddress::default();
        raw.set(scoped);
        assert_eq!(decode_address(raw.bytes()), Some(scoped));
        assert_eq!(decode_address(RawAddress::default().bytes()), None);
    }

    #[test]
    fn what_a_send_carries_can_be_read_back() {
        let mut c = SendControl([0xff; SEND_CONTROL_LEN]);
        assert_eq!(c.set(None, 0), 0);

        let ip: IpAddr = "2001:db8::7".parse().unwrap();
        let len = c.set(Some(ip), 512);
        assert_eq!(len, 64);
        let got = ReceivedControl::parse(&c.bytes()[..len]);
        assert_eq!(got.local, Some(ip));
        // UDP_SEGMENT is read under another number than UDP_GRO: not taken for one.
        assert_eq!(got.segment, 0);

        let len = c.set(Some("127.0.0.2".parse().unwrap()), 0);
        assert_eq!(len, 32);
        assert_eq!(c.bytes()[20..24], [127, 0, 0, 2], "the source is the second word");
    }

    #[test]
    fn reads_every_kind_that_is_asked_for() {
        let mut bytes = Vec::new();
        let mut put = |level: i32, kind: i32, data: &[u8]| {
            bytes.extend((HEADER + data.len()).to_ne_bytes());
            bytes.extend(level.to_ne_bytes());
            bytes.extend(kind.to_ne_bytes());
            bytes.extend(data);
            bytes.resize(align(bytes.len()), 0);
        };
        let mut time = 3_i64.to_ne_bytes().to_vec();
        time.extend(7_i64.to_ne_bytes());
        put(libc::SOL_SOCKET, libc::SCM_TIMESTAMPNS, &time);
        put(libc::IPPROTO_IP, libc::IP_TOS, &[0xb8]);
        put(99, 99, b"unknown");
        put(libc::IPPROTO_IP, libc::IP_PKTINFO, &[1, 0, 0, 0, 1, 1, 1, 1, 127, 0, 0, 9]);
        put(libc::SOL_UDP, libc::UDP_GRO, &1_200_i32.to_ne_bytes());
        let got = ReceivedControl::parse(&bytes);
        assert_eq!(
            got,
            ReceivedControl {
                stamp: Some(WallTime::from_nanos(3_000_000_007)),
                tos: 0xb8,
                local: Some("127.0.0.9".parse().unwrap()),
                segment: 1_200,
            }
        );
        // Cut anywhere, the reading ends and what was whole is kept.
        for cut in 0..bytes.len() {
            let part = ReceivedControl::parse(&bytes[..cut]);
            assert_eq!(part.stamp.is_some(), cut >= 32, "cut at {cut}");
        }
    }

    proptest! {
        #[test]
        fn reading_is_total(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = ReceivedControl::parse(&bytes);
            let _ = decode_address(&bytes);
        }

        #[test]
        fn reading_ends_on_any_length_field(len in any::<usize>(), tail in 0_usize..64) {
            let mut bytes = len.to_ne_bytes().to_vec();
            bytes.resize(8 + tail, 0);
            let _ = ReceivedControl::parse(&bytes);
        }
    }
}
