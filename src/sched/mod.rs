//! What is run next, what is admitted at all, and how the limits follow what is measured (seed 002).
//!
//! Knows no kernel, no driver, no clock and no thread: time is an argument and work is a number of nanoseconds.

pub mod admission;
pub mod batch;
pub mod controller;
mod demand;
pub mod edf;
pub mod estimate;
pub mod flow;
pub mod guard;
mod margin;
mod overhead;
pub mod plan;
pub mod possible;
pub mod quota;
pub mod roundtrip;
pub mod value;

pub use controller::{Controller, Observation, Plan};
pub use edf::{EdfQueue, Entry, Full, Key, Visit};
pub use estimate::ServiceEstimate;
pub use guard::{GuardInputs, GuardWindow, InterArrival};
pub use margin::Ends;
pub use plan::{PlanCell, WorkerPlan};
pub use possible::Possible;
pub use quota::Layout;
pub use roundtrip::RoundTrip;
