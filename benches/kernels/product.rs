//! A perceptron on the matrix product of the `gemm` crate.
//!
//! It has its rows ready as floats; ours takes them out of payloads.

#![expect(unsafe_code, reason = "the crate's product takes pointers")]

use punctual::kernel::mlp::weights::{Layer, Model};

use crate::work::Work;

pub(crate) struct Product {
    layers: Vec<Layer>,
    rows: usize,
    x: Vec<f32>,
    /// The results of each layer, one behind the other.
    between: Vec<Vec<f32>>,
}

impl Product {
    pub(crate) fn new(model: &Model, payloads: &[Vec<u8>]) -> Self {
        let number = |b: &[u8; 4]| f32::from_le_bytes(*b);
        let x = payloads.iter().flat_map(|p| p.as_chunks::<4>().0.iter().map(number)).collect();
        let rows = payloads.len();
        let layers = model.layers().to_vec();
        let between = layers.iter().map(|l| vec![0.0; l.outputs * rows]).collect();
        Self { layers, rows, x, between }
    }
}

/// `y += x * weights`, row by row.
fn multiply(layer: &Layer, rows: usize, x: &[f32], y: &mut [f32]) {
    let (inputs, outputs) = (layer.inputs, layer.outputs);
    assert_eq!((x.len(), y.len()), (inputs * rows, outputs * rows));
    assert_eq!(layer.weights.len(), inputs * outputs);
    let (below, across) = (outputs.cast_signed(), inputs.cast_signed());
    // SAFETY: the three matrices are as long as was just asserted, with these strides, and `y` is borrowed alone. A row of ours
    // is a column here.
    unsafe {
        gemm::gemm(
            outputs,
            rows,
            inputs,
            y.as_mut_ptr(),
            below,
            1,
            true,
            layer.weights.as_ptr(),
            below,
            1,
            x.as_ptr(),
            across,
            1,
            1.0,
            1.0,
            false,
            false,
            false,
            gemm::Parallelism::None,
        );
    }
}

impl Work for Product {
    fn run(&mut self) {
        let last = self.layers.len() - 1;
        for (i, layer) in self.layers.iter().enumerate() {
            let (before, rest) = self.between.split_at_mut(i);
            let x = before.last().unwrap_or(&self.x);
            let y = &mut rest[0];
            for row in y.chunks_exact_mut(layer.outputs) {
                row.copy_from_slice(&layer.bias);
            }
            multiply(layer, self.rows, x, y);
            if i < last {
                y.iter_mut().for_each(|y| *y = y.max(0.0));
            }
        }
    }

    fn answers(&self) -> Vec<Vec<u8>> {
        let outputs = self.layers.last().map_or(0, |l| l.outputs);
        let rows = self.between.last().map(|y| y.chunks_exact(outputs));
        let bytes = |row: &[f32]| row.iter().flat_map(|x| x.to_le_bytes()).collect();
        rows.into_iter().flatten().map(bytes).collect()
    }
}
