//! Which priority and which budget a packet gets.
//!
//! Knows nothing of queues, quotas or sockets: one packet's marks go in, its class comes out.

pub mod rules;
pub mod workload;

pub use rules::{Class, Classifier, Classify, Input, Options};
