//! Punctual: a deadline-aware ingress for packet workloads.
//!
//! The rooms and their floors are in ARCHITECTURE.md; `tests/floors.rs` holds them.

pub mod base;
pub mod classify;
pub mod cli;
pub mod config;
pub mod dataplane;
pub mod http;
pub mod io;
pub mod kernel;
pub mod level;
pub mod load;
pub mod packet;
pub mod report;
pub mod runtime;
pub mod sched;
pub mod sim;
pub mod stats;
pub mod sys;
pub mod telemetry;
