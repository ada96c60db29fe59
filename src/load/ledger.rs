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

/// One place of the ring: what became of the request, and where its ticket lies. Requests that are alike in all but their
/// ids share a ticket, so that one of a burst costs four bytes of memory traffic and not forty.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Word(u32);

impl Word {
    const EMPTY: Self = Self(0);
    const WAITING: u32 = 1 << 31;
    const DONE: u32 = 1 << 30;
    const GROUP: u32 = Self::DONE - 1;

    #[inline]
    const fn waits(self) -> bool {
        self.0 & Self::WAITING != 0
    }

    #[inline]
    const fn is_empty(self) -> bool {
        self.0 & (Self::WAITING | Self::DONE) == 0
    }

    /// The same request, with its answer.
    #[inline]
    const fn done(self) -> Self {
        Self(self.0 & Self::GROUP | Self::DONE)
    }

    #[inline]
    const fn group(self) -> usize {
        (self.0 & Self::GROUP) as usize
    }
}

/// The requests that share the ticket of one that was just answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Siblings {
    waiting: Word,
    first: u64,
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
    words: Box<[Word]>,
    /// As many as there are places: when a ticket is overwritten, so were all the requests that had it.
    tickets: Box<[Ticket]>,
    next_group: usize,
    keys: Option<Keys>,
    waiting: usize,
    /// No request before this one waits.
    oldest: u64,
}

