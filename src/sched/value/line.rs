//! The line: all that is promised, in deadline order, in blocks, so that a walk touches only blocks that are in doubt.
//!
//! Knows no rule. Bounded: all blocks are allocated at construction, and two neighbours hold more than half a block together,
//! so that there are never more than one for each quarter of a block of entries.

use super::block::{BLOCK, Block, NONE};
use super::{Entry, Key};
use crate::base::{Instant, Nanos, Priority};

/// A place in the line. Good until the next change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    block: usize,
    at: usize,
}

impl Place {
    /// Where the first of all stands, if there is one.
    pub(super) const FIRST: Self = Self { block: 0, at: 0 };
}

/// What stands before the line when a walk begins.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ahead {
    /// When the worker is free for the first in line, margin included.
    pub(super) start: Instant,
    /// Work in the middle of the line that is not in it: the rest of what runs.
    pub(super) rest: Option<(Key, Nanos, u64)>,
    /// How many deviations of the work before an entry must be free.
    pub(super) confidence: u32,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Line<T> {
    /// In order; none of them empty.
    blocks: Vec<Block<T>>,
    /// Those not in use.
    spare: Vec<Block<T>>,
    len: usize,
    capacity: usize,
    /// Of all entries.
    work: u64,
    variance: u64,
    /// No entry since the line was last empty was due longer before the place that it stands at than that.
    displaced: Nanos,
}

impl<T: Copy> Line<T> {
    pub(super) fn new(capacity: usize) -> Self {
        // Neighbours hold more than half a block together: at most four blocks for each block's worth of entries.
        let most = 4 * capacity.div_ceil(BLOCK) + 2;
        Self {
            blocks: Vec::with_capacity(most),
            spare: (0..most).map(|_| Block::new()).collect(),
            len: 0,
            capacity,
            work: 0,
            variance: 0,
            displaced: Nanos::ZERO,
        }
    }

    pub(super) const fn len(&self) -> usize {
        self.len
    }

    pub(super) const fn is_full(&self) -> bool {
        // What was promised elsewhere is taken over whole: there may then be more.
        self.len >= self.capacity
    }

    pub(super) fn first(&self) -> Option<&Entry<T>> {
        self.blocks.first().and_then(Block::first)
    }

    /// All of them, in order.
    pub(super) fn iter(&self) -> impl DoubleEndedIterator<Item = &Entry<T>> {
        self.blocks.iter().flat_map(Block::entries)
    }

    /// The work of all of them.
    pub(super) const fn work(&self) -> Nanos {
        Nanos::new(self.work)
    }

    /// Whether all, and `more`, are certainly done by then in whatever order they are run, and those behind `more`, which are due
    /// later, in time.
    pub(super) fn surely_fits(&self, ahead: &Ahead, more: &Entry<T>, by: Instant) -> bool {
        let (rest, unsure) =
            ahead.rest.map_or((0, 0), |(_, left, variance)| (left.get(), variance));
        let work = self.work + rest + more.service.get();
        let all = Walked { work, variance: 0, rest: None };
        let end = all.end(ahead, self.variance + unsure + more.variance());
        end <= by && end + self.displaced <= more.key.by
    }

    /// Puts an entry in its place. There must be room.
    pub(super) fn insert(&mut self, entry: Entry<T>) {
        let at = self.blocks.partition_point(|b| b.last_key().is_some_and(|k| k < entry.key));
        // Behind all of them: the last block takes it.
        let mut at = at.min(self.blocks.len().saturating_sub(1));
        if self.blocks.is_empty() {
            self.blocks.extend(self.spare.pop());
        } else if self.blocks[at].is_full()
            && let Some(mut new) = self.spare.pop()
        {
            self.blocks[at].split(&mut new);
            let second = new.first().is_some_and(|e| e.key < entry.key);
            self.blocks.insert(at + 1, new);
            at += usize::from(second);
        }
        if let Some(block) = self.blocks.get_mut(at) {
            block.insert(entry);
            self.len += 1;
            self.work += entry.service.get();
            self.variance += entry.variance();
            self.displaced = self.displaced.max(entry.key.by.since(entry.deadline));
        }
    }

