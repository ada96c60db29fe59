//! Which requests are still unanswered: a ring of fixed length, indexed by the low bits of the request id.
//!
//! Knows no sockets and keeps no figures. It never grows: a request whose place is needed again counts as lost.

use std::ops::Range;

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
        let (mut first, mut left) = (self.place(ticket.id), count as usize);
        while left > 0 {
            let end = self.words.len().min(first + left);
            // Before a ticket may be overwritten below.
            self.vacate(first..end, &mut lost);
            match &mut self.words[first..end] {
                [one] => *one = word,
                all => all.fill(word),
            }
            left -= end - first;
            first = 0;
        }
        self.waiting += count as usize;
        self.tickets[group] = ticket;
    }

    /// Gives up what still waits in these places. Mostly nothing does, which is seen of all of them at once.
    #[inline]
    fn vacate(&mut self, places: Range<usize>, lost: &mut impl FnMut(&Ticket)) {
        let any = match &self.words[places.clone()] {
            [one] => *one,
            all => Word(all.iter().fold(0, |any, word| any | word.0)),
        };
        if !any.waits() && (self.keys.is_none() || any.is_empty()) {
            return;
        }
        for place in places {
            let old = self.words[place];
            if old.waits() {
                lost(&self.ticket_at(place));
                self.waiting -= 1;
            }
            if let Some(keys) = &mut self.keys
                && !old.is_empty()
            {
                keys.remove(place);
            }
        }
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

    /// Closes `first` and those after it, `count` in all, as long as each is one of `siblings` and waits: all that is recorded
    /// of them is theirs. How many those are. Until something is opened anew.
    #[inline]
    pub(super) fn close_siblings(&mut self, siblings: Siblings, first: u64, count: usize) -> usize {
        let places = self.words.len();
        // Of a ring's length on, a place is another request's.
        let past = usize::try_from(first.wrapping_sub(siblings.first));
        let Some(most) = past.ok().and_then(|past| places.checked_sub(past)) else { return 0 };
        let start = self.place(first);
        let end = places.min(start + count.min(most));
        let words = &mut self.words[start..end];
        let closed = words.iter().take_while(|word| **word == siblings.waiting).count();
        words[..closed].fill(siblings.waiting.done());
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
mod tests;
