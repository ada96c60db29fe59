//! The way back for forwarded packets: which client stands behind which upstream socket.
//!
//! Knows no sockets, only their numbers. Every session owns one connected upstream socket, opened at start, so that the
//! upstream sees one port a client (as a NAT would give it), answers need no look into the payload, and the kernel lets
//! nobody but the upstream answer. The table is bounded and never allocates after construction.

use std::hash::{BuildHasher as _, BuildHasherDefault, Hasher as _};
use std::net::{IpAddr, SocketAddr};

use crate::base::{IngressId, Instant, Nanos, Priority, SocketId};

/// Who asked: where its answers go, and how they are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Client {
    /// The client's address.
    pub peer: SocketAddr,
    /// The address it asked, where the socket is bound to a wildcard.
    pub local: Option<IpAddr>,
    /// The socket it asked by.
    pub socket: SocketId,
}

/// How sessions are bounded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// How many clients at once.
    pub sessions: u32,
    /// A session unused for this long may be given to another client.
    pub idle: Nanos,
    /// Answers that the upstream sends to one request; 0: unknown. A session whose requests have all been answered may be
    /// given to another client at once.
    pub answers: u32,
}

/// Where an answer goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WayBack {
    /// The client.
    pub client: Client,
    /// The ingress it had asked.
    pub ingress: IngressId,
    /// The class of its last request.
    pub priority: Priority,
}

const NONE: u32 = u32::MAX;
/// Clients that hash to one bucket. With four places a session, a full bucket of eight is out of the ordinary.
const BUCKET: usize = 8;

#[derive(Clone, Copy, Debug)]
struct Session {
    way_back: Option<WayBack>,
    used: Instant,
    outstanding: u32,
    place: u32,
    older: u32,
    newer: u32,
}

/// Sessions of one egress on one worker, in order of their last use.
#[derive(Debug)]
pub struct Sessions {
    options: Options,
    all: Box<[Session]>,
    buckets: Box<[u32]>,
    secret: u64,
    oldest: u32,
    newest: u32,
}

impl Sessions {
    /// A table for `options.sessions` clients. `secret` keeps outsiders from choosing addresses that share a bucket.
    #[must_use]
    pub fn new(options: Options, secret: u64) -> Self {
        let count = options.sessions.clamp(1, NONE - 1);
        let empty = |i: u32| Session {
            way_back: None,
            used: Instant::ZERO,
            outstanding: 0,
            place: NONE,
            older: i.checked_sub(1).unwrap_or(NONE),
            newer: if i + 1 < count { i + 1 } else { NONE },
        };
        let places = (count as usize * 4).next_power_of_two().max(BUCKET);
        Self {
            options,
            all: (0..count).map(empty).collect(),
            buckets: vec![NONE; places].into_boxed_slice(),
            secret,
            oldest: 0,
            newest: count - 1,
        }
    }

    /// The session for a request of this client: its own, a free one, or one that may be reclaimed. `None`: all are in use.
    pub fn request(&mut self, now: Instant, way_back: WayBack) -> Option<u32> {
        let (bucket, found) = self.find(&way_back.client);
        let i = match found {
            Some(i) => i,
            None => self.take(now, bucket)?,
        };
        self.touch(now, i);
        let session = &mut self.all[i as usize];
        session.way_back = Some(way_back);
        session.outstanding = session.outstanding.saturating_add(self.options.answers);
        Some(i)
    }

    /// An answer came by session `i`: where it goes. `None` when no client stands behind it any more.
    pub fn answer(&mut self, now: Instant, i: u32) -> Option<WayBack> {
        let way_back = self.all.get(i as usize)?.way_back?;
        self.touch(now, i);
        let session = &mut self.all[i as usize];
        session.outstanding = session.outstanding.saturating_sub(1);
        Some(way_back)
    }

    /// Whether answers are still expected: the upstream owes some, and not for so long that nobody waits for them.
    #[must_use]
    pub fn awaits(&self, now: Instant) -> bool {
        self.all.iter().any(|s| s.outstanding > 0 && now.since(s.used) < self.options.idle)
    }

    /// How many sessions have a client behind them.
    #[must_use]
    pub fn in_use(&self) -> usize {
        self.all.iter().filter(|s| s.way_back.is_some()).count()
    }

    /// The client's bucket, and its session if it has one.
    fn find(&self, client: &Client) -> (usize, Option<u32>) {
        let mut hasher = BuildHasherDefault::<std::hash::DefaultHasher>::default().build_hasher();
        hasher.write_u64(self.secret);
        std::hash::Hash::hash(client, &mut hasher);
        #[expect(clippy::cast_possible_truncation, reason = "the low bits of a hash")]
        let bucket = (hasher.finish() as usize & (self.buckets.len() / BUCKET - 1)) * BUCKET;
        let mine = |i: &&u32| {
            **i != NONE && self.all[**i as usize].way_back.is_some_and(|w| w.client == *client)
        };
        (bucket, self.buckets[bucket..bucket + BUCKET].iter().find(mine).copied())
    }

