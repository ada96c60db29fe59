//! What a received datagram says about which request it answers, and by what a request is found again.
//!
//! Knows no requests: it reads bytes, the ledger decides.

use super::dns;
use super::ledger::Prefer;
use super::plan::{Framing, Matching, Plan};
use crate::kernel::crc32c::{ANSWER_LEN, checksum};
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
    /// The answer to the request with that key.
    Key(u32),
    /// As `Key`, with the answer's code.
    Coded { key: u32, rcode: u8 },
    /// Request `id` is refused, for the drop reason of that number.
    Refusal { id: u64, reason: u8 },
    /// Nothing that a request of ours could have caused.
    Unknown,
}

/// How requests and answers are paired: what [`Matching`] comes to in one plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rule {
    /// Framed answers carry the id; others are told by their length.
    Auto(Framing),
    Header,
    /// The answer is the request, in which our id stands.
    Echo(Framing),
    /// The answer is the request, which is not ours: it is found by its checksum.
    Content,
    /// As `Content`, or the checksum itself.
    AutoContent,
    /// The answer is the request's checksum.
    Checksum,
    /// Our whole id stands at that offset.
    Id(usize),
    /// So many bytes at that offset are the same in request and answer.
    IdKey {
        offset: usize,
        width: usize,
    },
    Dns,
    /// There are no answers.
    Nothing,
}

impl Rule {
    pub(super) fn of(plan: &Plan) -> Self {
        // Payloads that we do not make carry no id of ours.
        let foreign = plan.keeps_payloads();
        match plan.matching {
            Matching::Auto if foreign => Self::AutoContent,
            Matching::Auto => Self::Auto(plan.framing),
            Matching::Header => Self::Header,
            Matching::Echo if foreign => Self::Content,
            Matching::Echo => Self::Echo(plan.framing),
            Matching::Crc32c => Self::Checksum,
            Matching::Id { offset, width } => {
                let (offset, width) = (usize::from(offset), usize::from(width));
                if width == 8 && !foreign {
                    Self::Id(offset)
                } else {
                    Self::IdKey { offset, width }
                }
            }
            Matching::Dns => Self::Dns,
            Matching::Nothing => Self::Nothing,
        }
    }

    /// Whether requests are found by key.
    pub(super) const fn by_key(self) -> bool {
        !matches!(self, Self::Header | Self::Echo(_) | Self::Id(_) | Self::Nothing)
    }

    /// Which of several requests with one key an answer belongs to.
    pub(super) const fn prefer(self) -> Prefer {
        match self {
            Self::IdKey { .. } | Self::Dns => Prefer::Newest,
            _ => Prefer::Oldest,
        }
    }

    /// What a request is found by; zero where that is not its key.
    #[inline]
    pub(super) fn key_of_request(self, payload: &[u8]) -> u32 {
        match self {
            Self::Header | Self::Echo(_) | Self::Id(_) | Self::Nothing => 0,
            Self::Auto(_) | Self::Content | Self::AutoContent | Self::Checksum => checksum(payload),
            Self::IdKey { offset, width } => id_key(payload, offset, width).unwrap_or(0),
            Self::Dns => dns::key(payload).unwrap_or(0),
        }
    }

    /// The id of an answer that says nothing else, where that is told at a glance; [`Rule::read`] reads the others.
    #[inline]
    pub(super) fn plain_id(self, bytes: &[u8]) -> Option<u64> {
        match self {
            Self::Echo(Framing::Raw) => bytes.first_chunk().map(|id| u64::from_be_bytes(*id)),
            _ => match self.read(bytes) {
                Sign::Answer { id, late: false } => Some(id),
                _ => None,
            },
        }
    }

    /// The id of the first datagram of a train, each of `segment` bytes, and to how many requests from that one on the first
    /// datagrams are plain answers in their order. What is shorter at the end is left out.
    #[inline]
    pub(super) fn plain_run(self, train: &[u8], segment: usize) -> Option<(u64, usize)> {
        let mut datagrams = train.chunks_exact(segment);
        let first = self.plain_id(datagrams.next()?)?;
        let mut next = first;
        let mut follows = |id: Option<u64>| {
            next = next.wrapping_add(1);
            id == Some(next)
        };
        let more = match self {
            // By itself, so that it is asked once and not of each.
            Self::Echo(Framing::Raw) => datagrams
                .take_while(|d| follows(d.first_chunk().map(|id| u64::from_be_bytes(*id))))
                .count(),
            _ => datagrams.take_while(|d| follows(self.plain_id(d))).count(),
        };
        Some((first, 1 + more))
    }

