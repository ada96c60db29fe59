//! A real resolver behind `configs/dns-forward.toml`, asked by real clients: what comes through the service is what the
//! server says.
//!
//! Needs dnsmasq, dig and dnsperf. Where they are missing the test says so and checks nothing; `PUNCTUAL_REQUIRE_DNS=1` makes
//! that a failure.

#![cfg(test)]
#![expect(
    clippy::disallowed_methods,
    reason = "a test of the whole program is the outside world: it has a clock and an environment of its own"
)]

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::net::UdpSocket;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

const NEEDED: [&str; 3] = ["dnsmasq", "dig", "dnsperf"];
const PATIENCE: Duration = Duration::from_secs(20);
/// What the server knows. `huge` takes more than 512 bytes, so that its answer needs EDNS.
const RECORDS: [&str; 9] = [
    "--address=/a.test/192.0.2.1",
    "--address=/a.test/2001:db8::1",
    "--host-record=both.test,192.0.2.2,2001:db8::2",
    "--cname=alias.test,both.test",
    "--mx-host=a.test,mail.test,10",
    "--txt-record=text.test,a text record",
    "--srv-host=_punctual._udp.test,both.test,8080,1,2",
    "--caa-record=test,0,issue,ca.test",
    "--ptr-record=2.2.0.192.in-addr.arpa,both.test",
];
/// Names and types, with some that do not exist.
const QUESTIONS: [(&str, &str); 14] = [
    ("a.test", "A"),
    ("a.test", "AAAA"),
    ("a.test", "MX"),
    ("b.a.test", "A"),
    ("both.test", "A"),
    ("both.test", "AAAA"),
    ("both.test", "TXT"),
    ("alias.test", "A"),
    ("text.test", "TXT"),
    ("huge.test", "TXT"),
    ("_punctual._udp.test", "SRV"),
    ("test", "CAA"),
    ("2.2.0.192.in-addr.arpa", "PTR"),
    ("nowhere.test", "A"),
];
const BY_DIG: usize = 200;
const CHECKS: usize = QUESTIONS.len() + 2;

/// A program that ends with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_resolver_behind_the_service_answers_as_it_does_alone() {
    let missing: Vec<&str> = NEEDED.into_iter().filter(|n| find(n).is_none()).collect();
    if !missing.is_empty() {
        let required = std::env::var("PUNCTUAL_REQUIRE_DNS").is_ok_and(|v| v == "1");
        assert!(!required, "PUNCTUAL_REQUIRE_DNS=1, and there is no {}", missing.join(", "));
        let line =
            format!("SKIPPED dns: {CHECKS} checks not run, install dnsmasq dnsutils dnsperf");
        writeln!(io::stderr(), "{line}").unwrap();
        return;
    }
    let dir = TempDir::new().unwrap();
    let (server, direct) = start_server(dir.path());
    let (service, through) = start_service(dir.path(), direct);
    until("the service forwards", || {
        dig(through, &["a.test", "A"]).contains("192.0.2.1").then_some(())
    });
    for (name, kind) in QUESTIONS {
        let ask = |port| dig(port, &[name, kind]);
        let expected = ask(direct);
        assert!(expected.contains("status: "), "{name} {kind}: {expected}");
        assert_eq!(same(&ask(through)), same(&expected), "{name} {kind}");
    }
    assert!(dig(through, &["huge.test", "TXT"]).contains("flags: qr aa rd ra;"));
    many_by_dig(dir.path(), through);
    performance(dir.path(), through);
    drop(service);
    drop(server);
}

/// Where a program is, also among those for the administrator.
fn find(name: &str) -> Option<PathBuf> {
    let path = std::env::var("PATH").unwrap_or_default();
    let dirs = path.split(':').chain(["/usr/sbin", "/sbin", "/usr/local/sbin"]);
    dirs.map(|d| Path::new(d).join(name)).find(|p| p.is_file())
}

fn program(name: &str) -> Command {
    Command::new(find(name).unwrap())
}

fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < end, "waited {PATIENCE:?} in vain: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn free_port() -> u16 {
    UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// A server that knows these names and asks nobody.
fn start_server(dir: &Path) -> (Running, u16) {
    let port = free_port();
    let strings: Vec<String> =
        (b'a'..=b'f').map(|c| String::from_utf8(vec![c; 200]).unwrap()).collect();
    let log = File::create(dir.join("server")).unwrap();
    let child = program("dnsmasq")
        .args([
            "--no-daemon",
            "--no-resolv",
            "--no-hosts",
            "--conf-file=/dev/null",
            "--user=",
            "--pid-file=",
        ])
        .args([
            "--listen-address=127.0.0.1",
            "--bind-interfaces",
            "--local=/test/",
            "--edns-packet-max=4096",
        ])
        .arg(format!("--port={port}"))
        .args(RECORDS)
        .arg(format!("--txt-record=huge.test,{}", strings.join(",")))
        .stdout(Stdio::null())
        .stderr(log)
        .spawn()
        .unwrap();
    let server = Running(child);
    until("the server answers", || dig(port, &["a.test", "A"]).contains("192.0.2.1").then_some(()));
    (server, port)
}

