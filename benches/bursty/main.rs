//! Bursts at nine tenths of what vectors can do, with little time: how much is on time where admission knows what the batch costs
//! that a packet will ride in, beside admission by a batch of one, by a moving average, and fixed batches of 1 and 32.
//!
//! `cargo bench --bench bursty`; `-- --quick` is a short run, and `--check` ends with 3 where the goal is missed or too few runs count. The real worker,
//! gates and queue, fed from memory: first on a made-up clock where a batch takes what was calibrated, so that only the rules
//! differ; then on the machine's clock with the real kernel.

mod lab;
#[path = "../common/quartiles.rs"]
mod quartiles;

use std::process::ExitCode;

use punctual::base::Nanos;
use punctual::kernel::mlp::Precision;
use punctual::kernel::{KernelSpec, Kernels, Registry, drawn};
use punctual::runtime::calibration::{self, Measured};
use punctual::sched::admission::Policy;
use punctual::sched::batch::Mode;
use punctual::sim::workload::{ArrivalTimes, Arrivals};
use punctual::sys::clock::MonotonicClock;
use rand_xoshiro::Xoshiro256PlusPlus;
use rand_xoshiro::rand_core::SeedableRng as _;

use lab::{Modelled, Outcome, Variant, Virtual};
use quartiles::quartiles;

/// The goal: so much on time.
const GOAL: f64 = 0.95;
const BUDGET: Nanos = Nanos::from_micros(300);
/// Of what the worker can do.
const LOAD: f64 = 0.9;
/// A run counts where the capacity before and after it differ by no more than this.
const STEADY: f64 = 0.03;
/// There are up to so many times the rounds that are asked for.
const ROUNDS_PER_ASKED: u64 = 3;
/// Fewer runs that count show nothing.
const COUNTED_MIN: usize = 3;
/// Bursts: so much faster than between them, for so long.
const BURSTS: Arrivals =
    Arrivals::OnOff { ratio: 10.0, on: Nanos::from_micros(10), off: Nanos::from_micros(90) };

/// The wide perceptron of docs/leveling.md.
pub(crate) fn spec() -> KernelSpec {
    let perceptron = drawn::perceptron(&drawn::WIDE, Precision::F32);
    KernelSpec::Mlp(perceptron.expect("widths fit"))
}

fn variants(policy: Policy) -> [Variant; 5] {
    let variant = |name, mode| Variant { name, mode, policy };
    [
        variant("cost", Mode::Cost),
        variant("single", Mode::Single),
        variant("average", Mode::Average),
        variant("1", Mode::Fixed(1)),
        variant("32", Mode::Fixed(32)),
    ]
}

/// Where the worker runs.
struct Place<'p> {
    measured: &'p Measured,
    registry: &'p Registry,
    /// On the made-up clock, in batches of up to that worth.
    made_up: Option<usize>,
}

impl Place<'_> {
    fn run(&self, variant: Variant, budget: Nanos, times: Vec<Nanos>) -> Outcome {
        let Self { measured, registry, made_up } = self;
        let told = (variant, budget);
        let Some(worth) = *made_up else {
            let kernels = registry.instantiate(1, &MonotonicClock);
            return lab::run(&MonotonicClock, None, kernels, measured, told, times);
        };
        let clock = Virtual::default();
        let model = measured.model.clone();
        let kernel = Modelled { model, clock: clock.clone(), worth };
        let kernels = Kernels::new(vec![Box::new(kernel)]);
        lab::run(&clock, Some(clock.clone()), kernels, measured, told, times)
    }

    /// Answers a second where there is always more to do, in batches by cost.
    fn capacity(&self) -> f64 {
        let patient = Nanos::from_millis(5);
        let variant = variants(Policy::Edf)[0];
        let mut found = 1e6_f64;
        // A little more than it can do: what is refused takes time too.
        for excess in [2.0, 1.2, 1.2, 1.2] {
            let apart = 1e9 / (excess * found);
            let count = (20e6 / apart) as u64;
            let times = (0..count).map(|n| Nanos::new((n as f64 * apart) as u64)).collect();
            let outcome = self.run(variant, patient, times);
            let rate = outcome.on_time as f64 / outcome.took.as_secs_f64();
            found = if excess > 1.5 { rate } else { found.max(rate) };
        }
        found
    }
}

fn arrivals(rate: f64, span: Nanos, seed: u64) -> Vec<Nanos> {
    let rng = Xoshiro256PlusPlus::seed_from_u64(seed);
    let mut times = ArrivalTimes::new(BURSTS, rate, rng);
    std::iter::from_fn(|| Some(times.next_at().since(punctual::base::Instant::ZERO)))
        .take_while(|t| *t < span)
        .collect()
}

/// What a server of that capacity could have on time that knows everything and wastes nothing: it takes what fits.
fn bound(times: &[Nanos], capacity: f64) -> f64 {
    let (each, mut free, mut on_time) = (1e9 / capacity, 0.0_f64, 0);
    for t in times {
        let at = t.get() as f64;
        let done = free.max(at) + each;
        if done <= at + BUDGET.get() as f64 {
            free = done;
            on_time += 1;
        }
    }
    f64::from(on_time) / times.len() as f64
}

