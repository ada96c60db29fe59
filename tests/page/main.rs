//! The pages of `punctual bench --report` and `punctual load --report`, opened in a real browser: they complain of
//! nothing, ask nobody for anything, and are drawn in light and dark. The pictures are kept in `target/page/`.
//!
//! Needs Chromium. Without it the tests say so and pass; with `PUNCTUAL_REQUIRE_CHROMIUM=1` they fail.

mod browser;

use std::path::{Path, PathBuf};

use assert_cmd::Command;
use browser::{Scheme, Visit, visit};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Where pictures and pages are kept for people to look at.
fn artefacts() -> PathBuf {
    let folder = root().join("target/page");
    std::fs::create_dir_all(&folder).expect("target/ can be written");
    folder
}

/// The page of the kept result `name`.
fn page_of(name: &str) -> PathBuf {
    let page = artefacts().join(format!("{name}.html"));
    Command::cargo_bin("punctual")
        .expect("the program is built with its tests")
        .arg("bench")
        .arg("--show")
        .arg(root().join(format!("tests/data/{name}.json")))
        .arg("--report")
        .arg(&page)
        .assert()
        .success();
    page
}

/// The kept result as one of a perceptron that a GPU took part of under `edf`, with figures that are made up.
fn with_backends() -> PathBuf {
    let text = std::fs::read_to_string(root().join("tests/data/bench.json")).expect("it is kept");
    let mut json: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    let work = |class: &str| {
        serde_json::json!({"class": class, "kernel": "work", "kind": "mlp", "runs_as": "f32 avx512", "payload": 256,
            "fingerprint": "1"})
    };
    json["version"] = 3.into();
    json["lab"]["service_ns"] = serde_json::Value::Null;
    json["lab"]["work"] = ["high", "medium", "low"].map(work).into_iter().collect();
    for run in json["runs"].as_array_mut().expect("runs") {
        let away = if run["subject"] == "edf" { 400 } else { 0 };
        let load = run["load"].as_f64().expect("a load");
        let batches = if load < 1.0 { 500 } else { 100 };
        run["backends"] = serde_json::json!({
            "ran": [{"backend": "cpu", "rows": 1_000 - away, "batches": batches}, {"backend": "gpu", "rows": away, "batches": 4}],
            "choices": [{"backend": "gpu", "reason": "pays", "batches": away / 100}, {"backend": "cpu", "reason": "cheaper", "batches": 7}],
            "gpu": {"device": "a made-up card", "breaker": "half_open", "entered": {"open": 2}, "busy_s": 0.5, "transfer_s": 0.1},
        });
    }
    let path = artefacts().join("backends.json");
    std::fs::write(&path, json.to_string()).expect("target/ can be written");
    path
}

fn assert_quiet(seen: &Visit) {
    assert!(seen.console.is_empty(), "the console says {:?}", seen.console);
    assert!(seen.requests.is_empty(), "the page asked for {:?}", seen.requests);
}

#[test]
fn the_report_is_drawn_without_a_word_or_a_request() {
    let page = page_of("bench");
    for (scheme, name) in [(Scheme::Light, "bench-light.png"), (Scheme::Dark, "bench-dark.png")] {
        let picture = artefacts().join(name);
        let Some(seen) = visit(&page, scheme, &picture) else { return };
        assert_quiet(&seen);
        let size = std::fs::metadata(&picture).expect("the picture was taken").len();
        assert!(size > 100_000, "{}: {size} bytes are no page of charts", picture.display());
        for part in ["What overload does", "<svg", "Every figure", "edf at 2x"] {
            assert!(seen.dom.contains(part), "{part} is not on the page");
        }
    }
}

