//! Punctual: a deadline-aware ingress for packet workloads.
//!
//! The rooms and their floors are in ARCHITECTURE.md; `tests/floors.rs` holds them.

pub mod base;
pub mod cli;
pub mod io;
pub mod kernel;
pub mod load;
pub mod packet;
pub mod stats;
pub mod sys;