/// What came of a variant's runs that count.
#[derive(Default)]
struct Column {
    shares: Vec<f64>,
    /// Beside the same round's by cost, where both count.
    less: Vec<f64>,
    last: Option<Outcome>,
}

/// All runs of a place under a policy.
struct Runs {
    columns: Vec<Column>,
    capacities: Vec<f64>,
    bounds: Vec<f64>,
    /// Runs about which the machine's speed changed: at a load that nobody chose.
    void: usize,
}

fn run_all(place: &Place<'_>, policy: Policy, rounds: u64, span: Nanos) -> Runs {
    let variants = variants(policy);
    let columns = variants.iter().map(|_| Column::default()).collect();
    let mut runs = Runs { columns, capacities: Vec::new(), bounds: Vec::new(), void: 0 };
    let mut capacity = place.capacity();
    // Where runs are void there are more rounds, until enough by cost count.
    for round in 0..ROUNDS_PER_ASKED * rounds {
        if runs.columns[0].shares.len() as u64 >= rounds {
            break;
        }
        let mut of_round = vec![None; variants.len()];
        for turn in 0..variants.len() {
            // Nobody is always first.
            let v = (turn + round as usize) % variants.len();
            let times = arrivals(LOAD * capacity, span, round);
            let outcome = place.run(variants[v], BUDGET, times.clone());
            let before = std::mem::replace(&mut capacity, place.capacity());
            if (before / capacity - 1.0).abs() > STEADY {
                runs.void += 1;
                continue;
            }
            runs.bounds.push(bound(&times, before));
            runs.capacities.push(before);
            of_round[v] = Some(outcome);
        }
        let own = of_round[0].as_ref().map(Outcome::share);
        for (column, outcome) in runs.columns.iter_mut().zip(of_round) {
            let Some(outcome) = outcome else { continue };
            column.shares.push(outcome.share());
            column.less.extend(own.map(|own| outcome.share() - own));
            column.last = Some(outcome);
        }
    }
    runs
}

/// Prints a table; the median of what is on time by cost, and of how many runs.
fn table(place: &Place<'_>, policy: Policy, rounds: u64, span: Nanos) -> (f64, usize) {
    let runs = run_all(place, policy, rounds, span);
    let three = |of: &[f64], unit: f64| {
        if of.is_empty() {
            return "-".to_owned();
        }
        let [low, middle, high] = quartiles(of.iter().copied());
        format!("{:.1} ({:.1} to {:.1})", middle * unit, low * unit, high * unit)
    };
    println!(
        "\ncapacity {} thousand a second; {} runs void: it changed by more than {:.0} % about them",
        three(&runs.capacities, 1e-3),
        runs.void,
        100.0 * STEADY
    );
    println!(
        "| level.batch | runs | on time, % (quartiles) | by batches of cost, points | late, last run | rows a run |"
    );
    println!("|---|---|---|---|---|---|");
    for (column, variant) in runs.columns.iter().zip(variants(policy)) {
        let Some(o) = &column.last else {
            println!("| {} | 0 | | | | |", variant.name);
            continue;
        };
        println!(
            "| {} | {} | {} | {} | {} of {} | {:.1} |",
            variant.name,
            column.shares.len(),
            three(&column.shares, 100.0),
            three(&column.less, 100.0),
            o.late,
            o.sent,
            o.rows
        );
    }
    println!("| no server of that capacity more than | | {} | | | |", three(&runs.bounds, 100.0));
    let by_cost = &runs.columns[0].shares;
    (quartiles(by_cost.iter().copied())[1], by_cost.len())
}

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let asked = |name: &str| args.iter().any(|a| a == name);
    if asked("--test") || asked("--list") {
        return ExitCode::SUCCESS;
    }
    let (rounds, span) = if asked("--quick") { (3, 100) } else { (9, 300) };
    let span = Nanos::from_millis(span);
    let registry = Registry::new(vec![("score".to_owned(), spec())]);
    let measured =
        calibration::measure(&registry, None, &MonotonicClock).remove(0).expect("measured");
    let t = |rows| measured.model.predict(rows);
    println!(
        "perceptron 64-256-256-8: T(1) {}, T(8) {}, T(32) {}; budget {BUDGET}, load {LOAD}, {BURSTS:?}",
        t(1),
        t(8),
        t(32)
    );
    let worth = match measured.model.run() {
        0 => 64,
        rows => rows as usize,
    };
    let mut reached = true;
    for (title, made_up) in [("a made-up clock", Some(worth)), ("the machine's clock", None)] {
        for policy in [Policy::Value, Policy::Edf] {
            println!("\n## {title}, policy {policy:?}");
            let place = Place { measured: &measured, registry: &registry, made_up };
            let (share, counted) = table(&place, policy, rounds, span);
            let enough = counted >= COUNTED_MIN;
            let met = share >= GOAL && enough;
            reached &= met;
            let missed = match (enough, met) {
                (false, _) => ": NOT SHOWN, too few runs at a speed that stayed",
                (true, false) => ": MISSED",
                (true, true) => "",
            };
            println!(
                "\non time by cost: {:.2} % (goal {:.0}){missed}",
                100.0 * share,
                100.0 * GOAL
            );
        }
    }
    if asked("--check") && !reached { ExitCode::from(3) } else { ExitCode::SUCCESS }
}
