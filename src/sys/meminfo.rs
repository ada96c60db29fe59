//! What the kernel has dropped at a socket, exactly.
//!
//! `SO_MEMINFO` rather than the `SO_RXQ_OVFL` control message, because the latter arrives only with the next datagram that
//! gets through. Knows nothing of who counts.

#![expect(unsafe_code, reason = "SO_MEMINFO has no safe wrapper among our dependencies")]

use std::io;
use std::os::fd::{AsFd, AsRawFd};

use super::socklen;

/// Not in libc yet; the same number on every architecture that uses the generic socket options.
const SO_MEMINFO: libc::c_int = 55;
const WORDS: usize = 9;
const DROPS: usize = 8;

/// The kernel's 32-bit drop counter of one socket, extended to 64 bits.
///
/// Ask at least once per 2^32 drops (71 minutes at a million a second), else a whole turn is missed.
#[derive(Clone, Copy, Debug, Default)]
pub struct DropCounter {
    last: u32,
    total: u64,
}

impl DropCounter {
    /// Asks the kernel, and answers what it has dropped at this socket since it was opened. When the kernel does not
    /// answer, the last known number.
    pub fn read(&mut self, socket: &impl AsFd) -> u64 {
        match raw_drops(socket) {
            Ok(raw) => self.extend(raw),
            Err(_) => self.total,
        }
    }

    /// Takes in a value of the 32-bit counter.
    pub fn extend(&mut self, raw: u32) -> u64 {
        self.total += u64::from(raw.wrapping_sub(self.last));
        self.last = raw;
        self.total
    }
}

/// The kernel's counter as it stands.
///
/// # Errors
/// When the kernel refuses the option (before Linux 4.12).
pub fn raw_drops(socket: &impl AsFd) -> io::Result<u32> {
    let mut words = [0_u32; WORDS];
    let mut len = socklen::<[u32; WORDS]>();
    // SAFETY: `words` is writable for `len` bytes, and `len` for one socklen_t, for the time of the call.
    let rc = unsafe {
        libc::getsockopt(
            socket.as_fd().as_raw_fd(),
            libc::SOL_SOCKET,
            SO_MEMINFO,
            words.as_mut_ptr().cast(),
            &raw mut len,
        )
    };
    if rc == 0 { Ok(words[DROPS]) } else { Err(io::Error::last_os_error()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_counter_does_not_notice_the_wrap() {
        let mut c = DropCounter::default();
        assert_eq!(c.extend(5), 5);
        assert_eq!(c.extend(5), 5);
        assert_eq!(c.extend(u32::MAX), u64::from(u32::MAX));
        assert_eq!(c.extend(0), 1 << 32);
        assert_eq!(c.extend(7), (1 << 32) + 7);
    }

    #[test]
    fn a_fresh_socket_has_dropped_nothing() {
        let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        assert_eq!(raw_drops(&socket).unwrap(), 0);
        assert_eq!(DropCounter::default().read(&socket), 0);
    }
}
