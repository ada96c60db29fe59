//! Two sides of one work: held to equal results, then timed in turns.
//!
//! The machine may be shared, so no figure of one side alone is worth much: every round times both, in alternating order, and
//! what is kept is the ratio of the round.

use std::time::{Duration, Instant};

use crate::quartiles::quartiles;
use crate::work::Work;

/// How long one side is timed in a round: short beside what else the machine does, long beside the clock.
const TURN: Duration = Duration::from_micros(500);

pub(crate) struct Side {
    pub(crate) name: String,
    pub(crate) work: Box<dyn Work>,
}

impl Side {
    pub(crate) fn new(name: impl Into<String>, work: impl Work + 'static) -> Self {
        Self { name: name.into(), work: Box::new(work) }
    }

    /// Nanoseconds of one run, by `count` of them.
    pub(crate) fn time(&mut self, count: u32) -> f64 {
        let began = Instant::now();
        for _ in 0..count {
            self.work.run();
        }
        began.elapsed().as_secs_f64() * 1e9 / f64::from(count)
    }

    /// How many runs fill a turn.
    pub(crate) fn turn(&mut self) -> u32 {
        let mut count = 1;
        loop {
            let took = self.time(count) * f64::from(count);
            if took >= TURN.as_nanos() as f64 / 2.0 {
                let wanted = f64::from(count) * TURN.as_nanos() as f64 / took;
                return (wanted as u32).max(1);
            }
            count *= 2;
        }
    }
}

/// When two results are equal.
#[derive(Clone, Copy)]
pub(crate) enum Equal {
    Bytes,
    /// Floats, off by less than this share of the largest of them, or of 1 where that is more: a lone sum may cancel to
    /// nothing, and its error does not.
    Floats(f32),
}

pub(crate) struct Pair {
    pub(crate) what: String,
    pub(crate) ours: Side,
    pub(crate) other: Side,
    pub(crate) equal: Equal,
    /// The least that the other side's time by ours should be.
    pub(crate) goal: Option<f64>,
}

impl Pair {
    pub(crate) fn name(&self) -> String {
        format!("{}, {} by {}", self.what, self.other.name, self.ours.name)
    }

    pub(crate) fn sides(&mut self) -> [&mut Side; 2] {
        [&mut self.ours, &mut self.other]
    }

    /// Both sides give the same, or there is nothing to time.
    pub(crate) fn hold(&mut self) {
        self.ours.work.run();
        self.other.work.run();
        let (ours, other) = (self.ours.work.answers(), self.other.work.answers());
        assert_eq!(ours.len(), other.len(), "{}", self.name());
        assert!(other.iter().all(|a| !a.is_empty()), "{}: an answer is empty", self.name());
        match self.equal {
            Equal::Bytes => assert!(ours == other, "{}: {ours:?}\n{other:?}", self.name()),
            Equal::Floats(off) => {
                let (ours, other) = (numbers(&ours), numbers(&other));
                assert_eq!(ours.len(), other.len(), "{}", self.name());
                let largest = other.iter().fold(0.0_f32, |m, x| m.max(x.abs()));
                assert!(largest > 0.0, "{}: all results are zero", self.name());
                for (a, b) in ours.iter().zip(&other) {
                    assert!(
                        (a - b).abs() <= off * largest.max(1.0),
                        "{}: {a} and {b}",
                        self.name()
                    );
                }
            }
        }
    }

    /// Quartiles of the rounds' ratios, and each side's median in nanoseconds.
    fn measure(&mut self, rounds: usize) -> ([f64; 3], [f64; 2]) {
        let turns = self.sides().map(Side::turn);
        let (mut ratios, mut times) = (Vec::new(), [Vec::new(), Vec::new()]);
        for round in 0..rounds {
            let mut took = [0.0; 2];
            let order = if round % 2 == 0 { [0, 1] } else { [1, 0] };
            for i in order {
                let count = turns[i];
                let [ours, other] = self.sides();
                took[i] = [ours, other][i].time(count);
                times[i].push(took[i]);
            }
            ratios.push(took[1] / took[0]);
        }
        (quartiles(ratios), times.map(|t| quartiles(t)[1]))
    }
}

fn numbers(answers: &[Vec<u8>]) -> Vec<f32> {
    let number = |b: &[u8; 4]| f32::from_le_bytes(*b);
    answers.iter().flat_map(|a| a.as_chunks::<4>().0.iter().map(number)).collect()
}

/// Measures all and prints a row for each; whether every goal was reached.
pub(crate) fn table(all: &mut [Pair], rounds: usize) -> bool {
    println!("\nother by ours, {rounds} paired rounds: median (quartiles); above 1 ours is faster");
    println!("| work | ours | other | ours, ns | other, ns | ratio | goal |");
    println!("|---|---|---|---|---|---|---|");
    let mut reached = true;
    for pair in all {
        let ([low, middle, high], [ours, other]) = pair.measure(rounds);
        let goal = match pair.goal {
            None => String::new(),
            Some(goal) if middle >= goal => format!("{goal:.2}"),
            Some(goal) => {
                reached = false;
                format!("{goal:.2} MISSED")
            }
        };
        println!(
            "| {} | {} | {} | {ours:.0} | {other:.0} | {middle:.2} ({low:.2}-{high:.2}) | {goal} |",
            pair.what, pair.ours.name, pair.other.name
        );
    }
    reached
}
