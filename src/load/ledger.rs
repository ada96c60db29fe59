//! Which requests are still unanswered: a ring of fixed length, indexed by the low bits of the request id.
//!
//! Knows no sockets and keeps no figures. It never grows: a request whose place is needed again counts as lost.

use super::checksums::Checksums;
use crate::base::{Instant, Nanos, SocketId};

/// A request that was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ticket {
    pub(super) id: u64,
    pub(super) intended: Instant,
    pub(super) sent: Instant,
    pub(super) class: u16,
    pub(super) socket: SocketId,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Empty,
    Waiting,
    Done,
}

/// What an answer belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// A request that was waiting for it. It no longer is.
    Waiting(Ticket),
    /// A request that has had its answer.
    Again,
    /// Nothing that is known here.
    Nothing,
}

/// The requests that wait for an answer, and those that last had one.
#[derive(Debug)]
pub(super) struct Ledger {
    entries: Box<[(Ticket, State)]>,
    checksums: Option<Checksums>,
    waiting: usize,
}

impl Ledger {
    /// The fewest and the most places; the most take 80 MiB.
    const PLACES: std::ops::RangeInclusive<usize> = 1_024..=1 << 21;

    /// Places for all that `rate` packets a second can leave waiting within `longest`, within bounds.
    pub(super) fn new(rate: f64, longest: Nanos, by_checksum: bool) -> Self {
        let wanted = places(rate * longest.as_secs_f64());
        Self::with_places(wanted.clamp(*Self::PLACES.start(), *Self::PLACES.end()), by_checksum)
    }

    fn with_places(places: usize, by_checksum: bool) -> Self {
        let nobody = Ticket {
            id: 0,
            intended: Instant::ZERO,
            sent: Instant::ZERO,
            class: 0,
            socket: SocketId(0),
        };
        let places = places.next_power_of_two();
        Self {
            entries: vec![(nobody, State::Empty); places].into_boxed_slice(),
            checksums: by_checksum.then(|| Checksums::new(places)),
            waiting: 0,
        }
    }

    /// How many requests wait.
    pub(super) const fn waiting(&self) -> usize {
        self.waiting
    }

    /// Notes a request. Returns the one that still waited in its place, if there was one: it is given up.
    #[inline]
    pub(super) fn open(&mut self, ticket: Ticket, payload: &[u8]) -> Option<Ticket> {
        let place = self.place(ticket.id);
        let (old, state) = self.entries[place];
        if let Some(checksums) = &mut self.checksums {
            if state != State::Empty {
                checksums.remove(place);
            }
            checksums.insert(place, crate::kernel::crc32c::checksum(payload));
        }
        self.entries[place] = (ticket, State::Waiting);
        if state == State::Waiting {
            return Some(old);
        }
        self.waiting += 1;
        None
    }

    /// Takes back a request that did not leave.
    pub(super) fn forget(&mut self, id: u64) -> Option<Ticket> {
        let place = self.place(id);
        let (ticket, state) = self.entries[place];
        if ticket.id != id || state != State::Waiting {
            return None;
        }
        if let Some(checksums) = &mut self.checksums {
            checksums.remove(place);
        }
        self.entries[place].1 = State::Empty;
        self.waiting -= 1;
        Some(ticket)
    }

    /// The request `id`, whose answer has come to `socket`.
    #[inline]
    pub(super) fn close(&mut self, id: u64, socket: SocketId) -> Found {
        let place = self.place(id);
        let (ticket, state) = self.entries[place];
        if ticket.id != id || ticket.socket != socket || state == State::Empty {
            return Found::Nothing;
        }
        self.finish(place)
    }

    /// The oldest waiting request of `socket` whose payload has that checksum.
    #[inline]
    pub(super) fn close_by_checksum(&mut self, checksum: u32, socket: SocketId) -> Found {
        let Some(checksums) = &self.checksums else { return Found::Nothing };
        let mut best: Option<(bool, u64, usize)> = None;
        for place in checksums.find(checksum) {
            let (ticket, state) = self.entries[place];
            if ticket.socket == socket {
                let rank = (state != State::Waiting, ticket.id, place);
                best = Some(best.map_or(rank, |b| b.min(rank)));
            }
        }
        best.map_or(Found::Nothing, |(_, _, place)| self.finish(place))
    }

