//! Two results beside each other, figure by figure, as one value: the table and the JSON are made from it.
//!
//! Knows no terminal and no file.

use serde::Serialize;

use super::figures::{self, Figure};
use super::rule::{self, Kind, Verdict};
use crate::base::Nanos;
use crate::cli::bench::{Described, Outcome, Spread};

/// The JSON's version.
const VERSION: u32 = 1;

/// One figure of both.
#[derive(Clone, Debug, Serialize)]
pub(in crate::cli) struct Row {
    pub(in crate::cli) load: Option<f64>,
    pub(in crate::cli) subject: String,
    pub(in crate::cli) class: String,
    pub(in crate::cli) metric: &'static str,
    /// As measured. Latencies are in microseconds.
    pub(super) before: Spread,
    pub(super) now: Spread,
    /// Relative to the control of the same rounds.
    pub(super) before_relative: Spread,
    pub(super) now_relative: Spread,
    /// Of the relative medians: a share of the old one, or points as a share of 1.
    pub(super) change: f64,
    /// `change` is in points.
    pub(super) points: bool,
    pub(in crate::cli) verdict: Verdict,
    /// One side has void rounds only, so nothing is proven by it.
    pub(super) void: bool,
    /// If it is worse, that is a regression.
    pub(in crate::cli) gate: bool,
}

impl Row {
    fn new(before: &Figure, now: &Figure, threshold: f64) -> Self {
        let (change, verdict) = rule::judge(now.kind, &before.relative, &now.relative, threshold);
        let void = before.void || now.void;
        let verdict = if void && verdict != Verdict::Same { Verdict::Unsure } else { verdict };
        let spread = |values: &[f64]| Spread::of(values.iter().copied());
        let moved = spread(&now.values).median - spread(&before.values).median;
        let small = now.budget.is_some_and(|b| moved.abs() <= b * threshold * rule::OF_BUDGET);
        let verdict = if small { Verdict::Same } else { verdict };
        Self {
            load: now.load,
            subject: now.subject.clone(),
            class: now.class.clone(),
            metric: now.metric,
            before: spread(&before.values),
            now: spread(&now.values),
            before_relative: spread(&before.relative),
            now_relative: spread(&now.relative),
            change,
            points: now.kind == Kind::Share,
            verdict,
            // The earlier result says what is to be kept: a class that it kept whole and the later one gave up is lost.
            void,
            gate: before.gates() && (now.gate || before.kind == Kind::Capacity),
        }
    }

    /// It is a rate, and not a share or a time: where it is worse, what the service completes is measured again too.
    pub(in crate::cli) fn is_capacity(&self) -> bool {
        self.load.is_none() || self.metric == figures::WORK
    }

    pub(in crate::cli) fn is_regression(&self) -> bool {
        self.gate && self.verdict == Verdict::Worse
    }
}

/// Everything.
#[derive(Clone, Debug, Serialize)]
pub(in crate::cli) struct Comparison {
    kind: &'static str,
    version: u32,
    /// A share.
    pub(super) threshold: f64,
    pub(in crate::cli) regressions: usize,
    /// What to know about the two results.
    pub(super) notes: Vec<String>,
    pub(in crate::cli) rows: Vec<Row>,
}

impl Comparison {
    /// `before` beside `now`. `threshold` is a share.
    pub(in crate::cli) fn new(before: &Outcome, now: &Outcome, threshold: f64) -> Self {
        let [old, new] = figures::of_both(before, now);
        let row = |now: &Figure| {
            let before = old.iter().find(|f| f.is(now))?;
            Some(Row::new(before, now, threshold))
        };
        let rows: Vec<Row> = new.iter().filter_map(row).collect();
        let mut notes = notes(before, now);
        let void = rows.iter().filter(|r| r.gate && r.void).count();
        if void > 0 {
            notes.push(format!(
                "{void} figures that gate have void rounds only, on one side or both, and cannot be judged: measure on a \
                 quieter machine"
            ));
        }
        Self {
            kind: "punctual compare",
            version: VERSION,
            threshold,
            regressions: rows.iter().filter(|r| r.is_regression()).count(),
            notes,
            rows,
        }
    }

    /// Whether any figure of a load that gates could be judged: where all have void rounds only, nothing was shown.
    pub(super) fn is_judged(&self) -> bool {
        let mut of_loads = self.rows.iter().filter(|r| r.gate && r.load.is_some()).peekable();
        of_loads.peek().is_none() || of_loads.any(|r| !r.void)
    }
}

