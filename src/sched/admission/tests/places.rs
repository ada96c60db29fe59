//! What is noted of a place holds until [`Admission::moves`] says otherwise: results that wait for those before them go by it.

use std::collections::BTreeMap;

use super::*;

/// One step, and how much time passes before it.
#[derive(Clone, Copy, Debug)]
enum Step {
    /// One comes; it is expected to take so many microseconds.
    Comes(Priority, u64),
    /// The next is run to its end.
    Runs,
    /// The next is begun, pauses, and has so many microseconds left.
    Pauses(u64),
    /// The next is taken away, and comes back.
    ComesBack,
    /// A class asks for this many milliseconds of work more.
    Asks(Priority, u64),
    /// It is noted where all stand that wait.
    Note,
    /// What has been passed need not be waited for any more.
    Release,
}

fn steps() -> impl Strategy<Value = Vec<(u64, Step)>> {
    let class = || (0..3_u8).prop_map(|p| Priority::from_wire(p).unwrap());
    let step = prop_oneof![
        8 => (class(), 20..4_000_u64).prop_map(|(p, us)| Step::Comes(p, us)),
        6 => Just(Step::Runs),
        1 => (1..50_u64).prop_map(Step::Pauses),
        1 => Just(Step::ComesBack),
        2 => (class(), 1..12_u64).prop_map(|(p, ms)| Step::Asks(p, ms)),
        3 => Just(Step::Note),
        2 => Just(Step::Release),
    ];
    // Often at one instant: who is due at the same time is told apart by numbers alone.
    let passes = prop_oneof![5 => Just(0), 3 => 0..300_u64, 1 => 0..2_000_u64];
    proptest::collection::vec((passes, step), 1..150)
}

struct Noted {
    bench: Bench,
    now: Instant,
    /// The number of the packet in each slot.
    numbers: BTreeMap<usize, u64>,
    /// The places that were noted, by their packets' numbers.
    places: BTreeMap<u64, Key>,
    next: u64,
    noted_at: u64,
    /// The place of the last that paused.
    paused: u8,
}

impl Noted {
    fn waiting(&mut self) -> Vec<(u64, Key)> {
        let mut all = Vec::new();
        let Self { bench, numbers, .. } = self;
        bench.admission.each_queued(|key, p| all.push((numbers[&p.slot.index()], key)));
        all
    }

    fn passed(&self, key: &Key) -> bool {
        self.bench.admission.first_place(key.priority).is_none_or(|first| first > *key)
    }

    fn take(&mut self) -> Option<Packet> {
        let packet = match self.bench.admission.dispatch(self.now) {
            Dispatch::Run(packet) => Some(*packet),
            Dispatch::TooLate(packet, _) => {
                let slot = packet.slot;
                self.bench.pool.release(slot);
                None
            }
            Dispatch::Part(..) => panic!("one datagram has no parts"),
            Dispatch::Empty => None,
        };
        self.drain();
        packet
    }

    fn drain(&mut self) {
        while let Some((packet, _)) = self.bench.admission.next_evicted() {
            self.bench.pool.release(packet.slot);
        }
    }

    /// One of a flow with order, whose class has one budget: nobody of its class comes before those that came earlier.
    fn comes(&mut self, priority: Priority, takes: u64) -> Option<u64> {
        let deadline = self.now + priority.default_budget();
        let c = Candidate {
            service: Nanos::from_micros(takes),
            ..self.bench.asks(priority, LONG, self.now, deadline)
        };
        let admitted = self.bench.admission.admit(self.now, &c);
        self.drain();
        let slot = admitted.ok().and_then(|_| self.bench.pool.insert(b"payload"))?;
        let packet =
            Packet { slot, service: c.service, ..packet(priority, LONG, self.now, deadline, slot) };
        self.bench.admission.push(packet, &c);
        self.next += 1;
        self.numbers.insert(slot.index(), self.next);
        Some(self.next)
    }

