//! `punctual load` as its users run it.

use std::io::{BufRead as _, BufReader};
use std::net::UdpSocket;
use std::path::Path;
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use assert_cmd::Command;

fn load(line: &str) -> Command {
    let mut command = Command::cargo_bin("punctual").expect("the program is built with its tests");
    command.arg("load").args(line.split_whitespace()).timeout(Duration::from_secs(60));
    command
}

/// Runs `test` beside a service that echoes.
fn beside_an_echo(test: impl FnOnce(&str)) {
    let server = UdpSocket::bind("127.0.0.1:0").expect("a free port");
    server.set_read_timeout(Some(Duration::from_millis(20))).expect("a legal timeout");
    let at = server.local_addr().expect("it is bound").to_string();
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut bytes = [0; 2_048];
            while !over.load(Ordering::Relaxed) {
                if let Ok((len, peer)) = server.recv_from(&mut bytes) {
                    server.send_to(&bytes[..len], peer).expect("loopback takes it");
                }
            }
        });
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| test(&at)));
        over.store(true, Ordering::Relaxed);
        if let Err(panic) = result {
            std::panic::resume_unwind(panic);
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_one_object_and_nothing_else() {
        beside_an_echo(|at| {
            let line = format!("--to {at} --raw --rate 1k --duration 200ms --budget 9s --json");
            let out =
                load(&format!("{line} --arrivals uniform --max-late 100%")).assert().success();
            let text = String::from_utf8(out.get_output().stdout.clone()).expect("UTF-8");
            let json: serde_json::Value = serde_json::from_str(&text).expect("one object");
            assert_eq!(json["version"], 1);
            let class = &json["classes"][0];
            assert_eq!((&class["sent"], &class["on_time"]), (&200.into(), &200.into()));
            assert_eq!((&class["lost"], &class["unknown"]), (&0.into(), &0.into()));
        });
    }

    #[test]
    fn the_table_names_every_class_and_a_log_is_written() {
        let dir = tempfile::tempdir().expect("a directory");
        let (log, page) = (dir.path().join("run.hlog"), dir.path().join("run.html"));
        beside_an_echo(|at| {
            let classes = format!(
                "--class name=fast,to={at},budget=1ms --class name=slow,to={at},budget=5s,share=2"
            );
            let line = format!("{classes} --rate 500 --duration 200ms --max-late 100%");
            let line = format!("{line} --hdr {} --report {}", log.display(), page.display());
            let out = load(&line).assert().success();
            let text = String::from_utf8(out.get_output().stdout.clone()).expect("UTF-8");
            for word in ["fast", "slow", "on time", "p99.9", "own lateness"] {
                assert!(text.contains(word), "{word} is missing in\n{text}");
            }
            assert!(!text.contains('\x1b'), "no colour where nobody can see it");
        });
        let log = std::fs::read_to_string(log).expect("it was written");
        for tag in ["Tag=fast,", "Tag=slow.raw,", "Tag=generator.lateness,"] {
            assert!(log.contains(tag), "{tag} is missing in\n{log}");
        }
        let page = std::fs::read_to_string(page).expect("it was written");
        for part in ["punctual load --class name=fast", "Latency by percentile", "actual send"] {
            assert!(page.contains(part), "{part} is missing");
        }
        // Curves of two classes, on time, the longest, the generator's two.
        assert_eq!(page.matches("<svg").count(), 6);
    }

    /// Somebody has seen enough: what there is is shown and kept in every form, and the exit code says that it is not whole.
    #[test]
    fn a_run_that_is_stopped_shows_and_keeps_what_was_measured() {
        let dir = tempfile::tempdir().expect("a directory");
        let (log, page) = (dir.path().join("run.hlog"), dir.path().join("run.html"));
        beside_an_echo(|at| {
            let line = format!("load --to {at} --raw --rate 1k --duration 50s --json --progress");
            let child = std::process::Command::new(env!("CARGO_BIN_EXE_punctual"))
                .args(line.split_whitespace())
                .args([Path::new("--hdr"), &log, Path::new("--report"), &page])
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .spawn();
            let mut child = child.expect("it starts");
            let mut told = BufReader::new(child.stderr.take().expect("it is a pipe")).lines();
            let first = told.next().expect("a line of progress").expect("it is read");
            assert!(first.contains("sent"), "{first}");
            let id = child.id().to_string();
            let sent = std::process::Command::new("kill").args(["-INT", &id]).status();
            assert!(sent.expect("kill is there").success());
            let rest: Vec<String> = told.map_while(Result::ok).collect();
            let out = child.wait_with_output().expect("it ends");
            assert_eq!(out.status.code(), Some(1), "{rest:?}");
            assert!(rest.iter().any(|l| l.contains("stopped early")), "{rest:?}");
            let json: serde_json::Value = serde_json::from_slice(&out.stdout).expect("one object");
            let answered = json["classes"][0]["answered"].as_u64().expect("a count");
            assert!((500..20_000).contains(&answered), "{answered} of the first seconds");
            assert_eq!(json["interrupted"], true);
        });
        for (path, part) in [(log, "Tag=generator.lateness,"), (page, "Latency by percentile")] {
            let text = std::fs::read_to_string(&path).expect("it was written");
            assert!(text.contains(part), "{part} is missing in {}", path.display());
        }
    }

    #[test]
    fn a_closed_port_is_said_clearly() {
        let closed = UdpSocket::bind("127.0.0.1:0").and_then(|s| s.local_addr()).expect("a port");
        for rate in ["200", "20k"] {
            let line = format!("--to {closed} --rate {rate} --duration 30s --budget 9s");
            let out = load(&line).assert().code(1);
            let text = String::from_utf8_lossy(&out.get_output().stderr).into_owned();
            assert!(text.contains(&format!("nobody listens at {closed}")), "{text}");
        }
    }

    #[test]
    fn files_that_cannot_be_written_cost_no_run() {
        for (files, code, part) in [
            ("--hdr same --report same", 2, "the same file"),
            ("--hdr /proc/no/such/file", 1, "cannot write /proc/no/such/file"),
            ("--report /", 1, "cannot write /"),
        ] {
            let out = load(&format!("--to 127.0.0.1:9 --duration 50s {files}")).assert().code(code);
            let said = String::from_utf8_lossy(&out.get_output().stderr).into_owned();
            assert!(said.contains(part), "{files}: {said}");
        }
    }

    #[test]
    fn a_missed_goal_exits_with_3_and_a_wrong_plan_with_2() {
        beside_an_echo(|at| {
            let line = format!("--to {at} --rate 500 --duration 100ms --max-lateness 1ns");
            load(&line).assert().code(3);
        });
        load("--to 127.0.0.1:1 --rate 0").assert().code(2);
        load("--to 127.0.0.1:1 --size 8").assert().code(2);
        load("").assert().code(2);
    }

    #[test]
    fn a_service_that_never_answers_is_an_error_and_nothing_hangs() {
        let silent = UdpSocket::bind("127.0.0.1:0").expect("a port");
        let at = silent.local_addr().expect("it is bound");
        let line = format!("--to {at} --rate 500 --duration 100ms");
        let out = load(&line).assert().code(1);
        let text = String::from_utf8_lossy(&out.get_output().stderr).into_owned();
        assert!(text.contains(&format!("no answer came from {at}")), "{text}");
        load(&format!("{line} --raw --match none --max-late 100%")).assert().success();
    }

    #[test]
    fn a_rate_that_cannot_be_offered_is_said_and_exits_with_3() {
        beside_an_echo(|at| {
            let line = format!("--to {at} --raw --rate 20M --no-gso --duration 200ms");
            let out = load(&line).assert().code(3);
            let text = String::from_utf8_lossy(&out.get_output().stderr).into_owned();
            assert!(text.contains("20000000 packets/s were asked for, and "), "{text}");
            let text = String::from_utf8_lossy(&out.get_output().stdout).into_owned();
            assert!(text.contains("the generator itself was late"), "{text}");
        });
    }

    #[test]
    fn a_late_generator_misses_its_goal_and_the_limit_can_be_moved() {
        beside_an_echo(|at| {
            // Every packet leaves at least some nanoseconds after its time.
            let line = format!("--to {at} --rate 500 --duration 100ms --late-after 1ns");
            let out = load(&line).assert().code(3);
            let text = String::from_utf8_lossy(&out.get_output().stderr).into_owned();
            assert!(text.contains("--max-late"), "{text}");
            load(&format!("{line} --max-late 100%")).assert().success();
        });
    }

    /// 20 datagrams to port 53 in 19 ms, and an answer that is not to be sent.
    fn capture() -> Vec<u8> {
        let mut file = 0xa1b2_c3d4_u32.to_le_bytes().to_vec();
        file.extend([2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0, 0, 101, 0, 0, 0]);
        for n in 0..21_u32 {
            let (from, to) = if n == 20 { (53, 2_000) } else { (2_000, 53) };
            let mut bytes = Vec::new();
            let builder = etherparse::PacketBuilder::ipv4([10, 0, 0, 1], [10, 0, 0, 1], 64);
            builder
                .udp(from, to)
                .write(&mut bytes, format!("payload {n}").as_bytes())
                .expect("room");
            for word in [1, n * 1_000, bytes.len() as u32, bytes.len() as u32] {
                file.extend(word.to_le_bytes());
            }
            file.extend(bytes);
        }
        file
    }

    #[test]
    fn a_capture_is_replayed_and_a_cut_one_is_said_to_be() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = |name: &str| dir.path().join(name).display().to_string();
        let file = capture();
        std::fs::write(path("whole.pcap"), &file).expect("written");
        std::fs::write(path("cut.pcap"), &file[..file.len() / 2]).expect("written");
        std::fs::write(path("no.pcap"), "no capture at all").expect("written");
        beside_an_echo(|at| {
            let replay = |name: &str| {
                let file = path(name);
                load(&format!("--to {at} --arrivals {file} --budget 9s --json --max-late 100%"))
            };
            let sent = |out: &std::process::Output| {
                let json: serde_json::Value = serde_json::from_slice(&out.stdout).expect("JSON");
                let class = &json["classes"][0];
                assert_eq!(
                    (&class["sent"], &json["arrivals"]),
                    (&class["answered"], &"replay".into())
                );
                class["sent"].as_u64().expect("a number")
            };
            for options in [&["--speed", "0.1"][..], &["--speed", "100"], &["--payloads", "fill"]] {
                let out = replay("whole.pcap").args(options).assert().success();
                assert_eq!(sent(out.get_output()), 20, "{options:?}");
            }
            let out = replay("cut.pcap").assert().code(1);
            let text = String::from_utf8_lossy(&out.get_output().stderr).into_owned();
            assert!(text.contains("cut.pcap: it is cut off in the middle, "), "{text}");
            assert!(text.contains("--partial offers those"), "{text}");
            let out = replay("cut.pcap").arg("--partial").assert().success();
            assert!((5..20).contains(&sent(out.get_output())));
            let out = replay("no.pcap").assert().code(1);
            let text = String::from_utf8_lossy(&out.get_output().stderr).into_owned();
            assert!(text.contains("neither pcap nor pcapng"), "{text}");
        });
    }
}
