//! What is finished and waits for the next send: answers to one peer are joined into trains.
//!
//! Knows no verdicts and no counters: what it is given with a piece comes back with the piece once it was sent or refused.
//! A send costs about 2 µs, a further segment of a train a fifth of that, so joining is the one large lever on throughput.

use std::net::{IpAddr, SocketAddr};

use crate::base::limits::{EGRESS_PENDING_MAX, GSO_BYTES_MAX, GSO_SEGMENTS_MAX};
use crate::base::{Instant, SocketId};
use crate::io::{Part, SendError, SendFailure, TxBatch, TxMessage};

/// The longest segment that is joined: an Ethernet frame's payload. Longer ones would need fragments, which a train cannot have.
pub(super) const SEGMENT_MAX: u32 = 1_472;
/// Places in the table of trains that may still grow; peers beyond that only miss a chance to be joined.
const OPEN: usize = 256;
/// Places that a peer may have.
const WAYS: usize = 4;
const NO_GROUP: u16 = u16::MAX;

/// Which way a result leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Route {
    /// By which socket.
    pub socket: SocketId,
    /// To whom; `None` on a connected socket.
    pub to: Option<SocketAddr>,
    /// From which of our addresses, where the socket is bound to a wildcard.
    pub from: Option<IpAddr>,
    /// Whether the socket sends trains.
    pub gso: bool,
}

#[derive(Clone, Copy, Debug)]
struct Group {
    route: Route,
    segment: u32,
    bytes: u32,
    datagrams: u32,
    pieces: u32,
    closed: bool,
    next_part: u32,
    /// Why the train did not leave as a whole, and how many of its results did.
    fault: Option<SendError>,
    departed: u32,
}

#[derive(Clone, Copy, Debug)]
struct Piece<A> {
    part: Part,
    group: u16,
    /// How many results it is, all of one length.
    count: u16,
    account: A,
}

/// Results that wait for the next send. `A` is what the owner wants back with each.
#[derive(Debug)]
pub struct Egress<A> {
    pieces: Vec<Piece<A>>,
    /// How many results the pieces are.
    results: usize,
    groups: Vec<Group>,
    open: [u16; OPEN],
    batch: TxBatch,
    leaves_by: Instant,
}

impl<A: Copy> Default for Egress<A> {
    fn default() -> Self {
        Self::new()
    }
}

impl<A: Copy> Egress<A> {
    /// Room for [`EGRESS_PENDING_MAX`] results.
    #[must_use]
    pub fn new() -> Self {
        Self {
            pieces: Vec::with_capacity(EGRESS_PENDING_MAX),
            results: 0,
            groups: Vec::with_capacity(EGRESS_PENDING_MAX),
            open: [NO_GROUP; OPEN],
            batch: TxBatch {
                messages: Vec::with_capacity(EGRESS_PENDING_MAX),
                parts: Vec::with_capacity(EGRESS_PENDING_MAX),
            },
            leaves_by: Instant::MAX,
        }
    }

    /// How many results wait.
    #[must_use]
    #[inline]
    pub const fn len(&self) -> usize {
        self.results
    }

