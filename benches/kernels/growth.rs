//! What a batch costs by its rows: more rows never cost less, or admission would rather wait.

use std::sync::Arc;

use punctual::kernel::mlp::Precision;
use punctual::kernel::mlp::weights::Model;
use punctual::kernel::simd::SimdChoice;

use crate::dense::{LARGE, SMALL, model, ours, payloads, spec};
use crate::levels;
use crate::pairs::Side;
use crate::quartiles::quartiles;

/// Every batch that a worker runs, and those past it that only the trait takes.
const ROWS: [usize; 14] = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 24, 32];
/// The share of time by which a larger batch may seem to cost less: what remains of the machine's noise in a median.
const NOISE: f64 = 0.03;

/// Measures all and prints them; whether time never falls.
pub(crate) fn table(rounds: usize) -> bool {
    println!(
        "\nnanoseconds of a batch by its rows, and the least step, {rounds} rounds of all sizes in turn"
    );
    println!("| work | {} | least step |", ROWS.map(|r| r.to_string()).join(" | "));
    println!("|---|{}---|", "---|".repeat(ROWS.len()));
    let mut reached = true;
    for widths in [LARGE, SMALL] {
        let model = model(&widths);
        for precision in [Precision::F32, Precision::Int8] {
            for simd in std::iter::once(SimdChoice::Scalar).chain(levels()) {
                let (times, step) = measure(&model, precision, simd, rounds);
                let good = step >= 1.0 - NOISE;
                reached &= good;
                let title = widths.map(|w| w.to_string()).join("-");
                let times: Vec<String> = times.iter().map(|t| format!("{t:.0}")).collect();
                println!(
                    "| mlp {} {title} {} | {} | {step:.2}{} |",
                    precision.word(),
                    simd.word(),
                    times.join(" | "),
                    if good { "" } else { " FALLS" }
                );
            }
        }
    }
    reached
}

/// The median time of each batch, and the least of the medians of a batch's time by that of the batch before it.
fn measure(
    model: &Arc<Model>,
    precision: Precision,
    simd: SimdChoice,
    rounds: usize,
) -> (Vec<f64>, f64) {
    let spec = spec(model, precision);
    let side = |rows| Side::new(simd.word(), ours(&spec, simd, &payloads(model, rows)));
    let mut sides: Vec<Side> = ROWS.into_iter().map(side).collect();
    // A quarter of a turn: all sizes in turn are a round.
    let turns: Vec<u32> = sides.iter_mut().map(|s| (s.turn() / 4).max(1)).collect();
    let mut times = vec![Vec::new(); sides.len()];
    for round in 0..rounds {
        // From another size on in each round: whoever interrupts every round would else meet the same sizes.
        for i in (0..sides.len()).map(|i| (i + 5 * round) % ROWS.len()) {
            times[i].push(sides[i].time(turns[i]));
        }
    }
    let step =
        times.windows(2).map(|pair| quartiles(pair[1].iter().zip(&pair[0]).map(|(b, a)| b / a))[1]);
    let least = step.fold(f64::INFINITY, f64::min);
    (times.iter().map(|t| quartiles(t.iter().copied())[1]).collect(), least)
}