    pub(super) fn remove(&mut self, place: Place) -> Option<Entry<T>> {
        let entry = self.blocks.get_mut(place.block)?.remove(place.at)?;
        self.len -= 1;
        self.work -= entry.service.get();
        self.variance -= entry.variance();
        if self.len == 0 {
            self.displaced = Nanos::ZERO;
        }
        if self.blocks[place.block].len() == 0 {
            let empty = self.blocks.remove(place.block);
            self.spare.push(empty);
        }
        self.join(place.block);
        if place.block > 0 {
            self.join(place.block - 1);
        }
        Some(entry)
    }

    /// Where the first of that priority stands.
    pub(super) fn first_of(&self, priority: Priority) -> Option<Place> {
        let block = self.blocks.iter().position(|b| b.has(priority))?;
        let at =
            self.blocks.get(block)?.entries().iter().position(|e| e.key.priority == priority)?;
        Some(Place { block, at })
    }

    pub(super) fn pop_first(&mut self) -> Option<Entry<T>> {
        self.remove(Place::FIRST)
    }

    /// Where that key stands.
    pub(super) fn find(&self, key: &Key) -> Option<Place> {
        let block = self.blocks.partition_point(|b| b.last_key().is_some_and(|k| k < *key));
        let at = self.blocks.get(block)?.entries().binary_search_by_key(key, |e| e.key).ok()?;
        Some(Place { block, at })
    }

    /// Joins a block with the one behind it, if both together are at most half a block.
    fn join(&mut self, at: usize) {
        let together = |b: &[Block<T>]| b.iter().map(Block::len).sum::<usize>();
        let small = self.blocks.get(at..at + 2).is_some_and(|two| together(two) <= BLOCK / 2);
        if small {
            let mut second = self.blocks.remove(at + 1);
            self.blocks[at].append(&mut second);
            self.spare.push(second);
        }
    }

    /// Walks over those of the first `most` entries that may be late, and tells of each what was passed with it. Blocks that are certainly
    /// in time are passed by at once. `see` says whether to go on.
    pub(super) fn doubtful(
        &self,
        ahead: &Ahead,
        most: usize,
        mut see: impl FnMut(Place, &Entry<T>, &Walked) -> bool,
    ) {
        let mut left = most;
        let mut walked = Walked { work: 0, variance: 0, rest: ahead.rest };
        for (n, block) in self.blocks.iter().enumerate() {
            if let Some(first) = block.first() {
                walked.pass(&first.key);
            }
            let rest_within =
                walked.rest.is_some_and(|(key, ..)| block.last_key().is_some_and(|k| key < k));
            let variance = walked.variance + block.variance;
            if !rest_within && block.is_in_time(walked.end(ahead, variance)) {
                walked.work += block.work;
                walked.variance = variance;
                left = left.saturating_sub(block.len());
                continue;
            }
            for (at, entry) in block.entries().iter().take(left).enumerate() {
                walked.pass(&entry.key);
                walked.work += entry.service.get();
                walked.variance += entry.variance();
                if !see(Place { block: n, at }, entry, &walked) {
                    return;
                }
            }
            left = left.saturating_sub(block.len());
        }
    }

    /// What is passed with the rest of what runs, in its place in line.
    pub(super) fn up_to_rest(&self, ahead: &Ahead) -> Option<Walked> {
        let (key, left, variance) = ahead.rest?;
        Some(self.before(&key, Walked { work: left.get(), variance, rest: None }))
    }

    /// What is passed up to the place of that entry, whether or not it is in line, and with it.
    pub(super) fn up_to(&self, ahead: &Ahead, entry: &Entry<T>) -> Walked {
        let mut walked =
            Walked { work: entry.service.get(), variance: entry.variance(), rest: ahead.rest };
        walked.pass(&entry.key);
        self.before(&entry.key, walked)
    }

    /// The work of those before that entry that may give way to it and are worth less for their time, and the longest of them.
    pub(super) fn worth_less(&self, newest: &Entry<T>) -> (Nanos, Nanos) {
        let from = newest.key.priority;
        let least = |b: &&Block<T>| b.least_among(from, Priority::BestEffort).0 < newest.density;
        let before =
            self.blocks.iter().take_while(|b| b.first().is_some_and(|e| e.key < newest.key));
        let entries = before.filter(least).flat_map(Block::entries);
        let may = |e: &&Entry<T>| {
            e.key < newest.key && e.key.priority >= from && e.density < newest.density
        };
        entries.filter(may).fold((Nanos::ZERO, Nanos::ZERO), |(all, longest), e| {
            (all + e.service, longest.max(e.service))
        })
    }

