//! Which requests are still unanswered: a ring of fixed length, indexed by the low bits of the request id.
//!
//! Knows no sockets and keeps no figures. It never grows: a request whose place is needed again counts as lost.

use super::keys::Keys;
use crate::base::{Instant, Nanos, SocketId};

/// Answered requests that are passed over in search of one that waits: those of one key were mostly answered in order.
const DONE_PASSED_MAX: usize = 8;

/// A request that was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ticket {
    pub(super) id: u64,
    pub(super) intended: Instant,
    pub(super) sent: Instant,
    pub(super) class: u16,
    pub(super) socket: SocketId,
    /// The interval of the timeline in which it was due.
    pub(super) interval: u16,
    /// The stretch of the plan in which it was due.
    pub(super) stretch: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
enum State {
    Empty,
    Waiting,
    Done,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    ticket: Ticket,
    state: State,
}

/// What an answer belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// A request that was waiting for it. It no longer is.
    Waiting(Ticket),
    /// A request that was waiting for it, and not the only one that it fits.
    OneOfSeveral(Ticket),
    /// A request that has had its answer.
    Again,
    /// Nothing that is known here.
    Nothing,
}

/// Which of several requests with one key an answer is given to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Prefer {
    /// The one that has waited longest: equal payloads, answered in order.
    Oldest,
    /// The last one: short ids that have come round again, whose earlier bearer was lost.
    Newest,
}

/// The requests that wait for an answer, and those that last had one.
#[derive(Debug)]
pub(super) struct Ledger {
    entries: Box<[Entry]>,
    keys: Option<Keys>,
    waiting: usize,
    /// No request before this one waits.
    oldest: u64,
}

impl Ledger {
    /// The fewest and the most places; the most take 80 MiB.
    const PLACES: std::ops::RangeInclusive<usize> = 1_024..=1 << 21;

    /// Places for all that `rate` packets a second can leave waiting within `longest`, within bounds.
    pub(super) fn new(rate: f64, longest: Nanos, by_key: bool) -> Self {
        let wanted = places(rate * longest.as_secs_f64());
        Self::with_places(wanted.clamp(*Self::PLACES.start(), *Self::PLACES.end()), by_key)
    }

    fn with_places(places: usize, by_key: bool) -> Self {
        let nobody = Ticket {
            id: 0,
            intended: Instant::ZERO,
            sent: Instant::ZERO,
            class: 0,
            socket: SocketId(0),
            interval: 0,
            stretch: 0,
        };
        let places = places.next_power_of_two();
        let nothing = Entry { ticket: nobody, state: State::Empty };
        Self {
            entries: vec![nothing; places].into_boxed_slice(),
            keys: by_key.then(|| Keys::new(places)),
            waiting: 0,
            oldest: 0,
        }
    }

    /// How many requests wait.
    pub(super) const fn waiting(&self) -> usize {
        self.waiting
    }

    /// Notes a request. Returns the one that still waited in its place, if there was one: it is given up. `key` counts
    /// only where requests are found by key.
    #[inline]
    pub(super) fn open(&mut self, ticket: Ticket, key: u32) -> Option<Ticket> {
        let place = self.place(ticket.id);
        let old = self.entries[place];
        if let Some(keys) = &mut self.keys {
            if old.state != State::Empty {
                keys.remove(place);
            }
            keys.insert(place, key);
        }
        self.entries[place] = Entry { ticket, state: State::Waiting };
        if old.state == State::Waiting {
            return Some(old.ticket);
        }
        self.waiting += 1;
        None
    }

    /// Takes back a request that did not leave.
    pub(super) fn forget(&mut self, id: u64) -> Option<Ticket> {
        let place = self.place(id);
        let Entry { ticket, state } = self.entries[place];
        if ticket.id != id || state != State::Waiting {
            return None;
        }
        if let Some(keys) = &mut self.keys {
            keys.remove(place);
        }
        self.entries[place].state = State::Empty;
        self.waiting -= 1;
        Some(ticket)
    }

    /// Gives up the requests before `next_id` that were sent earlier than `before` and still wait. Each request is looked
    /// at once in a run, however often this is called.
    pub(super) fn give_up(&mut self, before: Instant, next_id: u64) {
        while self.oldest < next_id {
            let Entry { ticket, state } = self.entries[self.place(self.oldest)];
            if state == State::Waiting && ticket.id == self.oldest {
                if ticket.sent >= before {
                    return;
                }
                self.forget(self.oldest);
            }
            self.oldest += 1;
        }
    }

    /// The request `id`, whose answer has come to `socket`.
    #[inline]
    pub(super) fn close(&mut self, id: u64, socket: SocketId) -> Found {
        let place = self.place(id);
        let entry = &mut self.entries[place];
        if entry.ticket.id != id || entry.ticket.socket != socket {
            return Found::Nothing;
        }
        match entry.state {
            State::Empty => Found::Nothing,
            State::Done => Found::Again,
            State::Waiting => {
                entry.state = State::Done;
                self.waiting -= 1;
                Found::Waiting(entry.ticket)
            }
        }
    }

