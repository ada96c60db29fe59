//! What looks at the sockets cost in the middle of long kernels: how much long work a service does in chunks beside one that runs it
//! to its end, both over real sockets.
//!
//! `cargo bench --bench chunks`; `-- --quick` is a short run. `configs/chunks-lab.toml` twice, with `chunk = "auto"` and `"off"`, on
//! one core and by turns: twice as much long work as it can do, and 200 short packets a second, so that chunks are as short as those
//! need.
//!
//! Then what is short behind a kernel that does real work: `match` with a thousand patterns on the longest datagrams, a thousand a
//! second, and what is due in 100 us in between: how much of it is on time, in chunks and to the end.

#![expect(
    clippy::disallowed_methods,
    reason = "a test of the whole program is the outside world: it has a clock and files of its own"
)]

#[path = "common/quartiles.rs"]
mod quartiles;

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use punctual::io::capability::try_uring;
use punctual::sys::affinity::pin_current;
use quartiles::quartiles;
use serde_json::Value;

const LAB: &str = include_str!("../configs/chunks-lab.toml");
/// The generator's core; the service has core 0.
const CORE: usize = 1;
const WORKER: usize = 0;
/// Two long packets, of a millisecond each, every
const TICK: Duration = Duration::from_millis(1);
/// and one short in so many ticks.
const SHORT_EVERY: u32 = 5;
/// Behind real work: one long packet every tick, and one short at another time of it.
const LONGEST: usize = 65_507;
const PATTERNS: usize = 1_000;
/// Until the queue is full.
const FILL: Duration = Duration::from_millis(60);

struct Served {
    child: Child,
    short: SocketAddr,
    long: SocketAddr,
    admin: SocketAddr,
    socket: UdpSocket,
}

/// The figures of one worker at one time.
#[derive(Clone, Copy)]
struct Figures {
    at_us: f64,
    busy_us: f64,
    turns: f64,
    long: f64,
    /// Short ones that came, and those of them that were on time.
    short: [f64; 2],
}

/// `match` in place of the long busy work, and nothing to do for the short.
fn real() -> String {
    let word = |n: usize| {
        format!("\"{:x}\"", (n as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) % 0xffff_ffff)
    };
    let patterns: Vec<String> = (1..=PATTERNS).map(word).collect();
    let long = format!("kind = \"match\"\npatterns = [{}]", patterns.join(", "));
    LAB.replace("[workers]\n", &format!("[workers]\nmax_datagram = \"{LONGEST}\"\n"))
        .replace("kind = \"spin\"\ntime = \"10us\"", "kind = \"echo\"")
        .replace("kind = \"spin\"\ntime = \"1ms\"", &long)
}

