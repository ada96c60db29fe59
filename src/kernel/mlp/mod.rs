//! A multi-layer perceptron over each payload's features: 32-bit floats, little-endian, in; the same out.
//!
//! Knows no file (`weights` takes bytes) and no instruction (`float` and `bytes` have a form for each level).

mod byte_panels;
mod bytes;
mod dot4;
mod float;
mod form;
mod lines;
mod pack;
mod panels;
pub(super) mod quant;
mod scalar;
pub(super) mod shape;
#[cfg(test)]
mod tests;
pub mod weights;

use std::sync::Arc;

use super::simd::Level;
use super::{Batch, Kernel, RESULT_ALWAYS_FITS};
use crate::base::limits::KERNEL_BATCH_MAX;
use bytes::ByteNet;
use float::FloatNet;
use shape::Shape;
use weights::Model;

/// Bytes of a feature and of a result.
pub const NUMBER_LEN: usize = 4;
/// Rows to a run: two full tiles of floats, three of bytes. Past that a row costs the same in any company.
const BATCH: usize = 12;

/// What the sums are made of, as `precision` in the config.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Precision {
    /// 32-bit floats: exact to the last few bits.
    #[default]
    F32,
    /// 8-bit integers: weights by output, features by row. Off by about a percent.
    Int8,
}

impl Precision {
    /// The config's word.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::Int8 => "int8",
        }
    }
}

/// What becomes of the last layer's sums.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Output {
    /// They are the answer.
    #[default]
    Linear,
    /// `1 / (1 + exp(-x))` of each: a score from 0 to 1.
    Sigmoid,
}

impl Output {
    /// The config's word.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Linear => "linear",
            Self::Sigmoid => "sigmoid",
        }
    }
}

/// A perceptron as the config describes it.
#[derive(Clone, Debug, PartialEq)]
pub struct Spec {
    /// Where its weights were read from, as the config has it.
    pub weights: String,
    /// The weights.
    pub model: Arc<Model>,
    /// Default f32.
    pub precision: Precision,
    /// Default linear.
    pub output: Output,
    /// So many bytes before the features come back before the answer; default 0.
    pub tag: usize,
}

impl Spec {
    /// Bytes of a payload.
    #[must_use]
    pub fn payload_len(&self) -> usize {
        self.tag + self.model.inputs() * NUMBER_LEN
    }

    /// Bytes of an answer.
    #[must_use]
    pub fn answer_len(&self) -> usize {
        self.tag + self.model.outputs() * NUMBER_LEN
    }
}

/// One worker's perceptron, with the scratch of a batch.
#[derive(Debug)]
pub struct Mlp {
    net: Net,
    shape: Shape,
    x: Vec<f32>,
    y: Vec<f32>,
    /// Which row of the batch lies in which row of `x`.
    taken: Vec<usize>,
}

#[derive(Debug)]
enum Net {
    F32(FloatNet),
    Int8(Box<ByteNet>),
}

impl Mlp {
    /// The perceptron of `spec` at `level`.
    #[must_use]
    pub fn new(spec: &Spec, level: Level) -> Self {
        let model = &*spec.model;
        let net = match spec.precision {
            Precision::F32 => Net::F32(FloatNet::new(model, level)),
            Precision::Int8 => Net::Int8(Box::new(ByteNet::new(model, level))),
        };
        let stride = net.stride();
        Self {
            net,
            shape: Shape::of(spec),
            x: vec![0.0; stride * KERNEL_BATCH_MAX],
            y: vec![0.0; stride * KERNEL_BATCH_MAX],
            taken: Vec::with_capacity(KERNEL_BATCH_MAX),
        }
    }

    /// Takes the rows that are right: as many features as the network has inputs, all of them numbers.
    fn gather(&mut self, batch: &mut Batch<'_>) {
        self.taken.clear();
        let stride = self.net.stride();
        for i in 0..batch.len() {
            let room = &mut self.x[self.taken.len() * stride..][..self.shape.inputs];
            if self.shape.take(batch.payload(i), batch.capacity(i), room) {
                self.taken.push(i);
            } else {
                batch.fail(i);
            }
        }
    }
}

impl Net {
    const fn stride(&self) -> usize {
        match self {
            Self::F32(net) => net.stride(),
            Self::Int8(net) => net.stride(),
        }
    }
}

impl Kernel for Mlp {
    fn run(&mut self, batch: &mut Batch<'_>) {
        self.gather(batch);
        let rows = self.taken.len();
        let stride = self.net.stride();
        let result = match &mut self.net {
            Net::F32(net) => net.run(rows, &mut self.x, &mut self.y),
            Net::Int8(net) => net.run(rows, &mut self.x, &mut self.y),
        };
        for (row, i) in self.taken.iter().enumerate() {
            let numbers = &result[row * stride..][..self.shape.outputs];
            match self.shape.give(numbers, batch.memory(*i)) {
                Some(len) => batch.finish(*i, len),
                None => batch.fail(*i),
            }
        }
    }

    fn grows(&self) -> bool {
        self.shape.outputs > self.shape.inputs && self.shape.answer_len > RESULT_ALWAYS_FITS
    }

    fn batch_max(&self) -> usize {
        BATCH
    }
}