    /// Whether none waits.
    #[must_use]
    #[inline]
    pub const fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }

    /// How many more pieces may wait.
    #[must_use]
    #[inline]
    pub const fn room(&self) -> usize {
        EGRESS_PENDING_MAX - self.pieces.len()
    }

    /// By when the first of them wants to leave, in whatever company; endless where none waits.
    #[must_use]
    #[inline]
    pub const fn leaves_by(&self) -> Instant {
        self.leaves_by
    }

    /// Adds `count` results that lie side by side, each of `part.len / count` bytes. More than one only where the route sends
    /// trains, and no more than one train holds. They want to leave by `by`.
    ///
    /// # Errors
    /// Gives `account` back when there is no room: send first.
    #[inline]
    pub fn push(
        &mut self,
        by: Instant,
        route: &Route,
        part: Part,
        count: u16,
        account: A,
    ) -> Result<(), A> {
        if self.room() == 0 {
            return Err(account);
        }
        self.leaves_by = self.leaves_by.min(by);
        let group = self.join(route, part.len, u32::from(count));
        self.results += usize::from(count);
        self.pieces.push(Piece { part, group, count, account });
        Ok(())
    }

    /// The train in which `count` results of `bytes` together to that peer may ride, or a new one.
    #[inline]
    fn join(&mut self, route: &Route, bytes: u32, count: u32) -> u16 {
        // Spelled out twice: one function for both takes 30 instructions more a packet.
        let mut place = place(route);
        if let Some(group) = self.groups.get_mut(usize::from(self.open[place])) {
            if group.takes(route, bytes, count) {
                group.add(bytes, count);
                return self.open[place];
            }
            if group.route != *route {
                place = self.next_place(place, route);
                if let Some(group) = self.groups.get_mut(usize::from(self.open[place]))
                    && group.takes(route, bytes, count)
                {
                    group.add(bytes, count);
                    return self.open[place];
                }
            }
        }
        let len = if count == 1 { bytes } else { bytes / count };
        let closed = !route.gso || len == 0 || len > SEGMENT_MAX;
        let group = Group {
            route: *route,
            segment: len,
            bytes,
            datagrams: count,
            pieces: 1,
            closed,
            next_part: 0,
            fault: None,
            departed: 0,
        };
        let index = u16::try_from(self.groups.len()).unwrap_or(NO_GROUP);
        self.groups.push(group);
        self.open[place] = index;
        index
    }

    /// Another has the place of that peer: where its train is, or may be.
    #[cold]
    #[inline(never)]
    fn next_place(&self, first: usize, route: &Route) -> usize {
        let is_for = |place: &usize| {
            self.groups.get(usize::from(self.open[*place])).is_none_or(|g| g.route == *route)
        };
        (1..WAYS).map(|way| first ^ way).find(is_for).unwrap_or(first)
    }

    /// Everything that waits, as sends in the order in which their first results came.
    pub fn batch(&mut self) -> &TxBatch {
        self.batch.clear();
        let mut at = 0;
        for group in &mut self.groups {
            group.next_part = at;
            at += group.pieces;
            self.batch.messages.push(TxMessage {
                socket: group.route.socket,
                to: group.route.to,
                from: group.route.from,
                segment: if group.datagrams > 1 {
                    u16::try_from(group.segment).unwrap_or(0)
                } else {
                    0
                },
                parts: group.next_part..at,
            });
        }
        self.batch.parts.resize(self.pieces.len(), Part { start: 0, len: 0 });
        for piece in &self.pieces {
            let group = &mut self.groups[usize::from(piece.group)];
            self.batch.parts[group.next_part as usize] = piece.part;
            group.next_part += 1;
        }
        &self.batch
    }

    /// The last [`Egress::batch`] was handed to the driver and these of its messages did not leave: every account goes
    /// to `settle` with how many of its results left and the fault that met the others, and nothing waits any more.
    pub fn settle(
        &mut self,
        failed: &[SendFailure],
        mut settle: impl FnMut(&A, u16, Option<(SendError, u16)>),
    ) {
        for failure in failed {
            if let Some(group) = self.groups.get_mut(failure.message as usize) {
                group.fault = Some(failure.error);
                group.departed = failure.departed;
            }
        }
        for piece in &self.pieces {
            let group = &mut self.groups[usize::from(piece.group)];
            let left = match group.fault {
                None => piece.count,
                Some(_) => u16::try_from(group.departed).unwrap_or(u16::MAX).min(piece.count),
            };
            group.departed = group.departed.saturating_sub(u32::from(left));
            let met = piece.count - left;
            settle(&piece.account, left, group.fault.filter(|_| met > 0).map(|f| (f, met)));
        }
        self.pieces.clear();
        self.results = 0;
        self.leaves_by = Instant::MAX;
        self.groups.clear();
        self.open = [NO_GROUP; OPEN];
    }
}

impl Group {
    #[inline]
    const fn add(&mut self, bytes: u32, count: u32) {
        self.datagrams += count;
        self.pieces += 1;
        self.bytes += bytes;
        self.closed = bytes < self.segment;
    }

    #[inline]
    fn takes(&self, route: &Route, bytes: u32, count: u32) -> bool {
        let fits = if count == 1 {
            bytes <= self.segment && bytes > 0
        } else {
            bytes == self.segment * count
        };
        fits && !self.closed
            && (self.datagrams + count) as usize <= GSO_SEGMENTS_MAX
            && (self.bytes + bytes) as usize <= GSO_BYTES_MAX
            && self.route == *route
    }
}

