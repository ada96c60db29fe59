//! DNS questions (RFC 1035, section 4): what is asked, as bytes, and what an answer says.
//!
//! Knows no sockets, and of an answer only its header and its question: enough to pair and to count it.

use std::fmt;

/// Length of the header.
const HEADER: usize = 12;
/// Recursion is desired, everything else is zero: an ordinary query.
const FLAGS: [u8; 2] = [0x01, 0x00];
/// The longest name, encoded (RFC 1035, section 2.3.4).
const NAME_MAX: usize = 255;
const LABEL_MAX: usize = 63;
/// The label that makes a generated name: `q` and eight hexadecimal digits.
const GENERATED_LABEL: usize = 9;
/// The most questions that are kept: their memory is taken before the run.
pub(super) const QUESTIONS_MAX: usize = 1 << 24;
/// The four lower bits of the flags; extended codes are not looked at.
pub(super) const RCODES: usize = 16;

/// The type of a question by its usual name; others are `TYPE` and a number.
const TYPES: [(&str, u16); 14] = [
    ("A", 1),
    ("NS", 2),
    ("CNAME", 5),
    ("SOA", 6),
    ("PTR", 12),
    ("MX", 15),
    ("TXT", 16),
    ("AAAA", 28),
    ("SRV", 33),
    ("NAPTR", 35),
    ("DS", 43),
    ("DNSKEY", 48),
    ("HTTPS", 65),
    ("ANY", 255),
];

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueryType(u16);

impl QueryType {
    /// An IPv4 address.
    pub const A: Self = Self(1);

    /// By its name, in any case, or `TYPE65`.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        let upper = name.to_ascii_uppercase();
        if let Some((_, number)) = TYPES.iter().find(|(n, _)| *n == upper) {
            return Some(Self(*number));
        }
        upper.strip_prefix("TYPE")?.parse().ok().map(Self)
    }
}

/// The name of an answer's code, as in the registry of the IANA.
#[must_use]
pub(super) const fn rcode_label(code: usize) -> &'static str {
    match code {
        0 => "NOERROR",
        1 => "FORMERR",
        2 => "SERVFAIL",
        3 => "NXDOMAIN",
        4 => "NOTIMP",
        5 => "REFUSED",
        6 => "YXDOMAIN",
        7 => "YXRRSET",
        8 => "NXRRSET",
        9 => "NOTAUTH",
        10 => "NOTZONE",
        _ => "other",
    }
}

/// A line of a question file that cannot be asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QuestionError {
    /// Its number, from 1; 0 when the fault is not one of a line.
    pub line: usize,
    /// What is wrong.
    pub why: String,
}

impl fmt::Display for QuestionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => f.write_str(&self.why),
            line => write!(f, "line {line}: {}", self.why),
        }
    }
}

impl std::error::Error for QuestionError {}

/// What a run asks, one question after the other.
#[derive(Clone, Debug, PartialEq)]
pub enum Questions {
    /// From a list, which begins anew at its end.
    Listed {
        /// Encoded questions, one behind the other.
        bytes: Vec<u8>,
        /// Where each begins, and where the last ends.
        bounds: Vec<usize>,
    },
    /// `q00000000.zone`, `q00000001.zone` and so on: no name is asked twice.
    Generated {
        /// The encoded zone, type and class.
        tail: Vec<u8>,
    },
}

impl Questions {
    /// Reads a list: a name a line and, after a blank, a type (A where there is none). `#` and `;` begin comments. This is
    /// the format of dnsperf.
    ///
    /// # Errors
    /// The first line that cannot be asked, or that there is none.
    pub fn read(text: &str) -> Result<Self, QuestionError> {
        let (mut bytes, mut bounds) = (Vec::new(), vec![0]);
        for (number, line) in (1..).zip(text.lines()) {
            let at = |why| QuestionError { line: number, why };
            let line = line.split(['#', ';']).next().unwrap_or("").trim();
            let mut words = line.split_whitespace();
            let Some(name) = words.next() else { continue };
            let kind = match words.next() {
                None => QueryType::A,
                Some(word) => QueryType::from_name(word)
                    .ok_or_else(|| at(format!("`{word}` is no type: A, AAAA, MX, TYPE65 are")))?,
            };
            bytes.extend(encode(name, kind).map_err(at)?);
            bounds.push(bytes.len());
            if bounds.len() > QUESTIONS_MAX {
                return Err(at(format!("more than {QUESTIONS_MAX} questions")));
            }
        }
        if bounds.len() == 1 {
            return Err(QuestionError { line: 0, why: "there is no question in it".to_owned() });
        }
        Ok(Self::Listed { bytes, bounds })
    }

