//! Threads with a name, a core and an end that can be waited for.

use std::io;
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::thread::JoinHandle;

use crate::base::Nanos;
use crate::sys::{affinity, realtime};

/// Where workers run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cores {
    /// One worker on each core that this process may use.
    Auto,
    /// One worker on each of these.
    List(Vec<usize>),
}

impl Cores {
    /// The cores, one for each worker.
    ///
    /// # Errors
    /// When the process' own mask cannot be read.
    pub fn resolve(&self) -> io::Result<Vec<usize>> {
        match self {
            Self::Auto => affinity::allowed_cores(),
            Self::List(cores) => Ok(cores.clone()),
        }
    }
}

/// What a worker thread asks of the operating system.
#[derive(Clone, Copy, Debug)]
pub(super) struct Placement {
    pub(super) core: usize,
    pub(super) realtime: Option<u8>,
}

impl Placement {
    /// Asks for it, on the thread itself. What is refused is told, not swallowed: the service runs on, with worse tails.
    pub(super) fn take(self, worker: usize) {
        if let Err(error) = affinity::pin_current(self.core) {
            tracing::warn!(worker, core = self.core, %error, "worker is not pinned");
        }
        if let Some(priority) = self.realtime
            && let Err(error) = realtime::request_fifo(i32::from(priority))
        {
            tracing::warn!(worker, priority, %error, "worker runs without real-time priority");
        }
    }
}

/// A thread that tells when it ends.
#[derive(Debug)]
pub(super) struct Thread<T> {
    handle: JoinHandle<()>,
    result: Receiver<T>,
}

impl<T: Send + 'static> Thread<T> {
    /// Starts a named thread.
    pub(super) fn spawn(
        name: String,
        run: impl FnOnce() -> T + Send + 'static,
    ) -> io::Result<Self> {
        let (tell, result) = sync_channel(1);
        let body = move || {
            let _ = tell.send(run());
        };
        let handle = std::thread::Builder::new().name(name).spawn(body)?;
        Ok(Self { handle, result })
    }

    /// Waits for its end, at most `within`. `Err(true)`: it panicked; `Err(false)`: it runs on.
    pub(super) fn join(self, within: Nanos) -> Result<T, bool> {
        match self.result.recv_timeout(within.to_std()) {
            Ok(result) => {
                let _ = self.handle.join();
                Ok(result)
            }
            Err(RecvTimeoutError::Disconnected) => Err(true),
            Err(RecvTimeoutError::Timeout) => Err(false),
        }
    }

    /// Whether it has ended.
    pub(super) fn is_finished(&self) -> bool {
        self.handle.is_finished()
    }
}
