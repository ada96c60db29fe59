//! Whether the model of what a batch costs is true, and whether what is chosen by it is the best that could be chosen.
//!
//! `cargo bench --bench level`; `-- --quick` is a short run, `-- --sizes` prints every time that was measured, `--wall` times
//! batches by the machine's clock and not by cycles, and `--check` ends with 3 where a goal is missed.

mod cycles;
mod modelled;
#[path = "../common/quartiles.rs"]
mod quartiles;
mod regret;
mod truth;
mod works;

use std::process::ExitCode;

use crate::cycles::Judge;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let asked = |name: &str| args.iter().any(|a| a == name);
    if asked("--test") || asked("--list") {
        return ExitCode::SUCCESS;
    }
    let rounds = if asked("--quick") { 9 } else { 31 };
    let judge = if asked("--wall") { Judge::Wall } else { Judge::by_cycles() };
    println!("batches are timed by {}", judge.name());
    let of = |work| truth::Measured::of(&judge, work, rounds);
    let mut measured: Vec<truth::Measured> = works::every().into_iter().map(of).collect();
    let mut reached = truth::table(&measured, asked("--sizes"));
    reached &= regret::table(&judge, &mut measured);
    reached &= modelled::table(&measured);
    if asked("--check") && !reached { ExitCode::from(3) } else { ExitCode::SUCCESS }
}
