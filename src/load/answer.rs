//! What a received datagram says about which request it answers.
//!
//! Knows no requests: it reads bytes, the ledger decides.

use super::plan::{Framing, Matching};
use crate::kernel::crc32c::ANSWER_LEN;
use crate::packet::framed::{Header, Kind};

/// The status byte of a framed answer that was late by the service's own clock.
const STATUS_LATE: u8 = 1;

/// What was read off a datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sign {
    /// The answer to request `id`.
    Answer {
        id: u64,
        /// The service itself says that it was late.
        late: bool,
    },
    /// The answer to the request with that checksum.
    Checksum(u32),
    /// Request `id` is refused, for the drop reason of that number.
    Refusal { id: u64, reason: u8 },
    /// Nothing that a request of ours could have caused.
    Unknown,
}

/// Reads a datagram by the rules of a plan.
#[inline]
pub(super) fn read(framing: Framing, matching: Matching, bytes: &[u8]) -> Sign {
    match matching {
        Matching::Header => by_header(bytes),
        Matching::Echo => by_echo(framing, bytes),
        Matching::Crc32c => by_checksum(bytes),
        // No request is as short as a checksum, so the length tells.
        Matching::Auto if bytes.len() == ANSWER_LEN => by_checksum(bytes),
        Matching::Auto if framing == Framing::Raw => by_echo(framing, bytes),
        Matching::Auto => match by_header(bytes) {
            Sign::Unknown => by_echo(framing, bytes),
            sign => sign,
        },
    }
}

fn by_header(bytes: &[u8]) -> Sign {
    let Ok((header, kind)) = Header::parse(bytes) else { return Sign::Unknown };
    let id = header.request.get();
    match kind {
        Kind::Answer => Sign::Answer { id, late: header.status == STATUS_LATE },
        Kind::Refusal => Sign::Refusal { id, reason: header.status },
        Kind::Request | Kind::Ping | Kind::Pong => Sign::Unknown,
    }
}

fn by_echo(framing: Framing, bytes: &[u8]) -> Sign {
    let id = match framing {
        Framing::Raw => bytes.first_chunk().map(|id| u64::from_be_bytes(*id)),
        Framing::Framed => match Header::parse(bytes) {
            Ok((header, Kind::Request)) => Some(header.request.get()),
            _ => None,
        },
    };
    id.map_or(Sign::Unknown, |id| Sign::Answer { id, late: false })
}

fn by_checksum(bytes: &[u8]) -> Sign {
    match <[u8; ANSWER_LEN]>::try_from(bytes) {
        Ok(sum) => Sign::Checksum(u32::from_be_bytes(sum)),
        Err(_) => Sign::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packet::framed::turn_into;
    use zerocopy::IntoBytes as _;

    #[test]
    fn each_form_is_read_by_its_own_rule_and_auto_reads_them_all() {
        let request = Header::request(7).as_bytes().to_vec();
        let turned = |kind, status| {
            let mut bytes = request.clone();
            turn_into(&mut bytes, kind, status);
            bytes
        };
        let answer = Sign::Answer { id: 7, late: false };
        let read_all = |framing, bytes: &[u8]| {
            [Matching::Header, Matching::Echo, Matching::Crc32c, Matching::Auto]
                .map(|m| read(framing, m, bytes))
        };
        let (none, framed, raw) = (Sign::Unknown, Framing::Framed, Framing::Raw);
        assert_eq!(read_all(framed, &turned(Kind::Answer, 0)), [answer, none, none, answer]);
        let late = Sign::Answer { id: 7, late: true };
        assert_eq!(read_all(framed, &turned(Kind::Answer, 1)), [late, none, none, late]);
        let refusal = Sign::Refusal { id: 7, reason: 8 };
        assert_eq!(read_all(framed, &turned(Kind::Refusal, 8)), [refusal, none, none, refusal]);
        assert_eq!(read_all(framed, &request), [none, answer, none, answer]);
        assert_eq!(read_all(framed, &turned(Kind::Pong, 0)), [none; 4]);
        let sum = Sign::Checksum(0x0102_0304);
        assert_eq!(read_all(framed, &[1, 2, 3, 4]), [none, none, sum, sum]);
        assert_eq!(read_all(raw, &7_u64.to_be_bytes()), [none, answer, none, answer]);
        assert_eq!(read_all(raw, &[]), [none; 4]);
    }
}
