//! Files that a config names: good ones are read with it, and every bad one is a fault at its key.

use std::fs;
use std::path::Path;

use super::INGRESS;
use crate::base::KernelId;
use crate::config::{Fault, load};
use crate::kernel::KernelSpec;

/// A good file: 16 inputs, 1 output.
const GOOD: &[u8] = include_bytes!("../../../configs/score.safetensors");

fn written(folder: &Path, weights: &str, rest: &str) -> Result<KernelSpec, Vec<Fault>> {
    let file = folder.join("it.toml");
    let text =
        format!("{INGRESS}kernel = \"m\"\n[kernel.m]\nkind = \"mlp\"\nweights = {weights}\n{rest}");
    fs::write(&file, text).expect("a file");
    match load(&file) {
        Ok(loaded) => Ok(loaded.settings.kernels.spec(KernelId(0)).expect("it is there").clone()),
        Err(faults) => Err(faults.list().to_vec()),
    }
}

fn refused(folder: &Path, weights: &str, message: &str) {
    let faults = written(folder, weights, "").expect_err("it is bad");
    assert_eq!(faults.len(), 1, "{faults:?}");
    assert_eq!((faults[0].line, faults[0].key.as_str()), (7, "kernel.m.weights"));
    assert!(faults[0].message.contains(message), "{}\nhas no\n{message}", faults[0].message);
}

#[test]
fn a_good_file_is_read_with_the_config() {
    let dir = tempfile::tempdir().expect("a directory");
    fs::create_dir(dir.path().join("below")).expect("a directory");
    fs::write(dir.path().join("below/w.safetensors"), GOOD).expect("a file");
    let rest = "precision = \"int8\"\noutput = \"sigmoid\"\ntag = \"8\"\n";
    let spec = written(dir.path(), "\"below/w.safetensors\"", rest).expect("good");
    let KernelSpec::Mlp(mlp) = spec else { panic!("{spec:?}") };
    assert_eq!((mlp.model.inputs(), mlp.model.outputs(), mlp.tag), (16, 1, 8));
    assert_eq!((mlp.precision.word(), mlp.output.word()), ("int8", "sigmoid"));
}

#[test]
fn a_file_that_is_not_what_it_should_be_is_a_fault_at_its_key() {
    let dir = tempfile::tempdir().expect("a directory");
    let here = dir.path();
    let mut nan = GOOD.to_vec();
    let end = nan.len();
    nan[end - 4..].copy_from_slice(&f32::NAN.to_le_bytes());
    let text = String::from_utf8_lossy(&GOOD[8..]).into_owned();
    let shape = |to: &str| {
        let mut bytes = GOOD.to_vec();
        let at = 8 + text.find("[16,32]").expect("the second layer");
        bytes[at..at + 7].copy_from_slice(to.as_bytes());
        bytes
    };
    let mut ten_gib = GOOD.to_vec();
    ten_gib[..8].copy_from_slice(&(10_u64 << 30).to_le_bytes());
    for (name, bytes, message) in [
        ("cut", GOOD[..GOOD.len() - 1].to_vec(), "is no safetensors file: its header describes"),
        ("shape", shape("[32,16]"), "layers.1.weight has the shape [32, 16], not [outputs, 32]"),
        ("nan", nan, "holds NaN at 0: weights are finite numbers"),
        ("ten", ten_gib, "is no safetensors file"),
        ("empty", Vec::new(), "is no safetensors file"),
    ] {
        fs::write(here.join(name), bytes).expect("a file");
        refused(here, &format!("\"{name}\""), message);
    }
    let large = fs::File::create(here.join("large")).expect("a file");
    large.set_len(10 << 30).expect("a sparse file");
    refused(here, "\"large\"", "is larger than 64 MiB");
    refused(here, "\"none\"", "cannot be read: No such file");
    refused(here, "\".\"", "lies outside the config's folder");
    refused(here, "3", "must be a file's name, not an integer");
}

#[test]
fn a_file_outside_the_folder_is_refused_however_it_is_named() {
    let dir = tempfile::tempdir().expect("a directory");
    let inside = dir.path().join("inside");
    fs::create_dir(&inside).expect("a directory");
    let outside = dir.path().join("w.safetensors");
    fs::write(&outside, GOOD).expect("a file");
    refused(&inside, "\"../w.safetensors\"", "lies outside the config's folder");
    refused(&inside, &format!("{:?}", outside.display().to_string()), "lies outside");
    std::os::unix::fs::symlink(&outside, inside.join("link")).expect("a link");
    refused(&inside, "\"link\"", "leads outside the config's folder");
}

#[test]
fn payloads_have_to_fit_a_datagram() {
    let dir = tempfile::tempdir().expect("a directory");
    fs::write(dir.path().join("w"), GOOD).expect("a file");
    let small = "[workers]\nmax_datagram = \"64\"\n";
    assert!(written(dir.path(), "\"w\"", small).is_ok());
    let faults = written(dir.path(), "\"w\"", &format!("tag = \"1\"\n{small}")).expect_err("65");
    assert!(faults[0].message.contains("takes payloads of 65 bytes"), "{faults:?}");
}