/// The shipped config with the ports of this test, on a machine that others use as well.
fn start_service(dir: &Path, upstream: u16) -> (Running, u16) {
    let shipped = concat!(env!("CARGO_MANIFEST_DIR"), "/configs/dns-forward.toml");
    let mut text = fs::read_to_string(shipped).unwrap();
    for (from, to) in [
        ("listen = \"127.0.0.1:5300\"".to_owned(), "listen = \"127.0.0.1:0\"".to_owned()),
        ("to = \"127.0.0.1:5353\"".to_owned(), format!("to = \"127.0.0.1:{upstream}\"")),
        ("budget = \"50ms\"".to_owned(), "budget = \"2s\"".to_owned()),
    ] {
        assert_eq!(text.matches(&from).count(), 1, "{from} in {shipped}");
        text = text.replace(&from, &to);
    }
    text += "\n[admin]\nlisten = \"off\"\n";
    let config = dir.join("dns.toml");
    fs::write(&config, text).unwrap();
    let out = dir.join("out");
    let child = Command::new(env!("CARGO_BIN_EXE_punctual"))
        .args(["serve", "-c"])
        .arg(&config)
        .stdout(File::create(&out).unwrap())
        .stderr(File::create(dir.join("err")).unwrap())
        .spawn()
        .unwrap();
    let service = Running(child);
    let ready =
        until("the ready line", || fs::read_to_string(&out).ok().filter(|t| t.ends_with('\n')));
    let port = ready.trim().rsplit_once("dns=127.0.0.1:").unwrap().1.parse().unwrap();
    (service, port)
}

fn dig(port: u16, question: &[&str]) -> String {
    let port = port.to_string();
    let output = program("dig")
        .args(["@127.0.0.1", "-p", &port, "+ignore", "+bufsize=4096", "+tries=3", "+time=3", "-r"])
        .args(question)
        .output()
        .unwrap();
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// What two answers to the same question have in common: all but the query's number, the cookie and the clock.
fn same(answer: &str) -> Vec<String> {
    let own = ["; <<>>", ";; Query time", ";; SERVER", ";; WHEN", "; COOKIE"];
    let lines = answer.lines().filter(|l| !own.iter().any(|o| l.starts_with(o)));
    let mut lines: Vec<String> =
        lines.map(|l| l.split(", id:").next().unwrap_or(l).to_owned()).collect();
    // A server may turn the order of its records round from answer to answer.
    lines.sort();
    lines
}

/// One dig after the other in one process, two hundred in all.
fn many_by_dig(dir: &Path, port: u16) {
    let file = dir.join("questions");
    let lines: Vec<String> = (0..BY_DIG).map(|n| format!("n{n}.a.test A")).collect();
    fs::write(&file, lines.join("\n") + "\n").unwrap();
    let answers = dig(port, &["-f", file.to_str().unwrap()]);
    assert_eq!(answers.matches("status: NOERROR").count(), BY_DIG, "{answers}");
    assert_eq!(answers.matches("\tA\t192.0.2.1").count(), BY_DIG);
}

/// Two seconds at a modest rate: nothing is lost.
fn performance(dir: &Path, port: u16) {
    let file = dir.join("load");
    let lines: Vec<String> = (0..500).map(|n| format!("n{n}.a.test A\nboth.test AAAA")).collect();
    fs::write(&file, lines.join("\n") + "\n").unwrap();
    let output = program("dnsperf")
        .args([
            "-s",
            "127.0.0.1",
            "-p",
            &port.to_string(),
            "-l",
            "2",
            "-Q",
            "1000",
            "-c",
            "10",
            "-d",
        ])
        .arg(&file)
        .output()
        .unwrap();
    let report = String::from_utf8_lossy(&output.stdout).into_owned();
    let figure = |name: &str| -> u64 {
        let line = report.lines().find(|l| l.trim_start().starts_with(name));
        let number =
            line.and_then(|l| l.split_once(':')?.1.split_whitespace().next()?.parse().ok());
        number.unwrap_or_else(|| panic!("no {name} in {report}"))
    };
    assert!(figure("Queries sent") > 500, "{report}");
    assert_eq!(figure("Queries lost"), 0, "{report}");
    assert_eq!(figure("Queries completed"), figure("Queries sent"), "{report}");
    assert!(report.contains("NOERROR") && !report.contains("SERVFAIL"), "{report}");
}
