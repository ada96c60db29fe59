//! Against a plain model after every call, and the laws by themselves: whom a newcomer may push out, what a promise means, that
//! each comes back once, that nothing grows.

use std::cmp::Reverse;

use proptest::prelude::*;

use super::*;
use crate::base::DropReason;

fn at(ns: u64) -> Instant {
    Instant::from_nanos(ns)
}

fn entry(item: u32, priority: Priority, deadline: u64, service: u64, density: u64) -> Entry<u32> {
    Entry {
        key: Key { by: at(deadline), priority, seq: 0 },
        deadline: at(deadline),
        service: Nanos::new(service),
        deviation: Nanos::ZERO,
        density,
        bound: false,
        item,
    }
}

fn sure() -> Options {
    Options { confidence: 0, ..Options::default() }
}

fn gone(p: &mut Promises<u32>) -> Vec<(u32, DropReason)> {
    std::iter::from_fn(|| p.next_gone()).collect()
}

/// The same rules over a sorted list, with every sum made anew.
struct Model {
    options: Options,
    line: Vec<Entry<u32>>,
    spares: Vec<(Entry<u32>, DropReason)>,
    held_until: Instant,
    /// Entry, since when, promised, doomed.
    running: Option<(Entry<u32>, Instant, bool, bool)>,
    gone: Vec<(u32, DropReason)>,
    next_seq: u64,
}

fn unknown(e: &Entry<u32>) -> bool {
    e.deviation > Nanos::ZERO && e.deviation.get() * 8 >= e.service.get() * 5
}

fn viable(e: &Entry<u32>, now: Instant) -> bool {
    now + e.service <= e.deadline
}

/// Of what is unknown and fits the earliest deadline is the best, else the latest.
fn worth(e: &Entry<u32>, fit: bool) -> (u64, i128) {
    let by = i128::from(e.deadline.as_nanos());
    (e.density, if fit && unknown(e) { i128::from(u64::MAX) - by } else { by })
}

impl Model {
    fn new(options: Options) -> Self {
        Self {
            options,
            line: Vec::new(),
            spares: Vec::new(),
            held_until: Instant::ZERO,
            running: None,
            gone: Vec::new(),
            next_seq: crate::base::limits::PUT_BACK_MAX,
        }
    }

    fn insert(&mut self, e: Entry<u32>) {
        self.line.push(e);
        self.line.sort_by_key(|e| e.key);
    }

    fn rest(&self, now: Instant) -> Option<Entry<u32>> {
        let (e, since, _, doomed) = self.running?;
        let left = e.service.saturating_sub(now.max(self.held_until).since(since));
        (!doomed && left > Nanos::ZERO).then_some(Entry { service: left, ..e })
    }

    /// All in line, the rest of what runs among them, and whether each is in time.
    fn walk(&self, now: Instant) -> Vec<(Entry<u32>, bool)> {
        let mut all = self.line.clone();
        all.extend(self.rest(now));
        all.sort_by_key(|e| e.key);
        let (mut work, mut variance) = (0, 0);
        let start = now.max(self.held_until) + self.options.margin;
        let judged = all.into_iter().map(|e| {
            work += e.service.get();
            variance += e.deviation.get() * e.deviation.get();
            let unsure = u64::isqrt(variance) * u64::from(self.options.confidence);
            (e, start + Nanos::new(work + unsure) <= e.deadline)
        });
        judged.collect()
    }

    /// Whom the newcomer makes late: itself, or one behind it that would be in time without it.
    fn first_late(&self, now: Instant, newest: &Entry<u32>) -> Option<Key> {
        let without =
            Self { line: self.line.clone(), gone: Vec::new(), spares: Vec::new(), ..*self };
        let mut without = without;
        without.line.retain(|e| e.key != newest.key);
        let fine = without.walk(now);
        let fine = |key: &Key| fine.iter().any(|(e, in_time)| e.key == *key && *in_time);
        let walk = self.walk(now);
        let mut late = walk.iter().filter(|(e, in_time)| !in_time && e.key >= newest.key);
        late.find(|(e, _)| e.key == newest.key || fine(&e.key)).map(|(e, _)| e.key)
    }

