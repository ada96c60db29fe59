//! The policies: the field's, each from its paper's description, and ours.
//!
//! Knows no workload. A policy that needs sizes is told how it may know them ([`super::Sizes`]).

mod breakwater;
mod codel;
mod darc;
mod edf;
mod fifo;
mod list;
mod moore_hodgson;
mod overload;
mod partitioned;
mod product;
mod sharing;
mod strict;
mod traffic;

pub use breakwater::Breakwater;
pub use codel::CoDel;
pub use darc::Darc;
pub use edf::{Edf, Gate};
pub use fifo::{Fifo, Order};
pub use moore_hodgson::MooreHodgson;
pub use overload::{Chunk, Options as OverloadOptions, Overload};
pub use partitioned::Partitioned;
pub use product::Product;
pub use sharing::Sharing;
pub use strict::Strict;

use std::collections::VecDeque;

use super::{Drops, Estimates, Gone, Job, Policy, Sizes};
use crate::base::{Instant, Nanos};
use crate::sim::workload::Workload;

/// A policy and its name in tables.
pub type Named = (&'static str, Box<dyn Policy>);

/// The most jobs that a queue without a rule of its own holds.
const CAPACITY: usize = 1_024;

/// Takes the first job whose deadline has not passed; those before it are dropped.
fn first_live(queue: &mut VecDeque<Job>, now: Instant, drops: &mut Drops) -> Option<Job> {
    loop {
        let job = queue.pop_front()?;
        if now < job.deadline {
            return Some(job);
        }
        drops.push((job, Gone::Expired));
    }
}

/// Every policy under its name in tables, made for a workload and so many servers; jobs that may be sliced are, by
/// `slice`, each of which ends with a look round that costs `check`.
#[must_use]
pub fn all(w: &Workload, servers: usize, slice: Nanos, check: Nanos) -> Vec<Named> {
    let budget = w.kinds.iter().map(|k| k.budget).max().unwrap_or(Nanos::from_millis(1));
    let knows = |sizes| Estimates::new(sizes, &w.kinds);
    let reserved = if servers > 1 { servers.div_ceil(8) } else { 0 };
    let ours = |sizes, chunk| {
        let options = OverloadOptions { chunk, check, ..OverloadOptions::default() };
        Box::new(Overload::new(options, knows(sizes), w.kinds.len(), servers))
    };
    let auto = Chunk::Auto { least: Nanos::new(500), most: Nanos::from_micros(25) };
    let mut all: Vec<Named> = vec![
        ("fifo", Box::new(Fifo::new(Order::First, false, CAPACITY))),
        ("fifo-expiry", Box::new(Fifo::new(Order::First, true, CAPACITY))),
        ("lifo-expiry", Box::new(Fifo::new(Order::Last, true, CAPACITY))),
        ("strict", Box::new(Strict::new(CAPACITY))),
        ("edf-expiry", Box::new(Edf::new(Gate::Expiry, knows(Sizes::Kind), servers))),
        ("seed-002", Box::new(Edf::new(Gate::Total, knows(Sizes::Class), servers))),
        ("codel", Box::new(CoDel::new(budget))),
        ("breakwater", Box::new(Breakwater::new(budget))),
        ("sharing", Box::new(Sharing::new(slice, true))),
        ("darc", Box::new(Darc::new(&w.kinds, reserved, true))),
        ("edf-kind", Box::new(Edf::new(Gate::Prefix, knows(Sizes::Kind), servers))),
        ("edf-stop", Box::new(Edf::new(Gate::UpToDeadline, knows(Sizes::Kind), servers))),
        ("edf-exact", Box::new(Edf::new(Gate::Prefix, knows(Sizes::Exact), servers))),
        ("mh-exact", Box::new(MooreHodgson::new(knows(Sizes::Exact), Nanos::MAX, servers))),
        ("mh-kind", Box::new(MooreHodgson::new(knows(Sizes::Kind), Nanos::MAX, servers))),
        ("mh-sliced", Box::new(MooreHodgson::new(knows(Sizes::Exact), slice, servers))),
        ("ours-exact", ours(Sizes::Exact, Chunk::Fixed(slice))),
        ("ours", ours(Sizes::Kind, Chunk::Fixed(slice))),
        ("ours-auto", ours(Sizes::Kind, auto)),
    ];
    // A worker's policy is for one worker: on several each has its own queue, which this engine does not deal out.
    if servers == 1 {
        let product = |sizes, chunk| {
            let options = crate::sched::value::Options::default();
            Box::new(Product::new(options, knows(sizes), w.kinds.len(), chunk, check))
        };
        all.push(("product-exact", product(Sizes::Exact, slice)));
        all.push(("product", product(Sizes::Kind, slice)));
        all.push(("product-whole", product(Sizes::Kind, Nanos::MAX)));
    }
    all
}