impl Served {
    fn start(folder: &Path, lab: &str, io: &str, chunk: &str) -> Self {
        let config = lab
            .replace("chunk = \"auto\"", &format!("chunk = \"{chunk}\""))
            .replace("[workers]\n", &format!("[workers]\nio = \"{io}\"\nidle = \"park\"\n"))
            .replace(":8080", ":0")
            .replace(":8081", ":0")
            .replace(":9900", ":0");
        let file = folder.join(format!("{io}-{chunk}.toml"));
        fs::write(&file, config).unwrap();
        let mut child = Command::new(env!("CARGO_BIN_EXE_punctual"))
            .args(["serve", "-c"])
            .arg(&file)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut ready = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut ready).unwrap();
        let at = |name: &str| {
            let found = ready.split_whitespace().find_map(|w| w.strip_prefix(name));
            found.unwrap_or_else(|| panic!("{name} in {ready:?}")).parse().unwrap()
        };
        assert!(is_alone(child.id()), "the worker is not on core {WORKER} alone");
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_nonblocking(true).unwrap();
        Self { short: at("short="), long: at("long="), admin: at("admin="), child, socket }
    }

    fn figures(&self) -> Figures {
        let mut stream = TcpStream::connect(self.admin).unwrap();
        write!(stream, "GET /stats HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            .unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        let stats: Value = serde_json::from_str(text.split_once("\r\n\r\n").unwrap().1).unwrap();
        let worker = &stats["workers"][0];
        let age = worker["snapshot_age_us"].as_f64().unwrap();
        Figures {
            at_us: stats["uptime_s"].as_f64().unwrap() * 1e6 - age,
            busy_us: worker["busy_us"].as_f64().unwrap(),
            turns: worker["turns"].as_f64().unwrap(),
            long: stats["ingresses"]["long"]["medium"]["replied"].as_f64().unwrap_or(0.0),
            short: ["received", "on_time"]
                .map(|f| stats["ingresses"]["short"]["high"][f].as_f64().unwrap_or(0.0)),
        }
    }

    /// One long packet a tick, and one short somewhere within the time that it takes: how many short ones came, how many of them were
    /// on time, and how many long ones were answered.
    fn behind_real_work(&self, time: Duration, text: &[u8]) -> [f64; 3] {
        let began = Instant::now();
        let before = self.figures();
        let mut bytes = [0; 256];
        for tick in 1_u32.. {
            let _ = self.socket.send_to(text, self.long);
            // 20, 55, 90, 125, 160 us after it, by turns.
            let later = Instant::now() + Duration::from_micros(u64::from(20 + tick % 5 * 35));
            while Instant::now() < later {
                std::hint::spin_loop();
            }
            let _ = self.socket.send_to(&[0; 64], self.short);
            while self.socket.recv(&mut bytes).is_ok() {}
            if began.elapsed() >= time {
                break;
            }
            std::thread::sleep((TICK * tick).saturating_sub(began.elapsed()));
        }
        std::thread::sleep(Duration::from_millis(15));
        let after = self.figures();
        let [came, on_time] = [0, 1].map(|i| after.short[i] - before.short[i]);
        [came, on_time, after.long - before.long]
    }

    /// Offers work for so long.
    fn offer(&self, time: Duration) {
        let began = Instant::now();
        let mut bytes = [0; 256];
        for tick in 1_u32.. {
            let _ = self.socket.send_to(&[0; 64], self.long);
            let _ = self.socket.send_to(&[0; 64], self.long);
            if tick % SHORT_EVERY == 0 {
                let _ = self.socket.send_to(&[0; 64], self.short);
            }
            while self.socket.recv(&mut bytes).is_ok() {}
            if began.elapsed() >= time {
                return;
            }
            std::thread::sleep((TICK * tick).saturating_sub(began.elapsed()));
        }
    }

    /// What it did while it had more to do than it could.
    fn measure(&self, time: Duration) -> Figures {
        self.offer(FILL);
        let before = self.figures();
        self.offer(time);
        let after = self.figures();
        // What is left expires, and the other has the core.
        std::thread::sleep(Duration::from_millis(15));
        Figures {
            at_us: after.at_us - before.at_us,
            busy_us: after.busy_us - before.busy_us,
            turns: after.turns - before.turns,
            long: after.long - before.long,
            short: [0, 1].map(|i| after.short[i] - before.short[i]),
        }
    }
}

/// Whether that program's worker stays on its core, and on no other.
fn is_alone(program: u32) -> bool {
    let threads = fs::read_dir(format!("/proc/{program}/task")).unwrap();
    let read = |path: &Path, file: &str| fs::read_to_string(path.join(file)).unwrap_or_default();
    threads.filter_map(|t| Some(t.ok()?.path())).any(|t| {
        let allowed = format!("Cpus_allowed_list:\t{WORKER}\n");
        read(&t, "comm").trim() == "punctual-w0" && read(&t, "status").contains(&allowed)
    })
}