    /// Reads an answer.
    #[inline]
    pub(super) fn read(self, bytes: &[u8]) -> Sign {
        match self {
            Self::Header => by_header(bytes),
            Self::Echo(framing) => by_echo(framing, bytes),
            Self::Checksum => by_checksum(bytes),
            Self::Content => Sign::Key(checksum(bytes)),
            // No request of ours is as short as a checksum, so the length tells.
            Self::Auto(_) | Self::AutoContent if bytes.len() == ANSWER_LEN => by_checksum(bytes),
            Self::AutoContent => Sign::Key(checksum(bytes)),
            Self::Auto(Framing::Raw) => by_echo(Framing::Raw, bytes),
            Self::Auto(framing) => match by_header(bytes) {
                Sign::Unknown => by_echo(framing, bytes),
                sign => sign,
            },
            Self::Id(offset) => bytes
                .get(offset..)
                .and_then(|b| b.first_chunk())
                .map_or(Sign::Unknown, |id| answer(u64::from_be_bytes(*id))),
            Self::IdKey { offset, width } => {
                id_key(bytes, offset, width).map_or(Sign::Unknown, Sign::Key)
            }
            Self::Dns => match dns::read_answer(bytes) {
                Some(answer) => Sign::Coded { key: answer.key, rcode: answer.rcode },
                None => Sign::Unknown,
            },
            Self::Nothing => Sign::Unknown,
        }
    }
}

const fn answer(id: u64) -> Sign {
    Sign::Answer { id, late: false }
}

/// The bytes as a number; eight of them are folded.
#[inline]
fn id_key(bytes: &[u8], offset: usize, width: usize) -> Option<u32> {
    let id = bytes.get(offset..offset + width)?;
    let id = id.iter().fold(0_u64, |id, byte| id << 8 | u64::from(*byte));
    let folded = id ^ id >> 32;
    u32::try_from(folded & u64::from(u32::MAX)).ok()
}

#[inline]
fn by_header(bytes: &[u8]) -> Sign {
    let Ok((header, kind)) = Header::parse(bytes) else { return Sign::Unknown };
    let id = header.request.get();
    match kind {
        Kind::Answer => Sign::Answer { id, late: header.status == STATUS_LATE },
        Kind::Refusal => Sign::Refusal { id, reason: header.status },
        Kind::Request | Kind::Ping | Kind::Pong => Sign::Unknown,
    }
}

#[inline]
fn by_echo(framing: Framing, bytes: &[u8]) -> Sign {
    let id = match framing {
        Framing::Raw => bytes.first_chunk().map(|id| u64::from_be_bytes(*id)),
        Framing::Framed => match Header::parse(bytes) {
            Ok((header, Kind::Request)) => Some(header.request.get()),
            _ => None,
        },
    };
    id.map_or(Sign::Unknown, answer)
}

fn by_checksum(bytes: &[u8]) -> Sign {
    match <[u8; ANSWER_LEN]>::try_from(bytes) {
        Ok(sum) => Sign::Key(u32::from_be_bytes(sum)),
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
            [Rule::Header, Rule::Echo(framing), Rule::Checksum, Rule::Auto(framing)]
                .map(|rule| rule.read(bytes))
        };
        let (none, framed, raw) = (Sign::Unknown, Framing::Framed, Framing::Raw);
        assert_eq!(read_all(framed, &turned(Kind::Answer, 0)), [answer, none, none, answer]);
        let late = Sign::Answer { id: 7, late: true };
        assert_eq!(read_all(framed, &turned(Kind::Answer, 1)), [late, none, none, late]);
        let refusal = Sign::Refusal { id: 7, reason: 8 };
        assert_eq!(read_all(framed, &turned(Kind::Refusal, 8)), [refusal, none, none, refusal]);
        assert_eq!(read_all(framed, &request), [none, answer, none, answer]);
        assert_eq!(read_all(framed, &turned(Kind::Pong, 0)), [none; 4]);
        let sum = Sign::Key(0x0102_0304);
        assert_eq!(read_all(framed, &[1, 2, 3, 4]), [none, none, sum, sum]);
        assert_eq!(read_all(raw, &7_u64.to_be_bytes()), [none, answer, none, answer]);
        assert_eq!(read_all(raw, &[]), [none; 4]);
    }

    #[test]
    fn ids_are_read_where_they_stand_and_nowhere_else() {
        let bytes = [9, 9, 0, 0, 0, 0, 0, 0, 1, 2, 9];
        assert_eq!(Rule::Id(2).read(&bytes), Sign::Answer { id: 0x0102, late: false });
        assert_eq!(Rule::Id(4).read(&bytes), Sign::Unknown);
        let rule = Rule::IdKey { offset: 8, width: 2 };
        assert_eq!(rule.read(&bytes), Sign::Key(0x0102));
        assert_eq!(rule.key_of_request(&bytes), 0x0102);
        assert_eq!(Rule::IdKey { offset: 10, width: 2 }.read(&bytes), Sign::Unknown);
        let whole = Rule::IdKey { offset: 0, width: 8 };
        let swapped = [0, 0, 0, 0, 9, 9, 0, 0];
        assert_ne!(whole.read(&[9, 9, 0, 0, 0, 0, 0, 1]), whole.read(&swapped));
    }

    #[test]
    fn foreign_payloads_are_known_by_their_content() {
        for rule in [Rule::Content, Rule::AutoContent] {
            let key = rule.key_of_request(b"a captured payload");
            assert_eq!(rule.read(b"a captured payload"), Sign::Key(key));
        }
        let key = Rule::AutoContent.key_of_request(b"a captured payload");
        assert_eq!(Rule::AutoContent.read(&key.to_be_bytes()), Sign::Key(key));
    }
}
