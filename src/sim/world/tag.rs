//! What a simulated datagram says of itself: enough to judge its run and its answer without a table of open requests.
//!
//! Knows no driver. A checksum over it tells whether an answer's bytes are still the request's.

use crate::base::{Instant, Nanos};
use crate::packet::framed::{self, Header};

/// The length of a tag: the shortest payload there is in a world.
pub const LEN: usize = 40;

/// The tag of one datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tag {
    /// What its kernel takes: the first four bytes, as a `spin` kernel of kind `payload` reads them.
    pub service: Nanos,
    /// Its stream's place in the list.
    pub stream: u16,
    /// Its flow within that stream, on that worker.
    pub flow: u32,
    /// Its place in the order in which the flow's datagrams reached the socket, from 1.
    pub seq: u64,
    /// When it reached the socket.
    pub arrived: Instant,
    /// Until when its result must have left; [`Instant::MAX`]: its class enforces none.
    pub deadline: Instant,
}

/// Mixes a word into a running hash. The multiplier is 2^64 divided by the golden ratio (Knuth, TAOCP 3, 6.4).
#[inline]
pub const fn mix(hash: u64, word: u64) -> u64 {
    (hash.rotate_left(29) ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

impl Tag {
    fn check(&self) -> u32 {
        let words = [
            self.service.get(),
            u64::from(self.stream) << 32 | u64::from(self.flow),
            self.seq,
            self.arrived.as_nanos(),
            self.deadline.as_nanos(),
        ];
        let hash = words.into_iter().fold(1, mix);
        u32::try_from(hash >> 32).unwrap_or(0)
    }

    /// Writes it to the start of `payload`.
    ///
    /// # Panics
    /// When `payload` is shorter than [`LEN`].
    pub fn write(&self, payload: &mut [u8]) {
        let service = u32::try_from(self.service.get()).unwrap_or(u32::MAX);
        payload[0..4].copy_from_slice(&service.to_be_bytes());
        payload[4..6].copy_from_slice(&self.stream.to_be_bytes());
        payload[6..10].copy_from_slice(&self.flow.to_be_bytes());
        payload[10..16].copy_from_slice(&self.seq.to_be_bytes()[2..]);
        payload[16..24].copy_from_slice(&self.arrived.as_nanos().to_be_bytes());
        payload[24..32].copy_from_slice(&self.deadline.as_nanos().to_be_bytes());
        payload[32..36].copy_from_slice(&self.check().to_be_bytes());
        payload[36..40].copy_from_slice(b"sim\0");
    }

    /// Reads it from the start of `payload`; `None` where there is none, or a damaged one.
    #[must_use]
    #[inline]
    pub fn read(payload: &[u8]) -> Option<Self> {
        let bytes: &[u8; LEN] = payload.first_chunk()?;
        let word = |at: usize| {
            let mut all = [0; 8];
            all.copy_from_slice(&bytes[at..at + 8]);
            u64::from_be_bytes(all)
        };
        let tag = Self {
            service: Nanos::new(word(0) >> 32),
            stream: u16::from_be_bytes([bytes[4], bytes[5]]),
            flow: u32::from_be_bytes([bytes[6], bytes[7], bytes[8], bytes[9]]),
            seq: word(8) & 0xffff_ffff_ffff,
            arrived: Instant::from_nanos(word(16)),
            deadline: Instant::from_nanos(word(24)),
        };
        let check = word(32) >> 32;
        (check == u64::from(tag.check())).then_some(tag)
    }

    /// Reads the tag behind a framed header, or at the start where there is none.
    #[must_use]
    pub fn of_datagram(datagram: &[u8]) -> Option<Self> {
        match Header::parse(datagram) {
            Ok(_) => Self::read(datagram.get(framed::LEN..)?),
            Err(_) => Self::read(datagram),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_comes_back_and_no_changed_byte_goes_unseen() {
        let tag = Tag {
            service: Nanos::from_micros(20),
            stream: 3,
            flow: 77_777,
            seq: 1 << 40,
            arrived: Instant::from_nanos(123_456_789),
            deadline: Instant::MAX,
        };
        let mut payload = [0; 64];
        tag.write(&mut payload);
        assert_eq!(Tag::read(&payload), Some(tag));
        assert_eq!(Tag::of_datagram(&payload), Some(tag));
        for i in 0..36 {
            payload[i] ^= 1;
            assert_eq!(Tag::read(&payload), None, "byte {i}");
            payload[i] ^= 1;
        }
        assert_eq!(Tag::read(&payload[..LEN - 1]), None);
    }
}