    /// All entries before that key, on top of what was passed.
    fn before(&self, key: &Key, passed: Walked) -> Walked {
        let mut walked = passed;
        for block in self.blocks.iter().take_while(|b| b.first().is_some_and(|e| e.key < *key)) {
            if block.last_key().is_some_and(|last| last < *key) {
                walked.work += block.work;
                walked.variance += block.variance;
                continue;
            }
            for entry in block.entries().iter().take_while(|e| e.key < *key) {
                walked.work += entry.service.get();
                walked.variance += entry.variance();
            }
        }
        walked
    }

    /// The entry of least density that stands at or before `last`, of the priorities from the first to the second of `among`; of
    /// equals the newest.
    pub(super) fn least(&self, last: &Key, among: (Priority, Priority)) -> Option<(u64, Place)> {
        let (from, to) = among;
        let (mut best, mut of) = (NONE, 0);
        for (n, block) in self.blocks.iter().enumerate() {
            if block.first().is_none_or(|e| e.key > *last) {
                break;
            }
            let whole = block.last_key().is_some_and(|k| k <= *last);
            let mut least = block.least_among(from, to);
            if !whole && least < best {
                let up_to = block.entries().iter().take_while(|e| e.key <= *last);
                let may_go = up_to.filter(|e| (from..=to).contains(&e.key.priority));
                least = may_go.map(Entry::least).min().unwrap_or(NONE);
            }
            if least < best {
                (best, of) = (least, n);
            }
        }
        let (density, std::cmp::Reverse(seq)) = best;
        let at = self.blocks.get(of)?.position(seq).filter(|_| best != NONE)?;
        Some((density, Place { block: of, at }))
    }

    pub(super) fn get(&self, place: Place) -> Option<&Entry<T>> {
        self.blocks.get(place.block)?.entries().get(place.at)
    }

    #[cfg(test)]
    pub(super) fn check(&self) {
        self.blocks.iter().for_each(Block::check);
        assert!(self.blocks.iter().all(|b| b.len() > 0), "an empty block in line");
        assert!(self.iter().is_sorted_by_key(|e| e.key), "order between blocks");
        assert_eq!(self.len, self.iter().count(), "the line's length");
        let sums = self.iter().fold((0, 0), |s, e| (s.0 + e.service.get(), s.1 + e.variance()));
        assert_eq!((self.work, self.variance), sums, "the line's sums");
        let most = self.iter().map(|e| e.key.by.since(e.deadline)).max();
        assert!(most <= Some(self.displaced), "one is displaced further");
        let together = |two: &[Block<T>]| two[0].len() + two[1].len();
        assert!(self.blocks.windows(2).all(|two| together(two) > BLOCK / 2), "two thin neighbours");
        assert_eq!(self.blocks.len() + self.spare.len(), self.blocks.capacity(), "a block is lost");
    }
}

/// What a walk has passed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Walked {
    work: u64,
    variance: u64,
    rest: Option<(Key, Nanos, u64)>,
}

impl Walked {
    /// Passes the rest of what runs, if it stands before `key`.
    fn pass(&mut self, key: &Key) {
        if let Some((of, left, variance)) = self.rest
            && of < *key
        {
            self.work += left.get();
            self.variance += variance;
            self.rest = None;
        }
    }

    /// Whether all that was passed is done by then, deviations included. A root is drawn only where it decides.
    pub(super) fn is_done_by(&self, ahead: &Ahead, deadline: Instant) -> bool {
        ahead.start + Nanos::new(self.work) <= deadline
            && self.end(ahead, self.variance) <= deadline
    }

    /// When it is done if all takes as long as believed.
    pub(super) fn without_deviations(&self, ahead: &Ahead) -> Instant {
        ahead.start + Nanos::new(self.work)
    }

    /// Whether it would be without that one of them.
    pub(super) fn would_be_done_by<T>(
        &self,
        ahead: &Ahead,
        deadline: Instant,
        without: &Entry<T>,
    ) -> bool {
        let work = self.work.saturating_sub(without.service.get());
        let variance = self.variance.saturating_sub(without.variance());
        Self { work, variance, rest: self.rest }.is_done_by(ahead, deadline)
    }

    /// When all that was passed is done, and the deviations of it, `variance` in all, are past.
    fn end(&self, ahead: &Ahead, variance: u64) -> Instant {
        let unsure = match variance {
            0 => 0,
            _ => variance.isqrt().saturating_mul(u64::from(ahead.confidence)),
        };
        ahead.start + Nanos::new(self.work.saturating_add(unsure))
    }
}
