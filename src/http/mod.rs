//! The admin server: a few pages over HTTP/1.1 on a loopback address, on one thread of its own, off the data path.
//!
//! Knows no metric and no format: every page is a closure that somebody else fills.

mod guard;
mod pages;
mod server;

pub use pages::{Page, PageFn, Pages, ReadyFn};
pub use server::AdminServer;
