//! The best possible: exact optima where they are polynomial, bounds where they are not.
//!
//! Knows no policy. What a policy reaches is reported as a share of what is here.

mod bounds;
mod exact;

pub use bounds::{blind, blind_exponential, fluid, fluid_exponential};
pub use exact::{agreeable, common_release};

#[cfg(test)]
mod tests;
