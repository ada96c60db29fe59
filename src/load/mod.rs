//! The open-loop load generator: requests leave when they are due, whether or not earlier ones were answered.
//!
//! Knows no command line, and nothing of the service but its wire. Latency is counted from the intended send time, so
//! that neither a slow service nor a slow generator can hide waiting; the latency from the actual send stands beside it.

mod answer;
mod arrivals;
mod course;
mod dns;
mod draw;
mod generator;
mod hdr;
mod keys;
mod latencies;
mod ledger;
mod outbox;
mod payload;
mod plan;
mod probe;
mod report;
mod schedule;
mod sockets;
mod tally;
mod trace;

pub use arrivals::{Arrivals, Bursts, Stretch};
pub use dns::{QueryType, QuestionError, Questions};
pub use generator::{Generator, LoadError, Progress};
pub use hdr::write_log;
pub use latencies::Latencies;
pub use plan::{
    BURST_MAX, CLASSES_MAX, Class, FlowOrder, Framing, LATE_SHARE_MAX, Matching, Plan, PlanError,
    RATE_MAX, RAW_SIZE_MIN, SOCKETS_MAX, STRETCHES_MAX, Sizes,
};
pub use probe::Probe;
pub use report::{
    ClassReport, Interval, Lateness, MergeError, Report, Seconds, Sends, StretchReport, Timeline,
    VERSION,
};
pub use sockets::open;
pub use trace::{Omitted, ReplayError, ReplayOptions, ReplayTo, Trace};

#[cfg(test)]
mod loopback;
#[cfg(test)]
mod tests;