/// Who ran what: a row a backend, how its batches grow, what part it had, why, and how the breaker stands.
#[test]
fn the_page_says_who_ran_what() {
    let page = artefacts().join("backends.html");
    Command::cargo_bin("punctual")
        .expect("the program is built with its tests")
        .args(["bench", "--show"])
        .arg(with_backends())
        .arg("--report")
        .arg(&page)
        .assert()
        .success();
    for (scheme, name) in
        [(Scheme::Light, "backends-light.png"), (Scheme::Dark, "backends-dark.png")]
    {
        let Some(seen) = visit(&page, scheme, &artefacts().join(name)) else { return };
        assert_quiet(&seen);
        for part in [
            "mlp f32 avx512 on 256 bytes each",
            "Who ran it",
            "Rows a batch, on the cores",
            "Run by the GPU",
            "cpu: mlp f32 avx512",
            "gpu: a made-up card",
            "40.0 %",
            "half_open, opened",
            "20.0 %",
            "cheaper",
        ] {
            assert!(seen.dom.contains(part), "{part} is not on the page");
        }
    }
}

/// Half of the requests are never answered, so that every chart of a run has something to show.
#[test]
fn the_page_of_a_run_is_drawn_without_a_word_or_a_request() {
    let page = artefacts().join("load.html");
    let server = std::net::UdpSocket::bind("127.0.0.1:0").expect("a free port");
    let to = server.local_addr().expect("it is bound").to_string();
    server.set_read_timeout(Some(std::time::Duration::from_secs(2))).expect("a legal timeout");
    let echo = std::thread::spawn(move || {
        let (mut bytes, mut count) = ([0; 64], 0);
        while let Ok((len, peer)) = server.recv_from(&mut bytes) {
            count += 1;
            if count % 2 == 0 {
                server.send_to(&bytes[..len], peer).expect("loopback takes it");
            }
        }
    });
    Command::cargo_bin("punctual")
        .expect("the program is built with its tests")
        .args(["load", "--raw", "--rate", "2k", "--duration", "300ms", "--max-late", "100%"])
        .args(["--to", &to, "--report"])
        .arg(&page)
        .assert()
        .success();
    echo.join().expect("no panic");
    let Some(seen) = visit(&page, Scheme::Light, &artefacts().join("load.png")) else { return };
    assert_quiet(&seen);
    for part in ["Latency of 127.0.0.1", "Refused and lost", "own lateness", "Every figure"] {
        assert!(seen.dom.contains(part), "{part} is not on the page");
    }
}

/// The browser is asked the same of a page that does both, so that silence means something.
#[test]
fn a_page_that_complains_and_asks_is_caught() {
    let page = artefacts().join("bad.html");
    let bad = "<!doctype html><title>bad</title><script>console.error('boom')</script>\
               <img src=\"http://127.0.0.1:9/picture.png\">";
    std::fs::write(&page, bad).expect("target/ can be written");
    let Some(seen) = visit(&page, Scheme::Light, &artefacts().join("bad.png")) else { return };
    assert!(seen.console.iter().any(|line| line.contains("boom")), "{:?}", seen.console);
    assert_eq!(seen.requests, ["http://127.0.0.1:9/picture.png"]);
}

/// What the page forbids itself holds: with its policy, a script and a picture put into it do nothing.
#[test]
fn the_pages_own_policy_forbids_scripts_and_requests() {
    let html = std::fs::read_to_string(page_of("bench")).expect("it was written");
    let spoiled = html.replace(
        "<main>",
        "<main><script>document.title = 'ran'</script><img src=\"http://127.0.0.1:9/x.png\">",
    );
    assert_ne!(html, spoiled);
    let page = artefacts().join("spoiled.html");
    std::fs::write(&page, spoiled).expect("target/ can be written");
    let Some(seen) = visit(&page, Scheme::Light, &artefacts().join("spoiled.png")) else { return };
    assert!(seen.requests.is_empty(), "{:?}", seen.requests);
    assert!(!seen.dom.contains("<title>ran</title>"));
    assert!(seen.console.iter().any(|line| line.contains("Content Security Policy")));
}
