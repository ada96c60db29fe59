//! A GPU in the program: on whatever adapter there is, software included, its answers are those of the reference.

use std::io::{self, Write as _};
use std::sync::Arc;

use punctual::kernel::mlp::weights::Model;
use punctual::kernel::mlp::{Mlp, Output, Precision, Spec};
use punctual::kernel::simd::Level;
use punctual::kernel::{Batch, Kernel as _, Row, RowStatus};

use crate::rig::{Program, Service, until, v4, whole};

const SIZES: [usize; 4] = [64, 256, 256, 8];
const TAG: usize = 8;
const ROWS: usize = 400;
const ON_GPU: &str = r#"punctual_backend_rows_total{worker="0",backend="gpu"} "#;

/// Numbers from -1 to 1 that are the same in every run.
fn draw(state: &mut u64) -> f32 {
    *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    ((*state >> 40) as f32) / (1_u64 << 23) as f32 - 1.0
}

/// A weights file of these sizes.
fn weights() -> Vec<u8> {
    let (mut header, mut data, mut state) = (Vec::new(), Vec::new(), 7);
    for (n, pair) in SIZES.windows(2).enumerate() {
        let (inputs, outputs) = (pair[0], pair[1]);
        let shapes = [
            ("weight", format!("[{outputs},{inputs}]"), inputs * outputs),
            ("bias", format!("[{outputs}]"), outputs),
        ];
        for (part, shape, count) in shapes {
            let from = data.len();
            for _ in 0..count {
                let x = draw(&mut state) * 2.0 / (inputs as f32).sqrt();
                data.extend_from_slice(&x.to_le_bytes());
            }
            let to = data.len();
            header.push(format!(
                r#""layers.{n}.{part}":{{"dtype":"F32","shape":{shape},"data_offsets":[{from},{to}]}}"#
            ));
        }
    }
    let mut header = format!("{{{}}}", header.join(","));
    while header.len() % 8 != 0 {
        header.push(' ');
    }
    let mut file = (header.len() as u64).to_le_bytes().to_vec();
    file.extend_from_slice(header.as_bytes());
    file.extend_from_slice(&data);
    file
}

fn payloads() -> Vec<Vec<u8>> {
    let mut state = 3;
    let payload = |n: usize| {
        let mut bytes = (n as u64).to_be_bytes().to_vec();
        (0..SIZES[0]).for_each(|_| bytes.extend_from_slice(&draw(&mut state).to_le_bytes()));
        bytes
    };
    (0..ROWS).map(payload).collect()
}

/// What the reference answers.
fn reference(file: &[u8], precision: Precision, payload: &[u8]) -> Vec<u8> {
    let model = Arc::new(Model::parse(file).unwrap());
    let spec = Spec { weights: "w".into(), model, precision, output: Output::Linear, tag: TAG };
    let mut bytes = payload.to_vec();
    let status = RowStatus::Failed;
    let mut rows = [Row { start: 0, len: bytes.len(), capacity: bytes.len(), status }];
    Mlp::new(&spec, Level::Scalar).run(&mut Batch::new(&mut bytes, &mut rows));
    assert_eq!(rows[0].status, RowStatus::Done);
    bytes[..rows[0].len].to_vec()
}

fn config(precision: &str, allow_software: bool) -> String {
    let text = format!(
        r#"
[kernels]
simd = "scalar"
[gpu]
enabled = true
allow_software = {allow_software}
time_out = "5s"
[level]
mode = "trial"
[[ingress]]
name = "raw"
listen = "127.0.0.1:0"
priority = "medium"
budget = "10s"
kernel = "net"
[kernel.net]
kind = "mlp"
weights = "w.safetensors"
precision = "{precision}"
tag = "{TAG}"
"#
    );
    whole("mio", &text)
}

fn start(config: &str, file: &[u8]) -> Service {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("w.safetensors");
    std::fs::write(&path, file).unwrap();
    Service::from(Program::start_with(config, &[], &[path]))
}

/// Whether the service has a GPU; says loudly where it has none.
fn has_gpu(service: &Service) -> bool {
    let plan = service.json("/plan");
    let found = plan["backends"].as_array().unwrap().iter().any(|b| b["backend"] == "gpu");
    if !found {
        let required = std::env::var("PUNCTUAL_REQUIRE_GPU").is_ok_and(|v| v == "1");
        assert!(!required, "PUNCTUAL_REQUIRE_GPU=1, and there is no GPU: {plan}");
        writeln!(io::stderr(), "SKIPPED gpu: no Vulkan adapter").unwrap();
    }
    found
}

fn on_gpu(service: &Service) -> u64 {
    let metrics = service.get("/metrics").body;
    metrics.lines().find_map(|l| l.strip_prefix(ON_GPU)).unwrap().parse().unwrap()
}

fn answers_are_right(word: &str, precision: Precision) {
    let file = weights();
    let mut service = start(&config(word, true), &file);
    if !has_gpu(&service) {
        return;
    }
    let (socket, at, payloads) = (v4(), service.at("raw"), payloads());
    let mut seen = 0;
    until("the GPU has run a part of a burst", || {
        payloads.iter().for_each(|p| assert!(socket.send_to(p, at).is_ok()));
        service.settled();
        for answer in crate::rig::received(&socket) {
            let n = u64::from_be_bytes(answer[..TAG].try_into().unwrap()) as usize;
            let wanted = reference(&file, precision, &payloads[n]);
            match precision {
                Precision::Int8 => assert_eq!(answer, wanted, "row {n}"),
                Precision::F32 => near(&answer, &wanted),
            }
            seen += 1;
        }
        (on_gpu(&service) > 0).then_some(())
    });
    assert!(seen > 0);
    service.stop();
}

fn near(answer: &[u8], wanted: &[u8]) {
    let numbers = |bytes: &[u8]| -> Vec<f32> {
        let words = bytes[TAG..].chunks_exact(4);
        words.map(|w| f32::from_le_bytes(w.try_into().unwrap())).collect()
    };
    assert_eq!(answer.len(), wanted.len());
    for (a, b) in numbers(answer).iter().zip(numbers(wanted)) {
        assert!((a - b).abs() <= 1e-4 * b.abs().max(1.0), "{a} is not {b}");
    }
}

#[test]
fn bytes_are_exact() {
    answers_are_right("int8", Precision::Int8);
}

#[test]
fn floats_are_near() {
    answers_are_right("f32", Precision::F32);
}

#[test]
fn software_is_not_taken_unless_it_is_allowed() {
    let mut service = start(&config("f32", false), &weights());
    let plan = service.json("/plan");
    // A machine with a real GPU takes that one.
    let software =
        |b: &serde_json::Value| b["device"].as_str().is_some_and(|d| d.contains("software"));
    assert!(!plan["backends"].as_array().unwrap().iter().any(software), "{plan}");
    service.stop();
}
