//! The kernels that are judged: real ones, with payloads that their users send.

use std::sync::Arc;

use punctual::kernel::matching::{self, Patterns};
use punctual::kernel::mlp::weights::{Layer, Model};
use punctual::kernel::mlp::{self, Output, Precision};
use punctual::kernel::{KernelSpec, fir, rs};
use rand_xoshiro::Xoshiro256PlusPlus;
use rand_xoshiro::rand_core::{RngCore as _, SeedableRng as _};

pub(crate) struct Work {
    pub(crate) name: String,
    pub(crate) spec: KernelSpec,
    /// Bytes of a payload, where the kernel takes any.
    pub(crate) wanted: usize,
}

/// Numbers that are the same in every run.
struct Draw(Xoshiro256PlusPlus);

impl Draw {
    /// From -1 to 1.
    fn unit(&mut self) -> f32 {
        (self.0.next_u64() % 2_000_001) as f32 / 1e6 - 1.0
    }
}

pub(crate) fn every() -> Vec<Work> {
    let mut all = Vec::new();
    for widths in [[64, 256, 256, 8], [16, 32, 16, 1]] {
        for precision in [Precision::F32, Precision::Int8] {
            all.push(perceptron(&widths, precision));
        }
    }
    all.push(patterns(1_000));
    all.push(code(rs::Task::Repair));
    all.push(code(rs::Task::Encode));
    all.push(filter(320));
    all.push(filter(1_472));
    let checksum =
        |wanted| Work { name: format!("crc32c {wanted} B"), spec: KernelSpec::Crc32c, wanted };
    all.extend([64, 1_472].map(checksum));
    all
}

fn perceptron(widths: &[usize], precision: Precision) -> Work {
    let mut draw = Draw(Xoshiro256PlusPlus::seed_from_u64(7));
    let layers = widths.windows(2).map(|w| {
        // So large that numbers neither fade nor grow from layer to layer.
        let size = (6.0 / w[0] as f32).sqrt();
        let weights = (0..w[0] * w[1]).map(|_| size * draw.unit()).collect();
        Layer { inputs: w[0], outputs: w[1], weights, bias: vec![0.1; w[1]] }
    });
    let model = Arc::new(Model::new(layers.collect()).expect("widths fit"));
    let title: Vec<String> = widths.iter().map(ToString::to_string).collect();
    let name = format!("mlp {} {}", precision.word(), title.join("-"));
    let (weights, output) = ("drawn".to_owned(), Output::Linear);
    let spec = KernelSpec::Mlp(mlp::Spec { weights, model, precision, output, tag: 0 });
    Work { name, spec, wanted: 0 }
}

fn patterns(count: usize) -> Work {
    // No seed of a payload: patterns of the same draw would be in it.
    let mut draw = Xoshiro256PlusPlus::seed_from_u64(1_000_003);
    let mut pattern = || {
        let mut bytes = vec![0; 6 + (draw.next_u64() % 10) as usize];
        draw.fill_bytes(&mut bytes);
        bytes
    };
    let patterns = Patterns::new((0..count).map(|_| pattern()).collect()).expect("a set");
    let spec = KernelSpec::Match(matching::Spec { patterns, file: None });
    Work { name: format!("match {count}"), spec, wanted: 1_472 }
}

fn code(task: rs::Task) -> Work {
    let spec = KernelSpec::Rs(rs::Spec { data: 10, parity: 2, task });
    Work { name: format!("rs 10+2 {}", task.word()), spec, wanted: 10 * 1_408 + 4 }
}

fn filter(wanted: usize) -> Work {
    let mut draw = Draw(Xoshiro256PlusPlus::seed_from_u64(4));
    let taps = (0..64).map(|_| (900.0 * draw.unit()) as i16).collect();
    let spec = KernelSpec::Fir(fir::Spec { taps, shift: 15 });
    Work { name: format!("fir 64 taps, {wanted} B"), spec, wanted }
}
