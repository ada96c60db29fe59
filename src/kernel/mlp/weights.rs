//! The weights of a multi-layer perceptron, from the bytes of a safetensors file.
//!
//! Knows no file and no instruction set: bytes in; layers, or what is wrong with them, out.

use safetensors::{Dtype, SafeTensorError, SafeTensors};

/// The largest weights file, in bytes: 16 million weights, far past what a packet's budget lets run.
pub const FILE_MAX: u64 = 64 << 20;
/// The most layers.
pub const LAYERS_MAX: usize = 16;
/// The most inputs or outputs of a layer: an input of that many features fills a datagram.
pub const WIDTH_MAX: usize = 16_376;

/// Why a weights file is refused.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum WeightsError {
    /// The container itself is broken: truncated, or sizes that do not agree with the file's length.
    #[error("is no safetensors file: {0}")]
    Container(String),
    /// A tensor that must be there is not.
    #[error(
        "has no tensor {0}: layers are layers.N.weight [outputs, inputs] and layers.N.bias [outputs], N from 0"
    )]
    Missing(String),
    /// A tensor that no layer uses.
    #[error("has a tensor {0} that belongs to no layer: layers are layers.N.weight and layers.N.bias, N from 0 to {last}", last = LAYERS_MAX - 1)]
    Unknown(String),
    /// Not 32-bit floats.
    #[error("tensor {name} is {found}, not F32")]
    Type {
        /// The tensor.
        name: String,
        /// Its type.
        found: String,
    },
    /// A shape that does not fit.
    #[error("tensor {name} has the shape {found:?}, not {wanted}")]
    Shape {
        /// The tensor.
        name: String,
        /// Its shape.
        found: Vec<usize>,
        /// What fits.
        wanted: String,
    },
    /// A number that is none.
    #[error("tensor {name} holds {value} at {index}: weights are finite numbers")]
    Value {
        /// The tensor.
        name: String,
        /// Where.
        index: usize,
        /// What.
        value: f32,
    },
}

/// One layer: `outputs = weights * inputs + bias`.
#[derive(Clone, Debug, PartialEq)]
pub struct Layer {
    /// How many inputs.
    pub inputs: usize,
    /// How many outputs.
    pub outputs: usize,
    /// By input, then by output: `weights[k * outputs + n]`.
    pub weights: Vec<f32>,
    /// By output.
    pub bias: Vec<f32>,
}

/// A perceptron's layers; each takes what the one before it gives. At least one.
#[derive(Clone, Debug, PartialEq)]
pub struct Model {
    layers: Vec<Layer>,
}

impl Model {
    /// Reads the bytes of a safetensors file. Checks sizes before it trusts any, and copies only after that.
    ///
    /// # Errors
    /// The first thing that is wrong, naming the tensor.
    pub fn parse(bytes: &[u8]) -> Result<Self, WeightsError> {
        let container = SafeTensors::deserialize(bytes).map_err(|e| broken(&e, bytes))?;
        let mut layers: Vec<Layer> = Vec::new();
        while layers.len() < LAYERS_MAX {
            let n = layers.len();
            let name = format!("layers.{n}.weight");
            if n > 0 && container.tensor(&name).is_err() {
                break;
            }
            layers.push(layer(&container, n, layers.last().map(|l| l.outputs))?);
        }
        let count = layers.len();
        let known = |name: &str| {
            (0..count).any(|n| {
                [format!("layers.{n}.weight"), format!("layers.{n}.bias")].iter().any(|k| k == name)
            })
        };
        let mut names: Vec<&str> = container.names();
        names.sort_unstable();
        match names.into_iter().find(|name| !known(name)) {
            Some(name) => Err(WeightsError::Unknown(name.to_owned())),
            None => Ok(Self { layers }),
        }
    }

    /// A model of layers that fit each other: tests and trainers make them.
    ///
    /// # Errors
    /// A layer whose sizes do not fit.
    pub fn new(layers: Vec<Layer>) -> Result<Self, WeightsError> {
        let mut before = None;
        for (n, layer) in layers.iter().enumerate() {
            let fits = layer.weights.len() == layer.inputs * layer.outputs
                && layer.bias.len() == layer.outputs
                && before.is_none_or(|b| b == layer.inputs);
            if !fits {
                let name = format!("layers.{n}.weight");
                let found = vec![layer.outputs, layer.inputs];
                return Err(WeightsError::Shape { name, found, wanted: "what fits".to_owned() });
            }
            before = Some(layer.outputs);
        }
        if layers.is_empty() {
            return Err(WeightsError::Missing("layers.0.weight".to_owned()));
        }
        Ok(Self { layers })
    }