    fn refuse(&mut self, now: Instant, e: Entry<u32>, why: DropReason) {
        if e.bound {
            return self.gone.push((e.item, why));
        }
        for (e, why) in std::mem::take(&mut self.spares) {
            if viable(&e, now) {
                self.spares.push((e, why));
            } else {
                self.gone.push((e.item, why));
            }
        }
        if self.spares.len() < self.options.spares {
            self.spares.push((e, why));
            return;
        }
        let least = (0..self.spares.len()).min_by_key(|i| worth(&self.spares[*i].0, false));
        match least {
            Some(i) if worth(&self.spares[i].0, false) < worth(&e, false) => {
                let (old, w) = std::mem::replace(&mut self.spares[i], (e, why));
                self.gone.push((old.item, w));
            }
            _ => self.gone.push((e.item, why)),
        }
    }

    fn admit(&mut self, now: Instant, mut e: Entry<u32>) -> bool {
        e.key.seq = self.next_seq;
        self.next_seq += 1;
        if !viable(&e, now) {
            self.gone.push((e.item, DropReason::PredictedMiss));
            return false;
        }
        let (line, running) = (self.line.clone(), self.running);
        let (pushed, why) = self.place(now, e);
        if let Some(why) = why {
            (self.line, self.running) = (line, running);
            self.refuse(now, e, why);
        } else {
            for v in pushed.into_iter().rev() {
                self.refuse(now, v, DropReason::Evicted);
            }
        }
        why.is_none()
    }

    /// Who is pushed out, and why the newcomer has no place if it has none.
    fn place(&mut self, now: Instant, e: Entry<u32>) -> (Vec<Entry<u32>>, Option<DropReason>) {
        let mut pushed = Vec::new();
        let worth = |e: &Entry<u32>| (e.density, Reverse(e.key.seq));
        if self.line.len() == self.options.capacity {
            let may = self.line.iter().filter(|v| v.key.priority >= e.key.priority);
            match may.min_by_key(|v| worth(v)).copied() {
                Some(v) if v.density < e.density => {
                    self.line.retain(|l| l.key != v.key);
                    pushed.push(v);
                }
                _ => return (pushed, Some(DropReason::QuotaTotal)),
            }
        }
        self.insert(e);
        for _ in 0..64 {
            let Some(late) = self.first_late(now, &e) else { return (pushed, None) };
            let all = self.walk(now).into_iter().map(|(v, _)| v);
            let victim = all
                .filter(|v| v.key <= late && v.key.priority >= e.key.priority)
                .min_by_key(worth)
                .unwrap();
            if victim.key == e.key {
                let miss = late == e.key;
                let why = if miss { DropReason::PredictedMiss } else { DropReason::Evicted };
                return (pushed, Some(why));
            }
            if self.line.iter().any(|l| l.key == victim.key) {
                self.line.retain(|l| l.key != victim.key);
                pushed.push(victim);
            } else {
                self.running.as_mut().unwrap().3 = true;
            }
        }
        let late = self.first_late(now, &e).map(|_| DropReason::PredictedMiss);
        (pushed, late)
    }

    /// Whether those in reserve that could make it would all be done by the last of their deadlines.
    fn spares_fit(&self, now: Instant) -> bool {
        let mut work: u64 = self.line.iter().map(|e| e.service.get()).sum();
        let mut last = 0;
        for (e, _) in self.spares.iter().filter(|(e, _)| viable(e, now)) {
            work += e.service.get();
            last = last.max(e.deadline.as_nanos());
        }
        now.as_nanos() + work <= last
    }

