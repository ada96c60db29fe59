//! The real sockets of a plan.
//!
//! Knows nothing of what is sent by them.

use std::io;

use super::plan::Plan;
use crate::base::limits::MAX_DATAGRAM_DEFAULT;
use crate::io::{PollDriver, SocketSpec};
use crate::sys::socket::{UdpOptions, open_connected, set_tos};

/// Asked for each way; the kernel grants what `rmem_max` and `wmem_max` allow. A generator that is behind must not lose
/// the answers to what it has sent.
const SOCKET_BUFFER: usize = 4 << 20;

/// Opens the connected sockets of `plan`, those of each class together, and the driver for them.
///
/// # Errors
/// What the kernel says, with the step and the address: too many open files, no route.
pub fn open(plan: &Plan) -> io::Result<PollDriver> {
    let options = UdpOptions {
        timestamps: true,
        // However requests leave: answers that come in trains are taken whole, at a twentieth of the cost.
        gro: true,
        receive_buffer: Some(SOCKET_BUFFER),
        send_buffer: Some(SOCKET_BUFFER),
        ..UdpOptions::default()
    };
    let mut sockets = Vec::with_capacity(plan.sockets());
    for (number, class) in plan.classes.iter().enumerate() {
        for _ in 0..plan.flows_of(number) {
            let opened = open_connected(class.to, &options)?;
            if let Some(dscp) = class.dscp.filter(|d| d.get() != 0) {
                set_tos(&opened.socket, class.to, dscp.get() << 2)?;
            }
            sockets.push(SocketSpec {
                socket: opened.socket,
                wants_local: false,
                gro: opened.gro,
                gso: opened.gso && plan.gso,
            });
        }
    }
    PollDriver::new(sockets, plan.size_max().max(MAX_DATAGRAM_DEFAULT))
}
