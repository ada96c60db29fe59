use proptest::prelude::*;

use super::*;

#[derive(Clone, Debug)]
enum Op {
    /// Deadline = now + the class's constant budget.
    Constant {
        priority: usize,
        step: u64,
        service: u64,
    },
    /// Any deadline near now.
    Any {
        priority: usize,
        ahead: u64,
        service: u64,
    },
    Pop,
    /// Taken if its item is even.
    TakeIf,
    Remove {
        nth: usize,
    },
    WorkBefore {
        priority: usize,
        ahead: u64,
    },
    WorkBeforeQueued {
        nth: usize,
    },
    Walk {
        after: Option<usize>,
    },
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        6 => (0..4usize, 0..20u64, 0..1_000u64)
            .prop_map(|(priority, step, service)| Op::Constant { priority, step, service }),
        4 => (0..4usize, 0..4_000u64, 0..1_000u64)
            .prop_map(|(priority, ahead, service)| Op::Any { priority, ahead, service }),
        3 => Just(Op::Pop),
        3 => Just(Op::TakeIf),
        2 => (0..64usize).prop_map(|nth| Op::Remove { nth }),
        2 => (0..4usize, 0..4_000u64)
            .prop_map(|(priority, ahead)| Op::WorkBefore { priority, ahead }),
        1 => (0..64usize).prop_map(|nth| Op::WorkBeforeQueued { nth }),
        1 => proptest::option::of(0..64usize).prop_map(|after| Op::Walk { after }),
    ]
}

const BUDGETS: [u64; 4] = [100, 1_000, 3_000, 4_000];

/// A sorted list: what the queue must agree with after every operation.
struct Model {
    entries: Vec<Entry<u32>>,
    next_seq: u64,
    now: u64,
}

impl Default for Model {
    fn default() -> Self {
        Self { entries: Vec::new(), next_seq: PUT_BACK_MAX, now: 0 }
    }
}

impl Model {
    fn push(&mut self, queue: &mut EdfQueue<u32>, priority: Priority, ahead: u64, service: u64) {
        let deadline = Instant::from_nanos(self.now + ahead);
        let item = u32::try_from(self.next_seq).unwrap();
        let key = Key { deadline, priority, seq: self.next_seq };
        // Every third stands for several.
        let count =
            if service.is_multiple_of(3) { u32::try_from(1 + service % 7).unwrap() } else { 1 };
        let got = queue.push_many(priority, deadline, Nanos::new(service), count, item);
        if self.len() + count as usize > queue.capacity() {
            assert_eq!(got, Err(Full(item)));
            return;
        }
        assert_eq!(got, Ok(key));
        self.next_seq += 1;
        let at = self.entries.partition_point(|e| e.key < key);
        self.entries.insert(at, Entry { key, service: Nanos::new(service), count, item });
    }

    fn len(&self) -> usize {
        self.entries.iter().map(|e| e.count as usize).sum()
    }

    fn work_of(&self, counts: impl Fn(&Key) -> bool) -> Nanos {
        let counted = self.entries.iter().filter(|e| counts(&e.key));
        counted.fold(Nanos::ZERO, |sum, e| sum + e.service)
    }

    /// The three sums of what goes before a key.
    fn check_work(&self, queue: &EdfQueue<u32>, key: &Key) {
        assert_eq!(queue.work_before(key), self.work_of(|k| k <= key));
        for classes in 0..=Priority::COUNT {
            let among = self.work_of(|k| k <= key && k.priority.index() < classes);
            assert_eq!(queue.work_before_among(key, classes), among);
        }
        let above = |k: &Key| k.priority < key.priority || (k.priority == key.priority && k <= key);
        assert_eq!(queue.work_above(key), self.work_of(above));
    }

