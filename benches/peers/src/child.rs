//! A server as a process of its own: a whole program as it is, without a hook for whoever measures it.
//!
//! Knows nothing of what it serves.

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::Context as _;
use rustix::process::Pid;

use crate::servers::Kind;

/// A running server, ended when dropped.
#[derive(Debug)]
pub(crate) struct Server {
    child: Child,
    clock: libc::clockid_t,
    /// Its ports, in the order in which it named them.
    pub(crate) addresses: Vec<SocketAddr>,
    /// What it was configured by.
    _config: Option<tempfile::NamedTempFile>,
}

impl Server {
    /// Starts one of the peers from this very program.
    pub(crate) fn peer(kind: Kind, args: &[String]) -> anyhow::Result<Self> {
        use clap::ValueEnum as _;
        let name = kind.to_possible_value().context("a kind has a name")?;
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("serve").arg(name.get_name()).args(args);
        Self::start(command, None)
    }

    /// Starts the service with that config.
    pub(crate) fn ours(program: &Path, config: &str) -> anyhow::Result<Self> {
        let file = tempfile::NamedTempFile::with_suffix(".toml")?;
        std::fs::write(file.path(), config)?;
        let mut command = Command::new(program);
        command.arg("serve").arg("-c").arg(file.path()).env("RUST_LOG", "error");
        Self::start(command, Some(file))
    }

    fn start(
        mut command: Command,
        config: Option<tempfile::NamedTempFile>,
    ) -> anyhow::Result<Self> {
        let what = format!("{command:?}");
        let mut child =
            command.stdout(Stdio::piped()).spawn().with_context(|| format!("start {what}"))?;
        let pid = Pid::from_child(&child);
        let mut line = String::new();
        let out = child.stdout.take().context("standard output is a pipe")?;
        let mut out = BufReader::new(out);
        out.read_line(&mut line)?;
        let words = line.strip_prefix("ready ").with_context(|| format!("{what} is not ready"))?;
        let addresses = words.split_whitespace().filter_map(|w| w.split_once('=')?.1.parse().ok());
        let addresses = addresses.collect();
        // What it still says goes nowhere, but it must not be told that nobody listens.
        child.stdout = Some(out.into_inner());
        Ok(Self { clock: clock_of(pid)?, child, addresses, _config: config })
    }

    /// CPU time of all its threads since its start, exact while none of them runs.
    pub(crate) fn cpu(&self) -> Duration {
        let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        // SAFETY: writes one timespec; the clock is that of a child which is not yet waited for.
        unsafe { libc::clock_gettime(self.clock, &raw mut time) };
        Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
    }
}

fn clock_of(pid: Pid) -> anyhow::Result<libc::clockid_t> {
    let mut clock = 0;
    // SAFETY: writes one number.
    let fault = unsafe { libc::clock_getcpuclockid(pid.as_raw_nonzero().get(), &raw mut clock) };
    anyhow::ensure!(fault == 0, "no CPU clock for process {}", pid.as_raw_nonzero());
    Ok(clock)
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