#[inline]
fn place(route: &Route) -> usize {
    let port = route.to.map_or(0, |to| to.port());
    usize::from(port ^ (port >> 8) ^ (route.socket.0 << 6)) % OPEN
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Nanos;
    use proptest::prelude::*;

    fn route(port: u16, gso: bool) -> Route {
        Route { socket: SocketId(0), to: Some(([127, 0, 0, 1], port).into()), from: None, gso }
    }

    fn push(e: &mut Egress<u32>, port: u16, len: u32, n: u32) {
        e.push(Instant::ZERO, &route(port, true), Part { start: n * 100, len }, 1, n).unwrap();
    }

    #[test]
    fn equal_lengths_to_one_peer_ride_together_and_a_shorter_one_ends_the_train() {
        let mut e = Egress::new();
        for (n, len) in [64, 64, 64, 10, 64].into_iter().enumerate() {
            push(&mut e, 1, len, n as u32);
        }
        push(&mut e, 2, 64, 9);
        let b = e.batch();
        let shape: Vec<_> = b.messages.iter().map(|m| (m.segment, m.parts.clone())).collect();
        assert_eq!(shape, [(64, 0..4), (0, 4..5), (0, 5..6)]);
    }

    #[test]
    fn peers_whose_places_meet_have_trains_of_their_own() {
        let first = place(&route(1, true));
        let meet: Vec<u16> =
            (1..=u16::MAX).filter(|p| place(&route(*p, true)) == first).take(WAYS + 1).collect();
        let mut e = Egress::new();
        for n in 0..40 {
            push(&mut e, meet[n as usize % WAYS], 64, n);
        }
        assert_eq!(e.batch().messages.len(), WAYS);
        // One more than there are places shares one: its answers still leave, each after those before it.
        for n in 40..50 {
            push(&mut e, meet[WAYS], 64, n);
            push(&mut e, meet[0], 64, n);
        }
        assert_eq!(e.batch().messages.len(), WAYS + 20);
    }

    #[test]
    fn the_first_that_wants_to_leave_says_when() {
        let mut e = Egress::new();
        let at = |us| Instant::ZERO + Nanos::from_micros(us);
        assert_eq!(e.leaves_by(), Instant::MAX);
        for (n, us) in [30, 20, 40].into_iter().enumerate() {
            e.push(at(us), &route(1, true), Part { start: 0, len: 64 }, 1, n as u32).unwrap();
        }
        assert_eq!(e.leaves_by(), at(20));
        e.batch();
        e.settle(&[], |_, _, _| ());
        assert_eq!(e.leaves_by(), Instant::MAX);
    }

    #[test]
    fn a_longer_or_empty_one_starts_anew() {
        let mut e = Egress::new();
        push(&mut e, 1, 64, 0);
        push(&mut e, 1, 65, 1);
        push(&mut e, 1, 0, 2);
        push(&mut e, 1, 65, 3);
        assert_eq!(e.batch().messages.len(), 4);
    }

    #[test]
    fn without_gso_every_result_is_a_send_of_its_own() {
        let mut e = Egress::new();
        for n in 0..3 {
            e.push(Instant::ZERO, &route(1, false), Part { start: 0, len: 64 }, 1, n).unwrap();
        }
        assert_eq!(e.batch().messages.len(), 3);
    }

    #[test]
    fn a_failed_train_fails_what_did_not_depart_and_nothing_else() {
        let mut e = Egress::new();
        for n in 0..6 {
            push(&mut e, 1 + (n % 2) as u16, 64, n);
        }
        e.batch();
        let mut seen = Vec::new();
        e.settle(
            &[SendFailure { message: 1, error: SendError::QueueFull, departed: 1 }],
            |a, _, f| seen.push((*a, f.is_some())),
        );
        assert_eq!(seen, [(0, false), (1, false), (2, false), (3, true), (4, false), (5, true)]);
        assert!(e.is_empty());
    }

    #[test]
    fn neighbours_ride_as_one_piece_and_part_where_a_train_is_full_or_fails() {
        let mut e = Egress::new();
        let mut add = |start, len, count| {
            e.push(Instant::ZERO, &route(1, true), Part { start, len }, count, start).unwrap();
        };
        add(0, 40 * 64, 40);
        add(1, 24 * 64, 24);
        add(2, 3 * 64, 3);
        add(3, 2 * 32, 2);
        add(4, 30, 1);
        let b = e.batch();
        let shape: Vec<_> = b.messages.iter().map(|m| (m.segment, m.parts.clone())).collect();
        assert_eq!(shape, [(64, 0..2), (64, 2..3), (32, 3..5)]);
        assert_eq!(e.len(), 70);
        let mut seen = Vec::new();
        let failure = SendFailure { message: 0, error: SendError::QueueFull, departed: 45 };
        e.settle(&[failure], |a, left, f| seen.push((*a, left, f.is_some())));
        let all = [(0, 40, false), (1, 5, true), (2, 3, false), (3, 2, false), (4, 1, false)];
        assert_eq!(seen, all);
    }

    #[test]
    fn refuses_when_full_and_gives_the_account_back() {
        let mut e = Egress::new();
        for n in 0..EGRESS_PENDING_MAX {
            push(&mut e, 1, 64, n as u32);
        }
        let part = Part { start: 0, len: 1 };
        assert_eq!(e.push(Instant::ZERO, &route(1, true), part, 1, 77), Err(77));
    }

    proptest! {
        /// However results are mixed: each is sent once, a peer's results leave in order, and every train is legal.
        #[test]
        fn trains_are_legal_and_keep_each_peers_order(items in proptest::collection::vec((0u16..70, 0u32..4), 1..200)) {
            let mut e = Egress::new();
            for (n, (port, size)) in items.iter().enumerate() {
                push(&mut e, *port, [0, 64, 65, 2_000][*size as usize], n as u32);
            }
            let b = e.batch();
            let mut order: std::collections::BTreeMap<u16, Vec<u32>> = std::collections::BTreeMap::new();
            for m in &b.messages {
                let parts = &b.parts[m.parts.start as usize..m.parts.end as usize];
                let (last, body) = parts.split_last().unwrap();
                if m.segment == 0 {
                    prop_assert!(body.is_empty());
                } else {
                    prop_assert!(body.iter().all(|p| p.len == u32::from(m.segment)));
                    prop_assert!(last.len > 0 && last.len <= u32::from(m.segment));
                }
                order.entry(m.to.unwrap().port()).or_default().extend(parts.iter().map(|p| p.start / 100));
            }
            for (n, (port, _)) in items.iter().enumerate() {
                let sent = &order[port];
                prop_assert!(sent.is_sorted());
                prop_assert_eq!(sent.iter().filter(|s| **s == n as u32).count(), 1);
            }
        }
    }
}
