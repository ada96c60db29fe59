//! Noticing that a worker has stopped turning, and that it turns again.
//!
//! Knows no threads: heartbeats and the time are arguments.

use crate::base::{Instant, Nanos};

/// What changed with one worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Notice {
    /// It has not turned since then.
    Stalled { since: Instant },
    /// It turns again; it had not for that long.
    Recovered { after: Nanos },
}

/// Watches one worker.
#[derive(Clone, Copy, Debug)]
pub(super) struct Watch {
    limit: Nanos,
    stalled_since: Option<Instant>,
}

impl Watch {
    pub(super) const fn new(limit: Nanos) -> Self {
        Self { limit, stalled_since: None }
    }

    /// Whether the worker is stalled by the last look.
    pub(super) const fn is_stalled(&self) -> bool {
        self.stalled_since.is_some()
    }

    /// A look at its last heartbeat. `None` while nothing changes.
    pub(super) fn look(&mut self, now: Instant, heartbeat: Instant) -> Option<Notice> {
        let late = now.since(heartbeat) >= self.limit;
        match (self.stalled_since, late) {
            (None, true) => {
                self.stalled_since = Some(heartbeat);
                Some(Notice::Stalled { since: heartbeat })
            }
            (Some(since), false) => {
                self.stalled_since = None;
                Some(Notice::Recovered { after: heartbeat.since(since) })
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_once_that_a_worker_stalls_and_once_that_it_is_back() {
        let at = |ms| Instant::ZERO + Nanos::from_millis(ms);
        let mut w = Watch::new(Nanos::from_millis(100));
        assert_eq!(w.look(at(1_099), at(1_000)), None);
        assert_eq!(w.look(at(1_100), at(1_000)), Some(Notice::Stalled { since: at(1_000) }));
        assert_eq!(w.look(at(2_000), at(1_000)), None);
        assert!(w.is_stalled());
        assert_eq!(
            w.look(at(3_010), at(3_000)),
            Some(Notice::Recovered { after: Nanos::from_millis(2_000) })
        );
        assert_eq!(w.look(at(3_020), at(3_010)), None);
    }
}
