//! The addresses of our own interfaces, to recognise datagrams that claim to come from ourselves.
//!
//! Knows nothing of ports and rules.

#![expect(unsafe_code, reason = "getifaddrs has no safe wrapper among our dependencies")]

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ptr;

/// Every address of every interface at this moment, sorted, each once.
///
/// On the loopback interface only its configured address is listed, although the kernel answers for all of 127/8.
///
/// # Errors
/// When the kernel does not list them.
pub fn local_addresses() -> io::Result<Vec<IpAddr>> {
    let mut head: *mut libc::ifaddrs = ptr::null_mut();
    // SAFETY: `head` is writable; on success it is the head of a list that we free below.
    if unsafe { libc::getifaddrs(&raw mut head) } != 0 {
        return Err(io::Error::last_os_error());
    }
    let mut found = Vec::new();
    let mut next = head;
    while !next.is_null() {
        // SAFETY: `next` is an element of the list, which lives until freeifaddrs.
        let entry = unsafe { &*next };
        if !entry.ifa_addr.is_null() {
            // SAFETY: not null, and of the size that its own family field says.
            found.extend(unsafe { ip_of(entry.ifa_addr) });
        }
        next = entry.ifa_next;
    }
    // SAFETY: `head` came from getifaddrs and nothing refers to the list any more.
    unsafe { libc::freeifaddrs(head) };
    found.sort_unstable();
    found.dedup();
    Ok(found)
}

/// # Safety
/// `address` points to a socket address of the size that its family has.
unsafe fn ip_of(address: *const libc::sockaddr) -> Option<IpAddr> {
    // SAFETY: every socket address begins with its family.
    let family = i32::from(unsafe { (*address).sa_family });
    match family {
        libc::AF_INET => {
            // SAFETY: the family says that it is a sockaddr_in; read without a claim on alignment.
            let a = unsafe { address.cast::<libc::sockaddr_in>().read_unaligned() };
            Some(Ipv4Addr::from(u32::from_be(a.sin_addr.s_addr)).into())
        }
        libc::AF_INET6 => {
            // SAFETY: the family says that it is a sockaddr_in6; read without a claim on alignment.
            let a = unsafe { address.cast::<libc::sockaddr_in6>().read_unaligned() };
            Some(Ipv6Addr::from(a.sin6_addr.s6_addr).into())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_is_ours() {
        let ours = local_addresses().unwrap();
        assert!(ours.contains(&Ipv4Addr::LOCALHOST.into()), "{ours:?}");
        assert!(ours.is_sorted());
        assert!(!ours.contains(&IpAddr::from([192, 0, 2, 77])), "a documentation address");
    }
}