/// Why two results cannot be compared at all.
pub(in crate::cli) fn unlike(before: &Outcome, now: &Outcome) -> Option<String> {
    if let Some(why) = other_lab(&before.lab, &now.lab) {
        return Some(why);
    }
    let common = before.loads().iter().any(|x| now.loads().iter().any(|y| x.total_cmp(y).is_eq()));
    if !common {
        let (x, y) = (before.loads(), now.loads());
        return Some(format!("they have no load in common: {x:?} and {y:?} (--loads)"));
    }
    None
}

/// The same, of what is known before anything is measured.
pub(in crate::cli) fn other_lab(a: &Described, b: &Described) -> Option<String> {
    if a.is_ours() != b.is_ours() {
        return Some("one is of our own service, the other of a --target".to_owned());
    }
    let mixes = || {
        (a.mix != b.mix).then(|| format!("the mixes differ: {:?} and {:?} (--mix)", a.mix, b.mix))
    };
    let arrivals = || {
        let (x, y) = (a.arrivals_in_words(), b.arrivals_in_words());
        (x != y)
            .then(|| format!("requests arrived by {x} in one and by {y} in the other (--arrivals)"))
    };
    let budgets = || {
        let known = !a.budgets.is_empty() && !b.budgets.is_empty();
        let said =
            |d: &Described| d.budgets.iter().map(Nanos::to_string).collect::<Vec<_>>().join(", ");
        let (x, y) = (said(a), said(b));
        (known && x != y).then(|| format!("the budgets differ: {x} and {y} (--budgets)"))
    };
    let policies = || {
        let (x, y) = (a.policy.as_deref()?, b.policy.as_deref()?);
        (a.batches.is_some() && x != y).then(|| {
            format!("batches stood beside each other under {x} in one and under {y} in the other")
        })
    };
    other_work(a, b).or_else(mixes).or_else(budgets).or_else(arrivals).or_else(policies)
}

/// Whether a packet asked for something else. Files of version 2 are of busy work.
fn other_work(a: &Described, b: &Described) -> Option<String> {
    match (a.service, b.service) {
        (Some(x), Some(y)) if x == y => None,
        (Some(x), Some(y)) => {
            Some(format!("a packet cost {x} of work in one and {y} in the other (--service)"))
        }
        (None, None) => {
            let alike =
                a.work.len() == b.work.len() && a.work.iter().zip(&b.work).all(|(x, y)| x.is(y));
            let (x, y) = (a.work_in_words(), b.work_in_words());
            let class = |d: &Described| {
                d.work.iter().map(|w| w.class.clone()).collect::<Vec<_>>().join(", ")
            };
            (!alike).then(|| {
                format!(
                    "classes, kernels, their parameters or payloads differ: {} ({x}) and {} ({y})",
                    class(a),
                    class(b)
                )
            })
        }
        _ => {
            let (x, y) = (a.work_in_words(), b.work_in_words());
            Some(format!("one ran {x}, the other {y} (--kernel, --config)"))
        }
    }
}

