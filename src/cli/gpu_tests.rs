//! A service with a device that follows a script, driven by real sockets: what its users see while it works, fails and hangs.

use std::collections::VecDeque;
use std::net::UdpSocket;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use super::options::{level_options, service_options};
use super::pages::Shown;
use crate::base::{KernelId, Nanos};
use crate::config;
use crate::kernel::RowStatus;
use crate::kernel::accel::{Accelerator, Ended, Health, Staged};
use crate::runtime::{GpuPlan, Opened, Service};
use crate::telemetry::{Snapshot, prometheus};

/// Gives batches back at once, as run.
const WORKS: u8 = 0;
/// Gives them back as lost.
const LOSES: u8 = 1;
/// Keeps them.
const HANGS: u8 = 2;
/// Takes none, and is down until it works again.
const DEAD: u8 = 3;
/// Runs them, a millisecond each.
const SLOW: u8 = 4;

const CONFIG: &str = r#"
[workers]
cores = [0]
[level]
mode = "trial"
[level.breaker]
gpu_cost_limit = 50.0
[[ingress]]
name = "raw"
listen = "127.0.0.1:0"
priority = "medium"
budget = "20s"
kernel = "work"
[kernel.work]
kind = "spin"
time = "200us"
[admin]
listen = "off"
"#;
const IN_A_BURST: u64 = 60;
const TIME_OUT: Nanos = Nanos::from_millis(20);

#[derive(Debug)]
struct Scripted {
    script: Arc<AtomicU8>,
    held: VecDeque<Box<Staged>>,
}

impl Scripted {
    fn does(&self) -> u8 {
        self.script.load(Ordering::Relaxed)
    }
}

impl Accelerator for Scripted {
    fn runs(&self, _: KernelId) -> bool {
        true
    }

    fn rows_max(&self) -> usize {
        32
    }

    fn in_flight_max(&self) -> usize {
        2
    }

    fn submit(&mut self, _: KernelId, staged: Box<Staged>) -> Result<(), Box<Staged>> {
        if self.does() == DEAD {
            return Err(staged);
        }
        self.held.push_back(staged);
        Ok(())
    }

    fn poll(&mut self, wait: Nanos, back: &mut dyn FnMut(Box<Staged>, Ended)) {
        let ended = match self.does() {
            WORKS => Ended::Run,
            SLOW => {
                std::thread::sleep(Duration::from_millis(1));
                Ended::Run
            }
            LOSES | DEAD => Ended::Lost,
            _ => return std::thread::sleep(wait.to_std()),
        };
        while let Some(mut staged) = self.held.pop_front() {
            if ended == Ended::Run {
                staged.parts().1.iter_mut().for_each(|row| row.status = RowStatus::Done);
            }
            back(staged, ended);
        }
    }

    fn health(&self) -> Health {
        if self.does() == DEAD { Health::Down } else { Health::Ready }
    }

    fn revive(&mut self) -> bool {
        self.does() != DEAD
    }
}

struct Rig {
    service: Arc<Service>,
    shown: Shown,
    script: Arc<AtomicU8>,
    socket: UdpSocket,
}

impl Rig {
    fn start() -> Self {
        Self::start_with(CONFIG)
    }

    fn start_with(config: &str) -> Self {
        let settings = config::parse("test.toml", config).expect("a good config").settings;
        let script = Arc::new(AtomicU8::new(WORKS));
        let mut options = service_options(&settings, 1);
        let followed = Arc::clone(&script);
        let plan = GpuPlan::new(level_options(&settings), move |_| {
            let script = Arc::clone(&followed);
            let device = Box::new(Scripted { script, held: VecDeque::new() });
            Ok(Opened { device, name: "a script".into(), fault: None })
        });
        options.gpu = Some(plan.with_time_out(TIME_OUT));
        let service = Arc::new(Service::start(options).expect("it starts"));
        let shown = Shown::new(&service, &settings);
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a port");
        Self { service, shown, script, socket }
    }

    fn follow(&self, script: u8) {
        self.script.store(script, Ordering::Relaxed);
    }

    fn burst(&self) {
        let to = self.service.addresses()[0];
        for n in 0..IN_A_BURST {
            self.socket.send_to(&n.to_be_bytes(), to).expect("sent");
        }
    }

    /// `/metrics`, after a look at the law.
    fn metrics(&self) -> String {
        let snapshot = self.shown.snapshot();
        is_lawful(&snapshot);
        prometheus::render(&Arc::new(snapshot)).expect("text")
    }

    fn figure(&self, series: &str) -> f64 {
        let text = self.metrics();
        let line = text.lines().find_map(|l| l.strip_prefix(series));
        let line = line.unwrap_or_else(|| panic!("no {series} in\n{text}"));
        line.trim().parse().expect("a number")
    }

    /// Sends bursts until the series has come to `least`.
    fn until(&self, series: &str, least: f64) {
        for _ in 0..400 {
            self.burst();
            std::thread::sleep(Duration::from_millis(15));
            if self.figure(series) >= least {
                return;
            }
        }
        panic!("{series} never came to {least}:\n{}", self.metrics());
    }

