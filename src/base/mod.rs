//! Floor 0: the words that every other room uses: time, priority, verdicts, bounds.
//!
//! Knows nothing of packets, sockets, threads or files.

pub mod drop_reason;
pub mod ema;
pub mod ids;
pub mod limits;
pub mod priority;
pub mod time;
pub mod token_bucket;

pub use drop_reason::DropReason;
pub use ema::Ema;
pub use ids::{EgressId, IngressId, KernelId, SocketId, WorkerId};
pub use priority::{PerPriority, Priority};
pub use time::{Clock, Instant, Nanos, WallTime};
