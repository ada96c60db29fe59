//! The crossover to a device that is NOT measured: 60 us for any batch and 0.03 us a row, the figures that the design was made
//! by. Only the cores' side is real. Says from how many rows on each rule goes to the device, and what that costs.

use punctual::base::Nanos;
use punctual::level::choose::{Mode, Options, Ratio};
use punctual::level::{Backend, Choice, CostModel, Leveller, Link, Offer, elements};

use crate::regret::backend;
use crate::truth::Measured;

const FIXED: Nanos = Nanos::from_micros(60);
const ROW_PS: u64 = 30_000;
const ROWS_MAX: u32 = 4_096;

/// A rule and how it is called.
fn rules() -> [(&'static str, Options); 4] {
    let ratio = |x: f64| Options { transfer_rule: Ratio::new(x), ..Options::default() };
    [
        ("least time (0.000001)", Options { hysteresis_percent: 0, ..ratio(1e-6) }),
        ("transfer_rule = 1.0", ratio(1.0)),
        ("transfer_rule = 5.0", ratio(5.0)),
        ("mode = \"seed\"", Options { mode: Mode::Seed, ..Options::default() }),
    ]
}

/// Prints the table; whether nothing was sent to be late that another backend would have had in time.
pub(crate) fn table(all: &[Measured]) -> bool {
    println!(
        "\nMODELLED device ({FIXED} + {ROW_PS} ps a row, not measured), beside one core, by the calibrated models"
    );
    println!(
        "| kernel | crossover of the models | rule | device from rows | mean of time by the least | late that need not be |"
    );
    println!("|---|---|---|---|---|---|");
    let mut good = true;
    for measured in all.iter().filter(|m| m.work.name.starts_with("mlp f32")) {
        let device = CostModel::linear(Nanos::ZERO, ROW_PS, ROWS_MAX);
        let whole = CostModel::linear(FIXED, ROW_PS, ROWS_MAX);
        let best = measured.forms.last().expect("a form");
        let crossover = best.model.crossover(&whole, ROWS_MAX);
        for (name, options) in rules() {
            let (from, ratio, late) = walk(measured, &device, options);
            let from = from.map_or("never".to_owned(), |rows| rows.to_string());
            let crossover = crossover.map_or("none".to_owned(), |rows| rows.to_string());
            let kernel = &measured.work.name;
            println!("| {kernel} | {crossover} | {name} | {from} | {ratio:.2} | {late} |");
            good &= late == 0;
        }
    }
    good
}

/// From how many rows on the device is chosen, the mean of what is chosen by the least, and the points that were late for
/// nothing.
fn walk(measured: &Measured, device: &CostModel, options: Options) -> (Option<u32>, f64, usize) {
    let (mut from, mut sum, mut count, mut late) = (None, 0.0, 0.0, 0);
    let link = Link { launch: FIXED, bytes_per_s: u64::MAX };
    for slack in [Nanos::from_micros(300), Nanos::from_millis(1), Nanos::MAX] {
        let mut leveller = Leveller::new(options);
        for rows in 1..=ROWS_MAX {
            let mut offers: Vec<Offer> = Vec::new();
            for form in &measured.forms {
                let work = form.model.predict(rows);
                let (transfer, wait) = (Nanos::ZERO, Nanos::ZERO);
                let backend = backend(form);
                offers.push(Offer {
                    backend,
                    work,
                    work_high: work,
                    work_low: work,
                    transfer,
                    wait,
                    open: true,
                });
            }
            let work = device.predict(rows);
            let transfer = link.transfer(0, 0).expect("a time");
            offers.push(Offer {
                backend: Backend::Device,
                work,
                work_high: work,
                work_low: work,
                transfer,
                ..offers[0]
            });
            let len = measured.work.spec.payload_len().unwrap_or(0);
            let size = elements(&measured.work.spec, rows, len);
            let cost = |o: &Offer| o.transfer + o.work;
            let least = offers.iter().map(cost).min().expect("some");
            match leveller.choose(&offers, size, slack) {
                Choice::Run(chosen, _) => {
                    let chosen = offers.iter().find(|o| o.backend == chosen).expect("offered");
                    if slack == Nanos::MAX {
                        sum += cost(chosen).get() as f64 / least.get() as f64;
                        count += 1.0;
                        if chosen.backend == Backend::Device && from.is_none() {
                            from = Some(rows);
                        }
                    }
                    late += usize::from(cost(chosen) > slack);
                }
                Choice::Late | Choice::Rejected => late += usize::from(least <= slack),
            }
        }
    }
    (from, sum / count, late)
}