impl Ledger {
    /// The fewest and the most places; the most take 72 MiB.
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
        Self {
            words: vec![Word::EMPTY; places].into_boxed_slice(),
            tickets: vec![nobody; places].into_boxed_slice(),
            next_group: 0,
            keys: by_key.then(|| Keys::new(places)),
            waiting: 0,
            oldest: 0,
        }
    }

    /// How many requests wait.
    pub(super) const fn waiting(&self) -> usize {
        self.waiting
    }

    /// Notes `count` requests that are alike: `ticket` is the first one's, the others have the ids that follow. `lost` is
    /// told those that still waited in their places: they are given up.
    #[inline]
    pub(super) fn open(&mut self, ticket: Ticket, count: u32, mut lost: impl FnMut(&Ticket)) {
        let group = self.next_group;
        self.next_group = (group + 1) & (self.words.len() - 1);
        // Fewer than 2^30 places, so that a group is known by its low bits.
        let word = Word(Word::WAITING | u32::try_from(group).unwrap_or(0));
        for id in ticket.id..ticket.id + u64::from(count) {
            let place = self.place(id);
            let old = self.words[place];
            if !old.is_empty() {
                if old.waits() {
                    // Before its ticket may be overwritten below.
                    lost(&self.ticket_at(place));
                    self.waiting -= 1;
                }
                if let Some(keys) = &mut self.keys {
                    keys.remove(place);
                }
            }
            self.words[place] = word;
        }
        self.waiting += count as usize;
        self.tickets[group] = ticket;
    }

    /// Notes by what a request that was just opened is found; once for each, where requests are found by key.
    #[inline]
    pub(super) fn note(&mut self, id: u64, key: u32) {
        let place = self.place(id);
        if let Some(keys) = &mut self.keys {
            keys.insert(place, key);
        }
    }

    /// Takes back a request that did not leave.
    pub(super) fn forget(&mut self, id: u64) -> Option<Ticket> {
        let place = self.place(id);
        let ticket = self.ticket_at(place);
        if ticket.id != id || !self.words[place].waits() {
            return None;
        }
        if let Some(keys) = &mut self.keys {
            keys.remove(place);
        }
        self.words[place] = Word::EMPTY;
        self.waiting -= 1;
        Some(ticket)
    }

    /// Gives up the requests before `next_id` that were sent earlier than `before` and still wait. Each request is looked
    /// at once in a run, however often this is called.
    pub(super) fn give_up(&mut self, before: Instant, next_id: u64) {
        while self.oldest < next_id {
            let place = self.place(self.oldest);
            let ticket = self.ticket_at(place);
            if self.words[place].waits() && ticket.id == self.oldest {
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
        let word = self.words[place];
        let ticket = self.ticket_at(place);
        if word.is_empty() || ticket.id != id || ticket.socket != socket {
            return Found::Nothing;
        }
        if !word.waits() {
            return Found::Again;
        }
        self.words[place] = word.done();
        self.waiting -= 1;
        Found::Waiting(ticket)
    }

    /// Those that share the ticket of `id`, which was just found; none unless the next one is such a one and waits.
    #[inline]
    pub(super) fn siblings(&self, id: u64) -> Option<Siblings> {
        let group = self.words[self.place(id)].group();
        let waiting = Word(Word::WAITING | u32::try_from(group).unwrap_or(0));
        (self.words[self.place(id + 1)] == waiting)
            .then(|| Siblings { waiting, first: self.tickets[group].id })
    }

    /// Closes the first of `ids` as long as each is one of `siblings` and waits: all that is recorded of them is theirs. How
    /// many those are. Until something is opened anew.
    #[inline]
    pub(super) fn close_siblings(
        &mut self,
        siblings: Siblings,
        ids: impl Iterator<Item = u64>,
    ) -> usize {
        let (words, done) = (&mut self.words[..], siblings.waiting.done());
        let mask = words.len() as u64 - 1;
        let mut closed = 0;
        for id in ids {
            let place = usize::try_from(id & mask).unwrap_or(0);
            if words[place] != siblings.waiting || id.wrapping_sub(siblings.first) > mask {
                break;
            }
            words[place] = done;
            closed += 1;
        }
        self.waiting -= closed;
        closed
    }

    /// The request of `socket` that has `key` and waits; if none does, one that has had its answer.
    pub(super) fn close_by_key(&mut self, key: u32, socket: SocketId, prefer: Prefer) -> Found {
        let Some(keys) = &self.keys else { return Found::Nothing };
        let (mut waiting, mut done, mut best) = (0_usize, 0, None::<(Ticket, usize)>);
        // The last entered come first.
        for place in keys.find(key) {
            let ticket = self.ticket_at(place);
            if ticket.socket != socket {
                continue;
            }
            if !self.words[place].waits() {
                done += 1;
                if done > DONE_PASSED_MAX {
                    break;
                }
                continue;
            }
            waiting += 1;
            if best.is_none_or(|(older, _)| ticket.id < older.id) {
                best = Some((ticket, place));
            }
            if prefer == Prefer::Newest {
                break;
            }
        }
        let Some((ticket, place)) = best else {
            return if done > 0 { Found::Again } else { Found::Nothing };
        };
        self.words[place] = self.words[place].done();
        self.waiting -= 1;
        if waiting > 1 { Found::OneOfSeveral(ticket) } else { Found::Waiting(ticket) }
    }

    /// The ticket of the request at `place`. Its id is the only one of its group's that has this place.
    #[inline]
    fn ticket_at(&self, place: usize) -> Ticket {
        let mut ticket = self.tickets[self.words[place].group()];
        let first = self.place(ticket.id);
        ticket.id += (place.wrapping_sub(first) & (self.words.len() - 1)) as u64;
        ticket
    }

    #[inline]
    fn place(&self, id: u64) -> usize {
        // The mask is below the number of places, a usize.
        usize::try_from(id & (self.words.len() as u64 - 1)).unwrap_or(0)
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

    /// Opens one request; the one that was given up for it.
    fn open(l: &mut Ledger, ticket: Ticket, key: u32) -> Option<Ticket> {
        let mut lost = None;
        l.open(ticket, 1, |t| lost = Some(*t));
        l.note(ticket.id, key);
        lost
    }

    #[test]
    fn pairs_each_answer_once_and_only_on_its_own_socket() {
        let mut l = Ledger::with_places(8, false);
        assert_eq!(open(&mut l, ticket(3, 1), 0), None);
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
            assert_eq!(open(&mut l, ticket(id, 0), 7), None);
        }
        assert_eq!(open(&mut l, ticket(8, 0), 7), Some(ticket(0, 0)));
        assert_eq!((l.waiting(), l.words.len()), (8, 8));
        assert_eq!(l.close(0, SocketId(0)), Found::Nothing);
        assert_eq!(l.close(8, SocketId(0)), Found::Waiting(ticket(8, 0)));
    }

    #[test]
    fn keys_find_the_oldest_that_waits_and_say_when_others_fitted() {
        let mut l = Ledger::with_places(8, true);
        for (id, socket) in [(1, 0), (2, 0), (3, 7)] {
            open(&mut l, ticket(id, socket), 55);
        }
        open(&mut l, ticket(4, 0), 56);
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
        open(&mut l, ticket(1, 0), 55);
        open(&mut l, ticket(2, 0), 55);
        let found = l.close_by_key(55, SocketId(0), Prefer::Newest);
        assert_eq!(found, Found::Waiting(ticket(2, 0)));
        assert_eq!(l.waiting(), 1);
    }

    #[test]
    fn what_did_not_leave_is_forgotten() {
        let mut l = Ledger::with_places(8, false);
        open(&mut l, ticket(5, 0), 0);
        assert_eq!(l.forget(5), Some(ticket(5, 0)));
        assert_eq!((l.forget(5), l.close(5, SocketId(0))), (None, Found::Nothing));
    }

    #[test]
    fn what_waits_too_long_is_given_up_in_order() {
        let mut l = Ledger::with_places(8, true);
        for id in 1..5 {
            open(&mut l, ticket(id, 0), 9);
        }
        l.close_by_key(9, SocketId(0), Prefer::Newest);
        l.give_up(Instant::from_nanos(3), 5);
        assert_eq!((l.waiting(), l.close(2, SocketId(0))), (1, Found::Nothing));
        assert_eq!(l.close(3, SocketId(0)), Found::Waiting(ticket(3, 0)));
        l.give_up(Instant::from_nanos(9), 5);
        assert_eq!((l.waiting(), l.oldest), (0, 5));
    }

    #[test]
    fn alike_requests_share_a_ticket_and_are_closed_once_each() {
        let mut l = Ledger::with_places(8, false);
        l.open(ticket(6, 1), 4, |_| panic!("nothing waited"));
        l.open(ticket(10, 2), 1, |_| panic!("nothing waited"));
        // Their ids run over the ring's end: 6, 7, 8 and 9 have the places 6, 7, 0 and 1.
        let of = |id| Ticket { id, ..ticket(6, 1) };
        assert_eq!(l.close(8, SocketId(1)), Found::Waiting(of(8)));
        assert_eq!(l.siblings(10), None, "it is by itself");
        let siblings = l.siblings(8).unwrap();
        let all = [5, 6, 6, 7, 8, 9, 10, 14, 17];
        let mut closed = all.map(|id| l.close_siblings(siblings, [id].into_iter()));
        assert_eq!(closed, [0, 1, 0, 1, 0, 1, 0, 0, 0]);
        assert_eq!((l.close(9, SocketId(1)), l.waiting()), (Found::Again, 1));
        // Six more give up the one that waits, and only that.
        let mut lost = Vec::new();
        l.open(ticket(13, 3), 8, |t| lost.push(*t));
        assert_eq!((lost, l.waiting()), (vec![ticket(10, 2)], 8));
        closed = all.map(|id| l.close_siblings(siblings, [id].into_iter()));
        assert_eq!(closed, [0; 9]);
        let siblings = l.siblings(13).unwrap();
        let ids = [13, 14, 16, 15, 15, 17];
        assert_eq!(l.close_siblings(siblings, ids.into_iter()), 4, "until one comes again");
        assert_eq!(l.waiting(), 4);
    }

    #[test]
    fn a_ticket_lives_as_long_as_the_last_request_that_has_it() {
        let mut l = Ledger::with_places(8, false);
        for id in 0..8 {
            assert_eq!(open(&mut l, ticket(id, 0), 0), None);
        }
        // The ninth ticket has the place of the first one, and the ninth request too.
        for id in 8..40 {
            assert_eq!(open(&mut l, ticket(id, 0), 0), Some(ticket(id - 8, 0)));
        }
        assert_eq!((l.close(39, SocketId(0)), l.waiting()), (Found::Waiting(ticket(39, 0)), 7));
    }

    #[test]
    fn the_window_follows_rate_and_wait_within_bounds() {
        let places = |rate, s| Ledger::new(rate, Nanos::from_secs(s), false).words.len();
        assert_eq!(places(10.0, 1), 1_024);
        assert_eq!(places(100_000.0, 1), 131_072);
        assert_eq!(places(20e6, 60), 1 << 21);
    }
}