    /// Names of their own below `zone`.
    ///
    /// # Errors
    /// When no name fits below it.
    pub fn generated(zone: &str, kind: QueryType) -> Result<Self, QuestionError> {
        let fault = |why| QuestionError { line: 0, why };
        let tail = encode(zone, kind).map_err(fault)?;
        if tail.len() - 4 + GENERATED_LABEL + 1 > NAME_MAX {
            return Err(fault(format!("no name below `{zone}` has less than {NAME_MAX} bytes")));
        }
        Ok(Self::Generated { tail })
    }

    /// The length of the `n`-th query.
    #[must_use]
    pub fn size(&self, n: u64) -> usize {
        HEADER
            + match self {
                Self::Listed { bounds, .. } => {
                    let n = place(n, bounds);
                    bounds[n + 1] - bounds[n]
                }
                Self::Generated { tail } => 1 + GENERATED_LABEL + tail.len(),
            }
    }

    /// The length of the longest query.
    #[must_use]
    pub fn size_max(&self) -> usize {
        match self {
            Self::Listed { bounds, .. } => {
                let longest = bounds.windows(2).map(|w| w[1] - w[0]).max();
                HEADER + longest.unwrap_or(0)
            }
            Self::Generated { .. } => self.size(0),
        }
    }

    /// Writes the `n`-th query, with `id`, into `into`, which has its size.
    pub(super) fn write(&self, n: u64, id: u16, into: &mut [u8]) {
        into[..2].copy_from_slice(&id.to_be_bytes());
        into[2..4].copy_from_slice(&FLAGS);
        into[4..HEADER].copy_from_slice(&[0, 1, 0, 0, 0, 0, 0, 0]);
        let question = &mut into[HEADER..];
        match self {
            Self::Listed { bytes, bounds } => {
                let n = place(n, bounds);
                question.copy_from_slice(&bytes[bounds[n]..bounds[n + 1]]);
            }
            Self::Generated { tail } => {
                question[0] = 9;
                question[1] = b'q';
                for (i, digit) in question[2..10].iter_mut().enumerate() {
                    let nibble = n >> (28 - 4 * i) & 15;
                    *digit = b"0123456789abcdef"[usize::try_from(nibble).unwrap_or(0)];
                }
                question[10..].copy_from_slice(tail);
            }
        }
    }
}

fn place(n: u64, bounds: &[usize]) -> usize {
    usize::try_from(n % (bounds.len() as u64 - 1)).unwrap_or(0)
}

/// A name, a type and the class IN.
fn encode(name: &str, kind: QueryType) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::with_capacity(name.len() + 6);
    let trimmed = name.strip_suffix('.').unwrap_or(name);
    for label in trimmed.split('.').filter(|_| !trimmed.is_empty()) {
        if label.is_empty() || label.len() > LABEL_MAX {
            return Err(format!("`{name}` has a label that is not 1 to {LABEL_MAX} bytes long"));
        }
        bytes.push(u8::try_from(label.len()).unwrap_or(0));
        bytes.extend_from_slice(label.as_bytes());
    }
    bytes.push(0);
    if bytes.len() > NAME_MAX {
        return Err(format!("`{name}` is longer than {NAME_MAX} bytes"));
    }
    bytes.extend_from_slice(&kind.0.to_be_bytes());
    bytes.extend_from_slice(&[0, 1]);
    Ok(bytes)
}

/// What an answer says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) key: u32,
    /// The four lower bits of its code.
    pub(super) rcode: u8,
}

/// Reads an answer. `None` when it is none, or has no question to be recognised by.
#[inline]
pub(super) fn read_answer(bytes: &[u8]) -> Option<Answer> {
    let is_answer = bytes.get(2)? & 0x80 != 0;
    let key = key(bytes)?;
    is_answer.then_some(Answer { key, rcode: bytes[3] & 0x0f })
}

