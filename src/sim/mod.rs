//! Floor 4: the scheduler, and its rivals, under a virtual clock.
//!
//! Knows no real clock, socket or thread: everything here is decided by a seed.

pub mod oracle;
pub mod queueing;
pub mod workload;
