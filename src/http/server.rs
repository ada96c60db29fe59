//! The server's thread: accepts within bounds, answers, and ends when told to.
//!
//! Knows no page.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::num::NonZeroUsize;
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpStream;
use tokio::runtime::Runtime;
use tokio::sync::oneshot;
use tokio::task::JoinSet;

use super::guard;
use super::pages::{Pages, router};

/// Bounds of the server.
#[derive(Clone, Copy, Debug)]
struct Limits {
    /// Connections at one time; more wait in the kernel's accept queue.
    connections: NonZeroUsize,
    /// The whole life of a connection: request, page and answer. One request a connection, so that this one bound holds
    /// slow senders and slow readers alike.
    connection_life: Duration,
    /// The request line with all headers, bytes.
    header_bytes: usize,
    /// Pages being made at one time.
    makers: usize,
    /// How long answers under way may still take when the server stops, and then how long pages being made may.
    grace: Duration,
    /// The pause after an accept that failed, for instance because no file descriptor was free.
    accept_pause: Duration,
}

const LIMITS: Limits = Limits {
    connections: NonZeroUsize::new(64).expect("not zero"),
    connection_life: Duration::from_secs(10),
    header_bytes: 16 * 1024,
    makers: 2,
    grace: Duration::from_millis(250),
    accept_pause: Duration::from_millis(100),
};

/// A running admin server. Dropping it tells its thread to end; [`AdminServer::stop`] also waits for that.
#[derive(Debug)]
pub struct AdminServer {
    local_addr: SocketAddr,
    /// Taken or dropped to stop.
    stop: oneshot::Sender<()>,
    thread: JoinHandle<()>,
}

impl AdminServer {
    /// Binds `addr`, which must be a loopback address (port 0 picks a free one), and serves `pages` on a thread named
    /// `punctual-admin`. Call it from a thread that is not pinned: the new threads inherit its set of cores.
    ///
    /// # Errors
    /// When the address is no loopback address or is taken, or the thread cannot be made; the message names the address.
    pub fn start(addr: SocketAddr, pages: Pages) -> io::Result<Self> {
        Self::start_within(addr, pages, LIMITS)
    }

    fn start_within(addr: SocketAddr, pages: Pages, limits: Limits) -> io::Result<Self> {
        let fault = |e: io::Error| io::Error::new(e.kind(), format!("admin on {addr}: {e}"));
        let listener = bind(addr).map_err(fault)?;
        let local_addr = listener.local_addr().map_err(fault)?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .max_blocking_threads(limits.makers)
            .thread_name("punctual-page")
            .build()
            .map_err(fault)?;
        let (stop, stopped) = oneshot::channel();
        let listener = {
            // The listener joins the runtime's poll set, so it has to be made within it.
            let _within = runtime.enter();
            tokio::net::TcpListener::from_std(listener).map_err(fault)?
        };
        let thread = Builder::new()
            .name("punctual-admin".to_owned())
            .spawn(move || run(runtime, listener, router(pages), stopped, limits))
            .map_err(fault)?;
        Ok(Self { local_addr, stop, thread })
    }

    /// The address it listens on, with the port that was picked.
    #[must_use]
    pub const fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// Ends the server and waits for its thread: at most half a second, whatever clients do and however long a page takes.
    pub fn stop(self) {
        // A thread that has already ended takes no message, and there is nothing left to tell it.
        let _ = self.stop.send(());
        let _ = self.thread.join();
    }
}

fn bind(addr: SocketAddr) -> io::Result<TcpListener> {
    if !guard::is_loopback(addr.ip()) {
        let message = "not a loopback address; the admin pages have no password";
        return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
    }
    let listener = TcpListener::bind(addr)?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

fn run(
    runtime: Runtime,
    listener: tokio::net::TcpListener,
    router: Router,
    stopped: oneshot::Receiver<()>,
    limits: Limits,
) {
    runtime.block_on(serve(listener, &router, stopped, limits));
    runtime.shutdown_timeout(limits.grace);
}

async fn serve(
    listener: tokio::net::TcpListener,
    router: &Router,
    mut stopped: oneshot::Receiver<()>,
    limits: Limits,
) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            biased;
            _ = &mut stopped => break,
            Some(_) = connections.join_next() => {}
            accepted = listener.accept(), if connections.len() < limits.connections.get() => {
                match accepted {
                    Ok((stream, _)) => {
                        connections.spawn(answer(stream, router.clone(), limits));
                    }
                    Err(e) => {
                        tracing::warn!("admin: a connection could not be accepted: {e}");
                        tokio::time::sleep(limits.accept_pause).await;
                    }
                }
            }
        }
    }
    drop(listener);
    let rest = async { while connections.join_next().await.is_some() {} };
    // What has not ended by then is cut off.
    let _ = tokio::time::timeout(limits.grace, rest).await;
}

