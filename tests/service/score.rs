//! The model of `configs/score.toml`, served as its readers are told to, and every score held against sums made here.

use std::net::{SocketAddr, UdpSocket};
use std::path::Path;
use std::time::Duration;

use punctual::kernel::mlp::weights::Model;

use crate::rig::{Program, Service, until, v4, whole};

/// Bytes before the features: the row's number and its label.
const TAG: usize = 8;
const FEATURES: usize = 16;
/// Rows that are asked for.
const ROWS: usize = 400;
/// Of a score from 0 to 1: what sums in another order, and 32 bits instead of 64, may do.
const NEAR: f64 = 1e-3;

pub(crate) fn scores_are_those_of_the_model(io: &str) {
    let configs = Path::new(env!("CARGO_MANIFEST_DIR")).join("configs");
    let text = std::fs::read_to_string(configs.join("score.toml")).unwrap();
    // As it stands, but for the port: others may have it.
    let anywhere = text.replace("127.0.0.1:8090", "127.0.0.1:0");
    assert_ne!(anywhere, text);
    let weights = configs.join("score.safetensors");
    let mut service = Service::from(Program::start_with(
        &whole(io, &anywhere),
        &[],
        std::slice::from_ref(&weights),
    ));
    let model = Model::parse(&std::fs::read(weights).unwrap()).unwrap();
    let rows = rows(&std::fs::read(configs.join("score.pcap")).unwrap());

    let (at, socket) = (service.at("telemetry"), v4());
    let scores = asked(&socket, at, &rows);
    let mut right = 0;
    for (row, score) in rows.iter().zip(&scores) {
        let wanted = score_of(&model, &row[TAG..]);
        assert!((f64::from(*score) - wanted).abs() < NEAR, "{score} is not {wanted}: {row:?}");
        right += usize::from((*score > 0.5) == (row[TAG - 1] == 1));
    }
    // Seven of ten rows are normal: saying that of all would be right as often.
    assert!(right * 100 >= ROWS * 88, "{right} of {ROWS}");

    refused(&service, at, &rows[0]);
    let stats = service.stop();
    assert!(stats.get("telemetry", "high", "replied") >= ROWS as u64, "{}", stats.0);
}

/// What is no row has no answer, and is counted as the kernel's refusal.
fn refused(service: &Service, at: SocketAddr, row: &[u8]) {
    // A socket of its own: an answer that came late may still wait in the other one.
    let socket = v4();
    let mut nan = row.to_vec();
    nan[TAG..TAG + 4].copy_from_slice(&f32::NAN.to_le_bytes());
    let bad = [row[..row.len() - 1].to_vec(), [row, b"x"].concat(), row[..TAG].to_vec(), nan];
    until("all bad rows are refused", || {
        bad.iter().for_each(|bytes| assert!(socket.send_to(bytes, at).is_ok()));
        let refused = service.settled().dropped("telemetry", "high", "kernel_error");
        (refused >= bad.len() as u64).then_some(())
    });
    socket.set_nonblocking(true).unwrap();
    assert!(socket.recv(&mut [0; 64]).is_err(), "what is no row was answered");
}

/// The payloads of the capture, whose records all have one size: sixteen bytes of their own, then IPv4 and UDP.
fn rows(pcap: &[u8]) -> Vec<Vec<u8>> {
    const BEFORE: usize = 16 + 20 + 8;
    let records = pcap[24..].chunks_exact(BEFORE + TAG + 4 * FEATURES);
    let rows: Vec<Vec<u8>> = records.take(ROWS).map(|r| r[BEFORE..].to_vec()).collect();
    assert_eq!(rows.len(), ROWS);
    rows
}

/// The score of each row. A row that was late on a busy machine is asked for again.
fn asked(socket: &UdpSocket, at: SocketAddr, rows: &[Vec<u8>]) -> Vec<f32> {
    socket.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
    let mut scores = vec![None; rows.len()];
    until("every row has its score", || {
        for (number, row) in rows.iter().enumerate() {
            if scores[number].is_some() {
                continue;
            }
            socket.send_to(row, at).unwrap();
            let mut answer = [0; 64];
            let Ok(len) = socket.recv(&mut answer) else { continue };
            assert_eq!(len, TAG + 4, "a tag and a score");
            // The tag says whose score it is.
            let of = rows.iter().position(|r| r[..TAG] == answer[..TAG]).expect("a tag of ours");
            scores[of] = Some(f32::from_le_bytes(*answer[TAG..].first_chunk().unwrap()));
        }
        scores.iter().copied().collect::<Option<Vec<f32>>>()
    })
}

/// The score by plain sums in 64 bits.
fn score_of(model: &Model, features: &[u8]) -> f64 {
    let number = |b: &[u8; 4]| f64::from(f32::from_le_bytes(*b));
    let mut x: Vec<f64> = features.as_chunks().0.iter().map(number).collect();
    let last = model.layers().len() - 1;
    for (i, layer) in model.layers().iter().enumerate() {
        let weight = |k: usize, n: usize| f64::from(layer.weights[k * layer.outputs + n]);
        let sum = |n: usize| {
            let products = x.iter().enumerate().map(|(k, x)| x * weight(k, n));
            let y = products.sum::<f64>() + f64::from(layer.bias[n]);
            if i == last { y } else { y.max(0.0) }
        };
        x = (0..layer.outputs).map(sum).collect();
    }
    assert_eq!(x.len(), 1);
    1.0 / (1.0 + (-x[0]).exp())
}