    /// The request of `socket` that has `key` and waits; if none does, one that has had its answer.
    pub(super) fn close_by_key(&mut self, key: u32, socket: SocketId, prefer: Prefer) -> Found {
        let Some(keys) = &self.keys else { return Found::Nothing };
        let (mut waiting, mut done, mut best) = (0_usize, 0, None::<(u64, usize)>);
        // The last entered come first.
        for place in keys.find(key) {
            let Entry { ticket, state } = self.entries[place];
            if ticket.socket != socket {
                continue;
            }
            if state != State::Waiting {
                done += 1;
                if done > DONE_PASSED_MAX {
                    break;
                }
                continue;
            }
            waiting += 1;
            let older = best.is_none_or(|(id, _)| ticket.id < id);
            if older {
                best = Some((ticket.id, place));
            }
            if prefer == Prefer::Newest {
                break;
            }
        }
        let Some((_, place)) = best else {
            return if done > 0 { Found::Again } else { Found::Nothing };
        };
        let entry = &mut self.entries[place];
        entry.state = State::Done;
        self.waiting -= 1;
        if waiting > 1 { Found::OneOfSeveral(entry.ticket) } else { Found::Waiting(entry.ticket) }
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
        let (class, socket) = (socket, SocketId(socket));
        Ticket { id, intended: t, sent: t, class, socket, interval: 0, stretch: 0 }
    }

    #[test]
    fn pairs_each_answer_once_and_only_on_its_own_socket() {
        let mut l = Ledger::with_places(8, false);
        assert_eq!(l.open(ticket(3, 1), 0), None);
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
            assert_eq!(l.open(ticket(id, 0), 7), None);
        }
        assert_eq!(l.open(ticket(8, 0), 7), Some(ticket(0, 0)));
        assert_eq!((l.waiting(), l.entries.len()), (8, 8));
        assert_eq!(l.close(0, SocketId(0)), Found::Nothing);
        assert_eq!(l.close(8, SocketId(0)), Found::Waiting(ticket(8, 0)));
    }

    #[test]
    fn keys_find_the_oldest_that_waits_and_say_when_others_fitted() {
        let mut l = Ledger::with_places(8, true);
        for (id, socket) in [(1, 0), (2, 0), (3, 7)] {
            l.open(ticket(id, socket), 55);
        }
        l.open(ticket(4, 0), 56);
        let mut close = |key, socket| l.close_by_key(key, SocketId(socket), Prefer::Oldest);
        assert_eq!(close(55, 0), Found::OneOfSeveral(ticket(1, 0)));
        assert_eq!(close(55, 0), Found::Waiting(ticket(2, 0)));
        assert_eq!(close(55, 0), Found::Again);
        assert_eq!(close(55, 7), Found::Waiting(ticket(3, 7)));
        assert_eq!(close(57, 0), Found::Nothing);
        l.forget(4);
        assert_eq!(l.close_by_key(56, SocketId(0), Prefer::Oldest), Found::Nothing);
        assert_eq!(l.waiting(), 0);
    }

    #[test]
    fn an_id_that_came_round_again_is_answered_to_its_last_bearer() {
        let mut l = Ledger::with_places(8, true);
        l.open(ticket(1, 0), 55);
        l.open(ticket(2, 0), 55);
        let found = l.close_by_key(55, SocketId(0), Prefer::Newest);
        assert_eq!(found, Found::Waiting(ticket(2, 0)));
        assert_eq!(l.waiting(), 1);
    }

    #[test]
    fn what_did_not_leave_is_forgotten() {
        let mut l = Ledger::with_places(8, false);
        l.open(ticket(5, 0), 0);
        assert_eq!(l.forget(5), Some(ticket(5, 0)));
        assert_eq!((l.forget(5), l.close(5, SocketId(0))), (None, Found::Nothing));
    }

    #[test]
    fn what_waits_too_long_is_given_up_in_order() {
        let mut l = Ledger::with_places(8, true);
        for id in 1..5 {
            l.open(ticket(id, 0), 9);
        }
        l.close_by_key(9, SocketId(0), Prefer::Newest);
        l.give_up(Instant::from_nanos(3), 5);
        assert_eq!((l.waiting(), l.close(2, SocketId(0))), (1, Found::Nothing));
        assert_eq!(l.close(3, SocketId(0)), Found::Waiting(ticket(3, 0)));
        l.give_up(Instant::from_nanos(9), 5);
        assert_eq!((l.waiting(), l.oldest), (0, 5));
    }

    #[test]
    fn the_window_follows_rate_and_wait_within_bounds() {
        let places = |rate, s| Ledger::new(rate, Nanos::from_secs(s), false).entries.len();
        assert_eq!(places(10.0, 1), 1_024);
        assert_eq!(places(100_000.0, 1), 131_072);
        assert_eq!(places(20e6, 60), 1 << 21);
    }
}
