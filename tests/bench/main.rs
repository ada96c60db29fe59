//! `punctual bench` and `punctual compare` as their users run them.

use std::io::{BufRead as _, BufReader};
use std::net::UdpSocket;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use assert_cmd::Command;
use serde_json::Value;

/// What the peers' package makes of its turns. Its servers need crates that are not built here; its arithmetic needs none.
#[path = "../../benches/peers/src/figures.rs"]
#[cfg(test)]
mod peers_figures;
#[cfg(test)]
mod works;

fn punctual(line: &str) -> Command {
    let mut command = Command::cargo_bin("punctual").expect("the program is built with its tests");
    command.args(line.split_whitespace()).timeout(Duration::from_secs(120));
    command
}

fn kept(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(name)
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("UTF-8")
}

/// The kept result with a change, as a file in `dir`.
fn changed(dir: &Path, name: &str, change: impl FnOnce(&mut Value)) -> String {
    let kept = std::fs::read_to_string(kept("bench.json")).expect("it is kept");
    let mut json: Value = serde_json::from_str(&kept).expect("JSON");
    change(&mut json);
    let path = dir.join(name);
    std::fs::write(&path, json.to_string()).expect("it is written");
    path.display().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_result_is_no_regression_of_itself() {
        let file = kept("bench.json").display().to_string();
        let line = format!("compare {file} {file} --fail-on-regression --json");
        let out = punctual(&line).assert().success();
        let json: Value = serde_json::from_slice(&out.get_output().stdout).expect("one object");
        assert_eq!((&json["kind"], &json["version"]), (&"punctual compare".into(), &1.into()));
        assert_eq!(json["regressions"], 0);
        let rows = json["rows"].as_array().expect("rows");
        assert!(rows.len() > 10 && rows.iter().all(|r| r["verdict"] == "same"));
        assert!(rows.iter().any(|r| r["gate"] == true && r["load"].is_null()), "saturation gates");
    }

    /// The least that must be caught: High loses eight points at one load, in every round.
    #[test]
    fn a_regression_is_found_and_ends_with_3() {
        let dir = tempfile::tempdir().expect("a folder");
        let worse = changed(dir.path(), "worse.json", |json| {
            for run in json["runs"].as_array_mut().expect("runs") {
                if run["subject"] == "edf" && run["load"] == 2.0 {
                    let share = run["classes"][0]["on_time_share"].as_f64().expect("a share");
                    run["classes"][0]["on_time_share"] = (share - 0.08).into();
                }
            }
        });
        let file = kept("bench.json").display().to_string();
        let out = punctual(&format!("compare {file} {worse}")).assert().success();
        let said = text(&out.get_output().stdout);
        assert!(said.contains("WORSE *") && said.contains("1 of "), "{said}");
        punctual(&format!("compare {file} {worse} --fail-on-regression")).assert().code(3);
        // The other way round it is better.
        punctual(&format!("compare {worse} {file} --fail-on-regression")).assert().success();
        let lax = "--fail-on-regression --noise-threshold 60";
        punctual(&format!("compare {file} {worse} {lax}")).assert().success();
    }

    #[test]
    fn a_service_that_takes_longer_for_a_packet_is_found_by_its_saturation() {
        let dir = tempfile::tempdir().expect("a folder");
        let slower = |factor: f64, bare: f64| {
            changed(dir.path(), "slower.json", |json| {
                for round in json["capacity"].as_array_mut().expect("rounds") {
                    let times = |v: &Value, by: f64| (v.as_f64().expect("a rate") * by).into();
                    round["service"] = times(&round["service"], factor);
                    round["bare"] = times(&round["bare"], bare);
                }
            })
        };
        let file = kept("bench.json").display().to_string();
        let line = |other: &str| format!("compare {file} {other} --fail-on-regression");
        punctual(&line(&slower(0.7, 1.0))).assert().code(3);
        // A machine on which everything is slower is no regression.
        punctual(&line(&slower(0.7, 0.7))).assert().success();
    }

    #[test]
    fn files_that_cannot_be_compared_are_refused_with_the_reason() {
        let dir = tempfile::tempdir().expect("a folder");
        let good = kept("bench.json").display().to_string();
        let file = |name: &str, body: &str| {
            let path = dir.path().join(name);
            std::fs::write(&path, body).expect("it is written");
            path.display().to_string()
        };
        let cases = [
            (changed(dir.path(), "old.json", |j| j["version"] = 1.into()), "version 1"),
            (
                changed(dir.path(), "shape.json", |j| j["runs"][0]["load"] = "x".into()),
                "invalid type",
            ),
            (
                changed(dir.path(), "mix.json", |j| j["lab"]["mix"] = serde_json::json!([1, 1, 1])),
                "--mix",
            ),
            (
                changed(dir.path(), "service.json", |j| j["lab"]["service_ns"] = 7.into()),
                "--service",
            ),
            (file("load.json", "{\"version\":1,\"seed\":1}"), "no `kind`"),
            (file("text.json", "hello"), "expected value"),
            (file("cut.json", &std::fs::read_to_string(&good).expect("kept")[..500]), "EOF"),
            ("no-such-name".to_owned(), "no-such-name"),
        ];
        for (other, part) in cases {
            let out = punctual(&format!("compare {good} {other}")).assert().code(2);
            let said = text(&out.get_output().stderr);
            assert!(said.contains(part), "{part} is missing in {said}");
            assert!(out.get_output().stdout.is_empty());
        }
    }

    #[test]
    fn wrong_command_lines_say_what_is_allowed() {
        for (line, part) in [
            ("bench --loads 0", "--loads takes numbers"),
            ("bench --policies lifo", "the policies are value, edf"),
            ("bench --fail-on-regression", "needs a --baseline"),
            ("bench --baseline no-such-name", "no-such-name.json"),
            ("bench --target 127.0.0.1:0", "port 0"),
            ("bench --target 127.0.0.1:9 --check", "cannot be used with"),
            ("bench --target a=127.0.0.1:9 --target a=127.0.0.1:8", "the same name"),
            ("bench --match echo", "--target"),
            ("bench --max-stolen 0", "percentage"),
            ("bench --duration 1ms", "less than 100ms"),
            ("bench --save-baseline a/b.json --report a/b.json", "the same file"),
            ("bench --noise-threshold=-1", "noise-threshold"),
            ("bench --kernel mpl", "did you mean mlp?"),
            ("bench --kernel fir --service 5us", "--service is the time of --kernel spin"),
            ("bench --kernel spin --size 64", "--size is for"),
            ("bench --kernel fir --size 0", "at least one byte"),
            ("bench --kernel fir --size 4000", "workers.max_datagram"),
            ("bench --kernel mlp --config x.toml", "cannot be used with"),
            ("bench --target 127.0.0.1:9 --kernel mlp", "cannot be used with"),
            ("bench --mix 1,2", "--mix takes three numbers"),
            ("bench --budgets 1ms,2ms", "--budgets takes three times"),
            ("bench --budgets 1ms,2ms,3", "a unit is missing"),
            ("bench --config configs/score.toml --budgets 1ms,2ms,3ms", "cannot be used with"),
            ("bench --batches cost,65", "`65` is none of cost, single, average, or 1 to 64 rows"),
            ("bench --batches cost,cost --kernel mlp", "two of the --batches are the same"),
            ("bench --batches cost,32", "cost the same in any batch"),
            ("bench --batches single,32 --kernel mlp --check", "not among those asked for"),
            ("bench --policies fifo --check", "--check judges policy value"),
            ("bench --arrivals mmpp:0,1ms,1ms", "ratio"),
            ("bench --budgets 0us,1ms,1ms", "budget"),
            ("bench --batches cost --policies edf", "cannot be used with"),
            ("bench --arrivals posson", "did you mean `poisson`?"),
            ("bench --arrivals day.pcap", "replayed by `punctual load`"),
            ("bench --config configs/score.toml --mix 1,2", "there are 1 classes: telemetry"),
        ] {
            let out = punctual(line).assert().code(2);
            let said = text(&out.get_output().stderr);
            assert!(said.contains(part), "{line}: {part} is missing in {said}");
        }
    }

    #[test]
    fn a_closed_port_is_said_clearly() {
        let closed = UdpSocket::bind("127.0.0.1:0").and_then(|s| s.local_addr()).expect("a port");
        let out = punctual(&format!("bench --target {closed} --quick")).assert().code(1);
        let said = text(&out.get_output().stderr);
        assert!(said.contains("nobody listens at"), "{said}");
    }

    /// Asked for 99 rounds and stopped in one of them: what there is is shown and kept.
    #[test]
    fn a_sweep_that_is_stopped_shows_and_keeps_what_was_measured() {
        let dir = tempfile::tempdir().expect("a folder");
        let server = UdpSocket::bind("127.0.0.1:0").expect("a free port");
        server.set_read_timeout(Some(Duration::from_millis(20))).expect("a legal timeout");
        let at = server.local_addr().expect("it is bound").to_string();
        let over = AtomicBool::new(false);
        let out = std::thread::scope(|scope| {
            scope.spawn(|| {
                let mut bytes = [0; 2_048];
                while !over.load(Ordering::Relaxed) {
                    if let Ok((len, peer)) = server.recv_from(&mut bytes) {
                        let _ = server.send_to(&bytes[..len], peer);
                    }
                }
            });
            let shape = "--match echo --saturation 2k --loads 0.5 --rounds 99 --duration 200ms";
            let mut child = std::process::Command::new(env!("CARGO_BIN_EXE_punctual"))
                .args(["bench", "--target", &at, "--progress", "--save-baseline", "part"])
                .args(shape.split_whitespace())
                .current_dir(dir.path())
                .stdout(std::process::Stdio::piped())
                .stderr(std::process::Stdio::piped())
                .spawn()
                .expect("it starts");
            let mut said = BufReader::new(child.stderr.take().expect("a pipe")).lines();
            // The first is that of saturation, the second a run's.
            let begun = said.by_ref().map_while(Result::ok).any(|line| line.starts_with("[2/"));
            let id = child.id().to_string();
            let sent = std::process::Command::new("kill").args(["-INT", &id]).status();
            // Until the end, so that the pipe never fills.
            let rest = said.map_while(Result::ok).collect::<Vec<_>>().join("\n");
            let out = child.wait_with_output();
            over.store(true, Ordering::Relaxed);
            assert!(begun && sent.is_ok_and(|s| s.success()), "{rest}");
            assert!(rest.contains("stopped early"), "{rest}");
            out.expect("it ran")
        });
        assert_eq!(out.status.code(), Some(1));
        assert!(text(&out.stdout).contains("on time"), "{}", text(&out.stdout));
        assert!(dir.path().join(".punctual/part.json").exists());
    }

    /// A server that is not ours, known by its answers only: everything but its figures is checked, for those are its own.
    #[test]
    fn servers_that_are_not_ours_take_turns() {
        let server = UdpSocket::bind("127.0.0.1:0").expect("a free port");
        server.set_read_timeout(Some(Duration::from_millis(20))).expect("a legal timeout");
        let at = server.local_addr().expect("it is bound");
        let over = AtomicBool::new(false);
        let out = std::thread::scope(|scope| {
            scope.spawn(|| {
                let mut bytes = [0; 2_048];
                while !over.load(Ordering::Relaxed) {
                    if let Ok((len, peer)) = server.recv_from(&mut bytes) {
                        let _ = server.send_to(&bytes[..len], peer);
                    }
                }
            });
            let line = format!(
                "bench --target one={at} --target two={at} --match echo --saturation 2k --loads 0.5 --rounds 1 \
                 --duration 200ms --budget 5s --repeats 0 --json"
            );
            let out = punctual(&line).output();
            over.store(true, Ordering::Relaxed);
            out.expect("it ran")
        });
        assert!(out.status.success(), "{}", text(&out.stderr));
        let json: Value = serde_json::from_slice(&out.stdout).expect("one object");
        assert_eq!((&json["kind"], &json["version"]), (&"punctual bench".into(), &3.into()));
        let runs = json["runs"].as_array().expect("runs");
        let names: Vec<&Value> = runs.iter().map(|r| &r["subject"]).collect();
        assert_eq!(names, ["one", "two"]);
        for run in runs {
            let class = &run["classes"][0];
            assert!(class["answered"].as_u64().is_some_and(|n| n > 50), "{class}");
            assert!(run["useful"].is_null() && run["stolen"]["generator"].is_number());
        }
    }

    /// One short round of ours, kept, shown again and compared with itself measured anew. No figure is judged.
    #[test]
    fn a_result_is_kept_shown_and_compared() {
        if std::thread::available_parallelism().is_ok_and(|n| n.get() < 2) {
            eprintln!("SKIPPED bench: 1 test not run, two cores are needed");
            return;
        }
        let dir = tempfile::tempdir().expect("a folder");
        let shape = "--loads 0.5 --policies edf --duration 200ms --rounds 1 --repeats 0 --quick";
        let run = |line: &str| punctual(line).current_dir(dir.path()).assert().success();
        run(&format!("bench {shape} --save-baseline first"));
        assert!(dir.path().join(".punctual/first.json").exists());
        let shown = text(&run("bench --show first --report page.html").get_output().stdout.clone());
        for part in ["edf", "high alone", "void runs", "of a bare loop"] {
            assert!(shown.contains(part), "{part} is missing in\n{shown}");
        }
        let page = std::fs::read_to_string(dir.path().join("page.html")).expect("it was written");
        assert!(page.contains("<svg") && page.ends_with("</html>"));
        let again = run(&format!("bench {shape} --baseline first --json"));
        let json: Value = serde_json::from_slice(&again.get_output().stdout).expect("one object");
        assert_eq!(json["comparison"]["regressions"], 0, "one round proves nothing");
        let row = |r: &Value| r["verdict"] == "same" || r["verdict"] == "unsure";
        assert!(json["comparison"]["rows"].as_array().expect("rows").iter().all(row));
    }
}