    fn readmit(&mut self, now: Instant) {
        let fit = self.spares_fit(now);
        let may = |i: &usize| viable(&self.spares[*i].0, now);
        let best =
            (0..self.spares.len()).filter(may).max_by_key(|i| worth(&self.spares[*i].0, fit));
        let Some(best) = best.filter(|_| self.line.len() < self.options.capacity) else { return };
        let e = self.spares[best].0;
        self.insert(e);
        if self.walk(now).iter().all(|(_, in_time)| *in_time) {
            self.spares.swap_remove(best);
        } else {
            self.line.retain(|l| l.key != e.key);
        }
    }

    fn take(&mut self, now: Instant) -> Option<Given<u32>> {
        loop {
            self.readmit(now);
            let head = self.line.first().map(|e| e.density);
            let looked = self.walk(now).into_iter().take(promises::LOOK_MAX);
            let late = looked.filter(|(_, in_time)| !in_time).map(|(e, _)| e);
            let denser = late
                .filter(|e| self.line.iter().any(|l| l.key == e.key))
                .filter(|e| e.density > head.unwrap_or(0))
                // The first of equals.
                .fold(None, |best: Option<Entry<u32>>, e| {
                    if best.is_some_and(|b| b.density >= e.density) { best } else { Some(e) }
                });
            // The first of its priority goes in its stead, if that is worth it.
            let denser = match denser {
                Some(e) if e.bound => {
                    let of_it = |l: &&Entry<u32>| l.key.priority == e.key.priority;
                    let first = self.line.iter().find(of_it).copied();
                    first.filter(|f| f.density > head.unwrap_or(0))
                }
                other => other,
            };
            let first = denser.map(|e| e.density).or(head).unwrap_or(0);
            let fit = self.spares_fit(now);
            let best = (0..self.spares.len()).max_by_key(|i| worth(&self.spares[*i].0, fit));
            let goes_first = denser.or(self.line.first().copied());
            let spare = best.filter(|i| {
                let e = &self.spares[*i].0;
                let due = |f: Entry<u32>| {
                    fit && unknown(e) && f.density == e.density && e.deadline < f.deadline
                };
                head.is_none()
                    || e.deviation > Nanos::ZERO && e.density / 2 > first
                    || goes_first.is_some_and(due)
            });
            let (e, promised, why) = match (spare, denser) {
                (Some(i), _) => {
                    let (e, why) = self.spares.swap_remove(i);
                    (e, false, why)
                }
                (None, Some(e)) => (e, true, DropReason::LateAtDispatch),
                (None, None) => (*self.line.first()?, true, DropReason::LateAtDispatch),
            };
            self.line.retain(|l| l.key != e.key);
            if viable(&e, now) {
                return Some(Given { entry: e, promised });
            }
            self.gone.push((e.item, why));
        }
    }

    fn paused(&mut self, now: Instant, left: Nanos) {
        let Some((e, _, promised, doomed)) = self.running.take() else { return };
        self.held_until = Instant::ZERO;
        let e = Entry { service: left, ..e };
        if doomed || !promised || self.line.len() == self.options.capacity {
            let why = if doomed { DropReason::Evicted } else { DropReason::PredictedMiss };
            self.refuse(now, e, why);
        } else {
            self.insert(e);
        }
    }
}

#[derive(Clone, Debug)]
enum Op {
    /// Newcomers alike in kind: (priority, slack in tenths of their service, service, deviation), so many.
    Admit {
        priority: usize,
        slack: u64,
        service: u64,
        deviation: u64,
        count: u32,
        /// Its flow's order counts, and may put it behind its deadline.
        bound: bool,
        behind: u64,
    },
    /// Time passes, and what runs is done, or paused after a chunk.
    Take {
        chunk: u64,
    },
    Pass {
        ns: u64,
    },
    /// One of a batch that nobody can stop.
    Hold {
        ns: u64,
    },
}

