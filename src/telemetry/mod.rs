//! The read side of all figures: one snapshot of the service, shown as JSON, as OpenMetrics text and as the plan page.
//!
//! Knows neither HTTP nor threads: each format is a function from a snapshot to a string.

mod backends;
mod figures;
#[cfg(test)]
mod grammar;
pub mod json;
pub mod plan;
pub mod prometheus;
mod table;
#[cfg(test)]
mod testing;
pub mod view;

pub use backends::{choices, rows as rows_by};
pub use plan::{PlanMeasured, PlanView, PlanWorker};
pub use view::{Names, Service, Snapshot};
