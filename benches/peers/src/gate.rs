//! Keeps the servers off their core until it is their turn.
//!
//! Knows no servers: a thread of real-time priority occupies their core while a window is sent, and leaves it while they
//! answer. Whole programs can so be measured saturated, window by window, without a hook in any of them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread::JoinHandle;

use crate::pin;

/// The least real-time priority is above all ordinary threads.
const PRIORITY: i32 = 1;

const OPEN: u32 = 0;
const SHUT: u32 = 1;
const END: u32 = 2;

#[derive(Debug, Default)]
struct Shared {
    wish: AtomicU32,
    shut: AtomicBool,
}

/// Shut from its start; open again for good when dropped.
#[derive(Debug)]
pub(crate) struct Gate {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl Gate {
    /// Occupies `core`.
    pub(crate) fn shut_on(core: usize) -> anyhow::Result<Self> {
        let shared = Arc::new(Shared { wish: AtomicU32::new(SHUT), ..Shared::default() });
        let (tell, started) = std::sync::mpsc::channel();
        let seen = Arc::clone(&shared);
        let thread = std::thread::spawn(move || {
            let ready = pin(core).and_then(|()| be_realtime());
            let works = ready.is_ok();
            let _ = tell.send(ready);
            if works {
                occupy(&seen);
            }
        });
        started.recv()??;
        let gate = Self { shared, thread: Some(thread) };
        gate.shut();
        Ok(gate)
    }

    /// Lets the servers run.
    pub(crate) fn open(&self) {
        self.shared.wish.store(OPEN, Ordering::Release);
    }

    /// Stops them: when this returns, none of them runs.
    pub(crate) fn shut(&self) {
        self.shared.wish.store(SHUT, Ordering::Release);
        if let Some(thread) = &self.thread {
            thread.thread().unpark();
        }
        while !self.shared.shut.load(Ordering::Acquire) {
            std::hint::spin_loop();
        }
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.shared.wish.store(END, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            let _ = thread.join();
        }
    }
}

fn occupy(shared: &Shared) {
    loop {
        match shared.wish.load(Ordering::Acquire) {
            OPEN => {
                shared.shut.store(false, Ordering::Release);
                std::thread::park();
            }
            SHUT => {
                shared.shut.store(true, Ordering::Release);
                std::hint::spin_loop();
            }
            _ => return,
        }
    }
}

fn be_realtime() -> anyhow::Result<()> {
    let wish = libc::sched_param { sched_priority: PRIORITY };
    // SAFETY: reads one structure; 0 is this thread.
    let fault = unsafe { libc::sched_setscheduler(0, libc::SCHED_FIFO, &raw const wish) };
    anyhow::ensure!(fault == 0, std::io::Error::last_os_error());
    Ok(())
}
