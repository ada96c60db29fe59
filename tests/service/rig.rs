//! A running program with its files, its figures and its end.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use punctual::io::capability::try_uring;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

pub(crate) mod framing;
mod http;
mod stats;

pub(crate) use framing::Ask;
pub(crate) use http::{Answer, get};
pub(crate) use stats::Stats;

/// How long a test waits for what must come on a machine that others use as well.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);
/// Between two looks at what is waited for.
const LOOK_EVERY: Duration = Duration::from_millis(3);

/// The driver as a config names it, or `None`, said aloud, where this machine does not have it.
pub(crate) fn driver(io: &'static str, test: &str) -> Option<&'static str> {
    if io == "uring"
        && let Err(why) = try_uring()
    {
        let required = std::env::var("PUNCTUAL_REQUIRE_URING").is_ok_and(|v| v == "1");
        assert!(!required, "{test}: io_uring is required and not possible here: {why}");
        skipped(test, &why.to_string());
        return None;
    }
    Some(io)
}

/// Past the capture of the test harness: what is skipped must be seen.
pub(crate) fn skipped(what: &str, why: &str) {
    writeln!(io::stderr(), "SKIPPED {what}: {why}").unwrap();
}

/// Looks until there is an answer, or fails the test.
pub(crate) fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < end, "waited {PATIENCE:?} in vain: {what}");
        pause();
    }
}

/// Raised when it is dropped, so that whoever works until then ends also when a test fails.
pub(crate) struct Done<'a>(pub(crate) &'a AtomicBool);

impl Drop for Done<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// The least rest between two looks.
pub(crate) fn pause() {
    std::thread::sleep(LOOK_EVERY);
}

/// A program that has been started, not necessarily to serve.
pub(crate) struct Program {
    child: Child,
    dir: TempDir,
}

impl Program {
    /// Starts it with this config; `wrapper` is a command that runs it.
    pub(crate) fn start(config: &str, wrapper: &[&str]) -> Self {
        Self::start_with(config, wrapper, &[])
    }

    /// The same with copies of these files beside its config.
    pub(crate) fn start_with(config: &str, wrapper: &[&str], files: &[PathBuf]) -> Self {
        let dir = TempDir::new().unwrap();
        for file in files {
            fs::copy(file, dir.path().join(file.file_name().unwrap())).unwrap();
        }
        let file = dir.path().join("test.toml");
        fs::write(&file, config).unwrap();
        let out = File::create(dir.path().join("out")).unwrap();
        let err = File::create(dir.path().join("err")).unwrap();
        let mut words: Vec<String> = wrapper.iter().map(|w| (*w).to_owned()).collect();
        words.extend([env!("CARGO_BIN_EXE_punctual"), "serve", "-c"].map(str::to_owned));
        let child = Command::new(&words[0])
            .args(&words[1..])
            .arg(&file)
            .env_remove("RUST_LOG")
            .stdout(out)
            .stderr(err)
            .spawn()
            .unwrap();
        Self { child, dir }
    }

    pub(crate) fn config_file(&self) -> PathBuf {
        self.dir.path().join("test.toml")
    }

    pub(crate) fn out(&self) -> String {
        read(&self.dir.path().join("out"))
    }

    pub(crate) fn log(&self) -> String {
        read(&self.dir.path().join("err"))
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(i32::try_from(self.child.id()).unwrap()).unwrap();
        kill_process(pid, signal).unwrap();
    }

    /// Waits for the end, and tells how it ended and how long that took.
    pub(crate) fn wait(&mut self) -> (ExitStatus, Duration) {
        let began = Instant::now();
        let status = until("the program ends", || self.child.try_wait().unwrap());
        (status, began.elapsed())
    }

