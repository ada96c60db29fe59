//! UDP sockets with the options that a data path needs, and what the kernel made of them.
//!
//! Knows nothing of ingresses and workers. Sockets are non-blocking and close on exec.

#![expect(unsafe_code, reason = "some options have no safe wrapper among our dependencies")]

use std::fmt;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::os::fd::AsRawFd;

use super::socklen;
use socket2::{Domain, Protocol, Socket, Type};

/// What a UDP socket is to have. The default asks for nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct UdpOptions {
    /// Other sockets of the same user may bind the same address, and share what arrives (`SO_REUSEPORT`).
    pub reuse_port: bool,
    /// Say to which of our addresses each datagram was sent: needed where a wildcard address is bound.
    pub wants_local: bool,
    /// The kernel stamps each datagram as it arrives (`SO_TIMESTAMPNS`).
    pub timestamps: bool,
    /// Say the TOS byte or traffic class of each datagram.
    pub tos: bool,
    /// Datagrams of one flow may be handed over as trains (`UDP_GRO`).
    pub gro: bool,
    /// Receive buffer in bytes as the kernel charges them (832 for a 64-byte datagram); `None` leaves the default.
    pub receive_buffer: Option<usize>,
    /// Send buffer in bytes; `None` leaves the default.
    pub send_buffer: Option<usize>,
}

/// A bound socket and what the kernel granted.
#[derive(Debug)]
pub struct Opened {
    /// The socket.
    pub socket: UdpSocket,
    /// The receive buffer in force, in bytes as the kernel charges them.
    pub receive_buffer: usize,
    /// The send buffer in force, in bytes.
    pub send_buffer: usize,
    /// `UDP_GRO` was asked for and accepted.
    pub gro: bool,
    /// The kernel knows `UDP_SEGMENT`. A device may still refuse a train (EIO): the drivers then send singly.
    pub gso: bool,
}

/// Which step failed, at which address. It is the source of the `io::Error` that the functions of this module return.
#[derive(Debug)]
struct SocketError {
    operation: &'static str,
    address: SocketAddr,
    source: io::Error,
}

impl fmt::Display for SocketError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot {} {}: {}", self.operation, self.address, self.source)
    }
}

impl std::error::Error for SocketError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.source)
    }
}

/// Makes a closure for `map_err` that names the step and the address, and keeps the kind.
fn at(operation: &'static str, address: SocketAddr) -> impl FnOnce(io::Error) -> io::Error {
    move |source| io::Error::new(source.kind(), SocketError { operation, address, source })
}

/// Opens and binds a UDP socket.
///
/// An IPv6 socket takes IPv6 only, except on `[::]`, which takes IPv4 too: such peers have v4-mapped addresses.
///
/// # Errors
/// Each says the step that failed and the address. A buffer that the kernel grants only in part is no error.
pub fn open(address: SocketAddr, options: &UdpOptions) -> io::Result<Opened> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))
        .map_err(at("make a socket for", address))?;
    socket.set_nonblocking(true).map_err(at("make non-blocking the socket for", address))?;
    let dual = address.ip() == Ipv6Addr::UNSPECIFIED;
    if address.is_ipv6() {
        socket.set_only_v6(!dual).map_err(at("set IPV6_V6ONLY on", address))?;
    }
    if options.reuse_port {
        socket.set_reuse_port(true).map_err(at("set SO_REUSEPORT on", address))?;
    }
    // Before bind: a datagram that is queued before the option is set is stamped when it is read, not when it arrives.
    if options.timestamps {
        set(&socket, libc::SOL_SOCKET, libc::SO_TIMESTAMPNS, 1)
            .map_err(at("set SO_TIMESTAMPNS on", address))?;
    }
    ask_for_headers(&socket, address, dual, options)?;
    size_buffers(&socket, options);
    let gro = options.gro && set(&socket, libc::SOL_UDP, libc::UDP_GRO, 1).is_ok();
    // Zero is "no segmentation": accepted exactly where the option is known.
    let gso = set(&socket, libc::SOL_UDP, libc::UDP_SEGMENT, 0).is_ok();
    socket.bind(&address.into()).map_err(at("bind", address))?;
    Ok(Opened {
        receive_buffer: socket.recv_buffer_size().map_err(at("read SO_RCVBUF of", address))?,
        send_buffer: socket.send_buffer_size().map_err(at("read SO_SNDBUF of", address))?,
        socket: socket.into(),
        gro,
        gso,
    })
}

