//! `[kernel.NAME]` with `kind = "mlp"`: its weights, read and checked with the config, and how it is run.
//!
//! Knows no layer: what a weights file must hold is the kernel's.

use std::path::Path;
use std::sync::Arc;

use super::beside;
use crate::config::fault::Report;
use crate::config::item::{Item, quoted};
use crate::config::section::{Field, Section};
use crate::kernel::mlp::weights::{FILE_MAX, Model};
use crate::kernel::mlp::{Output, Precision, Spec};

/// The longest tag, in bytes: ids and stamps, no second payload.
const TAG_MAX: usize = 64;
/// What `weights` takes, for messages.
const WEIGHTS_FORM: &str = "a safetensors file in the config's folder: layers.N.weight [outputs, inputs] and layers.N.bias [outputs], F32";

pub(super) fn read(s: &mut Section<'_, '_>, folder: Option<&Path>, r: &mut Report) -> Option<Spec> {
    let weights = s.with("weights", r, |item, r| weights(item, folder, r));
    if weights == Field::Absent {
        s.missing("weights", WEIGHTS_FORM, r);
    }
    let precision = s.choice("precision", r).or(Precision::default());
    let output = s.choice("output", r).or(Output::default());
    let tag = s.size("tag", 0..=TAG_MAX, r).or(0);
    let (weights, model) = weights.value()?;
    Some(Spec { weights, model, precision, output, tag })
}

fn weights(
    item: &Item<'_, '_>,
    folder: Option<&Path>,
    r: &mut Report,
) -> Option<(String, Arc<Model>)> {
    let name = item.text("a file's name", WEIGHTS_FORM, r)?;
    let read = beside::read(folder, name, FILE_MAX);
    let model = read.and_then(|bytes| Model::parse(&bytes).map_err(|e| e.to_string()));
    match model {
        Ok(model) => Some((name.to_owned(), Arc::new(model))),
        Err(why) => {
            item.wrong(&format!("{} {why}", quoted(name)), r).allowed(WEIGHTS_FORM);
            None
        }
    }
}