fn op() -> impl Strategy<Value = Op> {
    let behind = prop_oneof![3 => Just(0_u64), 1 => 0..500_u64];
    let admit =
        (0..4_usize, 0..4_000_u64, 1..2_000_u64, 0..3_u64, 1..24_u32, any::<bool>(), behind);
    prop_oneof![
        6 => admit.prop_map(|(priority, slack, service, deviation, count, bound, behind)| {
            Op::Admit { priority, slack, service, deviation: deviation * 10, count, bound, behind }
        }),
        5 => (1..4_000_u64).prop_map(|chunk| Op::Take { chunk }),
        1 => (0..20_000_u64).prop_map(|ns| Op::Pass { ns }),
        1 => (0..3_000_u64).prop_map(|ns| Op::Hold { ns }),
    ]
}

/// Both, side by side.
struct Pair {
    real: Promises<u32>,
    model: Model,
    now: Instant,
    given: u32,
    back: Vec<u32>,
}

impl Pair {
    fn drained(&mut self) {
        let room = self.real.room();
        let real = gone(&mut self.real);
        self.real.check();
        assert_eq!(room, self.real.room(), "the list of those gone grew");
        let mut model = std::mem::take(&mut self.model.gone);
        model.reverse();
        assert_eq!(real, model);
        assert!(self.real.iter().eq(&self.model.line));
        self.back.extend(real.iter().map(|(item, _)| *item));
    }

    fn admit(&mut self, newcomer: Entry<u32>) {
        let before: Vec<Entry<u32>> = self.real.iter().copied().collect();
        let in_time_before: Vec<u32> =
            self.model.walk(self.now).iter().filter(|(_, it)| *it).map(|(e, _)| e.item).collect();
        let surely = self.real.surely_fits(self.now, &newcomer, newcomer.deadline);
        let promised = self.real.admit(self.now, newcomer);
        assert_eq!(promised, self.model.admit(self.now, newcomer));
        let seq = self.model.next_seq - 1;
        // A promise: it is in time, and whoever was before it came.
        if promised {
            let newest = Entry { key: Key { seq, ..newcomer.key }, ..newcomer };
            let walk = self.model.walk(self.now);
            assert!(walk.iter().any(|(e, in_time)| e.key == newest.key && *in_time));
            let harmed = |(e, in_time): &(Entry<u32>, bool)| {
                !in_time && in_time_before.contains(&e.item) && e.key > newest.key
            };
            assert!(!walk.iter().any(harmed), "{newest:?} made somebody late");
        }
        self.drained();
        if !promised {
            assert!(self.real.iter().eq(&before), "somebody gave way to nobody");
        }
        if surely {
            assert!(promised && before.iter().all(|b| self.real.iter().any(|e| e == b)));
        }
    }

    /// Nothing that is bound goes before an earlier one of its priority.
    fn in_order(&self, given: &Entry<u32>, line: &[Entry<u32>]) {
        let before = line.iter().filter(|e| e.key < given.key);
        let mut of_it = before.filter(|e| e.key.priority == given.key.priority);
        assert!(!given.bound || of_it.all(|e| self.back.contains(&e.item)), "{given:?} overtook");
    }

    fn take(&mut self, chunk: u64) {
        let line: Vec<Entry<u32>> = self.real.iter().copied().collect();
        let real = self.real.take(self.now);
        assert_eq!(real, self.model.take(self.now));
        self.drained();
        let Some(given) = real else { return };
        self.in_order(&given.entry, &line);
        let service = given.entry.service.get();
        self.real.run(self.now, given, Nanos::new(chunk));
        self.model.held_until = self.now + Nanos::new(service.min(chunk));
        self.model.running = Some((given.entry, self.now, given.promised, false));
    }

    /// What runs reaches the end of its chunk.
    fn settle(&mut self) {
        let Some((e, since, ..)) = self.model.running else { return };
        self.now = self.now.max(self.model.held_until);
        let left = e.service.saturating_sub(self.now.since(since));
        if left == Nanos::ZERO {
            self.real.finished();
            self.model.running = None;
            self.model.held_until = Instant::ZERO;
            self.back.push(e.item);
        } else {
            self.real.paused(self.now, left);
            self.model.paused(self.now, left);
        }
        self.drained();
    }
}

