//! The four priorities and the table with one entry for each.

use std::fmt;
use std::ops::{Index, IndexMut};

use super::time::Nanos;

/// How urgent a packet's class is. The discriminant is its index, its wire id and its rank (0 first).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Priority {
    /// Default budget 1 ms.
    High = 0,
    /// Default budget 10 ms.
    Medium = 1,
    /// Default budget 100 ms.
    Low = 2,
    /// No promise: quota'd, ordered in the queue by an ageing budget of 200 ms that is not enforced.
    BestEffort = 3,
}

impl Priority {
    /// How many there are.
    pub const COUNT: usize = 4;
    /// All of them, most urgent first.
    pub const ALL: [Self; Self::COUNT] = [Self::High, Self::Medium, Self::Low, Self::BestEffort];

    /// The place in a [`PerPriority`] table.
    #[must_use]
    pub const fn index(self) -> usize {
        self as usize
    }

    /// The number on the wire (framed header, byte 7).
    #[must_use]
    pub const fn wire_id(self) -> u8 {
        self as u8
    }

    /// The priority with that wire id.
    #[must_use]
    pub const fn from_wire(id: u8) -> Option<Self> {
        match id {
            0 => Some(Self::High),
            1 => Some(Self::Medium),
            2 => Some(Self::Low),
            3 => Some(Self::BestEffort),
            _ => None,
        }
    }

    /// The name in configs, metrics and reports.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::High => "high",
            Self::Medium => "medium",
            Self::Low => "low",
            Self::BestEffort => "best-effort",
        }
    }

    /// The priority with that label.
    #[must_use]
    pub fn from_label(label: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|p| p.label() == label)
    }

    /// The budget where the config names none (seed 002's pipeline: 1, 10, 100 ms; best effort ages by 200 ms).
    #[must_use]
    pub const fn default_budget(self) -> Nanos {
        match self {
            Self::High => Nanos::from_millis(1),
            Self::Medium => Nanos::from_millis(10),
            Self::Low => Nanos::from_millis(100),
            Self::BestEffort => Nanos::from_millis(200),
        }
    }

    /// Whether a passed deadline drops the packet. Best effort has a deadline only so that it ages in the queue.
    #[must_use]
    pub const fn enforces_deadline(self) -> bool {
        !matches!(self, Self::BestEffort)
    }
}

impl fmt::Display for Priority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.label())
    }
}

/// One `T` a priority, inline, without a heap.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PerPriority<T>([T; Priority::COUNT]);

impl<T> PerPriority<T> {
    /// A table from its entries, most urgent first.
    #[must_use]
    pub const fn new(entries: [T; Priority::COUNT]) -> Self {
        Self(entries)
    }

    /// A table filled by calling `f` for each priority, most urgent first.
    pub fn from_fn(mut f: impl FnMut(Priority) -> T) -> Self {
        Self(std::array::from_fn(|i| f(Priority::ALL[i])))
    }

    /// Every entry with its priority, most urgent first.
    pub fn iter(&self) -> impl Iterator<Item = (Priority, &T)> {
        Priority::ALL.into_iter().zip(self.0.iter())
    }

    /// Every entry, to be changed, with its priority.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = (Priority, &mut T)> {
        Priority::ALL.into_iter().zip(self.0.iter_mut())
    }

    /// The entries as a plain array.
    #[must_use]
    pub const fn as_array(&self) -> &[T; Priority::COUNT] {
        &self.0
    }
}

impl<T> Index<Priority> for PerPriority<T> {
    type Output = T;
    #[inline]
    fn index(&self, p: Priority) -> &T {
        &self.0[p.index()]
    }
}

impl<T> IndexMut<Priority> for PerPriority<T> {
    #[inline]
    fn index_mut(&mut self, p: Priority) -> &mut T {
        &mut self.0[p.index()]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wire_ids_labels_and_indices_agree() {
        for (i, p) in Priority::ALL.into_iter().enumerate() {
            assert_eq!(p.index(), i);
            assert_eq!(Priority::from_wire(p.wire_id()), Some(p));
            assert_eq!(Priority::from_label(p.label()), Some(p));
        }
        assert_eq!(Priority::from_wire(4), None);
        assert_eq!(Priority::from_wire(255), None);
        assert_eq!(Priority::from_label("urgent"), None);
    }
}
