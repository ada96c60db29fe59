//! tmp
pub use super::poll::PollDriver as UringDriver;
