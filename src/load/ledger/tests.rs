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
    let mut closed = all.map(|id| l.close_siblings(siblings, id, 1));
    assert_eq!(closed, [0, 1, 0, 1, 0, 1, 0, 0, 0]);
    assert_eq!((l.close(9, SocketId(1)), l.waiting()), (Found::Again, 1));
    // Six more give up the one that waits, and only that.
    let mut lost = Vec::new();
    l.open(ticket(13, 3), 8, |t| lost.push(*t));
    assert_eq!((lost, l.waiting()), (vec![ticket(10, 2)], 8));
    closed = all.map(|id| l.close_siblings(siblings, id, 1));
    assert_eq!(closed, [0; 9]);
    let siblings = l.siblings(13).unwrap();
    assert_eq!((l.close_siblings(siblings, 13, 9), l.waiting()), (3, 5));
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
fn those_that_follow_each_other_are_closed_up_to_the_ring_s_end() {
    let mut l = Ledger::with_places(8, false);
    l.open(ticket(5, 0), 6, |_| panic!("nothing waited"));
    assert_eq!(l.close(5, SocketId(0)), Found::Waiting(ticket(5, 0)));
    let siblings = l.siblings(5).unwrap();
    let mut close = |first, count| l.close_siblings(siblings, first, count);
    // The places are 6 and 7, and then 0, 1 and 2. One that has had its answer ends it, and one that was never sent.
    assert_eq!([close(6, 4), close(9, 1), close(8, 3), close(10, 9)], [2, 1, 1, 1]);
    assert_eq!([close(6, 0), close(11, 3), l.waiting()], [0, 0, 0]);
    // A whole ring of them: those after the last one have the first one's places, and are none of them.
    l.open(ticket(21, 0), 8, |_| panic!("nothing waited"));
    let siblings = l.siblings(21).unwrap();
    let mut close = |first, count| l.close_siblings(siblings, first, count);
    assert_eq!([close(29, 1), close(30, 1), close(20, 2), close(24, 99)], [0, 0, 0, 5]);
    assert_eq!(l.waiting(), 3);
}

#[test]
fn the_window_follows_rate_and_wait_within_bounds() {
    let places = |rate, s| Ledger::new(rate, Nanos::from_secs(s), false).words.len();
    assert_eq!(places(10.0, 1), 1_024);
    assert_eq!(places(100_000.0, 1), 131_072);
    assert_eq!(places(20e6, 60), 1 << 21);
}