/// Opens a socket on any free port of the family of `peer`, and connects it: it then takes datagrams from `peer` only, and
/// is told when nobody listens there.
///
/// # Errors
/// As [`open`], or the connect's.
pub fn open_connected(peer: SocketAddr, options: &UdpOptions) -> io::Result<Opened> {
    let any = match peer {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    let opened = open(any, options)?;
    connect(&opened.socket, peer)?;
    Ok(opened)
}

/// Connects `socket` to `peer`.
///
/// # Errors
/// When there is no route or the family differs; the text names `peer`.
pub fn connect(socket: &UdpSocket, peer: SocketAddr) -> io::Result<()> {
    socket.connect(peer).map_err(at("connect to", peer))
}

/// Lets every datagram of `socket` leave with this TOS byte or traffic class. `peer` tells the family, and is named in errors.
///
/// # Errors
/// When the kernel refuses it.
pub fn set_tos(socket: &UdpSocket, peer: SocketAddr, tos: u8) -> io::Result<()> {
    let socket = socket2::SockRef::from(socket);
    if peer.is_ipv4() {
        socket.set_tos_v4(u32::from(tos)).map_err(at("set IP_TOS for", peer))
    } else {
        socket.set_tclass_v6(u32::from(tos)).map_err(at("set IPV6_TCLASS for", peer))
    }
}

fn ask_for_headers(
    socket: &Socket,
    address: SocketAddr,
    dual: bool,
    options: &UdpOptions,
) -> io::Result<()> {
    let v6 = address.is_ipv6();
    if options.wants_local {
        // The IPv6 option speaks for IPv4 datagrams on a dual-stack socket too, with v4-mapped addresses.
        let (level, name, what) = if v6 {
            (libc::IPPROTO_IPV6, libc::IPV6_RECVPKTINFO, "set IPV6_RECVPKTINFO on")
        } else {
            (libc::IPPROTO_IP, libc::IP_PKTINFO, "set IP_PKTINFO on")
        };
        set(socket, level, name, 1).map_err(at(what, address))?;
    }
    if options.tos {
        if v6 {
            socket.set_recv_tclass_v6(true).map_err(at("set IPV6_RECVTCLASS on", address))?;
        }
        if dual || !v6 {
            set(socket, libc::IPPROTO_IP, libc::IP_RECVTOS, 1)
                .map_err(at("set IP_RECVTOS on", address))?;
        }
    }
    Ok(())
}

/// As large as was asked for with `CAP_NET_ADMIN`, else up to `rmem_max` and `wmem_max`. The kernel doubles the number for
/// its own bookkeeping, so half is asked for. What was granted is read afterwards, so that a refusal here is no error.
fn size_buffers(socket: &Socket, options: &UdpOptions) {
    let wishes = [
        (options.receive_buffer, libc::SO_RCVBUFFORCE, libc::SO_RCVBUF),
        (options.send_buffer, libc::SO_SNDBUFFORCE, libc::SO_SNDBUF),
    ];
    for (bytes, force, plain) in wishes {
        let Some(bytes) = bytes else { continue };
        let half = i32::try_from(bytes / 2).unwrap_or(i32::MAX / 2);
        if set(socket, libc::SOL_SOCKET, force, half).is_err() {
            drop(set(socket, libc::SOL_SOCKET, plain, half));
        }
    }
}

fn set(socket: &Socket, level: i32, name: i32, value: libc::c_int) -> io::Result<()> {
    let len = socklen::<libc::c_int>();
    // SAFETY: `value` is readable for `len` bytes for the time of the call.
    let rc = unsafe {
        libc::setsockopt(socket.as_raw_fd(), level, name, (&raw const value).cast(), len)
    };
    if rc == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn any_v4() -> SocketAddr {
        (Ipv4Addr::LOCALHOST, 0).into()
    }

    #[test]
    fn the_buffers_in_force_are_reported() {
        let wish = UdpOptions {
            receive_buffer: Some(64 * 1024),
            send_buffer: Some(32 * 1024),
            ..UdpOptions::default()
        };
        let got = open(any_v4(), &wish).unwrap();
        assert_eq!((got.receive_buffer, got.send_buffer), (64 * 1024, 32 * 1024));
        let plain = open(any_v4(), &UdpOptions::default()).unwrap();
        assert!(plain.receive_buffer > 0 && !plain.gro);
    }

    #[test]
    fn an_error_names_the_step_and_the_address() {
        let first = open(any_v4(), &UdpOptions::default()).unwrap();
        let taken = first.socket.local_addr().unwrap();
        let error = open(taken, &UdpOptions::default()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
        let text = error.to_string();
        assert!(text.starts_with(&format!("cannot bind {taken}: ")), "{text}");
        let error = open("192.0.2.1:0".parse().unwrap(), &UdpOptions::default()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AddrNotAvailable);
    }

    #[test]
    fn sharing_a_port_must_be_asked_for() {
        let wish = UdpOptions { reuse_port: true, ..UdpOptions::default() };
        let first = open(any_v4(), &wish).unwrap();
        let shared = first.socket.local_addr().unwrap();
        open(shared, &wish).unwrap();
    }

    #[test]
    fn only_the_v6_wildcard_takes_v4() {
        let sender = UdpSocket::bind(any_v4()).unwrap();
        let dual = open("[::]:0".parse().unwrap(), &UdpOptions::default()).unwrap().socket;
        let port = dual.local_addr().unwrap().port();
        sender.send_to(b"x", (Ipv4Addr::LOCALHOST, port)).unwrap();
        let (len, peer) = dual.recv_from(&mut [0; 8]).unwrap();
        assert_eq!(len, 1);
        assert!(matches!(peer, SocketAddr::V6(p) if p.ip().to_ipv4_mapped().is_some()), "{peer}");

        let single = open("[::1]:0".parse().unwrap(), &UdpOptions::default()).unwrap().socket;
        assert!(Socket::from(single).only_v6().unwrap());
    }

    #[test]
    fn a_mark_is_set_in_either_family() {
        for at in ["127.0.0.1:9", "[::1]:9"] {
            let peer: SocketAddr = at.parse().unwrap();
            let socket = open_connected(peer, &UdpOptions::default()).unwrap().socket;
            set_tos(&socket, peer, 46 << 2).unwrap();
            let socket = socket2::SockRef::from(&socket);
            let got = if peer.is_ipv4() { socket.tos_v4() } else { socket.tclass_v6() };
            assert_eq!(got.unwrap(), 46 << 2);
        }
    }

    #[test]
    fn a_connected_socket_knows_its_peer() {
        let peer = UdpSocket::bind(any_v4()).unwrap();
        let to = peer.local_addr().unwrap();
        let ours = open_connected(to, &UdpOptions::default()).unwrap().socket;
        assert_eq!(ours.peer_addr().unwrap(), to);
        let v6: SocketAddr = "[::1]:9".parse().unwrap();
        let v4 = open(any_v4(), &UdpOptions::default()).unwrap().socket;
        let error = connect(&v4, v6).unwrap_err().to_string();
        assert!(error.starts_with("cannot connect to [::1]:9: "), "{error}");
    }
}
