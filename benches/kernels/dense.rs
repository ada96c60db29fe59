//! Perceptrons: the size of the notes that the kernel was designed by, and the size of the model in `configs/`.

use std::sync::Arc;

use punctual::kernel::mlp::weights::Model;
use punctual::kernel::mlp::{Output, Precision, Spec};
use punctual::kernel::simd::SimdChoice;
use punctual::kernel::{KernelSpec, drawn};

use crate::levels;
use crate::pairs::{Equal, Pair, Side};
use crate::product::Product;
use crate::work::{Draw, Ours};

pub(crate) use punctual::kernel::drawn::{NARROW as SMALL, WIDE as LARGE};
const ROWS: [usize; 4] = [1, 4, 8, 32];

pub(crate) fn model(widths: &[usize]) -> Arc<Model> {
    drawn::perceptron(widths, Precision::F32).expect("widths fit").model
}

/// As many payloads as rows, of good features.
pub(crate) fn payloads(model: &Model, rows: usize) -> Vec<Vec<u8>> {
    let mut draw = Draw::new(8);
    let mut payload = || (0..model.inputs()).flat_map(|_| draw.unit().to_le_bytes()).collect();
    (0..rows).map(|_| payload()).collect()
}

pub(crate) fn spec(model: &Arc<Model>, precision: Precision) -> Spec {
    let weights = "drawn".to_owned();
    Spec { weights, model: Arc::clone(model), precision, output: Output::Linear, tag: 0 }
}

/// The kernel with its batch; what an answer overwrites is put back, since features must stay features.
pub(crate) fn ours(spec: &Spec, simd: SimdChoice, payloads: &[Vec<u8>]) -> Ours {
    Ours::new(&KernelSpec::Mlp(spec.clone()), simd, payloads, spec.answer_len())
}

pub(crate) fn pairs() -> Vec<Pair> {
    let mut all = Vec::new();
    for widths in [LARGE, SMALL] {
        let model = model(&widths);
        let title = widths.map(|w| w.to_string()).join("-");
        for rows in ROWS {
            let what = |kind: &str| format!("mlp {kind} {title}, {rows} rows");
            all.extend(floats(&model, rows, &what("f32")));
            all.extend(bytes(&model, rows, &what("int8")));
        }
    }
    all
}

fn floats(model: &Arc<Model>, rows: usize, what: &str) -> Vec<Pair> {
    let payloads = payloads(model, rows);
    let spec = spec(model, Precision::F32);
    let side = |simd: SimdChoice| Side::new(simd.word(), ours(&spec, simd, &payloads));
    let large = model.width() > 64;
    let mut all = Vec::new();
    for simd in levels() {
        let pair = |other: Side, goal| Pair {
            what: what.to_owned(),
            ours: side(simd),
            other,
            equal: Equal::Floats(1e-4),
            goal,
        };
        // One row leaves too few sums side by side for the whole gain.
        let wide = simd == SimdChoice::Avx512;
        let gain = match (large && rows > 1, wide) {
            (false, _) => 1.0,
            (true, false) => 3.0,
            (true, true) => 4.0,
        };
        all.push(pair(side(SimdChoice::Scalar), Some(gain)));
        // The crate has AVX-512 only with its feature x86-v4: level against level takes a run with it and one without.
        let outside = Side::new("gemm", Product::new(model, &payloads));
        // Where the product has rows enough, both are at what the machine can multiply: no goal.
        let outside_gain = matches!(rows, 4..=8).then_some(1.15);
        all.push(pair(outside, outside_gain));
    }
    all
}

fn bytes(model: &Arc<Model>, rows: usize, what: &str) -> Vec<Pair> {
    let payloads = payloads(model, rows);
    let (floats, bytes) = (spec(model, Precision::F32), spec(model, Precision::Int8));
    let side = |name: &str, spec: &Spec, simd: SimdChoice| {
        Side::new(format!("{name} {}", simd.word()), ours(spec, simd, &payloads))
    };
    let mut all = Vec::new();
    for simd in levels() {
        let ours = || side("int8", &bytes, simd);
        let pair = |other: Side, equal, goal| Pair {
            what: what.to_owned(),
            ours: ours(),
            other,
            equal,
            goal,
        };
        // Every form's sums are the same integers; bytes and floats differ by what a byte cannot hold.
        all.push(pair(side("int8", &bytes, SimdChoice::Scalar), Equal::Bytes, None));
        // Narrow layers are made bytes of for longer than they are multiplied for.
        let gain = (model.width() > 64 && simd == SimdChoice::Avx512).then_some(2.3);
        all.push(pair(side("f32", &floats, simd), Equal::Floats(0.05), gain));
    }
    all
}
