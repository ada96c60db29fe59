//! Perceptrons to run, payloads for them, and a device to run them on.

use std::io::{self, Write as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use punctual::base::{Clock, Instant, KernelId, Nanos};
use punctual::kernel::accel::{Accelerator as _, Ended, Staged};
use punctual::kernel::gpu::{Gpu, GpuError, Options};
use punctual::kernel::mlp::weights::{Layer, Model};
use punctual::kernel::mlp::{Mlp, NUMBER_LEN, Output, Precision, Spec};
use punctual::kernel::simd::Level;
use punctual::kernel::{Batch, Kernel as _, KernelSpec, Registry, Row, RowStatus};
use punctual::sys::clock::MonotonicClock;

/// Numbers from -1 to 1 that are the same in every run.
pub(crate) struct Draw(pub u64);

impl Draw {
    pub(crate) fn next(&mut self) -> f32 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 40) as f32) / (1_u64 << 23) as f32 - 1.0
    }
}

/// A perceptron of these sizes with drawn weights.
pub(crate) fn spec(sizes: &[usize], precision: Precision, output: Output, tag: usize) -> Spec {
    let mut draw = Draw(sizes.iter().sum::<usize>() as u64);
    let layer = |pair: &[usize]| {
        let (inputs, outputs) = (pair[0], pair[1]);
        let spread = 2.0 / (inputs as f32).sqrt();
        let weights = (0..inputs * outputs).map(|_| draw.next() * spread).collect();
        Layer { inputs, outputs, weights, bias: (0..outputs).map(|_| draw.next()).collect() }
    };
    let model = Model::new(sizes.windows(2).map(layer).collect()).expect("sizes that fit");
    Spec { weights: format!("{sizes:?}"), model: Arc::new(model), precision, output, tag }
}

/// Those perceptrons as the kernels of a config, in that order.
pub(crate) fn registry(specs: &[Spec]) -> Registry {
    let entry = |(i, s): (usize, &Spec)| (format!("net{i}"), KernelSpec::Mlp(s.clone()));
    Registry::new(specs.iter().enumerate().map(entry).collect())
}

pub(crate) const OPTIONS: Options = Options {
    allow_software: true,
    rows_max: 64,
    in_flight: 3,
    overdue: Nanos::from_secs(30),
    spin: Nanos::from_micros(50),
    timed: false,
};

/// A device for these perceptrons that is ready; none, loudly, where there is no adapter.
pub(crate) fn device(test: &str, specs: &[Spec], options: Options) -> Option<Gpu> {
    device_at(test, specs, options, MonotonicClock)
}

pub(crate) fn device_at(
    test: &str,
    specs: &[Spec],
    options: Options,
    clock: impl Clock + Send + 'static,
) -> Option<Gpu> {
    match Gpu::open(&registry(specs), options, clock) {
        Ok(gpu) => {
            assert_eq!(gpu.fault(), None, "the device is down from the start");
            Some(gpu)
        }
        Err(GpuError::NoAdapter) => {
            let required = std::env::var("PUNCTUAL_REQUIRE_GPU").is_ok_and(|v| v == "1");
            assert!(!required, "PUNCTUAL_REQUIRE_GPU=1, and there is no adapter");
            // Past the capture of the test harness: what was not checked must be seen.
            let hint = "no Vulkan adapter, install mesa-vulkan-drivers and libvulkan1";
            writeln!(io::stderr(), "SKIPPED {test}: {hint}").expect("stderr");
            None
        }
        Err(other) => panic!("{other}"),
    }
}

/// A clock that is put forward by hand.
#[derive(Clone, Default)]
pub(crate) struct Hand(Arc<AtomicU64>);

impl Hand {
    pub(crate) fn forward(&self, by: Nanos) {
        self.0.fetch_add(by.get(), Ordering::SeqCst);
    }
}

impl Clock for Hand {
    fn now(&self) -> Instant {
        Instant::from_nanos(self.0.load(Ordering::SeqCst))
    }
}

/// `rows` payloads for a perceptron, of very different size from row to row.
pub(crate) fn payloads(spec: &Spec, rows: usize, seed: u64) -> Vec<Vec<u8>> {
    let mut draw = Draw(seed);
    let payload = |r: usize| {
        let mut bytes = vec![r as u8; spec.tag];
        for k in 0..spec.model.inputs() {
            let x = draw.next() * if r % 3 == 2 { 50.0 } else { 1.0 } + (k % 2) as f32;
            bytes.extend_from_slice(&x.to_le_bytes());
        }
        bytes
    };
    (0..rows).map(payload).collect()
}

/// A batch of these payloads.
pub(crate) fn staged(spec: &Spec, payloads: &[Vec<u8>], tag: u64) -> Box<Staged> {
    let room = spec.payload_len().max(spec.answer_len()) + 3;
    let mut staged = Box::new(Staged::new(payloads.len(), payloads.len() * room));
    staged.tag = tag;
    // Odd lengths: rows begin at odd places.
    payloads.iter().for_each(|p| assert!(staged.push(p, room - 3 + p.len() % 4)));
    staged
}

/// What every row came to: its answer, or none.
pub(crate) fn answers(staged: &Staged) -> Vec<Option<Vec<u8>>> {
    let done = |i: usize| staged.rows()[i].status == RowStatus::Done;
    (0..staged.len()).map(|i| done(i).then(|| staged.bytes_of(i).to_vec())).collect()
}

/// The same by the reference on the CPU.
pub(crate) fn reference(spec: &Spec, payloads: &[Vec<u8>]) -> Vec<Option<Vec<u8>>> {
    let mut batch = staged(spec, payloads, 0);
    let mut mlp = Mlp::new(spec, Level::Scalar);
    let (bytes, rows) = batch.parts();
    for rows in rows.chunks_mut(64) {
        let rows: &mut [Row] = rows;
        mlp.run(&mut Batch::new(bytes, rows));
    }
    answers(&batch)
}

/// The next batch that is back, for at most ten seconds.
pub(crate) fn next(gpu: &mut Gpu) -> (Box<Staged>, Ended) {
    let mut all = Vec::new();
    for _ in 0..10_000 {
        gpu.poll(Nanos::from_millis(1), &mut |staged, how| all.push((staged, how)));
        if !all.is_empty() {
            assert_eq!(all.len(), 1, "one was in flight");
            return all.remove(0);
        }
    }
    panic!("nothing came back: {gpu:?}");
}

/// Runs one batch and gives its answers.
pub(crate) fn run(
    gpu: &mut Gpu,
    kernel: u16,
    spec: &Spec,
    payloads: &[Vec<u8>],
) -> Vec<Option<Vec<u8>>> {
    gpu.submit(KernelId(kernel), staged(spec, payloads, 7)).expect("it is ready");
    let (batch, how) = next(gpu);
    assert_eq!((how, batch.tag), (Ended::Run, 7));
    answers(&batch)
}

pub(crate) fn numbers(spec: &Spec, answer: &[u8]) -> Vec<f32> {
    let words = answer[spec.tag..].chunks_exact(NUMBER_LEN);
    words.map(|w| f32::from_le_bytes([w[0], w[1], w[2], w[3]])).collect()
}
