//! What is promised, what waits in reserve, what is given up: the decisions.
//!
//! Knows no estimates: entries carry what is believed of them.

mod tail;

use super::line::{Ahead, Line, Place, Walked};
use super::spares::{Spare, Spares};
use super::{CAPACITY_MAX, Entry, Key, SERVICE_NS_MAX};
use crate::base::limits::PUT_BACK_MAX;
use crate::base::{DropReason, Instant, Nanos, Priority};

/// How it is set.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// The most that may be promised at a time. Range 1 to 2,048, which is the default.
    pub capacity: usize,
    /// How many refused are kept in case time comes free. Range 0 to 64, which is the default.
    pub spares: usize,
    /// How many mean deviations of the work before it a promise allows for. Range 0 to 64, default 6.
    pub confidence: u32,
    /// What else every promise leaves free. Default 0.
    pub margin: Nanos,
}

impl Default for Options {
    fn default() -> Self {
        Self { capacity: CAPACITY_MAX, spares: SPARES_MAX, confidence: 6, margin: Nanos::ZERO }
    }
}

/// On what terms a newcomer is let in.
#[derive(Clone, Copy, Debug)]
pub struct Terms {
    /// It must be expected to be done by then; its own deadline, or earlier.
    pub by: Instant,
    /// As many of its class wait as may: it is let in only for one of them that is worth less for its time,
    pub full: bool,
    /// or where it is done by then, with nobody giving way.
    pub beyond: Instant,
}

/// What is to be run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Given<T> {
    /// It.
    pub entry: Entry<T>,
    /// Whether it had been promised; a spare that is run in free time was not.
    pub promised: bool,
}

/// What is to be run next.
#[derive(Clone, Copy, Debug)]
enum Choice {
    Waits(Place),
    Spare(usize),
}

/// What runs in pieces, and may be given up between two of them.
#[derive(Clone, Copy, Debug)]
struct Running<T> {
    given: Given<T>,
    since: Instant,
    doomed: bool,
}

/// The decisions of one worker. Whoever calls drains [`Promises::next_gone`] after each call.
#[derive(Debug)]
pub struct Promises<T> {
    options: Options,
    line: Line<T>,
    spares: Spares<T>,
    /// Until then nobody can have the worker.
    held_until: Instant,
    running: Option<Running<T>>,
    /// Those that the newest takes the place of, while it looks for one.
    pushed: Vec<Spare<T>>,
    gone: Vec<(T, DropReason)>,
    next_seq: u64,
}

/// The most spares: each refusal and each dispatch looks at all of them.
const SPARES_MAX: usize = 64;
/// The most that one newcomer may push out. One that would need more is refused.
const EVICT_MAX: usize = 64;
/// How far along the line a dispatch looks for what is squeezed.
pub(super) const LOOK_MAX: usize = 256;

impl<T: Copy> Promises<T> {
    /// Nothing is promised yet. All memory is allocated here.
    ///
    /// # Panics
    /// When the capacity is 0 or above 2,048, the spares are more than 64 or the confidence is above 64.
    #[must_use]
    pub fn new(options: Options) -> Self {
        assert!((1..=CAPACITY_MAX).contains(&options.capacity), "capacity is 1 to {CAPACITY_MAX}");
        assert!(options.spares <= SPARES_MAX, "spares are 0 to {SPARES_MAX}");
        assert!(options.confidence <= 64, "confidence is 0 to 64");
        Self {
            options,
            line: Line::new(options.capacity),
            spares: Spares::new(options.spares),
            held_until: Instant::ZERO,
            running: None,
            // A call gives up each entry and each spare at most once, and one more that never got in.
            gone: Vec::with_capacity(options.capacity + options.spares + 2),
            pushed: Vec::with_capacity(EVICT_MAX + 2),
            next_seq: PUT_BACK_MAX,
        }
    }

    /// How many are promised and wait.
    #[must_use]
    pub const fn promised(&self) -> usize {
        self.line.len()
    }

