//! The write side of all figures: plain counters that one worker owns, and the board on which it shows them.
//!
//! Knows no output format. A worker counts in its own memory without atomics; now and then (when asked, and before it
//! sleeps) it copies everything to its [`Board`] in one piece, so that whoever reads sees figures that belong together:
//! `received = replied + forwarded + dropped + in flight` holds in every snapshot, not only at the end.

mod board;
mod counters;
pub mod latency;

pub use board::Board;
pub use counters::{
    BATCH_SIZES, Cell, CellWords, ClassField, Counters, Field, Layout, RunBy, WorkerField,
    batch_rows_max,
};