    pub(crate) fn has_ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    /// The log's JSON lines whose message is this one.
    pub(crate) fn log_lines(&self, message: &str) -> Vec<Value> {
        let log = self.log();
        let lines = log.lines().filter_map(|l| serde_json::from_str::<Value>(l).ok());
        lines.filter(|l| l["fields"]["message"].as_str() == Some(message)).collect()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        if !self.has_ended() {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
        if std::thread::panicking() {
            let _ = writeln!(io::stderr(), "--- the program's log:\n{}", self.log());
        }
    }
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

/// A program that serves.
pub(crate) struct Service {
    pub(crate) program: Program,
    /// Whether nothing hopeless may be run: the rule of the policy "edf" alone.
    strict: bool,
    addresses: Vec<(String, SocketAddr)>,
}

impl Service {
    /// Starts it and waits until it says that it is ready. The admin page and, where the config says nothing of
    /// `[workers]`, the driver are added.
    pub(crate) fn start(io: &str, config: &str) -> Self {
        Self::from(Program::start(&whole(io, config), &[]))
    }

    pub(crate) fn from(mut program: Program) -> Self {
        let strict = !read(&program.config_file()).contains("policy = ");
        let line = until("the ready line", || {
            let out = program.out();
            assert!(!program.has_ended() || out.ends_with('\n'), "ended: {}", program.log());
            out.ends_with('\n').then_some(out)
        });
        let mut words = line.split_whitespace();
        assert_eq!(words.next(), Some("ready"), "{line}");
        let addresses = words
            .map(|w| w.rsplit_once('=').unwrap_or_else(|| panic!("{line}")))
            .map(|(name, at)| (name.to_owned(), at.parse().unwrap()))
            .collect();
        Self { program, strict, addresses }
    }

    /// Where it listens, by the name of the ingress or "admin".
    pub(crate) fn at(&self, name: &str) -> SocketAddr {
        let found = self.addresses.iter().find(|(n, _)| n == name);
        found.unwrap_or_else(|| panic!("no {name} in {:?}", self.addresses)).1
    }

    pub(crate) fn get(&self, path: &str) -> Answer {
        get(self.at("admin"), path).unwrap_or_else(|e| panic!("{path}: {e}"))
    }

    pub(crate) fn json(&self, path: &str) -> Value {
        let answer = self.get(path);
        assert_eq!(answer.status, 200, "{path}: {}", answer.body);
        serde_json::from_str(&answer.body).unwrap()
    }

    /// The figures now; every look checks the law.
    pub(crate) fn stats(&self) -> Stats {
        let stats = Stats(self.json("/stats"));
        stats.check_law(self.strict);
        stats
    }

    /// Looks at the figures until they are as wanted.
    pub(crate) fn stats_until(&self, what: &str, wanted: impl Fn(&Stats) -> bool) -> Stats {
        until(what, || Some(self.stats()).filter(|s| wanted(s)))
    }

    /// The figures when nothing moves any more.
    pub(crate) fn settled(&self) -> Stats {
        let mut last = self.stats();
        until("the figures come to rest", || {
            let next = self.stats();
            let rests = next.in_flight() == 0 && next.moved() == last.moved();
            last = next.clone();
            rests.then_some(next)
        })
    }

    /// Ends it by SIGTERM and gives the figures of its last log line.
    pub(crate) fn stop(&mut self) -> Stats {
        self.program.signal(Signal::TERM);
        let (status, _) = self.program.wait();
        assert_eq!(status.code(), Some(0), "{}", self.program.log());
        self.last_figures()
    }

    /// The figures of the last log line.
    pub(crate) fn last_figures(&self) -> Stats {
        let lines = self.program.log_lines("stopped");
        assert_eq!(lines.len(), 1, "{}", self.program.log());
        let stats = lines[0]["fields"]["stats"].as_str().unwrap();
        let stats = Stats(serde_json::from_str(stats).unwrap());
        stats.check_law(self.strict);
        assert_eq!(stats.in_flight(), 0);
        stats
    }
}

/// A config with what every test needs.
pub(crate) fn whole(io: &str, config: &str) -> String {
    let workers = format!("[workers]\nio = \"{io}\"\n");
    let config = if config.contains("[workers]\n") {
        config.replacen("[workers]\n", &workers, 1)
    } else {
        format!("{workers}cores = [0]\n{config}")
    };
    let admin = "\n[admin]\nlisten = \"127.0.0.1:0\"\n";
    if config.contains("[admin]") { config } else { config + admin }
}

/// A socket of the outside world.
pub(crate) fn client(at: impl Into<IpAddr>) -> UdpSocket {
    let socket = UdpSocket::bind(SocketAddr::new(at.into(), 0)).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket
}

pub(crate) fn v4() -> UdpSocket {
    client([127, 0, 0, 1])
}

/// What comes next, and from whom.
pub(crate) fn receive(socket: &UdpSocket) -> (Vec<u8>, SocketAddr) {
    let mut bytes = vec![0; 65_536];
    loop {
        match socket.recv_from(&mut bytes) {
            Ok((len, from)) => {
                bytes.truncate(len);
                return (bytes, from);
            }
            // Trying whether this machine has io_uring leaves work behind that the kernel does in another call's time.
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => panic!("no answer: {e}"),
        }
    }
}

/// A payload of `len` bytes that asks a spin kernel for `time`.
pub(crate) fn work(time: Duration, len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len.max(4)];
    bytes[..4].copy_from_slice(&u32::try_from(time.as_nanos()).unwrap().to_be_bytes());
    bytes
}

/// Everything that has come by now.
pub(crate) fn received(socket: &UdpSocket) -> Vec<Vec<u8>> {
    socket.set_nonblocking(true).unwrap();
    let mut bytes = vec![0; 65_536];
    let mut all = Vec::new();
    while let Ok((len, _)) = socket.recv_from(&mut bytes) {
        all.push(bytes[..len].to_vec());
    }
    socket.set_nonblocking(false).unwrap();
    all
}

/// Asks until there is an answer, since any one question may be too late on a busy machine.
pub(crate) fn ask(socket: &UdpSocket, to: SocketAddr, question: &[u8]) -> (Vec<u8>, SocketAddr) {
    socket.set_read_timeout(Some(Duration::from_secs(3))).unwrap();
    let mut bytes = vec![0; 65_536];
    let answer = until("an answer", || {
        socket.send_to(question, to).unwrap();
        let (len, from) = socket.recv_from(&mut bytes).ok()?;
        Some((bytes[..len].to_vec(), from))
    });
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    answer
}
