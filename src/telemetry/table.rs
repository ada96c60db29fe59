//! A JSON object whose keys stand in the order in which they were given.
//!
//! Knows nothing of what it holds.

use serde::{Serialize, Serializer};

use crate::base::{Nanos, PerPriority};

/// Pairs that are written as one object.
#[derive(Default)]
pub(super) struct Table<K, V>(pub(super) Vec<(K, V)>);

impl<K: Serialize, V: Serialize> Serialize for Table<K, V> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(k, v)| (k, v)))
    }
}

/// One entry a priority, keyed by its label.
pub(super) fn by_priority<T, V>(
    entries: &PerPriority<T>,
    mut show: impl FnMut(&T) -> V,
) -> Table<&'static str, V> {
    Table(entries.iter().map(|(p, entry)| (p.label(), show(entry))).collect())
}

/// Microseconds with their fraction: what people compare budgets in.
pub(super) fn micros(span: Nanos) -> f64 {
    span.get() as f64 / 1e3
}
