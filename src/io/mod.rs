//! How datagrams come in and go out: one trait, io_uring and mio behind it.
//!
//! Knows nothing of priorities and deadlines: sockets, buffers, receive stamps, coalesced sends.

mod arrivals;
mod driver;
mod inbox;
mod outgoing;
mod poll;

pub use driver::{
    Driver, DriverKind, Part, ReceiveReport, Received, SendError, SendFailure, SocketSpec, Stamp,
    TxBatch, TxMessage,
};
pub use poll::PollDriver;
