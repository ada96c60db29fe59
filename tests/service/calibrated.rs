//! A service with times that an earlier `punctual calibrate` kept: its own are taken up, another's are not.

use std::fs;
use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;

use crate::rig::{Program, Service, ask, v4, whole};

const CONFIG: &str = r#"
[kernels]
simd = "scalar"
[level]
calibration = "kept.json"
[[ingress]]
name = "raw"
listen = "127.0.0.1:0"
priority = "low"
budget = "20s"
kernel = "smooth"
[kernel.smooth]
kind = "fir"
taps = [8192, 16384, 8192]
shift = 15
"#;
/// No machine takes as long.
const A_ROW_US: u64 = 123;

/// What `calibrate --save` writes for these kernels, with every row at [`A_ROW_US`].
fn kept(dir: &TempDir) -> String {
    let (config, file) = (dir.path().join("measure.toml"), dir.path().join("kept.json"));
    fs::write(&config, CONFIG.replace("[level]\ncalibration = \"kept.json\"\n", "")).unwrap();
    let mut program = Command::new(env!("CARGO_BIN_EXE_punctual"));
    let asked = program.args(["calibrate", "-c"]).arg(&config).arg("--save").arg(&file);
    let done = asked.output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let mut saved: Value = serde_json::from_str(&fs::read_to_string(&file).unwrap()).unwrap();
    for pair in saved["times"].as_array_mut().unwrap() {
        for point in pair["points"].as_array_mut().unwrap() {
            let rows = point["rows"].as_u64().unwrap();
            point["ps"] = (rows * A_ROW_US * 1_000_000).into();
        }
    }
    saved.to_string()
}

fn start(io: &str, dir: &TempDir, text: &str) -> Program {
    let file = dir.path().join("kept.json");
    fs::write(&file, text).unwrap();
    Program::start_with(&whole(io, CONFIG), &[], &[file])
}

/// What `/plan` says of the one kernel on the workers.
fn model(service: &Service) -> Value {
    let plan = service.json("/plan");
    let own = &plan["backends"][0];
    assert_eq!((&own["backend"], &own["simd"]), (&"cpu".into(), &"scalar".into()), "{plan}");
    assert_eq!(own["model"][0]["kernel"], "smooth", "{plan}");
    own["model"][0].clone()
}

/// The exit code of `punctual check` and what it says.
fn check(program: &Program) -> (Option<i32>, String) {
    let mut check = Command::new(env!("CARGO_BIN_EXE_punctual"));
    let done = check.arg("check").arg(program.config_file()).output().unwrap();
    (done.status.code(), String::from_utf8(done.stdout).unwrap())
}

pub(crate) fn kept_times_are_taken_up_where_they_are_true(io: &str) {
    let dir = TempDir::new().unwrap();
    let kept = kept(&dir);
    own(io, &dir, &kept);
    foreign(
        io,
        &dir,
        &kept.replacen("\"cpu\":\"", "\"cpu\":\"another ", 1),
        "measured on \"another ",
    );
    foreign(
        io,
        &dir,
        &kept.replacen("\"version\":1", "\"version\":1 ", 1).replace("\"smooth\"", "\"other\""),
        "kernel \"smooth\" was not measured on scalar",
    );
    damaged(io, &dir, &kept[..kept.len() / 2]);
}

fn own(io: &str, dir: &TempDir, kept: &str) {
    let mut service = Service::from(start(io, dir, kept));
    let model = model(&service);
    assert_eq!(model["kept"], true);
    for rows in [1, 8, 32] {
        let micros = (rows * A_ROW_US) as f64;
        assert_eq!(model["t_us"][rows.to_string()], micros, "{model}");
    }
    let (code, said) = check(&service.program);
    assert!(code == Some(0) && !said.contains("kept times"), "{said}");
    service.stop();
}

/// It is measured, and that is said by `serve` and by `check`.
fn foreign(io: &str, dir: &TempDir, text: &str, why: &str) {
    let mut service = Service::from(start(io, dir, text));
    let model = model(&service);
    assert_eq!(model["kept"], false);
    assert_ne!(model["t_us"]["1"], A_ROW_US as f64);
    let said = format!("kept times are not taken up: {why}");
    assert!(
        service.program.log().replace("\\\"", "\"").contains(&said),
        "{}",
        service.program.log()
    );
    let (code, checked) = check(&service.program);
    assert!(code == Some(0) && checked.contains(&said), "{checked}");
    let (answer, _) = ask(&v4(), service.at("raw"), &[0; 64]);
    assert_eq!(answer, [0; 64]);
    service.stop();
}

/// No start, with the place.
fn damaged(io: &str, dir: &TempDir, text: &str) {
    let mut program = start(io, dir, text);
    let (status, _) = program.wait();
    assert_eq!((status.code(), program.out().as_str()), (Some(78), ""));
    let (code, checked) = check(&program);
    assert_eq!(code, Some(78));
    for said in [program.log(), checked] {
        assert!(
            said.contains("\"kept.json\" is not what `punctual calibrate --save` writes"),
            "{said}"
        );
        assert!(said.contains("test.toml:"), "{said}");
    }
}
