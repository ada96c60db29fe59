//! The GPU's device, on whatever adapter there is; the tests allow software.
//!
//! Where there is none they say so and check nothing; `PUNCTUAL_REQUIRE_GPU=1` makes that a failure.

#![cfg(test)]

mod answers;
mod faults;
mod order;
mod rig;