    fn step(&mut self, step: Step) -> Option<u64> {
        match step {
            Step::Comes(priority, takes) => return self.comes(priority, takes),
            Step::Runs => {
                let ran = self.take();
                ran.into_iter().for_each(|p| self.bench.pool.release(p.slot));
            }
            Step::Pauses(left) => {
                if let Some(mut packet) = self.take() {
                    // It keeps its place until it is over.
                    if packet.flags.place == 0 {
                        self.paused = self.paused % 8 + 1;
                        packet.flags.place = self.paused;
                    }
                    let number = u64::from(packet.flags.place) - 1;
                    self.bench.admission.put_back(packet, Nanos::from_micros(left), number);
                }
            }
            Step::ComesBack => {
                if let Some(packet) = self.take().filter(|p| p.flags.place == 0) {
                    // It is waited for by itself until it is over.
                    self.places.remove(&self.numbers[&packet.slot.index()]);
                    let back = self.bench.admission.requeue(self.now, packet, packet.deadline);
                    self.drain();
                    back.err().into_iter().for_each(|p| self.bench.pool.release(p.slot));
                }
            }
            Step::Asks(priority, ms) => {
                self.bench.admission.demand.add(priority, Nanos::from_millis(ms), 1);
            }
            Step::Note => {
                if self.noted_at != self.bench.admission.moves() {
                    self.places.clear();
                }
                self.noted_at = self.bench.admission.moves();
                let waiting = self.waiting();
                self.places.extend(waiting);
            }
            Step::Release => {
                let passed: Vec<u64> =
                    self.places.iter().filter(|(_, k)| self.passed(k)).map(|(n, _)| *n).collect();
                self.places.retain(|number, _| !passed.contains(number));
            }
        }
        None
    }

    /// As long as nothing has moved: nobody who waits is taken for passed, and whoever comes after stands behind all that were
    /// noted of its class, so that nobody is waited for who came later.
    fn check(&mut self, newcomer: Option<u64>) {
        let waiting = self.waiting();
        if self.noted_at != self.bench.admission.moves() {
            return;
        }
        for (number, key) in &waiting {
            if let Some(noted) = self.places.get(number) {
                assert!(!self.passed(noted), "{noted:?} waits at {key:?}");
            }
            if newcomer == Some(*number) {
                let of_class = self.places.values().filter(|k| k.priority == key.priority);
                let last = of_class.max();
                assert!(last.is_none_or(|l| l < key), "{key:?} came after {last:?}");
            }
        }
    }
}

fn walk(by_value: bool, steps: Vec<(u64, Step)>) {
    let bench = Bench::by(if by_value { Policy::Value } else { Policy::Edf });
    let (numbers, places) = (BTreeMap::new(), BTreeMap::new());
    let mut noted = Noted { bench, now: us(0), numbers, places, next: 0, noted_at: 0, paused: 0 };
    for (passes, step) in steps {
        noted.now = noted.now + Nanos::from_micros(passes);
        noted.bench.admission.tick(noted.now, &PerPriority::default(), &PerPriority::default());
        let newcomer = noted.step(step);
        noted.check(newcomer);
    }
}

/// The line counts whom it refuses, too, so that one who is queued once it is empty has a lower number than its last.
#[test]
fn a_place_in_the_line_says_nothing_of_the_queue_after_it() {
    use Step::{Comes, Note, Runs};
    let long = Comes(Priority::High, 900);
    let short = Comes(Priority::High, 50);
    let steps = [long, long, long, long, short, Note, Runs, Runs, short];
    walk(true, steps.map(|step| (0, step)).into());
}

/// High and Medium ask for so much, together more than there is after the third time.
fn asked(times: usize) -> impl Iterator<Item = (u64, Step)> {
    let both = [Priority::High, Priority::Medium].map(|p| Step::Asks(p, 10));
    std::iter::repeat_n([(5_000, both[0]), (0, both[1])], times).flatten()
}

/// Where the last that stood behind leaves, its class stands in front again, and those that come are before it.
#[test]
fn a_place_behind_says_nothing_once_nobody_stands_there() {
    use Step::{Comes, Note, Runs};
    let (high, medium) = (Comes(Priority::High, 900), Comes(Priority::Medium, 50));
    // Somebody has to be left in the line; he comes while there is time for him.
    let low = Comes(Priority::Low, 50);
    let lined_up = [(0, low), (5_000, high), (0, high), (0, medium), (0, Note)];
    let quiet = [(5_000, Note), (5_000, Note), (5_000, Note)];
    let leaves = [(0, Runs), (0, Runs)].into_iter().chain(quiet).chain([(0, medium)]);
    walk(true, asked(3).chain(lined_up).chain(leaves).collect());
}

/// What was begun in front and pauses stands behind, with all of its class.
#[test]
fn a_place_in_front_says_nothing_of_what_is_put_back_behind() {
    use Step::{Comes, Note, Pauses, Runs};
    let (high, medium) = (Comes(Priority::High, 900), Comes(Priority::Medium, 50));
    let in_front = [(0, high), (0, high), (0, medium)];
    let behind = [(5_000, medium), (0, Runs), (0, Note), (0, Pauses(40))];
    walk(true, asked(3).chain(in_front).chain(behind).collect());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]
    #[test]
    fn places_that_were_noted_hold_until_something_has_moved(
        by_value in any::<bool>(),
        steps in steps(),
    ) {
        walk(by_value, steps);
    }
}