    /// How many wait in reserve.
    #[must_use]
    pub const fn spares(&self) -> usize {
        self.spares.len()
    }

    /// The work of all that is promised and waits.
    #[must_use]
    pub fn work(&self) -> Nanos {
        self.line.work()
    }

    /// All that is promised, in order.
    pub fn iter(&self) -> impl Iterator<Item = &Entry<T>> {
        self.line.iter()
    }

    /// What was given up, and why. To be asked until there is nothing after each call.
    #[inline]
    pub fn next_gone(&mut self) -> Option<(T, DropReason)> {
        self.gone.pop()
    }

    /// A newcomer: says whether it is promised. If not, it is gone, or waits in reserve. Its number of arrival is set here.
    /// One that never expires has [`Instant::MAX`] for a deadline.
    ///
    /// Looks at each block (1 to 130) and at the entries of blocks in doubt, up to 64 times where as many are pushed out.
    pub fn admit(&mut self, now: Instant, newcomer: Entry<T>) -> bool {
        self.admit_within(now, newcomer, &Terms { by: newcomer.deadline, full: false, beyond: now })
    }

    /// The same on those terms.
    pub fn admit_within(&mut self, now: Instant, newcomer: Entry<T>, terms: &Terms) -> bool {
        let mut entry = newcomer;
        entry.key.seq = self.next_seq;
        self.next_seq += 1;
        entry.service = entry.service.min(Nanos::new(SERVICE_NS_MAX));
        if !entry.is_viable(now) {
            self.gone.push((entry.item, DropReason::PredictedMiss));
            return false;
        }
        match self.find_place(now, &entry, terms) {
            None => {
                self.give_up_pushed(now);
                true
            }
            Some(why) => {
                self.put_back_pushed();
                self.refuse(now, Spare { entry, why });
                false
            }
        }
    }

    /// Puts the newest into the line, and takes out what must go for that; or says why it has no place there.
    fn find_place(&mut self, now: Instant, newest: &Entry<T>, terms: &Terms) -> Option<DropReason> {
        if now + newest.service > terms.by {
            return Some(DropReason::PredictedMiss);
        }
        if terms.full {
            if self.goes_between(now, newest, terms.by.min(terms.beyond)) {
                return None;
            }
            if !self.make_room(newest, newest.key.priority) {
                return Some(DropReason::QuotaPriority);
            }
        }
        if self.line.is_full() && !self.make_room(newest, Priority::BestEffort) {
            return Some(DropReason::QuotaTotal);
        }
        let ahead = self.ahead(now);
        if self.line.surely_fits(&ahead, newest, terms.by) {
            self.line.insert(*newest);
            return None;
        }
        // Under overload nearly all are refused, and most of them here: nothing has been moved for them.
        if self.is_hopeless(&ahead, newest, terms.by) {
            return Some(DropReason::PredictedMiss);
        }
        self.line.insert(*newest);
        let doomed = self.running.as_ref().is_some_and(|r| r.doomed);
        let why = self.make_fit(now, newest, terms.by)?;
        if let Some(running) = &mut self.running {
            running.doomed = doomed;
        }
        if let Some(place) = self.line.find(&newest.key) {
            self.line.remove(place);
        }
        Some(why)
    }

    /// Puts the newest into the line if it is done by then there, and nobody behind it is made late.
    fn goes_between(&mut self, now: Instant, newest: &Entry<T>, by: Instant) -> bool {
        if self.line.is_full() || now + newest.service > by {
            return false;
        }
        let ahead = self.ahead(now);
        let surely = self.line.surely_fits(&ahead, newest, by);
        if !surely && !self.line.up_to(&ahead, newest).is_done_by(&ahead, by) {
            return false;
        }
        self.line.insert(*newest);
        if surely || self.first_late(now, newest, by).is_none() {
            return true;
        }
        if let Some(place) = self.line.find(&newest.key) {
            self.line.remove(place);
        }
        false
    }