    /// The layers; at least one.
    #[must_use]
    pub fn layers(&self) -> &[Layer] {
        &self.layers
    }

    /// How many features a payload has.
    #[must_use]
    pub fn inputs(&self) -> usize {
        self.layers.first().map_or(0, |l| l.inputs)
    }

    /// How many numbers an answer has.
    #[must_use]
    pub fn outputs(&self) -> usize {
        self.layers.last().map_or(0, |l| l.outputs)
    }

    /// The widest layer, inputs included.
    #[must_use]
    pub fn width(&self) -> usize {
        self.layers.iter().map(|l| l.inputs.max(l.outputs)).max().unwrap_or(0)
    }

    /// Floating-point operations a row, a multiply-add counted as two.
    #[must_use]
    pub fn flops(&self) -> usize {
        self.layers.iter().map(|l| 2 * l.inputs * l.outputs).sum()
    }
}

/// Says what the file's own header claims where that is the trouble: the crate's error is about an offset.
fn broken(error: &SafeTensorError, bytes: &[u8]) -> WeightsError {
    let why = match error {
        SafeTensorError::HeaderTooSmall => "it is shorter than a header".to_owned(),
        SafeTensorError::InvalidHeaderLength => {
            "its header is longer than the file: it is cut off, or something else".to_owned()
        }
        SafeTensorError::MetadataIncompleteBuffer => format!(
            "its header describes another amount of data than the {} bytes of the file: it is cut off, or has been \
             added to",
            bytes.len()
        ),
        other => other.to_string(),
    };
    WeightsError::Container(why)
}

fn layer(
    container: &SafeTensors<'_>,
    n: usize,
    inputs: Option<usize>,
) -> Result<Layer, WeightsError> {
    let name = format!("layers.{n}.weight");
    let (shape, by_output) = tensor(container, &name)?;
    let wrong =
        |wanted: String| WeightsError::Shape { name: name.clone(), found: shape.clone(), wanted };
    let (outputs, width) = match (shape.as_slice(), inputs) {
        (&[o, i], None) => (o, i),
        (&[o, i], Some(before)) if i == before => (o, i),
        (_, Some(before)) => {
            return Err(wrong(format!(
                "[outputs, {before}]: the layer before it has {before} outputs"
            )));
        }
        (_, None) => return Err(wrong("[outputs, inputs]".to_owned())),
    };
    if !(1..=WIDTH_MAX).contains(&outputs) || !(1..=WIDTH_MAX).contains(&width) {
        return Err(wrong(format!("1 to {WIDTH_MAX} each")));
    }
    let bias_name = format!("layers.{n}.bias");
    let (bias_shape, bias) = tensor(container, &bias_name)?;
    if bias_shape != [outputs] {
        let wanted = format!("[{outputs}], as its layer has outputs");
        return Err(WeightsError::Shape { name: bias_name, found: bias_shape, wanted });
    }
    let mut weights = vec![0.0; width * outputs];
    for (o, row) in by_output.chunks_exact(width).enumerate() {
        for (k, w) in row.iter().enumerate() {
            weights[k * outputs + o] = *w;
        }
    }
    Ok(Layer { inputs: width, outputs, weights, bias })
}

