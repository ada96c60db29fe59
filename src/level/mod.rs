//! Which backend runs a batch: what each costs, which one meets the deadline, and when a device is left alone (seed 000).
//!
//! Knows no clock, no thread, no device and no queue's contents: times, depths and measurements are arguments.

pub mod calibrate;
pub mod cost;

pub use cost::{CostModel, Point};
