//! Punctual: a deadline-aware ingress for packet workloads.
//!
//! The rooms and their floors are in ARCHITECTURE.md; `tests/floors.rs` holds them. Without the feature `service`, which is on by
//! default, there is the data plane alone, floors 0 to 3, with less than half of the dependencies.

pub mod base;
pub mod classify;
#[cfg(feature = "service")]
pub mod cli;
#[cfg(feature = "service")]
pub mod config;
pub mod dataplane;
#[cfg(feature = "service")]
pub mod http;
pub mod io;
pub mod kernel;
pub mod level;
#[cfg(feature = "service")]
pub mod load;
pub mod packet;
#[cfg(feature = "service")]
pub mod report;
#[cfg(feature = "service")]
pub mod runtime;
pub mod sched;
#[cfg(feature = "service")]
pub mod sim;
pub mod stats;
pub mod sys;
#[cfg(feature = "service")]
pub mod telemetry;
