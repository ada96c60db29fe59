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
    /// The workers' cores, and those of `helpers` helpers: cores that no worker has. The last ones that this process may use
    /// where the workers take all others.
    ///
    /// # Errors
    /// [`CoresError`].
    pub fn resolve(&self, helpers: usize) -> Result<(Vec<usize>, Vec<usize>), CoresError> {
        let taken = match self {
            Self::Auto => None,
            Self::List(cores) if helpers == 0 => return Ok((cores.clone(), Vec::new())),
            Self::List(cores) => Some(&**cores),
        };
        let allowed = affinity::allowed_cores().map_err(CoresError::Unknown)?;
        let placed = affinity::with_helpers(&allowed, taken, helpers);
        placed.map_err(|left| CoresError::Helpers { asked: helpers, left })
    }
}

/// Why it is not known who runs where.
#[derive(Debug, thiserror::Error)]
pub enum CoresError {
    /// The process' own mask cannot be read.
    #[error("cannot read which cores this process may use: {0}")]
    Unknown(#[source] io::Error),
    /// There are fewer cores that no worker has.
    #[error("{asked} helpers: this process may use {left} cores that no worker needs")]
    Helpers {
        /// How many were asked for.
        asked: usize,
        /// How many there could be.
        left: usize,
    },
}

/// What a pinned thread asks of the operating system.
#[derive(Clone, Copy, Debug)]
pub(super) struct Placement {
    pub(super) core: usize,
    pub(super) realtime: Option<u8>,
}

impl Placement {
    /// No core of its own.
    pub(super) const ANYWHERE: usize = usize::MAX;

    /// Asks for it, on the thread itself, and says whether it has its core. What is refused is told, not swallowed: the service runs
    /// on, with worse tails.
    pub(super) fn take(self, role: &str, number: usize) -> bool {
        let wanted = self.core != Self::ANYWHERE;
        let pinned = wanted.then(|| affinity::pin_current(self.core));
        if let Some(Err(error)) = &pinned {
            tracing::warn!(role, number, core = self.core, %error, "{role} is not pinned");
        }
        if let Some(priority) = self.realtime
            && let Err(error) = realtime::request_fifo(i32::from(priority))
        {
            tracing::warn!(role, number, priority, %error, "{role} runs without real-time priority");
        }
        matches!(pinned, Some(Ok(())))
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

    /// The thread, to be woken.
    pub(super) fn handle(&self) -> std::thread::Thread {
        self.handle.thread().clone()
    }

    /// Wakes it, if it sleeps.
    pub(super) fn wake(&self) {
        self.handle.thread().unpark();
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