    fn apply(&mut self, queue: &mut EdfQueue<u32>, op: &Op) {
        match *op {
            Op::Constant { priority, step, service } => {
                self.now += step;
                self.push(queue, Priority::ALL[priority], BUDGETS[priority], service);
            }
            Op::Any { priority, ahead, service } => {
                self.push(queue, Priority::ALL[priority], ahead, service);
            }
            Op::Pop => {
                let want = (!self.entries.is_empty()).then(|| self.entries.remove(0));
                assert_eq!(queue.pop(), want);
            }
            Op::TakeIf => {
                let even = |item: &u32| item.is_multiple_of(2).then_some(item % 3);
                let first = self.entries.first().map(|e| e.item);
                let expected = first.and_then(|item| Some((even(&item)?, item)));
                let taken = queue.take_if(even).map(|(said, item)| (said, *item));
                assert_eq!(taken, expected);
                if taken.is_some() {
                    self.entries.remove(0);
                }
            }
            Op::Remove { nth } => {
                let absent = queue.next_key(Priority::High, Instant::from_nanos(self.now));
                assert_eq!(queue.remove(&absent), None);
                if !self.entries.is_empty() {
                    let want = self.entries.remove(nth % self.entries.len());
                    assert_eq!(queue.remove(&want.key), Some(want));
                }
            }
            Op::WorkBefore { priority, ahead } => {
                let deadline = Instant::from_nanos(self.now + ahead);
                let key = queue.next_key(Priority::ALL[priority], deadline);
                self.check_work(queue, &key);
            }
            Op::WorkBeforeQueued { nth } => {
                if let Some(e) = self.entries.get(nth) {
                    self.check_work(queue, &e.key);
                }
            }
            Op::Walk { after } => {
                let entry = |v: Visit<'_, u32>| (v.key, v.service, *v.item);
                let plain = |e: &Entry<u32>| (e.key, e.service, e.item);
                let from = after.and_then(|n| self.entries.get(n)).map(|e| e.key);
                if let Some(key) = from {
                    let want: Vec<_> =
                        self.entries.iter().filter(|e| e.key > key).map(plain).collect();
                    assert_eq!(queue.in_order_after(&key).map(entry).collect::<Vec<_>>(), want);
                } else {
                    let want: Vec<_> = self.entries.iter().map(plain).collect();
                    assert_eq!(queue.in_order().map(entry).collect::<Vec<_>>(), want);
                    let backwards: Vec<_> = queue.from_tail().map(entry).collect();
                    assert_eq!(backwards, want.into_iter().rev().collect::<Vec<_>>());
                }
            }
        }
    }