/// Shape and numbers of a tensor, all of them finite.
fn tensor(container: &SafeTensors<'_>, name: &str) -> Result<(Vec<usize>, Vec<f32>), WeightsError> {
    let view = container.tensor(name).map_err(|_missing| WeightsError::Missing(name.to_owned()))?;
    if view.dtype() != Dtype::F32 {
        return Err(WeightsError::Type {
            name: name.to_owned(),
            found: format!("{:?}", view.dtype()),
        });
    }
    let (words, _) = view.data().as_chunks::<4>();
    let numbers: Vec<f32> = words.iter().map(|w| f32::from_le_bytes(*w)).collect();
    match numbers.iter().position(|v| !v.is_finite()) {
        Some(index) => {
            Err(WeightsError::Value { name: name.to_owned(), index, value: numbers[index] })
        }
        None => Ok((view.shape().to_vec(), numbers)),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// The bytes of a file with these tensors, every number 0.5.
    fn file(tensors: &[(&str, &str, &[usize])]) -> Vec<u8> {
        let mut entries = Vec::new();
        let mut end = 0;
        for (name, dtype, shape) in tensors {
            let size = if *dtype == "F64" { 8 } else { 4 };
            let begin = end;
            end += size * shape.iter().product::<usize>();
            entries.push(format!(
                "\"{name}\":{{\"dtype\":\"{dtype}\",\"shape\":{shape:?},\"data_offsets\":[{begin},{end}]}}"
            ));
        }
        let header = format!("{{{}}}", entries.join(","));
        let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
        bytes.extend_from_slice(header.as_bytes());
        bytes.extend(0.5_f32.to_le_bytes().iter().cycle().take(end));
        bytes
    }

    const GOOD: &[(&str, &str, &[usize])] = &[
        ("layers.0.weight", "F32", &[3, 2]),
        ("layers.0.bias", "F32", &[3]),
        ("layers.1.weight", "F32", &[1, 3]),
        ("layers.1.bias", "F32", &[1]),
    ];

    /// `GOOD` with one entry in the place of another.
    fn but(i: usize, entry: (&'static str, &'static str, &'static [usize])) -> Vec<u8> {
        let mut tensors = GOOD.to_vec();
        tensors[i] = entry;
        file(&tensors)
    }

    fn refused(bytes: &[u8]) -> String {
        Model::parse(bytes).expect_err("it is broken").to_string()
    }

    #[test]
    fn a_good_file_is_turned_to_inputs_by_outputs() {
        let mut bytes = file(GOOD);
        let end = bytes.len();
        // The first tensor is [3, 2]: number 1 belongs to output 0, input 1.
        let begin = end - 4 * (6 + 3 + 3 + 1);
        bytes[begin + 4..begin + 8].copy_from_slice(&7.0_f32.to_le_bytes());
        let model = Model::parse(&bytes).expect("good");
        assert_eq!((model.inputs(), model.outputs(), model.width(), model.flops()), (2, 1, 3, 18));
        assert_eq!(model.layers()[0].weights, [0.5, 0.5, 0.5, 7.0, 0.5, 0.5]);
    }

    #[test]
    fn every_truncation_is_refused() {
        let bytes = file(GOOD);
        for len in 0..bytes.len() {
            let said = refused(&bytes[..len]);
            assert!(said.starts_with("is no safetensors file: "), "{len}: {said}");
        }
    }

    #[test]
    fn what_its_header_claims_is_not_believed() {
        let ten_gib = file(GOOD);
        let text = String::from_utf8_lossy(&ten_gib[8..]).into_owned();
        let header = &text[..text.find("}}").expect("a header") + 2];
        for (shape, offsets) in
            [("[2684354560,1]", "[0,10737418240]"), ("[18446744073709551615,9]", "[0,24]")]
        {
            let claimed = header.replacen("[3, 2]", shape, 1).replacen("[0,24]", offsets, 1);
            let mut bytes = (claimed.len() as u64).to_le_bytes().to_vec();
            bytes.extend_from_slice(claimed.as_bytes());
            bytes.extend_from_slice(&[0; 52]);
            assert!(refused(&bytes).starts_with("is no safetensors file: "), "{shape}");
        }
        let mut long_header = file(GOOD);
        long_header[..8].copy_from_slice(&(10_u64 << 30).to_le_bytes());
        assert!(refused(&long_header).starts_with("is no safetensors file: "));
    }

    #[test]
    fn a_tensor_that_does_not_fit_is_named() {
        let cases = [
            (but(0, ("layers.0.weight", "F64", &[3, 2])), "tensor layers.0.weight is F64, not F32"),
            (
                but(0, ("layers.0.weight", "F32", &[6])),
                "tensor layers.0.weight has the shape [6], not [outputs, inputs]",
            ),
            (
                but(0, ("layers.0.weight", "F32", &[0, 2])),
                "tensor layers.0.weight has the shape [0, 2], not 1 to 16376 each",
            ),
            (
                but(1, ("layers.0.bias", "F32", &[2])),
                "tensor layers.0.bias has the shape [2], not [3], as",
            ),
            (
                but(2, ("layers.1.weight", "F32", &[1, 4])),
                "tensor layers.1.weight has the shape [1, 4], not [outputs, 3]",
            ),
            (but(0, ("layer.0.weight", "F32", &[3, 2])), "has no tensor layers.0.weight"),
            (but(3, ("layers.1.offset", "F32", &[1])), "has no tensor layers.1.bias"),
            (
                but(2, ("layers.2.weight", "F32", &[1, 3])),
                "has a tensor layers.1.bias that belongs to no layer",
            ),
        ];
        for (bytes, wanted) in cases {
            let said = refused(&bytes);
            assert!(said.starts_with(wanted), "{said}\nnot\n{wanted}");
        }
    }

    #[test]
    fn a_weight_that_is_no_number_is_named_with_its_place() {
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let mut bytes = file(GOOD);
            let end = bytes.len();
            bytes[end - 8..end - 4].copy_from_slice(&bad.to_le_bytes());
            let said = refused(&bytes);
            assert!(said.starts_with("tensor layers.1.weight holds "), "{said}");
            assert!(said.contains(" at 2:"), "{said}");
        }
    }
}
