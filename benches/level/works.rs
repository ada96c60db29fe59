//! The kernels that are judged: real ones, with payloads that their users send.

use punctual::kernel::drawn::{self, NARROW, PATTERNS, SHARDS, WIDE};
use punctual::kernel::mlp::Precision;
use punctual::kernel::{KernelSpec, fir, matching, rs};

pub(crate) struct Work {
    pub(crate) name: String,
    pub(crate) spec: KernelSpec,
    /// Bytes of a payload, where the kernel takes any.
    pub(crate) wanted: usize,
}

pub(crate) fn every() -> Vec<Work> {
    let mut all = Vec::new();
    for widths in [WIDE, NARROW] {
        for precision in [Precision::F32, Precision::Int8] {
            all.push(perceptron(&widths, precision));
        }
    }
    all.push(patterns(PATTERNS));
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
    let title: Vec<String> = widths.iter().map(ToString::to_string).collect();
    let name = format!("mlp {} {}", precision.word(), title.join("-"));
    let spec = KernelSpec::Mlp(drawn::perceptron(widths, precision).expect("widths fit"));
    Work { name, spec, wanted: 0 }
}

fn patterns(count: usize) -> Work {
    let patterns = drawn::patterns(count).expect("a set");
    let spec = KernelSpec::Match(matching::Spec { patterns, file: None });
    Work { name: format!("match {count}"), spec, wanted: 1_472 }
}

fn code(task: rs::Task) -> Work {
    let (data, parity) = SHARDS;
    let spec = KernelSpec::Rs(rs::Spec { data, parity, task });
    Work { name: format!("rs {data}+{parity} {}", task.word()), spec, wanted: data * 1_408 + 4 }
}

fn filter(wanted: usize) -> Work {
    let spec = KernelSpec::Fir(fir::Spec { taps: drawn::taps(), shift: 15 });
    Work { name: format!("fir 64 taps, {wanted} B"), spec, wanted }
}