/// What a query and its answer have in common, as a number: id and first question, in any case (some servers and
/// resolvers change the case of names). FNV-1a; pairing also looks at the socket.
#[inline]
pub(super) fn key(message: &[u8]) -> Option<u32> {
    const PRIME: u32 = 0x0100_0193;
    let mut hash = 0x811c_9dc5_u32;
    let mut mix = |byte: u8| hash = (hash ^ u32::from(byte)).wrapping_mul(PRIME);
    mix(*message.first()?);
    mix(*message.get(1)?);
    if message.get(4..6)? == [0, 0] {
        return None;
    }
    let mut at = HEADER;
    loop {
        let len = usize::from(*message.get(at)?);
        // The first name of a message cannot refer to an earlier one.
        if len > LABEL_MAX {
            return None;
        }
        let label = message.get(at..=at + len)?;
        label.iter().for_each(|byte| mix(byte.to_ascii_lowercase()));
        at += len + 1;
        if len == 0 {
            break;
        }
    }
    message.get(at..at + 4)?.iter().for_each(|byte| mix(*byte));
    Some(hash)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn query(questions: &Questions, n: u64, id: u16) -> Vec<u8> {
        let mut bytes = vec![0xff; questions.size(n)];
        questions.write(n, id, &mut bytes);
        bytes
    }

    #[test]
    fn a_query_is_what_the_standard_says() {
        let listed =
            Questions::read("# comment\n\nwww.example.com. AAAA\nexample.org ; and\n").unwrap();
        let first = query(&listed, 0, 0x1234);
        let head = [0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
        assert_eq!(first, [&head[..], b"\x03www\x07example\x03com\0\0\x1c\0\x01"].concat());
        let second = query(&listed, 1, 7);
        assert!(second.ends_with(b"\x07example\x03org\0\0\x01\0\x01"));
        assert_eq!(query(&listed, 2, 0x1234), first, "the list begins anew");
        assert_eq!(listed.size_max(), first.len());
        let made = Questions::generated("test", QueryType::A).unwrap();
        assert!(query(&made, 0xab, 0).ends_with(b"\x09q000000ab\x04test\0\0\x01\0\x01"));
        let root = Questions::read(". NS").unwrap();
        assert!(query(&root, 0, 0).ends_with(&[0, 0, 2, 0, 1]));
    }

    #[test]
    fn faults_name_the_line() {
        let long = "a".repeat(64);
        for (text, part) in [
            ("", "no question"),
            ("# nothing", "no question"),
            ("a.b\nx NOSUCH", "line 2: `NOSUCH` is no type"),
            ("a..b", "line 1: `a..b` has a label"),
            (long.as_str(), "not 1 to 63"),
        ] {
            let fault = Questions::read(text).unwrap_err().to_string();
            assert!(fault.contains(part), "{text}: {fault}");
        }
        let zone = vec!["a".repeat(62); 4].join(".");
        assert!(Questions::generated(&zone, QueryType::A).is_err());
        assert_eq!(QueryType::from_name("type257"), Some(QueryType(257)));
    }

    #[test]
    fn an_answer_is_paired_by_id_and_question_in_any_case() {
        let questions = Questions::read("www.Example.com").unwrap();
        let asked = query(&questions, 0, 99);
        let mut answer = asked.clone();
        answer[2..4].copy_from_slice(&[0x81, 0x83]);
        answer[16..].make_ascii_uppercase();
        answer.extend_from_slice(b"and records");
        let read = read_answer(&answer).unwrap();
        assert_eq!((Some(read.key), read.rcode), (key(&asked), 3));
        assert_eq!(rcode_label(3), "NXDOMAIN");
        assert_eq!(read_answer(&asked), None, "a query is no answer");
        for other in [query(&questions, 0, 98), query(&Questions::read("x").unwrap(), 0, 99)] {
            assert_ne!(key(&other), key(&asked));
        }
        for len in 0..asked.len() {
            assert_eq!(key(&asked[..len]), None, "{len} bytes");
        }
        // A pointer where the first name must stand.
        let mut loops = answer;
        loops[HEADER] = 0xc0;
        assert_eq!(read_answer(&loops), None);
    }
}
