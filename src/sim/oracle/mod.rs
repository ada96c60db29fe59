//! The best possible: exact optima where they are polynomial, bounds where they are not.
//!
//! Knows no policy. What a policy reaches is reported as a share of what is here.

mod bounds;
mod exact;
mod preemptive;

pub use bounds::{blind, blind_exponential, fluid, fluid_exponential};
pub use exact::{agreeable, common_release};
pub use preemptive::{PREEMPTIVE_MAX, preemptive};

#[cfg(test)]
mod tests;
