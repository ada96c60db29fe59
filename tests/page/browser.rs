//! A headless Chromium that opens one file: what its console said, what the page asked the network for, and a picture.
//!
//! Nothing that Chromium itself would like to ask its makers leaves this machine: names do not resolve, and its proxy is
//! a closed port of this host.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::Once;
use std::time::{Duration, Instant};

/// Debian's name, and others'.
const NAMES: [&str; 3] = ["chromium", "chromium-browser", "google-chrome"];
/// A page that takes longer than this hangs.
const PATIENCE: Duration = Duration::from_secs(120);
/// Tests of this file that are skipped without a browser.
const TESTS: usize = 5;

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scheme {
    Light,
    Dark,
}

/// What was seen.
pub(crate) struct Visit {
    /// Lines that the console said.
    pub(crate) console: Vec<String>,
    /// Addresses that the page asked for; those of the browser itself are left out.
    pub(crate) requests: Vec<String>,
    /// The page as it stands in the browser.
    pub(crate) dom: String,
}

/// Opens `page` and takes a `picture`. None without a browser, which is said once.
pub(crate) fn visit(page: &Path, scheme: Scheme, picture: &Path) -> Option<Visit> {
    let program = find()?;
    let profile = tempfile::tempdir().expect("a folder");
    let log = profile.path().join("net.json");
    let shot = run(
        &program,
        page,
        scheme,
        profile.path(),
        &[
            &format!("--screenshot={}", picture.display()),
            &format!("--log-net-log={}", log.display()),
            "--window-size=1240,5400",
        ],
    );
    let said = String::from_utf8_lossy(&shot.stderr);
    let console = said.lines().filter(|l| l.contains(":CONSOLE:")).map(str::to_owned).collect();
    let requests = requests(&std::fs::read_to_string(&log).expect("the log of requests"));
    let profile = tempfile::tempdir().expect("a folder");
    let dom = run(&program, page, scheme, profile.path(), &["--dump-dom"]);
    Some(Visit { console, requests, dom: String::from_utf8_lossy(&dom.stdout).into_owned() })
}

fn find() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
    let all = NAMES.iter().flat_map(|name| folders.iter().map(move |f| f.join(name)));
    let found = all.into_iter().find(|p| p.is_file());
    if found.is_none() {
        assert!(
            std::env::var("PUNCTUAL_REQUIRE_CHROMIUM").is_err(),
            "PUNCTUAL_REQUIRE_CHROMIUM is set and there is no Chromium"
        );
        static SAID: Once = Once::new();
        SAID.call_once(|| {
            eprintln!("SKIPPED page: {TESTS} tests not run, install Chromium (Debian: apt install chromium)");
        });
    }
    found
}

fn run(program: &Path, page: &Path, scheme: Scheme, profile: &Path, more: &[&str]) -> Output {
    let mut command = Command::new(program);
    command
        .args([
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--host-resolver-rules=MAP * ~NOTFOUND",
            "--proxy-server=http://127.0.0.1:9",
            "--enable-logging=stderr",
            "--hide-scrollbars",
        ])
        .arg(format!("--user-data-dir={}", profile.display()))
        .args(more)
        .arg(format!("file://{}", page.display()))
        .stdin(Stdio::null());
    if scheme == Scheme::Dark {
        command.arg("--blink-settings=preferredColorScheme=0");
    } else {
        command.arg("--blink-settings=preferredColorScheme=1");
    }
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts");
    let id = child.id();
    let (tell, told) = std::sync::mpsc::channel::<()>();
    // A browser that hangs must not hang the tests.
    let watch = std::thread::spawn(move || {
        let until = Instant::now() + PATIENCE;
        if told.recv_timeout(until.saturating_duration_since(Instant::now())).is_err() {
            let _ = Command::new("kill").args(["-9", &id.to_string()]).status();
        }
    });
    let output = child.wait_with_output().expect("it ends");
    let _ = tell.send(());
    watch.join().expect("no panic");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output
}

/// Requests in Chromium's own log that have a page behind them: those of the browser itself are of "not an origin".
fn requests(log: &str) -> Vec<String> {
    let log: serde_json::Value = serde_json::from_str(log).expect("the log is JSON");
    let kind = &log["constants"]["logEventTypes"]["URL_REQUEST_START_JOB"];
    assert!(kind.is_u64(), "the log has another form");
    let events = log["events"].as_array().expect("a list of events");
    assert!(!events.is_empty(), "the log is empty");
    events
        .iter()
        .filter(|e| &e["type"] == kind && e["params"]["initiator"] != "not an origin")
        .filter_map(|e| Some(e["params"]["url"].as_str()?.to_owned()))
        .collect()
}