async fn answer(stream: TcpStream, router: Router, limits: Limits) {
    let connection = http1::Builder::new()
        .keep_alive(false)
        .max_buf_size(limits.header_bytes.max(8 * 1024))
        .max_header_size(limits.header_bytes)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    // A client that goes away or breaks the protocol is its own affair; one that is slow is cut off.
    let _ = tokio::time::timeout(limits.connection_life, connection).await;
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpStream;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::sync::{Arc, mpsc};

    use super::*;
    use crate::http::pages::Page;

    fn pages() -> Pages {
        Pages {
            metrics: Box::new(|| Page::ok("application/openmetrics-text", "# EOF\n".to_owned())),
            stats: Box::new(|| Page::json("{\"version\":1}".to_owned())),
            plan: Box::new(|| Page::problem(503, "no plan yet")),
            config: Box::new(|| panic!("a page that fails, on purpose")),
            ready: Box::new(|| true),
        }
    }

    fn start(pages: Pages) -> AdminServer {
        AdminServer::start("127.0.0.1:0".parse().unwrap(), pages).unwrap()
    }

    fn connect(server: &AdminServer) -> TcpStream {
        let stream = TcpStream::connect(server.local_addr()).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        stream
    }

    /// Sends the bytes and reads to the end.
    fn raw(server: &AdminServer, request: &str) -> String {
        let mut stream = connect(server);
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    fn get(server: &AdminServer, path: &str) -> (u16, String, String) {
        split(&raw(server, &format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n")))
    }

    /// Status, head in small letters, body.
    fn split(answer: &str) -> (u16, String, String) {
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        (status, head.to_lowercase(), body.to_owned())
    }

    #[test]
    fn every_page_is_served() {
        let server = start(pages());
        for (path, status, kind, body) in [
            ("/healthz", 200, "text/plain; charset=utf-8", "ok\n"),
            ("/readyz", 200, "text/plain; charset=utf-8", "ready\n"),
            ("/metrics", 200, "application/openmetrics-text", "# EOF\n"),
            ("/stats?x=1", 200, "application/json", "{\"version\":1}"),
            ("/plan", 503, "text/plain; charset=utf-8", "no plan yet\n"),
            ("/config", 500, "text/plain; charset=utf-8", "the page could not be made\n"),
        ] {
            let (got, head, text) = get(&server, path);
            assert_eq!((got, text.as_str()), (status, body), "{path}");
            assert!(head.contains(&format!("\r\ncontent-type: {kind}\r\n")), "{path}: {head}");
            assert!(head.contains("\r\ncache-control: no-store"), "{path}: {head}");
            assert!(head.contains("\r\nx-content-type-options: nosniff"), "{path}: {head}");
            assert!(!head.contains("access-control"), "{path}: {head}");
        }
        let (status, head, body) = get(&server, "/");
        assert_eq!(status, 200);
        assert!(head.contains("default-src 'none'"), "{head}");
        assert!(!body.contains("://"), "the page asks nobody else");
        assert!(!body.contains("innerHTML"), "what comes from outside only becomes text");
        server.stop();
    }

    #[test]
    fn readiness_is_asked_each_time() {
        let ready = Arc::new(AtomicBool::new(false));
        let asked = Arc::clone(&ready);
        let server =
            start(Pages { ready: Box::new(move || asked.load(Ordering::SeqCst)), ..pages() });
        assert_eq!(get(&server, "/readyz").0, 503);
        ready.store(true, Ordering::SeqCst);
        assert_eq!(get(&server, "/readyz").0, 200);
        server.stop();
    }

    #[test]
    fn strangers_and_strays_are_told_why() {
        let server = start(pages());
        let (status, _, body) = get(&server, "/nowhere");
        assert_eq!(status, 404);
        assert!(body.contains("/healthz /readyz /metrics /stats /plan /config"), "{body}");
        let post = "POST /stats HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n";
        let (status, head, _) = split(&raw(&server, post));
        assert_eq!(status, 405);
        assert!(head.contains("\r\nallow: get,head"), "{head}");
        for lines in
            ["Host: evil.example", "Host: localhost\r\nOrigin: http://evil.example", "X: y"]
        {
            for path in ["/stats", "/nowhere", "/healthz"] {
                let request = format!("GET {path} HTTP/1.1\r\n{lines}\r\n\r\n");
                let (status, _, body) = split(&raw(&server, &request));
                assert_eq!(status, 403, "{request}");
                assert!(body.contains("Host"), "{body}");
            }
        }
        let head = split(&raw(&server, "HEAD /stats HTTP/1.1\r\nHost: [::1]:9\r\n\r\n"));
        assert_eq!((head.0, head.2.as_str()), (200, ""));
        server.stop();
    }

    #[test]
    fn long_headers_are_refused() {
        let server = start(pages());
        let ask = |bytes| {
            let x = "x".repeat(bytes);
            split(&raw(&server, &format!("GET / HTTP/1.1\r\nHost: localhost\r\nX: {x}\r\n\r\n"))).0
        };
        assert_eq!(ask(15 * 1024), 200);
        assert_eq!(ask(16 * 1024), 431);
        server.stop();
    }

    #[test]
    fn a_slow_client_is_cut_off_and_its_place_goes_to_the_next() {
        let limits = Limits {
            connections: NonZeroUsize::new(2).unwrap(),
            connection_life: Duration::from_millis(200),
            ..LIMITS
        };
        let addr = "127.0.0.1:0".parse().unwrap();
        let server = AdminServer::start_within(addr, pages(), limits).unwrap();
        let mut slow = [connect(&server), connect(&server)];
        for s in &mut slow {
            s.write_all(b"GET / HTTP/1.1\r\nHost: loc").unwrap();
        }
        // Both places are taken, so this waits in the accept queue until they fall free.
        assert_eq!(get(&server, "/healthz").0, 200);
        for s in &mut slow {
            let mut rest = Vec::new();
            s.read_to_end(&mut rest).unwrap();
            assert!(rest.is_empty(), "cut off without an answer");
        }
        server.stop();
    }

    #[test]
    fn pages_that_wait_hold_up_neither_health_nor_the_end() {
        let (begun, has_begun) = mpsc::sync_channel(8);
        let (release, held) = mpsc::channel::<()>();
        let held = std::sync::Mutex::new(held);
        let stats = move || {
            begun.send(()).unwrap();
            let _ = held.lock().unwrap().recv();
            Page::json("{}".to_owned())
        };
        let server = start(Pages { stats: Box::new(stats), ..pages() });
        let mut waiting = connect(&server);
        waiting.write_all(b"GET /stats HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
        has_begun.recv().unwrap();
        assert_eq!(get(&server, "/healthz").0, 200);

        let addr = server.local_addr();
        let (ended, has_ended) = mpsc::channel();
        std::thread::scope(|s| {
            s.spawn(|| {
                server.stop();
                ended.send(()).unwrap();
            });
            has_ended.recv_timeout(Duration::from_secs(1)).expect("stops within a second");
        });
        assert!(TcpStream::connect(addr).is_err(), "nobody listens any more");
        drop(release);
    }

    #[test]
    fn an_answer_under_way_is_finished_before_the_end() {
        let (begun, has_begun) = mpsc::sync_channel(8);
        let (release, held) = mpsc::channel::<()>();
        let held = std::sync::Mutex::new(held);
        let stats = move || {
            begun.send(()).unwrap();
            let _ = held.lock().unwrap().recv();
            Page::json("{}".to_owned())
        };
        let limits = Limits { grace: Duration::from_secs(20), ..LIMITS };
        let addr = "127.0.0.1:0".parse().unwrap();
        let pages = Pages { stats: Box::new(stats), ..pages() };
        let server = AdminServer::start_within(addr, pages, limits).unwrap();
        let addr = server.local_addr();
        std::thread::scope(|s| {
            let mut stream = connect(&server);
            stream.write_all(b"GET /stats HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
            has_begun.recv().unwrap();
            let stopping = s.spawn(|| server.stop());
            while TcpStream::connect(addr).is_ok() {}
            release.send(()).unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).unwrap();
            assert_eq!(split(&answer).2, "{}");
            stopping.join().unwrap();
        });
    }

    #[test]
    fn a_dropped_server_ends_too() {
        let AdminServer { local_addr, stop, thread } = start(pages());
        drop(stop);
        thread.join().unwrap();
        assert!(TcpStream::connect(local_addr).is_err());
    }

    #[test]
    fn faults_at_the_start_name_the_address() {
        let server = start(pages());
        let taken = AdminServer::start(server.local_addr(), pages()).unwrap_err();
        assert_eq!(taken.kind(), io::ErrorKind::AddrInUse);
        assert!(taken.to_string().contains(&server.local_addr().to_string()), "{taken}");
        server.stop();
        let open = AdminServer::start("0.0.0.0:0".parse().unwrap(), pages()).unwrap_err();
        assert_eq!(open.kind(), io::ErrorKind::InvalidInput);
        assert!(open.to_string().starts_with("admin on 0.0.0.0:0: not a loopback"), "{open}");
    }
}
