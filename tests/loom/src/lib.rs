//! The product's own source files, compiled with loom's atomics: the cells that cross threads, and the words they are made of.

#[path = "../../../src/base/mod.rs"]
pub mod base;
#[path = "../../../src/stats/board.rs"]
pub mod board;
#[path = "../../../src/level/breaker/mod.rs"]
pub mod breaker;
#[path = "../../../src/sched/plan.rs"]
pub mod plan;
