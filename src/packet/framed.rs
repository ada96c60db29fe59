//! The framed header: the first 32 bytes of a UDP payload on an ingress with `framing = "framed"`.

use zerocopy::byteorder::network_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// The header's length.
pub const LEN: usize = 32;
/// The first four bytes.
pub const MAGIC: [u8; 4] = *b"PNCT";
/// The only version there is.
pub const VERSION: u8 = 1;
/// In a request's `status`: the config decides the priority.
pub const PRIORITY_BY_CONFIG: u8 = 255;
/// Flag bit 0: a refusal is wanted.
pub const FLAG_WANTS_REFUSAL: u8 = 1;

/// What a framed datagram is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// Work to be done.
    Request = 0,
    /// Its result.
    Answer = 1,
    /// It will not be done.
    Refusal = 2,
    /// Are you there?
    Ping = 3,
    /// I am.
    Pong = 4,
}

/// The header as it lies on the wire, network byte order.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct Header {
    /// `PNCT`.
    pub magic: [u8; 4],
    /// 1.
    pub version: u8,
    /// A [`Kind`].
    pub kind: u8,
    /// Bit 0: a refusal is wanted.
    pub flags: u8,
    /// Request: priority or 255. Answer: 0 on time, 1 late. Refusal: the drop reason's number.
    pub status: u8,
    /// Kernel number; 0 is the ingress's own.
    pub kernel: U16,
    /// 0.
    pub reserved: U16,
    /// Flow id.
    pub flow: U32,
    /// Request id, returned unchanged.
    pub request: U64,
    /// Relative budget in microseconds; 0 is by config.
    pub budget_us: U32,
    /// Client stamp, returned unchanged.
    pub stamp: U32,
}

/// Why the first bytes of a datagram are no header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    /// Fewer than 32 bytes.
    #[error("shorter than the 32-byte header")]
    Short,
    /// Not `PNCT`.
    #[error("wrong magic")]
    Magic,
    /// Not version 1.
    #[error("unknown version {0}")]
    Version(u8),
    /// Not 0 to 4.
    #[error("unknown type {0}")]
    Kind(u8),
    /// The reserved field is not zero.
    #[error("reserved field is not zero")]
    Reserved,
}

impl Header {
    /// Reads a header from the start of a datagram.
    ///
    /// # Errors
    /// [`ParseError`] when these bytes are not a header of this version.
    #[inline]
    pub fn parse(datagram: &[u8]) -> Result<(&Self, Kind), ParseError> {
        let Ok((header, _)) = Self::ref_from_prefix(datagram) else {
            return Err(ParseError::Short);
        };
        if header.magic != MAGIC {
            return Err(ParseError::Magic);
        }
        if header.version != VERSION {
            return Err(ParseError::Version(header.version));
        }
        if header.reserved.get() != 0 {
            return Err(ParseError::Reserved);
        }
        let kind = match header.kind {
            0 => Kind::Request,
            1 => Kind::Answer,
            2 => Kind::Refusal,
            3 => Kind::Ping,
            4 => Kind::Pong,
            other => return Err(ParseError::Kind(other)),
        };
        Ok((header, kind))
    }

    /// A request with everything left to the config.
    #[must_use]
    pub fn request(request: u64) -> Self {
        Self {
            magic: MAGIC,
            version: VERSION,
            kind: Kind::Request as u8,
            flags: 0,
            status: PRIORITY_BY_CONFIG,
            kernel: U16::ZERO,
            reserved: U16::ZERO,
            flow: U32::ZERO,
            request: U64::new(request),
            budget_us: U32::ZERO,
            stamp: U32::ZERO,
        }
    }

    /// Whether the sender asked to be told of a drop.
    #[must_use]
    pub const fn wants_refusal(&self) -> bool {
        self.flags & FLAG_WANTS_REFUSAL != 0
    }
}

/// Turns the request header at the start of `datagram` into the header of its answer, in place.
/// What identifies the request (id, flow, stamp, kernel) stays as it came.
#[inline]
pub fn turn_into(datagram: &mut [u8], kind: Kind, status: u8) {
    if datagram.len() >= LEN {
        datagram[5] = kind as u8;
        datagram[6] = 0;
        datagram[7] = status;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn golden_bytes() {
        let mut h = Header::request(0x0102_0304_0506_0708);
        h.flags = FLAG_WANTS_REFUSAL;
        h.status = 2;
        h.kernel = U16::new(9);
        h.flow = U32::new(0xaabb_ccdd);
        h.budget_us = U32::new(1_000);
        h.stamp = U32::new(7);
        let want = [
            b'P', b'N', b'C', b'T', 1, 0, 1, 2, 0, 9, 0, 0, 0xaa, 0xbb, 0xcc, 0xdd, 1, 2, 3, 4, 5,
            6, 7, 8, 0, 0, 0x03, 0xe8, 0, 0, 0, 7,
        ];
        assert_eq!(h.as_bytes(), want);
        let (parsed, kind) = Header::parse(&want).unwrap();
        assert_eq!(
            (kind, parsed.request.get(), parsed.wants_refusal()),
            (Kind::Request, 0x0102_0304_0506_0708, true)
        );
    }

    #[test]
    fn each_fault_has_its_name() {
        let good = Header::request(1);
        let with = |at: usize, b: u8| {
            let mut bytes = good.as_bytes().to_vec();
            bytes[at] = b;
            Header::parse(&bytes).map(|(_, k)| k)
        };
        assert_eq!(with(0, b'X'), Err(ParseError::Magic));
        assert_eq!(with(4, 2), Err(ParseError::Version(2)));
        assert_eq!(with(5, 5), Err(ParseError::Kind(5)));
        assert_eq!(with(11, 1), Err(ParseError::Reserved));
        assert_eq!(Header::parse(&good.as_bytes()[..31]).map(|(_, k)| k), Err(ParseError::Short));
    }

    proptest! {
        #[test]
        fn parsing_is_total(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            let _ = Header::parse(&bytes);
        }
    }
}