    /// The end: nothing is lost without a word.
    fn stop(self) {
        let stopped = self.service.stop(Nanos::from_secs(10));
        assert!(stopped.faults.is_empty(), "{:?}", stopped.faults);
        let last = self.shown.snapshot_of(stopped.figures);
        is_lawful(&last);
        for (_, _, cell) in last.cells() {
            assert_eq!(cell.get(crate::stats::Field::InFlight), 0);
        }
    }
}

fn is_lawful(snapshot: &Snapshot) {
    for (ingress, priority, cell) in snapshot.cells() {
        assert_eq!(cell.unaccounted(), 0, "{ingress} {priority}");
    }
}

const ROWS: &str = r#"punctual_backend_rows_total{worker="0",backend="gpu"}"#;

const KEPT: &str = r#"punctual_level_choices_total{worker="0",backend="cpu",reason="breaker"}"#;

fn state(word: &str) -> String {
    format!("punctual_breaker_state{{state=\"{word}\"}}")
}

#[test]
fn the_breaker_opens_tries_and_closes_and_every_state_is_seen() {
    let rig = Rig::start();
    rig.until(ROWS, 32.0);
    assert!(rig.figure(&state("closed")) > 0.0);
    rig.follow(LOSES);
    rig.until(&state("open"), 1.0);
    // The probe that follows a second later stays away for as long as is needed to see it.
    rig.follow(HANGS);
    rig.until(&state("half_open"), 1.0);
    rig.follow(WORKS);
    rig.until(&state("closed"), 1.0);
    for to in ["open", "half_open", "closed"] {
        assert!(rig.figure(&format!("punctual_breaker_transitions_total{{to=\"{to}\"}}")) >= 1.0);
    }
    assert!(rig.figure(KEPT) > 0.0);
    rig.stop();
}

/// No batch is lost: what opens it is what they cost, and no more than the limit is ever used.
#[test]
fn the_breaker_opens_by_cost() {
    let limit = 0.02;
    let rig = Rig::start_with(&CONFIG.replace("50.0", &limit.to_string()));
    rig.follow(SLOW);
    rig.until(&state("open"), 1.0);
    assert!(rig.figure("punctual_away_lost_total{worker=\"0\"}") < 1.0);
    let used = rig.figure(r#"punctual_breaker_window_seconds{of="used"}"#);
    assert!(used > limit / 2.0 && used < 10.0 * limit, "{used} s of {limit}");
    // Open it stays for as long as the minute holds what was used: the device runs nothing more, and the core does.
    let (there, kept) = (rig.figure(ROWS), KEPT);
    let before = rig.figure(kept);
    rig.until(kept, before + 1.0);
    assert!((rig.figure(ROWS) - there).abs() < 1.0);
    rig.stop();
}

/// A device that never answers, and whose own time-out does not help: packets do not wait for the drain.
#[test]
fn a_dispatch_past_its_time_out_is_given_up_and_its_packets_are_run_here() {
    let rig = Rig::start();
    rig.until(ROWS, 32.0);
    rig.follow(HANGS);
    rig.until("punctual_away_lost_total{worker=\"0\"}", 1.0);
    // With nothing more sent nothing is left in flight, although the device still has what it was given.
    for _ in 0..600 {
        let snapshot = rig.shown.snapshot();
        is_lawful(&snapshot);
        let in_flight = |(_, _, cell): (_, _, crate::stats::Cell<&crate::stats::CellWords>)| {
            cell.get(crate::stats::Field::InFlight)
        };
        if snapshot.cells().map(in_flight).sum::<u64>() == 0 {
            // It comes back after all, and is used again; nothing is counted twice.
            let before = rig.figure(ROWS);
            rig.follow(WORKS);
            rig.until(ROWS, before + 1.0);
            return rig.stop();
        }
        std::thread::sleep(Duration::from_millis(15));
    }
    panic!("packets wait for a device that never answers:\n{}", rig.metrics());
}

#[test]
fn a_device_that_dies_in_mid_run_takes_nothing_with_it() {
    let rig = Rig::start();
    rig.until(ROWS, 32.0);
    rig.follow(HANGS);
    rig.until(r#"punctual_backend_depth{backend="gpu"}"#, 1.0);
    rig.follow(DEAD);
    rig.until("punctual_away_lost_total{worker=\"0\"}", 1.0);
    assert!(rig.service.is_alive());
    let before = rig.figure(ROWS);
    rig.follow(WORKS);
    rig.until(ROWS, before + 1.0);
    rig.stop();
}

#[test]
fn a_service_without_the_device_it_was_to_have_runs_on_its_cores() {
    let settings = config::parse("test.toml", CONFIG).expect("a good config").settings;
    let mut options = service_options(&settings, 1);
    options.gpu = Some(GpuPlan::new(level_options(&settings), |_| Err("none is here".into())));
    let service = Service::start(options).expect("it starts all the same");
    assert_eq!(service.gpu(), None);
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a port");
    socket.set_read_timeout(Some(Duration::from_secs(10))).expect("a time-out");
    socket.send_to(b"answer", service.addresses()[0]).expect("sent");
    let mut bytes = [0; 16];
    assert_eq!(socket.recv(&mut bytes).expect("an answer"), 6);
}