    /// Whether the newest would not be done by then, however many of those before it that are worth less for their time go:
    /// all of them, or as many as one newcomer may push out.
    fn is_hopeless(&self, ahead: &Ahead, newest: &Entry<T>, by: Instant) -> bool {
        let up_to = self.line.up_to(ahead, newest);
        if ahead.rest.is_some() || up_to.is_done_by(ahead, by) {
            return false;
        }
        let (all, longest) = self.line.worth_less(newest);
        // At best nobody's deviation is left.
        let too_much = up_to.without_deviations(ahead).since(by);
        all == Nanos::ZERO || too_much > all.min(longest.saturating_mul(EVICT_MAX as u64))
    }

    /// Puts what was promised elsewhere into the line, whether or not it is still in time. There must be room.
    pub fn restore(&mut self, entry: Entry<T>) {
        let seq = self.next_seq;
        self.next_seq += 1;
        let service = entry.service.min(Nanos::new(SERVICE_NS_MAX));
        self.line.insert(Entry { key: Key { seq, ..entry.key }, service, ..entry });
    }

    /// What was taken and begun stands in line again, before all others that are due when it is, with what is left of it. The
    /// number in its key, below [`PUT_BACK_MAX`], tells it apart from whatever else was put back and still waits. There must be room.
    pub fn put_back(&mut self, entry: Entry<T>) {
        debug_assert!(entry.key.seq < PUT_BACK_MAX, "numbers of arrivals are above");
        let service = entry.service.min(Nanos::new(SERVICE_NS_MAX)).max(Nanos::new(1));
        self.line.insert(Entry { service, ..entry });
    }

    /// Whether a newcomer would be promised, and nobody would give way. May say no where it would be.
    #[must_use]
    pub fn surely_fits(&self, now: Instant, newcomer: &Entry<T>, by: Instant) -> bool {
        !self.line.is_full()
            && newcomer.is_viable(now)
            && self.line.surely_fits(&self.ahead(now), newcomer, by)
    }

    /// Whether a newcomer would be done by then in its place behind all that is promised, with nobody giving way.
    #[must_use]
    pub fn would_be_in_time(&self, now: Instant, newcomer: &Entry<T>, by: Instant) -> bool {
        let ahead = self.ahead(now);
        let last = Entry { key: Key { seq: self.next_seq, ..newcomer.key }, ..*newcomer };
        self.line.up_to(&ahead, &last).is_done_by(&ahead, by)
    }

    /// The next to be run, if it is started at `start`. Whoever can no longer make it is given up on the way.
    ///
    /// Looks at each block, at each spare, and at those of the first 256 entries that are in doubt; as often again for each that is given up.
    pub fn take(&mut self, start: Instant) -> Option<Given<T>> {
        loop {
            let (given, why) = self.next(start, |_| true)?;
            if given.entry.is_viable(start) {
                return Some(given);
            }
            self.gone.push((given.entry.item, why));
        }
    }

    /// The next that would be run at `start`, if it is `wanted`, and why it is dropped if it can no longer make it: that is for
    /// the caller to judge.
    pub fn next(
        &mut self,
        start: Instant,
        wanted: impl FnOnce(&T) -> bool,
    ) -> Option<(Given<T>, DropReason)> {
        self.readmit(start);
        match self.choose(start)? {
            Choice::Waits(place) => {
                wanted(&self.line.get(place)?.item).then_some(())?;
                let entry = self.line.remove(place)?;
                Some((Given { entry, promised: true }, DropReason::LateAtDispatch))
            }
            Choice::Spare(at) => {
                wanted(&self.spares.get(at)?.entry.item).then_some(())?;
                let spare = self.spares.take(at)?;
                Some((Given { entry: spare.entry, promised: false }, spare.why))
            }
        }
    }

    /// The first promised one of that priority.
    #[must_use]
    pub fn first_of(&self, priority: Priority) -> Option<&Entry<T>> {
        self.line.get(self.line.first_of(priority)?)
    }