fn run(ops: Vec<Op>, options: Options) {
    let mut pair = Pair {
        real: Promises::new(options),
        model: Model::new(options),
        now: at(1_000),
        given: 0,
        back: Vec::new(),
    };
    for op in ops {
        match op {
            Op::Admit { priority, slack, service, deviation, count, bound, behind } => {
                let priority = Priority::ALL[priority];
                let value = [1_000, 100, 10, 1][priority.index()];
                for n in 0..count {
                    let service = service + u64::from(n % 3);
                    let deadline = pair.now.as_nanos() + service * (slack + 10) / 10;
                    let density = beliefs::density(value, Nanos::new(service));
                    let mut e = entry(pair.given, priority, deadline, service, density);
                    e.deviation = Nanos::new(deviation);
                    e.bound = bound;
                    e.key.by = e.key.by + Nanos::new(behind);
                    pair.given += 1;
                    pair.admit(e);
                }
            }
            Op::Take { chunk } => {
                pair.settle();
                pair.take(chunk);
            }
            Op::Pass { ns } => {
                pair.settle();
                pair.now = pair.now + Nanos::new(ns);
            }
            Op::Hold { ns } => {
                pair.settle();
                let until = pair.now + Nanos::new(ns);
                pair.real.hold(until);
                pair.model.held_until = until;
            }
        }
    }
    // Each comes back exactly once.
    while pair.model.running.is_some() {
        pair.settle();
        pair.take(u64::MAX >> 20);
    }
    pair.back.extend(std::iter::from_fn(|| pair.real.pop_any().map(|e| e.item)));
    pair.back.sort_unstable();
    assert!(pair.back.iter().copied().eq(0..pair.given), "{:?}", pair.back);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn decides_as_the_plain_model_does(ops in prop::collection::vec(op(), 1..120)) {
        run(ops, Options::default());
    }

    #[test]
    fn decides_as_the_plain_model_does_when_full(
        ops in prop::collection::vec(op(), 1..120),
        capacity in 1..80_usize,
        spares in 0..5_usize,
        confidence in 0..9_u32,
        margin in 0..50_u64,
    ) {
        run(ops, Options { capacity, spares, confidence, margin: Nanos::new(margin) });
    }

    /// Law 2: only what does not stand above the newcomer gives way to it.
    #[test]
    fn nobody_of_a_higher_priority_gives_way(
        line in prop::collection::vec((0..4_usize, 1..400_u64, 1..50_u64, 1..1_000_u64), 1..200),
        newcomer in (0..4_usize, 1..400_u64, 1..200_u64),
    ) {
        let mut p = Promises::new(Options { spares: 0, ..sure() });
        for (n, (priority, deadline, service, density)) in (0..).zip(&line) {
            let e = entry(n, Priority::ALL[*priority], *deadline, *service, *density);
            p.admit(Instant::ZERO, e);
        }
        gone(&mut p);
        let above: Vec<Entry<u32>> =
            p.iter().filter(|e| e.key.priority.index() < newcomer.0).copied().collect();
        let (priority, deadline, service) = newcomer;
        // Dense as nothing else: all that it may push out goes.
        p.admit(Instant::ZERO, entry(9_999, Priority::ALL[priority], deadline, service, u64::MAX - 1));
        for e in above {
            prop_assert!(p.iter().any(|x| x == &e), "{e:?} gave way");
        }
    }
}

