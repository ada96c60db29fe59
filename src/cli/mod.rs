//! Floor 6: the command line, one file a subcommand.
//!
//! Knows no rule of its own: each command calls the rooms below.

pub mod load;