    /// Takes it out.
    pub fn take_first_of(&mut self, priority: Priority) -> Option<Entry<T>> {
        self.line.remove(self.line.first_of(priority)?)
    }

    /// What stands first in line, else the best in reserve.
    #[must_use]
    pub fn head(&self) -> Option<&Entry<T>> {
        self.line.first().or_else(|| self.spares.best_of_all(false).map(|(_, e)| e))
    }

    /// The worker is taken until then, by what is not given up before its end.
    pub fn hold(&mut self, until: Instant) {
        self.held_until = until;
        self.running = None;
    }

    /// What was taken is run from `start` on, for `chunk` at most: then [`Promises::paused`] or [`Promises::finished`] follows.
    pub fn run(&mut self, start: Instant, given: Given<T>, chunk: Nanos) {
        self.held_until = start + given.entry.service.min(chunk);
        self.running = Some(Running { given, since: start, doomed: false });
    }

    /// What ran is done.
    pub const fn finished(&mut self) {
        self.running = None;
        self.held_until = Instant::ZERO;
    }

    /// What ran is not done, and is believed to take so much more: it stands in line again, or is given up for what is worth
    /// more.
    pub fn paused(&mut self, now: Instant, left: Nanos) {
        let Some(running) = self.running.take() else { return };
        self.held_until = Instant::ZERO;
        let mut entry = running.given.entry;
        entry.service = left.min(Nanos::new(SERVICE_NS_MAX)).max(Nanos::new(1));
        if running.doomed || !running.given.promised || self.line.is_full() {
            let why = if running.doomed { DropReason::Evicted } else { DropReason::PredictedMiss };
            self.refuse(now, Spare { entry, why });
        } else {
            self.line.insert(entry);
        }
    }

    /// Takes back what was just admitted: whoever brought it has no room for it after all.
    pub fn withdraw(&mut self, mut is_it: impl FnMut(&T) -> bool) {
        let waits = self.line.iter().find(|e| is_it(&e.item)).map(|e| e.key);
        match waits.and_then(|key| self.line.find(&key)) {
            Some(place) => drop(self.line.remove(place)),
            None => drop(self.spares.take_if(is_it)),
        }
    }

    /// If it is among those given up, it is struck off that list: why it was given up.
    pub fn strike(&mut self, is_it: impl Fn(&T) -> bool) -> Option<DropReason> {
        let at = self.gone.iter().position(|(item, _)| is_it(item))?;
        Some(self.gone.swap_remove(at).1)
    }

    /// Whether anything was given up that was not asked for yet.
    #[must_use]
    #[inline]
    pub const fn has_gone(&self) -> bool {
        !self.gone.is_empty()
    }

    /// The next in line, then those in reserve, whatever their deadlines.
    pub fn pop_any(&mut self) -> Option<Entry<T>> {
        self.line.pop_first().or_else(|| self.spares.pop().map(|s| s.entry))
    }

    fn ahead(&self, now: Instant) -> Ahead {
        Ahead {
            start: now.max(self.held_until) + self.options.margin,
            rest: self.rest(now).map(|(e, left)| (e.key, left, e.variance())),
            confidence: self.options.confidence,
        }
    }

    /// What is left of what runs once the worker can be had, if it is not to be given up then.
    fn rest(&self, now: Instant) -> Option<(&Entry<T>, Nanos)> {
        let running = self.running.as_ref().filter(|r| !r.doomed)?;
        let entry = &running.given.entry;
        let left = entry.service.saturating_sub(now.max(self.held_until).since(running.since));
        (left > Nanos::ZERO).then_some((entry, left))
    }

