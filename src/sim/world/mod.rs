//! The service itself in a world of its own: the same loop, worker, gates, controller and egress code that `serve` runs,
//! over a virtual clock and drivers without an operating system.
//!
//! One seed, one run, to the last byte. Things go wrong as the seed says, and the laws are looked at between turns.
//! Knows no file and no real time.

mod check;
mod clock;
mod control;
mod course;
mod device;
mod door;
mod driver;
mod kernel;
mod law;
mod log;
mod many;
pub mod options;
mod outcome;
#[cfg(test)]
mod planted;
mod run;
mod site;
mod source;
pub mod tag;
mod tally;
#[cfg(test)]
mod tests;

pub use clock::{Stall, VirtualClock};
pub use law::{Breach, Law};
pub use log::{Deed, Event};
pub use many::{Fleet, run_seeds};
pub use options::{Company, Costs, Every, Faults, Link, Options, Service, Stream, Way};
pub use outcome::{Audited, ClassSums, Elsewhere, Outcome};
#[cfg(test)]
pub(crate) use planted::Planted;
pub use run::{WrongWorld, run};
pub use tally::{StreamTally, Tally};

use crate::base::Instant;

/// When traffic begins: a second after the clock's zero, so that kernels can be tried before.
pub const START: Instant = Instant::from_nanos(1_000_000_000);
