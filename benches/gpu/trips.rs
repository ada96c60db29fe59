//! Round trips one by one with their tail, waited for in three ways; and how much several in flight bring.

use punctual::base::Nanos;
use punctual::kernel::accel::Accelerator as _;
use punctual::kernel::gpu::Options;

use crate::Pace;
use crate::nets::{self, F32};
use crate::times::{Times, time};

/// Prints both tables.
pub(crate) fn report(options: Options, pace: Pace) {
    println!(
        "\nround trips of mlp f32, us                p50       p99     p99.9   ({} each)",
        pace.trips
    );
    let ways = [
        ("blocking", Nanos::ZERO, Nanos::from_secs(1)),
        ("looking", Nanos::ZERO, Nanos::ZERO),
        ("looking 50 us, then blocking", Nanos::from_micros(50), Nanos::from_secs(1)),
    ];
    for (name, spin, wait) in ways {
        let mut gpu = nets::open(Options { spin, timed: false, rows_max: 512, ..options });
        for rows in [1, 64, 512] {
            let trips = if rows == 512 { pace.trips / 10 } else { pace.trips };
            let mut staged = Some(nets::batch(rows));
            let mut times = Vec::with_capacity(trips);
            for _ in 0..trips {
                let mut batch = staged.take().unwrap();
                nets::fill(&mut batch, rows);
                times.push(time(|| {
                    gpu.submit(F32, batch).unwrap();
                    staged = Some(nets::next(&mut gpu, wait));
                }));
            }
            println!("  {rows:>3} rows, {name:<28}{}", Times::from(times).said());
        }
    }
    in_flight(options, pace);
}

fn in_flight(options: Options, pace: Pace) {
    println!("\nin flight, batches of 64 and 512 rows of mlp f32: rows/s");
    for in_flight in [1, 2, 3, 4] {
        let mut gpu = nets::open(Options { in_flight, timed: false, rows_max: 512, ..options });
        let mut said = format!("  {in_flight}:");
        for (rows, count) in [(64, pace.trips / 5), (512, pace.trips / 20)] {
            let mut free: Vec<_> = (0..in_flight).map(|_| nets::batch(rows)).collect();
            let mut done = 0;
            let us = time(|| {
                while done < count {
                    while let Some(mut batch) = free.pop() {
                        nets::fill(&mut batch, rows);
                        gpu.submit(F32, batch).unwrap();
                    }
                    let back = nets::back(&mut gpu, Nanos::from_secs(1));
                    done += back.len();
                    free.extend(back);
                }
            });
            while free.len() < in_flight {
                free.extend(nets::back(&mut gpu, Nanos::from_secs(1)));
            }
            said.push_str(&format!(" {:>12.0}", (done * rows) as f64 / us * 1e6));
        }
        println!("{said}");
    }
}