    /// Takes the session that was used longest ago, if it may be taken, and enters it into `bucket`.
    fn take(&mut self, now: Instant, bucket: usize) -> Option<u32> {
        let room = self.buckets[bucket..bucket + BUCKET].iter().position(|i| *i == NONE)?;
        let i = self.reclaimable(now)?;
        let place = self.all[i as usize].place;
        if place != NONE {
            self.buckets[place as usize] = NONE;
        }
        self.buckets[bucket + room] = i;
        let session = &mut self.all[i as usize];
        session.place = u32::try_from(bucket + room).unwrap_or(NONE);
        session.outstanding = 0;
        Some(i)
    }

    fn reclaimable(&self, now: Instant) -> Option<u32> {
        // The oldest few: an unanswered request at the very end must not hide answered ones just behind it.
        let mut i = self.oldest;
        for _ in 0..BUCKET {
            let session = self.all.get(i as usize)?;
            let answered = self.options.answers > 0 && session.outstanding == 0;
            if session.way_back.is_none()
                || answered
                || now.since(session.used) >= self.options.idle
            {
                return Some(i);
            }
            i = session.newer;
        }
        None
    }

    /// Moves session `i` to the newest end.
    fn touch(&mut self, now: Instant, i: u32) {
        self.all[i as usize].used = now;
        if self.newest == i {
            return;
        }
        let Session { older, newer, .. } = self.all[i as usize];
        match self.all.get_mut(older as usize) {
            Some(o) => o.newer = newer,
            None => self.oldest = newer,
        }
        self.all[newer as usize].older = older;
        self.all[self.newest as usize].newer = i;
        let session = &mut self.all[i as usize];
        session.older = self.newest;
        session.newer = NONE;
        self.newest = i;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn way_back(port: u16) -> WayBack {
        WayBack {
            client: Client {
                peer: ([127, 0, 0, 1], port).into(),
                local: None,
                socket: SocketId(0),
            },
            ingress: IngressId(0),
            priority: Priority::High,
        }
    }

    const fn at(s: u64) -> Instant {
        Instant::from_nanos(s * 1_000_000_000)
    }

    fn table(sessions: u32, answers: u32) -> Sessions {
        Sessions::new(Options { sessions, idle: Nanos::from_secs(30), answers }, 7)
    }

    #[test]
    fn a_client_keeps_its_session_and_answers_find_it() {
        let mut t = table(4, 0);
        let a = t.request(at(0), way_back(1)).unwrap();
        let b = t.request(at(0), way_back(2)).unwrap();
        assert_ne!(a, b);
        assert_eq!(t.request(at(1), way_back(1)), Some(a));
        assert_eq!(t.answer(at(1), b).unwrap().client.peer.port(), 2);
        assert_eq!(t.answer(at(1), 3), None);
        assert_eq!(t.answer(at(1), 99), None);
    }

    #[test]
    fn a_full_table_refuses_until_a_session_is_idle() {
        let mut t = table(2, 0);
        t.request(at(0), way_back(1)).unwrap();
        t.request(at(10), way_back(2)).unwrap();
        assert_eq!(t.request(at(29), way_back(3)), None);
        let c = t.request(at(30), way_back(3)).unwrap();
        assert_eq!(t.answer(at(30), c).unwrap().client.peer.port(), 3);
        assert_eq!(t.in_use(), 2);
    }

    #[test]
    fn an_answered_session_is_reused_at_once_where_the_count_is_known() {
        let mut t = table(1, 1);
        let a = t.request(at(0), way_back(1)).unwrap();
        assert_eq!(t.request(at(0), way_back(2)), None);
        t.answer(at(0), a).unwrap();
        assert_eq!(t.request(at(0), way_back(2)), Some(a));
    }

    #[test]
    fn answers_are_awaited_where_their_count_is_known_and_not_for_ever() {
        let mut known = table(2, 1);
        assert!(!known.awaits(at(0)));
        let a = known.request(at(0), way_back(1)).unwrap();
        known.request(at(1), way_back(2)).unwrap();
        known.answer(at(1), a).unwrap();
        assert!(known.awaits(at(30)));
        assert!(!known.awaits(at(31)));
        let mut unknown = table(2, 0);
        unknown.request(at(0), way_back(1)).unwrap();
        assert!(!unknown.awaits(at(0)));
    }

    proptest! {
        /// Against a plain map: an answer never goes to anybody but the client whose request used that session last.
        #[test]
        fn answers_never_go_to_strangers(ops in proptest::collection::vec((0u16..60, any::<bool>(), 0u64..3), 1..600)) {
            let mut t = table(16, 0);
            let mut owner = std::collections::BTreeMap::new();
            let mut now = 0;
            for (port, ask, wait) in ops {
                now += wait;
                if ask {
                    if let Some(i) = t.request(at(now), way_back(port)) {
                        owner.insert(i, port);
                        prop_assert_eq!(t.request(at(now), way_back(port)), Some(i));
                    }
                } else {
                    let i = u32::from(port % 16);
                    prop_assert_eq!(t.answer(at(now), i).map(|w| w.client.peer.port()), owner.get(&i).copied());
                }
            }
            let mut seen: Vec<_> = owner.values().collect();
            let n = seen.len();
            seen.sort_unstable();
            seen.dedup();
            prop_assert!(t.in_use() <= 16 && n <= 16);
        }
    }
}
