//! The open-loop load generator: requests leave when they are due, whether or not earlier ones were answered.
//!
//! Knows no command line, and nothing of the service but its wire. Latency is counted from the intended send time, so
//! that neither a slow service nor a slow generator can hide waiting; the latency from the actual send stands beside it.

mod answer;
mod checksums;
mod generator;
mod hdr;
mod latencies;
mod ledger;
mod outbox;
mod plan;
mod probe;
mod report;
mod schedule;
mod sockets;
mod tally;

pub use generator::{Generator, LoadError, Progress};
pub use hdr::write_log;
pub use latencies::Latencies;
pub use plan::{
    Arrivals, BURST_MAX, CLASSES_MAX, Class, FlowOrder, Framing, Matching, Plan, PlanError,
    RATE_MAX, RAW_SIZE_MIN, SOCKETS_MAX, Sizes,
};
pub use probe::Probe;
pub use report::{ClassReport, Lateness, MergeError, Report, VERSION};
pub use sockets::open;

#[cfg(test)]
mod loopback;
#[cfg(test)]
mod tests;