/// Runs it on the generator's core. On a thread of its own: a pinned main thread would hand its mask down to the next service, whose worker
/// then shares the generator's core.
fn on_core<T: Send>(offer: impl FnOnce() -> T + Send) -> T {
    let pinned = || {
        pin_current(CORE).unwrap();
        offer()
    };
    std::thread::scope(|s| s.spawn(pinned).join().unwrap())
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn main() {
    let quick = std::env::args().any(|a| a == "--quick");
    let (rounds, time) =
        if quick { (5, Duration::from_millis(200)) } else { (41, Duration::from_millis(400)) };
    let folder = tempfile::TempDir::new().unwrap();
    println!("{rounds} rounds of {time:?}, by turns; median (quartiles; least)");
    println!(
        "| driver | long answers a second, auto / off | auto beside off | chunk, us | beside the kernel, us a chunk | kernel time a long answer, ms, auto / off |"
    );
    println!("|---|---|---|---|---|---|");
    for io in ["mio", "uring"] {
        if io == "uring"
            && let Err(why) = try_uring()
        {
            println!("| {io} | not possible here: {why} | | | | |");
            continue;
        }
        let [auto, off] = ["auto", "off"].map(|chunk| Served::start(folder.path(), LAB, io, chunk));
        let (mut rates, mut each) = ([Vec::new(), Vec::new()], [Vec::new(), Vec::new()]);
        let (mut ratios, mut chunks, mut beside) = (Vec::new(), Vec::new(), Vec::new());
        for round in 0..rounds {
            let (a, o) = on_core(|| {
                if round % 2 == 0 {
                    let a = auto.measure(time);
                    (a, off.measure(time))
                } else {
                    let o = off.measure(time);
                    (auto.measure(time), o)
                }
            });
            let rate = |f: Figures| f.long * 1e6 / f.at_us;
            rates[0].push(rate(a));
            rates[1].push(rate(o));
            each[0].push(a.busy_us / 1e3 / a.long);
            each[1].push(o.busy_us / 1e3 / o.long);
            ratios.push(rate(a) / rate(o));
            chunks.push(a.busy_us / a.turns);
            beside.push((a.at_us - a.busy_us) / a.turns);
        }
        let [a, o] = rates.map(|r| quartiles(r)[1]);
        let [a_each, o_each] = each.map(|e| quartiles(e)[1]);
        let three = |values: Vec<f64>, digits: usize| {
            let least = values.iter().copied().fold(f64::INFINITY, f64::min);
            let [low, median, high] = quartiles(values);
            format!("{median:.digits$} ({low:.digits$} to {high:.digits$}; least {least:.digits$})")
        };
        println!(
            "| {io} | {a:.0} / {o:.0} | {} | {} | {} | {a_each:.3} / {o_each:.3} |",
            three(ratios, 3),
            three(chunks, 1),
            three(beside, 2)
        );
    }
    behind_real_work(folder.path(), rounds, time);
}

fn behind_real_work(folder: &Path, rounds: usize, time: Duration) {
    println!();
    println!(
        "| driver | chunk | short on time, of what came | a round, %, median (quartiles) | long answered, % |"
    );
    println!("|---|---|---|---|---|");
    let lab = real();
    let text = b"what is looked through holds none of them. ".repeat(LONGEST / 43 + 1);
    let text = &text[..LONGEST];
    for io in ["mio", "uring"] {
        if io == "uring" && try_uring().is_err() {
            continue;
        }
        let served = ["auto", "off"].map(|chunk| Served::start(folder, &lab, io, chunk));
        let mut sums = [[0.0; 3]; 2];
        let mut shares = [Vec::new(), Vec::new()];
        for round in 0..rounds {
            for which in if round % 2 == 0 { [0, 1] } else { [1, 0] } {
                let seen = on_core(|| served[which].behind_real_work(time, text));
                shares[which].push(100.0 * seen[1] / seen[0].max(1.0));
                (0..3).for_each(|i| sums[which][i] += seen[i]);
            }
        }
        for (chunk, (sum, shares)) in ["auto", "off"].iter().zip(sums.iter().zip(shares)) {
            let [low, median, high] = quartiles(shares);
            println!(
                "| {io} | {chunk} | {:.0} of {:.0} | {median:.1} ({low:.1} to {high:.1}) | {:.1} |",
                sum[1],
                sum[0],
                100.0 * sum[2] / sum[0].max(1.0)
            );
        }
    }
}
