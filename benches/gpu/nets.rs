//! The perceptron that is timed, its payloads, and the batch that carries them.

use punctual::base::{KernelId, Nanos};
use punctual::kernel::accel::{Accelerator as _, Ended, Staged};
use punctual::kernel::drawn::{self, WIDE};
use punctual::kernel::gpu::{Gpu, Options};
use punctual::kernel::mlp::{NUMBER_LEN, Precision, Spec};
use punctual::kernel::{KernelSpec, Registry};
use punctual::sys::clock::MonotonicClock;

pub(crate) const F32: KernelId = KernelId(0);

/// In floats and in bytes, in the order of their ids.
pub(crate) fn specs() -> [Spec; 2] {
    [Precision::F32, Precision::Int8].map(|p| drawn::perceptron(&WIDE, p).expect("widths fit"))
}

pub(crate) fn registry() -> Registry {
    let named = |s: Spec| (s.precision.word().to_owned(), KernelSpec::Mlp(s));
    Registry::new(specs().map(named).to_vec())
}

/// A device that is ready, or the program ends with its fault.
pub(crate) fn open(options: Options) -> Gpu {
    let gpu = Gpu::open(&registry(), options, MonotonicClock).unwrap();
    assert_eq!(gpu.fault(), None);
    gpu
}

pub(crate) fn payload(row: usize) -> Vec<u8> {
    let number = |k: usize| ((row * 31 + k * 17) % 101) as f32 / 50.0 - 1.0;
    (0..WIDE[0]).flat_map(|k| number(k).to_le_bytes()).collect()
}

/// Fills a batch with `rows` payloads.
pub(crate) fn fill(staged: &mut Staged, rows: usize) {
    staged.clear();
    (0..rows).for_each(|r| assert!(staged.push(&payload(r), 0)));
}

pub(crate) fn batch(rows: usize) -> Box<Staged> {
    let mut staged = Box::new(Staged::new(rows, rows * WIDE[0] * NUMBER_LEN));
    fill(&mut staged, rows);
    staged
}

/// Waits for what is back next, in pieces of `wait`.
#[expect(clippy::vec_box, reason = "batches travel as boxes")]
pub(crate) fn back(gpu: &mut Gpu, wait: Nanos) -> Vec<Box<Staged>> {
    let mut all = Vec::new();
    let mut lost = false;
    while all.is_empty() {
        gpu.poll(wait, &mut |staged, how| {
            lost |= how == Ended::Lost;
            all.push(staged);
        });
        assert!(!lost, "{:?}", gpu.fault());
    }
    all
}

/// The same where one is in flight.
pub(crate) fn next(gpu: &mut Gpu, wait: Nanos) -> Box<Staged> {
    back(gpu, wait).remove(0)
}
