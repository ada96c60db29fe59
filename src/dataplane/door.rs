//! What a worker must know of a socket for every message that comes by it, gathered in one place at construction.
//!
//! Knows no messages.

use super::options::{Framing, Ingress, Mode, Options, Order, SocketOptions, SocketRole};
use crate::base::limits::{GSO_SEGMENTS_MAX, KERNEL_BATCH_MAX};
use crate::base::{EgressId, IngressId, KernelId, Priority};

/// What comes in by a socket.
#[derive(Clone, Copy, Debug)]
pub(super) enum Door {
    /// Requests.
    Listen(Listen),
    /// Answers from an upstream.
    Upstream { egress: EgressId, session: u32 },
    /// Nothing that is looked at.
    Closed,
}

/// What is the same for all requests that come by one socket.
#[derive(Clone, Copy, Debug)]
pub(super) struct Listen {
    pub(super) ingress: IngressId,
    /// The class under which datagrams are counted that are dropped before they have one.
    pub(super) fallback: Priority,
    pub(super) kernel: KernelId,
    pub(super) framing: Framing,
    pub(super) serve_empty: bool,
    /// Each flow's packets keep their order.
    pub(super) ordered: bool,
    /// Answers leave as trains.
    pub(super) gso: bool,
    /// Results go back to the sender.
    pub(super) replies: bool,
    pub(super) low_source_ports: bool,
    /// The most neighbours of a train that may be one packet, as far as the socket, the way out and the kernel say.
    pub(super) side_by_side: u16,
}

impl Door {
    /// The doors of a worker, in the order of its sockets.
    pub(super) fn all(options: &Options) -> Box<[Self]> {
        options.sockets.iter().map(|s| Self::new(options, s)).collect()
    }

    fn new(options: &Options, socket: &SocketOptions) -> Self {
        match socket.role {
            SocketRole::Send => Self::Closed,
            SocketRole::Upstream { egress, session } => Self::Upstream { egress, session },
            SocketRole::Listen { ingress, class } => {
                let own = &options.ingresses[ingress.index()];
                Self::Listen(Listen::new(options, socket, (ingress, own), class))
            }
        }
    }
}

impl Listen {
    fn new(
        options: &Options,
        socket: &SocketOptions,
        (id, ingress): (IngressId, &Ingress),
        class: Option<Priority>,
    ) -> Self {
        let (replies, low_source_ports) = match options.egresses[ingress.egress.index()].mode {
            Mode::Reply { low_source_ports, .. } => (true, low_source_ports),
            Mode::Send { .. } | Mode::Forward { .. } => (false, false),
        };
        let kernel = options.kernels[ingress.kernel.index()];
        // A framed datagram may ask for something of its own; what is sent on leaves by a session each; and neighbours that
        // could not leave as one train would only have to be told apart again.
        let together = ingress.framing == Framing::Raw && replies && socket.gso && !kernel.grows;
        let most = kernel.batch_max.min(KERNEL_BATCH_MAX).min(GSO_SEGMENTS_MAX);
        Self {
            ingress: id,
            fallback: class.unwrap_or_else(|| ingress.fallback()),
            kernel: ingress.kernel,
            framing: ingress.framing,
            serve_empty: ingress.serve_empty,
            ordered: ingress.order == Order::Flow,
            gso: socket.gso,
            replies,
            low_source_ports,
            side_by_side: if together { u16::try_from(most).unwrap_or(1) } else { 1 },
        }
    }
}
