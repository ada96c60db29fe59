//! The operating system's side: clocks, cores, real-time options, sockets, control messages.
//!
//! Knows nothing of packets, drivers and scheduling. First home of `unsafe`: each module that needs it says so.

pub mod addresses;
pub mod affinity;
pub mod clock;
pub mod meminfo;
pub mod message;
pub mod realtime;
pub mod socket;
pub mod stamp;
pub mod steering;
