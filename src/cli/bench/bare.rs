//! The yardstick: the plainest service that does the same work, one thread that receives, works and answers.
//!
//! Knows no deadline and keeps no figures. What it reaches in a round tells what this machine was worth in that round, so
//! results of two days can be compared by their ratios to it.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::base::{KernelId, Nanos};
use crate::kernel::{Batch, Registry, Row, RowStatus};
use crate::sys::affinity;
use crate::sys::clock::MonotonicClock;
use crate::sys::realtime;

/// How often it looks whether it is to stop.
const LOOK: Duration = Duration::from_millis(20);
const PAYLOAD_MAX: usize = 2_048;
/// Its name, by which the time that others took from it is asked for.
pub(super) const THREAD: &str = "punctual-bare";

#[derive(Debug, Default)]
struct Shared {
    stop: AtomicBool,
    answered: AtomicU64,
}

/// A running yardstick.
#[derive(Debug)]
pub(in crate::cli) struct Bare {
    address: SocketAddr,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl Bare {
    /// Starts it on `core`, with the kernels that the service would have.
    pub(super) fn start(core: usize, kernels: &Registry, priority: u8) -> io::Result<Self> {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
        socket.set_read_timeout(Some(LOOK))?;
        let address = socket.local_addr()?;
        let shared = Arc::new(Shared::default());
        let (told, kernels) = (Arc::clone(&shared), kernels.clone());
        let thread = std::thread::Builder::new().name(THREAD.to_owned()).spawn(move || {
            // As with the service: a refusal shows in the result, and the noise probe tells why.
            let _ = affinity::pin_current(core);
            if priority > 0 {
                let _ = realtime::request_fifo(i32::from(priority));
            }
            serve(&socket, &kernels, &told);
        })?;
        Ok(Self { address, shared, thread: Some(thread) })
    }

    pub(super) const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers since the start.
    pub(super) fn answered(&self) -> u64 {
        self.shared.answered.load(Ordering::Relaxed)
    }
}

impl Drop for Bare {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn serve(socket: &UdpSocket, kernels: &Registry, shared: &Shared) {
    let mut kernels = kernels.instantiate(1, &MonotonicClock);
    let mut bytes = [0; PAYLOAD_MAX];
    while !shared.stop.load(Ordering::Relaxed) {
        let Ok((len, peer)) = socket.recv_from(&mut bytes) else { continue };
        let mut rows = [Row { start: 0, len, capacity: PAYLOAD_MAX, status: RowStatus::Done }];
        kernels.run(KernelId(0), &mut Batch::new(&mut bytes, &mut rows));
        if socket.send_to(&bytes[..rows[0].len], peer).is_ok() {
            shared.answered.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// What it reached and what the service reached, in one round.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub(in crate::cli) struct Capacity {
    pub(in crate::cli) round: u32,
    /// Answers a second of the service when it is never without work and drops nothing by choice.
    pub(in crate::cli) service: f64,
    /// The same of the yardstick; none for servers that are not ours.
    pub(in crate::cli) bare: Option<f64>,
    /// Both were measured without too much noise.
    pub(in crate::cli) sound: bool,
}

/// The rounds that were not disturbed; all when all were.
pub(in crate::cli) fn sound(all: &[Capacity]) -> Vec<Capacity> {
    let sound: Vec<Capacity> = all.iter().copied().filter(|c| c.sound).collect();
    if sound.is_empty() { all.to_vec() } else { sound }
}

/// How long each is loaded to find that out.
pub(super) fn capacity_run(quick: bool) -> Nanos {
    Nanos::from_millis(if quick { 400 } else { 1_000 })
}
