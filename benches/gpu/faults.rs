//! A device that goes away while it works: what comes back, and how long it takes until there is one again.

use std::time::Instant;

use punctual::base::Nanos;
use punctual::kernel::accel::{Accelerator as _, Ended};
use punctual::kernel::gpu::Options;

use crate::nets::{self, F32};

/// Prints what happened.
pub(crate) fn report(options: Options) {
    let mut gpu = nets::open(Options { timed: false, rows_max: 512, ..options });
    for _ in 0..gpu.in_flight_max() {
        gpu.submit(F32, nets::batch(512)).unwrap();
    }
    gpu.destroy_device();
    let (mut run, mut lost) = (0, 0);
    let start = Instant::now();
    while run + lost < gpu.in_flight_max() {
        gpu.poll(Nanos::from_millis(10), &mut |_, how| match how {
            Ended::Run => run += 1,
            Ended::Lost => lost += 1,
        });
    }
    let taken = start.elapsed().as_secs_f64() * 1e3;
    println!(
        "\ndestroyed with {} in flight: {run} run, {lost} lost, known after {taken:.1} ms",
        run + lost
    );
    println!("  why: {}", gpu.fault().unwrap_or("no fault"));
    let start = Instant::now();
    let back = gpu.revive();
    println!("  revived: {back}, after {:.0} ms", start.elapsed().as_secs_f64() * 1e3);
}
