//! A perceptron that learns: one sample at a time in batches of 32, Adam (Kingma and Ba 2015), cross entropy.

use crate::data::{Draw, FEATURES, Sample};

const BATCH: usize = 32;

#[derive(Clone)]
pub(crate) struct Layer {
    pub inputs: usize,
    pub outputs: usize,
    /// `[output][input]`, as safetensors has it.
    pub weights: Vec<f32>,
    pub bias: Vec<f32>,
}

/// What Adam keeps of each number.
struct Moments {
    first: Vec<f32>,
    second: Vec<f32>,
}

pub(crate) struct Net {
    layers: Vec<Layer>,
    moments: Vec<Moments>,
    steps: i32,
    mean: [f32; FEATURES],
    spread: [f32; FEATURES],
    draw: Draw,
}

impl Net {
    pub(crate) fn new(known: &[Sample], sizes: &[usize]) -> Self {
        let mut draw = Draw::new(3);
        let layers: Vec<Layer> = sizes
            .windows(2)
            .map(|pair| {
                let size = (2.0 / pair[0] as f32).sqrt();
                let weights = (0..pair[0] * pair[1]).map(|_| draw.normal() * size).collect();
                Layer { inputs: pair[0], outputs: pair[1], weights, bias: vec![0.0; pair[1]] }
            })
            .collect();
        let moments = layers.iter().map(|l| {
            let count = l.weights.len() + l.bias.len();
            Moments { first: vec![0.0; count], second: vec![0.0; count] }
        });
        let moments = moments.collect();
        let count = known.len() as f32;
        let mean: [f32; FEATURES] =
            std::array::from_fn(|k| known.iter().map(|s| s.features[k]).sum::<f32>() / count);
        let spread = std::array::from_fn(|k| {
            let sum: f32 = known.iter().map(|s| (s.features[k] - mean[k]).powi(2)).sum();
            (sum / count).sqrt()
        });
        Self { layers, moments, steps: 0, mean, spread, draw }
    }

    fn normalised(&self, x: &[f32; FEATURES]) -> Vec<f32> {
        (0..FEATURES).map(|k| (x[k] - self.mean[k]) / self.spread[k]).collect()
    }

    /// What every layer gives, the input first; the last is the sum before the sigmoid.
    fn forward(&self, x: Vec<f32>) -> Vec<Vec<f32>> {
        let mut all = vec![x];
        for (i, layer) in self.layers.iter().enumerate() {
            let last = i + 1 == self.layers.len();
            let x = &all[i];
            let y = layer.weights.chunks_exact(layer.inputs).zip(&layer.bias).map(|(w, b)| {
                let sum: f32 = w.iter().zip(x).map(|(w, x)| w * x).sum::<f32>() + b;
                if last { sum } else { sum.max(0.0) }
            });
            let y = y.collect();
            all.push(y);
        }
        all
    }

    pub(crate) fn score(&self, x: &[f32; FEATURES]) -> f32 {
        let all = self.forward(self.normalised(x));
        sigmoid(all[self.layers.len()][0])
    }

    /// Once through all samples in a drawn order; the mean loss.
    pub(crate) fn epoch(&mut self, known: &[Sample], epoch: usize) -> f32 {
        let mut order: Vec<usize> = (0..known.len()).collect();
        for i in (1..order.len()).rev() {
            order.swap(i, (self.draw.word() % (i as u64 + 1)) as usize);
        }
        let rate = 0.003 * 0.88_f32.powi(epoch as i32 - 1);
        let mut loss = 0.0;
        for batch in order.chunks(BATCH) {
            let mut slopes: Vec<Vec<f32>> =
                self.moments.iter().map(|m| vec![0.0; m.first.len()]).collect();
            for i in batch {
                loss += self.backward(&known[*i], &mut slopes);
            }
            self.step(&slopes, rate, batch.len() as f32);
        }
        loss / known.len() as f32
    }

    /// Adds a sample's slopes; its loss.
    fn backward(&self, sample: &Sample, slopes: &mut [Vec<f32>]) -> f32 {
        let all = self.forward(self.normalised(&sample.features));
        let wanted = f32::from(u8::from(sample.odd));
        let score = sigmoid(all[self.layers.len()][0]);
        let mut error = vec![score - wanted];
        for (i, layer) in self.layers.iter().enumerate().rev() {
            let x = &all[i];
            let mut below = vec![0.0; layer.inputs];
            for (n, e) in error.iter().enumerate() {
                for k in 0..layer.inputs {
                    slopes[i][n * layer.inputs + k] += e * x[k];
                    below[k] += e * layer.weights[n * layer.inputs + k];
                }
                slopes[i][layer.weights.len() + n] += e;
            }
            for (b, x) in below.iter_mut().zip(x) {
                *b = if *x > 0.0 { *b } else { 0.0 };
            }
            error = below;
        }
        let p = if sample.odd { score } else { 1.0 - score };
        -p.max(1e-7).ln()
    }

    fn step(&mut self, slopes: &[Vec<f32>], rate: f32, count: f32) {
        self.steps += 1;
        let (b1, b2) = (0.9_f32, 0.999_f32);
        let (c1, c2) = (1.0 - b1.powi(self.steps), 1.0 - b2.powi(self.steps));
        for ((layer, m), slopes) in self.layers.iter_mut().zip(&mut self.moments).zip(slopes) {
            let numbers = layer.weights.iter_mut().chain(&mut layer.bias);
            for (i, (number, slope)) in numbers.zip(slopes).enumerate() {
                let slope = slope / count;
                m.first[i] = b1 * m.first[i] + (1.0 - b1) * slope;
                m.second[i] = b2 * m.second[i] + (1.0 - b2) * slope * slope;
                *number -= rate * (m.first[i] / c1) / ((m.second[i] / c2).sqrt() + 1e-8);
            }
        }
    }

    /// The layers with the readings' means and spreads in the first one, so that a payload holds plain readings.
    pub(crate) fn folded(&self) -> Vec<Layer> {
        let mut layers = self.layers.clone();
        let first = &mut layers[0];
        for n in 0..first.outputs {
            for k in 0..first.inputs {
                let w = &mut first.weights[n * first.inputs + k];
                *w /= self.spread[k];
                first.bias[n] -= *w * self.mean[k];
            }
        }
        layers
    }
}

fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + (-x).exp())
}