fn notes(before: &Outcome, now: &Outcome) -> Vec<String> {
    let mut notes = Vec::new();
    if before.machine != now.machine {
        let name = |o: &Outcome| format!("{}, Linux {}", o.machine.processor, o.machine.linux);
        notes.push(format!("measured on two machines: {} | {}", name(before), name(now)));
    }
    if before.lab.driver != now.lab.driver {
        notes.push(format!("two drivers: {} | {}", before.lab.driver, now.lab.driver));
    }
    if (before.lab.seconds - now.lab.seconds).abs() > 1e-9 {
        let (x, y) = (before.lab.seconds, now.lab.seconds);
        notes.push(format!("runs of {x} s | {y} s: rare events show in the longer ones"));
    }
    if before.lab.forms() != now.lab.forms() && !before.lab.work.is_empty() {
        let (x, y) = (before.lab.forms().join(", "), now.lab.forms().join(", "));
        notes.push(format!("kernels ran in other forms: {x} | {y}"));
    }
    for (name, outcome) in [("before", before), ("now", now)] {
        if outcome.stopped {
            notes.push(format!("{name}: the sweep was stopped early and is not whole"));
        }
        let voids = outcome.voids().count();
        if voids > 0 {
            let all = outcome.runs.len();
            notes.push(format!(
                "{name}: {voids} of {all} runs were void for noise and are left out"
            ));
        }
    }
    notes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Nanos;
    use crate::cli::bench::{Work, testing};

    #[test]
    fn a_share_that_falls_is_a_regression_and_noise_is_none() {
        let before = testing::outcome(&[0.98, 0.985, 0.99]);
        let count = |now: &[f64]| Comparison::new(&before, &testing::outcome(now), 0.1).regressions;
        assert_eq!(count(&[0.98, 0.985, 0.99]), 0);
        assert_eq!(count(&[0.97, 0.975, 0.98]), 0, "a point is within two");
        assert_eq!(count(&[0.90, 0.92, 0.91]), 1);
        assert_eq!(count(&[0.90, 0.99, 0.91]), 0, "the rounds do not agree");
        assert_eq!(count(&[0.5, 0.5]), 0, "two rounds prove nothing");
    }

    #[test]
    fn a_slower_machine_is_no_regression_and_a_slower_service_is() {
        let before = testing::outcome(&[0.98, 0.985, 0.99]);
        let mut now = before.clone();
        for c in &mut now.capacity {
            (c.service, c.bare) = (c.service * 0.7, c.bare.map(|b| b * 0.7));
        }
        assert_eq!(Comparison::new(&before, &now, 0.1).regressions, 0);
        now.capacity.iter_mut().for_each(|c| c.service *= 0.9);
        assert_eq!(Comparison::new(&before, &now, 0.1).regressions, 1);
    }

    #[test]
    fn a_latency_that_takes_a_twentieth_of_the_budget_is_a_regression_and_a_hair_is_none() {
        let before = testing::outcome(&[0.98, 0.985, 0.99]);
        let later = |us: f64| {
            let mut now = before.clone();
            let ours = now.runs.iter_mut().filter(|r| r.subject == "edf");
            ours.flat_map(|r| &mut r.classes).for_each(|c| c.p50_us += us);
            Comparison::new(&before, &now, 0.1).regressions
        };
        // Of a budget of 1 ms and a p50 of 50 us: most of its own, and nothing of what counts.
        assert_eq!((later(16.0), later(49.0)), (0, 0));
        assert_eq!((later(51.0), later(200.0)), (1, 1));
    }

    #[test]
    fn what_has_void_rounds_only_proves_nothing_and_is_said() {
        let before = testing::outcome_of_all(&USUAL);
        let mut now = testing::outcome_of_all(&USUAL.map(|[h, m, l]| [h - 0.5, m - 0.5, l]));
        assert_eq!(caught(&before, &now).len(), 3);
        now.runs.iter_mut().for_each(|r| r.void = Some("noise".to_owned()));
        assert!(Comparison::new(&before, &before, 0.1).is_judged());
        let comparison = Comparison::new(&before, &now, 0.1);
        assert_eq!(comparison.regressions, 0);
        assert!(!comparison.is_judged(), "and the gate is not passed");
        assert!(comparison.notes.iter().any(|n| n.contains("cannot be judged")));
    }

    #[test]
    fn what_is_not_alike_is_not_compared() {
        let a = testing::outcome(&[0.9]);
        let with = |change: &dyn Fn(&mut Outcome)| {
            let mut b = a.clone();
            change(&mut b);
            unlike(&a, &b)
        };
        assert_eq!(with(&|_| ()), None);
        assert!(with(&|b| b.lab.service = Some(Nanos::from_micros(1))).is_some());
        let foreign = with(&|b| b.lab.targets = vec!["a (127.0.0.1:9)".to_owned()]);
        assert!(foreign.is_some_and(|why| why.contains("--target")));
        assert!(with(&|b| b.lab.mix = vec![1.0]).is_some());
        assert!(with(&|b| b.runs.iter_mut().for_each(|r| r.load = 3.0)).is_some());
    }

    #[test]
    fn results_of_other_kernels_are_not_compared_and_an_older_one_of_busy_work_is() {
        let work = |kind: &str, fingerprint: &str| Work {
            class: "high".to_owned(),
            kind: kind.to_owned(),
            runs_as: "avx2".to_owned(),
            payload: 64,
            fingerprint: fingerprint.to_owned(),
            ..Work::default()
        };
        let with = |service, work: Vec<Work>| {
            let mut o = testing::outcome(&[0.9]);
            (o.lab.service, o.lab.work) = (service, work);
            o
        };
        let spin = Some(Nanos::from_micros(20));
        let (old, new) = (with(spin, Vec::new()), with(spin, vec![work("spin", "1")]));
        assert_eq!(unlike(&old, &new), None, "a file of version 2 has no work");
        let fir = with(None, vec![work("fir", "2")]);
        let why = unlike(&old, &fir).expect("two kernels");
        assert!(why.contains("20us of busy work each") && why.contains("fir avx2"), "{why}");
        assert_eq!(unlike(&fir, &fir), None);
        let other = with(None, vec![work("fir", "3")]);
        assert!(unlike(&fir, &other).is_some_and(|why| why.contains("parameters")));
        let mut narrower = fir.clone();
        narrower.lab.work[0].runs_as = "scalar".to_owned();
        assert_eq!(unlike(&fir, &narrower), None);
        assert!(notes(&fir, &narrower).iter().any(|n| n.contains("fir avx2 | fir scalar")));
    }

    /// What each round had on time at 2x: High, Medium, Low.
    type Rounds = [[f64; 3]; 3];
    const USUAL: Rounds = [[0.991, 1.0, 0.268], [0.987, 0.999, 0.271], [0.99, 1.0, 0.274]];

    /// The classes and figures that are called a regression.
    fn caught(before: &Outcome, now: &Outcome) -> Vec<(String, &'static str)> {
        let rows = Comparison::new(before, now, 0.1).rows;
        rows.into_iter().filter(Row::is_regression).map(|r| (r.class, r.metric)).collect()
    }

    #[test]
    fn a_core_that_is_a_little_slower_is_no_regression_though_low_loses_a_tenth() {
        let before = testing::outcome_of_all(&USUAL);
        // Low has what the others leave: three points of it are three hundredths of the whole.
        let now = [[0.985, 0.998, 0.238], [0.988, 1.0, 0.241], [0.99, 0.999, 0.236]];
        assert!(caught(&before, &testing::outcome_of_all(&now)).is_empty());
        // Twice as much, on a core on which the bare loop lost as much.
        let mut slower = testing::outcome_of_all(&now.map(|[h, m, l]| [h, m, l - 0.03]));
        slower.capacity.iter_mut().for_each(|c| {
            (c.service, c.bare) = (c.service * 0.94, c.bare.map(|b| b * 0.94));
        });
        assert!(caught(&before, &slower).is_empty());
    }

    #[test]
    fn a_tenth_of_the_capacity_lost_is_caught_and_so_is_each_class_that_a_policy_loses() {
        let before = testing::outcome_of_all(&USUAL);
        let with =
            |change: &dyn Fn([f64; 3]) -> [f64; 3]| testing::outcome_of_all(&USUAL.map(change));
        let name = |class: &str, metric| vec![(class.to_owned(), metric)];
        // A tenth of the capacity is 0.2 of 2.8 offered to Low.
        let less = with(&|[h, m, l]| [h, m, l - 0.1 / 1.4]);
        assert_eq!(caught(&before, &less), name("low", "work on time"));
        let mut bare_is_quicker = before.clone();
        bare_is_quicker.capacity.iter_mut().for_each(|c| c.service *= 0.9);
        assert_eq!(caught(&before, &bare_is_quicker), name("all", "packets/s"));
        // What High or Medium lose, Low has.
        let high = with(&|[h, m, l]| [h - 0.07, m, l + 0.01]);
        assert_eq!(caught(&before, &high), name("high", "on time"));
        let medium = with(&|[h, m, l]| [h, m - 0.3, l + 0.3 * 2.0 / 7.0]);
        assert_eq!(caught(&before, &medium), name("medium", "on time"));
        // At 5x Medium has what High leaves, and Low nothing.
        let at_5x = |rounds: Rounds| {
            let mut outcome = testing::outcome_of_all(&rounds);
            outcome.runs.iter_mut().for_each(|r| r.load = 5.0);
            outcome
        };
        let rounds = [[0.98, 0.44, 0.0], [0.99, 0.45, 0.0], [0.985, 0.46, 0.0]];
        let swapped = rounds.map(|[h, m, l]| [h, m - 0.2, l + 0.2 * 2.0 / 7.0]);
        assert_eq!(caught(&at_5x(rounds), &at_5x(swapped)), name("medium", "work on time"));
    }
}
