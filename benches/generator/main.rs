//! What the load generator can do and how true its figures are: `cargo bench --bench generator [-- rate [1..5]|delays|stall]`.
//!
//! `rate`: packets a second of one generator core that records every answer, beside bare loops that only send, by
//! sendmmsg and by GSO, towards the same echo on the other core. All take turns, and the median of the rounds' ratios is
//! printed with its quartiles; a number runs that row alone. `delays`: what is measured of a service that answers after exactly 1, 5 and 20 ms.
//! `stall`: a service that stands still for 200 ms of every second. `--check` exits with 3 where a goal is missed;
//! `--quick` runs fewer rounds.

#![expect(unsafe_code, reason = "the bare loops call the kernel by hand")]

mod bare;
#[path = "../bare/echo.rs"]
mod echo;
#[path = "../bare/mmsg.rs"]
mod mmsg;
#[path = "../common/quartiles.rs"]
mod quartiles;
mod rate;
mod service;
mod truth;

/// Cores of the service and of whoever sends.
const SERVICE_CORE: usize = 0;
const SENDER_CORE: usize = 1;

fn main() {
    let args: Vec<String> = std::env::args().skip(1).filter(|a| a != "--bench").collect();
    let has = |name: &str| args.iter().any(|a| a == name);
    let all = !["rate", "delays", "stall"].iter().any(|part| has(part));
    let quick = has("--quick");
    let mut kept = true;
    if all || has("rate") {
        let row = args.iter().find_map(|a| a.parse().ok()).filter(|_| has("rate"));
        kept &= rate::contest(if quick { 3 } else { 9 }, row);
    }
    if all || has("delays") {
        kept &= truth::delays(if quick { 1 } else { 5 });
    }
    if all || has("stall") {
        kept &= truth::stall();
    }
    if has("--check") && !kept {
        std::process::exit(3);
    }
}
