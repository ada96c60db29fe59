//! A perceptron's weights on a device, and the steps that run it.
//!
//! Knows no batch: `slot` joins the steps to the memory of one.

use wgpu::util::DeviceExt as _;

use super::GpuError;
use super::card::Card;
use crate::kernel::mlp::quant::ByteLayer;
use crate::kernel::mlp::shape::Shape;
use crate::kernel::mlp::weights::{Layer, Model};
use crate::kernel::mlp::{Precision, Spec};

/// Numbers of a vector.
pub(super) const LANES: usize = 4;
/// Bytes of a vector.
pub(super) const VECTOR: usize = 16;
/// Rows of a thread's tile: batches are padded to it.
pub(super) const TILE: usize = 4;
/// Threads of a workgroup that makes tiles.
const THREADS: usize = 64;

/// One pass over a batch.
#[derive(Debug)]
pub(super) struct Step {
    pub(super) pipeline: wgpu::ComputePipeline,
    pub(super) bound: Bound,
}

/// What a step reads and writes beside the batch's own memory.
#[derive(Debug)]
pub(super) enum Bound {
    /// Floats to floats, with weights and bias.
    Float { weights: wgpu::Buffer, bias: wgpu::Buffer, out: usize },
    /// Floats to bytes.
    Quantise,
    /// Bytes to floats, with weights and what they mean.
    Bytes { weights: wgpu::Buffer, about: wgpu::Buffer, out: usize },
}

impl Step {
    /// How many workgroups `rows` rows take.
    pub(super) const fn groups(&self, rows: usize) -> usize {
        match &self.bound {
            Bound::Quantise => rows,
            Bound::Float { out, .. } | Bound::Bytes { out, .. } => {
                (rows.div_ceil(TILE) * *out).div_ceil(THREADS)
            }
        }
    }
}

/// A perceptron on a device.
#[derive(Debug)]
pub(super) struct Net {
    pub(super) shape: Shape,
    /// Vectors of a row going in.
    pub(super) input: usize,
    /// Vectors of a row coming out.
    pub(super) output: usize,
    pub(super) steps: Vec<Step>,
}

impl Net {
    pub(super) fn new(card: &Card, spec: &Spec) -> Result<Self, GpuError> {
        let model = &*spec.model;
        let steps = card.make("a perceptron's weights", || {
            let count = model.layers().len();
            let relu = |i: usize| f64::from(u8::from(i + 1 < count));
            let layers = model.layers().iter().enumerate();
            match spec.precision {
                Precision::F32 => layers.map(|(i, l)| float(card, l, relu(i))).collect(),
                Precision::Int8 => layers.flat_map(|(i, l)| bytes(card, l, relu(i))).collect(),
            }
        })?;
        Ok(Self {
            shape: Shape::of(spec),
            input: vectors(model.inputs()),
            output: vectors(model.outputs()),
            steps,
        })
    }
}

/// Vectors of the widest row of floats.
pub(super) fn widest(model: &Model) -> usize {
    vectors(model.width())
}

/// Vectors of the widest row of bytes.
pub(super) fn widest_bytes(model: &Model) -> usize {
    model.layers().iter().map(|l| l.inputs.div_ceil(VECTOR)).max().unwrap_or(0)
}

const fn vectors(numbers: usize) -> usize {
    numbers.div_ceil(LANES)
}

/// For constants of shaders, which are small sizes.
fn constant(n: usize) -> f64 {
    f64::from(u32::try_from(n).unwrap_or(u32::MAX))
}

fn resident<T: bytemuck::NoUninit>(card: &Card, contents: &[T]) -> wgpu::Buffer {
    card.device.create_buffer_init(&wgpu::util::BufferInitDescriptor {
        label: None,
        contents: bytemuck::cast_slice(contents),
        usage: wgpu::BufferUsages::STORAGE,
    })
}

fn float(card: &Card, layer: &Layer, relu: f64) -> Step {
    let (input, out) = (vectors(layer.inputs), vectors(layer.outputs));
    let mut weights = vec![0.0_f32; input * LANES * out * LANES];
    for (to, from) in weights.chunks_exact_mut(out * LANES).zip(layer.weights.chunks(layer.outputs))
    {
        to[..layer.outputs].copy_from_slice(from);
    }
    let constants = [("IN4", constant(input)), ("OUT4", constant(out)), ("RELU", relu)];
    Step {
        pipeline: card.pipeline(&card.shaders.float, &constants),
        bound: Bound::Float {
            weights: resident(card, &weights),
            bias: resident(card, &padded(&layer.bias, out)),
            out,
        },
    }
}

fn bytes(card: &Card, layer: &Layer, relu: f64) -> [Step; 2] {
    let layer = ByteLayer::new(layer);
    let (input, out) = (vectors(layer.inputs), vectors(layer.outputs));
    let words = layer.inputs.div_ceil(VECTOR) * LANES;
    let mut weights = vec![0_u32; words * out * LANES];
    for (n, row) in layer.weights.chunks_exact(layer.inputs).enumerate() {
        for (k, w) in row.iter().enumerate() {
            let word = u32::from(w.to_le_bytes()[0]) << (8 * (k % LANES));
            weights[k / LANES * out * LANES + n] |= word;
        }
    }
    let about =
        [&layer.scale, &layer.offset, &layer.bias].map(|numbers| padded(numbers, out)).concat();
    let quantise = [("IN4", constant(input)), ("WORDS", constant(words))];
    let constants = [("WORDS4", constant(words / LANES)), ("OUT4", constant(out)), ("RELU", relu)];
    [
        Step { pipeline: card.pipeline(&card.shaders.quantise, &quantise), bound: Bound::Quantise },
        Step {
            pipeline: card.pipeline(&card.shaders.bytes, &constants),
            bound: Bound::Bytes {
                weights: resident(card, &weights),
                about: resident(card, &about),
                out,
            },
        },
    ]
}

fn padded(numbers: &[f32], vectors: usize) -> Vec<f32> {
    let mut all = numbers.to_vec();
    all.resize(vectors * LANES, 0.0);
    all
}
