//! The worker: the state machine that joins parsing, gates, queue and sends, and the loop that drives it.
//!
//! Knows no threads and no files. The loop is generic over the clock and the driver, so that the service and the
//! simulator run the very same code.

mod answers;
mod chunks;
mod dispatch;
mod done;
mod door;
pub mod egress;
mod entry;
pub mod event_loop;
mod flow_key;
mod framed;
mod guard;
mod honesty;
mod intake;
mod observe;
pub mod offload;
pub mod options;
mod outlet;
pub mod own;
mod reorder;
mod rooms;
mod sends;
pub mod sessions;
mod worker;

pub use event_loop::{EventLoop, Idle, Shared};
pub use observe::Observer;
pub use options::{
    EgressOptions, Framing, Ingress, KernelOptions, Late, Mode, Options, Order, Own, SocketOptions,
    SocketRole,
};
pub use worker::{Output, Worker};
