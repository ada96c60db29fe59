//! Which backend runs a batch: what each costs, which one meets the deadline, and when a device is left alone (seed 000).
//!
//! Knows no clock, no thread, no device and no queue's contents: times, depths and measurements are arguments.

mod backend;
pub mod breaker;
pub mod calibrate;
pub mod choose;
pub mod cost;
mod fallback;
pub mod saved;
pub mod spill;

/// What a config says about levels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// How backends are chosen.
    pub choose: choose::Options,
    /// When a device is left alone.
    pub breaker: breaker::Options,
    /// When work goes to another backend.
    pub spill: spill::Options,
}

pub use backend::{Backend, DeviceView, Link, elements};
pub use breaker::Breaker;
pub use choose::{Choice, Leveller, Offer, Reason};
pub use cost::{CostModel, Point};
pub use fallback::Fallback;
pub use spill::Spillover;
