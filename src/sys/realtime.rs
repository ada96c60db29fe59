//! Real-time options of a thread and of the process: first-in-first-out scheduling, locked memory.
//!
//! Knows nothing of which thread deserves them.

#![expect(unsafe_code, reason = "sched_setscheduler has no safe wrapper among our dependencies")]

use std::io;

use rustix::mm::{MlockAllFlags, mlockall};

/// Asks for `SCHED_FIFO` with this priority (1 to 99) for the calling thread.
///
/// The kernel's fair server still gives ordinary tasks about 50 ms a second on a busy core: a FIFO thread that never
/// sleeps sees a hole of that length.
///
/// # Errors
/// `PermissionDenied` without `CAP_SYS_NICE` or a sufficient `RLIMIT_RTPRIO`; `InvalidInput` for another priority.
pub fn request_fifo(priority: i32) -> io::Result<()> {
    let param = libc::sched_param { sched_priority: priority };
    // SAFETY: `param` is a valid sched_param for the time of the call; 0 is the calling thread.
    let rc = unsafe { libc::sched_setscheduler(0, libc::SCHED_FIFO, &raw const param) };
    if rc == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Locks all present and future memory of the process, so that no page fault waits for a disk.
///
/// # Errors
/// `PermissionDenied` or `OutOfMemory` where `RLIMIT_MEMLOCK` (often 8 MiB) is too small.
pub fn lock_memory() -> io::Result<()> {
    mlockall(MlockAllFlags::CURRENT | MlockAllFlags::FUTURE)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fifo_is_held_or_refused_with_a_reason() {
        std::thread::scope(|s| {
            s.spawn(|| {
                let got = request_fifo(1);
                // SAFETY: takes no memory; 0 is the calling thread.
                let policy = unsafe { libc::sched_getscheduler(0) };
                match got {
                    Ok(()) => assert_eq!(policy, libc::SCHED_FIFO),
                    Err(e) => {
                        assert_eq!(e.kind(), io::ErrorKind::PermissionDenied);
                        assert_ne!(policy, libc::SCHED_FIFO);
                    }
                }
            });
        });
    }

    #[test]
    fn a_priority_that_does_not_exist_is_refused() {
        assert_eq!(request_fifo(100).unwrap_err().kind(), io::ErrorKind::InvalidInput);
    }

    #[test]
    fn memory_is_locked_or_refused_with_a_reason() {
        let locked = || {
            let status = std::fs::read_to_string("/proc/self/status").unwrap();
            let line = status.lines().find(|l| l.starts_with("VmLck:")).unwrap();
            line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap()
        };
        match lock_memory() {
            Ok(()) => {
                assert!(locked() > 0);
                rustix::mm::munlockall().unwrap();
            }
            Err(e) => assert!(matches!(
                e.kind(),
                io::ErrorKind::PermissionDenied | io::ErrorKind::OutOfMemory
            )),
        }
    }
}