    fn agree(&self, queue: &EdfQueue<u32>) {
        queue.check_invariants();
        assert_eq!(queue.len(), self.len());
        assert_eq!(queue.peek(), self.entries.first().copied());
        assert_eq!(queue.peek_key(), self.entries.first().map(|e| e.key));
        let sum = |p: Option<Priority>| {
            let of = self.entries.iter().filter(|e| p.is_none_or(|p| e.key.priority == p));
            of.fold(Nanos::ZERO, |sum, e| sum + e.service)
        };
        assert_eq!(queue.backlog(), sum(None));
        for p in Priority::ALL {
            let mut of = self.entries.iter().filter(|e| e.key.priority == p);
            assert_eq!(queue.backlog_of(p), sum(Some(p)));
            assert_eq!(
                queue.first_of(p).map(|v| (v.key, v.service, *v.item)),
                of.clone().next().map(|e| (e.key, e.service, e.item))
            );
            assert_eq!(queue.depth(p), of.by_ref().map(|e| e.count).sum::<u32>());
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]
    #[test]
    fn agrees_with_a_sorted_list_after_every_operation(
        capacity in 1..40usize,
        ops in proptest::collection::vec(op(), 1..120),
    ) {
        let mut queue = EdfQueue::new(capacity);
        let mut model = Model::default();
        for op in &ops {
            model.apply(&mut queue, op);
            model.agree(&queue);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn deep_queues_drain_in_order(
        entries in proptest::collection::vec((0..4u8, prop_oneof![0..50_000u64, 0..30u64]), 500..2_000),
        removals in proptest::collection::vec(any::<prop::sample::Index>(), 0..200),
    ) {
        let mut queue = EdfQueue::new(2_000);
        let mut keys = Vec::new();
        for (i, (p, d)) in entries.iter().enumerate() {
            let p = Priority::from_wire(*p).unwrap();
            keys.push(queue.push(p, Instant::from_nanos(*d), Nanos::new(1), i).unwrap());
        }
        for r in removals {
            let key = keys.swap_remove(r.index(keys.len()));
            prop_assert_eq!(queue.remove(&key).map(|e| e.key), Some(key));
        }
        queue.check_invariants();
        keys.sort();
        let drained: Vec<_> = std::iter::from_fn(|| queue.pop()).map(|e| e.key).collect();
        prop_assert_eq!(drained, keys);
    }
}

#[test]
fn constant_budgets_never_touch_the_heap() {
    let mut queue = EdfQueue::new(1_000);
    for i in 0..1_000u64 {
        let p = Priority::ALL[usize::try_from(i % 4).unwrap()];
        queue.push(p, Instant::from_nanos(i) + p.default_budget(), Nanos::new(1), i).unwrap();
    }
    assert_eq!(queue.unsorted(), 0);
    queue.push(Priority::Low, Instant::from_nanos(0), Nanos::new(1), 0).unwrap_err();
    queue.pop();
    queue.push(Priority::Low, Instant::from_nanos(0), Nanos::new(1), 0).unwrap();
    assert_eq!(queue.unsorted(), 1);
}

#[test]
fn a_class_that_comes_unsorted_goes_to_the_heap_until_it_is_sorted_again() {
    let mut queue = EdfQueue::new(512);
    let mut to_heap = |at: u64| {
        let before = queue.unsorted();
        assert!(queue.push(Priority::Low, Instant::from_nanos(at), Nanos::new(1), 0_u32).is_ok());
        queue.check_invariants();
        queue.unsorted() > before
    };
    for i in 0..100 {
        let stray = i % 10 == 9;
        let at = if stray { 1_000 } else { 1_000 + i };
        assert_eq!(to_heap(at), stray, "a stray in ten takes only itself to the heap");
    }
    for i in 0..50 {
        to_heap(2_000 + i * 37 % 50);
    }
    assert!(to_heap(3_000), "it would have been in order");
    let sorted: Vec<bool> = (0..100).map(|i| to_heap(3_001 + i)).collect();
    assert_eq!((sorted.first(), sorted.last()), (Some(&true), Some(&false)));
}

#[test]
fn ties_go_to_the_higher_priority_then_to_the_first_come() {
    let mut queue = EdfQueue::new(8);
    let at = Instant::from_nanos(9);
    for (p, item) in [
        (Priority::Low, 0),
        (Priority::Low, 1),
        (Priority::High, 2),
        (Priority::BestEffort, 3),
        (Priority::High, 4),
    ] {
        queue.push(p, at, Nanos::ZERO, item).unwrap();
    }
    let order: Vec<_> = std::iter::from_fn(|| queue.pop()).map(|e| e.item).collect();
    assert_eq!(order, [2, 4, 0, 1, 3]);
}

#[test]
fn an_endless_deadline_and_service_are_held() {
    let mut queue = EdfQueue::new(3);
    for p in [Priority::BestEffort, Priority::BestEffort, Priority::High] {
        queue.push(p, Instant::MAX, Nanos::MAX, p).unwrap();
    }
    queue.check_invariants();
    assert_eq!(queue.backlog(), Nanos::new(3 << 40));
    let order: Vec<_> = std::iter::from_fn(|| queue.pop()).map(|e| e.item).collect();
    assert_eq!(order, [Priority::High, Priority::BestEffort, Priority::BestEffort]);
}

#[test]
#[should_panic(expected = "capacity is 1 to")]
fn no_capacity_is_refused() {
    let _ = EdfQueue::<()>::new(0);
}
