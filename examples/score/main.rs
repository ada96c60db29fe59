//! A small anomaly score: makes telemetry, trains a perceptron on it, writes weights and a capture, and asks a running service.
//!
//! `cargo run --release --example score -- train configs` writes configs/score.safetensors and configs/score.pcap;
//! `… -- ask 127.0.0.1:8090` sends test rows to a service with configs/score.toml and prints scores and their accuracy.
//! Needs nothing but the standard library, and gives the same bytes in every run.

mod data;
mod net;
mod write;

use std::net::UdpSocket;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use data::{Draw, FEATURES, Sample};
use net::Net;

/// Bytes before the features, which come back before the score: here the row's number and its label.
const TAG: usize = 8;
/// The seed of the rows that no training sees.
const TEST_SEED: u64 = 2;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    let result = match words.as_slice() {
        ["train", folder] => train(Path::new(folder)),
        ["ask", address] => ask(address),
        _ => {
            eprintln!("usage: score train FOLDER | score ask ADDRESS");
            return ExitCode::from(2);
        }
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn samples(seed: u64, count: usize) -> Vec<Sample> {
    let mut draw = Draw::new(seed);
    (0..count).map(|_| Sample::draw(&mut draw)).collect()
}

fn train(folder: &Path) -> std::io::Result<()> {
    let (known, unseen) = (samples(1, 24_000), samples(TEST_SEED, 8_000));
    let mut net = Net::new(&known, &[FEATURES, 32, 16, 1]);
    for epoch in 1..=24 {
        let loss = net.epoch(&known, epoch);
        if epoch % 4 == 0 {
            println!("epoch {epoch:2}: loss {loss:.4}");
        }
    }
    let scores: Vec<(bool, f32)> = unseen.iter().map(|s| (s.odd, net.score(&s.features))).collect();
    report("unseen rows", &scores);
    std::fs::write(folder.join("score.safetensors"), write::safetensors(&net.folded()))?;
    let payloads: Vec<Vec<u8>> =
        unseen.iter().take(2_000).enumerate().map(|(i, s)| payload(i, s)).collect();
    std::fs::write(folder.join("score.pcap"), write::pcap(&payloads))
}

fn payload(number: usize, sample: &Sample) -> Vec<u8> {
    let mut bytes = (number as u32).to_be_bytes().to_vec();
    bytes.extend_from_slice(&u32::from(sample.odd).to_be_bytes());
    sample.features.iter().for_each(|x| bytes.extend_from_slice(&x.to_le_bytes()));
    bytes
}

/// Sends test rows one by one and reads their scores.
fn ask(address: &str) -> std::io::Result<()> {
    let socket = UdpSocket::bind("0.0.0.0:0")?;
    socket.connect(address)?;
    socket.set_read_timeout(Some(Duration::from_millis(500)))?;
    let mut scores = Vec::new();
    let mut lost = 0;
    for (i, sample) in samples(TEST_SEED, 2_000).iter().enumerate() {
        let sent = payload(i, sample);
        socket.send(&sent)?;
        let mut answer = [0; 64];
        let came = socket.recv(&mut answer);
        match came {
            Ok(len) if len == TAG + 4 && answer[..TAG] == sent[..TAG] => {
                let score = f32::from_le_bytes([answer[8], answer[9], answer[10], answer[11]]);
                if i < 8 {
                    let label = if sample.odd { "anomaly" } else { "normal" };
                    println!("row {i}: {label:8} score {score:.3}");
                }
                scores.push((sample.odd, score));
            }
            _ => lost += 1,
        }
    }
    println!("{} answered, {lost} not", scores.len());
    report("the service's scores", &scores);
    if scores.is_empty() { Err(std::io::Error::other("nothing was answered")) } else { Ok(()) }
}

/// Accuracy, precision and recall at one half.
fn report(what: &str, scores: &[(bool, f32)]) {
    let count = |f: &dyn Fn(bool, bool) -> bool| {
        scores.iter().filter(|(odd, score)| f(*odd, *score > 0.5)).count()
    };
    let (hit, said, odd) = (count(&|o, s| o && s), count(&|_, s| s), count(&|o, _| o));
    let right = count(&|o, s| o == s);
    let share = |a: usize, b: usize| 100.0 * a as f64 / b.max(1) as f64;
    println!(
        "{what}: {} rows, {odd} of them anomalies; accuracy {:.2} %, precision {:.2} %, recall {:.2} %",
        scores.len(),
        share(right, scores.len()),
        share(hit, said),
        share(hit, odd)
    );
}
