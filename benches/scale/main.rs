//! What many workers cost: a simulated packet with 1 to 1,024 of them, and one tick of the controller for 1,024.
//!
//! `cargo bench --bench scale` runs both; `-- packets` or `-- tick` one of them, `--rounds N` more or fewer rounds, `--check`
//! ends with 3 where a goal is missed.

#[path = "../common/quartiles.rs"]
mod quartiles;
mod tick;
mod world;

use std::process::ExitCode;

const ROUNDS: usize = 5;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).filter(|a| a != "--bench").collect();
    if let Some((first, rest)) = args.split_first()
        && first == world::ONE
    {
        world::one(rest);
        return ExitCode::SUCCESS;
    }
    let asked = |name: &str| args.iter().any(|a| a == name);
    let rounds = args.iter().skip_while(|a| *a != "--rounds").nth(1);
    let rounds = rounds.and_then(|n| n.parse().ok()).unwrap_or(ROUNDS).max(1);
    let both = !asked("packets") && !asked("tick");
    let mut reached = true;
    if both || asked("packets") {
        reached &= world::run(rounds);
    }
    if both || asked("tick") {
        reached &= tick::run();
    }
    if asked("--check") && !reached { ExitCode::from(3) } else { ExitCode::SUCCESS }
}
