//! A batch of a perceptron by its size: the device from end to end, its kernels alone, and the CPU's workers beside it.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use punctual::base::{KernelId, Nanos};
use punctual::kernel::accel::{Accelerator as _, Staged};
use punctual::kernel::gpu::{Gpu, Options};
use punctual::kernel::mlp::{Mlp, NUMBER_LEN, Precision, Spec};
use punctual::kernel::simd::Level;
use punctual::kernel::{Batch, Kernel as _, RowStatus};

use crate::Pace;
use crate::nets;
use crate::times::{Times, time};

const ROWS: [usize; 12] = [1, 2, 4, 8, 32, 128, 512, 1_024, 4_096, 16_384, 32_768, 65_532];

/// One size's medians, in microseconds.
struct Line {
    rows: usize,
    gpu: f64,
    kernels: Option<f64>,
    cpu: Vec<f64>,
}

/// Prints the tables, and says whether every result was right.
pub(crate) fn report(options: Options, pace: Pace) -> bool {
    let start = Instant::now();
    let mut gpu = nets::open(options);
    println!(
        "\ncold start, with self-test and every size warmed up: {:.0} ms",
        start.elapsed().as_secs_f64() * 1e3
    );
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let workers: Vec<usize> =
        [1, cores.min(8)].into_iter().filter(|w| *w == 1 || cores > 1).collect();
    let mut right = true;
    for (id, spec) in (0..).zip(&nets::specs()) {
        let mut lines = Vec::new();
        let most = gpu.rows_max();
        for rows in ROWS.into_iter().filter(|n| *n <= most) {
            right &= checked(&mut gpu, KernelId(id), spec, rows);
            let (total, kernels) = device(&mut gpu, KernelId(id), rows, pace);
            let cpu = workers.iter().map(|w| on_cpu(spec, rows, *w, pace)).collect();
            lines.push(Line { rows, gpu: total, kernels, cpu });
        }
        table(spec, &workers, &lines);
    }
    right
}

fn table(spec: &Spec, workers: &[usize], lines: &[Line]) {
    println!(
        "\nmlp {} 64-256-256-8, CPU at {}, median us of a batch",
        spec.precision.word(),
        Level::detect()
    );
    print!("  {:>6} {:>10} {:>10} {:>9}", "rows", "device", "kernels", "share");
    workers.iter().for_each(|w| print!(" {:>12}", format!("CPU x{w}")));
    println!("   device, rows/s");
    for line in lines {
        print!("  {:>6} {:>10.1}", line.rows, line.gpu);
        match line.kernels {
            Some(k) => print!(" {k:>10.1} {:>9.2}", line.gpu / k),
            None => print!(" {:>10} {:>9}", "-", "-"),
        }
        line.cpu.iter().for_each(|us| print!(" {us:>12.1}"));
        println!("   {:>13.0}", line.rows as f64 / line.gpu * 1e6);
    }
    println!("  share: the whole by the kernels alone; 1 would be transfers for nothing");
    for (i, w) in workers.iter().enumerate() {
        match crossover(lines, i) {
            Some(b) => println!("  B* beside {w} worker(s): {b:.0} rows"),
            None => println!(
                "  B* beside {w} worker(s): none up to {} rows",
                lines.last().map_or(0, |l| l.rows)
            ),
        }
    }
}

/// The batch from which on the device is faster than the CPU, between the sizes that were timed on a straight line.
fn crossover(lines: &[Line], i: usize) -> Option<f64> {
    let gain = |l: &Line| l.cpu[i] - l.gpu;
    let last = lines.iter().rposition(|l| gain(l) <= 0.0);
    let Some(at) = last else { return lines.first().map(|l| l.rows as f64) };
    let next = lines.get(at + 1)?;
    let (before, after) = (gain(&lines[at]), gain(next));
    let part = -before / (after - before);
    Some(lines[at].rows as f64 + part * (next.rows - lines[at].rows) as f64)
}