    /// The first that the newest makes late: itself, if it is not done by then, or one behind it that would be in time without
    /// it. What is late in any case is nobody's fault.
    fn first_late(&self, now: Instant, newest: &Entry<T>, by: Instant) -> Option<Key> {
        let ahead = self.ahead(now);
        let made_late = |walked: &Walked, deadline: Instant| {
            // In this order: what is late in any case shows without a root.
            walked.would_be_done_by(&ahead, deadline, newest)
                && !walked.is_done_by(&ahead, deadline)
        };
        // What it was told to be done by may lie before its deadline: a walk over those in doubt may pass it by.
        if !self.line.up_to(&ahead, newest).is_done_by(&ahead, by) {
            return Some(newest.key);
        }
        let mut late = None;
        self.line.doubtful(&ahead, usize::MAX, |_, e, walked| {
            let is_late = e.key > newest.key && made_late(walked, e.deadline);
            late = is_late.then_some(e.key);
            late.is_none()
        });
        let Some((rest, _)) = self.rest(now) else { return late };
        let before = rest.key >= newest.key && late.is_none_or(|l| rest.key < l);
        let up_to = if before { self.line.up_to_rest(&ahead) } else { None };
        if up_to.is_some_and(|w| made_late(&w, rest.deadline)) { Some(rest.key) } else { late }
    }

    /// Whether all that is promised is in time.
    fn all_in_time(&self, now: Instant) -> bool {
        let ahead = self.ahead(now);
        let mut in_time = true;
        self.line.doubtful(&ahead, usize::MAX, |_, e, walked| {
            in_time = walked.is_done_by(&ahead, e.deadline);
            in_time
        });
        let late = |(rest, _): (&Entry<T>, Nanos)| {
            self.line.up_to_rest(&ahead).is_some_and(|w| !w.is_done_by(&ahead, rest.deadline))
        };
        in_time && !self.rest(now).is_some_and(late)
    }

    /// Takes out what must go so that all behind the newest are in time. Says why the newest must go itself, if it must.
    fn make_fit(&mut self, now: Instant, newest: &Entry<T>, by: Instant) -> Option<DropReason> {
        for _ in 0..EVICT_MAX {
            let late = self.first_late(now, newest, by)?;
            let waits = self.line.least(&late, (newest.key.priority, Priority::BestEffort));
            if self.doom(now, newest, &late, waits) {
                continue;
            }
            let Some((_, place)) = waits else { break };
            if self.line.get(place).is_some_and(|e| e.key == newest.key) {
                let miss = late == newest.key;
                return Some(if miss { DropReason::PredictedMiss } else { DropReason::Evicted });
            }
            self.push_out(place);
        }
        self.first_late(now, newest, by).map(|_| DropReason::PredictedMiss)
    }

    /// Takes an entry out of the line. Whether it is given up for good shows once the newest has its place.
    fn push_out(&mut self, place: Place) {
        if let Some(entry) = self.line.remove(place) {
            self.pushed.push(Spare { entry, why: DropReason::Evicted });
        }
    }

    /// The newest has its place: what it pushed out is given up.
    fn give_up_pushed(&mut self, now: Instant) {
        while let Some(spare) = self.pushed.pop() {
            self.refuse(now, spare);
        }
    }

    /// The newest has no place after all, and nobody gives way to nobody.
    fn put_back_pushed(&mut self) {
        while let Some(Spare { entry, .. }) = self.pushed.pop() {
            self.line.insert(entry);
        }
    }

    /// Marks what runs to be given up, if it is worth less for its time than all that wait up to the late one.
    fn doom(
        &mut self,
        now: Instant,
        newest: &Entry<T>,
        late: &Key,
        waits: Option<(u64, Place)>,
    ) -> bool {
        let Some((rest, _)) = self.rest(now) else { return false };
        if rest.key > *late || rest.key.priority < newest.key.priority {
            return false;
        }
        let worth = |density, key: &Key| (density, std::cmp::Reverse(key.seq));
        let least = waits.and_then(|(density, at)| Some(worth(density, &self.line.get(at)?.key)));
        if least.is_some_and(|l| l <= worth(rest.density, &rest.key)) {
            return false;
        }
        if let Some(running) = &mut self.running {
            running.doomed = true;
        }
        true
    }