#[test]
fn the_least_value_for_its_time_gives_way() {
    let mut p = Promises::new(Options { spares: 0, ..sure() });
    let now = Instant::ZERO;
    assert!(p.admit(now, entry(0, Priority::Low, 100, 60, 5)));
    assert!(p.admit(now, entry(1, Priority::Low, 110, 30, 9)));
    // 60 + 30 + 30 > 115: the long one goes, although it is due first.
    assert!(p.admit(now, entry(2, Priority::Low, 115, 30, 9)));
    assert_eq!(gone(&mut p), [(0, DropReason::Evicted)]);
    // Of equals the newest goes: 3 x 30 is past 80.
    assert!(p.admit(now, entry(3, Priority::Low, 95, 30, 9)));
    assert!(!p.admit(now, entry(4, Priority::Low, 80, 30, 9)));
    assert_eq!(gone(&mut p), [(4, DropReason::Evicted)]);
    assert!(!p.admit(now, entry(5, Priority::Low, 80, 81, 9)));
    assert_eq!(gone(&mut p), [(5, DropReason::PredictedMiss)]);
}

/// The terms are for the newcomer alone: once it is in, its own deadline counts.
#[test]
fn a_newcomer_is_held_to_its_terms() {
    let mut p = Promises::new(Options { spares: 0, ..sure() });
    let now = Instant::ZERO;
    let by = |ns| Terms { by: at(ns), full: false, beyond: now };
    assert!(!p.admit_within(now, entry(0, Priority::Low, 1_000, 60, 5), &by(59)));
    assert_eq!(gone(&mut p), [(0, DropReason::PredictedMiss)]);
    assert!(p.admit_within(now, entry(1, Priority::Low, 1_000, 60, 5), &by(60)));
    assert!(p.admit_within(now, entry(2, Priority::High, 900, 500, 9), &by(900)));
    assert_eq!((gone(&mut p), p.promised()), (vec![], 2));
    // Full: only for one of its class that is worth less for its time.
    let full = Terms { by: at(900), full: true, beyond: at(559) };
    assert!(!p.admit_within(now, entry(3, Priority::Low, 900, 60, 5), &full));
    assert_eq!(gone(&mut p), [(3, DropReason::QuotaPriority)]);
    assert!(p.admit_within(now, entry(4, Priority::Low, 900, 60, 6), &full));
    assert_eq!(gone(&mut p), [(1, DropReason::Evicted)]);
    // Or where it is done soon enough with nobody giving way.
    let soon = Terms { beyond: at(620), ..full };
    assert!(!p.admit_within(now, entry(5, Priority::Low, 950, 61, 5), &soon));
    assert_eq!(gone(&mut p), [(5, DropReason::QuotaPriority)]);
    assert!(p.admit_within(now, entry(6, Priority::Low, 950, 60, 5), &soon));
    assert_eq!((gone(&mut p), p.promised()), (vec![], 3));
    // In front of others that it would make late it is not.
    assert!(p.admit(now, entry(7, Priority::Low, 960, 340, 1)));
    assert!(!p.admit_within(now, entry(8, Priority::Low, 100, 1, 1), &soon));
    assert_eq!(gone(&mut p), [(8, DropReason::QuotaPriority)]);
}

#[test]
fn time_that_comes_free_goes_to_a_spare() {
    let mut p = Promises::new(sure());
    let now = Instant::ZERO;
    assert!(p.admit(now, entry(0, Priority::High, 100, 90, 5)));
    assert!(!p.admit(now, entry(1, Priority::High, 120, 40, 4)));
    assert_eq!((p.promised(), p.spares()), (1, 1));
    let first = p.take(now).unwrap();
    assert_eq!((first.entry.item, first.promised), (0, true));
    p.run(now, first, Nanos::MAX);
    p.finished();
    // It took 60, not 90.
    let second = p.take(at(60)).unwrap();
    assert_eq!((second.entry.item, second.promised), (1, true));
}