/// Whether the answers are the reference's.
fn checked(gpu: &mut Gpu, id: KernelId, spec: &Spec, rows: usize) -> bool {
    gpu.submit(id, nets::batch(rows)).unwrap();
    let ours = nets::next(gpu, Nanos::from_secs(1));
    let mut wanted = nets::batch(rows);
    cpu(&mut Mlp::new(spec, Level::Scalar), &mut wanted);
    for i in 0..rows {
        let (a, b) = (ours.bytes_of(i), wanted.bytes_of(i));
        let numbers = |bytes: &[u8]| -> Vec<f32> {
            let words = bytes.as_chunks::<NUMBER_LEN>().0.iter();
            words.map(|w| f32::from_le_bytes(*w)).collect()
        };
        let near = |(a, b): (&f32, &f32)| (a - b).abs() <= 1e-4 * b.abs().max(0.1);
        let right = ours.rows()[i].status == RowStatus::Done
            && match spec.precision {
                Precision::Int8 => a == b,
                Precision::F32 => numbers(a).iter().zip(&numbers(b)).all(near),
            };
        if !right {
            println!(
                "WRONG: {} row {i} of {rows}: {:?}, not {:?}",
                spec.precision.word(),
                numbers(a),
                numbers(b)
            );
            return false;
        }
    }
    true
}

fn device(gpu: &mut Gpu, id: KernelId, rows: usize, pace: Pace) -> (f64, Option<f64>) {
    let mut staged = Some(nets::batch(rows));
    let (mut total, mut kernels) = (Vec::new(), Vec::new());
    for _ in 0..pace.runs {
        let mut batch = staged.take().unwrap();
        nets::fill(&mut batch, rows);
        total.push(time(|| {
            gpu.submit(id, batch).unwrap();
            staged = Some(nets::next(gpu, Nanos::from_secs(1)));
        }));
        kernels.extend(gpu.kernel_time().map(|t| t.get() as f64 / 1e3));
    }
    let kernels = (!kernels.is_empty()).then(|| Times::from(kernels).median());
    (Times::from(total).median(), kernels)
}

/// The batch as a worker runs it: as many rows at a time as a run is worth.
fn cpu(mlp: &mut Mlp, staged: &mut Staged) {
    let most = mlp.batch_max();
    let (bytes, rows) = staged.parts();
    rows.chunks_mut(most).for_each(|rows| mlp.run(&mut Batch::new(bytes, rows)));
}

/// Shared by so many workers, each with its own part, this thread among them: until the last one is done.
fn on_cpu(spec: &Spec, rows: usize, workers: usize, pace: Pace) -> f64 {
    let workers = workers.min(rows);
    let gate = Gate { workers, arrived: AtomicUsize::new(0) };
    let work = |w: usize| {
        let mine = rows / workers + usize::from(w < rows % workers);
        let mut mlp = Mlp::new(spec, Level::detect());
        let mut staged = nets::batch(mine);
        let mut turn = 0;
        Times::from(
            (0..=pace.runs)
                .map(|_| {
                    nets::fill(&mut staged, mine);
                    gate.pass(&mut turn);
                    time(|| {
                        cpu(&mut mlp, &mut staged);
                        gate.pass(&mut turn);
                    })
                })
                .collect(),
        )
        .median()
    };
    std::thread::scope(|scope| {
        for w in 1..workers {
            let work = &work;
            scope.spawn(move || work(w));
        }
        work(0)
    })
}

/// Where workers meet, without sleeping: waking up takes longer than a small batch.
struct Gate {
    workers: usize,
    arrived: AtomicUsize,
}

impl Gate {
    /// Waits for all; `turn` counts this worker's own.
    fn pass(&self, turn: &mut usize) {
        *turn += self.workers;
        self.arrived.fetch_add(1, Ordering::AcqRel);
        let mut looks = 0;
        while self.arrived.load(Ordering::Acquire) < *turn {
            looks += 1;
            // Where there are fewer free cores than workers, one waits for another that has none.
            if looks % 1_000 == 0 {
                std::thread::yield_now();
            }
            std::hint::spin_loop();
        }
    }
}
