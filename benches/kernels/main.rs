//! Every kernel as a worker runs it, batch in and batch out, beside its plain reference and beside the best outside crate.
//!
//! `cargo bench --bench kernels` has Criterion's times of each side, then ratios that are taken in paired rounds; `-- --quick`
//! is a short run, `-- --ratios` has the ratios alone, `-- --ratios WORD` those whose name holds the word, and `--check` ends
//! with 3 where a goal is missed. `--features gemm/x86-v4` lets the outside product use AVX-512.

mod bytes;
mod dense;
mod growth;
mod pairs;
mod peak;
mod product;
#[path = "../common/quartiles.rs"]
mod quartiles;
mod work;

use std::process::ExitCode;
use std::time::Duration;

use criterion::Criterion;
use pairs::Pair;
use punctual::kernel::simd::SimdChoice;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let asked = |name: &str| args.iter().any(|a| a == name);
    // `cargo test --benches` wants to see that it runs; a list has no times.
    let only_once = asked("--test") || asked("--list");
    let quick = asked("--quick");
    let word = args.iter().find(|a| !a.starts_with("--")).cloned().unwrap_or_default();
    let mut all = every();
    all.retain(|pair| pair.name().contains(&word));
    for pair in &mut all {
        pair.hold();
    }
    if !asked("--ratios") {
        criterion(&mut all);
    }
    if only_once {
        return ExitCode::SUCCESS;
    }
    let mut reached = pairs::table(&mut all, if quick { 9 } else { 61 });
    if word.is_empty() || "growth".contains(&word) {
        reached &= growth::table(if quick { 15 } else { 101 });
    }
    if word.is_empty() || "peak".contains(&word) {
        reached &= peak::table(if quick { 15 } else { 101 });
    }
    if asked("--check") && !reached { ExitCode::from(3) } else { ExitCode::SUCCESS }
}

/// Every comparison that this machine has the instructions for.
fn every() -> Vec<Pair> {
    let mut all = dense::pairs();
    all.extend(bytes::pairs());
    all
}

/// The vector levels of this machine; what it lacks is said.
fn levels() -> Vec<SimdChoice> {
    let vectors = [SimdChoice::Avx2, SimdChoice::Avx512].into_iter();
    vectors
        .filter(|choice| match choice.resolve() {
            Ok(_) => true,
            Err(why) => {
                eprintln!("SKIPPED {}: {why}", choice.word());
                false
            }
        })
        .collect()
}

fn criterion(all: &mut [Pair]) {
    let mut c = Criterion::default()
        .warm_up_time(Duration::from_millis(200))
        .measurement_time(Duration::from_millis(500))
        .sample_size(20)
        .configure_from_args();
    for pair in all {
        let mut group = c.benchmark_group(pair.name());
        for side in pair.sides() {
            group.bench_function(side.name.clone(), |b| b.iter(|| side.work.run()));
        }
        group.finish();
    }
    c.final_summary();
}