/// Of work of which nobody knows how long it takes the earliest deadline goes first while there is time for all, else the latest.
#[test]
fn what_nobody_knows_goes_by_deadlines_while_it_fits() {
    let first = |deviation, deadlines: &[u64]| {
        let mut p = Promises::new(Options { confidence: 64, ..Options::default() });
        for (n, deadline) in (0..).zip(deadlines) {
            let deviation = Nanos::new(deviation);
            assert!(
                !p.admit(at(0), Entry { deviation, ..entry(n, Priority::High, *deadline, 100, 5) })
            );
        }
        assert_eq!((gone(&mut p), p.spares()), (vec![], deadlines.len()));
        let given = p.take(at(0)).unwrap();
        assert!(!given.promised);
        given.entry.item
    };
    // Three of 100 by 300: they fit.
    assert_eq!(first(74, &[150, 120, 300]), 1);
    // By 299 they do not.
    assert_eq!(first(74, &[150, 120, 299]), 2);
    // What is known better than that goes by who is surest to make it.
    assert_eq!(first(62, &[150, 120, 300]), 2);
}

/// One that was promised waits for one in reserve that is due before it, where all fit and nothing is known of either.
#[test]
fn a_promise_to_what_nobody_knows_waits_for_what_is_due_earlier() {
    let exponential = |item, deadline| Entry {
        deviation: Nanos::new(74),
        ..entry(item, Priority::High, deadline, 100, 5)
    };
    let mut p = Promises::new(Options::default());
    assert!(p.admit(at(0), exponential(0, 1_000)), "100 + 6 x 74 is before that");
    assert!(!p.admit(at(0), exponential(1, 500)));
    assert_eq!(p.take(at(0)).map(|g| (g.entry.item, g.promised)), Some((1, false)));
    assert_eq!(p.take(at(100)).map(|g| (g.entry.item, g.promised)), Some((0, true)));
}

#[test]
fn what_runs_is_given_up_between_two_chunks_for_what_is_worth_more() {
    let mut p = Promises::new(Options { spares: 0, ..sure() });
    assert!(p.admit(at(0), entry(0, Priority::Low, 1_000, 900, 1)));
    let long = p.take(at(0)).unwrap();
    p.run(at(0), long, Nanos::new(25));
    assert!(p.admit(at(5), entry(1, Priority::High, 200, 150, 1_000)));
    assert_eq!(gone(&mut p), [], "it goes at the end of its chunk, not before");
    p.paused(at(25), Nanos::new(875));
    assert_eq!(gone(&mut p), [(0, DropReason::Evicted)]);
    assert_eq!(p.take(at(25)).unwrap().entry.item, 1);
}

#[test]
fn a_promise_allows_for_what_is_not_known() {
    let newcomer = |deviation| Entry {
        deviation: Nanos::new(deviation),
        ..entry(0, Priority::High, 1_000, 900, 1)
    };
    let promised = |deviation| {
        let mut p = Promises::new(Options { confidence: 6, ..Options::default() });
        p.admit(Instant::ZERO, newcomer(deviation))
    };
    assert!(promised(0) && promised(16));
    assert!(!promised(17), "900 + 6 x 17 is past 1,000");
}

#[test]
fn beliefs_follow_and_do_not_flutter() {
    let mut b = Beliefs::new(2);
    assert_eq!(b.density(0, 10, Nanos::new(1 << 20)), 10 << 10, "unseen: by what is expected");
    for _ in 0..300 {
        b.record(0, Nanos::new(1_000), Nanos::new(1_000));
    }
    let known = b.density(0, 10, Nanos::new(5));
    assert_eq!((known, b.deviation(0)), ((10 << 30) / 1_000, Nanos::ZERO));
    // A drift of a tenth leaves the density; a doubling does not.
    (0..300).for_each(|_| b.record(0, Nanos::new(1_100), Nanos::new(1_100)));
    assert_eq!(b.density(0, 10, Nanos::new(5)), known);
    (0..300).for_each(|_| b.record(0, Nanos::new(2_000), Nanos::new(1_900)));
    assert!(b.density(0, 10, Nanos::new(5)) < known * 7 / 10);
    assert!(b.deviation(0).get().abs_diff(100) <= 2, "{}", b.deviation(0));
    // A bucket that there is not: nothing is known, nothing breaks.
    b.record(9, Nanos::new(1), Nanos::new(1));
    assert_eq!(b.deviation(9), Nanos::ZERO);
}
