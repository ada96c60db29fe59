//! The line seen from its end, for a device that takes what stands last.
//!
//! Knows no device. What is taken out gives its time back: sums are those of what stands in line.

use super::Promises;
use crate::base::Instant;
use crate::sched::value::{Entry, Key};

impl<T: Copy> Promises<T> {
    /// All that is promised, from the last to the first. What waits in reserve is not.
    pub fn last_first(&self) -> impl Iterator<Item = &Entry<T>> {
        self.line.iter().rev()
    }

    /// Takes one out, wherever it stands. Looks at the keys of the blocks and of one of them.
    pub fn take_out(&mut self, key: &Key) -> Option<Entry<T>> {
        self.line.remove(self.line.find(key)?)
    }

    /// Whether the worker will not have done it in time, as far as can be told: it is too late for it even now; or it is too late
    /// in its place though everything take only as long as expected, and it is not worth running before its turn.
    #[must_use]
    pub fn will_be_late(&self, now: Instant, key: &Key) -> bool {
        let Some(entry) = self.line.find(key).and_then(|place| self.line.get(place)) else {
            return false;
        };
        if !entry.is_viable(now) {
            return true;
        }
        let ahead = self.ahead(now);
        let in_its_place = self.line.up_to(&ahead, entry).without_deviations(&ahead);
        let first = self.line.first().map_or(0, |e| e.density);
        in_its_place > entry.deadline && entry.density <= first
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::{Nanos, Priority};
    use crate::sched::value::Options;

    fn at(ns: u64) -> Instant {
        Instant::from_nanos(ns)
    }

    fn entry(item: u32, deadline: u64, service: u64, density: u64) -> Entry<u32> {
        Entry {
            key: Key { by: at(deadline), priority: Priority::Medium, seq: 0 },
            deadline: at(deadline),
            service: Nanos::new(service),
            deviation: Nanos::ZERO,
            density,
            bound: true,
            item,
        }
    }

    #[test]
    fn what_is_taken_from_the_end_gives_its_time_to_who_was_refused() {
        let mut p = Promises::new(Options { confidence: 0, ..Options::default() });
        // 200 of them: several blocks.
        for n in 0..200 {
            assert!(p.admit(at(0), entry(n, 20_000, 100, 5)));
        }
        let late = entry(900, 20_000, 100, 5);
        assert!(!p.admit(at(0), late), "those that stand before it take all the time");
        assert_eq!(p.next_gone().map(|g| g.0), Some(900));
        let from_tail: Vec<(u32, Key)> = p.last_first().map(|e| (e.item, e.key)).collect();
        assert_eq!(
            from_tail.iter().map(|e| e.0).collect::<Vec<_>>(),
            (0..200).rev().collect::<Vec<_>>()
        );
        for (item, key) in from_tail.iter().take(70) {
            assert_eq!(p.take_out(key).map(|e| e.item), Some(*item));
            p.check();
        }
        assert_eq!(p.take_out(&from_tail[0].1), None, "it is not there any more");
        assert_eq!((p.promised(), p.work()), (130, Nanos::new(13_000)));
        assert!(p.admit(at(0), late), "there is time again");
        p.check();
    }

    #[test]
    fn only_what_the_worker_will_not_have_done_is_given_up_for_lost() {
        let mut p = Promises::new(Options { confidence: 0, ..Options::default() });
        for (item, density) in [(0, 5), (1, 9), (2, 4)] {
            // Each in time when it is promised: 100 each, due when all are done.
            assert!(p.admit(at(0), entry(item, 300, 100, density)));
        }
        let keys: Vec<Key> = p.iter().map(|e| e.key).collect();
        let lost = |p: &Promises<u32>, now| {
            keys.iter().map(|k| p.will_be_late(at(now), k)).collect::<Vec<_>>()
        };
        assert_eq!(lost(&p, 0), [false; 3]);
        // Too late for the last; the second would be run before its turn if it were late.
        assert_eq!(lost(&p, 50), [false, false, true]);
        assert_eq!(lost(&p, 150), [false, false, true]);
        assert_eq!(lost(&p, 201), [true; 3], "nothing can be done in time any more");
        p.take_out(&keys[0]);
        assert_eq!(lost(&p, 100), [false; 3], "what is not there, and what has its time");
    }
}
