//! Which driver this machine allows, found out by trying, with the reason in plain words.
//!
//! Knows nothing of configs: the wish is an argument.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};

use io_uring::{Probe, opcode};

use super::driver::{Driver, DriverKind, Part, SocketSpec, TxBatch, TxMessage};
use super::uring::{UringDriver, new_ring};
use crate::base::{Clock, Nanos, SocketId};
use crate::sys::clock::MonotonicClock;
use crate::sys::socket::{UdpOptions, open};

/// The driver to use, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Choice {
    /// Which.
    pub kind: DriverKind,
    /// One line for the log.
    pub reason: String,
}

/// Why io_uring cannot be used here.
#[derive(Debug, thiserror::Error)]
pub enum UringUnavailable {
    /// The kernel refused to make a ring.
    #[error("io_uring_setup: {}", setup_reason(.0))]
    Setup(#[source] io::Error),
    /// The kernel's io_uring lacks something that the driver needs.
    #[error("io_uring lacks {0}: the kernel is older than 6.1")]
    Lacks(&'static str),
    /// A ring could be made, but a datagram did not come through it.
    #[error("the io_uring self-test failed: {0}")]
    SelfTest(String),
}

/// Chooses the driver: the one that was asked for, or the better one that works.
///
/// Tries io_uring for real: a ring with the driver's flags, its operations, and an echo over the loopback device. Takes a
/// few milliseconds; for the start of the process.
///
/// # Errors
/// When `uring` was asked for by name and cannot be used: never a silent fallback.
pub fn choose(requested: Option<DriverKind>) -> Result<Choice, UringUnavailable> {
    let chosen = |kind, reason: String| Ok(Choice { kind, reason });
    match requested {
        Some(DriverKind::Mio) => chosen(DriverKind::Mio, "mio, as configured".to_owned()),
        Some(DriverKind::Uring) => {
            try_uring()?;
            chosen(DriverKind::Uring, "uring, as configured".to_owned())
        }
        None => match try_uring() {
            Ok(()) => chosen(
                DriverKind::Uring,
                "this kernel allows io_uring with all that is needed; using uring".to_owned(),
            ),
            Err(why) => chosen(DriverKind::Mio, format!("{why}; using mio")),
        },
    }
}

/// Whether io_uring works here.
///
/// # Errors
/// What stands in the way.
pub fn try_uring() -> Result<(), UringUnavailable> {
    let ring = new_ring(8, 16).map_err(UringUnavailable::Setup)?;
    let params = ring.params();
    for (present, name) in [
        (params.is_feature_nodrop(), "completions that are kept on overflow"),
        (params.is_feature_ext_arg(), "waits with a timeout"),
        (params.is_feature_skip_cqe_on_success(), "sends without a completion"),
    ] {
        if !present {
            return Err(UringUnavailable::Lacks(name));
        }
    }
    let mut probe = Probe::new();
    ring.submitter().register_probe(&mut probe).map_err(UringUnavailable::Setup)?;
    for (code, name) in [
        (opcode::RecvMsgMulti::CODE, "recvmsg"),
        (opcode::SendMsg::CODE, "sendmsg"),
        (opcode::AsyncCancel::CODE, "cancels"),
    ] {
        if !probe.is_supported(code) {
            return Err(UringUnavailable::Lacks(name));
        }
    }
    drop(ring);
    self_test().map_err(UringUnavailable::SelfTest)
}

/// Two datagrams to ourselves by the driver: an empty one, which ends a multishot receive, and one behind it.
fn self_test() -> Result<(), String> {
    const PATIENCE: Nanos = Nanos::from_secs(1);
    let options = UdpOptions { timestamps: true, tos: true, ..UdpOptions::default() };
    let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let opened = open(any, &options).map_err(|e| e.to_string())?;
    let to = opened.socket.local_addr().map_err(|e| e.to_string())?;
    let (gro, gso) = (opened.gro, opened.gso);
    let spec = SocketSpec { socket: opened.socket, wants_local: false, gro, gso };
    let step = |what: &'static str| move |e: io::Error| format!("{what}: {e}");
    let mut driver = UringDriver::new(vec![spec], 64).map_err(step("registering"))?;
    let send =
        |parts| TxMessage { socket: SocketId(0), to: Some(to), from: None, segment: 0, parts };
    let batch =
        TxBatch { messages: vec![send(0..0), send(0..1)], parts: vec![Part { start: 0, len: 4 }] };
    let mut failed = Vec::new();
    driver.transmit(b"ping", &batch, &mut failed).map_err(step("sending"))?;
    if let Some(failure) = failed.first() {
        return Err(format!("sending: {:?}", failure.error));
    }
    let until = MonotonicClock.now() + PATIENCE;
    let (mut empty, mut full) = (false, false);
    while !(empty && full) {
        let now = MonotonicClock.now();
        if now > until {
            return Err("a datagram did not arrive on the loopback device".to_owned());
        }
        driver
            .receive(now, &[8], &mut |r| {
                empty |= r.bytes.is_empty();
                full |= r.bytes == b"ping";
            })
            .map_err(step("receiving"))?;
        if !(empty && full) {
            driver.wait(Nanos::from_millis(5)).map_err(step("waiting"))?;
        }
    }
    Ok(())
}

/// What an error of `io_uring_setup` means to the person who reads it.
fn setup_reason(error: &io::Error) -> String {
    match error.raw_os_error() {
        Some(libc::EPERM) => match std::fs::read_to_string("/proc/sys/kernel/io_uring_disabled") {
            Ok(level) if level.trim() != "0" => {
                format!("EPERM: switched off here by kernel.io_uring_disabled = {}", level.trim())
            }
            _ => "EPERM: forbidden here, as in most containers (seccomp)".to_owned(),
        },
        Some(libc::ENOSYS) => "ENOSYS: this kernel or sandbox has none".to_owned(),
        Some(libc::EINVAL) => "EINVAL: the kernel is older than 6.1".to_owned(),
        Some(libc::ENOMEM) => "ENOMEM: not enough memory may be locked".to_owned(),
        _ => error.to_string(),
    }
}

#[cfg(test)]
#[expect(unsafe_code, reason = "a seccomp filter makes this thread's machine one without io_uring")]
mod tests {
    use super::*;

    /// Lets `io_uring_setup` fail with `errno` on the calling thread, as a container's seccomp profile does.
    fn forbid_io_uring(errno: i32) {
        const RETURN_ERRNO: u32 = 0x0005_0000;
        const RETURN_ALLOW: u32 = 0x7fff_0000;
        let number = u32::try_from(libc::SYS_io_uring_setup).unwrap();
        let f = |code: u32, k, jt, jf| libc::sock_filter {
            code: u16::try_from(code).unwrap(),
            jt,
            jf,
            k,
        };
        let mut filter = [
            f(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0, 0),
            f(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, number, 0, 1),
            f(libc::BPF_RET | libc::BPF_K, RETURN_ERRNO | errno.cast_unsigned(), 0, 0),
            f(libc::BPF_RET | libc::BPF_K, RETURN_ALLOW, 0, 0),
        ];
        let program = libc::sock_fprog { len: 4, filter: filter.as_mut_ptr() };
        // SAFETY: takes plain numbers.
        let rc = unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) };
        assert_eq!(rc, 0);
        // SAFETY: the program and its four instructions are readable for the time of the call.
        let rc = unsafe {
            libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const program)
        };
        assert_eq!(rc, 0, "{}", io::Error::last_os_error());
    }

    #[test]
    fn where_it_is_forbidden_mio_is_chosen_and_says_so() {
        for (errno, word) in [(libc::EPERM, "EPERM"), (libc::ENOSYS, "ENOSYS")] {
            std::thread::scope(|s| {
                s.spawn(|| {
                    forbid_io_uring(errno);
                    let auto = choose(None).unwrap();
                    assert_eq!(auto.kind, DriverKind::Mio);
                    assert!(auto.reason.starts_with("io_uring_setup: "), "{}", auto.reason);
                    assert!(auto.reason.contains(word), "{}", auto.reason);
                    assert!(auto.reason.ends_with("; using mio"), "{}", auto.reason);

                    let error = choose(Some(DriverKind::Uring)).unwrap_err();
                    assert!(error.to_string().contains(word), "never a silent fallback: {error}");
                    assert_eq!(choose(Some(DriverKind::Mio)).unwrap().kind, DriverKind::Mio);
                });
            });
        }
    }

    #[test]
    fn the_choice_is_what_can_be_had() {
        let auto = choose(None).unwrap();
        assert_eq!(auto.kind == DriverKind::Uring, try_uring().is_ok(), "{}", auto.reason);
    }
}