    /// There is no room: gives up the least of those between the newest's priority and `to`, if that is worth less for its time
    /// than the newest.
    fn make_room(&mut self, newest: &Entry<T>, to: Priority) -> bool {
        let last = Key { by: Instant::MAX, priority: Priority::BestEffort, seq: u64::MAX };
        let among = (newest.key.priority, to);
        let Some((density, place)) = self.line.least(&last, among) else { return false };
        if density >= newest.density {
            return false;
        }
        self.push_out(place);
        true
    }

    fn refuse(&mut self, now: Instant, spare: Spare<T>) {
        let gone = &mut self.gone;
        if spare.entry.bound {
            return gone.push((spare.entry.item, spare.why));
        }
        self.spares.keep(now, spare, |s| gone.push((s.entry.item, s.why)));
    }

    /// Puts the best spare back into the line, if all still fit with it.
    fn readmit(&mut self, now: Instant) {
        if self.line.is_full() {
            return;
        }
        let fit = self.spares.fit(now, self.line.work());
        let Some((at, entry)) = self.spares.best(now, fit) else { return };
        let entry = *entry;
        self.line.insert(entry);
        if self.all_in_time(now) {
            self.spares.take(at);
        } else if let Some(place) = self.line.find(&entry.key) {
            self.line.remove(place);
        }
    }

    /// The head; or what is worth more for its time and would be late in its place in line; or, when nothing is promised,
    /// the best spare; or a spare refused for want of certainty alone that is worth more than twice what is certain, or, where all
    /// spares fit and it is not known what they take, one that is worth as much and is due earlier.
    fn choose(&self, start: Instant) -> Option<Choice> {
        let head = self.line.first().map(|e| e.density);
        let (best, place) = match head.and_then(|density| self.squeezed(start, density)) {
            Some((density, place)) => (density, place),
            None => (head.unwrap_or(0), Place::FIRST),
        };
        let fit = self.spares.fit(start, self.line.work());
        let first = self.line.get(place);
        let spare = self.spares.best_of_all(fit).filter(|(_, e)| {
            let unsure = e.deviation > Nanos::ZERO;
            let due_first = |f: &Entry<T>| f.density == e.density && e.deadline < f.deadline;
            head.is_none()
                || unsure && e.density / 2 > best
                || fit && e.is_unknown() && first.is_some_and(due_first)
        });
        match spare {
            Some((at, _)) => Some(Choice::Spare(at)),
            None => head.map(|_| Choice::Waits(place)),
        }
    }

    /// Who is not in time in its place and is worth most, and more than `head`, for its time. Where its flow's order counts, the
    /// first of its priority goes in its stead.
    fn squeezed(&self, start: Instant, head: u64) -> Option<(u64, Place)> {
        let mut best: Option<(u64, Place)> = None;
        let ahead = self.ahead(start);
        self.line.doubtful(&ahead, LOOK_MAX, |place, e, walked| {
            let more = e.density > best.map_or(head, |(density, _)| density);
            if more && !walked.is_done_by(&ahead, e.deadline) {
                best = Some((e.density, place));
            }
            true
        });
        let (density, place) = best?;
        let entry = self.line.get(place)?;
        if !entry.bound {
            return Some((density, place));
        }
        let first = self.line.first_of(entry.key.priority)?;
        let density = self.line.get(first)?.density;
        (density > head).then_some((density, first))
    }

    /// What must hold after every call.
    #[cfg(test)]
    pub(super) fn check(&self) {
        self.line.check();
        assert!(self.spares.len() <= self.options.spares);
        assert!(self.line.len() <= self.options.capacity);
    }

    /// The room of what grows within a call: it must stay what it was.
    #[cfg(test)]
    pub(super) const fn room(&self) -> (usize, usize) {
        (self.gone.capacity(), self.spares.room())
    }
}