    fn finish(&mut self, place: usize) -> Found {
        let (ticket, state) = self.entries[place];
        if state == State::Done {
            return Found::Again;
        }
        self.entries[place].1 = State::Done;
        self.waiting -= 1;
        Found::Waiting(ticket)
    }

    #[inline]
    fn place(&self, id: u64) -> usize {
        // The mask is below the number of places, a usize.
        usize::try_from(id & (self.entries.len() as u64 - 1)).unwrap_or(0)
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a non-negative count; `as` saturates, and the caller clamps"
)]
fn places(n: f64) -> usize {
    n as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ticket(id: u64, socket: u16) -> Ticket {
        let t = Instant::from_nanos(id);
        Ticket { id, intended: t, sent: t, class: socket, socket: SocketId(socket) }
    }

    #[test]
    fn pairs_each_answer_once_and_only_on_its_own_socket() {
        let mut l = Ledger::with_places(8, false);
        assert_eq!(l.open(ticket(3, 1), b""), None);
        assert_eq!(l.close(3, SocketId(2)), Found::Nothing);
        assert_eq!(l.close(11, SocketId(1)), Found::Nothing);
        assert_eq!(l.close(0, SocketId(0)), Found::Nothing);
        assert_eq!(l.close(3, SocketId(1)), Found::Waiting(ticket(3, 1)));
        assert_eq!(l.close(3, SocketId(1)), Found::Again);
        assert_eq!(l.waiting(), 0);
    }

    #[test]
    fn a_full_window_gives_up_the_oldest_and_never_grows() {
        let mut l = Ledger::with_places(8, true);
        for id in 0..8 {
            assert_eq!(l.open(ticket(id, 0), &id.to_be_bytes()), None);
        }
        assert_eq!(l.open(ticket(8, 0), &8_u64.to_be_bytes()), Some(ticket(0, 0)));
        assert_eq!((l.waiting(), l.entries.len()), (8, 8));
        assert_eq!(l.close(0, SocketId(0)), Found::Nothing);
        assert_eq!(l.close(8, SocketId(0)), Found::Waiting(ticket(8, 0)));
    }

    #[test]
    fn checksums_find_the_oldest_that_waits() {
        let crc = crate::kernel::crc32c::checksum;
        let mut l = Ledger::with_places(8, true);
        for id in [1, 2] {
            l.open(ticket(id, 0), b"the same");
        }
        l.open(ticket(3, 7), b"the same");
        l.open(ticket(4, 0), b"another");
        let same = crc(b"the same");
        assert_eq!(l.close_by_checksum(same, SocketId(0)), Found::Waiting(ticket(1, 0)));
        assert_eq!(l.close_by_checksum(same, SocketId(0)), Found::Waiting(ticket(2, 0)));
        assert_eq!(l.close_by_checksum(same, SocketId(0)), Found::Again);
        assert_eq!(l.close_by_checksum(same, SocketId(7)), Found::Waiting(ticket(3, 7)));
        assert_eq!(l.close_by_checksum(crc(b"never sent"), SocketId(0)), Found::Nothing);
        l.forget(4);
        assert_eq!(l.close_by_checksum(crc(b"another"), SocketId(0)), Found::Nothing);
        assert_eq!(l.waiting(), 0);
    }

    #[test]
    fn what_did_not_leave_is_forgotten() {
        let mut l = Ledger::with_places(8, false);
        l.open(ticket(5, 0), b"");
        assert_eq!(l.forget(5), Some(ticket(5, 0)));
        assert_eq!((l.forget(5), l.close(5, SocketId(0))), (None, Found::Nothing));
    }

    #[test]
    fn the_window_follows_rate_and_wait_within_bounds() {
        let places = |rate, s| Ledger::new(rate, Nanos::from_secs(s), false).entries.len();
        assert_eq!(places(10.0, 1), 1_024);
        assert_eq!(places(100_000.0, 1), 131_072);
        assert_eq!(places(20e6, 60), 1 << 21);
    }
}
