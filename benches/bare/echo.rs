//! What both bare loops share: reading the segment size, and joining neighbours into trains.

use std::ptr;

/// Messages a batch.
pub(crate) const BATCH: usize = 64;
/// Payload memory a message: a whole train, in an odd number of cache lines.
pub(crate) const PAYLOAD: usize = 65_536 + 64;
/// An IPv4 address is all that these loops meet.
pub(crate) const NAME: usize = 16;
/// Segments of one train (`UDP_MAX_SEGMENTS` before Linux 6.9).
const SEGMENTS: usize = 64;

pub(crate) const fn empty_header() -> libc::mmsghdr {
    libc::mmsghdr {
        msg_hdr: libc::msghdr {
            msg_name: ptr::null_mut(),
            msg_namelen: 0,
            msg_iov: ptr::null_mut(),
            msg_iovlen: 0,
            msg_control: ptr::null_mut(),
            msg_controllen: 0,
            msg_flags: 0,
        },
        msg_len: 0,
    }
}

/// The segment size among the control messages; zero when there is none.
#[inline]
pub(crate) fn segment_of(mut control: &[u8]) -> usize {
    while let Some((head, _)) = control.split_first_chunk::<16>() {
        let len = usize::from_ne_bytes(*head.first_chunk().unwrap());
        let level = i32::from_ne_bytes(*head[8..].first_chunk().unwrap());
        let kind = i32::from_ne_bytes(*head[12..].first_chunk().unwrap());
        if (level, kind) == (libc::SOL_UDP, libc::UDP_GRO) {
            return i32::from_ne_bytes(*control[16..].first_chunk().unwrap()) as usize;
        }
        control = control.get(len.next_multiple_of(8).max(16)..).unwrap_or(&[]);
    }
    0
}

/// The headers of one batch of answers.
pub(crate) struct Heads {
    headers: Vec<libc::mmsghdr>,
    pieces: Vec<libc::iovec>,
    controls: Vec<[u64; 3]>,
    segments: Vec<usize>,
}

impl Heads {
    pub(crate) fn new() -> Self {
        Self {
            headers: Vec::with_capacity(BATCH),
            pieces: Vec::with_capacity(BATCH),
            controls: vec![[0; 3]; BATCH],
            segments: Vec::with_capacity(BATCH),
        }
    }

    pub(crate) fn clear(&mut self) {
        self.headers.clear();
        self.pieces.clear();
        self.segments.clear();
    }

    /// Writes the control message of each train; the headers are then ready to be sent.
    #[inline]
    pub(crate) fn finish(&mut self) -> &mut [libc::mmsghdr] {
        for (i, segment) in self.segments.iter().enumerate() {
            if *segment > 0 {
                let kind = (libc::UDP_SEGMENT as u64) << 32 | libc::SOL_UDP as u64;
                self.controls[i] = [18, kind, *segment as u64];
                self.headers[i].msg_hdr.msg_control = self.controls[i].as_mut_ptr().cast();
                self.headers[i].msg_hdr.msg_controllen = 24;
            }
        }
        &mut self.headers
    }
}

/// Joins a message to the train before it, where that may grow.
#[derive(Default)]
pub(crate) struct Grouping {
    name: [u8; NAME],
    unit: usize,
    count: usize,
    whole: bool,
}

impl Grouping {
    pub(crate) fn clear(&mut self) {
        self.whole = false;
    }

    /// Adds an answer: `len` bytes at `start`, in segments unless `segment` is zero. How many datagrams it has.
    #[inline]
    pub(crate) fn add(
        &mut self,
        heads: &mut Heads,
        name: &mut [u8; NAME],
        (start, len): (*mut u8, usize),
        segment: usize,
    ) -> u64 {
        let unit = if segment > 0 { segment } else { len };
        let count = if unit > 0 { len.div_ceil(unit) } else { 1 };
        let piece = libc::iovec { iov_base: start.cast(), iov_len: len };
        heads.pieces.push(piece);
        let joins = self.whole
            && unit == self.unit
            && self.count + count <= SEGMENTS
            && name[..8] == self.name[..8];
        if joins {
            self.count += count;
            self.whole = len % unit == 0;
            if let (Some(header), Some(kept)) =
                (heads.headers.last_mut(), heads.segments.last_mut())
            {
                header.msg_hdr.msg_iovlen += 1;
                *kept = unit;
            }
            return count as u64;
        }
        *self = Self { name: *name, unit, count, whole: unit > 0 && len % unit == 0 };
        let mut header = empty_header();
        header.msg_hdr.msg_name = name.as_mut_ptr().cast();
        header.msg_hdr.msg_namelen = NAME as u32;
        // Capacity is BATCH and one piece comes with each message: the vector never moves.
        header.msg_hdr.msg_iov = &raw mut *heads.pieces.last_mut().unwrap();
        header.msg_hdr.msg_iovlen = 1;
        heads.headers.push(header);
        heads.segments.push(if count > 1 { unit } else { 0 });
        count as u64
    }
}
