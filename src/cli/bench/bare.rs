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

use crate::base::limits::DATAGRAM_MAX;
use crate::base::{KernelId, Nanos};
use crate::kernel::{Batch, Registry, Row, RowStatus};
use crate::packet::framed;
use crate::sys::affinity;
use crate::sys::clock::MonotonicClock;
use crate::sys::realtime;

/// How often it looks whether it is to stop.
const LOOK: Duration = Duration::from_millis(20);
/// The longest datagram: as long as a service may take.
const PAYLOAD_MAX: usize = DATAGRAM_MAX;
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
    /// Starts it on `core`, with the kernels that the service would have: that of each ingress. `framed` requests say by
    /// their kernel number which ingress they would have gone to; raw ones are all for the first.
    pub(super) fn start(
        core: usize,
        (kernels, of_ingress): (&Registry, Vec<KernelId>),
        framed: bool,
        priority: u8,
    ) -> io::Result<Self> {
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
            serve(&socket, (&kernels, &of_ingress), framed, &told);
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

fn serve(
    socket: &UdpSocket,
    (kernels, of_ingress): (&Registry, &[KernelId]),
    framed: bool,
    shared: &Shared,
) {
    let mut kernels = kernels.instantiate(1, &MonotonicClock);
    let mut bytes = vec![0; PAYLOAD_MAX];
    while !shared.stop.load(Ordering::Relaxed) {
        let Ok((len, peer)) = socket.recv_from(&mut bytes) else { continue };
        let (head, ingress) = if framed { head(&mut bytes[..len]) } else { (0, 0) };
        let Some(kernel) = of_ingress.get(ingress) else { continue };
        let (start, len, capacity) = (head, len - head, PAYLOAD_MAX - head);
        let mut rows = [Row { start, len, capacity, status: RowStatus::Done }];
        kernels.run(*kernel, &mut Batch::new(&mut bytes, &mut rows));
        if socket.send_to(&bytes[..head + rows[0].len], peer).is_ok() {
            shared.answered.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Turns a request's header into its answer's: its length, and the ingress that it names. What has none is answered whole.
fn head(datagram: &mut [u8]) -> (usize, usize) {
    let Ok((header, _)) = framed::Header::parse(datagram) else { return (0, 0) };
    let ingress = usize::from(header.kernel.get());
    framed::turn_into(datagram, framed::Kind::Answer, 0);
    (framed::LEN, ingress)
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::KernelSpec;
    use crate::packet::framed::{Header, Kind, LEN};
    use zerocopy::IntoBytes as _;

    /// Two kernels behind one socket: the header says whose a request is, and comes back with the answer.
    #[test]
    fn the_yardstick_runs_the_kernel_of_the_ingress_that_a_request_names() {
        let named = [("a", KernelSpec::Echo), ("b", KernelSpec::Crc32c)];
        let kernels = Registry::new(named.map(|(n, k)| (n.to_owned(), k)).into());
        let ids = vec![KernelId(0), KernelId(1)];
        let core = affinity::allowed_cores().expect("a mask")[0];
        let bare = Bare::start(core, (&kernels, ids), true, 0).expect("it starts");
        let client = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        client.set_read_timeout(Some(Duration::from_secs(20))).expect("a legal timeout");
        let mut bytes = [0; 64];
        for (ingress, answer) in [(0, 9), (1, 4)] {
            let mut header = Header::request(77);
            header.kernel = ingress.into();
            let request = [header.as_bytes(), b"123456789"].concat();
            client.send_to(&request, bare.address()).expect("loopback takes it");
            let len = client.recv(&mut bytes).expect("it answers");
            let (header, kind) = Header::parse(&bytes[..len]).expect("a header");
            assert_eq!((kind, header.request.get(), len), (Kind::Answer, 77, LEN + answer));
        }
        assert_eq!(bytes[LEN..LEN + 4], 0xe306_9283_u32.to_be_bytes(), "RFC 3720's check value");
    }
}
