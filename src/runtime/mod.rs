//! Threads, cores and sockets: what makes the dataplane a running service.
//!
//! Knows no file formats: its options are already checked, its figures are handed out as they are.

pub mod calibration;
mod control;
mod devices;
mod gpu;
mod options;
mod service;
mod sockets;
mod threads;
mod watchdog;

pub use control::tick;
pub use gpu::{GpuPlan, Opened};
pub use options::{EgressPlan, EgressTarget, IngressPlan, Options, SocketsPerWorker};
pub use service::{Service, StartError, Stopped};
pub use threads::{Cores, CoresError};
